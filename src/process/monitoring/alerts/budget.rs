//! The error budget: 99.9% of 30 days' decisions come within 250 ms of being stored.
//!
//! Tiers by how fast the budget burns, over a long window and a short one, as in Google's "The Site Reliability Workbook", chapter 5: 2%
//! of it in an hour, 5% in six, 10% in three days. The faster tier inhibits the slower ones (`alertmanager.yml`). One bad order of a
//! quiet night wakes nobody: each tier wants a number of them.

use super::looks;
use crate::process::monitoring::definition::{Alert, Case, Look, Severity, Team, Threshold, Unit};

const MEANING: &str = "Too many orders are decided later than 250 ms after they were stored, answered busy, or not decided at all. The figure is how many \
                       times faster than allowed the budget of 30 days (0.1% of all) is used up.";
const IMPACT: &str = "Checkouts wait for their answer; some give up, and their customers do not know whether they have bought. No order is lost: what \
                      is stored is decided, late.";
const LOOKS: [Look; 3] = [looks::STATUS, looks::LAG, looks::FAILURES];
const DIAGNOSIS: &[&str] = &[
    "Open the dashboard \"Weir / Latency\": which stage takes the time, apply or publish?",
    "Slow `apply` with growing lag: more comes in than a core decides. Look at the batches, and at what else uses the processor.",
    "Slow `publish`, or `weir_append_failures_total`: NATS stores slowly. Look at its disks, its cluster's leaders, its processor.",
    "Neither: orders may be answered `busy`, for a cap of the policy. `weir_outcomes_total{reason=\"busy\"}` tells.",
];
const MITIGATION: &[&str] = &[
    "Too much traffic: slow down imports and other loads that can wait.",
    "A slow worker: stop it with SIGTERM; its shards are handed over at once.",
    "Slow NATS: move the stream's leader away from the slow server (`nats stream cluster step-down`).",
    "Caps of the policy: raise them with `weir policy apply`, if memory allows.",
];

macro_rules! tier {
    (
        $long:literal, $short:literal, $times:literal, $at_least:literal, $hold:literal, $severity:ident,
        fires: $fires:expr, $at:literal, $summary:literal, silent: $silent:expr, $silent_at:literal
    ) => {
        Alert {
            name: "WeirErrorBudgetBurn",
            labels: &[("long", $long), ("short", $short)],
            team: Team::Platform,
            severity: Severity::$severity,
            title: "How many times too fast the error budget is used",
            quantity: concat!("job:weir_slo_bad:ratio", $long, "{$job} / 0.001"),
            legend: "{{job}}",
            unit: Unit::Times,
            threshold: Threshold::Above($times),
            guard: concat!(
                "and on (job) job:weir_slo_bad:ratio", $short, "{$job} / 0.001 > {T} ",
                "and on (job) job:weir_slo_bad:increase", $long, "{$job} >= ", $at_least
            ),
            hold: $hold,
            keep: "5m",
            summary: concat!(
                "{{ with printf \"job:weir_slo_bad:increase", $long, "{job='%s'}\" $labels.job | query }}",
                "{{ printf \"%.0f\" (. | first | value) }}{{ end }} orders within ", $long,
                " were not decided in 250 ms, {{ printf \"%.1f\" $value }} times what is allowed. ",
                "{{ with printf \"clamp_min(job:weir_slo_budget:remaining30d{job='%s'}, 0) * 2592000 / %f\" $labels.job $value | query }}",
                "At this rate the budget of 30 days ends in {{ . | first | value | humanizeDuration }}.{{ end }}"
            ),
            meaning: MEANING,
            impact: IMPACT,
            looks: LOOKS,
            diagnosis: DIAGNOSIS,
            mitigation: MITIGATION,
            weekly: false,
            fires: Case { series: $fires, at: $at, labels: &[("job", "weir")], summary: $summary },
            silent: Case { series: $silent, at: $silent_at, labels: &[], summary: "" },
        }
    };
}

/// What the figures of a shard look like that gets so many orders in 15 seconds, so many of them in time.
macro_rules! orders {
    ($all:literal, $good:literal) => {
        &[
            ("weir_stage_duration_seconds_count{job=\"weir\",instance=\"a\",shard=\"main\",stage=\"end_to_end\"}", $all),
            (
                "weir_stage_duration_seconds_bucket{job=\"weir\",instance=\"a\",shard=\"main\",stage=\"end_to_end\",le=\"0.25\"}",
                $good,
            ),
            (
                "weir_outcomes_total{job=\"weir\",instance=\"a\",shard=\"main\",outcome=\"refused\",reason=\"busy\"}",
                "0x2000",
            ),
            ("weir_log_last_sequence{job=\"weir\",instance=\"a\",shard=\"main\"}", $all),
            ("weir_decided_sequence{job=\"weir\",instance=\"a\",shard=\"main\"}", $all),
        ]
    };
}

pub(super) const ALL: [Alert; 4] = [
    tier!(
        "1h", "5m", 14.4, "10", "2m", Page,
        fires: orders!("0+1000x2000", "0+980x2000"), "5m",
        "400 orders within 1h were not decided in 250 ms, 20.0 times what is allowed. At this rate the budget of 30 days ends in 0s.",
        // One late order of a quiet night.
        silent: orders!("0x4 1x2000", "0x2000"), "5m"
    ),
    tier!(
        "6h", "30m", 6.0, "10", "15m", Page,
        fires: orders!("0+1000x2000", "0+990x2000"), "20m",
        "800 orders within 6h were not decided in 250 ms, 10.0 times what is allowed. At this rate the budget of 30 days ends in 0s.",
        // It is over: the short window says so.
        silent: orders!("0+1000x2000", "0+900x40 37000+1000x2000"), "50m"
    ),
    tier!(
        "1d", "2h", 3.0, "20", "1h", Ticket,
        fires: orders!("0+1000x2000", "0+996x2000"), "70m",
        "1120 orders within 1d were not decided in 250 ms, 4.0 times what is allowed. At this rate the budget of 30 days ends in 0s.",
        silent: orders!("0+1000x2000", "0+999.5x2000"), "70m"
    ),
    tier!(
        "3d", "6h", 1.0, "20", "3h", Ticket,
        fires: orders!("0+1000x2000", "0+998x2000"), "200m",
        "1600 orders within 3d were not decided in 250 ms, 2.0 times what is allowed. At this rate the budget of 30 days ends in 0s.",
        silent: orders!("0+1000x2000", "0+999.5x2000"), "200m"
    ),
];

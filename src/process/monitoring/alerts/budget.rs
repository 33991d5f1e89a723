//! The error budget: 99.9% of 30 days' answers come within 250 ms.
//!
//! Tiers by how fast the budget burns, over a long window and a short one, as in Google's "The Site Reliability Workbook", chapter 5: 2%
//! of it in an hour, 5% in six, 10% in three days. The faster tier inhibits the slower ones (`alertmanager.yml`). One bad answer of a
//! quiet night wakes nobody: each tier wants a number of them.

use super::looks;
use crate::process::monitoring::definition::{Alert, Case, Look, Severity, Team, Threshold, Unit};

const MEANING: &str = "Too many answers are bad: they came later than 250 ms after the order had reached a door (or the log, where it came by none), were `busy` or \
                       `unavailable`, or did not come in time. Orders that wait undecided count too. By orders all commands are meant: payments and shipments \
                       have the same objective. The figure is how many times faster than allowed the error budget is used up: 0.1% of the answers of 30 days.";
const IMPACT: &str = "Checkouts wait, or are told to try again; some give up, and their customers may not know whether they have bought. No order is lost: what \
                      is stored is decided, late.";
const LOOKS: [Look; 3] = [looks::STATUS, looks::ANSWERS, looks::LAG];
const DIAGNOSIS: &[&str] = &[
    "Who gives the bad answers? \"Weir / Overview\", row \"Is the objective kept?\", has them by worker. A worker's count is of its door, and of the shards that it leads.",
    "A door: `weir_door_replies_total` says which answers. `busy`: more comes than is decided. `unavailable`: a shard has decided nothing for seconds. \
     `unknown`, `accepted`: NATS or the shard took longer than the client waited.",
    "A door is late though its shards are prompt (\"Weir / Latency\"): its machine has no processor left (`top -H`), or its way to NATS is slow.",
    "A leader: \"Weir / Latency\" says which stage takes the time. Slow `apply` with growing lag: more comes in than a core decides, or something else uses the processor.",
    "Slow `publish`, or `weir_append_failures_total` grows: NATS stores slowly. Look at its disks, at its streams' leaders, at its processor.",
    "None of these: a cap of the policy may refuse orders. `weir_outcomes_total{reason=\"busy\"}` tells.",
];
const MITIGATION: &[&str] = &[
    "Too much traffic: slow down imports and other loads that can wait.",
    "A slow door: start another worker; NATS shares requests among doors. Then stop the slow one.",
    "A slow leader: stop it with SIGTERM; its shards are handed over at once.",
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
                "{{ with printf \"job:weir_slo_bad:increase", $long, "{job=%q}\" $labels.job | query }}",
                "{{ . | first | value | whole }}{{ end }} orders within ", $long,
                " waited over 250 ms or got no decision, {{ humanize $value }} times what is allowed",
                "{{ with printf \"job:weir_slo_budget:remaining30d{job=%q} * 2592000 / %f\" $labels.job $value | query }}",
                "{{ $left := . | first | value }}{{ if gt $left 0.0 }}; at this rate the month's error budget ends in {{ $left | lasting }}",
                "{{ else }}; the month's error budget is spent{{ end }}{{ end }}."
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

/// What a prompt shard shows of so many good and bad answers each 15 seconds. Of the month's budget 70% is left.
macro_rules! orders {
    ($good:literal, $bad:literal) => {
        &[
            ("weir_slo_answers_total{job=\"weir\",instance=\"a\",shard=\"main\",verdict=\"good\"}", $good),
            ("weir_slo_answers_total{job=\"weir\",instance=\"a\",shard=\"main\",verdict=\"bad\"}", $bad),
            (
                "weir_slo_window_answers{job=\"weir\",instance=\"a\",shard=\"main\",verdict=\"good\"}",
                "9997000x2000",
            ),
            (
                "weir_slo_window_answers{job=\"weir\",instance=\"a\",shard=\"main\",verdict=\"bad\"}",
                "3000x2000",
            ),
            ("weir_log_last_sequence{job=\"weir\",instance=\"a\",shard=\"main\"}", "0+1000x2000"),
            ("weir_decided_sequence{job=\"weir\",instance=\"a\",shard=\"main\"}", "0+1000x2000"),
        ]
    };
}

pub(super) const ALL: [Alert; 4] = [
    tier!(
        "1h", "5m", 14.4, "10", "2m", Page,
        fires: orders!("0+2940x2000", "0+60x2000"), "5m",
        "1,200 orders within 1h waited over 250 ms or got no decision, 20 times what is allowed; at this rate the month's error budget ends in 1d 1h.",
        // One late order of a quiet night.
        silent: orders!("0x2000", "0x4 1x2000"), "5m"
    ),
    tier!(
        "6h", "30m", 6.0, "10", "15m", Page,
        fires: orders!("0+990x2000", "0+10x2000"), "20m",
        "800 orders within 6h waited over 250 ms or got no decision, 10 times what is allowed; at this rate the month's error budget ends in 2d 2h.",
        // It is over: the short window says so.
        silent: orders!("0+900x40 37000+1000x2000", "0+100x40 4000x2000"), "50m"
    ),
    tier!(
        "1d", "2h", 3.0, "20", "1h", Ticket,
        fires: orders!("0+996x2000", "0+4x2000"), "70m",
        "1,120 orders within 1d waited over 250 ms or got no decision, 4 times what is allowed; at this rate the month's error budget ends in 5d 6h.",
        silent: orders!("0+999.5x2000", "0+0.5x2000"), "70m"
    ),
    tier!(
        "3d", "6h", 1.0, "20", "3h", Ticket,
        fires: orders!("0+998x2000", "0+2x2000"), "200m",
        "1,600 orders within 3d waited over 250 ms or got no decision, 2 times what is allowed; at this rate the month's error budget ends in 10d 12h.",
        silent: orders!("0+999.5x2000", "0+0.5x2000"), "200m"
    ),
];

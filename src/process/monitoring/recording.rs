//! Recording rules: what several alerts and panels stand on, and what looks far back.
//!
//! **The service level objective cannot sleep.** Its answers are those that workers and doors count (`weir_slo_answers_total`), each
//! once: late ones, `busy`, `unavailable` and what was not known in time are bad. Orders that are stored and not decided have no
//! answer that anybody could count. They are bad while they wait: messages between the log's end and what is decided, turned into
//! decisions by how many a message had within the last day. Over a window only their growth counts, so that an order that waits and
//! is decided late is not counted twice by the windows that hold both. A standstill therefore burns the budget while it lasts, not
//! when it is over. What no figure can tell (nobody is scraped, gauges stand still) has alerts of its own.
//!
//! An order that its door answered `accepted` is counted by the door, and again while it waits. That is at most what three seconds
//! bring: a door stores nothing more in a shard that stands still.
//!
//! The budget of 30 days is Weir's own: workers and doors keep what they counted beside the shards, so it neither needs a Prometheus
//! that remembers 30 days nor begins anew with one.

use std::fmt::Write as _;

use super::definition::for_rules;

/// The windows that burn rates look over.
pub(super) const WINDOWS: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];

/// Series that are recorded, by name and expression, in the order in which one stands on the other. `{w}` stands for each window.
const RECORDED: [(&str, &str); 12] = [
    (
        "job_shard:weir_undecided_messages:max",
        "clamp_min(max by (job, shard) (weir_log_last_sequence{$}) - max by (job, shard) (weir_decided_sequence{$} > 0), 0)",
    ),
    (
        "job_shard:weir_decisions_per_message:ratio1d",
        "(sum by (job, shard) (increase(weir_append_outcomes_sum{$}[1d])) / sum by (job, shard) (increase(weir_batch_messages_sum{$}[1d])) > 0) \
         or job_shard:weir_undecided_messages:max{$job} * 0 + 1",
    ),
    // Doors may have a job of their own, without any shard: nothing waits there.
    (
        "job:weir_undecided:now",
        "sum by (job) (job_shard:weir_undecided_messages:max{$job} * on (job, shard) job_shard:weir_decisions_per_message:ratio1d{$job}) \
         or sum by (job) (weir_slo_answers_total{$}) * 0",
    ),
    (
        "job:weir_undecided:increase{w}",
        "sum by (job) (clamp_min(delta(job_shard:weir_undecided_messages:max{$job}[{w}]), 0) \
         * on (job, shard) job_shard:weir_decisions_per_message:ratio1d{$job}) \
         or sum by (job) (weir_slo_answers_total{$}) * 0",
    ),
    (
        "job:weir_slo_all:increase{w}",
        "sum by (job) (increase(weir_slo_answers_total{$}[{w}])) + on (job) job:weir_undecided:increase{w}{$job}",
    ),
    (
        "job:weir_slo_bad:increase{w}",
        "sum by (job) (increase(weir_slo_answers_total{verdict=\"bad\",$}[{w}])) + on (job) job:weir_undecided:increase{w}{$job}",
    ),
    (
        "job:weir_slo_bad:ratio{w}",
        "clamp_max(job:weir_slo_bad:increase{w}{$job} / on (job) (job:weir_slo_all:increase{w}{$job} > 0), 1)",
    ),
    // Only whoever leads shows them: they stay for an hour where nobody does.
    (
        "job_verdict:weir_slo_answers:sum30d",
        "sum by (job, verdict) (max by (job, shard, verdict) (last_over_time(weir_slo_window_answers{$}[1h])))",
    ),
    (
        "job:weir_slo_bad:ratio30d",
        "(sum by (job) (job_verdict:weir_slo_answers:sum30d{verdict=\"bad\",$job}) + on (job) job:weir_undecided:now{$job}) \
         / on (job) (sum by (job) (job_verdict:weir_slo_answers:sum30d{$job}) + on (job) job:weir_undecided:now{$job} > 0)",
    ),
    ("job:weir_slo_budget:remaining30d", "1 - job:weir_slo_bad:ratio30d{$job} / 0.001"),
    ("job_shard:weir_log_bytes:max", "max by (job, shard) (weir_stream_bytes{stream=\"log\",$})"),
    (
        "job:weir_orders_placed:increase1h",
        "sum by (job) (increase(weir_commands_total{command=\"place\",$}[1h]))",
    ),
];

/// All series that are recorded: name and expression, with every window, as rules have them.
#[must_use]
pub fn recorded() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, expr) in RECORDED {
        let expr = for_rules(expr);
        if name.contains("{w}") {
            for window in WINDOWS {
                all.push((name.replace("{w}", window), expr.replace("{w}", window)));
            }
        } else {
            all.push((name.to_owned(), expr));
        }
    }
    all
}

/// The file of recording rules. JSON's strings are YAML's too.
pub(super) fn file() -> String {
    let mut text = String::from(super::prometheus::HEAD);
    text.push_str("groups:\n  - name: weir-recorded\n    rules:\n");
    for (name, expr) in recorded() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "      - record: {name}\n        expr: {}", super::prometheus::quoted(&expr));
    }
    text
}

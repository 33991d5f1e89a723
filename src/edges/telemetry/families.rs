//! The metrics of analytics, listed once: name, kind, labels and help. A scrape renders by this list alone, and
//! `docs/analytics.md` repeats it; a test holds both together.
//!
//! Label sets are bounded: sites and carriers to 200 names, reasons to 50, topics to 30, parties to 8; what is beyond is `other`,
//! what has no name is `none`. Never an order, a SKU or a customer.

use std::fmt::Write as _;

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows: what this worker announced, each thing once. A sum over workers is right, across takeovers too.
    Counter,
    /// What is so now. Shown by the shard's leader alone, so that a sum over workers counts each shard once.
    Gauge,
    /// Classic buckets, of what this worker announced.
    Histogram,
}

impl Kind {
    /// The name in Prometheus's text format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A family of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels beside `shard`.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence or two.
    pub help: &'static str,
}

impl Family {
    /// Its type in Prometheus's text format. Gauges with quantiles are summaries there, without sum and count: its tools know the label
    /// from these alone.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        if self.labels.contains(&"quantile") { "summary" } else { self.kind.name() }
    }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, labels, help }
}

/// Every family, in the order in which a scrape has them.
pub const FAMILIES: &[Family] = &[
    // Latency and the objective.
    gauge(
        "weir_stage_minute_seconds",
        &["stage", "quantile"],
        "Quantiles of a stage's duration over the last 60 to 65 seconds, right within 1%: apply (stored to applied), publish (one \
         append's round trip), end_to_end (stored to announced), submitted (the client's submitted_at to announced: two clocks).",
    ),
    gauge(
        "weir_slowest_seconds",
        &[],
        "The slowest message of the last five minutes, from stored to announced.",
    ),
    counter(
        "weir_slo_answers_total",
        &["verdict"],
        "Answers for the objective: good where decided within the bound, a refusal too; bad where later, busy, unavailable, or not known in \
         time. The bound counts from the door, which counts what came by it, or else from being stored.",
    ),
    counter(
        "weir_slo_standstill_seconds_total",
        &[],
        "Seconds in which something waited longer than the bound and nothing was announced.",
    ),
    gauge("weir_slo_bound_seconds", &[], "The bound of the objective."),
    gauge("weir_slo_objective_ratio", &[], "The share that the objective asks for, over 30 days."),
    gauge(
        "weir_slo_window_answers",
        &["verdict"],
        "The answers of the last 30 days by verdict, of all workers and doors, also those before.",
    ),
    gauge(
        "weir_slo_attained_ratio",
        &[],
        "The share that was good over the last 30 days, of all workers and doors, also those before.",
    ),
    gauge(
        "weir_slo_budget_remaining_ratio",
        &[],
        "The share of the error budget of those 30 days that is left; below 0 where overspent.",
    ),
    gauge(
        "weir_confirmation_breach_seconds",
        &[],
        "At the rates of the last minutes: when orders will wait longer than the bound; 0 where they do. Absent where they will not.",
    ),
    gauge(
        "weir_confirmation_drained_seconds",
        &[],
        "At the rates of the last minutes: when the lag is gone. Absent where it does not shrink.",
    ),
    // Delay.
    gauge("weir_orders_followed", &[], "Orders that analytics follow, open and lately closed."),
    gauge(
        "weir_orders_followed_ratio",
        &[],
        "The share of orders that may be followed; below 1 a sample by the hash of ids. Those passed over are not taken off it.",
    ),
    counter(
        "weir_orders_passed_over_total",
        &[],
        "Orders of the sample by the hash of ids that are not followed, as too many came at once.",
    ),
    gauge(
        "weir_delay_open_orders",
        &["risk"],
        "Open orders with a promise by their probability to arrive late, in tenths (0.0 to 0.9, the lower bound), or late where the promise has passed.",
    ),
    gauge("weir_delay_orders_at_risk", &[], "Open orders that are warned of."),
    gauge(
        "weir_delay_expected_late_ratio",
        &[],
        "The share of open orders with a promise that is expected to arrive late.",
    ),
    gauge("weir_delay_warning_threshold_ratio", &[], "The probability from which an order is warned of."),
    counter(
        "weir_delay_warnings_total",
        &["result"],
        "Warnings against what happened: came_true, false_alarm, or missed (late without one).",
    ),
    gauge(
        "weir_delay_warning_precision_ratio",
        &[],
        "The share of warnings that came true, since analytics began.",
    ),
    gauge(
        "weir_delay_warning_recall_ratio",
        &[],
        "The share of late orders that were warned of, since analytics began.",
    ),
    gauge(
        "weir_delay_warning_lead_seconds",
        &[],
        "How long before the promise ended warnings came that came true, on average.",
    ),
    gauge(
        "weir_delay_log_loss",
        &["moment"],
        "Mean log-loss, in nats, of what was said at a moment (paid, shipped, handling) against what happened.",
    ),
    gauge(
        "weir_delay_brier",
        &["moment"],
        "Mean squared difference between what was said at a moment and what happened.",
    ),
    gauge("weir_delay_calibration_error_ratio", &["moment"], "Expected calibration error over ten bins."),
    gauge("weir_delay_late_ratio", &["moment"], "The share of judged orders that were late."),
    gauge("weir_delay_judged", &["moment"], "How many scores were held against what happened."),
    gauge(
        "weir_delay_calibration_scores",
        &["moment", "decile"],
        "How many judged scores lay in a tenth (0.0 to 0.9, its lower bound).",
    ),
    gauge(
        "weir_delay_calibration_said_ratio",
        &["moment", "decile"],
        "What the scores in a tenth said on average.",
    ),
    gauge(
        "weir_delay_calibration_happened_ratio",
        &["moment", "decile"],
        "What share of the orders in a tenth was late.",
    ),
    gauge(
        "weir_delay_learned_deliveries",
        &["moment"],
        "How many deliveries the model of a moment has learned from.",
    ),
    gauge(
        "weir_delay_learned_labels",
        &["moment"],
        "How many orders, late or not, the experts of a moment have learned from.",
    ),
    gauge("weir_delay_model_orders", &["moment"], "Orders that the model of a moment follows."),
    gauge("weir_delay_typical_seconds", &["moment"], "The typical lead time from a moment, as learned."),
    gauge(
        "weir_delay_lead_time_weight_ratio",
        &["moment"],
        "The weight of the lead-time model in the mixture of a moment.",
    ),
    // Cancellation.
    counter("weir_accepted_orders_total", &[], "New orders that were confirmed or wait."),
    counter(
        "weir_cancelled_orders_total",
        &["reason", "party"],
        "Orders cancelled or expired as a whole, by reason and party.",
    ),
    counter(
        "weir_cancelled_units_total",
        &["reason", "party"],
        "Units cancelled or expired, each once, by reason and party.",
    ),
    counter(
        "weir_cancelled_value_total",
        &["currency"],
        "Value cancelled or expired, in major units of 100, in proportion to units.",
    ),
    counter(
        "weir_site_cancelled_orders_total",
        &["site"],
        "Orders cancelled or expired as a whole, by site, of those that are followed.",
    ),
    counter(
        "weir_site_cancelled_units_total",
        &["site"],
        "Units cancelled or expired, by site, of orders that are followed.",
    ),
    counter(
        "weir_carrier_cancelled_orders_total",
        &["carrier"],
        "Orders cancelled or expired as a whole, by carrier, of those that are followed.",
    ),
    counter(
        "weir_carrier_cancelled_units_total",
        &["carrier"],
        "Units cancelled or expired, by carrier, of orders that are followed.",
    ),
    counter(
        "weir_cancelled_late_orders_total",
        &[],
        "Orders cancelled as a whole after their promise had passed.",
    ),
    counter(
        "weir_cancelled_waiting_orders_total",
        &[],
        "Orders cancelled as a whole while they waited for stock.",
    ),
    Family {
        name: "weir_cancel_age_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "From being placed to being cancelled as a whole.",
    },
    gauge(
        "weir_cancellation_surge_ratio",
        &["series", "label"],
        "How many times the base rate cancellations are, while a surge stands: of all orders (series all), of a site, or of a carrier.",
    ),
    gauge("weir_cancellation_surges", &["series"], "Surges that stand, by series."),
    counter(
        "weir_cancellation_surges_total",
        &["series"],
        "Surges that were detected, by series; one false one a week is to be expected of each.",
    ),
    // Volume.
    gauge(
        "weir_volume_hour_orders",
        &[],
        "New orders in the last whole hour, refused for want of stock or not.",
    ),
    gauge(
        "weir_volume_hour_expected_orders",
        &[],
        "What that hour should have brought, by the same hour of the weeks before.",
    ),
    gauge("weir_volume_hour_low_orders", &[], "Fewer would be a surprise (3 standard deviations)."),
    gauge("weir_volume_hour_high_orders", &[], "More would be a surprise."),
    gauge(
        "weir_volume_hour_start_timestamp_seconds",
        &[],
        "When that hour began, in seconds since 1970. Absent, as the four before, until an hour of the week was seen twice.",
    ),
    gauge("weir_volume_filling_orders", &[], "New orders in the hour that is filling."),
    // Stock.
    gauge("weir_stock_followed_skus", &[], "SKUs, site by site, whose demand is followed."),
    counter(
        "weir_stock_not_followed_total",
        &[],
        "Times that a SKU was asked for that is not followed, as there are too many.",
    ),
    gauge(
        "weir_stock_running_out_skus",
        &["within"],
        "SKUs that are expected to run out within a day, or a week (with those of a day).",
    ),
    gauge(
        "weir_stock_unpaid_units",
        &[],
        "Units held by orders that are not paid, of those that are followed.",
    ),
    counter("weir_shortage_refused_orders_total", &[], "New orders refused for want of stock."),
    counter("weir_shortage_lost_units_total", &[], "Units that refused orders lacked."),
    counter(
        "weir_shortage_lost_value_total",
        &["currency"],
        "What those units would have brought, in major units of 100, in proportion to units.",
    ),
    // Service, over the running week and the four before.
    gauge("weir_carrier_delivered_orders", &["carrier"], "Orders that arrived in five weeks, by carrier."),
    gauge("weir_carrier_on_time_ratio", &["carrier"], "The share of them with a promise that was on time."),
    gauge(
        "weir_carrier_transit_seconds",
        &["carrier", "quantile"],
        "From hand-over to arrival, right within 5%.",
    ),
    gauge("weir_carrier_reviews", &["carrier"], "Reviews in five weeks."),
    gauge("weir_carrier_review_stars", &["carrier"], "Their mean, 1 to 5."),
    gauge("weir_carrier_complaints", &["carrier"], "Reviews of two stars or fewer."),
    gauge("weir_site_delivered_orders", &["site"], "Orders that arrived in five weeks, by site."),
    gauge("weir_site_on_time_ratio", &["site"], "The share of them with a promise that was on time."),
    gauge("weir_site_transit_seconds", &["site", "quantile"], "From hand-over to arrival, right within 5%."),
    gauge("weir_site_reviews", &["site"], "Reviews in five weeks."),
    gauge("weir_site_review_stars", &["site"], "Their mean, 1 to 5."),
    gauge("weir_site_complaints", &["site"], "Reviews of two stars or fewer."),
    counter("weir_reviews_total", &["topic"], "Reviews by topic."),
    counter("weir_review_stars_total", &["topic"], "The sum of their stars."),
    counter("weir_review_complaints_total", &["topic"], "Reviews of two stars or fewer."),
    counter("weir_review_late_orders_total", &["topic"], "Reviews of orders that arrived late."),
    counter("weir_payment_failures_total", &["reason"], "Failed payments by reason."),
    // Fulfilment.
    gauge("weir_site_backlog_orders", &["site"], "Orders paid and not shipped, by site."),
    gauge(
        "weir_site_backlog_wait_seconds",
        &["site"],
        "At this rate: how long whoever pays now waits to be shipped. Absent where nothing is shipped.",
    ),
    gauge(
        "weir_site_backlog_drained_seconds",
        &["site"],
        "At this rate: when nothing waits any more. Absent where it does not shrink.",
    ),
    gauge("weir_carrier_backlog_orders", &["carrier"], "Orders paid and not shipped, by carrier."),
    gauge(
        "weir_carrier_backlog_wait_seconds",
        &["carrier"],
        "At this rate: how long whoever pays now waits to be shipped. Absent where nothing is shipped.",
    ),
    gauge(
        "weir_carrier_backlog_drained_seconds",
        &["carrier"],
        "At this rate: when nothing waits any more. Absent where it does not shrink.",
    ),
    // Signals, and analytics themselves.
    gauge("weir_signals_open", &["kind"], "Signals that stand, by kind."),
    counter("weir_signals_published_total", &["kind"], "Signals that were published, by kind."),
    counter(
        "weir_signals_dropped_total",
        &["why"],
        "Signals that were not told: too many stood (open), too many waited (queue), or the stream did not take them (failed).",
    ),
    counter("weir_analytics_records_total", &[], "Announced records that analytics measured."),
    counter(
        "weir_analytics_skipped_messages_total",
        &[],
        "Log messages that analytics were too slow for, and did not measure.",
    ),
    counter(
        "weir_analytics_rebuilt_orders_total",
        &[],
        "Open orders that were taken up again from the log after a skip.",
    ),
    counter(
        "weir_analytics_odd_times_total",
        &[],
        "Events left out since their times contradict each other.",
    ),
    counter(
        "weir_analytics_undecoded_total",
        &[],
        "Records or outcomes that analytics could not read: defects in Weir.",
    ),
    gauge(
        "weir_analytics_sequence",
        &[],
        "The last log message that analytics have measured or skipped. Shown by standbys too.",
    ),
    gauge(
        "weir_analytics_lag_messages",
        &[],
        "Announced log messages that analytics have still to look at. Shown by standbys too.",
    ),
    gauge(
        "weir_analytics_rebuilding",
        &[],
        "1 while open orders are taken up again from the log. Shown by standbys too.",
    ),
    gauge(
        "weir_analytics_saved_timestamp_seconds",
        &[],
        "When this worker last saved the state, in seconds since 1970. Shown by standbys too.",
    ),
    gauge("weir_analytics_saved_bytes", &[], "The size of that state. Shown by standbys too."),
];

/// The list as a table for people, in Markdown.
#[must_use]
pub fn table() -> String {
    let mut table =
        "| metric | kind | labels beside `shard` | what it says |\n|---|---|---|---|\n".to_owned();
    for family @ Family { name, labels, help, .. } in FAMILIES {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(table, "| `{name}` | {} | {} | {help} |", family.type_name(), labels.join(", "));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_prometheus_wants_them_and_the_docs_repeat_the_list() {
        let mut names = std::collections::BTreeSet::new();
        for family in FAMILIES {
            let Family { name, kind, help, .. } = family;
            assert!(names.insert(name), "{name} twice");
            assert!(
                name.starts_with("weir_") && name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
            );
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(!help.contains(['\n', '|', '"', '\\']), "{name}");
        }
        let page = include_str!("../../../docs/analytics.md");
        assert!(page.contains(&table()), "docs/analytics.md repeats this list:\n{}", table());
    }
}

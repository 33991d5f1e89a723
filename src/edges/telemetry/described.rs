//! What the counters and gauges say that go through the exporter.

use metrics::{KeyName, Recorder as _, Unit};

use super::{Audits, DoorTelemetry, Telemetry, verdicts};

impl Telemetry {
    /// Says what each metric is that goes through the exporter.
    pub(super) fn describe(&self) {
        let counter = |name: &'static str, help: &'static str| {
            self.recorder.describe_counter(KeyName::from(name), None, help.into());
        };
        counter("weir_commands_total", "Commands whose outcomes this worker announced, by command.");
        counter(
            "weir_outcomes_total",
            "Outcomes announced, by outcome and, for refusals, reason. Repeats are not in it.",
        );
        counter(
            "weir_payments_refused_total",
            "Payments refused, by reason: somebody must give the money back. They are in weir_outcomes_total too.",
        );
        counter(
            "weir_facts_refused_total",
            "News of goods that moved, refused, by reason: the books are wrong. They are in weir_outcomes_total too.",
        );
        counter("weir_repeats_total", "Outcomes announced that repeat an earlier one, by outcome.");
        counter("weir_replayed_messages_total", "Log messages applied while recovering.");
        counter("weir_followed_messages_total", "Log messages applied as a standby.");
        counter(
            "weir_reader_stalls_total",
            "Times that a reader fell silent while its stream went on, and was opened anew.",
        );
        counter(
            "weir_snapshots_total",
            "Snapshots, by how they ended: taken, failed, or passed over when restoring.",
        );
        counter("weir_observer_lost_batches_total", "Batches that observers of the fold were too slow for.");
        counter("weir_recoveries_total", "Times that a shard's work ended before it was told to, by why.");
        counter("weir_stage_panics_total", "Panics of a shard's stages: defects in Weir.");
        counter(
            "weir_queries_total",
            "Queries that this worker answered from its own state, or not, by result.",
        );
        counter("weir_http_requests_total", "Requests to the HTTP API, by route and status.");
        counter("weir_http_turned_away_total", "Connections to the HTTP API that were one too many.");
        counter("weir_notifications_total", "Outcomes told as a message each, by outcome.");
        counter("weir_notifications_lost_total", "Batches or outcomes that could not be told so, by why.");
        counter(
            "weir_foreign_messages_total",
            "Times that a message in an outcome stream was passed over because it is no append of outcomes.",
        );
        counter("weir_nats_disconnects_total", "Times that a connection to NATS was lost, by connection.");
        counter("weir_nats_slow_consumers_total", "Times that the client dropped deliveries, by connection.");
        counter("weir_append_failures_total", "Appends of outcomes that were not acknowledged, by why.");
        let gauge = |name: &'static str, help: &'static str| {
            self.recorder.describe_gauge(KeyName::from(name), None::<Unit>, help.into());
        };
        gauge("weir_build_info", "Always 1; labels tell the version and the newest rules known.");
        gauge("weir_lag_messages", "Log messages that are not applied.");
        gauge("weir_lag_seconds", "Age of the oldest log message that is not applied.");
        gauge("weir_applied_sequence", "The last log message applied.");
        gauge("weir_announced_sequence", "The log message of the last outcome announced.");
        gauge(
            "weir_decided_sequence",
            "The log message through which all is decided and announced, also what has no outcome.",
        );
        gauge(
            "weir_shown_timestamp_seconds",
            "When the gauges of this shard were last set, in seconds since 1970.",
        );
        gauge("weir_ready", "1 while the shard is connected and caught up.");
        gauge("weir_role", "1 for what this worker does for the shard: leader, standby or away.");
        gauge("weir_life", "1 for what the shard is at this worker.");
        gauge("weir_log_first_sequence", "The first message that the log holds.");
        gauge("weir_log_last_sequence", "The last message that the log ever stored.");
        gauge(
            "weir_stream_unsafe_settings",
            "Settings of the shard's streams under which they would lose data.",
        );
        gauge("weir_clock_skew_seconds", "How far the broker's clock is ahead of this worker's.");
        gauge(
            "weir_last_progress_timestamp_seconds",
            "When something was last applied or announced, in seconds since 1970.",
        );
        gauge(
            "weir_outcomes_oldest_timestamp_seconds",
            "When the oldest outcomes that are kept were announced, in seconds since 1970.",
        );
        gauge(
            "weir_snapshot_last_success_timestamp_seconds",
            "When this worker last took a snapshot, in seconds since 1970.",
        );
        gauge(
            "weir_snapshot_sequence",
            "The last log message of the newest snapshot that this worker knows of; 0 for none.",
        );
        gauge("weir_snapshot_bytes", "The size of that snapshot.");
        gauge("weir_fault", "1 while the shard stands still for this fault.");
        state(gauge);
        Audits::describe(counter, gauge);
        DoorTelemetry::describe(counter, gauge);
        verdicts::describe(gauge);
    }
}

/// Of the state, and of the streams that it is kept in.
fn state(gauge: impl Fn(&'static str, &'static str)) {
    gauge(
        "weir_orders",
        "Orders in the state, by stage; waiting and timed ones (a hold or a wait that ends) are open ones.",
    );
    gauge("weir_stock_units", "Units of stock over all SKUs.");
    gauge("weir_skus", "SKUs known, site by site.");
    gauge("weir_skus_out_of_stock", "SKUs with nothing available.");
    gauge("weir_stream_bytes", "Bytes that the stream holds.");
    gauge("weir_stream_limit_bytes", "Bytes that the stream may hold; 0 where there is no limit.");
}

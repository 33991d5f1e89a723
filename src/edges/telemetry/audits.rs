//! What the audits of a shard came to.

use metrics::Counter;

use super::{Once, Telemetry};

/// Counts the audits of one shard.
pub struct Audits {
    agrees: Counter,
    disagrees: Counter,
    failed: Counter,
    disagreements: Counter,
    last_success: Once,
}

impl Audits {
    pub(super) fn describe(
        counter: impl Fn(&'static str, &'static str),
        gauge: impl Fn(&'static str, &'static str),
    ) {
        counter("weir_audits_total", "Audits of a standby, by how they ended: agrees, disagrees, or failed.");
        counter("weir_audit_disagreements_total", "Disagreements that audits have found, again each time.");
        gauge(
            "weir_audit_last_success_timestamp_seconds",
            "When an audit last agreed, in seconds since 1970.",
        );
    }

    pub(super) fn new(telemetry: &Telemetry, shard: &str) -> Self {
        let own = [("shard", shard.to_owned())];
        let ended =
            |end: &str| telemetry.counter("weir_audits_total", &[own[0].clone(), ("end", end.to_owned())]);
        Self {
            agrees: ended("agrees"),
            disagrees: ended("disagrees"),
            failed: ended("failed"),
            disagreements: telemetry.counter("weir_audit_disagreements_total", &own),
            last_success: Once::new(telemetry, "weir_audit_last_success_timestamp_seconds", &own),
        }
    }

    /// An audit agreed, at `wall_ns` (nanoseconds since 1970).
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub fn agreed(&self, wall_ns: i64) {
        self.agrees.increment(1);
        self.last_success.set(wall_ns as f64 / 1e9);
    }

    /// An audit found so many disagreements.
    pub fn disagreed(&self, disagreements: u64) {
        self.disagrees.increment(1);
        self.disagreements.increment(disagreements);
    }

    /// An audit came to no end.
    pub fn failed(&self) {
        self.failed.increment(1);
    }
}

//! The verdict's gauge: one series for each state, of which one is 1.

use super::Telemetry;

/// How a worker can be, from good to bad.
pub const VERDICTS: [&str; 5] = ["ok", "recovering", "draining", "warning", "critical"];

const NAME: &str = "weir_verdict";

pub(super) fn describe(gauge: impl Fn(&'static str, &'static str)) {
    gauge(
        NAME,
        "1 for how this worker is by its own figures: ok, recovering, draining, warning or critical.",
    );
}

impl Telemetry {
    /// The worker is so: one of [`VERDICTS`].
    pub fn verdict(&self, state: &str) {
        for name in VERDICTS {
            self.gauge(NAME, &[("state", name.to_owned())]).set(f64::from(u8::from(name == state)));
        }
    }
}

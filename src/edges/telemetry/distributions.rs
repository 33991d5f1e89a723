//! Distributions of one shard: HDR histograms, rendered as classic buckets.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::SLO_SECONDS;

/// Upper bounds of the buckets of durations, in seconds.
const DURATION_BOUNDS: [f64; 15] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, SLO_SECONDS, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Upper bounds of the buckets of sizes.
const SIZE_BOUNDS: [f64; 12] =
    [1.0, 4.0, 16.0, 64.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 65536.0];

pub(super) struct Distributions {
    pub(super) apply: Distribution,
    pub(super) publish: Distribution,
    pub(super) end_to_end: Distribution,
    pub(super) batch_messages: Distribution,
    pub(super) append_outcomes: Distribution,
}

impl Distributions {
    pub(super) fn new() -> Self {
        let (duration, size) = (Distribution::of_durations, Distribution::of_sizes);
        Self {
            apply: duration(),
            publish: duration(),
            end_to_end: duration(),
            batch_messages: size(),
            append_outcomes: size(),
        }
    }
}

/// A histogram since the start of the process. Three significant digits, up to 100 seconds in microseconds, or 100 million.
pub(super) struct Distribution {
    pub(super) histogram: Histogram<u64>,
    sum: u128,
    bounds: &'static [f64],
    /// How many of the histogram's units make one of the metric's.
    scale: f64,
}

const VALUE_MAX: u64 = 100_000_000;

impl Distribution {
    fn new(bounds: &'static [f64], scale: f64) -> Self {
        let histogram = Histogram::new_with_bounds(1, VALUE_MAX, 3).expect("constant bounds");
        Self { histogram, sum: 0, bounds, scale }
    }

    /// Of durations, in microseconds.
    pub(super) fn of_durations() -> Self {
        Self::new(&DURATION_BOUNDS, 1e6)
    }

    /// Of sizes.
    pub(super) fn of_sizes() -> Self {
        Self::new(&SIZE_BOUNDS, 1.0)
    }

    pub(super) fn record(&mut self, value: u64, count: u64) {
        self.sum += u128::from(value) * u128::from(count);
        self.histogram.saturating_record_n(value, count);
    }

    /// Records a duration. Clocks of two machines may differ: below zero counts as zero.
    pub(super) fn record_since(&mut self, start_ns: i64, end_ns: i64, count: u64) {
        let nanos = end_ns.saturating_sub(start_ns).max(0).unsigned_abs();
        self.record(nanos / 1000, count);
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum in Prometheus is a float")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounds are small and positive"
    )]
    pub(super) fn render(&self, text: &mut String, name: &str, labels: &str) {
        let before = if labels.is_empty() { "" } else { "," };
        for bound in self.bounds {
            let count = self.histogram.count_between(0, (bound * self.scale) as u64);
            let _ = writeln!(text, "{name}_bucket{{{labels}{before}le=\"{bound}\"}} {count}");
        }
        let count = self.histogram.len();
        let sum = self.sum as f64 / self.scale;
        let _ = writeln!(text, "{name}_bucket{{{labels}{before}le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
    }
}

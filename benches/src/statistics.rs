//! Figures and how they are shown: medians and their spread, quantiles of latencies as far as the samples carry them.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// A percentile is given where so many samples at least lie beyond it: with fewer, chance sets it.
const SAMPLES_BEYOND_LEAST: f64 = 5.0;

/// An empty histogram of latencies in microseconds, exact to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are good")
}

/// A histogram, as what was recorded: latencies in microseconds, each with how many orders took it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latencies(Vec<(u64, u64)>);

impl From<&Histogram<u64>> for Latencies {
    fn from(histogram: &Histogram<u64>) -> Self {
        let recorded = histogram.iter_recorded();
        Self(recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect())
    }
}

impl From<&Latencies> for Histogram<u64> {
    fn from(latencies: &Latencies) -> Self {
        let mut histogram = histogram();
        for (value, count) in &latencies.0 {
            histogram.saturating_record_n(*value, *count);
        }
        histogram
    }
}

/// Latencies in milliseconds; none where too few samples lie beyond it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p99_9: Option<f64>,
    pub(crate) p99_99: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Quantiles {
    /// Of `samples` independent ones: the orders of one message share its fate, so a message is one sample.
    pub(crate) fn of(latencies: &Histogram<u64>, samples: u64) -> Self {
        let at = |quantile: f64| {
            let carried = to_f64(samples) * (1.0 - quantile) >= SAMPLES_BEYOND_LEAST;
            carried.then(|| to_f64(latencies.value_at_quantile(quantile)) / 1_000.0)
        };
        let max = (!latencies.is_empty()).then(|| to_f64(latencies.max()) / 1_000.0);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999), p99_99: at(0.9999), max }
    }

    /// In the order in which they are shown.
    pub(crate) const fn all(&self) -> [Option<f64>; 6] {
        [self.p50, self.p90, self.p99, self.p99_9, self.p99_99, self.max]
    }
}

/// The middle of some figures, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// None where there are no figures.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        let half = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            figures[half]
        } else {
            f64::midpoint(figures[half - 1], figures[half])
        };
        Some(Self { median, least, most })
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) const fn to_f64(count: u64) -> f64 {
    count as f64
}

/// A float as a whole number, none below zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, which is what is wanted"
)]
pub(crate) const fn rounded(number: f64) -> u64 {
    number.round() as u64
}

/// A number in groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A float as a whole number in groups of three digits.
pub(crate) fn whole(number: f64) -> String {
    grouped(rounded(number))
}

/// A number of milliseconds, to three digits or so.
pub(crate) fn millis(millis: f64) -> String {
    if millis >= 10_000.0 {
        format!("{:.1} s", millis / 1_000.0)
    } else if millis >= 100.0 {
        format!("{millis:.0} ms")
    } else if millis >= 10.0 {
        format!("{millis:.1} ms")
    } else {
        format!("{millis:.2} ms")
    }
}

/// A length of time, as it was asked for.
pub(crate) fn span(millis: u64) -> String {
    if millis.is_multiple_of(1_000) { format!("{} s", millis / 1_000) } else { format!("{millis} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_percentile_beyond_the_samples_is_not_given() {
        let mut latencies = histogram();
        latencies.saturating_record_n(1_000, 200_000);
        // Two seconds of 100,000 a second, 256 a message.
        let quantiles = Quantiles::of(&latencies, 781);
        assert!(quantiles.p99.is_some() && quantiles.p99_9.is_none() && quantiles.max.is_some());
        assert_eq!(Quantiles::of(&latencies, 5_000).p99_9, quantiles.p99);
        assert_eq!(Quantiles::of(&histogram(), 0), Quantiles::default());
    }

    #[test]
    fn a_histogram_survives_being_told() {
        let mut before = histogram();
        for latency in [1, 900, 1_024, 1_025, 77_777, 5_000_000] {
            before.saturating_record_n(latency, latency % 7 + 1);
        }
        let said = serde_json::to_string(&Latencies::from(&before)).unwrap();
        let after = Histogram::from(&serde_json::from_str::<Latencies>(&said).unwrap());
        assert_eq!(before, after);
    }
}

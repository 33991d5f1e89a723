//! Quantiles of durations within a relative error, in bounded memory: `DDSketch` (Masson, Rim, Lee 2019) with an error of 5%.
//!
//! Bins grow by a factor of 1.05/0.95. From a minute to some three years they are 142 counters; what is shorter or longer counts in
//! the first or the last. Sketches add up.

use wincode::{SchemaRead, SchemaWrite};

const ERROR: f64 = 0.05;
const BINS: usize = 142;
const SHORTEST_MS: f64 = 60_000.0;

/// The sketch.
#[derive(Clone, Debug, Default, SchemaRead, SchemaWrite)]
pub struct Quantiles(Vec<u32>);

fn growth() -> f64 {
    ((1.0 + ERROR) / (1.0 - ERROR)).ln()
}

impl Quantiles {
    /// Takes in a duration.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bins before")]
    pub fn take(&mut self, duration_ms: i64) {
        if self.0.is_empty() {
            self.0 = vec![0; BINS];
        }
        let steps = ((duration_ms.max(0) as f64 / SHORTEST_MS).max(1.0).ln() / growth()).ceil();
        let bin = &mut self.0[steps.clamp(0.0, (BINS - 1) as f64) as usize];
        *bin = bin.saturating_add(1);
    }

    /// Adds what another took in.
    pub fn add(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own = own.saturating_add(*other);
        }
    }

    /// A quantile, in milliseconds, within 5%; none where there was nothing.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let all: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        if all == 0 {
            return None;
        }
        let rank = quantile.clamp(0.0, 1.0) * (all - 1) as f64;
        let mut seen = 0;
        let bin = self.0.iter().position(|count| {
            seen += u64::from(*count);
            seen as f64 > rank
        })?;
        Some(SHORTEST_MS * (bin as f64 * growth()).exp() * (1.0 - ERROR))
    }

    /// Whether what was read back holds together.
    pub(in crate::folds::analytics) fn is_sound(&self) -> bool {
        [0, BINS].contains(&self.0.len())
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers of a test")]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_five_percent_of_exact_ones() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut exact: Vec<i64> = (0..20_000)
            .map(|_| (86_400_000.0 * (2.0 * random.f64() - 1.0).exp() / random.f64().max(0.01)) as i64)
            .collect();
        let (mut left, mut right) = (Quantiles::default(), Quantiles::default());
        for (place, duration) in exact.iter().enumerate() {
            if place % 3 == 0 { left.take(*duration) } else { right.take(*duration) }
        }
        left.add(&right);
        exact.sort_unstable();
        for quantile in [0.01, 0.5, 0.9, 0.99] {
            let truth = exact[(quantile * (exact.len() - 1) as f64) as usize] as f64;
            let told = left.quantile(quantile).unwrap();
            assert!((told / truth - 1.0).abs() <= 0.051, "{quantile}: {told} {truth}");
        }
        assert_eq!(Quantiles::default().quantile(0.5), None);
        left.take(i64::MAX);
        left.take(-5);
        assert!(left.is_sound());
    }
}

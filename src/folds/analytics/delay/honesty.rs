//! How honest probabilities were: each is held against what happened, once that is known, as it was said.
//!
//! Progressive (prequential) log-loss and Brier score, calibration over ten equal bins of the probability.

use wincode::{SchemaRead, SchemaWrite};

const BINS: usize = 10;

#[derive(Clone, Copy, Debug, Default, SchemaRead, SchemaWrite)]
struct Bin {
    count: u64,
    said: f64,
    late: u64,
}

/// What was said against what happened.
#[derive(Clone, Debug, Default, SchemaRead, SchemaWrite)]
pub struct Honesty {
    bins: [Bin; BINS],
    loss: f64,
    squares: f64,
}

/// One bin of probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// How many scores lay in it.
    pub count: u64,
    /// What they said, on average.
    pub said: f64,
    /// The share that came true.
    pub happened: f64,
}

impl Honesty {
    /// Holds a probability against what happened.
    pub fn take(&mut self, said: f64, happened: bool) {
        if !said.is_finite() {
            return;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
        let bin = (said * BINS as f64).clamp(0.0, (BINS - 1) as f64) as usize;
        let bin = &mut self.bins[bin];
        bin.count += 1;
        bin.said += said;
        bin.late += u64::from(happened);
        let outcome = f64::from(u8::from(happened));
        self.squares += (said - outcome).powi(2);
        let sure = said.clamp(1e-6, 1.0 - 1e-6);
        self.loss -= if happened { sure.ln() } else { (-sure).ln_1p() };
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.bins.iter().map(|bin| bin.count).sum()
    }

    /// The share that happened; 0 where there were none.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.bins.iter().map(|bin| bin.late).sum::<u64>() as f64 / self.count().max(1) as f64
    }

    /// The mean log-loss, in nats.
    #[must_use]
    pub fn log_loss(&self) -> f64 {
        self.loss / self.count().max(1) as f64
    }

    /// The mean squared difference.
    #[must_use]
    pub fn brier(&self) -> f64 {
        self.squares / self.count().max(1) as f64
    }

    /// The expected calibration error: the mean distance between what was said and what happened, bin by bin.
    #[must_use]
    pub fn calibration_error(&self) -> f64 {
        let apart: f64 = self.bins.iter().map(|bin| (bin.said - bin.late as f64).abs()).sum();
        apart / self.count().max(1) as f64
    }

    /// The bins that hold anything.
    #[must_use]
    pub fn calibration(&self) -> Vec<Calibration> {
        let filled = self.bins.iter().filter(|bin| bin.count > 0);
        filled
            .map(|bin| Calibration {
                count: bin.count,
                said: bin.said / bin.count as f64,
                happened: bin.late as f64 / bin.count as f64,
            })
            .collect()
    }

    pub(super) fn is_sound(&self) -> bool {
        self.loss.is_finite() && self.squares.is_finite() && self.bins.iter().all(|bin| bin.said.is_finite())
    }
}

/// Warnings against what happened.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub struct Warnings {
    /// Warned of, and late.
    pub came_true: u64,
    /// Warned of, and on time.
    pub false_alarms: u64,
    /// Late without a warning.
    pub missed: u64,
    /// How long before its promise ended an order was warned of that became late: the sum, in days.
    pub days_ahead: f64,
}

impl Warnings {
    /// The share of warnings that came true; 0 where there were none.
    #[must_use]
    pub fn precision(&self) -> f64 {
        self.came_true as f64 / (self.came_true + self.false_alarms).max(1) as f64
    }

    /// The share of late orders that were warned of; 0 where there were none.
    #[must_use]
    pub fn recall(&self) -> f64 {
        self.came_true as f64 / (self.came_true + self.missed).max(1) as f64
    }

    /// How many days ahead warnings that came true were, on average.
    #[must_use]
    pub fn mean_days_ahead(&self) -> f64 {
        self.days_ahead / self.came_true.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn against_the_formulas() {
        let mut honesty = Honesty::default();
        let said = [(0.05, false), (0.05, true), (0.95, true), (0.5, false), (f64::NAN, true)];
        for (said, happened) in said {
            honesty.take(said, happened);
        }
        let exact = -(0.95_f64.ln() + 0.05_f64.ln() + 0.95_f64.ln() + 0.5_f64.ln()) / 4.0;
        assert!((honesty.log_loss() - exact).abs() < 1e-12);
        assert!((honesty.brier() - (0.0025 + 0.9025 + 0.0025 + 0.25) / 4.0).abs() < 1e-12);
        assert!((honesty.calibration_error() - (0.9 + 0.05 + 0.5) / 4.0).abs() < 1e-12);
        assert_eq!((honesty.count(), honesty.calibration().len()), (4, 3));
    }
}

//! What is asked of a lead-time model about an open order, at any time.

use super::{AGE_MIN, LATE_MAX, LeadTime, Part};
use crate::folds::analytics::delay::curve::{BINS, bin};

/// Nothing is nearer to certain: what is left of minus the logarithm of the share that lasts.
const LASTS_MIN: f64 = 1e-9;

fn bounded(late: f64) -> f64 {
    late.clamp(1e-4, LATE_MAX)
}

impl LeadTime {
    /// An open order's probability to be late, now that it is so old: what the experts said at its start, weighed as today, the
    /// lead-time model's own word renewed, and its odds moved by how the order has aged.
    pub(in crate::folds::analytics::delay) fn risk(&self, place: u32, order: u64, now: f64) -> Option<f64> {
        let row = self.row(place, order)?;
        let deadline = row.deadline?;
        if now >= deadline {
            return Some(1.0);
        }
        let location = self.parameters.location(&row.x, &row.keys);
        let typical = self.scale.days();
        let residual = |age: f64| ((age / typical).max(AGE_MIN) + self.constants.offset).ln() - location;
        let survival = self.survival(row.carrier);
        let until = survival.at(residual(deadline - row.start));
        // The odds of being on time, from an age on: of the share that lasts.
        let odds = |age: f64| (until - survival.at(residual(age))).max(LASTS_MIN).exp_m1();
        let late = |odds: f64| 1.0 / (1.0 + odds);
        let now = odds(now - row.start);
        if !self.mixture {
            return Some(bounded(late(now)));
        }
        let fresh = odds(0.0);
        // Not of what is bounded: where nothing is surer than what was said at first, age still tells.
        Some(bounded(self.experts.aged(&self.advice[place as usize], bounded(late(fresh)), fresh / now)))
    }

    /// Days since 1970 by which an open order will have arrived, by [`QUANTILES`](crate::folds::analytics::QUANTILES), given that it has
    /// not yet. None where it is older than orders ever get.
    pub(in crate::folds::analytics::delay) fn arrives_by(
        &self,
        place: u32,
        order: u64,
        now: f64,
    ) -> Option<[f64; 5]> {
        let row = self.row(place, order)?;
        let location = self.parameters.location(&row.x, &row.keys);
        let age = (now - row.start).max(0.0);
        if bin((age / self.scale.days() + self.constants.offset).ln() - location) == BINS - 1 {
            return None;
        }
        Some(self.lasts(location, age).map(|days| row.start + days))
    }

    /// What moves an open order's lead time most, in days of a typical one: covariates by their names, levels by theirs.
    pub(in crate::folds::analytics::delay) fn reasons(
        &self,
        place: u32,
        order: u64,
        mut told: impl FnMut(Part, f64),
    ) {
        let Some(row) = self.row(place, order) else { return };
        let days = 1.3 * self.scale.days();
        let (covariates, keys) = self.parameters.parts(&row.x, &row.keys);
        for (place, part) in covariates.filter(|(place, _)| *place > 0) {
            told(Part::Covariate(place), f64::from(part) * days);
        }
        for (key, part) in keys {
            told(Part::Key(key), f64::from(part) * days);
        }
    }
}

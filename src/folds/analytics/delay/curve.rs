//! The residual curve: a decayed Kaplan-Meier (product limit) estimate of how residuals of lead times are distributed.
//!
//! Residuals are `log(age / T + offset) - mu`. 160 bins of 1/40 cover [-2, 2); each holds how often an order was at risk there and
//! how often one ended there, both exponentially forgotten. An order that is still open says "not yet" in every bin that it has
//! passed: the curve is unbiased however many orders are open.

use wincode::{SchemaRead, SchemaWrite};

/// How many bins there are.
pub(super) const BINS: usize = 160;
const PER_UNIT: f64 = 40.0;
const LOWEST: f64 = -2.0;
const PRIOR_AT_RISK: f64 = 5.0;
const PRIOR_WIDTH: f64 = 0.25;
/// How many orders at risk a carrier's own hazard needs to weigh as much as everybody's.
const CARRIER_PRIOR: f64 = 10.0;
const HAZARD_MAX: f64 = 0.9;

/// The logistic function.
pub(super) fn logistic(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}

/// The bin of a residual.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bins before")]
pub(super) fn bin(residual: f64) -> usize {
    ((residual - LOWEST) * PER_UNIT).floor().clamp(0.0, (BINS - 1) as f64) as usize
}

/// Orders at risk and orders that ended, by bin.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Counts {
    at_risk: Vec<f64>,
    ended: Vec<f64>,
}

impl Counts {
    fn new() -> Self {
        Self { at_risk: vec![0.0; BINS], ended: vec![0.0; BINS] }
    }

    fn pass(&mut self, from: usize, to: usize) {
        self.at_risk[from..to].iter_mut().for_each(|count| *count += 1.0);
    }

    fn decay(&mut self, factor: f64) {
        self.at_risk.iter_mut().chain(&mut self.ended).for_each(|count| *count *= factor);
    }

    fn is_sound(&self) -> bool {
        let sound = |counts: &[f64]| {
            counts.len() == BINS && counts.iter().all(|count| count.is_finite() && *count >= 0.0)
        };
        sound(&self.at_risk) && sound(&self.ended)
    }
}

/// Minus the logarithm of the share that lasts longer, at the start of each bin.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Survival(Vec<f64>);

impl Survival {
    fn new() -> Self {
        Self(vec![0.0; BINS + 1])
    }

    fn rebuild(&mut self, hazard: impl Fn(usize) -> f64) {
        for bin in 0..BINS {
            self.0[bin + 1] = self.0[bin] - (-hazard(bin).min(HAZARD_MAX)).ln_1p();
        }
    }

    /// At the start of the bin in which a residual lies.
    pub(super) fn before(&self, residual: f64) -> f64 {
        self.0[bin(residual)]
    }

    /// At a residual: linear within a bin.
    pub(super) fn at(&self, residual: f64) -> f64 {
        let bin = bin(residual);
        let fraction = ((residual - LOWEST) * PER_UNIT - bin as f64).clamp(0.0, 1.0);
        self.0[bin] + fraction * (self.0[bin + 1] - self.0[bin])
    }

    /// The residual at which this value is reached; the end of the last bin where it never is.
    pub(super) fn residual_at(&self, value: f64) -> f64 {
        let bin = self.0[1..].partition_point(|reached| *reached < value).min(BINS - 1);
        let step = self.0[bin + 1] - self.0[bin];
        let fraction = if step > 0.0 { ((value - self.0[bin]) / step).clamp(0.0, 1.0) } else { 1.0 };
        LOWEST + (bin as f64 + fraction) / PER_UNIT
    }

    fn is_sound(&self) -> bool {
        self.0.len() == BINS + 1 && self.0.is_sorted() && self.0.iter().all(|value| value.is_finite())
    }
}

/// The curve of all orders.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Curve {
    half_life_days: f64,
    counts: Counts,
    pub(super) survival: Survival,
}

/// Hazard of a bin before anything was seen: that of a logistic distribution.
fn prior_hazard(bin: usize) -> f64 {
    let middle = LOWEST + (bin as f64 + 0.5) / PER_UNIT;
    logistic(middle / PRIOR_WIDTH) / PRIOR_WIDTH / PER_UNIT
}

impl Curve {
    pub(super) fn new(half_life_days: f64) -> Self {
        let at_risk = vec![PRIOR_AT_RISK; BINS];
        let ended = (0..BINS).map(|bin| PRIOR_AT_RISK * prior_hazard(bin)).collect();
        let mut curve = Self { half_life_days, counts: Counts { at_risk, ended }, survival: Survival::new() };
        curve.rebuild();
        curve
    }

    /// An order passed the bins from `from` to before `to`, still open.
    pub(super) fn pass(&mut self, from: usize, to: usize) {
        self.counts.pass(from, to);
    }

    /// An order ended in a bin.
    pub(super) fn end(&mut self, bin: usize) {
        self.counts.ended[bin] += 1.0;
    }

    /// Forgets what `days` make it forget, falls back towards the prior by as much, and reads the counts again.
    pub(super) fn tick(&mut self, days: f64) {
        let factor = (-days / self.half_life_days).exp2();
        for bin in 0..BINS {
            let (at_risk, ended) = (&mut self.counts.at_risk[bin], &mut self.counts.ended[bin]);
            *at_risk = *at_risk * factor + (1.0 - factor) * PRIOR_AT_RISK;
            *ended = *ended * factor + (1.0 - factor) * PRIOR_AT_RISK * prior_hazard(bin);
        }
        self.rebuild();
    }

    fn hazard(&self, bin: usize) -> f64 {
        self.counts.ended[bin] / self.counts.at_risk[bin]
    }

    fn rebuild(&mut self) {
        let counts = &self.counts;
        self.survival.rebuild(|bin| counts.ended[bin] / counts.at_risk[bin]);
    }

    pub(super) fn is_sound(&self) -> bool {
        self.counts.is_sound()
            && self.survival.is_sound()
            && self.half_life_days.is_finite()
            && self.half_life_days > 0.0
            && self.counts.at_risk.iter().all(|count| *count > 0.0)
    }
}

/// A carrier's own curve, which leans on everybody's where it has seen little.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct CarrierCurve {
    counts: Counts,
    pub(super) survival: Survival,
}

impl CarrierCurve {
    pub(super) fn new(all: &Curve) -> Self {
        Self { counts: Counts::new(), survival: all.survival.clone() }
    }

    /// See [`Curve::pass`].
    pub(super) fn pass(&mut self, from: usize, to: usize) {
        self.counts.pass(from, to);
    }

    /// See [`Curve::end`].
    pub(super) fn end(&mut self, bin: usize) {
        self.counts.ended[bin] += 1.0;
    }

    /// See [`Curve::tick`].
    pub(super) fn tick(&mut self, all: &Curve, days: f64) {
        self.counts.decay((-days / all.half_life_days).exp2());
        let counts = &self.counts;
        self.survival.rebuild(|bin| {
            (counts.ended[bin] + CARRIER_PRIOR * all.hazard(bin)) / (counts.at_risk[bin] + CARRIER_PRIOR)
        });
    }

    pub(super) fn is_sound(&self) -> bool {
        self.counts.is_sound() && self.survival.is_sound()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product limit estimate by its definition, over times sorted: the share that lasts longer than each.
    fn kaplan_meier(mut lives: Vec<(f64, bool)>, at: f64) -> f64 {
        lives.sort_by(|left, right| left.0.total_cmp(&right.0));
        let mut survival = 1.0;
        for (place, (time, ended)) in lives.iter().enumerate() {
            if *time <= at && *ended {
                survival *= 1.0 - 1.0 / (lives.len() - place) as f64;
            }
        }
        survival
    }

    #[test]
    fn without_forgetting_it_is_the_product_limit_estimate_within_a_bin() {
        let mut random = fastrand::Rng::with_seed(7);
        let lives: Vec<(f64, bool)> = (0..20_000)
            .map(|_| {
                let uniform = random.f64().clamp(1e-9, 1.0 - 1e-9);
                let residual = 0.3 * (uniform / (1.0 - uniform)).ln();
                // A third are seen only up to some time, for reasons of their own.
                let seen_to = random.f64() * 4.0 - 2.0;
                if random.f64() < 0.33 && seen_to < residual { (seen_to, false) } else { (residual, true) }
            })
            .collect();
        let mut curve = Curve::new(18.0);
        for (residual, ended) in &lives {
            let bin = bin(*residual);
            curve.pass(0, if *ended { bin + 1 } else { bin });
            if *ended {
                curve.end(bin);
            }
        }
        curve.tick(0.0);
        for at in [-0.8, -0.3, 0.0, 0.4, 0.9] {
            let exact = kaplan_meier(lives.clone(), at);
            let estimate = (-curve.survival.at(at)).exp();
            assert!((exact - estimate).abs() < 0.01, "{at}: {exact} {estimate}");
            let back = curve.survival.residual_at(curve.survival.at(at));
            assert!((back - at).abs() < 1e-6, "{at}: {back}");
        }
    }

    #[test]
    fn a_carrier_that_was_never_seen_has_everybodys_curve() {
        let mut all = Curve::new(18.0);
        for _ in 0..500 {
            all.pass(0, 81);
            all.end(80);
        }
        all.tick(1.0);
        let mut carrier = CarrierCurve::new(&all);
        carrier.tick(&all, 1.0);
        for residual in [-1.0, 0.0, 0.3, 1.5] {
            assert!((carrier.survival.at(residual) - all.survival.at(residual)).abs() < 1e-9);
        }
    }
}

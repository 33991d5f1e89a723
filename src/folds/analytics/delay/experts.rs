//! The mixture: prediction with expert advice (exponential weights, forgetting, with clipped evidence) over the lead-time model and
//! experts that learn from labels alone.
//!
//! Experts: the lead-time model; it, recalibrated by a logistic regression on its logit and all inputs; a logistic regression on the
//! inputs alone; the running rate of all orders; and the running rate of each level's key. The labels of one stretch of time are
//! one observation, not thousands, hence the clip per block. A shop whose dates follow a schedule, which no lead-time model can
//! tell, is carried by the rates within a few blocks; elsewhere the lead-time model keeps most of the weight.
//!
//! While few labels are known, what the mixture says is drawn towards what the rates say, between their logits: the first wave of late
//! orders is read too high by everybody who has never seen one end.

use wincode::{SchemaRead, SchemaWrite};

use super::covariates::{COVARIATES, Covariates, product};
use super::curve::logistic;
use super::inputs::{Inputs, Keys, LEVELS};

const LEAD_TIME: usize = 0;
const RECALIBRATED: usize = 1;
const REGRESSION: usize = 2;
const RATE: usize = 3;
const FIRST_LEVEL: usize = 4;
const EXPERTS: usize = FIRST_LEVEL + LEVELS;

/// What every expert said about one row, and what was published.
#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Advice {
    /// Not a number where the expert has no opinion: a level that the order does not have.
    experts: [f32; EXPERTS],
    /// The probability that was published.
    pub(super) published: f32,
}

impl Advice {
    pub(super) const NONE: Self = Self { experts: [f32::NAN; EXPERTS], published: f32::NAN };

    /// Whether what was read back is probabilities, or no opinion.
    pub(super) fn is_sound(&self) -> bool {
        let said = self.experts.iter().chain([&self.published]);
        said.into_iter().all(|said| said.is_nan() || (0.0..=1.0).contains(said))
    }

    /// What the lead-time model said.
    pub(super) const fn lead_time(&self) -> f32 {
        self.experts[LEAD_TIME]
    }
}

#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
struct Weight {
    value: f32,
    squares: f32,
}

const NEW_WEIGHT: Weight = Weight { value: 0.0, squares: 1.0 };

impl Weight {
    fn step(&mut self, gradient: f32, rate: f32) {
        self.squares += gradient * gradient;
        self.value += rate * gradient / self.squares.sqrt();
    }

    fn is_sound(self) -> bool {
        self.value.is_finite() && self.squares > 0.0 && self.squares.is_finite()
    }
}

/// A logistic regression learned online (`AdaGrad`); the weights of its keys stand with what else is known of them.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
struct Regression {
    rate: f32,
    logit: Weight,
    weights: Covariates,
    squares: Covariates,
}

impl Regression {
    fn new(rate: f32, logit: f32, intercept: f32) -> Self {
        let mut weights = [0.0; COVARIATES];
        weights[0] = intercept;
        Self { rate, logit: Weight { value: logit, ..NEW_WEIGHT }, weights, squares: [1.0; COVARIATES] }
    }

    /// `keys` is the sum of the weights of the row's keys.
    fn predict(&self, logit: f64, x: &Covariates, keys: f32) -> f64 {
        logistic(f64::from(self.logit.value) * logit + f64::from(product(&self.weights, x) + keys))
    }

    fn learn(&mut self, error: f32, logit: f32, x: &Covariates) {
        if self.logit.value != 0.0 {
            self.logit.step(0.3 * error * logit, 0.3 * self.rate);
        }
        for ((weight, squares), x) in self.weights.iter_mut().zip(&mut self.squares).zip(x) {
            let gradient = error * x;
            *squares += gradient * gradient;
            *weight += self.rate * gradient / squares.sqrt();
        }
    }

    fn is_sound(&self) -> bool {
        self.rate.is_finite()
            && self.logit.is_sound()
            && self.weights.iter().all(|weight| weight.is_finite())
            && self.squares.iter().all(|squares| squares.is_finite() && *squares > 0.0)
    }
}

#[derive(Clone, Copy, Debug, Default, SchemaRead, SchemaWrite)]
struct LateOf {
    late: f32,
    all: f32,
}

impl LateOf {
    /// Counts one. An f32 counts no further than 2^24: long before, both are halved.
    fn count(&mut self, late: f32) {
        if self.all >= 1_000_000.0 {
            (self.late, self.all) = (self.late / 2.0, self.all / 2.0);
        }
        (self.late, self.all) = (self.late + late, self.all + 1.0);
    }
}

/// What labels taught of one key: beside each other, as they are used together.
#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
struct OfKey {
    recalibrated: Weight,
    regression: Weight,
    late: LateOf,
}

impl OfKey {
    const NEW: Self =
        Self { recalibrated: NEW_WEIGHT, regression: NEW_WEIGHT, late: LateOf { late: 0.0, all: 0.0 } };
}

/// The experts and their weights.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Experts {
    recalibrated: Regression,
    regression: Regression,
    all: LateOf,
    by_key: Vec<OfKey>,
    /// Evidence for each, forgotten with a half-life of eight blocks.
    evidence: [f64; EXPERTS],
    /// Gathered in this block: log-likelihoods against what was published, and a product of likelihoods that is still to be taken the
    /// logarithm of: one for many labels.
    gathered: [f64; EXPERTS],
    products: [f64; EXPERTS],
    weights: [f64; EXPERTS],
    blocks: u32,
    block_end: f64,
    /// How many labels were learned.
    pub(super) labels: u64,
    pub(super) late: u64,
}

const FORGET: f64 = 0.917_004_043_204_671_2; // 2^(-1/8)
/// With so many labels the mixture is believed wholly, with none by half. Chosen on five starts of a real shop: of 999 steps of a hundred
/// deliveries, 193 are then more than 0.01 of log-loss above the better of the running rate and a constant, where 272 were without this.
const LABELS_TRUSTED: f64 = 10_000.0;
/// The rates that it is drawn towards start at a tenth, as if so many labels had said so. With 100, the worst stretch of those starts is
/// better by 0.016, but 201 steps are above, and the first hundreds of a shop where half of the orders are late are worse by up to 0.02.
const DRAWN_PRIOR: f64 = 20.0;
/// So many labels make half of the prior.
const LABELS_HALF: f64 = 1_000.0;
/// A product outside is taken the logarithm of: far from where an f64 ends.
const PRODUCTS: std::ops::RangeInclusive<f64> = 1e-200..=1e200;
/// The expert of the running rate knows better after fewer.
const RATE_PRIOR: f64 = 10.0;
const EVIDENCE_RATE: f64 = 0.15;
const EVIDENCE_MAX: f64 = 0.5;

impl Experts {
    pub(super) fn new() -> Self {
        let mut experts = Self {
            recalibrated: Regression::new(0.02, 1.0, 0.0),
            regression: Regression::new(0.1, 0.0, -2.2),
            all: LateOf::default(),
            by_key: Vec::new(),
            evidence: [0.0; EXPERTS],
            gathered: [0.0; EXPERTS],
            products: [1.0; EXPERTS],
            weights: [0.0; EXPERTS],
            blocks: 0,
            block_end: f64::INFINITY,
            labels: 0,
            late: 0,
        };
        experts.weigh();
        experts
    }

    /// Prior weights, moved by the evidence. At first the rates have most of the weight: until labels exist nobody can tell whether
    /// lead times are like those that the model knows (measured on seven starts of a real shop: the worst excess over the running
    /// rate among the first thousands of orders is half of that with a prior of 0.2 that grows by time alone).
    fn weigh(&mut self) {
        let labels = self.labels as f64;
        let known = (1.0 - (-f64::from(self.blocks) / 8.0).exp2()) * labels / (labels + LABELS_HALF);
        let lead_time = 0.1 + 0.8 * known;
        let rest = 1.0 - lead_time;
        let recalibrated = 0.25 * rest * (0.2 + 0.8 * known);
        let part = (rest - recalibrated) / 3.0;
        for (expert, weight) in self.weights.iter_mut().enumerate() {
            let prior = match expert {
                LEAD_TIME => lead_time,
                RECALIBRATED => recalibrated,
                REGRESSION | RATE => part,
                // Level 0 is all orders, which `RATE` stands for.
                FIRST_LEVEL => 0.0,
                _ => part / (LEVELS - 1) as f64,
            };
            *weight = prior * self.evidence[expert].exp();
        }
        let sum: f64 = self.weights.iter().sum();
        self.weights.iter_mut().for_each(|weight| *weight /= sum);
    }

    /// The weight of the lead-time model.
    pub(super) const fn lead_time_weight(&self) -> f64 {
        self.weights[LEAD_TIME]
    }

    /// Asks every expert about a row of which the lead-time model says `lead_time`.
    #[expect(clippy::cast_possible_truncation, reason = "advice is kept as f32")]
    pub(super) fn ask(&self, lead_time: f64, x: &Covariates, keys: &Keys, inputs: &Inputs) -> Advice {
        let logit = logit(lead_time);
        let mut advice = Advice::NONE;
        let rate = (f64::from(self.all.late) + 0.1 * RATE_PRIOR) / (f64::from(self.all.all) + RATE_PRIOR);
        let (mut recalibrated, mut regression) = (0.0, 0.0);
        for key in keys.as_slice() {
            let of = self.by_key.get(*key as usize).unwrap_or(&OfKey::NEW);
            recalibrated += of.recalibrated.value;
            regression += of.regression.value;
            let level = inputs.level_of(*key);
            if level > 0 {
                let own = (f64::from(of.late.late) + 20.0 * rate) / (f64::from(of.late.all) + 20.0);
                advice.experts[FIRST_LEVEL + level] = bounded(own) as f32;
            }
        }
        advice.experts[LEAD_TIME] = lead_time as f32;
        advice.experts[RECALIBRATED] = bounded(self.recalibrated.predict(logit, x, recalibrated)) as f32;
        advice.experts[REGRESSION] = bounded(self.regression.predict(0.0, x, regression)) as f32;
        advice.experts[RATE] = rate as f32;
        // All experts, and the rates among them.
        advice.published = self.drawn(self.mean(&advice, 0), self.mean(&advice, RATE)) as f32;
        advice
    }

    /// What the experts from the place `from` on say together.
    fn mean(&self, advice: &Advice, from: usize) -> f64 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (said, weight) in advice.experts[from..].iter().zip(&self.weights[from..]) {
            // Without a branch: who says nothing weighs nothing.
            let (said, weight) = if said.is_nan() { (0.0, 0.0) } else { (f64::from(*said), *weight) };
            sum += weight * said;
            weights += weight;
        }
        sum / weights
    }

    /// What is to be said now of a row of which the lead-time model would say `fresh` if it began today, while its odds have become `aging`
    /// times as high: the mixture's move as far, as no other expert knows of age. The others' word is that of the row's start.
    #[expect(clippy::cast_possible_truncation, reason = "advice is kept as f32")]
    pub(super) fn aged(&self, advice: &Advice, fresh: f64, aging: f64) -> f64 {
        let mut advice = *advice;
        advice.experts[LEAD_TIME] = fresh as f32;
        let said = bounded(self.mean(&advice, 0));
        said * aging / (said * aging + 1.0 - said)
    }

    /// What the mixture says, drawn towards what the rates say, of all orders and of the row's own levels, while few labels are known.
    fn drawn(&self, mixed: f64, rates: f64) -> f64 {
        let trust = 0.5 * (1.0 + self.labels as f64 / LABELS_TRUSTED);
        if trust >= 1.0 {
            return mixed;
        }
        let labels = self.labels as f64;
        let from = log_odds((rates * labels + 0.1 * DRAWN_PRIOR) / (labels + DRAWN_PRIOR));
        logistic(from + trust * (log_odds(mixed) - from))
    }

    /// Learns what became of a row at `now`, in days; a block is `block` days long.
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    pub(super) fn learn(
        &mut self,
        (now, block): (f64, f64),
        late: bool,
        advice: &Advice,
        (x, keys): (&Covariates, &Keys),
        key_count: usize,
    ) {
        self.end_blocks(now, block);
        let likelihood = |p: f32| f64::from(if late { p } else { 1.0 - p });
        let published = 1.0 / likelihood(advice.published);
        for (place, said) in advice.experts.iter().enumerate().filter(|(_, said)| !said.is_nan()) {
            let product = self.products[place] * (likelihood(*said) * published);
            self.products[place] = product;
            if !PRODUCTS.contains(&product) {
                self.gathered[place] += product.ln();
                self.products[place] = 1.0;
            }
        }
        if self.by_key.len() < key_count {
            self.by_key.resize(key_count, OfKey::NEW);
        }
        let of = |key: &u32| self.by_key[*key as usize];
        let recalibrated = keys.as_slice().iter().map(|key| of(key).recalibrated.value).sum();
        let regression = keys.as_slice().iter().map(|key| of(key).regression.value).sum();
        let one = f32::from(u8::from(late));
        let logit = logit(f64::from(advice.lead_time()));
        let recalibrated = one - self.recalibrated.predict(logit, x, recalibrated) as f32;
        let regression = one - self.regression.predict(0.0, x, regression) as f32;
        self.recalibrated.learn(recalibrated, logit as f32, x);
        self.regression.learn(regression, 0.0, x);
        let rates = (self.recalibrated.rate, self.regression.rate);
        for key in keys.as_slice() {
            let of = &mut self.by_key[*key as usize];
            of.recalibrated.step(recalibrated, rates.0);
            of.regression.step(regression, rates.1);
            of.late.count(one);
        }
        self.all.count(one);
        self.labels += 1;
        self.late += u64::from(late);
    }

    fn end_blocks(&mut self, now: f64, block: f64) {
        if self.block_end == f64::INFINITY {
            self.block_end = now + block;
        }
        let mut ended = 0;
        if now >= self.block_end {
            for (gathered, product) in self.gathered.iter_mut().zip(&mut self.products) {
                *gathered += std::mem::replace(product, 1.0).ln();
            }
        }
        while now >= self.block_end && ended < 64 {
            for (evidence, gathered) in self.evidence.iter_mut().zip(&mut self.gathered) {
                *evidence =
                    *evidence * FORGET + (EVIDENCE_RATE * *gathered).clamp(-EVIDENCE_MAX, EVIDENCE_MAX);
                *gathered = 0.0;
            }
            self.blocks = self.blocks.saturating_add(1);
            self.block_end += block;
            ended += 1;
        }
        if ended > 0 {
            if now >= self.block_end {
                // After a long silence blocks begin anew.
                self.block_end = now + block;
            }
            self.weigh();
        }
    }

    pub(super) fn is_sound(&self, keys: usize) -> bool {
        let late_of = |it: LateOf| it.late.is_finite() && it.all.is_finite();
        let key = |of: &OfKey| of.recalibrated.is_sound() && of.regression.is_sound() && late_of(of.late);
        self.recalibrated.is_sound()
            && self.regression.is_sound()
            && self.by_key.len() <= keys
            && self.by_key.iter().all(key)
            && self.products.iter().all(|product| PRODUCTS.contains(product))
            && self.evidence.iter().chain(&self.gathered).all(|value| value.is_finite())
            && self.weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
            && self.weights[LEAD_TIME] > 0.0
            && !self.block_end.is_nan()
    }
}

fn log_odds(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

fn logit(p: f64) -> f64 {
    log_odds(p).clamp(-5.0, 5.0)
}

fn bounded(p: f64) -> f64 {
    p.clamp(0.001, 0.999)
}

#[cfg(test)]
mod tests {
    use super::super::inputs::Inputs;
    use super::super::profile::Profile;
    use super::*;

    fn asked(experts: &Experts, lead_time: f64) -> f64 {
        let mut inputs = Inputs::new();
        let keys = inputs.keys_of(&Profile::with_room_for(0));
        f64::from(experts.ask(lead_time, &[0.0; COVARIATES], &keys, &inputs).published)
    }

    /// So many labels, a tenth of them late, with the lead-time model right in each.
    fn learned(labels: u32) -> Experts {
        let mut experts = Experts::new();
        let mut inputs = Inputs::new();
        let keys = inputs.keys_of(&Profile::with_room_for(0));
        for number in 0..labels {
            let late = number.is_multiple_of(10);
            let said = if late { 0.9 } else { 0.02 };
            let advice = experts.ask(said, &[0.0; COVARIATES], &keys, &inputs);
            experts.learn((f64::from(number) / 200.0, 5.0), late, &advice, (&[0.0; COVARIATES], &keys), 32);
        }
        experts
    }

    #[test]
    fn without_labels_it_is_published_halfway_between_a_tenth_and_the_mixture() {
        let experts = Experts::new();
        for mixed in [0.01, 0.1, 0.7] {
            let said = experts.drawn(mixed, 0.5);
            let halfway = f64::midpoint(log_odds(0.1), log_odds(mixed));
            assert!((log_odds(said) - halfway).abs() < 1e-9, "{mixed}: {said}");
        }
        // However sure the lead-time model is, its first word is worth little.
        let asked = [0.999, 0.001].map(|lead_time| asked(&experts, lead_time));
        assert!(asked[0] < 0.3 && asked[1] > 0.02, "{asked:?}");
    }

    #[test]
    fn the_more_labels_the_less_it_is_drawn_and_in_the_end_not_at_all() {
        let mut nearest = 0.0;
        for labels in [0, 1_000, 4_000, 9_000] {
            let said = learned(labels).drawn(0.9, 0.1);
            assert!(said > nearest && said < 0.9, "{labels}: {said}");
            nearest = said;
        }
        let experts = learned(10_000);
        assert!((experts.drawn(0.9, 0.1) - 0.9).abs() < 1e-12);
        assert!(asked(&experts, 0.9) > 0.6, "{}", asked(&experts, 0.9));
        assert!(experts.is_sound(32));
    }

    #[test]
    fn with_age_the_odds_of_the_mixture_move_as_those_of_the_lead_time_model() {
        let mut inputs = Inputs::new();
        let keys = inputs.keys_of(&Profile::with_room_for(0));
        for experts in [Experts::new(), learned(20_000)] {
            let advice = experts.ask(0.2, &[0.0; COVARIATES], &keys, &inputs);
            let said = |aging| experts.aged(&advice, 0.2, aging);
            assert!((said(1.0) - experts.mean(&advice, 0)).abs() < 1e-6);
            assert!((log_odds(said(4.5)) - log_odds(said(1.0)) - 4.5_f64.ln()).abs() < 1e-9);
            assert!(said(1e9) > 0.999 && said(1e-9) < 0.001);
            // As far as odds may go.
            assert!(said(1e170) <= 1.0 && said(1e-170) >= 0.0);
        }
    }

    #[test]
    fn evidence_is_the_log_likelihood_against_what_was_published() {
        let mut experts = Experts::new();
        let mut inputs = Inputs::new();
        let keys = inputs.keys_of(&Profile::with_room_for(0));
        let (mut exact, mut published) = (0.0, 0.0);
        for number in 0..3_000_u32 {
            let late = number.is_multiple_of(7);
            let advice = experts.ask(0.01, &[0.0; COVARIATES], &keys, &inputs);
            let of = |said: f32| if late { f64::from(said).ln() } else { (-f64::from(said)).ln_1p() };
            exact += of(advice.lead_time());
            published += of(advice.published);
            experts.learn((0.5, 10.0), late, &advice, (&[0.0; COVARIATES], &keys), 32);
        }
        let gathered = experts.gathered[LEAD_TIME] + experts.products[LEAD_TIME].ln();
        let exact: f64 = exact - published;
        assert!((gathered / exact - 1.0).abs() < 1e-4, "{gathered} {exact}");
    }
}

//! The mixture: prediction with expert advice (exponential weights, forgetting, with clipped evidence) over the lead-time model and
//! experts that learn from labels alone.
//!
//! Experts: the lead-time model; it, recalibrated by a logistic regression on its logit and all inputs; a logistic regression on the
//! inputs alone; the running rate of all orders; and the running rate of each level's key. The labels of one stretch of time are
//! one observation, not thousands, hence the clip per block. A shop whose dates follow a schedule, which no lead-time model can
//! tell, is carried by the rates within a few blocks; elsewhere the lead-time model keeps most of the weight.

use wincode::{SchemaRead, SchemaWrite};

use super::covariates::{COVARIATES, Covariates};
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

/// A logistic regression learned online (`AdaGrad`).
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
struct Regression {
    rate: f64,
    logit: Weight,
    covariates: [Weight; COVARIATES],
    keys: Vec<Weight>,
}

impl Regression {
    fn new(rate: f64, logit: f32, intercept: f32) -> Self {
        let mut covariates = [NEW_WEIGHT; COVARIATES];
        covariates[0].value = intercept;
        Self { rate, logit: Weight { value: logit, ..NEW_WEIGHT }, covariates, keys: Vec::new() }
    }

    fn predict(&self, logit: f64, x: &Covariates, keys: &Keys) -> f64 {
        let covariates: f32 = self.covariates.iter().zip(x).map(|(weight, x)| weight.value * x).sum();
        let keys: f32 = keys
            .as_slice()
            .iter()
            .filter_map(|key| self.keys.get(*key as usize))
            .map(|weight| weight.value)
            .sum();
        logistic(f64::from(self.logit.value) * logit + f64::from(covariates) + f64::from(keys))
    }

    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    fn learn(&mut self, error: f64, logit: f64, x: &Covariates, keys: &Keys, key_count: usize) {
        let step = |weight: &mut Weight, gradient: f64, rate: f64| {
            let squares = f64::from(weight.squares) + gradient * gradient;
            weight.squares = squares as f32;
            weight.value += (rate * gradient / squares.sqrt()) as f32;
        };
        if self.logit.value != 0.0 {
            step(&mut self.logit, 0.3 * error * logit, 0.3 * self.rate);
        }
        for (weight, x) in self.covariates.iter_mut().zip(x).filter(|(_, x)| **x != 0.0) {
            step(weight, error * f64::from(*x), self.rate);
        }
        if self.keys.len() < key_count {
            self.keys.resize(key_count, NEW_WEIGHT);
        }
        for key in keys.as_slice() {
            step(&mut self.keys[*key as usize], error, self.rate);
        }
    }

    fn is_sound(&self, keys: usize) -> bool {
        let sound =
            |weight: &Weight| weight.value.is_finite() && weight.squares > 0.0 && weight.squares.is_finite();
        self.rate.is_finite()
            && sound(&self.logit)
            && self.covariates.iter().all(sound)
            && self.keys.len() <= keys
            && self.keys.iter().all(sound)
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

/// The experts and their weights.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Experts {
    recalibrated: Regression,
    regression: Regression,
    all: LateOf,
    keys: Vec<LateOf>,
    /// Evidence for each, forgotten with a half-life of eight blocks.
    evidence: [f64; EXPERTS],
    /// Gathered in this block.
    gathered: [f64; EXPERTS],
    weights: [f64; EXPERTS],
    blocks: u32,
    block_end: f64,
    /// How many labels were learned.
    pub(super) labels: u64,
    pub(super) late: u64,
}

const FORGET: f64 = 0.917_004_043_204_671_2; // 2^(-1/8)
/// So many labels make half of the prior.
const LABELS_HALF: f64 = 1_000.0;
const EVIDENCE_RATE: f64 = 0.15;
const EVIDENCE_MAX: f64 = 0.5;

impl Experts {
    pub(super) fn new() -> Self {
        let mut experts = Self {
            recalibrated: Regression::new(0.02, 1.0, 0.0),
            regression: Regression::new(0.1, 0.0, -2.2),
            all: LateOf::default(),
            keys: Vec::new(),
            evidence: [0.0; EXPERTS],
            gathered: [0.0; EXPERTS],
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

    fn rate(&self) -> f64 {
        f64::from(self.all.late + 1.0) / f64::from(self.all.all + 10.0)
    }

    /// Asks every expert about a row of which the lead-time model says `lead_time`.
    #[expect(clippy::cast_possible_truncation, reason = "advice is kept as f32")]
    pub(super) fn ask(&self, lead_time: f64, x: &Covariates, keys: &Keys, inputs: &Inputs) -> Advice {
        let logit = logit(lead_time);
        let mut advice = Advice::NONE;
        let rate = self.rate();
        advice.experts[LEAD_TIME] = lead_time as f32;
        advice.experts[RECALIBRATED] = bounded(self.recalibrated.predict(logit, x, keys)) as f32;
        advice.experts[REGRESSION] = bounded(self.regression.predict(0.0, x, keys)) as f32;
        advice.experts[RATE] = rate as f32;
        for key in keys.as_slice() {
            let level = inputs.level_of(*key);
            if level > 0 {
                let of = self.keys.get(*key as usize).copied().unwrap_or_default();
                let own = (f64::from(of.late) + 20.0 * rate) / (f64::from(of.all) + 20.0);
                advice.experts[FIRST_LEVEL + level] = bounded(own) as f32;
            }
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for (said, weight) in advice.experts.iter().zip(&self.weights).filter(|(said, _)| !said.is_nan()) {
            sum += weight * f64::from(*said);
            weights += weight;
        }
        advice.published = (sum / weights) as f32;
        advice
    }

    /// Learns what became of a row at `now`, in days; a block is `block` days long.
    pub(super) fn learn(
        &mut self,
        (now, block): (f64, f64),
        late: bool,
        advice: &Advice,
        (x, keys): (&Covariates, &Keys),
        key_count: usize,
    ) {
        self.end_blocks(now, block);
        let likelihood = |p: f32| if late { f64::from(p).ln() } else { (-f64::from(p)).ln_1p() };
        let published = likelihood(advice.published);
        for (gathered, said) in self.gathered.iter_mut().zip(advice.experts) {
            if !said.is_nan() {
                *gathered += likelihood(said) - published;
            }
        }
        let outcome = f64::from(u8::from(late));
        let logit = logit(f64::from(advice.lead_time()));
        let error = outcome - self.recalibrated.predict(logit, x, keys);
        self.recalibrated.learn(error, logit, x, keys, key_count);
        let error = outcome - self.regression.predict(0.0, x, keys);
        self.regression.learn(error, 0.0, x, keys, key_count);
        if self.keys.len() < key_count {
            self.keys.resize(key_count, LateOf::default());
        }
        let one = f32::from(u8::from(late));
        for key in keys.as_slice() {
            let of = &mut self.keys[*key as usize];
            of.count(one);
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
        self.recalibrated.is_sound(keys)
            && self.regression.is_sound(keys)
            && self.keys.len() <= keys
            && self.keys.iter().all(|of| of.late.is_finite() && of.all.is_finite())
            && self.evidence.iter().chain(&self.gathered).chain(&self.weights).all(|value| value.is_finite())
            && !self.block_end.is_nan()
    }
}

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln().clamp(-5.0, 5.0)
}

fn bounded(p: f64) -> f64 {
    p.clamp(0.001, 0.999)
}

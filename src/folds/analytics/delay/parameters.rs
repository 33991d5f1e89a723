//! The parameters of the accelerated failure time model: one weight a covariate, one value a key, learned by gradient steps.
//!
//! Covariates learn by `AdaGrad`, whose step sizes are computed anew every [`STRIDES_KEPT`] steps: in so few the sums that they come from
//! hardly grow, and a root and a division for each covariate are saved. Keys learn by a step of their own size, which shrinks as their
//! information grows and grows again as it is forgotten; the more keys a level has, the slower it forgets.

use wincode::{SchemaRead, SchemaWrite};

use super::covariates::{COVARIATES, Covariates, product};
use super::inputs::{Inputs, Keys, LEVELS};
use super::profile::ALL;

/// How many steps are taken with the same step sizes.
const STRIDES_KEPT: u8 = 16;

/// What a key adds to a location, and what is known of it: beside each other, as they are used together.
#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
struct Known {
    value: f32,
    information: f32,
}

/// How a level learns: step, information at which it is halved, and how fast information and value are forgotten.
#[derive(Clone, Copy, Debug)]
struct LevelRates {
    step: f32,
    kappa: f32,
    half_life_days: f64,
    mean_life_days: f64,
}

/// How fast all orders' own level learns: it follows what moves everybody.
#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
pub(super) struct AllRates {
    pub(super) step: f32,
    pub(super) kappa: f32,
}

/// The parameters, and the sums that steps are sized by.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Parameters {
    rate: f32,
    all: AllRates,
    weights: Covariates,
    squares: Covariates,
    /// The step sizes: the rate over the roots of `squares`, as of a few steps ago.
    strides: Covariates,
    /// Steps until `strides` are computed anew.
    strides_left: u8,
    by_key: Vec<Known>,
    /// By level, as of the last tick.
    steps: [f32; LEVELS],
    kappas: [f32; LEVELS],
}

impl Parameters {
    pub(super) fn new(rate: f32, all: AllRates, intercept: f32) -> Self {
        let mut weights = [0.0; COVARIATES];
        weights[0] = intercept;
        let mut parameters = Self {
            rate,
            all,
            weights,
            squares: [0.5; COVARIATES],
            strides: [0.0; COVARIATES],
            strides_left: 0,
            by_key: Vec::new(),
            steps: [0.7; LEVELS],
            kappas: [30.0; LEVELS],
        };
        (parameters.steps[ALL], parameters.kappas[ALL]) = (all.step, all.kappa);
        parameters
    }

    /// Makes room for keys seen since.
    pub(super) fn fit(&mut self, keys: usize) {
        if self.by_key.len() < keys {
            self.by_key.resize(keys, Known { value: 0.0, information: 0.0 });
        }
    }

    /// How many keys there is room for.
    pub(super) fn keys(&self) -> usize {
        self.by_key.len()
    }

    /// The location: what is expected of a row's log lead time.
    pub(super) fn location(&self, x: &Covariates, keys: &Keys) -> f64 {
        let keys: f32 = keys.as_slice().iter().map(|key| self.by_key[*key as usize].value).sum();
        f64::from(product(&self.weights, x) + keys)
    }

    /// A step along a gradient of the log-likelihood, `curvature` being the information in it.
    pub(super) fn step(&mut self, x: &Covariates, keys: &Keys, levels: &[u8], gradient: f32, curvature: f32) {
        if self.strides_left == 0 {
            self.strides_left = STRIDES_KEPT;
            for (stride, squares) in self.strides.iter_mut().zip(&self.squares) {
                *stride = self.rate / squares.sqrt();
            }
        }
        self.strides_left -= 1;
        let learned = self.weights.iter_mut().zip(&mut self.squares).zip(&self.strides);
        for (((weight, squares), stride), x) in learned.zip(x) {
            let along = gradient * x;
            *squares += along * along;
            *weight += stride * along;
        }
        for key in keys.as_slice().iter().map(|key| *key as usize) {
            let level = usize::from(levels[key]);
            let known = &mut self.by_key[key];
            known.information += curvature;
            known.value += self.steps[level] * gradient / (known.information + self.kappas[level]);
        }
    }

    /// Moves every location.
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    pub(super) fn shift(&mut self, by: f64) {
        self.weights[0] += by as f32;
    }

    /// Forgets what `days` make it forget at a typical lead time of `typical` days, and sizes the steps by how many keys levels have.
    #[expect(clippy::cast_possible_truncation, reason = "factors are f32")]
    pub(super) fn tick(&mut self, days: f64, typical: f64, inputs: &Inputs) {
        self.fit(inputs.keys());
        let stretch = (typical / 10.0).sqrt();
        let share = (16.0 / inputs.active_levels().max(1) as f32).sqrt().min(1.0);
        let mut keep_information = [0.0_f32; LEVELS];
        let mut keep_value = [0.0_f32; LEVELS];
        for level in 0..LEVELS {
            let rates = self.rates(level, inputs.distinct(level), share);
            (self.steps[level], self.kappas[level]) = (rates.step, rates.kappa);
            keep_information[level] = (-days / (rates.half_life_days * stretch)).exp2() as f32;
            keep_value[level] = (-days / (rates.mean_life_days * stretch)).exp() as f32;
        }
        for (known, level) in self.by_key.iter_mut().zip(inputs.levels_of()) {
            known.value *= keep_value[usize::from(*level)];
            known.information *= keep_information[usize::from(*level)];
        }
    }

    fn rates(&self, level: usize, keys: u32, share: f32) -> LevelRates {
        let rates = |step: f32, kappa, half_life_days, mean_life_days| LevelRates {
            step: step * share,
            kappa,
            half_life_days,
            mean_life_days,
        };
        match keys {
            _ if level == ALL => LevelRates {
                step: self.all.step,
                kappa: self.all.kappa,
                half_life_days: 2.0,
                mean_life_days: f64::INFINITY,
            },
            0..=64 => rates(0.7, 30.0, 60.0, 2_500.0),
            65..=700 => rates(0.9, 40.0, 30.0, 1_200.0),
            _ => rates(1.3, 30.0, 100.0, 1_000.0),
        }
    }

    /// What covariates and keys add to a row's location: each with its place or key.
    pub(super) fn parts<'a>(
        &'a self,
        x: &'a Covariates,
        keys: &'a Keys,
    ) -> (impl Iterator<Item = (usize, f32)> + 'a, impl Iterator<Item = (u32, f32)> + 'a) {
        let covariates = self.weights.iter().zip(x).map(|(weight, x)| weight * x).enumerate();
        let keys = keys.as_slice().iter().map(|key| (*key, self.by_key[*key as usize].value));
        (covariates, keys)
    }

    pub(super) fn is_sound(&self, keys: usize) -> bool {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        finite(&self.weights)
            && finite(&self.steps)
            && self.squares.iter().chain(&self.kappas).all(|value| value.is_finite() && *value > 0.0)
            && finite(&self.strides)
            && self.by_key.len() <= keys
            && self
                .by_key
                .iter()
                .all(|it| it.value.is_finite() && it.information.is_finite() && it.information >= 0.0)
            && self.rate.is_finite()
            && self.all.step.is_finite()
            && self.all.kappa > 0.0
    }
}

//! The lead-time model of one moment (paid, or shipped): how long an order takes from there until it arrives.
//!
//! An accelerated failure time model with a log-logistic likelihood, censored: at each tick every open order says "I take longer than
//! this", which teaches before any label is known. What is learned of the location is read through the residual curve: the
//! probability of being late is the share of residuals beyond the promise. In its first weeks thousands of orders are open before
//! the deliveries exist that would speak against them, hence the ramp: the first rows' censored steps are small.
//!
//! All lengths are multiples of the typical lead time T ([`Scale`]). Rows are bounded: above the cap a sample of orders by their
//! hash teaches ([`LeadTime::teaches`]), and half of the rows give way each time it is reached.

mod asking;

use std::collections::BinaryHeap;

use wincode::{SchemaRead, SchemaWrite};

use super::constants::Constants;
use super::covariates::{Covariates, Moment, Scales};
use super::curve::{CarrierCurve, Curve, Survival, bin, logistic};
use super::experts::{Advice, Experts};
use super::inputs::{Inputs, Keys};
use super::parameters::Parameters;
use super::profile::Profile;
use super::scale::Scale;
use super::score::{Label, QUANTILES, Score};

/// Days in a millisecond.
pub(super) const DAY_MS: f64 = 86_400_000.0;
const AGE_MIN: f64 = 0.005;
const RAMP: f64 = 6.0;
const CARRIERS_MAX: usize = 32;
/// No row is open longer than so many typical lead times, whatever was promised.
const AGE_MAX: f64 = 40.0;
/// Nothing is surer to be late.
const LATE_MAX: f64 = 0.999;
/// A late order is waited for so many times as long as was promised, or as is typical: where promises are short, most late ones
/// arrive long after them, and without those the label-based experts would learn from who is on time alone.
const WAITED_FOR: f64 = 4.0;
/// The horizon of a row without a promise, in typical lead times.
const HORIZON_WITHOUT_PROMISE: f64 = 4.0;
/// The most ticks run one by one; what was missed before them is one.
const TICKS_MAX: f64 = 64.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
enum Stage {
    Free,
    Open,
    /// So late that it teaches no more; when it arrives, it is late.
    Overdue,
    /// Arrived; what it teaches the experts is known at its promise.
    Arrived {
        late: bool,
    },
}

/// One order that is followed.
#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
struct Row {
    order: u64,
    stage: Stage,
    carrier: u8,
    bin: u8,
    start: f64,
    deadline: Option<f64>,
    open_end: f64,
    accept_end: f64,
    close: f64,
    first_location: f64,
    risen: f32,
    spread: f32,
    told: f32,
    ramp: f32,
    cohort: u32,
    x: Covariates,
    keys: Keys,
}

/// An order at the moment from which its lead time counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning<'a> {
    pub(super) order: u64,
    pub(super) profile: &'a Profile,
    pub(super) moment: Moment,
    /// Where the promise's length counts from: the approval, or the purchase.
    pub(super) promised_from: f64,
}

/// The model.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct LeadTime {
    constants: Constants,
    pub(super) scale: Scale,
    scales: Scales,
    parameters: Parameters,
    curve: Curve,
    quantile_curve: Curve,
    carriers: Vec<(u32, CarrierCurve)>,
    pub(super) experts: Experts,
    mixture: bool,
    rows_max: usize,
    rows: Vec<Row>,
    /// What was said of each row; apart, as ticks walk over the rows and have no use for it.
    advice: Vec<Advice>,
    free: Vec<u32>,
    /// Released since the last tick: free once they are no longer among the open ones.
    released: Vec<u32>,
    /// Open rows in the order in which they started.
    open: Vec<u32>,
    /// Rows that are overdue, and those that were until they arrived since the last tick.
    overdue: Vec<u32>,
    /// Arrived rows by when their label is known, in microseconds and negated, so that the first comes first.
    labels: BinaryHeap<(i64, u32)>,
    /// Only hashes with so many zeros at their end teach.
    thinning: u32,
    first_start: Option<f64>,
    last_tick: Option<f64>,
    /// How many arrivals were learned.
    pub(super) arrivals: u64,
}

impl LeadTime {
    pub(super) fn new(
        constants: Constants,
        typical_days: Option<f64>,
        rows_max: usize,
        mixture: bool,
    ) -> Self {
        let curve = Curve::new(18.0);
        Self {
            constants,
            scale: Scale::new(typical_days, constants.share_of_promise),
            scales: Scales::new(),
            parameters: Parameters::new(constants.rate, constants.all, constants.intercept),
            curve,
            quantile_curve: Curve::new(7.0),
            carriers: Vec::new(),
            experts: Experts::new(),
            mixture,
            rows_max: rows_max.max(64),
            rows: Vec::new(),
            advice: Vec::new(),
            free: Vec::new(),
            released: Vec::new(),
            open: Vec::new(),
            overdue: Vec::new(),
            labels: BinaryHeap::new(),
            thinning: 0,
            first_start: None,
            last_tick: None,
            arrivals: 0,
        }
    }

    /// How long until the next tick: a tenth of T, a day at most.
    fn tick_days(&self) -> f64 {
        (self.scale.days() / 10.0).min(1.0)
    }

    /// Whether an order is in the sample that teaches.
    fn teaches(&self, order: u64) -> bool {
        order.trailing_zeros() >= self.thinning
    }

    /// How many rows there are, open or waiting for their label.
    pub(super) fn rows(&self) -> usize {
        self.rows.len() - self.free.len() - self.released.len()
    }

    /// Moves on to `now`, in days: runs the ticks missed, then learns the labels known by then and tells each.
    pub(super) fn advance(&mut self, now: f64, inputs: &mut Inputs, mut known: impl FnMut(Label)) {
        let last = self.last_tick.unwrap_or_else(|| first_tick(now, self.tick_days()));
        self.last_tick = Some(last);
        let missed = (now - last) / self.tick_days();
        if missed > TICKS_MAX {
            self.tick(now - TICKS_MAX * self.tick_days(), inputs);
        }
        while let Some(last) = self.last_tick {
            let next = last + self.tick_days();
            if next > now {
                break;
            }
            self.tick(next, inputs);
        }
        #[expect(clippy::cast_possible_truncation, reason = "microseconds until the year 9998 fit")]
        let now_us = (now * DAY_MS * 1_000.0) as i64;
        while let Some((at, place)) = self.labels.peek().copied().filter(|(at, _)| -at <= now_us) {
            self.labels.pop();
            if let Some(label) = self.label(-at as f64 / 1_000.0 / DAY_MS, place, inputs) {
                known(label);
            }
        }
    }

    fn label(&mut self, at: f64, place: u32, inputs: &Inputs) -> Option<Label> {
        let (row, advice) = (&self.rows[place as usize], &self.advice[place as usize]);
        let Stage::Arrived { late } = row.stage else { return None };
        let block = self.scale.days() / 2.0;
        self.experts.learn((at, block), late, advice, (&row.x, &row.keys), inputs.keys());
        let published = f64::from(advice.published);
        self.release(place);
        Some(Label { published, late })
    }

    fn release(&mut self, place: u32) {
        self.rows[place as usize].stage = Stage::Free;
        self.released.push(place);
    }

    fn tick(&mut self, now: f64, inputs: &mut Inputs) {
        let days = self.last_tick.map_or(0.0, |last| now - last);
        self.last_tick = Some(now);
        inputs.choose_pairs();
        self.parameters.tick(days, self.scale.days(), inputs);
        self.curve.tick(days);
        self.quantile_curve.tick(days);
        for (_, curve) in &mut self.carriers {
            curve.tick(&self.curve, days);
        }
        let open = std::mem::take(&mut self.open);
        self.open = open.into_iter().filter(|place| self.look_at(*place, now, inputs.levels_of())).collect();
        let overdue = std::mem::take(&mut self.overdue);
        self.overdue = overdue.into_iter().filter(|place| self.is_waited_for(*place, now)).collect();
        self.free.append(&mut self.released);
    }

    /// What an open row teaches at a tick; false where it is no longer open.
    #[expect(clippy::cast_possible_truncation, reason = "what a row keeps is f32")]
    fn look_at(&mut self, place: u32, now: f64, levels: &[u8]) -> bool {
        let typical = self.scale.days();
        let row = &mut self.rows[place as usize];
        if row.stage != Stage::Open {
            return false;
        }
        if now > row.close && row.deadline.is_some() {
            row.stage = Stage::Overdue;
            self.overdue.push(place);
            return false;
        }
        if now > row.close.min(row.start + AGE_MAX * typical) {
            self.release(place);
            return false;
        }
        let age = now - row.start;
        if age <= 0.0 || now > row.open_end {
            return true;
        }
        let logged = ((age / typical).max(AGE_MIN) + self.constants.offset).ln();
        let (from, to) = (usize::from(row.bin), bin(logged - row.first_location));
        if to > from {
            self.curve.pass(from, to);
            self.quantile_curve.pass(from, to);
            if let Some((_, curve)) = self.carriers.get_mut(usize::from(row.carrier)) {
                curve.pass(from, to);
            }
            row.bin = u8::try_from(to).unwrap_or(u8::MAX);
        }
        let sigma = self.constants.sigma;
        let risen = logistic((logged - self.parameters.location(&row.x, &row.keys)) / sigma);
        let before = f64::from(row.risen);
        if risen > before {
            let weight = self.constants.open * f64::from(row.ramp);
            let spread = risen * (1.0 - risen);
            let gradient = weight * (risen - before) / sigma;
            let curvature = (spread - f64::from(row.spread)).max(0.0) / (sigma * sigma);
            row.told += (weight * (risen - before)) as f32;
            (row.risen, row.spread) = (risen as f32, spread as f32);
            self.parameters.step(&row.x, &row.keys, levels, gradient as f32, curvature as f32);
        }
        true
    }

    /// Whether an overdue row is still waited for.
    fn is_waited_for(&mut self, place: u32, now: f64) -> bool {
        let row = &self.rows[place as usize];
        let horizon = row.deadline.map_or(0.0, |deadline| row.close - deadline) / self.constants.silent_close;
        let waits = now <= row.close + WAITED_FOR * horizon.max(self.scale.days());
        let is_overdue = row.stage == Stage::Overdue;
        if is_overdue && !waits {
            self.release(place);
        }
        is_overdue && waits
    }

    /// Scores an order at the moment that this model is about, and follows it. None where it is outside the sample that teaches.
    pub(super) fn start(&mut self, beginning: &Beginning<'_>, inputs: &mut Inputs) -> (Score, Option<u32>) {
        let at = beginning.moment.at;
        let horizon = beginning.moment.deadline.map(|deadline| (deadline - beginning.promised_from).max(0.0));
        self.scale.guess(horizon);
        let first = *self.first_start.get_or_insert(at);
        let x = self.scales.take(beginning.profile, &beginning.moment, self.scale.first_days());
        let keys = inputs.keys_of(beginning.profile);
        self.parameters.fit(inputs.keys());
        let carrier = self.carrier(inputs.carrier(beginning.profile));
        let location = self.parameters.location(&x, &keys);
        let score = self.score(location, carrier, &beginning.moment);
        let (score, advice) = self.advised(score, &beginning.moment, (&x, &keys), inputs);
        if !self.teaches(beginning.order) {
            return (score, None);
        }
        let typical = self.scale.days();
        let (deadline, horizon) = match (beginning.moment.deadline, horizon) {
            (Some(deadline), Some(horizon)) => (deadline, horizon),
            _ => (at + HORIZON_WITHOUT_PROMISE * typical, HORIZON_WITHOUT_PROMISE * typical),
        };
        let row = Row {
            order: beginning.order,
            stage: Stage::Open,
            carrier,
            bin: u8::try_from(bin(self.constants.offset.ln() - location)).unwrap_or(u8::MAX),
            start: at,
            deadline: beginning.moment.deadline,
            open_end: deadline + self.constants.open_end * horizon,
            accept_end: deadline + self.constants.accept_end * horizon,
            close: deadline + self.constants.silent_close * horizon,
            first_location: location,
            risen: 0.0,
            spread: 0.0,
            told: 0.0,
            #[expect(clippy::cast_possible_truncation, reason = "a share")]
            ramp: -((first - at) / (RAMP * typical)).min(0.0).exp_m1() as f32,
            cohort: self.scale.start(),
            x,
            keys,
        };
        (score, Some(self.keep(&row, &advice)))
    }

    /// Scores an order as if it began at this moment, and learns nothing from it.
    pub(super) fn glance(&self, beginning: &Beginning<'_>, inputs: &mut Inputs) -> Score {
        let x = self.scales.read(beginning.profile, &beginning.moment, self.scale.first_days());
        let keys = inputs.known_keys_of(beginning.profile, self.parameters.keys());
        let carrier = inputs.carrier(beginning.profile);
        let carrier = carrier.and_then(|key| self.carriers.iter().position(|(own, _)| *own == key));
        let carrier = carrier.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX);
        let score = self.score(self.parameters.location(&x, &keys), carrier, &beginning.moment);
        self.advised(score, &beginning.moment, (&x, &keys), inputs).0
    }

    fn keep(&mut self, row: &Row, advice: &Advice) -> u32 {
        let place = if let Some(place) = self.free.pop() {
            self.rows[place as usize] = *row;
            self.advice[place as usize] = *advice;
            place
        } else {
            self.rows.push(*row);
            self.advice.push(*advice);
            u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
        };
        self.open.push(place);
        if self.rows() >= self.rows_max {
            self.thin();
        }
        place
    }

    /// Half of the orders, by their hash, stop teaching.
    fn thin(&mut self) {
        self.thinning += 1;
        let open = std::mem::take(&mut self.open);
        for place in open {
            if self.teaches(self.rows[place as usize].order) {
                self.open.push(place);
            } else if self.rows[place as usize].stage == Stage::Open {
                self.release(place);
            }
        }
        self.open.retain(|place| self.rows[*place as usize].stage == Stage::Open);
        for place in std::mem::take(&mut self.overdue) {
            if self.rows[place as usize].stage != Stage::Overdue {
                continue;
            }
            if self.teaches(self.rows[place as usize].order) {
                self.overdue.push(place);
            } else {
                self.release(place);
            }
        }
        self.free.append(&mut self.released);
    }

    /// The place of a carrier's own curve; 255 where it has none.
    fn carrier(&mut self, key: Option<u32>) -> u8 {
        let Some(key) = key else { return u8::MAX };
        let place = self.carriers.iter().position(|(own, _)| *own == key).or_else(|| {
            (self.carriers.len() < CARRIERS_MAX).then(|| {
                self.carriers.push((key, CarrierCurve::new(&self.curve)));
                self.carriers.len() - 1
            })
        });
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
    }

    fn survival(&self, carrier: u8) -> &Survival {
        self.carriers.get(usize::from(carrier)).map_or(&self.curve.survival, |(_, own)| &own.survival)
    }

    /// What the model says of an order whose location is known, at its start.
    fn score(&self, location: f64, carrier: u8, moment: &Moment) -> Score {
        let typical = self.scale.days();
        let survival = self.survival(carrier);
        let late = moment.deadline.map(|deadline| {
            let until = ((deadline - moment.at) / typical).max(0.002) + self.constants.offset;
            let lasts =
                survival.at(until.ln() - location) - survival.before(self.constants.offset.ln() - location);
            (-lasts).exp().clamp(1e-4, LATE_MAX)
        });
        Score { late, late_by_lead_time: late, days: self.lasts(location, 0.0) }
    }

    /// Days from its start until an order of this location has arrived, by [`QUANTILES`], given that it has not at this age, in days.
    fn lasts(&self, location: f64, age: f64) -> [f64; 5] {
        let typical = self.scale.days();
        let curve = &self.quantile_curve.survival;
        let before = curve.before((age / typical + self.constants.offset).ln() - location);
        QUANTILES.map(|quantile| {
            let residual = curve.residual_at(before - (-quantile).ln_1p());
            (typical * ((residual + location).exp() - self.constants.offset)).max(age)
        })
    }

    /// What is published in place of what the lead-time model says, and what each expert said.
    #[expect(clippy::cast_possible_truncation, reason = "advice is kept as f32")]
    fn advised(
        &self,
        score: Score,
        moment: &Moment,
        (x, keys): (&Covariates, &Keys),
        inputs: &Inputs,
    ) -> (Score, Advice) {
        let Some(lead_time) = score.late_by_lead_time else { return (score, Advice::NONE) };
        let mut advice = self.experts.ask(lead_time, x, keys, inputs);
        // A promise that has passed is broken, whatever anybody expects.
        if moment.deadline.is_some_and(|deadline| deadline <= moment.at) {
            advice.published = LATE_MAX as f32;
        } else if !self.mixture {
            return (score, advice);
        }
        (Score { late: Some(f64::from(advice.published)), ..score }, advice)
    }

    /// The row at `place`, if it is still this order's and open.
    fn row(&self, place: u32, order: u64) -> Option<&Row> {
        self.rows.get(place as usize).filter(|row| row.order == order && row.stage == Stage::Open)
    }

    /// The order arrived.
    #[expect(clippy::cast_possible_truncation, reason = "steps are f32")]
    pub(super) fn arrive(&mut self, place: u32, order: u64, now: f64, inputs: &Inputs) {
        if self.is_overdue(place, order) {
            return self.known(place, true, now);
        }
        if self.row(place, order).is_none() {
            return;
        }
        let typical = self.scale.days();
        let row = self.rows[place as usize];
        let age = now - row.start;
        let logged = ((age / typical).max(AGE_MIN) + self.constants.offset).ln();
        if now < row.accept_end {
            let (from, to) = (usize::from(row.bin), bin(logged - row.first_location));
            for curve in [&mut self.curve, &mut self.quantile_curve] {
                curve.pass(from.min(to + 1), to + 1);
                curve.end(to);
            }
            if let Some((_, curve)) = self.carriers.get_mut(usize::from(row.carrier)) {
                curve.pass(from.min(to + 1), to + 1);
                curve.end(to);
            }
        }
        let (sigma, weight) = (self.constants.sigma, self.constants.ended);
        let risen = logistic((logged - self.parameters.location(&row.x, &row.keys)) / sigma);
        let gradient = weight * (2.0 * risen - 1.0 - f64::from(row.told)) / sigma;
        let curvature = (2.0 * risen * (1.0 - risen)).max(0.05) / (sigma * sigma);
        self.parameters.step(&row.x, &row.keys, inputs.levels_of(), gradient as f32, curvature as f32);
        self.arrivals += 1;
        if self.scale.arrived(row.cohort, age.max(0.0)) {
            let offset = self.constants.offset;
            let shift = (1.0 + offset).ln() - (self.scale.days() / typical + offset).ln();
            self.parameters.shift(shift);
            for open in &self.open {
                self.rows[*open as usize].first_location += shift;
            }
        }
        match row.deadline {
            Some(deadline) => self.known(place, now >= deadline, deadline.max(now)),
            None => self.release(place),
        }
    }

    /// Whether an order was late will be known then.
    #[expect(clippy::cast_possible_truncation, reason = "microseconds until the year 9998 fit")]
    fn known(&mut self, place: u32, late: bool, at: f64) {
        self.rows[place as usize].stage = Stage::Arrived { late };
        self.labels.push((-((at * DAY_MS * 1_000.0) as i64), place));
    }

    fn is_overdue(&self, place: u32, order: u64) -> bool {
        self.rows.get(place as usize).is_some_and(|row| row.order == order && row.stage == Stage::Overdue)
    }

    /// The order ended otherwise, or what is known of it is of no use.
    pub(super) fn abandon(&mut self, place: u32, order: u64) {
        if self.row(place, order).is_some() || self.is_overdue(place, order) {
            self.release(place);
        }
    }

    /// Makes room for keys seen since.
    pub(super) fn fit(&mut self, keys: usize) {
        self.parameters.fit(keys);
    }

    pub(super) fn is_sound(&self, keys: usize) -> bool {
        let rows = self.rows.len();
        let placed = |place: &u32| (*place as usize) < rows;
        let row = |row: &Row| {
            usize::from(row.bin) < super::curve::BINS
                && row.keys.as_slice().iter().all(|key| (*key as usize) < keys)
                && row.x.iter().all(|value| value.is_finite())
                && row.start.is_finite()
                && row.first_location.is_finite()
                && row.deadline.is_none_or(f64::is_finite)
        };
        self.scale.is_sound()
            && self.scales.is_sound()
            && self.parameters.is_sound(keys)
            && self.curve.is_sound()
            && self.quantile_curve.is_sound()
            && self.carriers.len() <= CARRIERS_MAX
            && self.carriers.iter().all(|(_, curve)| curve.is_sound())
            && self.experts.is_sound(keys)
            && rows <= self.rows_max
            && rows == self.advice.len()
            && self.advice.iter().all(Advice::is_sound)
            && self.free.iter().chain(&self.open).chain(&self.overdue).chain(&self.released).all(placed)
            && self.labels.iter().all(|(_, place)| placed(place))
            && self.rows.iter().all(row)
    }
}

/// What adds to a row's location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A covariate, by its place.
    Covariate(usize),
    /// A key.
    Key(u32),
}

/// The tick before the first: ticks of a day fall on 03:00 UTC, when few orders move.
fn first_tick(now: f64, tick: f64) -> f64 {
    let three = now.floor() + 0.125;
    if tick < 0.5 || three > now { now - tick } else { three }
}

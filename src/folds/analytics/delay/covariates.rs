//! Covariates: numbers as the model sees them, each on a scale that it has learned from the stream.
//!
//! Times of day and weekdays are those of UTC, whatever the shop's: the model learns what each hour means.

use wincode::{SchemaRead, SchemaWrite};

use super::profile::{NUMBERS, Profile};

/// The place of each covariate. The last few stay empty, so that the array has a good width.
pub(super) const COVARIATES: usize = 40;
const LANES: usize = 8;
const ONE: usize = 0;
const WEEKDAY: usize = 1;
const TIME_OF_DAY: usize = 7;
const FOUR_HOURS: usize = 8;
const PROMISE: usize = 13;
const SHIP_BY: usize = 14;
const SHIP_BY_PASSED: usize = 15;
const BACKLOG: usize = 16;
const SINCE_PAID: usize = 17;
const SHIP_BY_SLACK: usize = 18;
const FIRST_NUMBER: usize = 19;

/// One row's covariates.
pub(super) type Covariates = [f32; COVARIATES];

/// The sum of the products, in eight lanes.
pub(super) fn product(weights: &Covariates, x: &Covariates) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for (weights, x) in weights.chunks_exact(LANES).zip(x.chunks_exact(LANES)) {
        for (lane, (weight, x)) in lanes.iter_mut().zip(weights.iter().zip(x)) {
            *lane += weight * x;
        }
    }
    lanes.iter().sum()
}

/// What they are called, in the order of their places.
pub(super) fn name(place: usize) -> &'static str {
    match place {
        ONE => "everybody",
        WEEKDAY..TIME_OF_DAY => "weekday",
        TIME_OF_DAY..PROMISE => "time_of_day",
        PROMISE => "promise",
        SHIP_BY | SHIP_BY_PASSED | SHIP_BY_SLACK => "ship_by",
        BACKLOG => "backlog",
        SINCE_PAID => "time_until_shipped",
        19 => "units",
        20 => "value",
        _ => "attribute",
    }
}

/// A running mean and variance that bring a number to a common scale; young ones move fast.
#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
struct Standard {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Standard {
    const NEW: Self = Self { count: 0.0, mean: 0.0, variance: 1.0 };
    const MEMORY: f64 = 5_000.0;
    const VARIANCE_MIN: f64 = 0.001;

    fn take(&mut self, value: f64) {
        self.count = (self.count + 1.0).min(Self::MEMORY);
        let apart = value - self.mean;
        self.mean += apart / self.count;
        let square = apart * (value - self.mean);
        self.variance =
            (self.variance + (square - self.variance) / (self.count + 20.0)).max(Self::VARIANCE_MIN);
    }

    #[expect(clippy::cast_possible_truncation, reason = "covariates are f32")]
    fn read(&self, value: f64) -> f32 {
        (0.5 * ((value - self.mean) / self.variance.sqrt()).clamp(-3.0, 3.0)) as f32
    }
}

/// What a row's covariates are made of, beside its profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// When it starts, in days since 1970.
    pub(super) at: f64,
    /// The first instant that is late.
    pub(super) deadline: Option<f64>,
    /// Until when it was promised to leave.
    pub(super) ship_by: Option<f64>,
    /// How much longer its party's backlog is than everybody's, as a logarithm.
    pub(super) backlog: f64,
    /// Whether it is about an order that left.
    pub(super) left: bool,
    /// When an order that left was paid.
    pub(super) paid: Option<f64>,
}

/// The scales learned.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Scales {
    promise: Standard,
    ship_by: Standard,
    since_paid: Standard,
    /// Mean size and count, then the scale of the logarithm.
    numbers: [(f64, f64, Standard); NUMBERS],
}

impl Scales {
    pub(super) const fn new() -> Self {
        let number = (0.0, 0.0, Standard::NEW);
        Self {
            promise: Standard::NEW,
            ship_by: Standard::NEW,
            since_paid: Standard::NEW,
            numbers: [number; NUMBERS],
        }
    }

    /// Learns a row's scales, then reads its covariates on them. `typical` is T's first guess, in days.
    pub(super) fn take(&mut self, profile: &Profile, moment: &Moment, typical: f64) -> Covariates {
        for (standard, value) in self.lengths(moment, typical) {
            standard.take(value);
        }
        for (place, value) in profile.numbers() {
            let (size, count, standard) = &mut self.numbers[place];
            *count = (*count + 1.0).min(1_000.0);
            *size += (value.abs() - *size) / *count;
            standard.take(log_of(value, *size));
        }
        self.read(profile, moment, typical)
    }

    /// Reads covariates without learning anything.
    pub(super) fn read(&self, profile: &Profile, moment: &Moment, typical: f64) -> Covariates {
        let mut x = [0.0; COVARIATES];
        x[ONE] = 1.0;
        calendar(&mut x, moment.at);
        if let Some(deadline) = moment.deadline {
            x[PROMISE] = self.promise.read(log_length(deadline - moment.at, typical, 20.0));
        }
        if let Some(ship_by) = moment.ship_by {
            x[SHIP_BY] = self.ship_by.read(log_length(ship_by - moment.at, typical, 20.0));
            x[SHIP_BY_PASSED] = f32::from(u8::from(moment.at > ship_by));
        }
        #[expect(clippy::cast_possible_truncation, reason = "covariates are f32")]
        {
            x[BACKLOG] = moment.backlog as f32;
            if let Some(ship_by) = moment.ship_by.filter(|_| moment.left) {
                x[SHIP_BY_SLACK] = (2.0 * ((moment.at - ship_by) / typical).clamp(-1.0, 1.5)) as f32;
            }
        }
        if let Some(paid) = moment.paid.filter(|_| moment.left) {
            x[SINCE_PAID] = self.since_paid.read(log_length(moment.at - paid, typical, 5.0));
        }
        for (place, value) in profile.numbers() {
            let (size, count, standard) = &self.numbers[place];
            if *count > 0.0 {
                x[FIRST_NUMBER + place] = standard.read(log_of(value, *size));
            }
        }
        x
    }

    fn lengths(&mut self, moment: &Moment, typical: f64) -> impl Iterator<Item = (&mut Standard, f64)> {
        let until = |time: Option<f64>| time.map(|time| log_length(time - moment.at, typical, 20.0));
        let since =
            moment.paid.filter(|_| moment.left).map(|paid| log_length(moment.at - paid, typical, 5.0));
        let promise = until(moment.deadline).map(|value| (&mut self.promise, value));
        let ship_by = until(moment.ship_by).map(|value| (&mut self.ship_by, value));
        let since = since.map(|value| (&mut self.since_paid, value));
        promise.into_iter().chain(ship_by).chain(since)
    }

    pub(super) fn is_sound(&self) -> bool {
        let sound = |it: &Standard| {
            it.count >= 0.0
                && it.mean.is_finite()
                && it.variance >= Standard::VARIANCE_MIN
                && it.variance.is_finite()
        };
        let numbers = |(size, count, standard): &(f64, f64, Standard)| {
            size.is_finite() && count.is_finite() && sound(standard)
        };
        sound(&self.promise)
            && sound(&self.ship_by)
            && sound(&self.since_paid)
            && self.numbers.iter().all(numbers)
    }
}

fn log_length(days: f64, typical: f64, longest: f64) -> f64 {
    (days / typical).clamp(0.01, longest).ln()
}

fn log_of(value: f64, mean_size: f64) -> f64 {
    if mean_size > 0.0 { (value.abs() / (0.3 * mean_size)).ln_1p().copysign(value) } else { 0.0 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "days since 1970, at most 9998")]
fn calendar(x: &mut Covariates, at: f64) {
    let day = at.floor();
    // 1970-01-01 was a Thursday; Monday is 0 and has no covariate.
    let weekday = (day as u64 + 3) % 7;
    if weekday > 0 {
        x[WEEKDAY + weekday as usize - 1] = 1.0;
    }
    let time = at - day;
    x[TIME_OF_DAY] = (time - 0.5) as f32;
    let bucket = ((time * 6.0) as usize).min(5);
    if bucket > 0 {
        x[FOUR_HOURS + bucket - 1] = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_brought_to_one_scale_and_stays_within_it() {
        let mut scales = Scales::new();
        let mut random = fastrand::Rng::with_seed(3);
        let moment =
            Moment { at: 20_000.3, deadline: None, ship_by: None, backlog: 0.0, left: false, paid: None };
        let mut sum = 0.0;
        for round in 0..20_000 {
            let mut profile = Profile::with_room_for(0);
            profile.set_number(2, 1e9 * random.f32());
            profile.set_number(3, if round % 1_000 == 0 { f32::MAX } else { -1e-6 * random.f32() });
            let x = scales.take(&profile, &moment, 10.0);
            assert!(x.iter().all(|value| value.is_finite() && value.abs() <= 1.5), "{x:?}");
            sum += f64::from(x[FIRST_NUMBER + 2]);
        }
        assert!((sum / 20_000.0).abs() < 0.05);
        assert!(scales.is_sound());
    }

    #[test]
    fn a_calendar_day() {
        let mut x = [0.0; COVARIATES];
        // 2026-11-26 is a Thursday.
        calendar(&mut x, 20_783.0 + 17.5 / 24.0);
        assert!(x[WEEKDAY + 2] > 0.9 && x[FOUR_HOURS + 3] > 0.9);
        assert!((x[WEEKDAY..TIME_OF_DAY].iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}

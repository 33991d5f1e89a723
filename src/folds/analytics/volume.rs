//! Volume: orders an hour against the same hour of the week. A broken checkout shows as silence first.
//!
//! Each hour of the week (in UTC) has an exponentially weighted mean and variance of its orders, over some weeks. What an hour should
//! bring is that mean, moved by how the last day went; the interval takes the larger of the hour's own variance and that of a Poisson
//! count, at 3 standard deviations. An hour is judged when it is over. Nothing is said of an hour before it was seen twice.

use wincode::{SchemaRead, SchemaWrite};

const HOURS: i64 = 168;
const HOURS_KEPT: usize = 168;
const HOUR_MS: i64 = 3_600_000;
const WEIGHT: f64 = 0.25;
const DEVIATIONS: f64 = 3.0;
const WEEKS_BEFORE: u32 = 2;

#[derive(Clone, Copy, Debug, Default, SchemaRead, SchemaWrite)]
struct Hour {
    mean: f64,
    variance: f64,
    weeks: u32,
}

/// What an hour brought against what it should have brought.
#[derive(Clone, Copy, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct HourJudged {
    /// When it began, in milliseconds since 1970.
    pub hour_ms: i64,
    /// How many orders it brought.
    pub orders: u64,
    /// How many were expected.
    pub expected: f64,
    /// Between how many would have been no surprise.
    pub interval: (f64, f64),
}

impl HourJudged {
    /// Whether it brought fewer than the interval says.
    #[must_use]
    pub fn is_low(&self) -> bool {
        (self.orders as f64) < self.interval.0
    }

    /// Whether it brought more than the interval says.
    #[must_use]
    pub fn is_high(&self) -> bool {
        self.orders as f64 > self.interval.1
    }
}

/// The volume of a shard.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Volume {
    hours: Vec<Hour>,
    /// The hour that is filling, as its number since 1970.
    hour: Option<i64>,
    orders: u64,
    /// How the hours of late went against their means: what they brought, and what was expected; forgotten in a day.
    recent: (f64, f64),
    judged: Option<HourJudged>,
}

impl Volume {
    pub(super) fn new() -> Self {
        Self {
            hours: vec![Hour::default(); HOURS_KEPT],
            hour: None,
            orders: 0,
            recent: (10.0, 10.0),
            judged: None,
        }
    }

    /// An order was placed.
    pub(super) fn placed(&mut self) {
        self.orders += 1;
    }

    /// Time passed: hours that are over are judged, those without any order too (a week of them at most).
    pub(super) fn advance(&mut self, now_ms: i64, mut judged: impl FnMut(HourJudged)) {
        let hour = now_ms.div_euclid(HOUR_MS);
        let mut filling = *self.hour.get_or_insert(hour);
        if hour - filling > HOURS {
            (filling, self.orders) = (hour - HOURS, 0);
        }
        while filling < hour {
            let told = self.end_hour(filling);
            self.judged = told;
            if let Some(told) = told {
                judged(told);
            }
            (filling, self.orders) = (filling + 1, 0);
        }
        self.hour = Some(filling);
    }

    fn end_hour(&mut self, number: i64) -> Option<HourJudged> {
        let place = usize::try_from(number.rem_euclid(HOURS)).unwrap_or(0);
        let orders = self.orders as f64;
        let level = (self.recent.0 / self.recent.1).clamp(0.2, 5.0);
        let hour = &mut self.hours[place];
        let expected = hour.mean * level;
        let told = (hour.weeks >= WEEKS_BEFORE).then(|| {
            let spread = DEVIATIONS * (hour.variance * level * level).max(expected).sqrt();
            let interval = ((expected - spread).max(0.0), expected + spread);
            HourJudged { hour_ms: number * HOUR_MS, orders: self.orders, expected, interval }
        });
        // An hour that surprises counts as the edge of its interval: an outage is not the new normal at once.
        let taken = told.map_or(orders, |it| orders.clamp(it.interval.0, it.interval.1));
        if hour.weeks > 0 {
            let keep = 1.0 - 1.0 / 24.0;
            self.recent = (self.recent.0 * keep + taken, self.recent.1 * keep + hour.mean.max(0.01));
        }
        let weight = WEIGHT.max(1.0 / f64::from(hour.weeks.saturating_add(1)));
        let apart = taken - hour.mean;
        hour.mean += weight * apart;
        hour.variance = (1.0 - weight) * (hour.variance + weight * apart * apart);
        hour.weeks = hour.weeks.saturating_add(1);
        told
    }

    /// The last hour that is over; none while its hour of the week was not seen twice.
    #[must_use]
    pub const fn judged(&self) -> Option<HourJudged> {
        self.judged
    }

    /// How many orders the hour that is filling has brought.
    #[must_use]
    pub const fn filling(&self) -> u64 {
        self.orders
    }

    /// Whether what was read back holds together.
    pub(super) fn is_sound(&self) -> bool {
        let hour = |hour: &Hour| hour.mean.is_finite() && hour.variance >= 0.0 && hour.variance.is_finite();
        self.hours.len() == HOURS_KEPT
            && self.hours.iter().all(hour)
            && self.recent.0.is_finite()
            && self.recent.1 > 0.0
            && self.recent.1.is_finite()
            && self.hour.is_none_or(|hour| hour.abs() < 1 << 40)
            && self.judged.is_none_or(|it| {
                it.expected.is_finite() && it.interval.0.is_finite() && it.interval.1.is_finite()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_within_the_hour_and_ordinary_hours_are_not() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut volume = Volume::new();
        let (mut wrong, mut judged, mut silent) = (0, 0, None);
        for hour in 0..168 * 10_i64 {
            let busy = 300.0 + 250.0 * ((hour % 24) as f64 / 24.0 * std::f64::consts::TAU).sin();
            let broken = (1_500..1_504).contains(&hour);
            volume.advance(hour * HOUR_MS, |it| {
                let hour = it.hour_ms / HOUR_MS;
                judged += 1;
                if (1_500..1_504).contains(&hour) {
                    if it.is_low() {
                        silent.get_or_insert(hour);
                    }
                } else if it.is_low() || it.is_high() {
                    wrong += 1;
                }
            });
            for _ in 0..if broken { 0 } else { 600 } {
                if random.f64() < busy / 600.0 {
                    volume.placed();
                }
            }
        }
        assert_eq!(silent, Some(1_500));
        assert!(judged > 1_000 && wrong < judged / 50, "{wrong} of {judged}");
        assert!(volume.is_sound());
        volume.advance(i64::MAX / 4, |_| {});
    }
}

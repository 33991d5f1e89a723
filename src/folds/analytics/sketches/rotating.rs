//! Distributions of durations: HDR histograms, over all time and over a minute that is exact but for its edges.
//!
//! `hdrhistogram` with two significant digits: a quantile is right within 1% of itself. Durations are in microseconds, from 1 µs to
//! an hour; what is longer counts as an hour. The minute rotates: it is the last 60 to 65 seconds of log time, in twelve slots
//! of five seconds and the one that is filling.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

const LONGEST_US: u64 = 3_600_000_000;
const SLOTS: i64 = 13;
const SLOT_MS: i64 = 5_000;
const HOUR_MS: i64 = 3_600_000;

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 2).expect("the bounds are constants")
}

/// The place of a slot.
fn place(slot: i64) -> usize {
    usize::try_from(slot.rem_euclid(SLOTS)).unwrap_or(0)
}

/// A distribution over all time and over the last minute.
#[derive(Clone, Debug)]
pub struct Rotating {
    all: Histogram<u64>,
    slots: Vec<Histogram<u64>>,
    /// The slot that is filling, as its number since 1970.
    slot: i64,
    /// The sum, in microseconds.
    sum_us: u64,
}

impl Default for Rotating {
    fn default() -> Self {
        Self { all: histogram(), slots: (0..SLOTS).map(|_| histogram()).collect(), slot: 0, sum_us: 0 }
    }
}

impl Rotating {
    /// Takes in a duration, `count` times.
    pub fn record(&mut self, now_ms: i64, duration_us: u64, count: u64) {
        self.rotate(now_ms);
        let bounded = duration_us.clamp(1, LONGEST_US);
        self.all.saturating_record_n(bounded, count);
        let place = place(self.slot);
        self.slots[place].saturating_record_n(bounded, count);
        self.sum_us = self.sum_us.saturating_add(duration_us.min(LONGEST_US).saturating_mul(count));
    }

    /// Time passed: what is older than the minute is forgotten.
    pub fn rotate(&mut self, now_ms: i64) {
        let slot = now_ms.div_euclid(SLOT_MS);
        if slot <= self.slot {
            return;
        }
        for passed in (self.slot + 1).max(slot - SLOTS + 1)..=slot {
            self.slots[place(passed)].reset();
        }
        self.slot = slot;
    }

    /// A quantile over the last minute, in microseconds; none where there was nothing.
    #[must_use]
    pub fn minute(&self, quantile: f64) -> Option<u64> {
        let mut all = histogram();
        for slot in &self.slots {
            // One bound, one precision: they can be added.
            all.add(slot).ok()?;
        }
        (!all.is_empty()).then(|| all.value_at_quantile(quantile))
    }

    /// How many durations were at most so long, over all time: for classic buckets. Right within 1% of the bound.
    #[must_use]
    pub fn at_most(&self, duration_us: u64) -> u64 {
        self.all.count_between(0, duration_us.min(LONGEST_US))
    }

    /// How many, over all time, and their sum in microseconds.
    #[must_use]
    pub fn total(&self) -> (u64, u64) {
        (self.all.len(), self.sum_us)
    }
}

/// Objective and budget over sliding days: how many were good, of how many.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    share: f64,
    hours_max: i64,
    /// By hour since 1970: good, all.
    hours: BTreeMap<i64, (u64, u64)>,
}

impl Objective {
    /// `share` of all shall be good over `days`.
    #[must_use]
    pub fn new(share: f64, days: u16) -> Self {
        Self { share, hours_max: i64::from(days.clamp(1, 366)) * 24, hours: BTreeMap::new() }
    }

    /// Counts good ones, and all, and forgets what is no longer among the days.
    pub fn count(&mut self, now_ms: i64, good: u64, all: u64) {
        if all > 0 {
            self.add(now_ms.div_euclid(HOUR_MS), good, all);
            self.forget(now_ms);
        }
    }

    /// Adds to an hour, by its number since 1970.
    pub fn add(&mut self, hour: i64, good: u64, all: u64) {
        let of = self.hours.entry(hour).or_default();
        *of = (of.0.saturating_add(good.min(all)), of.1.saturating_add(all));
    }

    /// Adds all that another one has counted.
    pub fn merge(&mut self, other: &Self) {
        for (hour, good, all) in other.hours() {
            self.add(hour, good, all);
        }
    }

    /// Time passed: forgets what is older than the days, and what lies in the future, as only a clock that is wrong counts there.
    pub fn forget(&mut self, now_ms: i64) {
        let hour = now_ms.div_euclid(HOUR_MS);
        let (oldest, newest) = (hour.saturating_sub(self.hours_max), hour.saturating_add(1));
        self.hours.retain(|hour, _| *hour > oldest && *hour <= newest);
    }

    /// What was counted, by hour since 1970, the oldest first: good, all.
    pub fn hours(&self) -> impl Iterator<Item = (i64, u64, u64)> + '_ {
        self.hours.iter().map(|(hour, (good, all))| (*hour, *good, *all))
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    /// How many were good, of how many.
    #[must_use]
    pub fn sums(&self) -> (u64, u64) {
        self.hours().fold((0, 0), |(good, all), hour| {
            (u64::saturating_add(good, hour.1), u64::saturating_add(all, hour.2))
        })
    }

    /// The share that was good; none where there was nothing.
    #[must_use]
    pub fn attained(&self) -> Option<f64> {
        let (good, all) = self.sums();
        (all > 0).then(|| good as f64 / all as f64)
    }

    /// The share of the error budget that is left: 1 where nothing was bad, 0 where it is spent, below 0 where it is overspent.
    #[must_use]
    pub fn budget_left(&self) -> f64 {
        let (good, all) = self.sums();
        if all == 0 {
            return 1.0;
        }
        1.0 - (all - good) as f64 / ((1.0 - self.share) * all as f64).max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers of a test")]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_one_percent_of_exact_ones_and_the_minute_forgets() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut rotating = Rotating::default();
        let mut last_minute = Vec::new();
        for tick in 0..200_000_i64 {
            let now_ms = tick;
            let duration = (1_000.0 / random.f64().max(1e-4)) as u64;
            rotating.record(now_ms, duration, 1);
            // The slot that is filling, and twelve before it.
            if now_ms >= 135_000 {
                last_minute.push(duration);
            }
        }
        last_minute.sort_unstable();
        for quantile in [0.5, 0.9, 0.99] {
            let exact = last_minute[(quantile * last_minute.len() as f64) as usize] as f64;
            let told = rotating.minute(quantile).unwrap() as f64;
            assert!((told / exact - 1.0).abs() < 0.02, "{quantile}: {told} {exact}");
        }
        assert_eq!(rotating.total().0, 200_000);
        assert_eq!(rotating.at_most(LONGEST_US), 200_000);
        rotating.rotate(400_000);
        assert_eq!(rotating.minute(0.5), None);
    }

    #[test]
    fn a_budget_is_spent_by_what_is_bad_and_comes_back_after_its_days() {
        let mut objective = Objective::new(0.999, 30);
        objective.count(0, 9_995, 10_000);
        assert!((objective.budget_left() - 0.5).abs() < 1e-9);
        assert!((objective.attained().unwrap() - 0.9995).abs() < 1e-12);
        objective.count(3_600_000, 0, 10);
        assert!(objective.budget_left() < 0.0);
        objective.count(31 * 86_400_000, 1, 1);
        assert!((objective.budget_left() - 1.0).abs() < 1e-12);
        // Nothing is asked of a shop without orders.
        objective.forget(62 * 86_400_000);
        assert_eq!((objective.attained(), objective.is_empty()), (None, true));
    }

    #[test]
    fn parts_add_up_whoever_counted_them_and_a_clock_ahead_counts_nothing() {
        let (mut one, mut other) = (Objective::new(0.999, 30), Objective::new(0.999, 30));
        one.count(0, 90, 100);
        one.count(HOUR_MS, 10, 10);
        other.count(HOUR_MS, 5, 15);
        other.add(2_000_000, 0, u64::MAX);
        one.merge(&other);
        one.forget(2 * HOUR_MS);
        assert_eq!(one.hours().collect::<Vec<_>>(), [(0, 90, 100), (1, 15, 25)]);
        // More good ones than all cannot be.
        one.add(1, 9, 4);
        assert_eq!(one.sums(), (109, 129));
    }
}

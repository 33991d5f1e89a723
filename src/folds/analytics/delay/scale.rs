//! The typical lead time T, in days, of which all of the model's lengths are multiples.
//!
//! Configured, or learned: at first a share of the median promise of the first 16 orders; then from cohorts of 16, 64 and then 256
//! orders, one after the other: once half of a cohort has arrived, the median of its durations is known, whatever happens to the others. T switches
//! only where that median is far from it, so it is learned early and then practically frozen.

use wincode::{SchemaRead, SchemaWrite};

/// T lies between a minute and four years.
pub(super) const DAYS_MIN: f64 = 1.0 / 1440.0;
const DAYS_MAX: f64 = 1461.0;
/// T where no order has a promise.
const WITHOUT_PROMISE_DAYS: f64 = 3.0;
const FIRST_GUESS_ROWS: usize = 16;
/// Belongs to no cohort.
pub(super) const NO_COHORT: u32 = u32::MAX;

#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
struct Cohort {
    number: u32,
    size: u32,
    started: u32,
    arrived: u32,
    /// The longest of the durations of the half that arrived first, in days: their median, once all have started.
    longest: f64,
}

/// T and how it is learned.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Scale {
    configured: bool,
    share_of_promise: f64,
    days: f64,
    /// The first guess, frozen: covariates are scaled by it, since a later switch must not shift them.
    first_days: f64,
    promises: Vec<f64>,
    rows: u64,
    cohort: Option<Cohort>,
    decided: u32,
}

impl Scale {
    pub(super) fn new(configured_days: Option<f64>, share_of_promise: f64) -> Self {
        let days = configured_days.unwrap_or(WITHOUT_PROMISE_DAYS).clamp(DAYS_MIN, DAYS_MAX);
        Self {
            configured: configured_days.is_some(),
            share_of_promise,
            days,
            first_days: days,
            promises: Vec::new(),
            rows: 0,
            cohort: None,
            decided: 0,
        }
    }

    /// T, in days.
    pub(super) const fn days(&self) -> f64 {
        self.days
    }

    /// The first guess of T, in days.
    pub(super) const fn first_days(&self) -> f64 {
        self.first_days
    }

    /// A row will start whose promise is so many days long. While T is a guess, the guess is made anew.
    pub(super) fn guess(&mut self, promise_days: Option<f64>) {
        if self.configured || self.rows >= FIRST_GUESS_ROWS as u64 {
            return;
        }
        if let Some(days) = promise_days.filter(|days| days.is_finite() && *days > 0.0) {
            self.promises.push(days);
        }
        let mut sorted = self.promises.clone();
        sorted.sort_by(f64::total_cmp);
        if let Some(median) = sorted.get(sorted.len() / 2) {
            self.days = (self.share_of_promise * median).clamp(DAYS_MIN, DAYS_MAX);
            self.first_days = self.days;
        }
    }

    /// A row starts: the cohort that it belongs to.
    pub(super) fn start(&mut self) -> u32 {
        self.rows += 1;
        if self.configured || self.rows <= FIRST_GUESS_ROWS as u64 {
            return NO_COHORT;
        }
        let size = match self.decided {
            0 => 16,
            1 => 64,
            _ => 256,
        };
        let number = self.decided;
        let cohort = self.cohort.get_or_insert(Cohort { number, size, started: 0, arrived: 0, longest: 0.0 });
        if cohort.started == cohort.size {
            return NO_COHORT;
        }
        cohort.started += 1;
        cohort.number
    }

    /// A row of a cohort arrived after so many days. True where T switched: then by how much log(age / T + offset) moved at a
    /// residual of zero is for the model to say.
    pub(super) fn arrived(&mut self, cohort: u32, days: f64) -> bool {
        let Some(it) = self.cohort.as_mut().filter(|it| it.number == cohort) else { return false };
        it.arrived += 1;
        if it.arrived <= it.size / 2 {
            it.longest = it.longest.max(days);
        }
        if it.started < it.size || it.arrived < it.size / 2 {
            return false;
        }
        let median = it.longest.clamp(DAYS_MIN, DAYS_MAX);
        self.cohort = None;
        self.decided += 1;
        let bound = if self.decided <= 3 { 1.6 } else { 2.5 };
        let ratio = median / self.days;
        let switches = ratio > bound || ratio < 1.0 / bound;
        if switches {
            self.days = median;
        }
        switches
    }

    pub(super) fn is_sound(&self) -> bool {
        let days = |days: f64| (DAYS_MIN..=DAYS_MAX).contains(&days);
        days(self.days)
            && days(self.first_days)
            && self.promises.len() <= FIRST_GUESS_ROWS
            && self.promises.iter().all(|days| days.is_finite())
            && self.cohort.as_ref().is_none_or(|it| it.longest.is_finite() && it.started <= it.size)
            && self.share_of_promise.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_guessed_from_promises_and_switches_to_the_median_of_a_cohort() {
        let mut scale = Scale::new(None, 0.5);
        for _ in 0..16 {
            scale.guess(Some(20.0));
            assert_eq!(scale.start(), NO_COHORT);
        }
        assert!((scale.days() - 10.0).abs() < 1e-12);
        let cohorts: Vec<u32> = (0..16)
            .map(|_| {
                scale.guess(Some(1000.0));
                scale.start()
            })
            .collect();
        assert!(cohorts.iter().all(|cohort| *cohort == 0));
        let switched: Vec<bool> = (1..=16).map(|days| scale.arrived(0, f64::from(days) / 4.0)).collect();
        assert_eq!(switched.iter().position(|switched| *switched), Some(7));
        assert!((scale.days() - 2.0).abs() < 1e-12, "the eighth of sixteen");
        assert!((scale.first_days() - 10.0).abs() < 1e-12);
        assert_eq!(scale.start(), 1);
        // A median within the bound leaves it.
        for _ in 1..64 {
            scale.start();
        }
        for _ in 0..64 {
            assert!(!scale.arrived(1, 3.0));
        }
    }

    #[test]
    fn a_configured_one_stays() {
        let mut scale = Scale::new(Some(8.0), 0.4);
        for _ in 0..1_000 {
            scale.guess(Some(1.0));
            let cohort = scale.start();
            assert!(!scale.arrived(cohort, 0.1));
        }
        assert!((scale.days() - 8.0).abs() < 1e-12);
    }
}

//! Flows and their backlogs: at this rate, when is the work gone, and when does waiting pass a bound?
//!
//! What comes in and what is done are exponentially weighted rates with a stated half-life. A backlog is worked off at the difference
//! of the two; whoever comes last waits for backlog divided by what is done. Rates that change faster than the half-life are
//! seen late: it is a forecast at this rate, and says no more.

use wincode::{SchemaRead, SchemaWrite};

/// A flow.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Flow {
    half_life_ms: f64,
    open: u64,
    /// In events a millisecond.
    coming: f64,
    done: f64,
    at_ms: i64,
    first_ms: i64,
}

/// What becomes of a backlog at this rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// What waits.
    pub open: u64,
    /// Events an hour, coming and done.
    pub per_hour: (f64, f64),
    /// How long whoever comes now will wait, in milliseconds; none where nothing is done.
    pub wait_ms: Option<f64>,
    /// In how many milliseconds nothing waits any more; none where it does not shrink.
    pub gone_ms: Option<f64>,
}

impl Flow {
    /// An empty one, whose rates forget with a half-life.
    #[must_use]
    pub fn new(half_life_ms: f64) -> Self {
        Self { half_life_ms: half_life_ms.max(1.0), open: 0, coming: 0.0, done: 0.0, at_ms: 0, first_ms: 0 }
    }

    fn decay(&mut self, now_ms: i64) {
        if self.at_ms == 0 {
            (self.at_ms, self.first_ms) = (now_ms, now_ms);
        }
        let keep = (-((now_ms - self.at_ms).max(0) as f64) / self.half_life_ms).exp2();
        (self.coming, self.done) = (self.coming * keep, self.done * keep);
        self.at_ms = self.at_ms.max(now_ms);
    }

    /// So many came.
    pub fn came(&mut self, now_ms: i64, count: u64) {
        self.decay(now_ms);
        self.open = self.open.saturating_add(count);
        self.coming += count as f64 * std::f64::consts::LN_2 / self.half_life_ms;
    }

    /// So many were done.
    pub fn done(&mut self, now_ms: i64, count: u64) {
        self.left(now_ms, count);
        self.done += count as f64 * std::f64::consts::LN_2 / self.half_life_ms;
    }

    /// So many went away without being done.
    pub fn left(&mut self, now_ms: i64, count: u64) {
        self.decay(now_ms);
        self.open = self.open.saturating_sub(count);
    }

    /// The rates, a millisecond: a young flow's are those since its first event.
    fn rates(&self, now_ms: i64) -> (f64, f64) {
        let keep = (-((now_ms - self.at_ms).max(0) as f64) / self.half_life_ms).exp2();
        let seen = 1.0 - (-((now_ms - self.first_ms).max(1) as f64) / self.half_life_ms).exp2();
        (self.coming * keep / seen, self.done * keep / seen)
    }

    /// What becomes of it at this rate.
    #[must_use]
    pub fn forecast(&self, now_ms: i64) -> Forecast {
        let (coming, done) = self.rates(now_ms);
        let open = self.open as f64;
        Forecast {
            open: self.open,
            per_hour: (coming * 3_600_000.0, done * 3_600_000.0),
            wait_ms: (done > 0.0).then(|| open / done),
            gone_ms: if self.open == 0 { Some(0.0) } else { (done > coming).then(|| open / (done - coming)) },
        }
    }

    /// In how many milliseconds whoever comes will wait longer than `bound_ms`; 0 where that is so now, none where it will not be.
    #[must_use]
    pub fn breach_ms(&self, now_ms: i64, bound_ms: f64) -> Option<f64> {
        let (coming, done) = self.rates(now_ms);
        let room = bound_ms * done - self.open as f64;
        if room < 0.0 || (done <= 0.0 && self.open > 0) {
            return Some(0.0);
        }
        (coming > done).then(|| room / (coming - done))
    }

    /// Whether what was read back holds together.
    pub(super) fn is_sound(&self) -> bool {
        self.half_life_ms >= 1.0
            && self.half_life_ms.is_finite()
            && self.coming >= 0.0
            && self.coming.is_finite()
            && self.done >= 0.0
            && self.done.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_grows_breaches_and_one_that_shrinks_is_gone() {
        let mut flow = Flow::new(60_000.0);
        let mut now = 1;
        // Ten a second come, eight are done.
        for _ in 0..600 {
            now += 1_000;
            flow.came(now, 10);
            flow.done(now, 8);
        }
        let told = flow.forecast(now);
        assert_eq!((told.open, told.gone_ms), (1_200, None));
        assert!((told.wait_ms.unwrap() / 150_000.0 - 1.0).abs() < 0.03, "{told:?}");
        let breach = flow.breach_ms(now, 300_000.0).unwrap();
        assert!((breach / 600_000.0 - 1.0).abs() < 0.05, "{breach}");
        assert_eq!(flow.breach_ms(now, 100_000.0), Some(0.0));
        for _ in 0..300 {
            now += 1_000;
            flow.done(now, 3);
            flow.came(now, 1);
        }
        let told = flow.forecast(now);
        assert!((told.gone_ms.unwrap() / 300_000.0 - 1.0).abs() < 0.25, "{told:?}");
    }
}

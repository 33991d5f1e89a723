//! Latency: how long each stage of an order's way takes, and which orders were slowest.
//!
//! Whoever carries orders measures: the stage, how long, for how many. Nothing is kept per order but the few slowest of the last five
//! minutes. A duration that cannot be (negative, as clocks differ) is left out and counted.

use std::collections::VecDeque;

use super::sketches::rotating::Rotating;

/// The stages of an order's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// From reaching the door until it is stored.
    DoorWait,
    /// From being stored until the fold takes it.
    LogWait,
    /// The fold itself.
    Apply,
    /// From being decided until its outcome is stored.
    Publish,
    /// From being stored until its outcome is stored.
    EndToEnd,
    /// From the client's `submitted_at` until its outcome is stored: two clocks, so right within their difference.
    Submitted,
}

impl Stage {
    /// Every stage, in the order of the way.
    pub const ALL: [Self; 6] =
        [Self::DoorWait, Self::LogWait, Self::Apply, Self::Publish, Self::EndToEnd, Self::Submitted];

    /// The name as it stands in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DoorWait => "door_wait",
            Self::LogWait => "log_wait",
            Self::Apply => "apply",
            Self::Publish => "publish",
            Self::EndToEnd => "end_to_end",
            Self::Submitted => "submitted",
        }
    }
}

/// The objective: so many are decided within the bound.
pub const OBJECTIVE: f64 = 0.999;
/// The bound, in microseconds.
pub const BOUND_US: u64 = 250_000;
/// The days over which the objective counts.
pub const DAYS: u16 = 30;
/// The most of the slowest orders that are kept.
const SLOWEST_MAX: usize = 32;
const SLOWEST_KEPT_MS: i64 = 300_000;

/// One of the slowest orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// When it was decided, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The sequence of its message, and its index in it.
    pub record: (u64, u32),
}

/// The latency of one shard.
#[derive(Clone, Debug)]
pub struct Latency {
    stages: Vec<Rotating>,
    slowest: VecDeque<Slow>,
    left_out: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            stages: Stage::ALL.iter().map(|_| Rotating::default()).collect(),
            slowest: VecDeque::new(),
            left_out: 0,
        }
    }
}

impl Latency {
    /// A stage took so long for `count` records.
    pub fn record(&mut self, now_ms: i64, stage: Stage, duration_us: i64, count: u64) {
        match u64::try_from(duration_us) {
            Ok(duration_us) => self.stages[stage as usize].record(now_ms, duration_us, count),
            Err(_) => self.left_out += count,
        }
    }

    /// A record that may be among the slowest.
    pub fn slow(&mut self, slow: Slow) {
        self.forget(slow.at_ms);
        if self.slowest.len() == SLOWEST_MAX {
            let fastest = self.slowest.iter().enumerate().min_by_key(|(_, it)| it.duration_us);
            let Some((place, fastest)) = fastest else { return };
            if fastest.duration_us >= slow.duration_us {
                return;
            }
            self.slowest.remove(place);
        }
        self.slowest.push_back(slow);
    }

    fn forget(&mut self, now_ms: i64) {
        self.slowest.retain(|slow| slow.at_ms > now_ms - SLOWEST_KEPT_MS);
    }

    /// Time passed.
    pub fn advance(&mut self, now_ms: i64) {
        self.forget(now_ms);
        self.stages.iter_mut().for_each(|stage| stage.rotate(now_ms));
    }

    /// A stage's distribution.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> &Rotating {
        &self.stages[stage as usize]
    }

    /// The slowest records of the last five minutes, the slowest first.
    #[must_use]
    pub fn slowest(&self) -> Vec<Slow> {
        let mut slowest: Vec<Slow> = self.slowest.iter().cloned().collect();
        slowest.sort_by_key(|slow| std::cmp::Reverse(slow.duration_us));
        slowest
    }

    /// Durations left out since they were negative.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_are_those_of_five_minutes_and_negative_durations_are_left_out() {
        let mut latency = Latency::default();
        for sequence in 0..1_000_u64 {
            let at_ms = i64::try_from(sequence).unwrap() * 1_000;
            latency.slow(Slow { at_ms, duration_us: sequence * 7 % 101, record: (sequence, 0) });
        }
        let slowest = latency.slowest();
        assert_eq!((slowest.len(), slowest[0].duration_us), (SLOWEST_MAX, 100));
        assert!(slowest.iter().all(|slow| slow.at_ms > 999_000 - SLOWEST_KEPT_MS));
        latency.record(0, Stage::Submitted, -5, 3);
        latency.record(0, Stage::Submitted, 5_000, 3);
        assert_eq!((latency.left_out(), latency.stage(Stage::Submitted).total()), (3, (3, 15_000)));
        latency.advance(2_000_000);
        assert!(latency.slowest().is_empty());
    }
}

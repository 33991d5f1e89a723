//! The flow of orders, as this worker sees it: what is decided, how fast, and what of late was slow or refused. For the verdict, and for
//! the console.
//!
//! It listens at the shards' ports, beside the publisher, and counts what is announced, once, whoever announced it: a worker that
//! stands by sees the same flow as the one that leads, as it hears of it. What it is too slow for it loses, and says so. Seconds are
//! kept for a quarter of an hour, the slowest orders for five minutes, the last few refusals: all of it bounded, some hundred
//! kilobytes a worker.

mod listening;
mod seconds;
mod slowest;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::edges::clock::SharedClock;
use crate::edges::telemetry::Answers;
use crate::folds::analytics::BOUND_US;
use crate::motion::status::Status;
use crate::process::verdict;
use crate::words::outcome::Reason;

pub use seconds::{Point, SECONDS_KEPT, Second};
pub use slowest::SlowOrder;

use seconds::Seconds;
use slowest::Slowest;

/// Over how many seconds a rate is shown.
const RATE_SECONDS: usize = 10;
/// Over how many seconds shares and reasons are judged.
pub const JUDGED_SECONDS: usize = 300;
/// How many refusals are kept.
const REFUSALS_MAX: usize = 50;
/// The longest duration that is told from longer ones, in microseconds.
const DURATION_US_MAX: u64 = 100_000_000;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Which shard.
    pub shard: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Which command.
    pub command: &'static str,
    /// Whose: the id of an order or a fact; none where it has none.
    pub id: Option<String>,
    /// Why.
    pub reason: &'static str,
    /// What the reason leaves open: the detail, or the first shortage.
    pub detail: Option<String>,
}

/// What of a message is counted.
#[derive(Clone, Copy, Debug, Default)]
struct Decided {
    /// Orders decided for the first time.
    orders: u64,
    confirmed: u64,
    waiting: u64,
    refused: u64,
    cancelled: u64,
    /// Outcomes of any kind.
    outcomes: u64,
    /// From being stored to being announced.
    duration_us: u64,
}

#[derive(Debug)]
struct Inner {
    seconds: Seconds,
    /// Durations of the second that is filling.
    durations: Histogram<u64>,
    slowest: Slowest,
    refusals: VecDeque<Refusal>,
    /// Orders decided since the start.
    orders: u64,
    /// Batches that were not seen.
    lost_batches: u64,
    /// This worker's answers until the last second ended: good, all.
    answered: (u64, u64),
}

/// The flow; shared.
pub struct Flow {
    clock: SharedClock,
    answers: Answers,
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flow").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// What the page shows of it at a moment.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The last seconds, the newest last.
    pub points: Vec<Point>,
    /// What came of orders over [`JUDGED_SECONDS`].
    pub judged: Judged,
    /// The same for the verdict.
    pub flow: verdict::Flow,
    /// The slowest orders of five minutes, the slowest first.
    pub slowest: Vec<SlowOrder>,
    /// The last refusals, the newest first.
    pub refusals: Vec<Refusal>,
    /// Orders decided since the start.
    pub orders: u64,
    /// Batches that were not seen.
    pub lost_batches: u64,
}

/// Sums over the seconds that are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judged {
    /// How many seconds they are; fewer while the worker is young.
    pub seconds: usize,
    /// Orders decided a minute, over the last minute.
    pub orders_per_minute: f64,
    /// Orders decided.
    pub orders: u64,
    /// Of those, refused.
    pub refused: u64,
    /// What most were refused for, and how many.
    pub reason: Option<(Reason, u64)>,
    /// Cancellations.
    pub cancelled: u64,
    /// The share of outcomes within the bound; none where there were none.
    pub within: Option<f64>,
    /// In how many seconds the backlog is gone at the rate of the last minute; none where it does not shrink.
    pub clear_in: Option<f64>,
    /// Messages that are not applied.
    pub behind: u64,
}

impl Flow {
    /// Nothing seen yet; `answers` are this worker's own.
    ///
    /// # Panics
    /// Never: the bounds of the histogram are constants.
    #[must_use]
    pub fn new(clock: SharedClock, answers: Answers) -> Arc<Self> {
        let durations = Histogram::new_with_bounds(1, DURATION_US_MAX, 2).expect("constant bounds");
        let inner = Inner {
            seconds: Seconds::default(),
            durations,
            slowest: Slowest::default(),
            refusals: VecDeque::new(),
            orders: 0,
            lost_batches: 0,
            answered: (0, 0),
        };
        Arc::new(Self { clock, answers, inner: Mutex::new(inner) })
    }

    /// Listens at these shards from now on, each with a task of its own that ends with its shard.
    pub fn listen(self: &Arc<Self>, statuses: &[Arc<Status>]) {
        for status in statuses {
            tokio::spawn(listening::listen(self.clone(), status));
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A second is over: its figures are kept, with how many messages are not applied by now.
    pub fn end_second(&self, behind: u64) {
        let now_ms = self.clock.wall_ns() / 1_000_000;
        let (good, all) = self.answers.counts();
        let mut inner = self.inner();
        let (good_before, all_before) = std::mem::replace(&mut inner.answered, (good, all));
        inner.seconds.filling.answers = (good - good_before, all - all_before);
        let Inner { seconds, durations, .. } = &mut *inner;
        let quantiles = (!durations.is_empty())
            .then(|| [durations.value_at_quantile(0.5), durations.value_at_quantile(0.99), durations.max()]);
        seconds.end(now_ms.div_euclid(1_000), quantiles, behind);
        durations.reset();
        inner.slowest.forget(now_ms);
    }

    /// What the verdict needs.
    #[must_use]
    pub fn for_verdict(&self) -> verdict::Flow {
        self.inner().seconds.for_verdict(RATE_SECONDS, JUDGED_SECONDS)
    }

    /// What there is to see: the last `points` seconds, and all else.
    #[must_use]
    pub fn seen(&self, points: usize) -> Seen {
        let inner = self.inner();
        Seen {
            points: inner.seconds.points(points),
            judged: inner.seconds.judged(JUDGED_SECONDS),
            flow: inner.seconds.for_verdict(RATE_SECONDS, JUDGED_SECONDS),
            slowest: inner.slowest.sorted(),
            refusals: inner.refusals.iter().rev().cloned().collect(),
            orders: inner.orders,
            lost_batches: inner.lost_batches,
        }
    }
}

impl Inner {
    fn count(&mut self, decided: &Decided) {
        let second = &mut self.seconds.filling;
        second.orders += decided.orders;
        second.confirmed += decided.confirmed;
        second.waiting += decided.waiting;
        second.refused += decided.refused;
        second.cancelled += decided.cancelled;
        second.outcomes += decided.outcomes;
        self.orders += decided.orders;
        if decided.outcomes > 0 {
            if decided.duration_us <= BOUND_US {
                second.within += decided.outcomes;
            }
            self.durations.saturating_record_n(decided.duration_us, decided.outcomes);
        }
    }

    fn refused(&mut self, refusal: Refusal) {
        if self.refusals.len() == REFUSALS_MAX {
            self.refusals.pop_front();
        }
        self.refusals.push_back(refusal);
    }
}

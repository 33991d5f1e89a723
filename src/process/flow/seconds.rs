//! The last quarter of an hour, second by second.

use std::collections::VecDeque;

use serde::Serialize;

use super::Judged;
use crate::process::verdict;
use crate::words::outcome::Reason;

/// How many seconds are kept.
pub const SECONDS_KEPT: usize = 900;
/// Over how many seconds a backlog's trend is taken.
const TREND_SECONDS: usize = 60;

/// What happened in a second.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// Which, in seconds since 1970.
    pub at: i64,
    /// Orders decided for the first time.
    pub orders: u64,
    /// Orders confirmed, those that had waited too.
    pub confirmed: u64,
    /// Orders that wait.
    pub waiting: u64,
    /// Orders refused.
    pub refused: u64,
    /// Cancellations.
    pub cancelled: u64,
    /// Outcomes of any kind.
    pub outcomes: u64,
    /// Of those, announced within the bound of the objective.
    pub within: u64,
    /// Answers of this worker, as the objective counts them: good, all.
    pub answers: (u64, u64),
    /// How long they took, in microseconds: the median, the 99th of a hundred, the longest. None where there were none.
    pub quantiles: Option<[u64; 3]>,
    /// Messages that were not applied at its end.
    pub behind: u64,
    /// Orders refused, by reason.
    pub reasons: Reasons,
}

/// Counts by [`Reason`].
#[derive(Clone, Copy, Debug)]
pub struct Reasons(pub [u32; Reason::ALL.len()]);

impl Default for Reasons {
    fn default() -> Self {
        Self([0; Reason::ALL.len()])
    }
}

/// A second as the charts draw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Which, in seconds since 1970.
    pub at: i64,
    /// Orders confirmed.
    pub confirmed: u64,
    /// Orders that wait.
    pub waiting: u64,
    /// Orders refused.
    pub refused: u64,
    /// The median, in microseconds.
    pub p50_us: Option<u64>,
    /// The 99th of a hundred.
    pub p99_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
}

/// The seconds that are kept, and the one that is filling.
#[derive(Debug, Default)]
pub(super) struct Seconds {
    pub(super) filling: Second,
    kept: VecDeque<Second>,
}

impl Seconds {
    /// The filling second is over, and is this one.
    pub(super) fn end(&mut self, at: i64, quantiles: Option<[u64; 3]>, behind: u64) {
        let second = Second { at, quantiles, behind, ..std::mem::take(&mut self.filling) };
        if self.kept.len() == SECONDS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(second);
    }

    fn last(&self, seconds: usize) -> impl DoubleEndedIterator<Item = &Second> + Clone {
        self.kept.range(self.kept.len().saturating_sub(seconds)..)
    }

    pub(super) fn points(&self, seconds: usize) -> Vec<Point> {
        let points = self.last(seconds).map(|second| Point {
            at: second.at,
            confirmed: second.confirmed,
            waiting: second.waiting,
            refused: second.refused,
            p50_us: second.quantiles.map(|[p50, _, _]| p50),
            p99_us: second.quantiles.map(|[_, p99, _]| p99),
            max_us: second.quantiles.map(|[_, _, max]| max),
        });
        points.collect()
    }

    fn reason(&self, seconds: usize) -> Option<(Reason, u64)> {
        let mut sums = [0u64; Reason::ALL.len()];
        for second in self.last(seconds) {
            for (sum, count) in sums.iter_mut().zip(second.reasons.0) {
                *sum += u64::from(count);
            }
        }
        let counted = Reason::ALL.into_iter().zip(sums).filter(|(_, count)| *count > 0);
        // The first of those that are equally frequent.
        counted.rev().max_by_key(|(_, count)| *count)
    }

    fn within(&self, seconds: usize) -> Option<f64> {
        let outcomes: u64 = self.last(seconds).map(|second| second.outcomes).sum();
        let within: u64 = self.last(seconds).map(|second| second.within).sum();
        (outcomes > 0).then(|| to_f64(within) / to_f64(outcomes))
    }

    pub(super) fn for_verdict(&self, rate: usize, judged: usize) -> verdict::Flow {
        let confirmed: u64 = self.last(rate).map(|second| second.confirmed).sum();
        let answers: u64 = self.last(judged).map(|second| second.answers.1).sum();
        let good: u64 = self.last(judged).map(|second| second.answers.0).sum();
        verdict::Flow {
            answered: (answers > 0).then(|| to_f64(good) / to_f64(answers)),
            answers,
            confirmed_per_second: to_f64(confirmed) / count_f64(self.last(rate).count().max(1)),
            within: self.within(judged),
            decided: self.last(judged).map(|second| second.orders).sum(),
            refused: self.last(judged).map(|second| second.refused).sum(),
            reason: self.reason(judged).map(|(reason, _)| reason),
        }
    }

    pub(super) fn judged(&self, judged: usize) -> Judged {
        let minute = self.last(60);
        let in_minute: u64 = minute.clone().map(|second| second.orders).sum();
        Judged {
            seconds: self.last(judged).count(),
            orders_per_minute: to_f64(in_minute) * 60.0 / count_f64(minute.count().max(1)),
            orders: self.last(judged).map(|second| second.orders).sum(),
            refused: self.last(judged).map(|second| second.refused).sum(),
            reason: self.reason(judged),
            cancelled: self.last(judged).map(|second| second.cancelled).sum(),
            within: self.within(judged),
            clear_in: self.clear_in(),
            behind: self.kept.back().map_or(0, |second| second.behind),
        }
    }

    /// In how many seconds nothing is behind any more, at the trend of the last minute.
    fn clear_in(&self) -> Option<f64> {
        let (first, last) = (self.last(TREND_SECONDS).next()?, self.kept.back()?);
        if last.behind == 0 {
            return Some(0.0);
        }
        let seconds = to_f64(last.at.saturating_sub(first.at).max(0).unsigned_abs());
        let shrinks = to_f64(first.behind) - to_f64(last.behind);
        (shrinks > 0.0 && seconds > 0.0).then(|| to_f64(last.behind) * seconds / shrinks)
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
const fn to_f64(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
const fn count_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(seconds: &mut Seconds, at: i64, confirmed: u64, behind: u64) {
        let quantiles = (confirmed > 0).then_some([1, 2, 3]);
        seconds.filling = Second {
            orders: confirmed + 1,
            confirmed,
            refused: 1,
            outcomes: confirmed + 1,
            within: confirmed,
            answers: (confirmed, confirmed + 2),
            ..Second::default()
        };
        seconds.filling.reasons.0[Reason::Busy as usize] = 1;
        seconds.end(at, quantiles, behind);
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept_and_no_more() {
        let mut seconds = Seconds::default();
        for at in 0..1_000 {
            ended(&mut seconds, at, 3, 0);
        }
        let points = seconds.points(usize::MAX);
        assert_eq!((points.len(), points[0].at, points[899].at), (SECONDS_KEPT, 100, 999));
        assert_eq!(seconds.points(2).len(), 2);
        assert_eq!(points[0].p99_us, Some(2));
    }

    #[test]
    fn sums_are_over_what_there_is() {
        let mut seconds = Seconds::default();
        assert_eq!(seconds.judged(300).within, None);
        assert!(seconds.for_verdict(10, 300).confirmed_per_second.abs() < 1e-9);
        for at in 0..4 {
            ended(&mut seconds, at, 9, 0);
        }
        let judged = seconds.judged(300);
        assert_eq!((judged.seconds, judged.orders, judged.refused), (4, 40, 4));
        assert_eq!((judged.orders_per_minute, judged.within), (600.0, Some(0.9)));
        assert_eq!(judged.reason, Some((Reason::Busy, 4)));
        let flow = seconds.for_verdict(10, 300);
        assert_eq!((flow.answered, flow.answers), (Some(36.0 / 44.0), 44));
        assert!((seconds.for_verdict(10, 300).confirmed_per_second - 9.0).abs() < 1e-9);
    }

    #[test]
    fn a_backlog_that_shrinks_is_gone_at_some_time_and_one_that_grows_is_not() {
        let mut seconds = Seconds::default();
        assert_eq!(seconds.judged(300).clear_in, None);
        ended(&mut seconds, 0, 0, 100);
        assert_eq!(seconds.judged(300).clear_in, None, "a moment is no trend");
        ended(&mut seconds, 10, 0, 50);
        assert_eq!((seconds.judged(300).clear_in, seconds.judged(300).behind), (Some(10.0), 50));
        ended(&mut seconds, 11, 0, 200);
        assert_eq!(seconds.judged(300).clear_in, None);
        ended(&mut seconds, 12, 0, 0);
        assert_eq!(seconds.judged(300).clear_in, Some(0.0));
    }
}

//! The objective, as the log and the outcome stream tell it: how many outcomes were announced within the bound of being stored.
//!
//! What doors answered `busy` or `unavailable` was never stored, and how long commands waited at a door before they were is not in the
//! log: both are in the metrics `weir_slo_*` alone.

use crate::folds::analytics::BOUND_US;
use crate::folds::inventory::Entry;
use crate::motion::folding::{Applied, AppliedMessage};
use crate::motion::refold::Announced;
use crate::words::outcome::Reason;

/// Outcomes by how they were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    /// Announced within the bound, and not refused as the shard was busy.
    pub(super) good: u64,
    /// Announced later, or waiting for longer than that.
    pub(super) late: u64,
    /// Refused as the shard was busy.
    pub(super) busy: u64,
    /// Announced, but when that was is not known any more. Not counted.
    pub(super) unknown: u64,
}

impl Answered {
    pub(super) const fn all(&self) -> u64 {
        self.good + self.late + self.busy
    }

    /// Takes in a message of a batch; `now_ns` is the time of the report (since 1970).
    pub(super) fn take(&mut self, applied: &Applied, message: &AppliedMessage, told: Announced, now_ns: i64) {
        let entries = applied.output.entries(message.outcomes_end - message.outcomes, message.outcomes_end);
        let is_busy = |entry: &&Entry| entry.reason == Some(Reason::Busy) && !entry.repeat;
        let busy = entries.iter().filter(is_busy).count() as u64;
        self.count(message.stored_at_ns, told, (entries.len() as u64, busy), now_ns);
    }

    fn count(&mut self, stored_at_ns: i64, told: Announced, (all, busy): (u64, u64), now_ns: i64) {
        let is_late =
            |at_ns: i64| at_ns.saturating_sub(stored_at_ns).max(0).unsigned_abs() > BOUND_US * 1_000;
        match told {
            Announced::Nothing => {}
            Announced::Gone => self.unknown += all,
            Announced::NotYet if !is_late(now_ns) => {}
            Announced::NotYet => self.late += all,
            Announced::At(at_ns) => {
                self.busy += busy;
                let of = if is_late(at_ns) { &mut self.late } else { &mut self.good };
                *of += all - busy;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_busy_or_undecided_is_bad() {
        let (mut answered, stored, ms) = (Answered::default(), 1_000_000_000_000, 1_000_000);
        let now = stored + 10_000 * ms;
        let told = [
            (Announced::At(stored + 250 * ms), (5, 1)),
            (Announced::At(stored + 250 * ms + 1_000), (3, 0)),
            // A broker's clock that goes back makes nothing late.
            (Announced::At(stored - 900 * ms), (2, 0)),
            (Announced::Nothing, (0, 0)),
            (Announced::Gone, (7, 0)),
            (Announced::NotYet, (4, 0)),
        ];
        for (told, counts) in told {
            answered.count(stored, told, counts, now);
        }
        answered.count(now - 100 * ms, Announced::NotYet, (9, 0), now);
        assert_eq!(answered, Answered { good: 6, late: 7, busy: 1, unknown: 7 });
        assert_eq!(answered.all(), 14);
    }
}

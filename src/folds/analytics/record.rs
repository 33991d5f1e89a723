//! What an observer gets: a record of the log with the outcomes that it caused.

use crate::words::command::Command;
use crate::words::outcome::Outcome;
use crate::words::timestamp::Timestamp;

/// One record and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'r, 'a> {
    /// Log time.
    pub at: Timestamp,
    /// The command; none where the bytes were no command.
    pub command: Option<&'r Command<'a>>,
    /// Its outcomes, of others' orders too, in their order.
    pub outcomes: &'r [Outcome<'a>],
}

/// An event may be so much ahead of log time: clocks differ.
const AHEAD_MAX_MS: i64 = 5 * 60_000;
/// An event may be so old when it is told: ten years.
const BEHIND_MAX_MS: i64 = 3_653 * 86_400_000;

impl Record<'_, '_> {
    /// When this happened to an order that was placed at `placed_ms`: what the command says, or else log time `log_ms`, and never after
    /// that; all in milliseconds since 1970. None where what it says contradicts them: before the order was placed, in the future, or
    /// more than ten years ago.
    #[must_use]
    pub fn happened_ms(&self, placed_ms: i64, log_ms: i64) -> Option<i64> {
        let Some(occurred_ms) = self.occurred_at().map(Timestamp::millis) else { return Some(log_ms) };
        let early = occurred_ms < placed_ms || occurred_ms < log_ms.saturating_sub(BEHIND_MAX_MS);
        let odd = early || occurred_ms > log_ms.saturating_add(AHEAD_MAX_MS);
        (!odd).then_some(occurred_ms.min(log_ms))
    }

    /// When the command says that it happened, if it says so.
    #[must_use]
    pub fn occurred_at(&self) -> Option<Timestamp> {
        self.command?.content().occurred_at()
    }
}

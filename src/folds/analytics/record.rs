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

impl Record<'_, '_> {
    /// When the command says that it happened, if it says so.
    #[must_use]
    pub fn occurred_at(&self) -> Option<Timestamp> {
        match self.command? {
            Command::Review(it) => it.occurred_at,
            Command::Pay(it) => it.occurred_at,
            Command::PayFailed(it) => it.occurred_at,
            Command::Ship(it) => it.occurred_at,
            Command::Deliver(it) => it.occurred_at,
            Command::Return(it) => it.occurred_at,
            Command::Receive(it) => it.occurred_at,
            Command::Count(it) => it.occurred_at,
            _ => None,
        }
    }
}

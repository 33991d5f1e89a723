//! The commands, one file each: a ladder of checks, then its movements and its outcome. Every check comes before the first change; after the
//! last check the command cannot fail.

mod adjust;
mod amend;
mod cancel;
pub(super) mod content;
mod count;
mod extend;
mod facts;
mod lines;
mod pay;
mod place;
pub(super) mod plain;
pub(super) mod policy;
mod receive;
pub(super) mod refusal;
mod review;
mod told;
mod transfer;
pub(super) mod wants;

use super::Inventory;
use super::output::Turn;
use crate::words::command::Command;
use crate::words::outcome::Reason;
use refusal::Refusal;

impl Inventory {
    /// Decides a command; `alone` says whether it is the only one of its message.
    pub(super) fn decide<'c>(
        &mut self,
        command: &'c Command<'_>,
        alone: bool,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        match command {
            Command::Place(command) => self.place(command, turn),
            Command::Cancel(command) => self.cancel(command, turn),
            Command::Review(command) => self.review(command, turn),
            Command::Pay(command) => self.pay(command, turn),
            Command::PayFailed(command) => self.pay_failed(command, turn),
            Command::Ship(command) => self.ship(command, turn),
            Command::Deliver(command) => self.deliver(command, turn),
            Command::Return(command) => self.return_(command, turn),
            Command::Receive(command) => self.receive(command, turn),
            Command::Count(command) => self.count(command, turn),
            Command::Adjust(command) => self.adjust(command, turn),
            Command::Transfer(command) => self.transfer(command, turn),
            Command::Amend(command) => self.amend(command, turn),
            Command::Extend(command) => self.extend(command, turn),
            Command::Policy(_) if !alone => Err(Refusal::new(Reason::NotAlone)),
            Command::Policy(command) => self.apply_policy(command, turn),
            Command::Tick(_) => Ok(()),
        }
    }
}

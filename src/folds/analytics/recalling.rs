//! Taking orders up again after a skip: what was announced, but not measured, is read once more for the sake of the orders alone.
//!
//! [`Analytics::recall`] follows orders that are not known, and moves those that are known on, by the same rules as
//! [`Analytics::observe`]; it counts neither volume nor demand, refusals, reviews or cancels: those of a skip stay missing, as is told.
//! What is known already changes nothing, so that the stretch that is read again may overlap with what was measured. New orders are
//! followed at a pace of their own, as quick as that of live ones, and none is counted as passed over.

use super::{Analytics, Findings, Phase, Record};
use crate::words::command::Command;
use crate::words::outcome::{Decision, Outcome, State};

impl Analytics {
    /// Takes in a record of the past, in the order of the log, and says how many orders are followed anew by it.
    pub fn recall(&mut self, record: &Record<'_, '_>, findings: &mut Findings) -> u64 {
        let now_ms = std::mem::replace(&mut self.now_ms, record.at.millis());
        std::mem::swap(&mut self.orders.pace, &mut self.recalled);
        let before = self.orders.len();
        for outcome in record.outcomes {
            self.recall_outcome(record, outcome, findings);
        }
        std::mem::swap(&mut self.orders.pace, &mut self.recalled);
        self.now_ms = now_ms;
        self.orders.len().saturating_sub(before) as u64
    }

    fn recall_outcome(&mut self, record: &Record<'_, '_>, outcome: &Outcome<'_>, findings: &mut Findings) {
        match (&outcome.decision, record.command) {
            (
                Decision::Confirmed { order_id, released: false, repeat: None, .. },
                Some(Command::Place(place)),
            ) => {
                self.follow(order_id, place, Phase::Confirmed, findings);
            }
            (Decision::Waiting { order_id, repeat: None, .. }, Some(Command::Place(place))) => {
                self.follow(order_id, place, Phase::Waiting, findings);
            }
            (Decision::Confirmed { order_id, released: true, .. }, _) => self.released(order_id, findings),
            (Decision::Paid { order_id, repeat: None, state, .. }, _) => {
                self.pay(record, order_id, *state, findings);
            }
            (Decision::Shipped { order_id, repeat: None, .. }, _) => self.ship(record, order_id, findings),
            (Decision::Delivered { order_id, repeat: None, state, .. }, _) => {
                self.deliver(record, order_id, *state, findings);
            }
            (Decision::Cancelled { order_id, state, .. } | Decision::Expired { order_id, state, .. }, _)
                if matches!(state, State::Cancelled | State::Expired) =>
            {
                if let Some(place) = self.find(order_id) {
                    self.end(place, findings);
                }
            }
            _ => {}
        }
    }
}

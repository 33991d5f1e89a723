//! Reviews: noted, nothing decided by them.

use super::Inventory;
use super::orders::Found;
use super::output::Turn;
use super::refusal::Refusal;
use super::validate;
use crate::words::command::Review;
use crate::words::outcome::{Decision, Reason};

impl Inventory {
    pub(super) fn review<'c>(&self, command: &'c Review<'_>, turn: &mut Turn<'_>) -> Result<(), Refusal<'c>> {
        validate::ids([&command.order_id])?;
        validate::texts([("topic", command.topic.as_ref())])?;
        validate::times([command.occurred_at])?;
        if !(1..=5).contains(&command.score) {
            return Err(Refusal::detailed(Reason::InvalidValue, "score must be 1 to 5"));
        }
        // Reviews come late: a closed order may still be reviewed.
        let state = match self.orders.find(&command.order_id) {
            Found::Unknown => return Err(Refusal::new(Reason::UnknownOrder)),
            Found::Kept(slot) => self.orders.get(slot).state(),
            Found::Closed(closed) => closed.state,
        };
        turn.emit(&Decision::Reviewed { order_id: (&*command.order_id).into(), state });
        Ok(())
    }
}

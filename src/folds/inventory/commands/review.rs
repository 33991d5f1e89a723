//! Reviews: noted, nothing decided by them.

use super::content::Content;
use super::refusal::Refusal;
use super::told::repeat;
use super::wants;
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::tables::orders::Found;
use crate::folds::inventory::tables::sides::ToldKind;
use crate::words::command::Review;
use crate::words::outcome::{Decision, Reason};

impl Inventory {
    pub(crate) fn review<'c>(
        &mut self,
        command: &'c Review<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        wants::ids([&command.order_id])?;
        wants::ids(&command.review_id)?;
        wants::texts([("topic", command.topic.as_ref())])?;
        wants::times([command.occurred_at])?;
        if !(1..=5).contains(&command.score) {
            return Err(Refusal::detailed(Reason::InvalidValue, "score must be 1 to 5"));
        }
        let content = Content::new().number(command.score.cast_unsigned()).finish();
        let (state, again) = match self.orders.find(&command.order_id) {
            Found::Unknown => return Err(Refusal::new(Reason::UnknownOrder)),
            // Reviews come late: a closed order may still be reviewed.
            Found::Closed(closed) => (closed.state, None),
            Found::Kept(slot) => {
                let told = self.told(slot, &[ToldKind::Review], command.review_id.as_deref(), content)?;
                let again = match told {
                    Ok(told) => Some(repeat(told.first_sequence)),
                    Err(new) => {
                        self.keep_id(slot, new, turn);
                        None
                    }
                };
                (self.orders.view(slot).state(), again)
            }
        };
        turn.emit(&Decision::Reviewed {
            order_id: (&*command.order_id).into(),
            review_id: command.review_id.clone(),
            state,
            repeat: again,
        });
        Ok(())
    }
}

//! Extending a hold: more time to pay.

use super::content::Content;
use super::refusal::Refusal;
use super::told::repeat;
use super::wants;
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::tables::order::Flags;
use crate::folds::inventory::tables::sides::ToldKind;
use crate::words::command::Extend;
use crate::words::outcome::{Decision, Reason, State};

impl Inventory {
    pub(crate) fn extend<'c>(
        &mut self,
        command: &'c Extend<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        wants::ids([&command.order_id, &command.extension_id])?;
        if command.pay_within_ms < 1 {
            return Err(Refusal::detailed(Reason::InvalidValue, "pay_within_ms must be 1 or more"));
        }
        let content = Content::new().number(command.pay_within_ms.cast_unsigned()).finish();
        let slot = self.kept(&command.order_id)?;
        let told = self.told(slot, &[ToldKind::Extension], Some(&command.extension_id), content)?;
        let again = match told {
            Ok(told) => Some(repeat(told.first_sequence)),
            Err(new) => {
                let view = self.orders.view(slot);
                wants::hold(Some(command.pay_within_ms), &self.policy)
                    .map_err(|refusal| Refusal { order_state: Some(view.state()), ..refusal })?;
                let refused = match view.state() {
                    State::Cancelled => Some(Reason::AlreadyCancelled),
                    State::Expired => Some(Reason::OrderExpired),
                    _ if view.order.flags.has(Flags::PAID) => Some(Reason::AlreadyPaid),
                    _ if view.pay_by().is_none() => Some(Reason::NothingRemains),
                    _ => None,
                };
                if let Some(reason) = refused {
                    return Err(Refusal::of_order(reason, view.state()));
                }

                // From here on it succeeds.
                self.keep_id(slot, new, turn);
                self.deadlines.end(&mut self.orders, slot);
                let pay_by = self.now.plus_millis(command.pay_within_ms);
                self.deadlines.set(&mut self.orders, slot, pay_by);
                None
            }
        };
        let view = self.orders.view(slot);
        turn.emit(&Decision::Extended {
            order_id: (&*command.order_id).into(),
            extension_id: (&*command.extension_id).into(),
            pay_by: view.pay_by(),
            state: view.state(),
            repeat: again,
        });
        Ok(())
    }
}

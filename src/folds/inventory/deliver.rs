//! Delivering: a fact. What was delivered must have been shipped, even if nobody said so yet.

use smallvec::SmallVec;

use super::Inventory;
use super::facts::{FactKind, Told};
use super::order::Part;
use super::output::Turn;
use super::pay::repeat;
use super::refusal::Refusal;
use super::ship::{Leaving, Marks, first_of};
use super::validate;
use crate::words::command::Deliver;
use crate::words::outcome::{Decision, Mark, Reason, State};

impl Inventory {
    pub(super) fn deliver<'c>(
        &mut self,
        command: &'c Deliver<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        validate::ids([&command.order_id])?;
        validate::ids(&command.shipment_id)?;
        validate::times([command.occurred_at])?;
        let content = self.fact_content(&command.order_id, command.lines.as_deref())?;
        if let Some(shipment_id) = &command.shipment_id
            && let Some(told) = self.facts.check(FactKind::Delivery, shipment_id, content)?
        {
            let state = self.state_of(&command.order_id);
            turn.emit(&Decision::Delivered {
                order_id: (&*command.order_id).into(),
                lines: Vec::new(),
                marks: Vec::new(),
                state: state.unwrap_or(State::Delivered),
                repeat: Some(repeat(told, None)),
            });
            return Ok(());
        }
        let slot = self.kept(&command.order_id)?;
        let order = self.orders.get(slot);
        let state = order.state();
        let amounts = match &command.lines {
            Some(lines) => self.amounts(slot, lines)?,
            None => first_of(
                order,
                &[
                    &|part| part.shipped,
                    &|part| part.reserved + part.waiting,
                    &|part| part.delivery_due,
                    &|part| part.cancelled,
                ],
            )
            .ok_or(Refusal::of_order(Reason::NothingRemains, state))?,
        };
        let deliverable =
            |part: &Part| part.shipped + part.reserved + part.waiting + part.delivery_due + part.cancelled;
        if order.parts().iter().zip(&amounts).any(|(part, amount)| *amount > deliverable(part)) {
            return Err(Refusal::of_order(Reason::ExceedsRemaining, state));
        }
        self.check_shipped(order, &amounts)?;

        // From here on it succeeds.
        if let Some(shipment_id) = &command.shipment_id {
            let told = Told { content, first_sequence: turn.sequence() };
            self.facts.remember(FactKind::Delivery, shipment_id, told, turn.at);
        }
        let mut marks = Marks::default();
        let mut parts = order.parts();
        let mut leaving = SmallVec::<[Leaving; 4]>::new();
        for (part, &amount) in parts.iter_mut().zip(&amounts) {
            let shipped = Part::take(&mut part.shipped, amount);
            let fresh = (amount - shipped).min(part.reserved + part.waiting);
            let late = Part::take(&mut part.delivery_due, amount - shipped - fresh);
            let left = Leaving::take(part, amount - shipped - late);
            part.delivered += shipped + left.units();
            part.shipping_due += left.units();
            marks.add(Mark::WasNotShipped, left.units() > 0);
            marks.add(Mark::OutOfOrder, late > 0);
            leaving.push(left);
        }
        self.leave(slot, &parts, &leaving, &mut marks, turn);
        let order = self.orders.get(slot);
        turn.emit(&Decision::Delivered {
            order_id: order.id.as_str().into(),
            lines: self.lines_of(order, &amounts),
            marks: marks.into_vec(),
            state: order.state(),
            repeat: None,
        });
        Ok(())
    }
}

//! Cancelling: what waits or is reserved is given up; what has left cannot be.

use super::Inventory;
use super::lines::{all, is_nothing};
use super::order::Part;
use super::output::Turn;
use super::refusal::Refusal;
use super::validate;
use crate::words::command::Cancel;
use crate::words::outcome::{Decision, Reason, State};

impl Inventory {
    pub(super) fn cancel<'c>(
        &mut self,
        command: &'c Cancel<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        validate::ids([&command.order_id])?;
        validate::texts([("by", command.by.as_ref()), ("reason", command.reason.as_ref())])?;
        let slot = self.kept(&command.order_id)?;
        let order = self.orders.get(slot);
        let state = order.state();
        let remaining = |part: &Part| part.waiting + part.reserved;
        let amounts = match &command.lines {
            None => all(order, remaining),
            Some(lines) => self.amounts(slot, lines)?,
        };
        if is_nothing(&amounts) {
            return Err(Refusal::of_order(
                match state {
                    State::Cancelled => Reason::AlreadyCancelled,
                    State::Expired => Reason::OrderExpired,
                    _ => Reason::AlreadyShipped,
                },
                state,
            ));
        }
        let mut parts = order.parts();
        for (part, &amount) in parts.iter().zip(&amounts) {
            if amount > remaining(part) {
                let left_too = remaining(part) + part.shipped + part.delivered + part.returned;
                let reason = match state {
                    State::Cancelled => Reason::AlreadyCancelled,
                    State::Expired => Reason::OrderExpired,
                    _ if amount <= left_too => Reason::AlreadyShipped,
                    _ => Reason::ExceedsRemaining,
                };
                return Err(Refusal::of_order(reason, state));
            }
        }

        // From here on it succeeds.
        let lines = order.copied_lines();
        let was_waiting = order.is_waiting();
        for ((line, part), &amount) in lines.iter().zip(&mut parts).zip(&amounts) {
            let waiting = Part::take(&mut part.waiting, amount);
            let reserved = Part::take(&mut part.reserved, amount - waiting);
            part.cancelled += amount;
            self.stock.unreserve(line.stock, i64::from(reserved));
            if reserved > 0 {
                self.release(line.stock);
            }
        }
        self.change(slot, &parts, turn.at);
        if was_waiting {
            self.repark(slot);
        }
        let order = self.orders.get(slot);
        turn.emit(&Decision::Cancelled {
            order_id: order.id.as_str().into(),
            lines: self.lines_of(order, &amounts),
            by: command.by.clone(),
            reason: command.reason.clone(),
            state: order.state(),
        });
        Ok(())
    }
}

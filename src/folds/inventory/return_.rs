//! Returning: a fact. What came back must have left, even if nobody said so yet.

use smallvec::SmallVec;

use super::Inventory;
use super::ahead::Seen;
use super::content::Content;
use super::facts::{FactKind, Told};
use super::lines::Amounts;
use super::order::Part;
use super::orders::Slot;
use super::output::Turn;
use super::pay::repeat;
use super::refusal::Refusal;
use super::ship::{Leaving, Marks, first_of};
use super::validate;
use crate::words::command::{Line, Return};
use crate::words::outcome::{Decision, Mark, Reason, State};
use crate::words::policy::STOCK_MAX;

/// How many units of each line came back, and how many of those go back on the shelf.
struct Back {
    amounts: Amounts,
    restocked: Amounts,
}

impl Inventory {
    pub(super) fn return_<'c>(
        &mut self,
        command: &'c Return<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        validate::ids([&command.order_id, &command.return_id])?;
        validate::texts([("reason", command.reason.as_ref())])?;
        validate::times([command.occurred_at])?;
        let content = self.return_content(command)?;
        if let Some(told) = self.facts.check(FactKind::Return, &command.return_id, content)? {
            let state = self.state_of(&command.order_id);
            turn.emit(&Decision::Returned {
                order_id: (&*command.order_id).into(),
                return_id: (&*command.return_id).into(),
                lines: Vec::new(),
                marks: Vec::new(),
                state: state.unwrap_or(State::Returned),
                repeat: Some(repeat(told, None)),
            });
            return Ok(());
        }
        let slot = self.kept(&command.order_id)?;
        let back = self.back(slot, command)?;
        let order = self.orders.get(slot);
        let state = order.state();
        let returnable =
            |part: &Part| part.delivered + part.shipped + part.reserved + part.waiting + part.cancelled;
        if order.parts().iter().zip(&back.amounts).any(|(part, amount)| *amount > returnable(part)) {
            return Err(Refusal::of_order(Reason::ExceedsRemaining, state));
        }
        self.check_shipped(order, &back.amounts)?;
        if order.lines().iter().zip(&back.restocked).any(|(line, &units)| {
            let item = self.stock.get(line.stock);
            self.stock.flows(line.stock).restocked.max(item.on_hand) + i64::from(units) > STOCK_MAX
        }) {
            return Err(Refusal::of_order(Reason::StockLimit, state));
        }

        // From here on it succeeds.
        let told = Told { content, first_sequence: turn.sequence() };
        self.facts.remember(FactKind::Return, &command.return_id, told, turn.at);
        let mut marks = Marks::default();
        let mut parts = order.parts();
        let lines = order.copied_lines();
        let mut leaving = SmallVec::<[Leaving; 4]>::new();
        for (part, &amount) in parts.iter_mut().zip(&back.amounts) {
            let delivered = Part::take(&mut part.delivered, amount);
            let shipped = Part::take(&mut part.shipped, amount - delivered);
            let left = Leaving::take(part, amount - delivered - shipped);
            part.returned += amount;
            part.shipping_due += left.units();
            part.delivery_due += shipped + left.units();
            marks.add(Mark::WasNotShipped, left.units() > 0);
            leaving.push(left);
        }
        self.leave(slot, &parts, &leaving, &mut marks, turn);
        for (line, &units) in lines.iter().zip(&back.restocked) {
            if units > 0 {
                self.stock.restock(line.stock, i64::from(units));
                self.release(line.stock);
            }
        }
        let order = self.orders.get(slot);
        turn.emit(&Decision::Returned {
            order_id: order.id.as_str().into(),
            return_id: (&*command.return_id).into(),
            lines: self.lines_of(order, &back.amounts),
            marks: marks.into_vec(),
            state: order.state(),
            repeat: None,
        });
        Ok(())
    }

    fn back(&self, slot: Slot, command: &Return<'_>) -> Result<Back, Refusal<'static>> {
        let order = self.orders.get(slot);
        let Some(lines) = &command.lines else {
            let amounts = first_of(
                order,
                &[&|part| part.delivered + part.shipped, &|part| part.reserved + part.waiting, &|part| {
                    part.cancelled
                }],
            )
            .ok_or(Refusal::of_order(Reason::NothingRemains, order.state()))?;
            let restocked =
                if command.restock { amounts.clone() } else { amounts.iter().map(|_| 0).collect() };
            return Ok(Back { amounts, restocked });
        };
        let named = |only_restocked: bool| -> Vec<Line<'_>> {
            lines
                .iter()
                .filter(|line| line.restock || !only_restocked)
                .map(|line| Line { sku: (&*line.sku).into(), quantity: line.quantity })
                .collect()
        };
        let amounts = self.amounts(slot, &named(false))?;
        let restocked = named(true);
        let restocked = if restocked.is_empty() {
            amounts.iter().map(|_| 0).collect()
        } else {
            self.amounts(slot, &restocked)?
        };
        Ok(Back { amounts, restocked })
    }

    fn return_content(&self, command: &Return<'_>) -> Result<u64, Refusal<'static>> {
        let content = Content::new().text(&command.order_id);
        let Some(lines) = &command.lines else {
            return Ok(content.number(u64::from(command.restock)).finish());
        };
        // Checks that the lines are lines; the sum over them leaves their order out.
        let plain: Vec<_> =
            lines.iter().map(|line| Line { sku: (&*line.sku).into(), quantity: line.quantity }).collect();
        validate::wants(&plain, 1, &self.stock, &Seen::default())?;
        let sum = |restock: bool| -> Result<u64, Refusal<'static>> {
            let chosen: Vec<_> =
                lines.iter().zip(&plain).filter(|(line, _)| line.restock == restock).collect();
            let chosen: Vec<_> = chosen.into_iter().map(|(_, plain)| plain.clone()).collect();
            if chosen.is_empty() {
                return Ok(0);
            }
            Ok(Content::new().wants(&validate::wants(&chosen, 1, &self.stock, &Seen::default())?).finish())
        };
        Ok(content.number(sum(true)?).number(sum(false)?).finish())
    }
}

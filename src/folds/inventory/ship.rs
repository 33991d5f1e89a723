//! Shipping: a fact. Goods that left have left, also where the books say that they were cancelled, never reserved, or
//! not there.

use smallvec::SmallVec;

use super::Inventory;
use super::ahead::Seen;
use super::content::Content;
use super::facts::{FactKind, Told};
use super::lines::{Amounts, all, is_nothing};
use super::order::{Order, Part, Parts};
use super::orders::Slot;
use super::output::Turn;
use super::pay::repeat;
use super::refusal::Refusal;
use super::validate;
use crate::words::command::{Line, Ship};
use crate::words::outcome::{Decision, Mark, Reason, State};
use crate::words::policy::STOCK_MAX;

/// Marks, each once, in order.
#[derive(Default)]
pub(super) struct Marks(SmallVec<[Mark; 2]>);

impl Marks {
    pub(super) fn add(&mut self, mark: Mark, applies: bool) {
        if applies && !self.0.contains(&mark) {
            self.0.push(mark);
        }
    }

    pub(super) fn into_vec(mut self) -> Vec<Mark> {
        self.0.sort_unstable();
        self.0.into_vec()
    }
}

/// Units that leave the site, out of what the books had them as.
#[derive(Clone, Copy, Default)]
pub(super) struct Leaving {
    reserved: u32,
    waiting: u32,
    cancelled: u32,
}

impl Leaving {
    /// Takes `amount` units that have not left yet out of a part.
    pub(super) fn take(part: &mut Part, amount: u32) -> Self {
        let reserved = Part::take(&mut part.reserved, amount);
        let waiting = Part::take(&mut part.waiting, amount - reserved);
        let cancelled = Part::take(&mut part.cancelled, amount - reserved - waiting);
        Self { reserved, waiting, cancelled }
    }

    pub(super) const fn units(self) -> u32 {
        self.reserved + self.waiting + self.cancelled
    }
}

impl Inventory {
    pub(super) fn ship<'c>(&mut self, command: &'c Ship<'_>, turn: &mut Turn<'_>) -> Result<(), Refusal<'c>> {
        validate::ids([&command.order_id])?;
        validate::ids(&command.shipment_id)?;
        validate::texts([("carrier", command.carrier.as_ref())])?;
        validate::times([command.occurred_at])?;
        let content = self.fact_content(&command.order_id, command.lines.as_deref())?;
        if let Some(shipment_id) = &command.shipment_id
            && let Some(told) = self.facts.check(FactKind::Shipment, shipment_id, content)?
        {
            let state = self.state_of(&command.order_id);
            turn.emit(&Decision::Shipped {
                order_id: (&*command.order_id).into(),
                lines: Vec::new(),
                marks: Vec::new(),
                state: state.unwrap_or(State::Shipped),
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
                &[&|part| part.reserved + part.waiting, &|part| part.shipping_due, &|part| part.cancelled],
            )
            .ok_or(Refusal::of_order(Reason::NothingRemains, state))?,
        };
        let shippable = |part: &Part| part.reserved + part.waiting + part.shipping_due + part.cancelled;
        if order.parts().iter().zip(&amounts).any(|(part, amount)| *amount > shippable(part)) {
            return Err(Refusal::of_order(Reason::ExceedsRemaining, state));
        }
        self.check_shipped(order, &amounts)?;

        // From here on it succeeds.
        if let Some(shipment_id) = &command.shipment_id {
            let told = Told { content, first_sequence: turn.sequence() };
            self.facts.remember(FactKind::Shipment, shipment_id, told, turn.at);
        }
        let mut marks = Marks::default();
        let mut parts = order.parts();
        let mut leaving = SmallVec::<[Leaving; 4]>::new();
        for (part, &amount) in parts.iter_mut().zip(&amounts) {
            // What is reserved or waits goes first; then late news of what was taken as shipped; what had been
            // cancelled last.
            let fresh = amount.min(part.reserved + part.waiting);
            let late = Part::take(&mut part.shipping_due, amount - fresh);
            let left = Leaving::take(part, amount - late);
            part.shipped += left.units();
            marks.add(Mark::OutOfOrder, late > 0);
            leaving.push(left);
        }
        self.leave(slot, &parts, &leaving, &mut marks, turn);
        let order = self.orders.get(slot);
        turn.emit(&Decision::Shipped {
            order_id: order.id.as_str().into(),
            lines: self.lines_of(order, &amounts),
            marks: marks.into_vec(),
            state: order.state(),
            repeat: None,
        });
        Ok(())
    }

    /// What makes two facts about an order under one id the same.
    pub(super) fn fact_content(
        &self,
        order_id: &str,
        lines: Option<&[Line<'_>]>,
    ) -> Result<u64, Refusal<'static>> {
        let content = Content::new().text(order_id);
        Ok(match lines {
            None => content.finish(),
            Some(lines) => content.wants(&validate::wants(lines, 1, &self.stock, &Seen::default())?).finish(),
        })
    }

    /// Goods shipped are summed up for ever: refuses what would pass the largest sum.
    pub(super) fn check_shipped(&self, order: &Order, amounts: &[u32]) -> Result<(), Refusal<'static>> {
        let fits = order.lines().iter().zip(amounts).all(|(line, &amount)| {
            let item = self.stock.get(line.stock);
            self.stock.flows(line.stock).shipped + i64::from(amount) <= STOCK_MAX
                && item.on_hand - i64::from(amount) >= -STOCK_MAX
        });
        if fits { Ok(()) } else { Err(Refusal::of_order(Reason::StockLimit, order.state())) }
    }

    /// Takes goods that left out of stock, and gives their order its new parts.
    pub(super) fn leave(
        &mut self,
        slot: Slot,
        parts: &Parts,
        leaving: &[Leaving],
        marks: &mut Marks,
        turn: &Turn<'_>,
    ) {
        let order = self.orders.get(slot);
        let was_waiting = order.is_waiting();
        let lines = order.copied_lines();
        let mut lowered = SmallVec::<[_; 4]>::new();
        for (line, left) in lines.iter().zip(leaving) {
            if left.units() > 0 {
                lowered.push((line.stock, self.stock.available(line.stock)));
                self.stock.ship(line.stock, i64::from(left.units()), i64::from(left.reserved));
                marks.add(Mark::WasWaiting, left.waiting > 0);
                marks.add(Mark::WasCancelled, left.cancelled > 0);
                marks.add(Mark::BelowZero, self.stock.get(line.stock).on_hand < 0);
            }
        }
        self.change(slot, parts, turn.at);
        if was_waiting {
            self.repark(slot);
        }
        for (stock, before) in lowered {
            self.lowered(stock, before);
        }
    }
}

/// What "all that remain" means: the first of `choices` that gives anything.
pub(super) fn first_of(order: &Order, choices: &[&dyn Fn(&Part) -> u32]) -> Option<Amounts> {
    choices.iter().map(|choice| all(order, choice)).find(|amounts| !is_nothing(amounts))
}

//! The naive model's ladders of facts: paying, shipping, delivering, returning. See [`crate::model`].

use std::collections::BTreeMap;

use weir::words::command::{Deliver, Line, Pay, PayFailed, Return, Ship};
use weir::words::outcome::{Decision, Mark, Reason, State};

use crate::model::{Fact, Model, Refusal, Units, told};
use crate::model_orders::{Decided, all_of, map, marked, no, no_as, repeat, sums, take};

impl Model {
    /// The sequence at which the same fact was told before.
    pub(crate) fn before(&self, kind: &str, id: &str, content: &str) -> Result<Option<u64>, Refusal> {
        match self.facts.iter().find(|fact| fact.kind == kind && fact.id == id) {
            None => Ok(None),
            Some(fact) if fact.content == content => Ok(Some(fact.first_sequence)),
            Some(_) => no(Reason::IdConflict),
        }
    }

    pub(crate) fn remember(&mut self, kind: &'static str, id: &str, content: String) {
        let (first_sequence, at) = (self.sequence, self.now);
        self.facts.push(Fact { kind, id: id.to_owned(), content, first_sequence, at });
    }

    fn state_of(&self, id: &str) -> Option<State> {
        self.find(id).map(|index| self.orders[index].state())
    }

    pub(crate) fn pay(&mut self, it: &Pay<'_>) -> Decided {
        let order_id = it.order_id.to_string();
        if let Some(attempt) = &it.attempt_id
            && let Some(first) = self.before("payment", attempt, &order_id)?
        {
            let state = self.state_of(&order_id).unwrap_or(State::Paid);
            let repeat = repeat(first, None);
            return Ok(Decision::Paid { order_id: order_id.into(), marks: vec![], state, repeat });
        }
        let index = self.kept(&order_id)?;
        let order = &mut self.orders[index];
        match order.state() {
            State::Cancelled => return no_as(Reason::AlreadyCancelled, order),
            State::Expired => return no_as(Reason::OrderExpired, order),
            _ if order.paid => return no_as(Reason::AlreadyPaid, order),
            _ => {}
        }
        order.paid = true;
        order.pay_by = None;
        let marks = if order.expired { vec![Mark::WasCancelled] } else { vec![] };
        let state = order.state();
        if let Some(attempt) = &it.attempt_id {
            self.remember("payment", attempt, order_id.clone());
        }
        Ok(Decision::Paid { order_id: order_id.into(), marks, state, repeat: None })
    }

    pub(crate) fn pay_failed(&mut self, it: &PayFailed<'_>) -> Decided {
        let order_id = it.order_id.to_string();
        let first = self.before("failed", &it.attempt_id, &order_id)?;
        if first.is_none() {
            self.kept(&order_id)?;
            self.remember("failed", &it.attempt_id, order_id.clone());
        }
        Ok(Decision::PaymentFailed {
            repeat: first.and_then(|first| repeat(first, self.state_of(&order_id))),
            order_id: order_id.into(),
            attempt_id: it.attempt_id.to_string().into(),
        })
    }

    /// Goods leave: out of what is reserved, then out of what waits, then out of what was cancelled.
    fn leave(&mut self, index: usize, leaving: &[i64], marks: &mut Vec<Mark>) {
        let site = self.orders[index].site.clone();
        let before = self.available_of(index);
        for (line, &units) in leaving.iter().enumerate() {
            let it = &mut self.orders[index].lines[line];
            let sku = it.sku.clone();
            let reserved = take(&mut it.reserved, units);
            let waiting = take(&mut it.waiting, units - reserved);
            let cancelled = take(&mut it.cancelled, units - reserved - waiting);
            assert_eq!(reserved + waiting + cancelled, units);
            let item = self.item(&site, &sku).unwrap();
            item.on_hand -= units;
            item.shipped += units;
            let below = item.on_hand < 0;
            let all = [
                (Mark::WasWaiting, waiting > 0),
                (Mark::WasCancelled, cancelled > 0),
                (Mark::BelowZero, below && units > 0),
            ];
            marks.extend(all.into_iter().filter(|(_, applies)| *applies).map(|(mark, _)| mark));
        }
        self.changed(index);
        self.park_anew(index);
        self.all_lowered(index, &before);
    }

    fn fact_content(id: &str, lines: Option<&[Line<'_>]>) -> Result<String, Refusal> {
        let lines = lines.map(|lines| sums(lines, 1)).transpose()?;
        Ok(format!("{id:?} {:?}", lines.map(|sums| map(&sums))))
    }

    pub(crate) fn ship(&mut self, it: &Ship<'_>) -> Decided {
        let order_id = it.order_id.to_string();
        let content = Self::fact_content(&order_id, it.lines.as_deref())?;
        if let Some(id) = &it.shipment_id
            && let Some(first) = self.before("shipment", id, &content)?
        {
            let state = self.state_of(&order_id).unwrap_or(State::Shipped);
            let (order_id, repeat) = (order_id.into(), repeat(first, None));
            return Ok(Decision::Shipped { order_id, lines: vec![], marks: vec![], state, repeat });
        }
        let index = self.kept(&order_id)?;
        let order = &self.orders[index];
        let amounts = match &it.lines {
            Some(lines) => self.amounts(index, lines)?,
            None => all_of(order, &[|it| it.reserved + it.waiting, |it| it.ship_due, |it| it.cancelled])?,
        };
        let can = |it: &Units| it.reserved + it.waiting + it.ship_due + it.cancelled;
        if order.lines.iter().zip(&amounts).any(|(line, amount)| *amount > can(line)) {
            return no_as(Reason::ExceedsRemaining, order);
        }
        if let Some(id) = &it.shipment_id {
            self.remember("shipment", id, content);
        }
        let (mut marks, mut leaving) = (vec![], vec![]);
        for (line, &amount) in self.orders[index].lines.iter_mut().zip(&amounts) {
            let fresh = amount.min(line.reserved + line.waiting);
            let late = take(&mut line.ship_due, amount - fresh);
            if late > 0 {
                marks.push(Mark::OutOfOrder);
            }
            line.shipped += amount - late;
            leaving.push(amount - late);
        }
        self.leave(index, &leaving, &mut marks);
        let (order, marks) = (&self.orders[index], marked(marks));
        let (lines, state) = (told(order, &amounts), order.state());
        Ok(Decision::Shipped { order_id: order_id.into(), lines, marks, state, repeat: None })
    }

    pub(crate) fn deliver(&mut self, it: &Deliver<'_>) -> Decided {
        let order_id = it.order_id.to_string();
        let content = Self::fact_content(&order_id, it.lines.as_deref())?;
        if let Some(id) = &it.shipment_id
            && let Some(first) = self.before("delivery", id, &content)?
        {
            let state = self.state_of(&order_id).unwrap_or(State::Delivered);
            let (order_id, repeat) = (order_id.into(), repeat(first, None));
            return Ok(Decision::Delivered { order_id, lines: vec![], marks: vec![], state, repeat });
        }
        let index = self.kept(&order_id)?;
        let order = &self.orders[index];
        let amounts = match &it.lines {
            Some(lines) => self.amounts(index, lines)?,
            None => all_of(
                order,
                &[|it| it.shipped, |it| it.reserved + it.waiting, |it| it.deliver_due, |it| it.cancelled],
            )?,
        };
        let can = |it: &Units| it.shipped + it.reserved + it.waiting + it.deliver_due + it.cancelled;
        if order.lines.iter().zip(&amounts).any(|(line, amount)| *amount > can(line)) {
            return no_as(Reason::ExceedsRemaining, order);
        }
        if let Some(id) = &it.shipment_id {
            self.remember("delivery", id, content);
        }
        let (mut marks, mut leaving) = (vec![], vec![]);
        for (line, &amount) in self.orders[index].lines.iter_mut().zip(&amounts) {
            let shipped = take(&mut line.shipped, amount);
            let fresh = (amount - shipped).min(line.reserved + line.waiting);
            let late = take(&mut line.deliver_due, amount - shipped - fresh);
            let left = amount - shipped - late;
            marks.extend((late > 0).then_some(Mark::OutOfOrder));
            marks.extend((left > 0).then_some(Mark::WasNotShipped));
            line.delivered += shipped + left;
            line.ship_due += left;
            leaving.push(left);
        }
        self.leave(index, &leaving, &mut marks);
        let (order, marks) = (&self.orders[index], marked(marks));
        let (lines, state) = (told(order, &amounts), order.state());
        Ok(Decision::Delivered { order_id: order_id.into(), lines, marks, state, repeat: None })
    }

    pub(crate) fn return_(&mut self, it: &Return<'_>) -> Decided {
        let (order_id, return_id) = (it.order_id.to_string(), it.return_id.to_string());
        let named = |wanted: fn(bool) -> bool| -> Vec<Line<'_>> {
            let lines = it.lines.iter().flatten().filter(|line| wanted(line.restock));
            lines.map(|line| Line { sku: line.sku.clone(), quantity: line.quantity }).collect()
        };
        let (all, restocked) = (named(|_| true), named(|restock| restock));
        let plain = named(|restock| !restock);
        if it.lines.is_some() {
            sums(&all, 1)?;
        }
        let summed = |lines: &[Line<'_>]| sums(lines, 1).map_or_else(|_| BTreeMap::new(), |sums| map(&sums));
        let content = match it.lines {
            None => format!("{order_id:?} {}", it.restock),
            Some(_) => format!("{order_id:?} {:?} {:?}", summed(&restocked), summed(&plain)),
        };
        if let Some(first) = self.before("return", &return_id, &content)? {
            let state = self.state_of(&order_id).unwrap_or(State::Returned);
            return Ok(Decision::Returned {
                order_id: order_id.into(),
                return_id: return_id.into(),
                lines: vec![],
                marks: vec![],
                state,
                repeat: repeat(first, None),
            });
        }
        let index = self.kept(&order_id)?;
        let order = &self.orders[index];
        let amounts = match it.lines {
            Some(_) => self.amounts(index, &all)?,
            None => all_of(
                order,
                &[|it| it.delivered + it.shipped, |it| it.reserved + it.waiting, |it| it.cancelled],
            )?,
        };
        let shelved = match it.lines {
            Some(_) => summed(&restocked),
            None if it.restock => {
                order.lines.iter().map(|line| line.sku.clone()).zip(amounts.iter().copied()).collect()
            }
            None => BTreeMap::new(),
        };
        let can = |it: &Units| it.quantity - it.returned;
        if order.lines.iter().zip(&amounts).any(|(line, amount)| *amount > can(line)) {
            return no_as(Reason::ExceedsRemaining, order);
        }
        self.remember("return", &return_id, content);
        let (mut marks, mut leaving) = (vec![], vec![]);
        for (line, &amount) in self.orders[index].lines.iter_mut().zip(&amounts) {
            let delivered = take(&mut line.delivered, amount);
            let shipped = take(&mut line.shipped, amount - delivered);
            let left = amount - delivered - shipped;
            marks.extend((left > 0).then_some(Mark::WasNotShipped));
            line.returned += amount;
            line.ship_due += left;
            line.deliver_due += shipped + left;
            leaving.push(left);
        }
        self.leave(index, &leaving, &mut marks);
        let order = self.orders[index].clone();
        for line in &order.lines {
            let units = shelved.get(&line.sku).copied().unwrap_or(0);
            if units > 0 {
                let item = self.item(&order.site, &line.sku).unwrap();
                item.on_hand += units;
                item.restocked += units;
                self.has_moved(&order.site, &line.sku);
            }
        }
        Ok(Decision::Returned {
            order_id: order_id.into(),
            return_id: return_id.into(),
            lines: told(&order, &amounts),
            marks: marked(marks),
            state: order.state(),
            repeat: None,
        })
    }
}

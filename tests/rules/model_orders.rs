//! The naive model's ladders: what a command comes to, and what commands about orders come to. See [`crate::model`].

use std::collections::BTreeMap;

use weir::words::command::{Cancel, Command, Line, OnShortage, Place};
use weir::words::outcome::{Decision, Mark, Reason, Repeat, Shortage, State, Subject, True};
use weir::words::policy::QUANTITY_LIMIT_MAX;
use weir::words::text::is_id;
use weir::words::timestamp::Timestamp;

use crate::model::{Content, Model, Order, Phase, Refusal, Units, count, refused, told};

pub(crate) type Decided = Result<Decision<'static>, Refusal>;

pub(crate) fn no<T>(reason: Reason) -> Result<T, Refusal> {
    Err(Refusal::new(reason))
}

pub(crate) fn no_as<T>(reason: Reason, order: &Order) -> Result<T, Refusal> {
    Err(Refusal { state: Some(order.state()), ..Refusal::new(reason) })
}

/// Sums by SKU, in the order in which SKUs are first named.
pub(crate) fn sums(lines: &[Line<'_>], least: i64) -> Result<Vec<(String, i64)>, Refusal> {
    let mut sums: Vec<(String, i64)> = vec![];
    for line in lines {
        if !is_id(&line.sku) {
            return no(Reason::InvalidId);
        }
        if line.quantity < least || line.quantity > QUANTITY_LIMIT_MAX {
            return no(Reason::InvalidQuantity);
        }
        match sums.iter_mut().find(|(sku, _)| *sku == line.sku) {
            Some((_, sum)) => *sum += line.quantity,
            None => sums.push((line.sku.to_string(), line.quantity)),
        }
    }
    if sums.is_empty() { no(Reason::NoLines) } else { Ok(sums) }
}

pub(crate) fn map(sums: &[(String, i64)]) -> BTreeMap<String, i64> {
    sums.iter().cloned().collect()
}

pub(crate) fn take(from: &mut i64, wanted: i64) -> i64 {
    let taken = wanted.min(*from);
    *from -= taken;
    taken
}

/// The first of several readings of "all that remain" that gives anything.
pub(crate) fn all_of(order: &Order, readings: &[fn(&Units) -> i64]) -> Result<Vec<i64>, Refusal> {
    let each = readings.iter().map(|of| order.lines.iter().map(of).collect::<Vec<_>>());
    each.into_iter()
        .find(|amounts| amounts.iter().sum::<i64>() > 0)
        .map_or_else(|| no_as(Reason::NothingRemains, order), Ok)
}

pub(crate) fn marked(mut marks: Vec<Mark>) -> Vec<Mark> {
    marks.sort_unstable();
    marks.dedup();
    marks
}

impl Model {
    pub(crate) fn decide(&mut self, command: &Command<'_>) -> Option<Decision<'static>> {
        let order = |id: &str| is_id(id).then(|| Subject::OrderId(id.to_owned().into()));
        let (subject, decided) = match command {
            Command::Tick(_) => return None,
            Command::Place(it) => (order(&it.order_id), self.place(it)),
            Command::Cancel(it) => (order(&it.order_id), self.cancel(it)),
            Command::Review(it) => (order(&it.order_id), self.review(&it.order_id, it.score)),
            Command::Pay(it) => (order(&it.order_id), self.pay(it)),
            Command::PayFailed(it) => (order(&it.order_id), self.pay_failed(it)),
            Command::Ship(it) => (order(&it.order_id), self.ship(it)),
            Command::Deliver(it) => (order(&it.order_id), self.deliver(it)),
            Command::Return(it) => (order(&it.order_id), self.return_(it)),
            Command::Receive(it) => {
                (Some(Subject::ReceiptId(it.receipt_id.to_string().into())), self.receive(it))
            }
            Command::Count(it) => {
                (Some(Subject::CountId(it.count_id.to_string().into())), self.count_stock(it))
            }
            Command::Policy(it) => (None, self.set_policy(it)),
        };
        Some(decided.unwrap_or_else(|refusal| refused(command.kind(), subject, refusal)))
    }

    pub(crate) fn limits(&self, lines: usize, sums: &[(String, i64)]) -> Result<(), Refusal> {
        if count(lines) > self.policy.lines_max {
            return no(Reason::TooManyLines);
        }
        if sums.iter().any(|(_, sum)| *sum > self.policy.quantity_max) {
            return no(Reason::InvalidQuantity);
        }
        Ok(())
    }

    fn place(&mut self, it: &Place<'_>) -> Decided {
        if !is_id(&it.order_id) {
            return no(Reason::InvalidId);
        }
        let sums = sums(&it.lines, 1)?;
        let site = it.site.as_deref().unwrap_or("main").to_owned();
        let content: Content = (site.clone(), it.on_shortage, map(&sums));
        if let Some(known) = self.find(&it.order_id) {
            let known = &self.orders[known];
            return if known.content == content {
                Ok(again(known, &sums))
            } else {
                no_as(Reason::IdConflict, known)
            };
        }
        if let (Some(submitted), Some(until)) = (it.submitted_at, self.forgotten_until)
            && submitted.millis() <= until
        {
            return no(Reason::TooOld);
        }
        if !self.sites.contains(&site) {
            return no(Reason::UnknownSite);
        }
        self.limits(it.lines.len(), &sums)?;
        if self.open_count() >= self.policy.open_orders_max {
            return no(Reason::Busy);
        }
        let free: Vec<i64> = sums.iter().map(|(sku, _)| self.unclaimed(&site, sku)).collect();
        let unknown = sums.iter().any(|(sku, _)| !self.known(&site, sku));
        let wanted = || sums.iter().zip(&free);
        let shortages: Vec<_> = wanted()
            .filter(|((_, requested), free)| *free < requested)
            .map(|((sku, requested), &available)| Shortage {
                sku: sku.clone().into(),
                requested: *requested,
                available,
            })
            .collect();
        let mut order = Order {
            id: it.order_id.to_string(),
            site,
            content,
            first_sequence: self.sequence,
            refused: None,
            waited: false,
            phase: Phase::Kept,
            lines: vec![],
            paid: false,
            expired: false,
            pay_by: None,
            parked: None,
            since: self.now,
        };
        let order_id = order.id.clone().into();
        let some = free.iter().any(|free| *free > 0);
        if shortages.is_empty() || (it.on_shortage == OnShortage::Partial && some) {
            let taken = wanted().map(|((sku, requested), free)| (sku.clone(), *requested.min(free)));
            order.lines = taken
                .filter(|(_, quantity)| *quantity > 0)
                .map(|(sku, quantity)| Units { sku, quantity, reserved: quantity, ..Units::default() })
                .collect();
            let index = self.keep(order);
            let before: Vec<_> = self.orders[index]
                .lines
                .iter()
                .zip(self.available_of(index))
                .map(|(line, available)| available + line.reserved)
                .collect();
            self.all_lowered(index, &before);
            self.hold(index);
            let pay_by = self.orders[index].pay_by.map(Timestamp::from_millis);
            return Ok(Decision::Confirmed { order_id, pay_by, shortages, released: false, repeat: None });
        }
        if it.on_shortage == OnShortage::Backorder && !unknown {
            order.lines = sums
                .into_iter()
                .map(|(sku, quantity)| Units { sku, quantity, waiting: quantity, ..Units::default() })
                .collect();
            order.waited = true;
            let sku = Some(shortages[0].sku.clone());
            order.parked = sku.as_ref().map(ToString::to_string);
            self.keep(order);
            return Ok(Decision::Waiting { order_id, sku, shortages, repeat: None });
        }
        let reason = if unknown { Reason::UnknownSku } else { Reason::InsufficientStock };
        order.refused = Some(reason);
        order.phase = Phase::Closed(self.now);
        self.close_refused(order);
        Err(Refusal { shortages, ..Refusal::new(reason) })
    }

    fn keep(&mut self, order: Order) -> usize {
        self.orders.push(order);
        self.orders.len() - 1
    }

    /// An order that can still be acted on.
    pub(crate) fn kept(&self, id: &str) -> Result<usize, Refusal> {
        let Some(index) = self.find(id) else { return no(Reason::UnknownOrder) };
        let order = &self.orders[index];
        match (order.phase, order.state()) {
            (Phase::Kept, _) => Ok(index),
            (_, State::Refused) => no_as(Reason::OrderRefused, order),
            (_, State::Cancelled) => no_as(Reason::AlreadyCancelled, order),
            (_, State::Expired) => no_as(Reason::OrderExpired, order),
            _ => no_as(Reason::OrderClosed, order),
        }
    }

    /// Line by line of the order, what a command names.
    pub(crate) fn amounts(&self, index: usize, lines: &[Line<'_>]) -> Result<Vec<i64>, Refusal> {
        let sums = sums(lines, 1)?;
        self.limits(lines.len(), &sums)?;
        let order = &self.orders[index];
        for (sku, quantity) in &sums {
            match order.lines.iter().find(|line| line.sku == *sku) {
                None => return no_as(Reason::NotInOrder, order),
                Some(line) if *quantity > line.quantity => return no_as(Reason::ExceedsRemaining, order),
                Some(_) => {}
            }
        }
        let sums = map(&sums);
        Ok(order.lines.iter().map(|line| sums.get(&line.sku).copied().unwrap_or(0)).collect())
    }

    fn cancel(&mut self, it: &Cancel<'_>) -> Decided {
        let index = self.kept(&it.order_id)?;
        let order = &self.orders[index];
        let amounts = match &it.lines {
            Some(lines) => self.amounts(index, lines)?,
            None => order.lines.iter().map(|line| line.waiting + line.reserved).collect(),
        };
        if amounts.iter().all(|amount| *amount == 0) {
            return match order.state() {
                State::Cancelled => no_as(Reason::AlreadyCancelled, order),
                State::Expired => no_as(Reason::OrderExpired, order),
                _ => no_as(Reason::AlreadyShipped, order),
            };
        }
        for (line, &amount) in order.lines.iter().zip(&amounts) {
            if amount > line.waiting + line.reserved {
                let never_cancelled = line.quantity - line.cancelled;
                let reason = match order.state() {
                    State::Cancelled => Reason::AlreadyCancelled,
                    State::Expired => Reason::OrderExpired,
                    _ if amount <= never_cancelled => Reason::AlreadyShipped,
                    _ => Reason::ExceedsRemaining,
                };
                return no_as(reason, order);
            }
        }
        let order = &mut self.orders[index];
        let mut freed = vec![];
        for (line, &amount) in order.lines.iter_mut().zip(&amounts) {
            let waiting = take(&mut line.waiting, amount);
            if take(&mut line.reserved, amount - waiting) > 0 {
                freed.push(line.sku.clone());
            }
            line.cancelled += amount;
        }
        let order = self.changed(index);
        for sku in &freed {
            self.has_moved(&order.site, sku);
        }
        self.park_anew(index);
        Ok(Decision::Cancelled {
            order_id: order.id.clone().into(),
            lines: told(&order, &amounts),
            by: None,
            reason: None,
            state: order.state(),
        })
    }

    fn review(&self, id: &str, score: i64) -> Decided {
        if !(1..=5).contains(&score) {
            return no(Reason::InvalidValue);
        }
        let Some(index) = self.find(id) else { return no(Reason::UnknownOrder) };
        Ok(Decision::Reviewed { order_id: id.to_owned().into(), state: self.orders[index].state() })
    }
}

/// An order's first outcome once more.
fn again(order: &Order, wanted: &[(String, i64)]) -> Decision<'static> {
    let order_id = order.id.clone().into();
    let repeat = repeat(order.first_sequence, Some(order.state()));
    let shortages = vec![];
    let kept = order.phase == Phase::Kept;
    if let Some(reason) = order.refused {
        return Decision::Refused {
            command: weir::words::command::CommandKind::Place,
            subject: Some(Subject::OrderId(order_id)),
            reason,
            detail: None,
            shortages,
            order_state: None,
            repeat,
        };
    }
    if order.waited {
        let sku = order.parked.clone().map(Into::into);
        return Decision::Waiting { order_id, sku, shortages, repeat };
    }
    let got = |sku: &str| order.lines.iter().find(|line| line.sku == sku).map_or(0, |line| line.quantity);
    let shortages = wanted
        .iter()
        .filter(|(sku, requested)| kept && got(sku) < *requested)
        .map(|(sku, requested)| Shortage {
            sku: sku.clone().into(),
            requested: *requested,
            available: got(sku),
        })
        .collect();
    let pay_by = order.pay_by.filter(|_| kept).map(Timestamp::from_millis);
    Decision::Confirmed { order_id, pay_by, shortages, released: false, repeat }
}

#[expect(clippy::unnecessary_wraps, reason = "where it is used, none says that it is no repeat")]
pub(crate) fn repeat(first_sequence: u64, state: Option<State>) -> Option<Repeat> {
    Some(Repeat { duplicate: True, first_sequence, state })
}

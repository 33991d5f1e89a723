//! The naive model's ladders: what each command comes to. See [`crate::model`].

use std::collections::BTreeMap;

use weir::words::command::{
    Cancel, Command, Count, Deliver, Line, OnShortage, Pay, PayFailed, Place, Receive, Return, Ship,
};
use weir::words::outcome::{Adjustment, Decision, Mark, Reason, Repeat, Shortage, State, Subject, True};
use weir::words::policy::{PolicyChange, QUANTITY_LIMIT_MAX, STOCK_MAX};
use weir::words::text::is_id;
use weir::words::timestamp::Timestamp;

use crate::model::{Content, Fact, Model, Order, Phase, Refusal, Units, count, refused, told};

type Decided = Result<Decision<'static>, Refusal>;

fn no<T>(reason: Reason) -> Result<T, Refusal> {
    Err(Refusal::new(reason))
}

fn no_as<T>(reason: Reason, order: &Order) -> Result<T, Refusal> {
    Err(Refusal { state: Some(order.state()), ..Refusal::new(reason) })
}

/// Sums by SKU, in the order in which SKUs are first named.
fn sums(lines: &[Line<'_>], least: i64) -> Result<Vec<(String, i64)>, Refusal> {
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

fn map(sums: &[(String, i64)]) -> BTreeMap<String, i64> {
    sums.iter().cloned().collect()
}

fn take(from: &mut i64, wanted: i64) -> i64 {
    let taken = wanted.min(*from);
    *from -= taken;
    taken
}

/// The first of several readings of "all that remain" that gives anything.
fn all_of(order: &Order, readings: &[fn(&Units) -> i64]) -> Result<Vec<i64>, Refusal> {
    let each = readings.iter().map(|of| order.lines.iter().map(of).collect::<Vec<_>>());
    each.into_iter()
        .find(|amounts| amounts.iter().sum::<i64>() > 0)
        .map_or_else(|| no_as(Reason::NothingRemains, order), Ok)
}

fn marked(mut marks: Vec<Mark>) -> Vec<Mark> {
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

    fn limits(&self, lines: usize, sums: &[(String, i64)]) -> Result<(), Refusal> {
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
                Ok(again(known))
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
            place: 0,
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

    fn keep(&mut self, mut order: Order) -> usize {
        order.place = self.free_places.pop().unwrap_or_else(|| {
            self.places += 1;
            self.places
        });
        self.orders.push(order);
        self.orders.len() - 1
    }

    /// An order that can still be acted on.
    fn kept(&self, id: &str) -> Result<usize, Refusal> {
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
    fn amounts(&self, index: usize, lines: &[Line<'_>]) -> Result<Vec<i64>, Refusal> {
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
                let left = amount <= never_cancelled;
                return no_as(if left { Reason::AlreadyShipped } else { Reason::ExceedsRemaining }, order);
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
        freed.iter().for_each(|sku| self.has_moved(&order.site, sku));
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

    // Facts.

    /// The sequence at which the same fact was told before.
    fn before(&self, kind: &str, id: &str, content: &str) -> Result<Option<u64>, Refusal> {
        match self.facts.iter().find(|fact| fact.kind == kind && fact.id == id) {
            None => Ok(None),
            Some(fact) if fact.content == content => Ok(Some(fact.first_sequence)),
            Some(_) => no(Reason::IdConflict),
        }
    }

    fn remember(&mut self, kind: &'static str, id: &str, content: String) {
        let (first_sequence, at) = (self.sequence, self.now);
        self.facts.push(Fact { kind, id: id.to_owned(), content, first_sequence, at });
    }

    fn state_of(&self, id: &str) -> Option<State> {
        self.find(id).map(|index| self.orders[index].state())
    }

    fn pay(&mut self, it: &Pay<'_>) -> Decided {
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

    fn pay_failed(&mut self, it: &PayFailed<'_>) -> Decided {
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
    }

    fn fact_content(id: &str, lines: Option<&[Line<'_>]>) -> Result<String, Refusal> {
        let lines = lines.map(|lines| sums(lines, 1)).transpose()?;
        Ok(format!("{id:?} {:?}", lines.map(|sums| map(&sums))))
    }

    fn ship(&mut self, it: &Ship<'_>) -> Decided {
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

    fn deliver(&mut self, it: &Deliver<'_>) -> Decided {
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

    fn return_(&mut self, it: &Return<'_>) -> Decided {
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

    // Stock and policy.

    fn check_site(&self, site: &str, lines: usize, sums: &[(String, i64)]) -> Result<(), Refusal> {
        if !self.sites.contains(site) {
            return no(Reason::UnknownSite);
        }
        self.limits(lines, sums)?;
        let new = sums.iter().filter(|(sku, _)| !self.known(site, sku)).count();
        if new > 0 && count(self.stock.len() + new) > self.policy.skus_max {
            return no(Reason::Busy);
        }
        Ok(())
    }

    fn receive(&mut self, it: &Receive<'_>) -> Decided {
        let sums = sums(&it.lines, 1)?;
        let site = it.site.as_deref().unwrap_or("main").to_owned();
        let content = format!("{site:?} {:?}", map(&sums));
        let first = self.before("receipt", &it.receipt_id, &content)?;
        if first.is_none() {
            self.check_site(&site, it.lines.len(), &sums)?;
            self.remember("receipt", &it.receipt_id, content);
            for (sku, quantity) in &sums {
                let item = self.item_or_new(&site, sku);
                assert!(item.received + quantity <= STOCK_MAX);
                item.on_hand += quantity;
                item.received += quantity;
                self.has_moved(&site, sku);
            }
        }
        let repeat = first.and_then(|first| repeat(first, None));
        Ok(Decision::Received { receipt_id: it.receipt_id.to_string().into(), repeat })
    }

    fn count_stock(&mut self, it: &Count<'_>) -> Decided {
        let sums = sums(&it.lines, 0)?;
        if sums.len() < it.lines.len() {
            return no(Reason::DuplicateSku);
        }
        let count_id = it.count_id.to_string().into();
        let site = it.site.as_deref().unwrap_or("main").to_owned();
        let content = format!("{site:?} {:?}", map(&sums));
        if let Some(first) = self.before("count", &it.count_id, &content)? {
            return Ok(Decision::Counted { count_id, adjustments: vec![], repeat: repeat(first, None) });
        }
        self.check_site(&site, it.lines.len(), &sums)?;
        self.remember("count", &it.count_id, content);
        let mut adjustments = vec![];
        for (sku, after) in sums {
            let item = self.item_or_new(&site, &sku);
            let before = item.on_hand;
            item.on_hand = after;
            item.adjusted += after - before;
            if before != after {
                adjustments.push(Adjustment { sku: sku.clone().into(), before, after });
                self.has_moved(&site, &sku);
                self.counted_short.push((site.clone(), sku));
            }
        }
        Ok(Decision::Counted { count_id, adjustments, repeat: None })
    }

    fn set_policy(&mut self, it: &PolicyChange<'_>) -> Decided {
        if let Some(sites) = &it.sites {
            if sites.is_empty() {
                return no(Reason::InvalidValue);
            }
            for site in self.sites.iter().filter(|site| !sites.iter().any(|kept| kept == *site)) {
                let used = self.stock.iter().any(|item| item.key.0 == *site && item.on_hand != 0)
                    || self.orders.iter().any(|order| order.site == *site && order.is_open());
                if used {
                    return no(Reason::SiteInUse);
                }
            }
        }
        for own in it.safety_stock_of.iter().flatten() {
            let site = own.site.as_deref().unwrap_or("main");
            if !self.sites.contains(site) {
                return no(Reason::UnknownSite);
            }
            if !self.known(site, &own.sku) {
                return no(Reason::UnknownSku);
            }
        }
        let policy = &mut self.policy;
        for (field, value) in [
            (&mut policy.pay_within_ms, it.pay_within_ms),
            (&mut policy.lines_max, it.lines_max),
            (&mut policy.quantity_max, it.quantity_max),
            (&mut policy.open_orders_max, it.open_orders_max),
            (&mut policy.settled_orders_max, it.settled_orders_max),
            (&mut policy.settled_window_ms, it.settled_window_ms),
            (&mut policy.closed_orders_max, it.closed_orders_max),
            (&mut policy.closed_window_ms, it.closed_window_ms),
            (&mut policy.facts_max, it.facts_max),
            (&mut policy.facts_window_ms, it.facts_window_ms),
            (&mut policy.skus_max, it.skus_max),
            (&mut policy.safety_stock, it.safety_stock),
        ] {
            *field = value.unwrap_or(*field);
        }
        if let Some(sites) = &it.sites {
            self.sites = sites.iter().map(ToString::to_string).collect();
        }
        let all: Vec<_> = self.stock.iter().map(|item| item.key.clone()).collect();
        if it.safety_stock.is_some() {
            all.iter().for_each(|(site, sku)| self.has_moved(site, sku));
        }
        for own in it.safety_stock_of.iter().flatten() {
            let site = own.site.as_deref().unwrap_or("main").to_owned();
            self.item(&site, &own.sku).unwrap().safety = own.quantity;
            self.has_moved(&site, &own.sku);
        }
        Ok(Decision::PolicyApplied { rules: 1 })
    }
}

/// An order's first outcome once more.
fn again(order: &Order) -> Decision<'static> {
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
    let pay_by = order.pay_by.filter(|_| kept).map(Timestamp::from_millis);
    Decision::Confirmed { order_id, pay_by, shortages, released: false, repeat }
}

#[expect(clippy::unnecessary_wraps, reason = "where it is used, none says that it is no repeat")]
fn repeat(first_sequence: u64, state: Option<State>) -> Option<Repeat> {
    Some(Repeat { duplicate: True, first_sequence, state })
}

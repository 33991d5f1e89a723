//! Waiting orders, and how they get their stock.
//!
//! A waiting order holds nothing. It is **parked** at one SKU: the first of its lines that it cannot have. Orders parked
//! at a SKU stand in the order in which they were placed, and the first of them has the claim on that SKU's stock: later
//! ones, and new orders, come after it. A first one that turns out to be short of another SKU as well has no claim:
//! it is passed over and parked there instead.
//!
//! So there is nothing to search when stock arrives: whoever waits for a SKU stands in its queue. And when stock goes, an
//! index of what waiting orders need beside the SKU that they are parked at tells whose claim has ended by it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use super::Inventory;
use super::order::{Order, OrderLine, Parts, Ticket};
use super::orders::Slot;
use super::output::Turn;
use super::stock::StockIndex;
use crate::words::outcome::Decision;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    parked: BTreeMap<StockIndex, BTreeMap<Ticket, Slot>>,
    /// SKUs whose queues may move: stock came, or the first one left. No SKU twice (see `Stock::releasing`).
    releases: VecDeque<StockIndex>,
    /// What waiting orders need of SKUs other than the one that they are parked at: the SKU, how many, where they are
    /// parked, and how many such orders there are.
    needs: BTreeMap<(StockIndex, u32, StockIndex), u32>,
    count: usize,
}

/// An order that a snapshot has waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parked {
    pub(super) stock: StockIndex,
    pub(super) ticket: Ticket,
    pub(super) slot: Slot,
}

/// How many parked orders one record may look at; each look costs a probe per line.
const LOOKS_PER_RECORD_MAX: u32 = 1024;
/// How many parked orders a place may pass over per SKU before it takes the SKU for claimed.
const LOOKS_PER_PLACE_MAX: u32 = 16;

impl Waiting {
    pub(super) fn has_releases(&self) -> bool {
        !self.releases.is_empty()
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) fn is_parked_at(&self, stock: StockIndex) -> bool {
        self.parked.contains_key(&stock)
    }

    pub(super) fn releases(&self) -> impl Iterator<Item = StockIndex> {
        self.releases.iter().copied()
    }

    /// Adds a SKU to those whose queues may move.
    pub(super) fn restore_release(&mut self, stock: StockIndex) {
        self.releases.push_back(stock);
    }

    /// Puts the orders that a snapshot has waiting into their queues; false where two of them have one ticket.
    fn restore(&mut self, mut parked: Vec<Parked>) -> bool {
        parked.sort_unstable_by_key(|order| (order.stock, order.ticket));
        for queue in parked.chunk_by(|one, next| one.stock == next.stock) {
            let orders = queue.iter().map(|order| (order.ticket, order.slot)).collect();
            self.parked.insert(queue[0].stock, orders);
        }
        self.count = parked.len();
        let mut tickets: Vec<_> = parked.iter().map(|order| order.ticket).collect();
        tickets.sort_unstable();
        tickets.windows(2).all(|pair| pair[0] != pair[1])
    }

    fn first(&self, stock: StockIndex) -> Option<(Ticket, Slot)> {
        self.parked.get(&stock)?.first_key_value().map(|(ticket, slot)| (*ticket, *slot))
    }
}

impl Inventory {
    /// Parks an order at a SKU.
    pub(super) fn park(&mut self, slot: Slot, stock: StockIndex) {
        let order = self.orders.get_mut(slot);
        order.set_parked_at(Some(stock));
        let ticket = order.ticket();
        self.waiting.parked.entry(stock).or_default().insert(ticket, slot);
        self.waiting.count += 1;
        self.note_needs(slot);
    }

    /// Rebuilds who waits, where, and for what; false where two of the orders have one ticket.
    pub(super) fn restore_waiting(&mut self, parked: Vec<Parked>) -> bool {
        for order in &parked {
            self.note_needs(order.slot);
        }
        self.waiting.restore(parked)
    }

    /// Adds a waiting order's needs to the index.
    pub(super) fn note_needs(&mut self, slot: Slot) {
        let order = self.orders.get(slot);
        let Some(parked_at) = order.parked_at() else { return };
        for (stock, need) in needs_elsewhere(order, parked_at) {
            *self.waiting.needs.entry((stock, need, parked_at)).or_default() += 1;
        }
    }

    /// Takes a waiting order's needs out of the index: before it is unparked, or needs something else.
    pub(super) fn forget_needs(&mut self, slot: Slot) {
        let order = self.orders.get(slot);
        let Some(parked_at) = order.parked_at() else { return };
        for (stock, need) in needs_elsewhere(order, parked_at) {
            let Entry::Occupied(mut entry) = self.waiting.needs.entry((stock, need, parked_at)) else {
                continue;
            };
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    /// Takes note that less of a SKU is available than `before`: a waiting order that could have had it, and cannot now, is
    /// passed over where it is parked.
    pub(super) fn lowered(&mut self, stock: StockIndex, before: i64) {
        let now = self.stock.available(stock);
        if now >= before || before <= 0 || self.waiting.needs.is_empty() {
            return;
        }
        let need = |available: i64| u32::try_from(available.max(0)).unwrap_or(u32::MAX);
        let (least, most) = (need(now).saturating_add(1), need(before));
        if least > most {
            return;
        }
        let hit = (stock, least, StockIndex(0))..=(stock, most, StockIndex(u32::MAX));
        let queues: Vec<_> = self.waiting.needs.range(hit).map(|((_, _, parked_at), _)| *parked_at).collect();
        for parked_at in queues {
            self.release(parked_at);
        }
    }

    /// Takes an order out of the queue it stands in; those behind it may move.
    pub(super) fn unpark(&mut self, slot: Slot) {
        self.forget_needs(slot);
        let order = self.orders.get_mut(slot);
        let Some(stock) = order.parked_at() else { return };
        order.set_parked_at(None);
        let ticket = order.ticket();
        let queue = self.waiting.parked.get_mut(&stock).expect("a parked order stands in a queue");
        queue.remove(&ticket);
        if queue.is_empty() {
            self.waiting.parked.remove(&stock);
        }
        self.waiting.count -= 1;
        self.release(stock);
    }

    /// Parks an order anew after what it waits for has changed, or ends its waiting.
    pub(super) fn repark(&mut self, slot: Slot) {
        self.unpark(slot);
        let order = self.orders.get(slot);
        let first = (0..order.lines().len()).find(|&line| order.part(line).waiting > 0);
        if let Some(line) = first {
            let stock = order.lines()[line].stock;
            self.park(slot, stock);
            self.release(stock);
        }
    }

    /// Takes note that a SKU's queue may move.
    pub(super) fn release(&mut self, stock: StockIndex) {
        if self.waiting.is_parked_at(stock) && !self.stock.get(stock).releasing {
            self.stock.set_releasing(stock, true);
            self.waiting.releases.push_back(stock);
        }
    }

    /// Takes note that every queue may move.
    pub(super) fn release_all(&mut self) {
        let parked: Vec<_> = self.waiting.parked.keys().copied().collect();
        for stock in parked {
            self.release(stock);
        }
    }

    /// The first SKU other than `except` that a waiting order cannot have.
    fn short_elsewhere(&self, slot: Slot, except: StockIndex) -> Option<StockIndex> {
        let order = self.orders.get(slot);
        let ticket = order.ticket();
        order.lines().iter().enumerate().find_map(|(line, OrderLine { stock, .. })| {
            let need = i64::from(order.part(line).waiting);
            let short = *stock != except
                && need > 0
                && (need > self.stock.available(*stock)
                    || self.waiting.first(*stock).is_some_and(|(earlier, _)| earlier < ticket));
            short.then_some(*stock)
        })
    }

    /// Promises stock to an order.
    pub(super) fn reserve(&mut self, stock: StockIndex, quantity: i64) {
        if self.waiting.needs.is_empty() {
            return self.stock.reserve(stock, quantity);
        }
        let before = self.stock.available(stock);
        self.stock.reserve(stock, quantity);
        self.lowered(stock, before);
    }

    /// How much of a SKU a new order may take: nothing while an earlier order has the claim on it.
    pub(super) fn unclaimed(&mut self, stock: StockIndex) -> i64 {
        let available = self.stock.available(stock).max(0);
        if available == 0 || !self.waiting.is_parked_at(stock) {
            return available;
        }
        for _ in 0..LOOKS_PER_PLACE_MAX {
            let Some((_, slot)) = self.waiting.first(stock) else { return available };
            let Some(elsewhere) = self.short_elsewhere(slot, stock) else { return 0 };
            self.unpark(slot);
            self.park(slot, elsewhere);
        }
        self.release(stock);
        0
    }

    /// Lets queues move, as far as the record's budget goes.
    pub(super) fn work_off_releases(&mut self, turn: &mut Turn<'_>) {
        let mut looks = LOOKS_PER_RECORD_MAX;
        while let Some(&stock) = self.waiting.releases.front() {
            while let Some((_, slot)) = self.waiting.first(stock) {
                if looks == 0 || turn.budget == 0 {
                    return;
                }
                looks -= 1;
                if let Some(elsewhere) = self.short_elsewhere(slot, stock) {
                    self.unpark(slot);
                    self.park(slot, elsewhere);
                    continue;
                }
                if self.need_at(slot, stock) > self.stock.available(stock) {
                    break;
                }
                self.confirm_waiting(slot, turn);
            }
            self.waiting.releases.pop_front();
            self.stock.set_releasing(stock, false);
        }
    }

    fn need_at(&self, slot: Slot, stock: StockIndex) -> i64 {
        let order = self.orders.get(slot);
        let line = order.lines().iter().position(|line| line.stock == stock);
        line.map_or(0, |line| i64::from(order.part(line).waiting))
    }

    /// Gives a waiting order its stock.
    fn confirm_waiting(&mut self, slot: Slot, turn: &mut Turn<'_>) {
        self.unpark(slot);
        let order = self.orders.get_mut(slot);
        order.since = turn.at;
        let lines = order.copied_lines();
        let mut parts = order.parts();
        for part in &mut parts {
            part.reserved += std::mem::take(&mut part.waiting);
        }
        let taken: Parts = order.parts();
        order.set_parts(&parts);
        for (line, taken) in lines.iter().zip(taken) {
            self.reserve(line.stock, i64::from(taken.waiting));
        }
        let pay_by = self.hold(slot, turn.at);
        turn.budget -= 1;
        let order = self.orders.get(slot);
        turn.emit(&Decision::Confirmed {
            order_id: order.id.as_str().into(),
            pay_by,
            shortages: Vec::new(),
            released: true,
            repeat: None,
        });
    }
}

/// What an order needs of SKUs other than the one that it is parked at.
fn needs_elsewhere(order: &Order, parked_at: StockIndex) -> impl Iterator<Item = (StockIndex, u32)> {
    let needs = order
        .lines()
        .iter()
        .enumerate()
        .map(|(line, OrderLine { stock, .. })| (*stock, order.part(line).waiting));
    needs.filter(move |(stock, need)| *stock != parked_at && *need > 0)
}

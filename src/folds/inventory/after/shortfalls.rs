//! Shortfalls: less is there than is reserved. The orders that lose by it are those placed last; each is told how many of its units are
//! missing, and told again when that changes.
//!
//! Who was told already stands in a list, SKU by SKU. Where those do not hold all that is missing, the others must be found: by a walk over all
//! orders, in steps, so that the shard keeps answering. One walk serves all SKUs that came short meanwhile. What is missing is computed anew each time
//! an order is told.

use std::collections::{BTreeMap, VecDeque};

use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::tables::order::{Bucket, Ticket, View};
use crate::folds::inventory::tables::stock::StockIndex;
use crate::words::outcome::Decision;
use crate::words::timestamp::Timestamp;

/// The orders that were told that they lack of a SKU.
#[derive(Debug, Default)]
struct Lacking {
    /// Their slots, by when they were placed.
    orders: BTreeMap<Ticket, u32>,
    /// What they have reserved of it.
    reserved: i64,
}

/// What a walk has found of one SKU: the newest orders that together hold what is missing; never more of them than missing units.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// The units that were missing when the walk began.
    pub(crate) target: i64,
    /// Their slots and what they had reserved, by when they were placed.
    pub(crate) orders: BTreeMap<Ticket, (u32, u32)>,
    /// The units that they had reserved.
    pub(crate) held: i64,
}

impl Found {
    /// Adds an order, and drops the oldest that newer ones make unnecessary.
    fn add(&mut self, ticket: Ticket, slot: u32, reserved: u32) {
        self.orders.insert(ticket, (slot, reserved));
        self.held += i64::from(reserved);
        while let Some(oldest) = self.orders.first_entry() {
            let left = self.held - i64::from(oldest.get().1);
            if left < self.target {
                return;
            }
            self.held = left;
            oldest.remove();
        }
    }
}

/// A search for the orders that lose: the walk, and then the telling.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    /// The SKUs, in the order in which their orders are told.
    pub(crate) stocks: Vec<StockIndex>,
    /// The next slot that the walk looks at.
    pub(crate) cursor: u32,
    /// What it found, of the SKUs that a walk is needed for.
    pub(crate) found: BTreeMap<StockIndex, Found>,
    /// How many SKUs' orders were told.
    pub(crate) told: usize,
    /// Of the next one's orders, those placed before this are still to be told.
    pub(crate) below: Option<Ticket>,
    /// What those told before lack together.
    pub(crate) covered: i64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Shortfalls {
    /// SKUs whose figures have changed, each once.
    pub(crate) uneasy: VecDeque<StockIndex>,
    pub(crate) search: Option<Search>,
    lacking: BTreeMap<StockIndex, Lacking>,
}

impl Shortfalls {
    /// What a snapshot holds of it, once more.
    pub(crate) fn share(&self) -> Self {
        Self { uneasy: self.uneasy.clone(), search: self.search.clone(), lacking: BTreeMap::new() }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.uneasy.is_empty() && self.search.is_none()
    }

    /// Takes note of a SKU that has to be looked at.
    pub(crate) fn note(&mut self, stock: StockIndex) {
        self.uneasy.push_back(stock);
    }

    /// Units are not reserved any more that an order had that was told that it lacks some.
    pub(crate) fn moved(&mut self, stock: StockIndex, units: u32) {
        if let Some(lacking) = self.lacking.get_mut(&stock) {
            lacking.reserved -= i64::from(units);
        }
    }

    /// An order of a snapshot was told that it lacks some of what it has reserved.
    pub(crate) fn restore_lacking(&mut self, stock: StockIndex, ticket: Ticket, slot: u32, reserved: u32) {
        let lacking = self.lacking.entry(stock).or_default();
        lacking.orders.insert(ticket, slot);
        lacking.reserved += i64::from(reserved);
    }
}

impl Inventory {
    /// Goes on with the search for orders that lose, as far as the message's budget goes.
    pub(crate) fn work_off_shortfalls(&mut self, turn: &mut Turn<'_>) {
        while !self.shortfalls.is_idle() {
            let search = self.shortfalls.search.take();
            let mut search = search.unwrap_or_else(|| self.begin_search(turn.at));
            if !self.walk_orders(&mut search, turn) || !self.tell_all(&mut search, turn) {
                self.shortfalls.search = Some(search);
                return;
            }
        }
    }

    /// A search at all SKUs that have to be looked at, with a walk where those told already do not hold all that is missing.
    /// What changes from here on is for the next one.
    fn begin_search(&mut self, now: Timestamp) -> Search {
        let stocks: Vec<_> = self.shortfalls.uneasy.drain(..).collect();
        let mut found = BTreeMap::new();
        for stock in &stocks {
            self.stock.set_uneasy(*stock, false, now);
            let missing = self.stock.get(*stock).missing();
            let told = self.shortfalls.lacking.get(stock).map_or(0, |lacking| lacking.reserved);
            if told < missing {
                found.insert(*stock, Found { target: missing, ..Found::default() });
            }
        }
        Search { stocks, found, ..Search::default() }
    }

    /// Goes on with the walk; false where the budget ended first.
    fn walk_orders(&self, search: &mut Search, turn: &mut Turn<'_>) -> bool {
        if search.found.is_empty() {
            return true;
        }
        while (search.cursor as usize) < self.orders.slots_count() {
            if turn.budget.looks == 0 {
                return false;
            }
            let slot = search.cursor;
            search.cursor += 1;
            let Some(view) = self.orders.at(slot) else {
                turn.take_looks(1);
                continue;
            };
            turn.take_looks(view.lines().len());
            if !view.has(Bucket::Reserved) {
                continue;
            }
            for (number, line) in view.lines().iter().enumerate() {
                let Some(found) = search.found.get_mut(&line.stock) else { continue };
                let reserved = view.units(number, Bucket::Reserved);
                if reserved > 0 {
                    found.add(view.order.ticket, slot, reserved);
                }
            }
        }
        true
    }

    /// Tells the orders, SKU by SKU; false where the budget ended first.
    fn tell_all(&mut self, search: &mut Search, turn: &mut Turn<'_>) -> bool {
        while let Some(stock) = search.stocks.get(search.told).copied() {
            if !self.tell(stock, search, turn) {
                return false;
            }
            search.told += 1;
            (search.below, search.covered) = (None, 0);
        }
        true
    }

    /// Tells the orders of one SKU, those placed last first.
    fn tell(&mut self, stock: StockIndex, search: &mut Search, turn: &mut Turn<'_>) -> bool {
        loop {
            let below = search.below.unwrap_or(Ticket(u64::MAX));
            let last = |orders: Option<(&Ticket, u32)>| orders.map(|(ticket, slot)| (*ticket, slot));
            let found = search.found.get(&stock).and_then(|found| found.orders.range(..below).next_back());
            let found = last(found.map(|(ticket, (slot, _))| (ticket, *slot)));
            let lacking =
                self.shortfalls.lacking.get(&stock).and_then(|it| it.orders.range(..below).next_back());
            let lacking = last(lacking.map(|(ticket, slot)| (ticket, *slot)));
            let Some((ticket, slot)) = found.max(lacking) else { return true };
            if turn.budget.outcomes == 0 || turn.budget.looks == 0 {
                return false;
            }
            turn.take_looks(1);
            search.below = Some(ticket);
            let Some(view) = self.orders.with_ticket(slot, ticket) else { continue };
            let Some(line) = line_of(view, stock) else { continue };
            let part = view.part(line);
            let missing = self.stock.get(stock).missing() - search.covered;
            let lacks = u32::try_from(missing.max(0)).unwrap_or(u32::MAX).min(part.at(Bucket::Reserved));
            search.covered += i64::from(lacks);
            if lacks != part.lacking {
                self.set_lacking(stock, (ticket, slot), line, lacks, turn);
            }
        }
    }

    /// An order that was told that it lacks of a SKU is closed, before it was told that it does not any more.
    pub(crate) fn end_lacking(&mut self, stock: StockIndex, ticket: Ticket) {
        let Some(lacking) = self.shortfalls.lacking.get_mut(&stock) else { return };
        lacking.orders.remove(&ticket);
        if lacking.orders.is_empty() {
            self.shortfalls.lacking.remove(&stock);
            self.stock.set_lacked(stock, false, self.now);
        }
    }

    fn set_lacking(
        &mut self,
        stock: StockIndex,
        (ticket, slot): (Ticket, u32),
        line: usize,
        lacks: u32,
        turn: &mut Turn<'_>,
    ) {
        let part = self.orders.view(slot).part(line);
        let reserved = i64::from(part.at(Bucket::Reserved));
        self.orders.set_lacking(slot, line, lacks);
        let lacking = self.shortfalls.lacking.entry(stock).or_default();
        if lacks == 0 {
            lacking.orders.remove(&ticket);
            lacking.reserved -= reserved;
        } else if part.lacking == 0 {
            lacking.orders.insert(ticket, slot);
            lacking.reserved += reserved;
        }
        let any = !lacking.orders.is_empty();
        if !any {
            self.shortfalls.lacking.remove(&stock);
        }
        self.stock.set_lacked(stock, any, turn.at);
        turn.budget.outcomes -= 1;
        let item = self.stock.get(stock);
        turn.emit(&Decision::Shortfall {
            order_id: self.orders.id(self.orders.get(slot)).into(),
            site: self.sites.name(item.site).into(),
            sku: self.stock.sku_of(item).into(),
            quantity: lacks.into(),
        });
    }
}

fn line_of(view: View<'_>, stock: StockIndex) -> Option<usize> {
    view.lines().iter().position(|line| line.stock == stock)
}

//! Shortfalls: a count found less than what is reserved. The orders that cannot be shipped as they stand are the ones
//! placed last; finding them means a walk over all orders, which is done in steps so that the shard keeps answering.

use std::collections::{BTreeMap, VecDeque};

use super::Inventory;
use super::order::Ticket;
use super::orders::Slot;
use super::output::Turn;
use super::stock::StockIndex;
use crate::words::outcome::Decision;

/// A walk in search of the orders that a shortfall hits.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) stock: StockIndex,
    /// The next slot to look at.
    pub(super) cursor: usize,
    /// The units that were missing when the search began.
    pub(super) target: i64,
    /// The newest orders found so far that together hold the target, with what each held when it was found; never more
    /// of them than missing units.
    pub(super) found: BTreeMap<Ticket, (Slot, i64)>,
    /// The units that they held.
    pub(super) held: i64,
    /// The units that were named already.
    pub(super) named: i64,
}

impl Search {
    /// Drops the oldest orders found that the newer ones make unnecessary.
    fn drop_oldest(&mut self) {
        while let Some(entry) = self.found.first_entry() {
            let (_, reserved) = *entry.get();
            if self.held - reserved < self.target {
                return;
            }
            self.held -= reserved;
            entry.remove();
        }
    }
}

pub(super) type Searches = VecDeque<Search>;

/// How many slots one record looks at.
const LOOKS_PER_RECORD_MAX: usize = 4096;

impl Inventory {
    fn missing(&self, stock: StockIndex) -> i64 {
        let item = self.stock.get(stock);
        (item.reserved - item.on_hand).max(0)
    }

    fn reserved_at(&self, slot: Slot, stock: StockIndex) -> i64 {
        let Some(order) = self.orders.slots().at(slot) else { return 0 };
        let line = order.lines().iter().position(|line| line.stock == stock);
        line.map_or(0, |line| i64::from(order.part(line).reserved))
    }

    /// Starts the search for the orders that a shortfall hits, if there is one.
    pub(super) fn search_shortfall(&mut self, stock: StockIndex) {
        self.searches.retain(|search| search.stock != stock);
        let target = self.missing(stock);
        if target > 0 {
            self.searches.push_back(Search {
                stock,
                cursor: 0,
                target,
                found: BTreeMap::new(),
                held: 0,
                named: 0,
            });
        }
    }

    /// Goes on with the searches, as far as the record's budget goes.
    pub(super) fn work_off_shortfalls(&mut self, turn: &mut Turn<'_>) {
        let mut looks = LOOKS_PER_RECORD_MAX;
        while let Some(mut search) = self.searches.pop_front() {
            while search.cursor < self.orders.slots().len() && looks > 0 {
                looks -= 1;
                let slot = Slot(u32::try_from(search.cursor).expect("policy caps the orders"));
                search.cursor += 1;
                let reserved = self.reserved_at(slot, search.stock);
                if reserved > 0 {
                    search.found.insert(self.orders.get(slot).ticket(), (slot, reserved));
                    search.held += reserved;
                    search.drop_oldest();
                }
            }
            if search.cursor < self.orders.slots().len() || !self.name_orders(&mut search, turn) {
                self.searches.push_front(search);
                return;
            }
        }
    }

    /// Names the orders found, newest first; false where the budget ended first.
    fn name_orders(&self, search: &mut Search, turn: &mut Turn<'_>) -> bool {
        let missing = self.missing(search.stock);
        let item = self.stock.get(search.stock);
        while let Some(entry) = search.found.last_entry() {
            if turn.budget == 0 {
                return false;
            }
            let (ticket, (slot, _)) = entry.remove_entry();
            let quantity = self.reserved_at(slot, search.stock).min(missing - search.named);
            if quantity <= 0 || self.orders.get(slot).ticket() != ticket {
                continue;
            }
            search.named += quantity;
            turn.budget -= 1;
            turn.emit(&Decision::Shortfall {
                order_id: self.orders.get(slot).id.as_str().into(),
                site: self.sites.name(item.site).into(),
                sku: item.sku.as_str().into(),
                quantity,
            });
        }
        true
    }
}

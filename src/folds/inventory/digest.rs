//! Digests: the whole state in two numbers, by a walk over it; never on an order's way.
//!
//! `state` is what a snapshot's checksums come to ([`super::snapshot`]): all that is restored, and nothing else. `ledger` is
//! made here. Its tables have no order of their own, so each entry is hashed alone and the hashes are added up (wrapping): the
//! same entries give the same sum, in whatever order they are walked.

use super::tables::order::View;
use super::tables::orders::Orders;
use super::tables::remembered::Closed;
use super::tables::sites::Sites;
use super::tables::stock::{StockIndex, StockTable};
use crate::words::hash::{fold, hash};

/// The state in two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Over everything that a decision or its time can come from: equal for two folds of one log.
    pub state: u64,
    /// Over stock and order states, without times and sequences: equal for two logs that hold the same commands, as long
    /// as no hold and no window ends.
    pub ledger: u64,
}

/// The sums that the ledger's digest is made of.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The hashes of the sites' names, by their numbers.
    sites: Vec<u64>,
    /// The hashes of the SKUs at their sites, by their numbers.
    skus: Vec<Option<u64>>,
    stock: u64,
    orders: u64,
    closed: u64,
}

impl Ledger {
    pub(crate) fn new(sites: &Sites) -> Self {
        Self { sites: sites.all().map(|(name, _)| text(name)).collect(), ..Self::default() }
    }

    /// Adds all stock that there is anything to tell of.
    pub(crate) fn add_stock(&mut self, stock: &StockTable) {
        for (item, books) in stock.iter() {
            let own = StockTable::own_safety(item).map_or(-1, i64::from);
            let figures =
                [item.on_hand, item.reserved, own, item.allowance.into(), books.waiting, books.claims];
            let name = fold(self.sites[usize::from(item.site.0)], text(stock.sku_of(item)));
            let figures = figures.into_iter().chain(books.flows.all()).map(i64::cast_unsigned);
            self.stock = self.stock.wrapping_add(figures.fold(name, fold));
        }
    }

    /// The hash of a SKU at a site: many orders name each.
    fn sku(&mut self, stock: &StockTable, index: StockIndex) -> u64 {
        let place = index.0 as usize;
        if self.skus.len() <= place {
            self.skus.resize(stock.len().max(place + 1), None);
        }
        let site = self.sites[usize::from(stock.get(index).site.0)];
        *self.skus[place].get_or_insert_with(|| fold(site, text(stock.sku(index))))
    }

    /// Adds an order, once all its SKUs are in the table.
    pub(crate) fn add_order(&mut self, stock: &StockTable, orders: &Orders, view: View<'_>) {
        let order = view.order;
        // Orders whose lines are not all in one bucket have a number of their own in its place.
        let flags = [order.flags.0, order.stage, 0, 0];
        let mut entry = fold(text(orders.id(order)), u32::from_le_bytes(flags).into());
        if let Some(side) = view.side {
            let value = side.value.map_or([0; 2], |it| {
                let [a, b, c] = it.currency;
                [it.minor.cast_unsigned(), u32::from_le_bytes([a, b, c, 1]).into()]
            });
            entry = value.into_iter().chain([side.paid.cast_unsigned()]).fold(entry, fold);
            if let Some(parked) = side.more.as_ref().and_then(|more| more.parked) {
                entry = fold(fold(entry, self.sku(stock, parked.stock)), parked.claim.into());
            }
        }
        for (number, line) in view.lines().iter().enumerate() {
            entry = fold(entry, self.sku(stock, line.stock));
            entry = fold(entry, line.quantity.into());
            if view.whole().is_none() {
                let part = view.part(number);
                let notes = [part.shipping_due, part.delivery_due, part.lacking];
                entry = part.units.into_iter().chain(notes).map(u64::from).fold(entry, fold);
            }
        }
        self.orders = self.orders.wrapping_add(entry);
    }

    pub(crate) fn add_closed(&mut self, id: &str, closed: &Closed) {
        let outcome = u32::from_le_bytes([closed.first as u8, closed.state as u8, 0, 0]);
        self.closed = self.closed.wrapping_add(fold(text(id), outcome.into()));
    }

    pub(crate) fn finish(&self) -> u64 {
        hash([self.stock, self.orders, self.closed].map(u64::to_le_bytes).as_flattened())
    }
}

fn text(text: &str) -> u64 {
    hash(text.as_bytes())
}

//! Digests: the whole state in two numbers, by a walk over it; never on an order's way.
//!
//! `state` is what a snapshot's checksums come to ([`super::snapshot`]): all that is restored, and nothing else. `ledger` is
//! made here. Its tables have no order of their own, so each entry is hashed alone and the hashes are added up (wrapping): the
//! same entries give the same sum, in whatever order they are walked.

use super::order::{Order, Part};
use super::orders::{Closed, FirstOutcome};
use super::stock::{Sites, StockTable};
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

pub(super) fn part_units(part: &Part) -> u64 {
    [part.waiting, part.reserved, part.cancelled, part.shipped, part.delivered, part.returned]
        .into_iter()
        .map(u64::from)
        .sum()
}

/// The sums that the ledger's digest is made of.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The hashes of the sites' names, by their numbers.
    sites: Vec<u64>,
    /// The hashes of the SKUs, by their numbers: many orders name each.
    skus: Vec<u64>,
    stock: u64,
    orders: u64,
    closed: u64,
}

impl Ledger {
    pub(super) fn new(sites: &Sites) -> Self {
        Self { sites: sites.all().map(|(name, _)| text(name)).collect(), ..Self::default() }
    }

    pub(super) fn add_stock(&mut self, stock: &StockTable) {
        for (item, flows) in stock.with_flows() {
            let figures = [
                item.on_hand,
                item.reserved,
                item.safety.map_or(-1, i64::from),
                flows.received,
                flows.adjusted,
                flows.restocked,
                flows.shipped,
            ];
            let name = fold(self.sites[usize::from(item.site.0)], text(&item.sku));
            let entry = figures.map(i64::cast_unsigned).into_iter().fold(name, fold);
            self.stock = self.stock.wrapping_add(entry);
        }
    }

    /// Adds an order, once all its SKUs are in the table.
    pub(super) fn add_order(&mut self, stock: &StockTable, order: &Order) {
        let hashed = self.skus.len();
        self.skus.extend(stock.items()[hashed..].iter().map(|item| text(&item.sku)));
        let whole = order.whole();
        // Orders whose lines are not all in one stage have a number of their own in its place.
        let flags = [
            order.paid.into(),
            order.expired.into(),
            order.waited.into(),
            whole.map_or(u8::MAX, |it| it as u8),
        ];
        let site = self.sites[usize::from(stock.site_of(order).0)];
        let mut entry = fold(fold(text(&order.id), site), u32::from_le_bytes(flags).into());
        for (number, line) in order.lines().iter().enumerate() {
            entry = fold(entry, self.skus[line.stock.0 as usize]);
            entry = match whole {
                Some(_) => fold(entry, line.quantity.into()),
                None => units(&order.part(number)).into_iter().fold(entry, fold),
            };
        }
        self.orders = self.orders.wrapping_add(entry);
    }

    pub(super) fn add_closed(&mut self, closed: &Closed) {
        let (first, reason) = match closed.first {
            FirstOutcome::Confirmed => (0, 0),
            FirstOutcome::Waiting => (1, 0),
            FirstOutcome::Refused(reason) => (2, reason as u8),
        };
        let outcome = u32::from_le_bytes([first, reason, closed.state as u8, 0]);
        self.closed = self.closed.wrapping_add(fold(text(&closed.id), outcome.into()));
    }

    pub(super) fn finish(&self) -> u64 {
        hash([self.stock, self.orders, self.closed].map(u64::to_le_bytes).as_flattened())
    }
}

fn text(text: &str) -> u64 {
    hash(text.as_bytes())
}

/// A part in four numbers.
fn units(part: &Part) -> [u64; 4] {
    let Part { waiting, reserved, cancelled, shipped, delivered, returned, shipping_due, delivery_due } =
        *part;
    let pairs =
        [(waiting, reserved), (cancelled, shipped), (delivered, returned), (shipping_due, delivery_due)];
    pairs.map(|(one, other)| u64::from(one) << 32 | u64::from(other))
}

//! Digests: the whole state in two numbers, by a walk over it; never on an order's way.
//!
//! `state` is what a snapshot's checksums come to ([`super::snapshot`]): all that is restored, and nothing else. `ledger` is
//! made here. Its tables have no order of their own, so each entry is hashed alone and the hashes are added up (wrapping): the
//! same entries give the same sum, in whatever order they are walked.

use super::order::{Order, Part};
use super::orders::{Closed, FirstOutcome};
use super::stock::{Sites, StockTable};
use crate::words::hash::hash;

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
    stock: u64,
    orders: u64,
    closed: u64,
    /// The entry that is being hashed.
    entry: Vec<u8>,
}

impl Ledger {
    pub(super) fn add_stock(&mut self, sites: &Sites, stock: &StockTable) {
        for (item, flows) in stock.with_flows() {
            self.text(sites.name(item.site)).text(&item.sku);
            for value in [
                item.on_hand,
                item.reserved,
                item.safety.map_or(-1, i64::from),
                flows.received,
                flows.adjusted,
                flows.restocked,
                flows.shipped,
            ] {
                self.entry.extend_from_slice(&value.to_le_bytes());
            }
            self.stock = self.stock.wrapping_add(self.take());
        }
    }

    pub(super) fn add_order(&mut self, sites: &Sites, stock: &StockTable, order: &Order) {
        self.text(&order.id).text(sites.name(stock.site_of(order)));
        let flags = [order.state() as u8, order.paid.into(), order.expired.into(), order.waited.into()];
        self.entry.extend_from_slice(&flags);
        for (number, line) in order.lines().iter().enumerate() {
            self.text(&stock.get(line.stock).sku);
            let part = order.part(number);
            for units in [
                part.waiting,
                part.reserved,
                part.cancelled,
                part.shipped,
                part.delivered,
                part.returned,
                part.shipping_due,
                part.delivery_due,
            ] {
                self.entry.extend_from_slice(&units.to_le_bytes());
            }
        }
        self.orders = self.orders.wrapping_add(self.take());
    }

    pub(super) fn add_closed(&mut self, closed: &Closed) {
        let (first, reason) = match closed.first {
            FirstOutcome::Confirmed => (0, 0),
            FirstOutcome::Waiting => (1, 0),
            FirstOutcome::Refused(reason) => (2, reason as u8),
        };
        self.text(&closed.id).entry.extend_from_slice(&[first, reason, closed.state as u8]);
        self.closed = self.closed.wrapping_add(self.take());
    }

    pub(super) fn finish(&self) -> u64 {
        hash([self.stock, self.orders, self.closed].map(u64::to_le_bytes).as_flattened())
    }

    /// A text behind its length: ids have at most 64 bytes.
    fn text(&mut self, text: &str) -> &mut Self {
        self.entry.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.entry.extend_from_slice(text.as_bytes());
        self
    }

    /// The hash of the entry, which is done.
    fn take(&mut self) -> u64 {
        let hash = hash(&self.entry);
        self.entry.clear();
        hash
    }
}

//! Writing: one walk over the state, which gives its digests too.

use std::convert::Infallible;

use bytes::Bytes;

use super::SnapshotHead;
use super::basics::{write_basics, write_end, write_head};
use super::chunks::{Chunks, Kind};
use super::orders::{write_closed, write_settled, write_slot, write_slot_number, write_turn};
use super::stock::{write_number, write_place};
use super::work::{write_fact, write_found, write_search};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::digest::{Digests, Ledger};

impl Inventory {
    /// Gives the state as a snapshot: `each` gets its bytes piece by piece, at most about a MiB at a time. Their borders
    /// mean nothing to whoever restores it ([`super::Restoring`]).
    ///
    /// Walks the whole state and takes time in proportion to it; takes memory for one piece.
    ///
    /// # Errors
    /// The first that `each` gives; the walk ends there.
    pub fn write_snapshot<E>(&self, mut each: impl FnMut(Bytes) -> Result<(), E>) -> Result<Digests, E> {
        self.walk(&mut |bytes| each(Bytes::copy_from_slice(bytes)))
    }

    /// Walks the whole state. Takes time in proportion to it.
    #[must_use]
    pub fn digests(&self) -> Digests {
        let Ok(digests) = self.walk::<Infallible>(&mut |_| Ok(()));
        digests
    }

    /// The beginning of a snapshot of this state.
    #[must_use]
    pub fn snapshot_head(&self) -> SnapshotHead {
        let totals = self.totals();
        SnapshotHead {
            chain: self.chain,
            last_message_hash: self.last_message_hash,
            rules: self.policy.rules,
            now: self.now,
            orders: totals.open_orders + totals.settled_orders + totals.closed_orders + totals.refused_orders,
        }
    }

    fn walk<E>(&self, each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<Digests, E> {
        let mut chunks = Chunks::new(each);
        let mut ledger = Ledger::new(&self.sites);
        chunks.record(Kind::Head, |payload| write_head(payload, &self.snapshot_head()))?;
        chunks.record(Kind::Basics, |payload| write_basics(payload, self))?;
        for place in self.stock.places() {
            chunks.record(Kind::Stock, |payload| write_place(payload, &self.stock, place))?;
        }
        for stock in self.stock.unused() {
            chunks.record(Kind::StockUnused, |payload| write_number(payload, *stock))?;
        }
        ledger.add_stock(&self.stock);
        for view in self.orders.slots() {
            chunks.record(Kind::Orders, |payload| write_slot(payload, &self.orders, view))?;
            if let Some(view) = view {
                ledger.add_order(&self.stock, &self.orders, view);
            }
        }
        for slot in self.orders.unused() {
            chunks.record(Kind::Unused, |payload| write_slot_number(payload, *slot))?;
        }
        for slot in self.deadlines.iter(&self.orders) {
            chunks.record(Kind::Deadlines, |payload| write_slot_number(payload, slot))?;
        }
        for (kind, queue) in [Kind::Sifted, Kind::Settled].into_iter().zip(self.orders.settled().queues()) {
            for entry in queue.iter() {
                chunks.record(kind, |payload| write_settled(payload, entry))?;
            }
        }
        for (kind, queue) in [(Kind::Closed, self.orders.closed()), (Kind::Refused, self.orders.refused())] {
            for closed in queue.iter() {
                chunks.record(kind, |payload| write_closed(payload, &self.orders, closed))?;
                ledger.add_closed(self.orders.closed_id(closed), closed);
            }
        }
        for (kind, at, id, told) in self.facts.iter() {
            chunks.record(Kind::Facts, |payload| write_fact(payload, kind, at, id, told))?;
        }
        for (turn, stock) in self.waiting.moved() {
            chunks.record(Kind::Moved, |payload| {
                write_turn(payload, turn);
                write_number(payload, stock);
            })?;
        }
        for stock in &self.shortfalls.uneasy {
            chunks.record(Kind::Uneasy, |payload| write_number(payload, *stock))?;
        }
        if let Some(search) = &self.shortfalls.search {
            chunks.record(Kind::Search, |payload| write_search(payload, search))?;
            for (stock, found) in &search.found {
                for (ticket, order) in &found.orders {
                    chunks.record(Kind::Found, |payload| write_found(payload, *stock, *ticket, *order))?;
                }
            }
        }
        chunks.end()?;
        let digests = Digests { state: chunks.checksum(), ledger: ledger.finish() };
        chunks.record(Kind::End, |payload| write_end(payload, &self.totals(), digests))?;
        chunks.end()?;
        Ok(digests)
    }
}

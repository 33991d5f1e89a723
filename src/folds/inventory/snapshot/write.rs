//! Writing: one walk over the state, which gives its digests too; and the state of one moment, to be written while the fold goes on.

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
use crate::folds::inventory::tables::deadlines::Deadlines;
use crate::folds::inventory::view::Totals;

/// The state of one moment, to be written as a snapshot while the fold that it was taken of goes on.
///
/// It shares the fold's tables. What the fold changes meanwhile it copies first, in granules of 64 KiB at most; so both take at most
/// twice the memory of one.
#[derive(Debug)]
pub struct Frozen {
    /// As far as it is written: without indexes, which follow from the rest.
    state: Inventory,
    totals: Totals,
}

impl Frozen {
    /// Its beginning as a snapshot.
    #[must_use]
    pub fn head(&self) -> SnapshotHead {
        self.state.head(&self.totals)
    }

    /// Gives it as a snapshot: the same bytes as [`Inventory::write_snapshot`] of that moment.
    ///
    /// # Errors
    /// The first that `each` gives; the walk ends there.
    pub fn write_snapshot<E>(&mut self, mut each: impl FnMut(Bytes) -> Result<(), E>) -> Result<Digests, E> {
        // Who ends when stands in the orders themselves; here is time to gather it.
        self.state.deadlines = Deadlines::of(&self.state.orders);
        self.state.walk(&self.totals, &mut |bytes| each(Bytes::copy_from_slice(bytes)))
    }

    /// Drops it a little at a time, like [`Inventory::drop_in_steps`].
    pub fn drop_in_steps(self, between: impl FnMut()) {
        self.state.drop_in_steps(between);
    }
}

impl Inventory {
    /// The state as it is now, to be written while this goes on. Takes time by its granules of 64 KiB, and
    /// copies what little is kept otherwise: sites, SKUs that have moved or are uneasy, a search under way.
    pub fn freeze(&mut self) -> Frozen {
        let totals = self.totals();
        let state = Self {
            stock: self.stock.share(),
            orders: self.orders.share(),
            facts: self.facts.share(),
            waiting: self.waiting.share(),
            shortfalls: self.shortfalls.share(),
            deadlines: Deadlines::default(),
            policy: self.policy.clone(),
            sites: self.sites.clone(),
            ..*self
        };
        Frozen { state, totals }
    }

    /// Gives the state as a snapshot: `each` gets its bytes piece by piece, at most about a MiB at a time. Their borders
    /// mean nothing to whoever restores it ([`super::Restoring`]).
    ///
    /// Walks the whole state and takes time in proportion to it; takes memory for one piece.
    ///
    /// # Errors
    /// The first that `each` gives; the walk ends there.
    pub fn write_snapshot<E>(&self, mut each: impl FnMut(Bytes) -> Result<(), E>) -> Result<Digests, E> {
        self.walk(&self.totals(), &mut |bytes| each(Bytes::copy_from_slice(bytes)))
    }

    /// Walks the whole state. Takes time in proportion to it.
    #[must_use]
    pub fn digests(&self) -> Digests {
        let Ok(digests) = self.walk::<Infallible>(&self.totals(), &mut |_| Ok(()));
        digests
    }

    /// The beginning of a snapshot of this state.
    #[must_use]
    pub fn snapshot_head(&self) -> SnapshotHead {
        self.head(&self.totals())
    }

    fn head(&self, totals: &Totals) -> SnapshotHead {
        SnapshotHead {
            chain: self.chain,
            last_message_hash: self.last_message_hash,
            rules: self.policy.rules,
            now: self.now,
            orders: totals.open_orders + totals.settled_orders + totals.closed_orders + totals.refused_orders,
        }
    }

    fn walk<E>(&self, totals: &Totals, each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<Digests, E> {
        let mut chunks = Chunks::new(each);
        let mut ledger = Ledger::new(&self.sites);
        chunks.record(Kind::Head, |payload| write_head(payload, &self.head(totals)))?;
        chunks.record(Kind::Basics, |payload| write_basics(payload, self))?;
        for place in self.stock.places() {
            chunks.record(Kind::Stock, |payload| write_place(payload, &self.stock, place))?;
        }
        for stock in self.stock.unused() {
            chunks.record(Kind::StockUnused, |payload| write_number(payload, stock))?;
        }
        ledger.add_stock(&self.stock);
        for view in self.orders.slots() {
            chunks.record(Kind::Orders, |payload| write_slot(payload, &self.orders, view))?;
            if let Some(view) = view {
                ledger.add_order(&self.stock, &self.orders, view);
            }
        }
        for slot in self.orders.unused() {
            chunks.record(Kind::Unused, |payload| write_slot_number(payload, slot))?;
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
        chunks.record(Kind::End, |payload| write_end(payload, totals, digests))?;
        chunks.end()?;
        Ok(digests)
    }
}

//! Orders: the ones at work, and what is remembered of those that are done.
//!
//! An order is **open** while something of it waits or is reserved, then **settled**: it can still be delivered,
//! returned, or turn out to have been shipped after all. When its window ends (or newer settled orders need the room)
//! it is **closed**: shrunk to what answers a retry. A refused order is closed from the start.

use std::collections::VecDeque;

use compact_str::CompactString;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::order::{Order, Ticket};
use crate::words::hash::hash_seeded;
use crate::words::outcome::{Reason, State};
use crate::words::timestamp::Timestamp;

/// An order's place among those that are not closed; used again for another order later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) u32);

/// Where the table's entries point: to a slot, or (top bit set) to a closed order's running number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handle(u32);

const CLOSED: u32 = 1 << 31;
/// Numbers of closed orders run modulo this.
const NUMBERS: u32 = CLOSED;

/// The outcome that an order's id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstOutcome {
    Confirmed,
    Waiting,
    Refused(Reason),
}

/// What is remembered of a closed order.
#[derive(Clone, Debug)]
pub(super) struct Closed {
    pub(super) id: CompactString,
    /// The hash of its deciding fields.
    pub(super) content: u64,
    pub(super) first_sequence: u64,
    pub(super) first: FirstOutcome,
    pub(super) state: State,
    /// Log time at which it was closed.
    pub(super) at: Timestamp,
}

/// What an order id leads to.
pub(super) enum Found<'o> {
    Unknown,
    Kept(Slot),
    Closed(&'o Closed),
}

/// Takes note of a change to a settled order. It counts only if the order is still there and was not changed since.
#[derive(Clone, Copy, Debug)]
struct Settled {
    since: Timestamp,
    /// Tells the order from later ones in the same slot, those of the same message too.
    ticket: Ticket,
    slot: Slot,
}

/// All orders of a shard.
#[derive(Debug, Default)]
pub(super) struct Orders {
    table: HashTable<Handle>,
    slots: Vec<Option<Order>>,
    free: Vec<Slot>,
    closed: VecDeque<Closed>,
    /// The running number of the front of `closed`.
    closed_front: u32,
    /// Settled orders by the time of their last change.
    settled: VecDeque<Settled>,
    settled_count: usize,
    /// The time at which the newest forgotten order was closed.
    forgotten_until: Option<Timestamp>,
    forgotten_count: u64,
    seed: u64,
}

/// What eviction may do for one record, so that a shrunken window is worked off in steps.
const FORGET_PER_RECORD_MAX: usize = 1024;

/// How many entries of the settled queue may be out of date, beyond one for each settled order.
const SETTLED_SPARE: usize = 1024;

impl Orders {
    pub(super) fn set_seed(&mut self, seed: u64) {
        debug_assert!(self.table.is_empty(), "hashes with the old seed would be lost");
        self.seed = seed;
    }

    fn hash(&self, id: &str) -> u64 {
        hash_seeded(id.as_bytes(), self.seed)
    }

    fn id_at(&self, handle: Handle) -> &str {
        if handle.0 & CLOSED == 0 { &self.get(Slot(handle.0)).id } else { &self.closed_at(handle).id }
    }

    fn closed_at(&self, handle: Handle) -> &Closed {
        let place = (handle.0 & !CLOSED).wrapping_sub(self.closed_front) % NUMBERS;
        &self.closed[place as usize]
    }

    pub(super) fn find(&self, id: &str) -> Found<'_> {
        match self.table.find(self.hash(id), |handle| self.id_at(*handle) == id) {
            None => Found::Unknown,
            Some(handle) if handle.0 & CLOSED == 0 => Found::Kept(Slot(handle.0)),
            Some(handle) => Found::Closed(self.closed_at(*handle)),
        }
    }

    pub(super) fn get(&self, slot: Slot) -> &Order {
        self.slots[slot.0 as usize].as_ref().expect("a slot in use")
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Order {
        self.slots[slot.0 as usize].as_mut().expect("a slot in use")
    }

    /// Every slot, used or not, for walks that go in steps.
    pub(super) fn slots(&self) -> &[Option<Order>] {
        &self.slots
    }

    /// The orders that are not closed.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Order> {
        self.slots.iter().flatten()
    }

    pub(super) fn closed(&self) -> impl Iterator<Item = &Closed> {
        self.closed.iter()
    }

    pub(super) const fn settled_count(&self) -> usize {
        self.settled_count
    }

    pub(super) fn closed_count(&self) -> usize {
        self.closed.len()
    }

    pub(super) fn open_count(&self) -> usize {
        self.slots.len() - self.free.len() - self.settled_count
    }

    /// Orders submitted at or before this may have been decided and forgotten.
    pub(super) const fn forgotten_until(&self) -> Option<Timestamp> {
        self.forgotten_until
    }

    /// How many orders were closed and are no longer remembered.
    pub(super) const fn forgotten_count(&self) -> u64 {
        self.forgotten_count
    }

    /// Adds an open order, whose id is not known.
    pub(super) fn insert(&mut self, order: Order) -> Slot {
        let hash = self.hash(&order.id);
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot.0 as usize] = Some(order);
            slot
        } else {
            self.slots.push(Some(order));
            Slot(u32::try_from(self.slots.len() - 1).expect("policy caps the orders"))
        };
        self.point(hash, Handle(slot.0));
        slot
    }

    /// Remembers an order that was refused when it was placed.
    pub(super) fn insert_closed(&mut self, closed: Closed) {
        let hash = self.hash(&closed.id);
        let handle = self.push_closed(closed);
        self.point(hash, handle);
    }

    fn push_closed(&mut self, closed: Closed) -> Handle {
        let place = u32::try_from(self.closed.len()).expect("policy caps the closed orders");
        self.closed.push_back(closed);
        Handle((self.closed_front.wrapping_add(place) % NUMBERS) | CLOSED)
    }

    fn point(&mut self, hash: u64, handle: Handle) {
        let mut table = std::mem::take(&mut self.table);
        table.insert_unique(hash, handle, |handle| self.hash(self.id_at(*handle)));
        self.table = table;
    }

    /// Takes note that an order is settled now, or was changed once more while it was.
    pub(super) fn settle(&mut self, slot: Slot, was_settled: bool) {
        let order = self.get(slot);
        let entry = Settled { since: order.since, ticket: order.ticket(), slot };
        self.settled.push_back(entry);
        self.settled_count += usize::from(!was_settled);
        // An order that changes often leaves an entry behind each time; without this they would have no bound.
        if self.settled.len() > 2 * self.settled_count + SETTLED_SPARE {
            let mut settled = std::mem::take(&mut self.settled);
            settled.retain(|entry| self.is_current(entry));
            self.settled = settled;
        }
    }

    /// Whether an entry is the last one of an order that is still settled.
    fn is_current(&self, entry: &Settled) -> bool {
        self.slots[entry.slot.0 as usize].as_ref().is_some_and(|order| {
            order.since == entry.since && order.ticket() == entry.ticket && order.is_settled()
        })
    }

    /// Closes settled orders and forgets closed ones, as windows and caps say.
    pub(super) fn forget(&mut self, now: Timestamp, limits: &ForgetLimits) {
        for _ in 0..FORGET_PER_RECORD_MAX {
            let Some(front) = self.settled.front() else { break };
            let (since, slot, current) = (front.since, front.slot, self.is_current(front));
            if current
                && self.settled_count <= limits.settled_max
                && since.plus_millis(limits.settled_window_ms) >= now
            {
                break;
            }
            self.settled.pop_front();
            if current {
                self.close(slot, now);
            }
        }
        for _ in 0..FORGET_PER_RECORD_MAX {
            let Some(front) = self.closed.front() else { break };
            if self.closed.len() <= limits.closed_max && front.at.plus_millis(limits.closed_window_ms) >= now
            {
                break;
            }
            self.forget_front();
        }
    }

    fn close(&mut self, slot: Slot, now: Timestamp) {
        let order = self.slots[slot.0 as usize].take().expect("a slot in use");
        self.free.push(slot);
        self.settled_count -= 1;
        let hash = self.hash(&order.id);
        let handle = self.push_closed(Closed {
            state: order.state(),
            first: if order.waited { FirstOutcome::Waiting } else { FirstOutcome::Confirmed },
            id: order.id,
            content: order.content,
            first_sequence: order.first_sequence,
            at: now,
        });
        *self.table.find_mut(hash, |entry| *entry == Handle(slot.0)).expect("every order is in the table") =
            handle;
    }

    fn forget_front(&mut self) {
        let Some(front) = self.closed.front() else { return };
        let hash = self.hash(&front.id);
        let handle = Handle(self.closed_front | CLOSED);
        self.forgotten_until = Some(front.at);
        self.forgotten_count += 1;
        let mut table = std::mem::take(&mut self.table);
        match table.entry(hash, |entry| *entry == handle, |entry| self.hash(self.id_at(*entry))) {
            Entry::Occupied(entry) => drop(entry.remove()),
            Entry::Vacant(_) => unreachable!("every closed order is in the table"),
        }
        self.table = table;
        self.closed.pop_front();
        self.closed_front = self.closed_front.wrapping_add(1) % NUMBERS;
    }
}

/// The part of policy that [`Orders::forget`] goes by.
pub(super) struct ForgetLimits {
    pub(super) settled_max: usize,
    pub(super) settled_window_ms: i64,
    pub(super) closed_max: usize,
    pub(super) closed_window_ms: i64,
}

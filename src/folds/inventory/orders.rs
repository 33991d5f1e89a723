//! Orders: the ones at work, and what is remembered of those that are done.
//!
//! An order is **open** while something of it waits or is reserved, then **settled**: it can still be delivered,
//! returned, or turn out to have been shipped after all. When its window ends (or newer settled orders need the room)
//! it is **closed**: shrunk to what answers a retry. A refused order is closed from the start.

use compact_str::CompactString;

use super::index::{Entries, Index};
use super::order::{Order, Ticket};
use super::queue::Queue;
pub(super) use super::slots::Slot;
use super::slots::Slots;
use crate::words::hash::hash_seeded;
use crate::words::outcome::{Reason, State};
use crate::words::timestamp::Timestamp;

/// Where the index's entries point: to a slot, or (top bit set) to a closed order's running number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handle(u32);

const CLOSED: u32 = 1 << 31;
/// Numbers of closed orders run modulo this.
pub(super) const NUMBERS: u32 = CLOSED;

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
pub(super) struct Settled {
    pub(super) since: Timestamp,
    /// Tells the order from later ones in the same slot, those of the same message too.
    pub(super) ticket: Ticket,
    pub(super) slot: Slot,
}

/// What a snapshot has of [`Orders`] beside their tables and queues.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered {
    pub(super) closed_front: u32,
    pub(super) forgotten_until: Option<Timestamp>,
    pub(super) forgotten_count: u64,
    pub(super) seed: u64,
}

/// All orders of a shard.
#[derive(Debug, Default)]
pub(super) struct Orders {
    index: Index,
    slots: Slots,
    closed: Queue<Closed>,
    /// The running number of the front of `closed`.
    closed_front: u32,
    /// Settled orders by the time of their last change: `sifted`, and `settled` behind it.
    settled: Queue<Settled>,
    sifted: Queue<Settled>,
    settled_count: usize,
    /// The time at which the newest forgotten order was closed.
    forgotten_until: Option<Timestamp>,
    forgotten_count: u64,
    /// How often something was added that windows and caps may end.
    additions: u64,
    seed: u64,
}

/// What eviction may do for one record, so that a shrunken window is worked off in steps.
const FORGET_PER_RECORD_MAX: usize = 1024;

/// How many entries of the settled queue may be out of date, beyond one for each settled order.
const SETTLED_SPARE: usize = 1024;
/// How many entries of the settled queue are looked at for each one that is added to it while too many are out of date.
const SIFTED_AT_ONCE: usize = 4;

impl Orders {
    pub(super) fn set_seed(&mut self, seed: u64) {
        debug_assert!(self.index.is_empty(), "hashes with the old seed would be lost");
        self.seed = seed;
    }

    pub(super) fn hash(&self, id: &str) -> u64 {
        hash_seeded(id.as_bytes(), self.seed)
    }

    fn id_at(&self, handle: Handle) -> &str {
        if handle.0 & CLOSED == 0 { &self.get(Slot(handle.0)).id } else { &self.closed_at(handle).id }
    }

    fn closed_at(&self, handle: Handle) -> &Closed {
        let place = (handle.0 & !CLOSED).wrapping_sub(self.closed_front) % NUMBERS;
        self.closed.get(place as usize).expect("the index points to what is there")
    }

    pub(super) fn find(&self, id: &str) -> Found<'_> {
        self.find_hashed(id, self.hash(id))
    }

    /// The same, for whoever has the id's hash already.
    pub(super) fn find_hashed(&self, id: &str, hash: u64) -> Found<'_> {
        match self.index.find(hash, |handle| self.id_at(Handle(handle)) == id) {
            None => Found::Unknown,
            Some(handle) if handle & CLOSED == 0 => Found::Kept(Slot(handle)),
            Some(handle) => Found::Closed(self.closed_at(Handle(handle))),
        }
    }

    /// Reads what a look for an id with this hash will need first.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> u64 {
        self.index.touch(hash)
    }

    /// Reads the order, if there is one, that is found under a hash.
    pub(super) fn touch_order(&self, hash: u64) -> u64 {
        let handle = self.index.find(hash, |_| true).filter(|handle| handle & CLOSED == 0);
        handle.map_or(0, |handle| self.get(Slot(handle)).content)
    }

    pub(super) fn get(&self, slot: Slot) -> &Order {
        self.slots.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Order {
        self.slots.get_mut(slot)
    }

    pub(super) fn drop_in_steps(self, between: impl FnMut()) {
        self.slots.drop_in_steps(between);
    }

    /// Every slot, used or not, for walks that go in steps.
    pub(super) const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The orders that are not closed.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Order> {
        self.slots.iter()
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
        self.slots.used() - self.settled_count
    }

    /// Orders submitted at or before this may have been decided and forgotten.
    pub(super) const fn forgotten_until(&self) -> Option<Timestamp> {
        self.forgotten_until
    }

    /// How many orders were closed and are no longer remembered.
    pub(super) const fn forgotten_count(&self) -> u64 {
        self.forgotten_count
    }

    /// How often something was added that [`Self::forget`] may have to look at.
    pub(super) const fn additions(&self) -> u64 {
        self.additions
    }

    /// Adds an open order, whose id is not known, under its id's hash.
    pub(super) fn insert(&mut self, order: Order, hash: u64) -> Slot {
        let slot = self.slots.insert(order);
        self.index.insert(hash, slot.0);
        slot
    }

    /// Remembers an order that was refused when it was placed, under its id's hash.
    pub(super) fn insert_closed(&mut self, closed: Closed, hash: u64) {
        let handle = self.push_closed(closed);
        self.index.insert(hash, handle.0);
    }

    fn push_closed(&mut self, closed: Closed) -> Handle {
        let place = u32::try_from(self.closed.len()).expect("policy caps the closed orders");
        self.closed.push_back(closed);
        self.additions += 1;
        Handle((self.closed_front.wrapping_add(place) % NUMBERS) | CLOSED)
    }

    /// Takes note that an order is settled now, or was changed once more while it was.
    pub(super) fn settle(&mut self, slot: Slot, was_settled: bool) {
        let order = self.get(slot);
        let entry = Settled { since: order.since, ticket: order.ticket(), slot };
        self.settled.push_back(entry);
        self.settled_count += usize::from(!was_settled);
        self.additions += 1;
        // An order that changes often leaves an entry behind each time; without this they would have no bound.
        if self.settled.len() + self.sifted.len() > 2 * self.settled_count + SETTLED_SPARE {
            self.sift();
        }
    }

    /// Goes on dropping entries that are out of date, a few at a time.
    fn sift(&mut self) {
        for _ in 0..SIFTED_AT_ONCE {
            let Some(entry) = self.settled.pop_front() else {
                std::mem::swap(&mut self.settled, &mut self.sifted);
                return;
            };
            if self.is_current(&entry) {
                self.sifted.push_back(entry);
            }
        }
    }

    /// Whether an entry is the last one of an order that is still settled.
    fn is_current(&self, entry: &Settled) -> bool {
        self.slots.at(entry.slot).is_some_and(|order| {
            order.since == entry.since && order.ticket() == entry.ticket && order.is_settled()
        })
    }

    /// Closes settled orders and forgets closed ones, as windows and caps say; false where there is more to do.
    pub(super) fn forget(&mut self, now: Timestamp, limits: &ForgetLimits) -> bool {
        let settled_done = (0..FORGET_PER_RECORD_MAX).any(|_| {
            let Some(front) = self.sifted.front().or(self.settled.front()) else { return true };
            let (since, slot, current) = (front.since, front.slot, self.is_current(front));
            if current
                && self.settled_count <= limits.settled_max
                && since.plus_millis(limits.settled_window_ms) >= now
            {
                return true;
            }
            if self.sifted.pop_front().is_none() {
                self.settled.pop_front();
            }
            if current {
                self.close(slot, now);
            }
            false
        });
        let closed_done = (0..FORGET_PER_RECORD_MAX).any(|_| {
            let Some(front) = self.closed.front() else { return true };
            if self.closed.len() <= limits.closed_max && front.at.plus_millis(limits.closed_window_ms) >= now
            {
                return true;
            }
            self.forget_front();
            false
        });
        settled_done && closed_done
    }

    fn close(&mut self, slot: Slot, now: Timestamp) {
        let order = self.slots.remove(slot);
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
        self.index.replace(hash, slot.0, handle.0);
    }

    fn forget_front(&mut self) {
        let Some(front) = self.closed.front() else { return };
        let hash = self.hash(&front.id);
        let handle = Handle(self.closed_front | CLOSED);
        self.forgotten_until = Some(front.at);
        self.forgotten_count += 1;
        self.index.remove(hash, handle.0);
        self.closed.pop_front();
        self.closed_front = self.closed_front.wrapping_add(1) % NUMBERS;
    }
}

/// For snapshots.
impl Orders {
    pub(super) const fn remembered(&self) -> Remembered {
        Remembered {
            closed_front: self.closed_front,
            forgotten_until: self.forgotten_until,
            forgotten_count: self.forgotten_count,
            seed: self.seed,
        }
    }

    /// The queues of settled orders: `sifted`, and `settled` behind it.
    pub(super) const fn settled(&self) -> [&Queue<Settled>; 2] {
        [&self.sifted, &self.settled]
    }

    /// No orders yet.
    pub(super) fn restored(remembered: Remembered) -> Self {
        let Remembered { closed_front, forgotten_until, forgotten_count, seed } = remembered;
        Self { closed_front, forgotten_until, forgotten_count, seed, ..Self::default() }
    }

    /// Adds a slot that is not used; none where there are too many.
    pub(super) fn restore_empty(&mut self) -> Option<Slot> {
        self.slots.push(None)
    }

    /// Adds a slot with an order; none where there are too many.
    #[inline]
    pub(super) fn restore_order(&mut self, order: Order, ids: &mut Entries) -> Option<Slot> {
        let hash = self.hash(&order.id);
        self.settled_count += usize::from(order.is_settled());
        let slot = self.slots.push(Some(order))?;
        ids.push(hash, slot.0);
        Some(slot)
    }

    pub(super) fn restore_unused(&mut self, slot: Slot) {
        self.slots.free(slot);
    }

    /// Adds an entry to a queue of settled orders, and tells whether it is the current one of its order.
    pub(super) fn restore_settled(&mut self, sifted: bool, entry: Settled) -> bool {
        let queue = if sifted { &mut self.sifted } else { &mut self.settled };
        queue.push_back(entry);
        self.is_current(&entry)
    }

    /// Adds a closed order; false where there are too many.
    pub(super) fn restore_closed(&mut self, closed: Closed, ids: &mut Entries) -> bool {
        if self.closed.len() as u64 >= u64::from(NUMBERS) {
            return false;
        }
        let hash = self.hash(&closed.id);
        ids.push(hash, self.push_closed(closed).0);
        true
    }

    /// Makes the index of all ids; false where an id is there twice.
    pub(super) fn restore_index(&mut self, ids: Entries) -> bool {
        let id_at = |handle| self.id_at(Handle(handle));
        let index = ids.into_index(|one, other| id_at(one) == id_at(other));
        index.map(|index| self.index = index).is_some()
    }
}

/// The part of policy that [`Orders::forget`] goes by.
pub(super) struct ForgetLimits {
    pub(super) settled_max: usize,
    pub(super) settled_window_ms: i64,
    pub(super) closed_max: usize,
    pub(super) closed_window_ms: i64,
}

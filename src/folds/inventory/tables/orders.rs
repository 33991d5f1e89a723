//! Orders: the ones at work, and what is remembered of those that are done.
//!
//! An order is **open** while something of it waits or is reserved, then **settled**: it can still be delivered, returned, or turn out
//! to have been shipped after all. When its window ends (or newer settled orders need the room) it is **closed**: shrunk to what
//! answers a retry. An order that was refused for want of stock is remembered likewise, in a queue of its own, so that nonsense never
//! pushes out what answers a retry.

use super::granules::Granules;
use super::index::{Bucket, Entries, Index, Probe, Start, Vacancy};
use super::names::Names;
use super::order::{Flags, Order, OrderLine, Ticket, View};
use super::remembered::{Closed, FirstOutcome, Remembered};
use super::settled::{Entry, Settled};
use super::sides::{More, Side, Sides};
use super::stock::StockTable;
use crate::words::hash::TextHash;
use crate::words::text::Id;
use crate::words::timestamp::Timestamp;

/// Up to this many lines, a walk through them finds one as fast as anything.
pub(crate) const LINES_WALKED_MAX: usize = 8;

// Where the index's entries point: to a slot, or to a running number of one of the queues.
const TABLE: u32 = 3 << 30;
const CLOSED: u32 = 1 << 30;
const REFUSED: u32 = 2 << 30;
/// Numbers within a table have the other bits.
pub(crate) const SLOTS_MAX: u32 = 1 << 30;

/// What an order id leads to.
pub(crate) enum Found<'o> {
    Unknown,
    Kept(u32),
    /// A closed order, or a refused one.
    Closed(&'o Closed),
}

/// What a snapshot has of [`Orders`] beside their tables and queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Basics {
    pub(crate) closed_front: u32,
    pub(crate) refused_front: u32,
    pub(crate) forgotten_until: Option<Timestamp>,
    pub(crate) forgotten_count: u64,
    pub(crate) seed: u64,
}

/// All orders of a shard.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    index: Index,
    slots: Granules<Order>,
    /// Slots that are not used, the one that became free last used first.
    unused: Granules<u32>,
    sides: Sides,
    names: Names,
    closed: Remembered,
    refused: Remembered,
    settled: Settled,
    settled_count: usize,
    open_lines: u64,
    /// How many ids of facts are kept with all orders.
    told_count: u64,
    /// The time at which the newest forgotten order was closed.
    forgotten_until: Option<Timestamp>,
    forgotten_count: u64,
    /// How often something was added that windows and caps may end.
    additions: u64,
    seed: u64,
    hash: TextHash,
}

impl Orders {
    pub(crate) fn set_seed(&mut self, seed: u64) {
        debug_assert!(self.index.is_empty(), "hashes with the old seed would be lost");
        self.seed = seed;
        self.hash = TextHash::new(seed);
    }

    #[inline]
    pub(crate) fn hash(&self, id: &str) -> u64 {
        self.hash.of(id.as_bytes())
    }

    /// The hash of an order's id.
    #[inline]
    pub(crate) fn hash_id(&self, id: Id<'_>) -> u64 {
        self.hash.of_id(id)
    }

    /// Where a look for an id with this hash begins.
    #[inline]
    pub(crate) fn start(&self, hash: u64) -> Start {
        self.index.start(hash)
    }

    /// Where an id with this hash would go; none where it leads to something.
    #[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
    #[inline(always)]
    pub(crate) fn vacancy(&self, start: Start, id: &Id<'_>, hash: u64) -> Option<Vacancy> {
        self.index.vacancy(start, hash).or_else(|| self.vacancy_behind(id, hash))
    }

    /// The same, where the first look does not tell.
    #[cold]
    fn vacancy_behind(&self, id: &Id<'_>, hash: u64) -> Option<Vacancy> {
        let is = |handle: u32| {
            if handle & TABLE == 0 {
                let order = self.slots.get(handle);
                self.names.is_id(&order.name, order.name_length, *id, hash)
            } else {
                let closed = self.remembered(handle);
                self.names.is_id(&closed.name, closed.name_length, *id, hash)
            }
        };
        match self.index.probe(hash, is) {
            Probe::Vacant(vacancy) => Some(vacancy),
            Probe::Found(_) => None,
        }
    }

    fn is(&self, handle: u32, id: &str, hash: u64) -> bool {
        if handle & TABLE == 0 {
            let order = self.slots.get(handle);
            self.names.is(&order.name, order.name_length, id, hash)
        } else {
            let closed = self.remembered(handle);
            self.names.is(&closed.name, closed.name_length, id, hash)
        }
    }

    fn remembered(&self, handle: u32) -> &Closed {
        let queue = if handle & TABLE == CLOSED { &self.closed } else { &self.refused };
        queue.get(handle & !TABLE)
    }

    pub(crate) fn find(&self, id: &str) -> Found<'_> {
        match self.probe(id, self.hash(id)) {
            Ok(found) => found,
            Err(_) => Found::Unknown,
        }
    }

    /// What an id with this hash leads to, or where it would go if it was added next.
    #[inline]
    pub(crate) fn probe(&self, id: &str, hash: u64) -> Result<Found<'_>, Vacancy> {
        match self.index.probe(hash, |handle| self.is(handle, id, hash)) {
            Probe::Vacant(vacancy) => Err(vacancy),
            Probe::Found(handle) if handle & TABLE == 0 => Ok(Found::Kept(handle)),
            Probe::Found(handle) => Ok(Found::Closed(self.remembered(handle))),
        }
    }

    /// The bucket that a look begins at. It is not read yet.
    #[inline]
    pub(crate) fn bucket(&self, start: Start) -> &Bucket {
        self.index.bucket(start)
    }

    /// Reads the order, if there is one, that is found under a hash.
    pub(crate) fn touch_order(&self, hash: u64) -> u32 {
        let handle = self.index.find(hash, |_| true).filter(|handle| handle & TABLE == 0);
        handle.map_or(0, |handle| self.slots.get(handle).side)
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &Order {
        self.slots.get(slot)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Order {
        self.slots.get_mut(slot)
    }

    pub(crate) fn view(&self, slot: u32) -> View<'_> {
        self.view_of(self.slots.get(slot))
    }

    pub(crate) fn view_of<'o>(&'o self, order: &'o Order) -> View<'o> {
        View { order, side: self.sides.get(order.side) }
    }

    /// The order in a slot, if there is one.
    pub(crate) fn at(&self, slot: u32) -> Option<View<'_>> {
        self.slots.at(slot).filter(|order| order.is_used()).map(|order| self.view_of(order))
    }

    /// The order of a ticket, if it is still in its slot.
    pub(crate) fn with_ticket(&self, slot: u32, ticket: Ticket) -> Option<View<'_>> {
        self.at(slot).filter(|view| view.order.ticket == ticket)
    }

    pub(crate) fn id<'o>(&'o self, order: &'o Order) -> &'o str {
        self.names.text(&order.name, order.name_length)
    }

    pub(crate) fn closed_id<'o>(&'o self, closed: &'o Closed) -> &'o str {
        self.names.text(&closed.name, closed.name_length)
    }

    /// An order's side, made where it has none.
    pub(crate) fn side_mut(&mut self, slot: u32) -> &mut Side {
        self.sides.get_or_add(&mut self.slots.get_mut(slot).side)
    }

    /// What few orders have, made where it has none of it.
    pub(crate) fn more_mut(&mut self, slot: u32) -> &mut More {
        self.side_mut(slot).more.get_or_insert_default()
    }

    /// Takes an order's side back where nothing is left in it.
    pub(crate) fn tidy(&mut self, slot: u32) {
        self.sides.tidy(&mut self.slots.get_mut(slot).side);
    }

    /// The number of the order's line of a SKU, if it has one.
    pub(crate) fn line_of(&self, slot: u32, stock: &StockTable, sku: &str, sku_hash: u64) -> Option<usize> {
        let view = self.view(slot);
        let lines = view.lines();
        let is = |line: &OrderLine| stock.is_sku(line.stock, sku, sku_hash);
        if lines.len() <= LINES_WALKED_MAX {
            return lines.iter().position(is);
        }
        let by_sku = &view.side?.more.as_ref()?.by_sku;
        let hash_of = |line: u16| stock.get(lines[usize::from(line)].stock).hash;
        let start = by_sku.partition_point(|line| hash_of(*line) < sku_hash);
        by_sku[start..]
            .iter()
            .take_while(|line| hash_of(**line) == sku_hash)
            .map(|line| usize::from(*line))
            .find(|line| is(&lines[*line]))
    }

    /// Sorts the numbers of an order's lines by their SKUs, where it has many.
    pub(crate) fn sort_lines(&mut self, slot: u32, stock: &StockTable) {
        let count = self.view(slot).lines().len();
        if count <= LINES_WALKED_MAX {
            return;
        }
        let more = self.more_mut(slot);
        let mut by_sku: Vec<u16> =
            (0..more.lines.len()).filter_map(|line| u16::try_from(line).ok()).collect();
        by_sku.sort_unstable_by_key(|line| (stock.get(more.lines[usize::from(*line)].stock).hash, *line));
        more.by_sku = by_sku;
    }

    pub(crate) fn drop_in_steps(self, mut between: impl FnMut()) {
        self.sides.drop_in_steps(&mut between);
        self.slots.drop_in_steps(between);
    }

    /// Every slot, used or not.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Option<View<'_>>> {
        self.slots.iter().map(|order| order.is_used().then(|| self.view_of(order)))
    }

    /// How many slots there are, used or not.
    pub(crate) fn slots_count(&self) -> usize {
        self.slots.len()
    }

    /// The slots that are not used, in the order in which they became free.
    pub(crate) fn unused(&self) -> impl Iterator<Item = u32> {
        self.unused.iter().copied()
    }

    /// The orders that are not closed.
    pub(crate) fn kept(&self) -> impl Iterator<Item = View<'_>> {
        self.slots().flatten()
    }

    pub(crate) const fn closed(&self) -> &Remembered {
        &self.closed
    }

    pub(crate) const fn refused(&self) -> &Remembered {
        &self.refused
    }

    pub(crate) const fn settled_count(&self) -> usize {
        self.settled_count
    }

    pub(crate) fn open_count(&self) -> usize {
        self.slots.len() - self.unused.len() - self.settled_count
    }

    pub(crate) const fn open_lines(&self) -> u64 {
        self.open_lines
    }

    /// Takes note of lines of open orders that came or went.
    pub(crate) const fn add_open_lines(&mut self, lines: i64) {
        self.open_lines = self.open_lines.wrapping_add_signed(lines);
    }

    pub(crate) const fn told_count(&self) -> u64 {
        self.told_count
    }

    pub(crate) const fn add_told(&mut self, count: i64) {
        self.told_count = self.told_count.wrapping_add_signed(count);
    }

    /// Orders submitted at or before this may have been decided and forgotten.
    pub(crate) const fn forgotten_until(&self) -> Option<Timestamp> {
        self.forgotten_until
    }

    /// How many orders were closed or refused and are no longer remembered.
    pub(crate) const fn forgotten_count(&self) -> u64 {
        self.forgotten_count
    }

    /// How often something was added that windows and caps may end.
    pub(crate) const fn additions(&self) -> u64 {
        self.additions
    }

    /// Adds an open order where the look for its id ended. It counts as open; its lines are for the caller to add, where there are
    /// more than two.
    pub(crate) fn insert(&mut self, mut order: Order, id: &str, hash: u64, vacancy: Vacancy) -> u32 {
        order.name = self.names.add(id, hash);
        self.add(order, vacancy)
    }

    /// The same for an id that was looked at already.
    #[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
    #[inline(always)]
    pub(crate) fn insert_id(&mut self, mut order: Order, id: Id<'_>, hash: u64, vacancy: Vacancy) -> u32 {
        order.name = self.names.add_id(id, hash);
        self.add(order, vacancy)
    }

    #[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
    #[inline(always)]
    fn add(&mut self, order: Order, vacancy: Vacancy) -> u32 {
        let slot = match self.unused.pop() {
            Some(slot) => {
                *self.slots.get_mut(slot) = order;
                slot
            }
            None => self.slots.push(order),
        };
        self.index.fill(vacancy, slot);
        slot
    }

    /// Remembers an order that was refused when it was placed, where the look for its id ended.
    pub(crate) fn insert_refused(&mut self, mut closed: Closed, id: &str, hash: u64, vacancy: Vacancy) {
        closed.name = self.names.add(id, hash);
        let number = self.refused.push(closed);
        self.additions += 1;
        self.index.fill(vacancy, number | REFUSED);
    }

    /// Takes note that an order is settled now, or was moved once more while it was.
    pub(crate) fn settle(&mut self, slot: u32, was_settled: bool) {
        let order = self.slots.get(slot);
        let entry = Entry { since: order.since, ticket: order.ticket, slot };
        self.settled_count += usize::from(!was_settled);
        self.additions += 1;
        let Self { settled, settled_count, slots, sides, .. } = self;
        settled.add(entry, *settled_count, |entry| is_current(slots, sides, entry));
    }

    /// Takes note that a settled order is open again: an entry is out of date.
    pub(crate) const fn reopen(&mut self) {
        self.settled_count -= 1;
        self.additions += 1;
    }

    /// Takes out of the queue of settled orders what is out of date, and gives the order that was settled first. `budget` is what it
    /// may look at.
    pub(crate) fn first_settled(&mut self, budget: &mut u32) -> Option<(u32, Timestamp)> {
        loop {
            let front = self.settled.front()?;
            if is_current(&self.slots, &self.sides, front) {
                return Some((front.slot, front.since));
            }
            if *budget == 0 {
                return None;
            }
            *budget -= 1;
            self.settled.pop_front();
        }
    }

    /// Closes the order that was settled first.
    pub(crate) fn close_first(&mut self, now: Timestamp) {
        let Some(Entry { slot, .. }) = self.settled.front().copied() else { return };
        self.settled.pop_front();
        let view = self.view(slot);
        let order = *view.order;
        let told = view.side.and_then(|side| side.more.as_ref()).map_or(0, |more| more.told.len());
        let closed = Closed {
            name: order.name,
            name_length: order.name_length,
            content: order.content,
            first_sequence: order.ticket.sequence(),
            at: now,
            first: if order.flags.has(Flags::WAITED) {
                FirstOutcome::Waiting
            } else {
                FirstOutcome::Confirmed
            },
            state: view.state(),
        };
        self.told_count -= told as u64;
        let hash = self.names.hash(&order.name, order.name_length, &self.hash);
        self.sides.remove(&mut self.slots.get_mut(slot).side);
        *self.slots.get_mut(slot) = Order::UNUSED;
        self.unused.push(slot);
        self.settled_count -= 1;
        self.additions += 1;
        let number = self.closed.push(closed);
        self.index.replace(hash, slot, number | CLOSED);
    }

    /// Forgets the order that was closed first.
    pub(crate) fn forget_closed(&mut self) {
        let handle = self.closed.front_number() | CLOSED;
        if let Some(closed) = self.closed.pop_front() {
            self.forgotten_until = Some(closed.at);
            self.forget(closed, handle);
        }
    }

    /// Forgets the order that was refused first.
    pub(crate) fn forget_refused(&mut self) {
        let handle = self.refused.front_number() | REFUSED;
        if let Some(closed) = self.refused.pop_front() {
            self.forget(closed, handle);
        }
    }

    fn forget(&mut self, closed: Closed, handle: u32) {
        self.forgotten_count += 1;
        self.index.remove(self.names.hash(&closed.name, closed.name_length, &self.hash), handle);
        self.names.remove(closed.name, closed.name_length);
    }
}

/// Whether an entry is the last one of an order that is still settled.
fn is_current(slots: &Granules<Order>, sides: &Sides, entry: &Entry) -> bool {
    let order = slots.get(entry.slot);
    order.is_used()
        && order.since == entry.since
        && order.ticket == entry.ticket
        && !View { order, side: sides.get(order.side) }.is_open()
}

/// For snapshots.
impl Orders {
    pub(crate) const fn basics(&self) -> Basics {
        Basics {
            closed_front: self.closed.front_number(),
            refused_front: self.refused.front_number(),
            forgotten_until: self.forgotten_until,
            forgotten_count: self.forgotten_count,
            seed: self.seed,
        }
    }

    pub(crate) const fn settled(&self) -> &Settled {
        &self.settled
    }

    /// What is there now, once more: see [`super::granules`]. Only to be read, and not to be searched by id.
    pub(crate) fn share(&mut self) -> Self {
        Self {
            index: Index::default(),
            slots: self.slots.share(),
            unused: self.unused.share(),
            sides: self.sides.share(),
            names: self.names.share(),
            closed: self.closed.share(),
            refused: self.refused.share(),
            settled: self.settled.share(),
            ..*self
        }
    }

    /// No orders yet.
    pub(crate) fn restored(basics: Basics) -> Self {
        let Basics { closed_front, refused_front, forgotten_until, forgotten_count, seed } = basics;
        Self {
            closed: Remembered::restored(closed_front),
            refused: Remembered::restored(refused_front),
            forgotten_until,
            forgotten_count,
            seed,
            hash: TextHash::new(seed),
            ..Self::default()
        }
    }

    /// Adds a slot that is not used; none where there are too many.
    pub(crate) fn restore_empty(&mut self) -> Option<u32> {
        self.has_room().then(|| self.slots.push(Order::UNUSED))
    }

    fn has_room(&self) -> bool {
        self.slots.len() < SLOTS_MAX as usize
    }

    /// Adds a slot with an order and its side; none where there are too many.
    #[inline]
    pub(crate) fn restore_order(
        &mut self,
        mut order: Order,
        id: &str,
        side: Option<Side>,
        ids: &mut Entries,
    ) -> Option<u32> {
        if !self.has_room() {
            return None;
        }
        let hash = self.hash(id);
        order.name = self.names.add(id, hash);
        if let Some(side) = side {
            *self.sides.get_or_add(&mut order.side) = side;
        }
        let slot = self.slots.push(order);
        let view = self.view(slot);
        let (lines, is_open) = (view.lines().len() as u64, view.is_open());
        let told = view.side.and_then(|side| side.more.as_ref()).map_or(0, |more| more.told.len() as u64);
        self.told_count += told;
        if is_open {
            self.open_lines += lines;
        } else {
            self.settled_count += 1;
        }
        ids.push(hash, slot);
        Some(slot)
    }

    pub(crate) fn restore_unused(&mut self, slot: u32) {
        self.unused.push(slot);
    }

    /// Adds an entry to a queue of settled orders, and tells whether it is the current one of its order.
    pub(crate) fn restore_settled(&mut self, sifted: bool, entry: Entry) -> bool {
        self.settled.restore(sifted, entry);
        is_current(&self.slots, &self.sides, &entry)
    }

    /// Adds a closed order or a refused one; false where there are too many.
    pub(crate) fn restore_closed(
        &mut self,
        refused: bool,
        mut closed: Closed,
        id: &str,
        ids: &mut Entries,
    ) -> bool {
        let hash = self.hash(id);
        closed.name = self.names.add(id, hash);
        let (queue, table) = if refused { (&mut self.refused, REFUSED) } else { (&mut self.closed, CLOSED) };
        if queue.len() >= super::remembered::NUMBERS as usize {
            return false;
        }
        ids.push(hash, queue.push(closed) | table);
        true
    }

    /// Makes the index of all ids; false where an id is there twice.
    pub(crate) fn restore_index(&mut self, ids: Entries) -> bool {
        let text = |handle: u32| {
            if handle & TABLE == 0 {
                self.id(self.slots.get(handle))
            } else {
                self.closed_id(self.remembered(handle))
            }
        };
        let index = ids.into_index(|one, other| text(one) == text(other));
        index.map(|index| self.index = index).is_some()
    }

    /// Where the id of a fact that an order has would stand among those it has: by the hashes of the shard.
    pub(crate) fn fact_hash(&self, id: &str) -> u64 {
        self.hash.of(id.as_bytes())
    }
}

//! Places for orders: a list that grows by whole chunks, so that no order is ever moved and no growth copies what is there.

use super::order::Order;

/// An order's place among those that are not closed; used again for another order later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) u32);

/// Orders in a chunk; a power of two.
const CHUNK: usize = 4096;

/// Handles have 31 bits for a place.
const SLOTS_MAX: u32 = 1 << 31;

/// The places.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// All but the last are full.
    chunks: Vec<Vec<Option<Order>>>,
    free: Vec<Slot>,
}

impl Slots {
    /// How many places there are, used or not.
    pub(super) fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    /// How many of them are used.
    pub(super) fn used(&self) -> usize {
        self.len() - self.free.len()
    }

    /// The order at a place, if it is used.
    pub(super) fn at(&self, slot: Slot) -> Option<&Order> {
        let place = slot.0 as usize;
        self.chunks[place / CHUNK][place % CHUNK].as_ref()
    }

    /// The order at a place that is used.
    pub(super) fn get(&self, slot: Slot) -> &Order {
        self.at(slot).expect("a slot in use")
    }

    /// The order at a place that is used.
    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Order {
        let place = slot.0 as usize;
        self.chunks[place / CHUNK][place % CHUNK].as_mut().expect("a slot in use")
    }

    /// Puts an order in a free place.
    pub(super) fn insert(&mut self, order: Order) -> Slot {
        if let Some(slot) = self.free.pop() {
            let place = slot.0 as usize;
            self.chunks[place / CHUNK][place % CHUNK] = Some(order);
            return slot;
        }
        self.push(Some(order)).expect("policy caps the orders")
    }

    /// Adds a place, and gives it; none where there are as many as there can be. Whoever restores a state frees those that
    /// are not used afterwards.
    #[inline]
    pub(super) fn push(&mut self, order: Option<Order>) -> Option<Slot> {
        let slot = u32::try_from(self.len()).ok().filter(|slot| *slot < SLOTS_MAX)?;
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks.last_mut()?.push(order);
        Some(Slot(slot))
    }

    /// Takes note that a place that is not used may be: those freed last are used first.
    pub(super) fn free(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    /// Takes an order out of its place.
    pub(super) fn remove(&mut self, slot: Slot) -> Order {
        let place = slot.0 as usize;
        let order = self.chunks[place / CHUNK][place % CHUNK].take().expect("a slot in use");
        self.free(slot);
        order
    }

    /// Gives the memory back a chunk at a time.
    pub(super) fn drop_in_steps(self, mut between: impl FnMut()) {
        for chunk in self.chunks {
            drop(chunk);
            between();
        }
    }

    /// Every place, used or not, in their order.
    pub(super) fn places(&self) -> impl Iterator<Item = Option<&Order>> {
        self.chunks.iter().flatten().map(Option::as_ref)
    }

    /// The places that are not used, in the order in which they became free.
    pub(super) fn unused(&self) -> &[Slot] {
        &self.free
    }

    /// Every order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.chunks.iter().flatten().flatten()
    }
}

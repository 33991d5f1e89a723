//! What is remembered of orders that are closed, or were refused: enough to answer a retry.

use super::names::Name;
use super::queue::Queue;
use crate::words::outcome::State;
use crate::words::timestamp::Timestamp;

/// The outcome that an order's id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FirstOutcome {
    Confirmed,
    Waiting,
    /// For want of stock: no other refusal is remembered.
    Refused,
}

impl FirstOutcome {
    /// Every one, in the order of their tags in a snapshot.
    pub(crate) const ALL: [Self; 3] = [Self::Confirmed, Self::Waiting, Self::Refused];
}

/// What is remembered of one order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) name: Name,
    /// The hash of its deciding fields.
    pub(crate) content: u64,
    pub(crate) first_sequence: u64,
    /// Log time at which it was closed or refused.
    pub(crate) at: Timestamp,
    pub(crate) first: FirstOutcome,
    pub(crate) state: State,
    pub(crate) name_length: u8,
}

const _: () = assert!(size_of::<Closed>() == 48);

/// Running numbers are taken modulo this.
pub(crate) const NUMBERS: u32 = 1 << 30;

/// Orders in the order in which they were closed, by running numbers.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    orders: Queue<Closed>,
    /// The running number of the first.
    front: u32,
}

impl Remembered {
    pub(crate) const fn len(&self) -> usize {
        self.orders.len()
    }

    /// The running number of the first.
    pub(crate) const fn front_number(&self) -> u32 {
        self.front
    }

    pub(crate) fn front(&self) -> Option<&Closed> {
        self.orders.front()
    }

    pub(crate) fn get(&self, number: u32) -> &Closed {
        let place = number.wrapping_sub(self.front) % NUMBERS;
        self.orders.get(place as usize).expect("the index points to what is there")
    }

    /// Adds an order and gives its running number.
    pub(crate) fn push(&mut self, closed: Closed) -> u32 {
        let place = u32::try_from(self.orders.len()).expect("policy caps the closed orders");
        self.orders.push_back(closed);
        self.front.wrapping_add(place) % NUMBERS
    }

    /// Takes the first away; its number was [`Self::front_number`].
    pub(crate) fn pop_front(&mut self) -> Option<Closed> {
        let closed = self.orders.pop_front()?;
        self.front = self.front.wrapping_add(1) % NUMBERS;
        Some(closed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Closed> {
        self.orders.iter()
    }

    /// What is remembered now, once more: see [`super::granules`].
    pub(crate) fn share(&mut self) -> Self {
        Self { orders: self.orders.share(), front: self.front }
    }

    /// None yet; the first to come has this number.
    pub(crate) fn restored(front: u32) -> Self {
        Self { orders: Queue::default(), front }
    }
}

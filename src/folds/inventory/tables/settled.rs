//! Settled orders by the time of their last movement: who is closed next.

use super::order::Ticket;
use super::queue::Queue;
use crate::words::timestamp::Timestamp;

/// Takes note of a movement of a settled order. It counts only if the order is still there and was not moved since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) since: Timestamp,
    /// Tells the order from later ones in the same slot, those of the same message too.
    pub(crate) ticket: Ticket,
    pub(crate) slot: u32,
}

/// How many entries may be out of date, beyond one for each settled order.
const SPARE: usize = 1024;
/// How many entries are looked at for each one that is added while too many are out of date.
const SIFTED_AT_ONCE: usize = 4;

/// The entries: `sifted`, and `entries` behind it.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    entries: Queue<Entry>,
    sifted: Queue<Entry>,
}

impl Settled {
    /// Adds an entry while there are `settled` orders. One that moves often leaves an entry behind each time; those out of date are
    /// dropped a few at a time, or they would have no bound.
    pub(crate) fn add(&mut self, entry: Entry, settled: usize, is_current: impl Fn(&Entry) -> bool) {
        self.entries.push_back(entry);
        if self.entries.len() + self.sifted.len() <= 2 * settled + SPARE {
            return;
        }
        for _ in 0..SIFTED_AT_ONCE {
            let Some(entry) = self.entries.pop_front() else {
                std::mem::swap(&mut self.entries, &mut self.sifted);
                return;
            };
            if is_current(&entry) {
                self.sifted.push_back(entry);
            }
        }
    }

    pub(crate) fn front(&self) -> Option<&Entry> {
        self.sifted.front().or(self.entries.front())
    }

    pub(crate) fn pop_front(&mut self) {
        if self.sifted.pop_front().is_none() {
            self.entries.pop_front();
        }
    }

    /// The queues, one behind the other.
    pub(crate) const fn queues(&self) -> [&Queue<Entry>; 2] {
        [&self.sifted, &self.entries]
    }

    /// What there is now, once more: see [`super::granules`].
    pub(crate) fn share(&mut self) -> Self {
        Self { entries: self.entries.share(), sifted: self.sifted.share() }
    }

    /// Adds an entry that a snapshot has.
    pub(crate) fn restore(&mut self, sifted: bool, entry: Entry) {
        if sifted { self.sifted.push_back(entry) } else { self.entries.push_back(entry) }
    }
}

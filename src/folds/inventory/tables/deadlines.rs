//! Deadlines: whose hold or waiting ends when. Those that end at one time stand in the order in which they were set, in a list through the
//! orders' sides: setting one at the end and taking one out touch its neighbours only, however many there are.

use std::collections::BTreeMap;

use super::orders::Orders;
use super::sides::NO_SLOT;
use crate::words::timestamp::Timestamp;

/// The first and the last order of those whose time is over at once.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_time: BTreeMap<Timestamp, Ends>,
    len: usize,
}

impl Deadlines {
    /// The deadlines of orders that are there already: told by their sides.
    pub(crate) fn of(orders: &Orders) -> Self {
        let mut deadlines = Self::default();
        for (slot, view) in (0..).zip(orders.slots()) {
            let Some((side, at)) = view.and_then(|view| Some((view.side?, view.deadline()?))) else {
                continue;
            };
            deadlines.len += 1;
            if side.before == NO_SLOT || side.behind == NO_SLOT {
                let ends = deadlines.by_time.entry(at).or_insert(Ends { first: slot, last: slot });
                if side.before == NO_SLOT {
                    ends.first = slot;
                }
                if side.behind == NO_SLOT {
                    ends.last = slot;
                }
            }
        }
        deadlines
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The first that ends, and the order that it is of.
    pub(crate) fn first(&self) -> Option<(Timestamp, u32)> {
        self.by_time.first_key_value().map(|(at, ends)| (*at, ends.first))
    }

    /// Sets an order's deadline; it has none.
    pub(crate) fn set(&mut self, orders: &mut Orders, slot: u32, at: Timestamp) {
        self.len += 1;
        let ends = self.by_time.entry(at).or_insert(Ends { first: slot, last: NO_SLOT });
        let before = std::mem::replace(&mut ends.last, slot);
        let side = orders.side_mut(slot);
        debug_assert!(side.deadline.is_none(), "a deadline is set twice");
        (side.deadline, side.before, side.behind) = (Some(at), before, NO_SLOT);
        if before != NO_SLOT {
            orders.side_mut(before).behind = slot;
        }
    }

    /// Takes an order's deadline away, if it has one.
    pub(crate) fn end(&mut self, orders: &mut Orders, slot: u32) {
        let Some(at) = orders.view(slot).deadline() else { return };
        let side = orders.side_mut(slot);
        let (before, behind) = (side.before, side.behind);
        (side.deadline, side.before, side.behind) = (None, NO_SLOT, NO_SLOT);
        orders.tidy(slot);
        if before != NO_SLOT {
            orders.side_mut(before).behind = behind;
        }
        if behind != NO_SLOT {
            orders.side_mut(behind).before = before;
        }
        self.len -= 1;
        let Some(ends) = self.by_time.get_mut(&at) else { return };
        if before == NO_SLOT {
            ends.first = behind;
        }
        if behind == NO_SLOT {
            ends.last = before;
        }
        if ends.first == NO_SLOT {
            self.by_time.remove(&at);
        }
    }

    /// Every order that has a deadline, by when it ends.
    pub(crate) fn iter<'d>(&'d self, orders: &'d Orders) -> impl Iterator<Item = u32> + 'd {
        self.by_time.values().flat_map(|ends| {
            let behind = |slot: &u32| {
                let side = orders.view(*slot).side;
                side.map(|side| side.behind).filter(|behind| *behind != NO_SLOT)
            };
            std::iter::successors(Some(ends.first), behind)
        })
    }
}

//! Sides: what only some orders have, beside their slots.

use super::granules::Granules;
use super::order::{Bucket, OrderLine, Part, Ticket};
use super::sites::SiteIndex;
use super::stock::StockIndex;
use crate::words::timestamp::Timestamp;

/// No slot.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// What an order has beside its slot: its value and payments, and when its hold or its waiting ends. What fewer orders have is
/// behind one more step.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// What it is worth, where that is known.
    pub(crate) value: Option<Value>,
    /// What was paid of it so far, in minor units.
    pub(crate) paid: i64,
    /// When its hold or its waiting ends.
    pub(crate) deadline: Option<Timestamp>,
    /// The slots of the orders before and behind it, of those whose time is over at once.
    pub(crate) before: u32,
    pub(crate) behind: u32,
    pub(crate) more: Option<Box<More>>,
}

impl Default for Side {
    fn default() -> Self {
        Self { value: None, paid: 0, deadline: None, before: NO_SLOT, behind: NO_SLOT, more: None }
    }
}

/// An amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) minor: i64,
    pub(crate) currency: [u8; 3],
}

/// What few orders have.
#[derive(Clone, Debug, Default)]
pub(crate) struct More {
    /// The lines, where there are more than two.
    pub(crate) lines: Vec<OrderLine>,
    /// The lines' numbers by the hash of their SKUs, where there are more than [`super::orders::LINES_WALKED_MAX`].
    pub(crate) by_sku: Vec<u16>,
    /// Line by line, where the lines are not all in one bucket.
    pub(crate) parts: Vec<Part>,
    /// What the parts come to.
    pub(crate) sums: Sums,
    /// The ids of its facts, in ascending order.
    pub(crate) told: Vec<Told>,
    /// Where it waits.
    pub(crate) parked: Option<Parked>,
}

impl More {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.parts.is_empty() && self.told.is_empty() && self.parked.is_none()
    }
}

/// What an order's parts come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) units: [u64; Bucket::ALL.len()],
    pub(crate) shipping_due: u64,
    pub(crate) delivery_due: u64,
    pub(crate) lacking: u64,
}

impl Sums {
    pub(crate) fn of(parts: &[Part]) -> Self {
        let mut sums = Self::default();
        for part in parts {
            for (sum, units) in sums.units.iter_mut().zip(part.units) {
                *sum += u64::from(units);
            }
            sums.shipping_due += u64::from(part.shipping_due);
            sums.delivery_due += u64::from(part.delivery_due);
            sums.lacking += u64::from(part.lacking);
        }
        sums
    }

    /// The bucket that all units are in, where nothing else is to be kept.
    pub(crate) fn whole(&self) -> Option<Bucket> {
        let all: u64 = self.units.iter().sum();
        let whole = Bucket::ALL.into_iter().find(|bucket| self.units[*bucket as usize] == all)?;
        (self.shipping_due == 0 && self.delivery_due == 0 && self.lacking == 0).then_some(whole)
    }
}

/// A fact that was told of an order under an id. Ids of one kind are a namespace of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    pub(crate) kind: ToldKind,
    /// The hash of the id, by the log's own keys: ids of one order are told apart by it.
    pub(crate) id: u64,
    /// The hash of its deciding fields.
    pub(crate) content: u64,
    pub(crate) first_sequence: u64,
}

/// The one list of kinds of ids, in the order of their tags in a snapshot: each with its name as a fact of an order.
macro_rules! told_kinds {
    ($($(#[$doc:meta])* $Kind:ident = $name:literal,)*) => {
        /// What kind of id it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum ToldKind {
            $($(#[$doc])* $Kind,)*
        }

        impl ToldKind {
            /// Every kind, in the order of their tags.
            pub(crate) const ALL: [Self; [$($name),*].len()] = [$(Self::$Kind),*];

            /// The name of such a fact in what is told of an order.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$Kind => $name,)*
                }
            }
        }
    };
}

told_kinds! {
    /// A payment that settled the order.
    Paid = "paid",
    /// A payment that did not.
    PartPaid = "part_paid",
    FailedAttempt = "payment_failed",
    Shipment = "shipment",
    Delivery = "delivery",
    Return = "return",
    Cancel = "cancel",
    Review = "review",
    Amendment = "amendment",
    Extension = "extension",
}

/// Where an order waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parked {
    /// The SKU that it waits for first.
    pub(crate) stock: StockIndex,
    /// How many units of it it claims.
    pub(crate) claim: u32,
    /// Its place in the order of placing, for waiting.
    pub(crate) turn: Ticket,
    /// How long it may hold its stock once it has it, where it said so itself.
    pub(crate) pay_within_ms: Option<i64>,
    /// The first of the sites that it listed, if it listed any.
    pub(crate) first_site: Option<SiteIndex>,
}

/// The sides of a shard's orders.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    sides: Granules<Side>,
    unused: Granules<u32>,
}

impl Sides {
    /// The side of a number that an order has, if it has one.
    #[inline]
    pub(crate) fn get(&self, side: u32) -> Option<&Side> {
        (side != 0).then(|| self.sides.get(side - 1))
    }

    /// The same, made where there is none.
    pub(crate) fn get_or_add(&mut self, side: &mut u32) -> &mut Side {
        if *side == 0 {
            let place = self.unused.pop().unwrap_or_else(|| self.sides.push(Side::default()));
            *side = place + 1;
        }
        self.sides.get_mut(*side - 1)
    }

    /// Takes back a side in which nothing is left.
    pub(crate) fn tidy(&mut self, side: &mut u32) {
        if *side == 0 {
            return;
        }
        let kept = self.sides.get_mut(*side - 1);
        if kept.more.as_ref().is_some_and(|more| more.is_empty()) {
            kept.more = None;
        }
        if kept.value.is_none() && kept.paid == 0 && kept.deadline.is_none() && kept.more.is_none() {
            self.remove(side);
        }
    }

    /// Takes a side out.
    pub(crate) fn remove(&mut self, side: &mut u32) {
        if *side != 0 {
            *self.sides.get_mut(*side - 1) = Side::default();
            self.unused.push(*side - 1);
            *side = 0;
        }
    }

    /// The sides that there are now, once more: see [`super::granules`]. Only to be read.
    pub(crate) fn share(&mut self) -> Self {
        Self { sides: self.sides.share(), unused: Granules::default() }
    }

    pub(crate) fn drop_in_steps(self, between: impl FnMut()) {
        self.sides.drop_in_steps(between);
    }
}

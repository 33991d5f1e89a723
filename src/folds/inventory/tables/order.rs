//! One order, and how far each of its parts is.

use smallvec::SmallVec;

use super::names::Name;
use super::sides::Side;
use super::stock::StockIndex;
use crate::words::command::COMMANDS_MAX;
use crate::words::outcome::State;
use crate::words::timestamp::Timestamp;

/// Where units of an order's line are. Together they make the line's quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Bucket {
    /// Wanted, and not to be had yet.
    Waiting,
    /// Promised.
    Reserved,
    /// Given up before they left.
    Cancelled,
    /// Given up as they were not paid in time, or waited too long.
    Expired,
    /// On their way.
    Shipped,
    /// Arrived.
    Delivered,
    /// Came back, and stand on the shelf again.
    Returned,
    /// Came back, and are of no use.
    WrittenOff,
}

impl Bucket {
    /// Every bucket, in the order of their tags in a snapshot.
    pub(crate) const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Reserved,
        Self::Cancelled,
        Self::Expired,
        Self::Shipped,
        Self::Delivered,
        Self::Returned,
        Self::WrittenOff,
    ];

    /// Whether units in it have not left the site.
    pub(crate) const fn is_inside(self) -> bool {
        matches!(self, Self::Waiting | Self::Reserved | Self::Cancelled | Self::Expired)
    }

    /// Whether units in it have come back.
    pub(crate) const fn is_back(self) -> bool {
        matches!(self, Self::Returned | Self::WrittenOff)
    }
}

/// When an order was placed: its record's sequence and index, in one number. Later orders have larger ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

const INDEX_BITS: u32 = 14;
const _: () = assert!(COMMANDS_MAX <= 1 << INDEX_BITS);

/// Tickets have room for as many sequences: more than 30 years at a million messages a second.
pub(crate) const SEQUENCES_MAX: u64 = 1 << (64 - INDEX_BITS);

impl Ticket {
    pub(crate) const fn new(sequence: u64, index: u32) -> Self {
        Self(sequence << INDEX_BITS | index as u64)
    }

    pub(crate) const fn sequence(self) -> u64 {
        self.0 >> INDEX_BITS
    }

    pub(crate) const fn index(self) -> u32 {
        (self.0 & ((1 << INDEX_BITS) - 1)) as u32
    }

    /// The one behind it.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A line of an order: a SKU at a site, and how many units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OrderLine {
    pub(crate) stock: StockIndex,
    pub(crate) quantity: u32,
}

pub(crate) type OrderLines = SmallVec<[OrderLine; 4]>;

/// What an order with a short id, one or two lines that move together, and no hold or value takes, all of it. The index by id takes
/// some 19 bytes more.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Order {
    pub(crate) name: Name,
    /// The hash of its deciding fields.
    pub(crate) content: u64,
    pub(crate) ticket: Ticket,
    /// Log time of its last movement.
    pub(crate) since: Timestamp,
    /// Its lines, where they are at most two.
    pub(crate) few: [OrderLine; 2],
    /// Its number among the sides, and one more; 0 where it has none.
    pub(crate) side: u32,
    /// The bucket that all its units are in; [`MIXED`] where they are not all in one.
    pub(crate) stage: u8,
    /// How many of `few` there are; 0 where its side has the lines.
    pub(crate) few_count: u8,
    /// The bytes of its id; 0 where the slot is not used.
    pub(crate) name_length: u8,
    pub(crate) flags: Flags,
}

const _: () = assert!(size_of::<Order>() == 64);

/// The stage of an order whose lines are not all in one bucket, or of which more is to be kept than that: its side has its parts.
pub(crate) const MIXED: u8 = 8;

/// What is so of an order or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    pub(crate) const PAID: Self = Self(1);
    /// Its first outcome was `waiting`.
    pub(crate) const WAITED: Self = Self(1 << 1);
    /// It got all that it has as it was placed: its first outcome can be told again in full.
    pub(crate) const AS_PLACED: Self = Self(1 << 2);
    /// Every flag.
    pub(crate) const ALL: Self = Self(7);

    pub(crate) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) const fn set(&mut self, flag: Self, on: bool) {
        if on { self.0 |= flag.0 } else { self.0 &= !flag.0 }
    }

    pub(crate) const fn with(mut self, flag: Self, on: bool) -> Self {
        self.set(flag, on);
        self
    }
}

impl Order {
    /// A slot that is not used.
    pub(crate) const UNUSED: Self = Self {
        name: Name([0; 16]),
        content: 0,
        ticket: Ticket(0),
        since: Timestamp::ZERO,
        few: [OrderLine { stock: StockIndex(0), quantity: 0 }; 2],
        side: 0,
        stage: 0,
        few_count: 0,
        name_length: 0,
        flags: Flags(0),
    };

    pub(crate) const fn is_used(&self) -> bool {
        self.name_length != 0
    }
}

/// How many units of a line are where, and what else is kept of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// By [`Bucket`]; they add up to the line's quantity.
    pub(crate) units: [u32; Bucket::ALL.len()],
    /// Units taken as shipped because they were delivered or returned; news of their shipping may still come.
    pub(crate) shipping_due: u32,
    /// Units that were returned while on their way; news of their delivery may still come.
    pub(crate) delivery_due: u32,
    /// How many of its reserved units are missing, as was told last.
    pub(crate) lacking: u32,
}

impl Part {
    pub(crate) fn whole(bucket: Bucket, quantity: u32) -> Self {
        let mut part = Self::default();
        part.units[bucket as usize] = quantity;
        part
    }

    pub(crate) const fn at(&self, bucket: Bucket) -> u32 {
        self.units[bucket as usize]
    }

    /// Units that have left the site.
    pub(crate) fn gone(&self) -> u32 {
        Bucket::ALL.into_iter().filter(|bucket| !bucket.is_inside()).map(|bucket| self.at(bucket)).sum()
    }

    pub(crate) fn quantity(&self) -> u64 {
        self.units.iter().map(|units| u64::from(*units)).sum()
    }
}

/// An order with what its side has of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'o> {
    pub(crate) order: &'o Order,
    pub(crate) side: Option<&'o Side>,
}

impl<'o> View<'o> {
    /// What was accepted of it, each SKU once; at least one line.
    pub(crate) fn lines(self) -> &'o [OrderLine] {
        match self.side.and_then(|side| side.more.as_ref()) {
            Some(more) if self.order.few_count == 0 => &more.lines,
            _ => &self.order.few[..usize::from(self.order.few_count)],
        }
    }

    /// The bucket that all its units are in; none where its side has its parts.
    pub(crate) fn whole(self) -> Option<Bucket> {
        Bucket::ALL.get(usize::from(self.order.stage)).copied()
    }

    /// How far one line is.
    pub(crate) fn part(self, line: usize) -> Part {
        match self.whole() {
            Some(bucket) => Part::whole(bucket, self.lines()[line].quantity),
            None => {
                self.side.and_then(|side| side.more.as_ref()).map_or(Part::default(), |more| more.parts[line])
            }
        }
    }

    /// How many units of one line are in a bucket.
    pub(crate) fn units(self, line: usize, bucket: Bucket) -> u32 {
        match self.whole() {
            Some(whole) if whole == bucket => self.lines()[line].quantity,
            Some(_) => 0,
            None => self.part(line).at(bucket),
        }
    }

    /// Whether any unit is in a bucket.
    pub(crate) fn has(self, bucket: Bucket) -> bool {
        match self.whole() {
            Some(whole) => whole == bucket,
            None => self.sums().is_some_and(|sums| sums.units[bucket as usize] > 0),
        }
    }

    fn sums(self) -> Option<&'o super::sides::Sums> {
        Some(&self.side?.more.as_ref()?.sums)
    }

    /// Whether news of units that were told delivered or returned may still come: of their shipping, and of their delivery.
    pub(crate) fn news_due(self) -> (bool, bool) {
        match self.whole() {
            Some(_) => (false, false),
            None => self.sums().map_or((false, false), |sums| (sums.shipping_due > 0, sums.delivery_due > 0)),
        }
    }

    /// Whether something of it waits or is reserved.
    pub(crate) fn is_open(self) -> bool {
        self.has(Bucket::Waiting) || self.has(Bucket::Reserved)
    }

    /// Whether anything of it has left the site.
    pub(crate) fn has_gone(self) -> bool {
        [Bucket::Shipped, Bucket::Delivered].into_iter().any(|bucket| self.has(bucket))
            || self.has_come_back()
    }

    /// Whether anything of it has come back.
    pub(crate) fn has_come_back(self) -> bool {
        self.has(Bucket::Returned) || self.has(Bucket::WrittenOff)
    }

    /// The state of its least advanced part.
    pub(crate) fn state(self) -> State {
        if self.has(Bucket::Waiting) {
            State::Waiting
        } else if self.has(Bucket::Reserved) {
            if self.order.flags.has(Flags::PAID) { State::Paid } else { State::Confirmed }
        } else if self.has(Bucket::Shipped) {
            State::Shipped
        } else if self.has(Bucket::Delivered) {
            State::Delivered
        } else if self.has_come_back() {
            State::Returned
        } else if self.has(Bucket::Expired) {
            State::Expired
        } else {
            State::Cancelled
        }
    }

    /// Until when it holds its stock unpaid, or waits.
    pub(crate) fn deadline(self) -> Option<Timestamp> {
        self.side.and_then(|side| side.deadline)
    }

    /// Until when it must be paid.
    pub(crate) fn pay_by(self) -> Option<Timestamp> {
        self.deadline().filter(|_| !self.has(Bucket::Waiting))
    }

    /// Until when it waits.
    pub(crate) fn wait_until(self) -> Option<Timestamp> {
        self.deadline().filter(|_| self.has(Bucket::Waiting))
    }
}

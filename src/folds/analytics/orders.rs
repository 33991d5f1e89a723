//! The orders that analytics follow: what later commands do not say again.
//!
//! At most a stated number is followed. When that is reached, half of the orders (by the last bits of their ids' hashes) give
//! way, and new ones are followed in that proportion: a sample that no property of an order has a part in. Closed orders stay for
//! a while, as reviews and returns come later, and give way first.
//!
//! To follow an order costs many times what it costs to count it. So only so many new ones are followed at a time, those that come
//! first: where thousands come every second, the sample would be a small one within a minute anyway, and on the way there the measuring
//! would fall behind.

use std::collections::VecDeque;

use wincode::{SchemaRead, SchemaWrite};

use super::delay::Profile;
use super::sketches::index::Index;
use crate::words::hash::hash;

/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 86_400_000;
/// How long a closed order is kept for its review.
const CLOSED_KEPT_MS: i64 = 60 * DAY_MS;
/// How long an order is kept of which nothing is heard, beyond its promise.
const SILENT_KEPT_MS: i64 = 180 * DAY_MS;
/// So many new orders more may be followed with each millisecond of log time.
const FOLLOWED_PER_MS: u32 = 4;
/// No row.
pub(super) const NO_ROW: u32 = u32::MAX;

/// How far an order is, as far as analytics care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub enum Phase {
    /// Waits for stock.
    Waiting,
    /// Has its stock.
    Confirmed,
    /// Was paid.
    Paid,
    /// Left.
    Shipped,
    /// Arrived.
    Delivered,
    /// Cancelled, expired or returned.
    Ended,
}

/// One order that is followed. Times are in milliseconds since 1970.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
#[expect(clippy::struct_excessive_bools, reason = "each says something else of it")]
pub(super) struct Order {
    /// The hash of its id.
    pub(super) id: u64,
    /// Its id.
    pub(super) name: String,
    pub(super) phase: Phase,
    pub(super) placed_ms: i64,
    pub(super) paid_ms: Option<i64>,
    pub(super) shipped_ms: Option<i64>,
    pub(super) promised_by_ms: Option<i64>,
    pub(super) ship_by_ms: Option<i64>,
    pub(super) heard_ms: i64,
    /// Labels.
    pub(super) site: u16,
    pub(super) carrier: u16,
    pub(super) currency: u16,
    pub(super) value_minor: Option<i64>,
    pub(super) units: i64,
    /// Units that are not cancelled, expired or returned.
    pub(super) units_left: i64,
    pub(super) profile: Profile,
    pub(super) paid_row: u32,
    pub(super) shipped_row: u32,
    pub(super) handling_row: u32,
    pub(super) in_backlog: bool,
    pub(super) in_flow: bool,
    /// Its times contradict each other: it teaches nothing.
    pub(super) odd: bool,
    /// Its site and its carrier counted it among the orders whose cancels they look for: one that was taken up again is not.
    pub(super) tried: bool,
    pub(super) late: Option<bool>,
    /// The highest tenth that its risk has reached, and when it was warned of.
    pub(super) tenth: u8,
    pub(super) warned_ms: Option<i64>,
}

impl Order {
    /// The first instant that is late.
    pub(super) fn late_from_ms(&self) -> Option<i64> {
        self.promised_by_ms.map(|by| by.saturating_add(1))
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase < Phase::Delivered
    }

    /// Whether a signal may stand that it will be late: most orders never have one, and none has to be looked for.
    pub(super) fn was_at_risk(&self) -> bool {
        self.warned_ms.is_some() || self.late.is_some()
    }
}

/// The hash by which an order is known.
#[must_use]
pub fn order_hash(order_id: impl AsRef<[u8]>) -> u64 {
    hash(order_id.as_ref())
}

/// How many new orders may be followed.
#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Pace {
    at_once_max: u32,
    /// So many as of this log time, in milliseconds since 1970.
    left: u32,
    at_ms: i64,
    /// Orders of the sample that were not followed, as too many came at once.
    pub(super) passed_over: u64,
}

impl Pace {
    pub(super) const fn new(at_once_max: u32) -> Self {
        Self { at_once_max, left: at_once_max, at_ms: 0, passed_over: 0 }
    }

    fn admits(&mut self, now_ms: i64) -> bool {
        let passed = u32::try_from(now_ms.saturating_sub(self.at_ms).max(0)).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(passed.saturating_mul(FOLLOWED_PER_MS)).min(self.at_once_max);
        self.at_ms = now_ms;
        self.passed_over += u64::from(self.left == 0);
        self.left > 0
    }
}

/// All orders that are followed.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Orders {
    max: usize,
    places: Vec<Option<Box<Order>>>,
    free: Vec<u32>,
    /// One bit a place: whether an order is there that is not closed. Who walks over the open ones touches no closed one, of
    /// which there are several times as many.
    #[wincode(skip)]
    unclosed: Vec<u64>,
    #[wincode(skip)]
    index: Index,
    /// Closed ones, the first to give way in front: when, which place, whose.
    closed: VecDeque<(i64, u32, u64)>,
    thinning: u32,
    pub(super) pace: Pace,
    /// Orders given up since nothing was heard of them.
    pub(super) silent: u64,
}

impl Orders {
    pub(super) fn new(max: usize, at_once_max: u32) -> Self {
        Self {
            max: max.max(64),
            places: Vec::new(),
            free: Vec::new(),
            unclosed: Vec::new(),
            index: Index::default(),
            closed: VecDeque::new(),
            thinning: 0,
            pace: Pace::new(at_once_max),
            silent: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The share of orders that are followed.
    pub(super) fn share(&self) -> f64 {
        (-f64::from(self.thinning)).exp2()
    }

    pub(super) fn follows(&self, id: u64) -> bool {
        id.trailing_zeros() >= self.thinning
    }

    /// Whether a new order is to be followed now; one of the sample that is not is counted.
    pub(super) fn admits(&mut self, id: u64, now_ms: i64) -> bool {
        self.follows(id) && self.pace.admits(now_ms)
    }

    pub(super) fn find(&self, id: u64) -> Option<u32> {
        self.index.get(&id).copied()
    }

    pub(super) fn get(&self, place: u32) -> Option<&Order> {
        self.places.get(place as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Order> {
        self.places.get_mut(place as usize)?.as_deref_mut()
    }

    /// Follows an order; what has to give way for it goes into `gone`.
    pub(super) fn insert(&mut self, order: Order, gone: &mut Vec<Order>) -> u32 {
        while self.len() >= self.max {
            if let Some((_, place, id)) = self.closed.pop_front() {
                self.remove(place, id, gone);
            } else {
                self.thin(gone);
            }
        }
        self.pace.left = self.pace.left.saturating_sub(1);
        let id = order.id;
        let place = if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(Box::new(order));
            place
        } else {
            self.places.push(Some(Box::new(order)));
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        };
        self.index.insert(id, place);
        self.mark(place, true);
        place
    }

    fn mark(&mut self, place: u32, unclosed: bool) {
        let (word, bit) = (place as usize / 64, 1_u64 << (place % 64));
        if self.unclosed.len() <= word {
            self.unclosed.resize(word + 1, 0);
        }
        if unclosed {
            self.unclosed[word] |= bit;
        } else {
            self.unclosed[word] &= !bit;
        }
    }

    fn remove(&mut self, place: u32, id: u64, gone: &mut Vec<Order>) {
        if self.get(place).is_some_and(|order| order.id == id)
            && let Some(order) = self.places[place as usize].take()
        {
            gone.push(*order);
            self.index.remove(&id);
            self.free.push(place);
            self.mark(place, false);
        }
    }

    fn thin(&mut self, gone: &mut Vec<Order>) {
        self.thinning += 1;
        for place in 0..self.places.len() {
            let id = self.places[place].as_ref().map(|order| order.id);
            if let Some(id) = id.filter(|id| !self.follows(*id)) {
                self.remove(u32::try_from(place).unwrap_or(u32::MAX), id, gone);
            }
        }
    }

    /// The order is closed; it stays for its review.
    pub(super) fn close(&mut self, place: u32, now_ms: i64) {
        if let Some(id) = self.get(place).map(|order| order.id) {
            self.closed.push_back((now_ms, place, id));
            self.mark(place, false);
        }
    }

    /// Gives up closed orders after 60 days, and those of which nothing was heard for 180 days beyond their promise.
    pub(super) fn sweep(&mut self, now_ms: i64, gone: &mut Vec<Order>) {
        while let Some((closed_ms, place, id)) = self.closed.front().copied() {
            if closed_ms > now_ms - CLOSED_KEPT_MS && self.closed.len() <= self.max {
                break;
            }
            self.closed.pop_front();
            self.remove(place, id, gone);
        }
        let unclosed: Vec<u32> = self.unclosed().collect();
        for place in unclosed {
            let Some(order) = self.get(place) else { continue };
            let until =
                order.heard_ms.max(order.promised_by_ms.unwrap_or(0).min(order.heard_ms + 4 * 365 * DAY_MS));
            if now_ms - until > SILENT_KEPT_MS {
                let id = order.id;
                self.silent += 1;
                self.remove(place, id, gone);
            }
        }
    }

    /// The open ones: their places.
    pub(super) fn open(&self) -> impl Iterator<Item = u32> + '_ {
        self.unclosed().filter(|place| self.get(*place).is_some_and(Order::is_open))
    }

    /// The places of those that are not closed, from the first on.
    fn unclosed(&self) -> impl Iterator<Item = u32> + '_ {
        self.unclosed.iter().zip(0_u32..).flat_map(|(bits, word)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                let place = (bits != 0).then(|| word * 64 + bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
                place
            })
        })
    }

    /// Makes the index again after reading; false where it does not hold together. `keys` is how many keys profiles may name.
    pub(super) fn restore(&mut self, keys: usize) -> bool {
        let mut index = Index::default();
        for (place, order) in self.places.iter().enumerate() {
            if let (Some(order), Ok(place)) = (order, u32::try_from(place)) {
                index.insert(order.id, place);
            }
        }
        let kept = self.places.iter().flatten().count();
        let free = |place: &u32| self.places.get(*place as usize).is_some_and(Option::is_none);
        let sound = index.len() == kept
            && kept <= self.max
            && self.thinning < 64
            && self.free.len() == self.places.len() - kept
            && self.free.iter().all(free)
            && self.places.iter().flatten().all(|order| order.profile.is_sound(keys));
        self.index = index;
        self.unclosed = Vec::new();
        for place in 0..self.places.len() {
            if let (Some(order), Ok(number)) = (&self.places[place], u32::try_from(place)) {
                let is_open = order.is_open();
                self.mark(number, is_open);
            }
        }
        sound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::analytics::{Analytics, Findings, Record, Settings};
    use crate::words::command::{Command, Line, Place};
    use crate::words::outcome::{Decision, Outcome};
    use crate::words::timestamp::Timestamp;

    fn placed(number: u32, at_ms: i64) -> (Command<'static>, Outcome<'static>) {
        let order_id = format!("O-{number}");
        let lines = vec![Line { sku: "A".into(), quantity: 1 }.into()];
        let command = Command::Place(Place { order_id: order_id.clone().into(), lines, ..Place::default() });
        let decision = Decision::Confirmed {
            order_id: order_id.into(),
            pay_by: None,
            lines: vec![],
            shortages: vec![],
            released: false,
            repeat: None,
        };
        let at = Timestamp::from_millis(at_ms);
        (command, Outcome { decision, sequence: 1, index: 0, place: 0, at })
    }

    fn place(analytics: &mut Analytics, number: u32, at_ms: i64) {
        let (command, outcome) = placed(number, at_ms);
        let outcomes = [outcome];
        let record = Record { at: outcomes[0].at, command: Some(&command), outcomes: &outcomes };
        analytics.observe(&record, &mut Findings::new());
    }

    #[test]
    fn so_many_are_followed_at_once_and_then_so_many_with_each_millisecond() {
        let once = 1_000;
        let mut analytics = Analytics::new(Settings { follow_at_once_max: once, ..Settings::default() });
        let at_ms = 20_000 * DAY_MS;
        for number in 0..once + 10 {
            place(&mut analytics, number, at_ms);
        }
        assert_eq!((analytics.followed(), analytics.passed_over()), ((once as usize, 1.0), 10));
        for number in 0..10 {
            place(&mut analytics, once + 10 + number, at_ms + 2);
        }
        let followed = (once + 2 * FOLLOWED_PER_MS) as usize;
        assert_eq!((analytics.followed(), analytics.passed_over()), ((followed, 1.0), 12));
        place(&mut analytics, 5_000, i64::MAX / 2);
        assert_eq!((analytics.orders.pace.left, analytics.passed_over()), (once - 1, 12));
    }

    /// What is taken up again is of before: neither does it use up what new orders have, nor does it give them more.
    #[test]
    fn what_is_taken_up_again_has_a_pace_of_its_own() {
        let mut analytics = Analytics::new(Settings { follow_at_once_max: 10, ..Settings::default() });
        let at_ms = 20_000 * DAY_MS;
        for number in 0..15 {
            place(&mut analytics, number, at_ms);
        }
        for number in 10..40 {
            let (command, outcome) = placed(number, at_ms - DAY_MS);
            let outcomes = [outcome];
            let record = Record { at: outcomes[0].at, command: Some(&command), outcomes: &outcomes };
            let _ = analytics.recall(&record, &mut Findings::new());
        }
        assert_eq!((analytics.followed().0, analytics.passed_over()), (20, 5));
        place(&mut analytics, 50, at_ms);
        assert_eq!((analytics.followed().0, analytics.passed_over()), (20, 6));
    }
}

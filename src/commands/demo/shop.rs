//! A small shop that lives by the clock: orders are placed, paid, shipped and delivered when their time has come, days apart as in
//! life. The load generator ([`crate::commands::generator`]) counts time in orders, which suits any rate; a story is about what
//! happens when, so here every step has its hour.
//!
//! The same seed and the same moments give the same commands.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use crate::words::command::{Cancel, Command, Deliver, Line, Money, Pay, Place, Receive, Ship};
use crate::words::text::Text;
use crate::words::timestamp::Timestamp;

pub(super) const SECOND_MS: i64 = 1_000;
pub(super) const HOUR_MS: i64 = 3_600 * SECOND_MS;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = 7 * DAY_MS;

/// A whole order, in orders an hour times microseconds.
const WHOLE: i64 = HOUR_MS * 1_000;
/// From placing to the promised arrival.
const PROMISE_MS: i64 = 6 * DAY_MS;
/// What is sold every day, and how much of each comes at the beginning.
const SKUS: u32 = 40;
const UNITS: i64 = 50_000;
/// The one thing that a sale is about.
const LAMP: &str = "lamp-oslo";

/// Who carries: name, of a thousand orders, and how many hours it takes, least and most.
const CARRIERS: [(&str, u32, (i64, i64)); 3] =
    [("swift", 600, (20, 56)), ("steady", 300, (36, 80)), ("thrifty", 100, (44, 96))];

/// What is out of the ordinary.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mood {
    /// Orders an hour, in place of the usual.
    pub(super) per_hour: Option<i64>,
    /// Of a thousand orders, those for the lamp alone.
    pub(super) lamps_permille: u32,
    /// Of a thousand orders, those that are cancelled as their customers have changed their minds.
    pub(super) changed_mind_permille: u32,
    /// Of a thousand orders of the first carrier, those that are cancelled as they come too late.
    pub(super) too_late_permille: u32,
    /// From when on the first carrier delivers nothing, in milliseconds since 1970.
    pub(super) strike_from_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Pay,
    Cancel { too_late: bool },
    Ship,
    Deliver,
}

/// A step of an order, and when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at_ms: i64,
    number: u64,
    carrier: usize,
    step: Step,
}

/// Orders an hour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// At the time that the story plays at, an hour before and after, and at the same time of other weeks.
    pub(super) usual: i64,
    /// At any other time: few, where weeks are to be played in seconds.
    pub(super) elsewhere: i64,
}

/// The shop. Its memory grows with the orders on their way: some 50 bytes each.
#[derive(Debug)]
pub(super) struct Shop {
    rng: Rng,
    rates: Rates,
    /// When the story begins, in milliseconds since 1970.
    begins_ms: i64,
    /// How far it is played, in microseconds since 1970.
    now_us: i64,
    /// The part of an order that has gathered, of [`WHOLE`].
    gathered: i64,
    number: u64,
    receipts: u64,
    /// How many lamps are left, as far as the shop knows.
    lamps: i64,
    due: BinaryHeap<Reverse<Due>>,
    /// Made by the story itself, not handed out yet.
    told: Vec<Command<'static>>,
    pub(super) mood: Mood,
}

impl Shop {
    /// A shop whose shelves are filled at `from_ms`, for a story that begins at `begins_ms`.
    pub(super) fn new(seed: u64, rates: Rates, from_ms: i64, begins_ms: i64) -> Self {
        let mut shop = Self {
            rng: Rng::with_seed(seed),
            rates,
            begins_ms,
            now_us: from_ms * 1_000,
            gathered: 0,
            number: 0,
            receipts: 0,
            lamps: 0,
            due: BinaryHeap::new(),
            told: Vec::new(),
            mood: Mood::default(),
        };
        let all: Vec<_> = (0..SKUS).map(|sku| (sku_name(sku), UNITS)).collect();
        shop.receive(all);
        shop
    }

    /// The lamp is there, so many of it.
    pub(super) fn receive_lamps(&mut self, quantity: i64) {
        self.lamps += quantity;
        self.receive(vec![(LAMP.into(), quantity)]);
    }

    /// Whatever is on its way goes no further.
    pub(super) fn lose_what_is_on_its_way(&mut self) {
        self.due.clear();
    }

    /// An order for something that nobody has ever had.
    pub(super) fn ask_for_what_is_not_there(&mut self) {
        let place = self.order(vec![("grail".into(), 1)]).1;
        self.told.push(Command::Place(place));
    }

    fn receive(&mut self, lines: Vec<(Text<'static>, i64)>) {
        self.receipts += 1;
        let lines = lines.into_iter().map(|(sku, quantity)| Line { sku, quantity }).collect();
        let receipt_id = format!("r-{}", self.receipts).into();
        self.told.push(Command::Receive(Receive { receipt_id, lines, ..Receive::default() }));
    }

    const fn now_ms(&self) -> i64 {
        self.now_us / 1_000
    }

    /// How many orders an hour come at this moment.
    fn per_hour(&self) -> i64 {
        let into_it = (self.now_ms() - self.begins_ms + HOUR_MS).rem_euclid(WEEK_MS);
        let Rates { usual, elsewhere } = self.rates;
        let now = if into_it < 2 * HOUR_MS { usual } else { elsewhere };
        self.mood.per_hour.unwrap_or(now).max(1)
    }

    /// All that happens until `now_ms`, in the order in which it does.
    pub(super) fn until(&mut self, now_ms: i64) -> Vec<Command<'static>> {
        let mut commands = std::mem::take(&mut self.told);
        let end_us = self.now_us.max(now_ms * 1_000);
        loop {
            let per_hour = self.per_hour();
            let next_us = self.now_us + (WHOLE - self.gathered + per_hour - 1) / per_hour;
            let at_us = next_us.min(end_us);
            self.gathered += per_hour * (at_us - self.now_us);
            self.now_us = at_us;
            while self.due.peek().is_some_and(|Reverse(due)| due.at_ms <= self.now_ms())
                && let Some(Reverse(due)) = self.due.pop()
            {
                commands.extend(self.step(due));
            }
            if next_us > end_us {
                return commands;
            }
            self.gathered -= WHOLE;
            commands.push(self.place());
        }
    }

    fn place(&mut self) -> Command<'static> {
        let lamp = self.rng.u32(0..1_000) < self.mood.lamps_permille;
        let lines = if lamp {
            vec![(LAMP.into(), 1)]
        } else {
            let count = self.rng.u32(1..=3);
            (0..count).map(|_| (sku_name(self.rng.u32(0..SKUS)), self.rng.i64(1..=2))).collect()
        };
        let (carrier, place) = self.order(lines);
        self.lamps -= i64::from(lamp);
        // What is refused is not paid.
        if !lamp || self.lamps >= 0 {
            let at_ms = self.now_ms() + self.rng.i64(2..=15) * SECOND_MS;
            self.due.push(Reverse(Due { at_ms, number: self.number, carrier, step: Step::Pay }));
        }
        Command::Place(place)
    }

    /// An order, and who is to carry it.
    fn order(&mut self, lines: Vec<(Text<'static>, i64)>) -> (usize, Place<'static>) {
        self.number += 1;
        let mut drawn = self.rng.u32(0..1_000);
        let carrier = CARRIERS.iter().position(|(_, share, _)| {
            let here = drawn < *share;
            drawn = drawn.saturating_sub(*share);
            here
        });
        let carrier = carrier.unwrap_or_default();
        let units: i64 = lines.iter().map(|(_, quantity)| quantity).sum();
        let place = Place {
            order_id: order_name(self.number),
            lines: lines.into_iter().map(|(sku, quantity)| Line { sku, quantity }.into()).collect(),
            promised_by: Some(Timestamp::from_millis(self.now_ms() + PROMISE_MS)),
            carrier: Some(CARRIERS[carrier].0.into()),
            value: Some(Money { minor: 1_990 * units, currency: "EUR".into() }),
            ..Place::default()
        };
        (carrier, place)
    }

    /// What a step sends, and what is due after it.
    fn step(&mut self, due: Due) -> Option<Command<'static>> {
        let order_id = order_name(due.number);
        let mut next = |at_ms, step| self.due.push(Reverse(Due { at_ms, step, ..due }));
        let carrier = CARRIERS[due.carrier];
        Some(match due.step {
            Step::Pay => {
                let drawn = self.rng.u32(0..1_000);
                let too_late = due.carrier == 0 && drawn < self.mood.too_late_permille;
                if too_late || drawn >= 1_000 - self.mood.changed_mind_permille {
                    next(due.at_ms + self.rng.i64(2..=12) * SECOND_MS, Step::Cancel { too_late });
                } else {
                    next(due.at_ms + self.rng.i64(4 * HOUR_MS..30 * HOUR_MS), Step::Ship);
                }
                Command::Pay(Pay { order_id, ..Pay::default() })
            }
            Step::Cancel { too_late } => {
                let reason = if too_late { "comes_too_late" } else { "changed_mind" };
                let (by, reason) = (Some("customer".into()), Some(reason.into()));
                Command::Cancel(Cancel { order_id, by, reason, ..Cancel::default() })
            }
            Step::Ship => {
                let (least, most) = carrier.2;
                next(due.at_ms + self.rng.i64(least * HOUR_MS..most * HOUR_MS), Step::Deliver);
                let carrier = Some(carrier.0.into());
                Command::Ship(Ship { order_id, carrier, ..Ship::default() })
            }
            Step::Deliver => {
                if due.carrier == 0 && self.mood.strike_from_ms.is_some_and(|from| due.at_ms >= from) {
                    return None;
                }
                Command::Deliver(Deliver { order_id, ..Deliver::default() })
            }
        })
    }
}

fn sku_name(sku: u32) -> Text<'static> {
    format!("item-{:02}", sku + 1).into()
}

fn order_name(number: u64) -> Text<'static> {
    format!("o-{number}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const RATES: Rates = Rates { usual: 3_600, elsewhere: 6 };

    fn count(commands: &[Command<'_>], is: impl Fn(&Command<'_>) -> bool) -> usize {
        commands.iter().filter(|command| is(command)).count()
    }

    fn days(shop: &mut Shop, from_ms: i64, days: i64) -> Vec<Command<'static>> {
        (1..=days * 72).flat_map(|step| shop.until(from_ms + step * DAY_MS / 72)).collect()
    }

    #[test]
    fn weeks_pass_the_same_way_each_time_and_the_storys_hour_has_its_usual_orders() {
        let from = NOW - 15 * DAY_MS;
        let (mut shop, mut again) = (Shop::new(1, RATES, from, NOW), Shop::new(1, RATES, from, NOW));
        for shop in [&mut shop, &mut again] {
            shop.mood.changed_mind_permille = 30;
        }
        let past = days(&mut shop, from, 15);
        assert_eq!(past, days(&mut again, from, 15));
        let placed = count(&past, |command| matches!(command, Command::Place(_)));
        // Two of the story's hours in each of two weeks, half of them in the last one, and six orders in any other hour.
        let expected = 5 * 3_600 + (15 * 24 - 5) * 6;
        assert!(placed.abs_diff(expected) < 3_600, "{placed}, expected {expected}");
        let cancelled = count(&past, |command| matches!(command, Command::Cancel(_)));
        assert!((20..40).contains(&(cancelled * 1_000 / placed)), "{cancelled} of {placed}");
        assert!(count(&past, |command| matches!(command, Command::Deliver(_))) > placed / 2);
    }

    #[test]
    fn a_strike_delivers_nothing_and_a_sale_sells_lamps() {
        let mut shop = Shop::new(1, RATES, NOW, NOW + 30 * DAY_MS);
        shop.mood.strike_from_ms = Some(0);
        let past = days(&mut shop, NOW, 10);
        let carried = |carrier: &str| {
            count(
                &past,
                |command| matches!(command, Command::Ship(sent) if sent.carrier.as_deref() == Some(carrier)),
            )
        };
        let delivered = count(&past, |command| matches!(command, Command::Deliver(_)));
        assert!(carried("swift") > 500);
        assert!(delivered > 100 && delivered <= carried("steady") + carried("thrifty"));
        shop.mood = Mood { per_hour: Some(36_000), lamps_permille: 700, ..Mood::default() };
        let sale = shop.until(NOW + 10 * DAY_MS + 60 * SECOND_MS);
        let lamps =
            count(&sale, |command| matches!(command, Command::Place(place) if place.lines[0].sku == LAMP));
        assert!((350..500).contains(&lamps), "{lamps}");
    }
}

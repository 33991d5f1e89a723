//! What a report gathers from the records of a log: exact counts, and quantiles right within 5%.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::folds::analytics::{COMPLAINT_MAX, Labels, Quantiles, Record, order_hash};
use crate::words::command::{Command, Place, PlaceLine};
use crate::words::outcome::{Decision, Outcome, Reason, State};
use crate::words::policy::SITE_DEFAULT;

/// Orders that are followed at a time; those beyond are counted, and left out of what needs more than one record.
const ORDERS_MAX: usize = 4_000_000;
/// Names of SKUs; those beyond share one row.
const SKUS_MAX: usize = 100_000;
/// Names of anything else.
const NAMES_MAX: usize = 1_000;
/// Days that are told apart: eleven years.
const DAYS_MAX: usize = 4_018;

/// Counts of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) orders: u64,
    pub(super) units: u64,
    /// In minor units, over all currencies.
    pub(super) value_minor: u64,
}

impl Count {
    fn add(&mut self, orders: u64, units: u64, value_minor: u64) {
        self.orders += orders;
        self.units = self.units.saturating_add(units);
        self.value_minor = self.value_minor.saturating_add(value_minor);
    }
}

/// What a day brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) cancelled: u64,
    pub(super) shipped: u64,
    pub(super) delivered: u64,
    pub(super) late: u64,
}

/// Deliveries, and times between states, of a site or a carrier.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    pub(super) delivered: u64,
    pub(super) promised: u64,
    pub(super) late: u64,
    /// From placed to paid, from paid to shipped, from shipped to delivered.
    pub(super) between: [Quantiles; 3],
}

/// Rows by a bounded set of names.
#[derive(Debug)]
pub(super) struct Rows<T> {
    labels: Labels,
    rows: BTreeMap<u16, T>,
}

impl<T: Default> Rows<T> {
    fn new(max: usize) -> Self {
        Self { labels: Labels::new(max), rows: BTreeMap::new() }
    }

    fn of(&mut self, name: &str) -> &mut T {
        self.rows.entry(self.labels.label(name)).or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.rows.iter().map(|(label, row)| (self.labels.name(*label), row))
    }
}

/// One order, from being accepted until it is over.
#[derive(Debug)]
struct Order {
    site: u16,
    carrier: String,
    placed_ms: i64,
    paid_ms: Option<i64>,
    shipped_ms: Option<i64>,
    promised_by_ms: Option<i64>,
    /// Its times contradict each other: nothing is told of them.
    odd: bool,
    units: u64,
    units_left: u64,
    value_minor: u64,
    skus: Vec<(u32, u64)>,
}

/// Everything that is told.
#[derive(Debug)]
pub(super) struct Gathered {
    since_ms: i64,
    zone: TimeZone,
    orders: BTreeMap<u64, Order>,
    sites: Labels,
    skus: BTreeMap<String, u32>,
    sku_names: Vec<String>,
    pub(super) not_followed: u64,
    pub(super) records: u64,
    /// Log time of the first and the last record that counts.
    pub(super) span_ms: Option<(i64, i64)>,
    pub(super) days: BTreeMap<jiff::civil::Date, Day>,
    pub(super) accepted: Count,
    pub(super) refusals: BTreeMap<&'static str, Count>,
    pub(super) cancelled: Count,
    pub(super) by_reason: Rows<Count>,
    pub(super) by_party: Rows<Count>,
    pub(super) cancelled_by_carrier: Rows<Count>,
    pub(super) cancelled_by_sku: BTreeMap<u32, Count>,
    pub(super) lacking: BTreeMap<u32, Count>,
    pub(super) topics: Rows<(u64, u64, u64)>,
    pub(super) failures: Rows<u64>,
    pub(super) by_site: Rows<Way>,
    pub(super) by_carrier: Rows<Way>,
    pub(super) all: Way,
}

fn units(lines: &[PlaceLine<'_>]) -> u64 {
    lines.iter().fold(0, |sum, line| sum.saturating_add(line.quantity.max(0).unsigned_abs()))
}

/// A part of a value, in proportion to units.
fn part(value: u64, units: u64, of: u64) -> u64 {
    let part = u128::from(value) * u128::from(units.min(of)) / u128::from(of.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

impl Gathered {
    /// Of records stored from `since_ms` (since 1970) on, with days of `zone`.
    pub(super) fn new(since_ms: i64, zone: TimeZone) -> Self {
        Self {
            since_ms,
            zone,
            orders: BTreeMap::new(),
            sites: Labels::new(NAMES_MAX),
            skus: BTreeMap::new(),
            sku_names: Vec::new(),
            not_followed: 0,
            records: 0,
            span_ms: None,
            days: BTreeMap::new(),
            accepted: Count::default(),
            refusals: BTreeMap::new(),
            cancelled: Count::default(),
            by_reason: Rows::new(NAMES_MAX),
            by_party: Rows::new(NAMES_MAX),
            cancelled_by_carrier: Rows::new(NAMES_MAX),
            cancelled_by_sku: BTreeMap::new(),
            lacking: BTreeMap::new(),
            topics: Rows::new(NAMES_MAX),
            failures: Rows::new(NAMES_MAX),
            by_site: Rows::new(NAMES_MAX),
            by_carrier: Rows::new(NAMES_MAX),
            all: Way::default(),
        }
    }

    /// A SKU's place among the names.
    fn sku(&mut self, sku: &str) -> u32 {
        if let Some(place) = self.skus.get(sku) {
            return *place;
        }
        let name = if self.sku_names.len() < SKUS_MAX { sku } else { "other" };
        let place = u32::try_from(self.sku_names.len()).unwrap_or(u32::MAX);
        if name == "other" {
            return *self.skus.entry("other".to_owned()).or_insert_with(|| {
                self.sku_names.push("other".to_owned());
                place
            });
        }
        self.sku_names.push(sku.to_owned());
        self.skus.insert(sku.to_owned(), place);
        place
    }

    /// Its name.
    pub(super) fn sku_name(&self, place: u32) -> &str {
        self.sku_names.get(place as usize).map_or("other", |name| name)
    }

    fn day(&mut self, at_ms: i64) -> Option<&mut Day> {
        let at = jiff::Timestamp::from_millisecond(at_ms).ok()?;
        let date = at.to_zoned(self.zone.clone()).date();
        if self.days.len() >= DAYS_MAX && !self.days.contains_key(&date) {
            return None;
        }
        Some(self.days.entry(date).or_default())
    }

    /// Takes in a record.
    pub(super) fn take(&mut self, record: &Record<'_, '_>) {
        let at_ms = record.at.millis();
        let counts = at_ms >= self.since_ms;
        if counts {
            self.records += 1;
            let (first, _) = self.span_ms.unwrap_or((at_ms, at_ms));
            self.span_ms = Some((first, at_ms));
        }
        for outcome in record.outcomes {
            self.outcome(record, outcome, at_ms, counts);
        }
    }

    fn outcome(&mut self, record: &Record<'_, '_>, outcome: &Outcome<'_>, at_ms: i64, counts: bool) {
        match (&outcome.decision, record.command) {
            (
                Decision::Confirmed { order_id, released: false, repeat: None, .. }
                | Decision::Waiting { order_id, repeat: None, .. },
                Some(Command::Place(place)),
            ) => self.accepted(order_id, place, at_ms, counts),
            (Decision::Refused { reason, shortages, repeat: None, .. }, Some(Command::Place(place)))
                if counts =>
            {
                let value = place.value.as_ref().map_or(0, |value| value.minor.max(0).unsigned_abs());
                let all = units(&place.lines);
                self.refusals.entry(reason.code()).or_default().add(1, all, value);
                if let Some(day) = self.day(at_ms) {
                    day.refused += 1;
                }
                if *reason == Reason::InsufficientStock {
                    for shortage in shortages {
                        let lacks = (shortage.requested - shortage.available).max(0).unsigned_abs();
                        let sku = self.sku(&shortage.sku);
                        self.lacking.entry(sku).or_default().add(1, lacks, part(value, lacks, all));
                    }
                }
            }
            (Decision::PaymentFailed { repeat: None, .. }, Some(Command::PayFailed(it))) if counts => {
                *self.failures.of(it.reason.as_deref().unwrap_or_default()) += 1;
            }
            (Decision::Reviewed { repeat: None, .. }, Some(Command::Review(it))) if counts => {
                let (reviews, stars, complaints) = self.topics.of(it.topic.as_deref().unwrap_or_default());
                *reviews += 1;
                *stars += it.score.clamp(1, 5).unsigned_abs();
                *complaints += u64::from(it.score <= COMPLAINT_MAX);
            }
            (Decision::Paid { order_id, repeat: None, .. }, _) => {
                if let Some(order) =
                    self.orders.get_mut(&order_hash(&**order_id)).filter(|it| it.paid_ms.is_none())
                {
                    let at_ms = order.happened(record, at_ms);
                    order.paid_ms = Some(at_ms);
                    let (site, took) = (order.site, at_ms - order.placed_ms);
                    let (carrier, is_told) = (order.carrier.clone(), counts && !order.odd);
                    self.took(is_told, site, &carrier, 0, took);
                }
            }
            (Decision::Shipped { order_id, repeat: None, .. }, _) => {
                self.shipped(record, order_id, at_ms, counts);
            }
            (Decision::Delivered { order_id, repeat: None, state, .. }, _) if *state >= State::Delivered => {
                self.delivered(record, order_id, at_ms, counts);
            }
            (Decision::Cancelled { order_id, lines, by, reason, state, repeat: None, .. }, _) => {
                let named: u64 = lines.iter().map(|line| line.quantity.max(0).unsigned_abs()).sum();
                let whole = matches!(state, State::Cancelled | State::Expired);
                let why = (by.as_deref().unwrap_or_default(), reason.as_deref().unwrap_or_default());
                self.cancelled(order_id, why, (!lines.is_empty()).then_some(named), whole, at_ms, counts);
            }
            (Decision::Expired { order_id, state, .. }, _) => {
                let whole = matches!(state, State::Cancelled | State::Expired);
                self.cancelled(order_id, ("hold", "expired"), None, whole, at_ms, counts);
            }
            _ => {}
        }
    }

    fn accepted(&mut self, order_id: &str, place: &Place<'_>, at_ms: i64, counts: bool) {
        let value_minor = place.value.as_ref().map_or(0, |value| value.minor.max(0).unsigned_abs());
        let units = units(&place.lines);
        if counts {
            self.accepted.add(1, units, value_minor);
            if let Some(day) = self.day(at_ms) {
                day.accepted += 1;
            }
        }
        if self.orders.len() >= ORDERS_MAX {
            self.not_followed += 1;
            return;
        }
        let sku = |line: &PlaceLine<'_>| (self.sku(&line.sku), line.quantity.max(0).unsigned_abs());
        let skus: Vec<(u32, u64)> = place.lines.iter().map(sku).collect();
        let order = Order {
            site: self.sites.label(place.site.as_deref().unwrap_or(SITE_DEFAULT)),
            carrier: place.carrier.as_deref().unwrap_or_default().to_owned(),
            placed_ms: at_ms,
            paid_ms: None,
            shipped_ms: None,
            promised_by_ms: place.promised_by.map(crate::words::timestamp::Timestamp::millis),
            odd: false,
            units,
            units_left: units,
            value_minor,
            skus,
        };
        self.orders.insert(order_hash(order_id), order);
    }

    fn took(&mut self, counts: bool, site: u16, carrier: &str, step: usize, took_ms: i64) {
        if !counts || took_ms < 0 {
            return;
        }
        let site = self.sites.name(site).to_owned();
        self.by_site.of(&site).between[step].take(took_ms);
        self.by_carrier.of(carrier).between[step].take(took_ms);
        self.all.between[step].take(took_ms);
    }

    fn shipped(&mut self, record: &Record<'_, '_>, order_id: &str, at_ms: i64, counts: bool) {
        let Some(order) = self.orders.get_mut(&order_hash(order_id)).filter(|it| it.shipped_ms.is_none())
        else {
            return;
        };
        let happened_ms = order.happened(record, at_ms);
        order.shipped_ms = Some(happened_ms);
        if let Some(Command::Ship(ship)) = record.command
            && let Some(carrier) = ship.carrier.as_deref()
        {
            carrier.clone_into(&mut order.carrier);
        }
        let (site, carrier, odd) = (order.site, order.carrier.clone(), order.odd);
        if let Some(paid_ms) = order.paid_ms.filter(|_| !odd) {
            self.took(counts, site, &carrier, 1, happened_ms - paid_ms);
        }
        if counts && let Some(day) = self.day(at_ms) {
            day.shipped += 1;
        }
    }

    fn delivered(&mut self, record: &Record<'_, '_>, order_id: &str, at_ms: i64, counts: bool) {
        let Some(mut order) = self.orders.remove(&order_hash(order_id)) else { return };
        if !counts {
            return;
        }
        let happened_ms = order.happened(record, at_ms);
        let late = order.promised_by_ms.filter(|_| !order.odd).map(|by| happened_ms > by);
        let site = self.sites.name(order.site).to_owned();
        for way in [self.by_site.of(&site), self.by_carrier.of(&order.carrier), &mut self.all] {
            way.delivered += 1;
            way.promised += u64::from(late.is_some());
            way.late += u64::from(late == Some(true));
        }
        if let Some(day) = self.day(at_ms) {
            day.delivered += 1;
            day.late += u64::from(late == Some(true));
        }
        if let Some(shipped_ms) = order.shipped_ms.filter(|_| !order.odd) {
            self.took(counts, order.site, &order.carrier, 2, happened_ms - shipped_ms);
        }
    }

    fn cancelled(
        &mut self,
        order_id: &str,
        (party, reason): (&str, &str),
        named: Option<u64>,
        whole: bool,
        at_ms: i64,
        counts: bool,
    ) {
        let id = order_hash(order_id);
        let mut count = Count { orders: u64::from(whole), units: named.unwrap_or(0), value_minor: 0 };
        let mut carrier = String::new();
        let mut skus = Vec::new();
        if let Some(order) = self.orders.get_mut(&id) {
            count.units = named.unwrap_or(order.units_left).min(order.units_left);
            count.value_minor = part(order.value_minor, count.units, order.units);
            order.units_left -= count.units;
            carrier.clone_from(&order.carrier);
            if whole {
                skus.clone_from(&order.skus);
            }
        }
        if whole {
            self.orders.remove(&id);
        }
        if !counts {
            return;
        }
        let Count { orders, units, value_minor } = count;
        let rows = [
            &mut self.cancelled,
            self.by_reason.of(reason),
            self.by_party.of(party),
            self.cancelled_by_carrier.of(&carrier),
        ];
        for row in rows {
            row.add(orders, units, value_minor);
        }
        for (sku, units) in skus {
            self.cancelled_by_sku.entry(sku).or_default().add(1, units, 0);
        }
        if whole && let Some(day) = self.day(at_ms) {
            day.cancelled += 1;
        }
    }
}

impl Order {
    /// When something happened to it. Where what is told contradicts itself, nothing is said of its times from there on.
    fn happened(&mut self, record: &Record<'_, '_>, at_ms: i64) -> i64 {
        record.happened_ms(self.placed_ms, at_ms).unwrap_or_else(|| {
            self.odd = true;
            at_ms
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::command::{Cancel, Deliver, Line};
    use crate::words::outcome::Outcome;
    use crate::words::timestamp::Timestamp;

    fn told(gathered: &mut Gathered, at_ms: i64, command: &Command<'_>, decision: Decision<'_>) {
        let at = Timestamp::from_millis(at_ms);
        let outcome = Outcome { sequence: 1, index: 0, place: 0, at, decision };
        gathered.take(&Record { at, command: Some(command), outcomes: &[outcome] });
    }

    #[test]
    fn the_end_of_a_day_is_that_of_the_time_zone() {
        let mut gathered = Gathered::new(0, TimeZone::fixed(jiff::tz::offset(-3)));
        // Two in the morning in UTC is the evening before, three hours west.
        let at_ms = 1_700_013_600_000 - 86_400_000;
        gathered.day(at_ms).unwrap().accepted += 1;
        let date = *gathered.days.keys().next().unwrap();
        let utc = jiff::Timestamp::from_millisecond(at_ms).unwrap().to_zoned(TimeZone::UTC);
        assert_eq!((utc.hour(), utc.date().yesterday().unwrap()), (2, date));
    }

    /// Day by day, how many were accepted and delivered.
    type Days = Vec<(String, u64, u64)>;

    /// Of orders that are placed and shipped, delivered, said to have been, and promised then: delivered, with a promise that counts,
    /// late; by day accepted and delivered; and whether anything is told of their transit.
    fn lives(zone: TimeZone, lives: &[(i64, i64, Option<Timestamp>, i64)]) -> ((u64, u64, u64), Days, bool) {
        let mut gathered = Gathered::new(0, zone);
        for (number, (placed_ms, delivered_ms, occurred_at, promised_ms)) in lives.iter().enumerate() {
            let id = format!("O-{number}");
            let place = Place {
                order_id: id.clone().into(),
                promised_by: Some(Timestamp::from_millis(*promised_ms)),
                ..Place::default()
            };
            gathered.accepted(&id, &place, *placed_ms, true);
            let at = Timestamp::from_millis(*placed_ms);
            gathered.shipped(&Record { at, command: None, outcomes: &[] }, &id, *placed_ms, true);
            let command = Command::Deliver(Deliver {
                order_id: id.clone().into(),
                occurred_at: *occurred_at,
                ..Deliver::default()
            });
            let at = Timestamp::from_millis(*delivered_ms);
            let record = Record { at, command: Some(&command), outcomes: &[] };
            gathered.delivered(&record, &id, *delivered_ms, true);
        }
        let Way { delivered, promised, late, .. } = gathered.all;
        let days = gathered.days.iter().map(|(date, day)| (date.to_string(), day.accepted, day.delivered));
        ((delivered, promised, late), days.collect(), gathered.all.between[2].quantile(0.5).is_some())
    }

    #[test]
    fn a_promise_ends_at_its_instant_and_the_day_where_the_shop_is() {
        let (midnight, hour) = (1_795_392_000_000, 3_600_000);
        let at = |hours: i64| midnight + hours * hour;
        // Three hours west of UTC: delivered late in the evening of the day, by UTC early on the next one.
        let orders = [(at(-9), at(2), None, midnight - 1), (at(-9), at(2), None, at(3) - 1)];
        let (counts, days, has_transit) = lives(TimeZone::fixed(jiff::tz::offset(-3)), &orders);
        assert_eq!((counts, has_transit), ((2, 2, 1), true));
        assert_eq!(days, [("2026-11-22".to_owned(), 2, 2)]);
        let (counts, days, _) = lives(TimeZone::UTC, &orders);
        assert_eq!(counts, (2, 2, 1));
        assert_eq!(days, [("2026-11-22".to_owned(), 2, 0), ("2026-11-23".to_owned(), 0, 2)]);
    }

    #[test]
    fn a_night_of_changed_clocks_makes_a_day_shorter_or_longer_and_nothing_else() {
        let zone = || TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let hour = 3_600_000;
        // Every hour of three days around each of two nights: 2026-03-29 and 2026-10-25.
        for (noon, hours) in [(1_774_699_200_000_i64, 23), (1_792_843_200_000, 25)] {
            let orders: Vec<_> = (0..60)
                .map(|number| {
                    (noon + number * hour, noon + (number + 1) * hour, None, noon + (number + 1) * hour)
                })
                .collect();
            let (counts, days, _) = lives(zone(), &orders);
            // An hour is an hour: nothing is late for it.
            assert_eq!(counts, (60, 60, 0));
            assert_eq!(days[1].1, hours, "{days:?}");
            assert_eq!(days.iter().map(|(_, accepted, _)| accepted).sum::<u64>(), 60);
        }
    }

    #[test]
    fn of_times_that_contradict_each_other_nothing_is_told() {
        let (placed, delivered) = (1_795_392_000_000, 1_795_392_900_000);
        let odd = [0, placed - 1, 4_070_908_800_000].map(|at| Some(Timestamp::from_millis(at)));
        let orders: Vec<_> =
            odd.into_iter().map(|occurred| (placed, delivered, occurred, placed + 1)).collect();
        let (counts, days, has_transit) = lives(TimeZone::UTC, &orders);
        // They arrived, and nobody knows when.
        assert_eq!((counts, days.len(), days[0].2, has_transit), ((3, 0, 0), 1, 3, false));
    }

    #[test]
    fn units_are_cancelled_once_and_a_late_delivery_is_late() {
        let mut gathered = Gathered::new(0, TimeZone::UTC);
        for order in ["O-1", "O-2"] {
            let place = Command::Place(Place {
                order_id: order.into(),
                lines: vec![Line { sku: "A".into(), quantity: 4 }.into()],
                promised_by: Some(Timestamp::from_millis(5_000)),
                ..Place::default()
            });
            let Command::Place(placed) = &place else { unreachable!() };
            gathered.accepted(order, placed, 1_000, true);
        }
        gathered.cancelled("O-1", ("customer", "x"), Some(1), false, 2_000, true);
        gathered.cancelled("O-1", ("customer", "x"), None, true, 3_000, true);
        assert_eq!((gathered.cancelled.units, gathered.cancelled.orders), (4, 1));
        let deliver = Command::Deliver(Deliver { order_id: "O-2".into(), ..Deliver::default() });
        let at = Timestamp::from_millis(6_000);
        gathered.delivered(&Record { at, command: Some(&deliver), outcomes: &[] }, "O-2", 6_000, true);
        assert_eq!((gathered.all.delivered, gathered.all.late), (1, 1));
        // A decision that is not about orders moves nothing.
        let cancel = Command::Cancel(Cancel::default());
        for command in [deliver, cancel] {
            told(&mut gathered, 7_000, &command, Decision::PolicyApplied { rules: 1 });
        }
        assert_eq!(gathered.span_ms, Some((7_000, 7_000)));
    }
}

//! Cancellations: how many units, orders and how much value go back, why, by whose wish, and whether it surges.
//!
//! A cancel counts the units that it names, or all that are left; an order once it is cancelled as a whole; value in proportion to
//! units. So each unit is counted once, whatever follows: repeats are no cancels. Orders that are not followed ([`super::orders`])
//! count by reason and party alone.
//!
//! Surges: one detector ([`Cusum`]) for all orders of the shard and one for each site's and carrier's label, over orders (a placed
//! order is a trial, a whole cancel a hit), each at one false alarm a week where rates are steady. A series that has just begun is
//! learned for twice as long as nine of ten cancels take to come. A surge names what drives it:
//! the reasons, SKUs and carriers whose cancels since the change exceed their share of before the most (heavy hitters of the
//! excess, by [`SpaceSaving`] sketches of 256 counters).

use std::collections::BTreeMap;

use wincode::{SchemaRead, SchemaWrite};

use super::labels::{Labels, NONE};
use super::orders::{Order, Phase};
use super::sketches::cusum::{Change, Cusum, Surge};
use super::sketches::space_saving::SpaceSaving;
use crate::words::command::Line;

const WEEK_MS: f64 = 7.0 * 86_400_000.0;
/// So many cancels tell how long after their orders they come.
const CANCELS_MIN: u64 = 20;
const NAMES_KEPT: usize = 256;
const DRIVERS: usize = 5;
const SERIES: [&str; 3] = ["all", "site", "carrier"];
/// The series of all orders, and its one label.
const ALL: (u8, u16) = (0, NONE);
const KINDS: [&str; 3] = ["reason", "sku", "carrier"];
/// Upper bounds of the buckets of the time from placing to cancelling, in hours; one more bucket has none.
pub const HOURS_BOUNDS: [f64; 7] = [0.25, 1.0, 6.0, 24.0, 72.0, 168.0, 720.0];

/// Counts of one label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Cancels {
    /// Orders cancelled as a whole.
    pub orders: u64,
    /// Units.
    pub units: u64,
}

/// A name whose cancels exceed its share of before.
#[derive(Clone, Debug, PartialEq)]
pub struct Driver {
    /// What kind of name: `reason`, `sku` or `carrier`.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// Cancels beyond what its share of before would have brought.
    pub excess: f64,
}

/// A change in a series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesChange {
    /// Which series: `all`, `site` or `carrier`.
    pub series: &'static str,
    /// Whose, as a label; `none` for all orders.
    pub label: String,
    /// What was found; none where it is over.
    pub surge: Option<Surge>,
    /// What drives it, the first one first.
    pub drivers: Vec<Driver>,
}

/// Names of one kind: until the detector of all orders last was at zero, and since.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
struct Names {
    before: SpaceSaving,
    since: SpaceSaving,
}

impl Names {
    fn new() -> Self {
        Self { before: SpaceSaving::new(NAMES_KEPT), since: SpaceSaving::new(NAMES_KEPT) }
    }

    /// What was gathered since becomes what was before.
    fn settle(&mut self) {
        for counter in self.since.top(NAMES_KEPT) {
            self.before.add(&counter.name, counter.count - counter.error);
        }
        self.since.clear();
    }

    fn excess(&self, kind: &'static str, expected: f64) -> Vec<Driver> {
        let total = self.before.total().max(1) as f64;
        let excess = self.since.top(NAMES_KEPT).into_iter().map(|counter| {
            let share = self.before.count(&counter.name) as f64 / total;
            Driver { kind, excess: counter.count as f64 - expected * share, name: counter.name }
        });
        excess.filter(|driver| driver.excess > 0.0).collect()
    }

    fn restore(&mut self) -> bool {
        self.before.restore() && self.since.restore()
    }
}

/// One cancel as it was decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cancelled<'a> {
    pub(super) reason: &'a str,
    pub(super) party: &'a str,
    /// What was cancelled, where it was not the whole order.
    pub(super) lines: &'a [Line<'a>],
    /// Whether nothing of the order is left.
    pub(super) whole: bool,
}

/// A change of a series: its kind, its label, and what changed.
pub(super) type Changed = (u8, u16, Change);

/// The cancellations of a shard.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Cancellation {
    placed: u64,
    all: Cancels,
    reasons: Labels,
    parties: Labels,
    by_reason: BTreeMap<(u16, u16), Cancels>,
    by_site: BTreeMap<u16, Cancels>,
    by_carrier: BTreeMap<u16, Cancels>,
    value_minor: BTreeMap<u16, u64>,
    hours: [u64; HOURS_BOUNDS.len() + 1],
    /// The sum of the times from placing to cancelling, in hours.
    hours_sum: f64,
    /// Nine of ten cancels come within so long after their orders.
    lag_ms: f64,
    late: u64,
    waiting: u64,
    /// The surges that stand, by series and label: how many times the base rate they were when they were found.
    surges: BTreeMap<(u8, u16), f64>,
    /// By series: how many were found.
    surges_found: [u64; SERIES.len()],
    /// By series, and by label.
    detectors: [Vec<Cusum>; SERIES.len()],
    names: Vec<Names>,
}

impl Cancellation {
    pub(super) fn new(labels_max: usize) -> Self {
        Self {
            placed: 0,
            all: Cancels::default(),
            reasons: Labels::new(labels_max.min(50)),
            parties: Labels::new(8),
            by_reason: BTreeMap::new(),
            by_site: BTreeMap::new(),
            by_carrier: BTreeMap::new(),
            value_minor: BTreeMap::new(),
            hours: [0; HOURS_BOUNDS.len() + 1],
            hours_sum: 0.0,
            lag_ms: lag_ms(&[0; HOURS_BOUNDS.len() + 1]),
            late: 0,
            waiting: 0,
            surges: BTreeMap::new(),
            surges_found: [0; SERIES.len()],
            detectors: std::array::from_fn(|_| Vec::new()),
            names: KINDS.iter().map(|_| Names::new()).collect(),
        }
    }

    /// An order was accepted.
    pub(super) fn placed(&mut self, now_ms: i64) -> Vec<Changed> {
        self.placed += 1;
        self.take(now_ms, &[ALL], 1, 0)
    }

    /// It is followed: of others nobody will know whose was cancelled.
    pub(super) fn followed(&mut self, now_ms: i64, order: &mut Order) -> Vec<Changed> {
        order.tried = true;
        self.take(now_ms, &[(1, order.site), (2, order.carrier)], 1, 0)
    }

    /// Takes trials and hits into series, each with its label.
    fn take(&mut self, now_ms: i64, series: &[(u8, u16)], trials: u32, hits: u32) -> Vec<Changed> {
        let mut changes = Vec::new();
        for (series, label) in series.iter().copied() {
            let of_series = &mut self.detectors[usize::from(series)];
            if of_series.len() <= usize::from(label) {
                of_series.resize_with(usize::from(label) + 1, || Cusum::new(WEEK_MS, WEEK_MS));
            }
            let detector = &mut of_series[usize::from(label)];
            detector.comes_late(now_ms, self.lag_ms);
            let change = detector.take(now_ms, trials, hits);
            match &change {
                Some(Change::Raised(surge)) => {
                    self.surges.insert((series, label), (surge.now / surge.base).max(1.0));
                    self.surges_found[usize::from(series)] += 1;
                }
                Some(Change::Ended) => drop(self.surges.remove(&(series, label))),
                None => {}
            }
            changes.extend(change.map(|change| (series, label, change)));
            if series == 0 && detector.since().1 == 0.0 {
                self.names.iter_mut().filter(|names| names.since.total() > 0).for_each(Names::settle);
            }
        }
        changes
    }

    /// A cancel was decided. `order` is whose, if it is followed; `carriers` names its carrier.
    pub(super) fn cancelled(
        &mut self,
        now_ms: i64,
        cancelled: &Cancelled<'_>,
        order: Option<&mut Order>,
        carriers: &Labels,
    ) -> Vec<Changed> {
        let named: u64 = cancelled.lines.iter().map(|line| line.quantity.max(0).unsigned_abs()).sum();
        let left = order.as_ref().map(|order| order.units_left.max(0).unsigned_abs());
        let units =
            if cancelled.lines.is_empty() { left.unwrap_or(0) } else { named.min(left.unwrap_or(named)) };
        let count = Cancels { orders: u64::from(cancelled.whole), units };
        let key = (self.reasons.label(cancelled.reason), self.parties.label(cancelled.party));
        for to in [&mut self.all, self.by_reason.entry(key).or_default()] {
            add(to, count);
        }
        self.names[0].since.add(cancelled.reason, 1);
        for line in cancelled.lines {
            self.names[1].since.add(&line.sku, 1);
        }
        let whole = u32::from(cancelled.whole);
        let Some(order) = order else { return self.take(now_ms, &[ALL], 0, whole) };
        self.names[2].since.add(carriers.name(order.carrier), 1);
        add(self.by_site.entry(order.site).or_default(), count);
        add(self.by_carrier.entry(order.carrier).or_default(), count);
        self.value(order, units);
        order.units_left -= i64::try_from(units).unwrap_or(i64::MAX);
        if whole == 0 {
            return Vec::new();
        }
        let hours = (now_ms - order.placed_ms).max(0) as f64 / 3_600_000.0;
        self.came_after(hours);
        self.late += u64::from(order.late_from_ms().is_some_and(|from| now_ms >= from));
        self.waiting += u64::from(order.phase == Phase::Waiting);
        // Where an order was no trial, its cancel is no hit.
        let series = [ALL, (1, order.site), (2, order.carrier)];
        if order.tried { self.take(now_ms, &series, 0, whole) } else { Vec::new() }
    }

    /// An order was cancelled as a whole so many hours after it was placed.
    fn came_after(&mut self, hours: f64) {
        self.hours[HOURS_BOUNDS.partition_point(|bound| *bound < hours)] += 1;
        self.hours_sum += hours;
        self.lag_ms = lag_ms(&self.hours);
    }

    fn value(&mut self, order: &Order, units: u64) {
        let value = order.value_minor.unwrap_or(0).max(0).unsigned_abs();
        let of = order.units.max(1).unsigned_abs();
        let share = u128::from(value) * u128::from(units.min(of)) / u128::from(of);
        let lost = self.value_minor.entry(order.currency).or_default();
        *lost = lost.saturating_add(u64::try_from(share).unwrap_or(u64::MAX));
    }

    /// What a change of a series means, for people: whose it is, and what drives it.
    pub(super) fn told(
        &self,
        (series, label, change): Changed,
        sites: &Labels,
        carriers: &Labels,
    ) -> SeriesChange {
        let series = usize::from(series).min(2);
        let labels = [carriers, sites, carriers][series];
        let (mut drivers, surge): (Vec<Driver>, _) = match change {
            Change::Ended => (Vec::new(), None),
            Change::Raised(surge) => {
                let all = self.detectors[0].get(usize::from(NONE));
                let expected = all.map_or(0.0, |all| all.base() * all.since().1);
                let kinds = self.names.iter().zip(KINDS);
                (kinds.flat_map(|(names, kind)| names.excess(kind, expected)).collect(), Some(surge))
            }
        };
        drivers.sort_by(|left, right| right.excess.total_cmp(&left.excess));
        drivers.truncate(DRIVERS);
        SeriesChange { series: SERIES[series], label: labels.name(label).to_owned(), surge, drivers }
    }

    /// Orders accepted.
    #[must_use]
    pub const fn orders_placed(&self) -> u64 {
        self.placed
    }

    /// All cancels.
    #[must_use]
    pub const fn all(&self) -> Cancels {
        self.all
    }

    /// Cancels by reason and party.
    pub fn by_reason(&self) -> impl Iterator<Item = (&str, &str, Cancels)> {
        let named = |(reason, party): &(u16, u16)| (self.reasons.name(*reason), self.parties.name(*party));
        self.by_reason.iter().map(move |(key, count)| (named(key).0, named(key).1, *count))
    }

    /// Cancels by label: of sites, and of carriers.
    pub(super) const fn by_label(&self) -> [&BTreeMap<u16, Cancels>; 2] {
        [&self.by_site, &self.by_carrier]
    }

    /// Value lost, in minor units, by the label of its currency.
    pub(super) const fn value_minor(&self) -> &BTreeMap<u16, u64> {
        &self.value_minor
    }

    /// Whole cancels by the time since placing: up to each of [`HOURS_BOUNDS`], and beyond.
    #[must_use]
    pub const fn by_hours(&self) -> [u64; HOURS_BOUNDS.len() + 1] {
        self.hours
    }

    /// The name of which there are most cancels beyond its share of before; none where there is none.
    pub(super) fn first_driver(&self) -> Option<Driver> {
        let all = self.detectors[0].get(usize::from(NONE))?;
        let expected = all.base() * all.since().1;
        let drivers = self.names.iter().zip(KINDS).flat_map(|(names, kind)| names.excess(kind, expected));
        drivers.max_by(|left, right| left.excess.total_cmp(&right.excess))
    }

    /// The share of all orders that is normally cancelled as a whole; none before there were any.
    pub(super) fn normal_share(&self) -> Option<f64> {
        let of_all = self.detectors[0].get(usize::from(NONE));
        of_all.filter(|_| self.placed > 0).map(Cusum::base)
    }

    /// The sum of the times from placing to cancelling as a whole, in hours.
    #[must_use]
    pub const fn hours_sum(&self) -> f64 {
        self.hours_sum
    }

    /// The surges that stand: series, label, and how many times the base rate.
    pub(super) fn surges(&self) -> impl Iterator<Item = (&'static str, u16, f64)> + '_ {
        self.surges
            .iter()
            .map(|((series, label), times)| (SERIES[usize::from(*series).min(2)], *label, *times))
    }

    /// How many surges were found, by series.
    pub fn surges_found(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        SERIES.into_iter().zip(self.surges_found)
    }

    /// Orders cancelled as a whole after their promise had passed, and while they waited for stock.
    #[must_use]
    pub const fn late_and_waiting(&self) -> (u64, u64) {
        (self.late, self.waiting)
    }

    /// Makes whole what was read back; false where it does not hold together.
    pub(super) fn restore(&mut self) -> bool {
        self.reasons.restore()
            && self.parties.restore()
            && self.names.len() == KINDS.len()
            && self.names.iter_mut().all(Names::restore)
            && self.detectors.iter().flatten().all(Cusum::is_sound)
            && self.hours_sum.is_finite()
            && self.lag_ms.is_finite()
            && self.surges.values().all(|times| times.is_finite())
    }
}

/// Nine of ten cancels come within so long after their orders; a day at least until there are enough of them to tell.
fn lag_ms(hours: &[u64; HOURS_BOUNDS.len() + 1]) -> f64 {
    let all: u64 = hours.iter().sum();
    let mut within = 0;
    let bucket = hours.iter().position(|count| {
        within += count;
        within * 10 >= all * 9
    });
    let hours = HOURS_BOUNDS[bucket.unwrap_or_default().min(HOURS_BOUNDS.len() - 1)];
    let least = if all < CANCELS_MIN { 24.0 } else { 0.0 };
    hours.max(least) * 3_600_000.0
}

fn add(to: &mut Cancels, count: Cancels) {
    to.orders += count.orders;
    to.units = to.units.saturating_add(count.units);
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "milliseconds of some weeks")]
mod tests {
    use super::*;

    const HOUR_MS: f64 = 3_600_000.0;

    /// How many surges all orders together seem to have in each of a shop's first two weeks: so many orders an hour, of which `share` is
    /// cancelled after `age_hours` on average.
    fn surges_at_first(per_hour: f64, share: f64, age_hours: f64, random: &mut fastrand::Rng) -> [u64; 2] {
        let mut exponential = |mean: f64| -random.f64().max(1e-12).ln() * mean;
        let mut events = Vec::new();
        let mut now = HOUR_MS;
        while now < 2.0 * WEEK_MS {
            now += exponential(HOUR_MS / per_hour);
            events.push((now, now, false));
            if exponential(1.0) < -(1.0 - share).ln() {
                events.push((now + exponential(age_hours * HOUR_MS), now, true));
            }
        }
        events.retain(|(at, ..)| *at < 2.0 * WEEK_MS);
        events.sort_by(|left, right| left.0.total_cmp(&right.0));
        let mut cancellation = Cancellation::new(10);
        let mut found = [0; 2];
        for (at, placed, is_cancel) in events {
            if is_cancel {
                cancellation.came_after((at - placed) / HOUR_MS);
            }
            let changes = cancellation.take(
                at as i64,
                &[ALL, (1, 1), (2, 1)],
                u32::from(!is_cancel),
                u32::from(is_cancel),
            );
            let raised = |(series, _, change): &&Changed| *series == 0 && matches!(change, Change::Raised(_));
            found[usize::from(at >= WEEK_MS)] += changes.iter().filter(raised).count() as u64;
        }
        found
    }

    /// Cancels that come at once, hours and days later. Without learning first there were 2 to 12 in the first week.
    #[test]
    fn a_shop_that_has_just_begun_has_no_more_false_alarms_than_any_other() {
        let mut random = fastrand::Rng::with_seed(6);
        for (per_hour, share, age_hours) in [(100.0, 0.01, 0.1), (100.0, 0.05, 3.0), (50.0, 0.15, 24.0)] {
            let runs = 12;
            let all = (0..runs).map(|_| surges_at_first(per_hour, share, age_hours, &mut random));
            let [first, second] = all.fold([0; 2], |sum, found| [sum[0] + found[0], sum[1] + found[1]]);
            assert!(
                2 * first <= runs && second <= 2 * runs,
                "{per_hour} {share} {age_hours}: {first} {second}"
            );
        }
    }

    /// An order that was taken up again after a skip was no trial of any series: neither is its cancel a hit.
    #[test]
    fn a_cancel_counts_where_its_order_counted() {
        use crate::folds::analytics::{Analytics, Findings, Record, Settings};
        use crate::words::command::{Command, Place, PlaceLine};
        use crate::words::outcome::{Decision, Outcome, State};
        use crate::words::timestamp::Timestamp;

        let at = Timestamp::from_millis(1_800_000_000_000);
        let outcome = |decision| [Outcome { decision, sequence: 1, index: 0, place: 0, at }];
        let mut analytics = Analytics::new(Settings::default());
        let mut findings = Findings::new();
        for (order_id, is_recalled) in [("O-1", true), ("O-2", false)] {
            let lines = vec![PlaceLine { sku: "A".into(), quantity: 1, unit_price: None }];
            let place = Command::Place(Place { order_id: order_id.into(), lines, ..Place::default() });
            let outcomes = outcome(Decision::Confirmed {
                order_id: order_id.into(),
                pay_by: None,
                lines: vec![],
                shortages: vec![],
                released: false,
                repeat: None,
            });
            let record = Record { at, command: Some(&place), outcomes: &outcomes };
            if is_recalled {
                assert_eq!(analytics.recall(&record, &mut findings), 1);
            } else {
                analytics.observe(&record, &mut findings);
            }
            let outcomes = outcome(Decision::Cancelled {
                order_id: order_id.into(),
                lines: vec![],
                by: None,
                reason: None,
                state: State::Cancelled,
                cancel_id: None,
                repeat: None,
            });
            let series = |of: &Analytics| of.cancellation.detectors.each_ref().map(|of| format!("{of:?}"));
            let before = series(&analytics);
            analytics.observe(&Record { at, command: None, outcomes: &outcomes }, &mut findings);
            let after = series(&analytics);
            let has_changed = [0, 1, 2].map(|series| before[series] != after[series]);
            assert_eq!(has_changed, [!is_recalled; 3], "{order_id}");
        }
        assert_eq!(analytics.cancellation.all().orders, 2);
    }
}

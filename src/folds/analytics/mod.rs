//! Analytics: what the stream of decisions says about what is about to go wrong.
//!
//! [`Analytics::observe`] takes records with their outcomes, in the order of the log, and never decides anything. It is a fold like
//! the inventory: no clock, no IO, no waiting; time is the log's, and the event's own where a command says when it happened. Unlike
//! the inventory it may use floats, and its state is no part of any digest.
//!
//! Everything is bounded: labels beyond a stated number are `other`, orders beyond a stated number are sampled. Times that contradict
//! each other (an event before its order was placed, in the future, or a decade ago) are left out and counted: no figure is ever
//! negative or not a number.

#![expect(
    clippy::cast_precision_loss,
    reason = "statistics of counts and milliseconds, all far below 2^53 where it matters"
)]

mod delay;
mod labels;
mod orders;
mod record;
mod sketches;
mod state;

use wincode::{SchemaRead, SchemaWrite};

pub use delay::{
    ATTRIBUTES_MAX, Calibration, Cause, Delay, DelaySettings, Honesty, KEYS_MAX, Kind, Moment, QUANTILES,
    Said, Score, VOCABULARY, Warnings,
};
pub use labels::Labels;
pub use orders::Phase;
pub use record::Record;
pub use state::{STATE_VERSION, StateError};

use crate::words::command::{Command, Place};
use crate::words::outcome::{Decision, Outcome, State};
use crate::words::policy::SITE_DEFAULT;
use crate::words::timestamp::Timestamp;
pub use orders::order_hash;
use orders::{DAY_MS, NO_ROW, Order, Orders};

/// An event may be so much ahead of log time: clocks differ.
const AHEAD_MAX_MS: i64 = 5 * 60_000;
/// An event may be so old when it is told.
const BEHIND_MAX_MS: i64 = 3_653 * DAY_MS;

/// What may be chosen.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Settings {
    /// The most orders that are followed; above, a sample is. About 400 bytes each.
    pub orders_max: usize,
    /// The most names of sites, and of carriers, that are labels.
    pub labels_max: usize,
    /// Delay.
    pub delay: DelaySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self { orders_max: 262_144, labels_max: 200, delay: DelaySettings::default() }
    }
}

/// Something that analytics found, told once.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// An order was scored.
    Scored {
        /// The hash of its id.
        order: u64,
        /// At which moment.
        moment: Moment,
        /// What was said.
        score: Score,
        /// When, in milliseconds since 1970.
        at_ms: i64,
    },
    /// An order's risk reached a tenth that it had not reached before.
    Risk {
        /// The hash of its id.
        order: u64,
        /// Its probability to be late.
        late: f64,
        /// When, in milliseconds since 1970.
        at_ms: i64,
    },
    /// An order's risk reached the warning threshold for the first time.
    Warned {
        /// The hash of its id.
        order: u64,
        /// Its probability to be late.
        late: f64,
        /// When, in milliseconds since 1970.
        at_ms: i64,
    },
}

/// What was found, until somebody takes it.
pub type Findings = Vec<Finding>;

/// The measurements of one shard.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Analytics {
    settings: Settings,
    now_ms: i64,
    orders: Orders,
    sites: Labels,
    carriers: Labels,
    currencies: Labels,
    delay: Delay,
    swept_ms: i64,
    odd_times: u64,
}

impl Analytics {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            now_ms: 0,
            orders: Orders::new(settings.orders_max),
            sites: Labels::new(settings.labels_max),
            carriers: Labels::new(settings.labels_max),
            currencies: Labels::new(16),
            delay: Delay::new(settings.delay),
            swept_ms: 0,
            odd_times: 0,
            settings,
        }
    }

    /// Delay risk.
    #[must_use]
    pub const fn delay(&self) -> &Delay {
        &self.delay
    }

    /// How many orders are followed, and which share of all that is.
    #[must_use]
    pub fn followed(&self) -> (usize, f64) {
        (self.orders.len(), self.orders.share())
    }

    /// How many events were left out since their times contradict each other.
    #[must_use]
    pub const fn odd_times(&self) -> u64 {
        self.odd_times
    }

    /// An open order's probability to arrive late, as it is now.
    #[must_use]
    pub fn risk_of(&self, order_id: &str) -> Option<f64> {
        let order = self.orders.get(self.find(order_id)?).filter(|order| order.is_open())?;
        self.delay.risk(order, self.now_ms)
    }

    /// What moves an open order's lead time most: the largest parts first, at most `count`.
    #[must_use]
    pub fn causes_of(&self, order_id: &str, count: usize) -> Vec<Cause> {
        let order = self.find(order_id).and_then(|place| self.orders.get(place));
        order.map(|order| self.delay.causes(order, count)).unwrap_or_default()
    }

    /// Makes whole what was read back; false where it does not hold together.
    fn make_whole(&mut self) -> bool {
        let labels = [&mut self.sites, &mut self.carriers, &mut self.currencies];
        labels.into_iter().all(Labels::restore)
            && self.delay.restore()
            && self.orders.restore(self.delay.keys())
    }

    /// Takes in a record. What it finds is added to `findings`.
    pub fn observe(&mut self, record: &Record<'_, '_>, findings: &mut Findings) {
        self.advance(record.at.millis(), findings);
        for outcome in record.outcomes {
            self.outcome(record, outcome, findings);
        }
    }

    /// Time passed.
    fn advance(&mut self, at_ms: i64, findings: &mut Findings) {
        self.now_ms = self.now_ms.max(at_ms);
        self.delay.advance(self.now_ms, &mut self.orders, findings);
        if self.swept_ms == 0 {
            self.swept_ms = self.now_ms;
        }
        if self.now_ms - self.swept_ms >= DAY_MS {
            self.swept_ms = self.now_ms;
            let delay = &mut self.delay;
            self.orders.sweep(self.now_ms, |order| delay.closed(&mut order.clone()));
        }
    }

    fn outcome(&mut self, record: &Record<'_, '_>, outcome: &Outcome<'_>, findings: &mut Findings) {
        match &outcome.decision {
            Decision::Confirmed { order_id, released: false, repeat: None, .. } => {
                if let Some(Command::Place(place)) = record.command {
                    self.place(order_id, place, Phase::Confirmed, findings);
                }
            }
            Decision::Waiting { order_id, repeat: None, .. } => {
                if let Some(Command::Place(place)) = record.command {
                    self.place(order_id, place, Phase::Waiting, findings);
                }
            }
            Decision::Confirmed { order_id, released: true, .. } => {
                if let Some(place) = self.find(order_id) {
                    self.set_phase(place, Phase::Confirmed);
                    self.delay.confirmed(place, self.now_ms, &mut self.orders, findings);
                }
            }
            Decision::Paid { order_id, repeat: None, state, .. } => {
                self.pay(record, order_id, *state, findings);
            }
            Decision::Shipped { order_id, repeat: None, .. } => self.ship(record, order_id, findings),
            Decision::Delivered { order_id, repeat: None, state, .. } => {
                self.deliver(record, order_id, *state);
            }
            Decision::Cancelled { order_id, state, .. } | Decision::Expired { order_id, state } => {
                self.end(order_id, *state);
            }
            _ => {}
        }
    }

    fn find(&self, order_id: &str) -> Option<u32> {
        self.orders.find(order_hash(order_id))
    }

    fn set_phase(&mut self, place: u32, phase: Phase) {
        let now_ms = self.now_ms;
        if let Some(order) = self.orders.get_mut(place) {
            order.phase = phase;
            order.heard_ms = now_ms;
        }
    }

    fn place(&mut self, order_id: &str, place: &Place<'_>, phase: Phase, findings: &mut Findings) {
        let id = order_hash(order_id);
        if !self.orders.follows(id) || self.orders.find(id).is_some() {
            return;
        }
        let site = place.site.as_deref().unwrap_or(SITE_DEFAULT);
        let carrier = place.carrier.as_deref().unwrap_or_default();
        let units: i64 = place.lines.iter().map(|line| line.quantity).sum();
        let said = Said {
            site,
            carrier,
            units: units as f64,
            value: place.value.as_ref().map(|value| value.minor as f64),
            attributes: &place.attributes.0,
        };
        let order = Order {
            id,
            phase,
            placed_ms: self.now_ms,
            paid_ms: None,
            shipped_ms: None,
            promised_by_ms: place.promised_by.map(Timestamp::millis),
            ship_by_ms: place.ship_by.map(Timestamp::millis),
            heard_ms: self.now_ms,
            site: self.sites.label(site),
            carrier: self.carriers.label(carrier),
            currency: self.currencies.label(place.value.as_ref().map_or("", |value| &value.currency)),
            value_minor: place.value.as_ref().map(|value| value.minor),
            units,
            units_left: units,
            profile: self.delay.profile(&said),
            paid_row: NO_ROW,
            shipped_row: NO_ROW,
            in_backlog: false,
            odd: false,
            late: None,
            tenth: 0,
            warned_ms: None,
        };
        let delay = &mut self.delay;
        let place = self.orders.insert(order, |gone| delay.closed(&mut gone.clone()));
        if phase == Phase::Confirmed {
            self.delay.confirmed(place, self.now_ms, &mut self.orders, findings);
        }
    }

    /// When an event of this order happened: what the command says, or log time. An order whose times contradict each other
    /// teaches nothing from there on.
    fn event_ms(&mut self, record: &Record<'_, '_>, place: u32) -> i64 {
        let log_ms = self.now_ms;
        let Some(occurred_ms) = record.occurred_at().map(Timestamp::millis) else {
            return log_ms;
        };
        let Some(order) = self.orders.get_mut(place) else { return log_ms };
        let early = occurred_ms < order.placed_ms || occurred_ms < log_ms - BEHIND_MAX_MS;
        if early || occurred_ms > log_ms + AHEAD_MAX_MS {
            order.odd = true;
            self.odd_times += 1;
            return log_ms;
        }
        occurred_ms.min(log_ms)
    }

    fn pay(&mut self, record: &Record<'_, '_>, order_id: &str, state: State, findings: &mut Findings) {
        let Some(place) = self.find(order_id) else { return };
        let at_ms = self.event_ms(record, place);
        let now_ms = self.now_ms;
        let Some(order) = self.orders.get_mut(place) else { return };
        if order.paid_ms.is_some() {
            return;
        }
        order.paid_ms = Some(at_ms);
        order.heard_ms = now_ms;
        if state == State::Paid && order.phase < Phase::Paid {
            order.phase = Phase::Paid;
        }
        self.delay.payment(place, at_ms, &mut self.orders, findings);
    }

    fn ship(&mut self, record: &Record<'_, '_>, order_id: &str, findings: &mut Findings) {
        let Some(place) = self.find(order_id) else { return };
        let at_ms = self.event_ms(record, place);
        let now_ms = self.now_ms;
        let carrier = match record.command {
            Some(Command::Ship(ship)) => ship.carrier.as_deref().filter(|carrier| !carrier.is_empty()),
            _ => None,
        };
        let label = carrier.map(|carrier| self.carriers.label(carrier));
        let Some(order) = self.orders.get_mut(place).filter(|order| order.is_open()) else { return };
        order.heard_ms = now_ms;
        order.carrier = label.unwrap_or(order.carrier);
        if order.shipped_ms.is_some() {
            return;
        }
        order.shipped_ms = Some(at_ms);
        order.phase = Phase::Shipped;
        self.delay.shipment(place, at_ms, carrier, &mut self.orders, findings);
    }

    fn deliver(&mut self, record: &Record<'_, '_>, order_id: &str, state: State) {
        let Some(place) = self.find(order_id) else { return };
        let at_ms = self.event_ms(record, place);
        let now_ms = self.now_ms;
        let Some(order) = self.orders.get_mut(place).filter(|order| order.is_open()) else { return };
        order.heard_ms = now_ms;
        if state < State::Delivered {
            return;
        }
        order.phase = Phase::Delivered;
        self.delay.delivery(order, at_ms);
        self.orders.close(place, now_ms);
    }

    fn end(&mut self, order_id: &str, state: State) {
        let Some(place) = self.find(order_id) else { return };
        let now_ms = self.now_ms;
        let Some(order) = self.orders.get_mut(place).filter(|order| order.is_open()) else { return };
        order.heard_ms = now_ms;
        if !matches!(state, State::Cancelled | State::Expired) {
            return;
        }
        order.phase = Phase::Ended;
        self.delay.closed(order);
        self.orders.close(place, now_ms);
    }
}

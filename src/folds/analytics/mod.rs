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

mod cancellation;
mod delay;
mod flow;
mod labels;
mod latency;
mod observing;
mod orders;
mod outlook;
mod ranking;
mod recalling;
mod record;
mod risks;
mod service;
mod signals;
mod sketches;
mod state;
mod stock;
mod telling;
mod volume;

use std::collections::BTreeMap;

use wincode::{SchemaRead, SchemaWrite};

pub use cancellation::{Cancellation, Cancels, Driver, HOURS_BOUNDS, SeriesChange};
pub use delay::{
    ATTRIBUTES_MAX, Calibration, Cause, Delay, DelaySettings, Honesty, KEYS_MAX, Kind, Moment, QUANTILES,
    Said, Score, VOCABULARY, Warnings,
};
pub use flow::{Flow, Forecast};
pub use labels::Labels;
pub use latency::{BOUND_US, DAYS, Latency, OBJECTIVE, Slow, Stage};
pub use orders::{Phase, order_hash};
pub use outlook::{GoneSoon, Outlook, ROWS_MAX, Risk, Surging};
pub use ranking::{Ranked, Ranking};
pub use record::Record;
pub use risks::Risks;
pub use service::{COMPLAINT_MAX, Scorecard, Service, Topic};
pub use signals::{Signal, SignalKind, Signals, Told};
pub use sketches::cusum::{Change, Cusum, Surge};
pub use sketches::quantiles::Quantiles;
pub use sketches::rotating::{Objective, Rotating};
pub use sketches::space_saving::{Counter, SpaceSaving};
pub use state::{STATE_VERSION, StateError};
pub use stock::{Restock, Stock, Stockout, Supply};
pub use telling::identity;
pub use volume::{HourJudged, Volume};

use orders::{Orders, Pace};

/// What may be chosen.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Settings {
    /// The most orders that are followed; above, a sample is. About 400 bytes each.
    pub orders_max: usize,
    /// So many new orders are followed at once; beyond, 4 more with each millisecond of log time. To follow one takes microseconds.
    pub follow_at_once_max: u32,
    /// The most names of sites, and of carriers, that are labels.
    pub labels_max: usize,
    /// The most SKUs, by site, whose demand is followed. About 200 bytes each.
    pub skus_max: usize,
    /// The most signals that are open at a time.
    pub signals_max: usize,
    /// Delay.
    pub delay: DelaySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            orders_max: 262_144,
            follow_at_once_max: 32_768,
            labels_max: 200,
            skus_max: 20_000,
            signals_max: 100_000,
            delay: DelaySettings::default(),
        }
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
    /// A series of cancellations surges, or no longer.
    Surge(SeriesChange),
    /// An hour is over.
    Hour(HourJudged),
    /// Something to tell other systems.
    Signal(Signal),
}

/// What was found, until somebody takes it.
pub type Findings = Vec<Finding>;

/// Where the parts put what they find.
struct Sink<'s> {
    findings: &'s mut Findings,
    signals: &'s mut Signals,
}

impl Sink<'_> {
    /// A subject's value is now so.
    fn value(&mut self, kind: SignalKind, subject: &str, value: f64, at_ms: i64) {
        self.findings.extend(self.signals.value(kind, subject, value, at_ms).map(Finding::Signal));
    }

    /// A subject is gone, or what was told of it is over.
    fn close(&mut self, kind: SignalKind, subject: &str, at_ms: i64) {
        self.findings.extend(self.signals.close(kind, subject, at_ms).map(Finding::Signal));
    }
}

/// The measurements of one shard.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Analytics {
    settings: Settings,
    now_ms: i64,
    orders: Orders,
    /// The pace of what is taken up again, which is of before.
    recalled: Pace,
    sites: Labels,
    carriers: Labels,
    currencies: Labels,
    delay: Delay,
    cancellation: Cancellation,
    volume: Volume,
    stock: Stock,
    service: Service,
    /// Paid and not shipped: by site, and by carrier.
    fulfilment: [Vec<Flow>; 2],
    signals: Signals,
    swept_ms: i64,
    odd_times: u64,
    /// What refused orders would have brought, in minor units, by the label of its currency.
    refused_value_minor: BTreeMap<u16, u64>,
}

impl Analytics {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            now_ms: 0,
            orders: Orders::new(settings.orders_max, settings.follow_at_once_max),
            recalled: Pace::new(settings.follow_at_once_max),
            sites: Labels::new(settings.labels_max),
            carriers: Labels::new(settings.labels_max),
            currencies: Labels::new(16),
            delay: Delay::new(settings.delay),
            cancellation: Cancellation::new(settings.labels_max),
            volume: Volume::new(),
            stock: Stock::new(settings.skus_max),
            service: Service::new(),
            fulfilment: [Vec::new(), Vec::new()],
            signals: Signals::new(settings.signals_max, settings.delay.warn_at),
            swept_ms: 0,
            odd_times: 0,
            refused_value_minor: BTreeMap::new(),
            settings,
        }
    }

    /// Delay risk.
    #[must_use]
    pub const fn delay(&self) -> &Delay {
        &self.delay
    }

    /// Cancellations.
    #[must_use]
    pub const fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// Volume by hour.
    #[must_use]
    pub const fn volume(&self) -> &Volume {
        &self.volume
    }

    /// Demand and shortage by SKU.
    #[must_use]
    pub const fn stock(&self) -> &Stock {
        &self.stock
    }

    /// Quality of service.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// The signals that are open.
    #[must_use]
    pub const fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Scorecards by name: of carriers, and of sites.
    #[must_use]
    pub fn scorecards(&self) -> [Vec<(&str, Scorecard)>; 2] {
        let [carriers, sites] = self.service.scorecards();
        [named(&self.carriers, carriers), named(&self.sites, sites)]
    }

    /// Cancels by name: of sites, and of carriers.
    #[must_use]
    pub fn cancels_by_name(&self) -> [Vec<(&str, Cancels)>; 2] {
        let [sites, carriers] = self.cancellation.by_label();
        let list = |counts: &BTreeMap<u16, Cancels>| {
            counts.iter().map(|(label, count)| (*label, *count)).collect::<Vec<_>>()
        };
        [named(&self.sites, list(sites)), named(&self.carriers, list(carriers))]
    }

    /// Value lost to cancels, in minor units, by currency.
    #[must_use]
    pub fn cancelled_value_minor(&self) -> Vec<(&str, u64)> {
        let values = self.cancellation.value_minor().iter().map(|(label, value)| (*label, *value));
        named(&self.currencies, values.collect())
    }

    /// What orders refused for want of stock would have brought, in minor units, by currency.
    #[must_use]
    pub fn refused_value_minor(&self) -> Vec<(&str, u64)> {
        named(
            &self.currencies,
            self.refused_value_minor.iter().map(|(label, value)| (*label, *value)).collect(),
        )
    }

    /// Surges of cancellations that stand: series (`all`, `site`, `carrier`), whose, and how many times the base rate.
    #[must_use]
    pub fn surges(&self) -> Vec<(&'static str, &str, f64)> {
        let named = |(series, label, times)| {
            let labels = if series == "site" { &self.sites } else { &self.carriers };
            (series, labels.name(label), times)
        };
        self.cancellation.surges().map(named).collect()
    }

    /// The probability from which an order is warned of.
    #[must_use]
    pub const fn warn_at(&self) -> f64 {
        self.settings.delay.warn_at
    }

    /// What becomes of what is paid and not shipped, at this rate: by site, and by carrier.
    #[must_use]
    pub fn fulfilment(&self) -> [Vec<(&str, Forecast)>; 2] {
        let forecasts = |flows: &[Flow]| {
            let flows = flows.iter().enumerate().map(|(label, flow)| (label, flow.forecast(self.now_ms)));
            let busy = flows.filter(|(_, it)| it.open > 0 || it.per_hour.0 > 0.0);
            busy.map(|(label, it)| (u16::try_from(label).unwrap_or(0), it)).collect::<Vec<_>>()
        };
        [
            named(&self.sites, forecasts(&self.fulfilment[0])),
            named(&self.carriers, forecasts(&self.fulfilment[1])),
        ]
    }

    /// How many orders are followed, and the share of ids that may be: those passed over are not taken off it.
    #[must_use]
    pub fn followed(&self) -> (usize, f64) {
        (self.orders.len(), self.orders.share())
    }

    /// How many orders of the sample are not followed, as too many came at once.
    #[must_use]
    pub const fn passed_over(&self) -> u64 {
        self.orders.pace.passed_over
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
        self.arrives_late(order)
    }

    fn arrives_late(&self, order: &orders::Order) -> Option<f64> {
        let is_late = order.late_from_ms().is_some_and(|from| self.now_ms >= from);
        if is_late { Some(1.0) } else { self.delay.risk(order, self.now_ms) }
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
            && self.cancellation.restore()
            && self.volume.is_sound()
            && self.stock.restore()
            && self.service.restore()
            && self.fulfilment.iter().flatten().all(Flow::is_sound)
            && self.signals.is_sound()
    }
}

/// What stands at labels, by their names.
fn named<T>(labels: &Labels, values: Vec<(u16, T)>) -> Vec<(&str, T)> {
    values.into_iter().map(|(label, value)| (labels.name(label), value)).collect()
}

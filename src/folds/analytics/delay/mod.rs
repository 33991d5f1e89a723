//! Delay: for each open order, the probability that it arrives after its promise, and when it will arrive.
//!
//! Learned online from the stream alone. Two models of lead times ([`lead_time`]), from payment and from hand-over, each mixed with
//! experts that learn from labels ([`experts`]). An order is scored when it is placed, paid and shipped, and again as it ages.
//! Scores are judged once the truth is known, by what was said then ([`honesty`]).
//!
//! A probability means "late, given that it arrives". An order arrives late when its delivery is after `promised_by`.
//! Where no payment is ever seen, orders count from being confirmed.
//!
//! A third model tells, at payment, whether an order *leaves* after its `ship_by`; it ranks orders, and is calibrated worse.
//!
//! Absent: a model of its own for the arrival of orders that wait to be shipped: those are re-scored by the model of their payment.

mod backlog;
mod constants;
mod covariates;
mod curve;
mod experts;
mod honesty;
mod inputs;
mod lead_time;
mod parameters;
mod profile;
mod scale;
mod score;

use wincode::{SchemaRead, SchemaWrite};

pub use honesty::{Calibration, Honesty, Warnings};
pub use inputs::{KEYS_MAX, Kind, Said, VOCABULARY};
pub use profile::ATTRIBUTES_MAX;
pub(super) use profile::Profile;
pub use score::{QUANTILES, Score};

use super::orders::{NO_ROW, Order, Orders, Phase};
use super::signals::SignalKind;
use super::{Finding, Sink};
use backlog::Backlog;
use constants::Constants;
use covariates::Moment as At;
use inputs::Inputs;
use lead_time::{Beginning, DAY_MS, LeadTime, Part};

/// Nothing is expected later than in so many days.
const AHEAD_DAYS_MAX: f64 = 3_653.0;

/// The moments at which orders are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// When it is placed: by the model of payment, as if it were paid at once.
    Placed,
    /// When it is paid.
    Paid,
    /// When it is handed over.
    Shipped,
    /// When it is paid, about whether it *leaves* late.
    Handling,
}

/// What may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct DelaySettings {
    /// The typical lead time from payment, in days; learned where it is not given.
    pub typical_paid_days: Option<f64>,
    /// The typical lead time from hand-over, in days; learned where it is not given.
    pub typical_shipped_days: Option<f64>,
    /// Whether experts that learn from labels have a part in what is published.
    pub mixture: bool,
    /// The probability from which an order is warned of.
    pub warn_at: f64,
    /// The most orders that each model follows; above, a sample teaches. About 500 bytes each.
    pub rows_max: usize,
}

impl Default for DelaySettings {
    fn default() -> Self {
        Self {
            typical_paid_days: None,
            typical_shipped_days: None,
            mixture: true,
            warn_at: 0.4,
            rows_max: 131_072,
        }
    }
}

/// Why an order is expected to take longer, or less long.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// What: the name of a covariate, or of a level.
    pub name: String,
    /// By how many days, against an order of which nothing is known.
    pub days: f64,
}

/// Delay risk of one shard.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Delay {
    settings: DelaySettings,
    inputs: Inputs,
    paid: LeadTime,
    shipped: LeadTime,
    handling: LeadTime,
    backlog: Backlog,
    /// Whether orders count from their payment; not known until the first payment, or the first shipment without one.
    from_payment: Option<bool>,
    rescored_at: Option<f64>,
    honesty: [Honesty; 3],
    warnings: Warnings,
}

fn days(ms: i64) -> f64 {
    ms as f64 / DAY_MS
}

impl Delay {
    pub(super) fn new(settings: DelaySettings) -> Self {
        let DelaySettings { typical_paid_days, typical_shipped_days, rows_max, mixture, .. } = settings;
        Self {
            settings,
            inputs: Inputs::new(),
            paid: LeadTime::new(Constants::PAID, typical_paid_days, rows_max, mixture),
            shipped: LeadTime::new(Constants::SHIPPED, typical_shipped_days, rows_max, mixture),
            handling: LeadTime::new(Constants::HANDLING, None, rows_max, mixture),
            backlog: Backlog::new(),
            from_payment: None,
            rescored_at: None,
            honesty: [Honesty::default(), Honesty::default(), Honesty::default()],
            warnings: Warnings::default(),
        }
    }

    fn backlog_half_life(&self) -> f64 {
        7.0 * (self.paid.scale.days() / 10.0).sqrt().min(1.0)
    }

    /// Moves on to `now_ms`: ticks, labels, backlogs and re-scoring.
    pub(super) fn advance(&mut self, now_ms: i64, orders: &mut Orders, sink: &mut Sink<'_>) {
        let now = days(now_ms);
        let Self { paid, shipped, handling, inputs, honesty, .. } = self;
        let [honest_paid, honest_shipped, honest_handling] = honesty;
        paid.advance(now, inputs, |label| honest_paid.take(label.published, label.late));
        shipped.advance(now, inputs, |label| honest_shipped.take(label.published, label.late));
        handling.advance(now, inputs, |label| honest_handling.take(label.published, label.late));
        while let Some((place, id)) = self.backlog.overstayed(now_ms) {
            if let Some(order) = orders.get_mut(place).filter(|order| order.id == id && order.in_backlog) {
                order.in_backlog = false;
                self.backlog.leave(order.profile.party);
            }
        }
        let every = (self.paid.scale.days() / 10.0).min(1.0);
        let last = *self.rescored_at.get_or_insert(now);
        if now - last >= every {
            self.rescored_at = Some(now);
            self.rescore(now_ms, orders, sink);
        }
    }

    fn rescore(&mut self, now_ms: i64, orders: &mut Orders, sink: &mut Sink<'_>) {
        let places: Vec<u32> = orders.open().collect();
        for place in places {
            let Some(order) = orders.get_mut(place).filter(|order| order.late.is_none()) else { continue };
            let Some(late) = self.risk(order, now_ms) else { continue };
            self.consider(order, late, now_ms, sink);
        }
    }

    /// Warns of an order once, and tells each tenth that its risk reaches for the first time.
    fn consider(&mut self, order: &mut Order, late: f64, now_ms: i64, sink: &mut Sink<'_>) {
        if order.late_from_ms().is_some_and(|from| now_ms >= from) {
            // It is late: that is a fact, no warning.
            order.late = Some(true);
            return sink.value(SignalKind::DelayRisk, &order.name, 1.0, now_ms);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a probability")]
        let tenth = (late * 10.0) as u8;
        if tenth > order.tenth {
            order.tenth = tenth;
            sink.findings.push(Finding::Risk { order: order.id, late, at_ms: now_ms });
        }
        if late < self.settings.warn_at && order.warned_ms.is_none() {
            // Below the threshold from the start: no signal stands, and none is raised. Most orders are so, at every re-score.
            return;
        }
        sink.value(SignalKind::DelayRisk, &order.name, late, now_ms);
        if late >= self.settings.warn_at && order.warned_ms.is_none() {
            order.warned_ms = Some(now_ms);
            sink.findings.push(Finding::Warned { order: order.id, late, at_ms: now_ms });
        }
    }

    /// An open order's probability to be late, as it is now.
    pub(super) fn risk(&self, order: &Order, now_ms: i64) -> Option<f64> {
        let now = days(now_ms);
        let shipped = self.shipped.risk(order.shipped_row, order.id, now);
        shipped.or_else(|| self.paid.risk(order.paid_row, order.id, now))
    }

    /// The probability that an order that has not left does so after its `ship_by`, as it is now.
    pub(super) fn ships_late(&self, order: &Order, now_ms: i64) -> Option<f64> {
        let ship_by_ms = order.ship_by_ms.filter(|_| order.phase < Phase::Shipped)?;
        if now_ms > ship_by_ms {
            return Some(1.0);
        }
        self.handling.risk(order.handling_row, order.id, days(now_ms))
    }

    /// When an open order will have arrived, by [`QUANTILES`], in milliseconds since 1970.
    pub(super) fn arrives_by_ms(&self, order: &Order, now_ms: i64) -> Option<[i64; 5]> {
        let now = days(now_ms);
        let shipped = self.shipped.arrives_by(order.shipped_row, order.id, now);
        let by = shipped.or_else(|| self.paid.arrives_by(order.paid_row, order.id, now))?;
        #[expect(clippy::cast_possible_truncation, reason = "at most a decade from now")]
        Some(by.map(|by| (by.clamp(now, now + AHEAD_DAYS_MAX) * DAY_MS) as i64))
    }

    /// What an order says when it is placed.
    pub(super) fn profile(&mut self, said: &Said<'_>) -> Profile {
        self.inputs.profile(said)
    }

    /// An order has its stock.
    pub(super) fn confirmed(&mut self, place: u32, now_ms: i64, orders: &mut Orders, sink: &mut Sink<'_>) {
        let half_life = self.backlog_half_life();
        if let Some(order) = orders.get(place).filter(|order| order.promised_by_ms.is_some()) {
            let now = days(now_ms);
            let moment = At {
                at: now,
                deadline: order.late_from_ms().map(days),
                ship_by: order.ship_by_ms.map(days),
                backlog: self.backlog.excess(order.profile.party, now, half_life),
                left: false,
                paid: None,
            };
            let beginning =
                Beginning { order: order.id, profile: &order.profile, moment, promised_from: now };
            let score = self.paid.glance(&beginning, &mut self.inputs);
            sink.findings.push(Finding::Scored {
                order: order.id,
                moment: Moment::Placed,
                score,
                at_ms: now_ms,
            });
        }
        if self.from_payment == Some(false) {
            self.begin(place, now_ms, orders, sink);
        }
    }

    /// An order was paid.
    pub(super) fn payment(&mut self, place: u32, at_ms: i64, orders: &mut Orders, sink: &mut Sink<'_>) {
        self.from_payment = Some(true);
        self.begin(place, at_ms, orders, sink);
    }

    /// The lead time of an order begins.
    fn begin(&mut self, place: u32, at_ms: i64, orders: &mut Orders, sink: &mut Sink<'_>) {
        let half_life = self.backlog_half_life();
        let Some(order) = orders.get_mut(place) else { return };
        if order.paid_row != NO_ROW || order.odd || !order.is_open() {
            return;
        }
        let now = days(at_ms);
        if order.phase < Phase::Shipped {
            let stay = 2.0 * self.paid.scale.days();
            #[expect(clippy::cast_possible_truncation, reason = "at most years")]
            let stay_ms = (stay * DAY_MS) as i64;
            let end_ms =
                order.late_from_ms().unwrap_or(at_ms + 2 * stay_ms).max(at_ms).saturating_add(stay_ms);
            order.in_backlog = true;
            self.backlog.enter(order.profile.party, end_ms, place, order.id);
        }
        let moment = At {
            at: now,
            deadline: order.late_from_ms().map(days),
            ship_by: order.ship_by_ms.map(days),
            backlog: self.backlog.excess(order.profile.party, now, half_life),
            left: false,
            paid: None,
        };
        let beginning = Beginning { order: order.id, profile: &order.profile, moment, promised_from: now };
        let (score, row) = self.paid.start(&beginning, &mut self.inputs);
        order.paid_row = row.unwrap_or(NO_ROW);
        if let Some(ship_by_ms) = order.ship_by_ms.filter(|_| order.phase < Phase::Shipped) {
            let moment = At { deadline: Some(days(ship_by_ms.saturating_add(1))), ..moment };
            let beginning =
                Beginning { order: order.id, profile: &order.profile, moment, promised_from: now };
            let (score, row) = self.handling.start(&beginning, &mut self.inputs);
            order.handling_row = row.unwrap_or(NO_ROW);
            sink.findings.push(Finding::Scored { order: order.id, moment: Moment::Handling, score, at_ms });
        }
        sink.findings.push(Finding::Scored { order: order.id, moment: Moment::Paid, score, at_ms });
        if let Some(late) = score.late {
            self.consider(order, late, at_ms, sink);
        }
    }

    /// An order was handed over.
    pub(super) fn shipment(
        &mut self,
        place: u32,
        at_ms: i64,
        carrier: Option<&str>,
        orders: &mut Orders,
        sink: &mut Sink<'_>,
    ) {
        if self.from_payment.is_none() {
            self.from_payment = Some(false);
            let waiting: Vec<u32> = orders.open().collect();
            for other in waiting.into_iter().filter(|other| *other != place) {
                if let Some(order) = orders.get(other).filter(|order| order.phase == Phase::Confirmed) {
                    self.begin(other, order.placed_ms, orders, sink);
                }
            }
        }
        let half_life = self.backlog_half_life();
        let Some(order) = orders.get_mut(place) else { return };
        if let Some(carrier) = carrier {
            self.inputs.set_carrier(&mut order.profile, carrier);
        }
        let now = days(at_ms);
        self.leave_backlog(order);
        if order.odd {
            self.handling.abandon(order.handling_row, order.id);
        } else {
            self.handling.arrive(order.handling_row, order.id, now, &self.inputs);
        }
        self.backlog.shipped(order.profile.party, now, half_life);
        if order.shipped_row != NO_ROW || order.odd {
            return;
        }
        let approved = order.paid_ms.or((self.from_payment == Some(false)).then_some(order.placed_ms));
        let moment = At {
            at: now,
            deadline: order.late_from_ms().map(days),
            ship_by: order.ship_by_ms.map(days),
            backlog: self.backlog.excess(order.profile.party, now, half_life),
            left: true,
            paid: approved.map(days),
        };
        let promised_from = days(approved.unwrap_or(order.placed_ms));
        let beginning = Beginning { order: order.id, profile: &order.profile, moment, promised_from };
        let (score, row) = self.shipped.start(&beginning, &mut self.inputs);
        order.shipped_row = row.unwrap_or(NO_ROW);
        sink.findings.push(Finding::Scored { order: order.id, moment: Moment::Shipped, score, at_ms });
        if let Some(late) = score.late {
            self.consider(order, late, at_ms, sink);
        }
    }

    fn leave_backlog(&mut self, order: &mut Order) {
        if std::mem::take(&mut order.in_backlog) {
            self.backlog.leave(order.profile.party);
        }
    }

    /// An order arrived.
    pub(super) fn delivery(&mut self, order: &mut Order, at_ms: i64) {
        self.leave_backlog(order);
        if order.odd {
            return self.closed(order);
        }
        let now = days(at_ms);
        self.paid.arrive(order.paid_row, order.id, now, &self.inputs);
        self.shipped.arrive(order.shipped_row, order.id, now, &self.inputs);
        // Where it arrives without having been handed over, nobody knows when it left.
        self.handling.abandon(order.handling_row, order.id);
        if let Some(from) = order.late_from_ms() {
            let late = at_ms >= from;
            order.late = Some(late);
            match (late, order.warned_ms) {
                (true, Some(warned_ms)) => {
                    self.warnings.came_true += 1;
                    self.warnings.days_ahead += days(from - warned_ms);
                }
                (true, None) => self.warnings.missed += 1,
                (false, Some(_)) => self.warnings.false_alarms += 1,
                (false, None) => {}
            }
        }
    }

    /// An order was cancelled, expired or is given up: it teaches nothing more.
    pub(super) fn closed(&mut self, order: &mut Order) {
        self.leave_backlog(order);
        self.paid.abandon(order.paid_row, order.id);
        self.shipped.abandon(order.shipped_row, order.id);
        self.handling.abandon(order.handling_row, order.id);
    }

    /// What moves an open order's lead time most: the largest parts first, at most `count`.
    #[must_use]
    pub(super) fn causes(&self, order: &Order, count: usize) -> Vec<Cause> {
        let mut causes: Vec<Cause> = Vec::new();
        let mut add = |part: Part, days: f64| {
            let name = match part {
                Part::Covariate(place) => covariates::name(place).to_owned(),
                Part::Key(key) => self.inputs.level_name(self.inputs.level_of(key)),
            };
            match causes.iter_mut().find(|cause| cause.name == name) {
                Some(cause) => cause.days += days,
                None => causes.push(Cause { name, days }),
            }
        };
        if order.shipped_row == NO_ROW {
            self.paid.reasons(order.paid_row, order.id, &mut add);
        } else {
            self.shipped.reasons(order.shipped_row, order.id, &mut add);
        }
        causes.sort_by(|left, right| right.days.abs().total_cmp(&left.days.abs()));
        causes.truncate(count);
        causes
    }

    /// How honest the scores of a moment were.
    #[must_use]
    pub const fn honesty(&self, moment: Moment) -> &Honesty {
        match moment {
            Moment::Placed | Moment::Paid => &self.honesty[0],
            Moment::Shipped => &self.honesty[1],
            Moment::Handling => &self.honesty[2],
        }
    }

    /// How warnings went.
    #[must_use]
    pub const fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// The typical lead time from a moment, in days, as learned so far.
    #[must_use]
    pub const fn typical_days(&self, moment: Moment) -> f64 {
        self.model(moment).scale.days()
    }

    /// How many deliveries, and how many labels, the model of a moment has learned.
    #[must_use]
    pub const fn learned(&self, moment: Moment) -> (u64, u64) {
        let model = self.model(moment);
        (model.arrivals, model.experts.labels)
    }

    /// The weight of the lead-time model in the mixture of a moment.
    #[must_use]
    pub const fn lead_time_weight(&self, moment: Moment) -> f64 {
        self.model(moment).experts.lead_time_weight()
    }

    /// Orders that the model of a moment follows.
    #[must_use]
    pub fn rows(&self, moment: Moment) -> usize {
        self.model(moment).rows()
    }

    const fn model(&self, moment: Moment) -> &LeadTime {
        match moment {
            Moment::Placed | Moment::Paid => &self.paid,
            Moment::Shipped => &self.shipped,
            Moment::Handling => &self.handling,
        }
    }

    /// How many keys there are: no profile may hold another.
    pub(super) fn keys(&self) -> usize {
        self.inputs.keys()
    }

    /// Makes whole what was read back; false where it does not hold together.
    pub(super) fn restore(&mut self) -> bool {
        let keys = self.inputs.keys();
        if !self.inputs.is_sound() {
            return false;
        }
        self.inputs.reindex();
        let sound = self.paid.is_sound(keys)
            && self.shipped.is_sound(keys)
            && self.handling.is_sound(keys)
            && self.backlog.is_sound(keys)
            && self.honesty.iter().all(Honesty::is_sound)
            && self.warnings.days_ahead.is_finite()
            && self.settings.warn_at.is_finite()
            && self.rescored_at.is_none_or(f64::is_finite);
        self.paid.fit(keys);
        self.shipped.fit(keys);
        self.handling.fit(keys);
        sound
    }
}

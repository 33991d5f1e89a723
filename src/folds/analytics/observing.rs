//! What each record means to the measurements: which outcome moves what, and when it happened.
//!
//! Only outcomes count, each once: a command that was refused, or that repeats another, moves nothing but the counts of refusals.

use super::cancellation::{Cancelled, Changed};
use super::labels::NONE;
use super::orders::{DAY_MS, NO_ROW, Order, order_hash};
use super::sketches::cusum::Change;
use super::stock::Site;
use super::{Analytics, Finding, Findings, Flow, Phase, Record, Said, SignalKind, Sink, Supply};
use crate::words::codec::Plain;
use crate::words::command::{Command, CommandKind, Line, Place, PlaceLine};
use crate::words::outcome::{Decision, Outcome, Reason, Shortage, State};
use crate::words::policy::SITE_DEFAULT;
use crate::words::timestamp::Timestamp;

/// Rates of fulfilment are forgotten in so long.
const FLOW_HALF_LIFE_MS: f64 = 86_400_000.0;
const HOUR_MS: i64 = 3_600_000;
/// The subject of what is about all orders of the shard.
const ALL_ORDERS: &str = "orders";

impl Analytics {
    /// Takes in a record. What it finds is added to `findings`.
    pub fn observe(&mut self, record: &Record<'_, '_>, findings: &mut Findings) {
        // Commands of one millisecond share what time brings: it came with the first.
        self.pass(record.at.millis(), findings);
        for outcome in record.outcomes {
            self.outcome(record, outcome, findings);
        }
    }

    /// Counts an order that was confirmed at once and says nothing but its lines, as [`Self::observe`] would by its record. False where
    /// its record has to be observed: the order is to be followed, or may end a signal.
    pub fn counts(&mut self, plain: &Plain<'_>, at: Timestamp, findings: &mut Findings) -> bool {
        self.pass(at.millis(), findings);
        if self.signals.open(SignalKind::StockOut) > 0
            || self.orders.admits(order_hash(plain.order_id.bytes()), self.now_ms)
        {
            return false;
        }
        let lines = plain.lines().map(|(sku, quantity)| (sku.bytes(), i64::from(quantity)));
        self.placed(SITE_DEFAULT, lines, findings);
        true
    }

    /// An order was accepted: what that means whether it is followed or not.
    #[inline]
    fn placed<'l>(
        &mut self,
        site: &str,
        lines: impl IntoIterator<Item = (&'l [u8], i64)>,
        findings: &mut Findings,
    ) {
        self.volume.placed();
        self.stock.asked(Site::new(site), lines);
        let changes = self.cancellation.placed(self.now_ms);
        self.changed(changes, findings);
    }

    /// Time passed without a record: the log's time is `at_ms` at least.
    pub fn pass(&mut self, at_ms: i64, findings: &mut Findings) {
        if at_ms > self.now_ms {
            self.advance(at_ms, findings);
        }
    }

    /// Log time, in milliseconds since 1970, as far as it is known.
    #[must_use]
    pub const fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Time passed.
    fn advance(&mut self, at_ms: i64, findings: &mut Findings) {
        self.now_ms = self.now_ms.max(at_ms);
        let mut sink = Sink { findings, signals: &mut self.signals };
        self.delay.advance(self.now_ms, &mut self.orders, &mut sink);
        self.stock.advance(self.now_ms);
        let now_ms = self.now_ms;
        self.volume.advance(now_ms, |hour| {
            let expected = hour.expected.max(1e-9);
            let low = if hour.is_low() { 1.0 - hour.orders as f64 / expected } else { 0.0 };
            let high = if hour.is_high() { hour.orders as f64 / expected } else { 0.0 };
            sink.value(SignalKind::VolumeLow, ALL_ORDERS, low, now_ms);
            sink.value(SignalKind::VolumeHigh, ALL_ORDERS, high, now_ms);
            sink.findings.push(Finding::Hour(hour));
        });
        if self.swept_ms == 0 {
            self.swept_ms = self.now_ms;
        }
        if self.now_ms - self.swept_ms >= DAY_MS {
            self.swept_ms = self.now_ms;
            let mut gone = Vec::new();
            self.orders.sweep(self.now_ms, &mut gone);
            self.give_up(gone, findings);
        }
    }

    /// Orders that are followed no longer.
    fn give_up(&mut self, gone: Vec<Order>, findings: &mut Findings) {
        let mut sink = Sink { findings, signals: &mut self.signals };
        for mut order in gone {
            self.delay.closed(&mut order);
            if order.was_at_risk() {
                sink.close(SignalKind::DelayRisk, &order.name, self.now_ms);
            }
            leave_flow(&mut self.fulfilment, &mut order, self.now_ms);
        }
    }

    fn outcome(&mut self, record: &Record<'_, '_>, outcome: &Outcome<'_>, findings: &mut Findings) {
        match (&outcome.decision, record.command) {
            (
                Decision::Confirmed { order_id, released: false, repeat: None, .. },
                Some(Command::Place(place)),
            ) => self.place(order_id, place, Phase::Confirmed, findings),
            (Decision::Waiting { order_id, repeat: None, .. }, Some(Command::Place(place))) => {
                self.place(order_id, place, Phase::Waiting, findings);
            }
            (
                Decision::Refused { command: CommandKind::Place, reason, shortages, repeat: None, .. },
                Some(Command::Place(place)),
            ) => self.refused(place, *reason, shortages, findings),
            (Decision::Confirmed { order_id, released: true, .. }, _) => self.released(order_id, findings),
            (Decision::Paid { order_id, repeat: None, state, .. }, _) => {
                self.pay(record, order_id, *state, findings);
            }
            (Decision::PaymentFailed { repeat: None, .. }, Some(Command::PayFailed(it))) => {
                self.service.payment_failed(it.reason.as_deref().unwrap_or_default());
            }
            (Decision::Shipped { order_id, repeat: None, .. }, _) => self.ship(record, order_id, findings),
            (Decision::Delivered { order_id, repeat: None, state, .. }, _) => {
                self.deliver(record, order_id, *state, findings);
            }
            (Decision::Cancelled { order_id, lines, by, reason, state, repeat: None, .. }, _) => {
                let (party, reason) =
                    (by.as_deref().unwrap_or_default(), reason.as_deref().unwrap_or_default());
                self.cancel(order_id, (party, reason), lines, *state, findings);
            }
            (Decision::Expired { order_id, lines, state, .. }, _) => {
                self.cancel(order_id, ("hold", "expired"), lines, *state, findings);
            }
            (Decision::Reviewed { order_id, repeat: None, .. }, Some(Command::Review(it))) => {
                let order = self.find(order_id).and_then(|place| self.orders.get(place));
                self.service.reviewed(order, it.score, it.topic.as_deref().unwrap_or_default(), self.now_ms);
            }
            (Decision::Shortfall { order_id, sku, quantity, .. }, _) => {
                let subject = format!("{order_id} {sku}");
                let mut sink = Sink { findings, signals: &mut self.signals };
                sink.value(SignalKind::Shortfall, &subject, *quantity as f64, self.now_ms);
            }
            _ => {}
        }
    }

    pub(super) fn find(&self, order_id: &str) -> Option<u32> {
        self.orders.find(order_hash(order_id))
    }

    /// A new order, accepted.
    fn place(&mut self, order_id: &str, place: &Place<'_>, phase: Phase, findings: &mut Findings) {
        let site = place.site.as_deref().unwrap_or(SITE_DEFAULT);
        if phase == Phase::Confirmed && self.signals.open(SignalKind::StockOut) > 0 {
            for line in &place.lines {
                let mut sink = Sink { findings, signals: &mut self.signals };
                sink.close(SignalKind::StockOut, &format!("{site} {}", line.sku), self.now_ms);
            }
        }
        self.placed(site, asked(&place.lines), findings);
        let followed = self.follow(order_id, place, phase, findings);
        if let Some(order) = followed.and_then(|place| self.orders.get_mut(place)) {
            let changes = self.cancellation.followed(self.now_ms, order);
            self.changed(changes, findings);
        }
    }

    /// Follows a new order, if it is one of the sample and there are not too many at once; gives its place then.
    pub(super) fn follow(
        &mut self,
        order_id: &str,
        place: &Place<'_>,
        phase: Phase,
        findings: &mut Findings,
    ) -> Option<u32> {
        let id = order_hash(order_id);
        if !self.orders.admits(id, self.now_ms) || self.orders.find(id).is_some() {
            return None;
        }
        let site = place.site.as_deref().unwrap_or(SITE_DEFAULT);
        let carrier = place.carrier.as_deref().unwrap_or_default();
        let units = units(&place.lines);
        let said = Said {
            site,
            carrier,
            units: units as f64,
            value: place.value.as_ref().map(|value| value.minor as f64),
            attributes: &place.attributes.0,
        };
        let order = Order {
            id,
            name: order_id.to_owned(),
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
            handling_row: NO_ROW,
            in_backlog: false,
            in_flow: false,
            odd: false,
            tried: false,
            late: None,
            tenth: 0,
            warned_ms: None,
        };
        let mut gone = Vec::new();
        let place = self.orders.insert(order, &mut gone);
        self.give_up(gone, findings);
        if phase == Phase::Confirmed {
            self.confirmed(place, findings);
        }
        Some(place)
    }

    fn confirmed(&mut self, place: u32, findings: &mut Findings) {
        let mut sink = Sink { findings, signals: &mut self.signals };
        self.delay.confirmed(place, self.now_ms, &mut self.orders, &mut sink);
    }

    /// A new order, refused.
    fn refused(
        &mut self,
        place: &Place<'_>,
        reason: Reason,
        shortages: &[Shortage<'_>],
        findings: &mut Findings,
    ) {
        if reason != Reason::InsufficientStock {
            return;
        }
        let site = place.site.as_deref().unwrap_or(SITE_DEFAULT);
        self.volume.placed();
        self.stock.order_refused();
        self.stock.asked(Site::new(site), asked(&place.lines));
        let all = units(&place.lines).max(1);
        let value = place.value.as_ref().map_or(0, |value| value.minor.max(0));
        for shortage in shortages {
            let lacking = (shortage.requested - shortage.available).max(0);
            let lost = i128::from(value) * i128::from(lacking) / i128::from(all);
            let lost = u64::try_from(lost).unwrap_or(0);
            self.stock.refused(site, &shortage.sku, lacking, lost);
            if lost > 0 {
                let currency = place.value.as_ref().map_or("", |value| &value.currency);
                let of = self.refused_value_minor.entry(self.currencies.label(currency)).or_default();
                *of = of.saturating_add(lost);
            }
            if shortage.available <= 0 {
                let mut sink = Sink { findings, signals: &mut self.signals };
                sink.value(SignalKind::StockOut, &format!("{site} {}", shortage.sku), 1.0, self.now_ms);
            }
        }
    }

    pub(super) fn released(&mut self, order_id: &str, findings: &mut Findings) {
        let Some(place) = self.find(order_id) else { return };
        let now_ms = self.now_ms;
        if let Some(order) = self.orders.get_mut(place).filter(|order| order.phase == Phase::Waiting) {
            (order.phase, order.heard_ms) = (Phase::Confirmed, now_ms);
            self.confirmed(place, findings);
        }
    }

    /// When an event of this order happened: what the command says, or log time. An order whose times contradict each other
    /// teaches nothing from there on.
    fn event_ms(&mut self, record: &Record<'_, '_>, place: u32) -> i64 {
        let log_ms = self.now_ms;
        let Some(order) = self.orders.get_mut(place) else { return log_ms };
        record.happened_ms(order.placed_ms, log_ms).unwrap_or_else(|| {
            order.odd = true;
            self.odd_times += 1;
            log_ms
        })
    }

    pub(super) fn pay(
        &mut self,
        record: &Record<'_, '_>,
        order_id: &str,
        state: State,
        findings: &mut Findings,
    ) {
        let Some(place) = self.find(order_id) else { return };
        let at_ms = self.event_ms(record, place);
        let now_ms = self.now_ms;
        let Some(order) = self.orders.get_mut(place).filter(|order| order.paid_ms.is_none()) else { return };
        (order.paid_ms, order.heard_ms) = (Some(at_ms), now_ms);
        if state == State::Paid && order.phase < Phase::Paid {
            order.phase = Phase::Paid;
            order.in_flow = true;
            for (flows, label) in self.fulfilment.iter_mut().zip([order.site, order.carrier]) {
                flow(flows, label).came(now_ms, 1);
            }
        }
        let mut sink = Sink { findings, signals: &mut self.signals };
        self.delay.payment(place, at_ms, &mut self.orders, &mut sink);
    }

    pub(super) fn ship(&mut self, record: &Record<'_, '_>, order_id: &str, findings: &mut Findings) {
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
        if order.shipped_ms.is_some() {
            return;
        }
        if std::mem::take(&mut order.in_flow) {
            for (flows, label) in self.fulfilment.iter_mut().zip([order.site, order.carrier]) {
                flow(flows, label).done(now_ms, 1);
            }
        }
        order.carrier = label.unwrap_or(order.carrier);
        order.shipped_ms = Some(at_ms);
        order.phase = Phase::Shipped;
        let mut sink = Sink { findings, signals: &mut self.signals };
        self.delay.shipment(place, at_ms, carrier, &mut self.orders, &mut sink);
    }

    pub(super) fn deliver(
        &mut self,
        record: &Record<'_, '_>,
        order_id: &str,
        state: State,
        findings: &mut Findings,
    ) {
        let Some(place) = self.find(order_id) else { return };
        let at_ms = self.event_ms(record, place);
        let now_ms = self.now_ms;
        let Some(order) = self.orders.get_mut(place).filter(|order| order.is_open()) else { return };
        order.heard_ms = now_ms;
        if state < State::Delivered {
            return;
        }
        order.phase = Phase::Delivered;
        leave_flow(&mut self.fulfilment, order, now_ms);
        if !order.odd {
            self.service.delivered(order, at_ms, now_ms);
        }
        let was_at_risk = order.was_at_risk();
        self.delay.delivery(order, at_ms);
        if was_at_risk {
            let mut sink = Sink { findings, signals: &mut self.signals };
            sink.close(SignalKind::DelayRisk, &order.name, now_ms);
        }
        self.orders.close(place, now_ms);
    }

    fn cancel(
        &mut self,
        order_id: &str,
        (party, reason): (&str, &str),
        lines: &[Line<'_>],
        state: State,
        findings: &mut Findings,
    ) {
        let now_ms = self.now_ms;
        let whole = matches!(state, State::Cancelled | State::Expired);
        let cancelled = Cancelled { reason, party, lines, whole };
        let place = self.find(order_id);
        let order = place.and_then(|place| self.orders.get_mut(place)).filter(|order| order.is_open());
        let Some((place, order)) = place.zip(order) else {
            let changes = self.cancellation.cancelled(now_ms, &cancelled, None, &self.carriers);
            return self.changed(changes, findings);
        };
        order.heard_ms = now_ms;
        let changes = self.cancellation.cancelled(now_ms, &cancelled, Some(order), &self.carriers);
        if whole {
            self.end(place, findings);
        }
        self.changed(changes, findings);
    }

    /// An order is over without having arrived.
    pub(super) fn end(&mut self, place: u32, findings: &mut Findings) {
        let now_ms = self.now_ms;
        let Some(order) = self.orders.get_mut(place).filter(|order| order.is_open()) else { return };
        order.phase = Phase::Ended;
        self.delay.closed(order);
        leave_flow(&mut self.fulfilment, order, now_ms);
        if order.was_at_risk() {
            let mut sink = Sink { findings, signals: &mut self.signals };
            sink.close(SignalKind::DelayRisk, &order.name, now_ms);
        }
        self.orders.close(place, now_ms);
    }

    /// Series of cancellations changed.
    fn changed(&mut self, changes: Vec<Changed>, findings: &mut Findings) {
        for changed in changes {
            let told = self.cancellation.told(changed, &self.sites, &self.carriers);
            let subject = if changed.1 == NONE {
                told.series.to_owned()
            } else {
                format!("{} {}", told.series, told.label)
            };
            let mut sink = Sink { findings, signals: &mut self.signals };
            match changed.2 {
                Change::Raised(surge) => {
                    let times = (surge.now / surge.base).max(1.0);
                    sink.value(SignalKind::CancellationSurge, &subject, times, self.now_ms);
                }
                Change::Ended => sink.close(SignalKind::CancellationSurge, &subject, self.now_ms),
            }
            sink.findings.push(Finding::Surge(told));
        }
    }

    /// Looks at a SKU of which so many units are available: whoever has the books calls it now and then, for those that
    /// [`super::Stock::followed`] names. A signal is raised where it will run out within a week.
    pub fn look_at_stock(&mut self, site: &str, sku: &str, available: i64, findings: &mut Findings) {
        let subject = format!("{site} {sku}");
        // Workers that follow one log look at different moments: what they tell has the hour for its time, so that it is the same.
        let at_ms = self.now_ms.div_euclid(HOUR_MS) * HOUR_MS;
        let days = self.stock.stockout(site, sku, available).and_then(|it| it.days).unwrap_or(365.0);
        self.stock.note_left(site, sku, days);
        let told = findings.len();
        let mut sink = Sink { findings, signals: &mut self.signals };
        sink.value(SignalKind::StockoutAhead, &subject, -days, at_ms);
        let restock = self.stock.restock(site, sku, available, &Supply::default());
        for finding in &mut sink.findings[told..] {
            if let Finding::Signal(signal) = finding {
                signal.restock = restock.map(|it| it.quantity);
            }
        }
        sink.value(SignalKind::StockOut, &subject, if available > 0 { 0.0 } else { 1.0 }, at_ms);
    }
}

/// The SKUs that lines ask for, and how many of each.
fn asked<'l>(lines: &'l [PlaceLine<'_>]) -> impl Iterator<Item = (&'l [u8], i64)> {
    lines.iter().map(|line| (line.sku.as_bytes(), line.quantity))
}

fn units(lines: &[PlaceLine<'_>]) -> i64 {
    lines.iter().fold(0, |sum: i64, line| sum.saturating_add(line.quantity.max(0)))
}

fn flow(flows: &mut Vec<Flow>, label: u16) -> &mut Flow {
    let place = usize::from(label);
    if flows.len() <= place {
        flows.resize_with(place + 1, || Flow::new(FLOW_HALF_LIFE_MS));
    }
    &mut flows[place]
}

fn leave_flow(fulfilment: &mut [Vec<Flow>; 2], order: &mut Order, now_ms: i64) {
    if std::mem::take(&mut order.in_flow) {
        for (flows, label) in fulfilment.iter_mut().zip([order.site, order.carrier]) {
            flow(flows, label).left(now_ms, 1);
        }
    }
}

//! Every figure of a model as a sample of its family.

use std::fmt::{Display, Write as _};

use super::{DROPS, Facts, Series};
use crate::edges::telemetry::families::FAMILIES;
use crate::folds::analytics::{Analytics, Cancels, Forecast, HOURS_BOUNDS, Moment, Scorecard, SignalKind};

/// Minor units of a major one. Currencies with other exponents are told in hundreds all the same: the log does not say.
const MINOR_UNITS: f64 = 100.0;
const MOMENTS: [(Moment, &str); 3] =
    [(Moment::Paid, "paid"), (Moment::Shipped, "shipped"), (Moment::Handling, "handling")];

/// One value of one series.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// The family's place in [`FAMILIES`].
    pub(super) family: usize,
    pub(super) series: Series,
    pub(super) value: f64,
}

/// Gathers samples.
struct Samples(Vec<Sample>);

impl Samples {
    /// Adds a value; what is no number is left out, as is what has no family.
    fn put(&mut self, name: &'static str, labels: &[(&str, &dyn Display)], value: f64) {
        self.put_as(name, name, labels, value);
    }

    fn put_as(&mut self, family: &str, name: &'static str, labels: &[(&str, &dyn Display)], value: f64) {
        let Some(family) = FAMILIES.iter().position(|known| known.name == family) else { return };
        if !value.is_finite() {
            return;
        }
        let mut text = String::new();
        for (name, value) in labels {
            let comma = if text.is_empty() { "" } else { "," };
            let _ = write!(text, "{comma}{name}=\"{}\"", escaped(&value.to_string()));
        }
        self.0.push(Sample { family, series: (name, text), value });
    }

    fn maybe(&mut self, name: &'static str, labels: &[(&str, &dyn Display)], value: Option<f64>) {
        if let Some(value) = value {
            self.put(name, labels, value);
        }
    }
}

/// A label's value as Prometheus's text format wants it.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The lower bound of a tenth.
fn decile(said: f64) -> f64 {
    (said * 10.0).floor().clamp(0.0, 9.0) / 10.0
}

/// Counts in a metric are floats.
#[expect(clippy::cast_precision_loss, reason = "figures beyond 2^53 are out of reach")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// All figures of a model.
pub(super) fn sample(model: &Analytics) -> Vec<Sample> {
    let mut samples = Samples(Vec::with_capacity(512));
    let to = &mut samples;
    let (followed, share) = model.followed();
    to.put("weir_orders_followed", &[], float(followed as u64));
    to.put("weir_orders_followed_ratio", &[], share);
    to.put("weir_orders_passed_over_total", &[], float(model.passed_over()));
    delay(model, to);
    cancellation(model, to);
    volume_and_stock(model, to);
    service(model, to);
    for kind in SignalKind::ALL {
        to.put("weir_signals_open", &[("kind", &kind.name())], float(model.signals().open(kind) as u64));
    }
    to.put("weir_analytics_odd_times_total", &[], float(model.odd_times()));
    samples.0
}

fn delay(model: &Analytics, to: &mut Samples) {
    let delay = model.delay();
    to.put("weir_delay_orders_at_risk", &[], float(model.signals().open(SignalKind::DelayRisk) as u64));
    to.put("weir_delay_warning_threshold_ratio", &[], model.warn_at());
    let warnings = delay.warnings();
    let results = [
        ("came_true", warnings.came_true),
        ("false_alarm", warnings.false_alarms),
        ("missed", warnings.missed),
    ];
    for (result, count) in results {
        to.put("weir_delay_warnings_total", &[("result", &result)], float(count));
    }
    let warned = warnings.came_true + warnings.false_alarms > 0;
    to.maybe("weir_delay_warning_precision_ratio", &[], warned.then(|| warnings.precision()));
    let late = warnings.came_true + warnings.missed > 0;
    to.maybe("weir_delay_warning_recall_ratio", &[], late.then(|| warnings.recall()));
    let ahead = (warnings.came_true > 0).then(|| warnings.mean_days_ahead() * 86_400.0);
    to.maybe("weir_delay_warning_lead_seconds", &[], ahead);
    for (moment, name) in MOMENTS {
        let labels: [(&str, &dyn Display); 1] = [("moment", &name)];
        let honesty = delay.honesty(moment);
        to.put("weir_delay_judged", &labels, float(honesty.count()));
        if honesty.count() > 0 {
            to.put("weir_delay_log_loss", &labels, honesty.log_loss());
            to.put("weir_delay_brier", &labels, honesty.brier());
            to.put("weir_delay_calibration_error_ratio", &labels, honesty.calibration_error());
            to.put("weir_delay_late_ratio", &labels, honesty.share());
        }
        for bin in honesty.calibration() {
            let labels: [(&str, &dyn Display); 2] =
                [("moment", &name), ("decile", &format!("{:.1}", decile(bin.said)))];
            to.put("weir_delay_calibration_scores", &labels, float(bin.count));
            to.put("weir_delay_calibration_said_ratio", &labels, bin.said);
            to.put("weir_delay_calibration_happened_ratio", &labels, bin.happened);
        }
        let (deliveries, known) = delay.learned(moment);
        to.put("weir_delay_learned_deliveries", &labels, float(deliveries));
        to.put("weir_delay_learned_labels", &labels, float(known));
        to.put("weir_delay_model_orders", &labels, float(delay.rows(moment) as u64));
        to.put("weir_delay_typical_seconds", &labels, delay.typical_days(moment) * 86_400.0);
        to.put("weir_delay_lead_time_weight_ratio", &labels, delay.lead_time_weight(moment));
    }
}

fn cancellation(model: &Analytics, to: &mut Samples) {
    let cancellation = model.cancellation();
    to.put("weir_accepted_orders_total", &[], float(cancellation.orders_placed()));
    for (reason, party, Cancels { orders, units }) in cancellation.by_reason() {
        let labels: [(&str, &dyn Display); 2] = [("reason", &reason), ("party", &party)];
        to.put("weir_cancelled_orders_total", &labels, float(orders));
        to.put("weir_cancelled_units_total", &labels, float(units));
    }
    for (currency, minor) in model.cancelled_value_minor() {
        to.put("weir_cancelled_value_total", &[("currency", &currency)], float(minor) / MINOR_UNITS);
    }
    let [sites, carriers] = model.cancels_by_name();
    for (site, Cancels { orders, units }) in sites {
        to.put("weir_site_cancelled_orders_total", &[("site", &site)], float(orders));
        to.put("weir_site_cancelled_units_total", &[("site", &site)], float(units));
    }
    for (carrier, Cancels { orders, units }) in carriers {
        to.put("weir_carrier_cancelled_orders_total", &[("carrier", &carrier)], float(orders));
        to.put("weir_carrier_cancelled_units_total", &[("carrier", &carrier)], float(units));
    }
    let (late, waiting) = cancellation.late_and_waiting();
    to.put("weir_cancelled_late_orders_total", &[], float(late));
    to.put("weir_cancelled_waiting_orders_total", &[], float(waiting));
    let (family, mut below) = ("weir_cancel_age_seconds", 0);
    let bounds = HOURS_BOUNDS.iter().map(|hours| (hours * 3_600.0).to_string());
    for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(cancellation.by_hours()) {
        below += count;
        to.put_as(family, "weir_cancel_age_seconds_bucket", &[("le", &bound)], float(below));
    }
    to.put_as(family, "weir_cancel_age_seconds_sum", &[], cancellation.hours_sum() * 3_600.0);
    to.put_as(family, "weir_cancel_age_seconds_count", &[], float(below));
    let surges = model.surges();
    for (series, found) in cancellation.surges_found() {
        let standing = surges.iter().filter(|(of, ..)| *of == series).count();
        to.put("weir_cancellation_surges", &[("series", &series)], float(standing as u64));
        to.put("weir_cancellation_surges_total", &[("series", &series)], float(found));
    }
    for (series, label, times) in surges {
        to.put("weir_cancellation_surge_ratio", &[("series", &series), ("label", &label)], times);
    }
}

fn volume_and_stock(model: &Analytics, to: &mut Samples) {
    let volume = model.volume();
    if let Some(hour) = volume.judged() {
        to.put("weir_volume_hour_orders", &[], float(hour.orders));
        to.put("weir_volume_hour_expected_orders", &[], hour.expected);
        to.put("weir_volume_hour_low_orders", &[], hour.interval.0);
        to.put("weir_volume_hour_high_orders", &[], hour.interval.1);
        let seconds = hour.hour_ms.div_euclid(1_000);
        to.put("weir_volume_hour_start_timestamp_seconds", &[], float(seconds.max(0).unsigned_abs()));
    }
    to.put("weir_volume_filling_orders", &[], float(volume.filling()));
    let stock = model.stock();
    to.put("weir_stock_followed_skus", &[], float(stock.followed().count() as u64));
    let (refused, not_followed) = stock.refused_and_not_followed();
    to.put("weir_stock_not_followed_total", &[], float(not_followed));
    for (within, days) in [("day", 1.0), ("week", 7.0)] {
        let skus = stock.running_out(days) as u64;
        to.put("weir_stock_running_out_skus", &[("within", &within)], float(skus));
    }
    to.put("weir_shortage_refused_orders_total", &[], float(refused));
    to.put("weir_shortage_lost_units_total", &[], float(stock.refused_units()));
    for (currency, minor) in model.refused_value_minor() {
        to.put("weir_shortage_lost_value_total", &[("currency", &currency)], float(minor) / MINOR_UNITS);
    }
}

/// The names of what is told of one carrier, or one site.
struct Card {
    label: &'static str,
    delivered: &'static str,
    on_time: &'static str,
    transit: &'static str,
    reviews: &'static str,
    stars: &'static str,
    complaints: &'static str,
    backlog: [&'static str; 3],
}

const CARRIER: Card = Card {
    label: "carrier",
    delivered: "weir_carrier_delivered_orders",
    on_time: "weir_carrier_on_time_ratio",
    transit: "weir_carrier_transit_seconds",
    reviews: "weir_carrier_reviews",
    stars: "weir_carrier_review_stars",
    complaints: "weir_carrier_complaints",
    backlog: [
        "weir_carrier_backlog_orders",
        "weir_carrier_backlog_wait_seconds",
        "weir_carrier_backlog_drained_seconds",
    ],
};
const SITE: Card = Card {
    label: "site",
    delivered: "weir_site_delivered_orders",
    on_time: "weir_site_on_time_ratio",
    transit: "weir_site_transit_seconds",
    reviews: "weir_site_reviews",
    stars: "weir_site_review_stars",
    complaints: "weir_site_complaints",
    backlog: [
        "weir_site_backlog_orders",
        "weir_site_backlog_wait_seconds",
        "weir_site_backlog_drained_seconds",
    ],
};

impl Card {
    fn score(&self, name: &str, card: &Scorecard, to: &mut Samples) {
        let labels: [(&str, &dyn Display); 1] = [(self.label, &name)];
        to.put(self.delivered, &labels, float(card.delivered));
        to.maybe(self.on_time, &labels, card.on_time);
        if let Some((median, most)) = card.transit_days {
            for (quantile, days) in [("0.5", median), ("0.9", most)] {
                to.put(self.transit, &[labels[0], ("quantile", &quantile)], days * 86_400.0);
            }
        }
        to.put(self.reviews, &labels, float(card.reviews));
        to.maybe(self.stars, &labels, card.stars);
        to.put(self.complaints, &labels, float(card.complaints));
    }

    fn forecast(&self, name: &str, forecast: &Forecast, to: &mut Samples) {
        let labels: [(&str, &dyn Display); 1] = [(self.label, &name)];
        to.put(self.backlog[0], &labels, float(forecast.open));
        to.maybe(self.backlog[1], &labels, forecast.wait_ms.map(|ms| ms / 1_000.0));
        to.maybe(self.backlog[2], &labels, forecast.gone_ms.map(|ms| ms / 1_000.0));
    }
}

fn service(model: &Analytics, to: &mut Samples) {
    let [carriers, sites] = model.scorecards();
    for (name, card) in carriers {
        CARRIER.score(name, &card, to);
    }
    for (name, card) in sites {
        SITE.score(name, &card, to);
    }
    let [sites, carriers] = model.fulfilment();
    for (name, forecast) in sites {
        SITE.forecast(name, &forecast, to);
    }
    for (name, forecast) in carriers {
        CARRIER.forecast(name, &forecast, to);
    }
    let service = model.service();
    for (topic, of) in service.topics() {
        let labels: [(&str, &dyn Display); 1] = [("topic", &topic)];
        to.put("weir_reviews_total", &labels, float(of.reviews));
        to.put("weir_review_stars_total", &labels, float(of.stars));
        to.put("weir_review_complaints_total", &labels, float(of.complaints));
        to.put("weir_review_late_orders_total", &labels, float(of.late));
    }
    for (reason, count) in service.payment_failures() {
        to.put("weir_payment_failures_total", &[("reason", &reason)], float(count));
    }
}

/// What is known beside the model. `too_many` signals were not raised as too many stood.
pub(super) fn of_facts(facts: &Facts, too_many: u64) -> Vec<Sample> {
    let mut samples = Samples(Vec::with_capacity(32));
    let to = &mut samples;
    if facts.own {
        let risks = facts.risks;
        for (tenth, count) in risks.tenths.iter().enumerate() {
            let risk = format!("{:.1}", float(tenth as u64) / 10.0);
            to.put("weir_delay_open_orders", &[("risk", &risk)], float(*count));
        }
        to.put("weir_delay_open_orders", &[("risk", &"late")], float(risks.late));
        if risks.promised() > 0 {
            to.put("weir_delay_expected_late_ratio", &[], risks.expected_late / float(risks.promised()));
        }
        to.put("weir_stock_unpaid_units", &[], float(risks.unpaid_units));
    }
    for (kind, count) in SignalKind::ALL.iter().zip(facts.published) {
        to.put("weir_signals_published_total", &[("kind", &kind.name())], float(count));
    }
    for ((place, why), count) in DROPS.iter().enumerate().zip(facts.dropped) {
        let count = if place == 0 { count + too_many } else { count };
        to.put("weir_signals_dropped_total", &[("why", why)], float(count));
    }
    to.put("weir_analytics_records_total", &[], float(facts.records));
    to.put("weir_analytics_skipped_messages_total", &[], float(facts.skipped));
    to.put("weir_analytics_rebuilt_orders_total", &[], float(facts.rebuilt));
    to.put("weir_analytics_undecoded_total", &[], float(facts.undecoded));
    to.put("weir_analytics_sequence", &[], float(facts.sequence));
    to.put("weir_analytics_lag_messages", &[], float(facts.lag_messages));
    to.put("weir_analytics_rebuilding", &[], f64::from(u8::from(facts.rebuilding)));
    if let Some((at_ns, bytes)) = facts.saved {
        let at = float(at_ns.max(0).unsigned_abs()) / 1e9;
        to.put("weir_analytics_saved_timestamp_seconds", &[], at);
        to.put("weir_analytics_saved_bytes", &[], float(bytes));
    }
    samples.0
}

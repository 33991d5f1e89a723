//! How fast a shard answers, beside the distributions since its start: quantiles of the last minute, the objective, and whether the lag
//! will go.

use std::sync::{Mutex, PoisonError};

use super::Weight;
use super::analytics::More;
use crate::folds::analytics::{BOUND_US, Flow, Latency, OBJECTIVE, Slow, Stage};

/// Rates of what comes and what is done are forgotten in so long, in milliseconds.
const FLOW_HALF_LIFE_MS: f64 = 60_000.0;
#[expect(clippy::cast_precision_loss, reason = "a quarter of a second")]
const BOUND_MS: f64 = BOUND_US as f64 / 1_000.0;
/// Which stages are shown, and which quantiles.
const SHOWN: [Stage; 4] = [Stage::Apply, Stage::Publish, Stage::EndToEnd, Stage::Submitted];
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// What was asked of the streams when, for the lag's forecast.
#[derive(Clone, Copy, Debug)]
struct Asked {
    log_last: u64,
    applied: u64,
    at_ms: i64,
}

#[derive(Debug)]
struct Inner {
    latency: Latency,
    flow: Flow,
    asked: Option<Asked>,
    good: u64,
    bad: u64,
    standstill_ms: i64,
    leads: bool,
    now_ms: i64,
}

/// How fast one shard answers.
#[derive(Debug)]
pub(super) struct Answering(Mutex<Inner>);

impl Answering {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Inner {
            latency: Latency::default(),
            flow: Flow::new(FLOW_HALF_LIFE_MS),
            asked: None,
            good: 0,
            bad: 0,
            standstill_ms: 0,
            leads: false,
            now_ms: 0,
        }))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Messages were applied at `wall_ns`.
    pub(super) fn applied(&self, messages: impl Iterator<Item = Weight>, wall_ns: i64) {
        let now_ms = wall_ns / 1_000_000;
        self.with(|inner| {
            for (stored_at_ns, outcomes) in messages {
                let took_us = wall_ns.saturating_sub(stored_at_ns).max(0) / 1_000;
                inner.latency.record(now_ms, Stage::Apply, took_us, outcomes);
            }
        });
    }

    /// Messages are announced at `wall_ns`, `busy` outcomes of which are refusals for want of room.
    pub(super) fn announced(
        &self,
        messages: impl Iterator<Item = Weight>,
        busy: u64,
        took_us: Option<i64>,
        wall_ns: i64,
    ) {
        let now_ms = wall_ns / 1_000_000;
        self.with(|inner| {
            if let Some(took_us) = took_us {
                inner.latency.record(now_ms, Stage::Publish, took_us, 1);
            }
            let (mut good, mut all, mut slowest) = (0, 0, 0);
            for (stored_at_ns, outcomes) in messages {
                let took_us = wall_ns.saturating_sub(stored_at_ns).max(0) / 1_000;
                inner.latency.record(now_ms, Stage::EndToEnd, took_us, outcomes);
                let took_us = took_us.unsigned_abs();
                good += if took_us <= BOUND_US { outcomes } else { 0 };
                all += outcomes;
                slowest = slowest.max(took_us);
            }
            inner.latency.slow(Slow { at_ms: now_ms, duration_us: slowest, record: (0, 0) });
            inner.count(now_ms, good.saturating_sub(busy), all);
        });
    }

    /// From the client's word until it was announced, in microseconds; what is negative is left out.
    pub(super) fn submitted(&self, now_ms: i64, took_us: i64) {
        self.with(|inner| inner.latency.record(now_ms, Stage::Submitted, took_us, 1));
    }

    /// The streams were asked how far they are, or what is known is shown again.
    pub(super) fn asked(&self, log_last: u64, applied: u64, lag_seconds: f64, leads: bool, now_ms: i64) {
        self.with(|inner| {
            inner.now_ms = inner.now_ms.max(now_ms);
            let asked = Asked { log_last, applied, at_ms: now_ms };
            let led = std::mem::replace(&mut inner.leads, leads);
            let Some(before) = inner.asked.replace(asked).filter(|_| led && leads) else { return };
            inner.flow.came(now_ms, log_last.saturating_sub(before.log_last));
            inner.flow.done(now_ms, applied.saturating_sub(before.applied));
            if applied == before.applied && lag_seconds * 1_000.0 > BOUND_MS {
                inner.standstill_ms += (now_ms - before.at_ms).max(0);
            }
        });
    }

    /// Every series, with its labels as they stand in the text.
    #[expect(clippy::cast_precision_loss, reason = "figures beyond 2^53 are out of reach")]
    pub(super) fn series(&self) -> Vec<More> {
        self.with(|inner| {
            let mut series = Vec::new();
            let mut put = |name, labels: &str, value: f64| {
                series.push(More { name, labels: labels.to_owned(), value });
            };
            put("weir_slo_answers_total", "verdict=\"good\"", inner.good as f64);
            put("weir_slo_answers_total", "verdict=\"bad\"", inner.bad as f64);
            put("weir_slo_standstill_seconds_total", "", inner.standstill_ms as f64 / 1e3);
            if !inner.leads {
                return series;
            }
            inner.latency.advance(inner.now_ms);
            put("weir_slo_bound_seconds", "", BOUND_US as f64 / 1e6);
            put("weir_slo_objective_ratio", "", OBJECTIVE);
            if let Some(attained) = inner.latency.objective().attained() {
                put("weir_slo_attained_ratio", "", attained);
            }
            put("weir_slo_budget_remaining_ratio", "", inner.latency.objective().budget_left());
            for stage in SHOWN {
                for quantile in QUANTILES {
                    let Some(us) = inner.latency.stage(stage).minute(quantile) else { continue };
                    let labels = format!("stage=\"{}\",quantile=\"{quantile}\"", stage.name());
                    put("weir_stage_minute_seconds", &labels, us as f64 / 1e6);
                }
            }
            if let Some(slowest) = inner.latency.slowest().first() {
                put("weir_slowest_seconds", "", slowest.duration_us as f64 / 1e6);
            }
            if let Some(ms) = inner.flow.breach_ms(inner.now_ms, BOUND_MS).filter(|ms| ms.is_finite()) {
                put("weir_confirmation_breach_seconds", "", ms / 1e3);
            }
            let gone_ms = inner.flow.forecast(inner.now_ms).gone_ms;
            if let Some(ms) = gone_ms.filter(|ms| ms.is_finite()) {
                put("weir_confirmation_drained_seconds", "", ms / 1e3);
            }
            series
        })
    }
}

impl Inner {
    fn count(&mut self, now_ms: i64, good: u64, all: u64) {
        let good = good.min(all);
        (self.good, self.bad) = (self.good + good, self.bad + all - good);
        self.latency.answered(now_ms, good, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(answering: &Answering, name: &str, labels: &str) -> Option<f64> {
        answering.series().into_iter().find(|it| it.name == name && it.labels == labels).map(|it| it.value)
    }

    #[test]
    fn what_is_late_or_busy_is_bad_and_a_standstill_counts() {
        let answering = Answering::new();
        let second = 1_000_000_000_i64;
        answering.asked(10, 10, 0.0, true, 1_000);
        let messages =
            [(2 * second - 10_000_000, 6), (2 * second - 250_000_000, 2), (2 * second - 251_000_000, 2)];
        answering.announced(messages.into_iter(), 1, Some(2_000), 2 * second);
        let answers =
            |verdict| value(&answering, "weir_slo_answers_total", &format!("verdict=\"{verdict}\""));
        assert_eq!((answers("good"), answers("bad")), (Some(7.0), Some(3.0)));
        assert_eq!(value(&answering, "weir_slo_attained_ratio", ""), Some(0.7));
        assert!((value(&answering, "weir_slo_budget_remaining_ratio", "").unwrap() + 299.0).abs() < 1e-6);
        assert_eq!(value(&answering, "weir_slowest_seconds", ""), Some(0.251));
        let median = value(&answering, "weir_stage_minute_seconds", "stage=\"end_to_end\",quantile=\"0.5\"");
        assert!((median.unwrap() - 0.010).abs() < 0.000_2);
        // Something waits, and nothing moves.
        answering.asked(20, 10, 0.1, true, 3_000);
        answering.asked(20, 10, 1.1, true, 4_000);
        assert_eq!(value(&answering, "weir_slo_standstill_seconds_total", ""), Some(1.0));
        assert_eq!(value(&answering, "weir_confirmation_breach_seconds", ""), Some(0.0));
        // Others' shards are others' to show.
        answering.asked(30, 30, 0.0, false, 5_000);
        assert_eq!(value(&answering, "weir_slo_attained_ratio", ""), None);
    }
}

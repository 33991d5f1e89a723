//! How fast a shard answers, beside the distributions since its start: quantiles of the last minute, the objective, and whether the lag
//! will go.
//!
//! The objective counts each answer once. What came by a door is counted by that door, from where it was reached; everything else by
//! the leader, from being stored. What a process has counted is [to be saved](Answering::unsaved) where all of them add up, so that
//! the days outlast whoever counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Weight;
use super::analytics::More;
use crate::folds::analytics::{BOUND_US, DAYS, Flow, Latency, OBJECTIVE, Objective, Slow, Stage};

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

/// What was counted and is not saved yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsaved {
    /// Tells it from what this process saved before, of this shard.
    pub number: u64,
    /// The counts.
    pub objective: Objective,
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
    /// What all processes have saved, as it was last read.
    kept: Objective,
    /// What is on its way there.
    sending: Option<Unsaved>,
    /// What was counted since.
    counted: Objective,
    numbers: u64,
}

/// How fast one shard answers.
#[derive(Debug)]
pub struct Answering(Mutex<Inner>);

/// How each shard answers that this process answers for. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Answers(Arc<Mutex<BTreeMap<String, Arc<Answering>>>>);

impl Answers {
    /// How a shard answers.
    #[must_use]
    pub fn of(&self, shard: &str) -> Arc<Answering> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(shard.to_owned()).or_insert_with(|| Arc::new(Answering::new())).clone()
    }

    /// How many answers were good, of how many, over all shards.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let all = self.all().into_iter().map(|(_, answering)| answering.counts());
        all.fold((0, 0), |sum, (good, all)| (sum.0 + good, sum.1 + all))
    }

    /// All shards, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Arc<Answering>)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(shard, answering)| (shard.clone(), answering.clone())).collect()
    }
}

impl Answering {
    fn new() -> Self {
        let objective = Objective::new(OBJECTIVE, DAYS);
        Self(Mutex::new(Inner {
            latency: Latency::default(),
            flow: Flow::new(FLOW_HALF_LIFE_MS),
            asked: None,
            good: 0,
            bad: 0,
            standstill_ms: 0,
            leads: false,
            now_ms: 0,
            kept: objective.clone(),
            sending: None,
            counted: objective,
            numbers: 0,
        }))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Messages were applied at `wall_ns`.
    pub(super) fn applied(&self, messages: impl Iterator<Item = Weight>, wall_ns: i64) {
        let now_ms = wall_ns / 1_000_000;
        self.with(|inner| {
            for Weight { stored_at_ns, outcomes, .. } in messages {
                let took_us = wall_ns.saturating_sub(stored_at_ns).max(0) / 1_000;
                inner.latency.record(now_ms, Stage::Apply, took_us, outcomes);
            }
        });
    }

    /// Messages are announced at `wall_ns`. Of the outcomes of those that no door counts, `busy` are refusals for want of room.
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
            for Weight { stored_at_ns, outcomes, by_door } in messages {
                let took_us = wall_ns.saturating_sub(stored_at_ns).max(0) / 1_000;
                inner.latency.record(now_ms, Stage::EndToEnd, took_us, outcomes);
                let took_us = took_us.unsigned_abs();
                slowest = slowest.max(took_us);
                if !by_door {
                    good += if took_us <= BOUND_US { outcomes } else { 0 };
                    all += outcomes;
                }
            }
            inner.latency.slow(Slow { at_ms: now_ms, duration_us: slowest, record: (0, 0) });
            inner.count(now_ms, good.saturating_sub(busy), all);
        });
    }

    /// So many commands were answered at a door at `now_ms` (since 1970), of which `good` by a decision within the bound of reaching it.
    pub fn answered(&self, now_ms: i64, good: u64, all: u64) {
        self.with(|inner| inner.count(now_ms, good, all));
    }

    /// How many answers were good here, of how many.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        self.with(|inner| (inner.good, inner.good + inner.bad))
    }

    /// What is to be saved where all processes' counts add up; none where nothing is. It stays the same until it is
    /// [saved](Self::saved): what was sent may have arrived though nobody said so.
    #[must_use]
    pub fn unsaved(&self) -> Option<Unsaved> {
        self.with(|inner| {
            if inner.sending.is_none() && !inner.counted.is_empty() {
                inner.numbers += 1;
                let objective = std::mem::replace(&mut inner.counted, Objective::new(OBJECTIVE, DAYS));
                inner.sending = Some(Unsaved { number: inner.numbers, objective });
            }
            inner.sending.clone()
        })
    }

    /// What all processes have counted, as it was read: with what this one sent, where `number` is that of it.
    pub fn saved(&self, kept: Objective, number: Option<u64>) {
        self.with(|inner| {
            inner.kept = kept;
            inner.sending.take_if(|sent| Some(sent.number) == number);
        });
    }

    /// So many orders took so many microseconds each from their client's word until they were announced; what is negative is left out.
    pub(super) fn submitted(&self, now_ms: i64, took_us: i64, count: u64) {
        self.with(|inner| inner.latency.record(now_ms, Stage::Submitted, took_us, count));
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
            let objective = inner.objective();
            let (good, all) = objective.sums();
            put("weir_slo_window_answers", "verdict=\"good\"", good as f64);
            put("weir_slo_window_answers", "verdict=\"bad\"", all.saturating_sub(good) as f64);
            if let Some(attained) = objective.attained() {
                put("weir_slo_attained_ratio", "", attained);
            }
            put("weir_slo_budget_remaining_ratio", "", objective.budget_left());
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
        self.counted.count(now_ms, good, all);
    }

    /// Over all days and processes, as far as is known here.
    fn objective(&self) -> Objective {
        let mut objective = self.kept.clone();
        self.sending.iter().for_each(|sent| objective.merge(&sent.objective));
        objective.merge(&self.counted);
        objective.forget(self.now_ms);
        objective
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
        let message = |ago_ms: i64, outcomes, by_door| Weight {
            stored_at_ns: 2 * second - ago_ms * 1_000_000,
            outcomes,
            by_door,
        };
        // What came by a door is that door's to count, though it was slow here, too.
        let messages =
            [message(10, 6, false), message(250, 2, false), message(251, 2, false), message(240, 9, true)];
        answering.announced(messages.into_iter(), 1, Some(2_000), 2 * second);
        let answers =
            |verdict| value(&answering, "weir_slo_answers_total", &format!("verdict=\"{verdict}\""));
        assert_eq!((answers("good"), answers("bad")), (Some(7.0), Some(3.0)));
        assert_eq!(value(&answering, "weir_slo_attained_ratio", ""), Some(0.7));
        let days = |verdict| value(&answering, "weir_slo_window_answers", &format!("verdict=\"{verdict}\""));
        assert_eq!((days("good"), days("bad")), (Some(7.0), Some(3.0)));
        assert!((value(&answering, "weir_slo_budget_remaining_ratio", "").unwrap() + 299.0).abs() < 1e-6);
        assert_eq!(value(&answering, "weir_slowest_seconds", ""), Some(0.251));
        let median = value(&answering, "weir_stage_minute_seconds", "stage=\"end_to_end\",quantile=\"0.5\"");
        assert!((median.unwrap() - 0.240).abs() < 0.005);
        // Something waits, and nothing moves.
        answering.asked(20, 10, 0.1, true, 3_000);
        answering.asked(20, 10, 1.1, true, 4_000);
        assert_eq!(value(&answering, "weir_slo_standstill_seconds_total", ""), Some(1.0));
        assert_eq!(value(&answering, "weir_confirmation_breach_seconds", ""), Some(0.0));
        // Others' shards are others' to show.
        answering.asked(30, 30, 0.0, false, 5_000);
        assert_eq!(value(&answering, "weir_slo_attained_ratio", ""), None);
    }

    /// Two processes count, and one place adds up: whoever leads shows all of it, also what is on its way, and nothing twice.
    #[test]
    fn what_is_saved_adds_up_over_processes() {
        let (leader, door) = (Answering::new(), Answering::new());
        leader.asked(1, 1, 0.0, true, 1_000);
        assert_eq!(leader.unsaved(), None);
        leader.answered(1_000, 80, 80);
        door.answered(1_000, 0, 20);
        let attained = || value(&leader, "weir_slo_attained_ratio", "");
        assert_eq!(attained(), Some(1.0));
        let (of_leader, of_door) = (leader.unsaved().unwrap(), door.unsaved().unwrap());
        leader.answered(2_000, 0, 100);
        assert_eq!((leader.unsaved(), attained()), (Some(of_leader.clone()), Some(80.0 / 180.0)));
        // Something was read that does not hold what was sent.
        leader.saved(of_door.objective.clone(), None);
        assert_eq!(attained(), Some(80.0 / 200.0));
        let mut kept = of_door.objective;
        kept.merge(&of_leader.objective);
        leader.saved(kept.clone(), Some(of_leader.number));
        assert_eq!(attained(), Some(80.0 / 200.0));
        // Of a process before this one, and of no other shard.
        let next = Answering::new();
        next.asked(1, 1, 0.0, true, 3_000);
        next.saved(kept, None);
        assert_eq!(value(&next, "weir_slo_attained_ratio", ""), Some(0.8));
        assert_eq!(value(&next, "weir_slo_answers_total", "verdict=\"bad\""), Some(0.0));
    }
}

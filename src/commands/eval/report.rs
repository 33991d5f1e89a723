//! What an evaluation says.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Value, json};

use super::history::{History, Life};
use super::play::{Played, Told};
use super::scores::{Scored, Scores};
use crate::folds::analytics::{Moment, Score};
use crate::words::timestamp::Timestamp;

const DAY_MS: f64 = 86_400_000.0;
/// A warning is in time that comes so much before the promise ends.
const AHEAD_MS: i64 = 3 * 86_400_000;
/// The cold start's steps: by how many deliveries were known.
const COLD: [usize; 7] = [0, 1, 100, 300, 1_000, 3_000, 10_000];

/// The report on orders placed between two points in time, in milliseconds since 1970.
pub(super) fn report(history: &History, played: &Played, between: &Range<i64>) -> Value {
    let judged: Vec<(&Life, &Told)> = history
        .lives
        .iter()
        .filter(|life| between.contains(&life.placed_ms))
        .filter_map(|life| Some((life, played.told.get(&life.id)?)))
        .collect();
    let arrival = |life: &Life| (life.delivered_ms, life.late_from_ms);
    let at_placing = Judged::of(&judged, |told| told.placed, arrival);
    let paid = Judged::of(&judged, |told| told.paid, arrival);
    let shipped = Judged::of(&judged, |told| told.shipped, arrival);
    let leaving = |life: &Life| (life.shipped_ms, life.left_late_from_ms);
    let handling = Judged::of(&judged, |told| told.handling, leaving);
    let refused: BTreeMap<String, u64> = played
        .refused
        .iter()
        .map(|((command, reason), count)| (format!("{command} {reason}"), *count))
        .collect();
    json!({
        "orders": history.lives.len(),
        "judged": judged.len(),
        "notes": history.notes,
        "refused": refused,
        "odd_times": played.analytics.odd_times(),
        "delay": {
            "paid": moment(&paid, played, Moment::Paid),
            "shipped": moment(&shipped, played, Moment::Shipped),
            "placed": Scores::of(&at_placing.published).json(),
            "leaves_late": moment(&handling, played, Moment::Handling),
            "cold_start": { "paid": cold_start(history, played, |told| told.paid), "shipped": cold_start(history, played, |told| told.shipped) },
            "warnings": warnings(&judged),
        },
    })
}

/// Delivered orders with their scores.
struct Judged {
    published: Vec<Scored>,
    lead_time: Vec<Scored>,
    /// By month: orders, and how many arrived within the 50% and the 90% interval.
    months: BTreeMap<String, [u64; 3]>,
}

impl Judged {
    fn of(
        judged: &[(&Life, &Told)],
        score: impl Fn(&Told) -> Option<(Score, i64)>,
        truth: impl Fn(&Life) -> (Option<i64>, Option<i64>),
    ) -> Self {
        let mut it = Self { published: Vec::new(), lead_time: Vec::new(), months: BTreeMap::new() };
        for (life, told) in judged {
            let (happened_ms, from) = truth(life);
            let (Some((score, at_ms)), Some(happened_ms)) = (score(told), happened_ms) else { continue };
            if happened_ms < at_ms {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "a lead time")]
            let days = (happened_ms - at_ms) as f64 / DAY_MS;
            let month = Timestamp::from_millis(life.placed_ms).to_string()[..7].to_owned();
            let counts = it.months.entry(month).or_default();
            counts[0] += 1;
            counts[1] += u64::from((score.days[1]..=score.days[3]).contains(&days));
            counts[2] += u64::from((score.days[0]..=score.days[4]).contains(&days));
            let (Some(late), Some(from)) = (score.late, from) else { continue };
            it.published.push((late, happened_ms >= from));
            it.lead_time.push((score.late_by_lead_time.unwrap_or(late), happened_ms >= from));
        }
        it
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of orders")]
fn moment(judged: &Judged, played: &Played, moment: Moment) -> Value {
    let delay = played.analytics.delay();
    let mut value = Scores::of(&judged.published).json();
    let (arrivals, labels) = delay.learned(moment);
    let honesty = delay.honesty(moment);
    let share = |count: u64, of: u64| (count as f64 / of.max(1) as f64 * 1e4).round() / 1e4;
    let sum = |place: usize| judged.months.values().map(|counts| counts[place]).sum::<u64>();
    let months: BTreeMap<&String, Value> = judged
        .months
        .iter()
        .map(|(month, counts)| {
            let of = counts[0];
            (month, json!({ "n": of, "within_50": share(counts[1], of), "within_90": share(counts[2], of) }))
        })
        .collect();
    let of = sum(0);
    value["lead_time_alone"] = Scores::of(&judged.lead_time).json();
    value["intervals"] =
        json!({ "n": of, "within_50": share(sum(1), of), "within_90": share(sum(2), of), "months": months });
    value["typical_days"] = json!(delay.typical_days(moment));
    value["lead_time_weight"] = json!(delay.lead_time_weight(moment));
    value["learned"] = json!({ "deliveries": arrivals, "labels": labels });
    value["live"] = json!({
        "n": honesty.count(), "late_share": honesty.share(), "log_loss": honesty.log_loss(),
        "brier": honesty.brier(), "ece": honesty.calibration_error(),
    });
    value
}

/// Log-losses from the first order on, by how many deliveries were known when an order was scored, beside a constant of 0.1, the
/// running rate, and the running rate of the order's carrier: both with labels once the promise has ended or the order arrived
/// late, and with a prior of 20 orders at 0.1.
fn cold_start(
    history: &History,
    played: &Played,
    score: impl Fn(&Told) -> Option<(Score, i64)>,
) -> Vec<Value> {
    #[derive(Clone, Copy)]
    enum Step {
        Delivered,
        Labelled(bool),
        Judged(f64, bool),
    }
    let mut steps: Vec<(i64, u8, usize, Step)> = Vec::new();
    for (place, life) in history.lives.iter().enumerate() {
        let (Some(delivered_ms), Some(from)) = (life.delivered_ms, life.late_from_ms) else { continue };
        let late = delivered_ms >= from;
        steps.push((delivered_ms, 0, place, Step::Delivered));
        steps.push((delivered_ms.max(from), 1, place, Step::Labelled(late)));
        if let Some((Score { late: Some(said), .. }, at_ms)) = played.told.get(&life.id).and_then(&score) {
            steps.push((at_ms, 2, place, Step::Judged(said, late)));
        }
    }
    steps.sort_by_key(|(at, rank, place, _)| (*at, *rank, *place));
    let mut carriers: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let (mut deliveries, mut all, mut late_of_all) = (0, 0.0, 0.0);
    let mut sets: Vec<[Vec<Scored>; 4]> = vec![Default::default(); COLD.len()];
    for (_, _, place, step) in steps {
        let carrier = history.lives[place].carrier.as_str();
        match step {
            Step::Delivered => deliveries += 1,
            Step::Labelled(late) => {
                let one = f64::from(u8::from(late));
                (late_of_all, all) = (late_of_all + one, all + 1.0);
                let of = carriers.entry(carrier).or_default();
                (of.0, of.1) = (of.0 + one, of.1 + 1.0);
            }
            Step::Judged(said, late) => {
                let rate = (late_of_all + 2.0) / (all + 20.0);
                let of = carriers.get(carrier).copied().unwrap_or_default();
                let by_carrier = (of.0 + 20.0 * rate) / (of.1 + 20.0);
                let set = COLD.iter().rposition(|from| deliveries >= *from).unwrap_or(0);
                for (into, p) in sets[set].iter_mut().zip([said, 0.1, rate, by_carrier]) {
                    into.push((p, late));
                }
            }
        }
    }
    let rows = COLD.iter().zip(sets).filter(|(_, set)| !set[0].is_empty());
    rows.map(|(from, [said, constant, rate, carrier])| {
        let loss = |set: &[Scored]| (Scores::of(set).log_loss * 1e4).round() / 1e4;
        json!({
            "deliveries_from": from, "n": said.len(), "late_share": Scores::of(&said).late_share,
            "log_loss": loss(&said), "constant": loss(&constant), "running_rate": loss(&rate),
            "running_rate_by_carrier": loss(&carrier),
        })
    })
    .collect()
}

/// Warnings by threshold: of the orders that became late, the share that was warned of at least three days before the promise ended;
/// of the warnings, the share that came true; and how many days ahead those were.
#[expect(clippy::cast_precision_loss, reason = "counts of orders and days")]
fn warnings(judged: &[(&Life, &Told)]) -> Vec<Value> {
    let rows = (1..10).map(|tenth| {
        let (mut late, mut in_time, mut warned, mut came_true, mut ahead_ms) = (0, 0, 0, 0, 0_i64);
        for (life, told) in judged {
            let (Some(delivered_ms), Some(from)) = (life.delivered_ms, life.late_from_ms) else { continue };
            let is_late = delivered_ms >= from;
            late += u64::from(is_late);
            let Some(at_ms) = told.tenths_ms[tenth].filter(|at| *at < from.min(delivered_ms)) else {
                continue;
            };
            warned += 1;
            if is_late {
                came_true += 1;
                ahead_ms += from - at_ms;
                in_time += u64::from(from - at_ms >= AHEAD_MS);
            }
        }
        let share = |count: u64, of: u64| (count as f64 / of.max(1) as f64 * 1e3).round() / 1e3;
        json!({
            "threshold": tenth as f64 / 10.0, "warned": warned, "came_true": share(came_true, warned),
            "late_warned_3_days_ahead": share(in_time, late), "late_warned": share(came_true, late),
            "mean_days_ahead": (ahead_ms as f64 / DAY_MS / came_true.max(1) as f64 * 10.0).round() / 10.0,
        })
    });
    rows.collect()
}

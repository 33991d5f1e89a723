//! How fast surges of cancellations are found, and how often one is found that is none.
//!
//! Two kinds of series: binomial ones, as the detector assumes them; and the file's own orders and cancels, whose rate wanders by hour,
//! day and campaign. Into the real one surges are planted: from some moment on, orders that were not cancelled are cancelled, at once,
//! as often as makes the rate so many times that of before. An ideal CUSUM, which knows both rates, stands beside: its threshold
//! gives the same rate of false alarms on binomial data.

use serde_json::{Value, json};

use crate::folds::analytics::{Change, Cusum};

const HOUR_MS: i64 = 3_600_000;
const WEEK_MS: i64 = 168 * HOUR_MS;
/// Binomial series of so many orders an hour.
const PER_HOUR: f64 = 100.0;
const RUNS: usize = 101;
/// Surges are looked for no longer than this.
const LONGEST_MS: i64 = 2 * WEEK_MS;

/// One order, or one cancel, at its time.
pub(super) type Event = (i64, bool);

#[expect(clippy::cast_precision_loss, reason = "weeks")]
const WEEK: f64 = WEEK_MS as f64;

fn detector() -> Cusum {
    Cusum::new(WEEK, WEEK)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::INFINITY)
}

fn rounded(value: f64) -> Value {
    if value.is_finite() { json!((value * 100.0).round() / 100.0) } else { Value::Null }
}

/// Binomial series, a row for each base rate and ratio: minutes until the surge is found, median, beside the ideal's.
pub(super) fn binomial() -> Vec<Value> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut rows = Vec::new();
    for base in [0.01, 0.05, 0.15, 0.3] {
        for ratio in [2.0, 3.0, 5.0] {
            let risen: f64 = ratio * base;
            if risen >= 0.95 {
                continue;
            }
            let found = median((0..RUNS).map(|_| binomial_delay(base, risen, &mut random)).collect());
            let ideal = ideal_minutes(base, risen, &mut random);
            rows.push(json!({
                "base": base, "times": ratio, "minutes": rounded(found), "ideal_minutes": rounded(ideal),
                "ratio": rounded(found / ideal),
            }));
        }
    }
    rows
}

/// How many false alarms a detector raises in a week, over a hundred weeks of a binomial series.
pub(super) fn binomial_false_alarms() -> Vec<Value> {
    let mut random = fastrand::Rng::with_seed(2);
    let rows = [0.01, 0.05, 0.15, 0.3].map(|base| {
        let (mut cusum, mut alarms, weeks) = (detector(), 0, 100.0);
        let mut now = 1.0;
        while now < weeks * WEEK {
            now += wait_ms(&mut random);
            alarms += u32::from(matches!(hit(&mut cusum, now, random.f64() < base), Some(Change::Raised(_))));
        }
        json!({ "base": base, "false_alarms_a_week": rounded(f64::from(alarms) / weeks) })
    });
    rows.to_vec()
}

fn wait_ms(random: &mut fastrand::Rng) -> f64 {
    -random.f64().max(1e-12).ln() * 3_600_000.0 / PER_HOUR
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of some weeks")]
fn hit(cusum: &mut Cusum, now: f64, is_hit: bool) -> Option<Change> {
    cusum.take(now as i64, 1, u32::from(is_hit))
}

fn binomial_delay(base: f64, risen: f64, random: &mut fastrand::Rng) -> f64 {
    let (mut cusum, mut now) = (detector(), 1.0);
    while now < 2.0 * WEEK || cusum.raised_ms().is_some() {
        now += wait_ms(random);
        hit(&mut cusum, now, random.f64() < base);
    }
    let start = now;
    loop {
        now += wait_ms(random);
        if matches!(hit(&mut cusum, now, random.f64() < risen), Some(Change::Raised(_))) {
            return (now - start) / 60_000.0;
        }
    }
}

/// The median delay of a CUSUM that knows both rates, in minutes: its threshold, found by simulation, gives a false alarm in a week's
/// orders.
fn ideal_minutes(base: f64, risen: f64, random: &mut fastrand::Rng) -> f64 {
    let (per_hit, per_miss) = ((risen / base).ln(), ((1.0 - risen) / (1.0 - base)).ln());
    let mut run = |threshold: f64, rate: f64| {
        let (mut sum, mut orders) = (0.0_f64, 0.0);
        while sum < threshold && orders < 1e6 {
            orders += 1.0;
            sum = (sum + if random.f64() < rate { per_hit } else { per_miss }).max(0.0);
        }
        orders
    };
    let (mut low, mut high) = (0.5, 14.0);
    for _ in 0..9 {
        let middle = f64::midpoint(low, high);
        let mean = (0..60).map(|_| run(middle, base)).sum::<f64>() / 60.0;
        if mean < PER_HOUR * 168.0 { low = middle } else { high = middle }
    }
    let runs = (0..RUNS).map(|_| run(high, risen)).collect();
    median(runs) * 60.0 / PER_HOUR
}

/// The file's own series: false alarms a week as it is, and what planted surges take to be found, in hours and in orders.
#[expect(clippy::cast_precision_loss, reason = "counts of orders and milliseconds")]
pub(super) fn real(events: &[Event]) -> Value {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Value::Null };
    let orders = events.iter().filter(|(_, cancel)| !cancel).count();
    let cancels = events.len() - orders;
    let weeks = (last.0 - first.0) as f64 / WEEK;
    if cancels == 0 || weeks < 6.0 {
        return json!({ "orders": orders, "cancels": cancels, "note": "too few for a table" });
    }
    let mut cusum = detector();
    let mut alarms = 0;
    for (at, cancel) in events {
        alarms += u32::from(matches!(take(&mut cusum, *at, *cancel), Some(Change::Raised(_))));
    }
    let mut random = fastrand::Rng::with_seed(3);
    let rows: Vec<Value> =
        [2.0, 3.0, 5.0].into_iter().map(|ratio| planted(events, ratio, &mut random)).collect();
    json!({
        "orders": orders, "cancels": cancels, "base": rounded(cancels as f64 / orders as f64),
        "alarms_a_week_as_it_is": rounded(f64::from(alarms) / weeks), "planted": rows,
    })
}

fn take(cusum: &mut Cusum, at_ms: i64, cancel: bool) -> Option<Change> {
    cusum.take(at_ms, u32::from(!cancel), u32::from(cancel))
}

/// Surges planted at random moments of the last two thirds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of orders, milliseconds, and a place in a list"
)]
fn planted(events: &[Event], ratio: f64, random: &mut fastrand::Rng) -> Value {
    let (mut hours, mut orders, mut missed, mut standing) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..40 {
        let from = (events.len() as f64 * (0.33 + 0.6 * random.f64())) as usize;
        let start = events[from].0;
        let mut cusum = detector();
        for (at, cancel) in &events[..from] {
            take(&mut cusum, *at, *cancel);
        }
        if cusum.raised_ms().is_some() {
            standing += 1;
            continue;
        }
        // So many more of the orders are cancelled, beside those that are.
        let more = (ratio - 1.0) * cusum.base();
        let (mut seen, mut found) = (0.0, None);
        for (at, cancel) in events[from..].iter().take_while(|(at, _)| *at < start + LONGEST_MS) {
            let mut change = take(&mut cusum, *at, *cancel);
            seen += f64::from(u8::from(!cancel));
            if !cancel && random.f64() < more {
                change = change.or(take(&mut cusum, *at, true));
            }
            if matches!(change, Some(Change::Raised(_))) {
                found = Some((at - start) as f64 / HOUR_MS as f64);
                break;
            }
        }
        match found {
            Some(after) => {
                hours.push(after);
                orders.push(seen);
            }
            None => missed += 1,
        }
    }
    json!({
        "times": ratio, "found": hours.len(), "not_within_two_weeks": missed, "during_an_alarm": standing,
        "hours": rounded(median(hours)), "orders": rounded(median(orders)),
    })
}

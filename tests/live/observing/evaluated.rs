//! `weir eval` against a live shard: the binary reads a file of past orders; the same lives, sent one command after the other, are scored
//! the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use serde_json::Value;
use weir::edges::ShardEdges;
use weir::edges::clock::SharedClock;
use weir::edges::memory::{MemoryLimits, MemoryStreams};
use weir::folds::analytics::{Analytics, Moment};
use weir::words::command::{
    Attributes, Cancel, Command, Deliver, Line, Money, OnShortage, Pay, Place, Receive, Ship,
};
use weir::words::policy::{PolicyChange, WINDOW_MS_MAX};
use weir::words::timestamp::Timestamp;

use super::{DAY_MS, Hand, START_MS, alone, append, options, until_measured};
use crate::weir::Weir;

const ORDERS: usize = 600;
const REGIONS: [&str; 4] = ["north", "south", "east", "far, \"far\" away"];

/// One row of the file.
struct Past {
    id: String,
    placed: i64,
    paid: i64,
    shipped: Option<i64>,
    delivered: Option<i64>,
    cancelled: Option<i64>,
    ship_by: i64,
    promised_by: i64,
    carrier: &'static str,
    region: &'static str,
    distance: i64,
    minor: i64,
}

/// A shop whose far orders take twice as long, and whose slow carrier half as long again. No two things happen at one time.
fn pasts() -> Vec<Past> {
    let mut random = fastrand::Rng::with_seed(8);
    let mut taken = BTreeSet::new();
    let mut moment = move |mut at: i64| {
        while !taken.insert(at) {
            at += 1;
        }
        at
    };
    let lead = |days: f64, random: &mut fastrand::Rng| {
        let uniform = random.f64().clamp(0.01, 0.99);
        #[expect(clippy::cast_possible_truncation, reason = "some weeks")]
        let ms = (days * (0.3 * (uniform / (1.0 - uniform)).ln()).exp() * 86_400_000.0) as i64;
        ms
    };
    let past = |number: usize| {
        let region = REGIONS[random.usize(..REGIONS.len())];
        let carrier = ["quick", "slow"][random.usize(..2)];
        let placed = moment(START_MS + i64::try_from(number).unwrap() * DAY_MS / 12);
        let paid = moment(placed + 1 + lead(0.1, &mut random));
        let is_cancelled = random.f64() < 0.05;
        let shipped = moment(paid + lead(1.0, &mut random));
        let factor =
            if region.starts_with("far") { 2.0 } else { 1.0 } * if carrier == "slow" { 1.5 } else { 1.0 };
        let delivered = moment(shipped + lead(4.0 * factor, &mut random));
        let is_lost = random.f64() < 0.02;
        Past {
            id: format!("O-{number}"),
            placed,
            paid,
            shipped: (!is_cancelled).then_some(shipped),
            delivered: (!is_cancelled && !is_lost).then_some(delivered),
            cancelled: is_cancelled.then_some(shipped),
            ship_by: placed + 2 * DAY_MS,
            promised_by: placed + 9 * DAY_MS,
            carrier,
            region,
            distance: random.i64(5..3_000),
            minor: random.i64(100..90_000),
        }
    };
    (0..ORDERS).map(past).collect()
}

/// The file, as a shop writes it.
fn csv(pasts: &[Past]) -> String {
    let mut text = "order_id,placed,paid,shipped,delivered,cancelled,ship_by,promised_by,carrier,value,destination_region,distance\n".to_owned();
    let time = |ms: i64| Timestamp::from_millis(ms).to_string();
    let maybe = |ms: Option<i64>| ms.map(time).unwrap_or_default();
    for past in pasts {
        let region = past.region.replace('"', "\"\"");
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{}.{:02},\"{region}\",{}",
            past.id,
            time(past.placed),
            time(past.paid),
            maybe(past.shipped),
            maybe(past.delivered),
            maybe(past.cancelled),
            time(past.ship_by),
            time(past.promised_by),
            past.carrier,
            past.minor / 100,
            past.minor % 100,
            past.distance
        );
    }
    text
}

/// What a shop sends in the course of these lives, by time.
fn sent(pasts: &[Past]) -> Vec<(i64, Command<'static>)> {
    let mut sent = Vec::new();
    for past in pasts {
        let id = || past.id.clone().into();
        let time = |ms: i64| Some(Timestamp::from_millis(ms));
        sent.push((
            past.placed,
            Command::Place(Place {
                order_id: id(),
                lines: vec![Line { sku: "goods".into(), quantity: 1 }.into()],
                on_shortage: OnShortage::Refuse,
                ship_by: time(past.ship_by),
                promised_by: time(past.promised_by),
                carrier: Some(past.carrier.into()),
                value: Some(Money { minor: past.minor, currency: "XXX".into() }),
                attributes: Attributes(vec![
                    ("destination_region".into(), past.region.into()),
                    ("distance".into(), past.distance.to_string().into()),
                ]),
                ..Place::default()
            }),
        ));
        sent.push((past.paid, Command::Pay(Pay { order_id: id(), ..Pay::default() })));
        let later = [
            (past.shipped, Command::Ship(Ship { order_id: id(), ..Ship::default() })),
            (past.delivered, Command::Deliver(Deliver { order_id: id(), ..Deliver::default() })),
            (past.cancelled, Command::Cancel(Cancel { order_id: id(), ..Cancel::default() })),
        ];
        sent.extend(later.into_iter().filter_map(|(at, command)| Some((at?, command))));
    }
    sent.sort_by_key(|(at, _)| *at);
    sent
}

/// What a model says of itself, by the names that an evaluation has for it.
#[expect(clippy::cast_precision_loss, reason = "counts of orders")]
fn live(model: &Analytics, moment: Moment) -> Vec<(&'static str, f64)> {
    let (honesty, delay) = (model.delay().honesty(moment), model.delay());
    let (deliveries, labels) = delay.learned(moment);
    vec![
        ("/live/n", honesty.count() as f64),
        ("/live/late_share", honesty.share()),
        ("/live/log_loss", honesty.log_loss()),
        ("/live/brier", honesty.brier()),
        ("/live/ece", honesty.calibration_error()),
        ("/typical_days", delay.typical_days(moment)),
        ("/lead_time_weight", delay.lead_time_weight(moment)),
        ("/learned/deliveries", deliveries as f64),
        ("/learned/labels", labels as f64),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_shard_scores_as_the_binary_evaluates() {
    let pasts = pasts();
    let told = Weir::spawn(&["eval", "-", "--json"], &[], &csv(&pasts)).finish().await;
    assert_eq!(told.code, Some(0), "{told:?}");
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((report["orders"].as_u64(), report["odd_times"].as_u64()), (Some(ORDERS as u64), Some(0)));

    let hand = Arc::new(Hand(AtomicI64::new(0)));
    hand.set(START_MS);
    let clock: SharedClock = hand.clone();
    let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
    let (engine, _) = alone(&ShardEdges::in_memory(streams.clone()), &clock, &options("one", 8_192));
    // An evaluation keeps every order to its end; a shard would close one that arrives months late.
    let settled_window_ms = Some(WINDOW_MS_MAX);
    append(&streams, &[Command::Policy(PolicyChange { settled_window_ms, ..PolicyChange::default() })]).await;
    let lines = vec![Line { sku: "goods".into(), quantity: 1_000_000 }];
    append(&streams, &[Command::Receive(Receive { receipt_id: "R".into(), lines, ..Receive::default() })])
        .await;
    for (at, command) in sent(&pasts) {
        hand.set(at);
        append(&streams, &[command]).await;
    }
    until_measured(&engine, &streams).await;
    let watched = engine.statuses()[0].watched().unwrap();
    assert_eq!(watched.watch().facts().skipped, 0);
    let model = watched.watch().model().clone();
    for (moment, name) in
        [(Moment::Paid, "paid"), (Moment::Shipped, "shipped"), (Moment::Handling, "leaves_late")]
    {
        for (figure, value) in live(&model, moment) {
            let evaluated = report.pointer(&format!("/delay/{name}{figure}")).and_then(Value::as_f64);
            let apart = (evaluated.unwrap() - value).abs();
            assert!(apart <= 1e-12 * value.abs().max(1.0), "{name}{figure}: {evaluated:?} {value}");
        }
        // There was something to compare.
        assert!(model.delay().honesty(moment).count() > 400, "{name}");
    }
    let shares = [Moment::Paid, Moment::Shipped].map(|moment| model.delay().honesty(moment).share());
    assert!(shares.iter().all(|share| (0.02..0.6).contains(share)), "{shares:?}");
}

//! What analytics cost an order, on one thread: taken in where it is beyond the sample that is followed, scored, and learned from over
//! its whole life.
//!
//! Commands and outcomes are decoded before: that costs the observer's thread as much as `steps` says. Orders carry a promise, a
//! carrier and six attributes; lives are two weeks long, with a tick a day, as the real stream that `weir eval` plays.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use weir::folds::analytics::{Analytics, DelaySettings, Findings, Record, Settings};
use weir::words::command::{Attributes, Command, Deliver, Line, Money, Pay, Place, Ship};
use weir::words::outcome::{Decision, Outcome, State};
use weir::words::timestamp::Timestamp;

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 20_000 * DAY_MS;
/// So few that they stay in the first cache: a worker decodes one after the other, and each is taken in at once.
const ORDERS: u64 = 16;

fn id(number: u64) -> String {
    format!("ORDER-{number:012}")
}

fn place(number: u64, at_ms: i64) -> Command<'static> {
    let region = |of: u64| format!("region-{}", of % 27);
    Command::Place(Place {
        order_id: id(number).into(),
        lines: vec![Line { sku: format!("SKU-{}", number % 1_000).into(), quantity: 2 }.into()],
        promised_by: Some(Timestamp::from_millis(at_ms + 20 * DAY_MS)),
        carrier: Some(format!("carrier-{}", number % 8).into()),
        value: Some(Money {
            minor: 1_000 + i64::try_from(number % 5_000).expect("small"),
            currency: "EUR".into(),
        }),
        attributes: Attributes(vec![
            ("destination_region".into(), region(number).into()),
            ("origin_region".into(), region(number / 27).into()),
            ("payment".into(), ["card", "invoice"][usize::from(number.is_multiple_of(2))].into()),
            ("destination".into(), format!("{}", number * 7 % 900).into()),
            ("distance".into(), format!("{}", number * 13 % 3_000).into()),
            ("weight".into(), format!("{}", number * 17 % 20_000).into()),
        ]),
        ..Place::default()
    })
}

fn outcome(decision: Decision<'static>) -> Outcome<'static> {
    Outcome { decision, sequence: 1, index: 0, place: 0, at: Timestamp::ZERO }
}

fn confirmed(number: u64) -> Outcome<'static> {
    outcome(Decision::Confirmed {
        order_id: id(number).into(),
        pay_by: None,
        lines: vec![],
        shortages: vec![],
        released: false,
        repeat: None,
    })
}

fn observe(
    analytics: &mut Analytics,
    at_ms: i64,
    (command, outcome): &(Command<'_>, Outcome<'_>),
    findings: &mut Findings,
) {
    let record = Record {
        at: Timestamp::from_millis(at_ms),
        command: Some(command),
        outcomes: std::slice::from_ref(outcome),
    };
    analytics.observe(black_box(&record), findings);
    findings.clear();
}

/// An order's life: when, from its placing, and what.
fn life(number: u64, at_ms: i64) -> [(i64, (Command<'static>, Outcome<'static>)); 4] {
    let order_id = || id(number).into();
    let spread = i64::try_from(number * 7_919 % 1_000).expect("small") * DAY_MS / 200;
    let (marks, lines, repeat) = (vec![], vec![], None);
    let paid =
        Decision::Paid { order_id: order_id(), attempt_id: None, marks: vec![], state: State::Paid, repeat };
    let shipped = Decision::Shipped {
        order_id: order_id(),
        shipment_id: None,
        lines: vec![],
        marks: vec![],
        state: State::Shipped,
        repeat,
    };
    let delivered = Decision::Delivered {
        order_id: order_id(),
        shipment_id: None,
        lines,
        marks,
        state: State::Delivered,
        repeat,
    };
    let pay = Command::Pay(Pay { order_id: order_id(), ..Pay::default() });
    let ship = Command::Ship(Ship { order_id: order_id(), ..Ship::default() });
    let deliver = Command::Deliver(Deliver { order_id: order_id(), ..Deliver::default() });
    [
        (at_ms, (place(number, at_ms), confirmed(number))),
        (at_ms + 60_000, (pay, outcome(paid))),
        (at_ms + 2 * DAY_MS, (ship, outcome(shipped))),
        (at_ms + 10 * DAY_MS + spread, (deliver, outcome(delivered))),
    ]
}

fn beyond_the_sample(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("observe an order");
    group.throughput(Throughput::Elements(ORDERS));
    for (name, orders_max) in [("beyond the sample", 1_024), ("followed", 262_144)] {
        let mut analytics = Analytics::new(Settings { orders_max, ..Settings::default() });
        let mut findings = Findings::new();
        let mut number = 0;
        // Until the sample is a small one.
        for _ in 0..200_000 {
            observe(&mut analytics, START_MS, &(place(number, START_MS), confirmed(number)), &mut findings);
            number += 1;
        }
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = std::time::Duration::ZERO;
                for _ in 0..rounds {
                    let batch: Vec<_> =
                        (number..number + ORDERS).map(|it| (place(it, START_MS), confirmed(it))).collect();
                    number += ORDERS;
                    #[expect(clippy::disallowed_methods, reason = "a bench measures")]
                    let start = Instant::now();
                    for it in &batch {
                        observe(&mut analytics, START_MS, it, &mut findings);
                    }
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

/// Whole lives, at two thousand orders a day: what one costs from placing to its label, ticks and re-scores included.
fn lives(criterion: &mut Criterion) {
    let days = if std::env::args().any(|argument| argument == "--test") { 3 } else { 60 };
    let per_day = 2_000;
    let mut events = Vec::new();
    for number in 0..days * per_day {
        let at = START_MS
            + i64::try_from(number).expect("small") * DAY_MS / i64::try_from(per_day).expect("small");
        events.extend(life(number, at));
    }
    events.sort_by_key(|(at, _)| *at);
    let mut group = criterion.benchmark_group("learn from an order over its life");
    group.sample_size(10).throughput(Throughput::Elements(days * per_day));
    for mixture in [true, false] {
        let settings =
            Settings { delay: DelaySettings { mixture, ..DelaySettings::default() }, ..Settings::default() };
        group.bench_function(if mixture { "with the mixture" } else { "published without it" }, |bencher| {
            bencher.iter(|| {
                let mut analytics = Analytics::new(settings.clone());
                let mut findings = Findings::new();
                for (at, it) in &events {
                    observe(&mut analytics, *at, it, &mut findings);
                }
                analytics.delay().learned(weir::folds::analytics::Moment::Paid)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, beyond_the_sample, lives);
criterion_main!(benches);

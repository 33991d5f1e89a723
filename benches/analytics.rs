//! What analytics cost an order, on one thread: taken in where it is beyond the sample that is followed, scored, and learned from over
//! its whole life.
//!
//! Commands and outcomes are decoded before; what that costs, `steps` says. An order that says nothing but its lines is read within the
//! figure: nothing else of it is decoded. Others carry a promise, a
//! carrier and six attributes; lives are two weeks long, with a tick a day, as the real stream that `weir eval` plays.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use weir::folds::analytics::{Analytics, DelaySettings, Findings, Record, Settings};
use weir::words::codec::{self, Format, Plain};
use weir::words::command::{Attributes, Command, Deliver, Line, Money, Pay, Place, Ship};
use weir::words::outcome::{Decision, Outcome, State};
use weir::words::policy::RULES_NEWEST;
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

/// Orders of which nothing is said but their lines, in one frame: as many as a batch has, and some behind them.
fn bare(first: u64) -> Vec<u8> {
    let order = |number: u64| {
        Command::Place(Place {
            order_id: id(number).into(),
            lines: vec![Line { sku: format!("SKU-{}", number % 1_000).into(), quantity: 2 }.into()],
            ..Place::default()
        })
    };
    codec::encode_commands(Format::Bincode, &(first..first + ORDERS + 8).map(order).collect::<Vec<_>>())
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

/// Orders of the default site of which nothing is said but their lines, as frames hold them, and what else may be said of orders.
fn taken_in(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("observe an order");
    group.throughput(Throughput::Elements(ORDERS));
    for (name, orders_max, per_ms, is_bare) in [
        ("beyond the sample, nothing said but its lines", 1_024, 500, true),
        ("beyond the sample", 1_024, 500, false),
        ("followed", 65_536, 4, false),
    ] {
        let at_ms = |number: u64| START_MS + i64::try_from(number / per_ms).expect("small");
        let mut analytics = Analytics::new(Settings { orders_max, ..Settings::default() });
        let mut findings = Findings::new();
        let mut number = 0;
        let mut batch = |analytics: &mut Analytics, findings: &mut Findings| {
            let batch: Vec<_> = (number..number + ORDERS)
                .map(|it| (at_ms(it), (place(it, at_ms(it)), confirmed(it))))
                .collect();
            let frame = bare(number);
            number += ORDERS;
            #[expect(clippy::disallowed_methods, reason = "a bench measures")]
            let start = Instant::now();
            let mut elements = codec::commands(Some(Format::Bincode), &frame, RULES_NEWEST);
            let mut plain = Plain::ANY;
            for (at_ms, it) in &batch {
                let counted = is_bare
                    && elements.next_bare(&mut plain)
                    && analytics.counts(black_box(&plain), Timestamp::from_millis(*at_ms), findings);
                if !counted {
                    observe(analytics, *at_ms, it, findings);
                }
            }
            let spent = start.elapsed();
            // Closed orders give way to new ones: so each new one can be followed.
            if orders_max > 1_024 {
                for (at_ms, (order, _)) in &batch {
                    let Command::Place(place) = order else { continue };
                    let cancelled = Decision::Cancelled {
                        order_id: place.order_id.clone(),
                        lines: vec![],
                        by: None,
                        reason: None,
                        state: State::Cancelled,
                        cancel_id: None,
                        repeat: None,
                    };
                    observe(analytics, *at_ms, &(order.clone(), outcome(cancelled)), findings);
                }
            }
            spent
        };
        // Until the sample is a small one, or all places are taken.
        for _ in 0..200_000 / ORDERS {
            batch(&mut analytics, &mut findings);
        }
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| batch(&mut analytics, &mut findings)).sum());
        });
        assert!(orders_max == 1_024 || analytics.passed_over() == 0, "{name}");
    }
    group.finish();
}

const PER_DAY: u64 = 2_000;

fn days() -> u64 {
    if std::env::args().any(|argument| argument == "--test") { 3 } else { 60 }
}

/// What happens to so many days' orders, in the order of time.
fn events() -> Vec<(i64, (Command<'static>, Outcome<'static>))> {
    let mut events = Vec::new();
    for number in 0..days() * PER_DAY {
        let at = START_MS
            + i64::try_from(number).expect("small") * DAY_MS / i64::try_from(PER_DAY).expect("small");
        events.extend(life(number, at));
    }
    events.sort_by_key(|(at, _)| *at);
    events
}

/// An open order's risk as it is now, as it is asked for by its id and as each is told once a day: once of few that stay in the caches, and
/// once of all that are open.
fn scored(criterion: &mut Criterion) {
    let until = START_MS + i64::try_from(days()).expect("small") * DAY_MS;
    let mut analytics = Analytics::new(Settings::default());
    let mut findings = Findings::new();
    for (at, it) in events().iter().filter(|(at, _)| *at <= until) {
        observe(&mut analytics, *at, it, &mut findings);
    }
    let mut open: Vec<String> = (0..days() * PER_DAY).map(id).collect();
    open.retain(|id| analytics.risk_of(id).is_some());
    assert!(open.len() > 1_000, "{} open orders have a risk", open.len());
    fastrand::Rng::with_seed(1).shuffle(&mut open);
    let mut group = criterion.benchmark_group("score an open order again");
    group.throughput(Throughput::Elements(1));
    for (name, open) in [("one of 16", &open[..16]), ("any", &open[..])] {
        let mut ids = open.iter().cycle();
        group.bench_function(name, |bencher| bencher.iter(|| ids.next().map(|id| analytics.risk_of(id))));
    }
    group.finish();
}

/// Whole lives, at two thousand orders a day: what one costs from placing to its label, ticks and re-scores included.
fn lives(criterion: &mut Criterion) {
    let events = events();
    let mut group = criterion.benchmark_group("learn from an order over its life");
    group.sample_size(10).throughput(Throughput::Elements(days() * PER_DAY));
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

criterion_group!(benches, taken_in, scored, lives);
criterion_main!(benches);

//! What each step of an order's way costs on one thread: decode, look up, apply, replay, encode, observe, with ten thousand, a
//! million and ten million orders open.
//!
//! Figures are per message of 256 reference orders (see `reference`), but for the look-up. Nothing here waits for a broker:
//! production adds the way through the streams, which `weir-bench load` measures. Its messages lie in the cache when they are
//! decoded, its stock is never short, and each order is new.

mod reference;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use weir::edges::clock::SystemClock;
use weir::edges::telemetry::{Telemetry, Weight};
use weir::folds::inventory::{Counts, Output};
use weir::motion::folding::{Folding, Start};
use weir::words::codec::{Format, FrameWriter, JsonOutcomes, commands, encode_commands};
use weir::words::hash::mix;
use weir::words::identity::Identity;
use weir::words::policy::RULES_NEWEST;

use reference::{Kind, ORDERS, State, order_id, orders};

/// How many orders are open; when the benches are only tried, few.
fn sizes() -> Vec<u64> {
    if std::env::args().any(|argument| argument == "--test") {
        vec![10_000]
    } else {
        vec![10_000, 1_000_000, 10_000_000]
    }
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(ORDERS));
    for format in [Format::Bincode, Format::Json] {
        for kind in [Kind::Plain, Kind::Full] {
            let payload = encode_commands(format, &orders(kind, 0));
            group.bench_function(format!("{kind:?}, {format:?}"), |bencher| {
                bencher.iter(|| {
                    let mut commands = commands(Some(format), black_box(&payload), RULES_NEWEST);
                    while let Some(element) = commands.next_element() {
                        black_box(&element);
                    }
                });
            });
        }
    }
    group.finish();
}

fn states(criterion: &mut Criterion) {
    for open in sizes() {
        let mut state = State::with_open(open);
        let mut group = criterion.benchmark_group("look up one order");
        group.bench_function(BenchmarkId::from_parameter(open), |bencher| {
            let mut number = 0;
            bencher.iter_batched(
                || {
                    number += 1;
                    order_id(mix(0, number) % open)
                },
                |id| state.inventory.order(&id).is_some(),
                BatchSize::SmallInput,
            );
        });
        group.finish();

        let mut group = criterion.benchmark_group("decode and apply");
        group.throughput(Throughput::Elements(ORDERS));
        group.bench_function(BenchmarkId::from_parameter(open), |bencher| {
            let (mut output, clock) = (Output::default(), SystemClock::shared());
            bencher.iter_custom(|iterations| {
                // Messages are made some at a time, so that their making stands apart.
                let mut took = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let messages: Vec<_> = (0..left.min(64)).map(|_| state.next_message()).collect();
                    left -= messages.len() as u64;
                    let started = clock.monotonic();
                    for message in &messages {
                        output.clear();
                        state.inventory.apply(message, &mut output).expect("the next message");
                    }
                    took += clock.monotonic().saturating_sub(started);
                }
                took
            });
        });
        group.finish();
    }
}

/// As a worker recovers: through the fold's shell, from the start of a log, whose messages lie in memory.
fn replay(criterion: &mut Criterion) {
    let mut state = State::with_open(0);
    let start = state.inventory.chain().sequence;
    let log: Vec<_> = (0..400).map(|_| state.next_message()).collect();
    let last = Identity { sequence: start + 400, index: u32::MAX, place: u32::MAX };
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(ORDERS * log.len() as u64));
    group.sample_size(10);
    group.bench_function("400 messages", |bencher| {
        bencher.iter_batched(
            || {
                let inventory = Box::new(State::with_open(0).inventory);
                Folding::new(Start { inventory, through: last }, last)
            },
            |mut folding| {
                folding.step(&log, 0, |applied| !black_box(applied).messages.is_empty()).expect("a good log");
                folding
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// What a message's orders became.
fn outcomes() -> Output {
    let mut state = State::with_open(0);
    let mut output = Output::default();
    let message = state.next_message();
    state.inventory.apply(&message, &mut output).expect("the next message");
    output
}

fn encode(criterion: &mut Criterion) {
    let output = outcomes();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(ORDERS));
    group.bench_function("outcomes, Bincode", |bencher| {
        bencher.iter(|| {
            let mut frame = FrameWriter::new();
            frame.push_elements(black_box(&output).elements(0, output.len()), output.len());
            frame.finish()
        });
    });
    group.bench_function("outcomes, Json", |bencher| {
        bencher.iter(|| {
            let (mut json, mut outcomes) = (Vec::new(), JsonOutcomes::default());
            for (_, bytes) in black_box(&output).outcomes() {
                outcomes.write(&mut json, bytes).expect("the fold wrote it");
            }
            json
        });
    });
    let commands = orders(Kind::Plain, 0);
    group.bench_function("commands, Bincode", |bencher| {
        bencher.iter(|| {
            let mut frame = FrameWriter::new();
            for command in black_box(&commands) {
                frame.push_command(command);
            }
            frame.finish()
        });
    });
    group.finish();
}

/// What metrics cost: counters and histograms are touched once a batch or a message.
fn observe(criterion: &mut Criterion) {
    let output = outcomes();
    let telemetry = Telemetry::new().shard("main");
    let mut group = criterion.benchmark_group("observe");
    group.throughput(Throughput::Elements(ORDERS));
    group.bench_function("a message applied, and announced", |bencher| {
        bencher.iter(|| {
            let message =
                || [Weight { stored_at_ns: 1_000_000, outcomes: ORDERS, by_door: false }].into_iter();
            telemetry.applied(message(), black_box(5_000_000));
            let mut counts = Counts::default();
            counts.add(output.entries(0, output.len()));
            let commands = output.commands.map(u64::from);
            let took = Some(Duration::from_millis(1));
            telemetry.announced((&counts, 0), &commands, message(), took, black_box(5_000_000));
        });
    });
    group.finish();
}

criterion_group!(steps, decode, states, replay, encode, observe);
criterion_main!(steps);

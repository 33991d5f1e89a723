//! What each step of an order's way costs, on one thread: decode, apply, encode.
//!
//! The reference order has a 12-byte id, two lines with 6-byte SKUs and `submitted_at`; 256 of them make a message. Figures
//! are per message. Nothing here waits for a broker, so production adds the way through the streams.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use weir::folds::inventory::{Inventory, Output};
use weir::words::codec::{Format, commands, decode_outcome, encode_commands};
use weir::words::command::{Command, Line, Place, Receive};
use weir::words::message::LogMessage;
use weir::words::timestamp::Timestamp;

const ORDERS: u64 = 256;
const SKUS: u64 = 1_000;

fn sku(number: u64) -> String {
    format!("S{:05}", number % SKUS)
}

fn orders(first: u64) -> Vec<Command<'static>> {
    (first..first + ORDERS)
        .map(|number| {
            let line = |number| Line { sku: sku(number).into(), quantity: 1 };
            Command::Place(Place {
                order_id: format!("O-{number:010}").into(),
                lines: vec![line(number), line(number * 7 + 1)],
                submitted_at: Some(Timestamp::from_millis(1_763_780_400_123)),
                ..Place::default()
            })
        })
        .collect()
}

fn message(sequence: u64, format: Format, commands: &[Command<'_>]) -> LogMessage {
    LogMessage {
        sequence,
        stored_at_ns: 1_763_780_400_000_000_000,
        format: Some(format),
        payload: Bytes::from(encode_commands(format, commands)),
    }
}

/// An inventory with stock enough for all that follows.
fn stocked() -> Inventory {
    let lines = (0..SKUS).map(|number| Line { sku: sku(number).into(), quantity: 1_000_000_000 }).collect();
    let receive = Command::Receive(Receive { receipt_id: "R".into(), lines, ..Receive::default() });
    let mut inventory = Inventory::new();
    inventory
        .apply(&message(1, Format::Bincode, &[receive]), &mut Output::default())
        .expect("the first message of a log");
    inventory
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode 256 orders");
    group.throughput(Throughput::Elements(ORDERS));
    for format in [Format::Bincode, Format::Json] {
        let payload = encode_commands(format, &orders(0));
        group.bench_function(format!("{format:?}"), |bencher| {
            bencher.iter(|| commands(Some(format), black_box(&payload)).flatten().count());
        });
    }
    group.finish();
}

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode and apply 256 orders");
    group.throughput(Throughput::Elements(ORDERS));
    for open in [0, 100_000] {
        group.bench_function(format!("{open} orders open"), |bencher| {
            let mut inventory = stocked();
            let mut output = Output::default();
            let (mut sequence, mut number) = (2, 0);
            let next = |inventory: &mut Inventory, output: &mut Output, message: LogMessage| {
                output.clear();
                inventory.apply(&message, output).expect("the next message of a log");
                output.len()
            };
            while number < open {
                let batch = message(sequence, Format::Bincode, &orders(number));
                next(&mut inventory, &mut output, batch);
                (sequence, number) = (sequence + 1, number + ORDERS);
            }
            bencher.iter_batched(
                || {
                    let batch = message(sequence, Format::Bincode, &orders(number));
                    (sequence, number) = (sequence + 1, number + ORDERS);
                    batch
                },
                |batch| black_box(next(&mut inventory, &mut output, batch)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut inventory = stocked();
    let mut output = Output::default();
    inventory
        .apply(&message(2, Format::Bincode, &orders(0)), &mut output)
        .expect("the next message of a log");
    let mut group = criterion.benchmark_group("encode 256 outcomes");
    group.throughput(Throughput::Elements(ORDERS));
    group.bench_function("Json, from the fold's own bytes", |bencher| {
        bencher.iter(|| {
            let mut json = Vec::new();
            for (_, bytes) in output.outcomes() {
                let outcome = decode_outcome(black_box(bytes)).expect("the fold wrote it");
                serde_json::to_writer(&mut json, &outcome).expect("an outcome is JSON");
            }
            json.len()
        });
    });
    let commands = orders(0);
    group.bench_function("Bincode, commands", |bencher| {
        bencher.iter(|| encode_commands(Format::Bincode, black_box(&commands)).len());
    });
    group.finish();
}

criterion_group!(steps, decode, apply, encode);
criterion_main!(steps);

//! scratch
use bytes::Bytes;
use std::time::Instant;
use weir::folds::inventory::{Inventory, Output};
use weir::words::codec::{Format, commands, encode_commands};
use weir::words::command::{Command, Line, Place, Receive};
use weir::words::message::LogMessage;
use weir::words::timestamp::Timestamp;
const ORDERS: u64 = 256;
const SKUS: u64 = 10_000;
fn sku(number: u64) -> String {
    format!("S{:05}", number % SKUS)
}
fn orders(first: u64) -> Vec<Command<'static>> {
    (first..first + ORDERS)
        .map(|number| {
            let r = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let line = |number| Line { sku: sku(number).into(), quantity: 1 };
            Command::Place(Place {
                order_id: format!("O-{number:010}").into(),
                lines: vec![line(r >> 20), line((r >> 40) * 7 + 1)],
                submitted_at: Some(Timestamp::from_millis(1_763_780_400_123)),
                ..Place::default()
            })
        })
        .collect()
}
fn message(sequence: u64, commands: &[Command<'_>]) -> LogMessage {
    LogMessage {
        sequence,
        stored_at_ns: 1_763_780_400_000_000_000 + sequence as i64 * 100_000,
        format: Some(Format::Bincode),
        payload: Bytes::from(encode_commands(Format::Bincode, commands)),
    }
}
fn rss() -> u64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines().find(|l| l.starts_with("VmRSS")).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}
fn main() {
    let total: u64 = std::env::args().nth(1).map_or(1_000_000, |a| a.parse().unwrap());
    let chunk: u64 = std::env::args().nth(2).map_or(total / 10, |a| a.parse().unwrap());
    let lines = (0..SKUS).map(|n| Line { sku: sku(n).into(), quantity: 100_000_000 }).collect::<Vec<_>>();
    let mut inventory = Inventory::new();
    let mut sequence = 1;
    let mut output = Output::default();
    for part in lines.chunks(1000) {
        let receive = Command::Receive(Receive {
            receipt_id: format!("R{sequence}").into(),
            lines: part.to_vec(),
            ..Receive::default()
        });
        inventory.apply(&message(sequence, &[receive]), &mut output).unwrap();
        sequence += 1;
    }
    output.clear();
    let before = rss();
    let mut number = 0;
    while number < total {
        let mut messages = Vec::new();
        let first = sequence;
        // blocks of 64 messages
        let mut best_apply = f64::MAX;
        let mut best_decode = f64::MAX;
        let mut worst = 0u128;
        let mut sum = 0u128;
        let mut n = 0;
        let end = (number + chunk).min(total);
        while number < end {
            messages.clear();
            for _ in 0..64 {
                messages.push(message(sequence, &orders(number)));
                sequence += 1;
                number += ORDERS;
            }
            let t = Instant::now();
            let mut c = 0;
            for m in &messages {
                let mut i = commands(m.format, &m.payload);
                let mut d = Ok(Command::Tick(weir::words::command::Tick {}));
                while i.read(&mut d) {
                    c += usize::from(std::hint::black_box(&d).is_ok());
                }
            }
            assert_eq!(c as u64, 64 * ORDERS);
            best_decode = best_decode.min(t.elapsed().as_nanos() as f64 / (64 * ORDERS) as f64);
            let t0 = Instant::now();
            for m in &messages {
                let t = Instant::now();
                output.clear();
                inventory.apply(m, &mut output).unwrap();
                worst = worst.max(t.elapsed().as_nanos());
            }
            let e = t0.elapsed().as_nanos();
            best_apply = best_apply.min(e as f64 / (64 * ORDERS) as f64);
            sum += e;
            n += 64 * ORDERS;
        }
        println!(
            "{:>9} open: decode best {best_decode:.0}  decode+apply best {best_apply:.0} mean {:.0} ns/order  worst message {} us  {} B/order  seq {first}",
            number,
            sum as f64 / n as f64,
            worst / 1000,
            (rss() - before) * 1024 / number
        );
    }
}

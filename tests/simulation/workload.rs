//! What shops send: a seed's worth of messages.

use bytes::Bytes;
use fastrand::Rng;
use weir::words::codec::{Format, encode_commands};
use weir::words::command::{
    Cancel, Command, Count, Deliver, Line, OnShortage, Pay, Place, Receive, Return, Ship,
};
use weir::words::policy::PolicyChange;

/// A message, and how long after the one before it is sent, in milliseconds.
pub(crate) struct Sent {
    pub(crate) pause_ms: u64,
    pub(crate) format: Format,
    pub(crate) payload: Bytes,
}

const SKUS: [&str; 4] = ["A", "B", "C", "D"];

fn line(rng: &mut Rng) -> Line<'static> {
    Line { sku: SKUS[rng.usize(..SKUS.len())].into(), quantity: rng.i64(1..5) }
}

fn lines(rng: &mut Rng) -> Vec<Line<'static>> {
    (0..rng.usize(1..4)).map(|_| line(rng)).collect()
}

fn command(rng: &mut Rng, number: &mut u64, orders: u64) -> Command<'static> {
    *number += 1;
    let order_id = format!("O-{}", rng.u64(0..orders)).into();
    match rng.u32(0..100) {
        0..55 => Command::Place(Place {
            order_id,
            lines: lines(rng).into_iter().map(Into::into).collect(),
            on_shortage: [OnShortage::Refuse, OnShortage::Partial, OnShortage::Backorder][rng.usize(..3)],
            ..Place::default()
        }),
        55..68 => Command::Receive(Receive {
            receipt_id: format!("R-{number}").into(),
            lines: lines(rng),
            ..Receive::default()
        }),
        68..76 => Command::Cancel(Cancel { order_id, ..Cancel::default() }),
        76..84 => Command::Pay(Pay { order_id, ..Pay::default() }),
        84..90 => Command::Ship(Ship { order_id, ..Ship::default() }),
        90..94 => Command::Deliver(Deliver { order_id, ..Deliver::default() }),
        94..97 => {
            Command::Return(Return { order_id, return_id: format!("T-{number}").into(), ..Return::default() })
        }
        _ => Command::Count(Count {
            count_id: format!("C-{number}").into(),
            lines: vec![line(rng).into()],
            ..Count::default()
        }),
    }
}

/// All messages of one shard.
pub(crate) fn messages(rng: &mut Rng, most: usize) -> Vec<Sent> {
    let json =
        |command: &Command<'_>| Bytes::from(encode_commands(Format::Json, std::slice::from_ref(command)));
    let pay_within_ms = if rng.bool() { 0 } else { rng.i64(1_000..30_000) };
    let window = |rng: &mut Rng| if rng.bool() { None } else { Some(rng.i64(2_000..40_000)) };
    let policy = Command::Policy(PolicyChange {
        rules: Some(1),
        pay_within_ms: Some(pay_within_ms),
        settled_window_ms: window(rng),
        closed_window_ms: window(rng),
        facts_window_ms: window(rng),
        ..PolicyChange::default()
    });
    let receipt = Command::Receive(Receive {
        receipt_id: "R-0".into(),
        lines: SKUS.iter().map(|sku| Line { sku: (*sku).into(), quantity: 20 }).collect(),
        ..Receive::default()
    });
    let first = |command: &Command<'_>| Sent { pause_ms: 0, format: Format::Json, payload: json(command) };
    let mut all = vec![first(&policy), first(&receipt)];
    let (mut number, orders) = (0, rng.u64(20..200));
    for _ in 0..rng.usize(most / 3..most) {
        let pause_ms = if rng.u32(..10) == 0 { rng.u64(..4_000) } else { rng.u64(..300) };
        let format = if rng.bool() { Format::Json } else { Format::Bincode };
        let payload = if rng.u32(..30) == 0 {
            Bytes::from((0..rng.usize(1..40)).map(|_| rng.u8(..)).collect::<Vec<_>>())
        } else {
            let commands: Vec<_> = (0..rng.usize(1..9)).map(|_| command(rng, &mut number, orders)).collect();
            Bytes::from(encode_commands(format, &commands))
        };
        all.push(Sent { pause_ms, format, payload });
    }
    all
}

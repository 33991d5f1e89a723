//! The reference order, and states with many of them: what the benches of single steps share.
//!
//! The reference order has a 12-byte id, two lines with 6-byte SKUs, `submitted_at`, and nothing else; 256 of them make a
//! message.

#![allow(dead_code, reason = "not every bench needs all of it")]

use std::ops::Range;

use bytes::Bytes;

use weir::folds::inventory::{Inventory, Output};
use weir::words::codec::{Format, encode_commands};
use weir::words::command::{Command, Line, Place, Receive};
use weir::words::hash::mix;
use weir::words::message::LogMessage;
use weir::words::timestamp::Timestamp;

/// Orders in a message.
pub(crate) const ORDERS: u64 = 256;
/// SKUs in stock.
const SKUS: u64 = 10_000;

fn sku(number: u64) -> String {
    format!("S{:05}", number % SKUS)
}

/// The id of an order.
pub(crate) fn order_id(number: u64) -> String {
    format!("O-{number:010}")
}

/// The orders of a message, `first` being the number of its first one.
pub(crate) fn orders(first: u64) -> Vec<Command<'static>> {
    numbered(first..first + ORDERS)
}

/// The orders of these numbers.
pub(crate) fn numbered(numbers: Range<u64>) -> Vec<Command<'static>> {
    numbers
        .map(|number| {
            let line = |line| Line { sku: sku(mix(number, line)).into(), quantity: 1 };
            Command::Place(Place {
                order_id: order_id(number).into(),
                lines: vec![line(0), line(1)],
                submitted_at: Some(Timestamp::from_millis(1_763_780_400_123)),
                ..Place::default()
            })
        })
        .collect()
}

/// Stock enough for all reference orders, in receipts.
pub(crate) fn stock() -> Vec<Command<'static>> {
    let lines: Vec<_> =
        (0..SKUS).map(|number| Line { sku: sku(number).into(), quantity: 900_000_000 }).collect();
    let receipt = |(number, lines): (usize, &[Line<'static>])| {
        let receipt_id = format!("R-{number}").into();
        Command::Receive(Receive { receipt_id, lines: lines.to_vec(), ..Receive::default() })
    };
    lines.chunks(1_000).enumerate().map(receipt).collect()
}

/// Commands as the log holds them.
pub(crate) fn message(sequence: u64, format: Format, commands: &[Command<'_>]) -> LogMessage {
    LogMessage {
        sequence,
        stored_at_ns: 1_763_780_400_000_000_000 + i64::try_from(sequence).expect("few") * 100_000,
        format: Some(format),
        payload: Bytes::from(encode_commands(format, commands)),
    }
}

/// A state, and what comes next in its log.
pub(crate) struct State {
    /// The state.
    pub(crate) inventory: Inventory,
    /// How many reference orders are open in it: the number of the next one.
    pub(crate) open: u64,
    sequence: u64,
}

impl State {
    /// Stock enough for all that follows, and so many open orders, rounded up to whole messages.
    pub(crate) fn with_open(open: u64) -> Self {
        let mut state = Self { inventory: Inventory::new(), open: 0, sequence: 0 };
        let mut output = Output::default();
        for receive in stock() {
            state.sequence += 1;
            let message = message(state.sequence, Format::Bincode, &[receive]);
            state.inventory.apply(&message, &mut output).expect("the next message");
        }
        while state.open < open {
            let message = state.next_message();
            output.clear();
            state.inventory.apply(&message, &mut output).expect("the next message");
        }
        state
    }

    /// The next message of its log: orders that are new to it.
    pub(crate) fn next_message(&mut self) -> LogMessage {
        let message = message(self.sequence + 1, Format::Bincode, &orders(self.open));
        (self.sequence, self.open) = (self.sequence + 1, self.open + ORDERS);
        message
    }
}

//! The reference orders, and states with many of them: what the benches of single steps share.
//!
//! A plain order has a 12-byte id, two lines with 6-byte SKUs, `submitted_at`, and nothing else. A full one is as checkouts send it: a
//! UUID for its id, a value, a promise, a carrier, four attributes, and a hold by policy. 256 of them make a message.

#![allow(dead_code, reason = "not every bench needs all of it")]

use std::ops::Range;

use bytes::Bytes;

use weir::folds::inventory::{Inventory, Output};
use weir::words::codec::{Format, encode_commands};
use weir::words::command::{Attributes, Command, Line, Money, Place, Receive};
use weir::words::hash::mix;
use weir::words::message::{LogMessage, Way};
use weir::words::policy::PolicyChange;
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

/// What an order has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Full,
}

/// The orders of a message, `first` being the number of its first one.
pub(crate) fn orders(kind: Kind, first: u64) -> Vec<Command<'static>> {
    let mut orders = numbered(first..first + ORDERS);
    if kind == Kind::Full {
        for (number, order) in (first..).zip(&mut orders) {
            let Command::Place(place) = order else { continue };
            let [high, low] = [0, 1].map(|half| mix(number, half));
            place.order_id = format!(
                "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                high >> 32,
                high & 0xffff,
                high >> 16 & 0xfff,
                low >> 52,
                low & 0xffff_ffff_ffff
            )
            .into();
            place.value = Some(Money { minor: 1_999, currency: "EUR".into() });
            place.promised_by = Some(Timestamp::from_millis(1_764_000_000_000));
            place.carrier = Some("dhl".into());
            let attributes =
                [("channel", "app"), ("route", "SP-RJ"), ("seller", "s-0012"), ("weight", "1250")];
            place.attributes = Attributes(attributes.map(|(key, value)| (key.into(), value.into())).to_vec());
        }
    }
    orders
}

/// The orders of these numbers.
pub(crate) fn numbered(numbers: Range<u64>) -> Vec<Command<'static>> {
    numbers
        .map(|number| {
            let line = |line| Line { sku: sku(mix(number, line)).into(), quantity: 1 }.into();
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
        way: Way::Any,
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
    kind: Kind,
    format: Format,
    sequence: u64,
}

impl State {
    /// Stock enough for all that follows, and so many open orders, rounded up to whole messages.
    pub(crate) fn with_open(open: u64) -> Self {
        Self::of(Kind::Plain, Format::Bincode, open)
    }

    /// The same with orders of a kind, which come in a format.
    pub(crate) fn of(kind: Kind, format: Format, open: u64) -> Self {
        let mut state = Self { inventory: Inventory::new(), open: 0, kind, format, sequence: 0 };
        let mut output = Output::default();
        let pay_within_ms = Some(if kind == Kind::Full { 1_800_000 } else { 0 });
        let policy = Command::Policy(PolicyChange { pay_within_ms, ..PolicyChange::default() });
        for first in std::iter::once(policy).chain(stock()) {
            state.sequence += 1;
            let message = message(state.sequence, Format::Bincode, &[first]);
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
        let message = message(self.sequence + 1, self.format, &orders(self.kind, self.open));
        (self.sequence, self.open) = (self.sequence + 1, self.open + ORDERS);
        message
    }
}

//! Bytes cut into messages of a log: the books hold after each, and another fold of it, which is stored and restored on its way,
//! gives the same to the byte.
//!
//! A message is a byte for its format and how the clock moves before it, two for the length of what follows, and that: the payload,
//! or bytes that commands are derived from.

#![no_main]

mod derived;

use std::convert::Infallible;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir::folds::inventory::{Inventory, Output, Restoring};
use weir::words::codec::Format;
use weir::words::fault::Fault;
use weir::words::message::{LogMessage, Way};

/// Log time before the first message, in milliseconds since 1970.
const START_MS: i64 = 1_790_000_000_000;

fuzz_target!(|data: &[u8]| {
    let (mut inventory, mut output) = (Inventory::new(), Output::default());
    let mut log = Vec::new();
    for (format, stored_at_ns, payload) in messages(data) {
        let message = LogMessage {
            sequence: inventory.chain().sequence + 1,
            stored_at_ns,
            way: Way::Any,
            format,
            payload,
        };
        output.clear();
        match inventory.apply(&message, &mut output) {
            Ok(()) => {
                assert_eq!(inventory.last_message_hash(), message.hash());
                log.push(message);
            }
            Err(Fault::UnknownRules { .. }) => assert!(output.is_empty()),
            Err(fault) => panic!("{fault}"),
        }
        if let Err(broken) = inventory.check_books() {
            panic!("{broken}");
        }
    }
    let mut again = Inventory::new();
    for (at, message) in log.iter().enumerate() {
        if at == log.len() / 2 {
            again = restored(&again);
        }
        again.apply(message, &mut output).expect("it was applied");
    }
    // The chain covers the outcomes.
    assert_eq!(again.chain(), inventory.chain());
    assert_eq!(restored(&again).digests(), inventory.digests());
    assert_eq!(again.due(), inventory.due());
});

fn messages(mut rest: &[u8]) -> impl Iterator<Item = (Option<Format>, i64, Bytes)> {
    let mut stored_at_ns = START_MS * 1_000_000;
    std::iter::from_fn(move || {
        let [first, low, high, behind @ ..] = rest else { return None };
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
        let (payload, behind) = behind.split_at(length);
        rest = behind;
        // Mostly on, by up to 17 minutes; at times back.
        stored_at_ns += i64::from(*first >> 2) * i64::from(*first >> 2) * 250_000_000 - 1_000_000_000;
        let raw = Bytes::copy_from_slice(payload);
        let (format, payload) = match first & 3 {
            0 => (Some(Format::Json), raw),
            1 => (Some(Format::Bincode), raw),
            2 => (Some(Format::Bincode), derived::frame(payload).into()),
            _ => (None, raw),
        };
        Some((format, stored_at_ns, payload))
    })
}

/// What a snapshot of it gives.
fn restored(inventory: &Inventory) -> Inventory {
    let mut restoring = Restoring::new();
    let Ok(written) = inventory.write_snapshot::<Infallible>(|piece| {
        restoring.feed(&piece).expect("it was written");
        Ok(())
    });
    let restored = restoring.finish().expect("it was written");
    assert_eq!(restored.digests(), written);
    restored
}

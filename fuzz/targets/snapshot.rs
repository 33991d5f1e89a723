//! Snapshots of any bytes, as they are and with checksums, totals and digests that are mended: they are refused, or give a state
//! that is written again as it was read and can be folded on.

#![no_main]

use std::convert::Infallible;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir::folds::inventory::{Inventory, Output, Restoring, SnapshotError};
use weir::words::codec::Format;
use weir::words::hash::{hash, hash_seeded, mix};
use weir::words::message::{LogMessage, Way};

const PREFIX_BYTES: usize = 12;
const HEADER_BYTES: usize = 13;
const END: u8 = 13;
const DIGESTS_BYTES: usize = 16;

fuzz_target!(|data: &[u8]| {
    let _ = restore(data);
    let mut bytes = data.to_vec();
    for _ in 0..3 {
        mend(&mut bytes);
        match restore(&bytes) {
            Ok(inventory) => {
                assert!(snapshot(&inventory) == bytes, "it has two forms");
                return fold_on(inventory);
            }
            Err(SnapshotError::Totals { found, .. }) => {
                let (stock, it) = (found.stock, found);
                let mut totals = Vec::new();
                for number in [stock.skus, stock.out_of_stock, zigzag(stock.on_hand), zigzag(stock.reserved)]
                {
                    push(&mut totals, number);
                }
                for number in [
                    it.open_orders,
                    it.waiting_orders,
                    it.settled_orders,
                    it.closed_orders,
                    it.forgotten_orders,
                    it.timed_orders,
                ] {
                    push(&mut totals, number);
                }
                end(&mut bytes, &totals, &[0; DIGESTS_BYTES]);
            }
            Err(SnapshotError::Digests { found, .. }) => {
                let digests = [found.state.to_le_bytes(), found.ledger.to_le_bytes()].concat();
                let (_, behind) = end_chunk(&bytes);
                bytes.splice(behind - DIGESTS_BYTES..behind, digests);
            }
            Err(_) => return,
        }
    }
    panic!("what was mended is still not what was found");
});

fn restore(bytes: &[u8]) -> Result<Inventory, SnapshotError> {
    let mut restoring = Restoring::new();
    for piece in bytes.chunks(1_000) {
        restoring.feed(piece)?;
    }
    restoring.finish()
}

fn snapshot(inventory: &Inventory) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(_) = inventory.write_snapshot::<Infallible>(|piece| {
        bytes.extend_from_slice(&piece);
        Ok(())
    });
    bytes
}

/// Gives every chunk the length that it has, and its checksum.
fn mend(bytes: &mut Vec<u8>) {
    if bytes.len() < PREFIX_BYTES {
        return;
    }
    bytes[..PREFIX_BYTES].copy_from_slice(b"WEIRSNAP\x01\0\0\0");
    let mut checksum = hash(&bytes[..PREFIX_BYTES]);
    let mut at = PREFIX_BYTES;
    while let Some(header) = bytes.get(at..at + HEADER_BYTES) {
        let left = bytes.len() - at - HEADER_BYTES;
        let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
        let (kind, length) = (header[0], length.min(left));
        let payload = &bytes[at + HEADER_BYTES..][..length];
        checksum = hash_seeded(payload, mix(checksum, (length as u64) << 8 | u64::from(kind)));
        bytes[at + 1..at + 5].copy_from_slice(&u32::try_from(length).expect("it is short").to_le_bytes());
        bytes[at + 5..at + HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        at += HEADER_BYTES + length;
    }
}

/// Where the chunk that ends it begins, and what is behind it.
fn end_chunk(bytes: &[u8]) -> (usize, usize) {
    let mut at = PREFIX_BYTES;
    loop {
        let length = [bytes[at + 1], bytes[at + 2], bytes[at + 3], bytes[at + 4]];
        let behind = at + HEADER_BYTES + u32::from_le_bytes(length) as usize;
        if bytes[at] == END {
            return (at, behind);
        }
        at = behind;
    }
}

/// Puts another end in the place of the chunk that is one, and of all behind it.
fn end(bytes: &mut Vec<u8>, totals: &[u8], digests: &[u8]) {
    let (at, _) = end_chunk(bytes);
    bytes.truncate(at);
    let records = u32::try_from(totals.len() + digests.len()).expect("it is short");
    bytes.push(END);
    bytes.extend_from_slice(&(records + 4).to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&records.to_le_bytes());
    bytes.extend_from_slice(totals);
    bytes.extend_from_slice(digests);
}

/// One of bincode's variable-length unsigned integers.
fn push(bytes: &mut Vec<u8>, number: u64) {
    let wide = number.to_le_bytes();
    let (tag, width) = match number {
        0..=250 => return bytes.push(wide[0]),
        251..=0xffff => (251, 2),
        0x1_0000..=0xffff_ffff => (252, 4),
        _ => (253, 8),
    };
    bytes.push(tag);
    bytes.extend_from_slice(&wide[..width]);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// Folds on: nothing panics, and the books hold.
fn fold_on(mut inventory: Inventory) {
    let orders =
        ["L-1", "K-1", "K-2", "K-3", "K-5", "H-4", "H-5", "W-1", "W-2", "W-3", "W-4", "0", "1", "O-1"];
    let mut commands = Vec::new();
    for order in orders {
        commands.push(format!(r#"{{"ship":{{"order_id":"{order}"}}}}"#));
        commands.push(format!(r#"{{"deliver":{{"order_id":"{order}"}}}}"#));
        commands
            .push(format!(r#"{{"return":{{"order_id":"{order}","return_id":"X-{order}","restock":true}}}}"#));
    }
    for order in ["2", "3", "W-1", "W-3", "O-2"] {
        commands.push(format!(r#"{{"pay":{{"order_id":"{order}"}}}}"#));
        commands.push(format!(r#"{{"cancel":{{"order_id":"{order}"}}}}"#));
    }
    for sku in ["A", "B", "C", "D", "E"] {
        let lines = |quantity| format!(r#""lines":[{{"sku":"{sku}","quantity":{quantity}}}]"#);
        commands.push(format!(r#"{{"receive":{{"receipt_id":"R-{sku}",{}}}}}"#, lines(99)));
        commands.push(format!(r#"{{"count":{{"count_id":"C-{sku}",{}}}}}"#, lines(1)));
        commands
            .push(format!(r#"{{"place":{{"order_id":"N-{sku}",{},"on_shortage":"backorder"}}}}"#, lines(9)));
    }
    let batch = format!("[{}]", commands.join(","));
    let tick = r#"{"tick":{}}"#;
    let policy = r#"{"policy":{"settled_window_ms":0,"closed_window_ms":0,"facts_window_ms":0,"safety_stock":0,"pay_within_ms":1}}"#;
    let mut output = Output::default();
    for payload in [&*batch, tick, policy, tick] {
        // A broker counts in nanoseconds, and not beyond the year 2262.
        let stored_at_ns = inventory.now().millis().min(9_000_000_000_000) * 1_000_000 + 10_000_000_000;
        let message = LogMessage {
            sequence: inventory.chain().sequence + 1,
            stored_at_ns,
            way: Way::Any,
            format: Some(Format::Json),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        };
        output.clear();
        inventory.apply(&message, &mut output).expect("it is the next one");
        if let Err(broken) = inventory.check_books() {
            panic!("{broken}");
        }
    }
}

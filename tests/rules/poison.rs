//! Hostile bytes: whatever a client sends, the fold does not panic, does not take memory out of proportion, says
//! something about it, and goes on.

use proptest::prelude::*;
use weir::folds::inventory::Inventory;
use weir::words::codec::{self, Format, FrameWriter};
use weir::words::command::{Cancel, Command, ELEMENTS_MAX, OnShortage, Place};
use weir::words::fault::Fault;
use weir::words::outcome::{Decision, Outcome, OutcomeKind, Reason};
use weir::words::policy::{PolicyChange, RULES_NEWEST};

use crate::random;
use crate::support::{Shard, line, place, policy, receive};

const BOTH: [Format; 2] = [Format::Json, Format::Bincode];
pub(crate) const MIB: usize = 1 << 20;

/// Feeds bytes; there must be an outcome for them, and the shard must work as before.
fn survive(shard: &mut Shard, format: Option<Format>, payload: Vec<u8>) -> Vec<OutcomeKind> {
    match shard.feed(format, payload) {
        Ok(()) => {}
        // The one fault that bytes can cause: a policy for rules that are not known, which changes nothing.
        Err(Fault::UnknownRules { .. }) => return vec![],
        Err(other) => panic!("{other}"),
    }
    let dead = shard.output.dead_letters.len();
    let kinds: Vec<_> = shard.outcomes().iter().map(|outcome| outcome.decision.kind()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == OutcomeKind::DeadLettered).count(), dead);
    for letter in &shard.output.dead_letters {
        assert!(!letter.reason.is_empty() && letter.reason.len() <= 203, "{}", letter.reason);
    }
    let answers = shard.output.commands.iter().sum::<u32>() as usize + dead;
    assert!(answers > 0, "no record in it");
    kinds
}

fn only(shard: &mut Shard, format: Format, payload: impl Into<Vec<u8>>) -> OutcomeKind {
    let kinds = survive(shard, Some(format), payload.into());
    assert_eq!(kinds.len(), 1, "{kinds:?}");
    kinds[0]
}

fn json(shard: &mut Shard, payload: &str) -> OutcomeKind {
    only(shard, Format::Json, payload)
}

fn samples() -> Vec<Command<'static>> {
    vec![
        receive("R-1", "A", 9),
        place("O-1", vec![line("A", 2), line("B", 300)], OnShortage::Backorder),
        Command::Cancel(Cancel {
            order_id: "O-1".into(),
            lines: Some(vec![line("A", 1)]),
            by: Some("shop".into()),
            ..Cancel::default()
        }),
        policy(PolicyChange { sites: Some(vec!["main".into()]), ..PolicyChange::default() }),
    ]
}

/// Every truncation and every corruption of one byte, in both formats, alone and in batches.
#[test]
fn truncated_and_corrupted_bytes() {
    for format in BOTH {
        let mut payloads: Vec<_> = samples().iter().map(|one| vec![one.clone()]).collect();
        payloads.push(samples());
        for commands in payloads {
            let bytes = codec::encode_commands(format, &commands);
            let mut shard = Shard::new();
            for length in 0..bytes.len() {
                survive(&mut shard, Some(format), bytes[..length].to_vec());
            }
            for at in 0..bytes.len() {
                for to in 0..=u8::MAX {
                    let mut bytes = bytes.clone();
                    bytes[at] = to;
                    survive(&mut shard, Some(format), bytes);
                }
            }
            shard.inventory.check_books().unwrap();
        }
    }
}

#[test]
fn empty_payloads_and_unknown_content_types() {
    let mut shard = Shard::new();
    for format in BOTH {
        assert_eq!(only(&mut shard, format, ""), OutcomeKind::DeadLettered);
    }
    assert_eq!(survive(&mut shard, None, b"{\"tick\":{}}".to_vec()), [OutcomeKind::DeadLettered]);
    assert_eq!(survive(&mut shard, None, vec![]), [OutcomeKind::DeadLettered]);
    assert_eq!(only(&mut shard, Format::Bincode, [1, 0]), OutcomeKind::DeadLettered);
    assert_eq!(only(&mut shard, Format::Bincode, [2, 1, 1, 11]), OutcomeKind::DeadLettered);
    for blank in ["[]", " [ ] ", " ", "\n", "\u{feff}{\"tick\":{}}", "\0"] {
        assert_eq!(json(&mut shard, blank), OutcomeKind::DeadLettered, "{blank:?}");
    }
}

/// Lengths that promise far more than there is, at every level, up to 2^64 - 1.
#[test]
fn huge_lengths() {
    let mut shard = Shard::new();
    let huge: [&[u8]; 5] = [
        &[251, 255, 255],
        &[252, 255, 255, 255, 127],
        &[252, 255, 255, 255, 255],
        &[253, 255, 255, 255, 255, 255, 255, 255, 127],
        &[253, 255, 255, 255, 255, 255, 255, 255, 255],
    ];
    for length in huge {
        // Of the frame, of an element.
        assert_eq!(only(&mut shard, Format::Bincode, [&[1], length].concat()), OutcomeKind::DeadLettered);
        assert_eq!(only(&mut shard, Format::Bincode, [&[1, 1], length].concat()), OutcomeKind::DeadLettered);
        // Of an order id, of a list of lines, of a SKU in it, of attributes.
        for before in
            [&[0][..], &[0, 1, b'O', 0], &[0, 1, b'O', 0, 1], &[0, 1, b'O', 0, 0, 0, 0, 0, 0, 0, 0, 0]]
        {
            let element = [before, length].concat();
            let mut frame = FrameWriter::new();
            frame.push(&element);
            assert_eq!(only(&mut shard, Format::Bincode, frame.finish()), OutcomeKind::DeadLettered);
        }
    }
    assert_eq!(only(&mut shard, Format::Bincode, [1, 1, 254]), OutcomeKind::DeadLettered);
    assert_eq!(only(&mut shard, Format::Bincode, [1, 1, 255]), OutcomeKind::DeadLettered);
}

#[test]
fn deep_json() {
    let mut shard = Shard::new();
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    for text in [deep("[", "]"), deep("[", ""), deep("{\"a\":", "}"), deep("{\"place\":", "1")] {
        assert_eq!(json(&mut shard, &text), OutcomeKind::DeadLettered);
    }
    let inside = format!("{{\"place\":{{\"order_id\":\"O-1\",\"lines\":{}}}}}", deep("[", "]"));
    assert_eq!(json(&mut shard, &inside), OutcomeKind::DeadLettered);
    let inside = format!("{{\"policy\":{{\"rules\":1,\"of_the_future\":{}}}}}", deep("[", "]"));
    assert_eq!(json(&mut shard, &inside), OutcomeKind::DeadLettered);
    // A bad neighbour spoils only itself.
    let batch = format!("[{{\"tick\":{{}}}},{},{{\"tick\":{{}}}}]", deep("[", "]"));
    assert_eq!(json(&mut shard, &batch), OutcomeKind::DeadLettered);
    assert_eq!(shard.output.dead_letters[0].index, 1);
}

#[test]
fn wrong_types_and_wrong_numbers() {
    let mut shard = Shard::new();
    let of_line = |quantity: &str| {
        format!(
            "{{\"place\":{{\"order_id\":\"O-1\",\"lines\":[{{\"sku\":\"A\",\"quantity\":{quantity}}}]}}}}"
        )
    };
    for quantity in [
        "1e400",
        "1e2",
        "1.0",
        "-1e-400",
        "\"1\"",
        "true",
        "null",
        "[1]",
        "{}",
        "01",
        "+1",
        "NaN",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999999999999",
    ] {
        assert_eq!(json(&mut shard, &of_line(quantity)), OutcomeKind::DeadLettered, "{quantity}");
    }
    for quantity in ["9223372036854775807", "-9223372036854775808", "0", "-0", "-1", "1000000001"] {
        let kind = json(&mut shard, &of_line(quantity));
        // "-0" is read as a float.
        assert!(kind == OutcomeKind::Refused || quantity == "-0", "{quantity}");
    }
    for text in [
        "7",
        "\"place\"",
        "null",
        "true",
        "{\"place\":7}",
        "{\"place\":null}",
        "{\"place\":[]}",
        "{\"fly\":{}}",
        "{\"tick\":{},\"tick\":{}}",
        "{\"tick\":{},\"cancel\":{\"order_id\":\"O-1\"}}",
        "{\"tick\":{\"now\":1}}",
        "{\"cancel\":{\"order_id\":\"O-1\",\"order_id\":\"O-2\"}}",
        "{\"cancel\":{\"order_id\":7}}",
        "{\"cancel\":{\"order_id\":null}}",
        "{\"cancel\":[\"O-1\"]}",
        "{\"cancel\":{\"order_id\":\"\\ud800\"}}",
        "{\"review\":{\"order_id\":\"O-1\",\"score\":1,\"occurred_at\":7}}",
        "{\"review\":{\"order_id\":\"O-1\",\"score\":1,\"occurred_at\":\"2026-02-30T00:00:00Z\"}}",
        "{\"policy\":{\"rules\":-1}}",
        "{\"policy\":{\"rules\":4294967296}}",
        "{\"tick\":{}} {\"tick\":{}}",
    ] {
        assert_eq!(json(&mut shard, text), OutcomeKind::DeadLettered, "{text}");
    }
    // An optional field that is null is absent.
    assert_eq!(json(&mut shard, "{\"cancel\":{\"order_id\":\"O-1\",\"lines\":null}}"), OutcomeKind::Refused);
    assert_eq!(json(&mut shard, "{\"cancel\":{\"order_id\":\"a\\u0000b\"}}"), OutcomeKind::Refused);
    assert_eq!(json(&mut shard, "{\"cancel\":{\"order_id\":\"\u{202e}\"}}"), OutcomeKind::Refused);
}

#[test]
fn invalid_utf_8() {
    let mut shard = Shard::new();
    for bytes in [&b"\xff"[..], b"{\"cancel\":{\"order_id\":\"\xc3\x28\"}}", b"[\"\xff\",{\"tick\":{}}]"] {
        assert_eq!(only(&mut shard, Format::Json, bytes), OutcomeKind::DeadLettered);
    }
    // A cancel of an order id of two bytes that are no UTF-8, in a frame between two ticks.
    let mut frame = FrameWriter::new();
    frame.push(&[11]);
    frame.push(&[1, 2, 0xc3, 0x28, 0, 0, 0]);
    frame.push(&[11]);
    assert_eq!(only(&mut shard, Format::Bincode, frame.finish()), OutcomeKind::DeadLettered);
    assert_eq!(shard.output.dead_letters[0].index, 1);
    assert_eq!(shard.output.dead_letters[0].bytes.as_ref(), [1, 2, 0xc3, 0x28, 0, 0, 0]);
}

fn reasons(shard: &Shard) -> Vec<Option<Reason>> {
    shard.output.outcomes().map(|(entry, _)| entry.reason).collect()
}

/// Ids of 64 and 65 bytes, and of a MiB, everywhere that an id or a short text may stand. What is no id is not echoed.
#[test]
fn long_ids() {
    let mut shard = Shard::new();
    shard.send(&[receive("R-1", "A", 5)]);
    for length in [65, 1_000, 2 * MIB] {
        let long = "x".repeat(length);
        let text = || Some(long.as_str().into());
        for command in [
            place(long.as_str(), vec![line("A", 1)], OnShortage::Refuse),
            place("O-1", vec![line(&long, 1)], OnShortage::Refuse),
            Command::Place(Place {
                order_id: "O-1".into(),
                lines: vec![line("A", 1).into()],
                site: text(),
                ..Place::default()
            }),
            Command::Cancel(Cancel { order_id: "O-1".into(), by: text(), ..Cancel::default() }),
            policy(PolicyChange { sites: Some(vec![long.as_str().into()]), ..PolicyChange::default() }),
        ] {
            let bytes = serde_json::to_vec(&command).unwrap();
            assert_eq!(only(&mut shard, Format::Json, bytes), OutcomeKind::Refused, "{length}");
            assert!(matches!(reasons(&shard)[..], [Some(Reason::InvalidId | Reason::InvalidValue)]));
            assert!(shard.output.bytes().len() < 200, "an id that is none is echoed");
        }
    }
    let id = "x".repeat(64);
    assert_eq!(
        shard.send(&[place(id.as_str(), vec![line("A", 1)], OnShortage::Refuse)])[0].decision.kind(),
        OutcomeKind::Confirmed
    );
}

/// The same order comes to the same in both formats, also at and beyond the bound on a list's elements.
#[test]
fn lists_beyond_their_bound_are_dead_letters_in_both_formats() {
    for (count, expected) in [
        (2_000, OutcomeKind::Confirmed),
        (2_001, OutcomeKind::Refused),
        (ELEMENTS_MAX, OutcomeKind::Refused),
        (ELEMENTS_MAX + 1, OutcomeKind::DeadLettered),
        (40_000, OutcomeKind::DeadLettered),
        (1_000_000, OutcomeKind::DeadLettered),
    ] {
        for format in BOTH {
            let mut shard = Shard::new();
            shard.send(&[receive("R-1", "A", 1_000_000)]);
            // Written by hand: Weir's own writer is not made for such commands.
            let bytes = match format {
                Format::Json => {
                    let lines = vec!["{\"sku\":\"A\",\"quantity\":1}"; count].join(",");
                    format!("{{\"place\":{{\"order_id\":\"O-1\",\"lines\":[{lines}]}}}}").into_bytes()
                }
                Format::Bincode => {
                    use bincode::Options;
                    let lines = vec![("A", 1i64, None::<()>); count];
                    let order = (0u32, "O-1", None::<()>, lines, 0u32, [0u8; 10]);
                    let bytes = bincode::DefaultOptions::new().with_varint_encoding();
                    let mut frame = FrameWriter::new();
                    frame.push(&bytes.serialize(&order).unwrap());
                    frame.finish()
                }
            };
            assert_eq!(only(&mut shard, format, bytes), expected, "{count} lines, {format:?}");
        }
    }
}

/// Whatever can be read can be written again: a door reads JSON and writes frames.
#[test]
fn what_was_read_can_be_written_in_the_other_format() {
    let sites = vec!["\"s\""; 60_000].join(",");
    let attributes: Vec<_> = (0..ELEMENTS_MAX).map(|number| format!("\"{number}\":\"\"")).collect();
    let long = "x".repeat(3 * MIB);
    for text in [
        format!("{{\"policy\":{{\"sites\":[{sites}]}}}}"),
        format!("{{\"cancel\":{{\"order_id\":\"{long}\"}}}}"),
        format!(
            "{{\"place\":{{\"order_id\":\"O\",\"lines\":[],\"attributes\":{{{}}}}}}}",
            attributes.join(",")
        ),
    ] {
        for command in codec::commands(Some(Format::Json), text.as_bytes(), RULES_NEWEST).flatten() {
            let frame = codec::encode_commands(Format::Bincode, std::slice::from_ref(&command));
            let again: Vec<_> = codec::commands(Some(Format::Bincode), &frame, RULES_NEWEST).collect();
            assert_eq!(again.len(), 1);
            assert!(again[0].as_ref().is_ok_and(|again| *again == command), "not read again");
        }
    }
}

#[test]
fn extreme_policies() {
    for value in [i64::MIN, -1, 0, 1, i64::MAX] {
        let some = Some(value);
        for change in [
            PolicyChange { pay_within_ms: some, ..PolicyChange::default() },
            PolicyChange { lines_max: some, ..PolicyChange::default() },
            PolicyChange { quantity_max: some, ..PolicyChange::default() },
            PolicyChange { open_orders_max: some, ..PolicyChange::default() },
            PolicyChange { settled_orders_max: some, ..PolicyChange::default() },
            PolicyChange { settled_window_ms: some, ..PolicyChange::default() },
            PolicyChange { closed_orders_max: some, ..PolicyChange::default() },
            PolicyChange { closed_window_ms: some, ..PolicyChange::default() },
            PolicyChange { facts_max: some, ..PolicyChange::default() },
            PolicyChange { facts_window_ms: some, ..PolicyChange::default() },
            PolicyChange { skus_max: some, ..PolicyChange::default() },
            PolicyChange { safety_stock: some, ..PolicyChange::default() },
        ] {
            let mut shard = Shard::new();
            let applied = shard.send(&[policy(change.clone())])[0].decision.kind();
            assert_eq!(
                applied == OutcomeKind::PolicyApplied,
                (0..2).contains(&value) && {
                    let least_is_one = change
                        .lines_max
                        .or(change.quantity_max)
                        .or(change.open_orders_max)
                        .or(change.skus_max);
                    least_is_one != Some(0)
                }
            );
            // Nothing that follows may panic, at the end of time either.
            for clock_ms in [0, 1, i64::MAX / 2_000_000, i64::MAX / 1_000_001] {
                shard.clock_ms = clock_ms;
                shard.send(&samples()[..3]);
                shard.tick();
            }
            shard.inventory.check_books().unwrap();
        }
    }
}

/// A worker that does not know the rules halts before the record, with nothing changed.
#[test]
fn unknown_rules_change_nothing() {
    let mut shard = Shard::new();
    shard.send(&[receive("R-1", "A", 5)]);
    let (before, chain) = (shard.inventory.digests(), shard.inventory.chain());
    shard.clock_ms += 5_000;
    let alone = [policy(PolicyChange { rules: Some(9), ..PolicyChange::default() })];
    let mut truncated = FrameWriter::new();
    truncated.push(&[10, 1, 9, 77, 77]);
    let future = b"{\"policy\":{\"rules\":9,\"more\":[1]}}".to_vec();
    for (format, payload) in [
        (Format::Json, codec::encode_commands(Format::Json, &alone)),
        (Format::Bincode, codec::encode_commands(Format::Bincode, &alone)),
        (Format::Json, future),
        (Format::Bincode, truncated.finish()),
    ] {
        let fault = shard.feed(Some(format), payload).unwrap_err();
        assert_eq!(fault, Fault::UnknownRules { sequence: 2, rules: 9, newest: RULES_NEWEST });
        assert!(shard.output.is_empty());
        assert_eq!((shard.inventory.digests(), shard.inventory.chain()), (before, chain));
    }
    // In a batch it is refused like any policy in a batch, and the rest is decided.
    let batch = [alone[0].clone(), receive("R-2", "A", 1)];
    let outcomes = shard.send(&batch);
    assert!(matches!(outcomes[0].decision, Decision::Refused { reason: Reason::NotAlone, .. }));
    assert!(matches!(outcomes[1].decision, Decision::Received { .. }));
}

#[test]
fn a_message_out_of_turn_is_a_gap() {
    let mut shard = Shard::new();
    shard.tick();
    for sequence in [0, 1, 7, u64::MAX - 1] {
        shard.sequence = sequence.wrapping_sub(1);
        let fault = shard.feed(Some(Format::Json), "{\"tick\":{}}").unwrap_err();
        assert_eq!(fault, Fault::Gap { expected: 2, found: sequence });
    }
}

fn bytes_of_a_kind() -> impl Strategy<Value = Vec<u8>> {
    let valid = || prop::collection::vec(random::command(), 1..5);
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"place\"",
        "\"policy\"",
        "\"rules\"",
        "\"order_id\"",
        "\"lines\"",
        "\"sku\"",
        "\"A\"",
        "\"quantity\"",
        "1",
        "-1",
        "1e9",
        "null",
        "true",
        "\\u0000",
        " ",
        "\"tick\":{}",
    ]);
    prop_oneof![
        noise.clone(),
        (prop::collection::vec(0..14u8, 0..60)).prop_map(|bytes| [&[1], &bytes[..]].concat()),
        prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes()),
        (valid(), any::<bool>(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6))
            .prop_map(|(commands, json, changes)| {
                let format = if json { Format::Json } else { Format::Bincode };
                let mut bytes = codec::encode_commands(format, &commands);
                for (at, to) in changes {
                    let at = at.index(bytes.len());
                    bytes[at] = to;
                }
                bytes
            }),
    ]
}

proptest! {
    #![proptest_config(random::config())]

    /// Arbitrary bytes, between the things that normally happen.
    #[test]
    fn arbitrary_bytes(
        steps in prop::collection::vec(random::step(), 0..20),
        poison in prop::collection::vec(bytes_of_a_kind(), 1..40),
    ) {
        let (mut shard, mut other) = (Shard::new(), Shard::new());
        for step in &steps {
            random::feed(&mut shard, step);
            random::feed(&mut other, step);
        }
        for bytes in poison {
            for format in BOTH {
                survive(&mut shard, Some(format), bytes.clone());
                survive(&mut other, Some(format), bytes.clone());
            }
            prop_assert_eq!(shard.inventory.check_books(), Ok(()));
        }
        prop_assert_eq!(shard.inventory.chain(), other.inventory.chain());
        prop_assert_eq!(shard.inventory.digests(), other.inventory.digests());
    }
}

/// Every reader of outcomes meets hostile bytes too.
#[test]
fn outcomes_that_are_none() {
    let mut shard = Shard::new();
    let outcome = shard.send(&[receive("R-1", "A", 5)])[0].clone();
    let mut bytes = Vec::new();
    let start = codec::encode_outcome(&mut bytes, &outcome.decision, outcome.identity(), outcome.at);
    bytes.drain(..start);
    for length in 0..bytes.len() {
        assert!(codec::decode_outcome(&bytes[..length]).is_err());
    }
    for at in 0..bytes.len() {
        for to in 0..=u8::MAX {
            let mut bytes = bytes.clone();
            bytes[at] = to;
            let read: Result<Outcome<'_>, _> = codec::decode_outcome(&bytes);
            drop(read);
        }
    }
    for payload in [&b""[..], b"[", b"{}", b"[{}]", b"[{\"outcome\":\"confirmed\"}]", &[1, 1, 0], &[9]] {
        for format in BOTH {
            assert!(codec::outcomes(format, payload).is_err(), "{payload:?}");
        }
    }
    assert!(Inventory::new().order("").is_none());
}

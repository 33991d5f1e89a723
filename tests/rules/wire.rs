//! The wire: frames are what bincode 1.3.3 writes, to the byte; JSON is what the contract's examples say.
//!
//! The commands' and outcomes' own serde implementations are made for JSON, so [`crate::mirror`] says the same shapes
//! in plain tuples, which any bincode library could write.

use bincode::Options;
use proptest::prelude::*;
use weir::words::codec::{self, Format};
use weir::words::command::{COMMANDS_MAX, Command, Place};
use weir::words::outcome::{Outcome, OutcomeKind};

use crate::mirror;
use crate::random;
use crate::support::{Shard, line};

pub(crate) fn bincode_of(value: &impl serde::Serialize) -> Vec<u8> {
    bincode::DefaultOptions::new().with_varint_encoding().serialize(value).unwrap()
}

fn frame_of(elements: &[Vec<u8>]) -> Vec<u8> {
    bincode_of(&(1u8, elements))
}

/// An order as most orders are: an id of 12 bytes, two lines with SKUs of 6 bytes, when it was submitted, no more.
#[test]
fn the_reference_order_to_the_byte() {
    let order = Command::Place(Place {
        order_id: "O-2026-11221".into(),
        lines: vec![line("85123A", 2), line("84406B", 200)],
        submitted_at: Some("2026-11-22T03:00:00.123Z".parse().unwrap()),
        ..Place::default()
    });
    let frame = codec::encode_commands(Format::Bincode, std::slice::from_ref(&order));
    let hex: String = frame.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let golden = [
        "01", // frame version
        "01", // elements
        "33", // length of the element
        "00", // place
        "0c",
        "4f2d323032362d3131323231", // order_id
        "00",                       // no site
        "02",                       // lines
        "06",
        "383531323341",
        "04", // 85123A, 2
        "06",
        "383434303642",
        "fb9001", // 84406B, 200
        "00",     // on_shortage: refuse
        "01",
        "fd",
        "f67f640244030000", // submitted_at
        "000000000000",     // nothing else
    ];
    assert_eq!(hex, golden.concat());
    assert!(frame.len() <= 56, "{} bytes an order", frame.len());
    assert_eq!(frame, frame_of(&[bincode_of(&mirror::command(&order))]));

    let decoded: Vec<_> = codec::commands(Some(Format::Bincode), &frame).collect();
    assert_eq!(decoded, [Ok(order)]);
}

/// Counts and lengths around every width of bincode's integers.
#[test]
fn frames_of_every_width() {
    let tick = vec![11];
    for count in [1, 2, 250, 251, 252, COMMANDS_MAX, COMMANDS_MAX + 1] {
        let elements = vec![tick.clone(); count];
        let mut writer = codec::FrameWriter::new();
        for element in &elements {
            writer.push(element);
        }
        let frame = writer.finish();
        assert_eq!(frame, frame_of(&elements));
        let decoded = codec::commands(Some(Format::Bincode), &frame);
        if count > COMMANDS_MAX {
            let decoded: Vec<_> = decoded.collect();
            assert!(
                matches!(&decoded[..], [Err(bad)] if bad.reason == "more than 16384 elements in a frame")
            );
        } else {
            assert_eq!(decoded.flatten().count(), count);
        }
    }
    for length in [1, 250, 251, 65_535, 65_536, 100_000] {
        let mut writer = codec::FrameWriter::new();
        writer.push(&vec![7; length]);
        assert_eq!(writer.finish(), frame_of(&[vec![7; length]]));
    }
}

/// Every command with every field, and with none that may be absent: the JSON contract.
pub(crate) const COMMANDS: [&str; 24] = [
    r#"{"place":{"order_id":"O-1","lines":[{"sku":"A","quantity":2}]}}"#,
    r#"{"place":{"order_id":"O-1","site":"west","lines":[{"sku":"A","quantity":2},{"sku":"B","quantity":1}],"on_shortage":"backorder","submitted_at":"2026-11-22T03:00:00.123Z","ship_by":"2026-11-23T00:00:00.000Z","promised_by":"2026-11-24T00:00:00.000Z","carrier":"dhl","value":{"minor":1999,"currency":"EUR"},"customer":"c-77","attributes":{"channel":"app","campaign":""}}}"#,
    r#"{"place":{"order_id":"O-1","lines":[{"sku":"A","quantity":2}],"on_shortage":"partial"}}"#,
    r#"{"cancel":{"order_id":"O-1"}}"#,
    r#"{"cancel":{"order_id":"O-1","lines":[{"sku":"A","quantity":1}],"by":"customer","reason":"changed_mind"}}"#,
    r#"{"review":{"order_id":"O-1","score":5}}"#,
    r#"{"review":{"order_id":"O-1","score":1,"topic":"late","occurred_at":"2026-11-22T03:00:00.123Z"}}"#,
    r#"{"pay":{"order_id":"O-1"}}"#,
    r#"{"pay":{"order_id":"O-1","attempt_id":"T-1","amount":{"minor":-5,"currency":"EUR"},"occurred_at":"2026-11-22T03:00:00.123Z"}}"#,
    r#"{"pay_failed":{"order_id":"O-1","attempt_id":"T-1"}}"#,
    r#"{"pay_failed":{"order_id":"O-1","attempt_id":"T-1","reason":"declined","occurred_at":"2026-11-22T03:00:00.123Z"}}"#,
    r#"{"ship":{"order_id":"O-1"}}"#,
    r#"{"ship":{"order_id":"O-1","shipment_id":"S-1","lines":[{"sku":"A","quantity":1}],"carrier":"dhl","occurred_at":"2026-11-22T03:00:00.123Z"}}"#,
    r#"{"deliver":{"order_id":"O-1"}}"#,
    r#"{"deliver":{"order_id":"O-1","shipment_id":"S-1","lines":[{"sku":"A","quantity":1}],"occurred_at":"2026-11-22T03:00:00.123Z"}}"#,
    r#"{"return":{"order_id":"O-1","return_id":"X-1"}}"#,
    r#"{"return":{"order_id":"O-1","return_id":"X-1","lines":[{"sku":"A","quantity":1,"restock":true}],"restock":true,"reason":"broken","occurred_at":"2026-11-22T03:00:00.123Z"}}"#,
    r#"{"receive":{"receipt_id":"R-1","lines":[{"sku":"A","quantity":1}]}}"#,
    r#"{"receive":{"receipt_id":"R-1","site":"west","lines":[{"sku":"A","quantity":1}],"occurred_at":"2026-11-22T03:00:00.123Z"}}"#,
    r#"{"count":{"count_id":"C-1","lines":[{"sku":"A","quantity":0}]}}"#,
    r#"{"count":{"count_id":"C-1","site":"west","lines":[{"sku":"A","quantity":0}],"occurred_at":"2026-11-22T03:00:00.123Z"}}"#,
    r#"{"policy":{}}"#,
    r#"{"policy":{"rules":1,"sites":["main","west"],"pay_within_ms":1,"lines_max":2,"quantity_max":3,"open_orders_max":4,"settled_orders_max":5,"settled_window_ms":6,"closed_orders_max":7,"closed_window_ms":8,"facts_max":9,"facts_window_ms":10,"skus_max":11,"safety_stock":12,"safety_stock_of":[{"sku":"A"},{"site":"west","sku":"B","quantity":3}]}}"#,
    r#"{"tick":{}}"#,
];

#[test]
fn commands_by_example() {
    for json in COMMANDS {
        let decoded: Vec<_> = codec::commands(Some(Format::Json), json.as_bytes()).collect();
        let [Ok(command)] = &decoded[..] else { panic!("{json}: {decoded:?}") };
        assert!(json.starts_with(&format!("{{\"{}\":", command.kind().name())));
        let commands = std::slice::from_ref(command);
        assert_eq!(codec::encode_commands(Format::Json, commands), json.as_bytes());
        let frame = codec::encode_commands(Format::Bincode, commands);
        assert_eq!(frame, frame_of(&[bincode_of(&mirror::command(command))]), "{json}");
        let decoded: Vec<_> = codec::commands(Some(Format::Bincode), &frame).collect();
        assert_eq!(decoded, [Ok(command.clone())]);
    }
    let all = format!("[{}]", COMMANDS.join(","));
    let decoded: Vec<_> = codec::commands(Some(Format::Json), all.as_bytes()).map(Result::unwrap).collect();
    assert_eq!(codec::encode_commands(Format::Json, &decoded), all.as_bytes());
}

/// Every outcome, as a client reads it.
const OUTCOMES: [&str; 24] = [
    r#"{"outcome":"confirmed","order_id":"O-1","pay_by":"2026-11-22T04:00:00.000Z","shortages":[{"sku":"A","requested":2,"available":1}]"#,
    r#"{"outcome":"confirmed","order_id":"O-1","pay_by":null,"released":true"#,
    r#"{"outcome":"waiting","order_id":"O-1","sku":"A","shortages":[{"sku":"A","requested":2,"available":1}]"#,
    r#"{"outcome":"waiting","order_id":"O-1","duplicate":true,"first_sequence":3,"state":"confirmed""#,
    r#"{"outcome":"refused","command":"policy","reason":"invalid_value","detail":"lines_max must be 1 to 10000""#,
    r#"{"outcome":"refused","command":"receive","receipt_id":"R-1","reason":"id_conflict""#,
    r#"{"outcome":"refused","command":"count","count_id":"C-1","reason":"duplicate_sku""#,
    r#"{"outcome":"refused","command":"pay_failed","order_id":"O-1","reason":"order_closed","order_state":"delivered""#,
    r#"{"outcome":"refused","command":"place","order_id":"O-1","reason":"insufficient_stock","duplicate":true,"first_sequence":3,"state":"refused""#,
    r#"{"outcome":"cancelled","order_id":"O-1","lines":[{"sku":"A","quantity":1}],"by":"customer","reason":"changed_mind","state":"confirmed""#,
    r#"{"outcome":"cancelled","order_id":"O-1","state":"cancelled""#,
    r#"{"outcome":"expired","order_id":"O-1","state":"expired""#,
    r#"{"outcome":"paid","order_id":"O-1","marks":["was_cancelled"],"state":"shipped""#,
    r#"{"outcome":"paid","order_id":"O-1","state":"paid","duplicate":true,"first_sequence":3"#,
    r#"{"outcome":"payment_failed","order_id":"O-1","attempt_id":"T-1","duplicate":true,"first_sequence":3,"state":"paid""#,
    r#"{"outcome":"shipped","order_id":"O-1","lines":[{"sku":"A","quantity":1}],"marks":["was_waiting","out_of_order","below_zero"],"state":"waiting""#,
    r#"{"outcome":"delivered","order_id":"O-1","marks":["was_not_shipped"],"state":"delivered""#,
    r#"{"outcome":"returned","order_id":"O-1","return_id":"X-1","state":"returned","duplicate":true,"first_sequence":3"#,
    r#"{"outcome":"reviewed","order_id":"O-1","state":"delivered""#,
    r#"{"outcome":"received","receipt_id":"R-1""#,
    r#"{"outcome":"counted","count_id":"C-1","adjustments":[{"sku":"A","before":5,"after":3}]"#,
    r#"{"outcome":"shortfall","order_id":"O-1","site":"main","sku":"A","quantity":2"#,
    r#"{"outcome":"policy_applied","rules":1"#,
    r#"{"outcome":"dead_lettered","reason":"an empty payload""#,
];

fn check_outcome(outcome: &Outcome<'_>) -> Vec<u8> {
    let json = serde_json::to_string(outcome).unwrap();
    let again: Outcome<'_> = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(again, *outcome, "{json}");
    let mut bytes = Vec::new();
    let start = codec::encode_outcome(&mut bytes, &outcome.decision, outcome.identity(), outcome.at);
    bytes.drain(..start);
    assert_eq!(bytes, bincode_of(&mirror::outcome(outcome)), "{json}");
    assert_eq!(codec::decode_outcome(&bytes).unwrap(), *outcome);
    bytes
}

#[test]
fn outcomes_by_example() {
    let mut kinds = std::collections::BTreeSet::new();
    let mut frame = codec::FrameWriter::new();
    let mut all = Vec::new();
    for part in OUTCOMES {
        let json =
            format!("{part},\"sequence\":44,\"index\":1,\"place\":2,\"at\":\"2026-11-22T03:00:00.123Z\"}}");
        let outcome: Outcome<'_> =
            serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
        assert_eq!(serde_json::to_string(&outcome).unwrap(), json);
        kinds.insert(outcome.decision.kind());
        frame.push(&check_outcome(&outcome));
        all.push(json);
    }
    assert_eq!(kinds, OutcomeKind::ALL.into());
    // Both formats of an append say the same.
    let json = format!("[{}]", all.join(","));
    let frame = frame.finish();
    let one = codec::outcomes(Format::Json, json.as_bytes()).unwrap();
    let other = codec::outcomes(Format::Bincode, &frame).unwrap();
    assert_eq!(one, other);
    assert_eq!(one.len(), OUTCOMES.len());
}

proptest! {
    #![proptest_config(random::config())]

    /// Whatever is sent and whatever comes of it: bincode's bytes, and both ways through JSON.
    #[test]
    fn bytes_are_bincodes_for_whatever_happens(steps in prop::collection::vec(random::step(), 1..40)) {
        let mut shard = Shard::new();
        for step in &steps {
            for command in &step.commands {
                let bytes = codec::encode_command(command);
                prop_assert_eq!(&bytes, &bincode_of(&mirror::command(command)));
                let json = serde_json::to_string(command).unwrap();
                let again: Command<'_> = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(&again, command);
            }
            random::feed(&mut shard, step);
            for (outcome, (_, bytes)) in shard.outcomes().iter().zip(shard.output.outcomes()) {
                prop_assert_eq!(check_outcome(outcome), bytes);
            }
        }
    }
}

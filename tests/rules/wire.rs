//! The wire: frames are what bincode 1.3.3 writes, to the byte, and both formats say the same.
//!
//! The commands' and outcomes' own serde implementations are made for JSON, so the richest of them (texts, lists, options, numbers,
//! codes, structs in lists) is told here once more in plain tuples, which any bincode library could write. The others are made of the same parts
//! by the same derive.

use bincode::Options;
use proptest::prelude::*;
use serde::Serialize;
use weir::words::codec::{self, Format};
use weir::words::command::{COMMANDS_MAX, Command, Place};
use weir::words::outcome::{Decision, Outcome};
use weir::words::policy::RULES_NEWEST;
use weir::words::timestamp::Timestamp;

use crate::contract_page;
use crate::random;
use crate::support::{Shard, line};

pub(crate) fn bincode_of(value: &impl Serialize) -> Vec<u8> {
    bincode::DefaultOptions::new().with_varint_encoding().serialize(value).unwrap()
}

/// A place as bincode has it, behind its tag.
fn place_of(it: &Place<'_>) -> Vec<u8> {
    let lines: Vec<_> = it.lines.iter().map(|line| (&*line.sku, line.quantity, line.unit_price)).collect();
    let times = [it.submitted_at, it.ship_by, it.promised_by].map(|time| time.map(Timestamp::millis));
    let value = it.value.as_ref().map(|value| (value.minor, &*value.currency));
    let attributes: Vec<_> = it.attributes.0.iter().map(|(key, value)| (&**key, &**value)).collect();
    let sites: Option<Vec<_>> = it.sites.as_ref().map(|sites| sites.iter().map(|site| &**site).collect());
    let first = (it.order_id.as_ref(), it.site.as_deref(), lines, it.on_shortage as u32);
    let second = (it.carrier.as_deref(), value, it.customer.as_deref(), attributes);
    let third = (it.pay_within_ms, it.wait_until.map(Timestamp::millis), sites);
    bincode_of(&(0_u32, first, times, second, third))
}

/// A refusal as bincode has it, with its identity.
fn refused_of(outcome: &Outcome<'_>) -> Option<Vec<u8>> {
    let Decision::Refused { command, subject, reason, detail, shortages, order_state, repeat } =
        &outcome.decision
    else {
        return None;
    };
    let subject = subject.as_ref().map(|subject| {
        let tag = match subject {
            weir::words::outcome::Subject::OrderId(_) => 0_u32,
            weir::words::outcome::Subject::ReceiptId(_) => 1,
            weir::words::outcome::Subject::CountId(_) => 2,
            weir::words::outcome::Subject::AdjustmentId(_) => 3,
            weir::words::outcome::Subject::TransferId(_) => 4,
        };
        (tag, subject.id())
    });
    let short: Vec<_> = shortages.iter().map(|it| (&*it.sku, it.requested, it.available)).collect();
    let state = order_state.map(|state| state as u32);
    let again = repeat.map(|it| ((), it.first_sequence, it.state.map(|state| state as u32)));
    let decision = (*command as u32, subject, *reason as u32, detail.as_deref(), short, state, again);
    let identity = (outcome.sequence, outcome.index, outcome.place, outcome.at.millis());
    Some(bincode_of(&(2_u32, decision, identity)))
}

fn frame_of(elements: &[Vec<u8>]) -> Vec<u8> {
    bincode_of(&(1u8, elements))
}

/// An order as most orders are: an id of 12 bytes, two lines with SKUs of 6 bytes, when it was submitted, no more.
#[test]
fn the_reference_order_to_the_byte() {
    let order = Command::Place(Place {
        order_id: "O-2026-11221".into(),
        lines: vec![line("85123A", 2).into(), line("84406B", 200).into()],
        submitted_at: Some("2026-11-22T03:00:00.123Z".parse().unwrap()),
        ..Place::default()
    });
    let frame = codec::encode_commands(Format::Bincode, std::slice::from_ref(&order));
    let hex: String = frame.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let golden = [
        "01", // frame version
        "01", // elements
        "38", // length of the element
        "00", // place
        "0c",
        "4f2d323032362d3131323231", // order_id
        "00",                       // no site
        "02",                       // lines
        "06",
        "383531323341",
        "04",
        "00", // 85123A, 2, without a price
        "06",
        "383434303642",
        "fb9001",
        "00", // 84406B, 200
        "00", // on_shortage: refuse
        "01",
        "fd",
        "f67f640244030000",   // submitted_at
        "000000000000000000", // nothing else
    ];
    assert_eq!(hex, golden.concat());
    assert_eq!(frame.len(), 59, "two bytes more than the page says, as a quantity is above 125");
    assert_eq!(frame, frame_of(&[codec::encode_command(&order)]));

    let decoded: Vec<_> = codec::commands(Some(Format::Bincode), &frame, RULES_NEWEST).collect();
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
        let decoded = codec::commands(Some(Format::Bincode), &frame, RULES_NEWEST);
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

/// What the contract page has, both formats say alike.
#[test]
fn commands_by_example() {
    let mut all = Vec::new();
    for (line, json) in contract_page::examples() {
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        if value.get("outcome").is_some() {
            continue;
        }
        let decoded: Vec<_> = codec::commands(Some(Format::Json), json.as_bytes(), RULES_NEWEST).collect();
        let [Ok(command)] = &decoded[..] else { panic!("line {line}: {decoded:?}") };
        assert!(value.get(command.kind().name()).is_some());
        let commands = std::slice::from_ref(command);
        let written = codec::encode_commands(Format::Json, commands);
        let again: Vec<_> = codec::commands(Some(Format::Json), &written, RULES_NEWEST).collect();
        assert_eq!(again, [Ok(command.clone())], "line {line}");
        let frame = codec::encode_commands(Format::Bincode, commands);
        assert_eq!(frame, frame_of(&[codec::encode_command(command)]));
        let again: Vec<_> = codec::commands(Some(Format::Bincode), &frame, RULES_NEWEST).collect();
        assert_eq!(again, [Ok(command.clone())], "line {line}");
        all.push(json);
    }
    let array = format!("[{}]", all.join(","));
    let together: Vec<_> = codec::commands(Some(Format::Json), array.as_bytes(), RULES_NEWEST).collect();
    assert_eq!(together.len(), all.len());
    assert!(together.iter().all(Result::is_ok));
}

fn check_outcome(outcome: &Outcome<'_>) -> Vec<u8> {
    let json = serde_json::to_string(outcome).unwrap();
    let again: Outcome<'_> = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(again, *outcome, "{json}");
    let mut bytes = Vec::new();
    let start = codec::encode_outcome(&mut bytes, &outcome.decision, outcome.identity(), outcome.at);
    bytes.drain(..start);
    if let Some(bincode) = refused_of(outcome) {
        assert_eq!(bytes, bincode, "{json}");
    }
    assert_eq!(codec::decode_outcome(&bytes).unwrap(), *outcome);
    let mut written = Vec::new();
    codec::JsonOutcomes::default().write(&mut written, &bytes).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), json);
    bytes
}

#[test]
fn outcomes_by_example() {
    let mut frame = codec::FrameWriter::new();
    let mut all = Vec::new();
    for (line, json) in contract_page::examples() {
        if !json.starts_with("{\"outcome\"") {
            continue;
        }
        let outcome: Outcome<'_> =
            serde_json::from_str(&json).unwrap_or_else(|error| panic!("line {line}: {error}"));
        frame.push(&check_outcome(&outcome));
        all.push(json);
    }
    // Both formats of an append say the same.
    let json = format!("[{}]", all.join(","));
    let frame = frame.finish();
    let one = codec::outcomes(Format::Json, json.as_bytes()).unwrap();
    let other = codec::outcomes(Format::Bincode, &frame).unwrap();
    assert_eq!(one, other);
    assert_eq!(one.len(), all.len());
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
                if let Command::Place(place) = command {
                    prop_assert_eq!(&bytes, &place_of(place));
                }
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

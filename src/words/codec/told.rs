//! Outcomes as whoever waits for some of them reads them: cut apart, each with its identity, without reading all that they say.
//!
//! An outcome in JSON ends with its identity and time, as Weir writes it; one that does not is read as a whole. A test holds both ways
//! together.

use super::frame::{self, decode_outcome, write_element};
use super::{Format, NotOutcomes};
use crate::words::identity::Identity;
use crate::words::outcome::{Decision, Outcome, Reason};
use crate::words::reply::{DoorReply, Reply};

/// One outcome of an append, and what its reader must know to find whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// Who it is.
    pub identity: Identity,
    /// Whether it answers its command, rather than tells of another's order.
    pub is_answer: bool,
    /// Whether it refuses its command only because of what else was in the message: sent alone, it is decided.
    pub too_large: bool,
    /// Whether it refuses its command for want of room: that is no answer in time.
    pub busy: bool,
    /// The outcome, as the append has it.
    pub bytes: &'a [u8],
}

/// Gives each outcome of an append's payload, in order.
pub fn told<'a>(
    format: Format,
    payload: &'a [u8],
    mut each: impl FnMut(Told<'a>),
) -> Result<(), NotOutcomes> {
    match format {
        Format::Bincode => {
            for element in frame::Elements::new(payload) {
                let bytes = element.map_err(|error| NotOutcomes(error.reason))?;
                let outcome = decode_outcome(bytes).map_err(|error| NotOutcomes(error.reason))?;
                each(of(&outcome, bytes));
            }
            Ok(())
        }
        Format::Json => told_json(payload, each),
    }
}

fn of<'a>(outcome: &Outcome<'_>, bytes: &'a [u8]) -> Told<'a> {
    let refused =
        |why: Reason| matches!(&outcome.decision, Decision::Refused { reason, .. } if *reason == why);
    Told {
        identity: outcome.identity(),
        is_answer: outcome.decision.is_answer(),
        too_large: refused(Reason::MessageTooLarge),
        busy: refused(Reason::Busy),
        bytes,
    }
}

fn told_json<'a>(payload: &'a [u8], mut each: impl FnMut(Told<'a>)) -> Result<(), NotOutcomes> {
    let broken = || NotOutcomes("not an array of objects".to_owned());
    let mut at = behind_white(payload, 0);
    if payload.get(at) != Some(&b'[') {
        return Err(broken());
    }
    at = behind_white(payload, at + 1);
    if payload.get(at) == Some(&b']') {
        return Ok(());
    }
    loop {
        let end = end_of_object(payload, at).ok_or_else(broken)?;
        let bytes = &payload[at..end];
        each(match quick(bytes) {
            Some(told) => told,
            None => {
                of(&serde_json::from_slice(bytes).map_err(|error| NotOutcomes(error.to_string()))?, bytes)
            }
        });
        at = behind_white(payload, end);
        match payload.get(at) {
            Some(b',') => at = behind_white(payload, at + 1),
            Some(b']') => return Ok(()),
            _ => return Err(broken()),
        }
    }
}

/// Reads an outcome from its two ends, as Weir writes it.
fn quick(object: &[u8]) -> Option<Told<'_>> {
    /// `,"at":"2026-11-22T03:00:00.123Z"}`
    const TIME_BYTES: usize = 33;
    let head = object.strip_prefix(br#"{"outcome":""#)?;
    let (rest, time) = object.split_at_checked(object.len().checked_sub(TIME_BYTES)?)?;
    if !time.starts_with(br#","at":""#) || !time.ends_with(br#"Z"}"#) {
        return None;
    }
    let (rest, last) = number_behind(rest)?;
    let (rest, index, place) = match rest.strip_suffix(br#","place":"#) {
        Some(rest) => {
            let (rest, index) = number_behind(rest)?;
            (rest, index, last)
        }
        None => (rest, last, 0),
    };
    let (rest, sequence) = number_behind(rest.strip_suffix(br#","index":"#)?)?;
    let rest = rest.strip_suffix(br#","sequence":"#)?;
    let identity =
        Identity { sequence, index: u32::try_from(index).ok()?, place: u32::try_from(place).ok()? };
    // What stands in a string has its quotes behind backslashes, so that no text can look like a field.
    let is_answer = !(head.starts_with(b"expired\"")
        || head.starts_with(b"shortfall\"")
        || head.starts_with(b"confirmed\"") && contains(rest, br#","released":true"#));
    let refused = |reason| head.starts_with(b"refused\"") && contains(rest, reason);
    let too_large = refused(br#","reason":"message_too_large""#);
    let busy = refused(br#","reason":"busy""#);
    Some(Told { identity, is_answer, too_large, busy, bytes: object })
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window == what)
}

/// The number that a text ends with, and what stands before it.
fn number_behind(text: &[u8]) -> Option<(&[u8], u64)> {
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, number) = text.split_at(text.len() - digits);
    if digits == 0 || digits > 19 {
        return None;
    }
    Some((before, number.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))))
}

fn behind_white(payload: &[u8], mut at: usize) -> usize {
    while payload.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Behind the closing bracket of the object that begins at `at`.
fn end_of_object(payload: &[u8], mut at: usize) -> Option<usize> {
    if payload.get(at) != Some(&b'{') {
        return None;
    }
    let mut open = 0_usize;
    loop {
        match *payload.get(at)? {
            b'"' => {
                at += 1;
                loop {
                    match *payload.get(at)? {
                        b'"' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => {
                open -= 1;
                if open == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// A reply in bincode's format, without a frame.
///
/// # Panics
/// Never: the types hold nothing that cannot be written.
#[must_use]
pub fn encode_reply(reply: &Reply<'_>) -> Vec<u8> {
    frame::encode_reply(reply)
}

/// Reads one reply in bincode's format, without a frame.
pub fn decode_reply(bytes: &[u8]) -> Result<Reply<'_>, NotOutcomes> {
    frame::decode_reply(bytes).map_err(|undecodable| NotOutcomes(undecodable.reason))
}

/// The replies of a frame, one by one as they stand there; [`decode_reply`] reads each.
pub fn reply_elements(payload: &[u8]) -> Result<Vec<&[u8]>, NotOutcomes> {
    let elements = frame::Elements::new(payload);
    elements.map(|element| element.map_err(|error| NotOutcomes(error.reason))).collect()
}

/// The replies of a payload: JSON (one, or an array of them) or a frame.
pub fn replies(format: Format, payload: &[u8]) -> Result<Vec<Reply<'_>>, NotOutcomes> {
    match format {
        Format::Json if payload.get(behind_white(payload, 0)) == Some(&b'[') => {
            serde_json::from_slice(payload).map_err(|error| NotOutcomes(error.to_string()))
        }
        Format::Json => serde_json::from_slice(payload)
            .map(|one| vec![one])
            .map_err(|error| NotOutcomes(error.to_string())),
        Format::Bincode => frame::Elements::new(payload)
            .map(|element| element.map_err(|error| NotOutcomes(error.reason)).and_then(decode_reply))
            .collect(),
    }
}

/// Appends a door's own reply in a format, as an element of an array or a frame has it, without what stands around it.
///
/// # Panics
/// Never: the types hold nothing that cannot be written.
pub fn write_door_reply(format: Format, bytes: &mut Vec<u8>, reply: DoorReply<'_>) {
    match format {
        Format::Json => {
            serde_json::to_writer(bytes, &reply)
                .expect("memory takes whatever is written, and a reply is JSON");
        }
        Format::Bincode => bytes.extend_from_slice(&frame::encode_reply(&Reply::Door(reply))),
    }
}

/// Writes decided outcomes as replies, from the format of an outcome stream to a requester's.
#[derive(Debug, Default)]
pub struct DecidedReplies {
    json: super::JsonOutcomes,
}

impl DecidedReplies {
    /// Appends one outcome as a reply, without what stands around it. What is no outcome is an error, and appends nothing.
    pub fn write(
        &mut self,
        (from, outcome): (Format, &[u8]),
        to: Format,
        bytes: &mut Vec<u8>,
    ) -> Result<(), NotOutcomes> {
        match (from, to) {
            (Format::Json, Format::Json) => bytes.extend_from_slice(outcome),
            (Format::Bincode, Format::Json) => {
                self.json.write(bytes, outcome).map_err(|undecodable| NotOutcomes(undecodable.reason))?;
            }
            (Format::Bincode, Format::Bincode) => {
                bytes.push(DECIDED);
                bytes.extend_from_slice(outcome);
            }
            (Format::Json, Format::Bincode) => {
                let outcome: Outcome<'_> =
                    serde_json::from_slice(outcome).map_err(|error| NotOutcomes(error.to_string()))?;
                bytes.extend_from_slice(&frame::encode_reply(&Reply::Decided(outcome)));
            }
        }
        Ok(())
    }
}

/// The tag of [`Reply::Decided`].
const DECIDED: u8 = 0;

/// Gathers elements into one payload: a frame, an array, or the one element where only one was asked for.
#[must_use]
pub fn write_replies<'e>(
    format: Format,
    many: bool,
    elements: impl ExactSizeIterator<Item = &'e [u8]>,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(elements.len() * 128);
    match format {
        Format::Json if many => {
            bytes.push(b'[');
            for (place, element) in elements.enumerate() {
                if place > 0 {
                    bytes.push(b',');
                }
                bytes.extend_from_slice(element);
            }
            bytes.push(b']');
        }
        Format::Json => elements.for_each(|element| bytes.extend_from_slice(element)),
        Format::Bincode => {
            bytes.push(super::FRAME_VERSION);
            super::write_varint(&mut bytes, elements.len() as u64);
            for element in elements {
                write_element(&mut bytes, |bytes| bytes.extend_from_slice(element));
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::codec::{FrameWriter, encode_outcome, write_json_outcome};
    use crate::words::command::CommandKind;
    use crate::words::outcome::{Repeat, Shortage, State, Subject, True};
    use crate::words::timestamp::Timestamp;

    fn samples() -> Vec<Outcome<'static>> {
        let at: Timestamp = "2026-11-22T03:00:00.123Z".parse().unwrap();
        let confirmed = |id: &'static str, released| Decision::Confirmed {
            order_id: id.into(),
            pay_by: Some(at),
            lines: vec![],
            shortages: vec![],
            released,
            repeat: None,
        };
        let refused = |reason, detail: Option<&'static str>| Decision::Refused {
            command: CommandKind::Place,
            subject: Some(Subject::OrderId("O\",\"released\":true".into())),
            reason,
            detail: detail.map(Into::into),
            shortages: vec![Shortage { sku: "}]\\\"".into(), requested: 2, available: 0 }],
            order_state: None,
            repeat: Some(Repeat { duplicate: True, first_sequence: 9, state: Some(State::Paid) }),
        };
        [
            confirmed("O-1", false),
            confirmed("O-1", true),
            confirmed(",\"released\":true", false),
            refused(Reason::MessageTooLarge, None),
            refused(Reason::Busy, None),
            refused(Reason::InsufficientStock, Some(",\"reason\":\"message_too_large\"")),
            Decision::Expired { order_id: "O".into(), lines: vec![], state: State::Expired },
            Decision::Shortfall { order_id: "O".into(), site: "s".into(), sku: "é".into(), quantity: 3 },
            Decision::PolicyApplied { rules: 1 },
        ]
        .into_iter()
        .zip([0, 0, 1, 0, 0, 2, 0, 0, u32::MAX])
        .zip(1..)
        .map(|((decision, place), sequence)| Outcome {
            decision,
            sequence: if sequence == 9 { u64::MAX } else { sequence },
            index: 7,
            place,
            at,
        })
        .collect()
    }

    #[test]
    fn outcomes_are_cut_apart_as_they_are_read() {
        let outcomes = samples();
        let json = serde_json::to_vec(&outcomes).unwrap();
        let mut spaced = b" [ ".to_vec();
        for (place, outcome) in outcomes.iter().enumerate() {
            if place > 0 {
                spaced.extend_from_slice(b" , ");
            }
            write_json_outcome(&mut spaced, outcome);
        }
        spaced.extend_from_slice(b" ]");
        let mut frame = FrameWriter::new();
        for outcome in &outcomes {
            let mut bytes = Vec::new();
            let start = encode_outcome(&mut bytes, &outcome.decision, outcome.identity(), outcome.at);
            frame.push(&bytes[start..]);
        }
        for (format, payload) in
            [(Format::Json, json), (Format::Json, spaced), (Format::Bincode, frame.finish())]
        {
            let mut all = Vec::new();
            told(format, &payload, |one| all.push(one)).unwrap();
            assert_eq!(all.len(), outcomes.len());
            for (one, outcome) in all.iter().zip(&outcomes) {
                assert_eq!(*one, of(outcome, one.bytes), "{outcome:?}");
            }
        }
    }

    #[test]
    fn what_is_written_otherwise_is_read_as_a_whole() {
        let outcome = &samples()[0];
        let value = serde_json::to_value(outcome).unwrap();
        // Keys in another order.
        let payload = serde_json::to_vec(&[value]).unwrap();
        let mut all = Vec::new();
        told(Format::Json, &payload, |one| all.push(one.identity)).unwrap();
        assert_eq!(all, [outcome.identity()]);
        told(Format::Json, b"[]", |_| panic!("nothing")).unwrap();
        for broken in [&b""[..], b"{", b"[", b"[{", b"[{}]", b"[1]", b"[{\"a\":\"", b"[{\"a\\"] {
            assert!(told(Format::Json, broken, |_| ()).is_err(), "{}", broken.escape_ascii());
        }
    }

    #[test]
    fn every_way_from_stream_to_requester_gives_the_same() {
        for outcome in samples() {
            let mut json = Vec::new();
            write_json_outcome(&mut json, &outcome);
            let mut bincode = Vec::new();
            let start = encode_outcome(&mut bincode, &outcome.decision, outcome.identity(), outcome.at);
            let bincode = &bincode[start..];
            let mut writer = DecidedReplies::default();
            for from in [(Format::Json, json.as_slice()), (Format::Bincode, bincode)] {
                for to in [Format::Json, Format::Bincode] {
                    let mut element = Vec::new();
                    writer.write(from, to, &mut element).unwrap();
                    for many in [false, true] {
                        let payload =
                            write_replies(to, many, [element.as_slice(), &element][..].iter().copied());
                        if to == Format::Json && !many {
                            continue;
                        }
                        let read = replies(to, &payload).unwrap();
                        assert_eq!(read, [Reply::Decided(outcome.clone()), Reply::Decided(outcome.clone())]);
                    }
                }
            }
        }
    }
}

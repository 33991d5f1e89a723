//! JSON payloads: one command, or an array of them.
//!
//! An array is first split into its elements, so that a bad command spoils only itself. Splitting walks the
//! bytes without recursion; decoding an element is bounded by `serde_json`'s depth limit of 128.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Decoded, Undecodable};
use crate::words::command::{COMMANDS_MAX, Command};
use crate::words::outcome::{Decision, Outcome};
use crate::words::policy::{PolicyChange, RULES_NEWEST};

/// The elements of a JSON payload.
pub(super) struct Elements<'a> {
    state: State<'a>,
}

enum State<'a> {
    Single(&'a [u8]),
    Many(std::vec::IntoIter<&'a RawValue>),
    Failed(Undecodable<'a>),
    Done,
}

impl<'a> Elements<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        let is_array = payload.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        if !is_array {
            return Self { state: State::Single(payload) };
        }
        match serde_json::from_slice::<Vec<&RawValue>>(payload) {
            Ok(elements) if elements.is_empty() => Self::failed(Undecodable::new("an empty array", payload)),
            Ok(elements) if elements.len() > COMMANDS_MAX => {
                Self::failed(Undecodable::new(format_args!("more than {COMMANDS_MAX} commands"), payload))
            }
            Ok(elements) => Self { state: State::Many(elements.into_iter()) },
            Err(error) => Self::failed(Undecodable::new(error, payload)),
        }
    }

    pub(super) const fn failed(undecodable: Undecodable<'a>) -> Self {
        Self { state: State::Failed(undecodable) }
    }

    pub(super) fn is_single(&self) -> bool {
        match &self.state {
            State::Single(_) | State::Failed(_) => true,
            State::Many(elements) => elements.len() == 1,
            State::Done => false,
        }
    }

    pub(super) fn next(&mut self) -> Option<Decoded<'a>> {
        if let State::Many(elements) = &mut self.state {
            return elements.next().map(|element| decode(element.get().as_bytes()));
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Single(bytes) => Some(decode(bytes)),
            State::Failed(undecodable) => Some(Err(undecodable)),
            State::Many(_) | State::Done => None,
        }
    }
}

/// Appends one outcome as JSON.
///
/// # Panics
/// Never: the types hold nothing that cannot be written.
pub fn write_outcome(json: &mut Vec<u8>, outcome: &Outcome<'_>) {
    let written = match &outcome.decision {
        // The commonest, without the detour by which flattened fields are written; a test holds the two together.
        Decision::Confirmed { order_id, pay_by: None, shortages, released: false, repeat: None }
            if shortages.is_empty() && outcome.place == 0 =>
        {
            write_confirmed(json, order_id, outcome)
        }
        _ => serde_json::to_writer(json, outcome),
    };
    written.expect("memory takes whatever is written, and an outcome is JSON");
}

fn write_confirmed(json: &mut Vec<u8>, order_id: &str, outcome: &Outcome<'_>) -> serde_json::Result<()> {
    json.extend_from_slice(br#"{"outcome":"confirmed","order_id":"#);
    serde_json::to_writer(&mut *json, order_id)?;
    json.extend_from_slice(br#","pay_by":null,"sequence":"#);
    serde_json::to_writer(&mut *json, &outcome.sequence)?;
    json.extend_from_slice(br#","index":"#);
    serde_json::to_writer(&mut *json, &outcome.index)?;
    json.extend_from_slice(br#","at":"#);
    serde_json::to_writer(&mut *json, &outcome.at)?;
    json.push(b'}');
    Ok(())
}

fn decode(bytes: &[u8]) -> Decoded<'_> {
    serde_json::from_slice::<Command<'_>>(bytes).or_else(|error| {
        rules_beyond(bytes).map_or_else(
            || Err(Undecodable::new(error, bytes)),
            |rules| Ok(Command::Policy(PolicyChange { rules: Some(rules), ..PolicyChange::default() })),
        )
    })
}

/// The rules version of a policy that this binary cannot read, if it is a newer one: such a record must halt
/// the shard, where any other unreadable one is a dead letter.
fn rules_beyond(bytes: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Peek {
        policy: PeekPolicy,
    }
    #[derive(Deserialize)]
    struct PeekPolicy {
        rules: u32,
    }
    let peek: Peek = serde_json::from_slice(bytes).ok()?;
    (peek.policy.rules > RULES_NEWEST).then_some(peek.policy.rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::outcome::{Repeat, Shortage, True};
    use crate::words::timestamp::Timestamp;

    #[test]
    fn a_confirmed_order_is_written_as_any_other_outcome() {
        let shortage = Shortage { sku: "A".into(), requested: 2, available: 1 };
        let repeat = Repeat { duplicate: True, first_sequence: 3, state: None };
        for order_id in ["O-1", "\"quoted\" \\ \u{1f}", "Köln 日本"] {
            for (pay_by, shortages, released, repeat, place) in [
                (None, vec![], false, None, 0),
                (None, vec![], false, None, 7),
                (Some(Timestamp::ZERO), vec![], false, None, 0),
                (None, vec![shortage.clone()], false, None, 0),
                (None, vec![], true, None, 0),
                (None, vec![], false, Some(repeat), 0),
            ] {
                let order_id = order_id.into();
                let decision = Decision::Confirmed { order_id, pay_by, shortages, released, repeat };
                let at = Timestamp::from_millis(1_763_780_400_123);
                let outcome = Outcome { decision, sequence: u64::MAX, index: 16_383, place, at };
                let mut json = Vec::new();
                write_outcome(&mut json, &outcome);
                assert_eq!(String::from_utf8(json).unwrap(), serde_json::to_string(&outcome).unwrap());
            }
        }
    }
}

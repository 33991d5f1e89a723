//! JSON payloads: one command, or an array of them.
//!
//! An array is first split into its elements, so that a bad command spoils only itself. Splitting walks the
//! bytes without recursion; decoding an element is bounded by `serde_json`'s depth limit of 128.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Decoded, Undecodable};
use crate::words::command::{COMMANDS_MAX, Command};
use crate::words::outcome::{Outcome, Unreadable};
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
            Ok(elements) if elements.is_empty() => {
                Self::failed(Undecodable::new(Unreadable::EmptyPayload, "an empty array", payload))
            }
            Ok(elements) if elements.len() > COMMANDS_MAX => Self::failed(Undecodable::new(
                Unreadable::TooManyCommands,
                format_args!("more than {COMMANDS_MAX} commands"),
                payload,
            )),
            Ok(elements) => Self { state: State::Many(elements.into_iter()) },
            Err(error) => Self::failed(Undecodable::new(Unreadable::MalformedPayload, error, payload)),
        }
    }

    const fn failed(undecodable: Undecodable<'a>) -> Self {
        Self { state: State::Failed(undecodable) }
    }

    pub(super) fn is_single(&self) -> bool {
        match &self.state {
            State::Single(_) | State::Failed(_) => true,
            State::Many(elements) => elements.len() == 1,
            State::Done => false,
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], Undecodable<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let State::Many(elements) = &mut self.state {
            return elements.next().map(|element| Ok(element.get().as_bytes()));
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Single(bytes) => Some(Ok(bytes)),
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
    serde_json::to_writer(json, outcome).expect("memory takes whatever is written, and an outcome is JSON");
}

pub(super) fn decode(bytes: &[u8]) -> Decoded<'_> {
    serde_json::from_slice::<Command<'_>>(bytes).or_else(|error| {
        rules_beyond(bytes).map_or_else(
            || Err(Undecodable::element(error, bytes)),
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

//! JSON payloads: one command, or an array of them.
//!
//! An array is first cut into its elements, all of it, so that a bad command spoils only itself and nothing is decided from an array
//! that does not end. A plain `place` is read on the way (`plain`), anything else by serde (`strict`).

mod cut;
mod outcomes;
mod plain;
mod reader;
mod strict;
#[cfg(test)]
mod tests;
mod time;

use serde::Deserialize;

use super::{Decoded, Plain, Undecodable};
use crate::words::command::Command;
use crate::words::outcome::Outcome;
use crate::words::policy::{PolicyChange, RULES_NEWEST};
use crate::words::text::not_printable;

use cut::{Piece, behind_white};
pub use outcomes::JsonOutcomes;

/// The elements of a JSON payload.
pub(super) struct Elements<'a> {
    pieces: std::vec::IntoIter<Piece<'a>>,
    plain: Vec<Plain<'a>>,
    /// How many of those have been given.
    plain_given: usize,
    failed: Option<Undecodable<'a>>,
}

impl<'a> Elements<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        let (pieces, failed) = match cut::cut(payload) {
            Ok(pieces) => (pieces, None),
            Err(failed) => (cut::Pieces::default(), Some(failed)),
        };
        Self { pieces: pieces.all.into_iter(), plain: pieces.plain, plain_given: 0, failed }
    }

    pub(super) fn is_single(&self) -> bool {
        self.pieces.len() + usize::from(self.failed.is_some()) == 1
    }

    /// The next element, where it is a plain one.
    #[inline]
    pub(super) fn next_plain(&mut self) -> Option<&Plain<'a>> {
        if !self.pieces.as_slice().first()?.is_plain {
            return None;
        }
        self.pieces.next();
        self.plain_given += 1;
        self.plain.get(self.plain_given - 1)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], Undecodable<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(piece) = self.pieces.next() else { return self.failed.take().map(Err) };
        self.plain_given += usize::from(piece.is_plain);
        Some(Ok(piece.bytes))
    }
}

/// Appends one outcome as JSON.
///
/// # Panics
/// Never: the types hold nothing that cannot be written.
pub fn write_outcome(json: &mut Vec<u8>, outcome: &Outcome<'_>) {
    serde_json::to_writer(json, outcome).expect("memory takes whatever is written, and an outcome is JSON");
}

/// Reads any element.
pub(super) fn decode(bytes: &[u8]) -> Decoded<'_> {
    strict::command(bytes).or_else(|error| {
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
    let peek: Peek = strict::from_slice(bytes).ok()?;
    (peek.policy.rules > RULES_NEWEST).then_some(peek.policy.rules)
}

/// The high bits of those bytes of a word that are not printable ASCII, or mean something in a JSON string: quotes and backslashes.
/// Only the first (lowest) is sure to be one.
#[inline(always)]
const fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    // The subtraction borrows from a byte that is zero; what lies above such a one may be wrong.
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    let quotes = quotes.wrapping_sub(ONES) & !quotes & HIGH;
    let backslashes = backslashes.wrapping_sub(ONES) & !backslashes & HIGH;
    quotes | backslashes | not_printable(word)
}

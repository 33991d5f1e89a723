//! A payload is cut into its elements, all of it, before the first is looked at.
//!
//! An array's elements are what stands between its commas, whatever that is: what is broken within one spoils that one. Brackets are
//! only counted, and strings stepped over, so that nothing recurs and no byte is looked at more than twice. Plain places are read on
//! the way, as reading one costs no more than stepping over it.

use super::plain;
use crate::words::codec::{Plain, Undecodable};
use crate::words::command::COMMANDS_MAX;
use crate::words::outcome::Unreadable;

/// A plain place takes about so many bytes: a guess, for the memory taken at first.
const PLAIN_BYTES: usize = 128;

/// An element: its bytes without the white around them, and whether it is the next of the plain ones.
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) is_plain: bool,
}

/// All elements of a payload, at least one, and those of them that are plain.
#[derive(Default)]
pub(super) struct Pieces<'a> {
    pub(super) all: Vec<Piece<'a>>,
    pub(super) plain: Vec<Plain<'a>>,
}

/// Cuts a payload.
pub(super) fn cut(payload: &[u8]) -> Result<Pieces<'_>, Undecodable<'_>> {
    let begin = behind_white(payload, 0);
    match payload.get(begin) {
        None => Err(Undecodable::new(Unreadable::EmptyPayload, "an empty payload", payload)),
        Some(b'[') => cut_array(payload, begin + 1),
        Some(_) => {
            let mut plain = Vec::with_capacity(1);
            let end = plain::read(payload, begin, &mut plain);
            let is_plain = end.is_some_and(|end| behind_white(payload, end) == payload.len());
            Ok(Pieces { all: vec![Piece { bytes: payload, is_plain }], plain })
        }
    }
}

/// `at` is behind the array's opening bracket.
fn cut_array(payload: &[u8], mut at: usize) -> Result<Pieces<'_>, Undecodable<'_>> {
    let malformed = |reason: &str| Undecodable::new(Unreadable::MalformedPayload, reason, payload);
    let guess = (payload.len() / PLAIN_BYTES).min(COMMANDS_MAX);
    let mut pieces = Pieces { all: Vec::with_capacity(guess), plain: Vec::with_capacity(guess) };
    let mut too_many = false;
    loop {
        let begin = behind_white(payload, at);
        let plain = pieces.plain.len();
        let end =
            element(payload, begin, &mut pieces.plain).ok_or_else(|| malformed("the array does not end"))?;
        let is_plain = pieces.plain.len() > plain;
        let after = behind_white(payload, end);
        let closes = match payload.get(after) {
            Some(b',') => false,
            Some(b']') => true,
            _ => return Err(malformed("brackets that do not match")),
        };
        too_many |= pieces.all.len() == COMMANDS_MAX;
        if too_many {
            pieces.plain.truncate(COMMANDS_MAX);
        } else {
            pieces.all.push(Piece { bytes: &payload[begin..end], is_plain });
        }
        at = after + 1;
        if closes {
            break;
        }
    }
    if behind_white(payload, at) < payload.len() {
        return Err(malformed("bytes behind the array"));
    }
    if too_many {
        let reason = format_args!("more than {COMMANDS_MAX} commands");
        return Err(Undecodable::new(Unreadable::TooManyCommands, reason, payload));
    }
    match pieces.all.as_slice() {
        [Piece { bytes: [], .. }] => {
            Err(Undecodable::new(Unreadable::EmptyPayload, "an empty array", payload))
        }
        _ => Ok(pieces),
    }
}

/// Where the element that begins at `begin` ends. It is added to `plain` where it is a plain one.
#[inline]
fn element<'a>(payload: &'a [u8], begin: usize, plain: &mut Vec<Plain<'a>>) -> Option<usize> {
    if let Some(end) = plain::read(payload, begin, plain) {
        if matches!(payload.get(end), Some(b',' | b']')) || ends(payload, end) {
            return Some(end);
        }
        plain.pop();
    }
    step_over(payload, begin)
}

/// Whether nothing of an element comes behind `end`.
fn ends(payload: &[u8], end: usize) -> bool {
    matches!(payload.get(behind_white(payload, end)), Some(b',' | b']'))
}

/// Where the element that begins at `begin` ends, white behind it left out: at the comma or bracket that is not its own.
fn step_over(payload: &[u8], begin: usize) -> Option<usize> {
    let mut open = 0_usize;
    let mut at = begin;
    loop {
        match *payload.get(at)? {
            b'"' => at = end_of_string(payload, at + 1)?,
            b'{' | b'[' => open += 1,
            b'}' | b']' | b',' if open == 0 => break,
            b'}' | b']' => open -= 1,
            _ => {}
        }
        at += 1;
    }
    let white = payload[begin..at].iter().rev().take_while(|byte| is_white(**byte)).count();
    Some(at - white)
}

/// The closing quote of the string whose content begins at `at`.
fn end_of_string(payload: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *payload.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The first byte from `at` on that is not white, or the payload's end.
#[inline]
pub(super) fn behind_white(payload: &[u8], mut at: usize) -> usize {
    while payload.get(at).is_some_and(|byte| is_white(*byte)) {
        at += 1;
    }
    at
}

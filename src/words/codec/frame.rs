//! Frames: many commands or outcomes in bincode's wire format (variable-length integers, little endian).
//!
//! A frame is the version byte, the number of elements, and each element behind its length in bytes: bincode's
//! own encoding of `(u8, Vec<Vec<u8>>)`, so that any bincode library can write one. The lengths let a reader
//! step over an element that it cannot read.

mod plain;
#[cfg(test)]
mod tests;

use wincode::config::Configuration;

use super::{Decoded, Undecodable};
use crate::words::command::{COMMANDS_MAX, Command, ELEMENTS_MAX};
use crate::words::identity::Identity;
use crate::words::outcome::{Decision, Outcome, Unreadable};
use crate::words::policy::{PolicyChange, RULES_NEWEST};
use crate::words::reply::Reply;
use crate::words::text::{ID_BYTES_MAX, Id};
use crate::words::timestamp::Timestamp;
pub(super) use plain::{read as read_plain, read_bare};

/// The frame version that this binary writes, and the only one there is.
pub const FRAME_VERSION: u8 = 1;

/// No list of a hostile element may claim more memory than this before its bytes are seen.
const PREALLOCATION_BYTES_MAX: usize = 1 << 20;

macro_rules! reading {
    () => {
        Configuration::default()
            .with_varint_encoding()
            .with_preallocation_size_limit::<PREALLOCATION_BYTES_MAX>()
    };
}

/// Commands, and outcomes: `motion::publishing` keeps to the same bound.
const ELEMENTS_PER_FRAME_MAX: u64 = COMMANDS_MAX as u64;

/// Writing has no such limit: what is in memory already costs no more, and a writer must not panic over it.
macro_rules! writing {
    () => {
        Configuration::default().with_varint_encoding().disable_preallocation_size_limit()
    };
}

/// The elements of a frame, as bytes.
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    left: u64,
    single: bool,
    failed: Option<Undecodable<'a>>,
}

impl<'a> Elements<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        let failed = |code, reason: &str| Self {
            rest: &[],
            left: 0,
            single: true,
            failed: Some(Undecodable::new(code, reason, payload)),
        };
        let Some((&version, mut rest)) = payload.split_first() else {
            return failed(Unreadable::EmptyPayload, "an empty payload");
        };
        if version != FRAME_VERSION {
            return failed(Unreadable::MalformedPayload, &format!("frame version {version} is not known"));
        }
        match read_varint(&mut rest) {
            None => failed(Unreadable::MalformedPayload, "the frame ends within its count"),
            Some(0) => failed(Unreadable::EmptyPayload, "an empty frame"),
            Some(left) if left > ELEMENTS_PER_FRAME_MAX => failed(
                Unreadable::TooManyCommands,
                &format!("more than {ELEMENTS_PER_FRAME_MAX} elements in a frame"),
            ),
            Some(left) => Self { rest, left, single: left == 1, failed: None },
        }
    }

    pub(super) const fn is_single(&self) -> bool {
        self.single
    }

    fn fail(&mut self, reason: &str) -> Undecodable<'a> {
        self.left = 0;
        Undecodable::new(Unreadable::MalformedPayload, reason, std::mem::take(&mut self.rest))
    }
}

impl<'a> Elements<'a> {
    /// The next element: all bytes from its first on, and how many of them are its own.
    #[inline]
    pub(super) fn next_bytes(&mut self) -> Option<Result<(&'a [u8], usize), Undecodable<'a>>> {
        if self.left == 0 {
            return self.last().map(Err);
        }
        let before = self.rest;
        let length = read_varint(&mut self.rest).and_then(|length| usize::try_from(length).ok());
        let Some((length, rest)) = length.and_then(|length| Some((length, self.rest.get(length..)?))) else {
            self.rest = before;
            return Some(Err(self.fail("the frame ends within an element")));
        };
        let bytes = std::mem::replace(&mut self.rest, rest);
        self.left -= 1;
        Some(Ok((bytes, length)))
    }

    /// Takes the next element if `reads` it.
    #[inline]
    pub(super) fn next_if(&mut self, reads: impl FnOnce(&'a [u8], usize) -> bool) -> bool {
        if self.left == 0 {
            return false;
        }
        let before = (self.rest, self.left);
        let taken = matches!(self.next_bytes(), Some(Ok((bytes, length))) if reads(bytes, length));
        if !taken {
            (self.rest, self.left) = before;
        }
        taken
    }

    /// What is wrong with the frame as a whole, once the elements are at their end.
    #[cold]
    fn last(&mut self) -> Option<Undecodable<'a>> {
        match self.failed.take() {
            None if self.rest.is_empty() => None,
            None => Some(self.fail("bytes behind the last element")),
            failed => failed,
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], Undecodable<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_bytes()?;
        Some(next.map(|(bytes, length)| &bytes[..length]))
    }
}

/// Reads one of bincode's variable-length unsigned integers.
#[inline]
pub(crate) fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    let (number, rest) = match first {
        0..=250 => (first.into(), rest),
        251 => rest.split_first_chunk().map(|(number, rest)| (u16::from_le_bytes(*number).into(), rest))?,
        252 => rest.split_first_chunk().map(|(number, rest)| (u32::from_le_bytes(*number).into(), rest))?,
        253 => rest.split_first_chunk().map(|(number, rest)| (u64::from_le_bytes(*number), rest))?,
        _ => return None,
    };
    *bytes = rest;
    Some(number)
}

/// Writes one of bincode's variable-length unsigned integers.
pub(crate) fn write_varint(bytes: &mut Vec<u8>, value: u64) {
    let wide = value.to_le_bytes();
    match value {
        0..=250 => bytes.push(wide[0]),
        251..=0xffff => {
            bytes.push(251);
            bytes.extend_from_slice(&wide[..2]);
        }
        0x1_0000..=0xffff_ffff => {
            bytes.push(252);
            bytes.extend_from_slice(&wide[..4]);
        }
        _ => {
            bytes.push(253);
            bytes.extend_from_slice(&wide);
        }
    }
}

/// Appends an element behind its length, and gives where it begins.
pub(super) fn write_element(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> usize {
    let start = bytes.len();
    // Nearly every element is short enough for a length of one byte.
    bytes.push(0);
    write(bytes);
    let length = bytes.len() - start - 1;
    if let Ok(short @ ..=250) = u8::try_from(length) {
        bytes[start] = short;
        return start + 1;
    }
    let mut wide = Vec::with_capacity(9);
    write_varint(&mut wide, length as u64);
    let begin = start + wide.len();
    bytes.splice(start..=start, wide);
    begin
}

/// Gathers elements into a frame.
#[derive(Debug, Default)]
pub struct FrameWriter {
    elements: Vec<u8>,
    count: u64,
}

impl FrameWriter {
    /// An empty frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an element.
    pub fn push(&mut self, element: &[u8]) {
        write_varint(&mut self.elements, element.len() as u64);
        self.elements.extend_from_slice(element);
        self.count += 1;
    }

    /// Adds a command, in place: who writes many needs no vector for each.
    ///
    /// # Panics
    /// Never: the types hold nothing that cannot be written.
    pub fn push_command(&mut self, command: &Command<'_>) {
        write_element(&mut self.elements, |bytes| {
            wincode::config::serialize_into(bytes, command, writing!())
                .expect("memory takes whatever is written");
        });
        self.count += 1;
    }

    /// Adds elements that stand behind their lengths already.
    pub fn push_elements(&mut self, elements: &[u8], count: usize) {
        self.elements.extend_from_slice(elements);
        self.count += count as u64;
    }

    /// How many elements there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes the frame will take, at most.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.elements.len() + 10
    }

    /// The frame's bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.elements.len() + 10);
        frame.push(FRAME_VERSION);
        write_varint(&mut frame, self.count);
        frame.extend_from_slice(&self.elements);
        frame
    }
}

/// One command in bincode's format, without a frame.
///
/// # Panics
/// Never: the types hold nothing that cannot be written.
#[must_use]
pub fn encode_command(command: &Command<'_>) -> Vec<u8> {
    wincode::config::serialize(command, writing!()).expect("memory takes whatever is written")
}

/// One command, without a frame.
pub(super) fn decode(bytes: &[u8]) -> Decoded<'_> {
    let error = match wincode::config::deserialize_exact::<Command<'_>, _>(bytes, reading!()) {
        // As in JSON, where the bound stands before the memory is taken; here the preallocation bound does that.
        Ok(command) if command.content().longest_list() > ELEMENTS_MAX => {
            Undecodable::element(format_args!("more than {ELEMENTS_MAX} elements"), bytes)
        }
        Ok(command) => return Ok(command),
        Err(error) => Undecodable::element(error, bytes),
    };
    rules_beyond(bytes).map_or(Err(error), |rules| {
        Ok(Command::Policy(PolicyChange { rules: Some(rules), ..PolicyChange::default() }))
    })
}

/// As in [`super::json`]: the rules version of a policy that this binary cannot read, if it is a newer one.
/// It stands first in the policy, behind the tag and the option's own byte.
fn rules_beyond(bytes: &[u8]) -> Option<u32> {
    const TAG_POLICY: u64 = 10;
    let mut rest = bytes;
    if read_varint(&mut rest)? != TAG_POLICY {
        return None;
    }
    let mut rest = rest.strip_prefix(&[1])?;
    let rules = u32::try_from(read_varint(&mut rest)?).ok()?;
    (rules > RULES_NEWEST).then_some(rules)
}

/// Appends one outcome as a frame's element: an [`Outcome`] of these parts in bincode's format, behind its length. Gives where
/// it begins.
///
/// # Panics
/// Never: the types hold nothing that cannot be written.
#[inline]
pub fn encode_outcome(
    bytes: &mut Vec<u8>,
    decision: &Decision<'_>,
    identity: Identity,
    at: Timestamp,
) -> usize {
    match decision {
        Decision::Confirmed { order_id, pay_by, lines, shortages, released, repeat: None }
            if order_id.len() <= ID_BYTES_MAX && lines.is_empty() && shortages.is_empty() =>
        {
            encode_confirmed(bytes, order_id.as_bytes(), (*pay_by, *released), identity, at)
        }
        _ => encode_derived(bytes, decision, identity, at),
    }
}

/// The way of every outcome.
fn encode_derived(bytes: &mut Vec<u8>, decision: &Decision<'_>, identity: Identity, at: Timestamp) -> usize {
    write_element(bytes, |bytes| {
        // A struct's fields follow each other; so written, nothing has to be moved into one first.
        wincode::config::serialize_into(&mut *bytes, decision, writing!())
            .expect("memory takes whatever is written");
        write_varint(bytes, identity.sequence);
        write_varint(bytes, identity.index.into());
        write_varint(bytes, identity.place.into());
        write_varint(bytes, zigzag(at.millis()));
    })
}

/// The way of a confirmation without lines, shortages and repeat, whose id is none longer than an id may be: most outcomes are
/// these. A test holds it and the derived way together.
#[inline]
fn encode_confirmed(
    bytes: &mut Vec<u8>,
    order_id: &[u8],
    (pay_by, released): (Option<Timestamp>, bool),
    identity: Identity,
    at: Timestamp,
) -> usize {
    let start = bytes.len();
    // The element's length comes last, as what follows it is not written yet; then the tag.
    #[expect(clippy::cast_possible_truncation, reason = "at most an id's length")]
    bytes.extend_from_slice(&[0, 0, order_id.len() as u8]);
    write_id(bytes, order_id);
    if let Some(pay_by) = pay_by {
        bytes.push(1);
        write_number(bytes, zigzag(pay_by.millis()));
        bytes.extend_from_slice(&[0, 0, released.into(), 0]);
    } else {
        bytes.extend_from_slice(&[0, 0, 0, released.into(), 0]);
    }
    write_number(bytes, identity.sequence);
    write_number(bytes, identity.index.into());
    write_number(bytes, identity.place.into());
    write_number(bytes, zigzag(at.millis()));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 109: an id of 64 bytes, and numbers as wide as can be"
    )]
    let length = (bytes.len() - start - 1) as u8;
    bytes[start] = length;
    start + 1
}

/// Writes the confirmations of one message whose orders are told nothing else, each as [`encode_outcome`] would as the first outcome of
/// its record: what they have in common is made once.
#[derive(Clone, Copy, Debug)]
pub struct Confirmations {
    sequence: u64,
    pay_by: Option<Timestamp>,
    /// From behind the id to the index: until when to pay, four empty fields and the sequence.
    before: [u8; 32],
    before_length: usize,
    /// Behind the index: the place, 0, and the time.
    behind: [u8; 16],
    behind_length: usize,
}

/// Bytes that a confirmation is written into: it takes at most 105 of them, and from wherever in the first 128 bytes the longest of its
/// pieces can be written.
const CONFIRMATION_WINDOW: usize = 128 + 32;

impl Confirmations {
    /// Those of the message with this sequence, at this log time.
    #[must_use]
    pub fn new(sequence: u64, at: Timestamp) -> Self {
        let (behind, behind_length) = padded(|bytes| {
            bytes.push(0);
            write_varint(bytes, zigzag(at.millis()));
        });
        let (before, before_length) = Self::before(sequence, None);
        Self { sequence, pay_by: None, before, before_length, behind, behind_length }
    }

    fn before(sequence: u64, pay_by: Option<Timestamp>) -> ([u8; 32], usize) {
        padded(|bytes| {
            bytes.push(pay_by.is_some().into());
            if let Some(pay_by) = pay_by {
                write_varint(bytes, zigzag(pay_by.millis()));
            }
            bytes.extend_from_slice(&[0; 4]);
            write_varint(bytes, sequence);
        })
    }

    #[cold]
    fn set_pay_by(&mut self, pay_by: Option<Timestamp>) {
        self.pay_by = pay_by;
        (self.before, self.before_length) = Self::before(self.sequence, pay_by);
    }

    /// Appends one, behind its length. Its pieces are written in their widest form, each over what the one before has too much.
    #[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
    #[inline(always)]
    pub fn write(&mut self, bytes: &mut Vec<u8>, order_id: Id<'_>, pay_by: Option<Timestamp>, index: u16) {
        if pay_by != self.pay_by {
            self.set_pay_by(pay_by);
        }
        let start = bytes.len();
        bytes.extend_from_slice(&[0; CONFIRMATION_WINDOW]);
        let Some(window) = bytes.last_chunk_mut::<CONFIRMATION_WINDOW>() else { return };
        // Behind the element's length, which is known last: the tag, which is 0, and the id's length.
        let id = order_id.bytes();
        let mut at = 3 + id.len();
        if id.len() <= 16 {
            let [low, high] = order_id.key();
            put(window, 3, &(u128::from(high) << 64 | u128::from(low)).to_le_bytes());
        } else {
            window[3..at].copy_from_slice(id);
        }
        put(window, at, &self.before);
        at += self.before_length;
        let (number, width) =
            if index <= 250 { (index.into(), 1) } else { (u32::from(index) << 8 | 0xfb, 3) };
        put(window, at, &number.to_le_bytes());
        at += width;
        put(window, at, &self.behind);
        at += self.behind_length;
        #[expect(clippy::cast_possible_truncation, reason = "neither is more than 104")]
        let lengths = ((at - 1) as u8, id.len() as u8);
        (window[0], window[2]) = lengths;
        bytes.truncate(start + at);
    }
}

/// Writes a piece at a place below 128. The remainder only tells the compiler so.
#[inline]
fn put<const N: usize>(window: &mut [u8; CONFIRMATION_WINDOW], at: usize, piece: &[u8; N]) {
    window[at % 128..][..N].copy_from_slice(piece);
}

/// What is written, which is at most `N` bytes, with zeros behind it; and its length.
fn padded<const N: usize>(write: impl Fn(&mut Vec<u8>)) -> ([u8; N], usize) {
    let mut bytes = Vec::with_capacity(N);
    write(&mut bytes);
    let length = bytes.len();
    let mut padded = [0; N];
    padded[..length].copy_from_slice(&bytes);
    (padded, length)
}

/// Appends an id. Most have 8 to 16 bytes: two writes of fixed width that overlap are quicker than one of any width.
#[inline]
pub(super) fn write_id(bytes: &mut Vec<u8>, id: &[u8]) {
    match (id.len(), id.first_chunk::<8>(), id.last_chunk::<8>()) {
        (8..=16, Some(head), Some(tail)) => {
            bytes.extend_from_slice(head);
            bytes.truncate(bytes.len() - (16 - id.len()));
            bytes.extend_from_slice(tail);
        }
        _ => bytes.extend_from_slice(id),
    }
}

/// As [`write_varint`], in writes of fixed width.
#[inline]
fn write_number(bytes: &mut Vec<u8>, value: u64) {
    let wide = value.to_le_bytes();
    match value {
        0..=250 => bytes.push(wide[0]),
        251..=0xffff => bytes.extend_from_slice(&[251, wide[0], wide[1]]),
        0x1_0000..=0xffff_ffff => bytes.extend_from_slice(&[252, wide[0], wide[1], wide[2], wide[3]]),
        _ => {
            let mut marked = [253; 9];
            marked[1..].copy_from_slice(&wide);
            bytes.extend_from_slice(&marked);
        }
    }
}

/// 0, -1, 1, -2, … as 0, 1, 2, 3, …
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Reads one outcome in bincode's format, without a frame.
pub fn decode_outcome(bytes: &[u8]) -> Result<Outcome<'_>, Undecodable<'_>> {
    wincode::config::deserialize_exact(bytes, reading!()).map_err(|error| Undecodable::element(error, bytes))
}

/// One reply in bincode's format, without a frame.
pub(super) fn encode_reply(reply: &Reply<'_>) -> Vec<u8> {
    wincode::config::serialize(reply, writing!()).expect("memory takes whatever is written")
}

/// Reads one reply in bincode's format, without a frame.
pub(super) fn decode_reply(bytes: &[u8]) -> Result<Reply<'_>, Undecodable<'_>> {
    wincode::config::deserialize_exact(bytes, reading!()).map_err(|error| Undecodable::element(error, bytes))
}

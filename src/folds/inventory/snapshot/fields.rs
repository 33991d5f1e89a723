//! What records are made of: numbers, times and texts, to bytes and back.
//!
//! Each value has exactly one form, and reading takes no other: numbers are bincode's variable-length integers at their
//! shortest, signed ones in zigzag. Sequences and times stand as differences to those of the record before, and the first of
//! a chunk to 0: most of them take a byte.

use crate::words::codec::{read_varint, write_varint, zigzag};
use crate::words::text::is_id;
use crate::words::timestamp::Timestamp;

/// What is wrong with a record.
pub(super) type Wrong = &'static str;
/// A value that was read, or what is wrong.
pub(super) type Read<T> = Result<T, Wrong>;

const ENDS: Wrong = "a record ends too soon";

/// The sequence and the time that the next ones are told from.
#[derive(Debug, Default)]
struct Before {
    sequence: u64,
    at: i64,
}

/// A chunk's payload that is being written, behind room for the chunk's header.
#[derive(Debug, Default)]
pub(super) struct Payload {
    pub(super) bytes: Vec<u8>,
    before: Before,
}

impl Payload {
    /// Takes away what was written; a new chunk begins.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.before = Before::default();
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// A number, at its shortest.
    pub(super) fn number(&mut self, number: impl Into<u64>) {
        write_varint(&mut self.bytes, number.into());
    }

    /// How many there are of something.
    pub(super) fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    pub(super) fn signed(&mut self, number: i64) {
        self.number(zigzag(number));
    }

    /// Eight bytes, for numbers that are seldom small.
    pub(super) fn hash(&mut self, hash: u64) {
        self.bytes.extend_from_slice(&hash.to_le_bytes());
    }

    /// A text of at most 250 bytes.
    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn sequence(&mut self, sequence: u64) {
        let before = std::mem::replace(&mut self.before.sequence, sequence);
        self.signed(sequence.wrapping_sub(before).cast_signed());
    }

    pub(super) fn time(&mut self, time: Timestamp) {
        let before = std::mem::replace(&mut self.before.at, time.millis());
        self.signed(time.millis() - before);
    }
}

/// A chunk's payload that is being read.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    before: Before,
    /// The newest sequence that there may be.
    newest: u64,
    /// The latest time that there may be.
    now: Timestamp,
}

impl<'a> Fields<'a> {
    /// A payload of a state at a sequence and a log time.
    pub(super) const fn new(payload: &'a [u8], newest: u64, now: Timestamp) -> Self {
        Self { rest: payload, before: Before { sequence: 0, at: 0 }, newest, now }
    }

    /// How many bytes are left.
    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    /// Nothing must be left.
    pub(super) fn end(&self) -> Read<()> {
        if self.rest.is_empty() { Ok(()) } else { Err("bytes behind the last field") }
    }

    fn bytes(&mut self, count: usize) -> Read<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(ENDS)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Read<u8> {
        let (&byte, rest) = self.rest.split_first().ok_or(ENDS)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(super) fn number(&mut self) -> Read<u64> {
        let left = self.rest.len();
        let number = read_varint(&mut self.rest).ok_or(ENDS)?;
        let shortest = match number {
            0..=250 => 1,
            251..=0xffff => 3,
            0x1_0000..=0xffff_ffff => 5,
            _ => 9,
        };
        if left - self.rest.len() == shortest { Ok(number) } else { Err("a number is not at its shortest") }
    }

    /// A number of at most `most`, as whatever holds those.
    #[inline]
    pub(super) fn at_most<T: TryFrom<u64>>(&mut self, most: u64, what: Wrong) -> Read<T> {
        let number = self.number()?;
        if number > most {
            return Err(what);
        }
        T::try_from(number).map_err(|_| what)
    }

    #[inline]
    pub(super) fn signed(&mut self) -> Read<i64> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// A number between `-most` and `most`.
    pub(super) fn signed_within(&mut self, most: i64, what: Wrong) -> Read<i64> {
        let number = self.signed()?;
        if number.unsigned_abs() <= most.unsigned_abs() { Ok(number) } else { Err(what) }
    }

    #[inline]
    pub(super) fn hash(&mut self) -> Read<u64> {
        let (hash, rest) = self.rest.split_first_chunk().ok_or(ENDS)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*hash))
    }

    /// A text that is an id.
    #[inline]
    pub(super) fn id(&mut self) -> Read<&'a str> {
        let length = self.number()?;
        let bytes = self.bytes(usize::try_from(length).map_err(|_| ENDS)?)?;
        let text = str::from_utf8(bytes).map_err(|_| "an id is not UTF-8")?;
        if is_id(text) { Ok(text) } else { Err("an id is empty, too long, or has control characters") }
    }

    /// A sequence that the state has applied.
    #[inline]
    pub(super) fn sequence(&mut self) -> Read<u64> {
        let sequence = self.before.sequence.checked_add_signed(self.signed()?);
        let sequence = sequence.filter(|sequence| (1..=self.newest).contains(sequence));
        self.before.sequence = sequence.ok_or("a sequence that the state has not applied")?;
        Ok(self.before.sequence)
    }

    /// A time that is over.
    #[inline]
    pub(super) fn time(&mut self) -> Read<Timestamp> {
        let time = plus(Timestamp::from_millis(self.before.at), self.signed()?);
        let time =
            time.filter(|time| *time <= self.now).ok_or("a time that lies before 1970 or after log time")?;
        self.before.at = time.millis();
        Ok(time)
    }

    /// A time told from another one.
    pub(super) fn time_from(&mut self, from: Timestamp) -> Read<Timestamp> {
        plus(from, self.signed()?).ok_or("a time that does not lie between 1970 and 9998")
    }
}

/// A time moved by so many milliseconds, if that is a time.
fn plus(time: Timestamp, millis: i64) -> Option<Timestamp> {
    let millis = time.millis().checked_add(millis)?;
    Some(Timestamp::from_millis(millis)).filter(|time| time.millis() == millis)
}

//! What records are made of: numbers, times and texts, to bytes and back.
//!
//! Each value has exactly one form, and reading takes no other: numbers are bincode's variable-length integers at their
//! shortest, signed ones in zigzag. Sequences and times stand as differences to those of the record before, and the first of
//! a chunk to 0: most of them take a byte. A text leaves its length in its record; all texts of a chunk stand together behind
//! its records, so that they are checked together.

use crate::folds::inventory::tables::order::{SEQUENCES_MAX, Ticket};
use crate::words::codec::{read_varint, write_varint, zigzag};
use crate::words::command::COMMANDS_MAX;
use crate::words::text::{ID_BYTES_MAX, has_no_control};
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

/// The length of a chunk's records, before them.
const LENGTH_BYTES: usize = 4;
/// No payload is shorter: a record takes a byte at least.
pub(super) const PAYLOAD_BYTES_MIN: usize = LENGTH_BYTES + 1;

/// A chunk's payload that is being written.
#[derive(Debug, Default)]
pub(super) struct Payload {
    /// What stands before it, and its records behind room for their length.
    bytes: Vec<u8>,
    /// Where it begins.
    start: usize,
    texts: Vec<u8>,
    before: Before,
}

impl Payload {
    /// Begins a new one behind some bytes.
    pub(super) fn begin(&mut self, before: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(before);
        self.start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        self.texts.clear();
        self.before = Before::default();
    }

    /// How many bytes it has by now.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len() - self.start + self.texts.len()
    }

    /// Ends it, and gives what stands before it, and itself.
    pub(super) fn end(&mut self) -> (&mut [u8], &[u8]) {
        let (start, records) = (self.start, self.bytes.len() - self.start - LENGTH_BYTES);
        let records = u32::try_from(records).expect("a chunk ends soon after CHUNK_BYTES");
        self.bytes[start..start + LENGTH_BYTES].copy_from_slice(&records.to_le_bytes());
        self.bytes.append(&mut self.texts);
        let (before, payload) = self.bytes.split_at_mut(start);
        (before, payload)
    }

    /// What stands before it and itself, once it was ended.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// A number, at its shortest.
    #[inline]
    pub(super) fn number(&mut self, number: impl Into<u64>) {
        match number.into() {
            // Nearly every number is one of these.
            small @ 0..=250 => self.bytes.push(small.to_le_bytes()[0]),
            number => write_varint(&mut self.bytes, number),
        }
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

    /// A text that is an id.
    #[inline]
    pub(super) fn id(&mut self, id: &str) {
        self.count(id.len());
        self.texts.extend_from_slice(id.as_bytes());
    }

    pub(super) fn sequence(&mut self, sequence: u64) {
        let before = std::mem::replace(&mut self.before.sequence, sequence);
        self.signed(sequence.wrapping_sub(before).cast_signed());
    }

    pub(super) fn ticket(&mut self, ticket: Ticket) {
        self.sequence(ticket.sequence());
        self.number(ticket.index());
    }

    /// A time that may be absent.
    pub(super) fn maybe_time(&mut self, time: Option<Timestamp>) {
        self.number(time.map_or(0, |time| time.millis().unsigned_abs() + 1));
    }

    pub(super) fn time(&mut self, time: Timestamp) {
        let before = std::mem::replace(&mut self.before.at, time.millis());
        self.signed(time.millis() - before);
    }
}

/// A chunk's payload that is being read.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    /// The length of the payload.
    length: usize,
    /// What is left of its records.
    rest: &'a [u8],
    /// What is left of its texts.
    texts: &'a str,
    before: Before,
    /// The newest sequence that there may be.
    newest: u64,
    /// The latest time that there may be.
    now: Timestamp,
}

impl<'a> Fields<'a> {
    /// A payload of a state at a sequence and a log time.
    pub(super) fn new(payload: &'a [u8], newest: u64, now: Timestamp) -> Read<Self> {
        let (length, rest) = payload.split_first_chunk().ok_or(ENDS)?;
        let records = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| ENDS)?;
        let (rest, texts) = rest.split_at_checked(records).ok_or("a chunk is shorter than its records")?;
        let texts = str::from_utf8(texts).map_err(|_| "an id is not UTF-8")?;
        if !has_no_control(texts) {
            return Err("an id has control characters");
        }
        Ok(Self { length: payload.len(), rest, texts, before: Before::default(), newest, now })
    }

    /// How many bytes were taken by now.
    pub(super) const fn taken(&self) -> usize {
        self.length - self.rest.len() - self.texts.len()
    }

    /// Whether nothing is left.
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.texts.is_empty()
    }

    /// Nothing must be left.
    pub(super) const fn end(&self) -> Read<()> {
        if self.is_empty() { Ok(()) } else { Err("bytes behind the last field") }
    }

    pub(super) fn byte(&mut self) -> Read<u8> {
        let (&byte, rest) = self.rest.split_first().ok_or(ENDS)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(super) fn number(&mut self) -> Read<u64> {
        match self.rest {
            // Nearly every number is one of these.
            [small @ 0..=250, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*small))
            }
            [251, low, high, rest @ ..] if *low > 250 || *high > 0 => {
                self.rest = rest;
                Ok(u64::from(u16::from_le_bytes([*low, *high])))
            }
            _ => self.wide_number(),
        }
    }

    fn wide_number(&mut self) -> Read<u64> {
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
        let length = usize::from(self.byte()?);
        if length == 0 || length > ID_BYTES_MAX {
            return Err("an id is empty or too long");
        }
        let (id, texts) =
            self.texts.split_at_checked(length).ok_or("an id ends too soon, or within a character")?;
        self.texts = texts;
        Ok(id)
    }

    /// A sequence that the state has applied.
    #[inline]
    pub(super) fn sequence(&mut self) -> Read<u64> {
        let sequence = self.before.sequence.wrapping_add(self.signed()?.cast_unsigned());
        if sequence == 0 || sequence > self.newest {
            return Err("a sequence that the state has not applied");
        }
        self.before.sequence = sequence;
        Ok(sequence)
    }

    /// When an order was placed.
    #[inline]
    pub(super) fn ticket(&mut self) -> Read<Ticket> {
        let sequence = self.sequence()?;
        let index = self.at_most(COMMANDS_MAX as u64 - 1, "a record's index beyond those of a message")?;
        if sequence >= SEQUENCES_MAX {
            return Err("a sequence beyond all bounds");
        }
        Ok(Ticket::new(sequence, index))
    }

    /// A time that is over, or absent.
    pub(super) fn maybe_time(&mut self) -> Read<Option<Timestamp>> {
        const LATER: &str = "a time that lies after log time";
        let Some(millis) = self.number()?.checked_sub(1) else { return Ok(None) };
        let millis = i64::try_from(millis).ok().filter(|millis| *millis <= self.now.millis());
        Ok(Some(Timestamp::from_millis(millis.ok_or(LATER)?)))
    }

    /// A time that is over.
    #[inline]
    pub(super) fn time(&mut self) -> Read<Timestamp> {
        let at = self.before.at.wrapping_add(self.signed()?);
        if at < 0 || at > self.now.millis() {
            return Err("a time that lies before 1970 or after log time");
        }
        self.before.at = at;
        Ok(Timestamp::from_millis(at))
    }

    /// A time told from another one.
    pub(super) fn time_from(&mut self, from: Timestamp) -> Read<Timestamp> {
        let at = from.millis().wrapping_add(self.signed()?);
        let time = Timestamp::from_millis(at);
        if time.millis() == at { Ok(time) } else { Err("a time that does not lie between 1970 and 9998") }
    }
}

//! Outcomes as JSON, from the bytes in which a fold gives them.
//!
//! Most outcomes say that an order is confirmed, many of them in one message. These are written from a template of what they have
//! in common; all others are decoded, and written as serde has them. A test holds the two ways together.

use super::{stops, write_outcome};
use crate::words::codec::frame::{copy_id, decode_outcome, read_varint};
use crate::words::codec::{Undecodable, zigzag};
use crate::words::timestamp::Timestamp;

/// Writes outcomes as JSON, one after the other. To be kept over many: what the outcomes of one message have in common is made once.
#[derive(Debug)]
pub struct JsonOutcomes {
    sequence: u64,
    /// As [`zigzag`] has it; so is `pay_by`.
    at: u64,
    /// `,"sequence":N,"index":`
    before_index: Part,
    /// `,"at":"…"}`
    end: Part,
    pay_by: u64,
    /// `,"pay_by":"…"`
    pay_by_field: Part,
}

impl Default for JsonOutcomes {
    fn default() -> Self {
        let zero = Timestamp::ZERO;
        Self {
            sequence: 0,
            at: zigzag(zero.millis()),
            before_index: before_index(0),
            end: end(zero),
            pay_by: zigzag(zero.millis()),
            pay_by_field: pay_by_field(zero),
        }
    }
}

/// A piece of JSON that is written often: of one width, as such a copy is quick. What is beyond its length is written over.
#[derive(Debug)]
struct Part {
    bytes: [u8; Self::BYTES],
    length: usize,
}

impl Part {
    const BYTES: usize = 48;

    /// Of a text that is at most as long.
    fn new(text: &str) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self { bytes, length: text.len() }
    }
}

/// At most 41 bytes.
fn before_index(sequence: u64) -> Part {
    Part::new(&format!(r#","sequence":{sequence},"index":"#))
}

/// 33 bytes.
fn end(at: Timestamp) -> Part {
    Part::new(&format!(r#","at":"{at}"}}"#))
}

/// 36 bytes.
fn pay_by_field(pay_by: Timestamp) -> Part {
    Part::new(&format!(r#","pay_by":"{pay_by}""#))
}

/// The time that a zigzag number stands for. Text is the same for all times before the valid range, and for all behind it.
fn time(zigzag: u64) -> Timestamp {
    Timestamp::from_millis((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
}

/// What a confirmation without lines, shortages and repeat says.
struct Confirmed<'a> {
    /// A text that stands in JSON as it is.
    order_id: &'a [u8],
    pay_by: Option<u64>,
    released: bool,
    sequence: u64,
    index: u64,
    place: u64,
    at: u64,
}

impl JsonOutcomes {
    /// A writer that has written nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one outcome: what [`decode_outcome`] and then [`write_outcome`] give. Where it is none, nothing is appended.
    #[inline]
    pub fn write<'a>(&mut self, json: &mut Vec<u8>, outcome: &'a [u8]) -> Result<(), Undecodable<'a>> {
        if let Some(confirmed) = confirmed(outcome) {
            self.write_confirmed(json, &confirmed);
        } else {
            write_outcome(json, &decode_outcome(outcome)?);
        }
        Ok(())
    }

    #[inline]
    fn write_confirmed(&mut self, json: &mut Vec<u8>, confirmed: &Confirmed<'_>) {
        if confirmed.sequence != self.sequence || confirmed.at != self.at {
            (self.sequence, self.at) = (confirmed.sequence, confirmed.at);
            self.before_index = before_index(confirmed.sequence);
            self.end = end(time(confirmed.at));
        }
        let start = json.len();
        json.extend_from_slice(&[0; Room::BYTES]);
        let mut room = Room { bytes: &mut json[start..], end: 0 };
        room.put(HEAD);
        room.id(confirmed.order_id);
        if let Some(pay_by) = confirmed.pay_by {
            if pay_by != self.pay_by {
                self.pay_by = pay_by;
                self.pay_by_field = pay_by_field(time(pay_by));
            }
            room.part(&self.pay_by_field);
        }
        if confirmed.released {
            room.put(br#","released":true"#);
        }
        room.part(&self.before_index);
        room.number(confirmed.index);
        if confirmed.place != 0 {
            room.put(br#","place":"#);
            room.number(confirmed.place);
        }
        room.part(&self.end);
        let end = room.end;
        json.truncate(start + end);
    }
}

const HEAD: &[u8; 35] = br#"{"outcome":"confirmed","order_id":""#;

/// Room for a confirmation, of which so much is written.
struct Room<'j> {
    bytes: &'j mut [u8],
    end: usize,
}

impl Room<'_> {
    /// Enough for all that one may say: 35 bytes of head, an id of 64 and its quote, 36 of `pay_by`, 16 of `released`, 41 up to the
    /// index, two numbers of 10 with 9 between, 33 of the end, and what a [`Part`] is wider than its text.
    const BYTES: usize = 288;

    #[inline]
    fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.bytes[self.end..self.end + N].copy_from_slice(bytes);
        self.end += N;
    }

    #[inline]
    fn part(&mut self, part: &Part) {
        self.bytes[self.end..self.end + Part::BYTES].copy_from_slice(&part.bytes);
        self.end += part.length;
    }

    /// The id, and the quote behind it.
    #[inline]
    fn id(&mut self, id: &[u8]) {
        let end = self.end + id.len();
        copy_id(&mut self.bytes[self.end..end], id);
        self.bytes[end] = b'"';
        self.end = end + 1;
    }

    /// A number below 2^32.
    #[inline]
    fn number(&mut self, number: u64) {
        let mut above = 10;
        let mut width = 1;
        while number >= above {
            above *= 10;
            width += 1;
        }
        let mut rest = number;
        for digit in self.bytes[self.end..self.end + width].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.end += width;
    }
}

/// Reads the bytes of a confirmation as most of them are.
#[inline]
fn confirmed(outcome: &[u8]) -> Option<Confirmed<'_>> {
    let (&[0, length @ 1..=64], rest) = outcome.split_first_chunk()? else { return None };
    let (order_id, mut rest) = rest.split_at_checked(length.into())?;
    if !stands_as_it_is(order_id) {
        return None;
    }
    let pay_by = match take(&mut rest)? {
        [0] => None,
        [1] => Some(read_varint(&mut rest)?),
        _ => return None,
    };
    // No lines, no shortages, released or not, no repeat.
    let [0, 0, released @ (0 | 1), 0] = take(&mut rest)? else { return None };
    let mut number = || read_varint(&mut rest);
    let (sequence, index, place, at) = (number()?, number()?, number()?, number()?);
    let released = released == 1;
    let fits = rest.is_empty() && index <= u32::MAX.into() && place <= u32::MAX.into();
    fits.then_some(Confirmed { order_id, pay_by, released, sequence, index, place, at })
}

#[inline]
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

/// Whether a text is ASCII of which nothing is escaped in JSON.
#[inline]
fn stands_as_it_is(text: &[u8]) -> bool {
    let stops_in = |chunk: [u8; 8]| stops(u64::from_le_bytes(chunk)) != 0;
    if let Some(last) = text.last_chunk() {
        let (chunks, _) = text.as_chunks();
        !stops_in(*last) && !chunks.iter().any(|chunk| stops_in(*chunk))
    } else {
        let mut padded = [b' '; 8];
        padded[..text.len()].copy_from_slice(text);
        !stops_in(padded)
    }
}

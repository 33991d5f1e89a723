//! Outcomes as JSON, from the bytes in which a fold gives them.
//!
//! Most outcomes say that an order is confirmed, many of them in one message. These are written from a template of what they have
//! in common; all others are decoded, and written as serde has them. A test holds the two ways together.

use super::{stops, write_outcome};
use crate::words::codec::frame::{decode_outcome, read_varint, write_id, write_varint};
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
    usual: Usual,
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
            usual: Usual::new(0, 0),
        }
    }
}

/// The bytes around the index in a confirmation that says nothing beyond its id, and is the first outcome of its command: the same
/// in all those of one message.
#[derive(Debug)]
struct Usual {
    /// Five empty fields and the sequence, as one number, and which of its bits count.
    before: u128,
    mask: u128,
    length: usize,
    /// The place, 0, and a time that is 8 bytes wide.
    behind: [u8; 10],
}

impl Usual {
    fn new(sequence: u64, at: u64) -> Self {
        let mut before = vec![0; 5];
        write_varint(&mut before, sequence);
        let length = before.len();
        let mask = u128::MAX >> (8 * (16 - length));
        before.resize(16, 0);
        let mut behind = [0, 253, 0, 0, 0, 0, 0, 0, 0, 0];
        behind[2..].copy_from_slice(&at.to_le_bytes());
        Self {
            before: before.first_chunk().map_or(0, |before| u128::from_le_bytes(*before)),
            mask,
            length,
            behind,
        }
    }

    /// The id, as it stands in JSON, and the index of such a confirmation.
    #[inline]
    fn read<'a>(&self, outcome: &'a [u8]) -> Option<(&'a [u8], u64)> {
        let (&[0, length @ 1..=64], rest) = outcome.split_first_chunk()? else { return None };
        let (order_id, rest) = rest.split_at_checked(length.into())?;
        let before = u128::from_le_bytes(*rest.first_chunk()?);
        let mut rest = rest.get(self.length..)?;
        let index = read_varint(&mut rest)?;
        let same = (before ^ self.before) & self.mask == 0 && *rest == self.behind;
        (same && index <= u32::MAX.into() && stands_as_it_is(order_id)).then_some((order_id, index))
    }
}

/// A piece of JSON that is written often: of one width, as such a copy is quick. What is beyond its length is taken off again.
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

    #[inline]
    fn write(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(&self.bytes);
        json.truncate(json.len() - (Self::BYTES - self.length));
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
    /// An outcome takes about so many bytes, a comma included: that of a confirmation with an id of some 20 bytes.
    pub const USUAL_BYTES: usize = 128;

    /// A writer that has written nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one outcome: what [`decode_outcome`] and then [`write_outcome`] give. Where it is none, nothing is appended.
    #[inline]
    pub fn write<'a>(&mut self, json: &mut Vec<u8>, outcome: &'a [u8]) -> Result<(), Undecodable<'a>> {
        if let Some((order_id, index)) = self.usual.read(outcome) {
            json.extend_from_slice(HEAD);
            write_id(json, order_id);
            json.push(b'"');
            self.before_index.write(json);
            write_number(json, index);
            self.end.write(json);
        } else if let Some(confirmed) = confirmed(outcome) {
            self.write_confirmed(json, &confirmed);
        } else {
            write_outcome(json, &decode_outcome(outcome)?);
        }
        Ok(())
    }

    #[inline(never)]
    fn write_confirmed(&mut self, json: &mut Vec<u8>, confirmed: &Confirmed<'_>) {
        if confirmed.sequence != self.sequence || confirmed.at != self.at {
            (self.sequence, self.at) = (confirmed.sequence, confirmed.at);
            self.before_index = before_index(confirmed.sequence);
            self.end = end(time(confirmed.at));
            self.usual = Usual::new(self.sequence, self.at);
        }
        json.extend_from_slice(HEAD);
        write_id(json, confirmed.order_id);
        json.push(b'"');
        if let Some(pay_by) = confirmed.pay_by {
            if pay_by != self.pay_by {
                self.pay_by = pay_by;
                self.pay_by_field = pay_by_field(time(pay_by));
            }
            self.pay_by_field.write(json);
        }
        if confirmed.released {
            json.extend_from_slice(br#","released":true"#);
        }
        self.before_index.write(json);
        write_number(json, confirmed.index);
        if confirmed.place != 0 {
            json.extend_from_slice(br#","place":"#);
            write_number(json, confirmed.place);
        }
        self.end.write(json);
    }
}

const HEAD: &[u8; 35] = br#"{"outcome":"confirmed","order_id":""#;

#[inline]
fn write_number(json: &mut Vec<u8>, number: u64) {
    let digit = |above: u64| b'0' + (number / above % 10) as u8;
    match number {
        0..=9 => json.push(digit(1)),
        10..=99 => json.extend_from_slice(&[digit(10), digit(1)]),
        100..=999 => json.extend_from_slice(&[digit(100), digit(10), digit(1)]),
        _ => json.extend_from_slice(number.to_string().as_bytes()),
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

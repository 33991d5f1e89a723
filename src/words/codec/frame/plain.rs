//! The short way to read a plain `place` out of a frame: most of what a shard reads are these.
//!
//! It follows the fields of [`Place`](crate::words::command::Place) in their order and gives nothing wherever one is not plain: the derived
//! decoder decides then. What it reads, it reads as that one does: a test changes complete orders, byte by byte, and holds the two
//! together.

#![expect(clippy::inline_always, reason = "measured: a call would pass what is read through memory")]

use super::read_varint;
use crate::words::codec::Plain;
use crate::words::command::ATTRIBUTES_MAX;
use crate::words::policy::{QUANTITY_LIMIT_MAX, STOCK_MAX};
use crate::words::text::{Id, is_id_at_start};
use crate::words::timestamp::Timestamp;

/// Where `place` stands among the commands, and `refuse` among what to do with a shortage.
const PLACE: u8 = 0;
const REFUSE: u8 = 0;

/// Reads the element that the first `length` of these bytes are. Those behind belong to others, and are not part of it; that they are
/// there spares copies.
#[inline(always)]
pub(in crate::words::codec) fn read(bytes: &[u8], length: usize) -> Option<Plain<'_>> {
    let mut reader = Reader { rest: bytes };
    reader.exactly([PLACE])?;
    let order_id = reader.id()?;
    // No site.
    reader.exactly([0])?;
    let lines = reader.byte()?;
    let first = reader.line()?;
    let second = match lines {
        1 => None,
        2 => Some(reader.line()?),
        _ => return None,
    };
    reader.exactly([REFUSE])?;
    let submitted_at = reader.optional(Reader::time)?;
    // Most orders have nothing behind it: nine absent fields.
    let value = if reader.exactly([0; 9]).is_some() { None } else { reader.rest_of_place()? };
    let read = bytes.len() - reader.rest.len();
    (read == length).then_some(Plain { order_id, first, second, submitted_at, value })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The fields behind `submitted_at`, and the value among them.
    #[expect(clippy::option_option, reason = "the outer one is whether it can be read")]
    fn rest_of_place(&mut self) -> Option<Option<(i64, [u8; 3])>> {
        self.optional(Self::time)?;
        self.optional(Self::time)?;
        self.optional(Self::unheeded_id)?;
        let value = self.optional(Self::money)?;
        self.optional(Self::unheeded_id)?;
        let attributes = self.byte()?;
        if usize::from(attributes) > ATTRIBUTES_MAX {
            return None;
        }
        for _ in 0..attributes {
            self.unheeded_id()?;
            if self.exactly([0]).is_none() {
                self.unheeded_id()?;
            }
        }
        // No hold or wait of its own, no list of sites.
        self.exactly([0; 3])?;
        Some(value)
    }

    #[inline(always)]
    fn line(&mut self) -> Option<(Id<'a>, u32)> {
        let sku = self.id()?;
        let quantity = self.number(QUANTITY_LIMIT_MAX)?;
        self.optional(|reader| reader.number(STOCK_MAX))?;
        Some((sku, u32::try_from(quantity).ok().filter(|quantity| *quantity > 0)?))
    }

    fn money(&mut self) -> Option<(i64, [u8; 3])> {
        let minor = self.number(STOCK_MAX)?;
        let [3, code @ ..] = self.take::<4>()? else { return None };
        code.iter().all(u8::is_ascii_uppercase).then_some((minor, code))
    }

    #[inline(always)]
    fn id(&mut self) -> Option<Id<'a>> {
        let (length, rest) = self.rest.split_first()?;
        let length = usize::from(*length);
        let id = Id::at_start(rest, length)?;
        self.rest = &rest[length..];
        Some(id)
    }

    fn unheeded_id(&mut self) -> Option<()> {
        let (length, rest) = self.rest.split_first()?;
        let length = usize::from(*length);
        if !is_id_at_start(rest, length) {
            return None;
        }
        self.rest = &rest[length..];
        Some(())
    }

    #[inline(always)]
    fn time(&mut self) -> Option<Timestamp> {
        self.number(Timestamp::MAX.millis()).map(Timestamp::from_millis)
    }

    /// A signed number from 0 to `most`.
    #[inline(always)]
    fn number(&mut self, most: i64) -> Option<i64> {
        let zigzag = match self.rest {
            [short @ 0..=250, rest @ ..] => {
                self.rest = rest;
                u64::from(*short)
            }
            [253, rest @ ..] => {
                let (wide, rest) = rest.split_first_chunk()?;
                self.rest = rest;
                u64::from_le_bytes(*wide)
            }
            _ => read_varint(&mut self.rest)?,
        };
        let number = (zigzag >> 1).cast_signed();
        (zigzag & 1 == 0 && number <= most).then_some(number)
    }

    #[expect(clippy::option_option, reason = "the outer one is whether it can be read")]
    #[inline(always)]
    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    /// Steps over these bytes, if they are here.
    #[inline(always)]
    fn exactly<const N: usize>(&mut self, expected: [u8; N]) -> Option<()> {
        let (here, rest) = self.rest.split_first_chunk()?;
        if *here != expected {
            return None;
        }
        self.rest = rest;
        Some(())
    }

    #[inline(always)]
    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }
}

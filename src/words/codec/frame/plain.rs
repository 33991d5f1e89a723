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
use crate::words::text::{ID_BYTES_MAX, Id, is_id_at_start, printable_key};
use crate::words::timestamp::Timestamp;

/// Where `place` stands among the commands, and `refuse` among what to do with a shortage.
const PLACE: u8 = 0;
const REFUSE: u8 = 0;

/// Reads the element that the first `length` of these bytes are into `plain`, and tells whether it could; what is in there is of no
/// meaning otherwise. The bytes behind belong to others, and are not part of it; that they are there spares copies.
#[inline(always)]
pub(in crate::words::codec) fn read<'a>(bytes: &'a [u8], length: usize, plain: &mut Plain<'a>) -> bool {
    read_short(bytes, length, plain).is_some() || read_any(bytes, length, plain).is_some()
}

/// So many bytes are looked at at once: from wherever in the first 256, as many more can be taken as an id may have.
const WINDOW: usize = 256 + ID_BYTES_MAX;

/// The first bytes of an element, and whatever is behind it. What is read at or behind the 256th is not what is there: whoever comes so far
/// has read nothing.
struct Window<'a>(&'a [u8; WINDOW]);

impl<'a> Window<'a> {
    /// The `N` bytes from `at` on, which is below 256. The remainder only tells the compiler so.
    #[inline(always)]
    fn take<const N: usize>(&self, at: usize) -> &'a [u8; N] {
        self.0[at % 256..].first_chunk().expect("at most 64 bytes from one of the first 256 on")
    }

    /// The id at `at`, behind its length, and where it ends.
    #[inline(always)]
    fn id(&self, at: usize) -> Option<(Id<'a>, usize)> {
        let length = usize::from(self.0[at % 256]);
        let id = if (1..=16).contains(&length) {
            let bytes = self.take(at + 1);
            Id::known(printable_key(bytes, length)?, &bytes[..length])
        } else if length <= ID_BYTES_MAX {
            self.longer_id(at + 1, length)?
        } else {
            return None;
        };
        Some((id, at + 1 + length))
    }

    #[inline(never)]
    fn longer_id(&self, at: usize, length: usize) -> Option<Id<'a>> {
        Id::at_start(self.take::<ID_BYTES_MAX>(at), length)
    }

    /// Where the text ends that is at `at`, behind its length, and is an id; or may be one that is empty.
    #[inline(always)]
    fn unheeded(&self, at: usize, least: usize) -> Option<usize> {
        let length = usize::from(self.0[at % 256]);
        if length > 16 || length < least {
            return None;
        }
        printable_key(self.take(at + 1), length)?;
        Some(at + 1 + length)
    }

    /// The line at `at`, of a quantity that takes one byte and without a price, and where it ends.
    #[inline(always)]
    fn line(&self, at: usize) -> Option<((Id<'a>, u32), usize)> {
        let (sku, at) = self.id(at)?;
        let [quantity @ 1..=250, 0] = *self.take(at) else { return None };
        (quantity % 2 == 0).then_some(((sku, u32::from(quantity / 2)), at + 2))
    }

    /// The time at `at`, if there is one, and where it ends.
    #[inline(always)]
    fn time(&self, at: usize) -> Option<(Option<Timestamp>, usize)> {
        match *self.take(at) {
            [0, _] => Some((None, at + 1)),
            [1, 253] => {
                let zigzag = u64::from_le_bytes(*self.take(at + 2));
                let valid = zigzag & 1 == 0 && zigzag >> 1 <= Timestamp::MAX.millis().cast_unsigned();
                valid.then(|| (Some(Timestamp::from_millis((zigzag >> 1).cast_signed())), at + 10))
            }
            _ => None,
        }
    }

    /// What is behind `submitted_at`: the value among it, and where it ends.
    #[expect(clippy::type_complexity, reason = "the value of `Plain`")]
    #[inline(never)]
    fn rest(&self, at: usize) -> Option<(Option<(i64, [u8; 3])>, usize)> {
        let (_, at) = self.time(at)?;
        let (_, at) = self.time(at)?;
        let at = self.optional(at)?;
        let (value, at) = match *self.take(at) {
            [0] => (None, at + 1),
            [1] => {
                let mut behind = &self.take::<ID_BYTES_MAX>(at + 1)[..];
                let zigzag = read_varint(&mut behind)?;
                let at = at + 1 + ID_BYTES_MAX - behind.len();
                let [3, code @ ..] = *self.take::<4>(at) else { return None };
                let fits = zigzag & 1 == 0 && zigzag >> 1 <= STOCK_MAX.cast_unsigned();
                if !fits || !code.iter().all(u8::is_ascii_uppercase) {
                    return None;
                }
                (Some(((zigzag >> 1).cast_signed(), code)), at + 4)
            }
            _ => return None,
        };
        let mut at = self.optional(at)?;
        let attributes = self.0[at % 256];
        at += 1;
        if usize::from(attributes) > ATTRIBUTES_MAX {
            return None;
        }
        for _ in 0..attributes {
            at = self.unheeded(self.unheeded(at, 1)?, 0)?;
        }
        // No hold or wait of its own, no list of sites.
        (*self.take(at) == [0; 3]).then_some((value, at + 3))
    }

    /// Where a text ends that may be absent.
    #[inline(always)]
    fn optional(&self, at: usize) -> Option<usize> {
        match *self.take(at) {
            [0] => Some(at + 1),
            [1] => self.unheeded(at + 1, 1),
            _ => None,
        }
    }
}

/// Reads a plain place as [`read`] does, but only one that says nothing but its lines and when it was submitted, its numbers in their usual widths.
#[inline(always)]
pub(in crate::words::codec) fn read_bare<'a>(bytes: &'a [u8], length: usize, plain: &mut Plain<'a>) -> bool {
    let Some(window) = bytes.first_chunk().map(Window) else { return false };
    read_start(&window, plain).is_some_and(|at| {
        *window.take(at) == NOTHING_BEHIND && at + NOTHING_BEHIND.len() == length && length <= 256
    })
}

/// Reads a plain place as most are: its numbers in their usual widths, and no more than 256 bytes in all.
#[inline(always)]
fn read_short<'a>(bytes: &'a [u8], length: usize, plain: &mut Plain<'a>) -> Option<()> {
    let window = Window(bytes.first_chunk()?);
    let mut at = read_start(&window, plain)?;
    if *window.take(at) == NOTHING_BEHIND {
        at += NOTHING_BEHIND.len();
    } else {
        (plain.value, at) = window.rest(at)?;
    }
    (at == length && at <= 256).then_some(())
}

/// Reads it up to what is behind `submitted_at`, and says where that is.
#[inline(always)]
fn read_start<'a>(window: &Window<'a>, plain: &mut Plain<'a>) -> Option<usize> {
    if window.0[0] != PLACE {
        return None;
    }
    let at;
    (plain.order_id, at) = window.id(1)?;
    let [0, lines @ (1 | 2)] = *window.take(at) else { return None };
    let mut at = at + 2;
    (plain.first, at) = window.line(at)?;
    plain.second = None;
    if lines == 2 {
        let second;
        (second, at) = window.line(at)?;
        plain.second = Some(second);
    }
    let [REFUSE] = *window.take(at) else { return None };
    (plain.submitted_at, at) = window.time(at + 1)?;
    plain.value = None;
    Some(at)
}

/// What is behind `submitted_at` in most orders: fields that are absent.
const NOTHING_BEHIND: [u8; 9] = [0; 9];

/// Reads any plain place.
#[inline(never)]
fn read_any<'a>(bytes: &'a [u8], length: usize, plain: &mut Plain<'a>) -> Option<()> {
    let mut reader = Reader { rest: bytes };
    reader.exactly([PLACE])?;
    plain.order_id = reader.id()?;
    // No site.
    reader.exactly([0])?;
    let lines = reader.byte()?;
    plain.first = reader.line()?;
    plain.second = match lines {
        1 => None,
        2 => Some(reader.line()?),
        _ => return None,
    };
    reader.exactly([REFUSE])?;
    plain.submitted_at = reader.optional(Reader::time)?;
    plain.value = if reader.exactly(NOTHING_BEHIND).is_some() { None } else { reader.rest_of_place()? };
    let read = bytes.len() - reader.rest.len();
    (read == length).then_some(())
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

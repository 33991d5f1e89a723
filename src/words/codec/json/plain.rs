//! The short way to read a plain `place` from JSON: most of what a shard reads are these.
//!
//! It reads an object's fields in any order, each once, with white anywhere between; texts without escapes; whole numbers as JSON has
//! them. Whatever else there is, it gives nothing, and [`super::strict`] decides. What it reads, it reads as that does: a test changes
//! complete orders, byte by byte, and holds the two together.

use super::{behind_white, stops, time};
use crate::words::codec::Plain;
use crate::words::command::ATTRIBUTES_MAX;
use crate::words::policy::{QUANTITY_LIMIT_MAX, STOCK_MAX};
use crate::words::text::{ID_BYTES_MAX, Id};
use crate::words::timestamp::Timestamp;

/// Times may have any number of digits of the second; the short way takes no longer text than this.
const TIME_BYTES_MAX: usize = 40;

/// Reads the plain place that begins at `at`, and gives where it ends.
#[inline]
pub(super) fn read(bytes: &[u8], at: usize) -> Option<(Plain<'_>, usize)> {
    let mut reader = Reader { bytes, at };
    if !reader.literal(br#"{"place":{"#) {
        reader.take(b'{')?;
        reader.take(b'"')?;
        reader.name(br#"place""#)?;
        reader.take(b'{')?;
    }
    let plain = reader.place()?;
    reader.take(b'}')?;
    Some((plain, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Which fields of an object were there.
struct Seen(u32);

impl Seen {
    /// Takes note of a field; none where it was there before.
    #[inline]
    const fn once(&mut self, field: u32) -> Option<()> {
        let bit = 1 << field;
        let first = self.0 & bit == 0;
        self.0 |= bit;
        if first { Some(()) } else { None }
    }
}

impl<'a> Reader<'a> {
    fn place(&mut self) -> Option<Plain<'a>> {
        let mut seen = Seen(0);
        let (mut order_id, mut lines, mut submitted_at, mut value) = (None, None, None, None);
        loop {
            self.take(b'"')?;
            match self.bytes.get(self.at)? {
                b'o' if self.literal(br#"order_id""#) => {
                    seen.once(0)?;
                    self.take(b':')?;
                    order_id = Some(self.id()?);
                }
                b'l' => {
                    self.name(br#"lines""#)?;
                    seen.once(1)?;
                    lines = Some(self.lines()?);
                }
                b's' if self.literal(br#"submitted_at""#) => {
                    seen.once(2)?;
                    self.take(b':')?;
                    submitted_at = self.optional(Self::time)?;
                }
                b'v' => {
                    self.name(br#"value""#)?;
                    seen.once(3)?;
                    value = self.optional(Self::money)?;
                }
                _ => self.unheeded(&mut seen)?,
            }
            if self.is_last()? {
                break;
            }
        }
        let (first, second) = lines?;
        Some(Plain { order_id: order_id?, first, second, submitted_at, value })
    }

    /// A field that nobody decides by, or that must not be there.
    fn unheeded(&mut self, seen: &mut Seen) -> Option<()> {
        match self.bytes.get(self.at)? {
            b'p' if self.literal(br#"promised_by""#) => {
                seen.once(4)?;
                self.take(b':')?;
                self.optional(Self::time)?;
            }
            b's' if self.literal(br#"ship_by""#) => {
                seen.once(5)?;
                self.take(b':')?;
                self.optional(Self::time)?;
            }
            b'c' if self.literal(br#"carrier""#) => {
                seen.once(6)?;
                self.take(b':')?;
                self.optional(Self::id)?;
            }
            b'c' => {
                self.name(br#"customer""#)?;
                seen.once(7)?;
                self.optional(Self::id)?;
            }
            b'a' => {
                self.name(br#"attributes""#)?;
                seen.once(8)?;
                self.optional(Self::attributes)?;
            }
            b'o' => {
                self.name(br#"on_shortage""#)?;
                seen.once(9)?;
                if !self.null() && !self.literal(br#""refuse""#) {
                    return None;
                }
            }
            b's' if self.literal(br#"sites""#) => self.absent(seen, 10)?,
            b's' if self.literal(br#"site""#) => self.absent(seen, 11)?,
            b'p' if self.literal(br#"pay_within_ms""#) => self.absent(seen, 12)?,
            b'w' if self.literal(br#"wait_until""#) => self.absent(seen, 13)?,
            _ => return None,
        }
        Some(())
    }

    /// What only `null` may stand for; its name has been read.
    fn absent(&mut self, seen: &mut Seen, field: u32) -> Option<()> {
        seen.once(field)?;
        self.take(b':')?;
        self.null().then_some(())
    }

    #[expect(clippy::type_complexity, reason = "the lines of `Plain`")]
    #[inline]
    fn lines(&mut self) -> Option<((Id<'a>, u32), Option<(Id<'a>, u32)>)> {
        self.take(b'[')?;
        let first = self.line()?;
        if self.next()? == b']' {
            return Some((first, None));
        }
        // It was a comma: anything else there is told apart by what comes next.
        self.at -= 1;
        self.take(b',')?;
        let second = self.line()?;
        self.take(b']')?;
        Some((first, Some(second)))
    }

    #[inline]
    fn line(&mut self) -> Option<(Id<'a>, u32)> {
        let mut seen = Seen(0);
        let (mut sku, mut quantity) = (None, None);
        self.take(b'{')?;
        loop {
            self.take(b'"')?;
            match self.bytes.get(self.at)? {
                b's' => {
                    self.name(br#"sku""#)?;
                    seen.once(0)?;
                    sku = Some(self.id()?);
                }
                b'q' => {
                    self.name(br#"quantity""#)?;
                    seen.once(1)?;
                    quantity = Some(self.number(QUANTITY_LIMIT_MAX)?);
                }
                b'u' => {
                    self.name(br#"unit_price""#)?;
                    seen.once(2)?;
                    self.optional(|reader| reader.number(STOCK_MAX))?;
                }
                _ => return None,
            }
            if self.is_last()? {
                break;
            }
        }
        let quantity = u32::try_from(quantity?).ok().filter(|quantity| *quantity > 0)?;
        Some((sku?, quantity))
    }

    fn money(&mut self) -> Option<(i64, [u8; 3])> {
        let mut seen = Seen(0);
        let (mut minor, mut currency) = (None, None);
        self.take(b'{')?;
        loop {
            self.take(b'"')?;
            match self.bytes.get(self.at)? {
                b'm' => {
                    self.name(br#"minor""#)?;
                    seen.once(0)?;
                    minor = Some(self.number(STOCK_MAX)?);
                }
                b'c' => {
                    self.name(br#"currency""#)?;
                    seen.once(1)?;
                    currency = Some(self.currency()?);
                }
                _ => return None,
            }
            if self.is_last()? {
                break;
            }
        }
        Some((minor?, currency?))
    }

    #[inline]
    fn currency(&mut self) -> Option<[u8; 3]> {
        self.take(b'"')?;
        let &[a, b, c, b'"'] = self.bytes.get(self.at..)?.first_chunk()? else { return None };
        let code = [a, b, c];
        self.at += 4;
        code.iter().all(u8::is_ascii_uppercase).then_some(code)
    }

    /// At most [`ATTRIBUTES_MAX`], each key once. A value may be empty.
    fn attributes(&mut self) -> Option<()> {
        self.take(b'{')?;
        if self.next()? == b'}' {
            return Some(());
        }
        self.at -= 1;
        let mut keys: [Option<Id<'a>>; ATTRIBUTES_MAX] = [None; ATTRIBUTES_MAX];
        let mut count = 0;
        loop {
            let key = self.id()?;
            if keys[..count].contains(&Some(key)) {
                return None;
            }
            *keys.get_mut(count)? = Some(key);
            count += 1;
            self.take(b':')?;
            self.white();
            if !self.literal(br#""""#) {
                self.id()?;
            }
            if self.is_last()? {
                return Some(());
            }
        }
    }

    /// Whether an object ends here, or else goes on behind a comma.
    #[inline]
    fn is_last(&mut self) -> Option<bool> {
        match self.next()? {
            b',' => Some(false),
            b'}' => Some(true),
            _ => None,
        }
    }

    /// A value that may be `null`.
    #[expect(clippy::option_option, reason = "the outer one is whether it can be read")]
    #[inline]
    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.null() { Some(None) } else { read(self).map(Some) }
    }

    #[inline]
    fn null(&mut self) -> bool {
        self.white();
        self.literal(b"null")
    }

    /// A whole number from 0 to `most`.
    #[inline]
    fn number(&mut self, most: i64) -> Option<i64> {
        let digit = |byte: u8| Some(i64::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
        let mut number = digit(self.next()?)?;
        if number == 0 {
            // A digit behind it would be one too many, and is nothing that may follow a number.
            return Some(0);
        }
        while let Some(digit) = digit(*self.bytes.get(self.at)?) {
            number = number * 10 + digit;
            if number > most {
                return None;
            }
            self.at += 1;
        }
        Some(number)
    }

    #[inline]
    fn time(&mut self) -> Option<Timestamp> {
        self.take(b'"')?;
        let text = self.bytes.get(self.at..)?;
        if let Some((time, length)) = text.first_chunk().and_then(time::read)
            && text.get(length) == Some(&b'"')
        {
            self.at += length + 1;
            return Some(time);
        }
        let length = text.iter().take(TIME_BYTES_MAX).position(|byte| *byte == b'"')?;
        self.at += length + 1;
        Timestamp::parse(&text[..length]).filter(|time| time.is_valid())
    }

    #[inline]
    fn id(&mut self) -> Option<Id<'a>> {
        self.take(b'"')?;
        let text = self.bytes.get(self.at..)?;
        if let Some(window) = text.first_chunk::<16>()
            && let ([low, high], []) = window.as_chunks()
        {
            let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
            let stop = stops(low);
            if stop != 0 {
                return self.short_id(text, [low & below(stop), 0], offset(stop));
            }
            let stop = stops(high);
            if stop != 0 {
                return self.short_id(text, [low, high & below(stop)], 8 + offset(stop));
            }
            return self.long_id(text, [low, high]);
        }
        self.any_id(text)
    }

    /// An id of less than 16 bytes: at `length`, its text ends or is none that is printable.
    #[inline]
    fn short_id(&mut self, text: &'a [u8], key: [u64; 2], length: usize) -> Option<Id<'a>> {
        if text.get(length) != Some(&b'"') {
            return self.any_id(text);
        }
        self.at += length + 1;
        (length > 0).then(|| Id::known(key, &text[..length]))
    }

    /// An id whose first 16 bytes are printable.
    fn long_id(&mut self, text: &'a [u8], key: [u64; 2]) -> Option<Id<'a>> {
        let mut length = 16;
        while let Some(chunk) = text.get(length..)?.first_chunk() {
            let stop = stops(u64::from_le_bytes(*chunk));
            if stop == 0 && length < ID_BYTES_MAX {
                length += 8;
                continue;
            }
            length += offset(stop);
            if stop == 0 || length > ID_BYTES_MAX || text.get(length) != Some(&b'"') {
                break;
            }
            self.at += length + 1;
            return Some(Id::known(key, &text[..length]));
        }
        self.any_id(text)
    }

    /// Any id without escapes.
    #[cold]
    fn any_id(&mut self, text: &'a [u8]) -> Option<Id<'a>> {
        let length = text.iter().take(ID_BYTES_MAX + 1).position(|byte| *byte == b'"')?;
        let text = &text[..length];
        self.at += length + 1;
        Id::new(text).filter(|_| !text.contains(&b'\\'))
    }

    /// Steps over the rest of a field's name, and the colon.
    #[inline]
    fn name<const N: usize>(&mut self, name: &[u8; N]) -> Option<()> {
        if self.literal(name) { self.take(b':') } else { None }
    }

    /// Steps over these bytes, if they are here.
    #[inline]
    fn literal<const N: usize>(&mut self, literal: &[u8; N]) -> bool {
        let is_here = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) == Some(literal);
        if is_here {
            self.at += N;
        }
        is_here
    }

    /// Steps over one byte, and white before it.
    #[inline]
    fn take(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    /// The next byte that is not white, stepped over.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        let mut byte = *self.bytes.get(self.at)?;
        if byte <= b' ' {
            self.white();
            byte = *self.bytes.get(self.at)?;
        }
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn white(&mut self) {
        if self.bytes.get(self.at).is_some_and(|byte| *byte <= b' ') {
            self.at = behind_white(self.bytes, self.at);
        }
    }
}

/// The bytes of a word before the first of which `stop` has the high bit.
const fn below(stop: u64) -> u64 {
    ((stop & stop.wrapping_neg()) >> 7) - 1
}

/// Which byte of a word is the first of which `stop` has the high bit.
const fn offset(stop: u64) -> usize {
    (stop.trailing_zeros() / 8) as usize
}

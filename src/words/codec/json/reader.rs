//! The pieces that a plain `place` is read of: white, names, numbers, times and ids. A text with an escape is none of them.

#![expect(clippy::inline_always, reason = "measured: a call would pass what is read through memory")]

use wide::u8x16;

use super::{behind_white, stops, time};
use crate::words::text::{ID_BYTES_MAX, Id, padded};
use crate::words::timestamp::Timestamp;

/// Times may have any number of digits of the second; the short way takes no longer text than this.
const TIME_BYTES_MAX: usize = 40;

/// Bytes, and the first of them that has not been read.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

/// What can be taken beyond where a window's places end: as many bytes as any piece has.
const BEYOND: usize = 32;
/// Windows of so many bytes have 256 places, and 512.
pub(super) const SHORT: usize = 256 + BEYOND;
pub(super) const LONG: usize = 512 + BEYOND;

/// The first bytes of an element, and whatever is behind it: `W` of them, and [`BEYOND`] fewer places. What is read at or behind the last of
/// these is not what is there: whoever comes so far has read nothing.
pub(super) struct Window<'a, const W: usize>(&'a [u8; W]);

impl<'a, const W: usize> Window<'a, W> {
    /// How many places it has: a power of two.
    pub(super) const PLACES: usize = W - BEYOND;

    /// The window that begins at a place, if there are bytes enough.
    #[inline(always)]
    pub(super) fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        bytes.get(at..)?.first_chunk().map(Self)
    }

    /// The `N` bytes from `at` on, which is one of its places. The remainder only tells the compiler so.
    #[inline(always)]
    fn take<const N: usize>(&self, at: usize) -> &'a [u8; N] {
        self.0[at % Self::PLACES..].first_chunk().expect("at most 32 bytes from one of the places on")
    }

    /// Whether these bytes are at `at`.
    #[inline(always)]
    pub(super) fn has<const N: usize>(&self, at: usize, literal: &[u8; N]) -> bool {
        self.take(at) == literal
    }

    /// Where these bytes end, which must be at `at`.
    #[inline(always)]
    pub(super) fn behind<const N: usize>(&self, at: usize, literal: &[u8; N]) -> Option<usize> {
        self.has(at, literal).then_some(at + N)
    }

    /// How many of the 16 bytes at `at` come before the first that is not printable, or means something in a JSON string.
    #[inline(always)]
    fn text(&self, at: usize) -> (&'a [u8; 16], usize) {
        let bytes = self.take::<16>(at);
        let all = u8x16::new(*bytes);
        let within = all.max(u8x16::splat(b' ')).min(u8x16::splat(b'~')).simd_eq(all);
        let means = all.simd_eq(u8x16::splat(b'"')) | all.simd_eq(u8x16::splat(b'\\'));
        let stop = !within.to_bitmask() | means.to_bitmask() | 1 << 16;
        (bytes, stop.trailing_zeros() as usize)
    }

    /// The printable id of at most 16 bytes without escapes that is at `at`, and where it ends, behind its closing quote.
    #[inline(always)]
    pub(super) fn id(&self, at: usize) -> Option<(Id<'a>, usize)> {
        let (bytes, length) = self.text(at);
        if length == 0 || length > 16 || !self.has(at + length, b"\"") {
            return None;
        }
        Some((Id::known(padded(bytes, length), &bytes[..length]), at + length + 1))
    }

    /// As [`id`](Self::id), of any length that an id may have.
    #[inline(always)]
    pub(super) fn any_id(&self, at: usize) -> Option<(Id<'a>, usize)> {
        let (bytes, mut length) = self.text(at);
        if length < 16 {
            return self.id(at);
        }
        while length <= ID_BYTES_MAX {
            let more = self.text(at + length).1;
            length += more;
            if more < 16 {
                break;
            }
        }
        if length > ID_BYTES_MAX || !self.has(at + length, b"\"") {
            return None;
        }
        Some((Id::known(padded(bytes, 16), self.0.get(at..at + length)?), at + length + 1))
    }

    /// The key of the printable text of at most 16 bytes without escapes that is at `at`, and where that ends, behind its closing quote. It
    /// may be empty.
    #[inline(always)]
    pub(super) fn unheeded(&self, at: usize) -> Option<([u64; 2], usize)> {
        let (bytes, length) = self.text(at);
        if length > 16 || !self.has(at + length, b"\"") {
            return None;
        }
        Some((padded(bytes, length), at + length + 1))
    }

    /// The currency's code that is at `at`, and where it ends, behind its closing quote.
    #[inline(always)]
    pub(super) fn currency(&self, at: usize) -> Option<([u8; 3], usize)> {
        let [code @ .., b'"'] = *self.take::<4>(at) else { return None };
        code.iter().all(u8::is_ascii_uppercase).then_some((code, at + 4))
    }

    /// The whole number of at most six digits that is at `at`, from 1 on, and where it ends.
    #[inline(always)]
    pub(super) fn number(&self, at: usize) -> Option<(u32, usize)> {
        let digit = |at: usize| u32::from(self.0[at % Self::PLACES].wrapping_sub(b'0'));
        let mut number = digit(at);
        if !(1..10).contains(&number) {
            return None;
        }
        for behind in at + 1..at + 7 {
            let digit = digit(behind);
            if digit > 9 {
                return Some((number, behind));
            }
            number = number * 10 + digit;
        }
        None
    }

    /// The time that is at `at`, and where it ends, behind its closing quote.
    #[inline(always)]
    pub(super) fn time(&self, at: usize) -> Option<(Timestamp, usize)> {
        let (time, length) = time::read(self.take(at))?;
        Some((time, self.behind(at + length, b"\"")?))
    }
}

impl<'a> Reader<'a> {
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Steps over an id whose opening quote has been read, and gives a number that is the same for the same id.
    #[inline(always)]
    pub(super) fn unheeded_id(&mut self) -> Option<u64> {
        if let Some(text) = self.bytes.get(self.at..)
            && let Some(chunk) = text.first_chunk()
        {
            let word = u64::from_le_bytes(*chunk);
            let stop = stops(word);
            if stop != 0 {
                let length = offset(stop);
                if length > 0 && chunk[length] == b'"' {
                    self.at += length + 1;
                    return Some(word & below(stop));
                }
            }
        }
        self.longer_unheeded_id()
    }

    #[inline(never)]
    fn longer_unheeded_id(&mut self) -> Option<u64> {
        let [low, high] = self.id_within()?.key();
        Some(low ^ high.rotate_left(29))
    }

    pub(super) fn unheeded_text(&mut self) -> Option<()> {
        self.take(b'"')?;
        self.unheeded_id().map(|_| ())
    }

    /// Whether an object ends here, or else goes on behind a comma.
    #[inline(always)]
    pub(super) fn is_last(&mut self) -> Option<bool> {
        match self.next()? {
            b',' => Some(false),
            b'}' => Some(true),
            _ => None,
        }
    }

    /// A value that may be `null`.
    #[expect(clippy::option_option, reason = "the outer one is whether it can be read")]
    #[inline(always)]
    pub(super) fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.null() { Some(None) } else { read(self).map(Some) }
    }

    #[inline(always)]
    pub(super) fn null(&mut self) -> bool {
        self.white();
        self.literal(b"null")
    }

    /// A whole number from 0 to `most`.
    #[inline(always)]
    pub(super) fn number(&mut self, most: i64) -> Option<i64> {
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

    #[inline(always)]
    pub(super) fn time(&mut self) -> Option<Timestamp> {
        self.take(b'"')?;
        self.time_within()
    }

    /// A time whose opening quote has been read.
    #[inline(never)]
    pub(super) fn time_within(&mut self) -> Option<Timestamp> {
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

    #[inline(never)]
    pub(super) fn id(&mut self) -> Option<Id<'a>> {
        self.take(b'"')?;
        self.id_within()
    }

    /// An id whose opening quote has been read.
    #[inline(always)]
    pub(super) fn id_within(&mut self) -> Option<Id<'a>> {
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
    #[inline(always)]
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
    #[inline(always)]
    pub(super) fn name<const N: usize>(&mut self, name: &[u8; N]) -> Option<()> {
        if self.literal(name) { self.take(b':') } else { None }
    }

    #[inline(always)]
    pub(super) fn exactly<const N: usize>(&mut self, literal: &[u8; N]) -> Option<()> {
        self.literal(literal).then_some(())
    }

    /// Steps over these bytes, if they are here.
    #[inline(always)]
    pub(super) fn literal<const N: usize>(&mut self, literal: &[u8; N]) -> bool {
        let is_here = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) == Some(literal);
        if is_here {
            self.at += N;
        }
        is_here
    }

    /// Steps over one byte, and white before it.
    #[inline(always)]
    pub(super) fn take(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    /// The next byte that is not white, stepped over.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<u8> {
        let mut byte = *self.bytes.get(self.at)?;
        if byte <= b' ' {
            self.white();
            byte = *self.bytes.get(self.at)?;
        }
        self.at += 1;
        Some(byte)
    }

    #[inline(always)]
    pub(super) fn white(&mut self) {
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

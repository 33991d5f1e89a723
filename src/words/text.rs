//! Short texts: order ids, SKUs, sites and the like. Borrowed from the message they came in wherever possible.

use std::borrow::Cow;

use wide::u8x16;

/// A text that borrows from the bytes it was decoded from, or owns them.
pub type Text<'a> = Cow<'a, str>;

/// The longest id in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// An id whose bytes have been looked at: 1 to [`ID_BYTES_MAX`] bytes of UTF-8 without control characters, as [`is_id`] has it. It
/// stays bytes, as a `&str` of them would cost a second look at each; its first 16 bytes come along as two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id<'a> {
    key: [u64; 2],
    bytes: &'a [u8],
}

impl<'a> Id<'a> {
    /// The id that these bytes are, if they are one.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let length = bytes.len();
        let fits = length > 0 && length <= ID_BYTES_MAX;
        let good = fits
            && (is_printable_ascii(bytes)
                || std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control)));
        good.then(|| {
            let mut padded = [0; 16];
            let head = length.min(16);
            padded[..head].copy_from_slice(&bytes[..head]);
            Self { key: words(&padded), bytes }
        })
    }

    /// The id that the first `length` of these bytes are, if they are one. Where more follow, this is quicker than [`Self::new`].
    #[expect(clippy::inline_always, reason = "measured: a call would pass what is read through memory")]
    #[inline(always)]
    pub(super) fn at_start(bytes: &'a [u8], length: usize) -> Option<Self> {
        if let (Some([low, high]), Some([low_mask, high_mask])) =
            (bytes.first_chunk().map(words), MASKS.get(length))
        {
            let other = (not_printable(low) & low_mask) | (not_printable(high) & high_mask);
            if other == 0 && length > 0 {
                return Some(Self { key: [low & low_mask, high & high_mask], bytes: &bytes[..length] });
            }
        }
        Self::longer(bytes.get(..length)?)
    }

    #[inline(never)]
    fn longer(text: &'a [u8]) -> Option<Self> {
        if let (17..=ID_BYTES_MAX, Some(key), Some(last)) =
            (text.len(), text.first_chunk().map(words), text.last_chunk())
        {
            let (chunks, _) = text.as_chunks();
            let other =
                chunks.iter().chain([last]).fold(0, |other, chunk| other | not_printable(word(*chunk)));
            if other == 0 {
                return Some(Self { key, bytes: text });
            }
        }
        Self::new(text)
    }

    /// The id in bytes that are known to be one, with their first 16 as [`Self::key`] has them.
    #[inline]
    pub(super) fn known(key: [u64; 2], bytes: &'a [u8]) -> Self {
        debug_assert_eq!(Self::new(bytes).map(|id| id.key), Some(key), "{bytes:?}");
        Self { key, bytes }
    }

    /// Some id, where there has to be one.
    pub(super) const ANY: Id<'static> = Id { key: [b'-' as u64, 0], bytes: b"-" };

    /// Its first 16 bytes in little endian, padded with zeros. No id has a zero byte, so that equal keys of ids of at most 16 bytes are
    /// equal ids.
    #[must_use]
    pub const fn key(self) -> [u64; 2] {
        self.key
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Its text.
    ///
    /// # Panics
    /// Never: its bytes are UTF-8.
    #[must_use]
    pub fn text(self) -> &'a str {
        std::str::from_utf8(self.bytes).expect("looked at when it was made")
    }
}

/// The key of the text that the first `length` of these bytes are, if they are printable ASCII. At most 16.
#[expect(clippy::inline_always, reason = "measured: a call would pass what is read through memory")]
#[inline(always)]
pub(super) fn printable_key(bytes: &[u8; 16], length: usize) -> Option<[u64; 2]> {
    let all = u8x16::new(*bytes);
    let within = all.max(u8x16::splat(0x20)).min(u8x16::splat(0x7e)).simd_eq(all);
    // The first byte that is not printable, or the 17th.
    let stop = !within.to_bitmask() | 1 << 16;
    (length <= 16 && stop.trailing_zeros() as usize >= length).then(|| padded(bytes, length))
}

/// The first `length` of these bytes, and zeros behind them, as two words. At most 16.
#[expect(clippy::inline_always, reason = "measured: a call would pass what is read through memory")]
#[inline(always)]
pub(super) fn padded(bytes: &[u8; 16], length: usize) -> [u64; 2] {
    let [low, high] = words(bytes);
    let [low_mask, high_mask] = MASKS[length];
    [low & low_mask, high & high_mask]
}

/// For each length from 0 to 16, which bytes of two words belong to a text of that length.
const MASKS: [[u64; 2]; 17] = {
    let mut masks = [[0; 2]; 17];
    let mut length = 1;
    while length <= 16 {
        masks[length] = masks[length - 1];
        masks[length][(length - 1) / 8] |= 0xff << ((length - 1) % 8 * 8);
        length += 1;
    }
    masks
};

/// Whether the first `length` of these bytes are an id, where nobody asks for it.
#[expect(clippy::inline_always, reason = "measured: a call would pass what is read through memory")]
#[inline(always)]
pub(super) fn is_id_at_start(bytes: &[u8], length: usize) -> bool {
    if let (1..=8, Some(first)) = (length, bytes.first_chunk())
        && not_printable(word(*first)) & MASKS[length][0] == 0
    {
        return true;
    }
    Id::at_start(bytes, length).is_some()
}

const fn word(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes)
}

const fn words(bytes: &[u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(*bytes);
    #[expect(clippy::cast_possible_truncation, reason = "the halves of it")]
    [both as u64, (both >> 64) as u64]
}

/// Whether `text` may be an id (of an order, a SKU, a site, a receipt, a count, a return, an attempt, a
/// shipment): 1 to [`ID_BYTES_MAX`] bytes of UTF-8 without control characters (Unicode's `Cc`). Ids are
/// compared bytewise: no normalisation, no case folding.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let length = text.len();
    length > 0 && length <= ID_BYTES_MAX && has_no_control(text)
}

/// Whether a text has no control characters, as no id has.
#[must_use]
pub fn has_no_control(text: &str) -> bool {
    is_printable_ascii(text.as_bytes()) || !text.chars().any(char::is_control)
}

/// Whether all bytes are ASCII's printable ones, looked at eight at a time: this runs on every id of every command.
fn is_printable_ascii(bytes: &[u8]) -> bool {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let middle = bytes.chunks_exact(8).skip(1).all(|chunk| chunk.try_into().is_ok_and(is_printable));
        middle && is_printable(*first) && is_printable(*last)
    } else if let (Some(&[a, b, c, d]), Some(&[w, x, y, z])) = (bytes.first_chunk(), bytes.last_chunk()) {
        is_printable([a, b, c, d, w, x, y, z])
    } else {
        bytes.iter().all(|byte| (0x20..0x7f).contains(byte))
    }
}

/// Whether eight bytes are all from 0x20 to 0x7e.
fn is_printable(bytes: [u8; 8]) -> bool {
    not_printable(u64::from_ne_bytes(bytes)) == 0
}

/// The high bits of those bytes of a word that are not from 0x20 to 0x7e.
#[inline(always)]
pub(super) const fn not_printable(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    // With no high bit in any byte, the additions do not carry: they set it in bytes from 0x20 on, and in 0x7f.
    let from_space = (word & !HIGH) + ONES * (0x80 - 0x20);
    let delete = (word & !HIGH) + ONES;
    (word | !from_space | delete) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_at_a_time_is_the_same_as_one() {
        for length in 1..=24 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut bytes = vec![b'a'; length];
                    bytes[at] = byte;
                    let plain = bytes.iter().all(|byte| (0x20..0x7f).contains(byte));
                    assert_eq!(is_printable_ascii(&bytes), plain, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn ids_are_1_to_64_bytes_without_control_characters() {
        for good in ["a", "85123A", "O-1001", "é", "日本", " ", &"x".repeat(64)] {
            assert!(is_id(good), "{good:?}");
        }
        for bad in ["", "a\nb", "\0", "\u{7f}", "\u{85}", &"x".repeat(65), &"é".repeat(33)] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_id_is_the_same_however_it_is_read() {
        for text in [
            "",
            "a",
            "85123A",
            "O-1001",
            "é",
            "日本",
            " ",
            "1234567",
            "12345678",
            "0123456789abcdef",
            "0123456789abcdefg",
        ] {
            for behind in ["", "x", "\0", "\u{80}", "0123456789abcdef", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
                let bytes = format!("{text}{behind}").into_bytes();
                let id = Id::at_start(&bytes, text.len());
                assert_eq!(id, Id::new(text.as_bytes()), "{text:?} {behind:?}");
                assert_eq!(id.map(Id::text), is_id(text).then_some(text), "{text:?} {behind:?}");
            }
        }
        for bytes in [&b"a\nb"[..], b"\x7f", b"\xc2\x85", b"\xff", b"abc\xc3", &[b'x'; 65]] {
            for behind in [&b""[..], b"0123456789abcdef"] {
                assert_eq!(Id::at_start(&[bytes, behind].concat(), bytes.len()), None, "{bytes:?}");
            }
        }
        assert_eq!(Id::new(b"85123A").map(Id::key), Some([0x41_33_32_31_35_38, 0]));
        assert_eq!(Id::new(b"0123456789abcdefg").map(Id::key), Id::new(b"0123456789abcdefh").map(Id::key));
        assert_eq!(Id::at_start(b"ab", 3), None);
        assert_eq!(Id::new(b"-"), Some(Id::ANY));
    }

    #[test]
    fn a_printable_text_has_the_key_that_its_id_has() {
        for length in 1..=16 {
            for at in 0..16 {
                for byte in 0..=255 {
                    let mut bytes = *b"0123456789abcdef";
                    bytes[at] = byte;
                    let text = &bytes[..length];
                    let printable = text.iter().all(|byte| (0x20..0x7f).contains(byte));
                    let key = Id::new(text).map(Id::key).filter(|_| printable);
                    assert_eq!(printable_key(&bytes, length), key, "{text:?}");
                }
            }
        }
        assert_eq!(printable_key(&[b'a'; 16], 17), None);
    }
}

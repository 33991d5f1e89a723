//! Short texts: order ids, SKUs, sites and the like. Borrowed from the message they came in wherever possible.

use std::borrow::Cow;

/// A text that borrows from the bytes it was decoded from, or owns them.
pub type Text<'a> = Cow<'a, str>;

/// The longest id in bytes.
pub const ID_BYTES_MAX: usize = 64;

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
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let word = u64::from_ne_bytes(bytes);
    // With no high bit in any byte, the additions do not carry: they set it in bytes from 0x20 on, and in 0x7f.
    let from_space = (word & !HIGH) + ONES * (0x80 - 0x20);
    let delete = (word & !HIGH) + ONES;
    (word | !from_space | delete) & HIGH == 0
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
}

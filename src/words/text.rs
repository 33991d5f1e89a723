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
    if length == 0 || length > ID_BYTES_MAX {
        return false;
    }
    // The C1 controls are two bytes in UTF-8, so plain ASCII takes the short way.
    if text.is_ascii() {
        text.bytes().all(|byte| byte >= 0x20 && byte != 0x7f)
    } else {
        !text.chars().any(char::is_control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

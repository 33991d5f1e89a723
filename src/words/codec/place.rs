//! A short way to read a `place` out of a frame: most of what a shard reads are these.
//!
//! It reads what most of them look like, without an allocation, and leaves all else (other commands, values and attributes,
//! whatever is wrong) to the derived decoder. What it does read it reads as that one does; a test holds the two together.

use super::frame::read_varint;
use crate::words::command::{Line, OnShortage, Place};
use crate::words::text::Text;
use crate::words::timestamp::Timestamp;

/// Where `place` stands among the commands.
const TAG_PLACE: u8 = 0;
/// An order with more lines takes the long way, where the bounds on lists are.
const LINES_MAX: u64 = 64;

/// Reads a command's bytes into `place`, using the memory of its lines; false where they are no plain place, and `place` is
/// of no use then.
#[inline]
pub(super) fn read<'a>(element: &'a [u8], place: &mut Place<'a>) -> bool {
    match element.split_first() {
        Some((&TAG_PLACE, rest)) => read_fields(Bytes(rest), place).is_some(),
        _ => false,
    }
}

/// Field by field, so that none is moved about.
#[inline]
fn read_fields<'a>(mut rest: Bytes<'a>, place: &mut Place<'a>) -> Option<()> {
    place.order_id = rest.text()?;
    place.site = rest.option(Bytes::text)?;
    let count = rest.number().filter(|count| *count <= LINES_MAX)?;
    place.lines.clear();
    for _ in 0..count {
        place.lines.push(Line { sku: rest.text()?, quantity: rest.signed()? });
    }
    place.on_shortage = match rest.byte()? {
        0 => OnShortage::Refuse,
        1 => OnShortage::Partial,
        2 => OnShortage::Backorder,
        _ => return None,
    };
    place.submitted_at = rest.option(Bytes::time)?;
    // Most orders have nothing behind it: six absent fields.
    if rest.0 == [0; 6] {
        (place.ship_by, place.promised_by) = (None, None);
        (place.carrier, place.value, place.customer) = (None, None, None);
        place.attributes.0.clear();
        return Some(());
    }
    place.ship_by = rest.option(Bytes::time)?;
    place.promised_by = rest.option(Bytes::time)?;
    place.carrier = rest.option(Bytes::text)?;
    let no_value = rest.byte()? == 0;
    place.value = None;
    place.customer = rest.option(Bytes::text)?;
    let no_attributes = rest.byte()? == 0;
    place.attributes.0.clear();
    (no_value && no_attributes && rest.0.is_empty()).then_some(())
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// As the enum's tags and options are written: one varint, of which those that are in use take a byte.
    fn number(&mut self) -> Option<u64> {
        read_varint(&mut self.0)
    }

    /// A zigzag number: 0, -1, 1, -2, …
    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn text(&mut self) -> Option<Text<'a>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Text::Borrowed(std::str::from_utf8(text).ok()?))
    }

    fn time(&mut self) -> Option<Timestamp> {
        let millis = self.signed()?;
        // Those that lie outside the valid range are for the fold to refuse, by their own value.
        Some(Timestamp::from_millis(millis)).filter(|time| time.millis() == millis)
    }

    #[expect(clippy::option_option, reason = "the outer one is whether it can be read at all")]
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => Some(Some(read(self)?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::codec::frame::{derived, encode_command};
    use crate::words::command::{Attributes, Command, Money};

    fn both(bytes: &[u8]) -> (Option<Command<'_>>, Option<Command<'_>>) {
        // What was there before must not show through.
        let mut place = places().swap_remove(1);
        place.value = Some(Money { minor: 1, currency: "EUR".into() });
        place.attributes = Attributes(vec![("a".into(), "b".into())]);
        (read(bytes, &mut place).then_some(Command::Place(place)), derived(bytes).ok())
    }

    fn places() -> Vec<Place<'static>> {
        let line = |sku: &'static str, quantity| Line { sku: sku.into(), quantity };
        let full = Place {
            order_id: "O-0123456789".into(),
            site: Some("Köln".into()),
            lines: vec![line("85123A", 1), line("84406B", -1), line("", i64::MAX), line("日本", i64::MIN)],
            on_shortage: OnShortage::Backorder,
            submitted_at: Some(Timestamp::from_millis(1_763_780_400_123)),
            ship_by: Some(Timestamp::ZERO),
            promised_by: Some(Timestamp::MAX),
            carrier: Some("c".into()),
            customer: Some("x".into()),
            ..Place::default()
        };
        let plain = Place {
            order_id: "O-0123456789".into(),
            lines: vec![line("85123A", 1), line("84406B", 200)],
            submitted_at: Some(Timestamp::from_millis(1_763_780_400_123)),
            ..Place::default()
        };
        vec![plain, full, Place::default()]
    }

    #[test]
    fn plain_places_take_the_short_way_and_are_the_same() {
        for place in places() {
            let command = Command::Place(place);
            let bytes = encode_command(&command);
            assert_eq!(both(&bytes), (Some(command.clone()), Some(command)));
        }
    }

    #[test]
    fn what_it_does_not_know_takes_the_long_way() {
        let value = Some(Money { minor: 1, currency: "EUR".into() });
        let attributes = Attributes(vec![("a".into(), "b".into())]);
        for place in [
            Place { value, ..Place::default() },
            Place { attributes, ..Place::default() },
            Place { lines: vec![Line { sku: "A".into(), quantity: 1 }; 65], ..Place::default() },
        ] {
            let command = Command::Place(place);
            assert_eq!(both(&encode_command(&command)), (None, Some(command.clone())));
        }
    }

    /// Every change of one or two bytes, every cut, and every byte too many: the short way gives nothing, or the same.
    #[test]
    fn it_never_reads_what_the_derived_decoder_reads_otherwise() {
        let mut agreed = 0;
        let mut check = |bytes: &[u8]| {
            if let (Some(short), derived) = both(bytes) {
                assert_eq!(Some(short), derived, "{bytes:?}");
                agreed += 1;
            }
        };
        for place in places() {
            let bytes = encode_command(&Command::Place(place));
            for at in 0..bytes.len() {
                check(&bytes[..at]);
                for value in 0..=255 {
                    let mut changed = bytes.clone();
                    changed[at] = value;
                    check(&changed);
                    changed.insert(at, value);
                    check(&changed);
                    for wide in [251, 252, 253, 254, 255] {
                        changed[at] = wide;
                        check(&changed);
                    }
                }
            }
        }
        assert!(agreed > 1000, "{agreed}");
    }
}

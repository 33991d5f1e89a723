//! Names: ids of orders and SKUs as the tables keep them. Most take 16 bytes where they stand; longer ones lie in a store of
//! their own, from which they are taken out when their order is.

use crate::words::hash::TextHash;
use crate::words::text::{ID_BYTES_MAX, Id};

use super::granules::Granules;

/// How many bytes of a text stand where the name does.
pub(crate) const SHORT: usize = 16;

/// A name: the bytes of a short text and zeros behind it, or of a longer one its hash and its place in [`Names`]. Its length
/// stands beside it, so that the two are told apart. No id has a NUL, so equal short names of equal lengths are equal texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) [u8; SHORT]);

impl Name {
    /// The name of a short text, or the first bytes of a longer one.
    #[inline]
    pub(crate) fn short(text: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        let length = text.len().min(SHORT);
        bytes[..length].copy_from_slice(&text[..length]);
        Self(bytes)
    }

    /// The name of a short id, or the first bytes of a longer one.
    #[inline]
    fn of_id(id: Id<'_>) -> Self {
        let [low, high] = id.key();
        Self((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }

    fn long(hash: u64, place: u32) -> Self {
        let mut bytes = [0; SHORT];
        bytes[..8].copy_from_slice(&hash.to_le_bytes());
        bytes[8..12].copy_from_slice(&place.to_le_bytes());
        Self(bytes)
    }

    fn hash(&self) -> u64 {
        let (hash, _) = self.0.split_first_chunk().expect("eight bytes and more");
        u64::from_le_bytes(*hash)
    }

    fn place(&self) -> u32 {
        let place = self.0[8..].first_chunk().expect("four bytes and more");
        u32::from_le_bytes(*place)
    }
}

/// Longer texts by size: 17 to 24 bytes, to 32, …, to 64.
const CLASS_BYTES: usize = 8;

macro_rules! classes {
    ($($field:ident: $bytes:literal),*) => {
        /// The store of longer texts, in classes of eight bytes each.
        #[derive(Debug, Default)]
        pub(crate) struct Names { $($field: Class<$bytes>),* }

        impl Names {
            fn store(&mut self, text: &[u8]) -> u32 {
                match text.len().next_multiple_of(CLASS_BYTES) {
                    $($bytes => self.$field.store(text),)*
                    _ => unreachable!("an id is at most 64 bytes"),
                }
            }

            fn stored(&self, length: usize, place: u32) -> &[u8] {
                match length.next_multiple_of(CLASS_BYTES) {
                    $($bytes => &self.$field.texts.get(place)[..length],)*
                    _ => &[],
                }
            }

            fn free(&mut self, length: usize, place: u32) {
                match length.next_multiple_of(CLASS_BYTES) {
                    $($bytes => {
                        self.$field.unused.push(place);
                    })*
                    _ => {}
                }
            }

            /// The texts that are there now, once more: see [`super::granules`]. Only to be read.
            pub(crate) fn share(&mut self) -> Self {
                Self { $($field: Class { texts: self.$field.texts.share(), unused: Granules::default() }),* }
            }
        }
    };
}

classes! { a: 24, b: 32, c: 40, d: 48, e: 56, f: 64 }

const _: () = assert!(ID_BYTES_MAX == 64 && SHORT == 16);

#[derive(Debug, Default)]
struct Class<const N: usize> {
    texts: Granules<[u8; N]>,
    unused: Granules<u32>,
}

impl<const N: usize> Class<N> {
    fn store(&mut self, text: &[u8]) -> u32 {
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text);
        match self.unused.pop() {
            Some(place) => {
                *self.texts.get_mut(place) = bytes;
                place
            }
            None => self.texts.push(bytes),
        }
    }
}

impl Names {
    /// The name of a text, stored if it is a longer one.
    #[inline]
    pub(crate) fn add(&mut self, text: &str, hash: u64) -> Name {
        if text.len() <= SHORT {
            return Name::short(text.as_bytes());
        }
        Name::long(hash, self.store(text.as_bytes()))
    }

    /// The name of an id, stored if it is a longer one.
    #[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
    #[inline(always)]
    pub(crate) fn add_id(&mut self, id: Id<'_>, hash: u64) -> Name {
        if id.bytes().len() <= SHORT { Name::of_id(id) } else { Name::long(hash, self.store(id.bytes())) }
    }

    /// Whether a name is that of an id with this hash.
    #[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
    #[inline(always)]
    pub(crate) fn is_id(&self, name: &Name, length: u8, id: Id<'_>, hash: u64) -> bool {
        if usize::from(length) != id.bytes().len() {
            return false;
        }
        if usize::from(length) <= SHORT {
            return *name == Name::of_id(id);
        }
        name.hash() == hash && self.stored(id.bytes().len(), name.place()) == id.bytes()
    }

    /// Takes a name's text out of the store. The name is of no use then.
    pub(crate) fn remove(&mut self, name: Name, length: u8) {
        if usize::from(length) > SHORT {
            self.free(length.into(), name.place());
        }
    }

    /// Whether a name is that of a text with this hash.
    #[inline]
    pub(crate) fn is(&self, name: &Name, length: u8, text: &str, hash: u64) -> bool {
        if usize::from(length) != text.len() {
            return false;
        }
        if text.len() <= SHORT {
            return *name == Name::short(text.as_bytes());
        }
        name.hash() == hash && self.stored(text.len(), name.place()) == text.as_bytes()
    }

    /// The text of a name.
    pub(crate) fn text<'n>(&'n self, name: &'n Name, length: u8) -> &'n str {
        let length = usize::from(length);
        let bytes = if length <= SHORT { &name.0[..length] } else { self.stored(length, name.place()) };
        str::from_utf8(bytes).expect("what is named is text")
    }

    /// The hash of a name's text.
    pub(crate) fn hash(&self, name: &Name, length: u8, hash: &TextHash) -> u64 {
        if usize::from(length) <= SHORT { hash.of(self.text(name, length).as_bytes()) } else { name.hash() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_their_texts_whatever_their_length() {
        let hash = TextHash::new(7);
        let mut names = Names::default();
        let texts: Vec<String> =
            (1..=64).flat_map(|length| ["a", "b"].map(|one| one.repeat(length))).collect();
        for _ in 0..3 {
            let kept: Vec<_> = texts.iter().map(|text| names.add(text, hash.of(text.as_bytes()))).collect();
            for (text, name) in texts.iter().zip(&kept) {
                let length = u8::try_from(text.len()).unwrap();
                assert_eq!(names.text(name, length), text);
                assert_eq!(names.hash(name, length, &hash), hash.of(text.as_bytes()));
                for other in &texts {
                    assert_eq!(names.is(name, length, other, hash.of(other.as_bytes())), text == other);
                }
            }
            for (text, name) in texts.iter().zip(kept) {
                names.remove(name, u8::try_from(text.len()).unwrap());
            }
        }
        assert_eq!(names.f.texts.len(), 16, "places are used again");
    }
}

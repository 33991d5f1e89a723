//! The pinned hash: XXH3 (64 bits, little endian input), for whatever outlives a process or must agree between
//! two of them: chains, digests, content hashes. Its test vectors come from the xxHash project.

use xxhash_rust::xxh3;

use super::text::Id;

/// XXH3-64 of `bytes` with seed 0.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    xxh3::xxh3_64(bytes)
}

/// XXH3-64 of `bytes` with a seed.
#[must_use]
pub fn hash_seeded(bytes: &[u8], seed: u64) -> u64 {
    xxh3::xxh3_64_with_seed(bytes, seed)
}

/// Mixes two 64-bit values into one: XXH3-64 of the second's bytes, seeded with the first.
#[must_use]
pub fn mix(left: u64, right: u64) -> u64 {
    xxh3::xxh3_64_with_seed(&right.to_le_bytes(), left)
}

/// Mixes two 64-bit values into one in a few instructions: the halves of their product, each changed by a constant before, are
/// folded together (the `mum` of wyhash, with its first two constants). For hashes of hashes, which nobody can choose.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
pub const fn fold(left: u64, right: u64) -> u64 {
    let product = (left ^ 0xa076_1d64_78bd_642f) as u128 * (right ^ 0xe703_7ed1_a0b4_28db) as u128;
    product as u64 ^ (product >> 64) as u64
}

/// A keyed hash of texts, for tables that must not be flooded: three keys that differ from log to log, so that nobody can
/// prepare ids that collide.
///
/// A text of at most 16 bytes is padded with zeros and goes through two multiplications whose halves are folded (the `mum` of
/// wyhash, W. Yi); a longer one block by block, the last one overlapping. One multiplication alone spreads patterned ids badly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextHash {
    keys: [u64; 3],
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The halves of a product, folded together.
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn mum(left: u64, right: u64) -> u64 {
    let product = left as u128 * right as u128;
    product as u64 ^ (product >> 64) as u64
}

impl TextHash {
    /// The hash with the keys that follow from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { keys: [mix(seed, 0), mix(seed, 1), mix(seed, 2)] }
    }

    /// The hash of a text.
    #[must_use]
    #[inline]
    pub fn of(&self, text: &[u8]) -> u64 {
        if text.len() > 16 { self.of_long(text) } else { self.of_words(words(text)) }
    }

    /// The hash of an id.
    #[must_use]
    #[inline]
    pub fn of_id(&self, id: Id<'_>) -> u64 {
        if id.bytes().len() > 16 { self.of_long(id.bytes()) } else { self.of_words(id.key()) }
    }

    /// The hash of a text of at most 16 bytes, by its two words: its bytes in little endian, padded with zeros.
    #[must_use]
    #[inline]
    pub const fn of_words(&self, [low, high]: [u64; 2]) -> u64 {
        let [k0, k1, k2] = self.keys;
        mum(mum(low ^ k0, high ^ k1) ^ k2, GOLDEN ^ k0)
    }

    fn of_long(&self, text: &[u8]) -> u64 {
        let [k0, k1, k2] = self.keys;
        let mut all = k2 ^ text.len() as u64;
        let block = |all: u64, bytes: &[u8]| {
            let [low, high] = words(bytes);
            mum(low ^ k0 ^ all, high ^ k1)
        };
        for bytes in text.chunks_exact(16) {
            all = block(all, bytes);
        }
        all = block(all, &text[text.len() - 16..]);
        self.of_words([all, text.len() as u64])
    }
}

/// Up to 16 bytes as two words in little endian, padded with zeros.
#[inline]
fn words(bytes: &[u8]) -> [u64; 2] {
    let mut padded = [0; 16];
    let length = bytes.len().min(16);
    padded[..length].copy_from_slice(&bytes[..length]);
    let whole = u128::from_le_bytes(padded);
    #[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
    [whole as u64, (whole >> 64) as u64]
}

/// Feeds values of several types into one XXH3-64, each with a length or of fixed width, so that no two
/// different sequences of calls give the same bytes.
#[derive(Default)]
pub struct Hasher(xxh3::Xxh3Default);

impl Hasher {
    /// An empty hasher, seed 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an unsigned number.
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.0.update(&value.to_le_bytes());
        self
    }

    /// Adds a signed number.
    pub fn signed(&mut self, value: i64) -> &mut Self {
        self.0.update(&value.to_le_bytes());
        self
    }

    /// Adds bytes, preceded by their length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
        self
    }

    /// Adds a text, preceded by its length in bytes.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// The hash of all that was added.
    #[must_use]
    pub fn finish(&self) -> u64 {
        self.0.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From xxHash's own test vectors: `XXH3_64bits` of the empty input, seeds 0 and PRIME64.
    #[test]
    fn xxh3_test_vectors() {
        assert_eq!(hash(b""), 0x2D06_8005_38D3_94C2);
        assert_eq!(hash_seeded(b"", 0x9E37_79B1_85EB_CA8D), 0xA8A6_B918_B2F0_364A);
    }

    /// By hand: the product of the constants alone, and of numbers that cancel them.
    #[test]
    fn fold_is_pinned() {
        let (a, b) = (0xa076_1d64_78bd_642f_u64, 0xe703_7ed1_a0b4_28db_u64);
        assert_eq!(fold(a ^ 3, b ^ 5), 15);
        assert_eq!(fold(a ^ (1 << 63), b ^ 6), 3);
        assert_eq!(fold(0, 0), 0x1ff5_c292_3a78_8d2c);
        assert_ne!(fold(1, 2), fold(2, 1));
    }

    /// Pinned: what is in a snapshot goes by it.
    #[test]
    fn text_hash_is_pinned_and_tells_texts_apart() {
        let hash = TextHash::new(1);
        let texts: Vec<String> = (0..=64).map(|length| "a".repeat(length)).collect();
        let hashes: std::collections::BTreeSet<_> =
            texts.iter().map(|text| hash.of(text.as_bytes())).collect();
        assert_eq!(hashes.len(), texts.len());
        assert_eq!(hash.of(b"85123A"), hash.of_words(words(b"85123A")));
        assert_ne!(hash.of(b"85123A"), TextHash::new(2).of(b"85123A"));
        let pinned = [hash.of(b"O-1"), hash.of(b"0123456789abcdef"), hash.of(b"0123456789abcdef0")];
        assert_eq!(pinned, PINNED, "{pinned:x?}");
    }

    const PINNED: [u64; 3] = [0xf5cc_cb81_a2fd_32df, 0x29aa_577f_da96_1657, 0x71b2_896c_455f_dff9];

    #[test]
    fn neighbours_do_not_run_together() {
        let hash_of = |parts: &[&str]| {
            let mut hasher = Hasher::new();
            for part in parts {
                hasher.text(part);
            }
            hasher.finish()
        };
        assert_ne!(hash_of(&["ab", "c"]), hash_of(&["a", "bc"]));
    }
}

//! The pinned hash: XXH3 (64 bits, little endian input), for whatever outlives a process or must agree between
//! two of them: chains, digests, content hashes. Its test vectors come from the xxHash project.

use xxhash_rust::xxh3;

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

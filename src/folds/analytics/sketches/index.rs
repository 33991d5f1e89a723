//! An index from 64-bit hashes to places. Two texts with one hash are taken for one: among a million of them that happens with
//! a probability of 3 in 10^8. It is not written: whoever owns the places makes it again from their hashes.

use std::hash::{BuildHasherDefault, Hasher};

/// The hash is one already.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::folds::analytics) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = crate::words::hash::hash(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Places by hash.
pub(in crate::folds::analytics) type Index = hashbrown::HashMap<u64, u32, BuildHasherDefault<AsItIs>>;

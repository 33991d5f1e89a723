//! Content hashes: what makes two commands under one id the same.

use super::validate::Want;
use crate::words::hash::{fold, hash};

/// A hash over deciding fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content(u64);

impl Content {
    pub(super) fn new() -> Self {
        Self(0)
    }

    pub(super) fn text(self, text: &str) -> Self {
        Self(fold(self.0, hash(text.as_bytes())))
    }

    pub(super) fn number(self, number: u64) -> Self {
        Self(fold(self.0, number))
    }

    /// Wants, in any order.
    pub(super) fn wants(self, wants: &[Want<'_>]) -> Self {
        let sum = wants
            .iter()
            .map(|want| fold(want.hash, want.quantity.unsigned_abs()))
            .fold(0u64, u64::wrapping_add);
        self.number(sum)
    }

    pub(super) const fn finish(self) -> u64 {
        self.0
    }
}

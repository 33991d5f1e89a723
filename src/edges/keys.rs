//! A small table of named values with revisions: leases, and pointers to snapshots.
//!
//! One trait with two sides, [`super::memory`] and [`super::jetstream`], under one contract suite
//! (`tests/live/contract_keys.rs`). What the contract says:
//!
//! - Every change is fenced by the revision that its writer saw: of several writers that saw the same one, one passes.
//! - Revisions ascend over the whole table and are never given twice, so a value that was removed and put again is never
//!   taken for the one before.
//! - A revision that was returned is stored; a change that failed with [`AppendError::TimedOut`] may have been made all
//!   the same: read it again.
//! - A read sees every change that was acknowledged before it began. (In a cluster this is as good as the servers' word on
//!   who leads the stream: a leader that was cut off answers for a few seconds more. A change is never fooled by it.)
//!   [`Keys::all`] reads one key after the other: what is changed meanwhile may be seen or not, key by key.

use std::future::Future;

use bytes::Bytes;

use super::streams::{AppendError, ReadError};

/// The longest key, in bytes; so too the longest name of an object.
pub const NAME_BYTES_MAX: usize = 128;

/// The largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 256 << 10;

/// The most keys that [`Keys::all`] gives: a table is far smaller.
pub const KEYS_MAX: usize = 4_096;

/// Whether `text` may be a key, or the name of an object: 1 to [`NAME_BYTES_MAX`] letters, digits, `-` and `_`, in parts
/// between which a `.` stands.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() <= NAME_BYTES_MAX && text.split('.').all(|part| !part.is_empty() && part.bytes().all(plain))
}

/// What writing under a text that [is no name](is_name) is answered with.
pub(super) fn no_name(text: &str) -> AppendError {
    AppendError::Unavailable(format!("{text:?} is no name"))
}

/// A value, and what its next change must expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Its revision, from 1.
    pub revision: u64,
}

/// A table. Clones share it. A text that [is no name](is_name) is never there, and cannot be put.
pub trait Keys: Clone + Send + Sync + 'static {
    /// The value of `key`; none where it was never put, or was removed.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Entry>, ReadError>> + Send;

    /// All values, ascending by key; [`ReadError::Unreadable`] where there are more than [`KEYS_MAX`]. Costs a request a key.
    fn all(&self) -> impl Future<Output = Result<Vec<(String, Entry)>, ReadError>> + Send;

    /// Puts a value, if the key's revision is `expected` (0: it is not there), and gives the new revision. A value larger
    /// than [`VALUE_BYTES_MAX`] is [`AppendError::TooLarge`].
    fn put(
        &self,
        key: &str,
        value: Bytes,
        expected: u64,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send;

    /// Removes a value, if its revision is `expected`. What is not there has no revision: [`AppendError::Conflict`].
    fn remove(&self, key: &str, expected: u64) -> impl Future<Output = Result<(), AppendError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_a_subject_and_a_folder() {
        for good in ["a", "main", "main.42", "a-b_c.D", &"x".repeat(NAME_BYTES_MAX)] {
            assert!(is_name(good), "{good:?}");
        }
        for bad in
            ["", ".", "..", ".a", "a.", "a..b", "a/b", "*", ">", "a b", "é", "a\n", "\0", &"x".repeat(129)]
        {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}

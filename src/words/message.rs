//! A message of the log, as the broker stored it.

use bytes::Bytes;

use super::codec::Format;
use super::hash::Hasher;
use super::timestamp::Timestamp;

/// A message of the log: one command or many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMessage {
    /// Its sequence in the stream, from 1, without gaps.
    pub sequence: u64,
    /// When the broker stored it, in nanoseconds since 1970.
    pub stored_at_ns: i64,
    /// What its `Content-Type` says; none where that is not known to Weir.
    pub format: Option<Format>,
    /// The commands.
    pub payload: Bytes,
}

impl LogMessage {
    /// When the broker stored it, in whole milliseconds.
    #[must_use]
    pub const fn stored_at(&self) -> Timestamp {
        Timestamp::from_millis(self.stored_at_ns.div_euclid(1_000_000))
    }

    /// XXH3-64 over its sequence, timestamp and payload: whoever applied it knows it again by this.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hasher = Hasher::new();
        hasher.number(self.sequence).signed(self.stored_at_ns).bytes(&self.payload);
        hasher.finish()
    }
}

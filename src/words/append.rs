//! An append: what one message of the outcome stream holds, and the header that tells readers where it belongs.

use bytes::Bytes;

use super::codec::Format;
use super::identity::Identity;

/// How far a shard is: the last log message applied, and the chain up to it.
///
/// The chain is XXH3-64 over (the chain before, sequence, timestamp in nanoseconds, payload, outcomes as a frame's
/// elements), starting at 0: two folds that agree on it agree on all that they applied and decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The last log message that is wholly covered; 0 before the first.
    pub sequence: u64,
    /// The chain after it.
    pub hash: u64,
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{:016x}", self.sequence, self.hash)
    }
}

impl std::str::FromStr for Chain {
    type Err = NotAChain;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sequence, hash) = text.split_once(':').ok_or(NotAChain)?;
        Ok(Self {
            sequence: sequence.parse().map_err(|_| NotAChain)?,
            hash: u64::from_str_radix(hash, 16).map_err(|_| NotAChain)?,
        })
    }
}

/// A text that is no [`Chain`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a chain of the form sequence:hash")]
pub struct NotAChain;

/// What an append says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendHeader {
    /// The `through` of the append before; [`Identity::START`] for the first.
    pub from: Identity,
    /// The identity of its last outcome.
    pub through: Identity,
    /// The rules version in force at its end.
    pub rules: u32,
    /// Who wrote it: the worker's name.
    pub writer: String,
    /// The chain at the last log message that is wholly covered.
    pub chain: Chain,
}

/// A message for the outcome stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// What it says of itself.
    pub header: AppendHeader,
    /// How the payload is written.
    pub format: Format,
    /// The outcomes.
    pub payload: Bytes,
}

/// An append as the outcome stream holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAppend {
    /// Its sequence in the outcome stream.
    pub sequence: u64,
    /// The append.
    pub append: Append,
}

/// What a stored append says of itself, without what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// Its sequence in the outcome stream.
    pub sequence: u64,
    /// What it says of itself.
    pub header: AppendHeader,
    /// How many bytes of outcomes it holds.
    pub payload_bytes: usize,
    /// When it was stored, in nanoseconds since 1970.
    pub stored_at_ns: i64,
}

/// Bytes that were no command, on their way to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The log message they came in.
    pub sequence: u64,
    /// The record's index in it.
    pub index: u32,
    /// How that message was written; none where that is not known.
    pub format: Option<Format>,
    /// What is wrong with them.
    pub reason: String,
    /// The bytes.
    pub bytes: Bytes,
}

/// A dead letter as its stream holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLetter {
    /// Its sequence in the stream of the dead letters.
    pub sequence: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub stored_at_ns: i64,
    /// The letter. It may have come more than once: its sequence and index tell.
    pub letter: DeadLetter,
    /// How many bytes it had; more than it has where they did not all fit.
    pub bytes_all: u64,
}

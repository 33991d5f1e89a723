//! A signal as its stream holds it: an early warning for other systems.

use bytes::Bytes;

/// A signal on its way to its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalLetter {
    /// Its identity: a repeat, as after a takeover, has the same one.
    pub id: String,
    /// Its kind: the last part of its subject.
    pub kind: &'static str,
    /// What it says, as JSON.
    pub payload: Bytes,
}

/// A signal as its stream holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSignal {
    /// Its sequence in the stream of all shards' signals.
    pub sequence: u64,
    /// What it says, as JSON; its shard and kind are in it.
    pub payload: Bytes,
}

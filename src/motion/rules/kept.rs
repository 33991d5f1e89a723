//! What is known of a snapshot, and where a fold runs: plain data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::words::identity::Identity;

/// A snapshot that was read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The object's name.
    pub name: String,
    /// The last log message that it covers.
    pub sequence: u64,
    /// The chain after it, as `sequence:hash`.
    pub chain: String,
    /// The last outcome up to that point, as `sequence.index.place`. Who recovers may use the snapshot if this was announced.
    pub through: String,
    /// The rules version in force at that point.
    pub rules: u32,
    /// Its size in bytes.
    pub bytes: u64,
    /// XXH3-64 of its bytes, in hexadecimal.
    pub hash: String,
    /// The digest of the state, in hexadecimal.
    pub state: String,
    /// The digest of the ledger, in hexadecimal.
    pub ledger: String,
}

impl Kept {
    /// The last outcome up to it; none where that cannot be read.
    #[must_use]
    pub fn through(&self) -> Option<Identity> {
        self.through.parse().ok()
    }
}

/// The pause between two steps of giving memory back. The kernel lets one thread at a time change what a process has mapped, and
/// another that wants to, if only to allocate, comes between two steps alone.
pub(in crate::motion) const DROPS_PAUSE: Duration = Duration::from_micros(50);

/// Where a fold runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FoldOn {
    /// On a thread of its own.
    #[default]
    Thread,
    /// As a task among others: for a simulation.
    Task,
}

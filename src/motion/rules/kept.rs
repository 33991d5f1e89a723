//! What is known of a snapshot, and where a fold runs: plain data.

use serde::{Deserialize, Serialize};

use crate::folds::inventory::{Digests, SnapshotHead};
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

/// What a snapshot was written of.
#[derive(Clone, Copy, Debug)]
pub(in crate::motion) struct Written {
    pub(in crate::motion) head: SnapshotHead,
    /// The last outcome of its past.
    pub(in crate::motion) through: Identity,
    pub(in crate::motion) digests: Digests,
}

/// Where a fold runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FoldOn {
    /// On a thread of its own.
    #[default]
    Thread,
    /// On a thread of its own, beside one that decides and must not wait for it.
    Beside,
    /// As a task among others: for a simulation.
    Task,
}

impl FoldOn {
    /// Where a fold runs beside one that runs here.
    pub(in crate::motion) const fn beside(self) -> Self {
        match self {
            Self::Thread | Self::Beside => Self::Beside,
            Self::Task => Self::Task,
        }
    }
}

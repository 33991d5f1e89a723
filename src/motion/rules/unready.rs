//! Why a shard is not ready at a worker, as plain data: for the words of `/readyz`, and for the verdict.

use crate::words::fault::Fault;

/// Why a shard is not ready at a worker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// It stands still.
    #[error("{0}")]
    Halted(Fault),
    /// It was given to this worker, which has not begun.
    #[error("about to be taken")]
    Coming,
    /// The streams do not answer.
    #[error("NATS cannot be reached")]
    Unreachable,
    /// It waits before it recovers.
    #[error("about to recover")]
    Pausing,
    /// It restores a snapshot.
    #[error("catching up: restoring a snapshot")]
    Restoring,
    /// It folds the log up to its end: so many messages are left.
    #[error("catching up, {0} messages behind")]
    Replaying(u64),
    /// It folds what comes, and is so many messages behind.
    #[error("catching up, {0} messages behind")]
    Behind(u64),
    /// Outcomes cannot be announced, for this reason.
    #[error("{0}")]
    HeldUp(String),
    /// It leads, and gets no further: so many messages are left.
    #[error("getting no further, {0} messages behind")]
    Stuck(u64),
}

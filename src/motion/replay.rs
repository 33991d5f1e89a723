//! Replay: a log folded by whoever wants to know, without publishing anything.

use super::fold::FoldOn;
use super::folding::{Applied, Folding, Start};
use super::onward::Onward;
use super::snapshots::{RestoreError, Snapshots};
use crate::edges::streams::{ReadError, Streams};
use crate::edges::{Edges, ShardEdges};
use crate::folds::inventory::{Inventory, Output};
use crate::words::fault::Fault;
use crate::words::identity::Identity;
use crate::words::message::LogMessage;

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be folded.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Folds the log from its start up to the last message that it holds now, and shows every batch of outcomes to `each`.
pub async fn replay<S: Streams>(
    streams: &S,
    mut each: impl FnMut(&Output),
) -> Result<Inventory, ReplayError> {
    let last = streams.log_state().await?.last_sequence;
    let folded = onward(streams, Start::empty(), last, |applied| each(&applied.output)).await?;
    Ok(folded.inventory)
}

/// The state at the last message that the log holds now: folded on from the newest snapshot that can be restored and that the log
/// goes on from, or from the log's start.
pub async fn current<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    fold_on: FoldOn,
) -> Result<Inventory, ReplayError> {
    let log = edges.streams.log_state().await?;
    let snapshots = Snapshots::new(shard, edges);
    let mut start = Start::empty();
    for kept in snapshots.kept().await? {
        if !(log.first_sequence.saturating_sub(1)..=log.last_sequence).contains(&kept.sequence) {
            continue;
        }
        match snapshots.restore(&kept, fold_on).await {
            Ok(restored) => {
                start = restored;
                break;
            }
            Err(RestoreError::Read(error @ ReadError::Unavailable(_))) => return Err(error.into()),
            Err(error) => tracing::warn!(shard, snapshot = kept.name, %error, "a snapshot is passed over"),
        }
    }
    Ok(onward(&edges.streams, start, log.last_sequence, |_| {}).await?.inventory)
}

/// Folds on from `start` through message `last`, which the log holds.
pub(super) async fn onward<S: Streams>(
    streams: &S,
    start: Start,
    last: u64,
    mut each: impl FnMut(&Applied),
) -> Result<Start, ReplayError> {
    let mut messages = Onward::new(start.inventory.chain().sequence + 1, |from| streams.read_log(from));
    let mut folding = Folding::new(start, Identity::START, last);
    while folding.inventory().chain().sequence < last {
        let mut read = messages.next(|message: &LogMessage| message.sequence).await?;
        read.retain(|message| message.sequence <= last);
        folding.step(&read, i64::MAX, |applied| {
            each(&applied);
            true
        })?;
    }
    let through = folding.through();
    Ok(Start { inventory: folding.into_inventory(), through })
}

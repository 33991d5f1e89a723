//! Replay: a log folded by whoever wants to know, without publishing anything.

use crate::edges::streams::{ReadError, Streams};
use crate::edges::{Edges, ShardEdges};
use crate::folds::inventory::{Inventory, Output};
use crate::motion::rules::folding::{Applied, Folding, Start};
use crate::motion::rules::kept::{FoldOn, Kept};
use crate::motion::store::mark;
use crate::motion::store::onward::Onward;
use crate::motion::store::snapshots::{Snapshots, Unfit};
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
    /// What the log holds is being moved.
    #[error("a new epoch was begun and not ended: run `weir epoch --yes` again")]
    EpochUnderWay,
    /// There is nothing to begin with.
    #[error(
        "the log begins at sequence {first}: what came before was trimmed, and it goes on from no snapshot that can be restored"
    )]
    Trimmed {
        /// The log's first sequence.
        first: u64,
    },
}

/// Folds the log from its start up to the last message that it holds now, and shows every batch of outcomes to `each`.
pub async fn replay<S: Streams>(
    streams: &S,
    mut each: impl FnMut(&Output),
) -> Result<Box<Inventory>, ReplayError> {
    let last = streams.log_state().await?.last_sequence;
    let each = |applied: &Applied| each(&applied.output);
    onward(streams, Start::empty(), last, each).await.map(|end| end.inventory)
}

/// The state at the last message that the log holds now: folded on from the newest snapshot that can be restored and that the log
/// goes on from, or from the log's start. `pass_over` is told of snapshots that do not serve, and why.
pub async fn current<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    fold_on: FoldOn,
    mut pass_over: impl FnMut(&str, &str),
) -> Result<Box<Inventory>, ReplayError> {
    let streams = &edges.streams;
    if mark::is_under_way(shard, edges).await? {
        return Err(ReplayError::EpochUnderWay);
    }
    let log = streams.log_state().await?;
    let snapshots = Snapshots::new(shard, edges);
    let kept = snapshots.kept().await?;
    let pass_over = |kept: &Kept, unfit: &Unfit| pass_over(&kept.name, &unfit.to_string());
    let found = snapshots.first(kept.iter().collect(), Some(streams), fold_on, pass_over).await?;
    let start = found.map(|(_, start)| start);
    let first = log.first_sequence;
    let start = match start {
        None if first > 1 => return Err(ReplayError::Trimmed { first }),
        start => start.unwrap_or_else(Start::empty),
    };
    onward(streams, start, log.last_sequence, |_| {}).await.map(|end| end.inventory)
}

/// Folds on from `start` through message `last`, which the log holds.
pub(super) async fn onward<S: Streams, E: From<ReadError> + From<Fault>>(
    streams: &S,
    start: Start,
    last: u64,
    mut each: impl FnMut(&Applied),
) -> Result<Start, E> {
    let mut messages = Onward::new(start.inventory.chain().sequence + 1, |from| streams.read_log(from));
    let mut folding = Folding::new(start, Identity::START);
    while folding.inventory().chain().sequence < last {
        let mut read = messages.next(|message: &LogMessage| message.sequence).await?;
        let expected = folding.inventory().chain().sequence + 1;
        if let Some(found) = read.first().map(|message| message.sequence).filter(|found| *found > last) {
            // It was trimmed meanwhile.
            return Err(Fault::Gap { expected, found }.into());
        }
        read.retain(|message| message.sequence <= last);
        folding.step(&read, i64::MAX, |applied| {
            each(&applied);
            true
        })?;
    }
    let through = folding.through();
    Ok(Start { inventory: folding.into_inventory(), through })
}

//! Recovery: where a shard goes on. The outcome stream says what was announced; the newest good snapshot that is not ahead of it
//! is where the fold begins.
//!
//! A snapshot that is ahead would swallow the outcomes between: what was folded into it was never announced.

use crate::edges::streams::{ReadError, StreamState, Streams};
use crate::edges::{Edges, ShardEdges};
use crate::motion::rules::folding::Start;
use crate::motion::rules::kept::{FoldOn, Kept};
use crate::motion::rules::publishing::Position;
use crate::motion::store::last::Last;
use crate::motion::store::mark;
use crate::motion::store::snapshots::{Snapshots, Unfit};
use crate::words::fault::Fault;
use crate::words::identity::Identity;

/// No broker may take less in one message: the largest outcomes would not fit. NATS's default.
const PAYLOAD_BYTES_LEAST: usize = 1 << 20;

/// Where a shard goes on.
pub(in crate::motion) struct Recovered {
    pub(in crate::motion) position: Position,
    /// The last message that the log held.
    pub(in crate::motion) log_last: u64,
    pub(in crate::motion) start: Start,
}

impl Recovered {
    /// The last message of the state.
    pub(in crate::motion) fn last(&self) -> Last {
        Last::of_state(&self.start.inventory)
    }
}

/// Asks the streams how far they are and restores what they allow. `seen` is the last message that this worker has read before.
/// `pass_over` is told of snapshots that do not serve.
pub(in crate::motion) async fn recover<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    seen: Last,
    fold_on: FoldOn,
    pass_over: impl FnMut(&Kept, &Unfit),
) -> Result<Result<Recovered, Fault>, ReadError> {
    let streams = &edges.streams;
    let (mut position, log) = ask(streams).await?;
    let log_last = log.last_sequence;
    if streams.payload_bytes_max() < PAYLOAD_BYTES_LEAST {
        let text = format!("the server's max_payload is below {PAYLOAD_BYTES_LEAST} bytes: raise it");
        return Err(ReadError::Unavailable(text));
    }
    if position.through.sequence > log_last {
        return Ok(Err(Fault::OutcomesAhead { through: position.through, last: log_last }));
    }
    // Log and outcomes that were rolled back together look whole to whoever has read nothing yet.
    match seen.verify(streams).await? {
        // It may have been trimmed since: the snapshots tell.
        None | Some(Fault::Gap { .. }) => {}
        Some(fault) => return Ok(Err(fault)),
    }
    if mark::is_under_way(shard, edges).await? {
        let text = "a new epoch was begun and not ended: run `weir epoch --yes` again".to_owned();
        return Err(ReadError::Unavailable(text));
    }
    let announced = position.through;
    let snapshots = Snapshots::new(shard, edges);
    let kept = snapshots.kept().await?;
    // The newest state that is not ahead of what was announced; that before the first message where there is none.
    let is_usable = |kept: &&Kept| kept.through().is_some_and(|through| through <= announced);
    let is_lost = announced == Identity::START && log.first_sequence > 1;
    let start = if is_lost {
        // All of the outcomes are gone, and not all of the log is there to announce them again. A pointer moved to a snapshot only
        // when all that it holds had been announced.
        let found = snapshots.first(kept.iter().collect(), Some(streams), fold_on, pass_over).await?;
        let start = found.map_or_else(Start::empty, |(_, start)| start);
        (position.through, position.chain) = (start.through, start.inventory.chain());
        tracing::error!(
            shard,
            through = %position.through,
            "the outcome stream is empty, and the log was trimmed: outcomes up to here are not announced again"
        );
        start
    } else {
        let usable = kept.iter().filter(is_usable).collect();
        let found = snapshots.first(usable, None, fold_on, pass_over).await?;
        found.map_or_else(Start::empty, |(_, start)| start)
    };
    let state = start.inventory.chain();
    let due = state.sequence + 1;
    if log.first_sequence > due {
        // What was asked one after the other may belong to different moments.
        let moved = ask(streams).await?.0.through != announced || snapshots.kept().await? != kept;
        if moved {
            return Err(ReadError::Unavailable("the log was trimmed behind newer snapshots".to_owned()));
        }
        return Ok(Err(Fault::Gap { expected: due, found: log.first_sequence }));
    }
    tracing::info!(shard, snapshot = state.sequence, log_last, announced = %position.through, "recovering");
    // What came after it without an outcome is announced as much as it will ever be.
    if state.sequence > position.chain.sequence {
        position.chain = state;
    }
    Ok(Ok(Recovered { position, log_last, start }))
}

/// How far the outcomes and the log are.
pub(in crate::motion) async fn ask<S: Streams>(streams: &S) -> Result<(Position, StreamState), ReadError> {
    let (end, last) = streams.outcomes_end().await?;
    let log = streams.log_state().await?;
    Ok((Position::of(end, last.as_ref()), log))
}

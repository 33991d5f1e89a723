//! Refolding: a log folded again from as far back as it goes, for whoever wants to see every record with its outcomes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::audit::first_behind;
use super::replay::ReplayError;
use crate::edges::streams::{ReadError, StoredMessage, Streams as _};
use crate::edges::{Edges, ShardEdges};
use crate::folds::inventory::Inventory;
use crate::motion::rules::folding::{Applied, Folding, Sliced, Start, Whole};
use crate::motion::rules::kept::{FoldOn, Kept};
use crate::motion::store::mark;
use crate::motion::store::onward::Onward;
use crate::motion::store::snapshots::{Snapshots, Unfit};
use crate::words::append::Headline;
use crate::words::fault::Fault;
use crate::words::identity::Identity;
use crate::words::message::LogMessage;

/// Where a log can be folded from, the farthest back.
#[derive(Debug)]
pub struct Farthest {
    /// The state before the first message.
    pub start: Start,
    /// The snapshot that it is of; none where the log is whole.
    pub snapshot: Option<String>,
    /// The last message that the log held when it was asked.
    pub last: u64,
}

/// The log's start, or the oldest snapshot that it goes on from. `pass_over` is told of snapshots that do not serve, and why.
pub async fn farthest<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    fold_on: FoldOn,
    mut pass_over: impl FnMut(&str, &str),
) -> Result<Farthest, ReplayError> {
    let streams = &edges.streams;
    if mark::is_under_way(shard, edges).await? {
        return Err(ReplayError::EpochUnderWay);
    }
    let log = streams.log_state().await?;
    let (first, last) = (log.first_sequence, log.last_sequence);
    if first <= 1 {
        return Ok(Farthest { start: Start::empty(), snapshot: None, last });
    }
    let snapshots = Snapshots::new(shard, edges);
    let kept = snapshots.kept().await?;
    let usable = kept.iter().rev().filter(|kept| (first - 1..=last).contains(&kept.sequence)).collect();
    let pass_over = |kept: &Kept, unfit: &Unfit| pass_over(&kept.name, &unfit.to_string());
    let found = snapshots.first(usable, Some(streams), fold_on, pass_over).await?;
    let (kept, start) = found.ok_or(ReplayError::Trimmed { first })?;
    Ok(Farthest { start, snapshot: Some(kept.name.clone()), last })
}

/// Folds on through the last message, and gives every batch with its messages as they were stored to `each`, until it returns false.
pub async fn refold<E: Edges>(
    edges: &ShardEdges<E>,
    farthest: Farthest,
    mut each: impl FnMut(&Applied) -> bool,
) -> Result<Box<Inventory>, ReplayError> {
    fold_on(edges, farthest, async |applied: &Applied| Ok(each(applied))).await
}

/// When the last outcome of a message was announced, by the outcome stream's own times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// Then, in nanoseconds since 1970.
    At(i64),
    /// It has none.
    Nothing,
    /// The stream does not hold it yet.
    NotYet,
    /// The stream does not hold it any more.
    Gone,
}

/// The same, with when each message of a batch was announced. Only headers are read of the outcome stream.
pub async fn refold_announced<E: Edges>(
    edges: &ShardEdges<E>,
    farthest: Farthest,
    mut each: impl FnMut(&Applied, &[Announced]) -> bool,
) -> Result<Box<Inventory>, ReplayError> {
    let streams = &edges.streams;
    let told = streams.outcomes_state().await?;
    let sequence = farthest.start.inventory.chain().sequence;
    let before = Identity { sequence, index: u32::MAX, place: u32::MAX };
    let from = if told.first_sequence > told.last_sequence {
        told.last_sequence + 1
    } else {
        first_behind(streams, before, told.first_sequence, told.last_sequence).await?
    };
    let mut headlines = Onward::new(from, |from| streams.read_headlines(from));
    let (mut read, mut next): (VecDeque<Headline>, _) = (VecDeque::new(), from);
    let mut times = Vec::new();
    fold_on(edges, farthest, async |applied: &Applied| {
        times.clear();
        for message in &applied.messages {
            let Some(last) = applied.last_of(message) else {
                times.push(Announced::Nothing);
                continue;
            };
            while read.front().is_none_or(|headline| headline.header.through < last) {
                if read.pop_front().is_some() {
                    continue;
                }
                if next > told.last_sequence {
                    break;
                }
                read.extend(headlines.next(|headline: &Headline| headline.sequence).await?);
                next = read.back().map_or(next, |headline| headline.sequence + 1);
            }
            times.push(match read.front() {
                None => Announced::NotYet,
                Some(headline) if headline.header.from >= last => Announced::Gone,
                Some(headline) => Announced::At(headline.stored_at_ns),
            });
        }
        Ok(each(applied, &times))
    })
    .await
}

async fn fold_on<E: Edges>(
    edges: &ShardEdges<E>,
    farthest: Farthest,
    mut each: impl AsyncFnMut(&Applied) -> Result<bool, ReadError>,
) -> Result<Box<Inventory>, ReplayError> {
    let Farthest { start, last, .. } = farthest;
    let streams = &edges.streams;
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
        let read: Arc<Vec<StoredMessage>> = Arc::new(read.into_iter().map(StoredMessage::from).collect());
        let mut from = 0;
        while from < read.len() {
            let Sliced { applied, next, fault } = folding.slice(&read, from, i64::MAX, &Whole);
            let goes_on = match applied {
                Some(applied) => each(&applied).await?,
                None => true,
            };
            if let Some(fault) = fault {
                return Err(fault.into());
            }
            if !goes_on {
                return Ok(folding.into_inventory());
            }
            from = next;
        }
    }
    Ok(folding.into_inventory())
}

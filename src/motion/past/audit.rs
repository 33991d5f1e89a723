//! The audit: whether what was announced is what the log decides. Whoever doubts a worker, or an upgrade of it, folds the log
//! again and compares every outcome, every append's place and chain, and every snapshot's digests on the way.
//!
//! It only reads, and the shard goes on meanwhile: how far it goes is settled when it begins. Log and outcomes are read side by
//! side, so that what it takes in memory is the state that it folds, and little more. An outcome that is not announced yet is no
//! disagreement: a worker may be behind.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::edges::clock::SharedClock;
use crate::edges::streams::{ReadError, StreamState, Streams};
use crate::edges::{Edges, ShardEdges};
use crate::motion::rules::comparing::Comparing;
use crate::motion::rules::folding::Start;
use crate::motion::rules::kept::{FoldOn, Kept};
use crate::motion::store::onward::Onward;
use crate::motion::store::snapshots::{Snapshots, Unfit};
use crate::words::fault::Fault;
use crate::words::identity::Identity;
use crate::words::message::LogMessage;

pub use crate::motion::rules::findings::{Disagreement, Findings};

/// Where an audit begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// At the log's start, or, where that was trimmed, with the oldest snapshot that the log goes on from.
    #[default]
    Farthest,
    /// At the log's start.
    Start,
    /// With the oldest snapshot that can be restored and that the log goes on from.
    OldestSnapshot,
    /// With the newest one.
    NewestSnapshot,
}

/// How an audit uses the machine.
#[derive(Clone)]
pub struct Pace {
    /// Where it folds.
    pub fold_on: FoldOn,
    /// Tells how long it has worked.
    pub clock: SharedClock,
    /// It rests so many times as long as it has worked.
    pub rests: u32,
}

/// When a standby audits.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    pub(in crate::motion) every: Duration,
    /// One shard of a worker at a time: each audit holds a second state in memory.
    pub(in crate::motion) turn: Arc<Semaphore>,
}

impl AuditOptions {
    /// Audits each shard at this interval; never where it is zero. Clones take turns.
    #[must_use]
    pub fn every(every: Duration) -> Self {
        Self { every, turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Default for AuditOptions {
    /// Once a day.
    fn default() -> Self {
        Self::every(Duration::from_hours(24))
    }
}

/// Why an audit came to no end. That is no disagreement.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A stream or a snapshot cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log cannot be folded.
    #[error("the log cannot be folded: {0}")]
    Fault(#[from] Fault),
    /// The log does not begin where the audit should.
    #[error("the log begins at sequence {first}: what came before was trimmed. Audit from a snapshot")]
    Trimmed {
        /// The log's first sequence.
        first: u64,
    },
    /// There is no snapshot to begin with.
    #[error("of {kept} snapshots, the log goes on from none that can be restored ({})", passed_over.join("; "))]
    NoSnapshot {
        /// How many there are.
        kept: usize,
        /// Those that the log goes on from, and why they cannot be restored.
        passed_over: Vec<String>,
    },
    /// The process ends, or the audit has a defect.
    #[error("the audit was ended")]
    Ended,
}

/// Audits a shard, from where it is told up to the ends that log and outcomes have now. Where that is as far back as it goes, and
/// snapshots are taken and the log is trimmed meanwhile, it begins again with the newest of them.
pub async fn audit<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    from: From,
    pace: &Pace,
) -> Result<Findings, AuditError> {
    match audit_once(shard, edges, from, pace).await {
        Err(AuditError::Trimmed { .. }) if from == From::Farthest => {
            audit_once(shard, edges, From::NewestSnapshot, pace).await
        }
        ended => ended,
    }
}

async fn audit_once<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    from: From,
    pace: &Pace,
) -> Result<Findings, AuditError> {
    let streams = &edges.streams;
    // The outcomes first: the log is never behind them, then.
    let outcomes = streams.outcomes_state().await?;
    let (last, announced) = match streams.outcomes_end().await {
        Ok((end, Some(last))) => (end, Some(last.append.header.through)),
        Ok((_, None)) if outcomes.first_sequence > outcomes.last_sequence => (0, Some(Identity::START)),
        // What somebody else put there will be come across.
        Ok((end, None)) => (end, Some(Identity::START)),
        // It will be come across.
        Err(ReadError::Unreadable(_)) => (outcomes.last_sequence, None),
        Err(error) => return Err(error.into()),
    };
    let log = streams.log_state().await?;
    let snapshots = Snapshots::new(shard, edges);
    let kept = snapshots.kept().await?;
    let Begun { start, name, passed_over } =
        begin(&snapshots, &kept, from, log, announced, pace.fold_on).await?;
    let (floor, first) = (start.through, start.inventory.chain().sequence + 1);
    let new = move || Comparing::new(start, name, log.last_sequence, &kept);
    let mut comparing = work(pace, new).await?;
    let mut next = first_behind(streams, floor, outcomes.first_sequence, last).await?;
    let mut messages = Onward::new(first, |from| streams.read_log(from));
    let mut appends = Onward::new(next, |from| streams.read_outcomes(from));
    'appends: while next <= last {
        let read = match appends.next(|stored| stored.sequence).await {
            Ok(read) => read,
            Err(ReadError::Unreadable(what)) => {
                comparing.unreadable(next, what);
                break;
            }
            Err(error) => return Err(error.into()),
        };
        for stored in read {
            if stored.sequence > last {
                break 'appends;
            }
            let follows = comparing.has_begun() && stored.sequence == next;
            next = stored.sequence + 1;
            if !comparing.has_begun() && stored.append.header.through <= floor {
                continue;
            }
            let gone = !follows
                && stored.sequence > 1
                && streams.outcomes_state().await?.first_sequence >= stored.sequence;
            comparing.append(&stored, gone);
            while comparing.wants_log() {
                comparing = fold(streams, pace, comparing, &mut messages).await?;
            }
        }
    }
    comparing.end_appends();
    while comparing.folded() < log.last_sequence {
        comparing = fold(streams, pace, comparing, &mut messages).await?;
    }
    let findings = work(pace, || comparing.finish()).await?;
    Ok(Findings { passed_over, ..findings })
}

/// Where an audit has begun.
struct Begun {
    start: Start,
    /// The snapshot's name, if it is one.
    name: Option<String>,
    passed_over: Vec<String>,
}

async fn begin<E: Edges>(
    snapshots: &Snapshots<E>,
    kept: &[Kept],
    from: From,
    log: StreamState,
    announced: Option<Identity>,
    fold_on: FoldOn,
) -> Result<Begun, AuditError> {
    let first = log.first_sequence;
    match from {
        From::Start | From::Farthest if first <= 1 => {
            return Ok(Begun { start: Start::empty(), name: None, passed_over: Vec::new() });
        }
        From::Start => return Err(AuditError::Trimmed { first }),
        From::Farthest | From::OldestSnapshot | From::NewestSnapshot => {}
    }
    let is_usable = |kept: &&Kept| {
        let through = kept.through();
        // The log goes on from it, and all of it was announced.
        (first.saturating_sub(1)..=log.last_sequence).contains(&kept.sequence)
            && through.is_some_and(|through| announced.is_none_or(|announced| through <= announced))
    };
    let mut usable: Vec<_> = kept.iter().filter(is_usable).collect();
    if from != From::NewestSnapshot {
        usable.reverse();
    }
    let mut passed_over = Vec::new();
    let pass_over = |kept: &Kept, unfit: &Unfit| passed_over.push(format!("{}: {unfit}", kept.name));
    if let Some((kept, start)) = snapshots.first(usable, None, fold_on, pass_over).await? {
        return Ok(Begun { start, name: Some(kept.name.clone()), passed_over });
    }
    Err(AuditError::NoSnapshot { kept: kept.len(), passed_over })
}

/// The first append of `first` to `last` that ends behind `through`.
pub(super) async fn first_behind<S: Streams>(
    streams: &S,
    through: Identity,
    first: u64,
    last: u64,
) -> Result<u64, ReadError> {
    if through == Identity::START {
        return Ok(first);
    }
    let headline = async |at| {
        let mut headlines = Onward::new(at, |from| streams.read_headlines(from));
        match headlines.next(|headline| headline.sequence).await {
            Ok(read) => Ok(read.into_iter().next()),
            Err(ReadError::Unreadable(_)) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low.midpoint(high);
        let Some(found) = headline(middle).await? else { return Ok(first) };
        if found.header.through > through {
            high = middle;
        } else {
            low = found.sequence + 1;
        }
    }
    // Where something does not belong where it stands, the search may be misled: then all are read.
    let misled =
        low <= last && low > first && headline(low).await?.is_none_or(|found| found.header.from > through);
    Ok(if misled { first } else { low })
}

/// Folds what comes next in the log.
async fn fold<S, O, F>(
    streams: &S,
    pace: &Pace,
    mut comparing: Comparing,
    messages: &mut Onward<S::LogReader, O>,
) -> Result<Comparing, AuditError>
where
    S: Streams,
    O: Fn(u64) -> F,
    F: Future<Output = Result<S::LogReader, ReadError>>,
{
    let due = comparing.folded() + 1;
    let folded = match messages.next(|message: &LogMessage| message.sequence).await {
        Ok(read) => {
            work(pace, move || {
                let folded = comparing.fold(&read);
                folded.map(|()| comparing)
            })
            .await?
        }
        Err(error) => return Err(is_trimmed(streams, due).await?.unwrap_or(error.into())),
    };
    match folded {
        Err(fault @ Fault::Gap { .. }) => Err(is_trimmed(streams, due).await?.unwrap_or(fault.into())),
        folded => Ok(folded?),
    }
}

/// Says so where the log begins behind `due`.
async fn is_trimmed<S: Streams>(streams: &S, due: u64) -> Result<Option<AuditError>, AuditError> {
    let first = streams.log_state().await?.first_sequence;
    Ok((first > due).then_some(AuditError::Trimmed { first }))
}

/// Does some of the work where it is to be done, and rests.
async fn work<T: Send + 'static>(
    pace: &Pace,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AuditError> {
    let began = pace.clock.monotonic();
    let done = match pace.fold_on {
        FoldOn::Thread => tokio::task::spawn_blocking(work).await.map_err(|_| AuditError::Ended)?,
        FoldOn::Task => work(),
    };
    let rest = pace.clock.monotonic().saturating_sub(began) * pace.rests;
    if !rest.is_zero() {
        tokio::time::sleep(rest).await;
    }
    Ok(done)
}

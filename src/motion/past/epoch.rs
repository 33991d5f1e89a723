//! A new epoch of a log: the way out where the broker lost what it had acknowledged, and nothing can be restored.
//!
//! Two things are not to be had together then: a log that gives what was announced, and one that holds what was acknowledged since.
//! So the shard goes on in the same stream, behind every sequence that was ever announced, from a state that is known to be good: the
//! newest snapshot, or what the log gives as far as it agrees with what was announced. What is behind that in the log, and was
//! acknowledged, is copied, so that it is decided; what was announced and is not in that state is gone, and is listed.
//!
//! [`examine`] only reads. [`begin`] closes the log, writes down what it is about to do, and can be ended at any point and run
//! again:
//!
//! 1. ticks, which nobody will fold, until the log's last sequence is at least that of the last outcome announced;
//! 2. the copies, in order; every append is fenced by the log's last sequence, so that one that timed out and lands late is no
//!    other message than the one that is due;
//! 3. the state as a snapshot at the last sequence before the copies, whose past is announced;
//! 4. an append without outcomes, which tells whoever still writes outcomes of the epoch before that he is not alone;
//! 5. the pointer to that snapshot, in place of all others: from here on the new epoch holds;
//! 6. what is before it in the log is trimmed, and the log is opened again.

mod walking;

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::audit::{Pace, first_behind};
use super::replay;
use crate::edges::keys::Keys as _;
use crate::edges::streams::{AppendError, ClosableLog, ReadError, Streams};
use crate::edges::{Edges, ShardEdges};
use crate::motion::rules::folding::Start;
use crate::motion::rules::kept::{FoldOn, Kept};
use crate::motion::store::mark::key;
use crate::motion::store::onward::{Onward, RETRY_PAUSE};
use crate::motion::store::snapshots::{RestoreError, Snapshots, Unfit};
use crate::words::append::{Append, AppendHeader};
use crate::words::codec::{Format, encode_commands, outcomes};
use crate::words::command::{Command, Tick};
use crate::words::fault::Fault;
use crate::words::identity::Identity;
use crate::words::message::{LogMessage, Way};
use crate::words::outcome::Outcome;

use walking::{Appends, Walked, walk};

/// How often in a row something may fail that may succeed later.
const TRIES: u32 = 8;
/// Appends under way at once.
const APPENDS_MAX: usize = 64;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The snapshot that the state begins with; none where that is the log's start.
    pub snapshot: Option<String>,
    /// The last message of the epoch before that is in the state.
    pub base: u64,
    /// What was announced up to this outcome is in the state.
    pub kept: Identity,
    /// The last message in which the log agrees with what was announced. What is behind it is copied.
    pub agrees: u64,
    /// The published position.
    pub through: Identity,
    /// The outcome stream's last sequence.
    pub outcomes_last: u64,
    /// What is settled once the log is closed.
    pub closed: Option<Closed>,
}

/// What is settled once the log is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The last message that is copied.
    pub log_last: u64,
    /// The last sequence of the epoch before.
    pub last: u64,
    /// Tells this epoch's snapshots from others'.
    pub id: String,
    /// How often it was begun.
    pub attempts: u64,
}

/// Why no new epoch is begun, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// A stream or a snapshot cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something cannot be written. Run it again: it goes on where it was.
    #[error("{what}: {error}. Run it again: it goes on where it was")]
    Write {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        error: AppendError,
    },
    /// The log cannot be folded.
    #[error("the log cannot be folded: {0}")]
    Fault(#[from] Fault),
    /// There is no need.
    #[error("the log gives all that was announced: there is nothing to be done but to restart the workers")]
    Agrees,
    /// It cannot be told which messages of the log are those that were decided.
    #[error(
        "no snapshot belongs to what the log holds, so it cannot be told where the log departs from what was announced. The \
         log holds sequences {first} to {last}; outcomes were announced through {through}. Say from which sequence on messages \
         are to be decided anew (--copy-from)"
    )]
    Unmatched {
        /// The log's first sequence.
        first: u64,
        /// Its last.
        last: u64,
        /// The published position.
        through: Identity,
    },
    /// The log does not hold what is to be copied.
    #[error("the log holds sequences {first} to {last}")]
    NoSuchMessage {
        /// The log's first sequence.
        first: u64,
        /// Its last.
        last: u64,
    },
    /// The streams do tell.
    #[error(
        "the streams tell that messages from sequence {from} on are to be decided anew: leave out --copy-from"
    )]
    Known {
        /// From which sequence on.
        from: u64,
    },
    /// There is no state to go on from.
    #[error(
        "there is no state to go on from: no snapshot that reaches so far, and no log before it. Restore a backup"
    )]
    NothingLeft,
    /// A snapshot that was to be gone on from is not there any more, or damaged.
    #[error("snapshot {name}: {error}")]
    Snapshot {
        /// Its name.
        name: String,
        /// What is wrong with it.
        error: RestoreError,
    },
    /// A worker is at work, or its last append came late.
    #[error(
        "outcomes were announced meanwhile. Where a worker leads the shard, stop it; then look again at what is gone"
    )]
    Moved,
    /// Something else came to the closed log.
    #[error(
        "the message at sequence {sequence} of the closed log is none that was to stand there: nothing was switched, and \
         nothing that was stored is lost. Keep a backup of the log, and report it"
    )]
    Foreign {
        /// Where it stands.
        sequence: u64,
    },
    /// Somebody else has begun one.
    #[error("somebody else does this at the same time")]
    Contested,
}

/// Whether something may succeed later.
const fn may_pass(error: &AppendError) -> bool {
    matches!(error, AppendError::TimedOut | AppendError::Missing(_) | AppendError::Unavailable(_))
}

/// Tries what may be done twice until it is done.
async fn done(
    what: &'static str,
    attempt: impl AsyncFn() -> Result<(), AppendError>,
) -> Result<(), EpochError> {
    let mut tries = 0;
    loop {
        match attempt().await {
            Err(error) if may_pass(&error) && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(RETRY_PAUSE * tries).await;
            }
            ended => return ended.map_err(|error| EpochError::Write { what, error }),
        }
    }
}

/// The plan that was begun and not ended, and its revision.
async fn under_way<E: Edges>(shard: &str, edges: &ShardEdges<E>) -> Result<Option<(Plan, u64)>, ReadError> {
    let Some(entry) = edges.pointers.get(&key(shard)).await? else { return Ok(None) };
    let plan = serde_json::from_slice(&entry.value)
        .map_err(|error| ReadError::Unreadable(format!("the plan of a new epoch: {error}")))?;
    Ok(Some((plan, entry.revision)))
}

/// Finds out what is to be done, or what was begun and not ended. `copy_from` says from which sequence on messages are to be decided
/// anew, where the streams do not tell.
pub async fn examine<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    copy_from: Option<u64>,
    pace: &Pace,
) -> Result<Plan, EpochError> {
    if let Some((plan, _)) = under_way(shard, edges).await? {
        return Ok(plan);
    }
    let streams = &edges.streams;
    let last = streams.last_outcomes().await?;
    let (through, outcomes_last) =
        last.map_or((Identity::START, 0), |last| (last.append.header.through, last.sequence));
    let snapshots = Snapshots::new(shard, edges);
    let kept = snapshots.kept().await?;
    let is_announced = |kept: &&Kept| kept.through().is_some_and(|kept| kept <= through);
    let announced = kept.iter().filter(is_announced).collect();
    let mut newest = None;
    let pass_over = |kept: &Kept, unfit: &Unfit| match unfit {
        Unfit::NotHeld => newest = newest.take().or_else(|| Some(kept.clone())),
        Unfit::Damaged(error) => {
            tracing::warn!(shard, snapshot = kept.name, %error, "a snapshot cannot be restored");
        }
    };
    let found = snapshots.first(announced, Some(streams), pace.fold_on, pass_over).await?;
    newest = newest.or_else(|| found.as_ref().map(|(kept, _)| (*kept).clone()));
    let mut anchor = found.map(|(kept, start)| (Some(kept.name.clone()), start));
    let log = streams.log_state().await?;
    if anchor.is_none() && log.first_sequence <= 1 {
        anchor = Some((None, Start::empty()));
    }
    let newest_is_anchor = match (&anchor, &newest) {
        (Some((name, _)), newest) => *name == newest.as_ref().map(|newest: &Kept| newest.name.clone()),
        (None, _) => false,
    };
    let unmatched = EpochError::Unmatched { first: log.first_sequence, last: log.last_sequence, through };
    let anchor_name = anchor.as_ref().map(|(name, _)| name.clone());
    let walked = match anchor {
        Some((_, start)) => walk(streams, start, log.last_sequence, outcomes_last).await?,
        None => Walked::Unmatched,
    };
    let agrees = match (walked, copy_from) {
        (Walked::Agrees(_), _) if newest_is_anchor => return Err(EpochError::Agrees),
        (Walked::Agrees(agrees) | Walked::Departs(agrees), None) => agrees,
        (Walked::Agrees(agrees) | Walked::Departs(agrees), Some(_)) => {
            return Err(EpochError::Known { from: agrees + 1 });
        }
        (Walked::Unmatched, None) => return Err(unmatched),
        (Walked::Unmatched, Some(copy_from)) => {
            let all = log.first_sequence..=log.last_sequence + 1;
            if !all.contains(&copy_from) {
                return Err(EpochError::NoSuchMessage { first: *all.start(), last: log.last_sequence });
            }
            copy_from - 1
        }
    };
    let plan =
        |snapshot, base, kept| Plan { snapshot, base, kept, agrees, through, outcomes_last, closed: None };
    // What a snapshot holds beyond that was announced, and is not in the log any more.
    if let Some(Kept { name, sequence, through, .. }) = newest.filter(|newest| newest.sequence > agrees) {
        let kept = through.parse().map_err(|_| EpochError::NothingLeft)?;
        return Ok(plan(Some(name), sequence, kept));
    }
    let Some(snapshot) = anchor_name.filter(|_| agrees > 0) else { return Err(EpochError::NothingLeft) };
    let start = state(edges, &snapshots, snapshot.as_deref(), agrees, pace.fold_on).await?;
    Ok(plan(snapshot, agrees, start.through))
}

/// What was announced and is not in the state that a plan goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// How many outcomes were shown.
    pub count: u64,
    /// Those up to here are not among them: the outcome stream has dropped them.
    pub dropped: Option<Identity>,
}

/// Shows each announced outcome that is not in the state that the plan goes on from, in order.
pub async fn gone<E: Edges>(
    edges: &ShardEdges<E>,
    plan: &Plan,
    mut each: impl FnMut(&Outcome<'_>),
) -> Result<Gone, EpochError> {
    let streams = &edges.streams;
    let first = streams.outcomes_state().await?.first_sequence;
    let next = first_behind(streams, plan.kept, first, plan.outcomes_last).await?;
    let mut appends = Appends { next, last: plan.outcomes_last, due: None };
    let mut reader = Onward::new(next, |from| streams.read_outcomes(from));
    let (mut count, mut dropped) = (0, None);
    while appends.next <= appends.last {
        for stored in reader.next(|stored| stored.sequence).await? {
            let is_first = appends.due.is_none();
            let Some(append) = appends.take(stored) else { continue };
            dropped = dropped.or(Some(append.header.from).filter(|from| is_first && *from > plan.kept));
            let told = outcomes(append.format, &append.payload);
            for outcome in told.map_err(|error| ReadError::Unreadable(error.to_string()))? {
                if outcome.identity() > plan.kept {
                    count += 1;
                    each(&outcome);
                }
            }
        }
    }
    Ok(Gone { count, dropped })
}

/// The state after message `until`, from a snapshot or the log's start.
async fn state<E: Edges>(
    edges: &ShardEdges<E>,
    snapshots: &Snapshots<E>,
    snapshot: Option<&str>,
    until: u64,
    on: FoldOn,
) -> Result<Start, EpochError> {
    let start = match snapshot {
        None => Start::empty(),
        Some(name) => {
            let failed = |error| EpochError::Snapshot { name: name.to_owned(), error };
            let kept = snapshots.kept().await?.into_iter().find(|kept| kept.name == name);
            let kept = kept.ok_or_else(|| failed(RestoreError::Missing))?;
            snapshots.restore(&kept, on).await.map_err(failed)?
        }
    };
    replay::onward(&edges.streams, start, until, |_| {}).await
}

/// Begins the new epoch, or goes on with one that was begun, and gives its first sequence.
pub async fn begin<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    plan: Plan,
    writer: &str,
    pace: &Pace,
) -> Result<u64, EpochError>
where
    E::Streams: ClosableLog,
{
    let ShardEdges { streams, pointers, .. } = edges;
    let snapshots = Snapshots::new(shard, edges);
    done("the log is not closed", || streams.close_log()).await?;
    let (plan, closed, revision) = note(shard, edges, plan, pace).await?;
    let last = closed.last;
    let of_epoch = format!("{shard}.{last}.epoch-{}.", closed.id);
    let (kept, pointed) = snapshots.kept_at().await?;
    if !kept.iter().any(|kept| kept.name.starts_with(&of_epoch)) {
        append_all(streams, plan.agrees, &closed).await?;
        let mut start = state(edges, &snapshots, plan.snapshot.as_deref(), plan.base, pace.fold_on).await?;
        start.inventory.begin_epoch(last);
        start.through = plan.through;
        let chain = start.inventory.chain();
        let rules = start.inventory.policy().rules;
        let name = snapshots.name(last, &format!("epoch-{}", closed.id), closed.attempts);
        let Start { mut inventory, through } = start;
        let stored = snapshots.store_state(name, inventory.freeze(), through, pace.fold_on).await;
        let stored = stored.map_err(|error| EpochError::Write { what: "the state is not stored", error })?;
        let kept = stored.ok_or(EpochError::NothingLeft)?;
        let header = AppendHeader {
            from: plan.through,
            through: plan.through,
            rules,
            writer: writer.to_owned(),
            chain,
        };
        // A frame holds at least one outcome.
        let nothing = Append { header, format: Format::Json, payload: Bytes::from_static(b"[]") };
        if !mark(streams, &plan, nothing).await? {
            return Err(moved(shard, edges, plan, closed, revision).await?);
        }
        done("the pointer to the state is not moved", || snapshots.point_only(&kept, pointed)).await?;
    }
    done("the log is not trimmed", || streams.trim_log(last)).await?;
    // Before the log is opened: whoever finds a plan takes it for one that is under way.
    done("the plan is not removed", async || match pointers.remove(&key(shard), revision).await {
        // It timed out before, and was removed; or somebody else goes on with it.
        Err(AppendError::Conflict) if pointers.get(&key(shard)).await.is_ok_and(|plan| plan.is_none()) => {
            Ok(())
        }
        ended => ended,
    })
    .await?;
    open(edges).await?;
    Ok(last + 1)
}

/// Opens the log again: a closing that timed out may land after all was done.
pub async fn open<E: Edges>(edges: &ShardEdges<E>) -> Result<(), EpochError>
where
    E::Streams: ClosableLog,
{
    done("the log is not opened", || edges.streams.open_log()).await
}

/// Writes down what is about to be done. The log is closed.
async fn note<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    plan: Plan,
    pace: &Pace,
) -> Result<(Plan, Closed, u64), EpochError>
where
    E::Streams: ClosableLog,
{
    let streams = &edges.streams;
    let (mut plan, revision) = under_way(shard, edges).await?.unwrap_or((plan, 0));
    let mut closed = if let Some(closed) = plan.closed.take() {
        closed
    } else {
        let log_last = settle(streams).await?;
        let outcomes_last = streams.last_outcomes().await?.map_or(0, |last| last.sequence);
        if outcomes_last != plan.outcomes_last {
            open(edges).await?;
            return Err(EpochError::Moved);
        }
        let last = log_last.max(plan.through.sequence).max(plan.base);
        Closed { log_last, last, id: pace.clock.wall_ns().to_string(), attempts: 0 }
    };
    closed.attempts += 1;
    plan.closed = Some(closed.clone());
    let revision = put(shard, edges, &plan, revision).await?;
    Ok((plan, closed, revision))
}

async fn put<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    plan: &Plan,
    revision: u64,
) -> Result<u64, EpochError> {
    let value = serde_json::to_vec(plan).expect("plain texts and numbers");
    match edges.pointers.put(&key(shard), value.into(), revision).await {
        Ok(revision) => Ok(revision),
        Err(AppendError::Conflict) => Err(EpochError::Contested),
        Err(error) => Err(EpochError::Write { what: "the plan is not written down", error }),
    }
}

/// Appends a tick to the closed log and gives its sequence: what was on its way when the log was closed comes before it.
async fn settle<S: ClosableLog>(streams: &S) -> Result<u64, EpochError> {
    let mut tries = 0;
    loop {
        let last = streams.log_state().await?.last_sequence;
        match streams.append_closed(Way::Any, Some(Format::Bincode), tick(), last).await {
            Ok(last) => return Ok(last),
            Err(error) if tries < TRIES && (may_pass(&error) || error == AppendError::Conflict) => {
                tries += 1;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(error) => return Err(EpochError::Write { what: "the closed log takes no tick", error }),
        }
    }
}

fn tick() -> Bytes {
    encode_commands(Format::Bincode, &[Command::Tick(Tick {})]).into()
}

/// Outcomes of the epoch before were announced after all: they are gone, too, and sequences go on behind them. What was copied so
/// far stays behind, and is never folded.
async fn moved<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    mut plan: Plan,
    mut closed: Closed,
    revision: u64,
) -> Result<EpochError, EpochError> {
    let last = edges.streams.last_outcomes().await?;
    (plan.through, plan.outcomes_last) =
        last.map_or((plan.through, 0), |last| (last.append.header.through, last.sequence));
    closed.last = edges.streams.log_state().await?.last_sequence.max(plan.through.sequence).max(closed.last);
    plan.closed = Some(closed);
    put(shard, edges, &plan, revision).await?;
    Ok(EpochError::Moved)
}

/// Appends what the closed log lacks, ticks up to the last sequence of the epoch before, then copies of the messages behind
/// `agrees`; and sees to it that nothing else stands there.
async fn append_all<S: ClosableLog>(streams: &S, agrees: u64, closed: &Closed) -> Result<(), EpochError> {
    let Closed { log_last, last, .. } = *closed;
    let end = last + log_last.saturating_sub(agrees);
    let tick = tick();
    let mut originals = Onward::new(agrees + 1, |from| streams.read_log(from));
    // The messages to be copied next, and the sequence of the first of them.
    let (mut copies, mut next) = (VecDeque::new(), agrees + 1);
    let mut tries = 0;
    loop {
        let at = streams.log_state().await?.last_sequence;
        if at >= end {
            break;
        }
        let due: Vec<_> = if at < last {
            let ticks = usize::try_from(last - at).unwrap_or(usize::MAX).min(APPENDS_MAX);
            vec![(Way::Any, Some(Format::Bincode), tick.clone()); ticks]
        } else {
            let from = agrees + 1 + (at - last);
            while next < from || copies.is_empty() {
                if copies.pop_front().is_some() {
                    next += 1;
                    continue;
                }
                let mut read = originals.next(|message: &LogMessage| message.sequence).await?;
                read.retain(|message| message.sequence <= log_last);
                match read.first() {
                    Some(first) if first.sequence == next => copies.extend(read),
                    other => {
                        let found = other.map_or(0, |message| message.sequence);
                        return Err(Fault::Gap { expected: next, found }.into());
                    }
                }
            }
            let copy = |copied: &LogMessage| (copied.way, copied.format, copied.payload.clone());
            copies.iter().take(APPENDS_MAX).map(copy).collect()
        };
        let append = async |(number, (way, format, payload))| {
            streams.append_closed(way, format, payload, number).await
        };
        let mut appended = futures_util::stream::iter((at..).zip(due)).map(append).buffered(APPENDS_MAX);
        while let Some(ended) = appended.next().await {
            match ended {
                Ok(_) => tries = 0,
                // Those behind it are refused. How far it got shows when the log is asked again.
                Err(error) if tries < TRIES && (may_pass(&error) || error == AppendError::Conflict) => {
                    tries += 1;
                    tokio::time::sleep(RETRY_PAUSE).await;
                    break;
                }
                Err(error) => return Err(EpochError::Write { what: "the log takes no copy", error }),
            }
        }
    }
    compare(streams, agrees, closed, end).await
}

/// Compares what was appended with what it should be: whatever else came to the closed log would be taken for it.
async fn compare<S: Streams>(streams: &S, agrees: u64, closed: &Closed, end: u64) -> Result<(), EpochError> {
    let Closed { log_last, last, .. } = *closed;
    let tick = tick();
    let mut originals = Onward::new(agrees + 1, |from| streams.read_log(from));
    let mut due: VecDeque<LogMessage> = VecDeque::new();
    let mut appended = Onward::new(log_last + 1, |from| streams.read_log(from));
    let mut compared = log_last;
    while compared < end {
        for message in appended.next(|message: &LogMessage| message.sequence).await? {
            compared = message.sequence;
            let is_right = if compared <= last {
                // What was copied in vain stays behind.
                message.payload == tick || closed.attempts > 1
            } else if compared <= end {
                if due.is_empty() {
                    due.extend(originals.next(|original: &LogMessage| original.sequence).await?);
                }
                let original = due.pop_front();
                original.is_some_and(|due| (due.payload, due.format) == (message.payload, message.format))
            } else {
                false
            };
            if !is_right {
                return Err(EpochError::Foreign { sequence: compared });
            }
        }
    }
    Ok(())
}

/// Appends what makes any other writer of outcomes look again; false where one has appended outcomes meanwhile.
async fn mark<S: Streams>(streams: &S, plan: &Plan, append: Append) -> Result<bool, EpochError> {
    done("the outcome stream takes no append", async || {
        match streams.append_outcomes(append.clone(), plan.outcomes_last).await {
            // One that timed out before has landed, or else somebody announces: both show below.
            Ok(_) | Err(AppendError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    })
    .await?;
    let last = streams.last_outcomes().await?;
    Ok(last.is_some_and(|last| last.append.header.chain == append.header.chain))
}

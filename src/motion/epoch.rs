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

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::audit::{Onward, Pace, first_behind};
use super::fold::{self, FoldOn};
use super::folding::{Folding, Start};
use super::reading::Last;
use super::scribe;
use super::shard::RETRY_PAUSE;
use super::snapshots::{Kept, RestoreError, Snapshots};
use crate::edges::keys::Keys as _;
use crate::edges::streams::{AppendError, ClosableLog, ReadError, Streams};
use crate::edges::{Edges, ShardEdges};
use crate::words::append::{Append, AppendHeader, StoredAppend};
use crate::words::codec::{Format, FrameWriter, encode_commands, encode_outcome, outcomes};
use crate::words::command::{Command, Tick};
use crate::words::fault::Fault;
use crate::words::identity::Identity;
use crate::words::outcome::Outcome;

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
    /// The log's last sequence before anything was appended; none while the log is not closed.
    pub log_last: Option<u64>,
    /// How often it was begun.
    pub attempts: u64,
}

impl Plan {
    /// The last sequence of the epoch before, once the log was closed at `log_last`.
    fn last(&self, log_last: u64) -> u64 {
        log_last.max(self.through.sequence)
    }
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
    /// There is no state to go on from.
    #[error(
        "there is no state to go on from: no snapshot, and nothing in the log that was announced. Restore a backup"
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
    /// A worker is at work.
    #[error("outcomes were announced meanwhile: a worker leads the shard. Stop it, then run this again")]
    Moved,
    /// Somebody else has begun one.
    #[error("somebody else does this at the same time")]
    Contested,
}

/// Whether something may succeed later.
const fn may_pass(error: &AppendError) -> bool {
    matches!(error, AppendError::TimedOut | AppendError::Unavailable(_))
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

fn key(shard: &str) -> String {
    format!("epoch.{shard}")
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
    let mut newest = None;
    let mut anchor = None;
    for kept in snapshots.kept().await? {
        if kept.through().is_none_or(|kept| kept > through) {
            continue;
        }
        match snapshots.restore(&kept, pace.fold_on).await {
            Ok(start) => {
                newest = newest.or_else(|| Some(kept.clone()));
                if holds(streams, Last::of_state(&start.inventory)).await? {
                    anchor = Some((Some(kept.name), start));
                    break;
                }
            }
            Err(RestoreError::Read(error @ ReadError::Unavailable(_))) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(shard, snapshot = kept.name, %error, "a snapshot cannot be restored");
            }
        }
    }
    let log = streams.log_state().await?;
    if anchor.is_none() && log.first_sequence <= 1 {
        anchor = Some((None, Start::empty()));
    }
    let unmatched = EpochError::Unmatched { first: log.first_sequence, last: log.last_sequence, through };
    let (agrees, anchor) = match (copy_from, anchor) {
        (Some(copy_from), anchor) => {
            let all = log.first_sequence..=log.last_sequence + 1;
            if !all.contains(&copy_from) {
                return Err(EpochError::NoSuchMessage { first: *all.start(), last: log.last_sequence });
            }
            (copy_from - 1, anchor.map(|(name, _)| name))
        }
        (None, Some((name, start))) => {
            let agrees = walk(streams, start, log.last_sequence, outcomes_last).await?;
            (agrees.ok_or(unmatched)?, Some(name))
        }
        (None, None) => return Err(unmatched),
    };
    let plan = |snapshot, base, kept| Plan {
        snapshot,
        base,
        kept,
        agrees,
        through,
        outcomes_last,
        log_last: None,
        attempts: 0,
    };
    // What a snapshot holds beyond that was announced, and is not in the log any more.
    if let Some(Kept { name, sequence, through, .. }) = newest.filter(|newest| newest.sequence > agrees) {
        let kept = through.parse().map_err(|_| EpochError::NothingLeft)?;
        return Ok(plan(Some(name), sequence, kept));
    }
    let Some(snapshot) = anchor.filter(|_| agrees > 0) else { return Err(EpochError::NothingLeft) };
    let start = state(edges, &snapshots, snapshot.as_deref(), agrees, pace.fold_on).await?;
    Ok(plan(snapshot, agrees, start.through))
}

/// Whether the log holds what a state has folded last, or was trimmed right behind it.
async fn holds<S: Streams>(streams: &S, last: Last) -> Result<bool, ReadError> {
    let log = streams.log_state().await?;
    if log.last_sequence < last.sequence || log.first_sequence > last.sequence + 1 {
        return Ok(false);
    }
    if log.first_sequence == last.sequence + 1 {
        return Ok(true);
    }
    Ok(streams.log_message(last.sequence).await?.is_some_and(|message| message.hash() == last.hash))
}

/// Folds the log from `start` and compares it with what was announced: gives the last message up to which both agree; none where
/// nothing could be compared before they departed.
async fn walk<S: Streams>(
    streams: &S,
    start: Start,
    log_last: u64,
    outcomes_last: u64,
) -> Result<Option<u64>, EpochError> {
    let mut floor = start.through;
    let mut chained = start.inventory.chain();
    let mut chains = VecDeque::from([chained]);
    let mut folding = Folding::new(start, Identity::START, log_last);
    let mut own: VecDeque<(Identity, Bytes)> = VecDeque::new();
    let mut is_compared = true;
    let outcomes_first = streams.outcomes_state().await?.first_sequence;
    let next = first_behind(streams, floor, outcomes_first, outcomes_last).await?;
    let mut messages = Onward::new(chained.sequence + 1, |from| streams.read_log(from));
    let mut appends = Appends { next, last: outcomes_last, due: None };
    let mut reader = Onward::new(next, |from| streams.read_outcomes(from));
    while appends.next <= appends.last {
        for stored in reader.next(|stored| stored.sequence).await? {
            let is_first = appends.due.is_none();
            let Some(append) = appends.take(stored) else { continue };
            let AppendHeader { from, chain, .. } = append.header;
            if is_first && from > floor {
                // The outcome stream has dropped what came between.
                (floor, is_compared) = (from, false);
            }
            let told = outcomes(append.format, &append.payload);
            for outcome in told.map_err(|error| ReadError::Unreadable(error.to_string()))? {
                let at = outcome.identity();
                if at <= floor {
                    continue;
                }
                let until = at.sequence.max(chain.sequence);
                while folding.inventory().chain().sequence < until.min(log_last) {
                    let mut read = messages.next(|message| message.sequence).await?;
                    read.retain(|message| message.sequence <= log_last);
                    folding.step(&read, i64::MAX, |applied| {
                        let output = &applied.output;
                        let all = output.outcomes_from(0);
                        own.extend(all.map(|(entry, bytes)| (entry.identity, Bytes::copy_from_slice(bytes))));
                        chains.extend(applied.messages.iter().map(|message| message.chain));
                        true
                    })?;
                }
                while own.front().is_some_and(|(own, _)| *own <= floor) {
                    own.pop_front();
                }
                let mut bytes = Vec::new();
                let start = encode_outcome(&mut bytes, &outcome.decision, at, outcome.at);
                match own.pop_front() {
                    Some((own_at, own)) if own_at == at && own == bytes[start..] => is_compared = true,
                    other => {
                        let departs = other.map_or(at.sequence, |(own, _)| own.sequence.min(at.sequence));
                        return Ok(is_compared.then(|| (departs - 1).min(log_last)));
                    }
                }
            }
            while chains.front().is_some_and(|own| own.sequence < chain.sequence) {
                chains.pop_front();
            }
            // Messages without outcomes can differ, too.
            if chains.front().is_some_and(|own| own.sequence == chain.sequence && *own != chain) {
                return Ok(is_compared.then_some(chained.sequence));
            }
            chained = chain;
        }
    }
    Err(EpochError::Agrees)
}

/// Drops what readers drop: what goes back to what was announced before.
struct Appends {
    next: u64,
    last: u64,
    due: Option<Identity>,
}

impl Appends {
    fn take(&mut self, StoredAppend { sequence, append }: StoredAppend) -> Option<Append> {
        self.next = sequence + 1;
        let AppendHeader { from, through, .. } = append.header;
        if sequence > self.last || self.due.is_some_and(|due| from < due) {
            return None;
        }
        self.due = Some(through);
        Some(append)
    }
}

/// Shows each announced outcome that is not in the state that the plan goes on from, in order, and says how many there are.
pub async fn gone<E: Edges>(
    edges: &ShardEdges<E>,
    plan: &Plan,
    mut each: impl FnMut(&Outcome<'_>),
) -> Result<u64, EpochError> {
    let streams = &edges.streams;
    let first = streams.outcomes_state().await?.first_sequence;
    let next = first_behind(streams, plan.kept, first, plan.outcomes_last).await?;
    let mut appends = Appends { next, last: plan.outcomes_last, due: None };
    let mut reader = Onward::new(next, |from| streams.read_outcomes(from));
    let mut count = 0;
    while appends.next <= appends.last {
        for stored in reader.next(|stored| stored.sequence).await? {
            let Some(append) = appends.take(stored) else { continue };
            let told = outcomes(append.format, &append.payload);
            for outcome in told.map_err(|error| ReadError::Unreadable(error.to_string()))? {
                if outcome.identity() > plan.kept {
                    count += 1;
                    each(&outcome);
                }
            }
        }
    }
    Ok(count)
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
    let mut messages = Onward::new(start.inventory.chain().sequence + 1, |from| edges.streams.read_log(from));
    let mut folding = Folding::new(start, Identity::START, until);
    while folding.inventory().chain().sequence < until {
        let mut read = messages.next(|message| message.sequence).await?;
        read.retain(|message| message.sequence <= until);
        folding.step(&read, i64::MAX, |_| true)?;
    }
    let through = folding.through();
    Ok(Start { inventory: folding.into_inventory(), through })
}

/// Begins the new epoch, or goes on with one that was begun, and gives its first sequence.
pub async fn begin<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    plan: Plan,
    writer: &str,
    format: Format,
    pace: &Pace,
) -> Result<u64, EpochError>
where
    E::Streams: ClosableLog,
{
    let ShardEdges { streams, pointers, .. } = edges;
    let snapshots = Snapshots::new(shard, edges);
    done("the log is not closed", || streams.close_log()).await?;
    let (plan, log_last, revision) = note(shard, edges, plan).await?;
    let last = plan.last(log_last);
    let name = snapshots.name(last, "epoch", plan.attempts);
    let is_switched = |kept: &Kept| kept.sequence == last && is_of_epoch(&kept.name, shard, last);
    if !snapshots.kept().await?.first().is_some_and(is_switched) {
        append_all(streams, &plan, log_last).await?;
        let mut start = state(edges, &snapshots, plan.snapshot.as_deref(), plan.base, pace.fold_on).await?;
        start.inventory.begin_epoch(last);
        start.through = plan.through;
        let chain = start.inventory.chain();
        let rules = start.inventory.policy().rules;
        let folding = Folding::new(start, Identity::START, last);
        let fold = fold::start(pace.fold_on, shard, folding, pace.clock.clone(), |_| {});
        let stored = snapshots.store(name, async |chunks| scribe::write(&fold.input, chunks).await).await;
        let stored = stored.map_err(|error| EpochError::Write { what: "the state is not stored", error })?;
        let kept = stored.ok_or(EpochError::NothingLeft)?;
        let header = AppendHeader {
            from: plan.through,
            through: plan.through,
            rules,
            writer: writer.to_owned(),
            chain,
        };
        mark(streams, &plan, Append { header, format, payload: nothing(format) }).await?;
        done("the pointer to the state is not moved", || snapshots.point_only(&kept)).await?;
    }
    done("the log is not trimmed", || streams.trim_log(last)).await?;
    open(edges).await?;
    done("the plan is not removed", async || match pointers.remove(&key(shard), revision).await {
        // It timed out before, and was removed.
        Err(AppendError::Conflict) => Ok(()),
        ended => ended,
    })
    .await?;
    Ok(last + 1)
}

/// Opens the log again: a closing that timed out may land after all was done.
pub async fn open<E: Edges>(edges: &ShardEdges<E>) -> Result<(), EpochError>
where
    E::Streams: ClosableLog,
{
    done("the log is not opened", || edges.streams.open_log()).await
}

fn is_of_epoch(name: &str, shard: &str, last: u64) -> bool {
    name.strip_prefix(&format!("{shard}.{last}.epoch.")).is_some()
}

/// Writes down what is about to be done. The log is closed.
async fn note<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
    plan: Plan,
) -> Result<(Plan, u64, u64), EpochError> {
    let (mut plan, revision) = under_way(shard, edges).await?.unwrap_or((plan, 0));
    let log_last = match plan.log_last {
        Some(log_last) => log_last,
        None => edges.streams.log_state().await?.last_sequence,
    };
    plan.log_last = Some(log_last);
    plan.attempts += 1;
    let value = serde_json::to_vec(&plan).expect("plain texts and numbers");
    match edges.pointers.put(&key(shard), value.into(), revision).await {
        Ok(revision) => Ok((plan, log_last, revision)),
        Err(AppendError::Conflict) => Err(EpochError::Contested),
        Err(error) => Err(EpochError::Write { what: "the plan is not written down", error }),
    }
}

/// Appends what the closed log lacks: ticks up to the last sequence of the epoch before, then copies.
async fn append_all<S: ClosableLog>(streams: &S, plan: &Plan, log_last: u64) -> Result<(), EpochError> {
    let last = plan.last(log_last);
    let copies = log_last.saturating_sub(plan.agrees);
    let tick = Bytes::from(encode_commands(Format::Bincode, &[Command::Tick(Tick {})]));
    let mut tries = 0;
    loop {
        let at = streams.log_state().await?.last_sequence;
        let due = if at < last {
            let ticks = usize::try_from(last - at).unwrap_or(usize::MAX).min(APPENDS_MAX);
            vec![(Some(Format::Bincode), tick.clone()); ticks]
        } else if at - last < copies {
            let from = plan.agrees + 1 + (at - last);
            let mut read =
                Onward::new(from, |from| streams.read_log(from)).next(|copied| copied.sequence).await?;
            read.retain(|copied| copied.sequence <= log_last);
            if read.first().is_none_or(|copied| copied.sequence != from) {
                return Err(
                    Fault::Gap { expected: from, found: read.first().map_or(0, |m| m.sequence) }.into()
                );
            }
            read.into_iter().map(|copied| (copied.format, copied.payload)).collect()
        } else {
            return Ok(());
        };
        let append = async |(number, (format, payload))| streams.append_closed(format, payload, number).await;
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
}

/// No outcomes.
fn nothing(format: Format) -> Bytes {
    match format {
        Format::Json => Bytes::from_static(b"[]"),
        Format::Bincode => FrameWriter::new().finish().into(),
    }
}

/// Appends what makes any other writer of outcomes look again.
async fn mark<S: Streams>(streams: &S, plan: &Plan, append: Append) -> Result<(), EpochError> {
    done("the outcome stream takes no append", async || {
        match streams.append_outcomes(append.clone(), plan.outcomes_last).await {
            // One that timed out before has landed, or else somebody announces: both show below.
            Ok(_) | Err(AppendError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    })
    .await?;
    let last = streams.last_outcomes().await?;
    let is_there = last.is_some_and(|last| last.append.header.chain == append.header.chain);
    if is_there { Ok(()) } else { Err(EpochError::Moved) }
}

//! Lanes: the commands of one family on their way into one shard's log, and what waits there for its decision.
//!
//! A few messages at a time are on their way into the log, and what comes meanwhile is gathered for the next: nothing waits while
//! little is under way, and messages are large when there is much to do. A request whose commands take several messages waits
//! for each, so their order is kept. One that is not acknowledged for long is left behind.
//!
//! An append without an acknowledgement is never repeated: it may still land, and not every command has an id by which a shard would
//! know it again. The log is looked at instead, for a message with this append's own header, until nobody waits any more.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use super::outcomes::Outcomes;
use super::pending::{Board, Gather, UNAVAILABLE_RETRY_MS};
use crate::edges::streams::{APPEND_HEADER, AppendError, Headers, LogReader as _, ReadError, Streams};
use crate::edges::telemetry::Answering;
use crate::motion::rules::gathering::{Packed, Weight, pack};
use crate::words::codec::{DecidedReplies, Format, NotOutcomes};
use crate::words::codes::Family;
use crate::words::message::Way;
use crate::words::reply::{DoorReason, DoorReply};

/// An append that is not acknowledged for so long is looked for in the log.
const LOOK_AFTER: Duration = Duration::from_millis(500);
/// So many appends of one lane are on their way at once: with one, half a round trip is waited for the one before.
const AT_ONCE: usize = 2;
/// So many appends of one lane may wait for their acknowledgements, those left behind among them.
const UNDER_WAY_MAX: usize = 8;
/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// How long one look waits for the next message of the log.
const LOOK_SILENCE: Duration = Duration::from_secs(1);
/// The most bytes of outcomes, and of what they came with, that are kept because they may answer what is not acknowledged yet.
const EARLY_BYTES_MAX: usize = 64 << 20;
/// When to try again where a log is full, in milliseconds: somebody must make room first.
const FULL_RETRY_MS: u32 = 1_000;

/// One command under way.
pub(super) struct Item {
    pub(super) gather: Arc<Gather>,
    pub(super) position: u32,
    pub(super) family: Family,
    pub(super) element: Vec<u8>,
    pub(super) weight: Weight,
    /// Counts what of its shard is undecided, for as long as this is.
    pub(super) _counted: Counted,
}

impl Packed for Item {
    fn element(&self) -> &[u8] {
        &self.element
    }

    fn weight(&self) -> Weight {
        self.weight
    }
}

/// One of a shard's undecided commands.
pub(super) struct Counted(Arc<Shard>);

impl Counted {
    pub(super) fn new(shard: &Arc<Shard>) -> Self {
        shard.undecided.fetch_add(1, Relaxed);
        Self(shard.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.undecided.fetch_sub(1, Relaxed);
    }
}

/// A message of this door in the log.
struct Stored {
    /// By index; none where it is answered.
    items: Vec<Option<Item>>,
    left: usize,
    /// Nobody waits for any of it after this.
    until: Duration,
}

#[derive(Default)]
struct Lane {
    queue: Mutex<VecDeque<Item>>,
    woken: Notify,
}

/// Outcomes that were heard while something was not acknowledged: they may answer it.
#[derive(Default)]
pub(super) struct Early {
    numbers: u64,
    under_way: BTreeSet<u64>,
    heard: VecDeque<(u64, Outcomes)>,
    bytes: usize,
}

impl Early {
    pub(super) fn keep(&mut self, outcomes: &Outcomes) {
        if self.under_way.is_empty() {
            return;
        }
        self.bytes += outcomes.bytes();
        self.heard.push_back((self.numbers, outcomes.clone()));
        while self.bytes > EARLY_BYTES_MAX {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, outcomes)) = self.heard.pop_front() {
            self.bytes -= outcomes.bytes();
        }
    }

    fn begin(&mut self) -> u64 {
        self.numbers += 1;
        self.under_way.insert(self.numbers);
        self.numbers
    }

    /// An append has ended, with this sequence if it was stored; gives what may answer it.
    fn end(&mut self, number: u64, sequence: Option<u64>) -> Vec<Outcomes> {
        self.under_way.remove(&number);
        let holds = |outcomes: &Outcomes| sequence.is_some_and(|at| outcomes.span().contains(&at));
        let found = self.heard.iter().filter(|(_, outcomes)| holds(outcomes));
        let found = found.map(|(_, outcomes)| outcomes.clone()).collect();
        // What is under way since later cannot be in what came before it.
        let first = self.under_way.first().copied().unwrap_or(u64::MAX);
        while self.heard.front().is_some_and(|(last, _)| *last < first) {
            self.drop_first();
        }
        found
    }
}

/// How far a shard is with what this door has stored.
#[derive(Default)]
pub(super) struct Progress {
    /// The last message stored.
    stored: u64,
    /// The last message of which something is decided.
    decided: u64,
    /// The message that is waited for, and since when.
    waits: Option<(u64, Duration)>,
    /// When something was last decided.
    moved: Duration,
}

impl Progress {
    fn stored(&mut self, sequence: u64, now: Duration) {
        self.stored = self.stored.max(sequence);
        if self.waits.is_none() && self.decided < sequence {
            self.waits = Some((sequence, now));
        }
    }

    pub(super) fn decided(&mut self, sequence: u64, now: Duration) {
        // The fold and the stream tell the same, one before the other.
        if sequence <= self.decided {
            return;
        }
        (self.decided, self.moved) = (sequence, now);
        if self.waits.is_some_and(|(waits, _)| waits <= sequence) {
            self.waits = (self.stored > sequence).then_some((self.stored, now));
        }
    }
}

/// A shard, as a door sees it.
pub(super) struct Shard {
    pub(super) name: String,
    lanes: [Lane; Family::ALL.len()],
    /// By sequence. The hash has no seed, so that a simulation is the same twice.
    pending: DashMap<u64, Stored, BuildHasherDefault<DefaultHasher>>,
    undecided: AtomicUsize,
    early: Mutex<Early>,
    progress: Mutex<Progress>,
    /// No append of this door that begins now is stored at or before this sequence.
    pub(super) log_known: AtomicU64,
    /// Whether the outcomes are read: nothing is appended before.
    pub(super) reading: watch::Sender<bool>,
    /// How it answers who asks here.
    pub(super) answering: Arc<Answering>,
}

impl Shard {
    pub(super) fn new(name: &str, answering: Arc<Answering>) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            lanes: Default::default(),
            pending: DashMap::default(),
            undecided: AtomicUsize::new(0),
            early: Mutex::default(),
            progress: Mutex::default(),
            log_known: AtomicU64::new(0),
            reading: watch::Sender::new(false),
            answering,
        })
    }

    pub(super) fn early(&self) -> MutexGuard<'_, Early> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many commands are undecided.
    pub(super) fn undecided(&self) -> usize {
        self.undecided.load(Relaxed)
    }

    /// For how long what it was given waits for its decision, and for how long it has decided nothing meanwhile.
    pub(super) fn lags(&self, now: Duration) -> (Duration, Duration) {
        let progress = self.progress();
        progress.waits.map_or((Duration::ZERO, Duration::ZERO), |(_, since)| {
            (now.saturating_sub(since), now.saturating_sub(since.max(progress.moved)))
        })
    }

    /// Takes commands of a family, in this order.
    pub(super) fn take(&self, family: Family, items: impl IntoIterator<Item = Item>) {
        let lane = &self.lanes[family as usize];
        lane.queue.lock().unwrap_or_else(PoisonError::into_inner).extend(items);
        lane.woken.notify_one();
    }

    /// Forgets what nobody waits for any more.
    pub(super) fn forget(&self, now: Duration) {
        self.pending.retain(|_, stored| stored.until > now);
    }

    /// Answers whatever these outcomes answer.
    fn matches(
        self: &Arc<Self>,
        board: &Board,
        outcomes: &Outcomes,
        writer: &mut DecidedReplies,
    ) -> Result<(), NotOutcomes> {
        let (span, format) = (outcomes.span(), outcomes.format());
        let few = span.end().saturating_sub(*span.start()) <= 256;
        if self.pending.is_empty() || few && !span.into_iter().any(|at| self.pending.contains_key(&at)) {
            return Ok(());
        }
        let mut again: Vec<Item> = Vec::new();
        let mut round = board.round();
        let waits = |sequence| self.pending.contains_key(&sequence);
        let result = outcomes.each(waits, |one| {
            if !one.is_answer {
                return;
            }
            let (sequence, index) = (one.identity.sequence, one.identity.index);
            let Some(mut stored) = self.pending.get_mut(&sequence) else { return };
            let alone = stored.items.len() == 1;
            let Some(item) = stored.items.get_mut(index as usize).and_then(Option::take) else { return };
            stored.left -= 1;
            let done = stored.left == 0;
            drop(stored);
            if done {
                self.pending.remove(&sequence);
            }
            if one.too_large && !alone {
                board.telemetry.again();
                again.push(item);
                return;
            }
            let gather = &item.gather;
            gather.decided(item.position, (sequence, index), one.busy, &mut round, |bytes| {
                if let Err(error) = writer.write((format, one.bytes), gather.format, bytes) {
                    // It was read as an outcome a moment ago.
                    tracing::error!(%error, "an outcome cannot be written as a reply");
                }
            });
        });
        for mut item in again {
            item.weight.alone = true;
            if item.gather.queues(item.position) {
                let lane = &self.lanes[item.family as usize];
                lane.queue.lock().unwrap_or_else(PoisonError::into_inner).push_front(item);
                lane.woken.notify_one();
            }
        }
        result
    }
}

/// One lane's task, or whoever hears a shard's outcomes.
pub(super) struct Runner<S> {
    pub(super) shard: Arc<Shard>,
    pub(super) board: Arc<Board>,
    pub(super) streams: S,
    /// Which door this is, for the headers of its appends.
    pub(super) door: Arc<str>,
}

impl<S: Clone> Clone for Runner<S> {
    fn clone(&self) -> Self {
        let Self { shard, board, streams, door } = self;
        Self { shard: shard.clone(), board: board.clone(), streams: streams.clone(), door: door.clone() }
    }
}

impl<S: Streams> Runner<S> {
    /// Appends what comes to a lane, for ever.
    pub(super) async fn append(self, family: Family) {
        let mut reading = self.shard.reading.subscribe();
        let mut under_way = JoinSet::new();
        let mut on_their_way = VecDeque::with_capacity(AT_ONCE);
        loop {
            let lane = &self.shard.lanes[family as usize];
            if lane.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                lane.woken.notified().await;
                continue;
            }
            // The sender lives as long as the shard.
            let _ = reading.wait_for(|reading| *reading).await;
            let packed = {
                let mut queue = lane.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let wanted = |item: &Item| item.gather.sends(item.position);
                let packed = pack(&mut queue, self.streams.payload_bytes_max(), wanted);
                packed.map(|(payload, items)| {
                    let (last, next) = (items.last(), queue.front());
                    let goes_on =
                        last.zip(next).is_some_and(|(last, next)| Arc::ptr_eq(&last.gather, &next.gather));
                    (payload, items, goes_on)
                })
            };
            let Some((payload, items, goes_on)) = packed else { continue };
            let (runner, (told, ended)) = (self.clone(), oneshot::channel::<()>());
            under_way.spawn(async move {
                runner.append_one(family, payload.into(), items).await;
                drop(told);
            });
            on_their_way.push_back(ended);
            while on_their_way.len() >= if goes_on { 1 } else { AT_ONCE } {
                // What is not acknowledged for long holds up no other, unless there are many of them.
                if let Some(first) = on_their_way.pop_front() {
                    let _ = tokio::time::timeout(LOOK_AFTER, first).await;
                }
            }
            while under_way.try_join_next().is_some() {}
            while under_way.len() >= UNDER_WAY_MAX {
                under_way.join_next().await;
            }
        }
    }

    async fn append_one(&self, family: Family, payload: Bytes, items: Vec<Item>) {
        let number = self.shard.early().begin();
        self.board.telemetry.appends(items.len());
        let until = items.iter().map(|item| item.gather.deadline).max().unwrap_or_default();
        let appended = self.stored(family, number, payload, until).await;
        let sequence = appended.as_ref().ok().copied();
        if let Some(sequence) = sequence {
            self.shard.log_known.fetch_max(sequence, Relaxed);
            self.shard.progress().stored(sequence, self.board.clock.monotonic());
            for (index, item) in (0..).zip(&items) {
                item.gather.stores(item.position, sequence, index);
            }
            let left = items.len();
            let items = items.into_iter().map(Some).collect();
            self.shard.pending.insert(sequence, Stored { items, left, until });
        } else if let Err(error) = appended {
            self.board.telemetry.append_failed(&error);
            self.failed(&error, items);
        }
        let early = self.shard.early().end(number, sequence);
        if !early.is_empty() {
            let mut writer = DecidedReplies::default();
            for outcomes in &early {
                self.answer(outcomes, &mut writer);
            }
        }
    }

    /// Appends, and gives the sequence. [`AppendError::TimedOut`] where it is not known, and nobody waits any more.
    async fn stored(
        &self,
        family: Family,
        number: u64,
        payload: Bytes,
        until: Duration,
    ) -> Result<u64, AppendError> {
        let mark = format!("{}.{}.{number}", self.door, self.shard.name);
        let headers = Headers::new([(APPEND_HEADER.to_owned(), mark.clone())]);
        let from = self.shard.log_known.load(Relaxed) + 1;
        let append = self.streams.append_log_by(Way::Family(family), Format::Bincode, &headers, payload);
        let mut append = pin!(append);
        match tokio::time::timeout(LOOK_AFTER, &mut append).await {
            Ok(Err(AppendError::TimedOut)) => {
                self.board.telemetry.append_failed(&AppendError::TimedOut);
                self.look(&mark, from, until).await
            }
            Ok(appended) => appended,
            Err(_) => {
                let look = self.look(&mark, from, until);
                let mut look = pin!(look);
                tokio::select! {
                    appended = &mut append => match appended {
                        Err(AppendError::TimedOut) => look.await,
                        appended => appended,
                    },
                    found = &mut look => found,
                }
            }
        }
    }

    /// Looks for an append in the log, from a sequence on, until nobody waits any more.
    async fn look(&self, mark: &str, mut from: u64, until: Duration) -> Result<u64, AppendError> {
        loop {
            match self.find(mark, &mut from).await {
                Ok(Some(sequence)) => {
                    self.board.telemetry.found();
                    return Ok(sequence);
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(shard = self.shard.name, %error, "the log cannot be looked at"),
            }
            if self.board.clock.monotonic() >= until {
                return Err(AppendError::TimedOut);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Reads the log from `from` to its end, and goes on there the next time.
    async fn find(&self, mark: &str, from: &mut u64) -> Result<Option<u64>, ReadError> {
        let last = self.streams.log_state().await?.last_sequence;
        if last < *from {
            return Ok(None);
        }
        let mut reader = self.streams.read_log(*from).await?;
        while *from <= last {
            let read = tokio::time::timeout(LOOK_SILENCE, reader.next_stored()).await;
            let read =
                read.map_err(|_| ReadError::Unavailable("the log's reader is silent".to_owned()))??;
            for stored in read {
                *from = (*from).max(stored.message.sequence + 1);
                if stored.headers.get(APPEND_HEADER) == Some(mark) {
                    return Ok(Some(stored.message.sequence));
                }
            }
        }
        Ok(None)
    }

    /// Nothing of an append was stored; or, after [`AppendError::TimedOut`], nobody waits any more.
    fn failed(&self, error: &AppendError, items: Vec<Item>) {
        let several = items.len() > 1;
        let unavailable = |why: String| DoorReply::Unavailable {
            retry_after_ms: UNAVAILABLE_RETRY_MS,
            detail: Some(why.into()),
        };
        let mut again = Vec::new();
        let mut round = self.board.round();
        for mut item in items {
            let reply = match error {
                AppendError::TimedOut => {
                    DoorReply::Unknown { detail: Some("no acknowledgement came".into()) }
                }
                AppendError::Full => {
                    DoorReply::Busy { retry_after_ms: FULL_RETRY_MS, detail: Some("the log is full".into()) }
                }
                AppendError::TooLarge if several => {
                    // A server that was moved to takes less.
                    item.weight.alone = true;
                    if item.gather.queues(item.position) {
                        again.push(item);
                    }
                    continue;
                }
                AppendError::TooLarge => DoorReply::Refused {
                    command: None,
                    subject: None,
                    reason: DoorReason::PayloadTooLarge,
                    detail: None,
                },
                AppendError::Missing(_) | AppendError::Conflict => {
                    unavailable("the shard's log is not there".to_owned())
                }
                AppendError::Unavailable(_) => unavailable("the log does not take it".to_owned()),
            };
            item.gather.door(item.position, reply, &mut round);
        }
        if !again.is_empty() {
            let family = again[0].family;
            self.shard.take(family, again);
        }
    }

    /// Answers whatever these outcomes answer.
    pub(super) fn answer(&self, outcomes: &Outcomes, writer: &mut DecidedReplies) {
        if let Err(error) = self.shard.matches(&self.board, outcomes, writer) {
            let (shard, through) = (&self.shard.name, *outcomes.span().end());
            tracing::error!(shard, through, %error, "outcomes cannot be read");
        }
    }
}

//! Hearing: how a door finds out what its commands came to.
//!
//! The outcome stream tells it of every shard, wherever that is led. Where this process leads the shard, its fold tells it sooner, right
//! after it has applied a message: the log decides, and the message was stored before it was applied. Meanwhile only the headers of the
//! announced outcomes are read. They say what the fold must have told by then: where it has not, or where it leads no more, the outcomes
//! themselves are read again, from the first that was not heard.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::lane::Runner;
use crate::edges::streams::{ReadError, Reader, Streams};
use crate::folds::inventory::Entry;
use crate::motion::live::ports::{Observations, Seen};
use crate::motion::rules::folding::{Applied, AppliedMessage};
use crate::motion::status::Status;
use crate::words::append::{AppendHeader, Headline, StoredAppend};
use crate::words::codec::{DecidedReplies, Format, NotOutcomes, Told, told};
use crate::words::identity::Identity;
use crate::words::outcome::Reason;

/// What a fold has told that the door has not looked at yet, in batches; what is beyond is read from the stream.
const BATCHES_MAX: usize = 256;
/// A fold that was first with so many appends in a row is listened to instead of the stream.
const FIRST_IN_A_ROW: u32 = 16;
/// A fold that leads applies before it announces. What it has not told for so long after that, it does not tell.
const PATIENCE: Duration = Duration::from_millis(100);
/// A reader that gives nothing for so long, while its stream has gone on, is opened anew.
const STALL: Duration = Duration::from_secs(2);

/// The fold of a shard in this process.
pub struct Nearby {
    seen: Observations,
    status: Arc<Status>,
}

impl Nearby {
    /// Listens to a shard from now on.
    #[must_use]
    pub fn listen(status: Arc<Status>) -> Self {
        Self { seen: status.ports().observe(BATCHES_MAX), status }
    }

    fn leads(&self) -> bool {
        self.status.role() == Some("leader")
    }
}

/// Outcomes as they are heard.
#[derive(Clone, Debug)]
pub(super) enum Outcomes {
    Announced(StoredAppend),
    Applied(Arc<Applied>),
}

impl Outcomes {
    /// The messages that they may be of.
    pub(super) fn span(&self) -> RangeInclusive<u64> {
        match self {
            Self::Announced(append) => span(&append.append.header),
            Self::Applied(applied) => {
                let at = |message: Option<&AppliedMessage>| message.map_or(0, |one| one.chain.sequence);
                at(applied.messages.first())..=at(applied.messages.last())
            }
        }
    }

    pub(super) fn format(&self) -> Format {
        match self {
            Self::Announced(append) => append.append.format,
            Self::Applied(_) => Format::Bincode,
        }
    }

    /// What they take in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Announced(append) => append.append.payload.len(),
            Self::Applied(applied) => applied.bytes,
        }
    }

    /// Gives each outcome, in order; those of messages that are not `wanted` may be left out.
    pub(super) fn each(
        &self,
        wanted: impl Fn(u64) -> bool,
        mut each: impl FnMut(Told<'_>),
    ) -> Result<(), NotOutcomes> {
        let applied = match self {
            Self::Announced(append) => return told(append.append.format, &append.append.payload, each),
            Self::Applied(applied) => applied,
        };
        for message in &applied.messages {
            if message.by_door && wanted(message.chain.sequence) {
                let outcomes = applied.output.outcomes_from(message.outcomes_end - message.outcomes);
                outcomes.take(message.outcomes).for_each(|(entry, bytes)| each(of(entry, bytes)));
            }
        }
        Ok(())
    }
}

fn span(header: &AppendHeader) -> RangeInclusive<u64> {
    header.from.sequence..=header.through.sequence
}

fn of<'a>(entry: &Entry, bytes: &'a [u8]) -> Told<'a> {
    Told {
        identity: entry.identity(),
        is_answer: entry.answers,
        too_large: entry.reason == Some(Reason::MessageTooLarge),
        busy: entry.reason == Some(Reason::Busy),
        bytes,
    }
}

/// How far a shard's outcomes are heard.
#[derive(Debug, Default)]
struct Heard {
    /// All outcomes up to this append of the stream are.
    through: u64,
    /// The first and the last message that the fold has told of, without a gap.
    told: Option<(u64, u64)>,
    /// With how many appends in a row the fold was first.
    first: u32,
    /// Appends that the fold has yet to tell of, by their sequences, and since when they are announced.
    awaited: VecDeque<(u64, RangeInclusive<u64>, Duration)>,
}

impl Heard {
    fn has_told(&self, span: &RangeInclusive<u64>) -> bool {
        self.told.is_some_and(|(first, last)| first <= *span.start() && *span.end() <= last)
    }

    /// The fold tells of messages.
    fn applied(&mut self, span: &RangeInclusive<u64>) {
        self.told = Some((self.told.map_or(*span.start(), |(first, _)| first), *span.end()));
        while let Some((sequence, span, _)) = self.awaited.front()
            && self.has_told(span)
        {
            self.through = *sequence;
            self.awaited.pop_front();
        }
    }

    /// What the fold tells from here on does not follow what it told before.
    fn lost(&mut self) {
        (self.told, self.first) = (None, 0);
        self.awaited.clear();
    }

    /// An append was read.
    fn read(&mut self, sequence: u64, span: &RangeInclusive<u64>) {
        self.through = sequence;
        self.first = if self.has_told(span) { self.first.saturating_add(1) } else { 0 };
    }

    /// An append's header was read.
    fn announced(&mut self, sequence: u64, span: RangeInclusive<u64>, now: Duration) {
        if self.awaited.is_empty() && self.has_told(&span) {
            self.through = sequence;
        } else {
            self.awaited.push_back((sequence, span, now));
        }
    }

    /// Whether the fold is listened to instead of the stream.
    fn by_fold(&self) -> bool {
        self.first >= FIRST_IN_A_ROW
    }

    /// When the fold must have told of what is announced; none where it has.
    fn due(&self) -> Option<Duration> {
        self.awaited.front().map(|(.., since)| *since + PATIENCE)
    }
}

/// Hears a shard's outcomes for a door.
pub(super) struct Hearer<S> {
    runner: Runner<S>,
    nearby: Option<Nearby>,
    heard: Heard,
    /// Whether it is known where the stream ended when the door opened: it is read from there on.
    begun: bool,
    complained: bool,
    writer: DecidedReplies,
}

impl<S: Streams> Hearer<S> {
    pub(super) fn new(runner: Runner<S>, nearby: Option<Nearby>) -> Self {
        let (heard, writer) = (Heard::default(), DecidedReplies::default());
        Self { runner, nearby, heard, begun: false, complained: false, writer }
    }

    /// Hears, for ever.
    pub(super) async fn hear(mut self) {
        loop {
            let Err(error) = self.hear_on().await;
            if !self.complained {
                let shard = &self.runner.shard.name;
                tracing::warn!(shard, %error, "the door cannot read outcomes; trying on");
            }
            self.complained = true;
            tokio::time::sleep(super::RETRY_PAUSE).await;
        }
    }

    async fn hear_on(&mut self) -> Result<Infallible, ReadError> {
        let streams = self.runner.streams.clone();
        if !self.begun {
            let log = streams.log_state().await?;
            self.runner.shard.log_known.fetch_max(log.last_sequence, Relaxed);
            self.heard.through = streams.outcomes_state().await?.last_sequence;
            self.begun = true;
        }
        loop {
            let from = self.heard.through + 1;
            if self.heard.by_fold() {
                let reader = streams.read_headlines(from).await?;
                self.read_on(reader, from, true, |hearer, Headline { sequence, header, .. }| {
                    let now = hearer.runner.board.clock.monotonic();
                    hearer.heard.announced(sequence, span(&header), now);
                    (sequence, header.through)
                })
                .await?;
            } else {
                let reader = streams.read_outcomes(from).await?;
                self.read_on(reader, from, false, |hearer, append: StoredAppend| {
                    let (sequence, through) = (append.sequence, append.append.header.through);
                    hearer.heard.read(sequence, &span(&append.append.header));
                    hearer.tell(&Outcomes::Announced(append));
                    (sequence, through)
                })
                .await?;
            }
        }
    }

    /// Reads the stream while what the fold tells is trusted, or not, as `by_fold` says. `take` takes what is read, and says which append it
    /// was, and how far that goes.
    async fn read_on<T>(
        &mut self,
        mut reader: impl Reader<T>,
        from: u64,
        by_fold: bool,
        take: impl Fn(&mut Self, T) -> (u64, Identity),
    ) -> Result<(), ReadError> {
        let clock = self.runner.board.clock.clone();
        self.runner.shard.reading.send_replace(true);
        self.complained = false;
        let mut at = from - 1;
        let mut due = None;
        while self.heard.by_fold() == by_fold {
            let now = clock.monotonic();
            let patience = self.heard.due().map(|due| due.saturating_sub(now));
            let read = tokio::select! {
                biased;
                seen = next(self.nearby.as_mut()) => {
                    self.seen(seen);
                    continue;
                }
                read = tokio::time::timeout(STALL, reader.next()) => read,
                () = tokio::time::sleep(patience.unwrap_or_default()), if patience.is_some() => {
                    self.heard.lost();
                    continue;
                }
            };
            let Ok(read) = read else {
                // Quiet, or silent though there is more.
                let end = self.runner.streams.outcomes_state().await?.last_sequence;
                if due.is_some_and(|due| due > at) {
                    return Err(ReadError::Unavailable("the reader fell silent".to_owned()));
                }
                if end < at {
                    // The broker lost what it had announced; what comes now begins behind its end.
                    self.heard.lost();
                    self.heard.through = self.heard.through.min(end);
                    return Err(ReadError::Unavailable("the broker lost announced outcomes".to_owned()));
                }
                due = Some(end);
                continue;
            };
            due = None;
            for one in read? {
                let (sequence, through) = take(self, one);
                at = sequence;
                self.runner.shard.log_known.fetch_max(through.sequence, Relaxed);
                if !by_fold {
                    self.runner.shard.progress().decided(through.sequence, clock.monotonic());
                }
            }
        }
        Ok(())
    }

    /// Takes what the fold tells.
    fn seen(&mut self, seen: Option<Seen>) {
        let Some(nearby) = &self.nearby else { return };
        match seen {
            Some(Seen::Applied(applied)) if nearby.leads() && !applied.messages.is_empty() => {
                let outcomes = Outcomes::Applied(applied);
                let span = outcomes.span();
                self.tell(&outcomes);
                self.heard.applied(&span);
                let shard = &self.runner.shard;
                shard.log_known.fetch_max(*span.end(), Relaxed);
                shard.progress().decided(*span.end(), self.runner.board.clock.monotonic());
            }
            Some(Seen::Announced { .. }) => {}
            Some(Seen::Applied(_) | Seen::Restored { .. } | Seen::Lost(_)) => self.heard.lost(),
            None => {
                self.heard.lost();
                self.nearby = None;
            }
        }
    }

    fn tell(&mut self, outcomes: &Outcomes) {
        self.runner.shard.early().keep(outcomes);
        self.runner.answer(outcomes, &mut self.writer);
    }
}

/// What a fold tells next; never where there is none.
async fn next(nearby: Option<&mut Nearby>) -> Option<Seen> {
    match nearby {
        Some(nearby) => nearby.seen.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    /// Of a door that listens to the fold: messages from 10 on are told, appends up to the 20th are heard.
    fn listening() -> Heard {
        let mut heard = Heard::default();
        heard.applied(&(10..=10));
        for sequence in 1..=20 {
            assert_eq!(heard.by_fold(), sequence > 16);
            heard.applied(&(10 + sequence..=10 + sequence));
            heard.read(sequence, &(9 + sequence..=10 + sequence));
        }
        heard
    }

    #[test]
    fn a_fold_is_listened_to_once_it_was_first_for_a_while() {
        assert!(listening().by_fold());
        let mut slow = Heard::default();
        slow.applied(&(10..=10));
        for sequence in 1..100 {
            slow.read(sequence, &(9 + sequence..=10 + sequence));
            slow.applied(&(10 + sequence..=10 + sequence));
        }
        assert!(!slow.by_fold());
        // What it was not there for, it has not told.
        slow.read(100, &(1..=109));
        assert_eq!(slow.first, 0);
    }

    #[test]
    fn what_is_announced_and_not_told_is_read_from_the_stream() {
        let mut heard = listening();
        heard.announced(21, 30..=31, NOW);
        heard.announced(22, 31..=32, NOW * 2);
        assert_eq!((heard.through, heard.due()), (20, Some(NOW + PATIENCE)));
        heard.applied(&(31..=31));
        assert_eq!((heard.through, heard.due()), (21, Some(NOW * 2 + PATIENCE)));
        // What comes behind it does not make up for it.
        heard.announced(23, 30..=30, NOW * 3);
        assert_eq!(heard.through, 21);
        heard.lost();
        assert_eq!((heard.through, heard.due(), heard.by_fold()), (21, None, false));
        heard.applied(&(40..=40));
        assert!(!heard.has_told(&(31..=40)));
    }
}

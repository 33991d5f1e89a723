//! Hearing: how a door finds out what its commands came to.
//!
//! The outcome stream tells it of every shard, wherever that is led. Where this process leads the shard, its fold tells it sooner, right
//! after it has applied a message: the log decides, and the message was stored before it was applied. While the fold is ahead of the stream,
//! only the headers of what is announced are read. They say what the fold must have told by then: where it has not, or where it leads no
//! more, the outcomes themselves are read again, from the first that was not heard.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::lane::Runner;
use super::outcomes::{Outcomes, span};
use crate::edges::streams::{ReadError, Reader, Streams};
use crate::motion::live::ports::{Room, Seen};
use crate::motion::live::status::Status;
use crate::words::append::{Headline, StoredAppend};
use crate::words::codec::DecidedReplies;
use crate::words::identity::Identity;

/// What a fold has told that the door has not looked at yet, in batches; what is beyond is read from the stream.
const BATCHES_MAX: usize = 64;
/// Where the fold was first with so many appends in a row, the outcomes themselves are not read any more.
const FIRSTS_MIN: u32 = 4;
/// A fold that leads applies before it announces. What it has not told for so long after that, it does not tell.
const PATIENCE: Duration = Duration::from_millis(100);
/// A fold that missed something is not relied on before so long.
const DISTRUST: Duration = Duration::from_secs(1);
/// A reader that gives nothing for so long, while its stream has gone on, is opened anew.
const STALL: Duration = Duration::from_secs(2);

/// How far a shard's outcomes are heard.
#[derive(Debug, Default)]
struct Heard {
    /// All outcomes up to this append of the stream are.
    through: u64,
    /// The first and the last message that the fold has told of, without a gap.
    told: Option<(u64, u64)>,
    /// With how many appends in a row the fold was first.
    firsts: u32,
    /// The fold is not relied on before this.
    distrusted_until: Duration,
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

    /// What the fold tells from here on does not follow what it told before; says whether anything changes by that.
    fn lost(&mut self, now: Duration) -> bool {
        let relied = self.by_fold();
        (self.told, self.firsts) = (None, 0);
        self.distrusted_until = now + DISTRUST;
        self.awaited.clear();
        relied
    }

    /// The stream is read from behind what is heard.
    fn opened(&mut self) -> u64 {
        self.awaited.clear();
        self.through + 1
    }

    /// An append was read; says whether the fold has told all of it.
    fn read(&mut self, sequence: u64, span: &RangeInclusive<u64>, now: Duration) -> bool {
        self.through = sequence;
        let has_told = self.has_told(span);
        let counts = has_told && now >= self.distrusted_until;
        self.firsts = if counts { self.firsts.saturating_add(1) } else { 0 };
        has_told
    }

    /// An append's header was read.
    fn announced(&mut self, sequence: u64, span: RangeInclusive<u64>, now: Duration) {
        if !self.by_fold() {
            // What came before it may be missing: it is read again, with that.
            return;
        }
        if self.awaited.is_empty() && self.has_told(&span) {
            self.through = sequence;
        } else {
            self.awaited.push_back((sequence, span, now));
        }
    }

    /// Whether the fold is relied on, so that the outcomes themselves are not read.
    fn by_fold(&self) -> bool {
        self.firsts >= FIRSTS_MIN
    }

    /// When the fold must have told of what is announced; none where it has.
    fn due(&self) -> Option<Duration> {
        self.awaited.front().map(|(.., since)| *since + PATIENCE)
    }
}

/// Hears a shard's outcomes for a door.
pub(super) struct Hearer<S> {
    runner: Runner<S>,
    heard: Arc<Mutex<Heard>>,
    /// Told when the fold is relied on no more.
    changed: Arc<Notify>,
}

impl<S: Clone> Clone for Hearer<S> {
    fn clone(&self) -> Self {
        let Self { runner, heard, changed } = self;
        Self { runner: runner.clone(), heard: heard.clone(), changed: changed.clone() }
    }
}

impl<S: Streams> Hearer<S> {
    pub(super) fn new(runner: Runner<S>) -> Self {
        Self { runner, heard: Arc::default(), changed: Arc::default() }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.runner.board.clock.monotonic()
    }

    fn lost(&self) {
        if self.heard().lost(self.now()) {
            self.changed.notify_one();
        }
    }

    /// Hears from the fold of a shard in this process, for as long as that is there.
    pub(super) async fn listen(self, status: Arc<Status>) {
        let mut observed = status.ports().observe(Room::of(BATCHES_MAX));
        let mut writer = DecidedReplies::default();
        while let Some(seen) = observed.next().await {
            match seen {
                Seen::Applied(applied) if status.leads() => {
                    let is_asked = applied.messages.iter().any(|message| message.by_door);
                    let outcomes = Outcomes::Applied(applied);
                    let span = outcomes.span();
                    if is_asked {
                        self.tell(&outcomes, &mut writer);
                    }
                    self.heard().applied(&span);
                    let shard = &self.runner.shard;
                    shard.log_known.fetch_max(*span.end(), Relaxed);
                    shard.progress().decided(*span.end(), self.now());
                }
                Seen::Announced { .. } => {}
                Seen::Applied(_) | Seen::Restored { .. } | Seen::Lost(_) => self.lost(),
            }
        }
        self.lost();
    }

    /// Hears from the outcome stream, for ever.
    pub(super) async fn read(self) {
        let mut complained = false;
        let mut begun = false;
        loop {
            let Err(error) = self.read_on(&mut begun, &mut complained).await;
            if !complained {
                let shard = &self.runner.shard.name;
                tracing::warn!(shard, %error, "the door cannot read outcomes; trying on");
            }
            complained = true;
            tokio::time::sleep(super::RETRY_PAUSE).await;
        }
    }

    async fn read_on(&self, begun: &mut bool, complained: &mut bool) -> Result<Infallible, ReadError> {
        let Runner { streams, shard, .. } = &self.runner;
        if !*begun {
            let log = streams.log_state().await?;
            shard.log_known.fetch_max(log.last_sequence, Relaxed);
            self.heard().through = streams.outcomes_state().await?.last_sequence;
            *begun = true;
        }
        loop {
            let (from, by_fold) = {
                let mut heard = self.heard();
                (heard.opened(), heard.by_fold())
            };
            if by_fold {
                let reader = streams.read_headlines(from).await?;
                let announced = |Headline { sequence, header, .. }| {
                    self.heard().announced(sequence, span(&header), self.now());
                    (sequence, header.through)
                };
                self.read_from(reader, (from, by_fold), complained, announced).await?;
            } else {
                let mut writer = DecidedReplies::default();
                let reader = streams.read_outcomes(from).await?;
                let read = |append: StoredAppend| {
                    let (sequence, through) = (append.sequence, append.append.header.through);
                    let now = self.now();
                    let has_told = self.heard().read(sequence, &span(&append.append.header), now);
                    if !has_told {
                        self.tell(&Outcomes::Announced(append), &mut writer);
                    }
                    shard.progress().decided(through.sequence, now);
                    (sequence, through)
                };
                self.read_from(reader, (from, by_fold), complained, read).await?;
            }
        }
    }

    /// Reads the stream from `from` on, until the fold begins or ceases to be relied on. `take` takes what is read, and says which append it
    /// was, and how far that goes.
    async fn read_from<T>(
        &self,
        mut reader: impl Reader<T>,
        (from, by_fold): (u64, bool),
        complained: &mut bool,
        mut take: impl FnMut(T) -> (u64, Identity),
    ) -> Result<(), ReadError> {
        let Runner { streams, shard, .. } = &self.runner;
        shard.reading.send_replace(true);
        *complained = false;
        let mut at = from - 1;
        let mut end_seen = None;
        let mut silent_at = Instant::now() + STALL;
        loop {
            let patience = {
                let mut heard = self.heard();
                let now = self.now();
                if heard.due().is_some_and(|due| due <= now) {
                    heard.lost(now);
                }
                if heard.by_fold() != by_fold {
                    return Ok(());
                }
                heard.due().map(|due| due.saturating_sub(now))
            };
            let read = tokio::select! {
                biased;
                read = reader.next() => read?,
                () = self.changed.notified() => continue,
                () = tokio::time::sleep(patience.unwrap_or_default()), if patience.is_some() => continue,
                () = tokio::time::sleep_until(silent_at) => {
                    // Quiet, or silent though there is more.
                    let end = streams.outcomes_state().await?.last_sequence;
                    if end_seen.is_some_and(|seen| seen > at) {
                        return Err(ReadError::Unavailable("the reader fell silent".to_owned()));
                    }
                    if end < at {
                        // The broker lost what it had announced; what comes now begins behind its end.
                        let mut heard = self.heard();
                        heard.lost(self.now());
                        heard.through = heard.through.min(end);
                        return Err(ReadError::Unavailable("the broker lost announced outcomes".to_owned()));
                    }
                    end_seen = Some(end);
                    silent_at = Instant::now() + STALL;
                    continue;
                }
            };
            (end_seen, silent_at) = (None, Instant::now() + STALL);
            for one in read {
                let (sequence, through) = take(one);
                at = sequence;
                shard.log_known.fetch_max(through.sequence, Relaxed);
            }
        }
    }

    fn tell(&self, outcomes: &Outcomes, writer: &mut DecidedReplies) {
        self.runner.shard.early().keep(outcomes);
        self.runner.answer(outcomes, writer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    /// Of a door that relies on the fold: messages from 10 on are told, appends up to the 20th are heard.
    fn relying() -> Heard {
        let mut heard = Heard::default();
        heard.applied(&(10..=10));
        for sequence in 1..=20 {
            assert_eq!(heard.by_fold(), sequence > u64::from(FIRSTS_MIN));
            heard.applied(&(10 + sequence..=10 + sequence));
            assert!(heard.read(sequence, &(9 + sequence..=10 + sequence), NOW));
        }
        heard
    }

    #[test]
    fn a_fold_is_relied_on_once_it_was_first_for_a_while() {
        assert!(relying().by_fold());
        let mut slow = Heard::default();
        slow.applied(&(10..=10));
        for sequence in 1..100 {
            assert!(!slow.read(sequence, &(9 + sequence..=10 + sequence), NOW));
            slow.applied(&(10 + sequence..=10 + sequence));
        }
        assert!(!slow.by_fold());
        // What it was not there for, it has not told.
        assert!(!slow.read(100, &(1..=109), NOW));
        assert_eq!(slow.firsts, 0);
    }

    #[test]
    fn what_is_announced_and_not_told_is_read_from_the_stream() {
        let mut heard = relying();
        heard.announced(21, 30..=31, NOW);
        heard.announced(22, 31..=32, NOW * 2);
        assert_eq!((heard.through, heard.due()), (20, Some(NOW + PATIENCE)));
        heard.applied(&(31..=31));
        assert_eq!((heard.through, heard.due()), (21, Some(NOW * 2 + PATIENCE)));
        // What comes behind it does not make up for it.
        heard.announced(23, 30..=30, NOW * 3);
        assert_eq!(heard.through, 21);
        assert!(heard.lost(NOW * 3));
        assert_eq!((heard.through, heard.due(), heard.by_fold()), (21, None, false));
        heard.applied(&(32..=40));
        assert!(!heard.has_told(&(31..=40)));
        // Nor does a header that comes before the stream is read again hide what was awaited.
        heard.announced(23, 32..=33, NOW * 3);
        assert_eq!((heard.through, heard.opened()), (21, 22));
        // Nor is it relied on again at once.
        for (sequence, now) in (22..).zip([NOW * 3; 9].into_iter().chain([NOW * 3 + DISTRUST; 4])) {
            assert!(!heard.by_fold());
            heard.applied(&(40 + sequence..=40 + sequence));
            heard.read(sequence, &(39 + sequence..=40 + sequence), now);
        }
        assert!(heard.by_fold());
    }
}

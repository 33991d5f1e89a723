//! Hearing: how a door finds out what its commands came to.
//!
//! The outcome stream tells it of every shard, wherever that is led. Where this process leads the shard, its fold tells it sooner, right
//! after it has applied a message: the log decides, and the message was stored before it was applied. Once the fold was ahead of the stream
//! for a while, the stream is not read any more: the shard says itself how far it has announced. Where the fold leads no more or missed
//! something, or where something waits and the stream has gone on without the shard, the stream is read again, from the first append that
//! was not heard.

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
use crate::motion::live::ports::{Announcement, Room, Seen};
use crate::motion::live::status::Status;
use crate::words::append::StoredAppend;
use crate::words::codec::DecidedReplies;
use crate::words::identity::Identity;

/// What a fold has told that the door has not looked at yet, in batches; what is beyond is read from the stream.
const BATCHES_MAX: usize = 64;
/// Where the fold was first with so many appends in a row, the outcomes themselves are not read any more.
const FIRSTS_MIN: u32 = 4;
/// Once something has waited this long, the stream is asked how far it goes. What the shard has not announced this long after that is
/// taken for another worker's.
const PATIENCE: Duration = Duration::from_millis(100);
/// The longest pause between two such questions.
const PAUSE_MAX: Duration = Duration::from_secs(1);
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
    /// The stream goes up to this append, which the shard has yet to announce, and since when that is known.
    awaited: Option<(u64, Duration)>,
}

impl Heard {
    fn has_told(&self, span: &RangeInclusive<u64>) -> bool {
        self.told.is_some_and(|(first, last)| first <= *span.start() && *span.end() <= last)
    }

    /// The fold tells of messages.
    fn applied(&mut self, span: &RangeInclusive<u64>) {
        self.told = Some((self.told.map_or(*span.start(), |(first, _)| first), *span.end()));
    }

    /// The shard has announced all up to this message, which the stream held with this sequence.
    fn announced(&mut self, stream_last: u64, through: u64) {
        // Otherwise something before it may be missing.
        if self.by_fold() && self.told.is_some_and(|(_, last)| through <= last) {
            // This may go back: the port may lag behind what was read, or the stream may have lost its end. Then some is read twice.
            self.through = stream_last;
            self.awaited = self.awaited.filter(|(awaited, _)| *awaited > stream_last);
        }
    }

    /// What the fold tells from here on does not follow what it told before; says whether anything changes by that.
    fn lost(&mut self, now: Duration) -> bool {
        let relied = self.by_fold();
        (self.told, self.firsts) = (None, 0);
        self.distrusted_until = now + DISTRUST;
        self.awaited = None;
        relied
    }

    /// The stream is read from behind what is heard.
    fn opened(&mut self) -> u64 {
        self.awaited = None;
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

    /// The stream ends with this sequence while something waits. Says whether that is another's doing.
    fn ends(&mut self, end: u64, now: Duration) -> bool {
        if self.through == end {
            self.awaited = None;
            return false;
        }
        let (_, since) = *self.awaited.get_or_insert((end, now));
        let by_another = now.saturating_sub(since) >= PATIENCE;
        if by_another {
            self.lost(now);
            // The stream may have lost its end.
            self.through = self.through.min(end);
        }
        by_another
    }

    /// Whether the fold is relied on, so that the stream is not read.
    fn by_fold(&self) -> bool {
        self.firsts >= FIRSTS_MIN
    }
}

/// Hears a shard's outcomes for a door.
pub(super) struct Hearer<S> {
    runner: Runner<S>,
    heard: Arc<Mutex<Heard>>,
    /// Told when what listens to the fold relies on it no more.
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
        loop {
            let seen = match tokio::time::timeout(PATIENCE, observed.next()).await {
                Ok(Some(seen)) => seen,
                Ok(None) => break,
                // A shard that has left this worker says nothing.
                Err(_) if status.leads() => continue,
                Err(_) => {
                    self.lost();
                    continue;
                }
            };
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
                Seen::Announced(Announcement { stream_last, through, .. }) => {
                    self.heard().announced(stream_last, through.sequence);
                }
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
            if self.heard().by_fold() {
                self.rely(complained).await?;
                continue;
            }
            let from = self.heard().opened();
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
            self.read_from(reader, from, complained, read).await?;
        }
    }

    /// Leaves the stream alone for as long as the fold is relied on.
    async fn rely(&self, complained: &mut bool) -> Result<(), ReadError> {
        let Runner { streams, shard, .. } = &self.runner;
        shard.reading.send_replace(true);
        let mut pause = PATIENCE;
        while self.heard().by_fold() {
            let asked = async {
                tokio::time::sleep(pause).await;
                let (waits, _) = shard.lags(self.now());
                // A shard that decides nothing at all is not asked about all the time.
                pause = (waits / 4).clamp(PATIENCE, PAUSE_MAX);
                if waits < PATIENCE {
                    return Ok::<_, ReadError>(None);
                }
                Ok(Some(streams.outcomes_state().await?.last_sequence))
            };
            let end = tokio::select! {
                () = self.changed.notified() => continue,
                end = asked => end?,
            };
            let now = self.now();
            if let Some(end) = end {
                *complained = false;
                self.heard().ends(end, now);
            } else {
                self.heard().awaited = None;
            }
        }
        Ok(())
    }

    /// Reads the stream from `from` on, until the fold is relied on. `take` takes what is read, and says which append it was, and how far
    /// that goes.
    async fn read_from<T>(
        &self,
        mut reader: impl Reader<T>,
        from: u64,
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
            if self.heard().by_fold() {
                return Ok(());
            }
            let read = tokio::select! {
                biased;
                read = reader.next() => read?,
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
    fn what_the_shard_announces_itself_is_heard_as_far_as_it_was_told() {
        let mut heard = relying();
        // What it announces before it has told it: the stream would have to be read for it.
        heard.announced(21, 31);
        assert_eq!(heard.through, 20);
        heard.applied(&(31..=31));
        heard.announced(22, 31);
        assert_eq!(heard.through, 22);
        // The stream has lost its end.
        heard.announced(21, 31);
        assert_eq!(heard.through, 21);
        heard.announced(22, 31);
        // What is told after a gap does not make up for it.
        assert!(heard.lost(NOW));
        heard.applied(&(33..=40));
        heard.announced(23, 40);
        assert_eq!((heard.through, heard.opened(), heard.by_fold()), (22, 23, false));
        assert!(!heard.has_told(&(31..=40)));
        // Nor is the fold relied on again at once.
        for (sequence, now) in (23..).zip([NOW; 9].into_iter().chain([NOW + DISTRUST; 4])) {
            assert!(!heard.by_fold());
            heard.applied(&(40 + sequence..=40 + sequence));
            heard.read(sequence, &(39 + sequence..=40 + sequence), now);
        }
        assert!(heard.by_fold());
    }

    #[test]
    fn a_stream_that_goes_on_without_the_shard_is_read() {
        let mut heard = relying();
        assert!(!heard.ends(20, NOW));
        assert!(!heard.ends(22, NOW));
        // The shard comes to it: what it has yet to announce is another append.
        heard.applied(&(31..=40));
        heard.announced(22, 40);
        assert!(!heard.ends(25, NOW + PATIENCE));
        heard.announced(24, 40);
        assert!(!heard.ends(26, NOW + PATIENCE + PATIENCE / 2));
        assert!(heard.ends(26, NOW + PATIENCE * 2));
        assert_eq!((heard.through, heard.opened(), heard.awaited, heard.by_fold()), (24, 25, None, false));
    }

    #[test]
    fn a_stream_that_has_lost_its_end_is_read_from_there() {
        let mut heard = relying();
        assert!(!heard.ends(17, NOW));
        // An answer from the past is none.
        assert!(!heard.ends(20, NOW + PATIENCE));
        assert!(!heard.ends(17, NOW + PATIENCE * 2));
        assert!(heard.ends(18, NOW + PATIENCE * 3));
        assert_eq!((heard.opened(), heard.by_fold()), (19, false));
    }
}

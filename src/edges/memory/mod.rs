//! The streams of one shard in memory, and tables and objects beside them: for `weir demo`, for tests and for the
//! simulator.
//!
//! They keep the contracts of [`super::streams`], [`super::keys`] and [`super::objects`], and are as unforgiving as the
//! real ones: limited in bytes, fenced, and stamped by a clock that is handed in. Nothing survives the process, nothing
//! ever fails to answer.

mod keys;
mod objects;
mod requests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Edges, ShardEdges};
use crate::edges::clock::SharedClock;
use crate::edges::streams::{
    AppendError, ClosableLog, Headers, LogReader, READ_BYTES_MAX, READ_MESSAGES_MAX, ReadError, Reader,
    StoredMessage, StreamState, Streams,
};
use crate::words::append::{Append, DeadLetter, Headline, StoredAppend, StoredLetter};
use crate::words::codec::Format;
use crate::words::message::{LogMessage, Way};
use crate::words::signal::SignalLetter;

pub use self::keys::MemoryKeys;
pub use self::objects::{MemoryObjectReader, MemoryObjects};
pub use self::requests::{MemoryAsker, MemoryReplies, MemoryRequests, Replied};

/// What a message counts beside its payload, in bytes: about what it costs in memory and in a header.
const MESSAGE_OVERHEAD_BYTES: u64 = 128;

/// The size at which snapshots are refused, in bytes, where nobody says otherwise.
const SNAPSHOTS_BYTES_MAX: u64 = 8 << 30;

/// The size at which the dead letters lose their oldest, in bytes.
const DEAD_LETTERS_BYTES_MAX: u64 = 64 << 20;

/// How many signals are kept.
const SIGNALS_MAX: usize = 1_024;

/// How large the streams may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// The size at which the log takes no more, in bytes.
    pub log_bytes_max: u64,
    /// The size at which the outcomes take no more, in bytes.
    pub outcomes_bytes_max: u64,
    /// The largest payload of a message, in bytes.
    pub payload_bytes_max: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { log_bytes_max: 1 << 30, outcomes_bytes_max: 1 << 30, payload_bytes_max: 1 << 20 }
    }
}

/// What a stream keeps.
trait Stored: Clone + Send + 'static {
    fn sequence(&self) -> u64;
    fn payload_len(&self) -> usize;

    fn bytes(&self) -> u64 {
        self.payload_len() as u64 + MESSAGE_OVERHEAD_BYTES
    }
}

impl Stored for StoredMessage {
    fn sequence(&self) -> u64 {
        self.message.sequence
    }

    fn payload_len(&self) -> usize {
        self.message.payload.len()
    }
}

/// An append of outcomes, and when it was stored, in nanoseconds since 1970.
#[derive(Clone)]
struct TimedAppend {
    stored: StoredAppend,
    stored_at_ns: i64,
}

impl Stored for TimedAppend {
    fn sequence(&self) -> u64 {
        self.stored.sequence
    }

    fn payload_len(&self) -> usize {
        self.stored.append.payload.len()
    }
}

impl Stored for StoredLetter {
    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn payload_len(&self) -> usize {
        self.letter.bytes.len()
    }
}

/// One stream. Its sequences are contiguous, so that a message's place follows from its sequence.
struct Stream<T> {
    kept: VecDeque<T>,
    state: StreamState,
    /// Wakes readers, in the order in which they began to wait.
    appended: Arc<Notify>,
}

impl<T: Stored> Stream<T> {
    fn new(bytes_max: u64) -> Self {
        let state = StreamState { first_sequence: 1, last_sequence: 0, bytes: 0, bytes_max };
        Self { kept: VecDeque::new(), state, appended: Arc::default() }
    }

    fn next_sequence(&self) -> u64 {
        self.state.last_sequence + 1
    }

    fn append(&mut self, message: T) -> Result<u64, AppendError> {
        let bytes = self.state.bytes + message.bytes();
        if bytes > self.state.bytes_max {
            return Err(AppendError::Full);
        }
        self.state.bytes = bytes;
        self.state.last_sequence = message.sequence();
        self.kept.push_back(message);
        self.appended.notify_waiters();
        Ok(self.state.last_sequence)
    }

    /// The messages from `from` on, or from the first that is still there.
    fn from(&self, from: u64) -> impl Iterator<Item = &T> {
        let skip = usize::try_from(from.saturating_sub(self.state.first_sequence)).unwrap_or(usize::MAX);
        self.kept.iter().skip(skip)
    }

    /// What a reader at `from` gives at once.
    fn read(&self, from: u64) -> Vec<T> {
        let mut bytes = 0;
        let in_bounds = |message: &&T| {
            let room = bytes < READ_BYTES_MAX;
            bytes += message.payload_len();
            room
        };
        self.from(from).take(READ_MESSAGES_MAX).take_while(in_bounds).cloned().collect()
    }

    /// Drops the oldest messages, until `bytes` are free.
    fn drop_oldest(&mut self, bytes: u64) {
        let bytes_max = self.state.bytes.saturating_sub(bytes);
        while self.state.bytes > bytes_max && !self.kept.is_empty() {
            self.trim(self.state.first_sequence, 0);
        }
    }

    /// Drops the messages up to `through`, but keeps the newest `keep`.
    fn trim(&mut self, through: u64, keep: usize) {
        while self.kept.len() > keep && self.state.first_sequence <= through {
            let Some(dropped) = self.kept.pop_front() else { break };
            self.state.bytes -= dropped.bytes();
            self.state.first_sequence += 1;
        }
    }
}

struct State {
    log: Stream<StoredMessage>,
    log_is_closed: bool,
    last_stored_at_ns: i64,
    outcomes: Stream<TimedAppend>,
    dead_letters: Stream<StoredLetter>,
    /// The newest signals; a repeat of one that is here is left out.
    signals: VecDeque<SignalLetter>,
}

struct Shared {
    clock: SharedClock,
    payload_bytes_max: usize,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way; what another thread's panic left is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The streams of one shard in memory. Clones share them.
#[derive(Clone)]
pub struct MemoryStreams {
    shared: Arc<Shared>,
}

impl MemoryStreams {
    /// Empty streams, whose log is stamped by `clock`.
    #[must_use]
    pub fn new(clock: SharedClock, limits: MemoryLimits) -> Self {
        let MemoryLimits { log_bytes_max, outcomes_bytes_max, payload_bytes_max } = limits;
        let state = State {
            log: Stream::new(log_bytes_max),
            log_is_closed: false,
            last_stored_at_ns: i64::MIN,
            outcomes: Stream::new(outcomes_bytes_max),
            dead_letters: Stream::new(DEAD_LETTERS_BYTES_MAX),
            signals: VecDeque::new(),
        };
        Self { shared: Arc::new(Shared { clock, payload_bytes_max, state: Mutex::new(state) }) }
    }

    /// Drops the appends of outcomes up to and including sequence `through`, but never the last one.
    pub fn trim_outcomes(&self, through: u64) {
        self.shared.state().outcomes.trim(through, 1);
    }

    /// The signals, oldest first.
    #[must_use]
    pub fn signals(&self) -> Vec<SignalLetter> {
        self.shared.state().signals.iter().cloned().collect()
    }

    fn check_size(&self, payload: &Bytes) -> Result<(), AppendError> {
        if payload.len() > self.shared.payload_bytes_max { Err(AppendError::TooLarge) } else { Ok(()) }
    }

    fn append_to_log(
        &self,
        state: &mut State,
        way: Way,
        format: Option<Format>,
        headers: Headers,
        payload: Bytes,
    ) -> Result<u64, AppendError> {
        let sequence = state.log.next_sequence();
        let stored_at_ns = self.shared.clock.wall_ns().max(state.last_stored_at_ns.saturating_add(1));
        let message = LogMessage { sequence, stored_at_ns, way, format, payload };
        let appended = state.log.append(StoredMessage { message, headers })?;
        state.last_stored_at_ns = stored_at_ns;
        Ok(appended)
    }

    fn reader<T: Stored>(&self, from: u64, stream: fn(&State) -> &Stream<T>) -> MemoryReader<T> {
        let appended = stream(&self.shared.state()).appended.clone();
        MemoryReader { shared: Arc::clone(&self.shared), stream, appended, from }
    }
}

impl Streams for MemoryStreams {
    type LogReader = MemoryLog;
    type OutcomeReader = MemoryOutcomes;
    type HeadlineReader = MemoryHeadlines;

    fn payload_bytes_max(&self) -> usize {
        self.shared.payload_bytes_max
    }

    async fn log_state(&self) -> Result<StreamState, ReadError> {
        Ok(self.shared.state().log.state)
    }

    async fn now_ns(&self) -> Result<Option<i64>, ReadError> {
        Ok(Some(self.shared.clock.wall_ns()))
    }

    async fn log_message(&self, sequence: u64) -> Result<Option<LogMessage>, ReadError> {
        let state = self.shared.state();
        let found = state.log.from(sequence).next().filter(|stored| stored.message.sequence == sequence);
        Ok(found.map(|stored| stored.message.clone()))
    }

    async fn read_log(&self, from: u64) -> Result<Self::LogReader, ReadError> {
        Ok(MemoryLog(self.reader(from, |state| &state.log)))
    }

    async fn append_log(&self, format: Format, payload: Bytes) -> Result<u64, AppendError> {
        self.append_log_by(Way::Any, format, &Headers::default(), payload).await
    }

    async fn append_log_by(
        &self,
        way: Way,
        format: Format,
        headers: &Headers,
        payload: Bytes,
    ) -> Result<u64, AppendError> {
        if way == Way::Other {
            return Err(AppendError::Missing("of that subject".to_owned()));
        }
        self.check_size(&payload)?;
        let mut state = self.shared.state();
        if state.log_is_closed {
            return Err(AppendError::Unavailable("the log is closed".to_owned()));
        }
        self.append_to_log(&mut state, way, Some(format), headers.clone(), payload)
    }

    async fn trim_log(&self, through: u64) -> Result<(), AppendError> {
        self.shared.state().log.trim(through, 0);
        Ok(())
    }

    async fn outcomes_state(&self) -> Result<StreamState, ReadError> {
        Ok(self.shared.state().outcomes.state)
    }

    async fn last_outcomes(&self) -> Result<Option<StoredAppend>, ReadError> {
        Ok(self.shared.state().outcomes.kept.back().map(|timed| timed.stored.clone()))
    }

    async fn read_outcomes(&self, from: u64) -> Result<Self::OutcomeReader, ReadError> {
        Ok(MemoryOutcomes(self.reader(from, |state| &state.outcomes)))
    }

    async fn read_headlines(&self, from: u64) -> Result<Self::HeadlineReader, ReadError> {
        Ok(MemoryHeadlines(self.reader(from, |state| &state.outcomes)))
    }

    async fn append_outcomes(&self, append: Append, expected_last: u64) -> Result<u64, AppendError> {
        self.check_size(&append.payload)?;
        let mut state = self.shared.state();
        if state.outcomes.state.last_sequence != expected_last {
            return Err(AppendError::Conflict);
        }
        let sequence = state.outcomes.next_sequence();
        let stored_at_ns = self.shared.clock.wall_ns();
        state.outcomes.append(TimedAppend { stored: StoredAppend { sequence, append }, stored_at_ns })
    }

    async fn append_dead_letter(&self, letter: DeadLetter) -> Result<(), AppendError> {
        let mut state = self.shared.state();
        let (sequence, bytes_all) = (state.dead_letters.next_sequence(), letter.bytes.len() as u64);
        let stored_at_ns = self.shared.clock.wall_ns();
        let letter = StoredLetter { sequence, stored_at_ns, letter, bytes_all };
        let over = (state.dead_letters.state.bytes + letter.bytes()).saturating_sub(DEAD_LETTERS_BYTES_MAX);
        state.dead_letters.drop_oldest(over);
        state.dead_letters.append(letter).map(|_| ())
    }

    async fn append_signal(&self, signal: SignalLetter) -> Result<(), AppendError> {
        self.check_size(&signal.payload)?;
        let signals = &mut self.shared.state().signals;
        if signals.iter().any(|known| known.id == signal.id) {
            return Ok(());
        }
        if signals.len() == SIGNALS_MAX {
            signals.pop_front();
        }
        signals.push_back(signal);
        Ok(())
    }

    async fn dead_letters(&self, from: u64) -> Result<Vec<StoredLetter>, ReadError> {
        Ok(self.shared.state().dead_letters.read(from))
    }
}

impl ClosableLog for MemoryStreams {
    async fn close_log(&self) -> Result<(), AppendError> {
        self.shared.state().log_is_closed = true;
        Ok(())
    }

    async fn open_log(&self) -> Result<(), AppendError> {
        self.shared.state().log_is_closed = false;
        Ok(())
    }

    async fn append_closed(
        &self,
        way: Way,
        format: Option<Format>,
        payload: Bytes,
        expected_last: u64,
    ) -> Result<u64, AppendError> {
        self.check_size(&payload)?;
        let mut state = self.shared.state();
        if state.log.state.last_sequence != expected_last {
            return Err(AppendError::Conflict);
        }
        self.append_to_log(&mut state, way, format, Headers::default(), payload)
    }
}

/// Reads a stream in memory onwards.
struct MemoryReader<T> {
    shared: Arc<Shared>,
    stream: fn(&State) -> &Stream<T>,
    appended: Arc<Notify>,
    from: u64,
}

impl<T: Stored> MemoryReader<T> {
    fn take(&mut self) -> Vec<T> {
        let taken = (self.stream)(&self.shared.state()).read(self.from);
        if let Some(last) = taken.last() {
            self.from = last.sequence() + 1;
        }
        taken
    }
}

impl<T: Stored> Reader<T> for MemoryReader<T> {
    async fn next(&mut self) -> Result<Vec<T>, ReadError> {
        loop {
            let notify = self.appended.clone();
            let mut appended = std::pin::pin!(notify.notified());
            // Before the look, so that what comes in between wakes this up again.
            appended.as_mut().enable();
            let taken = self.take();
            if !taken.is_empty() {
                return Ok(taken);
            }
            appended.await;
        }
    }
}

/// Reads a log in memory onwards.
pub struct MemoryLog(MemoryReader<StoredMessage>);

impl Reader<LogMessage> for MemoryLog {
    async fn next(&mut self) -> Result<Vec<LogMessage>, ReadError> {
        Ok(self.0.next().await?.into_iter().map(|stored| stored.message).collect())
    }
}

impl LogReader for MemoryLog {
    async fn next_stored(&mut self) -> Result<Vec<StoredMessage>, ReadError> {
        self.0.next().await
    }
}

/// Reads outcomes in memory onwards.
pub struct MemoryOutcomes(MemoryReader<TimedAppend>);

impl Reader<StoredAppend> for MemoryOutcomes {
    async fn next(&mut self) -> Result<Vec<StoredAppend>, ReadError> {
        Ok(self.0.next().await?.into_iter().map(|timed| timed.stored).collect())
    }
}

/// Reads the headlines of outcomes in memory onwards.
pub struct MemoryHeadlines(MemoryReader<TimedAppend>);

impl Reader<Headline> for MemoryHeadlines {
    async fn next(&mut self) -> Result<Vec<Headline>, ReadError> {
        let stored = self.0.next().await?;
        Ok(stored
            .into_iter()
            .map(|TimedAppend { stored: StoredAppend { sequence, append }, stored_at_ns }| Headline {
                sequence,
                header: append.header,
                payload_bytes: append.payload.len(),
                stored_at_ns,
            })
            .collect())
    }
}

/// All edges in memory.
#[derive(Clone, Copy, Debug)]
pub enum InMemory {}

impl Edges for InMemory {
    type Streams = MemoryStreams;
    type Keys = MemoryKeys;
    type Objects = MemoryObjects;
}

impl ShardEdges<InMemory> {
    /// The edges of a shard that has its streams, pointers and snapshots to itself.
    #[must_use]
    pub fn in_memory(streams: MemoryStreams) -> Self {
        Self { streams, pointers: MemoryKeys::default(), objects: MemoryObjects::new(SNAPSHOTS_BYTES_MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edges::clock::Clock;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn wall_ns(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[tokio::test]
    async fn timestamps_ascend_though_the_clock_goes_back() {
        let clock = Arc::new(Hand(AtomicI64::new(100)));
        let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
        for _ in 0..2 {
            streams.append_log(Format::Json, Bytes::new()).await.unwrap();
        }
        clock.0.store(50, Ordering::Relaxed);
        streams.append_log(Format::Json, Bytes::new()).await.unwrap();
        clock.0.store(1_000, Ordering::Relaxed);
        streams.append_log(Format::Json, Bytes::new()).await.unwrap();
        let read = streams.read_log(1).await.unwrap().next().await.unwrap();
        let stamps: Vec<i64> = read.iter().map(|message| message.stored_at_ns).collect();
        assert_eq!(stamps, [100, 101, 102, 1_000]);
    }

    #[tokio::test]
    async fn trimming_keeps_the_last_outcomes_and_makes_room_in_the_log() {
        let limits = MemoryLimits { log_bytes_max: 3 * MESSAGE_OVERHEAD_BYTES, ..MemoryLimits::default() };
        let streams = MemoryStreams::new(crate::edges::clock::SystemClock::shared(), limits);
        for sequence in 1..=3 {
            assert_eq!(streams.append_log(Format::Json, Bytes::new()).await, Ok(sequence));
        }
        assert_eq!(streams.append_log(Format::Json, Bytes::new()).await, Err(AppendError::Full));
        streams.trim_log(2).await.unwrap();
        assert_eq!(streams.append_log(Format::Json, Bytes::new()).await, Ok(4));
        assert_eq!(streams.log_message(2).await, Ok(None));
        assert_eq!(streams.log_message(3).await.unwrap().unwrap().sequence, 3);
        let read = streams.read_log(1).await.unwrap().next().await.unwrap();
        assert_eq!(read.iter().map(|message| message.sequence).collect::<Vec<_>>(), [3, 4]);
        streams.trim_log(u64::MAX).await.unwrap();
        let state = streams.log_state().await.unwrap();
        assert_eq!((state.first_sequence, state.last_sequence, state.bytes), (5, 4, 0));
    }
}

//! The streams of one shard: its log, its outcomes, its dead letters.
//!
//! One trait with two sides, [`super::memory`] and [`super::jetstream`], under one contract suite
//! (`tests/live/contract.rs`). What the contract says:
//!
//! - A sequence that was returned by an append is stored; an append that failed with [`AppendError::TimedOut`] may
//!   have been stored all the same.
//! - Readers give every message from where they were opened on, in order. They do not promise that sequences are
//!   contiguous: the fold checks that.
//! - An append of outcomes is stored only if the stream's last sequence is the expected one: the fence.
//! - A full log refuses with [`AppendError::Full`]: nothing of it is dropped to make room. Outcomes and dead letters
//!   at their limit either refuse likewise or lose their oldest; the last append of outcomes is always kept.
//! - A message has the same timestamp, format and payload whether it was read or fetched by its sequence.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::words::append::{Append, DeadLetter, Headline, StoredAppend, StoredLetter};
use crate::words::codec::Format;
use crate::words::message::{LogMessage, Way};
use crate::words::signal::SignalLetter;

/// What a stream says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// The sequence of the first message that it holds; one more than `last_sequence` when it is empty.
    pub first_sequence: u64,
    /// The sequence of the last message that it ever stored; 0 before the first.
    pub last_sequence: u64,
    /// How many bytes it holds.
    pub bytes: u64,
    /// How many bytes it may hold; 0 where there is no limit.
    pub bytes_max: u64,
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The broker cannot be reached, or does not answer in time. It may later.
    #[error("the broker does not answer: {0}")]
    Unavailable(String),
    /// The stream does not exist.
    #[error("stream {0} does not exist: run `weir setup`")]
    Missing(String),
    /// What was read is not what Weir writes.
    #[error("unreadable: {0}")]
    Unreadable(String),
}

/// Why an append was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The stream's last sequence was not the expected one: somebody else wrote. It was not stored.
    #[error("the stream's last sequence is not the expected one")]
    Conflict,
    /// The stream is at its limit. It was not stored.
    #[error("the stream is full")]
    Full,
    /// The message is larger than the broker takes. It was not stored.
    #[error("the message is larger than the broker takes")]
    TooLarge,
    /// The stream does not exist. It was not stored.
    #[error("stream {0} does not exist, or no server that holds it answers: run `weir setup`")]
    Missing(String),
    /// No answer came in time. It may have been stored.
    #[error("no acknowledgement came in time")]
    TimedOut,
    /// The broker refused it or cannot be reached. It was not stored, as far as is known.
    #[error("the broker does not take it: {0}")]
    Unavailable(String),
}

/// The streams of one shard. Clones share the connection.
pub trait Streams: Clone + Send + Sync + 'static {
    /// Reads the log onwards.
    type LogReader: LogReader;
    /// Reads the outcomes onwards.
    type OutcomeReader: Reader<StoredAppend>;
    /// Reads the headlines of the outcomes onwards.
    type HeadlineReader: Reader<Headline>;

    /// The same streams, over connections at which nothing that decides waits: for whoever reads much of them at once.
    #[must_use]
    fn beside(&self) -> Self {
        self.clone()
    }

    /// The largest payload, in bytes, that an append may have, headers included.
    fn payload_bytes_max(&self) -> usize;

    /// The log's state.
    fn log_state(&self) -> impl Future<Output = Result<StreamState, ReadError>> + Send;

    /// The broker's own time, in nanoseconds since 1970; none where it does not say.
    fn now_ns(&self) -> impl Future<Output = Result<Option<i64>, ReadError>> + Send {
        async { Ok(None) }
    }

    /// The log message at `sequence`; none where the stream holds none.
    fn log_message(
        &self,
        sequence: u64,
    ) -> impl Future<Output = Result<Option<LogMessage>, ReadError>> + Send;

    /// Opens the log at `from` (a sequence, from 1). Messages before the first that the stream still holds are
    /// not waited for.
    fn read_log(&self, from: u64) -> impl Future<Output = Result<Self::LogReader, ReadError>> + Send;

    /// Appends commands to the log and gives their message's sequence.
    fn append_log(
        &self,
        format: Format,
        payload: Bytes,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send;

    /// The same by one of the shard's subjects (what is no shard's is refused as [`AppendError::Missing`]), with headers of Weir's own
    /// beside the payload, which [`LogReader::next_stored`] gives back.
    fn append_log_by(
        &self,
        way: Way,
        format: Format,
        headers: &Headers,
        payload: Bytes,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send;

    /// Drops the log's messages up to and including sequence `through`, or all that there are where that lies beyond the
    /// last one; sequences go on as if they were still there. After a time-out it may have been done: doing it again does
    /// no harm.
    fn trim_log(&self, through: u64) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// The outcome stream's state.
    fn outcomes_state(&self) -> impl Future<Output = Result<StreamState, ReadError>> + Send;

    /// When the oldest append that the outcome stream holds was stored, in nanoseconds since 1970; none where it holds none, or does not
    /// say.
    fn outcomes_since_ns(&self) -> impl Future<Output = Result<Option<i64>, ReadError>> + Send {
        async { Ok(None) }
    }

    /// The settings of the log and the outcome stream under which they would lose data, in words: somebody changed them since they were
    /// made.
    fn unsafe_settings(&self) -> impl Future<Output = Result<Vec<String>, ReadError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// The last append of the outcome stream; none where it holds none. What somebody else put there, and is no append, is passed
    /// over.
    fn last_outcomes(&self) -> impl Future<Output = Result<Option<StoredAppend>, ReadError>> + Send;

    /// The end of the outcome stream: the sequence of its last message and its last append, which may stand before that, both as they
    /// were at one moment. Whoever appends behind that sequence appends behind all that it knows of: a newer sequence beside an
    /// older append would let outcomes pass the fence that are announced already.
    fn outcomes_end(&self) -> impl Future<Output = Result<(u64, Option<StoredAppend>), ReadError>> + Send {
        async {
            let state = self.outcomes_state().await?;
            match self.last_outcomes().await? {
                Some(last) => Ok((last.sequence, Some(last))),
                None if state.first_sequence > state.last_sequence => Ok((state.last_sequence, None)),
                None => {
                    Err(ReadError::Unavailable("the outcome stream holds appends, and gives none".to_owned()))
                }
            }
        }
    }

    /// Opens the outcomes at `from` (a sequence of the outcome stream, from 1).
    fn read_outcomes(&self, from: u64)
    -> impl Future<Output = Result<Self::OutcomeReader, ReadError>> + Send;

    /// The same for whoever only wants to know how far they are: without the outcomes themselves. What is no append is passed over,
    /// and counted.
    fn read_headlines(
        &self,
        from: u64,
    ) -> impl Future<Output = Result<Self::HeadlineReader, ReadError>> + Send;

    /// Appends outcomes if the outcome stream's last sequence is `expected_last`, and gives the new one.
    fn append_outcomes(
        &self,
        append: Append,
        expected_last: u64,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send;

    /// Appends a dead letter.
    fn append_dead_letter(&self, letter: DeadLetter) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Appends a signal, best effort: one whose id the stream knows still is stored once.
    fn append_signal(&self, signal: SignalLetter) -> impl Future<Output = Result<(), AppendError>> + Send {
        async move {
            drop(signal);
            Err(AppendError::Unavailable("these streams take no signals".to_owned()))
        }
    }

    /// The shard's dead letters from `from` on (a sequence of their stream, which other shards share), oldest first: about
    /// as many as [`Reader::next`] gives at once, and none where there are no more.
    fn dead_letters(&self, from: u64) -> impl Future<Output = Result<Vec<StoredLetter>, ReadError>> + Send;
}

/// The header of a door's appends: which door, and the number of the append. It tells an append that was not acknowledged, and that a door
/// measures how long its commands take.
pub const APPEND_HEADER: &str = "Weir-Append";

/// What a sender said beside a payload, as it was stored: only headers whose names begin with `Weir-`, in any case, at most
/// [`HEADERS_MAX`] of them. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Option<Arc<[(String, String)]>>);

impl Headers {
    /// From names and values; what is too much is left out.
    #[must_use]
    pub fn new(headers: impl IntoIterator<Item = (String, String)>) -> Self {
        let headers: Arc<[_]> = headers.into_iter().take(HEADERS_MAX).collect();
        Self((!headers.is_empty()).then_some(headers))
    }

    /// The first value of a name, whose case does not matter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All of them, in the order in which they were sent as far as the broker's client keeps it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|all| all.iter()).map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A message of the log with what its sender said beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The message.
    pub message: LogMessage,
    /// Its headers.
    pub headers: Headers,
}

impl From<LogMessage> for StoredMessage {
    fn from(message: LogMessage) -> Self {
        Self { message, headers: Headers::default() }
    }
}

/// A log that can be closed, while a new epoch of it is begun: everybody else's appends are refused meanwhile.
pub trait ClosableLog: Streams {
    /// Closes the log. Nothing else is appended once this has ended. After a time-out it may have been done: doing it again does
    /// no harm.
    fn close_log(&self) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Opens it again; likewise.
    fn open_log(&self) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Appends to the closed log if its last sequence is `expected_last`, and gives the new one. A format that is not known
    /// stays one that is not known.
    fn append_closed(
        &self,
        way: Way,
        format: Option<Format>,
        payload: Bytes,
        expected_last: u64,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send;
}

/// Reads a stream onwards, for ever.
pub trait Reader<T>: Send + 'static {
    /// The messages that have come since the last call, in order: waits for the first, then takes what is ready, at most
    /// [`READ_MESSAGES_MAX`] of them and no more after [`READ_BYTES_MAX`]. May be cancelled without losing any. After
    /// an error the reader is of no further use: open another from where this one got to.
    fn next(&mut self) -> impl Future<Output = Result<Vec<T>, ReadError>> + Send;
}

/// Reads a log onwards.
pub trait LogReader: Reader<LogMessage> {
    /// As [`Reader::next`], with the messages' headers where the stream keeps them.
    fn next_stored(&mut self) -> impl Future<Output = Result<Vec<StoredMessage>, ReadError>> + Send {
        async { Ok(self.next().await?.into_iter().map(StoredMessage::from).collect()) }
    }
}

/// The most headers of a message that are kept.
pub const HEADERS_MAX: usize = 1_024;

/// The most messages that [`Reader::next`] gives at once.
pub const READ_MESSAGES_MAX: usize = 256;

/// How many bytes of payload [`Reader::next`] gathers before it stops taking more.
pub const READ_BYTES_MAX: usize = 8 << 20;

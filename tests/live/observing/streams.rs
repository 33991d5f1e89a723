//! Streams in memory whose appends can be made to land without ever being acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use weir::edges::memory::MemoryStreams;
use weir::edges::streams::{AppendError, Headers, ReadError, StreamState, Streams};
use weir::words::append::{Append, DeadLetter, StoredAppend, StoredLetter};
use weir::words::codec::Format;
use weir::words::message::{LogMessage, Way};
use weir::words::signal::SignalLetter;

/// Whether the next append of outcomes lands, and nothing more is heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Halts(Arc<AtomicBool>);

impl Halts {
    pub(super) fn halt(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[derive(Clone)]
pub(super) struct Halting {
    pub(super) inner: MemoryStreams,
    pub(super) halts: Halts,
}

impl Streams for Halting {
    type LogReader = <MemoryStreams as Streams>::LogReader;
    type OutcomeReader = <MemoryStreams as Streams>::OutcomeReader;
    type HeadlineReader = <MemoryStreams as Streams>::HeadlineReader;

    fn payload_bytes_max(&self) -> usize {
        self.inner.payload_bytes_max()
    }

    async fn log_state(&self) -> Result<StreamState, ReadError> {
        self.inner.log_state().await
    }

    async fn log_message(&self, sequence: u64) -> Result<Option<LogMessage>, ReadError> {
        self.inner.log_message(sequence).await
    }

    async fn read_log(&self, from: u64) -> Result<Self::LogReader, ReadError> {
        self.inner.read_log(from).await
    }

    async fn append_log(&self, format: Format, payload: Bytes) -> Result<u64, AppendError> {
        self.inner.append_log(format, payload).await
    }

    async fn append_log_by(
        &self,
        way: Way,
        format: Format,
        headers: &Headers,
        payload: Bytes,
    ) -> Result<u64, AppendError> {
        self.inner.append_log_by(way, format, headers, payload).await
    }

    async fn trim_log(&self, through: u64) -> Result<(), AppendError> {
        self.inner.trim_log(through).await
    }

    async fn outcomes_state(&self) -> Result<StreamState, ReadError> {
        self.inner.outcomes_state().await
    }

    async fn last_outcomes(&self) -> Result<Option<StoredAppend>, ReadError> {
        self.inner.last_outcomes().await
    }

    async fn read_outcomes(&self, from: u64) -> Result<Self::OutcomeReader, ReadError> {
        self.inner.read_outcomes(from).await
    }

    async fn read_headlines(&self, from: u64) -> Result<Self::HeadlineReader, ReadError> {
        self.inner.read_headlines(from).await
    }

    async fn append_outcomes(&self, append: Append, expected_last: u64) -> Result<u64, AppendError> {
        let stored = self.inner.append_outcomes(append, expected_last).await;
        if self.halts.0.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        stored
    }

    async fn append_dead_letter(&self, letter: DeadLetter) -> Result<(), AppendError> {
        self.inner.append_dead_letter(letter).await
    }

    async fn append_signal(&self, signal: SignalLetter) -> Result<(), AppendError> {
        if self.halts.0.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.append_signal(signal).await
    }

    async fn dead_letters(&self, from: u64) -> Result<Vec<StoredLetter>, ReadError> {
        self.inner.dead_letters(from).await
    }
}

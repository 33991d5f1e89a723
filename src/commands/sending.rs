//! Sending commands to a log, in batches, and seeing what is answered meanwhile.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::answers::{Answers, Awaited, outcomes_of};
use crate::edges::streams::{AppendError, ReadError, Streams};
use crate::words::codec::{Format, FrameWriter, encode_command};
use crate::words::command::Command;
use crate::words::outcome::Outcome;

/// The most commands in one message.
const BATCH_COMMANDS_MAX: u64 = 256;
/// A message that is larger than this takes no more commands.
const BYTES_MAX: usize = 256 << 10;

/// One message's worth of commands.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) payload: Bytes,
    pub(super) commands: u32,
    /// How many of them have an answer: all but ticks.
    answered: u32,
}

/// Cuts commands into messages, in order. A policy has a message of its own.
pub(super) fn batches<'c>(commands: impl IntoIterator<Item = &'c Command<'c>>) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut frame = FrameWriter::new();
    let mut answered = 0;
    let mut flush = |frame: &mut FrameWriter, answered: &mut u32| {
        let (full, answered) = (std::mem::take(frame), std::mem::take(answered));
        if let Ok(commands @ 1..) = u32::try_from(full.count()) {
            batches.push(Batch { payload: full.finish().into(), commands, answered });
        }
    };
    for command in commands {
        let bytes = encode_command(command);
        let alone = command.content().is_alone();
        if alone || frame.count() == BATCH_COMMANDS_MAX || frame.bytes() + bytes.len() > BYTES_MAX {
            flush(&mut frame, &mut answered);
        }
        frame.push(&bytes);
        answered += u32::from(!matches!(command, Command::Tick(_)));
        if alone {
            flush(&mut frame, &mut answered);
        }
    }
    flush(&mut frame, &mut answered);
    batches
}

/// Why sending stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Open(ReadError),
    #[error("{error} ({sent} of {all} messages were stored)")]
    Read { error: ReadError, sent: usize, all: usize },
    #[error("{error} ({sent} of {all} messages were stored)")]
    Append { error: AppendError, sent: usize, all: usize },
}

/// Whether the answers came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    All,
    /// All is stored; some outcomes were not announced in time.
    NotInTime,
}

/// Stores the batches one after the other, shows every outcome announced meanwhile to `each` (with whether it answers one
/// of these commands), and waits for the answers: `patience` at most after the last batch was stored.
///
/// Outcomes are read while batches are stored: a reader that nobody listens to for a minute is given up by the server.
pub(super) async fn send<S: Streams>(
    streams: &S,
    batches: Vec<Batch>,
    patience: Duration,
    stored: impl Fn(&Batch),
    mut each: impl FnMut(&Outcome<'_>, bool),
) -> Result<Answered, SendError> {
    let mut answers = Answers::open(streams).await.map_err(SendError::Open)?;
    let awaited = RefCell::new(Awaited::default());
    let (all, sent) = (batches.len(), Cell::new(0));
    // Up to which sequence it is known which messages are these batches'. An answer may be read before the append has
    // returned that it answers.
    let (known, mut until_known) = watch::channel(0);

    let storing = Box::pin(async {
        for batch in batches {
            stored(&batch);
            let sequence = streams
                .append_log(Format::Bincode, batch.payload)
                .await
                .map_err(|error| SendError::Append { error, sent: sent.get(), all })?;
            awaited.borrow_mut().add(sequence, batch.answered);
            known.send_replace(sequence);
            sent.set(sent.get() + 1);
        }
        known.send_replace(u64::MAX);
        Ok(())
    });
    let mut reading = Box::pin(async {
        loop {
            for append in answers.next().await? {
                let needed = append.append.header.through.sequence;
                // Cannot fail: the sender lives as long as this.
                let _ = until_known.wait_for(|known| *known >= needed).await;
                for outcome in outcomes_of(&append)? {
                    let own = awaited.borrow_mut().take(&outcome);
                    each(&outcome, own);
                }
            }
            if *known.borrow() == u64::MAX && awaited.borrow().is_empty() {
                return Ok(());
            }
        }
    });
    let unreadable = |error| SendError::Read { error, sent: sent.get(), all };

    tokio::select! {
        stored = storing => stored?,
        read = &mut reading => return read.map(|()| Answered::All).map_err(unreadable),
    }
    if awaited.borrow().is_empty() {
        return Ok(Answered::All);
    }
    match tokio::time::timeout(patience, reading).await {
        Ok(read) => read.map(|()| Answered::All).map_err(unreadable),
        Err(_) => Ok(Answered::NotInTime),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edges::ShardEdges;
    use crate::edges::clock::SystemClock;
    use crate::edges::memory::{MemoryHeadlines, MemoryLimits, MemoryLog, MemoryOutcomes, MemoryStreams};
    use crate::edges::streams::{Headers, Reader, StreamState};
    use crate::edges::telemetry::Telemetry;
    use crate::motion::shard::ShardOptions;
    use crate::process::engine::Engine;
    use crate::words::append::{Append, DeadLetter, StoredAppend, StoredLetter};
    use crate::words::command::{Line, Receive, Tick};
    use crate::words::message::LogMessage;
    use crate::words::message::Way;

    /// Streams whose acknowledgements are slow, and whose readers break after everything they gave.
    #[derive(Clone)]
    struct Frail(MemoryStreams);

    struct FrailReader {
        inner: MemoryOutcomes,
        broken: bool,
    }

    impl Reader<StoredAppend> for FrailReader {
        async fn next(&mut self) -> Result<Vec<StoredAppend>, ReadError> {
            if self.broken {
                return Err(ReadError::Unavailable("the consumer is gone".to_owned()));
            }
            let read = self.inner.next().await;
            self.broken = true;
            read
        }
    }

    impl Streams for Frail {
        type LogReader = MemoryLog;
        type OutcomeReader = FrailReader;
        type HeadlineReader = MemoryHeadlines;

        fn payload_bytes_max(&self) -> usize {
            self.0.payload_bytes_max()
        }

        async fn log_state(&self) -> Result<StreamState, ReadError> {
            self.0.log_state().await
        }

        async fn log_message(&self, sequence: u64) -> Result<Option<LogMessage>, ReadError> {
            self.0.log_message(sequence).await
        }

        async fn read_log(&self, from: u64) -> Result<MemoryLog, ReadError> {
            self.0.read_log(from).await
        }

        async fn append_log(&self, format: Format, payload: Bytes) -> Result<u64, AppendError> {
            let sequence = self.0.append_log(format, payload).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            sequence
        }

        async fn append_log_by(
            &self,
            way: Way,
            format: Format,
            headers: &Headers,
            payload: Bytes,
        ) -> Result<u64, AppendError> {
            self.0.append_log_by(way, format, headers, payload).await
        }

        async fn trim_log(&self, through: u64) -> Result<(), AppendError> {
            self.0.trim_log(through).await
        }

        async fn outcomes_state(&self) -> Result<StreamState, ReadError> {
            self.0.outcomes_state().await
        }

        async fn last_outcomes(&self) -> Result<Option<StoredAppend>, ReadError> {
            self.0.last_outcomes().await
        }

        async fn read_outcomes(&self, from: u64) -> Result<FrailReader, ReadError> {
            Ok(FrailReader { inner: self.0.read_outcomes(from).await?, broken: false })
        }

        async fn read_headlines(&self, from: u64) -> Result<MemoryHeadlines, ReadError> {
            self.0.read_headlines(from).await
        }

        async fn append_outcomes(&self, append: Append, expected_last: u64) -> Result<u64, AppendError> {
            self.0.append_outcomes(append, expected_last).await
        }

        async fn append_dead_letter(&self, letter: DeadLetter) -> Result<(), AppendError> {
            self.0.append_dead_letter(letter).await
        }

        async fn dead_letters(&self, from: u64) -> Result<Vec<StoredLetter>, ReadError> {
            self.0.dead_letters(from).await
        }
    }

    fn receipts(count: u64) -> Vec<Command<'static>> {
        let receipt = |number: u64| {
            Command::Receive(Receive {
                receipt_id: format!("R-{number}").into(),
                lines: vec![Line { sku: "A".into(), quantity: 1 }],
                ..Receive::default()
            })
        };
        (0..count).map(receipt).collect()
    }

    #[tokio::test]
    async fn every_answer_is_seen_once_however_early_and_though_readers_break() {
        let clock = SystemClock::shared();
        let inner = MemoryStreams::new(clock.clone(), MemoryLimits::default());
        let telemetry = Telemetry::new();
        let options = ShardOptions::new("test", Format::Bincode);
        let engine = Engine::alone(
            vec![("main".to_owned(), ShardEdges::in_memory(inner.clone()))],
            &clock,
            &options,
            &telemetry,
        );
        let mut commands = receipts(5 * BATCH_COMMANDS_MAX);
        commands.push(Command::Tick(Tick {}));
        let (streams, mut seen) = (Frail(inner), Vec::new());
        let answered = send(
            &streams,
            batches(&commands),
            Duration::from_mins(1),
            |_| {},
            |outcome, own| {
                assert!(own, "{outcome:?}");
                seen.push((outcome.sequence, outcome.index));
            },
        );
        assert_eq!(answered.await.unwrap(), Answered::All);
        assert_eq!(seen.len(), 5 * 256);
        assert!(seen.is_sorted_by(|a, b| a < b));
        engine.drain(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn patience_ends_where_nobody_decides() {
        let streams = MemoryStreams::new(SystemClock::shared(), MemoryLimits::default());
        let answered =
            send(&streams, batches(&receipts(1)), Duration::from_millis(20), |_| {}, |_, _| {}).await;
        assert_eq!(answered.unwrap(), Answered::NotInTime);
        // A tick has no answer to wait for.
        let answered =
            send(&streams, batches(&[Command::Tick(Tick {})]), Duration::from_mins(1), |_| {}, |_, _| {});
        assert_eq!(answered.await.unwrap(), Answered::All);
    }
}

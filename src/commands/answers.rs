//! Waiting for the outcomes of what was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::edges::streams::{ReadError, Reader, Streams};
use crate::words::append::StoredAppend;
use crate::words::codec::outcomes;
use crate::words::identity::Identity;
use crate::words::outcome::Outcome;

/// How often a broker that cannot be reached is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Reads the outcome stream from where it ended when this was opened.
pub(super) struct Answers<S: Streams> {
    streams: S,
    reader: S::OutcomeReader,
    /// The last append read, by its sequence in the outcome stream.
    last: u64,
    through: Identity,
}

impl<S: Streams> Answers<S> {
    /// Opens it; before the first append whose outcomes are wanted.
    pub(super) async fn open(streams: &S) -> Result<Self, ReadError> {
        let last = streams.outcomes_state().await?.last_sequence;
        let reader = streams.read_outcomes(last + 1).await?;
        Ok(Self { streams: streams.clone(), reader, last, through: Identity::START })
    }

    /// The appends that have come, each once: waits for the first. A broker that cannot be reached is asked again, for
    /// as long as the caller waits. May be cancelled without losing any.
    pub(super) async fn next(&mut self) -> Result<Vec<StoredAppend>, ReadError> {
        let mut appends = loop {
            match self.reader.next().await {
                Err(ReadError::Unavailable(_)) => self.reopen().await?,
                read => break read?,
            }
        };
        // An append that was written twice is read once.
        appends.retain(|stored| {
            self.last = stored.sequence;
            let header = &stored.append.header;
            let new = header.from >= self.through;
            if new {
                self.through = header.through;
            }
            new
        });
        Ok(appends)
    }

    /// Opens another reader behind what was read: the one before is of no further use.
    async fn reopen(&mut self) -> Result<(), ReadError> {
        loop {
            tokio::time::sleep(RETRY_PAUSE).await;
            match self.streams.read_outcomes(self.last + 1).await {
                Err(ReadError::Unavailable(_)) => {}
                opened => {
                    self.reader = opened?;
                    return Ok(());
                }
            }
        }
    }
}

/// The outcomes of an append.
pub(super) fn outcomes_of(stored: &StoredAppend) -> Result<Vec<Outcome<'_>>, ReadError> {
    outcomes(stored.append.format, &stored.append.payload)
        .map_err(|error| ReadError::Unreadable(error.to_string()))
}

/// The records whose answers are awaited: how many each log message has.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    /// Sequences, and how many records of each have no answer yet.
    open: BTreeMap<u64, u32>,
}

impl Awaited {
    pub(super) fn add(&mut self, sequence: u64, records: u32) {
        if records > 0 {
            self.open.insert(sequence, records);
        }
    }

    /// Whether an outcome is an answer that was awaited; it is awaited no longer then.
    pub(super) fn take(&mut self, outcome: &Outcome<'_>) -> bool {
        if !outcome.decision.is_answer() {
            return false;
        }
        let Some(records) = self.open.get_mut(&outcome.sequence) else { return false };
        *records -= 1;
        if *records == 0 {
            self.open.remove(&outcome.sequence);
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

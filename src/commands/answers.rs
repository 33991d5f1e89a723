//! Waiting for the outcomes of what was sent.

use std::collections::BTreeMap;

use crate::edges::streams::{ReadError, Reader, Streams};
use crate::words::codec::outcomes;
use crate::words::identity::Identity;
use crate::words::outcome::Outcome;

/// Reads the outcome stream from where it ended when this was opened.
pub(super) struct Answers<S: Streams> {
    reader: S::OutcomeReader,
    through: Identity,
}

impl<S: Streams> Answers<S> {
    /// Opens it; before the first append whose outcomes are wanted.
    pub(super) async fn open(streams: &S) -> Result<Self, ReadError> {
        let last = streams.outcomes_state().await?.last_sequence;
        Ok(Self { reader: streams.read_outcomes(last + 1).await?, through: Identity::START })
    }

    /// Shows every outcome to `each` until `done` says, by the last identity seen, that it is enough.
    pub(super) async fn until(
        &mut self,
        mut each: impl FnMut(&Outcome<'_>),
        mut done: impl FnMut(Identity) -> bool,
    ) -> Result<(), ReadError> {
        while !done(self.through) {
            for stored in self.reader.next().await? {
                let append = stored.append;
                // An append that was written twice is read once.
                if append.header.from < self.through {
                    continue;
                }
                self.through = append.header.through;
                let outcomes = outcomes(append.format, &append.payload)
                    .map_err(|error| ReadError::Unreadable(error.to_string()))?;
                outcomes.iter().for_each(&mut each);
            }
        }
        Ok(())
    }
}

/// The records whose answers are awaited: how many each log message has.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    /// Sequences, and how many records of each have no answer yet.
    open: BTreeMap<u64, u32>,
}

impl Awaited {
    pub(super) fn add(&mut self, sequence: u64, records: u32) {
        self.open.insert(sequence, records);
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

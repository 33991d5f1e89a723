//! Reading: carries the log to the fold, and sees to it that what comes next belongs to what was applied.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::mpsc;

use super::shard::{Input, RETRY_PAUSE, Shard};
use crate::edges::Edges;
use crate::edges::streams::{ReadError, Reader as _, Streams};
use crate::folds::inventory::Inventory;
use crate::words::fault::Fault;
use crate::words::message::LogMessage;

/// A reader that gives nothing for so long, while its stream has gone on, is opened anew.
pub(super) const STALL: Duration = Duration::from_secs(2);

/// The last message that was read, or restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Last {
    /// Its sequence; 0 before the first.
    pub(super) sequence: u64,
    /// Its [hash](LogMessage::hash).
    pub(super) hash: u64,
}

impl Last {
    pub(super) fn of_state(inventory: &Inventory) -> Self {
        Self { sequence: inventory.chain().sequence, hash: inventory.last_message_hash() }
    }

    fn of(message: &LogMessage) -> Self {
        Self { sequence: message.sequence, hash: message.hash() }
    }
}

/// Whether the log holds what a state has folded last, or was trimmed right behind it.
pub(super) async fn holds<S: Streams>(streams: &S, last: Last) -> Result<bool, ReadError> {
    let log = streams.log_state().await?;
    if log.last_sequence < last.sequence || log.first_sequence > last.sequence + 1 {
        return Ok(false);
    }
    if log.first_sequence == last.sequence + 1 {
        return Ok(true);
    }
    Ok(streams.log_message(last.sequence).await?.is_some_and(|message| message.hash() == last.hash))
}

impl<E: Edges> Shard<E> {
    /// Reads the log behind `last` and gives it to the fold, until the shard drains.
    pub(super) async fn read(&self, mut last: Last, input: mpsc::Sender<Input>) -> Result<(), Fault> {
        let mut complained = false;
        let reading = async {
            loop {
                let error = match self.read_on(&input, &mut last, &mut complained).await {
                    Ok(Some(fault)) => return Err(fault),
                    Ok(None) => return Ok(()),
                    Err(error) => error,
                };
                self.complain(&mut complained, &error);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        };
        self.drain.run_until_cancelled(reading).await.unwrap_or(Ok(()))
    }

    /// Reads from behind `last` until something fails, after having seen that the log still holds `last`.
    async fn read_on(
        &self,
        input: &mpsc::Sender<Input>,
        last: &mut Last,
        complained: &mut bool,
    ) -> Result<Option<Fault>, ReadError> {
        if let Some(fault) = self.verify(*last).await? {
            return Ok(Some(fault));
        }
        let from = last.sequence + 1;
        let mut reader = self.edges.streams.read_log(from).await?;
        self.status.set_connected(true);
        if std::mem::take(complained) {
            tracing::info!(shard = self.status.shard, from, "reading the log again");
        }
        loop {
            let Ok(read) = tokio::time::timeout(STALL, reader.next()).await else {
                // A quiet log is no stall; one that was rewritten behind an open reader is found here, too.
                if let Some(fault) = self.verify(*last).await? {
                    return Ok(Some(fault));
                }
                if self.edges.streams.log_state().await?.last_sequence > last.sequence {
                    self.telemetry.stalled();
                    return Err(ReadError::Unavailable(
                        "the reader fell silent while the log went on".to_owned(),
                    ));
                }
                continue;
            };
            let mut messages = read?;
            // A reader that was opened anew may repeat.
            messages.retain(|message| message.sequence > last.sequence);
            let Some(newest) = messages.last() else { continue };
            *last = Last::of(newest);
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = *last;
            if input.send(Input::Messages(messages)).await.is_err() {
                // The fold has ended: publishing knows why.
                return Ok(None);
            }
        }
    }

    /// Whether the log still holds what was read from it, and what comes next. A log that lost all that it held gives no
    /// message that would show the gap.
    pub(super) async fn verify(&self, last: Last) -> Result<Option<Fault>, ReadError> {
        let log = self.edges.streams.log_state().await?;
        let due = last.sequence + 1;
        if log.first_sequence > due {
            return Ok(Some(Fault::Gap { expected: due, found: log.first_sequence }));
        }
        if last.sequence == 0 {
            return Ok(None);
        }
        if log.last_sequence < last.sequence {
            return Ok(Some(Fault::LogBehind { last: log.last_sequence, applied: last.sequence }));
        }
        let stored = self.edges.streams.log_message(last.sequence).await?;
        let Some(stored) = stored else {
            // A message that was trimmed, maybe just now, cannot be compared.
            let trimmed = self.edges.streams.log_state().await?.first_sequence > last.sequence;
            return Ok((!trimmed).then_some(Fault::LogRewritten { sequence: last.sequence }));
        };
        Ok((Last::of(&stored) != last).then_some(Fault::LogRewritten { sequence: last.sequence }))
    }
}

//! The last message that was read of a log, and whether the log still holds it.

use std::time::Duration;

use tokio::time::Instant;

use crate::edges::streams::{ReadError, Streams};
use crate::folds::inventory::Inventory;
use crate::words::fault::Fault;
use crate::words::message::LogMessage;

/// How long a fault must be all that the streams say: longer than the election of a stream's leader takes (4 to 9 seconds), while the
/// one before, which was cut off, may answer from the past.
pub const CONFIRM_AFTER: Duration = Duration::from_secs(10);

/// How long to wait before asking again meanwhile: often enough that the truth is heard between two servers that are cut off.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// That something was lost, which is believed once nothing else was heard for [`CONFIRM_AFTER`].
#[derive(Debug, Default)]
pub struct Suspicion {
    since: Option<Instant>,
}

impl Suspicion {
    /// Takes note that it was heard once more, and tells whether it is believed now.
    pub fn grows(&mut self) -> bool {
        self.since.get_or_insert_with(Instant::now).elapsed() >= CONFIRM_AFTER
    }

    /// Takes note of a good answer, or of none.
    pub const fn ends(&mut self) {
        self.since = None;
    }
}

/// The last message that was read, or restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// Its sequence; 0 before the first.
    pub sequence: u64,
    /// Its [hash](LogMessage::hash).
    pub hash: u64,
}

impl Last {
    /// The last message that a state holds.
    #[must_use]
    pub fn of_state(inventory: &Inventory) -> Self {
        Self { sequence: inventory.chain().sequence, hash: inventory.last_message_hash() }
    }

    /// This message.
    #[must_use]
    pub fn of(message: &LogMessage) -> Self {
        Self { sequence: message.sequence, hash: message.hash() }
    }

    /// Whether the log holds it, or was trimmed right behind it.
    pub async fn is_held<S: Streams>(self, streams: &S) -> Result<bool, ReadError> {
        let log = streams.log_state().await?;
        if log.last_sequence < self.sequence || log.first_sequence > self.sequence + 1 {
            return Ok(false);
        }
        if log.first_sequence == self.sequence + 1 {
            return Ok(true);
        }
        let stored = streams.log_message(self.sequence).await?;
        Ok(stored.is_some_and(|message| message.hash() == self.hash))
    }

    /// What is wrong with the log, for whoever goes on behind this message, once that is [believed](Suspicion).
    pub async fn confirm<S: Streams>(self, streams: &S) -> Result<Option<Fault>, ReadError> {
        let mut suspicion = Suspicion::default();
        while let Some(fault) = self.verify(streams).await? {
            if suspicion.grows() {
                return Ok(Some(fault));
            }
            tracing::warn!(%fault, "the log is not what was read of it; asking again");
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
        Ok(None)
    }

    /// What is wrong with the log, for whoever goes on behind this message: whether it still holds what was read from it, and what
    /// comes next. A log that lost all that it held gives no message that would show the gap.
    pub async fn verify<S: Streams>(self, streams: &S) -> Result<Option<Fault>, ReadError> {
        let log = streams.log_state().await?;
        let due = self.sequence + 1;
        if log.first_sequence > due {
            return Ok(Some(Fault::Gap { expected: due, found: log.first_sequence }));
        }
        if self.sequence == 0 {
            return Ok(None);
        }
        if log.last_sequence < self.sequence {
            return Ok(Some(Fault::LogBehind { last: log.last_sequence, applied: self.sequence }));
        }
        let stored = streams.log_message(self.sequence).await?;
        let Some(stored) = stored else {
            // A message that was trimmed, maybe just now, cannot be compared. A state whose first message is gone too is from the past.
            let first = streams.log_state().await?.first_sequence;
            let trimmed = first > self.sequence || streams.log_message(first).await?.is_none();
            return Ok((!trimmed).then_some(Fault::LogRewritten { sequence: self.sequence }));
        };
        Ok((Self::of(&stored) != self).then_some(Fault::LogRewritten { sequence: self.sequence }))
    }
}

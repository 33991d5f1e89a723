//! Replay: a log folded from its start by whoever wants to know, without publishing anything.

use super::folding::{Folding, Start};
use crate::edges::streams::{ReadError, Reader, Streams};
use crate::folds::inventory::{Inventory, Output};
use crate::words::fault::Fault;
use crate::words::identity::Identity;

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be folded.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Folds the log up to the last message that it holds now, and shows every batch of outcomes to `each`.
pub async fn replay<S: Streams>(
    streams: &S,
    mut each: impl FnMut(&Output),
) -> Result<Inventory, ReplayError> {
    let last = streams.log_state().await?.last_sequence;
    let mut folding = Folding::new(Start::empty(), Identity::START, last);
    if last == 0 {
        return Ok(folding.into_inventory());
    }
    let mut reader = streams.read_log(1).await?;
    loop {
        let mut messages = reader.next().await?;
        messages.retain(|message| message.sequence <= last);
        folding.step(&messages, i64::MAX, |applied| {
            each(&applied.output);
            true
        })?;
        if folding.inventory().chain().sequence >= last {
            return Ok(folding.into_inventory());
        }
    }
}

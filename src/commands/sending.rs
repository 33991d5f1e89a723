//! Sending commands to a log, in batches.

use std::time::Duration;

use bytes::Bytes;

use super::answers::{Answers, Awaited};
use crate::edges::streams::{AppendError, Streams};
use crate::words::codec::{Format, FrameWriter, encode_command};
use crate::words::command::Command;
use crate::words::outcome::Outcome;

/// The most commands in one message.
const COMMANDS_MAX: u64 = 256;
/// A message that is larger than this takes no more commands.
const BYTES_MAX: usize = 256 << 10;

/// One message's worth of commands.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) payload: Bytes,
    pub(super) commands: u32,
}

/// Cuts commands into messages, in order. A policy has a message of its own.
pub(super) fn batches<'c>(commands: impl IntoIterator<Item = &'c Command<'c>>) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut frame = FrameWriter::new();
    let mut flush = |frame: &mut FrameWriter| {
        let full = std::mem::take(frame);
        if let Ok(commands @ 1..) = u32::try_from(full.count()) {
            batches.push(Batch { payload: full.finish().into(), commands });
        }
    };
    for command in commands {
        let bytes = encode_command(command);
        let alone = matches!(command, Command::Policy(_));
        if alone || frame.count() == COMMANDS_MAX || frame.bytes() + bytes.len() > BYTES_MAX {
            flush(&mut frame);
        }
        frame.push(&bytes);
        if alone {
            flush(&mut frame);
        }
    }
    flush(&mut frame);
    batches
}

/// Why sending stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Read(#[from] crate::edges::streams::ReadError),
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
pub(super) async fn send<S: Streams>(
    streams: &S,
    batches: Vec<Batch>,
    patience: Duration,
    stored: impl Fn(&Batch),
    mut each: impl FnMut(&Outcome<'_>, bool),
) -> Result<Answered, SendError> {
    let mut answers = Answers::open(streams).await?;
    let mut awaited = Awaited::default();
    let all = batches.len();
    for (sent, batch) in batches.into_iter().enumerate() {
        stored(&batch);
        let sequence = streams
            .append_log(Format::Bincode, batch.payload)
            .await
            .map_err(|error| SendError::Append { error, sent, all })?;
        awaited.add(sequence, batch.commands);
    }
    let awaited = std::cell::RefCell::new(awaited);
    let waiting = answers.until(
        |outcome| {
            let own = awaited.borrow_mut().take(outcome);
            each(outcome, own);
        },
        |_| awaited.borrow().is_empty(),
    );
    match tokio::time::timeout(patience, waiting).await {
        Ok(read) => read.map(|()| Answered::All).map_err(SendError::from),
        Err(_) => Ok(Answered::NotInTime),
    }
}

//! Retelling: what was announced of a stretch of the log, once more, with the commands that it answers. The outcome stream says what was
//! decided, the log what was asked; nothing is folded.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::audit::first_behind;
use crate::edges::streams::{ReadError, Streams};
use crate::folds::analytics::Record;
use crate::motion::rules::observing::Stretch;
use crate::motion::store::onward::Onward;
use crate::words::append::{Append, AppendHeader, StoredAppend};
use crate::words::codec::{commands, outcomes};
use crate::words::command::Command;
use crate::words::identity::Identity;
use crate::words::message::LogMessage;
use crate::words::policy::RULES_NEWEST;

/// An append of outcomes with the messages of the log that it answers.
#[derive(Debug)]
pub(in crate::motion) struct Retold {
    append: Append,
    messages: Vec<LogMessage>,
}

impl Retold {
    /// Gives the records to `each`, one for each command, and says how much could not be read. Of a record whose outcomes were split
    /// between appends, each part comes by itself.
    pub(in crate::motion) fn records(&self, mut each: impl FnMut(&Record<'_, '_>)) -> u64 {
        let Ok(told) = outcomes(self.append.format, &self.append.payload) else { return 1 };
        let mut rest = told.as_slice();
        for message in &self.messages {
            let skipped = rest.iter().take_while(|outcome| outcome.sequence < message.sequence).count();
            rest = &rest[skipped..];
            if rest.first().is_none_or(|outcome| outcome.sequence > message.sequence) {
                continue;
            }
            for (index, element) in commands(message.format, &message.payload, RULES_NEWEST).enumerate() {
                let is_own = |outcome: &&crate::words::outcome::Outcome<'_>| {
                    outcome.sequence == message.sequence && outcome.index as usize == index
                };
                let (own, after) = rest.split_at(rest.iter().take_while(is_own).count());
                rest = after;
                let Some(first) = own.first() else { continue };
                let command: Option<Command<'_>> = element.ok();
                each(&Record { at: first.at, command: command.as_ref(), outcomes: own });
            }
        }
        0
    }
}

/// Tells what was announced of `stretch`, as far as both streams still hold it, until whoever listens has gone.
pub(in crate::motion) async fn retell<S: Streams>(
    streams: &S,
    stretch: Stretch,
    to: mpsc::Sender<Retold>,
) -> Result<(), ReadError> {
    let log = streams.log_state().await?;
    let first = stretch.first.max(log.first_sequence);
    let last = stretch.last.min(log.last_sequence);
    let told = streams.outcomes_state().await?;
    if first > last || told.first_sequence > told.last_sequence {
        return Ok(());
    }
    let before = Identity { sequence: first - 1, index: u32::MAX, place: u32::MAX };
    let from = first_behind(streams, before, told.first_sequence, told.last_sequence).await?;
    let mut appends = Onward::new(from, |from| streams.read_outcomes(from));
    let mut messages = Onward::new(first, |from| streams.read_log(from));
    let mut read: VecDeque<LogMessage> = VecDeque::new();
    let (mut due, mut next) = (None, from);
    while next <= told.last_sequence {
        for StoredAppend { sequence, append } in appends.next(|stored| stored.sequence).await? {
            next = sequence + 1;
            let AppendHeader { from, through, .. } = append.header;
            // What goes back to what was announced before repeats it.
            if sequence > told.last_sequence || due.is_some_and(|due| from < due) {
                continue;
            }
            due = Some(through);
            let until = through.sequence.min(log.last_sequence);
            while read.back().is_none_or(|message| message.sequence < until) && until >= first {
                read.extend(messages.next(|message: &LogMessage| message.sequence).await?);
            }
            while read.front().is_some_and(|message| message.sequence < from.sequence) {
                read.pop_front();
            }
            let answered = read.iter().take_while(|message| message.sequence <= through.sequence);
            let retold = Retold { append, messages: answered.cloned().collect() };
            if to.send(retold).await.is_err() || through.sequence >= last {
                return Ok(());
            }
        }
    }
    Ok(())
}

//! Walking: along the log and what was announced, as far as they agree.

use std::collections::VecDeque;

use bytes::Bytes;

use super::EpochError;
use crate::edges::streams::{ReadError, Streams};
use crate::motion::past::audit::first_behind;
use crate::motion::rules::folding::{Folding, Start};
use crate::motion::store::onward::Onward;
use crate::words::append::{Append, AppendHeader, StoredAppend};
use crate::words::codec::{encode_outcome, outcomes};
use crate::words::identity::Identity;

/// How far the log agrees with what was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// All of it does, up to this message, which is the last one announced, or the log's last.
    Agrees(u64),
    /// This is the last message in which it does.
    Departs(u64),
    /// Nothing could be compared before they departed.
    Unmatched,
}

/// Folds the log from `start` and compares it with what was announced.
pub(super) async fn walk<S: Streams>(
    streams: &S,
    start: Start,
    log_last: u64,
    outcomes_last: u64,
) -> Result<Walked, EpochError> {
    let mut floor = start.through;
    let mut compared = start.inventory.chain().sequence;
    let mut chains = VecDeque::from([start.inventory.chain()]);
    let mut folding = Folding::new(start, Identity::START);
    let mut own: VecDeque<(Identity, Bytes)> = VecDeque::new();
    let mut is_compared = true;
    let outcomes_first = streams.outcomes_state().await?.first_sequence;
    let next = first_behind(streams, floor, outcomes_first, outcomes_last).await?;
    let mut messages = Onward::new(compared + 1, |from| streams.read_log(from));
    let mut appends = Appends { next, last: outcomes_last, due: None };
    let mut reader = Onward::new(next, |from| streams.read_outcomes(from));
    while appends.next <= appends.last {
        for stored in reader.next(|stored| stored.sequence).await? {
            let is_first = appends.due.is_none();
            let Some(append) = appends.take(stored) else { continue };
            let AppendHeader { from, through, chain, .. } = append.header;
            if is_first && from > floor {
                // The outcome stream has dropped what came between.
                (floor, is_compared) = (from, false);
            }
            let told = outcomes(append.format, &append.payload);
            for outcome in told.map_err(|error| ReadError::Unreadable(error.to_string()))? {
                let at = outcome.identity();
                if at <= floor {
                    continue;
                }
                let until = at.sequence.max(chain.sequence);
                while folding.inventory().chain().sequence < until.min(log_last) {
                    let mut read = messages.next(|message| message.sequence).await?;
                    read.retain(|message| message.sequence <= log_last);
                    folding.step(&read, i64::MAX, |applied| {
                        let output = &applied.output;
                        let all = output.outcomes_from(0);
                        own.extend(
                            all.map(|(entry, bytes)| (entry.identity(), Bytes::copy_from_slice(bytes))),
                        );
                        chains.extend(applied.messages.iter().map(|message| message.chain));
                        true
                    })?;
                }
                while own.front().is_some_and(|(own, _)| *own <= floor) {
                    own.pop_front();
                }
                let mut bytes = Vec::new();
                let start = encode_outcome(&mut bytes, &outcome.decision, at, outcome.at);
                match own.pop_front() {
                    Some((own_at, own)) if own_at == at && own == bytes[start..] => is_compared = true,
                    other => {
                        let departs = other.map_or(at.sequence, |(own, _)| own.sequence.min(at.sequence));
                        return Ok(departed((departs - 1).min(log_last), is_compared));
                    }
                }
            }
            while chains.front().is_some_and(|own| own.sequence < chain.sequence) {
                chains.pop_front();
            }
            // A message of which outcomes are still to come is not wholly compared.
            let is_whole = own.front().is_none_or(|(own, _)| own.sequence > through.sequence);
            compared = compared.max(if is_whole { through.sequence } else { through.sequence - 1 });
            // Messages without outcomes can differ, too.
            if chains.front().is_some_and(|own| own.sequence == chain.sequence && *own != chain) {
                return Ok(departed(compared.min(log_last), is_compared));
            }
            compared = compared.max(chain.sequence);
        }
    }
    Ok(Walked::Agrees(compared.min(log_last)))
}

const fn departed(agrees: u64, is_compared: bool) -> Walked {
    if is_compared { Walked::Departs(agrees) } else { Walked::Unmatched }
}

/// Drops what readers drop: what goes back to what was announced before.
pub(super) struct Appends {
    pub(super) next: u64,
    pub(super) last: u64,
    pub(super) due: Option<Identity>,
}

impl Appends {
    pub(super) fn take(&mut self, StoredAppend { sequence, append }: StoredAppend) -> Option<Append> {
        self.next = sequence + 1;
        let AppendHeader { from, through, .. } = append.header;
        if sequence > self.last || self.due.is_some_and(|due| from < due) {
            return None;
        }
        self.due = Some(through);
        Some(append)
    }
}

//! Outcomes, as a door hears them: announced, or of a fold that has just applied them.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::folds::inventory::Entry;
use crate::motion::rules::folding::{Applied, AppliedMessage};
use crate::words::append::{AppendHeader, StoredAppend};
use crate::words::codec::{Format, NotOutcomes, Told, told};
use crate::words::outcome::Reason;

/// Outcomes as they are heard.
#[derive(Clone, Debug)]
pub(super) enum Outcomes {
    Announced(StoredAppend),
    Applied(Arc<Applied>),
}

impl Outcomes {
    /// The messages that they may be of.
    pub(super) fn span(&self) -> RangeInclusive<u64> {
        match self {
            Self::Announced(append) => span(&append.append.header),
            Self::Applied(applied) => {
                let at = |message: Option<&AppliedMessage>| message.map_or(0, |one| one.chain.sequence);
                // A fold gives no batch without a message.
                at(applied.messages.first())..=at(applied.messages.last())
            }
        }
    }

    pub(super) fn format(&self) -> Format {
        match self {
            Self::Announced(append) => append.append.format,
            Self::Applied(_) => Format::Bincode,
        }
    }

    /// What they take in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Announced(append) => append.append.payload.len(),
            Self::Applied(applied) => applied.bytes,
        }
    }

    /// Gives each outcome, in order; those of messages that are not `wanted` may be left out.
    pub(super) fn each(
        &self,
        wanted: impl Fn(u64) -> bool,
        mut each: impl FnMut(Told<'_>),
    ) -> Result<(), NotOutcomes> {
        let applied = match self {
            Self::Announced(append) => return told(append.append.format, &append.append.payload, each),
            Self::Applied(applied) => applied,
        };
        for message in &applied.messages {
            if message.by_door && wanted(message.chain.sequence) {
                let outcomes = applied.output.outcomes_from(message.outcomes_end - message.outcomes);
                outcomes.take(message.outcomes).for_each(|(entry, bytes)| each(of(entry, bytes)));
            }
        }
        Ok(())
    }
}

/// The messages that an append may be of.
pub(super) fn span(header: &AppendHeader) -> RangeInclusive<u64> {
    header.from.sequence..=header.through.sequence
}

fn of<'a>(entry: &Entry, bytes: &'a [u8]) -> Told<'a> {
    Told {
        identity: entry.identity(),
        is_answer: entry.answers,
        too_large: entry.reason == Some(Reason::MessageTooLarge),
        busy: entry.reason == Some(Reason::Busy),
        bytes,
    }
}

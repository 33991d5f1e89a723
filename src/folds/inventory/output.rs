//! What a fold gives back: outcomes in bincode's format, already encoded once and for all, and dead letters.

use bytes::Bytes;

use crate::words::append::DeadLetter;
use crate::words::codec::encode_outcome;
use crate::words::command::CommandKind;
use crate::words::identity::Identity;
use crate::words::outcome::{Decision, OutcomeKind, Reason};
use crate::words::timestamp::Timestamp;

/// Outcomes in the order of their identities, and what goes with them.
#[derive(Debug, Default)]
pub struct Output {
    /// The outcomes, each behind its length: a frame's elements.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// What the dead letters' texts and bytes take.
    letter_bytes: usize,
    /// Bytes that were no command.
    pub dead_letters: Vec<DeadLetter>,
    /// How many commands were applied, by [`CommandKind`].
    pub commands: [u32; CommandKind::ALL.len()],
}

/// One outcome of an [`Output`].
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which outcome.
    pub identity: Identity,
    /// What kind it is.
    pub kind: OutcomeKind,
    /// Why, where it is a refusal.
    pub reason: Option<Reason>,
    /// Whether it repeats an earlier outcome.
    pub repeat: bool,
    start: u32,
    end: u32,
}

/// How many outcomes there are of which kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// By [`OutcomeKind`]: neither refusals nor repeats.
    pub plain: [u64; OutcomeKind::ALL.len()],
    /// Refusals that are no repeats, by [`Reason`].
    pub refused: [u64; Reason::ALL.len()],
    /// Repeats, by [`OutcomeKind`].
    pub repeats: [u64; OutcomeKind::ALL.len()],
    /// All of them together.
    pub all: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            plain: [0; OutcomeKind::ALL.len()],
            refused: [0; Reason::ALL.len()],
            repeats: [0; OutcomeKind::ALL.len()],
            all: 0,
        }
    }
}

impl Counts {
    /// Adds outcomes.
    pub fn add(&mut self, entries: &[Entry]) {
        self.all += entries.len() as u64;
        for entry in entries {
            match entry.reason {
                _ if entry.repeat => self.repeats[entry.kind as usize] += 1,
                Some(reason) => self.refused[reason as usize] += 1,
                None => self.plain[entry.kind as usize] += 1,
            }
        }
    }
}

impl Output {
    /// An empty one with room for so many outcomes that take so many bytes.
    #[must_use]
    pub fn with_capacity(outcomes: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), entries: Vec::with_capacity(outcomes), ..Self::default() }
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.dead_letters.clear();
        self.letter_bytes = 0;
        self.commands = Default::default();
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.dead_letters.is_empty()
    }

    /// The outcomes, each with its bytes.
    #[must_use]
    pub fn outcomes(&self) -> impl ExactSizeIterator<Item = (&Entry, &[u8])> {
        self.outcomes_from(0)
    }

    /// The outcomes from the `start`th on, each with its bytes.
    #[must_use]
    pub fn outcomes_from(&self, start: usize) -> impl ExactSizeIterator<Item = (&Entry, &[u8])> {
        self.entries[start..]
            .iter()
            .map(|entry| (entry, &self.bytes[entry.start as usize..entry.end as usize]))
    }

    /// The outcomes from the `start`th to before the `end`th.
    #[must_use]
    pub fn entries(&self, start: usize, end: usize) -> &[Entry] {
        &self.entries[start..end]
    }

    /// How many outcomes from the `start`th on take at most `bytes_max` bytes together as elements of a frame.
    #[must_use]
    pub fn len_within(&self, start: usize, bytes_max: usize) -> usize {
        let end_max = self.end(start).saturating_add(bytes_max);
        self.entries[start..].partition_point(|entry| entry.end as usize <= end_max)
    }

    /// The outcomes from the `start`th to before the `end`th as elements of a frame.
    #[must_use]
    pub fn elements(&self, start: usize, end: usize) -> &[u8] {
        &self.bytes[self.end(start)..self.end(end)]
    }

    /// Where the elements of the first `len` outcomes end.
    fn end(&self, len: usize) -> usize {
        len.checked_sub(1).map_or(0, |last| self.entries[last].end as usize)
    }

    /// How many outcomes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many outcomes there are up to and with `through`.
    #[must_use]
    pub fn len_through(&self, through: Identity) -> usize {
        self.entries.partition_point(|entry| entry.identity <= through)
    }

    /// Drops the outcomes from the `len`th on, and the dead letters that go with them.
    pub fn truncate(&mut self, len: usize) {
        if len == self.entries.len() {
            return;
        }
        let end = self.end(len);
        self.entries.truncate(len);
        self.bytes.truncate(end);
        let last = self.last().map(|last| (last.sequence, last.index));
        self.dead_letters.retain(|letter| Some((letter.sequence, letter.index)) <= last);
    }

    /// The outcomes' bytes, as elements of a frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it takes in memory, roughly, in bytes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.bytes.len()
            + self.entries.len() * size_of::<Entry>()
            + self.dead_letters.len() * size_of::<DeadLetter>()
            + self.letter_bytes
    }

    /// The last outcome's identity.
    #[must_use]
    pub fn last(&self) -> Option<Identity> {
        self.entries.last().map(|entry| entry.identity)
    }
}

/// One record's turn: what its outcomes have in common, and how much work it may still do for others.
pub(super) struct Turn<'o> {
    sequence: u64,
    index: u32,
    place: u32,
    /// Log time.
    pub(super) at: Timestamp,
    /// How many outcomes beyond the record's own may still come.
    pub(super) budget: u32,
    output: &'o mut Output,
}

impl<'o> Turn<'o> {
    pub(super) fn new(sequence: u64, index: u32, at: Timestamp, output: &'o mut Output) -> Self {
        Self { sequence, index, place: 0, at, budget: super::OUTCOMES_BEYOND_OWN_MAX, output }
    }

    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) const fn index(&self) -> u32 {
        self.index
    }

    pub(super) fn count(&mut self, kind: CommandKind) {
        self.output.commands[kind as usize] += 1;
    }

    pub(super) fn emit(&mut self, decision: &Decision<'_>) {
        let kind = decision.kind();
        let (reason, repeat) = match decision {
            Decision::Refused { reason, repeat, .. } => (Some(*reason), repeat.is_some()),
            Decision::Confirmed { repeat, .. }
            | Decision::Waiting { repeat, .. }
            | Decision::Paid { repeat, .. }
            | Decision::PaymentFailed { repeat, .. }
            | Decision::Shipped { repeat, .. }
            | Decision::Delivered { repeat, .. }
            | Decision::Returned { repeat, .. }
            | Decision::Received { repeat, .. }
            | Decision::Counted { repeat, .. } => (None, repeat.is_some()),
            _ => (None, false),
        };
        let identity = Identity { sequence: self.sequence, index: self.index, place: self.place };
        let offset = |place: usize| u32::try_from(place).expect("an output stays far below 4 GiB");
        let start = encode_outcome(&mut self.output.bytes, decision, identity, self.at);
        let (start, end) = (offset(start), offset(self.output.bytes.len()));
        self.output.entries.push(Entry { identity, kind, reason, repeat, start, end });
        self.place += 1;
    }

    pub(super) fn dead_letter(&mut self, reason: &str, bytes: &[u8]) {
        self.output.letter_bytes += reason.len() + bytes.len();
        self.output.dead_letters.push(DeadLetter {
            sequence: self.sequence,
            index: self.index,
            format: None,
            reason: reason.to_owned(),
            bytes: Bytes::copy_from_slice(bytes),
        });
        self.emit(&Decision::DeadLettered { reason: reason.into() });
    }
}

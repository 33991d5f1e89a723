//! What a fold gives back: outcomes in bincode's format, already encoded once and for all, and dead letters.

use bytes::Bytes;

use super::OUTCOMES_BEYOND_OWN_MAX;
use super::tables::order::Ticket;
use crate::folds::inventory::commands::refusal::Refusal;
use crate::words::append::DeadLetter;
use crate::words::codec::{Confirmations, Undecodable, encode_outcome, read_varint};
use crate::words::command::{COMMANDS_MAX, CommandKind};
use crate::words::identity::Identity;
use crate::words::outcome::{Decision, OutcomeKind, Reason};
use crate::words::text::Id;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    sequence: u64,
    /// Where its element ends among the bytes.
    end: u32,
    index: u16,
    place: u16,
    /// What kind it is.
    pub kind: OutcomeKind,
    /// Why, where it is a refusal.
    pub reason: Option<Reason>,
    /// Whether it repeats an earlier outcome.
    pub repeat: bool,
    /// Whether it answers a command; releases, expiries and shortfalls come of themselves.
    pub answers: bool,
    /// Which command it is a refusal of.
    pub command: Option<CommandKind>,
}

const _: () = assert!(size_of::<Entry>() == 24);
const _: () = assert!(COMMANDS_MAX <= 1 << 16 && OUTCOMES_BEYOND_OWN_MAX < 1 << 15);

impl Entry {
    /// Which outcome.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        Identity { sequence: self.sequence, index: self.index as u32, place: self.place as u32 }
    }

    /// Whether it confirms an order as soon as it is placed.
    #[must_use]
    pub fn confirms_new(&self) -> bool {
        self.kind == OutcomeKind::Confirmed && self.answers && !self.repeat
    }
}

/// How many outcomes there are of which kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// By [`OutcomeKind`]: neither refusals nor repeats.
    pub plain: [u64; OutcomeKind::ALL.len()],
    /// Refusals that are no repeats, by [`Reason`].
    pub refused: [u64; Reason::ALL.len()],
    /// Of those, payments: somebody must give the money back.
    pub refused_payments: [u64; Reason::ALL.len()],
    /// Of those, facts although goods have moved: the books are wrong.
    pub refused_facts: [u64; Reason::ALL.len()],
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
            refused_payments: [0; Reason::ALL.len()],
            refused_facts: [0; Reason::ALL.len()],
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
                Some(reason) => {
                    self.refused[reason as usize] += 1;
                    match entry.command {
                        Some(CommandKind::Pay) => self.refused_payments[reason as usize] += 1,
                        Some(CommandKind::Ship | CommandKind::Deliver | CommandKind::Return)
                            if moved_all_the_same(reason) =>
                        {
                            self.refused_facts[reason as usize] += 1;
                        }
                        _ => {}
                    }
                }
                None => self.plain[entry.kind as usize] += 1,
            }
        }
    }
}

/// Whether a fact that was refused for this has happened all the same.
const fn moved_all_the_same(reason: Reason) -> bool {
    matches!(reason, Reason::OrderClosed | Reason::UnknownOrder | Reason::ExceedsRemaining)
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
    pub fn outcomes(&self) -> impl Iterator<Item = (&Entry, &[u8])> {
        self.outcomes_from(0)
    }

    /// The outcomes from the `start`th on, each with its bytes.
    pub fn outcomes_from(&self, start: usize) -> impl Iterator<Item = (&Entry, &[u8])> {
        let before = self.end(start);
        self.entries[start..].iter().scan(before, |start, entry| {
            let end = entry.end as usize;
            let mut element = &self.bytes[*start..end];
            *start = end;
            read_varint(&mut element);
            Some((entry, element))
        })
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
        self.entries.partition_point(|entry| entry.identity() <= through)
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
        self.entries.last().map(Entry::identity)
    }
}

/// How much a message may still ask for. See [`super::Inventory::apply`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Lines of its own commands.
    pub(crate) lines: u32,
    /// Outcomes for others.
    pub(crate) outcomes: u32,
    /// Lines looked at for others.
    pub(crate) looks: u32,
    /// Entries forgotten.
    pub(crate) forgotten: u32,
}

/// A message's turn, record by record: what its outcomes have in common, and how much work it may still do.
pub(crate) struct Turn<'o> {
    sequence: u64,
    index: u32,
    place: u32,
    /// Log time.
    pub(crate) at: Timestamp,
    pub(crate) budget: Budget,
    confirmations: Confirmations,
    output: &'o mut Output,
}

impl<'o> Turn<'o> {
    pub(crate) fn new(sequence: u64, at: Timestamp, budget: Budget, output: &'o mut Output) -> Self {
        let confirmations = Confirmations::new(sequence, at);
        Self { sequence, index: 0, place: 0, at, budget, confirmations, output }
    }

    /// Goes on to the next record.
    pub(crate) const fn next(&mut self) {
        self.index += 1;
        self.place = 0;
    }

    pub(crate) const fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) const fn ticket(&self) -> Ticket {
        Ticket::new(self.sequence, self.index)
    }

    pub(crate) const fn count(&mut self, kind: CommandKind) {
        self.output.commands[kind as usize] += 1;
    }

    /// Takes the lines that a command acts on from what its message may ask for.
    pub(crate) fn take_lines(&mut self, lines: usize) -> Result<(), Refusal<'static>> {
        let left = u32::try_from(lines).ok().and_then(|lines| self.budget.lines.checked_sub(lines));
        self.budget.lines = left.ok_or(Refusal::new(Reason::MessageTooLarge))?;
        Ok(())
    }

    /// The same for a plain order; false where there are not so many left.
    #[inline]
    pub(crate) const fn takes_lines(&mut self, lines: u32) -> bool {
        let enough = self.budget.lines >= lines;
        if enough {
            self.budget.lines -= lines;
        }
        enough
    }

    /// Takes lines that are looked at for others, as far as there are any left.
    pub(crate) fn take_looks(&mut self, lines: usize) {
        let lines = u32::try_from(lines).unwrap_or(u32::MAX);
        self.budget.looks = self.budget.looks.saturating_sub(lines);
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "neither is more, which is asserted where entries are made"
    )]
    pub(crate) fn emit(&mut self, decision: &Decision<'_>) {
        let kind = decision.kind();
        let (reason, command) = match decision {
            Decision::Refused { reason, command, .. } => (Some(*reason), Some(*command)),
            _ => (None, None),
        };
        let repeat = decision.repeat().is_some();
        let identity = Identity { sequence: self.sequence, index: self.index, place: self.place };
        encode_outcome(&mut self.output.bytes, decision, identity, self.at);
        let end = u32::try_from(self.output.bytes.len()).expect("an output stays far below 4 GiB");
        let (index, place) = (self.index as u16, self.place as u16);
        let (sequence, answers) = (self.sequence, decision.is_answer());
        let entry = Entry { sequence, end, index, place, kind, reason, repeat, answers, command };
        self.output.entries.push(entry);
        self.place += 1;
    }

    /// What [`Self::emit`] does, for the confirmation of a plain order.
    #[inline(never)]
    #[expect(clippy::cast_possible_truncation, reason = "as in `emit`")]
    pub(crate) fn confirm(&mut self, order_id: Id<'_>, pay_by: Option<Timestamp>) {
        if self.place > 0 {
            return self.confirm_behind(order_id, pay_by);
        }
        let index = self.index as u16;
        self.confirmations.write(&mut self.output.bytes, order_id, pay_by, index);
        let end = u32::try_from(self.output.bytes.len()).expect("an output stays far below 4 GiB");
        let (kind, sequence) = (OutcomeKind::Confirmed, self.sequence);
        let entry = Entry {
            sequence,
            end,
            index,
            place: 0,
            kind,
            reason: None,
            repeat: false,
            answers: true,
            command: None,
        };
        self.output.entries.push(entry);
        self.place = 1;
    }

    /// The same, behind other outcomes of the same record.
    #[cold]
    fn confirm_behind(&mut self, order_id: Id<'_>, pay_by: Option<Timestamp>) {
        let order_id = order_id.text().into();
        let (lines, shortages) = (Vec::new(), Vec::new());
        self.emit(&Decision::Confirmed { order_id, pay_by, lines, shortages, released: false, repeat: None });
    }

    pub(crate) fn dead_letter(&mut self, undecodable: &Undecodable<'_>) {
        let Undecodable { code, reason, bytes } = undecodable;
        self.output.letter_bytes += reason.len() + bytes.len();
        self.output.dead_letters.push(DeadLetter {
            sequence: self.sequence,
            index: self.index,
            format: None,
            reason: reason.clone(),
            bytes: Bytes::copy_from_slice(bytes),
        });
        self.emit(&Decision::DeadLettered { reason: *code });
    }
}

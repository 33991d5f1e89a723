//! Publishing: applied batches in, appends to the outcome stream out. Sans-IO.
//!
//! Appends carry all that gathered meanwhile (group commit), each with `from` (the `through` of the one before) and
//! `through`. The fence is the stream's expected last sequence. After a conflict or a lost acknowledgement the last
//! append is read again and publishing goes on behind its `through`, whoever wrote it: an append that timed out may have
//! landed.
//!
//! Only the leader publishes. A standby takes the same batches and drops what it sees announced, comparing the chain; what
//! is left in its queue when it is to lead is what it has to announce: it takes over from memory.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::folding::{Applied, AppliedMessage};
use crate::edges::streams::AppendError;
use crate::folds::inventory::{Counts, Entry, Output};
use crate::words::append::{Append, AppendHeader, Chain, DeadLetter, StoredAppend};
use crate::words::codec::{Format, FrameWriter, JsonOutcomes};
use crate::words::command::{COMMANDS_MAX, CommandKind};
use crate::words::fault::Fault;
use crate::words::identity::Identity;
use crate::words::outcome::Reason;

/// What the header may take of a message's size limit, in bytes.
const HEADER_BYTES: usize = 1024;
/// The most dead letters under way at once.
const LETTERS_PER_ACTION_MAX: usize = 256;
/// The most outcomes in one append.
const OUTCOMES_PER_APPEND_MAX: usize = COMMANDS_MAX;

fn busy(entries: &[Entry]) -> u64 {
    entries.iter().filter(|entry| entry.reason == Some(Reason::Busy) && !entry.repeat).count() as u64
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until more is applied.
    Idle,
    /// Nothing, until what is under way has ended.
    Wait,
    /// Append dead letters, in any order; the outcomes that tell of them come after.
    DeadLetters(Vec<DeadLetter>),
    /// Append outcomes behind `expected_last`.
    Append {
        /// What to append.
        append: Append,
        /// The outcome stream's last sequence.
        expected_last: u64,
    },
    /// Read the outcome stream's state and its last append, and give them to [`Publishing::read`].
    ReadLast,
}

/// What was announced by an acknowledged append of this worker.
#[derive(Debug, Default)]
pub struct Announced {
    /// How many outcomes, by kind.
    pub outcomes: Counts,
    /// The messages that are wholly announced now.
    pub messages: Vec<AppliedMessage>,
    /// How many commands they had, by [`CommandKind`].
    pub commands: [u64; CommandKind::ALL.len()],
    /// How many of their outcomes are refusals for want of room, but for messages of doors.
    pub busy: u64,
}

/// One shard's publishing.
#[derive(Debug)]
pub struct Publishing {
    writer: String,
    format: Format,
    payload_bytes_max: usize,
    /// The last identity announced: the published position.
    through: Identity,
    /// The chain at the last message that is wholly announced.
    chain: Chain,
    /// The outcome stream's last sequence, as it was last seen.
    stream_last: u64,
    /// Whether it must be read again before an append.
    stream_moved: bool,
    /// Applied, and not wholly announced.
    queue: VecDeque<Arc<Applied>>,
    /// How many outcomes of the queue's front are announced.
    front_outcomes: usize,
    /// How many messages of the queue's front are wholly announced.
    front_messages: usize,
    /// How many dead letters of the queue's front have gone out.
    front_letters: usize,
    /// Those of them that were not stored.
    letters_again: Vec<DeadLetter>,
    /// What was asked for and has not ended.
    under_way: Option<UnderWay>,
    /// The `through` of an append that timed out and may have landed.
    timed_out: Option<Identity>,
    queued_bytes: usize,
    leading: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum UnderWay {
    /// An append with this `through`.
    Append(Identity),
    DeadLetters,
}

impl Publishing {
    /// Starts behind the published position.
    #[must_use]
    pub fn new(writer: String, format: Format, payload_bytes_max: usize, position: &Position) -> Self {
        Self {
            writer,
            format,
            payload_bytes_max,
            through: position.through,
            chain: position.chain,
            stream_last: position.stream_last,
            stream_moved: false,
            queue: VecDeque::new(),
            front_outcomes: 0,
            front_messages: 0,
            front_letters: 0,
            letters_again: Vec::new(),
            under_way: None,
            timed_out: None,
            queued_bytes: 0,
            leading: false,
        }
    }

    /// From now on publishes, or only follows.
    pub const fn lead(&mut self, leading: bool) {
        self.leading = leading;
    }

    /// The largest payload that the broker takes, in bytes, headers included: another server may take less.
    pub const fn set_payload_bytes_max(&mut self, payload_bytes_max: usize) {
        self.payload_bytes_max = payload_bytes_max;
    }

    /// The outcome stream may not be what it was: it is read again before anything else.
    pub const fn doubt(&mut self) {
        self.stream_moved = true;
    }

    /// The published position.
    #[must_use]
    pub const fn through(&self) -> Identity {
        self.through
    }

    /// What is queued takes so many bytes in memory, roughly.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// The outcome stream's last sequence, as it was last seen.
    #[must_use]
    pub const fn stream_last(&self) -> u64 {
        self.stream_last
    }

    /// The last message that is known to be wholly announced.
    #[must_use]
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// Whether all that was given to it is announced.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_none()
    }

    /// Takes an applied batch.
    ///
    /// # Errors
    /// [`Fault::DigestMismatch`] where this worker's chain is not the announced one.
    pub fn applied(&mut self, applied: impl Into<Arc<Applied>>) -> Result<(), Fault> {
        let applied = applied.into();
        self.queued_bytes += applied.bytes;
        self.queue.push_back(applied);
        self.skip(None)
    }

    /// What to do next.
    #[expect(
        clippy::should_implement_trait,
        reason = "no iterator: there is always something next, if only to wait"
    )]
    pub fn next(&mut self) -> Action {
        if self.under_way.is_some() {
            return Action::Wait;
        }
        if !self.leading {
            return Action::Idle;
        }
        if self.stream_moved {
            return Action::ReadLast;
        }
        let Some(front) = self.queue.front() else { return Action::Idle };
        let mut letters = std::mem::take(&mut self.letters_again);
        let rest = &front.output.dead_letters[self.front_letters..];
        if !letters.is_empty() || !rest.is_empty() {
            let rest = &rest[..rest.len().min(LETTERS_PER_ACTION_MAX.saturating_sub(letters.len()))];
            letters.extend_from_slice(rest);
            self.front_letters += rest.len();
            // Letters whose outcomes were announced went out before them.
            let through = self.through;
            letters.retain(|letter| {
                Identity { sequence: letter.sequence, index: letter.index, place: u32::MAX } > through
            });
            if letters.is_empty() {
                return self.next();
            }
            self.under_way = Some(UnderWay::DeadLetters);
            return Action::DeadLetters(letters);
        }
        let append = self.build();
        self.under_way = Some(UnderWay::Append(append.header.through));
        Action::Append { append, expected_last: self.stream_last }
    }

    /// The dead letters under way were stored, but for these, as far as is known: they will be tried again.
    pub fn letters_ended(&mut self, failed: Vec<DeadLetter>) {
        self.under_way = None;
        // What was announced meanwhile by another went out before that.
        if !self.queue.is_empty() {
            self.letters_again = failed;
        }
    }

    /// The append under way was stored with this sequence.
    ///
    /// # Errors
    /// See [`Self::applied`].
    pub fn stored(&mut self, sequence: u64) -> Result<Announced, Fault> {
        let Some(UnderWay::Append(through)) = self.under_way.take() else { return Ok(Announced::default()) };
        (self.stream_last, self.stream_moved) = (self.stream_last.max(sequence), false);
        let mut announced = Announced::default();
        // Whoever leads no longer may have seen others go on meanwhile.
        self.through = self.through.max(through);
        self.skip(Some(&mut announced))?;
        Ok(announced)
    }

    /// The append under way was not acknowledged.
    pub fn failed(&mut self, error: &AppendError) {
        let under_way = self.under_way.take();
        if let (Some(UnderWay::Append(through)), AppendError::TimedOut) = (under_way, error) {
            self.timed_out = Some(through);
        }
        // Only a refusal that says that the stream stands where it was believed to stand spares reading it.
        if *error != AppendError::Full {
            self.stream_moved = true;
        }
    }

    /// What was read after [`Action::ReadLast`], or, by a standby, of what another worker announced.
    ///
    /// # Errors
    /// See [`Self::applied`].
    pub fn read(&mut self, position: &Position) -> Result<Announced, Fault> {
        (self.stream_last, self.stream_moved) = (position.stream_last, false);
        let mut announced = Announced::default();
        if position.through > self.through {
            self.through = position.through;
            self.check_chain(position.chain)?;
        }
        // An append of this worker that timed out and landed counts as its own.
        let landed = self.timed_out.take() == Some(position.through);
        self.skip(landed.then_some(&mut announced))?;
        if position.chain.sequence > self.chain.sequence {
            self.chain = position.chain;
        }
        Ok(announced)
    }

    /// Whether the outcome stream has lost what was announced: the shard must recover from what is left.
    #[must_use]
    pub fn has_lost(&self, position: &Position) -> bool {
        position.through < self.through
    }

    /// Compares an announced chain with this worker's own, where both are known.
    fn check_chain(&self, announced: Chain) -> Result<(), Fault> {
        let own = self.queue.iter().flat_map(|applied| &applied.messages);
        for message in own {
            if message.chain.sequence == announced.sequence && message.chain != announced {
                return Err(Fault::DigestMismatch {
                    at: self.through,
                    announced: announced.to_string(),
                    own: message.chain.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Takes what is announced out of the queue.
    fn skip(&mut self, mut announced: Option<&mut Announced>) -> Result<(), Fault> {
        while let Some(front) = self.queue.front() {
            let outcomes = front.output.len_through(self.through);
            if let Some(announced) = announced.as_deref_mut() {
                announced.outcomes.add(front.output.entries(self.front_outcomes, outcomes));
            }
            self.front_outcomes = outcomes;
            while let Some(message) = front.messages.get(self.front_messages)
                && message.outcomes_end <= outcomes
            {
                if message.chain.sequence == self.chain.sequence && message.chain != self.chain {
                    return Err(Fault::DigestMismatch {
                        at: self.through,
                        announced: self.chain.to_string(),
                        own: message.chain.to_string(),
                    });
                }
                if message.chain.sequence > self.chain.sequence {
                    self.chain = message.chain;
                }
                if let Some(announced) = announced.as_deref_mut() {
                    announced.messages.push(*message);
                    if !message.by_door {
                        let start = message.outcomes_end - message.outcomes;
                        announced.busy += busy(front.output.entries(start, message.outcomes_end));
                    }
                    let before = self.front_messages.checked_sub(1);
                    let start = before.map_or(0, |before| front.messages[before].commands_end);
                    for (kind, count) in &front.commands[start..message.commands_end] {
                        announced.commands[*kind as usize] += u64::from(*count);
                    }
                }
                self.front_messages += 1;
            }
            if self.front_messages < front.messages.len() {
                return Ok(());
            }
            self.queued_bytes -= front.bytes;
            self.queue.pop_front();
            (self.front_outcomes, self.front_messages, self.front_letters) = (0, 0, 0);
            self.letters_again.clear();
        }
        Ok(())
    }

    /// The next append: all that is queued, as far as it fits.
    fn build(&self) -> Append {
        let mut payload = Payload::new(self.format, self.payload_bytes_max.saturating_sub(HEADER_BYTES));
        let mut header = AppendHeader {
            from: self.through,
            through: self.through,
            rules: 0,
            writer: self.writer.clone(),
            chain: self.chain,
        };
        let (mut outcomes, mut messages) = (self.front_outcomes, self.front_messages);
        for applied in &self.queue {
            // The letters of a later batch go out before its outcomes.
            if payload.count > 0 && !applied.output.dead_letters.is_empty() {
                break;
            }
            outcomes += payload.take(&applied.output, outcomes);
            if let Some(last) = applied.output.entries(0, outcomes).last() {
                header.through = header.through.max(last.identity());
            }
            let full = outcomes < applied.output.len();
            for message in &applied.messages[messages..] {
                if message.chain.sequence <= header.through.sequence {
                    header.rules = message.rules;
                }
                if message.outcomes_end > outcomes {
                    break;
                }
                header.chain = message.chain;
            }
            if full {
                break;
            }
            (outcomes, messages) = (0, 0);
        }
        Append { header, format: self.format, payload: payload.finish() }
    }
}

/// How far the outcome stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The stream's last sequence.
    pub stream_last: u64,
    /// The last identity announced.
    pub through: Identity,
    /// The chain announced with it.
    pub chain: Chain,
}

impl Position {
    /// From the stream's last sequence and its last append, as they were at one moment.
    #[must_use]
    pub fn of(stream_last: u64, last: Option<&StoredAppend>) -> Self {
        last.map_or(Self { stream_last, ..Self::default() }, |last| Self {
            stream_last,
            through: last.append.header.through,
            chain: last.append.header.chain,
        })
    }
}

/// A payload of outcomes on its way to its size limit.
struct Payload {
    bytes_max: usize,
    count: usize,
    inner: Inner,
}

enum Inner {
    Json(Vec<u8>, Box<JsonOutcomes>),
    Bincode(FrameWriter),
}

impl Payload {
    fn new(format: Format, bytes_max: usize) -> Self {
        let inner = match format {
            Format::Json => Inner::Json(vec![b'['], Box::default()),
            Format::Bincode => Inner::Bincode(FrameWriter::new()),
        };
        Self { bytes_max, count: 0, inner }
    }

    /// Adds outcomes from the `start`th on, as many as fit, and gives how many. The very first always does: no outcome is
    /// larger than a message may be (see `words::policy::LINES_LIMIT_MAX`).
    fn take(&mut self, output: &Output, start: usize) -> usize {
        let most = (OUTCOMES_PER_APPEND_MAX - self.count).min(output.len() - start);
        let taken = match &mut self.inner {
            Inner::Json(json, writer) => {
                // Taken at once, as far as it will be needed: a vector that grows copies what is in it.
                let room = (most * JsonOutcomes::USUAL_BYTES).min(self.bytes_max.saturating_sub(json.len()));
                json.reserve(room);
                let mut outcomes = output.outcomes_from(start).take(most);
                let mut taken = 0;
                while outcomes.next().is_some_and(|(_, outcome)| {
                    push_json(json, writer, outcome, self.count + taken == 0, self.bytes_max)
                }) {
                    taken += 1;
                }
                taken
            }
            Inner::Bincode(frame) => {
                let fit = output.len_within(start, self.bytes_max.saturating_sub(frame.bytes()));
                let taken = fit.max(usize::from(self.count == 0)).min(most);
                frame.push_elements(output.elements(start, start + taken), taken);
                taken
            }
        };
        self.count += taken;
        taken
    }

    fn finish(self) -> Bytes {
        match self.inner {
            Inner::Json(mut json, _) => {
                json.push(b']');
                json.into()
            }
            Inner::Bincode(frame) => frame.finish().into(),
        }
    }
}

/// Adds an outcome to an array, if it is the first or fits.
fn push_json(
    json: &mut Vec<u8>,
    writer: &mut JsonOutcomes,
    outcome: &[u8],
    first: bool,
    bytes_max: usize,
) -> bool {
    let before = json.len();
    if !first {
        json.push(b',');
    }
    writer.write(json, outcome).expect("the fold wrote it");
    let fits = first || json.len() < bytes_max;
    if !fits {
        json.truncate(before);
    }
    fits
}

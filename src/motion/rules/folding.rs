//! Folding: messages in, applied batches out. Sans-IO; it runs on a thread of its own and never waits for anything but its
//! input.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::life::said;
use crate::edges::streams::{APPEND_HEADER, StoredMessage};
use crate::folds::inventory::{Due, Entry, Frozen, Inventory, Output, Totals};
use crate::words::append::Chain;
use crate::words::command::CommandKind;
use crate::words::fault::Fault;
use crate::words::identity::Identity;
use crate::words::message::LogMessage;
use crate::words::timestamp::Timestamp;

/// A live record may be this far ahead of the worker's clock, in milliseconds.
pub const CLOCK_AHEAD_MS_MAX: i64 = 5 * 60 * 1000;

/// A batch ends with the message that takes it beyond this many bytes in memory.
const BATCH_BYTES: usize = 1 << 20;

/// How many emptied outputs are kept to be filled again.
const OUTPUTS_KEPT_MAX: usize = 64;

/// What came of a batch of messages. It never changes, and is shared by all that read it.
#[derive(Debug)]
pub struct Applied {
    /// The outcomes of all messages.
    pub output: Reused,
    /// The messages, in order.
    pub messages: Vec<AppliedMessage>,
    /// The messages as they were stored: those of this batch and others that were read with them. Empty where a log is folded
    /// without anybody else who reads.
    pub stored: Arc<Vec<StoredMessage>>,
    /// How many commands were applied: kind and count, message by message, as [`AppliedMessage::commands_end`] says.
    pub commands: Vec<(CommandKind, u32)>,
    /// How many records they had.
    pub records: u64,
    /// Whether they are new to the world: beyond what had been announced when this worker took over.
    pub live: bool,
    /// What the fold has to do next.
    pub due: Due,
    /// Log time after the batch.
    pub now: Timestamp,
    /// Sums over the state after the batch.
    pub totals: Totals,
    /// What the batch takes in memory, roughly, in bytes.
    pub bytes: usize,
    /// When it was applied, in nanoseconds since 1970 by the worker's clock; 0 where nobody measures.
    pub applied_at_ns: i64,
}

/// One message of an [`Applied`].
#[derive(Clone, Copy, Debug)]
pub struct AppliedMessage {
    /// The chain after it.
    pub chain: Chain,
    /// When it was stored.
    pub stored_at_ns: i64,
    /// The rules version in force after it.
    pub rules: u32,
    /// Its place in [`Applied::stored`].
    pub place: usize,
    /// How many outcomes it has.
    pub outcomes: usize,
    /// How many of the batch's outcomes come before its end.
    pub outcomes_end: usize,
    /// How many of the batch's counts of commands come before its end.
    pub commands_end: usize,
    /// Whether a door appended it: that one measures how long its commands took, from where they reached it.
    pub by_door: bool,
}

impl Applied {
    /// The last outcome of one of its messages, if that has any.
    #[must_use]
    pub fn last_of(&self, message: &AppliedMessage) -> Option<Identity> {
        let last = message.outcomes_end.checked_sub(1).filter(|_| message.outcomes > 0)?;
        self.output.entries(last, last + 1).first().map(Entry::identity)
    }

    /// The messages of the batch with what their senders said, in order, each with its outcomes.
    pub fn told(&self) -> impl Iterator<Item = (&StoredMessage, &[Entry])> {
        self.messages.iter().filter_map(|message| {
            let entries = self.output.entries(message.outcomes_end - message.outcomes, message.outcomes_end);
            Some((self.stored.get(message.place)?, entries))
        })
    }
}

/// An output whose memory goes back to the fold that filled it, once nobody reads it any more.
#[derive(Debug, Default)]
pub struct Reused {
    output: Output,
    emptied: Weak<Mutex<Vec<Output>>>,
}

impl Deref for Reused {
    type Target = Output;

    fn deref(&self) -> &Output {
        &self.output
    }
}

impl Drop for Reused {
    fn drop(&mut self) {
        let Some(emptied) = self.emptied.upgrade() else { return };
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        let mut emptied = emptied.lock().unwrap_or_else(PoisonError::into_inner);
        if emptied.len() < OUTPUTS_KEPT_MAX {
            emptied.push(output);
        }
    }
}

/// When a batch ends before what was read does.
pub trait Slicing {
    /// Whether the batch is handed on after this message; it takes so many bytes by now.
    fn ends(&self, bytes: usize) -> bool;
}

/// Batches that are bounded only by what they take in memory: for whoever is in no hurry.
#[derive(Clone, Copy, Debug)]
pub struct Whole;

impl Slicing for Whole {
    fn ends(&self, bytes: usize) -> bool {
        bytes > BATCH_BYTES
    }
}

/// What came of a part of what was read.
#[derive(Debug)]
pub struct Sliced {
    /// What was applied; none where all of it had been before.
    pub applied: Option<Applied>,
    /// The place of the first message that was not seen to.
    pub next: usize,
    /// Why the fold is over, if it is.
    pub fault: Option<Fault>,
}

/// A state to fold on from.
#[derive(Debug)]
pub struct Start {
    /// The state; boxed, as it is large and goes through many futures.
    pub inventory: Box<Inventory>,
    /// The last outcome of its past.
    pub through: Identity,
}

impl Start {
    /// Before the first message.
    #[must_use]
    pub fn empty() -> Self {
        Self { inventory: Box::default(), through: Identity::START }
    }
}

/// One shard's fold, and what it checks before it applies.
#[derive(Debug)]
pub struct Folding {
    inventory: Box<Inventory>,
    /// The last message that had been announced (in part) when this worker took over.
    announced: u64,
    /// The last outcome of the state's past.
    through: Identity,
    /// Outputs that were read to the end, to be filled again.
    emptied: Arc<Mutex<Vec<Output>>>,
}

impl Folding {
    /// A fold that starts from a state, for a shard whose outcomes are announced through `announced`. What follows is checked
    /// against the clock before it is applied, whether it was in the log already or comes now.
    #[must_use]
    pub fn new(start: Start, announced: Identity) -> Self {
        let Start { inventory, through } = start;
        Self { inventory, announced: announced.sequence, through, emptied: Arc::default() }
    }

    /// The last outcome of the state's past; [`Identity::START`] where there was none.
    #[must_use]
    pub const fn through(&self) -> Identity {
        self.through
    }

    /// The state.
    #[must_use]
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The state as it is now, to be written while the fold goes on, and the last outcome of its past.
    pub fn freeze(&mut self) -> (Frozen, Identity) {
        (self.inventory.freeze(), self.through)
    }

    /// Gives the state away.
    #[must_use]
    pub fn into_inventory(self) -> Box<Inventory> {
        self.inventory
    }

    /// Applies messages, in order, at `wall_ns` (nanoseconds since 1970, by the later of the worker's clock and the broker's), and gives what came of them
    /// to `each`, in batches of bounded size, until it returns false.
    ///
    /// Messages that were applied before are passed over: delivery may repeat. On a fault, what came before it has been
    /// applied and given; the state must not be used further.
    pub fn step(
        &mut self,
        messages: &[LogMessage],
        wall_ns: i64,
        mut each: impl FnMut(Applied) -> bool,
    ) -> Result<(), Fault> {
        let mut from = 0;
        while from < messages.len() {
            let Sliced { applied, next, fault } =
                self.apply(&messages[from..], |message| message, wall_ns, &Whole);
            let go_on = applied.is_none_or(&mut each);
            fault.map_or(Ok(()), Err)?;
            if !go_on {
                return Ok(());
            }
            from += next;
        }
        Ok(())
    }

    /// Applies some of what was read, from the message at `from` on, as far as `slicing` says; see [`Self::step`].
    pub fn slice(
        &mut self,
        messages: &Arc<Vec<StoredMessage>>,
        from: usize,
        wall_ns: i64,
        slicing: &impl Slicing,
    ) -> Sliced {
        let mut sliced = self.apply(&messages[from..], |stored| &stored.message, wall_ns, slicing);
        sliced.next += from;
        if let Some(applied) = &mut sliced.applied {
            applied.stored = messages.clone();
            for message in &mut applied.messages {
                message.place += from;
                message.by_door = messages[message.place].headers.get(APPEND_HEADER).is_some();
            }
            let payloads = messages[from..sliced.next].iter().map(|stored| stored.message.payload.len());
            applied.bytes += payloads.sum::<usize>();
        }
        sliced
    }

    /// Applies messages until the batch ends, and says how many it has seen to.
    fn apply<M>(
        &mut self,
        messages: &[M],
        message_of: impl Fn(&M) -> &LogMessage,
        wall_ns: i64,
        slicing: &impl Slicing,
    ) -> Sliced {
        let emptied = self.emptied.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut output =
            Reused { output: emptied.unwrap_or_default(), emptied: Arc::downgrade(&self.emptied) };
        let mut applied: Vec<AppliedMessage> = Vec::new();
        let mut commands = Vec::new();
        let (mut fault, mut done, mut live) = (None, 0, None);
        for message in messages.iter().map(message_of) {
            // What was announced is not told again with what was not.
            let is_live = message.sequence > self.announced;
            if *live.get_or_insert(is_live) != is_live {
                break;
            }
            let place = done;
            done += 1;
            if message.sequence <= self.inventory.chain().sequence {
                continue;
            }
            let (outcomes_start, counted) = (output.len(), output.commands);
            if let Err(found) = self.apply_one(message, wall_ns, &mut output.output) {
                fault = Some(found);
                break;
            }
            for ((kind, now), before) in CommandKind::ALL.into_iter().zip(output.commands).zip(counted) {
                if now > before {
                    commands.push((kind, now - before));
                }
            }
            applied.push(AppliedMessage {
                chain: self.inventory.chain(),
                stored_at_ns: message.stored_at_ns,
                rules: self.inventory.policy().rules,
                place,
                outcomes: output.len() - outcomes_start,
                outcomes_end: output.len(),
                commands_end: commands.len(),
                by_door: false,
            });
            if slicing.ends(output.footprint()) {
                break;
            }
        }
        // A message that failed half-way (only a panic does) may have left outcomes that must not be seen.
        output.output.truncate(applied.last().map_or(0, |message| message.outcomes_end));
        self.through = output.last().unwrap_or(self.through);
        if applied.is_empty() {
            return Sliced { applied: None, next: done, fault };
        }
        let counted: u64 = output.commands.iter().copied().map(u64::from).sum();
        let applied = Applied {
            records: counted + output.dead_letters.len() as u64,
            bytes: output.footprint() + applied.len() * size_of::<AppliedMessage>(),
            output,
            messages: applied,
            stored: Arc::default(),
            commands,
            live: live.unwrap_or_default(),
            due: self.inventory.due(),
            now: self.inventory.now(),
            totals: self.inventory.totals(),
            applied_at_ns: 0,
        };
        Sliced { applied: Some(applied), next: done, fault }
    }

    fn apply_one(&mut self, message: &LogMessage, wall_ns: i64, output: &mut Output) -> Result<(), Fault> {
        let ahead_ms = message.stored_at_ns.saturating_sub(wall_ns) / 1_000_000;
        if message.sequence > self.announced && ahead_ms > CLOCK_AHEAD_MS_MAX {
            return Err(Fault::Clock { sequence: message.sequence, ahead_ms });
        }
        let inventory = &mut self.inventory;
        let apply = || {
            let applied = inventory.apply(message, output);
            // No command panics; a test must see what would come of one.
            #[cfg(test)]
            assert!(&message.payload[..] != tests::PANICS, "as the test says");
            applied
        };
        catch_unwind(AssertUnwindSafe(apply))
            .unwrap_or_else(|panic| Err(Fault::Panic { sequence: message.sequence, message: said(&*panic) }))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::words::codec::Format;
    use crate::words::message::Way;

    /// A payload on which the fold panics.
    pub(super) const PANICS: &[u8] = br#"{"tick":{}, "panic":true}"#;

    fn message(sequence: u64, stored_at_ns: i64) -> LogMessage {
        let payload = Bytes::from(format!(
            r#"{{"receive":{{"receipt_id":"R-{sequence}","lines":[{{"sku":"A","quantity":1}}]}}}}"#
        ));
        LogMessage { sequence, stored_at_ns, way: Way::Any, format: Some(Format::Json), payload }
    }

    fn step(folding: &mut Folding, messages: &[LogMessage]) -> (Vec<Applied>, Result<(), Fault>) {
        let mut batches = Vec::new();
        let ended = folding.step(messages, 0, |applied| {
            batches.push(applied);
            true
        });
        (batches, ended)
    }

    #[test]
    fn splits_at_what_was_announced_and_passes_over_repeats() {
        let mut folding = Folding::new(Start::empty(), Identity { sequence: 2, index: 0, place: 0 });
        let messages: Vec<_> = (1..=3).map(|sequence| message(sequence, 0)).collect();
        let (batches, ended) = step(&mut folding, &messages);
        assert_eq!(ended, Ok(()));
        let shape: Vec<_> = batches.iter().map(|batch| (batch.live, batch.messages.len())).collect();
        assert_eq!(shape, [(false, 2), (true, 1)]);
        let (batches, ended) = step(&mut folding, &messages[1..]);
        assert_eq!((batches.len(), ended), (0, Ok(())));
    }

    #[test]
    fn batches_are_bounded_by_what_they_take_in_memory() {
        let mut folding = Folding::new(Start::empty(), Identity::START);
        let garbage = Bytes::from(format!("[{}0]", "0,".repeat(9_999)));
        let messages: Vec<_> = (1..=50)
            .map(|sequence| LogMessage { payload: garbage.clone(), ..message(sequence, 0) })
            .collect();
        let (batches, ended) = step(&mut folding, &messages);
        assert_eq!(ended, Ok(()));
        assert_eq!(batches.iter().map(|batch| batch.messages.len()).sum::<usize>(), 50);
        assert!(
            batches.iter().all(|batch| batch.bytes < 8 << 20),
            "{:?}",
            batches.iter().map(|b| b.bytes).max()
        );
    }

    #[test]
    fn a_panic_halts_and_what_came_before_it_is_given() {
        let mut folding = Folding::new(Start::empty(), Identity::START);
        let poison = LogMessage { payload: PANICS.into(), ..message(2, 0) };
        let (batches, ended) = step(&mut folding, &[message(1, 0), poison, message(3, 0)]);
        let given: Vec<_> = batches.iter().flat_map(|batch| &batch.messages).collect();
        assert_eq!((given.len(), given[0].chain.sequence), (1, 1));
        assert_eq!(
            batches[0].output.last().map(|last| last.sequence),
            Some(1),
            "nothing of the one that panicked"
        );
        assert_eq!(ended, Err(Fault::Panic { sequence: 2, message: "as the test says".to_owned() }));
    }

    #[test]
    fn a_gap_halts() {
        let mut folding = Folding::new(Start::empty(), Identity::START);
        let (batches, ended) = step(&mut folding, &[message(1, 0), message(3, 0)]);
        assert_eq!(batches[0].messages.len(), 1);
        assert_eq!(ended, Err(Fault::Gap { expected: 2, found: 3 }));
    }

    #[test]
    fn a_live_record_from_the_future_halts_before_it_is_applied() {
        let far = (CLOCK_AHEAD_MS_MAX + 1) * 1_000_000;
        let announced = Identity { sequence: 1, ..Identity::START };
        let mut folding = Folding::new(Start::empty(), announced);
        assert_eq!(step(&mut folding, &[message(1, far)]).1, Ok(()), "what was announced is past");
        let (_, ended) = step(&mut folding, &[message(2, far)]);
        assert_eq!(ended, Err(Fault::Clock { sequence: 2, ahead_ms: CLOCK_AHEAD_MS_MAX + 1 }));
        assert_eq!(folding.inventory().chain().sequence, 1);
    }
}

//! Folding: messages in, applied batches out. Sans-IO; it runs on a thread of its own and never waits for anything but its
//! input.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::folds::inventory::{Due, Inventory, Output, Totals};
use crate::words::append::Chain;
use crate::words::fault::Fault;
use crate::words::identity::Identity;
use crate::words::message::LogMessage;
use crate::words::timestamp::Timestamp;

/// A live record may be this far ahead of the worker's clock, in milliseconds.
pub const CLOCK_AHEAD_MS_MAX: i64 = 5 * 60 * 1000;

/// A batch ends with the message that takes it beyond this many bytes in memory.
const BATCH_BYTES: usize = 1 << 20;

/// What came of a batch of messages.
#[derive(Debug)]
pub struct Applied {
    /// The outcomes of all messages.
    pub output: Output,
    /// The messages, in order.
    pub messages: Vec<AppliedMessage>,
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
    /// How many outcomes it has.
    pub outcomes: usize,
    /// How many of the batch's outcomes come before its end.
    pub outcomes_end: usize,
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
    /// The last message that the log held then: what follows is live, and checked against the clock.
    recovered: u64,
    /// The last outcome of the state's past.
    through: Identity,
    /// How many outcomes the last batch had, and how many bytes they took: the next one need not grow step by step.
    room: (usize, usize),
}

impl Folding {
    /// A fold that starts from a state, for a shard whose outcomes are announced through `announced` and whose log ends at
    /// `log_last`.
    #[must_use]
    pub fn new(start: Start, announced: Identity, log_last: u64) -> Self {
        let Start { inventory, through } = start;
        Self { inventory, announced: announced.sequence, recovered: log_last, through, room: (0, 0) }
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

    /// Gives the state away.
    #[must_use]
    pub fn into_inventory(self) -> Box<Inventory> {
        self.inventory
    }

    /// Applies messages, in order, at `wall_ns` (nanoseconds since 1970 by the worker's clock), and gives what came of them
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
        let (replayed, live) = messages.split_at(messages.partition_point(|m| m.sequence <= self.announced));
        for (mut messages, live) in [(replayed, false), (live, true)] {
            while !messages.is_empty() {
                let (applied, done, fault) = self.apply(messages, live, wall_ns);
                let go_on = applied.messages.is_empty() || each(applied);
                fault.map_or(Ok(()), Err)?;
                if !go_on {
                    return Ok(());
                }
                messages = &messages[done..];
            }
        }
        Ok(())
    }

    /// Applies messages until the batch is full, and says how many it has seen to.
    fn apply(
        &mut self,
        messages: &[LogMessage],
        live: bool,
        wall_ns: i64,
    ) -> (Applied, usize, Option<Fault>) {
        let mut output = Output::with_capacity(self.room.0, self.room.1);
        let mut applied = Vec::new();
        let mut fault = None;
        let mut done = 0;
        for message in messages {
            if output.footprint() > BATCH_BYTES {
                break;
            }
            done += 1;
            if message.sequence <= self.inventory.chain().sequence {
                continue;
            }
            let outcomes_start = output.len();
            if let Err(found) = self.apply_one(message, wall_ns, &mut output) {
                fault = Some(found);
                break;
            }
            applied.push(AppliedMessage {
                chain: self.inventory.chain(),
                stored_at_ns: message.stored_at_ns,
                rules: self.inventory.policy().rules,
                outcomes: output.len() - outcomes_start,
                outcomes_end: output.len(),
            });
        }
        // A message that failed half-way (only a panic does) may have left outcomes that must not be seen.
        output.truncate(applied.last().map_or(0, |message| message.outcomes_end));
        self.room = (output.len(), output.bytes().len());
        self.through = output.last().unwrap_or(self.through);
        let (due, now, totals) = (self.inventory.due(), self.inventory.now(), self.inventory.totals());
        let commands: u64 = output.commands.iter().copied().map(u64::from).sum();
        let records = commands + output.dead_letters.len() as u64;
        let bytes = output.footprint() + applied.len() * size_of::<AppliedMessage>();
        (Applied { output, messages: applied, records, live, due, now, totals, bytes }, done, fault)
    }

    fn apply_one(&mut self, message: &LogMessage, wall_ns: i64, output: &mut Output) -> Result<(), Fault> {
        let ahead_ms = message.stored_at_ns.saturating_sub(wall_ns) / 1_000_000;
        if message.sequence > self.recovered && ahead_ms > CLOCK_AHEAD_MS_MAX {
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
        catch_unwind(AssertUnwindSafe(apply)).unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Fault::Panic {
                sequence: message.sequence,
                message: text.unwrap_or("without a message").to_owned(),
            })
        })
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
        let mut folding = Folding::new(Start::empty(), Identity { sequence: 2, index: 0, place: 0 }, 3);
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
        let mut folding = Folding::new(Start::empty(), Identity::START, 0);
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
        let mut folding = Folding::new(Start::empty(), Identity::START, 0);
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
        let mut folding = Folding::new(Start::empty(), Identity::START, 0);
        let (batches, ended) = step(&mut folding, &[message(1, 0), message(3, 0)]);
        assert_eq!(batches[0].messages.len(), 1);
        assert_eq!(ended, Err(Fault::Gap { expected: 2, found: 3 }));
    }

    #[test]
    fn a_live_record_from_the_future_halts_before_it_is_applied() {
        let far = (CLOCK_AHEAD_MS_MAX + 1) * 1_000_000;
        let mut folding = Folding::new(Start::empty(), Identity::START, 1);
        assert_eq!(step(&mut folding, &[message(1, far)]).1, Ok(()), "what is recovered is not live");
        let (_, ended) = step(&mut folding, &[message(2, far)]);
        assert_eq!(ended, Err(Fault::Clock { sequence: 2, ahead_ms: CLOCK_AHEAD_MS_MAX + 1 }));
        assert_eq!(folding.inventory().chain().sequence, 1);
    }
}

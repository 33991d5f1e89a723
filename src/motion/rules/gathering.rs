//! Gathering: commands of many requests in, messages for the log out. Sans-IO.
//!
//! A message is packed by what the fold allows one to ask for, so that a command that fits a message of its own is never refused
//! because of what else is in it. What a command means without naming it (all lines of an order) a door cannot know: it is counted as
//! [`UNNAMED_LINES`](crate::words::command::UNNAMED_LINES), and one that the fold refuses all the same goes again, alone.

use std::collections::VecDeque;

use crate::folds::inventory::LINES_PER_MESSAGE_MAX;
use crate::words::codec::FrameWriter;
use crate::words::command::Command;

/// The most commands in one message: a quarter of what a message may hold, so that a fold is never long at one.
pub const COMMANDS_PER_MESSAGE_MAX: u64 = 4_096;
/// A message that is larger than this takes no further command, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 512 << 10;
/// What the header of a message may take of the broker's limit, in bytes.
pub const HEADER_BYTES: usize = 512;

/// What a command takes of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Lines that it asks for, as far as it says so.
    pub lines: u32,
    /// Whether it must have a message of its own.
    pub alone: bool,
}

impl Weight {
    /// What this command takes.
    #[must_use]
    pub fn of(command: &Command<'_>) -> Self {
        let content = command.content();
        Self { lines: u32::try_from(content.asks()).unwrap_or(u32::MAX), alone: content.is_alone() }
    }
}

/// A command on its way into a message.
pub trait Packed {
    /// The command, in bincode's format.
    fn element(&self) -> &[u8];
    /// What it takes.
    fn weight(&self) -> Weight;
}

/// Takes as many commands from the front of a queue as one message holds, at least one where there is any. `wanted` says whether a
/// command is still to be sent: what is not is dropped. Gives the message's payload, and its commands in the order of their indexes.
pub fn pack<T: Packed>(
    queue: &mut VecDeque<T>,
    payload_bytes_max: usize,
    mut wanted: impl FnMut(&T) -> bool,
) -> Option<(Vec<u8>, Vec<T>)> {
    let bytes_max = payload_bytes_max.saturating_sub(HEADER_BYTES).min(MESSAGE_BYTES_MAX);
    let mut frame = FrameWriter::new();
    let mut taken: Vec<T> = Vec::new();
    let mut lines = 0_u32;
    while let Some(front) = queue.front() {
        let weight = front.weight();
        // The length before an element takes 9 bytes at most.
        let bytes = frame.bytes() + front.element().len() + 9;
        let asks = lines.saturating_add(weight.lines);
        let fits = !weight.alone
            && frame.count() < COMMANDS_PER_MESSAGE_MAX
            && bytes <= bytes_max
            && asks <= LINES_PER_MESSAGE_MAX;
        if !fits && !taken.is_empty() {
            break;
        }
        let Some(item) = queue.pop_front() else { break };
        if !wanted(&item) {
            continue;
        }
        lines = asks;
        frame.push(item.element());
        taken.push(item);
        if weight.alone {
            break;
        }
    }
    (!taken.is_empty()).then(|| (frame.finish(), taken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::codec::{Format, commands, encode_command};
    use crate::words::command::{Cancel, Place, PlaceLine};
    use crate::words::policy::{PolicyChange, RULES_NEWEST};

    struct Item(Vec<u8>, Weight);

    impl Packed for Item {
        fn element(&self) -> &[u8] {
            &self.0
        }

        fn weight(&self) -> Weight {
            self.1
        }
    }

    fn item(command: &Command<'_>) -> Item {
        Item(encode_command(command), Weight::of(command))
    }

    fn place(lines: usize) -> Command<'static> {
        let line = PlaceLine { sku: "S".into(), quantity: 1, unit_price: None };
        Command::Place(Place { order_id: "O".into(), lines: vec![line; lines], ..Place::default() })
    }

    /// How many commands each message has, after a check that each is a frame of that many.
    fn packed(commands_given: &[Command<'_>], payload_bytes_max: usize) -> Vec<usize> {
        let mut queue: VecDeque<_> = commands_given.iter().map(item).collect();
        let mut sizes = Vec::new();
        while let Some((payload, items)) = pack(&mut queue, payload_bytes_max, |_| true) {
            let read: Vec<_> = commands(Some(Format::Bincode), &payload, RULES_NEWEST).collect();
            assert_eq!(read.len(), items.len());
            for (read, item) in read.iter().zip(&items) {
                assert_eq!(encode_command(read.as_ref().unwrap()), item.0);
            }
            assert!(items.len() == 1 || payload.len() + HEADER_BYTES <= payload_bytes_max);
            sizes.push(items.len());
        }
        sizes
    }

    #[test]
    fn a_message_holds_what_the_fold_allows_it() {
        let many = vec![place(1); 10_000];
        assert_eq!(packed(&many, 1 << 20), [4_096, 4_096, 1_808]);
        // 32,768 lines, and not one more.
        let with = |last| [vec![place(4_000); 8], vec![place(last)]].concat();
        assert_eq!(packed(&with(768), 64 << 20), [9]);
        assert_eq!(packed(&with(769), 64 << 20), [8, 1]);
        let cancel = Command::Cancel(Cancel { order_id: "O".into(), ..Cancel::default() });
        assert_eq!(packed(&vec![cancel; 1_000], 1 << 20), [512, 488]);
    }

    #[test]
    fn a_policy_is_alone_and_order_is_kept() {
        let policy = Command::Policy(PolicyChange { rules: Some(1), ..PolicyChange::default() });
        assert_eq!(packed(&[place(1), policy.clone(), policy, place(1), place(2)], 1 << 20), [1, 1, 1, 2]);
    }

    #[test]
    fn a_message_stays_below_what_the_broker_takes() {
        assert!(packed(&vec![place(1); 100], 1_024).iter().all(|size| (2..100).contains(size)));
        // One that is larger than all of it is alone.
        assert_eq!(packed(&[place(1), place(1_000), place(1)], 1_024), [1, 1, 1]);
        let large = packed(&vec![place(1_000); 1_000], 8 << 20);
        assert!(large.iter().all(|size| *size <= 32), "{large:?}");
    }

    #[test]
    fn what_nobody_waits_for_is_left_out() {
        let mut queue: VecDeque<_> = (0..4).map(|_| item(&place(1))).collect();
        let mut number = 0;
        let packed = pack(&mut queue, 1 << 20, |_| {
            number += 1;
            number % 2 == 0
        });
        assert_eq!(packed.unwrap().1.len(), 2);
        let mut queue: VecDeque<_> = (0..4).map(|_| item(&place(1))).collect();
        assert!(pack(&mut queue, 1 << 20, |_| false).is_none());
        assert!(queue.is_empty());
    }
}

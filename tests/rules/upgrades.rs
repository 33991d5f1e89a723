//! Two binaries and one log: what the rules in force do not know is a dead letter for both, with one code and one chain, whether a
//! binary knows the command or has never heard of it.

use std::collections::BTreeSet;

use weir::folds::inventory::{Inventory, Output};
use weir::words::append::Chain;
use weir::words::codec::{self, Element, Format, FrameWriter};
use weir::words::command::{Command, CommandKind};
use weir::words::hash::{hash, mix};
use weir::words::message::{LogMessage, Way};
use weir::words::outcome::{Decision, Unreadable};
use weir::words::policy::RULES_NEWEST;
use weir::words::timestamp::Timestamp;

use crate::golden;
use crate::support::{START_MS, Shard, receive};

const BOTH: [Format; 2] = [Format::Json, Format::Bincode];
/// Rules before the first: every command is newer.
const RULES_BEFORE: u32 = 0;

fn commands() -> Vec<Command<'static>> {
    golden::commands().cloned().collect()
}

/// A command that nobody knows, as a client of a later version may send it.
fn of_the_future(format: Format) -> Vec<u8> {
    match format {
        Format::Json => br#"{"postpone":{"order_id":"O-1","ship_by":"2026-12-01T00:00:00Z"}}"#.to_vec(),
        Format::Bincode => {
            let mut frame = FrameWriter::new();
            frame.push(&[u8::try_from(CommandKind::ALL.len()).unwrap(), 3, b'O', b'-', b'1']);
            frame.finish()
        }
    }
}

/// The code of each element that is no command under some rules, and none for those that are one; both readers must agree.
fn codes(format: Format, payload: &[u8], rules: u32) -> Vec<Option<Unreadable>> {
    let codes: Vec<_> =
        codec::commands(Some(format), payload, rules).map(|one| one.err().map(|it| it.code)).collect();
    let mut elements = codec::commands(Some(format), payload, rules);
    let mut by_element = Vec::new();
    while let Some(element) = elements.next_element() {
        by_element.push(match element {
            Element::Plain(_) => None,
            Element::Other(other) => other.err().map(|undecodable| undecodable.code),
        });
    }
    assert_eq!(codes, by_element);
    codes
}

/// The chain after one message, of which each element was answered with this dead letter.
fn chain_of(message: &LogMessage, codes: &[Unreadable]) -> Chain {
    let at = Timestamp::from_millis(START_MS);
    let mut elements = Vec::new();
    for (index, code) in (0..).zip(codes) {
        let identity = weir::words::identity::Identity { sequence: message.sequence, index, place: 0 };
        codec::encode_outcome(&mut elements, &Decision::DeadLettered { reason: *code }, identity, at);
    }
    Chain { sequence: message.sequence, hash: mix(mix(0, message.hash()), hash(&elements)) }
}

fn message(format: Format, payload: Vec<u8>) -> LogMessage {
    LogMessage {
        sequence: 1,
        stored_at_ns: START_MS * 1_000_000,
        way: Way::Any,
        format: Some(format),
        payload: payload.into(),
    }
}

/// A binary that knows a command of newer rules says of it what one says that does not know it.
#[test]
fn a_command_of_newer_rules_is_as_one_that_nobody_knows() {
    let unknown = Some(Unreadable::NotACommand);
    for format in BOTH {
        for command in commands() {
            assert!(command.kind().rules() > RULES_BEFORE && command.kind().rules() <= RULES_NEWEST);
            let payload = codec::encode_commands(format, std::slice::from_ref(&command));
            assert_eq!(codes(format, &payload, RULES_NEWEST), [None], "{command:?}");
            assert_eq!(codes(format, &payload, RULES_BEFORE), [unknown], "{command:?}");
        }
        assert_eq!(codes(format, &of_the_future(format), RULES_NEWEST), [unknown]);
        // All of them in one message: each stands alone.
        let all = codec::encode_commands(format, &commands());
        assert_eq!(codes(format, &all, RULES_BEFORE), vec![unknown; commands().len()]);
    }
}

/// What a person is told of it is not in the chain: only the code is.
#[test]
fn the_chain_has_codes_and_no_sentences() {
    for format in BOTH {
        let message = message(format, of_the_future(format));
        let (mut inventory, mut output) = (Inventory::new(), Output::default());
        inventory.apply(&message, &mut output).unwrap();
        // The chain as it is made by whoever knows the command, and has a sentence of its own for the letter.
        assert_eq!(inventory.chain(), chain_of(&message, &[Unreadable::NotACommand]), "{format:?}");
        let [letter] = &output.dead_letters[..] else { panic!("{:?}", output.dead_letters) };
        assert!(!letter.reason.is_empty());
    }
}

/// The commands around one that is not known are decided, by the same indexes for everybody.
#[test]
fn what_stands_around_it_is_decided() {
    let known = |format| codec::encode_commands(format, &[receive("R-1", "A", 1)]);
    let json = [&b"["[..], &of_the_future(Format::Json), b",", &known(Format::Json), b"]"].concat();
    let mut frame = FrameWriter::new();
    frame.push(&[u8::try_from(CommandKind::ALL.len()).unwrap(), 1]);
    frame.push_command(&receive("R-1", "A", 1));
    for (format, payload) in [(Format::Json, json), (Format::Bincode, frame.finish())] {
        let mut shard = Shard::new();
        shard.feed(Some(format), payload).unwrap();
        let outcomes = shard.outcomes();
        assert!(matches!(outcomes[0].decision, Decision::DeadLettered { reason: Unreadable::NotACommand }));
        assert!(matches!(outcomes[1].decision, Decision::Received { .. }));
        assert_eq!(outcomes[1].index, 1);
    }
}

/// One more command, as a patch.
const ONE_MORE: &str = include_str!("../upgrade/one-more-command.patch");
/// The most files that one more command may touch, tests included.
const FILES_MAX: usize = 10;

/// `tests/upgrade/build` shows that the patch is a whole command. Documents are not counted, and what is generated is not in
/// it.
#[test]
fn a_new_command_touches_few_files() {
    let files = ONE_MORE.lines().filter_map(|line| line.strip_prefix("+++ b/"));
    let counted: BTreeSet<_> = files.filter(|file| !file.starts_with("docs/")).collect();
    assert!(counted.iter().all(|file| file.starts_with("src/") || file.starts_with("tests/")), "{counted:?}");
    assert!(counted.contains("src/words/command.rs") && counted.len() <= FILES_MAX, "{counted:?}");
}

//! What is known of each command beside its content: how a retry of it is told, what it takes of a message, whose it is.

use weir::client::is_idempotent;
use weir::motion::rules::gathering::Weight;
use weir::words::command::Command;

const FROZEN: &str = include_str!("../golden/frame-v1.jsonl");

/// For each line of the frozen file: whether a retry does no harm, how many lines it takes, and whether it is alone.
const ANSWERS: [(bool, u32, bool); 33] = [
    (true, 1, false),
    (true, 2, false),
    (true, 1, false),
    (false, 64, false),
    (false, 64, false),
    (false, 0, false),
    (false, 0, false),
    (false, 64, false),
    (true, 64, false),
    (true, 0, false),
    (true, 0, false),
    (false, 64, false),
    (true, 64, false),
    (false, 64, false),
    (true, 64, false),
    (true, 64, false),
    (true, 64, false),
    (true, 1, false),
    (true, 1, false),
    (true, 1, false),
    (true, 1, false),
    (true, 0, true),
    (true, 0, true),
    (false, 0, false),
    (true, 2, false),
    (true, 64, false),
    (true, 0, false),
    (true, 1, false),
    (true, 1, false),
    (true, 1, false),
    (true, 2, false),
    (true, 128, false),
    (true, 0, false),
];

#[test]
fn retries_and_weights_are_as_they_were() {
    let answers: Vec<_> = FROZEN
        .lines()
        .map(|line| {
            let command: Command<'_> = serde_json::from_str(line).unwrap();
            let Weight { lines, alone } = Weight::of(&command);
            (is_idempotent(&command), lines, alone)
        })
        .collect();
    assert_eq!(answers, ANSWERS);
}

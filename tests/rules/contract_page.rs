//! The contract page says what the program does: its examples decode, and it names every code that there is.

use std::collections::BTreeSet;

use weir::words::codec::{Format, commands};
use weir::words::command::CommandKind;
use weir::words::outcome::{Mark, Outcome, OutcomeKind, Reason, Unreadable};
use weir::words::policy::RULES_NEWEST;
use weir::words::query::QueryCode;
use weir::words::reply::{DoorReason, ReplyKind};

const PAGE: &str = include_str!("../../docs/contract.md");

/// The JSON examples, with the lines they stand on.
pub(crate) fn examples() -> Vec<(usize, String)> {
    let mut examples = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (line, text) in PAGE.lines().enumerate() {
        match (&mut open, text) {
            (None, "```json") => open = Some((line + 1, String::new())),
            (Some(_), "```") => examples.extend(open.take()),
            (Some((_, example)), _) => {
                example.push_str(text);
                example.push('\n');
            }
            (None, _) => {}
        }
    }
    examples
}

#[test]
fn every_command_and_outcome_has_an_example_that_is_read_as_it_stands() {
    let (mut commands_seen, mut outcomes_seen) = (BTreeSet::new(), BTreeSet::new());
    for (line, example) in examples() {
        let value: serde_json::Value =
            serde_json::from_str(&example).unwrap_or_else(|e| panic!("line {line}: {e}"));
        if value.get("outcome").is_some() {
            let outcome: Outcome<'_> =
                serde_json::from_str(&example).unwrap_or_else(|e| panic!("line {line}: {e}"));
            assert_eq!(serde_json::to_value(&outcome).unwrap(), value, "line {line} is written differently");
            outcomes_seen.insert(outcome.decision.kind().name());
        } else {
            for decoded in commands(Some(Format::Json), example.as_bytes(), RULES_NEWEST) {
                let command = decoded.unwrap_or_else(|e| panic!("line {line}: {}", e.reason));
                commands_seen.insert(command.kind().name());
            }
        }
    }
    assert_eq!(commands_seen, CommandKind::ALL.map(CommandKind::name).into());
    assert_eq!(outcomes_seen, OutcomeKind::ALL.map(OutcomeKind::name).into());
}

/// The page's part on the door, and what is left of it.
fn door() -> (&'static str, String) {
    let (before, rest) = PAGE.split_once("\n## The door\n").unwrap();
    let (door, behind) = rest.split_once("\n## ").unwrap();
    (door, format!("{before}\n## {behind}"))
}

/// The first cells of a text's tables, as far as they are codes.
fn first_cells(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |")).map(|(cell, _)| cell)
}

#[test]
fn every_code_of_the_door_is_on_the_page_and_no_other() {
    let (door, _) = door();
    let cells = first_cells(door).flat_map(|cell| cell.split(", ")).map(|code| code.trim_matches('`'));
    let codes: BTreeSet<_> = cells.map(|code| code.split('`').next().unwrap()).collect();
    let kinds = ReplyKind::ALL.into_iter().filter(|kind| *kind != ReplyKind::Decided).map(ReplyKind::name);
    assert_eq!(codes, kinds.chain(DoorReason::ALL.map(DoorReason::name)).collect());
}

#[test]
fn every_code_is_on_the_page_and_no_other() {
    let (_, page) = door();
    // Tables of codes have that for their first column's name.
    let mut in_codes = false;
    let mut codes = BTreeSet::new();
    for line in page.lines() {
        in_codes = line.starts_with('|') && (in_codes || line.starts_with("| code |"));
        let code = line.strip_prefix("| `").and_then(|line| line.split_once('`'));
        codes.extend(code.filter(|_| in_codes).map(|(code, _)| code));
    }
    let all = Reason::ALL.map(Reason::code).into_iter().chain(Unreadable::ALL.map(Unreadable::name));
    let all = all.chain(QueryCode::ALL.map(QueryCode::name));
    assert_eq!(codes, all.collect());
    for mark in Mark::ALL.map(Mark::name) {
        assert!(PAGE.contains(&format!("`{mark}`")), "{mark} is not on the page");
    }
}

/// What the page says of a code is what the catalogue says, from which `weir schema errors` is made.
#[test]
fn the_page_says_of_each_code_what_the_catalogue_says() {
    for reason in Reason::ALL {
        let advice = reason.advice();
        let row = format!("| `{}` | {} | {} |", reason.code(), advice.meaning, advice.retry.words());
        assert!(PAGE.lines().any(|line| line == row), "not on the page: {row}");
    }
    for unreadable in Unreadable::ALL {
        let row = format!("| `{}` | {} |", unreadable.name(), unreadable.advice().meaning);
        assert!(PAGE.lines().any(|line| line == row), "not on the page: {row}");
    }
}

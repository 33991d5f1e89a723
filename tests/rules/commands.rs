//! What is known of each command beside its content: how a retry of it is told, what it takes of a message, whose it is.

use serde_json::{Value, json};
use weir::client::is_idempotent;
use weir::motion::rules::gathering::Weight;
use weir::words::command::Command;
use weir::words::policy::SITE_DEFAULT;

use crate::golden;

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

/// The fields of a command or an outcome that end in `_id`.
fn ids(fields: &Value) -> impl Iterator<Item = &Value> {
    fields.as_object().unwrap().iter().filter(|(field, _)| field.ends_with("_id")).map(|(_, id)| id)
}

/// A row of `contents!` says what the fields of its command say. A command for which it says too little fails here.
#[test]
fn what_is_known_of_a_command_is_what_its_fields_say() {
    for command in golden::commands() {
        let json = serde_json::to_value(command).unwrap();
        let (name, fields) = json.as_object().unwrap().iter().next().unwrap();
        let content = command.content();
        let subject = serde_json::to_value(content.subject()).unwrap();
        for (field, id) in subject.as_object().into_iter().flatten() {
            assert_eq!(&fields[field], id, "{command:?}");
        }
        // An id that is not the subject's is its own, and a retry is told by it.
        let subject = content.subject().map_or(Value::Null, |subject| json!(subject.id()));
        for id in ids(fields).filter(|id| **id != subject) {
            assert_eq!(
                Some(id),
                content.told_by().map(Value::from).as_ref(),
                "{command:?} is told by another id"
            );
        }
        assert_eq!(ids(fields).next().is_some(), subject != Value::Null, "{command:?} has another subject");
        let told = content.told_by().map(Value::from);
        assert!(told.is_none_or(|told| ids(fields).any(|id| *id == told)), "{command:?} is told by no field");
        assert_eq!(
            json!(content.occurred_at()),
            fields["occurred_at"],
            "{command:?} occurred at another time"
        );
        let lists = fields.as_object().unwrap().values().filter_map(Value::as_array).map(Vec::len);
        assert_eq!(
            content.longest_list(),
            longest(lists, &fields["attributes"]),
            "{command:?} has another list"
        );
        let first = fields["sites"].get(0).filter(|_| name == "place");
        if let Some(site) = fields.get("site").or(first) {
            assert_eq!(
                content.site().map(Value::from).as_ref(),
                Some(site),
                "{command:?} is of another site"
            );
        }
    }
}

fn longest(lists: impl Iterator<Item = usize>, attributes: &Value) -> usize {
    lists.chain(attributes.as_object().map(serde_json::Map::len)).max().unwrap_or(0)
}

/// Where no site is named, a command of one site means the default.
#[test]
fn what_names_no_site_means_the_default() {
    let named: Vec<_> = FROZEN
        .lines()
        .map(|line| serde_json::from_str::<Command<'_>>(line).unwrap())
        .map(|command| command.content().site().unwrap_or("none").to_owned())
        .collect();
    let place = ["main", "west", "main"];
    assert_eq!(named[..3], place);
    assert!(named[3..17].iter().all(|site| site == "none"));
    assert_eq!(named[17..21], [SITE_DEFAULT, "west", SITE_DEFAULT, "west"]);
    let later = ["main", "none", "none", "main", "main", "west", "main", "none", "none"];
    assert_eq!(named[24..], later);
}

/// A row of `decisions!` says what the fields of its outcome say.
#[test]
fn what_is_known_of_an_outcome_is_what_its_fields_say() {
    for outcome in golden::outcomes() {
        let (json, decision) = (serde_json::to_value(&outcome).unwrap(), &outcome.decision);
        assert_eq!(json!(decision.order_id()), json["order_id"], "{json}");
        let marks = json.get("marks").cloned().unwrap_or_else(|| json!([]));
        assert_eq!(json!(decision.marks()), marks, "{json}");
        assert_eq!(decision.repeat().is_some(), json["duplicate"] == true, "{json}");
        let state = decision.repeat().and_then(|repeat| repeat.state).or(decision.state());
        assert_eq!(json!(state), json["state"], "{json}");
    }
}

//! What `weir schema` prints is what the project keeps in docs, and the AsyncAPI document names what there is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use weir::edges::jetstream::Names;
use weir::words::codes::Family;
use weir::words::command::CommandKind;
use weir::words::outcome::OutcomeKind;
use weir_kit::{folder, scratch};

use crate::weir::Weir;

const PARTS: [(&str, &str, &str); 5] = [
    ("command", "schema/command.json", include_str!("../../docs/schema/command.json")),
    ("outcome", "schema/outcome.json", include_str!("../../docs/schema/outcome.json")),
    ("reply", "schema/reply.json", include_str!("../../docs/schema/reply.json")),
    ("asyncapi", "asyncapi.json", include_str!("../../docs/asyncapi.json")),
    ("errors", "errors.md", include_str!("../../docs/errors.md")),
];

fn asyncapi() -> Value {
    serde_json::from_str(PARTS[3].2).unwrap()
}

#[tokio::test]
async fn what_is_checked_in_is_current() {
    let folder = folder(&scratch(), "schema").unwrap();
    let written = Weir::command(&["schema", "--folder", folder.path().to_str().unwrap()]).await;
    assert_eq!(written.code, Some(0), "{written:?}");
    for (part, path, kept) in PARTS {
        let printed = Weir::command(&["schema", part]).await;
        assert_eq!(printed.code, Some(0), "{printed:?}");
        let written = std::fs::read_to_string(folder.path().join(path)).unwrap();
        assert_eq!(printed.stdout, written);
        assert!(written == kept, "docs/{path} is not what `weir schema --folder docs` writes now");
    }
}

#[test]
fn asyncapi_names_every_subject_command_and_outcome() {
    let document = asyncapi();
    let addresses: BTreeSet<_> = document["channels"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(|channel| channel["address"].as_str().map(|address| address.replace("{shard}", "main")))
        .collect();
    let shard = Names::default().shard("main").unwrap();
    let mut expected: BTreeSet<_> = shard.log_subjects.iter().cloned().collect();
    expected.extend([shard.outcomes_subject, shard.dead_letters_subject]);
    expected.extend(Family::ALL.map(|family| format!("weir.submit.{}", family.name())));
    assert!(addresses.is_superset(&expected), "{addresses:?}");

    let messages = document["components"]["messages"].as_object().unwrap();
    let named = |of: &str| {
        messages.keys().filter_map(|key| key.strip_prefix(of)).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(named("command."), CommandKind::ALL.map(|kind| kind.name().to_owned()).into());
    assert_eq!(named("outcome."), OutcomeKind::ALL.map(|kind| kind.name().to_owned()).into());
    for family in Family::ALL {
        for way in ["submit", "log"] {
            let taken =
                document["channels"][format!("{way}.{}", family.name())]["messages"].as_object().unwrap();
            let taken: BTreeSet<_> = taken.keys().filter_map(|key| key.strip_prefix("command.")).collect();
            let its = CommandKind::ALL.into_iter().filter(|kind| kind.family() == Some(family));
            assert_eq!(taken, its.map(CommandKind::name).collect());
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
        match value {
            Value::Object(all) => {
                found.extend(all.get("$ref").and_then(Value::as_str));
                all.values().for_each(|value| walk(value, found));
            }
            Value::Array(all) => all.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let document = asyncapi();
    let mut found = BTreeSet::new();
    walk(&document, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

/// By the official schema of AsyncAPI 3, where Node and the package @asyncapi/specs are there (`tests/run` says how).
#[test]
fn asyncapi_is_valid_by_its_own_schema() {
    let specs = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools/node/node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json");
    let Ok(text) = std::fs::read_to_string(&specs) else {
        weir_kit::skipped(&format!("there is no {}", specs.display()));
        return;
    };
    let schema: Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let document = asyncapi();
    let errors: Vec<_> =
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let mut broken = document;
    broken["operations"]["log"]["action"] = "shout".into();
    assert!(!validator.is_valid(&broken));
}

#[test]
fn no_command_line_makes_two_parts_at_once() {
    let both = Command::new(crate::weir::OWN).args(["schema", "command", "--folder", "x"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2));
}

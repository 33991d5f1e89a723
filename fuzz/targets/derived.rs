//! Commands derived from bytes: few ids, few SKUs and mostly small numbers, so that they meet each other's orders.
//!
//! Each begins as an example from the golden files, of which bytes replace the leaves, leave out fields and repeat elements of lists. A
//! command that has a golden file is derived without a word here.

use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::{Error, Result, Unstructured};
use serde_json::{Map, Value, json};
use weir::words::codec::FrameWriter;
use weir::words::command::Command;
use weir::words::timestamp::Timestamp;

type Bytes<'b> = Unstructured<'b>;

const COMMANDS_MAX: u64 = 64;

/// Commands without which little happens are chosen so many times as often as another.
const OFTEN: [(&str, usize); 2] = [("place", 4), ("receive", 2)];

/// The examples of each command, read once. A name stands there as often as it is to be chosen.
static EXAMPLES: LazyLock<Vec<(String, Vec<Value>)>> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the golden files are there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let mut examples: Vec<(String, Vec<Value>)> = Vec::new();
    for file in files {
        for line in std::fs::read_to_string(file).expect("it is text").lines() {
            let example: Map<String, Value> = serde_json::from_str(line).expect("it is JSON");
            let Some((name, fields)) = example.into_iter().next().filter(|(name, _)| name != "outcome")
            else {
                continue;
            };
            match examples.iter_mut().find(|(known, _)| *known == name) {
                Some((_, all)) => all.push(fields),
                None => examples.push((name, vec![fields])),
            }
        }
    }
    for (name, times) in OFTEN {
        let often = examples.iter().find(|(known, _)| known == name).expect("it has an example").clone();
        examples.extend(std::iter::repeat_n(often, times - 1));
    }
    examples
});

/// A frame of what the bytes hold, as far as they go: at least one command, and not more than so many.
pub(crate) fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = Bytes::new(bytes);
    let mut frame = FrameWriter::new();
    while frame.count() == 0 || (!bytes.is_empty() && frame.count() < COMMANDS_MAX) {
        let Ok(text) = command(&mut bytes) else { break };
        let command: Command<'_> = serde_json::from_str(&text).expect("it was read");
        // It counts alone only.
        let alone = frame.count() == 0 && command.content().is_alone();
        frame.push_command(&command);
        if alone {
            break;
        }
    }
    frame.finish()
}

/// A command as JSON: an example without some of its fields, and with others in their places. What it cannot do without is put back.
fn command(bytes: &mut Bytes<'_>) -> Result<String> {
    let (name, examples) = bytes.choose(&EXAMPLES)?;
    let example = bytes.choose(examples)?;
    let mut fields = Map::new();
    for (field, value) in example.as_object().into_iter().flatten() {
        if bytes.ratio(1, 2)? {
            fields.insert(field.clone(), changed(bytes, field, value)?);
        }
    }
    loop {
        let text = json!({ name: fields }).to_string();
        let Err(error) = serde_json::from_str::<Command<'_>>(&text) else { return Ok(text) };
        let error = error.to_string();
        let missing = error.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
        let (field, _) = missing.ok_or(Error::IncorrectFormat)?;
        let value = example.get(field).ok_or(Error::IncorrectFormat)?;
        fields.insert(field.to_owned(), changed(bytes, field, value)?);
    }
}

/// Another value in the place of one that stands in a field.
fn changed(bytes: &mut Bytes<'_>, field: &str, value: &Value) -> Result<Value> {
    Ok(match value {
        Value::Object(fields) => {
            let changed =
                fields.iter().map(|(field, value)| Ok((field.clone(), changed(bytes, field, value)?)));
            Value::Object(changed.collect::<Result<_>>()?)
        }
        Value::Array(elements) => {
            let count = *bytes.choose(&[1, 1, 1, 2, 2, 3, 5, 0])?;
            let elements = (0..count).map(|_| {
                let element = bytes.choose(elements)?;
                changed(bytes, field, element)
            });
            Value::Array(elements.collect::<Result<_>>()?)
        }
        Value::Bool(_) => Value::Bool(bytes.ratio(1, 2)?),
        Value::Number(_) => number(bytes, field)?.into(),
        Value::String(text) => self::text(bytes, field, text)?.into(),
        Value::Null => Value::Null,
    })
}

fn number(bytes: &mut Bytes<'_>, field: &str) -> Result<i64> {
    let byte: u8 = bytes.arbitrary()?;
    Ok(match (byte, field) {
        (_, "rules") => i64::from(byte % 3),
        (0..160, _) => i64::from(byte % 12),
        (160..240, _) => [50, 1_000, 10_000, 60_000][usize::from(byte % 4)],
        _ => [-1, i64::MIN, i64::MAX, 1_000_000_000, 1 << 53][usize::from(byte % 5)],
    })
}

/// A text of the kind that it is: an id by its prefix with another number, a time, a currency, a SKU, a site. Any other may stay.
fn text(bytes: &mut Bytes<'_>, field: &str, text: &str) -> Result<String> {
    let choices: &[&str] = match field {
        "sku" => &["A", "A", "A", "B", "B", "C", "D", ""],
        "site" | "sites" | "from" | "to" => &["main", "main", "main", "west", "west", "west", "gone", ""],
        "currency" => &["EUR", "EUR", "EUR", "JPY", ""],
        "on_shortage" => &["refuse", "partial", "backorder"],
        _ if field.ends_with("_id") => {
            let prefix = text.split_once('-').map_or(text, |(prefix, _)| prefix);
            let most = if prefix == "O" || prefix == "R" { 19 } else { 5 };
            return Ok(format!("{prefix}-{}", bytes.int_in_range(0..=most)?));
        }
        _ if text.ends_with('Z') => {
            let times = [super::START_MS, super::START_MS + 600_000, -1, 250_000_000_000_000, i64::MAX];
            return Ok(Timestamp::from_millis(*bytes.choose(&times)?).to_string());
        }
        _ => return Ok(if bytes.ratio(1, 8)? { String::new() } else { text.to_owned() }),
    };
    Ok((*bytes.choose(choices)?).to_owned())
}

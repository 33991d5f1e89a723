//! The contract as JSON Schema, made from the types that read and write it.
//!
//! A schema says what a decoder takes and within which bounds the fold accepts it; what depends on the state (stock, policy, what came before)
//! no schema can say. Where a type is read (commands), an absent field may be `null`; where it is written (outcomes), it is left out.

use std::borrow::Cow;

use schemars::generate::{Contract, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use super::command::{ATTRIBUTES_MAX, Attributes, Command};
use super::outcome::{Outcome, True};
use super::reply::Reply;
use super::text::ID_BYTES_MAX;
use super::timestamp::Timestamp;

/// No character that Unicode calls a control.
const NO_CONTROLS: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339 with an offset or Z, between 1970 and 9998; finer than milliseconds is cut off."
        })
    }
}

impl JsonSchema for Attributes<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Attributes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Short strings that nobody decides by.",
            "maxProperties": ATTRIBUTES_MAX,
            "propertyNames": {"minLength": 1, "maxLength": ID_BYTES_MAX, "pattern": NO_CONTROLS},
            "additionalProperties": {"type": "string", "maxLength": ID_BYTES_MAX, "pattern": NO_CONTROLS}
        })
    }
}

impl JsonSchema for True {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "True".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"const": true})
    }
}

/// Texts are ids, or as short as ids, but where something else is said of them.
fn bound_texts(schema: &mut Schema) {
    let says_more = ["format", "enum", "const", "pattern"].iter().any(|key| schema.get(*key).is_some());
    let is_text = schema.get("type").is_some_and(|kind| match kind {
        Value::String(kind) => kind == "string",
        Value::Array(kinds) => kinds.contains(&"string".into()),
        _ => false,
    });
    if is_text && !says_more {
        schema.insert("minLength".into(), 1.into());
        schema.insert("maxLength".into(), ID_BYTES_MAX.into());
        schema.insert("pattern".into(), NO_CONTROLS.into());
    }
}

/// A default of `null` says no more than that the field may be absent.
fn drop_null_defaults(schema: &mut Schema) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
}

/// What is written leaves an absent field out; and its one text for people is as long as it is.
fn as_written(schema: &mut Schema) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = &kinds[..] {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    for of in ["anyOf", "oneOf"] {
        let Some(Value::Array(options)) = schema.get_mut(of) else { continue };
        options.retain(|option| option.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = &options[..] {
            let only = only.clone();
            schema.remove(of);
            for (key, value) in only {
                schema.ensure_object().entry(key).or_insert(value);
            }
        }
    }
    if let Some(detail) = schema.get_mut("properties").and_then(|all| all.get_mut("detail")) {
        for bound in ["minLength", "maxLength", "pattern"] {
            if let Some(detail) = detail.as_object_mut() {
                detail.remove(bound);
            }
        }
    }
}

fn generator(mut settings: SchemaSettings, contract: Contract) -> SchemaGenerator {
    let written = contract == Contract::Serialize;
    settings.contract = contract;
    let settings = settings
        .with_transform(RecursiveTransform(drop_null_defaults))
        .with_transform(RecursiveTransform(bound_texts));
    if written {
        settings.with_transform(RecursiveTransform(as_written)).into_generator()
    } else {
        settings.into_generator()
    }
}

fn document(generator: SchemaGenerator, of: fn(SchemaGenerator) -> Schema, description: &str) -> Value {
    let mut schema = of(generator);
    schema.insert("description".into(), description.into());
    schema.to_value()
}

/// One command: what may be sent, alone or in an array.
#[must_use]
pub fn command() -> Value {
    let generator = generator(SchemaSettings::draft2020_12(), Contract::Deserialize);
    let description = "One command of Weir: an object with one key, the command's name. A message holds one, or an array of them.";
    document(generator, SchemaGenerator::into_root_schema_for::<Command<'static>>, description)
}

/// One outcome: what is heard. A reader passes over fields that it does not know.
#[must_use]
pub fn outcome() -> Value {
    let generator = generator(SchemaSettings::draft2020_12(), Contract::Serialize);
    let description = "One outcome of Weir: what became of a command, or of an order by another's command.";
    document(generator, SchemaGenerator::into_root_schema_for::<Outcome<'static>>, description)
}

/// What one command is answered with at a door: the outcome, or what the door says by itself.
#[must_use]
pub fn reply() -> Value {
    let generator = generator(SchemaSettings::draft2020_12(), Contract::Serialize);
    let description =
        "What a command is answered with at Weir's door: its outcome, or what the door says by itself.";
    document(generator, SchemaGenerator::into_root_schema_for::<Reply<'static>>, description)
}

/// The same types as definitions within another document, which keeps them under `path` (such as `/components/schemas`), in the older
/// draft 7 that such documents are held to.
#[must_use]
pub fn definitions(path: &'static str) -> Map<String, Value> {
    let settings = || {
        let mut settings = SchemaSettings::draft07();
        settings.definitions_path = path.into();
        settings
    };
    let mut read = generator(settings(), Contract::Deserialize);
    read.subschema_for::<Command<'static>>();
    let mut written = generator(settings(), Contract::Serialize);
    written.subschema_for::<Reply<'static>>();
    let mut all = written.take_definitions(true);
    // What is read is the wider of the two.
    all.extend(read.take_definitions(true));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_stand_in_the_schema() {
        let schema = command();
        let definition = |name: &str| schema["$defs"][name].clone();
        let place = definition("Place");
        assert_eq!(place["required"], serde_json::json!(["order_id", "lines"]));
        assert_eq!(place["additionalProperties"], false);
        assert_eq!(place["properties"]["order_id"]["maxLength"], 64);
        assert_eq!(place["properties"]["lines"]["maxItems"], 4_000);
        assert_eq!(definition("PlaceLine")["properties"]["quantity"]["maximum"], 1_000_000_000);
        assert_eq!(definition("PolicyChange")["properties"]["lines_max"]["maximum"], 4_000);
        assert_eq!(definition("Money")["properties"]["minor"]["maximum"], (1_i64 << 53) - 1);
    }

    #[test]
    fn nothing_that_is_written_is_null() {
        assert!(!outcome().to_string().contains("\"null\""), "{:#}", outcome());
    }

    #[test]
    fn definitions_point_to_where_they_stand() {
        let all = definitions("/components/schemas");
        let text = Value::Object(all.clone()).to_string();
        for name in ["Command", "Outcome", "Place", "Shortage"] {
            assert!(all.contains_key(name), "{name}");
        }
        assert!(text.contains("#/components/schemas/Place\"") && !text.contains("$defs"), "{text}");
    }
}

//! The JSON Schema says what the program does: what it takes decodes, what it refuses does not, and the bounds that it names are the fold's.

use jsonschema::Validator;
use serde_json::{Value, json};
use weir::words::codec::{Format, commands};
use weir::words::outcome::{Decision, Outcome, Reason};
use weir::words::policy::RULES_NEWEST;
use weir::words::schema;

use crate::contract_page::examples;
use crate::golden;
use crate::support::Shard;

fn validator(schema: &Value) -> Validator {
    jsonschema::options().should_validate_formats(true).build(schema).unwrap()
}

fn decodes(command: &Value) -> bool {
    let text = command.to_string();
    let mut decoded = commands(Some(Format::Json), text.as_bytes(), RULES_NEWEST);
    decoded.next().is_some_and(|command| command.is_ok()) && decoded.next().is_none()
}

/// The commands of the contract page and of the golden files.
fn known_commands() -> Vec<Value> {
    let page = examples().into_iter().map(|(_, text)| serde_json::from_str::<Value>(&text).unwrap());
    let mut all: Vec<_> = page.filter(|value| value.get("outcome").is_none()).collect();
    all.extend(golden::commands().map(|command| serde_json::to_value(command).unwrap()));
    all
}

#[test]
fn every_known_command_and_outcome_is_valid() {
    let (of_command, of_outcome) = (validator(&schema::command()), validator(&schema::outcome()));
    let mut seen = 0;
    for (line, text) in examples() {
        let value: Value = serde_json::from_str(&text).unwrap();
        let schema = if value.get("outcome").is_some() { &of_outcome } else { &of_command };
        let error = schema.iter_errors(&value).next().map(|error| error.to_string());
        assert_eq!(error, None, "line {line}");
        seen += 1;
    }
    assert!(seen > 40);
    let golden = golden::outcomes();
    assert!(golden.len() > 20);
    for outcome in &golden {
        let value = serde_json::to_value(outcome).unwrap();
        let error = of_outcome.iter_errors(&value).next().map(|error| error.to_string());
        assert_eq!(error, None, "{value}");
    }
}

/// Every way to change a value by one step: a field more, a field less, a `null`, another type.
fn changed(value: &Value) -> Vec<Value> {
    fn places(value: &Value, at: &str, found: &mut Vec<String>) {
        found.push(at.to_owned());
        match value {
            Value::Object(all) => {
                for (key, value) in all {
                    places(value, &format!("{at}/{key}"), found);
                }
            }
            Value::Array(all) => {
                for (index, value) in all.iter().enumerate() {
                    places(value, &format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    places(value, "", &mut found);
    let mut all = Vec::new();
    for place in found {
        let mut change = |to: &dyn Fn(&mut Value)| {
            let mut changed = value.clone();
            to(changed.pointer_mut(&place).unwrap());
            all.push(changed);
        };
        for other in [json!(null), json!(7), json!("x"), json!(true), json!({}), json!([]), json!(1.5)] {
            // Of the same kind it would be another value, which a decoder takes and a bound may not.
            let same = |value: &Value| std::mem::discriminant(value) == std::mem::discriminant(&other);
            change(&|value| {
                if !same(value) {
                    *value = other.clone();
                }
            });
        }
        change(&|value| {
            if let Value::Object(all) = value {
                all.insert("zzz".to_owned(), json!("x"));
            }
        });
        if let Some(Value::Object(fields)) = value.pointer(&place) {
            for field in fields.keys() {
                change(&|value| {
                    value.as_object_mut().unwrap().remove(field);
                });
            }
        }
    }
    all
}

#[test]
fn the_schema_takes_what_the_decoder_takes() {
    let schema = validator(&schema::command());
    let (mut taken, mut refused) = (0, 0);
    for command in known_commands() {
        for changed in changed(&command) {
            let (valid, decoded) = (schema.is_valid(&changed), decodes(&changed));
            // A number with a fraction of 0 is whole by JSON Schema alone; there is none here.
            assert_eq!(valid, decoded, "schema and decoder disagree on {changed}");
            if valid { taken += 1 } else { refused += 1 }
        }
    }
    assert!(taken > 100 && refused > 1_000, "{taken} taken, {refused} refused");
}

/// Each bound at its edge and beyond, by the schema and by the fold.
#[test]
fn the_bounds_are_the_folds() {
    let schema = validator(&schema::command());
    let id = |length: usize| "x".repeat(length);
    let place = |order_id: String, sku: String, quantity: i64, price: i64| json!({"place": {"order_id": order_id, "lines": [{"sku": sku, "quantity": quantity, "unit_price": price}]}});
    let lines = |count: usize| {
        let lines: Vec<_> = (0..count).map(|sku| json!({"sku": sku.to_string(), "quantity": 1})).collect();
        json!({"place": {"order_id": "O", "lines": lines}})
    };
    let sites = |count: usize| {
        let sites: Vec<_> = (0..count).map(|site| site.to_string()).collect();
        json!({"place": {"order_id": "O", "sites": sites, "lines": [{"sku": "A", "quantity": 1}]}})
    };
    let with = |more: Value| {
        let mut command = place("O".into(), "A".into(), 1, 0);
        command["place"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        command
    };
    let attributes = |count: usize| {
        with(
            json!({"attributes": (0..count).map(|key| (key.to_string(), json!(""))).collect::<serde_json::Map<_, _>>()}),
        )
    };
    let max = (1_i64 << 53) - 1;
    let good = [
        place(id(64), id(64), 1_000_000_000, max),
        lines(2_000),
        attributes(16),
        with(json!({"value": {"minor": max, "currency": "EUR"}})),
        with(json!({"pay_within_ms": 1})),
        with(json!({"attributes": {"k": id(64)}})),
        json!({"review": {"order_id": "O", "score": 5}}),
        json!({"count": {"count_id": "C", "lines": [{"sku": "A", "quantity": 0, "expected": -1_000_000_000}]}}),
        json!({"adjust": {"adjustment_id": "J", "lines": [{"sku": "A", "quantity": -1_000_000_000}]}}),
        json!({"policy": {"lines_max": 4_000}}),
    ];
    let bad = [
        place(id(65), "A".into(), 1, 0),
        place(String::new(), "A".into(), 1, 0),
        place("a\u{7f}".into(), "A".into(), 1, 0),
        place("a\u{9f}".into(), "A".into(), 1, 0),
        place("O".into(), id(65), 1, 0),
        place("O".into(), "A".into(), 0, 0),
        place("O".into(), "A".into(), 1_000_000_001, 0),
        place("O".into(), "A".into(), 1, -1),
        place("O".into(), "A".into(), 1, max + 1),
        lines(0),
        lines(4_001),
        sites(9),
        attributes(17),
        with(json!({"value": {"minor": -1, "currency": "EUR"}})),
        with(json!({"value": {"minor": 1, "currency": "euro"}})),
        with(json!({"pay_within_ms": 0})),
        with(json!({"customer": id(65)})),
        with(json!({"attributes": {"k": id(65)}})),
        json!({"review": {"order_id": "O", "score": 6}}),
        json!({"review": {"order_id": "O", "score": 0}}),
        json!({"count": {"count_id": "C", "lines": [{"sku": "A", "quantity": -1}]}}),
        json!({"adjust": {"adjustment_id": "J", "lines": [{"sku": "A", "quantity": -1_000_000_001}]}}),
        json!({"policy": {"lines_max": 4_001}}),
        json!({"policy": {"lines_max": 0}}),
    ];
    let by_the_fold = |command: &Value| {
        let mut shard = Shard::new();
        shard.feed(Some(Format::Json), command.to_string()).unwrap();
        let shape = [
            Reason::InvalidId,
            Reason::InvalidQuantity,
            Reason::InvalidValue,
            Reason::InvalidTime,
            Reason::NoLines,
            Reason::TooManyLines,
        ];
        let is_bad = |outcome: &Outcome<'_>| match &outcome.decision {
            Decision::Refused { reason, .. } => shape.contains(reason),
            decision => matches!(decision, Decision::DeadLettered { .. }),
        };
        !shard.outcomes().iter().any(is_bad)
    };
    for command in good {
        assert!(schema.is_valid(&command), "{command:.200}");
        assert!(by_the_fold(&command), "{command:.200}");
    }
    for command in bad {
        assert!(!schema.is_valid(&command), "{command:.200}");
        assert!(!by_the_fold(&command), "{command:.200}");
    }
}

//! Subjects and messages as AsyncAPI 3 has them, seen from Weir: it receives commands, and sends outcomes.

use serde_json::{Map, Value, json};

use crate::edges::jetstream::{Names, ShardNames, header};
use crate::words::codec::BINCODE;
use crate::words::codes::Family;
use crate::words::command::{COMMANDS_MAX, CommandKind};
use crate::words::outcome::OutcomeKind;
use crate::words::query::Query;
use crate::words::schema::definitions;

/// Stands for a shard's name where a subject is made, and is made a parameter then.
const SHARD: &str = "SHARD";

/// The whole document.
pub(super) fn document() -> Value {
    let names = Names::default();
    let shard = names.shard(SHARD).expect("a good name");
    let schemas = definitions("/components/schemas");
    let mut channels = Map::new();
    let mut operations = Map::new();
    for family in Family::ALL {
        let name = family.name();
        let subject = names.submit_subject(family);
        let about = format!(
            "The door: a request here is answered with the outcome. It takes the commands of one family, {name}, one or an array of them."
        );
        channels.insert(format!("submit.{name}"), channel(&subject, &about, &commands_of(Some(family))));
        let mut taken = receives(&format!("submit.{name}"), &commands_of(Some(family)));
        taken["reply"] = json!({
            "address": {"location": "$message.header#/reply", "description": "The inbox of NATS's request."},
            "channel": {"$ref": "#/channels/reply"},
        });
        taken["bindings"] = json!({"nats": {"queue": "weir-door", "bindingVersion": "0.1.0"}});
        operations.insert(format!("submit.{name}"), taken);

        let about = format!("As the shard's log, for the commands of one family: {name}.");
        let subject = log_subject(&shard, family);
        channels.insert(format!("log.{name}"), channel(&subject, &about, &commands_of(Some(family))));
        operations
            .insert(format!("log.{name}"), receives(&format!("log.{name}"), &commands_of(Some(family))));
    }
    let about = "A shard's log, a JetStream stream: what is acknowledged here is stored, and will be decided. It takes every command. \
                 Writing to it is a trusted role.";
    channels.insert("log".into(), channel(&shard.log_subject, about, &commands_of(None)));
    operations.insert("log".into(), receives("log", &commands_of(None)));

    let about = "A shard's outcomes, a JetStream stream: arrays of them, in order.";
    let outcomes = ["outcomes".to_owned()];
    channels.insert("outcomes".into(), channel(&shard.outcomes_subject, about, &outcomes));
    operations.insert("outcomes".into(), sends("outcomes", &outcomes));
    let about = "What was no command, in a JetStream stream of all shards: its bytes as they came, and in headers why.";
    let dead = ["dead_letter".to_owned()];
    channels.insert("dead".into(), channel(&shard.dead_letters_subject, about, &dead));
    operations.insert("dead".into(), sends("dead", &dead));
    beside(&names, &shard, &mut channels, &mut operations);
    let about = "The inbox that a request names: one reply, or an array of them where an array was sent, index by index.";
    let mut reply = channel("", about, &["reply".to_owned(), "replies".to_owned()]);
    reply["address"] = Value::Null;
    channels.insert("reply".into(), reply);

    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Weir",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Commands and outcomes of Weir over NATS, under the default prefix. docs/contract.md says what they mean.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "localhost:4222",
                "protocol": "nats",
                "description": "Whichever NATS servers the deployment has.",
            },
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": schemas,
            "messages": messages(&schemas),
            "parameters": {"shard": {"description": "The shard's name: 1 to 32 letters, digits, - and _.", "default": "main"}},
        },
    })
}

/// What there is beside commands and outcomes: notices, signals, questions.
fn beside(
    names: &Names,
    shard: &ShardNames,
    channels: &mut Map<String, Value>,
    operations: &mut Map<String, Value>,
) {
    let about =
        "Outcomes as a small message each, at most once: whoever must not miss one reads the outcome stream.";
    for kind in OutcomeKind::ALL {
        let id = format!("notify.{}", kind.name());
        channels.insert(id.clone(), channel(&names.notify_subject(SHARD, kind), about, &[outcome_id(kind)]));
        operations.insert(id.clone(), sends(&id, &[outcome_id(kind)]));
    }
    let about = "Early warnings, in a JetStream stream of all shards.";
    let mut signals = channel(&format!("{}.{{kind}}", shard.signals_subject), about, &["signal".to_owned()]);
    signals["parameters"]["kind"] = json!({"description": "What it warns of."});
    channels.insert("signals".into(), signals);
    operations.insert("signals".into(), sends("signals", &["signal".to_owned()]));
    for query in Query::ALL {
        for (way, of) in [("any", None), ("shard", Some(SHARD))] {
            let id = format!("query.{way}.{}", query.name());
            let about = "A question to NATS's service API; the reply is the answer, and an error stands in its headers.";
            channels.insert(
                id.clone(),
                channel(&names.query_subject(of, query), about, &["question".to_owned()]),
            );
            let mut asked = receives(&id, &["question".to_owned()]);
            asked["reply"] = json!({
                "address": {"location": "$message.header#/reply", "description": "The inbox of NATS's request."},
                "channel": {"$ref": "#/channels/answer"},
            });
            operations.insert(id, asked);
        }
    }
    let mut answer = channel("", "The inbox that a question names.", &["answer".to_owned()]);
    answer["address"] = Value::Null;
    channels.insert("answer".into(), answer);
}

fn log_subject(shard: &ShardNames, family: Family) -> String {
    let end = format!(".{}", family.name());
    shard.log_subjects.iter().find(|subject| subject.ends_with(&end)).cloned().unwrap_or_default()
}

fn command_id(kind: CommandKind) -> String {
    format!("command.{}", kind.name())
}

fn outcome_id(kind: OutcomeKind) -> String {
    format!("outcome.{}", kind.name())
}

/// The messages that hold the commands of a family, or all that a client may send.
fn commands_of(family: Option<Family>) -> Vec<String> {
    let taken =
        |kind: &CommandKind| kind.family().is_some_and(|its| family.is_none_or(|family| its == family));
    CommandKind::ALL.into_iter().filter(taken).map(command_id).chain(["commands".to_owned()]).collect()
}

fn channel(subject: &str, about: &str, messages: &[String]) -> Value {
    let messages: Map<String, Value> = messages
        .iter()
        .map(|id| (id.clone(), json!({"$ref": format!("#/components/messages/{id}")})))
        .collect();
    let mut channel = json!({
        "address": subject.replace(SHARD, "{shard}"),
        "description": about,
        "messages": messages,
    });
    if subject.contains(SHARD) {
        channel["parameters"] = json!({"shard": {"$ref": "#/components/parameters/shard"}});
    }
    channel
}

fn operation(action: &str, channel: &str, messages: &[String]) -> Value {
    let messages: Vec<_> =
        messages.iter().map(|id| json!({"$ref": format!("#/channels/{channel}/messages/{id}")})).collect();
    json!({"action": action, "channel": {"$ref": format!("#/channels/{channel}")}, "messages": messages})
}

fn receives(channel: &str, messages: &[String]) -> Value {
    operation("receive", channel, messages)
}

fn sends(channel: &str, messages: &[String]) -> Value {
    operation("send", channel, messages)
}

/// Every message: one for each command and outcome, and those that hold many.
fn messages(schemas: &Map<String, Value>) -> Map<String, Value> {
    let mut all = Map::new();
    let content_type = json!({
        "type": "object",
        "properties": {header::CONTENT_TYPE: {"enum": ["application/json", BINCODE]}},
    });
    let one_of = |schema: &str| schemas[schema]["oneOf"].as_array().cloned().unwrap_or_default();
    for kind in CommandKind::ALL {
        let variants = one_of("Command");
        let payload = variants.into_iter().find(|variant| variant["properties"].get(kind.name()).is_some());
        all.insert(
            command_id(kind),
            json!({"name": kind.name(), "headers": content_type, "payload": payload.expect("every command is in the schema")}),
        );
    }
    for kind in OutcomeKind::ALL {
        let payload = json!({
            "allOf": [
                {"$ref": "#/components/schemas/Outcome"},
                {"type": "object", "properties": {"outcome": {"const": kind.name()}}, "required": ["outcome"]},
            ],
        });
        all.insert(outcome_id(kind), json!({"name": kind.name(), "payload": payload}));
    }
    let many =
        |schema: &str| json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{schema}")}});
    let mut commands = many("Command");
    commands["minItems"] = 1.into();
    commands["maxItems"] = COMMANDS_MAX.into();
    all.insert("commands".into(), json!({"name": "commands", "headers": content_type, "payload": commands}));
    all.insert("reply".into(), json!({"name": "reply", "payload": {"$ref": "#/components/schemas/Reply"}}));
    all.insert("replies".into(), json!({"name": "replies", "payload": many("Reply")}));
    for (name, about) in [
        ("signal", "One early warning."),
        ("question", "A question, as an object; the contract page has its fields."),
        ("answer", "The answer, as an object with the sequence that it reflects."),
    ] {
        all.insert(name.into(), json!({"name": name, "payload": {"type": "object", "description": about}}));
    }
    let text = json!({"type": "string"});
    let append =
        [header::FROM, header::THROUGH, header::RULES, header::WRITER, header::CHAIN, header::CONTENT_TYPE];
    let append: Map<String, Value> = append.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
    all.insert(
        "outcomes".into(),
        json!({"name": "outcomes", "headers": {"type": "object", "properties": append}, "payload": many("Outcome")}),
    );
    let dead =
        [header::SHARD, header::SEQUENCE, header::INDEX, header::REASON, header::BYTES, header::CONTENT_TYPE];
    let dead: Map<String, Value> = dead.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
    all.insert(
        "dead_letter".into(),
        json!({
            "name": "dead_letter",
            "contentType": "application/octet-stream",
            "headers": {"type": "object", "properties": dead},
            "payload": {"description": "The bytes that were no command."},
        }),
    );
    all
}

//! `weir audit`: is what was announced what the log decides?

use clap::ValueEnum;
use serde_json::{Value, json};

use super::Ended;
use super::connect::{Deployment, one_shard};
use super::output::{self, say};
use super::settings::Common;
use crate::edges::clock::SystemClock;
use crate::motion::audit::{self, Findings, Pace};
use crate::motion::fold::FoldOn;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Only this shard; may be given several times [default: all shards of the configuration]
    #[arg(long, value_name = "NAME")]
    shard: Vec<String>,
    /// Where to begin [default: the log's start, or, where that was trimmed, the oldest snapshot that the log goes on from]
    #[arg(long, value_enum)]
    from: Option<From>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum From {
    /// The log's start
    Start,
    /// The newest snapshot
    Snapshot,
    /// The oldest snapshot that the log goes on from
    OldestSnapshot,
}

pub(super) async fn audit(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    for name in &args.shard {
        one_shard(&config, Some(name))?;
    }
    let from = args.from.map_or(audit::From::Farthest, |from| match from {
        From::Start => audit::From::Start,
        From::Snapshot => audit::From::NewestSnapshot,
        From::OldestSnapshot => audit::From::OldestSnapshot,
    });
    let pace = Pace { fold_on: FoldOn::Thread, clock: SystemClock::shared(), rests: 0 };
    let deployment = Deployment::connect(&config, "audit", false).await?;
    let mut shards = deployment.edges(&config)?;
    shards.retain(|(shard, _)| args.shard.is_empty() || args.shard.contains(shard));
    let (mut views, mut agree) = (Vec::new(), true);
    for (shard, edges) in shards {
        let working = output::working(format!("auditing shard {shard}"));
        let ended = Box::pin(audit::audit(&shard, &edges, from, &pace)).await;
        drop(working);
        agree &= ended.as_ref().is_ok_and(Findings::agrees);
        let view = match ended {
            Ok(findings) => view(&shard, &findings),
            // The others are audited all the same.
            Err(error) => json!({"shard": shard, "agrees": null, "error": error.to_string()}),
        };
        if args.json {
            views.push(view);
        } else {
            print(&view);
        }
    }
    if args.json {
        output::json(&views);
    }
    Ok(if agree { Ended::Done } else { Ended::Failed })
}

fn view(shard: &str, findings: &Findings) -> Value {
    let digest = |digest: u64| format!("{digest:016x}");
    json!({
        "shard": shard,
        "agrees": findings.agrees(),
        "from": findings.start.as_ref().map_or("start", String::as_str),
        "from_sequence": findings.from.sequence + 1,
        "to_sequence": findings.to.sequence,
        "messages": findings.messages,
        "records": findings.records,
        "outcomes": findings.outcomes,
        "outcomes_behind": findings.compared_from.to_string(),
        "outcomes_through": findings.through.to_string(),
        "appends": findings.appends,
        "repeats": findings.repeats,
        "unannounced": findings.unannounced,
        "snapshots": findings.snapshots,
        "passed_over": findings.passed_over,
        "chain": findings.to.to_string(),
        "state": findings.digests.map(|digests| digest(digests.state)),
        "ledger": findings.digests.map(|digests| digest(digests.ledger)),
        "disagreements": findings.disagreements,
        "first_disagreement": findings.first.as_ref().map(ToString::to_string),
    })
}

/// What is printed of an audit, in this order.
const SHOWN: [&str; 18] = [
    "agrees",
    "error",
    "first_disagreement",
    "disagreements",
    "from",
    "from_sequence",
    "to_sequence",
    "messages",
    "records",
    "outcomes",
    "outcomes_behind",
    "outcomes_through",
    "unannounced",
    "repeats",
    "snapshots",
    "passed_over",
    "state",
    "ledger",
];

fn print(view: &Value) {
    say!("shard {}", view["shard"].as_str().unwrap_or_default());
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    let known = SHOWN.iter().filter_map(|name| Some((*name, text(view.get(name)?))));
    output::pairs(&known.collect::<Vec<_>>());
}

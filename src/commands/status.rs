//! `weir status`: how far each shard is, from the streams alone, whether or not a worker runs.

use std::time::Duration;

use serde_json::{Value, json};

use super::Ended;
use super::connect::Deployment;
use super::run::Signals;
use super::settings::Common;
use crate::edges::clock::SystemClock;
use crate::edges::jetstream::JetStreams;
use crate::edges::streams::Streams;
use crate::motion::replay::replay;
use crate::words::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Print it again every second, until interrupted
    #[arg(long)]
    watch: bool,
    /// Fold each log from its start as well, and print the digests of the state at its end
    #[arg(long, conflicts_with = "watch")]
    digests: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn status(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let deployment = Deployment::connect(&config, "status", false).await?;
    if !args.watch {
        print(&look(&deployment, &config, args.digests).await?, args.json);
        return Ok(Ended::Done);
    }
    let mut signals = Signals::new()?;
    loop {
        let shards = look(&deployment, &config, false).await;
        if !args.json {
            // Home, and clear to the end of the screen.
            print!("\x1b[H\x1b[J");
        }
        match shards {
            Ok(shards) => print(&shards, args.json),
            Err(error) => println!("{error:#}"),
        }
        tokio::select! {
            () = signals.next() => return Ok(Ended::Done),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

async fn look(deployment: &Deployment, config: &Config, digests: bool) -> anyhow::Result<Vec<Value>> {
    let mut shards = Vec::new();
    for (shard, streams) in deployment.all(config)? {
        let mut view = look_at(&shard, &streams).await?;
        if digests {
            let inventory = replay(&streams, |_| {}).await?;
            let digests = inventory.digests();
            view["replayed"] = json!(inventory.chain().to_string());
            view["state"] = json!(format!("{:016x}", digests.state));
            view["ledger"] = json!(format!("{:016x}", digests.ledger));
        }
        shards.push(view);
    }
    Ok(shards)
}

async fn look_at(shard: &str, streams: &JetStreams) -> anyhow::Result<Value> {
    let log = streams.log_state().await?;
    let outcomes = streams.outcomes_state().await?;
    let last = streams.last_outcomes().await?.map(|stored| stored.append.header);
    // Ticks have no outcomes, so the chain may reach further than the last outcome.
    let announced = last.as_ref().map_or(0, |last| last.chain.sequence.max(last.through.sequence));
    let mut lag_seconds = 0.0;
    if log.last_sequence > announced
        && let Some(oldest) = streams.log_message(announced + 1).await?
    {
        let age_ns = SystemClock::shared().wall_ns().saturating_sub(oldest.stored_at_ns).max(0);
        lag_seconds = Duration::from_nanos(age_ns.unsigned_abs()).as_secs_f64();
    }
    Ok(json!({
        "shard": shard,
        "log_first": log.first_sequence,
        "log_last": log.last_sequence,
        "log_bytes": log.bytes,
        "log_bytes_max": log.bytes_max,
        "outcomes_last": outcomes.last_sequence,
        "announced": last.as_ref().map(|last| last.through.to_string()),
        "lag_messages": log.last_sequence.saturating_sub(announced),
        "lag_seconds": lag_seconds,
        "chain": last.as_ref().map(|last| last.chain.to_string()),
        "rules": last.as_ref().map(|last| last.rules),
        "writer": last.as_ref().map(|last| last.writer.clone()),
    }))
}

fn print(shards: &[Value], as_json: bool) {
    if as_json {
        println!("{}", Value::from(shards));
        return;
    }
    for shard in shards {
        let Some(fields) = shard.as_object() else { continue };
        println!("shard {}", shard["shard"].as_str().unwrap_or_default());
        for (name, value) in fields.iter().filter(|(name, _)| *name != "shard") {
            match value {
                Value::Null => println!("  {name:<15} -"),
                Value::String(text) => println!("  {name:<15} {text}"),
                other => println!("  {name:<15} {other}"),
            }
        }
    }
}

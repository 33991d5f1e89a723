//! `weir status`: how far each shard is and who does what for it, from the streams and the table of leases alone, whether or not a
//! worker runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Ended;
use super::connect::{Deployment, folded};
use super::run::Signals;
use super::settings::Common;
use crate::edges::ShardEdges;
use crate::edges::clock::SystemClock;
use crate::edges::jetstream::InJetStream;
use crate::edges::streams::{StreamState, Streams};
use crate::motion::leases::{Listing, list, shard_key, worker_key};
use crate::motion::snapshots::Snapshots;
use crate::words::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Print it again every second, until interrupted
    #[arg(long)]
    watch: bool,
    /// Fold each log as well, on from its newest snapshot, and print the digests of the state at its end
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
    let leases = Leases::read(deployment, config).await?;
    let mut shards = Vec::new();
    for (shard, edges) in deployment.edges(config)? {
        let mut view = look_at(&shard, &edges, &leases).await?;
        if digests {
            let inventory = folded(&shard, &edges).await?;
            let digests = inventory.digests();
            view["replayed"] = json!(inventory.chain().to_string());
            view["state"] = json!(format!("{:016x}", digests.state));
            view["ledger"] = json!(format!("{:016x}", digests.ledger));
        }
        shards.push(view);
    }
    Ok(shards)
}

/// The table of leases, and how old each record is.
pub(super) struct Leases {
    listing: Listing,
    ages: BTreeMap<String, Duration>,
    /// How long a record holds without being written again.
    lease: Duration,
}

impl Leases {
    pub(super) async fn read(deployment: &Deployment, config: &Config) -> anyhow::Result<Self> {
        let (mut entries, mut ages) = (Vec::new(), BTreeMap::new());
        for (key, entry, age) in deployment.leases().with_ages().await? {
            ages.insert(key.clone(), age);
            entries.push((key, entry));
        }
        let lease = Duration::from_millis(config.worker.lease_ms);
        Ok(Self { listing: list(&entries), ages, lease })
    }

    fn is_fresh(&self, key: &str) -> bool {
        self.ages.get(key).is_some_and(|age| *age < self.lease)
    }

    /// Who leads a shard, while the lease holds.
    pub(super) fn leader(&self, shard: &str) -> Option<&str> {
        let leader = self.listing.shards.get(shard)?.leader.as_str();
        (!leader.is_empty() && self.is_fresh(&shard_key(shard))).then_some(leader)
    }

    /// Who is to lead a shard next.
    fn next(&self, shard: &str) -> Option<&str> {
        self.listing.shards.get(shard)?.next.as_deref()
    }

    /// What each live worker does for a shard, and how far it is.
    fn workers(&self, shard: &str, log: StreamState) -> Vec<Value> {
        let live = self.listing.workers.iter().filter(|(name, _)| self.is_fresh(&worker_key(name)));
        live.filter_map(|(name, worker)| {
            let leads = self.leader(shard) == Some(name);
            // It says so itself: it folds the log, or stands still at it.
            let applied = worker.applied.get(shard).copied();
            let halted = worker.unfit.contains(shard);
            if !leads && !halted && applied.is_none() {
                return None;
            }
            let applied = applied.unwrap_or(0);
            Some(json!({
                "worker": name,
                "role": if leads { "leader" } else if halted { "halted" } else { "standby" },
                "ready": !halted && (leads || worker.ready.contains(shard)),
                "applied": applied,
                "lag_messages": log.last_sequence.saturating_sub(applied),
                "draining": worker.draining,
            }))
        })
        .collect()
    }
}

async fn look_at(shard: &str, edges: &ShardEdges<InJetStream>, leases: &Leases) -> anyhow::Result<Value> {
    let streams = &edges.streams;
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
    let snapshots = Snapshots::new(shard, edges).kept().await?;
    let snapshot = snapshots.first();
    Ok(json!({
        "shard": shard,
        "leader": leases.leader(shard),
        "next_leader": leases.next(shard),
        "workers": leases.workers(shard, log),
        "snapshot": snapshot.map(|newest| newest.sequence),
        "snapshot_bytes": snapshot.map(|newest| newest.bytes),
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
                Value::Array(workers) => workers.iter().for_each(print_worker),
                other => println!("  {name:<15} {other}"),
            }
        }
    }
}

fn print_worker(worker: &Value) {
    let text = |name: &str| worker[name].as_str().unwrap_or_default();
    let ready = match worker["ready"].as_bool() {
        Some(true) => "ready",
        _ => "not ready",
    };
    let draining = if worker["draining"] == true { ", draining" } else { "" };
    println!(
        "  {:<15} {}: {ready}, at {}, {} behind{draining}",
        text("role"),
        text("worker"),
        worker["applied"],
        worker["lag_messages"]
    );
}

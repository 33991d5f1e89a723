//! `weir status`: how far each shard is and who does what for it, from the streams and the table of leases alone, whether or not a
//! worker runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Ended;
use super::connect::{Deployment, folded};
use super::output::{self, say};
use super::run::Signals;
use super::settings::Common;
use crate::edges::ShardEdges;
use crate::edges::clock::SystemClock;
use crate::edges::jetstream::InJetStream;
use crate::edges::streams::{StreamState, Streams};
use crate::motion::leases::{Listing, list, shard_key, worker_key};
use crate::motion::snapshots::Snapshots;
use crate::motion::status::Unready;
use crate::process::judging::worker_of;
use crate::process::verdict::{Figures, ShardFigures, Verdict, judge};
use crate::words::config::Config;

/// How often it is looked whether there are leaders.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Print it again every second, until interrupted
    #[arg(long, conflicts_with = "wait")]
    watch: bool,
    /// Fold each log as well, on from its newest snapshot, and print the digests of the state at its end
    #[arg(long, conflicts_with = "watch")]
    digests: bool,
    /// Wait so long, at most, until each shard has a leader
    #[arg(long, value_name = "DURATION", value_parser = super::fields::duration)]
    wait: Option<Duration>,
    /// Print JSON: the shape of a worker's /status
    #[arg(long)]
    json: bool,
}

pub(super) async fn status(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let deployment = Deployment::connect(&config, "status", false).await?;
    if let Some(wait) = args.wait {
        let led = async {
            while without_leader(&look(&deployment, &config, false).await?).is_some() {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            anyhow::Ok(())
        };
        // What there is then is shown all the same.
        if let Ok(looked) = tokio::time::timeout(wait, led).await {
            looked?;
        }
    }
    if !args.watch {
        let shards = look(&deployment, &config, args.digests).await?;
        let led = without_leader(&shards).is_none();
        print(&shards, &judged(&deployment, &shards), args.json);
        return Ok(if led { Ended::Done } else { Ended::Failed });
    }
    let mut signals = Signals::new()?;
    loop {
        let shards = look(&deployment, &config, false).await;
        if !args.json && output::is_terminal() {
            // Home, and clear to the end of the screen.
            say!("\x1b[H\x1b[J");
        }
        match shards {
            Ok(shards) => print(&shards, &judged(&deployment, &shards), args.json),
            Err(error) => eprintln!("weir: {error:#}"),
        }
        tokio::select! {
            () = signals.next() => return Ok(Ended::Done),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// The first shard that nobody leads.
fn without_leader(shards: &[Value]) -> Option<&str> {
    shards.iter().find(|shard| shard["leader"].is_null()).and_then(|shard| shard["shard"].as_str())
}

/// The verdict, by the streams and the leases alone.
fn judged(deployment: &Deployment, shards: &[Value]) -> Verdict {
    let figures = shards.iter().map(|view| {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let number = |name: &str| view[name].as_u64().unwrap_or(0);
        let workers = view["workers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let halted = workers.iter().find(|worker| worker["role"] == "halted");
        let stuck = workers.iter().any(|worker| worker["stuck"] == true);
        let shard = text(&view["shard"]).unwrap_or_default();
        ShardFigures {
            log_stream: deployment.names.shard(&shard).map(|names| names.log_stream).unwrap_or_default(),
            shard,
            leads: false,
            held: true,
            leader: text(&view["leader"]).map(|leader| worker_of(&leader).to_owned()),
            unready: stuck.then(|| Unready::Stuck(number("lag_messages"))),
            // A worker of an older version does not say why.
            fault: halted.map(|halted| text(&halted["fault"]).unwrap_or_else(|| "a fault".to_owned())),
            fault_at: halted
                .and_then(|halted| text(&halted["worker"]))
                .map(|name| worker_of(&name).to_owned()),
            moved_ms: None,
            log: StreamState {
                first_sequence: number("log_first"),
                last_sequence: number("log_last"),
                bytes: number("log_bytes"),
                bytes_max: number("log_bytes_max"),
            },
        }
    });
    judge(&Figures {
        now_ms: SystemClock::shared().wall_ns() / 1_000_000,
        from_outside: true,
        shards: figures.collect(),
        ..Figures::default()
    })
}

async fn look(deployment: &Deployment, config: &Config, digests: bool) -> anyhow::Result<Vec<Value>> {
    let leases = Leases::read(deployment, config).await?;
    let mut shards = Vec::new();
    for (shard, edges) in deployment.edges(config)? {
        let mut view = look_at(&shard, &edges, &leases).await?;
        if digests {
            let inventory = folded(&shard, &edges).await?;
            let digests = inventory.digests();
            view["inspected"] = json!({
                "chain": inventory.chain().to_string(),
                "state": format!("{:016x}", digests.state),
                "ledger": format!("{:016x}", digests.ledger),
                "books": inventory.check_books().map_or_else(|broken| broken.to_string(), |()| "hold".to_owned()),
            });
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
                "stuck": worker.stuck.contains(shard),
                "fault": worker.faults.get(shard),
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
        "ready": leases.leader(shard).is_some(),
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

fn print(shards: &[Value], verdict: &Verdict, as_json: bool) {
    if as_json {
        let unready = without_leader(shards).map(|shard| format!("shard {shard} has no leader"));
        output::json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "unready": unready,
            "verdict": verdict.json(),
            "shards": shards,
        }));
        return;
    }
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<_> = shards
        .iter()
        .map(|shard| {
            let workers = shard["workers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let standbys = workers.iter().filter(|worker| worker["role"] == "standby");
            let ready = standbys.clone().filter(|worker| worker["ready"] == true).count();
            let lag_seconds = shard["lag_seconds"].as_f64().unwrap_or_default();
            [
                text(&shard["shard"]),
                text(&shard["leader"]),
                format!("{ready} of {}", standbys.count()),
                text(&shard["log_last"]),
                text(&shard["lag_messages"]),
                format!("{lag_seconds:.1} s"),
                text(&shard["snapshot"]),
            ]
        })
        .collect();
    output::table(["SHARD", "LEADER", "STANDBYS READY", "LOG", "BEHIND", "FOR", "SNAPSHOT"], &rows);
    for shard in shards {
        let Some(inspected) = shard["inspected"].as_object() else { continue };
        say!("shard {}, folded:", text(&shard["shard"]));
        let names = ["chain", "state", "ledger", "books"];
        output::pairs(&names.map(|name| (name, inspected.get(name).map(text).unwrap_or_default())));
    }
    for shard in shards {
        for worker in shard["workers"].as_array().into_iter().flatten() {
            if worker["role"] == "halted" || worker["draining"] == true {
                let what = if worker["role"] == "halted" { "stands still" } else { "is draining" };
                say!(
                    "worker {} {what} at {} of shard {}",
                    text(&worker["worker"]),
                    worker["applied"],
                    text(&shard["shard"])
                );
            }
        }
    }
    say!("{}: {}", verdict.state().name(), verdict.line());
}

//! Standbys that audit by themselves, in virtual time.

use std::time::Duration;

use fastrand::Rng;
use weir::edges::ShardEdges;
use weir::edges::memory::{InMemory, MemoryLimits};
use weir::edges::streams::Streams as _;
use weir::edges::telemetry::Telemetry;
use weir::motion::audit::AuditOptions;
use weir::motion::fold::FoldOn;
use weir::motion::leases::LeaseOptions;
use weir::motion::scribe::SnapshotOptions;
use weir::motion::shard::ShardOptions;
use weir::process::engine::{Engine, SharingOptions};
use weir::words::append::{AppendHeader, Chain};
use weir::words::codec::Format;
use weir::words::identity::Identity;

use crate::seeds::in_virtual_time;
use crate::workers::client;
use crate::workload::messages;
use crate::world::{Faults, World};

const EVERY: Duration = Duration::from_mins(10);

/// A worker, and what it counts.
struct Worker {
    engine: Engine,
    telemetry: Telemetry,
}

impl Worker {
    fn start(world: &World, name: &str, every: Duration) -> Self {
        let shards = world.shards.iter().enumerate().map(|(shard, truth)| {
            let edges: ShardEdges<InMemory> = ShardEdges {
                streams: truth.streams(),
                pointers: world.keys.clone(),
                objects: world.objects.clone(),
            };
            (format!("s{shard}"), edges)
        });
        let options = ShardOptions {
            snapshots: SnapshotOptions { every_records: 30, keep: 3, ..SnapshotOptions::default() },
            audits: AuditOptions::every(every),
            fold_on: FoldOn::Task,
            ..ShardOptions::new(name, Format::Json)
        };
        let sharing = SharingOptions {
            keys: world.keys.clone(),
            leases: LeaseOptions { lease: Duration::from_secs(3), standbys: 1 },
            handover: Duration::from_secs(5),
        };
        let telemetry = Telemetry::new();
        let clock = world.worker_clock();
        Self {
            engine: Engine::share(shards.collect(), &(clock as _), &options, &telemetry, sharing),
            telemetry,
        }
    }

    /// The sum of a metric over the shards.
    fn counted(&self, metric: &str, end: &str) -> f64 {
        let text = self.telemetry.render();
        let lines = text.lines().filter(|line| line.starts_with(metric) && line.contains(end));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

async fn watch() {
    let world = World::new(11, 2, MemoryLimits::default(), Faults::default());
    let workers = [("one", EVERY), ("two", EVERY)].map(|(name, every)| Worker::start(&world, name, every));
    let counted = |metric: &str, end: &str| workers.iter().map(|worker| worker.counted(metric, end)).sum();
    for shard in 0..2 {
        client(world.clone(), shard, messages(&mut Rng::with_seed(3), 60)).await;
    }
    tokio::time::sleep(3 * EVERY + EVERY / 2).await;
    let agreed: f64 = counted("weir_audits_total", "end=\"agrees\"");
    assert!((4.0..=8.0).contains(&agreed), "{agreed} audits of two shards in three times the interval");
    let wrong: f64 = counted("weir_audits_total", "end=\"disagrees\"");
    let failed: f64 = counted("weir_audits_total", "end=\"failed\"");
    assert_eq!((wrong, failed), (0.0, 0.0));
    let success: f64 = counted("weir_audit_last_success_timestamp_seconds", "");
    assert!(success > 2.0 * 1e9, "{success}");

    // Somebody else announces something of shard s1.
    let streams = world.shards[1].streams();
    let last = streams.last_outcomes().await.unwrap().unwrap();
    let mut forged = last.append;
    let through = Identity { place: forged.header.through.place + 1, ..forged.header.through };
    let chain = Chain { hash: 1, ..forged.header.chain };
    forged.header = AppendHeader { from: forged.header.through, through, chain, ..forged.header };
    streams.append_outcomes(forged, last.sequence).await.unwrap();
    tokio::time::sleep(EVERY + EVERY / 2).await;
    let wrong: f64 = counted("weir_audits_total{shard=\"s1\"", "end=\"disagrees\"");
    let found: f64 = counted("weir_audit_disagreements_total{shard=\"s1\"", "");
    let other: f64 = counted("weir_audits_total{shard=\"s0\"", "end=\"disagrees\"");
    assert!(wrong >= 1.0 && found >= wrong && other == 0.0, "{wrong} {found} {other}");

    for worker in workers {
        worker.engine.drain(Duration::from_secs(10)).await;
    }
}

#[test]
fn a_standby_audits_by_itself_now_and_then() {
    in_virtual_time(watch());
}

/// Who leads has no time for it, and who is told to never does.
async fn never() {
    for (names, every) in [(&["one"][..], EVERY), (&["one", "two"], Duration::ZERO)] {
        let world = World::new(12, 1, MemoryLimits::default(), Faults::default());
        let workers: Vec<_> = names.iter().map(|name| Worker::start(&world, name, every)).collect();
        client(world.clone(), 0, messages(&mut Rng::with_seed(4), 20)).await;
        tokio::time::sleep(3 * EVERY).await;
        for worker in workers {
            assert!(worker.counted("weir_audits_total", "end=") < 1.0);
            worker.engine.drain(Duration::from_secs(10)).await;
        }
    }
}

#[test]
fn who_leads_or_is_told_never_to_does_not_audit() {
    in_virtual_time(never());
}

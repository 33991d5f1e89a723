//! Chaos: what servers have acknowledged has exactly one outcome, whatever dies.
//!
//! The long test kills workers and servers of a cluster under load, for as many seconds as `WEIR_CHAOS_SECONDS` says; without it, it
//! says that it is skipped. `WEIR_CHAOS_SEED` repeats the faults of a run.

use std::time::Duration;

use fastrand::Rng;
use weir::edges::clock::SystemClock;
use weir::edges::jetstream::{Connection, Connections, JetKeys, Names};
use weir::edges::keys::Keys as _;
use weir::edges::streams::Streams as _;
use weir::motion::leases::list;

use crate::nats::{Server, until, within};
use crate::orders::{Orders, announcements, configuration, longest_silence};
use crate::weir::{Weir, appends, place, plain, publish, receive, streams, streams_of};
use crate::worker::copy;

/// How long all must have become calm after the last fault.
const CALM_WITHIN: Duration = Duration::from_mins(3);
/// The pause between two orders on a shard.
const PAUSE: Duration = Duration::from_millis(20);

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Chaos {
    WorkerKilled,
    WorkerDrained,
    WorkerHeldStill,
    ServerKilled,
    TwoServersKilled,
    WorkerAndServerKilled,
    StreamLeadersStepDown,
}

const ALL: [Chaos; 7] = [
    Chaos::WorkerKilled,
    Chaos::WorkerDrained,
    Chaos::WorkerHeldStill,
    Chaos::ServerKilled,
    Chaos::TwoServersKilled,
    Chaos::WorkerAndServerKilled,
    Chaos::StreamLeadersStepDown,
];

struct Cluster {
    servers: [Server; 3],
    shards: Vec<String>,
    config: String,
    workers: Vec<Weir>,
    /// How many workers were started.
    started: usize,
    rng: Rng,
}

impl Cluster {
    async fn start(shards: usize, workers: usize, seed: u64) -> Self {
        let servers = Server::start_three().await;
        let shards: Vec<_> = (0..shards).map(|number| format!("s{number}")).collect();
        let file = servers[0].folder().join("weir.toml");
        std::fs::write(&file, configuration(&shards, 3, "")).unwrap();
        let config = file.to_str().unwrap().to_owned();
        let rng = Rng::with_seed(seed);
        let mut cluster = Self { servers, shards, config, workers: Vec::new(), started: 0, rng };
        let setup = ["setup", "--nats", &cluster.urls().join(","), "--config", &cluster.config];
        let ended = Weir::command(&setup).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        for _ in 0..workers {
            let worker = cluster.worker().await;
            cluster.workers.push(worker);
        }
        cluster
    }

    fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    async fn worker(&mut self) -> Weir {
        self.started += 1;
        let name = format!("w{}", self.started);
        Weir::worker(&self.urls().join(","), &["--name", &name, "--config", &self.config]).await
    }

    async fn connect(&self) -> Connections {
        let connection = Connection { urls: self.urls(), name: "test".to_owned(), wait_for_server: false };
        Connections::open(&connection).await.unwrap()
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        let pause = self.rng.u64(milliseconds);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    async fn bring(&mut self, chaos: Chaos) {
        let (worker, server) = (self.rng.usize(..self.workers.len()), self.rng.usize(..3));
        println!("{chaos:?}: worker {worker}, server {server}");
        match chaos {
            Chaos::WorkerKilled => {
                self.workers[worker].kill();
                self.pause(0..4_000).await;
                self.workers[worker] = self.worker().await;
            }
            Chaos::WorkerDrained => {
                let next = self.worker().await;
                let ended = std::mem::replace(&mut self.workers[worker], next).stop().await;
                check_log(&ended.stderr);
            }
            Chaos::WorkerHeldStill => {
                self.workers[worker].signal("STOP");
                self.pause(500..8_000).await;
                self.workers[worker].signal("CONT");
            }
            Chaos::ServerKilled => {
                self.servers[server].kill();
                self.pause(0..6_000).await;
                self.servers[server].resume();
            }
            Chaos::TwoServersKilled => {
                let other = (server + 1) % 3;
                self.servers[server].kill();
                self.pause(0..500).await;
                self.servers[other].kill();
                self.pause(0..3_000).await;
                self.servers[other].resume();
                self.pause(0..1_000).await;
                self.servers[server].resume();
            }
            Chaos::WorkerAndServerKilled => {
                self.workers[worker].kill();
                self.servers[server].kill();
                self.pause(0..4_000).await;
                self.servers[server].resume();
                self.workers[worker] = self.worker().await;
            }
            Chaos::StreamLeadersStepDown => {
                let client = async_nats::connect(self.urls()).await.unwrap();
                for _ in 0..4 {
                    let shard = self.rng.choice(&self.shards).unwrap();
                    let kind = self.rng.choice(["LOG", "OUTCOMES"]).unwrap();
                    let stream = format!("WEIR_{kind}_{shard}");
                    // A stream that has no leader at the moment has none to step down.
                    let _ =
                        client.request(format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}"), "".into()).await;
                }
                let _ = client.request("$JS.API.STREAM.LEADER.STEPDOWN.KV_WEIR_LEASES", "".into()).await;
            }
        }
    }
}

fn check_log(log: &str) {
    assert!(!log.contains("the shard stands still") && !log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_decided_twice() {
    let Some(seconds) = std::env::var("WEIR_CHAOS_SECONDS").ok() else {
        println!("skipped: WEIR_CHAOS_SECONDS is not set");
        return;
    };
    let lasting = Duration::from_secs(seconds.parse().unwrap());
    let seed =
        std::env::var("WEIR_CHAOS_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("WEIR_CHAOS_SEED={seed}");
    let mut cluster = Cluster::start(8, 3, seed).await;
    let orders = Orders::start(&cluster.urls(), &cluster.shards, PAUSE).await;
    let clock = SystemClock::shared();
    let ends = clock.monotonic() + lasting;
    let mut due = Vec::new();
    while clock.monotonic() < ends {
        if due.is_empty() {
            due = ALL.to_vec();
            cluster.rng.shuffle(&mut due);
        }
        cluster.bring(due.pop().unwrap()).await;
        cluster.pause(1_000..6_000).await;
    }

    // Calm: every shard goes on taking orders, and is led and stood by for.
    let before = orders.acked();
    within(CALM_WITHIN, "orders to be stored again", async || {
        let more = |(now, before): (&u64, &u64)| *now >= before + 20;
        orders.acked().iter().zip(&before).all(more).then_some(())
    })
    .await;
    let sent = orders.stop().await;
    let connections = cluster.connect().await;
    let table = JetKeys::new(&connections, &Names::default().leases_bucket());
    within(CALM_WITHIN, "each shard to be led and stood by for", async || {
        let table = list(&table.all().await.ok()?);
        let ready = |shard: &String| table.workers.values().any(|worker| worker.ready.contains(shard));
        let led = |shard: &String| table.shards.get(shard).is_some_and(|record| !record.leader.is_empty());
        cluster.shards.iter().all(|shard| led(shard) && ready(shard)).then_some(())
    })
    .await;
    let context = connections.publishing.context();
    for sent in &sent {
        let streams = streams_of(&connections, &sent.shard);
        let last = *sent.acked.keys().next_back().unwrap();
        within(CALM_WITHIN, "the last outcome", async || {
            let through = streams.last_outcomes().await.ok()??.append.header.through;
            (through.sequence >= last).then_some(())
        })
        .await;
        sent.check(&streams).await;
        let silence = longest_silence(&announcements(&context, &sent.shard).await);
        let count = sent.acked.len();
        println!(
            "{}: {count} acknowledged, each decided once; at most {silence:.1?} without an outcome",
            sent.shard
        );
    }
    for worker in cluster.workers {
        let ended = worker.stop().await;
        check_log(&ended.stderr);
    }
}

/// The only server loses what it has acknowledged, under workers that have applied and announced it. Orders go on all the while, if
/// so wanted, and fill the log again; workers that are held still see it only when that is done.
async fn rolled_back(names: &[&str], under_load: bool, held_still: bool) {
    let mut server = Server::start().await;
    Weir::setup(&server).await;
    let mut workers = Vec::new();
    for name in names {
        workers.push(Weir::ready(&server, &["--name", name]).await);
    }
    publish(&plain(&server).await, receive("R-1", 1_000).to_string()).await;
    server.stop();
    let backup = server.folder().join("backup");
    copy(&server.store(), &backup);
    server.restart().await;
    let context = plain(&server).await;
    for order in 0..20 {
        publish(&context, place(&format!("O-{order}")).to_string()).await;
    }
    let shards = ["main".to_owned()];
    let orders = Orders::start(&[server.url()], &shards[..usize::from(under_load)], Duration::ZERO).await;
    for worker in &workers {
        until("all to be applied and announced", async || {
            let applied = worker.metric("weir_applied_sequence{shard=\"main\"}");
            let announced = worker.metric("weir_announced_sequence{shard=\"main\"}");
            (applied >= 22.0 && announced >= 22.0).then_some(())
        })
        .await;
    }

    if held_still {
        for worker in &workers {
            worker.signal("STOP");
        }
    }
    server.kill();
    std::fs::remove_dir_all(server.store()).unwrap();
    copy(&backup, &server.store());
    server.restart().await;
    if held_still {
        let before = orders.acked();
        until("other orders", async || (orders.acked()[0] > before[0] + 100).then_some(())).await;
        for worker in &workers {
            worker.signal("CONT");
        }
    }
    for worker in &workers {
        until("the shard to stand still", async || {
            worker.log().contains("the shard stands still").then_some(())
        })
        .await;
        let log = worker.log();
        let faults = ["log_behind", "log_rewritten", "outcomes_ahead"];
        let fault = faults.into_iter().find(|fault| log.contains(&format!("fault=\"{fault}\"")));
        println!("{}", fault.unwrap_or("another fault"));
        assert!(fault.is_some(), "{log}");
    }
    // Whatever comes now is stored, and not decided.
    orders.stop().await;
    let context = plain(&server).await;
    let stored = publish(&context, place("later").to_string()).await;
    for worker in workers {
        worker.stop().await;
    }
    let streams = streams(&server).await;
    assert_eq!(streams.log_state().await.unwrap().last_sequence, stored);
    for stored in appends(&streams).await {
        let through = stored.append.header.through;
        assert!(through.sequence <= 2, "announced after the loss: {through}");
    }
}

#[tokio::test]
async fn workers_stand_still_when_their_server_has_lost_orders() {
    rolled_back(&["one", "two"], false, false).await;
}

#[tokio::test]
async fn workers_stand_still_when_their_server_has_others_in_place_of_those_lost() {
    rolled_back(&["one", "two"], true, false).await;
}

/// Its own append was under way: it learns that outcomes are lost before it learns that the log is.
#[tokio::test]
async fn a_worker_stands_still_when_log_and_outcomes_were_lost_together() {
    rolled_back(&["one"], true, true).await;
}

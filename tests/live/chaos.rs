//! Chaos: what servers have acknowledged has exactly one outcome, whatever dies.
//!
//! The long test kills workers and servers of a cluster under load, for as many seconds as `WEIR_CHAOS_SECONDS` says; without it, it
//! is skipped. `WEIR_CHAOS_SEED` repeats the faults of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use weir::edges::clock::SystemClock;
use weir::edges::jetstream::{Connection, Connections, JetKeys, JetStreams, Names};
use weir::edges::keys::Keys as _;
use weir::edges::streams::Streams as _;
use weir::motion::leases::list;
use weir::words::codec::outcomes;
use weir::words::message::LogMessage;
use weir_kit::skipped;

use crate::nats::{Server, until, within};
use crate::orders::{Orders, announcements, configuration, first_outcome_of, longest_silence, order_of};
use crate::weir::{
    Ended, Weir, announced, appends, log_messages, place, plain, publish, receive, streams, streams_of,
};
use crate::worker::copy;

/// How long all must have become calm after the last fault.
const CALM_WITHIN: Duration = Duration::from_mins(3);
/// How often shards may stand still.
const ROUNDS_MAX: u32 = 3;
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
    ServerRolledBack,
}

const ALL: [Chaos; 8] = [
    Chaos::WorkerKilled,
    Chaos::WorkerDrained,
    Chaos::WorkerHeldStill,
    Chaos::ServerKilled,
    Chaos::TwoServersKilled,
    Chaos::WorkerAndServerKilled,
    Chaos::StreamLeadersStepDown,
    Chaos::ServerRolledBack,
];
/// The server whose store is rolled back.
const ROLLED_BACK: usize = 2;

struct Cluster {
    servers: [Server; 3],
    shards: Vec<String>,
    config: String,
    workers: Vec<Weir>,
    /// How many workers were started.
    started: usize,
    rng: Rng,
    /// Whether a server was started on an older store.
    went_back: bool,
}

/// What a shard lost.
#[derive(Default)]
struct Loss {
    /// The orders that its log has held since.
    held: BTreeSet<String>,
    /// The orders on the lists, once for each time.
    gone: Vec<String>,
    /// How many orders no stream tells of.
    lost: usize,
}

impl Cluster {
    async fn start(shards: usize, workers: usize, seed: u64) -> Self {
        let servers = Server::start_three().await;
        let shards: Vec<_> = (0..shards).map(|number| format!("s{number}")).collect();
        let file = servers[0].folder().join("weir.toml");
        std::fs::write(&file, configuration(&shards, 3, "")).unwrap();
        let config = file.to_str().unwrap().to_owned();
        let rng = Rng::with_seed(seed);
        let mut cluster =
            Self { servers, shards, config, workers: Vec::new(), started: 0, rng, went_back: false };
        let ended = cluster.command("setup", &[]).await;
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
        let connection = Connection {
            urls: self.urls(),
            name: "test".to_owned(),
            wait_for_server: false,
            ..Connection::default()
        };
        Connections::open(&connection).await.unwrap()
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        let pause = self.rng.u64(milliseconds);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// A `weir` command on it.
    async fn command(&self, command: &str, arguments: &[&str]) -> Ended {
        let urls = self.urls().join(",");
        Weir::command(&[&[command, "--nats", &urls, "--config", &self.config], arguments].concat()).await
    }

    fn stands_still(&self, shard: &str) -> bool {
        let shard = format!("shard=\"{shard}\"");
        let still = |line: &str| line.contains("the shard stands still") && line.contains(&shard);
        self.workers.iter().any(|worker| worker.log().lines().any(still))
    }

    /// No worker stands still, but where servers went back to an older store and lost what they had acknowledged.
    fn check_log(&self, log: &str) {
        assert!(!log.contains("panicked"), "{log}");
        for line in log.lines().filter(|line| line.contains("the shard stands still")) {
            let excused = ["log_behind", "log_rewritten", "outcomes_ahead", "digest_mismatch"];
            let is_excused = excused.iter().any(|fault| line.contains(&format!("fault=\"{fault}\"")));
            assert!(self.went_back && is_excused, "{log}");
        }
    }

    /// Lets each shard that stands still begin a new epoch.
    async fn begin_epochs(&mut self, connections: &Connections, losses: &mut BTreeMap<String, Loss>) -> bool {
        let still: Vec<_> = self.shards.iter().filter(|shard| self.stands_still(shard)).cloned().collect();
        if still.is_empty() {
            return false;
        }
        let count = self.workers.len();
        for worker in std::mem::take(&mut self.workers) {
            let ended = worker.stop().await;
            self.check_log(&ended.stderr);
        }
        for shard in still {
            let loss = losses.entry(shard.clone()).or_default();
            // What is copied is trimmed afterwards.
            loss.held.extend(held(&streams_of(connections, &shard)).await);
            // It may be run again, as long as the leases hold, and while servers elect leaders.
            let begun = within(CALM_WITHIN, "the new epoch to begin", async || {
                let ended = self.command("epoch", &["--shard", &shard, "--yes"]).await;
                println!("{}", ended.stderr);
                (ended.code == Some(0)).then_some(ended)
            })
            .await;
            let outcomes = begun.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            loss.gone.extend(outcomes.filter_map(|told| first_outcome_of(&told).map(str::to_owned)));
        }
        for _ in 0..count {
            let worker = self.worker().await;
            self.workers.push(worker);
        }
        true
    }

    /// Keeps a copy of a server's store as a kill leaves it.
    fn keep_copy(&mut self, server: usize) {
        let server = &mut self.servers[server];
        server.kill();
        copy(&server.store(), &server.folder().join("older"));
        server.resume();
    }

    fn kill_worker(&mut self, worker: usize) {
        self.workers[worker].kill();
        self.check_log(&self.workers[worker].log());
    }

    /// Starts a server, which was killed, with what the copy that was kept has in these folders of the store.
    fn roll_back(&mut self, server: usize, folders: &[String]) {
        self.went_back = true;
        let server = &mut self.servers[server];
        for folder in folders {
            let (older, newer) = (server.folder().join("older").join(folder), server.store().join(folder));
            std::fs::remove_dir_all(&newer).unwrap();
            copy(&older, &newer);
        }
        server.resume();
    }

    /// Waits until all copies of the streams of all shards are what their leaders have.
    async fn until_current(&self) {
        let client = async_nats::connect(self.urls()).await.unwrap();
        for stream in
            self.shards.iter().flat_map(|shard| [format!("LOG_{shard}"), format!("OUTCOMES_{shard}")])
        {
            within(CALM_WITHIN, "the copies to be current", async || {
                let info =
                    client.request(format!("$JS.API.STREAM.INFO.WEIR_{stream}"), "".into()).await.ok()?;
                let info: Value = serde_json::from_slice(&info.payload).unwrap();
                let copies = info["cluster"]["replicas"].as_array()?;
                let current = |copy: &&Value| copy["current"] == true && copy["offline"] != true;
                (copies.iter().filter(current).count() == 2).then_some(())
            })
            .await;
        }
    }

    /// Where a server's store keeps the logs, and what their replicas have agreed on.
    async fn folders_of_logs(&self) -> Vec<String> {
        let client = async_nats::connect(self.urls()).await.unwrap();
        let mut folders = Vec::new();
        for shard in &self.shards {
            let info = client.request(format!("$JS.API.STREAM.INFO.WEIR_LOG_{shard}"), "".into()).await;
            let info: Value = serde_json::from_slice(&info.unwrap().payload).unwrap();
            let group = info["cluster"]["raft_group"].as_str().unwrap();
            folders.push(format!("jetstream/$SYS/_js_/{group}"));
            folders.push(format!("jetstream/$G/streams/WEIR_LOG_{shard}"));
        }
        folders
    }

    async fn bring(&mut self, chaos: Chaos) {
        let (worker, server) = (self.rng.usize(..self.workers.len()), self.rng.usize(..3));
        println!("{chaos:?}: worker {worker}, server {server}");
        match chaos {
            Chaos::WorkerKilled => {
                self.kill_worker(worker);
                self.pause(0..4_000).await;
                self.workers[worker] = self.worker().await;
            }
            Chaos::WorkerDrained => {
                let next = self.worker().await;
                let ended = std::mem::replace(&mut self.workers[worker], next).stop().await;
                self.check_log(&ended.stderr);
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
                self.kill_worker(worker);
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
            Chaos::ServerRolledBack => {
                self.servers[ROLLED_BACK].kill();
                self.pause(0..2_000).await;
                self.roll_back(ROLLED_BACK, &["jetstream".to_owned()]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_decided_twice() {
    let Some(seconds) = std::env::var("WEIR_CHAOS_SECONDS").ok() else {
        skipped("WEIR_CHAOS_SECONDS is not set");
        return;
    };
    let lasting = Duration::from_secs(seconds.parse().unwrap());
    let seed =
        std::env::var("WEIR_CHAOS_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("WEIR_CHAOS_SEED={seed}");
    let mut cluster = Cluster::start(8, 3, seed).await;
    let orders = Orders::start(&cluster.urls(), &cluster.shards, PAUSE).await;
    cluster.pause(2_000..5_000).await;
    cluster.keep_copy(ROLLED_BACK);
    cluster.pause(2_000..5_000).await;
    let clock = SystemClock::shared();
    let ends = clock.monotonic() + lasting;
    let mut due = Vec::new();
    while clock.monotonic() < ends {
        if due.is_empty() {
            due = ALL.to_vec();
            // Once: after a second time nats-server's own replicas do not always agree again.
            due.retain(|chaos| !(cluster.went_back && matches!(chaos, Chaos::ServerRolledBack)));
            cluster.rng.shuffle(&mut due);
        }
        cluster.bring(due.pop().unwrap()).await;
        cluster.pause(1_000..6_000).await;
    }

    end(cluster, orders).await;
}

/// Two of three servers go back to an earlier copy of the logs and take orders; the third comes with nothing. With what it had, its
/// copies of the streams would differ from theirs for ever, which NATS does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn what_most_servers_have_lost_is_on_the_list() {
    if std::env::var("WEIR_CHAOS_SECONDS").is_err() {
        skipped("WEIR_CHAOS_SECONDS is not set");
        return;
    }
    let mut cluster = Cluster::start(2, 3, 0).await;
    let orders = Orders::start(&cluster.urls(), &cluster.shards, PAUSE).await;
    more(&orders, 100).await;
    for server in 0..2 {
        cluster.keep_copy(server);
        cluster.until_current().await;
    }
    more(&orders, 100).await;
    let logs = cluster.folders_of_logs().await;
    cluster.servers.iter_mut().for_each(Server::kill);
    for server in 0..2 {
        cluster.roll_back(server, &logs);
    }
    more(&orders, 20).await;
    std::fs::remove_dir_all(cluster.servers[2].store()).unwrap();
    cluster.servers[2].resume();
    for (shard, loss) in end(cluster, orders).await {
        // The outcomes are there: what is on no list was stored in the last moment before the kill.
        assert!(loss.gone.len() >= 50 && loss.lost < 50, "{shard}: {} and {}", loss.gone.len(), loss.lost);
    }
}

/// Waits until each shard's log has acknowledged so many orders more.
async fn more(orders: &Orders, count: u64) {
    let before = orders.acked();
    within(CALM_WITHIN, "orders to be stored", async || {
        let more = |(now, before): (&u64, &u64)| *now >= before + count;
        orders.acked().iter().zip(&before).all(more).then_some(())
    })
    .await;
}

/// The highest number of an order in the newest append.
async fn newest_order(streams: &JetStreams) -> Option<u64> {
    let newest = streams.last_outcomes().await.ok()??.append;
    let told = outcomes(newest.format, &newest.payload).unwrap();
    let number = |outcome| {
        let outcome = serde_json::to_value(&outcome).unwrap();
        outcome["order_id"].as_str()?.rsplit_once('-')?.1.parse().ok()
    };
    told.into_iter().filter_map(number).max()
}

/// Calm: every shard goes on taking orders, is led and stood by for, and what it was sent has its outcomes. Gives what shards lost
/// that stood still.
async fn end(mut cluster: Cluster, orders: Orders) -> BTreeMap<String, Loss> {
    let connections = cluster.connect().await;
    let table = JetKeys::new(&connections, &Names::default().leases_bucket());
    let mut losses = BTreeMap::new();
    for round in 1.. {
        assert!(round <= ROUNDS_MAX, "shards stand still again and again");
        more(&orders, 20).await;
        // What is announced of an order that was sent from now on shows that its shard has nothing to stand still for: the leases may
        // still tell of the time before.
        for (shard, sent) in cluster.shards.iter().zip(orders.acked()) {
            let streams = streams_of(&connections, shard);
            within(CALM_WITHIN, "a shard to be led and stood by for, or to stand still", async || {
                let table = list(&table.all().await.ok()?);
                let ready = table.workers.values().any(|worker| worker.ready.contains(shard));
                let led = table.shards.get(shard).is_some_and(|record| !record.leader.is_empty());
                let well = led && ready && newest_order(&streams).await? >= sent;
                (well || cluster.stands_still(shard)).then_some(())
            })
            .await;
        }
        if !cluster.begin_epochs(&connections, &mut losses).await {
            break;
        }
    }
    for sent in orders.stop().await {
        let streams = streams_of(&connections, &sent.shard);
        within(CALM_WITHIN, "the last outcome", async || {
            let last = streams.log_state().await.ok()?.last_sequence;
            let through = streams.last_outcomes().await.ok()??.append.header.through;
            (through.sequence >= last).then_some(())
        })
        .await;
        let end = match losses.get_mut(&sent.shard) {
            None => {
                sent.check(&streams).await;
                "each decided once".to_owned()
            }
            Some(loss) => {
                within(CALM_WITHIN, "the audit to agree", async || {
                    let audited = cluster.command("audit", &["--shard", &sent.shard]).await;
                    (audited.code == Some(0)).then_some(())
                })
                .await;
                let held = loss.held.union(&held(&streams).await).cloned().collect();
                loss.lost = sent.check_lossy(&held, &announced(&streams).await, &loss.gone);
                format!("{} on lists, {} on none, the others decided once", loss.gone.len(), loss.lost)
            }
        };
        let silence = longest_silence(&announcements(&connections.publishing.context(), &sent.shard).await);
        let count = sent.acked.len();
        println!("{}: {count} acknowledged, {end}; at most {silence:.1?} without an outcome", sent.shard);
    }
    for worker in std::mem::take(&mut cluster.workers) {
        let ended = worker.stop().await;
        assert!(!ended.stderr.contains("the shard stands still"), "{}", ended.stderr);
        cluster.check_log(&ended.stderr);
    }
    losses
}

/// The orders that a log holds, as long as they are the only ones in their messages.
async fn held(streams: &JetStreams) -> BTreeSet<String> {
    let order = |message: &LogMessage| order_of(std::str::from_utf8(&message.payload).ok()?);
    log_messages(streams).await.iter().filter_map(order).collect()
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

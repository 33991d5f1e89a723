//! Several workers on one real server: they share shards, stand by for each other, take over, hand over, and take snapshots.

use std::time::Duration;

use serde_json::{Value, json};
use weir::edges::ShardEdges;
use weir::edges::clock::SystemClock;
use weir::edges::jetstream::{Connections, InJetStream, JetKeys, JetObjects, Names, Store};
use weir::edges::keys::Keys as _;
use weir::edges::streams::Streams as _;
use weir::motion::leases::{Listing, list};
use weir::motion::snapshots::{Kept, Snapshots};

use crate::nats::{Server, until};
use crate::orders::{Announced, Orders, announcements, configuration, longest_silence};
use crate::weir::{Weir, announced, plain, streams_of};

/// What the project promises for the default lease: from a worker's death until its shards are led again.
const TAKEOVER_MAX: Duration = Duration::from_secs(5);
/// The default lease.
const LEASE: Duration = Duration::from_secs(3);
/// The pause between two orders on a shard.
const PAUSE: Duration = Duration::from_millis(5);

/// A server with the streams of some shards, and a configuration file for workers and commands.
struct Shop {
    server: Server,
    connections: Connections,
    shards: Vec<String>,
    config: String,
}

impl Shop {
    /// `more` stands at the top of the configuration.
    async fn open(shards: usize, more: &str) -> Self {
        let server = Server::start().await;
        let shards: Vec<_> = (0..shards).map(|number| format!("s{number}")).collect();
        let file = server.folder().join("weir.toml");
        std::fs::write(&file, configuration(&shards, 1, more)).unwrap();
        let config = file.to_str().unwrap().to_owned();
        let ended = Weir::on(&server, &["setup", "--config", &config]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let connections = server.connect().await;
        Self { server, connections, shards, config }
    }

    async fn worker(&self, name: &str) -> Weir {
        Weir::worker(&self.server.url(), &["--name", name, "--config", &self.config]).await
    }

    async fn orders(&self) -> Orders {
        Orders::start(&[self.server.url()], &self.shards, PAUSE).await
    }

    /// The table of leases.
    async fn table(&self) -> Listing {
        let table = JetKeys::new(&self.connections, &Names::default().leases_bucket());
        list(&table.all().await.unwrap())
    }

    /// Waits until these workers share the shards evenly, and each shard is stood by for by all the others.
    async fn until_shared(&self, workers: &[&str]) {
        until(&format!("{workers:?} to share the shards"), async || {
            let table = self.table().await;
            let mut led = vec![0; workers.len()];
            for shard in &self.shards {
                let record = table.shards.get(shard)?;
                led[workers.iter().position(|name| *name == short(&record.leader))?] += 1;
                let ready = |name: &&&str| {
                    let full = record.standbys.iter().find(|standby| short(standby) == **name);
                    full.is_some_and(|full| table.workers.get(full).is_some_and(|w| w.ready.contains(shard)))
                };
                if record.next.is_some() || workers.iter().filter(ready).count() + 1 < workers.len() {
                    return None;
                }
            }
            (led.iter().max()? - led.iter().min()? <= 1).then_some(())
        })
        .await;
    }

    /// Waits until one worker leads all shards.
    async fn until_led_by(&self, worker: &str) {
        until(&format!("{worker} to lead all shards"), async || {
            let table = self.table().await;
            let led = |shard| table.shards.get(shard).is_some_and(|record| short(&record.leader) == worker);
            self.shards.iter().all(led).then_some(())
        })
        .await;
    }

    /// The shards that a worker leads, as the table says.
    async fn led_by(&self, worker: &str) -> Vec<String> {
        let table = self.table().await;
        let led = |shard: &&String| short(&table.shards[*shard].leader) == worker;
        self.shards.iter().filter(led).cloned().collect()
    }

    async fn announcements(&self, shard: &str) -> Vec<Announced> {
        announcements(&plain(&self.server).await, shard).await
    }

    /// Waits until the logs have taken that many more messages.
    async fn until_more(&self, orders: &Orders, more: u64) {
        let before = orders.acked();
        until("more orders", async || {
            let more = |(now, before): (&u64, &u64)| *now >= before + more;
            orders.acked().iter().zip(&before).all(more).then_some(())
        })
        .await;
    }

    fn snapshots(&self, shard: &str) -> Snapshots<InJetStream> {
        let names = Names::default();
        let edges = ShardEdges::<InJetStream> {
            streams: streams_of(&self.connections, shard),
            pointers: JetKeys::new(&self.connections, &names.pointers_bucket()),
            objects: Store::JetStream(JetObjects::new(self.connections.clone(), &names.snapshots_bucket())),
        };
        Snapshots::new(shard, &edges)
    }

    /// Ends the orders and checks that each has exactly one outcome.
    async fn check(&self, orders: Orders) {
        for sent in orders.stop().await {
            sent.check(&streams_of(&self.connections, &sent.shard)).await;
        }
    }
}

/// A worker's own name, of its name in the table.
pub(crate) fn short(name: &str) -> &str {
    name.split_once('.').map_or(name, |(short, _)| short)
}

/// Since 1970, as servers on this machine stamp it.
fn now() -> Duration {
    Duration::from_nanos(SystemClock::shared().wall_ns().unsigned_abs())
}

#[tokio::test]
async fn workers_share_the_shards_and_stand_by_for_each_other() {
    let shop = Shop::open(4, "").await;
    let one = shop.worker("one").await;
    shop.until_led_by("one").await;
    let orders = shop.orders().await;
    let two = shop.worker("two").await;
    shop.until_shared(&["one", "two"]).await;
    let three = shop.worker("three").await;
    until("three to lead a shard", async || (!shop.led_by("three").await.is_empty()).then_some(())).await;
    // It gives back what it has.
    three.stop().await;
    shop.until_shared(&["one", "two"]).await;
    shop.until_more(&orders, 10).await;
    for worker in [&one, &two] {
        worker.until_readyz(200).await;
        until("the roles", async || {
            let status: Value = serde_json::from_str(&worker.get("/status").1).unwrap();
            let roles = status["shards"].as_array()?.iter().map(|shard| shard["role"].clone());
            let leads = roles.clone().filter(|role| role == "leader").count();
            (leads == 2 && roles.filter(|role| role == "standby").count() == 2).then_some(())
        })
        .await;
    }
    shop.check(orders).await;
    for worker in [one, two] {
        let ended = worker.stop().await;
        assert!(ended.stderr.contains("drained"), "{}", ended.stderr);
    }
    // Nobody is left in the table.
    let table = shop.table().await;
    assert!(table.workers.is_empty(), "{table:?}");
    assert!(table.shards.values().all(|record| record.leader.is_empty()), "{table:?}");
}

#[tokio::test]
async fn a_killed_worker_is_taken_over_from_within_the_promised_time() {
    let shop = Shop::open(4, "").await;
    let (mut one, two) = (shop.worker("one").await, shop.worker("two").await);
    let orders = shop.orders().await;
    shop.until_shared(&["one", "two"]).await;
    shop.until_more(&orders, 10).await;
    let led = shop.led_by("one").await;
    let killed = now();
    one.kill();
    shop.until_led_by("two").await;
    shop.until_more(&orders, 10).await;
    shop.check(orders).await;
    for shard in led {
        let announced = shop.announcements(&shard).await;
        let next = announced.iter().find(|append| append.writer == "two" && append.at > killed).unwrap();
        let took = next.at.saturating_sub(killed);
        println!("{shard} was announced again after {took:?}");
        assert!(took < TAKEOVER_MAX, "{shard} was announced again after {took:?}");
    }
    let ended = two.stop().await;
    // It went on from memory: each shard was recovered once, to stand by or to lead.
    assert_eq!(ended.stderr.matches(": recovering ").count(), 4, "{}", ended.stderr);
}

#[tokio::test]
async fn a_drained_worker_hands_over_without_a_gap() {
    let shop = Shop::open(4, "").await;
    let (one, two) = (shop.worker("one").await, shop.worker("two").await);
    let orders = shop.orders().await;
    shop.until_shared(&["one", "two"]).await;
    let begun = now();
    shop.until_more(&orders, 50).await;
    let ended = one.stop().await;
    assert!(ended.stderr.contains("drained"), "{}", ended.stderr);
    shop.until_led_by("two").await;
    shop.until_more(&orders, 50).await;
    shop.check(orders).await;
    for shard in &shop.shards {
        let mut announced = shop.announcements(shard).await;
        announced.retain(|append| append.at > begun);
        let silence = longest_silence(&announced);
        println!("{shard}: at most {silence:?} without an outcome");
        // A lease that had to run out first would show.
        assert!(silence < LEASE, "{shard}: {silence:?} without an outcome");
    }
    two.stop().await;
}

#[tokio::test]
async fn a_leader_that_wakes_up_late_announces_nothing_further() {
    let shop = Shop::open(1, "").await;
    let one = shop.worker("one").await;
    shop.until_led_by("one").await;
    let two = shop.worker("two").await;
    let orders = shop.orders().await;
    shop.until_shared(&["one", "two"]).await;
    shop.until_more(&orders, 10).await;
    one.signal("STOP");
    shop.until_led_by("two").await;
    shop.until_more(&orders, 10).await;
    one.signal("CONT");
    until("one to stand by", async || {
        let table = shop.table().await;
        let ready =
            table.workers.iter().any(|(name, worker)| short(name) == "one" && worker.ready.contains("s0"));
        ready.then_some(())
    })
    .await;
    shop.until_more(&orders, 50).await;
    shop.check(orders).await;
    let announced = shop.announcements("s0").await;
    let mut writers: Vec<_> = announced.iter().map(|append| append.writer.as_str()).collect();
    writers.dedup();
    assert_eq!(writers, ["one", "two"]);
    for worker in [one, two] {
        let ended = worker.stop().await;
        assert!(!ended.stderr.contains("the shard stands still"), "{}", ended.stderr);
    }
}

/// A worker that takes snapshots, until there are two and the log is trimmed behind the older one.
async fn with_snapshots(shop: &Shop) -> Weir {
    let worker = shop.worker("one").await;
    let context = plain(&shop.server).await;
    let streams = streams_of(&shop.connections, "s0");
    let receipt =
        json!({"receive": {"receipt_id": "R", "site": "s0", "lines": [{"sku": "A", "quantity": 9_000}]}});
    publish(&context, &receipt).await;
    for round in 0..2 {
        for batch in 0..11 {
            let order = |number| {
                let id = format!("{round}-{batch}-{number}");
                json!({"place": {"order_id": id, "site": "s0", "lines": [{"sku": "A", "quantity": 1}]}})
            };
            publish(&context, &(0..100).map(order).collect()).await;
        }
        until("a snapshot", async || {
            (shop.snapshots("s0").kept().await.unwrap().len() > round).then_some(())
        })
        .await;
    }
    let second = shop.snapshots("s0").kept().await.unwrap()[1].sequence;
    until("the log to be trimmed", async || {
        (streams.log_state().await.unwrap().first_sequence == second + 1).then_some(())
    })
    .await;
    worker
}

async fn publish(context: &async_nats::jetstream::Context, commands: &Value) {
    let ack = context.publish("weir.log.s0", commands.to_string().into()).await.unwrap();
    ack.await.unwrap();
}

/// Checks that a worker recovers from the snapshot up to `sequence`, and that new orders have exactly one outcome, as the old ones
/// have.
async fn goes_on_from(shop: &Shop, worker: &Weir, sequence: u64) {
    until("the recovery", async || worker.log().contains("recovering").then_some(())).await;
    let recovering = format!("recovering shard=\"s0\" snapshot={sequence} ");
    assert!(worker.log().contains(&recovering), "{}", worker.log());
    let orders = shop.orders().await;
    shop.until_more(&orders, 20).await;
    let streams = streams_of(&shop.connections, "s0");
    let sent = orders.stop().await.remove(0);
    let last = *sent.acked.keys().next_back().unwrap();
    until("the last outcome", async || {
        let through = streams.last_outcomes().await.unwrap()?.append.header.through;
        (through.sequence >= last).then_some(())
    })
    .await;
    let outcomes = announced(&streams).await;
    sent.check_outcomes(&outcomes);
    // One policy, one receipt and the orders of before; one receipt and the orders of now.
    assert_eq!(outcomes.len(), 2 + 2 * 1_100 + sent.acked.len());
}

#[tokio::test]
async fn a_restarted_worker_goes_on_from_its_snapshot() {
    let shop = Shop::open(1, "[snapshots]\nevery_records = 1000\n").await;
    let mut worker = with_snapshots(&shop).await;
    worker.kill();
    let newest = shop.snapshots("s0").kept().await.unwrap()[0].sequence;
    let worker = shop.worker("two").await;
    goes_on_from(&shop, &worker, newest).await;
    worker.stop().await;
}

/// Damages the newest snapshot, and checks that it is passed over aloud for the one before.
async fn passed_over(damage: impl AsyncFnOnce(&async_nats::jetstream::object_store::ObjectStore, &Kept)) {
    let shop = Shop::open(1, "[snapshots]\nevery_records = 1000\n").await;
    with_snapshots(&shop).await.stop().await;
    let kept = shop.snapshots("s0").kept().await.unwrap();
    let store = plain(&shop.server).await.get_object_store("WEIR_SNAPSHOTS").await.unwrap();
    damage(&store, &kept[0]).await;
    let worker = shop.worker("two").await;
    goes_on_from(&shop, &worker, kept[1].sequence).await;
    let log = worker.log();
    let complaint = log.lines().find(|line| line.contains("is passed over for an older one")).unwrap();
    assert!(complaint.contains("ERROR") && complaint.contains(&kept[0].name), "{complaint}");
    let passed_over = worker.metric("weir_snapshots_total{shard=\"s0\",end=\"passed_over\"}");
    assert!((1.0..1.5).contains(&passed_over), "{passed_over}");
    worker.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_was_written_over_is_passed_over() {
    passed_over(async |store, newest| {
        store.put(newest.name.as_str(), &mut [7; 4_096].as_slice()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_that_is_gone_is_passed_over() {
    passed_over(async |store, newest| store.delete(newest.name.as_str()).await.unwrap()).await;
}

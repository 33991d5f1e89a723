//! Shards that stand still though their worker lives: a lease speaks for a shard that moves. And what holds up no promotion.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use weir::edges::memory::MemoryLimits;
use weir::motion::rules::life::{Life as ShardLife, Phase};
use weir::motion::status::Status;
use weir::process::engine::Engine;
use weir::words::codec::Format;

use crate::check;
use crate::seeds::{Outcome, PATIENCE, in_virtual_time};
use crate::workers::{Setting, client, start};
use crate::workload::messages;
use crate::world::{Faults, Life, World};

pub(crate) const SETTING: Setting = Setting {
    workers: 2,
    standbys: 1,
    every_records: 30,
    format: Format::Json,
    deaths: false,
    cut_offs: false,
    panics: false,
};
/// Within what time a ready standby leads in place of a leader that gets no further: what makes it stuck, and some beats.
const LEADS_WITHIN: Duration = Duration::from_secs(15);

/// A worker.
struct Worker {
    life: Arc<Life>,
    engine: Engine,
}

impl Worker {
    fn start(world: &Arc<World>, name: &str) -> Self {
        let life = Life::new(world, name.to_owned(), world.worker_clock(), u64::MAX);
        Self { engine: start(&life, &SETTING), life }
    }

    fn status(&self) -> &Status {
        &self.engine.statuses()[0]
    }

    fn is(&self, role: &str) -> bool {
        self.status().role() == Some(role)
    }
}

/// Waits, in virtual time, until something holds; says whether it did within so long.
async fn within(most: Duration, holds: impl Fn() -> bool) -> bool {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(most, wait).await.is_ok()
}

/// Two workers of one shard: the one that leads, and the other, which is ready.
async fn two(world: &Arc<World>) -> (Worker, Worker) {
    let first = Worker::start(world, "first");
    assert!(within(PATIENCE, || first.is("leader")).await, "nobody leads");
    let second = Worker::start(world, "second");
    let ready = || second.is("standby") && second.status().is_ready();
    assert!(within(PATIENCE, ready).await, "the other is not ready");
    (first, second)
}

/// Sends messages until told to end.
async fn send(world: Arc<World>, mut rng: Rng, end: watch::Receiver<bool>) {
    let all = messages(&mut rng, 60);
    for sent in all {
        client(world.clone(), 0, vec![sent]).await;
    }
    // Something always comes, so that who gets no further shows.
    for number in 0.. {
        if *end.borrow() {
            return;
        }
        let payload = format!(r#"{{"cancel":{{"order_id":"N-{number}"}}}}"#).into();
        let sent = crate::workload::Sent { pause_ms: 300, format: Format::Json, payload };
        client(world.clone(), 0, vec![sent]).await;
    }
}

/// A leader whose readers are cut off gets no further, and keeps its other connections: a ready standby leads soon, and nobody leads
/// who has yet to recover.
pub(crate) async fn stands_still(seed: u64) -> Outcome {
    let mut rng = Rng::with_seed(seed ^ 0x5711);
    let world = World::new(seed, 1, MemoryLimits::default(), Faults { delay_ms: 5, ..Faults::default() });
    let (first, second) = two(&world).await;
    let (end, ended) = watch::channel(false);
    let sending = tokio::spawn(send(world.clone(), Rng::with_seed(seed), ended));
    tokio::time::sleep(Duration::from_millis(rng.u64(..20_000))).await;
    let recovers = rng.bool();
    if recovers {
        world.tell(&format_args!("the standby's reader panics, and it cannot recover"));
        second.life.pointers_hang.store(true, Relaxed);
        second.life.reader_panics.store(true, Relaxed);
        let restoring = || second.status().life() == ShardLife::Recovering { phase: Phase::Restoring };
        assert!(within(PATIENCE, restoring).await, "seed {seed}: nobody noticed the panic");
    }
    world.tell(&format_args!("the leader's readers are cut off"));
    first.life.readers_cut.store(true, Relaxed);
    if recovers {
        // Not for a moment either: it would give it back, and so on.
        let led = within(LEADS_WITHIN * 2, || second.is("leader")).await;
        assert!(!led && first.is("leader"), "seed {seed}: the lease was given to a standby that recovers");
        assert!(!second.status().is_ready(), "seed {seed}: it recovers, and says that it is ready");
        second.life.pointers_hang.store(false, Relaxed);
    }
    let leads = || second.is("leader") && second.status().life() == ShardLife::Leading;
    assert!(within(LEADS_WITHIN, leads).await, "seed {seed}: the shard stands still, and nobody takes it");
    end.send(true).unwrap();
    sending.await.unwrap();
    let done = async {
        while !check::is_done(&world, 0).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, done).await.is_ok(), "seed {seed}: stuck");
    for worker in [first, second] {
        worker.life.die();
        drop(worker.engine);
    }
    let history = world.shards[0].history();
    check::announced(&world, 0, &history, history.len()).await;
    Outcome {
        digest: check::digest(&world).await,
        appends: world.shards[0].appends().await.len(),
        snapshots: 0,
    }
}

/// The leader dies while its standby writes a snapshot that nobody takes: that holds up no promotion.
async fn dies_amid_a_snapshot() {
    let world = World::new(3, 1, MemoryLimits::default(), Faults { delay_ms: 1, ..Faults::default() });
    let (first, second) = two(&world).await;
    second.life.objects_hang.store(true, Relaxed);
    client(world.clone(), 0, messages(&mut Rng::with_seed(5), 60)).await;
    // A snapshot is due and begun by now.
    tokio::time::sleep(Duration::from_secs(10)).await;
    first.life.die();
    drop(first.engine);
    client(world.clone(), 0, messages(&mut Rng::with_seed(6), 10)).await;
    let done = async {
        while !check::is_done(&world, 0).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(LEADS_WITHIN, done).await.is_ok(), "the snapshot holds up who is to lead");
    drop(second.engine);
}

#[test]
fn a_snapshot_holds_up_no_promotion() {
    in_virtual_time(dies_amid_a_snapshot());
}

/// Whatever stage panics, the worker notices, and the shard goes on, with whoever leads it.
async fn sharing_panics() {
    let world = World::new(4, 1, MemoryLimits::default(), Faults { delay_ms: 1, ..Faults::default() });
    let worker = Worker::start(&world, "alone");
    let mut rng = Rng::with_seed(4);
    let (end, ended) = watch::channel(false);
    let sending = tokio::spawn(send(world.clone(), Rng::with_seed(4), ended));
    for _ in 0..4 {
        assert!(within(PATIENCE, || worker.is("leader") && worker.status().is_ready()).await, "nobody leads");
        let step = worker.life.steps.load(Relaxed);
        worker.life.panic_at((1..4).map(|_| step + rng.u64(1..200)));
        // A stage that panics again and again halts the shard.
        tokio::time::sleep(Duration::from_secs(80)).await;
    }
    assert!(within(PATIENCE, || worker.is("leader") && worker.status().is_ready()).await, "nobody leads");
    assert_eq!(worker.engine.health().unwell(), None);
    end.send(true).unwrap();
    sending.await.unwrap();
    while !check::is_done(&world, 0).await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(worker.engine);
}

#[test]
fn whatever_panics_is_noticed() {
    in_virtual_time(async { tokio::time::timeout(PATIENCE * 10, sharing_panics()).await.expect("stuck") });
}

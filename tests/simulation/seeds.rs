//! Many seeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use weir::edges::memory::MemoryLimits;
use weir::edges::streams::Streams as _;
use weir::motion::snapshots::Kept;
use weir::words::codec::Format;

use crate::check;
use crate::workers::{Setting, client, worker};
use crate::workload::messages;
use crate::world::{Faults, World};

/// How many seeds run where nobody says otherwise.
const SEEDS: u64 = 2_000;
/// Of so many seeds one runs twice.
const TWICE: u64 = 40;
/// How long, in virtual time, workers have to come to an end once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_mins(10);
/// How many messages a shard is sent at most.
const MESSAGES_MAX: usize = 90;

/// What came of a seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    digest: u64,
    snapshots: usize,
    appends: usize,
}

/// Runs `future` on one thread, in virtual time.
pub(crate) fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

async fn simulate(seed: u64) -> Outcome {
    let mut rng = Rng::with_seed(seed ^ 0x5eed);
    let setting = Setting {
        workers: rng.usize(1..4),
        standbys: rng.usize(0..2),
        every_records: [8, 30, 100, u64::MAX][rng.usize(..4)],
        format: if rng.bool() { Format::Json } else { Format::Bincode },
        deaths: rng.u32(..8) > 0,
    };
    let limits = MemoryLimits {
        // Some logs are so small that they are full until they are trimmed.
        log_bytes_max: if setting.every_records < 100 && rng.bool() { 24 << 10 } else { 1 << 30 },
        ..MemoryLimits::default()
    };
    let shards = rng.usize(1..3);
    let world = World::new(seed, shards, limits, Faults::random(&mut rng));
    world.tell(&format_args!("{setting:?} {limits:?} {:?}", world.faults));
    let (end, ended) = watch::channel(false);
    let workers: Vec<_> = (0..setting.workers)
        .map(|number| tokio::spawn(worker(world.clone(), number, setting, ended.clone())))
        .collect();
    let clients: Vec<_> = (0..shards)
        .map(|shard| tokio::spawn(client(world.clone(), shard, messages(&mut rng, MESSAGES_MAX))))
        .collect();
    let clock = tokio::spawn(turn_the_brokers_clock(world.clone()));
    // A trim that is decided before a loss and done after it could take what only the lost outcomes allowed to be taken: here
    // it is done at once.
    let prompt = world.faults.writes_late == 0 && world.faults.slow == 0 && !setting.deaths;
    let losing =
        (prompt && limits.log_bytes_max > 1 << 20).then(|| tokio::spawn(lose_outcomes(world.clone())));
    let told = async {
        for client in clients {
            client.await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE * 10, told)
        .await
        .unwrap_or_else(|_| panic!("seed {seed}: the log stays full"));
    let more = world.rng().u64(..20_000);
    tokio::time::sleep(Duration::from_millis(more)).await;
    world.calm_down();
    world.tell(&format_args!("calm"));
    clock.abort();
    if let Some(losing) = losing {
        losing.abort();
    }
    // A tick that was on its way may still come after that.
    let mut complete = vec![0; shards];
    let finish = async {
        for (shard, complete) in complete.iter_mut().enumerate() {
            while !check::is_done(&world, shard).await {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            *complete = world.shards[shard].history().len();
        }
    };
    let finished = tokio::time::timeout(PATIENCE, finish).await;
    end.send(true).unwrap();
    let mut faults = Vec::new();
    for worker in workers {
        faults.extend(worker.await.unwrap());
    }
    assert_eq!(faults, [], "seed {seed}");
    let mut outcome = Outcome { digest: check::digest(&world).await, ..Outcome::default() };
    for (shard, complete) in complete.into_iter().enumerate() {
        let history = world.shards[shard].history();
        check::announced(&world, shard, &history, complete).await;
        outcome.snapshots += check::snapshots(&world, shard, &history).await;
        outcome.appends += world.shards[shard].appends().await.len();
    }
    for (shard, truth) in world.shards.iter().enumerate() {
        if finished.is_err() {
            let log = truth.streams().log_state().await;
            let reference = check::fold(&truth.history());
            let (last, due) = (reference.last(), reference.inventory.due());
            world.tell(&format_args!("shard {shard}: {log:?}, {last} is to be announced, due {due:?}"));
        }
    }
    assert!(finished.is_ok(), "seed {seed}: stuck");
    outcome
}

/// The broker's clock jumps too: back, as when another server leads the stream, or a little forward.
async fn turn_the_brokers_clock(world: Arc<World>) {
    loop {
        let (pause, offset) = {
            let mut rng = world.rng();
            (rng.u64(1_000..30_000), rng.i64(-60_000..60_000))
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        world.broker_clock.set_offset_ms(offset);
    }
}

/// The broker loses the last outcomes that it had acknowledged, once; no more of them than a snapshot can make up for.
async fn lose_outcomes(world: Arc<World>) {
    let (pause, most) = {
        let mut rng = world.rng();
        (rng.u64(3_000..30_000), rng.usize(1..12))
    };
    tokio::time::sleep(Duration::from_millis(pause)).await;
    for shard in 0..world.shards.len() {
        let truth = &world.shards[shard];
        let (log, appends) = (truth.history(), truth.appends().await);
        let first = truth.streams().log_state().await.unwrap().first_sequence;
        let newest = check::kept(&world, shard).await.first().and_then(Kept::through);
        let needed = if first > 1 { newest } else { None };
        let left = appends.len().saturating_sub(most);
        let left =
            left.max(needed.map_or(0, |needed| {
                appends.partition_point(|stored| stored.append.header.through < needed) + 1
            }));
        if left < appends.len() {
            world.tell(&format_args!("shard {shard} loses its last outcomes, behind {left}"));
            truth.turn_into(&log, first, &appends[..left]).await;
        }
    }
}

/// Runs what `test` names for each of so many seeds, or for the one that is to be replayed.
pub(crate) fn each<F: Future<Output = ()>>(seeds: u64, test: &str, run: fn(u64) -> F) {
    let replayed = std::env::var("WEIR_SEED").ok().map(|seed| seed.parse().unwrap());
    for seed in replayed.map_or(0..seeds, |seed| seed..seed + 1) {
        let ran = std::panic::catch_unwind(|| {
            in_virtual_time(async { tokio::time::timeout(PATIENCE * 10, run(seed)).await.expect("stuck") });
        });
        assert!(
            ran.is_ok(),
            "seed {seed} failed; to replay it: WEIR_SEED={seed} cargo test --test simulation {test} -- --nocapture"
        );
    }
}

#[test]
fn whatever_happens_every_record_is_decided_and_announced_once() {
    if let Ok(seed) = std::env::var("WEIR_SEED") {
        let outcome = in_virtual_time(simulate(seed.parse().unwrap()));
        println!("seed {seed}: {outcome:?}");
        return;
    }
    let seeds = std::env::var("WEIR_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let (next, snapshots, appends) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let run = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds {
                return;
            }
            let ran = std::panic::catch_unwind(|| {
                let outcome = in_virtual_time(simulate(seed));
                if seed % TWICE == 0 {
                    assert_eq!(in_virtual_time(simulate(seed)), outcome, "seed {seed} differs from itself");
                }
                outcome
            });
            let Ok(outcome) = ran else {
                next.store(u64::MAX / 2, Relaxed);
                panic!(
                    "seed {seed} failed; to replay it: WEIR_SEED={seed} cargo test --test simulation whatever -- \
                     --nocapture"
                );
            };
            snapshots.fetch_add(outcome.snapshots as u64, Relaxed);
            appends.fetch_add(outcome.appends as u64, Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> =
            (1..std::thread::available_parallelism().unwrap().get()).map(|_| scope.spawn(run)).collect();
        run();
        for other in others {
            other.join().unwrap();
        }
    });
    println!("{seeds} seeds, {appends:?} appends, {snapshots:?} snapshots");
    assert!(snapshots.into_inner() > seeds / 4, "too few snapshots to show anything");
}

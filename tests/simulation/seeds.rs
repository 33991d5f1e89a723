//! Many seeds.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use weir::edges::memory::MemoryLimits;
use weir::edges::streams::Streams as _;
use weir::motion::snapshots::Kept;
use weir::words::codec::Format;

use crate::check;
use crate::damaged;
use crate::still;
use crate::workers::{Setting, client, worker};
use crate::workload::messages;
use crate::world::{Faults, World};

/// How many seeds run where nobody says otherwise.
const SEEDS: u64 = 2_000;
/// Of so many seeds one runs twice.
const TWICE: u64 = 41;
/// How long, in virtual time, workers have to come to an end once nothing goes wrong any more.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);
/// How many messages a shard is sent at most.
const MESSAGES_MAX: usize = 90;

/// What came of a seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) digest: u64,
    pub(crate) snapshots: usize,
    pub(crate) appends: usize,
}

/// Runs `future` on one thread, in virtual time.
pub(crate) fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

/// Mostly, workers and their ways fail and the broker keeps its word; of sixteen seeds, there are three where it does not. In
/// one of sixteen a leader gets no further, though nothing but its readers fails.
async fn simulate(seed: u64) -> Outcome {
    match seed % 16 {
        5 => damaged::holed(seed).await,
        6 => damaged::rewritten(seed).await,
        8 => still::stands_still(seed).await,
        kind => decided(seed, kind == 7).await,
    }
}

/// All that is sent is decided, and announced once, whatever happens on the way. The broker may lose outcomes meanwhile.
async fn decided(seed: u64, losing: bool) -> Outcome {
    let mut rng = Rng::with_seed(seed ^ 0x5eed);
    let mut setting = Setting {
        workers: rng.usize(1..4),
        standbys: rng.usize(0..2),
        every_records: [8, 30, 100, u64::MAX][rng.usize(..4)],
        format: if rng.bool() { Format::Json } else { Format::Bincode },
        deaths: rng.u32(..8) > 0,
        cut_offs: rng.u32(..4) > 0,
        panics: rng.bool(),
    };
    let mut faults = Faults::random(&mut rng);
    if losing {
        // What is on its way for long could land where the stream has grown back to, which the fence does not see.
        setting.cut_offs = false;
        (faults.writes_late, faults.slow, faults.stale) = (0, 0, 0);
    }
    let limits = MemoryLimits {
        // Some logs are so small that they are full until they are trimmed.
        log_bytes_max: if setting.every_records < 100 && !losing && rng.bool() { 24 << 10 } else { 1 << 30 },
        ..MemoryLimits::default()
    };
    let shards = rng.usize(1..3);
    let world = World::new(seed, shards, limits, faults);
    world.tell(&format_args!("{setting:?} {limits:?} {:?}", world.faults));
    let (end, ended) = watch::channel(false);
    let workers: Vec<_> = (0..setting.workers)
        .map(|number| tokio::spawn(worker(world.clone(), number, setting, ended.clone())))
        .collect();
    let clients: Vec<_> = (0..shards)
        .map(|shard| tokio::spawn(client(world.clone(), shard, messages(&mut rng, MESSAGES_MAX))))
        .collect();
    let clock = tokio::spawn(turn_the_brokers_clock(world.clone()));
    let servers = tokio::spawn(cut_off_servers(world.clone()));
    let losing = losing.then(|| tokio::spawn(lose_outcomes(world.clone())));
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
    servers.abort();
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
    let saved = async {
        for shard in 0..shards {
            while !check::is_saved(&world, shard, setting.every_records).await {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    };
    let saved = tokio::time::timeout(PATIENCE, saved).await;
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
    assert!(saved.is_ok(), "seed {seed}: no more snapshots are taken");
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

/// Now and then a server that led a shard's streams is cut off from the others, and answers from the past for as long as these take
/// to elect another.
async fn cut_off_servers(world: Arc<World>) {
    loop {
        let (pause, answers_for) = {
            let mut rng = world.rng();
            (rng.u64(2_000..20_000), rng.u64(500..9_000))
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        for truth in &world.shards {
            truth.cut_off_a_server(world.start.elapsed(), Duration::from_millis(answers_for)).await;
        }
    }
}

/// The broker loses the last outcomes that it had acknowledged, once; no more of them than the snapshot makes up for that the log
/// may be trimmed behind: the second-newest.
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
        let needed = check::kept(&world, shard).await.get(1).and_then(Kept::through);
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
        if let Err(panic) = ran {
            let why = why(&*panic);
            panic!(
                "seed {seed} failed: {why}\nto replay it: WEIR_SEED={seed} cargo test --test simulation {test} -- --nocapture"
            );
        }
    }
}

/// What a panic says.
fn why(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[test]
fn whatever_happens_every_record_is_decided_and_announced_once() {
    if let Ok(seed) = std::env::var("WEIR_SEED") {
        // What the workers say stands in the trace, too.
        let _ = tracing_subscriber::fmt().without_time().with_writer(std::io::stderr).try_init();
        let outcome = in_virtual_time(simulate(seed.parse().unwrap()));
        println!("seed {seed}: {outcome:?}");
        return;
    }
    let seeds = std::env::var("WEIR_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let (next, snapshots, appends) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failed = Mutex::new(BTreeMap::new());
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
            match ran {
                Ok(outcome) => {
                    snapshots.fetch_add(outcome.snapshots as u64, Relaxed);
                    appends.fetch_add(outcome.appends as u64, Relaxed);
                }
                Err(panic) => {
                    // Every seed before it has begun, and is run to its end: the first that fails is the same each time.
                    next.store(u64::MAX / 2, Relaxed);
                    failed.lock().unwrap().insert(seed, why(&*panic));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(run);
        }
        run();
    });
    if let Some((seed, why)) = failed.into_inner().unwrap().first_key_value() {
        panic!(
            "seed {seed} failed: {why}\nto replay it: WEIR_SEED={seed} cargo test --test simulation whatever -- --nocapture"
        );
    }
    println!("{seeds} seeds, {appends:?} appends, {snapshots:?} snapshots");
    assert!(snapshots.into_inner() > seeds / 4, "too few snapshots to show anything");
}

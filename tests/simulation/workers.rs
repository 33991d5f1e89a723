//! Workers and clients of the simulation: they start, die, drain and come again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weir::edges::ShardEdges;
use weir::edges::streams::{AppendError, Streams as _};
use weir::edges::telemetry::Telemetry;
use weir::motion::fold::FoldOn;
use weir::motion::leases::LeaseOptions;
use weir::motion::scribe::SnapshotOptions;
use weir::motion::shard::ShardOptions;
use weir::process::engine::{Engine, SharingOptions};
use weir::words::codec::Format;

use crate::edges::{InSimulation, SimKeys, SimObjects, SimStreams};
use crate::workload::Sent;
use crate::world::{Life, SimClock, World};

/// How workers are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) workers: usize,
    pub(crate) standbys: usize,
    pub(crate) every_records: u64,
    pub(crate) format: Format,
    /// Workers die, drain, and have their clocks jump.
    pub(crate) deaths: bool,
    /// They are cut off for a while.
    pub(crate) cut_offs: bool,
    /// Their stages panic now and then.
    pub(crate) panics: bool,
}

/// The edges of a shard, for one life.
pub(crate) fn edges(life: &Arc<Life>, shard: usize) -> ShardEdges<InSimulation> {
    ShardEdges {
        streams: SimStreams { life: life.clone(), shard },
        pointers: SimKeys { life: life.clone() },
        objects: SimObjects { life: life.clone() },
    }
}

/// Starts an engine for one life.
pub(crate) fn start(life: &Arc<Life>, setting: &Setting) -> Engine {
    let shards = (0..life.world.shards.len()).map(|shard| (format!("s{shard}"), edges(life, shard)));
    let options = ShardOptions {
        snapshots: SnapshotOptions {
            every_records: setting.every_records,
            keep: 3,
            ..SnapshotOptions::default()
        },
        fold_on: FoldOn::Task,
        ..ShardOptions::new(&life.name, setting.format)
    };
    let sharing = SharingOptions {
        keys: SimKeys { life: life.clone() },
        leases: LeaseOptions { lease: Duration::from_secs(3), standbys: setting.standbys },
        handover: Duration::from_secs(5),
    };
    Engine::share(shards.collect(), &life.shared_clock(), &options, &Telemetry::new(), sharing)
}

/// Runs one worker, life after life, until told to end; says for which shards it stands still, and why.
pub(crate) async fn worker(
    world: Arc<World>,
    number: usize,
    setting: Setting,
    mut end: watch::Receiver<bool>,
) -> Vec<(usize, String)> {
    let clock = world.worker_clock();
    let mut faults = Vec::new();
    for life_number in 0.. {
        let (crash_at, drain_after) = {
            let mut rng = world.rng();
            let crash_at = if setting.deaths && rng.u32(..3) > 0 { rng.u64(1..600) } else { u64::MAX };
            let drain_after =
                if setting.deaths && rng.u32(..4) == 0 { rng.u64(1_000..40_000) } else { u64::MAX };
            (crash_at, drain_after)
        };
        let life = Life::new(&world, format!("w{number}-{life_number}"), clock.clone(), crash_at);
        if setting.panics {
            let mut rng = world.rng();
            life.panic_at((0..rng.u32(..4)).map(|_| rng.u64(1..2_000)));
        }
        world.tell(&format_args!("{} begins", life.name));
        let engine = start(&life, &setting);
        let statuses = engine.statuses().to_vec();
        let meddling = tokio::spawn(meddle(life.clone(), clock.clone(), setting));
        let drained = tokio::time::sleep(Duration::from_millis(drain_after.min(1 << 40)));
        let ended = tokio::select! {
            biased;
            () = life.died.notified() => false,
            () = async { drop(end.wait_for(|end| *end).await) } => true,
            () = drained => {
                world.tell(&format_args!("{} drains", life.name));
                let drained = engine.drain(Duration::from_secs(10)).await;
                world.tell(&format_args!("{} has drained: {drained:?}", life.name));
                life.die();
                meddling.abort();
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        meddling.abort();
        let stood_still = statuses.iter().enumerate();
        let stood_still = stood_still.filter_map(|(shard, s)| Some((shard, s.progress().fault?.to_string())));
        faults.extend(stood_still);
        life.die();
        drop(engine);
        if ended {
            break;
        }
        let pause = world.rng().u64(10..8_000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    faults
}

/// What happens to a worker that lives: it is cut off for a while, and its clock jumps.
async fn meddle(life: Arc<Life>, clock: Arc<SimClock>, setting: Setting) {
    if !setting.deaths {
        return;
    }
    loop {
        let pause = life.world.rng().u64(2_000..20_000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if life.world.is_calm() {
            return;
        }
        let fate = life.world.rng().u32(..3);
        match fate {
            0 if setting.cut_offs => {
                let off = Duration::from_millis(life.world.rng().u64(500..15_000));
                life.world.tell(&format_args!("{} is cut off for {off:?}", life.name));
                life.cut_off(off);
            }
            1 => clock.set_offset_ms(life.world.rng().i64(-120_000..120_000)),
            _ => {}
        }
    }
}

/// Sends a shard's messages, and each again until it is stored.
pub(crate) async fn client(world: Arc<World>, shard: usize, messages: Vec<Sent>) {
    let life = Life::new(&world, format!("c{shard}"), world.worker_clock(), u64::MAX);
    let streams = SimStreams { life, shard };
    for Sent { pause_ms, format, payload } in messages {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        loop {
            match streams.append_log(format, payload.clone()).await {
                Ok(_) => break,
                // It may be there twice then; that is what ids are for.
                Err(AppendError::TimedOut | AppendError::Full | AppendError::Unavailable(_)) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

//! A broker that lost what it had acknowledged: its log is shorter, was filled again with something else, or has a hole. Whoever
//! reads it stands still and says so; nothing is announced that the log did not decide before.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir::edges::memory::MemoryLimits;
use weir::words::codec::Format;
use weir::words::fault::Fault;
use weir::words::identity::Identity;
use weir::words::message::{LogMessage, Way};

use crate::check;
use crate::seeds::{Outcome, PATIENCE};
use crate::workers::{Setting, client, worker};
use crate::workload::messages;
use crate::world::{Faults, World};

const MESSAGES_MAX: usize = 60;

/// A shard and its workers, before its log is damaged.
struct Damaged {
    rng: Rng,
    setting: Setting,
    world: Arc<World>,
    end: watch::Sender<bool>,
    workers: Vec<JoinHandle<Vec<(usize, String)>>>,
}

impl Damaged {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0xbad);
        let setting = Setting {
            workers: rng.usize(1..4),
            standbys: rng.usize(0..2),
            every_records: [8, 30, u64::MAX][rng.usize(..3)],
            format: Format::Bincode,
            deaths: false,
            cut_offs: false,
            panics: false,
        };
        let world = World::new(seed, 1, MemoryLimits::default(), Faults { delay_ms: 5, ..Faults::default() });
        world.tell(&format_args!("{setting:?}"));
        Self { rng, setting, world, end: watch::Sender::new(false), workers: Vec::new() }
    }

    fn start_worker(&mut self) {
        let worker = worker(self.world.clone(), self.workers.len(), self.setting, self.end.subscribe());
        self.workers.push(tokio::spawn(worker));
    }

    fn start_workers(&mut self) {
        (0..self.setting.workers).for_each(|_| self.start_worker());
    }

    async fn tell(&mut self) {
        let messages = messages(&mut self.rng, MESSAGES_MAX);
        client(self.world.clone(), 0, messages).await;
    }

    /// Why its workers stand still, after a while.
    async fn faults(&mut self) -> Vec<String> {
        tokio::time::sleep(Duration::from_mins(1)).await;
        self.end.send_replace(true);
        let mut all = Vec::new();
        for (number, worker) in self.workers.drain(..).enumerate() {
            let faults = worker.await.unwrap();
            // Beside a single one that leads, another that came later has nothing to do.
            let led_or_stood_by = number == 1 && self.setting.workers == 1 || !faults.is_empty();
            let seed = self.world.seed;
            assert!(led_or_stood_by, "seed {seed}: worker {number} found nothing wrong with the log");
            all.extend(faults.into_iter().map(|(_, fault)| fault));
        }
        all
    }

    async fn outcome(&self) -> Outcome {
        let appends = self.world.shards[0].appends().await.len();
        Outcome { digest: check::digest(&self.world).await, appends, ..Outcome::default() }
    }
}

/// The log loses some of what was announced, and holds something else in its place or nothing.
pub(crate) async fn rewritten(seed: u64) -> Outcome {
    let mut damaged = Damaged::new(seed);
    let world = damaged.world.clone();
    damaged.start_workers();
    damaged.tell().await;
    let settled = async {
        while !check::is_done(&world, 0).await {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, settled).await.is_ok(), "seed {seed}: stuck");
    let before = world.shards[0].appends().await;
    let through = before.last().map_or(Identity::START, |last| last.append.header.through);

    let rng = &mut damaged.rng;
    let history = world.shards[0].history();
    let lost = rng.usize(1..=(history.len() - 2).min(20));
    let left = history.iter().position(|message| message.sequence >= through.sequence).unwrap() + 1;
    let mut log = history[..left.saturating_sub(lost).max(1)].to_vec();
    let refilled = if rng.bool() { 0 } else { lost + rng.usize(0..3) };
    for number in 0..refilled {
        let sequence = log.last().unwrap().sequence + 1;
        let payload = format!(r#"{{"cancel":{{"order_id":"other-{number}"}}}}"#).into();
        let stored_at_ns = log.last().unwrap().stored_at_ns + 1_000;
        log.push(LogMessage { sequence, stored_at_ns, way: Way::Any, format: Some(Format::Json), payload });
    }
    let late = rng.bool();
    world.tell(&format_args!("the log loses {lost} messages, and takes {refilled} others"));
    world.shards[0].turn_into(&log, 1, &before).await;
    // Some workers look away meanwhile.
    if late {
        damaged.start_worker();
    }
    for fault in damaged.faults().await {
        let known = ["log behind", "log rewritten", "outcomes ahead", "digest mismatch"];
        assert!(known.iter().any(|name| fault.starts_with(name)), "seed {seed}: {fault}");
    }
    assert_eq!(world.shards[0].appends().await, before, "seed {seed}: something was announced after it");
    check::announced(&world, 0, &history, history.len()).await;
    damaged.outcome().await
}

/// The log has lost a message, though those before and behind it are there.
pub(crate) async fn holed(seed: u64) -> Outcome {
    let mut damaged = Damaged::new(seed);
    let world = damaged.world.clone();
    // Something always comes behind it.
    let hole = damaged.rng.u64(1..20);
    world.shards[0].hole.store(hole, Relaxed);
    damaged.start_workers();
    damaged.tell().await;
    let gap = Fault::Gap { expected: hole, found: hole + 1 }.to_string();
    for fault in damaged.faults().await {
        assert_eq!(fault, gap, "seed {seed}");
    }
    let before = usize::try_from(hole - 1).unwrap();
    check::announced(&world, 0, &world.shards[0].history()[..before], before).await;
    damaged.outcome().await
}

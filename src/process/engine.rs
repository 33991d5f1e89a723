//! The engine: one constructor wires all shards, in the order in which data flows, and drains them at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::edges::clock::SharedClock;
use crate::edges::keys::Keys;
use crate::edges::telemetry::Telemetry;
use crate::edges::{Edges, ShardEdges};
use crate::motion::assigned::Assigned;
use crate::motion::leases::{Assignment, LeaseOptions};
use crate::motion::live::stage::start;
use crate::motion::shard::{ShardOptions, hold};
use crate::motion::sharing::{Shared, Sharing, lease_name};
use crate::motion::status::Status;

/// The pause before sharing begins again after a panic; it doubles for each further one.
const SHARING_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const SHARING_PAUSE_MAX: Duration = Duration::from_secs(10);
/// Sharing that went on for so long is well again.
const SHARING_WELL_AFTER: Duration = Duration::from_mins(1);
/// A worker whose sharing panics so often in a row is of no use.
const SHARING_PANICS_MAX: u32 = 3;

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    statuses: Vec<Arc<Status>>,
    drain: CancellationToken,
    running: JoinSet<()>,
    health: Arc<Health>,
}

/// Whether a worker has what it needs to be of use: if not, it is best started again.
#[derive(Debug, Default)]
pub struct Health {
    /// How often in a row sharing has panicked.
    sharing_panics: AtomicU32,
}

impl Health {
    /// What is missing, in words; none where nothing is.
    #[must_use]
    pub fn unwell(&self) -> Option<String> {
        let panics = self.sharing_panics.load(Relaxed);
        (panics >= SHARING_PANICS_MAX).then(|| {
            format!("sharing has panicked {panics} times in a row: this worker holds no lease any more")
        })
    }
}

/// How draining ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All that was read is announced, by this worker or by the one that leads now.
    Clean,
    /// The deadline came first. Nothing is lost: the log has it, and the next worker goes on from what was announced.
    Late,
}

/// How a worker shares shards with others.
#[derive(Clone, Debug)]
pub struct SharingOptions<K> {
    /// The table of leases.
    pub keys: K,
    /// How shards are shared.
    pub leases: LeaseOptions,
    /// How long giving them away may take when draining, before they are released without an heir.
    pub handover: Duration,
}

/// The parts of an engine that are not started yet.
struct Parts {
    shared: Vec<Shared>,
    shards: JoinSet<()>,
    /// Ends the shards.
    halt: CancellationToken,
}

impl Parts {
    fn new<E: Edges>(
        shards: Vec<(String, ShardEdges<E>)>,
        clock: &SharedClock,
        options: &ShardOptions,
        telemetry: &Telemetry,
        assignment: Assignment,
    ) -> Self {
        let halt = CancellationToken::new();
        let (mut shared, mut set) = (Vec::with_capacity(shards.len()), JoinSet::new());
        for (name, edges) in shards {
            let status = Arc::new(Status::new(&name, clock.clone()));
            let assigned = Arc::new(Assigned::new(assignment));
            let telemetry = telemetry.shard(&name);
            let (clock, options, halt) = (clock.clone(), options.clone(), halt.clone());
            set.spawn(hold(edges, clock, options, status.clone(), telemetry, assigned.clone(), halt));
            shared.push(Shared { status, assigned });
        }
        Self { shared, shards: set, halt }
    }

    fn statuses(&self) -> Vec<Arc<Status>> {
        self.shared.iter().map(|shared| shared.status.clone()).collect()
    }
}

/// Shares the shards with other workers.
struct Sharer<K> {
    me: String,
    clock: SharedClock,
    options: SharingOptions<K>,
    health: Arc<Health>,
}

impl<K: Keys> Sharer<K> {
    /// Holds leases until told to drain, then until the shards have ended, and gives up what is left. What panics on the way begins
    /// again: meanwhile the leases run out, and others take over.
    async fn share(self, parts: Parts, drain: CancellationToken) {
        let Parts { shared, mut shards, halt } = parts;
        let mut pause = SHARING_PAUSE;
        let mut sharing = loop {
            let SharingOptions { keys, leases, handover } = self.options.clone();
            let mut sharing = Sharing::new(keys, self.clock.clone(), self.me.clone(), leases, shared.clone());
            let told = drain.clone();
            let began = self.clock.monotonic();
            let mut running = start(async move {
                sharing.run(&told, handover).await;
                sharing
            });
            let text = match running.ended().await {
                Ok(sharing) => break sharing,
                Err(text) => text,
            };
            tracing::error!(
                panic = text,
                "sharing panicked and begins again: this is a defect in Weir, report it"
            );
            if self.clock.monotonic().saturating_sub(began) >= SHARING_WELL_AFTER {
                self.health.sharing_panics.store(0, Relaxed);
                pause = SHARING_PAUSE;
            }
            self.health.sharing_panics.fetch_add(1, Relaxed);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SHARING_PAUSE_MAX);
        };
        halt.cancel();
        let ended = CancellationToken::new();
        let all = ended.clone();
        let mut rest = start(async move {
            tokio::select! {
                biased;
                () = all.cancelled() => {}
                () = sharing.go_on() => {}
            }
            sharing.release().await;
        });
        while shards.join_next().await.is_some() {}
        ended.cancel();
        // What is not given up runs out.
        let _ = rest.ended().await;
    }
}

impl Engine {
    /// Leads the shards given, each by its name and with its edges, as if there were no other worker. If there is one all the same,
    /// either's appends are accepted only where the other's did not come first.
    #[must_use]
    pub fn alone<E: Edges>(
        shards: Vec<(String, ShardEdges<E>)>,
        clock: &SharedClock,
        options: &ShardOptions,
        telemetry: &Telemetry,
    ) -> Self {
        let mut parts = Parts::new(shards, clock, options, telemetry, Assignment::ALONE);
        let (statuses, drain) = (parts.statuses(), CancellationToken::new());
        let mut running = JoinSet::new();
        let told = drain.clone();
        running.spawn(async move {
            told.cancelled().await;
            parts.halt.cancel();
            while parts.shards.join_next().await.is_some() {}
        });
        Self { statuses, drain, running, health: Arc::default() }
    }

    /// Leads its share of the shards given, and stands by for others.
    #[must_use]
    pub fn share<E: Edges, K: Keys>(
        shards: Vec<(String, ShardEdges<E>)>,
        clock: &SharedClock,
        options: &ShardOptions,
        telemetry: &Telemetry,
        sharing: SharingOptions<K>,
    ) -> Self {
        let parts = Parts::new(shards, clock, options, telemetry, Assignment::default());
        let (statuses, drain) = (parts.statuses(), CancellationToken::new());
        let health = Arc::<Health>::default();
        let mut running = JoinSet::new();
        let me = lease_name(&options.writer, clock);
        let sharer = Sharer { me, clock: clock.clone(), options: sharing, health: health.clone() };
        running.spawn(sharer.share(parts, drain.clone()));
        Self { statuses, drain, running, health }
    }

    /// Whether it has what it needs.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// The shards' statuses, in the order in which they were given.
    #[must_use]
    pub fn statuses(&self) -> &[Arc<Status>] {
        &self.statuses
    }

    /// Gives its shards to other workers where there are any, announces what was read of the rest, and ends; at `deadline` at the
    /// latest.
    pub async fn drain(mut self, deadline: Duration) -> Drained {
        self.drain.cancel();
        let ended =
            tokio::time::timeout(deadline, async { while self.running.join_next().await.is_some() {} }).await;
        if ended.is_ok() { Drained::Clean } else { Drained::Late }
    }
}

//! The engine: one constructor wires all shards, in the order in which data flows, and drains them at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::edges::clock::SharedClock;
use crate::edges::keys::Keys;
use crate::edges::telemetry::Telemetry;
use crate::edges::{Edges, ShardEdges};
use crate::motion::assigned::Assigned;
use crate::motion::leases::{Assignment, LeaseOptions};
use crate::motion::shard::{ShardOptions, hold};
use crate::motion::sharing::{Shared, Sharing, lease_name};
use crate::motion::status::Status;

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    statuses: Vec<Arc<Status>>,
    drain: CancellationToken,
    running: JoinSet<()>,
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
            let status = Arc::new(Status::new(&name));
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
        Self { statuses, drain, running }
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
        let SharingOptions { keys, leases, handover } = sharing;
        let parts = Parts::new(shards, clock, options, telemetry, Assignment::default());
        let (statuses, drain) = (parts.statuses(), CancellationToken::new());
        let Parts { shared, mut shards, halt } = parts;
        let me = lease_name(&options.writer, clock);
        let mut sharing = Sharing::new(keys, clock.clone(), me, leases, shared);
        let mut running = JoinSet::new();
        let told = drain.clone();
        running.spawn(async move {
            sharing.run(&told, handover).await;
            halt.cancel();
            tokio::select! {
                biased;
                () = async { while shards.join_next().await.is_some() {} } => {}
                () = sharing.go_on() => {}
            }
            sharing.release().await;
        });
        Self { statuses, drain, running }
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

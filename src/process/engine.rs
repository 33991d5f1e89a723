//! The engine: one constructor wires all shards, in the order in which data flows, and drains them at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::edges::clock::SharedClock;
use crate::edges::streams::Streams;
use crate::edges::telemetry::Telemetry;
use crate::motion::shard::{ShardOptions, lead};
use crate::motion::status::Status;

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    statuses: Vec<Arc<Status>>,
    drain: CancellationToken,
    shards: JoinSet<()>,
}

/// How draining ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All that was read is announced.
    Clean,
    /// The deadline came first. Nothing is lost: the log has it, and the next worker goes on from what was announced.
    Late,
}

impl Engine {
    /// Starts to lead the shards given, each by its name and with its streams.
    #[must_use]
    pub fn start<S: Streams>(
        shards: Vec<(String, S)>,
        clock: &SharedClock,
        options: &ShardOptions,
        telemetry: &Telemetry,
    ) -> Self {
        let drain = CancellationToken::new();
        let mut statuses = Vec::with_capacity(shards.len());
        let mut set = JoinSet::new();
        for (name, streams) in shards {
            let status = Arc::new(Status::new(&name));
            statuses.push(status.clone());
            let shard_telemetry = telemetry.shard(&name);
            set.spawn(lead(streams, clock.clone(), options.clone(), status, shard_telemetry, drain.clone()));
        }
        Self { statuses, drain, shards: set }
    }

    /// The shards' statuses, in the order in which they were given.
    #[must_use]
    pub fn statuses(&self) -> &[Arc<Status>] {
        &self.statuses
    }

    /// Stops reading, announces what was read, and ends; at `deadline` at the latest.
    pub async fn drain(mut self, deadline: Duration) -> Drained {
        self.drain.cancel();
        let ended =
            tokio::time::timeout(deadline, async { while self.shards.join_next().await.is_some() {} }).await;
        if ended.is_ok() { Drained::Clean } else { Drained::Late }
    }
}

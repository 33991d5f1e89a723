//! Sharing: carries the table of leases between this worker and the others, beat by beat, as [`leases`](super::leases) says.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::live::assigned::Assigned;
use super::live::status::Status;
use super::rules::leases::{LeaseOptions, Leases, Role, WorkerRecord, Write};
use super::rules::life::Standing;
use crate::edges::clock::SharedClock;
use crate::edges::keys::Keys;
use crate::edges::streams::{AppendError, ReadError};

/// How many beats there are in a lease: a worker must miss several before anybody takes it for dead.
const BEATS_PER_LEASE: u32 = 6;
/// How many records are being written at once.
const WRITES_AT_ONCE: usize = 64;
/// How much of a fault's text other workers, and `weir status`, are told.
const FAULT_BYTES_MAX: usize = 500;
/// The pause between two beats while a worker gives its shards away, or is about to get one.
const PAUSE_HANDING_OVER: Duration = Duration::from_millis(50);

/// A shard, as it is shared out.
#[derive(Clone)]
pub struct Shared {
    /// What the worker says of it.
    pub status: Arc<Status>,
    /// What it is told to do.
    pub assigned: Arc<Assigned>,
}

/// One worker's part in sharing out the shards.
pub struct Sharing<K> {
    keys: K,
    clock: SharedClock,
    options: LeaseOptions,
    leases: Leases,
    shards: Vec<Shared>,
}

impl<K: Keys> Sharing<K> {
    /// A worker that has nothing yet. `me` must differ from every other worker's name, former ones too.
    #[must_use]
    pub fn new(keys: K, clock: SharedClock, me: String, options: LeaseOptions, shards: Vec<Shared>) -> Self {
        let names = shards.iter().map(|shared| shared.status.shard.clone()).collect();
        Self { keys, clock, options, leases: Leases::new(me, options, names), shards }
    }

    /// Holds leases until `drain` is cancelled and all are given away, or there is nobody to give them to, or `deadline` has
    /// passed since; gives itself back, so that what is left can be [released](Self::release) once nothing is led any more.
    pub async fn run(&mut self, drain: &CancellationToken, deadline: Duration) {
        let mut complained = false;
        let mut drained_at = None;
        loop {
            if drain.is_cancelled() && drained_at.is_none() {
                drained_at = Some(self.clock.monotonic());
                self.leases.drain();
            }
            match self.beat().await {
                Ok(()) => complained = false,
                Err(error) => {
                    if !complained {
                        tracing::warn!(%error, "the leases cannot be read; trying on");
                    }
                    complained = true;
                }
            }
            let now = self.clock.monotonic();
            if let Some(since) = drained_at
                && (self.leases.holds_nothing()
                    || !self.leases.has_heirs()
                    || now.saturating_sub(since) >= deadline)
            {
                return;
            }
            let beat = self.options.lease / BEATS_PER_LEASE;
            let pause = if drained_at.is_some() || self.is_receiving() { PAUSE_HANDING_OVER } else { beat };
            tokio::select! {
                biased;
                () = drain.cancelled(), if drained_at.is_none() => {}
                () = tokio::time::sleep(pause.min(beat)) => {}
            }
        }
    }

    /// Goes on renewing, for as long as this is polled: while shards that were not given away work off what they had read.
    pub async fn go_on(&mut self) {
        loop {
            tokio::time::sleep(self.options.lease / BEATS_PER_LEASE).await;
            // What cannot be renewed runs out.
            let _ = self.beat().await;
        }
    }

    /// Gives up what is left, once nothing is led any more.
    pub async fn release(&mut self) {
        let names: Vec<_> = self.shards.iter().map(|shared| shared.status.shard.clone()).collect();
        let mut writes: Vec<_> = names.iter().filter_map(|shard| self.leases.release(shard)).collect();
        writes.push(self.leases.leave());
        for write in writes {
            // Others find out a lease time later, otherwise.
            let _ = self.write(&write).await;
        }
    }

    /// Whether a shard is about to come, for which this worker has yet to catch up or to be given the lease.
    fn is_receiving(&self) -> bool {
        self.shards.iter().any(|shared| self.leases.is_next(&shared.status.shard))
    }

    async fn beat(&mut self) -> Result<(), ReadError> {
        let asked = self.clock.monotonic();
        let entries = self.within(self.keys.all()).await.ok_or_else(too_late)??;
        let writes = self.leases.look(asked, self.clock.monotonic(), &entries, self.report());
        self.assign();
        // Side by side: a hundred shards one after the other would take a whole lease.
        for writes in writes.chunks(WRITES_AT_ONCE) {
            let asked = self.clock.monotonic();
            let written = join_all(writes.iter().map(|write| self.write(write))).await;
            for (write, ended) in writes.iter().zip(written) {
                self.leases.wrote(write, asked, ended.ok());
            }
        }
        self.assign();
        Ok(())
    }

    /// What this worker says of itself.
    fn report(&self) -> WorkerRecord {
        let mut report = WorkerRecord::default();
        for Shared { status, .. } in &self.shards {
            if self.leases.role(&status.shard) != Role::Away {
                report.applied.insert(status.shard.clone(), status.applied());
            }
            let standings = match status.standing() {
                Standing::Ready => &mut report.ready,
                Standing::Stuck => &mut report.stuck,
                Standing::Unfit => &mut report.unfit,
                Standing::Busy => continue,
            };
            standings.insert(status.shard.clone());
            if let Some(fault) = status.progress().fault {
                let mut text = fault.to_string();
                text.truncate(text.floor_char_boundary(FAULT_BYTES_MAX));
                report.faults.insert(status.shard.clone(), text);
            }
        }
        report
    }

    fn assign(&self) {
        for Shared { status, assigned } in &self.shards {
            let wanted = self.leases.assignment(&status.shard);
            let before = assigned.set(wanted);
            if before.role.name() != wanted.role.name() {
                tracing::info!(
                    shard = status.shard,
                    from = before.role.name(),
                    to = wanted.role.name(),
                    "role"
                );
            }
            status.assigned(wanted.role);
            status.led_by(self.leases.leader(&status.shard));
        }
    }

    async fn write(&self, write: &Write) -> Result<u64, AppendError> {
        let Write { key, value, expected } = write;
        let written = async {
            match value {
                Some(value) => self.keys.put(key, value.clone(), *expected).await,
                None => self.keys.remove(key, *expected).await.map(|()| 0),
            }
        };
        self.within(written).await.unwrap_or(Err(AppendError::TimedOut))
    }

    /// Waits for an answer no longer than a lease could wait.
    async fn within<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.options.lease / 2, answer).await.ok()
    }
}

fn too_late() -> ReadError {
    ReadError::Unavailable("no answer within half a lease".to_owned())
}

/// A name for a worker in the table of leases: unlike any that was there before, also where its own name was.
#[must_use]
pub fn lease_name(worker: &str, clock: &SharedClock) -> String {
    format!("{worker}.{:x}", clock.wall_ns())
}

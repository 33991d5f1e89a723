//! What the verdict is told of a worker's shards.

use std::sync::Arc;

use super::verdict::ShardFigures;
use crate::edges::jetstream::Names;
use crate::motion::status::Status;

/// What is known of these shards.
#[must_use]
pub fn figures_of(statuses: &[Arc<Status>], names: &Names) -> Vec<ShardFigures> {
    statuses.iter().map(|status| of(status, names)).collect()
}

fn of(status: &Status, names: &Names) -> ShardFigures {
    let progress = status.progress();
    let role = status.role();
    let leads = role == Some("leader");
    let leader = status.leader().filter(|_| !leads);
    ShardFigures {
        shard: status.shard.clone(),
        log_stream: names.shard(&status.shard).map(|names| names.log_stream).unwrap_or_default(),
        leads,
        held: role == Some("standby"),
        leader: leader.map(|leader| worker_of(&leader).to_owned()),
        unready: status.why_unready(),
        fault: progress.fault.as_ref().map(ToString::to_string),
        fault_at: None,
        moved_ms: (progress.moved_at_ns > 0).then_some(progress.moved_at_ns / 1_000_000),
        log: progress.log,
    }
}

/// A worker's name, by its name in the table of leases, which tells it from the same one before a restart.
#[must_use]
pub fn worker_of(lease_name: &str) -> &str {
    lease_name.rsplit_once('.').map_or(lease_name, |(worker, _)| worker)
}

//! The mark of an epoch: the plan of one that was begun and not ended, beside the pointers to snapshots.

use crate::edges::keys::Keys as _;
use crate::edges::streams::ReadError;
use crate::edges::{Edges, ShardEdges};

/// The key of a shard's mark.
pub(in crate::motion) fn key(shard: &str) -> String {
    format!("epoch.{shard}")
}

/// Whether a new epoch was begun and not ended: no worker takes the shard meanwhile.
pub(in crate::motion) async fn is_under_way<E: Edges>(
    shard: &str,
    edges: &ShardEdges<E>,
) -> Result<bool, ReadError> {
    Ok(edges.pointers.get(&key(shard)).await?.is_some())
}

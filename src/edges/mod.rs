//! Floor 2: the edges, where Weir touches the outside. Each is a trait with a real and an in-memory side, so that
//! everything above runs the same in production, in `weir demo`, in tests and in simulation.

pub mod clock;
pub mod folder;
pub mod jetstream;
pub mod keys;
pub mod memory;
pub mod notices;
pub mod objects;
pub mod questions;
pub mod requests;
pub mod streams;
pub mod telemetry;
pub mod threads;

use objects::Objects;

/// The edges of one kind: all in JetStream, all in memory, or whatever a test puts in their place.
pub trait Edges: Clone + Send + Sync + 'static {
    /// The streams of a shard.
    type Streams: streams::Streams;
    /// The pointers to snapshots.
    type Keys: keys::Keys;
    /// The snapshots.
    type Objects: Objects;
}

/// The edges of one shard. Clones share them.
#[derive(Clone, Debug)]
pub struct ShardEdges<E: Edges> {
    /// Its streams.
    pub streams: E::Streams,
    /// Where the pointers to its snapshots are, and those of other shards.
    pub pointers: E::Keys,
    /// Where its snapshots are, and those of other shards.
    pub objects: E::Objects,
}

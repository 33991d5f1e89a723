//! Floor 3: motion. How a shard moves: it recovers, reads its log, applies, publishes, ticks.
//!
//! What decides here is sans-IO: [`folding`] and [`publishing`] are plain state machines, fed with inputs and asked for
//! actions; [`shard`] carries both between them, the streams, the threads and the clock.

mod announcing;
pub mod folding;
pub mod leases;
pub mod publishing;
pub mod replay;
pub mod shard;
pub mod status;
mod ticking;

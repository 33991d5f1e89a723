//! Floor 3: motion. How a shard moves: it recovers, reads its log, applies, publishes, ticks.
//!
//! What decides here is sans-IO: [`folding`], [`publishing`] and [`leases`] are plain state machines, fed with inputs and asked
//! for actions; [`shard`] and [`sharing`] carry both between them, the edges, the threads and the clock.

mod announcing;
pub mod assigned;
pub mod audit;
pub mod epoch;
pub mod fold;
pub mod folding;
pub mod leases;
mod onward;
pub mod publishing;
mod reading;
mod recovery;
pub mod replay;
pub mod scribe;
pub mod shard;
pub mod sharing;
pub mod snapshots;
pub mod status;
mod ticking;

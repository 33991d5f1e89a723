//! Rules: what decides how a shard moves, sans-IO. Nothing here waits, reads a clock, or touches a stream.

pub(super) mod comparing;
pub mod findings;
pub mod folding;
pub mod gathering;
pub mod kept;
pub mod leases;
pub mod life;
pub mod observing;
pub mod publishing;
pub mod unready;

//! The past: what is done with what is stored already. Recovery begins a shard with it; replay and audit fold it again; a new epoch
//! puts another in its place.

pub mod audit;
pub mod epoch;
pub(super) mod recovery;
pub mod refold;
pub mod replay;
pub(super) mod retold;

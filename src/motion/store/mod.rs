//! The store: snapshots and their pointers, the objective's counts, streams read onward, and what the log says of itself.

pub mod last;
pub(super) mod mark;
pub mod models;
pub mod objectives;
pub mod onward;
pub mod snapshots;

//! The store: snapshots and their pointers, streams read onward, and what the log says of itself.

pub mod last;
pub(super) mod mark;
pub mod models;
pub mod onward;
pub mod snapshots;

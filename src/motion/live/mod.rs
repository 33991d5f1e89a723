//! A shard at work: its stages, and what carries between them, the edges, the threads and the clock.

mod announcing;
pub mod assigned;
mod context;
pub mod fold;
pub mod options;
mod reading;
pub mod scribe;
pub mod shard;
pub mod status;
mod ticking;
mod watching;

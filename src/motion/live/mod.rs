//! A shard at work: its stages, and what carries between them, the edges, the threads and the clock.

mod announcing;
pub mod answering;
pub mod assigned;
mod context;
pub mod fold;
mod history;
mod input;
mod measuring;
pub mod notifying;
mod observing;
pub mod options;
mod polling;
pub mod ports;
mod reading;
pub mod risks;
pub mod scribe;
pub mod shard;
mod signalling;
pub mod stage;
pub mod status;
mod ticking;
mod watching;

//! Floor 2: the edges, where Weir touches the outside. Each is a trait with a real and an in-memory side, so that
//! everything above runs the same in production, in `weir demo`, in tests and in simulation.

pub mod clock;
pub mod folder;
pub mod jetstream;
pub mod keys;
pub mod memory;
pub mod objects;
pub mod streams;
pub mod telemetry;

//! The simulation: real shard loops, recovery, leases, publishing and snapshots, on one thread, in virtual time, on streams in
//! memory that fail in every way that real ones do, as a seed says.
//!
//! After each seed: every shard announced, once and in order, exactly what one undisturbed fold of its log decides; stock is
//! conserved; every snapshot that is pointed to holds the state of its sequence, and the audit agrees. `WEIR_SEEDS` says how many
//! seeds run, and `WEIR_SEED` names one to be replayed, with a trace of what happened to it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod audits;
mod check;
mod clock;
mod crash;
mod damaged;
mod doors;
mod edges;
mod epoch;
mod seeds;
mod still;
mod workers;
mod workload;
mod world;

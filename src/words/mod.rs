//! Floor 0: the words. Plain data that every other floor speaks: commands, outcomes, policy, faults, the
//! configuration, and the codecs that turn them into bytes and back.
//!
//! Nothing here decides, waits or touches the outside.

pub mod advice;
pub mod append;
pub mod codec;
pub mod codes;
pub mod command;
pub mod config;
pub mod fault;
pub mod hash;
pub mod identity;
pub mod message;
pub mod outcome;
pub mod policy;
pub mod query;
pub mod reply;
pub mod schema;
pub mod security;
pub mod signal;
pub mod text;
pub mod timestamp;

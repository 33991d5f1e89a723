//! Floor 1: the folds. Pure functions of the log: no async, no clock, no IO, no randomness.

pub mod analytics;
pub mod inventory;

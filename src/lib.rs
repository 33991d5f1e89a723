//! Weir: the engine that confirms orders.

pub mod commands;
pub mod edges;
pub mod words;

//! Weir: the engine that confirms orders.

pub mod edges;
pub mod words;

//! Weir: the engine that confirms orders.

pub mod edges;
pub mod folds;
pub mod words;

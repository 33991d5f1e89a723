//! Weir: the engine that confirms orders.

pub mod commands;
pub mod edges;
pub mod folds;
pub mod motion;
pub mod process;
pub mod words;

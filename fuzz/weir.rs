//! The two floors of Weir that meet bytes from outside, by themselves: what stands above them would take minutes to build.

#[path = "../src/folds/mod.rs"]
pub mod folds;
#[path = "../src/words/mod.rs"]
pub mod words;

//! Floor 5: the commands of the program, one file or folder each, and what only they need. `main.rs` chooses one.
//!
//! What a command does lies here; what it works with lies on the floors below. Nothing below imports from here.

pub mod generator;
pub mod import;

//! Sketches and statistics by their names, each with its source, its error, and a test against an exact computation.

pub(in crate::folds::analytics) mod index;

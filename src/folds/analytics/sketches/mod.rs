//! Sketches and statistics by their names, each with its source, its error, and a test against an exact computation.

pub(in crate::folds::analytics) mod cusum;
pub(in crate::folds::analytics) mod index;
pub(in crate::folds::analytics) mod quantiles;
pub(in crate::folds::analytics) mod rotating;
pub(in crate::folds::analytics) mod space_saving;

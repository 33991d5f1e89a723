//! The tables: who is where. Nothing here decides.
//!
//! Each grows a little at a time: no insertion ever copies what is there already, whatever there is.

pub(super) mod chunked;
pub(super) mod deadlines;
pub(super) mod facts;
pub(super) mod granules;
pub(super) mod index;
pub(super) mod names;
pub(super) mod order;
pub(super) mod orders;
pub(super) mod queue;
pub(super) mod remembered;
pub(super) mod settled;
pub(super) mod sides;
pub(super) mod sites;
pub(super) mod stock;

//! What follows from a command for others, in steps: what has ended expires, what is old is forgotten, orders that lose by what is
//! missing are named, waiting orders get their stock.

pub(super) mod expiring;
pub(super) mod forgetting;
pub(super) mod shortfalls;
pub(super) mod waiting;

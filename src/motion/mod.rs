//! Floor 3: motion. How a shard moves: it recovers, reads its log, applies, publishes, ticks.
//!
//! In layers, each of which knows only those above it here; a test holds that:
//!
//! | layer | what is there |
//! |---|---|
//! | [`rules`] | what decides, sans-IO: plain state machines, fed with inputs and asked for actions |
//! | [`store`] | snapshots and their pointers, streams read onward, the mark of an epoch |
//! | [`past`] | what is done with what is stored already: recovery, replay, audit, a new epoch |
//! | [`live`] | a shard at work: the stages, and who carries between them, the edges, the threads and the clock |
//! | [`door`] | where requests enter, and wait for their answers |
//! | [`sharing`] | which worker holds which shard |

pub mod door;
pub mod live;
pub mod past;
pub mod rules;
pub mod sharing;
pub mod store;

pub use live::{assigned, fold, options, scribe, shard, status};
pub use past::{audit, epoch, refold, replay};
pub use rules::{folding, leases, observing, publishing};
pub use store::{models, objectives, snapshots};

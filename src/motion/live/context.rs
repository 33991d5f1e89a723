//! What the stages of one shard share.

use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::assigned::Assigned;
use super::options::ShardOptions;
use super::status::Status;
use crate::edges::clock::SharedClock;
use crate::edges::streams::ReadError;
use crate::edges::telemetry::{ShardTelemetry, Weight};
use crate::edges::{Edges, ShardEdges};
use crate::motion::rules::folding::AppliedMessage;
use crate::motion::rules::kept::Kept;
use crate::motion::store::last::Last;
use crate::motion::store::snapshots::Unfit;
use crate::words::fault::Fault;

/// Why a shard stops before it is told to.
#[derive(Debug)]
pub(super) enum Stop {
    Fault(Fault),
    /// Go on from what the streams hold now, and a snapshot; says why.
    Recover(&'static str),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Everything that the parts of one shard share.
#[derive(Clone)]
pub(super) struct Shard<E: Edges> {
    pub(super) edges: ShardEdges<E>,
    pub(super) clock: SharedClock,
    pub(super) options: ShardOptions,
    pub(super) status: Arc<Status>,
    pub(super) telemetry: Arc<ShardTelemetry>,
    pub(super) assigned: Arc<Assigned>,
    /// The last message that this worker has read, also before it was away or recovered.
    pub(super) seen: Arc<Mutex<Last>>,
    /// Told when the outcome stream ends before what was seen of it: whoever has nothing to announce would not find out.
    pub(super) outcomes_lost: Arc<Notify>,
    /// How far the broker's clock is ahead of this worker's, in nanoseconds, as far as is known.
    pub(super) ahead_ns: Arc<AtomicI64>,
    /// Whether nothing is on its way to the outcome stream.
    pub(super) idle: Arc<AtomicBool>,
    /// Ends the reading; what was read is worked off.
    pub(super) drain: CancellationToken,
}

impl<E: Edges> Shard<E> {
    /// Whether this worker may publish now.
    pub(super) fn leads(&self) -> bool {
        self.assigned.get().role.leads(self.clock.monotonic())
    }

    /// Says that the shard stands still, and why.
    pub(super) fn halted(&self, fault: &Fault) {
        if self.status.halted(fault) {
            tracing::error!(
                shard = self.status.shard,
                fault = fault.name(),
                "the shard stands still: {fault}"
            );
        }
        // Again at the end, when nobody polls any more.
        self.telemetry.fault(fault);
    }

    /// Says that the broker does not answer: once, then quietly again.
    pub(super) fn complain(&self, complained: &mut bool, error: &ReadError) {
        self.status.set_connected(false);
        if !*complained {
            tracing::warn!(shard = self.status.shard, %error, "the streams cannot be read; trying on");
        }
        *complained = true;
    }

    /// Says that a snapshot does not serve.
    pub(super) fn passed_over(&self, kept: &Kept, unfit: &Unfit) {
        self.telemetry.snapshot_passed_over();
        tracing::error!(
            shard = self.status.shard,
            snapshot = kept.name,
            error = %unfit,
            "a snapshot cannot be restored and is passed over for an older one: find out what damaged it"
        );
    }
}

/// When each message was stored, how many outcomes it has, and whether it came by a door.
pub(super) fn weights(messages: &[AppliedMessage]) -> impl ExactSizeIterator<Item = Weight> {
    messages.iter().map(|message| Weight {
        stored_at_ns: message.stored_at_ns,
        outcomes: message.outcomes as u64,
        by_door: message.by_door,
    })
}

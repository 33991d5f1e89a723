//! A shard at a worker: carries inputs and actions between the streams, the fold and publishing.
//!
//! The data flows one way, through bounded channels: reader (a task) to fold (a thread) to publisher (a task). A slow
//! broker fills the channels and so slows the reader; nothing is dropped. Draining closes the first channel; each stage
//! ends when it has worked off what it was given.
//!
//! A standby runs the same way, but publishes nothing: it reads what the leader announces, and drops that from its queue. When it
//! is to lead, it goes on with what is left: nothing is recovered, nothing is read again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::assigned::Assigned;
use super::audit::AuditOptions;
use super::fold::{self, Fold, FoldOn};
use super::folding::{Applied, AppliedMessage, Folding};
use super::leases::Role;
use super::publishing::Publishing;
use super::reading::Last;
use super::recovery::Recovered;
use super::scribe::SnapshotOptions;
use super::status::{LAG_SECONDS_MAX, Status};
use super::ticking::{self, Next};
use crate::edges::clock::SharedClock;
use crate::edges::streams::{ReadError, Streams as _};
use crate::edges::telemetry::{Gauges, ShardTelemetry};
use crate::edges::{Edges, ShardEdges};
use crate::folds::inventory::Due;
use crate::words::codec::Format;
use crate::words::fault::Fault;

pub use super::fold::Inspection;
pub(super) use super::fold::{Folded, Input};

/// How often stream states are asked for.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The same, until the shard has caught up for the first time.
const POLL_INTERVAL_FIRST: Duration = Duration::from_millis(50);
/// The pause before something that failed is tried again.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// How a worker runs its shards.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// This worker's name, for the headers of its appends.
    pub writer: String,
    /// How outcomes are written.
    pub format: Format,
    /// When snapshots are taken.
    pub snapshots: SnapshotOptions,
    /// When standbys audit.
    pub audits: AuditOptions,
    /// Where the folds run.
    pub fold_on: FoldOn,
}

impl ShardOptions {
    /// Whatever else is usual, for a worker of this name.
    #[must_use]
    pub fn new(writer: &str, format: Format) -> Self {
        Self {
            writer: writer.to_owned(),
            format,
            snapshots: SnapshotOptions::default(),
            audits: AuditOptions::default(),
            fold_on: FoldOn::default(),
        }
    }
}

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
    /// Ends the reading; what was read is worked off.
    pub(super) drain: CancellationToken,
}

/// Does for a shard what its assignment says, until `drain` is cancelled and, where it leads, all that was read is announced; or
/// until a fault halts it, after which it stands still until `drain` is cancelled. Waits for a broker that cannot be reached.
pub async fn hold<E: Edges>(
    edges: ShardEdges<E>,
    clock: SharedClock,
    options: ShardOptions,
    status: Arc<Status>,
    telemetry: Arc<ShardTelemetry>,
    assigned: Arc<Assigned>,
    drain: CancellationToken,
) {
    let parts = (edges, clock, options, status.clone(), telemetry);
    let seen = Arc::new(Mutex::default());
    loop {
        let wanted = assigned.until(|assignment| assignment.role != Role::Away);
        if drain.run_until_cancelled(wanted).await.is_none() {
            return;
        }
        let halt = drain.child_token();
        let (edges, clock, options, status, telemetry) = parts.clone();
        let (assigned, seen) = (assigned.clone(), seen.clone());
        let shard = Shard {
            edges,
            clock,
            options,
            status,
            telemetry,
            assigned,
            seen,
            outcomes_lost: Arc::default(),
            drain: halt.clone(),
        };
        let ended = tokio::select! {
            biased;
            ended = shard.run() => Some(ended),
            _ = shard.assigned.until(|assignment| assignment.role == Role::Away) => None,
        };
        match ended {
            None => {
                halt.cancel();
                shard.telemetry.left();
                parts.3.leave();
            }
            Some(Ok(())) => return,
            Some(Err(Stop::Recover(why))) => {
                tracing::warn!(shard = parts.3.shard, "{why}");
            }
            Some(Err(Stop::Fault(fault))) => {
                shard.halted(&fault);
                halt.cancel();
                return drain.cancelled().await;
            }
        }
    }
}

impl<E: Edges> Shard<E> {
    async fn run(&self) -> Result<(), Stop> {
        let Some(recovered) = self.drain.run_until_cancelled(self.recover()).await.transpose()? else {
            return Ok(());
        };
        let last = recovered.last();
        let Recovered { position, log_last, start } = recovered;
        self.status.update(|progress| {
            progress.applied = start.inventory.chain();
            progress.through = position.through;
            progress.announced = position.chain;
            progress.outcomes_seen = position.stream_last;
            progress.records = 0;
        });
        // Nothing more may come of the log that would tell.
        let is_whole = start.inventory.chain().sequence >= log_last;
        let (next, known) = watch::channel(Next {
            due: if is_whole { start.inventory.due() } else { Due::Never },
            log_time: start.inventory.now(),
            noted_at: self.clock.monotonic(),
        });
        let folding = Folding::new(start, position.through, log_last);
        let Fold { input, output, ended: thread } = self.start_fold(folding);
        self.status.set_inspector(input.downgrade());
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        let beside = tokio::spawn({
            let (shard, stop, fold) = (self.clone(), stop.clone(), input.downgrade());
            async move {
                let tick = ticking::tick(&shard, known);
                let scribe = shard.scribe(last.sequence, fold);
                let all = async { tokio::join!(tick, shard.poll(), scribe, shard.watch()) };
                stop.run_until_cancelled(all).await;
            }
        });
        let mut publishing = Publishing::new(
            self.options.writer.clone(),
            self.options.format,
            self.edges.streams.payload_bytes_max(),
            &position,
        );
        publishing.lead(self.leads());
        let read = async {
            let read = self.read(last, input).await;
            // Reading is over: from here on, time is no longer watched.
            stop.cancel();
            read.map_err(Stop::from)
        };
        let ended = tokio::try_join!(read, self.publish(publishing, output, next, log_last));
        stop.cancel();
        // The fold ends once its channels are closed. What panics beside the fold itself is no end to pass over.
        let well = thread.well().await;
        let _ = beside.await;
        if !well {
            let message = "the fold's thread ended by a panic outside the fold".to_owned();
            return Err(Fault::Panic { sequence: self.status.applied() + 1, message }.into());
        }
        match ended {
            Err(Stop::Fault(Fault::Gap { expected, .. })) if self.is_trimmed(expected).await => {
                Err(Stop::Recover("the log was trimmed before it was read; recovering from a snapshot"))
            }
            ended => ended.map(|_| ()),
        }
    }

    /// Whether the log begins behind `sequence`: then snapshots hold what is missing, or else recovery will say so.
    async fn is_trimmed(&self, sequence: u64) -> bool {
        loop {
            match self.edges.streams.log_state().await {
                Ok(log) => return log.first_sequence > sequence,
                Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }

    fn start_fold(&self, folding: Folding) -> Fold {
        let (clock, telemetry, assigned) =
            (self.clock.clone(), self.telemetry.clone(), self.assigned.clone());
        let measure = move |applied: &Applied| {
            if !applied.live {
                telemetry.replayed(applied.messages.len());
            } else if assigned.get().role.leads(clock.monotonic()) {
                telemetry.applied(&applied.output.commands, weights(&applied.messages), clock.wall_ns());
            } else {
                telemetry.followed(applied.messages.len());
            }
        };
        fold::start(self.options.fold_on, &self.status.shard, folding, self.clock.clone(), measure)
    }

    /// Whether this worker may publish now.
    pub(super) fn leads(&self) -> bool {
        self.assigned.get().role.leads(self.clock.monotonic())
    }

    /// Says that the shard stands still, and why.
    pub(super) fn halted(&self, fault: &Fault) {
        if self.status.progress().fault.is_none() {
            tracing::error!(
                shard = self.status.shard,
                fault = fault.name(),
                "the shard stands still: {fault}"
            );
            self.status.update(|progress| progress.fault = Some(fault.clone()));
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

    /// Asks for the streams' states again and again, and tells from them how far behind the shard is.
    async fn poll(&self) {
        let mut caught_up = false;
        loop {
            let polled = self.poll_once().await;
            self.status.set_connected(polled.is_ok());
            if let Ok(lag_seconds) = polled {
                caught_up = lag_seconds < LAG_SECONDS_MAX;
                self.status.set_caught_up(caught_up);
            }
            let progress = self.status.progress();
            self.telemetry.progress(&Gauges {
                applied: progress.applied.sequence,
                announced: progress.through.sequence,
                lag_seconds: progress.lag_seconds,
                ready: self.status.is_ready(),
                log: progress.log,
                outcomes: progress.outcomes,
                totals: progress.totals,
                role: self.assigned.get().role.name(),
            });
            tokio::time::sleep(if caught_up { POLL_INTERVAL } else { POLL_INTERVAL_FIRST }).await;
        }
    }

    async fn poll_once(&self) -> Result<f64, ReadError> {
        let streams = &self.edges.streams;
        let log = streams.log_state().await?;
        let seen = self.status.progress().outcomes_seen;
        let outcomes = streams.outcomes_state().await?;
        if outcomes.last_sequence < seen {
            self.outcomes_lost.notify_one();
        }
        let applied = self.status.applied();
        let mut lag_seconds = 0.0;
        if log.last_sequence > applied
            && let Some(oldest) = streams.log_message(applied + 1).await?
        {
            let age_ns = self.clock.wall_ns().saturating_sub(oldest.stored_at_ns).max(0);
            lag_seconds = Duration::from_nanos(age_ns.unsigned_abs()).as_secs_f64();
        }
        self.status.update(|progress| {
            progress.log = log;
            progress.outcomes = outcomes;
            progress.lag_seconds = lag_seconds;
        });
        Ok(lag_seconds)
    }
}

/// When each message was stored, and how many outcomes it has.
pub(super) fn weights(messages: &[AppliedMessage]) -> impl ExactSizeIterator<Item = (i64, u64)> {
    messages.iter().map(|message| (message.stored_at_ns, message.outcomes as u64))
}

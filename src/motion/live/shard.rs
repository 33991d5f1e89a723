//! A shard at a worker: carries inputs and actions between the streams, the fold and publishing.
//!
//! The data flows one way, through bounded channels: reader (a task) to fold (a thread) to publisher (a task). A slow
//! broker fills the channels and so slows the reader; nothing is dropped. Draining closes the first channel; each stage
//! ends when it has worked off what it was given.
//!
//! A standby runs the same way, but publishes nothing: it reads what the leader announces, and drops that from its queue. When it
//! is to lead, it goes on with what is left: nothing is recovered, nothing is read again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::assigned::Assigned;
use super::context::{Shard, Stop, weights};
use super::fold::{self, Fold};
use super::status::{LAG_SECONDS_MAX, Status};
use super::ticking::{self, Next};
use crate::edges::clock::SharedClock;
use crate::edges::streams::{ReadError, Streams as _};
use crate::edges::telemetry::{Gauges, ShardTelemetry};
use crate::edges::{Edges, ShardEdges};
use crate::folds::inventory::Due;
use crate::motion::past::recovery::{Recovered, recover};
use crate::motion::rules::folding::{Applied, Folding};
use crate::motion::rules::kept::Kept;
use crate::motion::rules::leases::Role;
use crate::motion::rules::publishing::Publishing;
use crate::motion::store::onward::RETRY_PAUSE;
use crate::motion::store::snapshots::Unfit;
use crate::words::fault::Fault;

pub use super::fold::Inspection;
pub use super::options::ShardOptions;

/// How often stream states are asked for.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The same, until the shard has caught up for the first time.
const POLL_INTERVAL_FIRST: Duration = Duration::from_millis(50);

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

    /// Asks the streams how far they are, until they answer, and restores what they allow.
    async fn recover(&self) -> Result<Recovered, Fault> {
        let mut complained = false;
        let (shard, on) = (&self.status.shard, self.options.fold_on);
        loop {
            let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let pass_over = |kept: &Kept, unfit: &Unfit| self.passed_over(kept, unfit);
            match recover(shard, &self.edges, seen, on, pass_over).await {
                Ok(recovered) => return recovered,
                Err(error) => self.complain(&mut complained, &error),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
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

//! The supervisor of a shard at a worker: it carries out what the shard's [life](crate::motion::rules::life) says.
//!
//! The data flows one way, through bounded channels: reader (a task) to fold (a thread) to publisher (a task). A slow
//! broker fills the channels and so slows the reader; nothing is dropped. Draining closes the first channel; each stage
//! ends when it has worked off what it was given. However a stage ends otherwise, by an error or a panic, is told to the life, which
//! says what follows: to recover after a pause, or to stand still. Ticking, snapshots, audits and polling are stages beside that way:
//! one that panics begins again.
//!
//! A standby runs the same way, but publishes nothing: it reads what the leader announces, and drops that from its queue. When it
//! is to lead, it goes on with what is left: nothing is recovered, nothing is read again.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::assigned::Assigned;
use super::context::{Shard, Stop};
use super::fold::{self, Fold, Readers};
use super::ports::Seen;
use super::stage::{Running, start};
use super::status::Status;
use super::ticking::{self, Next};
use crate::edges::clock::{Clock, SharedClock};
use crate::edges::streams::Streams as _;
use crate::edges::telemetry::ShardTelemetry;
use crate::edges::{Edges, ShardEdges};
use crate::folds::inventory::Due;
use crate::motion::past::recovery::{Recovered, recover};
use crate::motion::past::replay::current;
use crate::motion::rules::folding::{CLOCK_AHEAD_MS_MAX, Folding};
use crate::motion::rules::kept::{FoldOn, Kept};
use crate::motion::rules::leases::Role;
use crate::motion::rules::life::{Answer, End, Phase, Stage};
use crate::motion::rules::publishing::Publishing;
use crate::motion::store::last::{ASK_AGAIN_AFTER, Suspicion};
use crate::motion::store::onward::RETRY_PAUSE;
use crate::motion::store::snapshots::Unfit;
use crate::words::fault::Fault;

pub use super::fold::Inspection;
pub use super::options::ShardOptions;

/// How often it is looked whether a clock that halted the shard has been mended.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// Does for a shard what its assignment says, until `drain` is cancelled and, where it leads, all that was read is announced. A
/// fault halts it, until `drain` is cancelled or, for a clock's, until time has passed. Waits for a broker that cannot be reached.
pub async fn hold<E: Edges>(
    edges: ShardEdges<E>,
    clock: SharedClock,
    options: ShardOptions,
    status: Arc<Status>,
    telemetry: Arc<ShardTelemetry>,
    assigned: Arc<Assigned>,
    drain: CancellationToken,
) {
    let shard = Shard {
        edges,
        clock,
        options,
        status,
        telemetry,
        assigned,
        seen: Arc::default(),
        outcomes_lost: Arc::default(),
        ahead_ns: Arc::default(),
        idle: Arc::default(),
        drain,
    };
    let beside = shard.clone();
    // What it inspects knows the status again: without an end neither of them would ever go.
    let _inspected = shard.status.inspected_by(Arc::new(move || {
        let beside = beside.clone();
        Box::pin(async move { beside.inspect().await })
    }));
    let beside = shard.observe();
    shard.supervise_on().await;
    if let Some(beside) = beside {
        beside.end().await;
    }
}

impl<E: Edges> Shard<E> {
    /// Supervises, anew after each panic, until it has drained or stands still for good.
    async fn supervise_on(&self) {
        loop {
            let supervised = self.clone();
            let Err(text) = start(async move { supervised.supervise().await }).ended().await else { return };
            self.panicked(Stage::Supervisor, &text);
            let pause = match self.status.ended(End::Panic(Stage::Supervisor, text)) {
                Answer::Recover(pause) => pause,
                Answer::Halt(fault) => {
                    self.halted(&fault);
                    return self.drain.cancelled().await;
                }
            };
            if self.drain.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// The state at the log's end, folded beside: one shard of a worker at a time, as audits are.
    async fn inspect(&self) -> Option<Inspection> {
        let _turn = self.options.audits.turn.acquire().await;
        let (streams, on) = (self.edges.streams.beside(), self.options.fold_on);
        let edges = ShardEdges { streams, ..self.edges.clone() };
        let pass_over = |_: &str, _: &str| {};
        let inventory = current(&self.status.shard, &edges, on, pass_over).await.ok()?;
        // What it looked at is dropped there, too.
        let look = move || Inspection::of(&inventory);
        match on {
            FoldOn::Task => Some(look()),
            FoldOn::Thread => tokio::task::spawn_blocking(look).await.ok(),
        }
    }

    /// Takes the shard up whenever it is this worker's, until it has drained.
    async fn supervise(&self) {
        loop {
            let wanted = self.assigned.until(|assignment| assignment.role != Role::Away);
            let Some(assignment) = self.drain.run_until_cancelled(wanted).await else { return };
            self.status.assigned(assignment.role);
            let halt = self.drain.child_token();
            let here = Self { drain: halt.clone(), ..self.clone() };
            tokio::select! {
                biased;
                () = here.live() => return,
                () = here.is_left() => {}
            }
            halt.cancel();
            self.status.leave();
            self.telemetry.left();
        }
    }

    /// Lives until it has drained.
    async fn live(&self) {
        let polling = self.keep(Stage::Poller, |shard| async move { shard.poll().await });
        tokio::select! {
            biased;
            () = self.work() => {}
            () = polling => {}
        }
    }

    /// Waits until the shard is another worker's. One that stands still stays what it is: it must not be taken up again.
    async fn is_left(&self) {
        let is_left = |role: Role| role == Role::Away && self.status.progress().fault.is_none();
        self.assigned.until(|assignment| is_left(assignment.role)).await;
    }

    /// Works until it has drained, from one recovery to the next.
    async fn work(&self) {
        while let Err(end) = self.work_on().await {
            match &end {
                End::Fault(_) => {}
                End::Lost(why) => tracing::warn!(shard = self.status.shard, "{why}"),
                End::Panic(stage, text) => self.panicked(*stage, text),
            }
            self.telemetry.recovered(match end {
                End::Fault(_) => "fault",
                End::Lost(_) => "lost",
                End::Panic(..) => "panic",
            });
            let wait = async {
                match self.status.ended(end) {
                    Answer::Recover(pause) => tokio::time::sleep(pause).await,
                    Answer::Halt(fault) => {
                        self.halted(&fault);
                        self.until_mended(&fault).await;
                    }
                }
            };
            if self.drain.run_until_cancelled(wait).await.is_none() {
                return;
            }
        }
    }

    /// Waits until a fault is mended without anybody's doing: for a clock, until it is no more ahead; for ever otherwise.
    async fn until_mended(&self, fault: &Fault) {
        let Fault::Clock { sequence, .. } = fault else { return std::future::pending().await };
        loop {
            tokio::time::sleep(CLOCK_INTERVAL).await;
            let streams = &self.edges.streams;
            // The broker's own word, as it is now.
            let (Ok(Some(message)), Ok(now_ns)) =
                (streams.log_message(*sequence).await, streams.now_ns().await)
            else {
                continue;
            };
            let wall_ns = self.clock.wall_ns();
            self.ahead_ns.store(now_ns.map_or(0, |now_ns| now_ns.saturating_sub(wall_ns)), Relaxed);
            let ahead_ns = message.stored_at_ns.saturating_sub(wall_ns.max(now_ns.unwrap_or(i64::MIN)));
            if ahead_ns / 1_000_000 <= CLOCK_AHEAD_MS_MAX {
                self.telemetry.mended();
                tracing::info!(
                    shard = self.status.shard,
                    sequence,
                    "the clock is mended, or time has passed"
                );
                return self.status.recovering(Phase::Pausing);
            }
        }
    }

    /// From a recovery up to what ends it; well where the shard has drained.
    async fn work_on(&self) -> Result<(), End> {
        self.status.recovering(Phase::Restoring);
        let shard = self.clone();
        let mut recovery = start(async move { shard.recover().await });
        let Some(recovered) = self.drain.run_until_cancelled(recovery.ended()).await else { return Ok(()) };
        let recovered = recovered.map_err(|text| End::Panic(Stage::Recovery, text))?.map_err(End::Fault)?;
        let last = recovered.last();
        let Recovered { position, log_last, start: begin } = recovered;
        self.status.update(|progress| {
            progress.applied = begin.inventory.chain();
            progress.through = position.through;
            progress.announced = position.chain;
            progress.outcomes_seen = position.stream_last;
            progress.records = 0;
        });
        // Nothing more may come of the log that would tell.
        let is_whole = begin.inventory.chain().sequence >= log_last;
        let (next, known) = watch::channel(Next {
            due: if is_whole { begin.inventory.due() } else { Due::Never },
            log_time: begin.inventory.now(),
            noted_at: self.clock.monotonic(),
        });
        let publishing = Publishing::new(
            self.options.writer.clone(),
            self.options.format,
            self.edges.streams.payload_bytes_max(),
            &position,
        );
        self.status.recovering(Phase::Replaying);
        let restored = Seen::Restored { state: begin.inventory.chain(), through: position.through };
        self.status.ports().give(&restored);
        let Fold { input, output, ended: thread } = self.start_fold(Folding::new(begin, position.through));
        let beside = async {
            let fold = input.downgrade();
            let tick = self.keep(Stage::Ticker, |shard| ticking::tick(shard, known.clone()));
            let scribe = self.keep(Stage::Scribe, |shard| {
                let fold = fold.clone();
                async move { shard.scribe(last.sequence, fold).await }
            });
            let audits = self.keep(Stage::Auditor, |shard| async move { shard.watch().await });
            tokio::join!(tick, scribe, audits);
        };
        let (shard, log_input) = (self.clone(), input.clone());
        let mut reader = start(async move { shard.read(last, log_input).await });
        let shard = self.clone();
        let mut publisher = start(async move { shard.publish(publishing, output, next, log_last).await });
        let first = tokio::select! {
            biased;
            read = reader.ended() => First::Reader(read),
            ended = publisher.ended() => First::Publisher(ended),
            ((), (), ()) = async { beside.await; ((), (), ()) } => unreachable!("stages beside never end"),
        };
        drop(input);
        let ended = self.settle(first, &mut publisher).await;
        // The fold ends once its channels are closed.
        drop((reader, publisher));
        if !thread.well().await {
            let text = "its thread panicked outside of what it applied".to_owned();
            return Err(End::Panic(Stage::Fold, text));
        }
        match ended {
            Err(End::Fault(Fault::Gap { expected, .. })) if self.is_trimmed(expected).await => {
                Err(End::Lost("the log was trimmed before it was read; recovering from a snapshot"))
            }
            ended => ended,
        }
    }

    /// What it comes to that the reader has ended, or the publisher before it. After the reader's good end the publisher works off
    /// what was read.
    async fn settle(&self, first: First, publisher: &mut Running<Result<(), Stop>>) -> Result<(), End> {
        let ended = match first {
            First::Reader(Ok(Ok(()))) => publisher.ended().await,
            First::Reader(Ok(Err(fault))) => return Err(End::Fault(fault)),
            First::Reader(Err(text)) => return Err(End::Panic(Stage::Reader, text)),
            First::Publisher(ended) => ended,
        };
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Stop::Fault(fault))) => Err(End::Fault(fault)),
            Ok(Err(Stop::Recover(why))) => Err(End::Lost(why)),
            Err(text) => Err(End::Panic(Stage::Publisher, text)),
        }
    }

    /// Asks the streams how far they are, until they answer, and restores what they allow. A fault is none before it is
    /// [believed](Suspicion).
    async fn recover(&self) -> Result<Recovered, Fault> {
        let mut complained = false;
        let mut suspicion = Suspicion::default();
        let (shard, on) = (&self.status.shard, self.options.fold_on);
        loop {
            let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let pass_over = |kept: &Kept, unfit: &Unfit| self.passed_over(kept, unfit);
            match recover(shard, &self.edges, seen, on, pass_over).await {
                Ok(Ok(recovered)) => return Ok(recovered),
                Ok(Err(fault)) if suspicion.grows() => return Err(fault),
                Ok(Err(fault)) => {
                    tracing::warn!(shard, %fault, "the streams do not belong together; asking again");
                    tokio::time::sleep(ASK_AGAIN_AFTER).await;
                }
                Err(error) => {
                    suspicion.ends();
                    self.complain(&mut complained, &error);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Whether the log begins behind `sequence`: then snapshots hold what is missing, or else recovery will say so.
    async fn is_trimmed(&self, sequence: u64) -> bool {
        let asking = async {
            loop {
                match self.edges.streams.log_state().await {
                    Ok(log) => return log.first_sequence > sequence,
                    Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
                }
            }
        };
        // A shard that drains recovers no more: it stands still for as long as it is there.
        self.drain.run_until_cancelled(asking).await.unwrap_or(false)
    }

    fn start_fold(&self, folding: Folding) -> Fold {
        let clock = Arc::new(Later { clock: self.clock.clone(), ahead_ns: self.ahead_ns.clone() });
        let readers = Readers { ports: self.status.ports().clone(), idle: self.idle.clone() };
        let telemetry = self.telemetry.clone();
        let lost = move |batches| telemetry.observers_lost(batches);
        fold::start(self.options.fold_on, &self.status.shard, folding, clock, readers, lost)
    }
}

/// Which stage of the way ended first, and how: by itself, or by a panic that said this.
enum First {
    Reader(Result<Result<(), Fault>, String>),
    Publisher(Result<Result<(), Stop>, String>),
}

/// The worker's clock, or the broker's where that is ahead: a record is from the future only by both.
struct Later {
    clock: SharedClock,
    ahead_ns: Arc<AtomicI64>,
}

impl Clock for Later {
    fn wall_ns(&self) -> i64 {
        self.clock.wall_ns().saturating_add(self.ahead_ns.load(Relaxed).max(0))
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

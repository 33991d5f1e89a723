//! A shard's leader: carries inputs and actions between the streams, the fold's thread and publishing.
//!
//! The data flows one way, through bounded channels: reader (a task) to fold (a thread) to publisher (a task). A slow
//! broker fills the channels and so slows the reader; nothing is dropped. Draining closes the first channel; each stage
//! ends when it has worked off what it was given.
//!
//! Until there are snapshots, recovery folds the log from its start: silently up to the published position, and from
//! there on it publishes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::folding::{Applied, AppliedMessage, Folding};
use super::publishing::{Position, Publishing};
use super::status::{LAG_SECONDS_MAX, Status};
use super::ticking;
use crate::edges::clock::SharedClock;
use crate::edges::streams::{ReadError, Reader, Streams};
use crate::edges::telemetry::{Gauges, ShardTelemetry};
use crate::folds::inventory::{Broken, Digests, Due, Inventory, Totals};
use crate::words::append::Chain;
use crate::words::codec::Format;
use crate::words::fault::Fault;
use crate::words::message::LogMessage;

/// Batches between two stages. A batch is what a reader gives at once.
const BATCHES_QUEUED_MAX: usize = 8;
/// No broker may take less in one message: the largest outcomes would not fit. NATS's default.
const PAYLOAD_BYTES_LEAST: usize = 1 << 20;
/// How often stream states are asked for.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The same, until the shard has caught up for the first time.
const POLL_INTERVAL_FIRST: Duration = Duration::from_millis(50);
/// The pause before something that failed is tried again.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// What a shard is led with.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// This worker's name, for the headers of its appends.
    pub writer: String,
    /// How outcomes are written.
    pub format: Format,
}

/// What reaches the fold's thread.
#[derive(Debug)]
pub(super) enum Input {
    Messages(Vec<LogMessage>),
    Inspect(oneshot::Sender<Inspection>),
}

/// The state in numbers, as it is between two batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The last message applied, and the chain after it.
    pub chain: Chain,
    /// The digests at that point.
    pub digests: Digests,
    /// Sums over the state at that point.
    pub totals: Totals,
    /// Whether the books hold.
    pub books: Result<(), Broken>,
}

/// What leaves the fold's thread.
pub(super) type Folded = Result<Applied, Fault>;

/// Why a shard stops before it is told to.
#[derive(Debug)]
pub(super) enum Stop {
    Fault(Fault),
    /// The outcome stream has lost what was announced: what is left of it tells from where to announce again.
    Recover,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Everything that the parts of one shard share.
#[derive(Clone)]
pub(super) struct Shard<S> {
    pub(super) streams: S,
    pub(super) clock: SharedClock,
    options: ShardOptions,
    pub(super) status: Arc<Status>,
    pub(super) telemetry: Arc<ShardTelemetry>,
    /// Ends the reading; what was read is worked off.
    drain: CancellationToken,
}

/// Leads a shard until `drain` is cancelled and all that was read is announced, or until a fault halts it; after a fault it
/// stands still until `drain` is cancelled. Waits for a broker that cannot be reached.
pub async fn lead<S: Streams>(
    streams: S,
    clock: SharedClock,
    options: ShardOptions,
    status: Arc<Status>,
    telemetry: Arc<ShardTelemetry>,
    drain: CancellationToken,
) {
    let halt = drain.child_token();
    let shard = Shard { streams, clock, options, status, telemetry, drain: halt.clone() };
    loop {
        match shard.run().await {
            Ok(()) => return,
            Err(Stop::Recover) => {
                tracing::warn!(
                    shard = shard.status.shard,
                    "the broker lost announced outcomes; recovering to announce them again"
                );
            }
            Err(Stop::Fault(fault)) => {
                shard.halted(&fault);
                halt.cancel();
                return drain.cancelled().await;
            }
        }
    }
}

impl<S: Streams> Shard<S> {
    async fn run(&self) -> Result<(), Stop> {
        let Some((position, log_last)) = self.drain.run_until_cancelled(self.recover()).await.transpose()?
        else {
            return Ok(());
        };
        self.status.update(|progress| progress.through = position.through);
        let (input, fold_input) = mpsc::channel(BATCHES_QUEUED_MAX);
        let (fold_output, folded) = mpsc::channel(BATCHES_QUEUED_MAX);
        self.status.set_inspector(input.downgrade());
        let folding = Folding::new(Inventory::new(), position.through, log_last);
        let thread = self.spawn_fold(folding, fold_input, fold_output);
        let (due, due_now) = watch::channel(Due::Never);
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        let beside = tokio::spawn({
            let (shard, stop) = (self.clone(), stop.clone());
            async move {
                let tick = ticking::tick(
                    shard.streams.clone(),
                    shard.clock.clone(),
                    due_now,
                    shard.status.clone(),
                    stop.clone(),
                );
                tokio::join!(tick, stop.run_until_cancelled(shard.poll()));
            }
        });
        let publishing = Publishing::new(
            self.options.writer.clone(),
            self.options.format,
            self.streams.payload_bytes_max(),
            &position,
        );
        let read = async {
            let read = self.read(input).await;
            // Reading is over: from here on, time is no longer watched.
            stop.cancel();
            read.map_err(Stop::from)
        };
        let ended = tokio::try_join!(read, self.publish(publishing, folded, due, log_last));
        stop.cancel();
        // The fold's thread ends once its channels are closed. What panics beside the fold itself is no end to pass over.
        let thread = tokio::task::spawn_blocking(move || thread.join()).await;
        let _ = beside.await;
        if !matches!(thread, Ok(Ok(()))) {
            let message = "the fold's thread ended by a panic outside the fold".to_owned();
            return Err(Fault::Panic { sequence: self.status.applied() + 1, message }.into());
        }
        ended.map(|_| ())
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

    /// Asks the streams how far they are, until they answer.
    async fn recover(&self) -> Result<(Position, u64), Fault> {
        let mut complained = false;
        loop {
            match self.ask().await {
                Ok(_) if self.streams.payload_bytes_max() < PAYLOAD_BYTES_LEAST => {
                    let text =
                        format!("the server's max_payload is below {PAYLOAD_BYTES_LEAST} bytes: raise it");
                    self.complain(&mut complained, &ReadError::Unavailable(text));
                }
                Ok((position, log_last)) => {
                    if position.through.sequence > log_last {
                        return Err(Fault::OutcomesAhead { through: position.through, last: log_last });
                    }
                    tracing::info!(
                        shard = self.status.shard,
                        log_last,
                        announced = %position.through,
                        "recovering"
                    );
                    return Ok((position, log_last));
                }
                Err(error) => self.complain(&mut complained, &error),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    pub(super) async fn ask(&self) -> Result<(Position, u64), ReadError> {
        let outcomes = self.streams.outcomes_state().await?;
        let last = self.streams.last_outcomes().await?;
        let log = self.streams.log_state().await?;
        Ok((Position::of(outcomes.last_sequence, last.as_ref()), log.last_sequence))
    }

    /// Says that the broker does not answer: once, then quietly again.
    fn complain(&self, complained: &mut bool, error: &ReadError) {
        self.status.set_connected(false);
        if !*complained {
            tracing::warn!(shard = self.status.shard, %error, "the streams cannot be read; trying on");
        }
        *complained = true;
    }

    /// Reads the log and gives it to the fold, from its start on.
    async fn read(&self, input: mpsc::Sender<Input>) -> Result<(), Fault> {
        let mut last: Option<LogMessage> = None;
        let mut complained = false;
        let reading = async {
            loop {
                let error = match self.read_on(&input, &mut last, &mut complained).await {
                    Ok(Some(fault)) => return Err(fault),
                    Ok(None) => return Ok(()),
                    Err(error) => error,
                };
                self.complain(&mut complained, &error);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        };
        self.drain.run_until_cancelled(reading).await.unwrap_or(Ok(()))
    }

    /// Reads from behind `last` until something fails, after having seen that the log still holds `last`.
    async fn read_on(
        &self,
        input: &mpsc::Sender<Input>,
        last: &mut Option<LogMessage>,
        complained: &mut bool,
    ) -> Result<Option<Fault>, ReadError> {
        if let Some(fault) = self.verify(last.as_ref()).await? {
            return Ok(Some(fault));
        }
        let from = last.as_ref().map_or(1, |last| last.sequence + 1);
        let mut reader = self.streams.read_log(from).await?;
        self.status.set_connected(true);
        if std::mem::take(complained) {
            tracing::info!(shard = self.status.shard, from, "reading the log again");
        }
        loop {
            let mut messages = reader.next().await?;
            // A reader that was opened anew may repeat.
            let known = last.as_ref().map_or(0, |last| last.sequence);
            messages.retain(|message| message.sequence > known);
            let Some(newest) = messages.last() else { continue };
            *last = Some(newest.clone());
            if input.send(Input::Messages(messages)).await.is_err() {
                // The fold has ended: publishing knows why.
                return Ok(None);
            }
        }
    }

    /// Whether the log still holds what was read from it, and what comes next. A log that lost all that it held gives no
    /// message that would show the gap.
    async fn verify(&self, last: Option<&LogMessage>) -> Result<Option<Fault>, ReadError> {
        let log = self.streams.log_state().await?;
        let due = last.map_or(1, |last| last.sequence + 1);
        if log.first_sequence > due {
            return Ok(Some(Fault::Gap { expected: due, found: log.first_sequence }));
        }
        let Some(last) = last else { return Ok(None) };
        if log.last_sequence < last.sequence {
            return Ok(Some(Fault::LogBehind { last: log.last_sequence, applied: last.sequence }));
        }
        let stored = self.streams.log_message(last.sequence).await?;
        // A message that was trimmed cannot be compared.
        let trimmed = stored.is_none() && log.first_sequence > last.sequence;
        let same = stored.is_some_and(|stored| stored == *last);
        Ok((!same && !trimmed).then_some(Fault::LogRewritten { sequence: last.sequence }))
    }

    fn spawn_fold(
        &self,
        mut folding: Folding,
        mut input: mpsc::Receiver<Input>,
        output: mpsc::Sender<Folded>,
    ) -> std::thread::JoinHandle<()> {
        let (clock, telemetry) = (self.clock.clone(), self.telemetry.clone());
        let fold = move || {
            while let Some(next) = input.blocking_recv() {
                match next {
                    Input::Inspect(reply) => {
                        let inventory = folding.inventory();
                        // Whoever asked may have gone.
                        let _ = reply.send(Inspection {
                            chain: inventory.chain(),
                            digests: inventory.digests(),
                            totals: inventory.totals(),
                            books: inventory.check_books(),
                        });
                    }
                    Input::Messages(messages) => {
                        let mut open = true;
                        let ended = folding.step(&messages, clock.wall_ns(), |applied| {
                            measure(&telemetry, &applied, clock.wall_ns());
                            open = output.blocking_send(Ok(applied)).is_ok();
                            open
                        });
                        if let Err(fault) = ended {
                            // The receiver may have gone with a fault of its own.
                            let _ = output.blocking_send(Err(fault));
                            return;
                        }
                        if !open {
                            return;
                        }
                    }
                }
            }
        };
        std::thread::Builder::new()
            .name(format!("fold-{}", self.status.shard))
            .spawn(fold)
            .expect("the operating system gives a thread")
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
            });
            tokio::time::sleep(if caught_up { POLL_INTERVAL } else { POLL_INTERVAL_FIRST }).await;
        }
    }

    async fn poll_once(&self) -> Result<f64, ReadError> {
        let log = self.streams.log_state().await?;
        let outcomes = self.streams.outcomes_state().await?;
        let applied = self.status.applied();
        let mut lag_seconds = 0.0;
        if log.last_sequence > applied
            && let Some(oldest) = self.streams.log_message(applied + 1).await?
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

fn measure(telemetry: &ShardTelemetry, applied: &Applied, wall_ns: i64) {
    if applied.live {
        telemetry.applied(&applied.output.commands, weights(&applied.messages), wall_ns);
    } else {
        telemetry.replayed(applied.messages.len());
    }
}

/// When each message was stored, and how many outcomes it has.
pub(super) fn weights(messages: &[AppliedMessage]) -> impl ExactSizeIterator<Item = (i64, u64)> {
    messages.iter().map(|message| (message.stored_at_ns, message.outcomes as u64))
}

//! A steady load of new orders, and how long each message of it takes: what the benches of pauses share.
//!
//! Messages are sent at planned times, from a thread of its own, and each counts from its planned time until the outcome stream
//! was seen to have all of its outcomes: what stands still meanwhile is counted, and not hidden. That takes in the way to the
//! streams and back, what else the message's records work off, and the load's own waiting for a processor.

use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use weir::edges::clock::SharedClock;
use weir::edges::streams::{Reader as _, Streams};
use weir::words::codec::{Format, encode_commands};

use crate::reference::numbered;

/// How often a message is sent.
const INTERVAL: Duration = Duration::from_millis(1);
/// What the kernel counts processor time in, on every Linux that Rust runs on.
const TICKS_PER_SECOND: u64 = 100;

/// How long one message took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// When it was to be sent, by the load's clock.
    pub(crate) planned: Duration,
    /// How much later it was seen that all its outcomes are announced.
    pub(crate) took: Duration,
}

/// A load under way.
#[derive(Debug)]
pub(crate) struct Load {
    stop: CancellationToken,
    thread: JoinHandle<Result<Vec<Answer>>>,
}

impl Load {
    /// Starts to send so many reference orders a message, a message each millisecond, the first order with number `first`.
    pub(crate) fn start<S: Streams>(
        open: impl AsyncFnOnce() -> Result<S> + Send + 'static,
        clock: SharedClock,
        first: u64,
        orders: u64,
    ) -> Self {
        Self::start_with(open, clock, first, move |from| {
            (encode_commands(Format::Bincode, &numbered(from..from + orders)), orders)
        })
    }

    /// The same with messages of one's own: made for the next order's number, each says how many orders it has.
    pub(crate) fn start_with<S: Streams>(
        open: impl AsyncFnOnce() -> Result<S> + Send + 'static,
        clock: SharedClock,
        first: u64,
        message: impl Fn(u64) -> (Vec<u8>, u64) + Send + 'static,
    ) -> Self {
        let stop = CancellationToken::new();
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { send(&open().await?, &clock, first, message, &told).await })
        });
        Self { stop, thread }
    }

    /// Ends it, once all that was sent is answered.
    pub(crate) async fn stop(self) -> Result<Vec<Answer>> {
        self.stop.cancel();
        tokio::task::spawn_blocking(|| self.thread.join()).await?.expect("the load does not panic")
    }
}

async fn send<S: Streams>(
    streams: &S,
    clock: &SharedClock,
    first: u64,
    message: impl Fn(u64) -> (Vec<u8>, u64),
    stop: &CancellationToken,
) -> Result<Vec<Answer>> {
    let mut headlines = streams.read_headlines(streams.outcomes_state().await?.last_sequence + 1).await?;
    let mut ticker = tokio::time::interval(INTERVAL);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (started, mut planned) = (clock.monotonic(), Duration::ZERO);
    let (mut next, mut announced) = (first, 0);
    let mut sending = FuturesUnordered::new();
    // When each message that is stored was planned, by its sequence.
    let mut stored: BTreeMap<u64, Duration> = BTreeMap::new();
    let mut answers = Vec::new();
    loop {
        let stopped = stop.is_cancelled();
        if stopped && sending.is_empty() && stored.is_empty() {
            return Ok(answers);
        }
        tokio::select! {
            read = headlines.next() => {
                announced = read?.last().map_or(announced, |last| last.header.chain.sequence);
            }
            Some(sent) = sending.next() => {
                let (sequence, planned): (Result<u64, _>, _) = sent;
                stored.insert(sequence.context("a message of the load was not stored")?, planned);
            }
            _ = ticker.tick(), if !stopped => {
                while started + planned <= clock.monotonic() {
                    let (payload, orders) = message(next);
                    let at = started + planned;
                    sending.push(async move { (streams.append_log(Format::Bincode, payload.into()).await, at) });
                    (next, planned) = (next + orders, planned + INTERVAL);
                }
            }
        }
        let waiting = stored.split_off(&(announced + 1));
        let now = clock.monotonic();
        let answered = std::mem::replace(&mut stored, waiting);
        answers.extend(
            answered.into_values().map(|planned| Answer { planned, took: now.saturating_sub(planned) }),
        );
    }
}

/// A moment of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// By the load's clock.
    pub(crate) at: Duration,
    /// What the host had taken of this machine's processors for itself by then, all of them together.
    stolen: Duration,
}

impl Moment {
    pub(crate) fn now(clock: &SharedClock) -> Self {
        Self { at: clock.monotonic(), stolen: stolen().unwrap_or_default() }
    }
}

/// The eighth figure of `/proc/stat` (proc(5)).
fn stolen() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: u64 = text.lines().next()?.split_whitespace().nth(8)?.parse().ok()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// The median, the 99th and the 99.9th percentile, and the longest of what was planned between two moments, in words.
pub(crate) fn summary(answers: &[Answer], from: Moment, to: Moment) -> String {
    let within = answers.iter().filter(|answer| (from.at..to.at).contains(&answer.planned));
    let mut took: Vec<_> = within.map(|answer| answer.took).collect();
    took.sort_unstable();
    let Some(longest) = took.last() else { return "no message".to_owned() };
    let share = |thousandths: usize| millis(took[(took.len() - 1) * thousandths / 1_000]);
    format!(
        "p50 {}, p99 {}, p99.9 {}, longest {} of {} messages (the host took {} ms of the processors)",
        share(500),
        share(990),
        share(999),
        millis(*longest),
        took.len(),
        to.stolen.saturating_sub(from.stolen).as_millis(),
    )
}

/// A duration in milliseconds, in words.
fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1_000.0)
}

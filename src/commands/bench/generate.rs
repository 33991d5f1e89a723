//! The load generator, a process of its own: sends orders at their planned times, and sees when their outcomes are
//! published.
//!
//! Messages are built and handed over by a thread that sleeps until each one's planned time, which tokio's timers, exact
//! to a millisecond, could not do. It never waits for acknowledgements, unless so much is unacknowledged that the broker
//! would refuse more; the planned times do not move then, so what a stall costs is in the figures. Everything else (the
//! connections, the acknowledgements, the headlines of the outcome streams) runs on one thread of a runtime.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::job::{GenerateJob, Generated, Latencies, Pace, Said, say, take};
use super::ledger::{Counts, Ledger};
use super::onward::Onward;
use super::orders::{Orders, Writer};
use crate::commands::Ended;
use crate::edges::clock::{SharedClock, SystemClock};
use crate::edges::jetstream::{Acks, Connection, Connections, JetStreams, LogFeed, Names, ShardNames};
use crate::words::append::Headline;
use crate::words::timestamp::Timestamp;

/// No more messages and bytes than these wait for their acknowledgement: below what a stream takes in before it refuses
/// (10,000 messages, 128 MiB).
const UNACKED_MESSAGES_MAX: usize = 8_192;
const UNACKED_BYTES_MAX: usize = 64 << 20;
/// Between starting and the first planned time.
const LEAD: Duration = Duration::from_millis(20);
/// How often it is looked whether all is announced.
const SETTLE_INTERVAL: Duration = Duration::from_millis(10);
/// How often progress is told.
const TELL_INTERVAL: Duration = Duration::from_millis(250);
/// So long after the window the sender gives up on what it is behind with; or as long as the window, if that is longer.
const BEHIND_MAX: Duration = Duration::from_secs(3);
/// How long nothing may move while acknowledgements or outcomes are missing.
const STALL_MAX: Duration = Duration::from_secs(15);
/// In how many steps it is told what was never sent.
const UNSENT_STEPS_MAX: u64 = 10_000;
/// How long a sender without room looks away at most.
const ROOM_WAIT: Duration = Duration::from_millis(50);

/// The ledger, and who waits for room in it.
struct Shared {
    ledger: Mutex<Ledger>,
    moved: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `room` is there, or until `wait` has passed.
    fn wait_for_room(&self, wait: Duration, room: impl Fn(&Counts) -> bool) -> bool {
        let waited = self.moved.wait_timeout_while(self.lock(), wait, |ledger| !room(&ledger.counts));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// When things happen, in nanoseconds of the clock.
#[derive(Clone, Copy, Debug)]
struct Times {
    start: u64,
    window_start: u64,
    window_end: u64,
    give_up: u64,
    may_end_early: bool,
}

impl Times {
    fn of(job: &GenerateJob, now: Duration) -> Self {
        let start = now + LEAD;
        let window_start = start + Duration::from_millis(job.warmup_ms);
        let mut window = Duration::from_millis(job.window_ms);
        if let (Some(orders), Pace::PerSecond(rate)) = (job.orders_max, job.pace) {
            window = window.min(span(orders, rate));
        }
        let window_end = window_start + window;
        Self {
            start: nanoseconds(start),
            window_start: nanoseconds(window_start),
            window_end: nanoseconds(window_end),
            give_up: nanoseconds(window_end + window.max(BEHIND_MAX)),
            may_end_early: matches!(job.pace, Pace::InFlight(_)),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How long `orders` take at `rate` a second.
fn span(orders: u64, rate: u64) -> Duration {
    let nanos = u128::from(orders) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What the sender has to tell in the end.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    unsent: u64,
    late_ns_max: u64,
}

struct Sender {
    job: GenerateJob,
    times: Times,
    clock: SharedClock,
    shared: Arc<Shared>,
    feed: LogFeed,
    runtime: Handle,
}

impl Sender {
    fn now_ns(&self) -> u64 {
        nanoseconds(self.clock.monotonic())
    }

    fn run(&self) -> anyhow::Result<Sent> {
        let orders = Orders::new(&self.job.load);
        let mut writer = Writer::new(&orders);
        let mut sent = Sent::default();
        match self.job.pace {
            Pace::PerSecond(rate) => self.open_loop(rate, &mut writer, &mut sent)?,
            Pace::InFlight(orders_max) => self.closed_loop(orders_max, &mut writer)?,
        }
        Ok(sent)
    }

    fn open_loop(&self, rate: u64, writer: &mut Writer<'_>, sent: &mut Sent) -> anyhow::Result<()> {
        let batch = u64::from(self.job.load.batch);
        let due_ns = |number: u64| self.times.start + nanoseconds(span(number * batch, rate));
        let room = |counts: &Counts| has_room(counts);
        let mut number = 0;
        while due_ns(number) < self.times.window_end {
            let due = due_ns(number);
            let mut now = self.now_ns();
            if now < due {
                std::thread::sleep(Duration::from_nanos(due - now));
            }
            while !self.shared.wait_for_room(ROOM_WAIT, room) && now < self.times.give_up {
                now = self.now_ns();
            }
            now = self.now_ns();
            if now >= self.times.give_up {
                break;
            }
            sent.late_ns_max = sent.late_ns_max.max(now.saturating_sub(due));
            self.send(number, due, writer)?;
            number += 1;
        }
        let now = self.now_ns();
        let mut ledger = self.shared.lock();
        let due_in_all = due_messages(self.times, rate, batch);
        let step = (due_in_all.saturating_sub(number) / UNSENT_STEPS_MAX).max(1);
        while number < due_in_all {
            let orders = step.min(due_in_all - number) * batch;
            sent.unsent += orders;
            ledger.unsent(due_ns(number), orders, now);
            number += step;
        }
        Ok(())
    }

    fn closed_loop(&self, orders_max: u64, writer: &mut Writer<'_>) -> anyhow::Result<()> {
        let batch = u64::from(self.job.load.batch);
        let room = |counts: &Counts| {
            has_room(counts) && counts.orders_sent - counts.orders_announced + batch <= orders_max.max(batch)
        };
        let (mut number, mut in_window) = (0, 0);
        loop {
            let has_room = self.shared.wait_for_room(ROOM_WAIT, room);
            let now = self.now_ns();
            if now >= self.times.window_end || self.job.orders_max.is_some_and(|max| in_window >= max) {
                return Ok(());
            }
            if has_room {
                in_window += if now >= self.times.window_start { batch } else { 0 };
                self.send(number, now, writer)?;
                number += 1;
            }
        }
    }

    fn send(&self, number: u64, due_ns: u64, writer: &mut Writer<'_>) -> anyhow::Result<()> {
        let load = &self.job.load;
        let submitted_at = Timestamp::from_millis(self.clock.wall_ns() / 1_000_000);
        let batch = writer.batch(number, submitted_at);
        self.shared.lock().sent(number, due_ns, load.batch, batch.records, batch.payload.len());
        let shard = load.shard_of_message(number);
        self.runtime.block_on(self.feed.publish(shard, number, batch.payload)).context("sending")
    }
}

/// How many messages are due before the window's end.
fn due_messages(times: Times, rate: u64, batch: u64) -> u64 {
    let orders = u128::from(times.window_end - times.start) * u128::from(rate) / 1_000_000_000;
    u64::try_from(orders).unwrap_or(u64::MAX).div_ceil(batch)
}

fn has_room(counts: &Counts) -> bool {
    counts.unacked_messages < UNACKED_MESSAGES_MAX && counts.unacked_bytes < UNACKED_BYTES_MAX
}

/// Takes note of acknowledgements, for ever.
async fn take_acks(mut acks: Acks, shared: &Shared) -> anyhow::Result<()> {
    loop {
        let stored = acks.next().await.context("the log did not take a message")?;
        shared.lock().acked(stored.token, stored.sequence)?;
        shared.moved.notify_one();
    }
}

/// Takes note of what is announced, for ever.
async fn tap(streams: JetStreams, place: usize, shared: &Shared, clock: &SharedClock) -> anyhow::Result<()> {
    let open = async |from| streams.read_headlines(from).await;
    let mut headlines = Onward::new(open, |headline: &Headline| headline.sequence);
    loop {
        let seen = headlines.next().await.context("the outcome stream")?;
        let now_ns = nanoseconds(clock.monotonic());
        let mut ledger = shared.lock();
        for Headline { header, payload_bytes, .. } in seen {
            ledger.announced(place, header.through, payload_bytes, now_ns);
        }
        drop(ledger);
        shared.moved.notify_one();
    }
}

/// Runs the generator.
pub(super) async fn generate() -> anyhow::Result<Ended> {
    let job: GenerateJob = take()?;
    let clock = SystemClock::shared();
    let connection = Connection {
        urls: job.urls.clone(),
        name: "weir bench generator".to_owned(),
        wait_for_server: false,
    };
    let connections = Connections::open(&connection).await?;
    let names = Names::new(&job.prefix)?;
    let shards: Vec<ShardNames> =
        job.load.shard_names().iter().map(|shard| names.shard(shard)).collect::<Result<_, _>>()?;
    let (feed, acks) = LogFeed::open(&connections.publishing, &shards, job.load.format).await?;

    let times = Times::of(&job, clock.monotonic());
    let window = times.window_start..times.window_end;
    let shared =
        Arc::new(Shared { ledger: Mutex::new(Ledger::new(shards.len(), window)), moved: Condvar::new() });
    let taps = shards
        .into_iter()
        .enumerate()
        .map(|(shard, names)| tap(JetStreams::new(connections.clone(), names), shard, &shared, &clock));
    let taps = futures_util::future::try_join_all(taps);
    let (over, sent) = oneshot::channel();
    let sender =
        Sender { job, times, clock: clock.clone(), shared: shared.clone(), feed, runtime: Handle::current() };
    std::thread::Builder::new().name("sender".to_owned()).spawn(move || {
        // Nobody listens once something else has failed.
        let _ = over.send(sender.run());
    })?;
    tokio::select! {
        failed = take_acks(acks, &shared) => failed?,
        failed = taps => drop(failed?),
        told = tell(&shared, &clock, times, sent) => told?,
    }
    Ok(Ended::Done)
}

/// Tells the parent how it goes, until all is announced.
async fn tell(
    shared: &Shared,
    clock: &SharedClock,
    times: Times,
    mut sent: oneshot::Receiver<anyhow::Result<Sent>>,
) -> anyhow::Result<()> {
    let until = |at_ns: u64| Duration::from_nanos(at_ns).saturating_sub(clock.monotonic());
    let mut result = None;
    // A closed loop may have sent all that it should before its time.
    let mut wait = async |result: &mut Option<Sent>, time: Duration| -> anyhow::Result<()> {
        if result.is_some() {
            tokio::time::sleep(time).await;
            return Ok(());
        }
        tokio::select! {
            sent = &mut sent => *result = Some(sent.context("the sender")??),
            () = tokio::time::sleep(time) => {}
        }
        Ok(())
    };
    let progress = || {
        let ledger = shared.lock();
        let (sent, announced) = (ledger.counts.orders_sent, ledger.counts.orders_announced);
        say(&Said::Progress { sent, announced, p99_us: ledger.latencies.value_at_quantile(0.99) })
    };
    while until(times.window_start) > Duration::ZERO && result.is_none() {
        wait(&mut result, until(times.window_start).min(TELL_INTERVAL)).await?;
        progress()?;
    }
    let before = shared.lock().counts;
    say(&Said::Begin)?;
    // A closed loop that has sent all that it should ends its window once that is announced.
    while until(times.window_end) > Duration::ZERO
        && !(times.may_end_early && result.is_some() && shared.lock().is_settled())
    {
        let pause = if result.is_some() { SETTLE_INTERVAL } else { TELL_INTERVAL };
        wait(&mut result, until(times.window_end).min(pause)).await?;
        progress()?;
    }
    let after = {
        let mut ledger = shared.lock();
        let now = nanoseconds(clock.monotonic());
        ledger.window_ns.end = ledger.window_ns.end.min(now);
        ledger.counts
    };
    say(&Said::End)?;

    let (mut moved_at, mut moved_to) = (clock.monotonic(), (0, 0));
    loop {
        let counts = shared.lock().counts;
        let position = (counts.unacked_messages, counts.orders_announced);
        if position != moved_to {
            (moved_at, moved_to) = (clock.monotonic(), position);
        }
        if result.is_some() && shared.lock().is_settled() {
            break;
        }
        if clock.monotonic().saturating_sub(moved_at) > STALL_MAX {
            let missing = counts.orders_sent - counts.orders_announced;
            bail!("{missing} orders are not announced, {} messages not acknowledged", position.0);
        }
        wait(&mut result, SETTLE_INTERVAL).await?;
    }
    let sent = result.unwrap_or_default();
    let ledger = shared.lock();
    let counts = ledger.counts;
    let window_ns = ledger.window_ns.end - ledger.window_ns.start;
    say(&Said::Done(Box::new(Generated {
        window_seconds: Duration::from_nanos(window_ns).as_secs_f64(),
        window_announced: counts.window_announced,
        window_bytes: counts.window_bytes,
        window_appends: counts.window_appends,
        sampled_announced: after.orders_announced - before.orders_announced,
        orders: counts.orders_sent,
        unsent: sent.unsent,
        records: counts.records_sent,
        messages: counts.messages_sent,
        command_bytes: counts.bytes_sent,
        late_us_max: sent.late_ns_max / 1_000,
        latencies: Latencies::from(&ledger.latencies),
    })))
}

//! The load generator, a process of its own: sends orders at their planned times, and reads their outcomes as a shop would.
//!
//! The sending has a thread of its own ([`super::sender`]); the connections, the acknowledgements and the readers of outcomes
//! ([`super::reading`]) share another. What they know meets in the ledger.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::{Client, ConnectOptions};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::feed::{Acks, Feed};
use super::job::{GenerateJob, Generated, Said, say, take};
use super::ledger::{Counts, Due, Ledger};
use super::reading::{Reading, Told, read};
use super::sender::{Sender, Sent, Shared, Times, nanoseconds};
use crate::orders::Orders;
use crate::statistics::Latencies;
use weir::edges::clock::{SharedClock, SystemClock};

/// How many orders are entered into the ledger at once: the sender waits meanwhile.
const ENTERED_AT_ONCE: usize = 256;
/// How often it is looked whether all is announced.
const SETTLE_INTERVAL: Duration = Duration::from_millis(10);
/// How often progress is told.
const TELL_INTERVAL: Duration = Duration::from_millis(250);
/// How long nothing may move while acknowledgements or outcomes are missing.
const STALL_MAX: Duration = Duration::from_secs(15);

/// Takes note of acknowledgements, for ever.
async fn take_acks(mut acks: Acks, shared: &Shared) -> anyhow::Result<()> {
    loop {
        let stored = acks.next().await.context("the log did not take a message")?;
        shared.change(|ledger| ledger.acked(stored.token, stored.sequence))?;
    }
}

/// Takes note of what is announced, for ever.
async fn tap(job: &GenerateJob, place: usize, shared: &Shared, clock: &SharedClock) -> anyhow::Result<()> {
    let client = connect(&job.urls, "outcomes").await?;
    let mut reading = Reading::new(client, job.ways[place].outcomes.clone());
    loop {
        let message = reading.next().await.context("the outcome stream")?;
        // When it was here; reading it is the shop's work, and its cost is the generator's.
        let now_ns = nanoseconds(clock.monotonic());
        let told = read(job.answers, job.load.format, &message).context("an outcome")?;
        shared.change(|ledger| ledger.append(message.payload.len(), now_ns));
        match told {
            Told::Through(through) => shared.change(|ledger| ledger.announced(place, through, now_ns)),
            Told::Orders(numbers) => {
                for some in numbers.chunks(ENTERED_AT_ONCE) {
                    shared.change(|ledger| some.iter().for_each(|number| ledger.answered(*number, now_ns)));
                }
            }
        }
    }
}

/// A connection of its own.
async fn connect(urls: &[String], role: &str) -> anyhow::Result<Client> {
    let options = ConnectOptions::new().name(format!("weir-bench generator {role}"));
    let servers: Vec<_> =
        urls.iter().map(|url| url.parse()).collect::<Result<Vec<async_nats::ServerAddr>, _>>()?;
    options.connect(servers).await.context("the generator cannot connect to NATS")
}

/// Runs the generator.
pub(crate) async fn generate() -> anyhow::Result<()> {
    let job: GenerateJob = take()?;
    let clock = SystemClock::shared();
    let subjects = job.ways.iter().map(|way| way.orders.clone());
    let (feed, acks) = Feed::open(connect(&job.urls, "orders").await?, subjects, job.load.format).await?;

    let orders = Orders::new(&job.load);
    let times = Times::of(&job, clock.monotonic());
    let window = times.window_start..times.window_end;
    let due = Due { pace: job.pace, start_ns: times.start };
    let shared = Arc::new(Shared::new(Ledger::new(job.ways.len(), job.load.batch, due, window)));
    let taps = (0..job.ways.len()).map(|shard| tap(&job, shard, &shared, &clock));
    let taps = futures_util::future::try_join_all(taps);
    let (over, sent) = oneshot::channel();
    let sender = Sender {
        job: job.clone(),
        orders,
        times,
        clock: clock.clone(),
        shared: shared.clone(),
        feed,
        runtime: Handle::current(),
    };
    std::thread::Builder::new().name("sender".to_owned()).spawn(move || {
        // Nobody listens once something else has failed.
        let _ = over.send(sender.run());
        // A thread that ended would take its CPU time along, at which the parent has still to look.
        loop {
            std::thread::park();
        }
    })?;
    tokio::select! {
        failed = take_acks(acks, &shared) => failed?,
        failed = taps => drop(failed?),
        told = Teller { shared: &shared, clock: &clock, times, sent, result: None }.tell() => told?,
    }
    Ok(())
}

/// Tells the parent how it goes, until all is announced.
struct Teller<'g> {
    shared: &'g Shared,
    clock: &'g SharedClock,
    times: Times,
    sent: oneshot::Receiver<anyhow::Result<Sent>>,
    /// What the sender has told, once it has ended.
    result: Option<Sent>,
}

impl Teller<'_> {
    async fn tell(mut self) -> anyhow::Result<()> {
        while !self.until(self.times.window_start).is_zero() && self.result.is_none() {
            self.wait(self.until(self.times.window_start).min(TELL_INTERVAL)).await?;
            self.progress()?;
        }
        let before = self.shared.lock().counts.orders_announced;
        say(&Said::Begin)?;
        self.window().await?;
        let after = self.shared.lock().counts.orders_announced;
        say(&Said::End)?;
        self.settle().await?;
        self.done(after - before)
    }

    fn until(&self, at_ns: u64) -> Duration {
        Duration::from_nanos(at_ns).saturating_sub(self.clock.monotonic())
    }

    /// Waits for so long, or until the sender has ended.
    async fn wait(&mut self, time: Duration) -> anyhow::Result<()> {
        tokio::select! {
            sent = &mut self.sent, if self.result.is_none() => {
                self.result = Some(sent.context("the sender")??);
            }
            () = tokio::time::sleep(time) => {}
        }
        Ok(())
    }

    fn progress(&self) -> anyhow::Result<()> {
        let ledger = self.shared.lock();
        let Counts { orders_sent, orders_announced, .. } = ledger.counts;
        let p99_us = ledger.latencies.value_at_quantile(0.99);
        drop(ledger);
        say(&Said::Progress { sent: orders_sent, announced: orders_announced, p99_us })
    }

    /// The measured window. A closed loop that has sent all that it should ends it once that is announced.
    async fn window(&mut self) -> anyhow::Result<()> {
        while !self.until(self.times.window_end).is_zero() {
            let sent = self.result.is_some();
            if sent && self.times.may_end_early && self.shared.lock().is_settled() {
                break;
            }
            let pause = if sent { SETTLE_INTERVAL } else { TELL_INTERVAL };
            self.wait(self.until(self.times.window_end).min(pause)).await?;
            if !sent {
                self.progress()?;
            }
        }
        let now_ns = nanoseconds(self.clock.monotonic());
        let mut ledger = self.shared.lock();
        ledger.window_ns.end = ledger.window_ns.end.min(now_ns);
        Ok(())
    }

    /// Waits until all that was sent is acknowledged and announced.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let (mut moved_at, mut moved_to) = (self.clock.monotonic(), (0, 0));
        while self.result.is_none() || !self.shared.lock().is_settled() {
            let counts = self.shared.lock().counts;
            let position = (counts.unacked_messages, counts.orders_announced);
            let now = self.clock.monotonic();
            if position != moved_to {
                (moved_at, moved_to) = (now, position);
            }
            if now.saturating_sub(moved_at) > STALL_MAX {
                let missing = counts.orders_sent - counts.orders_announced;
                bail!("{missing} orders are not announced, {} messages not acknowledged", position.0);
            }
            self.wait(SETTLE_INTERVAL).await?;
        }
        Ok(())
    }

    fn done(&self, sampled_announced: u64) -> anyhow::Result<()> {
        let sent = self.result.unwrap_or_default();
        let ledger = self.shared.lock();
        let counts = ledger.counts;
        let window_ns = ledger.window_ns.end - ledger.window_ns.start;
        say(&Said::Done(Box::new(Generated {
            window_seconds: Duration::from_nanos(window_ns).as_secs_f64(),
            window_announced: counts.window_announced,
            window_bytes: counts.window_bytes,
            window_appends: counts.window_appends,
            sampled_announced,
            orders: counts.orders_sent,
            unsent: sent.unsent,
            records: counts.records_sent,
            messages: counts.messages_sent,
            window_messages: counts.window_messages,
            strange: counts.strange,
            command_bytes: counts.bytes_sent,
            late_us_max: sent.late_ns_max / 1_000,
            latencies: Latencies::from(&ledger.latencies),
        })))
    }
}

//! The load generator, a process of its own: sends orders at their planned times, and sees when their outcomes are
//! published.
//!
//! The sending has a thread of its own ([`super::sender`]); the connections, the acknowledgements and the headlines of the
//! outcome streams share another. What they know meets in the ledger.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::job::{GenerateJob, Generated, Latencies, Said, say, take};
use super::ledger::{Counts, Ledger};
use super::onward::Onward;
use super::orders::Orders;
use super::sender::{Sender, Sent, Shared, Times, nanoseconds};
use crate::commands::Ended;
use crate::edges::clock::{SharedClock, SystemClock};
use crate::edges::jetstream::{Acks, Connection, Connections, JetStreams, LogFeed, Names, ShardNames};
use crate::edges::streams::Streams as _;
use crate::words::append::Headline;

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
async fn tap(streams: JetStreams, place: usize, shared: &Shared, clock: &SharedClock) -> anyhow::Result<()> {
    let open = async |from| streams.read_headlines(from).await;
    let mut headlines = Onward::new(open, |headline: &Headline| headline.sequence);
    loop {
        let seen = headlines.next().await.context("the outcome stream")?;
        let now_ns = nanoseconds(clock.monotonic());
        shared.change(|ledger| {
            for Headline { header, payload_bytes, .. } in seen {
                ledger.announced(place, header.through, payload_bytes, now_ns);
            }
        });
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

    let orders = Orders::new(&job.load);
    let times = Times::of(&job, clock.monotonic());
    let window = times.window_start..times.window_end;
    let shared = Arc::new(Shared::new(Ledger::new(shards.len(), window)));
    let taps = shards
        .into_iter()
        .enumerate()
        .map(|(shard, names)| tap(JetStreams::new(connections.clone(), names), shard, &shared, &clock));
    let taps = futures_util::future::try_join_all(taps);
    let (over, sent) = oneshot::channel();
    let sender = Sender {
        job,
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
    Ok(Ended::Done)
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
            command_bytes: counts.bytes_sent,
            late_us_max: sent.late_ns_max / 1_000,
            latencies: Latencies::from(&ledger.latencies),
        })))
    }
}

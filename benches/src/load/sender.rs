//! The sender: a thread that builds messages and hands them over at their planned times.
//!
//! It sleeps until each one's time, which tokio's timers, exact to a millisecond, could not do. It never waits for
//! acknowledgements, unless so much is unacknowledged that the broker would refuse more; the planned times do not move
//! then, so what a stall costs is in the figures.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Handle;

use super::feed::Feed;
use super::job::{GenerateJob, Pace};
use super::ledger::{Counts, Ledger};
use crate::orders::{Orders, Writer};
use weir::edges::clock::SharedClock;
use weir::words::timestamp::Timestamp;

/// No more messages and bytes than these wait for their acknowledgement: below what a stream takes in before it refuses
/// (10,000 messages, 128 MiB).
const UNACKED_MESSAGES_MAX: usize = 8_192;
const UNACKED_BYTES_MAX: usize = 64 << 20;
/// Between starting and the first planned time.
const LEAD: Duration = Duration::from_millis(20);
/// So long after the window the sender gives up on what it is behind with; or as long as the window, if that is longer.
const BEHIND_MAX: Duration = Duration::from_secs(3);
/// In how many steps it is told what was never sent.
const UNSENT_STEPS_MAX: u64 = 10_000;
/// How long a sender without room looks away at most.
const ROOM_WAIT: Duration = Duration::from_millis(50);

/// The ledger, and who waits for room in it.
pub(crate) struct Shared {
    ledger: Mutex<Ledger>,
    moved: Condvar,
}

impl Shared {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger: Mutex::new(ledger), moved: Condvar::new() }
    }

    /// The ledger, for a moment.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the ledger, which may make room.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let changed = change(&mut self.lock());
        self.moved.notify_one();
        changed
    }

    /// Waits until `room` is there, or until `wait` has passed.
    fn wait_for_room(&self, wait: Duration, room: impl Fn(&Counts) -> bool) -> bool {
        let waited = self.moved.wait_timeout_while(self.lock(), wait, |ledger| !room(&ledger.counts));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// When things happen, in nanoseconds of the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) start: u64,
    pub(crate) window_start: u64,
    pub(crate) window_end: u64,
    /// Nothing is sent any more, however much is behind.
    give_up: u64,
    /// Whether the window ends once all that was to be sent in it is announced.
    pub(crate) may_end_early: bool,
}

impl Times {
    pub(crate) fn of(job: &GenerateJob, now: Duration) -> Self {
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

/// A moment or a length of time as a number.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How long `orders` take at `rate` a second.
pub(crate) fn span(orders: u64, rate: u64) -> Duration {
    let nanos = u128::from(orders) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What the sender has to tell in the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) unsent: u64,
    pub(crate) late_ns_max: u64,
}

/// What the sending thread works with.
pub(crate) struct Sender {
    pub(crate) job: GenerateJob,
    pub(crate) orders: Orders,
    pub(crate) times: Times,
    pub(crate) clock: SharedClock,
    pub(crate) shared: Arc<Shared>,
    pub(crate) feed: Feed,
    pub(crate) runtime: Handle,
}

impl Sender {
    fn now_ns(&self) -> u64 {
        nanoseconds(self.clock.monotonic())
    }

    /// Sends all that is to be sent.
    pub(crate) fn run(&self) -> anyhow::Result<Sent> {
        let mut writer = Writer::new(&self.orders);
        let mut sent = Sent::default();
        match self.job.pace {
            Pace::PerSecond(rate) => self.open_loop(rate, &mut writer, &mut sent)?,
            Pace::InFlight(orders_max) => self.closed_loop(orders_max, &mut writer)?,
        }
        Ok(sent)
    }

    fn open_loop(&self, rate: u64, writer: &mut Writer<'_>, sent: &mut Sent) -> anyhow::Result<()> {
        let batch = u64::from(self.job.load.batch);
        // A message goes when its last order has arrived.
        let due_ns = |number: u64| self.times.start + nanoseconds(span((number + 1) * batch - 1, rate));
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
    u64::try_from(orders).unwrap_or(u64::MAX) / batch
}

fn has_room(counts: &Counts) -> bool {
    counts.unacked_messages < UNACKED_MESSAGES_MAX && counts.unacked_bytes < UNACKED_BYTES_MAX
}

//! What the clients of the door, Redis and PostgreSQL share: orders to send at their planned times or as fast as they are answered, how
//! long each took, and the window that is measured.
//!
//! In a closed loop each sender has a bounded number of orders under way and sends on as answers come. In an open loop a thread
//! of its own gives orders out as they arrive, exact to some ten microseconds, and each counts from its planned arrival, whoever
//! was busy then. What came before the window (warm-up) and after it (drain) is audited but not counted.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use weir_kit::process::{Process, Used};

use super::measured::Measured;
use crate::figures::Cpu;
use crate::findings::Findings;
use crate::load::job::Pace;
use crate::load::sender::{nanoseconds, span};
use crate::orders::{Orders, Placed};
use crate::shop::Load as Shop;
use crate::statistics::{Latencies, histogram, to_f64};
use weir::edges::clock::{SharedClock, SystemClock};

/// How often a load is looked after.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// How long what is under way may take once nothing more is sent.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// Between starting and the first planned time.
const LEAD: Duration = Duration::from_millis(20);

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Sent before the window, not measured.
    pub(crate) warmup: Duration,
    pub(crate) window: Duration,
    /// The most orders of a pass, warm-up included; where they are all decided before the window ends, it ends then.
    pub(crate) orders_max: u64,
}

/// One pass's load. Clones share it.
#[derive(Clone)]
pub(crate) struct Load(Arc<State>);

struct State {
    orders: Orders,
    pace: Pace,
    /// Orders a call.
    batch: u64,
    bounds: Bounds,
    clock: SharedClock,
    start_ns: u64,
    window_ns: Range<u64>,
    /// Calls that may be made, in an open loop.
    due: Semaphore,
    taken: AtomicU64,
    decided: AtomicU64,
    stopped: AtomicBool,
    latencies: Mutex<Histogram<u64>>,
}

/// Orders to send, and when they were: in an open loop each has its own planned time.
pub(crate) struct Taken {
    pub(crate) numbers: Range<u64>,
    at_ns: u64,
}

impl Taken {
    /// Each order by itself, for who is answered one by one.
    pub(crate) fn each(self) -> impl Iterator<Item = Self> {
        self.numbers.map(move |number| Self { numbers: number..number + 1, at_ns: self.at_ns })
    }
}

impl Load {
    /// For calls of `batch` orders each.
    pub(crate) fn new(shop: &Shop, batch: u64, pace: Pace, bounds: Bounds) -> Self {
        let clock = SystemClock::shared();
        let start = clock.monotonic() + LEAD;
        let window = start + bounds.warmup..start + bounds.warmup + bounds.window;
        let state = Arc::new(State {
            orders: Orders::new(shop),
            pace,
            batch,
            bounds,
            clock,
            start_ns: nanoseconds(start),
            window_ns: nanoseconds(window.start)..nanoseconds(window.end),
            due: Semaphore::new(0),
            taken: AtomicU64::new(0),
            decided: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            latencies: Mutex::new(histogram()),
        });
        if let Pace::PerSecond(rate) = pace {
            let state = Arc::clone(&state);
            std::thread::spawn(move || state.give_out(rate));
        }
        Self(state)
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.0.orders
    }

    /// The orders of the next call, once they are due; none once the load has ended.
    pub(crate) async fn take(&self) -> Option<Taken> {
        self.take_some(1).await
    }

    /// The same for as many calls as are due, `calls_max` at most: what a pipeline takes.
    pub(crate) async fn take_some(&self, calls_max: u64) -> Option<Taken> {
        let state = &self.0;
        let mut calls = calls_max;
        if matches!(state.pace, Pace::PerSecond(_)) {
            // Closed at the end.
            state.due.acquire().await.ok()?.forget();
            calls = 1;
            while calls < calls_max
                && let Ok(more) = state.due.try_acquire()
            {
                more.forget();
                calls += 1;
            }
        } else if state.stopped.load(Relaxed) {
            return None;
        }
        let count = calls * state.batch;
        let first = state.taken.fetch_add(count, Relaxed);
        let end = (first + count).min(state.bounds.orders_max);
        (first < end).then(|| Taken { numbers: first..end, at_ns: state.now_ns() })
    }

    /// The orders of some numbers.
    pub(crate) fn placed(&self, numbers: Range<u64>) -> impl Iterator<Item = Placed<'_>> {
        numbers.map(|number| self.0.orders.placed(number))
    }

    /// Notes that orders were decided.
    pub(crate) fn decided(&self, taken: &Taken) {
        let state = &self.0;
        let now_ns = state.now_ns();
        state.decided.fetch_add(taken.numbers.end - taken.numbers.start, Relaxed);
        let mut latencies = state.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        for number in taken.numbers.clone() {
            let due_ns = match state.pace {
                Pace::PerSecond(rate) => state.start_ns + nanoseconds(span(number, rate)),
                Pace::InFlight(_) => taken.at_ns,
            };
            if state.window_ns.contains(&due_ns) {
                latencies.saturating_record((now_ns.saturating_sub(due_ns) / 1_000).max(1));
            }
        }
    }

    /// How many orders were taken to be sent, from number 0.
    pub(crate) fn sent(&self) -> u64 {
        self.0.taken.load(Relaxed).min(self.0.bounds.orders_max)
    }

    /// Measures while `senders` run, ends the load and waits until they are through. Fails as soon as one of them, or of
    /// `others` (whose end is not waited for), does. The CPU is that of the server, of a worker beside it, and of this process.
    pub(crate) async fn measure(
        &self,
        mut senders: JoinSet<Result<()>>,
        others: &mut JoinSet<Result<()>>,
        server: &Process,
        worker: Option<&Process>,
    ) -> Result<Measured> {
        let state = &self.0;
        let own = std::process::id();
        let look = || {
            let used = (server.cpu_with_children()?, worker.map(|it| Used::by(it.id())), Used::by(own));
            anyhow::Ok((state.now_ns(), state.decided.load(Relaxed), used))
        };
        self.until(state.window_ns.start, &mut senders, others).await?;
        let start = look()?;
        self.until(state.window_ns.end, &mut senders, others).await?;
        let end = look()?;
        state.stopped.store(true, Relaxed);
        let deadline = state.clock.monotonic() + DRAIN_DEADLINE;
        while !senders.is_empty() || state.decided.load(Relaxed) < self.sent() {
            Self::look(&mut senders, others).await?;
            ensure!(
                state.clock.monotonic() < deadline,
                "orders were still undecided after {DRAIN_DEADLINE:?}"
            );
        }
        let orders = to_f64(end.1 - start.1);
        let per_order = |nanos: u64| to_f64(nanos) / orders.max(1.0);
        let latencies = state.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Measured {
            orders_per_second: orders / Duration::from_nanos(end.0 - start.0).as_secs_f64(),
            samples: latencies.len() / state.batch,
            latencies: Latencies::from(&*latencies),
            cpu: Cpu {
                worker: end.2.1.zip(start.2.1).and_then(|(end, start)| end.since(&start)).map(per_order),
                server: Some(per_order(nanoseconds(end.2.0.saturating_sub(start.2.0)))),
                generator: end.2.2.since(&start.2.2).map(per_order),
            },
            findings: Findings::default(),
        })
    }

    /// Waits until a moment, or until all that may be sent has been decided.
    async fn until(
        &self,
        moment_ns: u64,
        senders: &mut JoinSet<Result<()>>,
        others: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let state = &self.0;
        while state.now_ns() < moment_ns && state.decided.load(Relaxed) < state.bounds.orders_max {
            Self::look(senders, others).await?;
        }
        Ok(())
    }

    /// Waits a moment, and passes on what has failed.
    async fn look(senders: &mut JoinSet<Result<()>>, others: &mut JoinSet<Result<()>>) -> Result<()> {
        tokio::time::sleep(LOOK_INTERVAL).await;
        while let Some(ended) = senders.try_join_next() {
            ended.context("a sender")??;
        }
        while let Some(ended) = others.try_join_next() {
            ended.context("a task")??;
        }
        Ok(())
    }
}

impl State {
    fn now_ns(&self) -> u64 {
        nanoseconds(self.clock.monotonic())
    }

    /// Gives calls out once all of their orders have arrived, until the window ends; then nobody waits any more.
    fn give_out(&self, rate: u64) {
        let mut calls = 0;
        while !self.stopped.load(Relaxed) {
            let due_ns = self.start_ns + nanoseconds(span((calls + 1) * self.batch - 1, rate));
            if due_ns >= self.window_ns.end {
                break;
            }
            let now_ns = self.now_ns();
            if now_ns < due_ns {
                std::thread::sleep(Duration::from_nanos(due_ns - now_ns));
            }
            self.due.add_permits(1);
            calls += 1;
        }
        // What was given out is still taken: whoever asks next hears the end.
        while self.due.available_permits() > 0 && !self.stopped.load(Relaxed) {
            std::thread::sleep(LOOK_INTERVAL);
        }
        self.due.close();
    }
}

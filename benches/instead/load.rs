//! What the contenders' loads share: numbers of orders to send, counts of those decided, and the window that is measured.
//!
//! The loads are closed loops at saturation: each sender has a bounded number of orders under way and sends on as answers
//! come. The rate is what was decided in the window, by a moment's counts at its start and end; what came before (warm-up)
//! and after it (drain) is audited but not counted. Latencies are not here: a closed loop hides stalls.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use tokio::task::JoinSet;
use weir::edges::clock::{SharedClock, SystemClock};
use weir::words::timestamp::Timestamp;

use super::orders::{Order, Shop};
use super::servers::Server;

/// How often a load is looked after.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// How long what is under way may take once nothing more is sent.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Sent before the window, not measured.
    pub(crate) warmup: Duration,
    /// The window.
    pub(crate) window: Duration,
    /// The most orders of a pass, warm-up included; where they are all decided before the window ends, it ends then.
    pub(crate) orders_max: u64,
}

/// What a window showed.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Window {
    /// Orders decided in it.
    pub(crate) orders: u64,
    /// Its length.
    pub(crate) seconds: f64,
    /// Cores that the contender's servers kept busy, where that is known.
    pub(crate) server_cores: Option<f64>,
    /// Cores that its clients kept busy: the load's generator, and the naive consumer's worker, which shares its process.
    pub(crate) client_cores: Option<f64>,
}

impl Window {
    /// Orders a second.
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let orders = self.orders as f64;
        orders / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// One pass's load. Clones share it.
#[derive(Clone)]
pub(crate) struct Load(Arc<State>);

struct State {
    shop: Shop,
    bounds: Bounds,
    clock: SharedClock,
    taken: AtomicU64,
    decided: AtomicU64,
    stopped: AtomicBool,
}

impl Load {
    pub(crate) fn new(shop: Shop, bounds: Bounds) -> Self {
        Self(Arc::new(State {
            shop,
            bounds,
            clock: SystemClock::shared(),
            taken: AtomicU64::new(0),
            decided: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }))
    }

    /// The next orders to send, `count` or fewer; none once the load has ended.
    pub(crate) fn take(&self, count: u64) -> Option<Range<u64>> {
        if self.0.stopped.load(Relaxed) {
            return None;
        }
        let first = self.0.taken.fetch_add(count, Relaxed);
        let end = (first + count).min(self.0.bounds.orders_max);
        (first < end).then_some(first..end)
    }

    /// The orders of `numbers`, submitted now.
    pub(crate) fn orders(&self, numbers: Range<u64>) -> impl Iterator<Item = Order> {
        let submitted_at = Timestamp::from_millis(self.0.clock.wall_ns() / 1_000_000);
        numbers.map(move |number| self.0.shop.order(number, submitted_at))
    }

    /// Notes that `count` orders were decided.
    pub(crate) fn decided(&self, count: u64) {
        self.0.decided.fetch_add(count, Relaxed);
    }

    /// How many orders were taken to be sent, from number 0.
    pub(crate) fn sent(&self) -> u64 {
        self.0.taken.load(Relaxed).min(self.0.bounds.orders_max)
    }

    /// Measures while `senders` run, ends the load and waits until they are through. Fails as soon as one of them, or of
    /// `others` (whose end is not waited for), does.
    pub(crate) async fn measure(
        &self,
        mut senders: JoinSet<Result<()>>,
        others: &mut JoinSet<Result<()>>,
        server: &Server,
    ) -> Result<Window> {
        let bounds = self.0.bounds;
        self.until(self.now() + bounds.warmup, &mut senders, others).await?;
        let start = (self.now(), self.0.decided.load(Relaxed), server.cpu()?, own_cpu()?);
        self.until(start.0 + bounds.window, &mut senders, others).await?;
        let end = (self.now(), self.0.decided.load(Relaxed), server.cpu()?, own_cpu()?);
        self.0.stopped.store(true, Relaxed);
        let deadline = self.now() + DRAIN_DEADLINE;
        while !senders.is_empty() || self.0.decided.load(Relaxed) < self.sent() {
            self.look(&mut senders, others).await?;
            ensure!(self.now() < deadline, "orders were still undecided after {DRAIN_DEADLINE:?}");
        }
        let seconds = end.0.saturating_sub(start.0).as_secs_f64();
        let cores = |from: Duration, to: Duration| Some((to.saturating_sub(from)).as_secs_f64() / seconds);
        Ok(Window {
            orders: end.1 - start.1,
            seconds,
            server_cores: cores(start.2, end.2),
            client_cores: cores(start.3, end.3),
        })
    }

    fn now(&self) -> Duration {
        self.0.clock.monotonic()
    }

    /// Waits until `moment`, or until all that may be sent has been decided.
    async fn until(
        &self,
        moment: Duration,
        senders: &mut JoinSet<Result<()>>,
        others: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        while self.now() < moment && self.0.decided.load(Relaxed) < self.0.bounds.orders_max {
            self.look(senders, others).await?;
        }
        Ok(())
    }

    /// Waits a moment, and passes on what has failed.
    async fn look(&self, senders: &mut JoinSet<Result<()>>, others: &mut JoinSet<Result<()>>) -> Result<()> {
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

/// What this process has used so far of the CPUs.
fn own_cpu() -> Result<Duration> {
    super::servers::cpu("self")
}

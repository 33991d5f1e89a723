//! The live console: one page that shows whether orders are confirmed, how fast, what is late, and what to do.
//!
//! It only reads. A sampler takes all figures a few times a second, once for all who look, and only while somebody does; each
//! browser is given the latest frame when it is ready for one (server-sent events), so that a slow or dead one costs nothing.
//! Nothing on the page comes from elsewhere, and its security policy allows no inline script or style. On loopback no token is
//! asked for, but only a loopback name is answered, so that no page of another site can read along; elsewhere a token is
//! exchanged once for a cookie.

mod assets;
mod frames;
mod guard;
mod routes;
mod serving;
mod tiles;
mod todo;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::edges::clock::SharedClock;
use crate::edges::telemetry::Telemetry;
use crate::folds::analytics::Outlook;
use crate::process::admin::Shown;
use crate::process::flow::Flow;
use crate::process::queries::Answers;

pub use guard::Token;

use frames::Frame;

/// How often figures are taken while somebody looks.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
/// How often analytics are asked while somebody looks: it takes them a walk over what stands, and holds up who feeds them meanwhile.
const OUTLOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How many samples make a second.
const SAMPLES_A_SECOND: u64 = 2;
/// How many browsers are fed at a time; further ones are refused, and ask again and again by themselves.
pub(crate) const STREAMS_MAX: usize = 32;

/// The console of a worker; shared.
pub struct Console {
    shown: Arc<Shown>,
    flow: Option<Arc<Flow>>,
    telemetry: Arc<Telemetry>,
    clock: SharedClock,
    worker: String,
    /// What analytics said last, and when that was asked, on the monotonic clock.
    outlook: Mutex<Option<(Duration, Option<Outlook>)>>,
    answers: OnceLock<Arc<dyn Answers>>,
    frames: watch::Sender<Frame>,
    streams: Arc<Semaphore>,
    /// Tells one run of a worker from the next.
    started_ms: i64,
    ending: CancellationToken,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl Console {
    /// The console of a worker of this name. What of orders it shows is taken from what [`Shown`] shows; it ends with `ending`.
    #[must_use]
    pub fn new(
        shown: Arc<Shown>,
        telemetry: Arc<Telemetry>,
        clock: SharedClock,
        worker: &str,
        ending: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            flow: shown.flow(),
            shown,
            telemetry,
            started_ms: clock.wall_ns() / 1_000_000,
            clock,
            worker: worker.to_owned(),
            outlook: Mutex::default(),
            answers: OnceLock::new(),
            frames: watch::Sender::new(Frame::default()),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            ending,
        })
    }

    /// Look-ups are answered by these from now on; the first ones stay.
    pub fn answer(&self, answers: Arc<dyn Answers>) {
        let _ = self.answers.set(answers);
    }

    /// What analytics say of all shards that are folded here; none where nobody measures.
    fn outlook(&self) -> Option<Outlook> {
        let now = self.clock.monotonic();
        let mut kept = self.outlook.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, outlook)) = &*kept
            && now.saturating_sub(*asked) < OUTLOOK_INTERVAL
        {
            return outlook.clone();
        }
        let of_shards = self.shown.statuses().into_iter().filter_map(|status| {
            let watched = status.watched()?;
            let watching = watched.watch();
            Some(watching.model().outlook(&watching.facts().risks))
        });
        let outlook = of_shards.reduce(|mut all, outlook| {
            all.add(outlook);
            all
        });
        *kept = Some((now, outlook.clone()));
        outlook
    }

    fn now_ms(&self) -> i64 {
        self.clock.wall_ns() / 1_000_000
    }

    /// Takes figures until the end: seconds and the verdict's gauge whether or not anybody looks.
    pub async fn sample(self: Arc<Self>) {
        let mut ticker = tokio::time::interval(SAMPLE_INTERVAL);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut number = 0u64;
        while self.ending.run_until_cancelled(ticker.tick()).await.is_some() {
            number += 1;
            if number.is_multiple_of(SAMPLES_A_SECOND) {
                if let Some(flow) = &self.flow {
                    flow.end_second(self.shown.behind());
                }
                self.telemetry.verdict(self.shown.verdict().state().name());
            }
            if self.frames.receiver_count() > 0 {
                let frame = self.frame(number);
                self.frames.send_replace(frame);
            }
        }
    }

    /// Answers browsers until the end. Without a token, only where a loopback address listens.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, token: Option<Token>) {
        let port = listener.local_addr().map_or(0, |address| address.port());
        let ending = self.ending.clone();
        serving::serve(listener, routes::router(self, token, port), ending).await;
    }
}

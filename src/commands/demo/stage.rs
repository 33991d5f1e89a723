//! What a demo stands on: the engine of `weir run` on streams in memory, and where it is shown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::tally::Tally;
use super::{DRAIN_DEADLINE, SHARD};
use crate::commands::console::{self, Opened};
use crate::commands::output::say;
use crate::edges::ShardEdges;
use crate::edges::clock::{Clock, SharedClock, SystemClock};
use crate::edges::jetstream::Names;
use crate::edges::memory::{MemoryLimits, MemoryOutcomes, MemoryStreams};
use crate::edges::streams::{Reader as _, Streams as _};
use crate::edges::telemetry::analytics::Watched;
use crate::edges::telemetry::{ShardTelemetry, Telemetry};
use crate::motion::options::AnalyticsOptions;
use crate::motion::shard::{Inspection, ShardOptions};
use crate::motion::status::Status;
use crate::process::admin::{Shown, bind, serve};
use crate::process::engine::Engine;
use crate::process::flow::Flow;
use crate::process::queries::Queries;
use crate::words::codec::{Format, outcomes};
use crate::words::config::{ConsoleSettings, Shards};
use crate::words::identity::Identity;

/// How often it is looked whether something has come about.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Where it is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Places {
    /// Where /metrics and /status listen [default: 127.0.0.1:9464, or any free port]
    #[arg(long, value_name = "ADDR")]
    pub(super) admin: Option<SocketAddr>,
    /// Where the live console listens [default: 127.0.0.1:9465, or any free port]
    #[arg(long, value_name = "ADDR")]
    pub(super) console: Option<SocketAddr>,
}

/// An engine on streams in memory.
pub(super) struct Stage {
    pub(super) clock: SharedClock,
    pub(super) streams: MemoryStreams,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) status: Arc<Status>,
    outcomes: MemoryOutcomes,
    through: Identity,
    engine: Engine,
}

impl Stage {
    pub(super) async fn new(clock: SharedClock) -> anyhow::Result<Self> {
        let telemetry = Arc::new(Telemetry::new());
        let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
        let outcomes = streams.read_outcomes(1).await?;
        let options = ShardOptions {
            analytics: Some(AnalyticsOptions::default()),
            ..ShardOptions::new("demo", Format::Bincode)
        };
        let edges = ShardEdges::in_memory(streams.clone());
        let engine = Engine::alone(vec![(SHARD.to_owned(), edges)], &clock, &options, &telemetry);
        let status = engine.statuses()[0].clone();
        Ok(Self { clock, streams, telemetry, status, outcomes, through: Identity::START, engine })
    }

    /// The shard's metrics.
    pub(super) fn shard_telemetry(&self) -> Arc<ShardTelemetry> {
        self.telemetry.find(&self.status.shard).expect("the engine made it")
    }

    /// Shows it from now on.
    pub(super) async fn show(&self, places: &Places) -> anyhow::Result<Audience> {
        let listener = listen(places.admin).await?;
        let admin = listener.local_addr()?;
        let flow = Some(Flow::new(self.clock.clone(), self.telemetry.answers().clone()));
        let shown = Arc::new(Shown::with_flow(self.telemetry.clone(), flow, Names::default()));
        shown.set_statuses(self.engine.statuses());
        let stop_admin = CancellationToken::new();
        tokio::spawn(serve(listener, shown.clone(), stop_admin.clone()));
        let mut settings = ConsoleSettings::default();
        if let Some(address) = places.console {
            settings.address = address.to_string();
        }
        let said = places.console.is_some();
        let console = console::open(&settings, said, &shown, &self.telemetry, &self.clock, "demo").await?;
        let held = vec![(self.status.clone(), self.streams.clone())];
        console.answer(Arc::new(Queries::new(held, Shards::default(), None)));
        Ok(Audience { admin, shown, stop_admin, console })
    }

    /// Counts what is announced next, and lets go of what is not needed any more. Can be dropped while it waits.
    pub(super) async fn take(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        let appends = self.outcomes.next().await?;
        for stored in appends {
            self.through = stored.append.header.through;
            match outcomes(stored.append.format, &stored.append.payload) {
                Ok(outcomes) => outcomes.iter().for_each(|outcome| tally.count(outcome)),
                Err(error) => eprintln!("weir: {error}"),
            }
            self.streams.trim_outcomes(stored.sequence);
        }
        self.streams.trim_log(self.through.sequence.saturating_sub(1)).await?;
        Ok(())
    }

    /// Counts until all is announced that is stored.
    pub(super) async fn take_all(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        let last = self.streams.log_state().await?.last_sequence;
        // Not all that is decided has outcomes: a tick may have none.
        while self.status.progress().announced.sequence < last {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        while self.through < self.status.progress().through {
            self.take(tally).await?;
        }
        Ok(())
    }

    /// Waits until analytics have measured what was counted.
    pub(super) async fn settle(&self) {
        let through = self.through.sequence;
        let measured = |watched: Arc<Watched>| watched.watch().facts().sequence >= through;
        while !self.status.watched().is_none_or(measured) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Counts what is still to come, and ends. Gives the state as it was at the end.
    pub(super) async fn end(mut self, tally: &mut Tally, audience: Audience) -> anyhow::Result<Inspection> {
        let rest = tokio::time::timeout(DRAIN_DEADLINE, self.take_all(tally)).await;
        rest.context("the last outcomes did not come in time")??;
        let inspection = self.status.inspect().await.context("the shard stands still")?;
        audience.shown.set_draining();
        self.engine.drain(DRAIN_DEADLINE).await;
        audience.stop_admin.cancel();
        audience.console.close().await;
        Ok(inspection)
    }
}

/// Who looks, and where.
pub(super) struct Audience {
    admin: SocketAddr,
    pub(super) shown: Arc<Shown>,
    stop_admin: CancellationToken,
    console: Opened,
}

impl Audience {
    /// Says where to look.
    pub(super) fn say(&self) {
        say!("Metrics: http://{}/metrics", self.admin);
        if let Some(address) = self.console.address {
            say!("Console: http://{address}/");
        }
    }
}

async fn listen(asked: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    if let Some(address) = asked {
        return bind(address).await.with_context(|| format!("cannot listen on {address}"));
    }
    let standard = SocketAddr::from(([127, 0, 0, 1], 9464));
    match bind(standard).await {
        Ok(listener) => Ok(listener),
        Err(_) => Ok(bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?),
    }
}

/// The machine's clock, behind by as much as the stage says: so that weeks can be played in seconds, stamped as of when they were.
pub(super) struct StageClock {
    machine: SharedClock,
    behind_ns: AtomicI64,
}

impl StageClock {
    /// The machine's time, for now.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { machine: SystemClock::shared(), behind_ns: AtomicI64::new(0) })
    }

    /// It is `wall_ms`, in milliseconds since 1970, and time goes on from there. Later than the machine's time it never is.
    pub(super) fn turn_to(&self, wall_ms: i64) {
        let behind = self.machine.wall_ns().saturating_sub(wall_ms.saturating_mul(1_000_000));
        self.behind_ns.store(behind.max(0), Relaxed);
    }

    /// It is the machine's time again.
    pub(super) fn catch_up(&self) {
        self.behind_ns.store(0, Relaxed);
    }
}

impl Clock for StageClock {
    fn wall_ns(&self) -> i64 {
        self.machine.wall_ns().saturating_sub(self.behind_ns.load(Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }
}

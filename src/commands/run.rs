//! `weir run`: a worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::Ended;
use super::connect::{Deployment, shard_names};
use super::console;
use super::settings::{Common, Misconfigured};
use super::setup::make_all;
use crate::edges::ShardEdges;
use crate::edges::clock::{SharedClock, SystemClock};
use crate::edges::jetstream::service::JetQuestions;
use crate::edges::jetstream::{ConnectError, InJetStream, JetStreams, Names, SetupError, verify};
use crate::edges::objects::Objects as _;
use crate::edges::questions::Questions;
use crate::edges::requests::Replies as _;
use crate::edges::streams::{AppendError, ReadError, Streams as _};
use crate::edges::telemetry::Telemetry;
use crate::motion::audit::AuditOptions;
use crate::motion::door::Submits;
use crate::motion::leases::LeaseOptions;
use crate::motion::objectives::Objectives;
use crate::motion::options::AnalyticsOptions;
use crate::motion::scribe::SnapshotOptions;
use crate::motion::shard::ShardOptions;
use crate::motion::snapshots::{Kept, Snapshots};
use crate::motion::status::Status;
use crate::process::admin::{Shown, bind, serve};
use crate::process::door::OpenDoor;
use crate::process::engine::{Drained, Engine, SharingOptions};
use crate::process::flow::Flow;
use crate::process::outward::{HttpError, Listening, Outward};
use crate::process::queries::{Answers, Queries};
use crate::words::codec::Format;
use crate::words::config::{AnalyticsSettings, Config, LogStyle, SnapshotSettings};

/// How often a broker that cannot be reached at first is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    worker: WorkerFlags,
    /// Make the streams if they are missing, as `weir setup` does
    #[arg(long)]
    setup: bool,
}

/// The configuration's last layer.
#[derive(Debug, clap::Args)]
pub(super) struct WorkerFlags {
    /// Where /metrics, /livez, /readyz and /status listen [default: the configuration's, else 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR", env = "WEIR_ADMIN")]
    admin: Option<String>,
    /// Where the HTTP API listens [default: the configuration's, else nowhere]
    #[arg(long, value_name = "ADDR", env = "WEIR_HTTP")]
    http: Option<String>,
    /// Where the live console listens, or `off` [default: the configuration's, else 127.0.0.1:9465]
    #[arg(long, value_name = "ADDR", env = "WEIR_CONSOLE")]
    console: Option<String>,
    /// The worker's name in the headers of its appends [default: host name and process id]
    #[arg(long, env = "WEIR_NAME")]
    name: Option<String>,
    /// How outcomes are written
    #[arg(long, value_name = "FORMAT", value_parser = super::fields::format())]
    outcomes: Option<Format>,
    /// How long draining may take [default: the configuration's, else 10s]
    #[arg(long, value_name = "DURATION", value_parser = super::fields::duration)]
    drain_deadline: Option<Duration>,
}

impl WorkerFlags {
    pub(super) fn apply(&self, config: &mut Config) {
        let Self { admin, http, console, name, outcomes, drain_deadline } = self;
        match console.as_deref() {
            None => {}
            Some("off") => config.console.address.clear(),
            Some(address) => address.clone_into(&mut config.console.address),
        }
        if let Some(admin) = admin {
            config.admin.address.clone_from(admin);
        }
        if let Some(http) = http {
            config.http.address.clone_from(http);
        }
        if let Some(name) = name {
            config.worker.name.clone_from(name);
        }
        config.worker.outcomes = outcomes.unwrap_or(config.worker.outcomes);
        if let Some(deadline) = drain_deadline {
            config.worker.drain_deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        }
    }
}

/// SIGTERM and SIGINT: the first one drains, the next one ends the process at once.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|config| args.worker.apply(config))?;
    log_lines(config.worker.log);
    let mut signals = Signals::new()?;
    let telemetry = Arc::new(Telemetry::with_decisions(config.worker.metrics));
    telemetry.install();
    let address: SocketAddr = config.admin.address.parse().expect("checked with the configuration");
    let listener = listen(address, args.worker.admin.is_some()).await?;
    tracing::info!(address = %listener.local_addr()?, "the admin server listens");
    let api = listen_for_http(&config).await?;
    let clock = SystemClock::shared();
    let flow = config.worker.metrics.then(|| Flow::new(clock.clone(), telemetry.answers().clone()));
    let names = Names::new(&config.nats.prefix)?;
    let shown = Arc::new(Shown::with_flow(telemetry.clone(), flow, names));
    let stop_admin = CancellationToken::new();
    let admin = tokio::spawn(serve(listener, shown.clone(), stop_admin.clone()));
    let said = args.worker.console.is_some();
    let console = console::open(&config.console, said, &shown, &telemetry, &clock, &writer(&config)).await?;
    if let Some(address) = console.address {
        tracing::info!(%address, "the console listens");
    }

    let deployment = Deployment::connect(&config, "worker", true).await?;
    tokio::select! {
        ready = prepare(&deployment, &config, args.setup) => ready?,
        () = signals.next() => {
            tracing::info!("stopped before the streams were there");
            return Ok(Ended::Done);
        }
    }
    let options = shard_options(&config);
    let deadline = Duration::from_millis(config.worker.drain_deadline_ms);
    let sharing = SharingOptions {
        keys: deployment.leases(),
        leases: LeaseOptions {
            lease: Duration::from_millis(config.worker.lease_ms),
            standbys: config.worker.standbys,
        },
        handover: deadline / 2,
    };
    let shards = deployment.edges(&config)?;
    if !config.snapshots.folder.is_empty() {
        refuse_another_folder(&shards, &config.snapshots.folder).await?;
    }
    // Its process's number may come again, the moment of its start does not.
    let process = format!("{}-{:x}", options.writer, clock.wall_ns());
    let objectives =
        Objectives::new(deployment.pointers(), clock.clone(), telemetry.answers().clone(), process);
    let stop_counting = CancellationToken::new();
    let counting = tokio::spawn(objectives.keep(stop_counting.clone()));
    let names = &deployment.names;
    // A worker that is only a door leads nothing.
    let shards = if config.door.only { Vec::new() } else { shards };
    let engine = Engine::share(shards, &clock, &options, &telemetry, sharing);
    let door = match open_door(&config, names, &clock, &telemetry, &engine).await {
        Ok(door) => door,
        Err(error) => {
            // Others need not wait for its leases to run out.
            engine.drain(deadline).await;
            return Err(error.into());
        }
    };
    shown.set_statuses(engine.statuses());
    shown.set_health(engine.health());
    if let Some(door) = door.as_ref().filter(|_| config.door.only) {
        let replies = door.replies();
        shown.set_only_door(move || replies.is_open());
    }
    let held = deployment.all(&config)?.into_iter().filter_map(|(name, streams)| {
        let status = engine.statuses().iter().find(|status| status.shard == name)?;
        Some((status.clone(), streams))
    });
    let here = (&deployment.connections.consuming, &deployment.names);
    let submit = door.as_ref().map(|door| Arc::new(door.door()) as Arc<dyn Submits>);
    let held: Vec<_> = held.collect();
    console.answer(answers(&deployment, &config, &held).await?);
    let outward = Outward::start(&config, held, here, api, submit).await?;

    signals.next().await;
    tracing::info!(deadline_ms = config.worker.drain_deadline_ms, "draining");
    shown.set_draining();
    if let Some(door) = door {
        // First, while its shards are still led.
        tokio::select! {
            () = door.close(deadline / 2) => tracing::info!("the door is closed"),
            () = signals.next() => {}
        }
    }
    let statuses = engine.statuses().to_vec();
    let drained = tokio::select! {
        drained = engine.drain(deadline) => drained,
        () = signals.next() => Drained::Late,
    };
    // Nothing is answered any more.
    stop_counting.cancel();
    let _ = counting.await;
    say_where_they_stopped(&statuses);
    outward.close().await;
    stop_admin.cancel();
    let _ =
        tokio::time::timeout(Duration::from_secs(1), async { tokio::join!(admin, console.close()) }).await;
    match drained {
        Drained::Clean => tracing::info!("drained"),
        Drained::Late => tracing::warn!("not drained in time: the next worker announces the rest"),
    }
    Ok(Ended::Done)
}

async fn open_door(
    config: &Config,
    names: &Names,
    clock: &SharedClock,
    telemetry: &Telemetry,
    engine: &Engine,
) -> Result<Option<OpenDoor>, ConnectError> {
    if !config.door.enabled {
        return Ok(None);
    }
    OpenDoor::open(config, names, &writer(config), clock, telemetry, engine.statuses()).await.map(Some)
}

fn shard_options(config: &Config) -> ShardOptions {
    let SnapshotSettings { every_records, keep, .. } = config.snapshots;
    let keep_log_for = Duration::from_hours(config.log.keep_for_hours);
    ShardOptions {
        snapshots: SnapshotOptions { every_records, keep, keep_log_for },
        audits: AuditOptions::every(Duration::from_mins(config.worker.audit_every_minutes)),
        analytics: config.analytics.enabled.then(|| analytics(&config.analytics)),
        ..ShardOptions::new(&writer(config), config.worker.outcomes)
    }
}

fn say_where_they_stopped(statuses: &[Arc<Status>]) {
    for status in statuses {
        let progress = status.progress();
        tracing::info!(
            shard = status.shard,
            chain = %progress.applied,
            announced = %progress.through,
            "stopped"
        );
    }
}

fn analytics(settings: &AnalyticsSettings) -> AnalyticsOptions {
    let mut options = AnalyticsOptions::default();
    options.settings.delay.warn_at = f64::from(settings.warn_at_percent) / 100.0;
    options
}

/// Refuses a folder that holds none of the snapshots of a shard that has some: another worker keeps them in another folder, and neither
/// could go on from what the other keeps.
async fn refuse_another_folder(
    shards: &[(String, ShardEdges<InJetStream>)],
    folder: &str,
) -> anyhow::Result<()> {
    for (shard, edges) in shards {
        let kept = Snapshots::new(shard, edges).kept().await?;
        let there = edges.objects.list().await?;
        let is_there = |kept: &Kept| there.iter().any(|object| object.name == kept.name);
        if !kept.is_empty() && !kept.iter().any(is_there) {
            let text = format!(
                "snapshots.folder: {folder} holds none of the {} snapshots of shard {shard}: they are in another folder, or in the \
                 broker. All workers of a deployment keep them in one place",
                kept.len()
            );
            return Err(Misconfigured(text).into());
        }
    }
    Ok(())
}

/// Who answers the console's look-ups: this worker, or where it has no state of the shard, another one.
async fn answers(
    deployment: &Deployment,
    config: &Config,
    held: &[(Arc<Status>, JetStreams)],
) -> anyhow::Result<Arc<dyn Answers>> {
    let mut elsewhere: Option<Box<dyn Questions>> = None;
    if config.queries.nats {
        let link = deployment.connections.consuming.another("console").await?;
        elsewhere = Some(Box::new(JetQuestions::new(link, deployment.names.clone())));
    }
    let held = held.iter().map(|(status, streams)| (status.clone(), streams.beside())).collect();
    Ok(Arc::new(Queries::new(held, config.shards.clone(), elsewhere)))
}

/// Listens for the HTTP API, where it is on; its token is in a file, or in a variable.
async fn listen_for_http(config: &Config) -> anyhow::Result<Option<Listening>> {
    let token = std::env::var("WEIR_HTTP_TOKEN").ok();
    let listening = match Listening::open(&config.http, token.as_deref()).await {
        Ok(listening) => listening,
        Err(error @ HttpError::Listen { .. }) => return Err(error.into()),
        Err(error) => return Err(Misconfigured(error.to_string()).into()),
    };
    if let Some(listening) = &listening {
        if !config.http.commands.is_empty() && !config.door.enabled {
            return Err(Misconfigured(HttpError::NoDoor.to_string()).into());
        }
        tracing::info!(address = %listening.address()?, "the HTTP API listens");
    }
    Ok(listening)
}

/// Listens where it was said. Where nothing was said and another worker of this machine is there already, anywhere.
async fn listen(address: SocketAddr, said: bool) -> anyhow::Result<TcpListener> {
    let context = || format!("cannot listen on {address}");
    match bind(address).await {
        Err(error)
            if !said
                && error.kind() == std::io::ErrorKind::AddrInUse
                && address.to_string() == Config::default().admin.address =>
        {
            tracing::warn!(%address, "the admin server's usual place is taken: it takes a free port");
            bind(SocketAddr::new(address.ip(), 0)).await.with_context(context)
        }
        bound => bound.with_context(context),
    }
}

/// Waits until the streams are there and as they must be.
async fn prepare(deployment: &Deployment, config: &Config, make: bool) -> anyhow::Result<()> {
    let mut complained = false;
    loop {
        let error = if make {
            match make_all(deployment, config).await {
                Ok(lines) => {
                    for line in lines {
                        tracing::info!("{line}");
                    }
                    return Ok(());
                }
                Err(error) => error,
            }
        } else {
            let context = deployment.connections.publishing.context();
            match verify(&context, &deployment.names, &shard_names(config)).await {
                Ok(_) => return Ok(()),
                Err(error) => error.into(),
            }
        };
        let unavailable = matches!(error.downcast_ref(), Some(SetupError::Unavailable(_)))
            || matches!(error.downcast_ref(), Some(ReadError::Unavailable(_)))
            // Of the first policy. If it was stored all the same, the next attempt finds it there.
            || matches!(
                error.downcast_ref(),
                Some(AppendError::TimedOut | AppendError::Missing(_) | AppendError::Unavailable(_))
            );
        if !unavailable {
            return Err(error);
        }
        if !complained {
            tracing::warn!(error = format!("{error:#}"), "NATS cannot be reached; trying on");
        }
        complained = true;
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn log_lines(style: LogStyle) {
    let filter =
        EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match style {
        LogStyle::Text => subscriber.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogStyle::Json => subscriber.json().init(),
    }
}

fn writer(config: &Config) -> String {
    if !config.worker.name.is_empty() {
        return config.worker.name.clone();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-')
        .take(20)
        .collect();
    format!("{}-{}", if host.is_empty() { "worker" } else { &host }, std::process::id())
}

//! `weir bench`: how fast Weir is, how fast anything could be that goes the same way, and whether what it did was right.
//!
//! Server, worker and load generator are processes of their own, as in production, and all on this machine. The worker is
//! the real `weir run`. Load is an open loop: each message has a planned time, and an order's latency runs from there to
//! the moment at which its published outcome is seen, so that a stall is counted and not hidden. Beside Weir, in turn
//! with it, the ceiling is measured: the same load, the same streams, and a worker that only counts ([`count`]). Each of
//! Weir's passes ends with an audit of what it has published ([`audit`]); what is lost, duplicated or oversold makes the
//! bench fail.
//!
//! Figures are the medians over rounds, with their spread. Nothing is estimated, and a rate that was not held is said to
//! be so. What is deliberately absent: other machines, since a network would be measured rather than Weir.

mod audit;
mod compare;
mod conditions;
mod count;
mod figures;
mod generate;
mod job;
mod ledger;
mod load;
mod onward;
mod options;
mod orders;
mod parts;
mod pass;
mod report;
mod screen;
mod sender;
mod server;
mod sizing;

use std::cell::Cell;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::Ended;
use super::connect::Deployment;
use super::run::Signals;
use crate::words::config::Config;
use conditions::Conditions;
use figures::{Pass, RateFigures, Report, Round, Worker};
use job::Pace;
use options::{Options, Rate};
use orders::Orders;
use pass::{Stage, config, remove_streams};
use screen::Screen;
use server::{Folder, Servers, find};

pub(super) use options::Args;

/// How many passes a sweep tries after the first.
const SWEEP_STEPS: u32 = 6;
/// How long removing streams from somebody else's server may take after a failure.
const CLEAN_PATIENCE: Duration = Duration::from_secs(5);
/// The store's filesystem must have this many bytes free.
const FREE_BYTES_LEAST: u64 = 2 << 30;
/// What the streams of a pass may take at most.
const STREAMS_BYTES_MAX: u64 = 48 << 30;
/// The same on somebody else's server, which may have promised its room to others.
const GIVEN_BYTES_MAX: u64 = 8 << 30;

/// A process that `weir bench` starts.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Part {
    /// The load generator
    Generate,
    /// The ceiling's worker
    Count,
    /// Another program, which does not outlive the bench
    Become {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// Runs a part of the bench, in a process of its own.
pub(super) async fn part(part: Part) -> anyhow::Result<Ended> {
    match part {
        Part::Generate => generate::generate().await,
        Part::Count => count::count().await,
        Part::Become { program, arguments } => {
            // Survives the change of program. The bench ends its parts itself, unless it is killed.
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            let error = Command::new(&program).args(arguments).exec();
            Err(error).with_context(|| format!("cannot run {}", program.display()))
        }
    }
}

/// Runs the bench.
pub(super) async fn bench(args: Args) -> anyhow::Result<Ended> {
    let options = args.options()?;
    let earlier = args.compare.as_deref().map(compare::read).transpose()?;
    let mut signals = Signals::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let passes = Cell::new(0);
    // All processes and folders end with what is dropped here.
    let measured = tokio::select! {
        measured = run(&args, &options, &passes) => measured,
        () = signals.next() => Err(anyhow::anyhow!("interrupted")),
        _ = hangup.recv() => Err(anyhow::anyhow!("interrupted")),
    };
    Screen::new().clear();
    if let (Err(_), Some(url)) = (&measured, args.server_url()) {
        clean(&config(&options, &[url], GIVEN_BYTES_MAX, passes.get())).await;
    }
    finish(&args, &measured?, earlier.as_ref())
}

/// Starts what is needed, and measures.
async fn run(args: &Args, options: &Options, passes: &Cell<u32>) -> anyhow::Result<Report> {
    let orders = Orders::new(&options.load);
    let executable = std::env::current_exe()?;
    let sizes = sizing::sizes(&options.load, &orders).await?;
    let folder = Folder::new(args.store_dir.as_deref())?;
    let (servers, bytes_max, store) = match (&args.server, options.fsync) {
        (None, Some(fsync)) => {
            // Some of it stays free, whatever the load.
            let bytes_max = (free_bytes(&folder)? / 10 * 9 / options.replicas as u64).min(STREAMS_BYTES_MAX);
            let binary = find(args.nats_server.as_deref())?;
            let started = Servers::start(&executable, &binary, folder.path(), fsync, options.replicas);
            (started.await?, bytes_max, Some(folder.path()))
        }
        _ => (Servers::given(args.server_url().into_iter().collect()), GIVEN_BYTES_MAX, None),
    };
    let mut stage = Stage {
        options,
        orders: &orders,
        sizes,
        servers,
        bytes_max,
        folder: folder.path(),
        executable,
        screen: Screen::new(),
        passes,
    };
    let any = config(options, &stage.servers.urls, bytes_max, 0);
    let deployment = Deployment::connect(&any, "bench", false).await?;
    let version = deployment.connections.publishing.client().server_info().version;
    let conditions = Conditions::of(version, store);
    let rates = measure(&mut stage).await?;
    Ok(Report { conditions, options: options.clone(), rates })
}

/// Shows the report and writes what was asked for.
fn finish(args: &Args, report: &Report, earlier: Option<&Report>) -> anyhow::Result<Ended> {
    print!("{}", report::text(report));
    if let Some(earlier) = earlier {
        print!("\n{}", compare::text(report, earlier));
    }
    if let Some(path) = &args.json {
        let json = serde_json::to_vec(report)?;
        std::fs::write(path, json).with_context(|| path.display().to_string())?;
    }
    if let Some(folder) = &args.hgrm {
        report::write_hgrm(report, folder)?;
    }
    let passes = report.rates.iter().flat_map(RateFigures::audited);
    let good = passes.filter_map(|pass| pass.audit.as_ref()).all(audit::Findings::are_good);
    Ok(if good { Ended::Done } else { Ended::Failed })
}

/// What the store's filesystem has free, which must be enough for a short run.
fn free_bytes(folder: &Folder) -> anyhow::Result<u64> {
    let store = rustix::fs::statvfs(folder.path())?;
    let free = store.f_bavail.saturating_mul(store.f_frsize);
    anyhow::ensure!(
        free >= FREE_BYTES_LEAST,
        "{} has {} MiB free, the bench needs 2048: name another place with --store-dir",
        folder.path().display(),
        free >> 20
    );
    Ok(free)
}

/// Measures all rates, and each in all rounds.
async fn measure(stage: &mut Stage<'_>) -> anyhow::Result<Vec<RateFigures>> {
    let options = stage.options;
    let mut rates = Vec::new();
    for rate in &options.rates {
        let mut tried = Vec::new();
        let pace = match rate {
            Rate::PerSecond(rate) => Pace::PerSecond(*rate),
            Rate::Max => Pace::InFlight(stage.options.in_flight),
            Rate::Sweep => Pace::PerSecond(sweep(stage, &mut tried).await?),
        };
        let mut rounds = Vec::new();
        for round in 1..=options.rounds {
            let mut pass = async |worker: Worker| {
                let label = format!("{rate}, round {round} of {}, {}", options.rounds, worker.name());
                stage.screen.label(label.clone());
                stage.pass(worker, pace).await.context(label)
            };
            let ceiling = if options.ceiling { Some(pass(Worker::Ceiling).await?) } else { None };
            rounds.push(Round { ceiling, weir: pass(Worker::Weir).await? });
        }
        rates.push(RateFigures { rate: rate.to_string(), pace, tried, rounds });
    }
    Ok(rates)
}

/// Finds the highest rate of which the p99 stays within what was asked for, by halving what lies between a rate that holds
/// and one that does not.
async fn sweep(stage: &mut Stage<'_>, tried: &mut Vec<Pass>) -> anyhow::Result<u64> {
    let p99_ms = figures::to_f64(stage.options.p99_ms);
    stage.screen.label("sweep, at saturation".to_owned());
    let top = stage.pass(Worker::Weir, Pace::InFlight(stage.options.in_flight)).await?;
    let (mut holds, mut fails) = (0, rounded(top.orders_per_second));
    tried.push(top);
    for _ in 0..SWEEP_STEPS {
        let rate = u64::midpoint(holds, fails).max(1);
        stage.screen.label(format!("sweep, {rate}"));
        let pass = stage.pass(Worker::Weir, Pace::PerSecond(rate)).await?;
        if pass.held && pass.latency.p99 <= p99_ms {
            holds = rate;
        } else {
            fails = rate;
        }
        tried.push(pass);
    }
    anyhow::ensure!(holds > 0, "no rate held a p99 of {p99_ms} ms, down to {fails} orders/s");
    Ok(holds)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, which is what is wanted"
)]
const fn rounded(rate: f64) -> u64 {
    rate as u64
}

/// Removes what a pass has left on somebody else's server, if it can.
async fn clean(config: &Config) {
    let cleaning = async {
        let deployment = Deployment::connect(config, "bench", false).await?;
        remove_streams(&deployment, config).await
    };
    // The failure that led here is the one to tell.
    let _ = tokio::time::timeout(CLEAN_PATIENCE, cleaning).await;
}

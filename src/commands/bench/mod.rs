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
mod conditions;
mod count;
mod figures;
mod generate;
mod job;
mod ledger;
mod load;
mod options;
mod orders;
mod parts;
mod pass;
mod report;
mod screen;
mod server;
mod sizing;

use anyhow::Context as _;

use super::Ended;
use super::connect::Deployment;
use super::run::Signals;
use conditions::Conditions;
use figures::{RateFigures, Report, Round, Worker};
use job::Pace;
use options::Rate;
use orders::Orders;
use pass::{Stage, remove_streams};
use screen::Screen;
use server::{Folder, Servers, find};

pub(super) use options::Args;

/// Orders on their way at saturation: enough for the largest appends, little enough to be worked off in a tenth of a
/// second.
const IN_FLIGHT: u64 = 131_072;
/// The store's filesystem must have room for this many bytes.
const FREE_BYTES_LEAST: u64 = 2 << 30;

/// A process that `weir bench` starts.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub(super) enum Part {
    /// The load generator
    Generate,
    /// The ceiling's worker
    Count,
}

/// Runs a part of the bench, in a process of its own.
pub(super) async fn part(part: Part) -> anyhow::Result<Ended> {
    match part {
        Part::Generate => generate::generate().await,
        Part::Count => count::count().await,
    }
}

/// Runs the bench.
pub(super) async fn bench(args: Args) -> anyhow::Result<Ended> {
    let options = args.options()?;
    let mut signals = Signals::new()?;
    let orders = Orders::new(&options.load);
    let folder = Folder::new(args.store_dir.as_deref())?;
    let sizes = sizing::sizes(&options.load, &orders).await?;
    let servers = match &args.server {
        Some(url) => Servers::given(vec![url.clone()]),
        None => {
            enough_room(&folder)?;
            let binary = find(args.nats_server.as_deref())?;
            Servers::start(
                &binary,
                folder.path(),
                options.fsync.unwrap_or(server::Fsync::Lazy),
                options.replicas,
            )
            .await?
        }
    };
    let mut stage = Stage {
        options: &options,
        orders: &orders,
        sizes,
        servers,
        folder: folder.path(),
        executable: std::env::current_exe()?,
        screen: Screen::new(),
        passes: 0,
    };
    let measured = tokio::select! {
        measured = measure(&mut stage, args.server.is_none()) => measured,
        () = signals.next() => Err(anyhow::anyhow!("interrupted")),
    };
    stage.screen.clear();
    if measured.is_err() && args.server.is_some() {
        clean(&stage).await;
    }
    drop(stage);
    let report = measured?;
    finish(&args, &report)
}

/// Shows the report and writes what was asked for.
fn finish(args: &Args, report: &Report) -> anyhow::Result<Ended> {
    print!("{}", report::text(report));
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(report)?;
        std::fs::write(path, json).with_context(|| path.display().to_string())?;
    }
    if let Some(folder) = &args.hgrm {
        report::write_hgrm(report, folder)?;
    }
    let passes = report.rates.iter().flat_map(|figures| figures.passes(Worker::Weir));
    let good = passes.filter_map(|pass| pass.audit.as_ref()).all(audit::Findings::are_good);
    Ok(if good { Ended::Done } else { Ended::Failed })
}

fn enough_room(folder: &Folder) -> anyhow::Result<()> {
    let store = rustix::fs::statvfs(folder.path())?;
    let free = store.f_bavail.saturating_mul(store.f_frsize);
    anyhow::ensure!(
        free >= FREE_BYTES_LEAST,
        "{} has {} MiB free, the bench needs 2048: name another place with --store-dir",
        folder.path().display(),
        free >> 20
    );
    Ok(())
}

/// Measures all rates, and each in all rounds.
async fn measure(stage: &mut Stage<'_>, own: bool) -> anyhow::Result<Report> {
    let deployment = Deployment::connect(&stage.config(0), "bench", false).await?;
    let version = deployment.connections.publishing.client().server_info().version;
    let conditions = Conditions::of(version, own.then_some(stage.folder));
    let options = stage.options.clone();
    let mut rates = Vec::new();
    for rate in &options.rates {
        let pace = match rate {
            Rate::PerSecond(rate) => Pace::PerSecond(*rate),
            Rate::Max => Pace::InFlight(IN_FLIGHT),
            Rate::Sweep => Pace::PerSecond(sweep(stage).await?),
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
        rates.push(RateFigures { rate: rate.to_string(), pace, rounds });
    }
    Ok(Report { conditions, options, rates })
}

/// How many passes a sweep tries after the first.
const SWEEP_STEPS: u32 = 6;

/// Finds the highest rate of which the p99 stays within what was asked for, by halving what lies between a rate that holds
/// and one that does not.
async fn sweep(stage: &mut Stage<'_>) -> anyhow::Result<u64> {
    let p99_ms = figures::to_f64(stage.options.p99_ms);
    stage.screen.label("sweep, at saturation".to_owned());
    let top = stage.pass(Worker::Weir, Pace::InFlight(IN_FLIGHT)).await?;
    let (mut holds, mut fails) = (0, rounded(top.orders_per_second));
    for _ in 0..SWEEP_STEPS {
        let rate = u64::midpoint(holds, fails);
        stage.screen.label(format!("sweep, {rate}"));
        let pass = stage.pass(Worker::Weir, Pace::PerSecond(rate)).await?;
        if pass.held && pass.latency.p99 <= p99_ms { holds = rate } else { fails = rate }
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

/// Removes what the last pass has left on somebody else's server, if it can.
async fn clean(stage: &Stage<'_>) {
    let config = stage.config(stage.passes);
    let cleaning = async {
        let deployment = Deployment::connect(&config, "bench", false).await?;
        remove_streams(&deployment, &config).await
    };
    // The failure that led here is the one to tell.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), cleaning).await;
}

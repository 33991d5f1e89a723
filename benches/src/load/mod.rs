//! `weir-bench load`: how fast Weir is, how fast anything could be that goes the same way, and whether what it did was right.
//!
//! Server, worker and load generator are processes of their own, as in production, and all on this machine. The worker is
//! the real `weir run`. Load is an open loop: each order has a planned time of arrival, and its latency runs from there to
//! the moment at which its outcome's bytes are in the shop's hands, so that a stall is counted and not hidden, nor the time in
//! which a message fills. Beside Weir, in turn with it, the ceiling is measured: the same load, the same streams, and a worker
//! that only counts ([`count`]). Each of Weir's passes ends with an audit of what it has published ([`audit`]); what is lost,
//! duplicated or oversold makes the bench fail.
//!
//! Figures are the medians over rounds, with their spread. Nothing is estimated, and a rate that was not held is said to
//! be so. An interrupt ends the run and keeps the rounds that are finished. What is deliberately absent: other machines, since
//! a network would be measured rather than Weir.

mod audit;
mod compare;
pub(crate) mod count;
mod feed;
pub(crate) mod generate;
pub(crate) mod job;
mod ledger;
pub(crate) mod options;
pub(crate) mod pass;
mod reading;
mod report;
pub(crate) mod sender;
mod sizing;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use weir_kit::programs;

use crate::conditions::{Conditions, worker};
use crate::figures::{AlsoFigures, Pass, RateFigures, Report, Round, Worker};
use crate::findings::Findings;
use crate::screen::Screen;
use crate::servers::Servers;
use crate::statistics::{Spread, rounded, to_f64};
use crate::{Ended, interrupted};
use job::Pace;
use options::{Options, Rate};
use pass::{Plan, Stage, clean, config, server_version};

pub(crate) use options::Args;

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

/// What has been measured so far: an interrupt keeps it.
#[derive(Default)]
struct SoFar {
    conditions: RefCell<Option<Conditions>>,
    rates: RefCell<Vec<RateFigures>>,
    also: RefCell<Vec<AlsoFigures>>,
    passes: Cell<u32>,
}

/// Runs the bench.
pub(crate) async fn bench(args: Args) -> anyhow::Result<Ended> {
    let options = args.options()?;
    let earlier = args.compare.as_deref().map(compare::read).transpose()?;
    let so_far = SoFar::default();
    // All processes and folders end with what is dropped here.
    let measured = tokio::select! {
        measured = run(&args, &options, &so_far) => measured,
        () = interrupted()? => Err(anyhow::anyhow!("interrupted")),
    };
    Screen::new().clear();
    if let (Err(_), Some(url)) = (&measured, args.server_url()) {
        let config = config(&options, &[url], GIVEN_BYTES_MAX, so_far.passes.get());
        // The failure that led here is the one to tell.
        let _ = tokio::time::timeout(CLEAN_PATIENCE, clean(config)).await;
    }
    let mut rates = so_far.rates.take();
    rates.retain(|figures| !figures.rounds.is_empty());
    if let Some(conditions) = so_far.conditions.take().filter(|_| !rates.is_empty()) {
        let also = so_far.also.take();
        let report = Report { conditions, options, interrupted: measured.is_err(), rates, also };
        let good = finish(&args, &report, earlier.as_ref())?;
        measured?;
        return Ok(if good { Ended::Done } else { Ended::Failed });
    }
    measured.map(|()| Ended::Failed)
}

/// Starts what is needed, and measures.
async fn run(args: &Args, options: &Options, so_far: &SoFar) -> anyhow::Result<()> {
    let weir = worker(args.weir.as_deref())?;
    let parent = args.store_dir.clone().unwrap_or_else(std::env::temp_dir);
    let folder = folder(&parent)?;
    let (servers, bytes_max, store) = match (&args.server, options.fsync) {
        (None, Some(fsync)) => {
            // Some of it stays free, whatever the load.
            let bytes_max =
                (free_bytes(folder.path())? / 10 * 9 / options.replicas as u64).min(STREAMS_BYTES_MAX);
            let binary = programs::nats_server(args.nats_server.as_deref())?;
            let started = Servers::start(&binary, folder.path(), fsync, options.replicas);
            (started.await?, bytes_max, Some(folder.path()))
        }
        _ => (Servers::given(args.server_url().into_iter().collect()), GIVEN_BYTES_MAX, None),
    };
    let version = server_version(&config(options, &servers.urls, bytes_max, 0)).await?;
    let conditions = Conditions::of(vec![format!("nats-server {version}")], store);
    so_far.conditions.replace(Some(conditions));
    let mut stage = Stage {
        servers,
        bytes_max,
        folder: folder.path(),
        weir,
        screen: Screen::new(),
        passes: &so_far.passes,
    };
    let plan = Plan::new(options).await?;
    measure(&mut stage, &plan, so_far).await?;
    for also in &options.also {
        let options = options.for_also(*also);
        let what = format!("{also:?}").to_lowercase();
        stage.screen.label(format!("beside, {what}"));
        let plan = Plan::new(&options).await?;
        let pass = stage.pass(&plan, Worker::Weir, Pace::InFlight(options.in_flight)).await;
        let pass = pass.with_context(|| format!("the pass {what}"))?;
        so_far.also.borrow_mut().push(AlsoFigures { what, pass });
    }
    Ok(())
}

/// A folder of the bench's own, which goes with the value.
pub(crate) fn folder(parent: &Path) -> anyhow::Result<TempDir> {
    let parent = std::path::absolute(parent)?;
    weir_kit::folder(&parent, "bench")
        .with_context(|| format!("cannot make a folder in {}", parent.display()))
}

/// Shows the report and writes what was asked for. Gives whether the audits are good.
fn finish(args: &Args, report: &Report, earlier: Option<&Report>) -> anyhow::Result<bool> {
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
    Ok(report.audited().filter_map(|pass| pass.audit.as_ref()).all(Findings::are_good))
}

/// What the store's filesystem has free, which must be enough for a short run.
pub(crate) fn free_bytes(folder: &Path) -> anyhow::Result<u64> {
    let store = rustix::fs::statvfs(folder)?;
    let free = store.f_bavail.saturating_mul(store.f_frsize);
    anyhow::ensure!(
        free >= FREE_BYTES_LEAST,
        "{} has {} MiB free, the bench needs 2048: name another place with --store-dir",
        folder.display(),
        free >> 20
    );
    Ok(free)
}

/// Measures all rates, and each in all rounds.
async fn measure(stage: &mut Stage<'_>, plan: &Plan<'_>, so_far: &SoFar) -> anyhow::Result<()> {
    let options = plan.options;
    for rate in &options.rates {
        let mut tried = Vec::new();
        let pace = match rate {
            Rate::PerSecond(rate) => Pace::PerSecond(*rate),
            Rate::Max => Pace::InFlight(options.in_flight),
            Rate::Share(percent) => Pace::PerSecond(share(*percent, &so_far.rates.borrow())?),
            Rate::Sweep => Pace::PerSecond(sweep(stage, plan, &mut tried).await?),
        };
        let figures = RateFigures { rate: rate.to_string(), pace, tried, rounds: Vec::new() };
        so_far.rates.borrow_mut().push(figures);
        for round in 1..=options.rounds {
            let mut pass = async |worker: Worker| {
                let label = format!("{rate}, round {round} of {}, {}", options.rounds, worker.name());
                stage.screen.label(label.clone());
                stage.pass(plan, worker, pace).await.context(label)
            };
            // Each goes first in turn.
            let (mut ceiling, mut weir) = (None, None);
            if options.ceiling && round % 2 == 1 {
                ceiling = Some(pass(Worker::Ceiling).await?);
            }
            weir.replace(pass(Worker::Weir).await?);
            if options.ceiling && round % 2 == 0 {
                ceiling = Some(pass(Worker::Ceiling).await?);
            }
            if let (Some(weir), Some(figures)) = (weir, so_far.rates.borrow_mut().last_mut()) {
                figures.rounds.push(Round { ceiling, weir });
            }
        }
    }
    Ok(())
}

/// A share of the maximum that was measured before.
fn share(percent: u8, rates: &[RateFigures]) -> anyhow::Result<u64> {
    let max = rates.iter().find(|figures| figures.rate == Rate::Max.to_string());
    let max = max.and_then(|figures| figures.spread(Worker::Weir, |pass| pass.orders_per_second));
    let Spread { median, .. } = max.context("no maximum was measured")?;
    Ok(rounded(median * f64::from(percent) / 100.0).max(1))
}

/// Finds the highest rate of which the p99 stays within what was asked for, by halving what lies between a rate that holds
/// and one that does not.
async fn sweep(stage: &mut Stage<'_>, plan: &Plan<'_>, tried: &mut Vec<Pass>) -> anyhow::Result<u64> {
    let p99_ms = to_f64(plan.options.p99_ms);
    stage.screen.label("sweep, at saturation".to_owned());
    let top = stage.pass(plan, Worker::Weir, Pace::InFlight(plan.options.in_flight)).await?;
    let (mut holds, mut fails) = (0, rounded(top.orders_per_second));
    tried.push(top);
    for _ in 0..SWEEP_STEPS {
        let rate = u64::midpoint(holds, fails).max(1);
        stage.screen.label(format!("sweep, {rate}"));
        let pass = stage.pass(plan, Worker::Weir, Pace::PerSecond(rate)).await?;
        if pass.held && pass.latency.p99.is_some_and(|p99| p99 <= p99_ms) {
            holds = rate;
        } else {
            fails = rate;
        }
        tried.push(pass);
    }
    anyhow::ensure!(holds > 0, "no rate held a p99 of {p99_ms} ms, down to {fails} orders/s");
    Ok(holds)
}

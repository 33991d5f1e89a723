//! `weir-bench rivals`: what people use instead of Weir, side by side with it in one run, like with like.
//!
//! Every contender decides the same orders from one generator against the same stock, one after the other, each on a server of
//! its own that is started for the pass and gone after it, its clients on the same cores. Rates stand in rows by how orders are
//! sent, and ratios only within a row. The rounds alternate between the contenders, and each begins with another, so that what
//! slows the machine for a while slows them all. Each pass ends with an audit. Then each is measured again at 80% of its own
//! median, from each order's planned arrival, for its latency. The report says how each was run.
//!
//! A contender whose program is not there is left out, and said to be. An interrupt keeps what is finished. Exit code: 1 where an
//! audit finds something or a contender that is there failed.

mod audit;
mod contenders;
mod door;
mod measured;
pub(crate) mod naive;
mod pace;
mod postgres;
mod redis;
mod report;

use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use weir_kit::process::version;
use weir_kit::programs;

use crate::arguments::{Fsync, duration};
use crate::conditions::{Conditions, worker};
use crate::figures::Worker;
use crate::load::job::Pace;
use crate::load::options::Options;
use crate::load::pass::{Plan, Stage};
use crate::load::{folder, free_bytes};
use crate::screen::Screen;
use crate::servers::Servers;
use crate::shop::{Lines, Load, Mix};
use crate::statistics::{rounded, whole};
use crate::{Ended, interrupted};
use contenders::{CONTENDERS, Contender, Only, Row, Way};
use measured::Measured;
use pace::Bounds;
use report::{Report, Series, Settings};
use weir::words::codec::Format;
use weir::words::policy::QUANTITY_LIMIT_MAX;

/// The most orders of a pass, whatever its length.
const ORDERS_MAX: u64 = 50_000_000;
/// The SKUs, and units of each where they run out.
const SKUS: u32 = 10_000;
const SKUS_SCARCE: u32 = 100;
const STOCK_SCARCE: i64 = 8;
/// Orders of a pass in which they do.
const ORDERS_SCARCE: u64 = 5_120;
/// The load under which latency is measured, of a contender's own median.
const LATENCY_SHARE: f64 = 0.8;
/// What the streams of a pass may take at most.
const STREAMS_BYTES_MAX: u64 = 48 << 30;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each contender is measured in each round
    #[arg(long = "for", value_name = "DURATION", default_value = "3s", value_parser = duration)]
    window: Duration,
    /// How long each runs before that, unmeasured
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    warmup: Duration,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Which rows
    #[arg(long, value_enum, value_delimiter = ',', default_value = "one,many")]
    row: Vec<Row>,
    /// When what is stored is fsynced
    #[arg(long, value_enum, value_delimiter = ',', default_value = "lazy,always")]
    fsync: Vec<Fsync>,
    /// Who runs
    #[arg(long, value_enum, value_delimiter = ',', default_value = "weir,naive,redis,postgres")]
    only: Vec<Only>,
    /// Measure rates only
    #[arg(long)]
    no_latency: bool,
    /// Leave out the passes in which stock runs out
    #[arg(long)]
    no_scarce: bool,
    /// What the orders are drawn from: the same seed gives the same orders
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the contenders store, in folders that are removed [default: the system's folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    store_dir: Option<PathBuf>,
    /// The worker to measure [default: the weir beside this program]
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
    /// The nats-server to use [default: on PATH, else the newest in target/tools]
    #[arg(long, value_name = "PATH")]
    nats_server: Option<PathBuf>,
    /// The redis-server to use [default: on PATH]
    #[arg(long, value_name = "PATH")]
    redis_server: Option<PathBuf>,
    /// The folder with PostgreSQL's programs [default: PATH, else Debian's newest]
    #[arg(long, value_name = "FOLDER")]
    postgres_bin: Option<PathBuf>,
    /// Also writes all there is to say to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The programs that the contenders need, as far as they are there.
struct Programs {
    weir: Result<PathBuf>,
    nats_server: Result<PathBuf>,
    redis_server: Result<PathBuf>,
    postgres: Result<PathBuf>,
}

impl Programs {
    fn find(args: &Args) -> Self {
        Self {
            weir: worker(args.weir.as_deref()),
            nats_server: programs::nats_server(args.nats_server.as_deref()),
            redis_server: programs::redis_server(args.redis_server.as_deref()),
            postgres: programs::postgres_folder(args.postgres_bin.as_deref()),
        }
    }

    /// What they say of themselves.
    fn versions(&self) -> Vec<String> {
        let postgres = self.postgres.as_ref().map(|folder| folder.join("postgres"));
        let paths = [self.nats_server.as_ref().ok(), self.redis_server.as_ref().ok()].into_iter().flatten();
        let all = paths.map(PathBuf::as_path).map(version);
        all.chain(postgres.iter().map(|path| version(path))).filter_map(Result::ok).collect()
    }

    /// Why a contender cannot run here.
    fn missing(&self, contender: &Contender) -> Option<String> {
        let needed: &[&Result<PathBuf>] = match contender.way {
            Way::Weir(_) | Way::Door => &[&self.weir, &self.nats_server],
            // The stage needs both.
            Way::Naive(_) => &[&self.nats_server, &self.weir],
            Way::Redis(..) => &[&self.redis_server],
            Way::Postgres(_) => &[&self.postgres],
        };
        needed.iter().find_map(|program| program.as_ref().err()).map(|error| format!("{error:#}"))
    }
}

fn there(program: &Result<PathBuf>) -> Result<&Path> {
    program.as_deref().map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// A port of the loopback that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// What a run works with.
struct Run<'a> {
    args: &'a Args,
    programs: Programs,
    store: PathBuf,
    passes: Cell<u32>,
}

impl Run<'_> {
    /// What is sent to a contender.
    fn load(&self, contender: &Contender, scarce: bool) -> Load {
        Load {
            seed: self.args.seed,
            format: match contender.way {
                Way::Weir(format) | Way::Naive(format) => format,
                Way::Door => Format::Json,
                Way::Redis(..) | Way::Postgres(_) => Format::Bincode,
            },
            batch: contender.batch(),
            lines: Lines::Between(2, 2),
            skus: if scarce { SKUS_SCARCE } else { SKUS },
            skew: 0.0,
            shards: 1,
            mix: Mix::default(),
            stock: if scarce { STOCK_SCARCE } else { QUANTITY_LIMIT_MAX },
        }
    }

    /// Runs a contender once.
    async fn pass(&self, contender: &Contender, fsync: Fsync, pace: Pace, scarce: bool) -> Result<Measured> {
        let load = self.load(contender, scarce);
        let bounds = Bounds {
            warmup: if scarce { Duration::ZERO } else { self.args.warmup },
            window: self.args.window,
            orders_max: if scarce { ORDERS_SCARCE } else { ORDERS_MAX },
        };
        let spec = (&load, pace, bounds);
        match contender.way {
            Way::Redis(way, keeping) => {
                redis::pass(there(&self.programs.redis_server)?, &self.store, way, keeping, spec).await
            }
            Way::Postgres(way) => {
                postgres::pass(there(&self.programs.postgres)?, &self.store, way, fsync, spec).await
            }
            Way::Weir(_) | Way::Door | Way::Naive(_) => self.staged(contender, fsync, spec).await,
        }
    }

    /// Runs Weir or the naive consumer, which have a stream between: by the load's own generator, or through the door.
    async fn staged(
        &self,
        contender: &Contender,
        fsync: Fsync,
        spec @ (load, pace, bounds): (&Load, Pace, Bounds),
    ) -> Result<Measured> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let options = Options {
            rates: Vec::new(),
            p99_ms: 0,
            window_ms: millis(bounds.window),
            orders_max: Some(bounds.orders_max),
            warmup_ms: millis(bounds.warmup),
            rounds: 1,
            load: load.clone(),
            fsync: Some(fsync),
            replicas: 1,
            ceiling: false,
            metrics: true,
            analytics: true,
            in_flight: 0,
            workers: 1,
            snapshot_every: None,
            also: Vec::new(),
        };
        let folder = folder(&self.store)?;
        let bytes_max = (free_bytes(folder.path())? / 10 * 9).min(STREAMS_BYTES_MAX);
        let servers = Servers::start(there(&self.programs.nats_server)?, folder.path(), fsync, 1).await?;
        let mut stage = Stage {
            servers,
            bytes_max,
            folder: folder.path(),
            weir: there(&self.programs.weir)?.to_owned(),
            screen: Screen::quiet(),
            passes: &self.passes,
        };
        let plan = Plan::new(&options).await?;
        let worker = match contender.way {
            Way::Door => return door::pass(&mut stage, &plan, spec, contender.in_flight(fsync)).await,
            Way::Naive(_) => Worker::Naive,
            _ => Worker::Weir,
        };
        Ok(stage.pass(&plan, worker, pace).await?.into())
    }
}

/// Runs the comparison.
pub(crate) async fn compare(args: Args) -> Result<Ended> {
    let store = std::path::absolute(args.store_dir.clone().unwrap_or_else(std::env::temp_dir))?;
    let run = Run { programs: Programs::find(&args), args: &args, store, passes: Cell::new(0) };
    std::fs::create_dir_all(&run.store)?;
    let settings = Settings {
        window_ms: u64::try_from(args.window.as_millis())?,
        warmup_ms: u64::try_from(args.warmup.as_millis())?,
        rounds: args.rounds,
        skus: SKUS,
        stock: QUANTITY_LIMIT_MAX,
        seed: args.seed,
    };
    let conditions = Conditions::of(run.programs.versions(), Some(&run.store));
    let report = RefCell::new(Report::new(conditions, settings));
    // All processes and folders end with what is dropped here.
    let measured = tokio::select! {
        measured = Box::pin(measure(&run, &report)) => measured,
        () = interrupted()? => Err(anyhow::anyhow!("interrupted")),
    };
    let mut report = report.into_inner();
    report.interrupted = measured.is_err();
    print!("{}", report.text());
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(&report.json())?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    measured?;
    Ok(if report.is_good() { Ended::Done } else { Ended::Failed })
}

async fn measure(run: &Run<'_>, report: &RefCell<Report>) -> Result<()> {
    let args = run.args;
    for &row in &args.row {
        for &fsync in &args.fsync {
            let of_row = CONTENDERS.iter().filter(|contender| contender.row == row);
            let chosen: Vec<_> = of_row
                .filter(|contender| args.only.contains(&contender.only()) && contender.runs_beside(fsync))
                .collect();
            let mut places = Vec::new();
            for contender in chosen {
                let missing = run.programs.missing(contender);
                let there = missing.is_none();
                let mut report = report.borrow_mut();
                report.series.push(Series::new(*contender, fsync, missing));
                if there {
                    places.push(report.series.len() - 1);
                }
            }
            rounds(run, report, &places).await;
        }
    }
    Ok(())
}

/// Measures the contenders of one table: rates in rounds, then stock that runs out, then latencies.
async fn rounds(run: &Run<'_>, report: &RefCell<Report>, places: &[usize]) {
    let rounds = run.args.rounds as usize;
    for round in 0..rounds {
        let mut order = places.to_vec();
        // Each round begins with another.
        let shift = (round * places.len()).checked_div(rounds).unwrap_or(0);
        order.rotate_left(shift);
        for place in order {
            let Some((contender, fsync)) = whom(report, place) else { continue };
            let pace = Pace::InFlight(contender.in_flight(fsync));
            let what = format!("round {} of {rounds}", round + 1);
            let measured =
                told(&what, &contender, fsync, Box::pin(run.pass(&contender, fsync, pace, false))).await;
            report.borrow_mut().series[place].rounds.push(measured);
        }
    }
    if !run.args.no_scarce {
        for &place in places {
            let Some((contender, fsync)) = whom(report, place) else { continue };
            let pace = Pace::InFlight(contender.in_flight(fsync));
            let passed =
                told("stock runs out", &contender, fsync, Box::pin(run.pass(&contender, fsync, pace, true)))
                    .await;
            report.borrow_mut().series[place].scarce = Some(passed);
        }
    }
    if run.args.no_latency {
        return;
    }
    for &place in places {
        let Some((contender, fsync)) = whom(report, place) else { continue };
        let Some(median) = report.borrow().series[place].median() else { continue };
        let pace = Pace::PerSecond(rounded(median * LATENCY_SHARE).max(1));
        let passed =
            told("latency", &contender, fsync, Box::pin(run.pass(&contender, fsync, pace, false))).await;
        report.borrow_mut().series[place].latency = Some(passed);
    }
}

/// Who is at a place of the report, unless it has failed already.
fn whom(report: &RefCell<Report>, place: usize) -> Option<(Contender, Fsync)> {
    let report = report.borrow();
    let series = &report.series[place];
    series.failure().is_none().then_some((series.contender, series.fsync))
}

/// Waits for a pass, and tells on the way.
async fn told(
    what: &str,
    contender: &Contender,
    fsync: Fsync,
    pass: impl Future<Output = Result<Measured>>,
) -> Result<Measured, String> {
    eprint!("{}, fsync {fsync:?}, {what}: {} ... ", contender.row, contender.name);
    let passed = pass.await.map_err(|error| format!("{error:#}"));
    match &passed {
        Ok(measured) if measured.findings.are_good() => {
            eprintln!("{} orders/s", whole(measured.orders_per_second));
        }
        Ok(measured) => eprintln!("AUDIT FAILED: {}", measured.findings.line()),
        Err(error) => eprintln!("FAILED: {error}"),
    }
    passed
}

//! What people use instead of Weir, side by side with it in one run, like with like.
//!
//! ```sh
//! cargo bench --bench instead -- --for 3s --rounds 3 --fsync lazy,always --only naive,redis,postgres,weir --json FILE
//! ```
//!
//! Every contender decides the same orders against the same stock, one after the other, each on a server of its own that is
//! started for the pass and gone after it, its clients on the same cores. The rounds alternate between the contenders, so
//! that what slows the machine for a while slows them all. Each pass ends with an audit. The report says how each was run.
//!
//! Exit code: 1 where an audit finds something, or a contender was asked for and could not run; an aim that is missed is
//! said, and no failure. Without `--bench` (as `cargo test --benches` runs it) or with `--test` a few hundred orders go
//! through whatever is installed, also with stock that runs out, and the figures mean nothing.

mod audit;
mod conditions;
mod contenders;
mod load;
mod naive;
mod orders;
mod postgres;
mod redis;
mod report;
#[path = "../servers/mod.rs"]
mod servers;
mod weir;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use conditions::Conditions;
use contenders::{CONTENDERS, Contender};
use load::Bounds;
use orders::{SKUS_MAX, Shop};
use report::{Report, Series};

/// The most orders of a pass, whatever its length.
const ORDERS_MAX: u64 = 50_000_000;
/// Orders of a pass that only shows that all works.
const ORDERS_TRIED: u64 = 600;
/// Units of a SKU that those soon sell out, where there are [`SKUS_SCARCE`].
const STOCK_SCARCE: i64 = 8;
const SKUS_SCARCE: u32 = 100;

/// What people use instead of Weir, side by side with it
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Args {
    /// How long each contender is measured in each round: up to 60s
    #[arg(long = "for", value_name = "DURATION", default_value = "3s", value_parser = duration)]
    window: Duration,
    /// How long each runs before that, unmeasured: up to 60s
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    warmup: Duration,
    /// Rounds: 1 to 100
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// When what is stored is fsynced; PostgreSQL runs beside `always` alone
    #[arg(long, value_enum, value_delimiter = ',', default_value = "lazy,always")]
    fsync: Vec<Fsync>,
    /// Who runs
    #[arg(long, value_enum, value_delimiter = ',', default_value = "naive,redis,postgres,weir")]
    only: Vec<Only>,
    /// How many SKUs there are: 2 to 100000
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=i64::from(SKUS_MAX)))]
    skus: u32,
    /// Units of each SKU
    #[arg(long, default_value_t = 1_000_000_000, value_parser = clap::value_parser!(i64).range(0..=1_000_000_000))]
    stock: i64,
    /// What the orders are drawn from: the same seed gives the same orders
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the contenders store, in folders that are removed [default: the system's folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    store_dir: Option<PathBuf>,
    /// The nats-server to use [default: on PATH, else the newest in target/tools]
    #[arg(long, value_name = "FILE")]
    nats_server: Option<PathBuf>,
    /// The redis-server to use [default: on PATH]
    #[arg(long, value_name = "FILE")]
    redis_server: Option<PathBuf>,
    /// The folder with PostgreSQL's programs [default: PATH, else Debian's newest]
    #[arg(long, value_name = "FOLDER")]
    postgres_bin: Option<PathBuf>,
    /// Also writes all there is to say to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Sends a few hundred orders through whatever is installed
    #[arg(long)]
    test: bool,
    #[arg(long, hide = true, help = "cargo bench says so")]
    bench: bool,
}

/// When what is stored is fsynced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fsync {
    /// Some time later, or never.
    Lazy,
    /// Before it is acknowledged.
    Always,
}

/// Whom `--only` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    Naive,
    Redis,
    Postgres,
    Weir,
}

/// The programs that the contenders need.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    nats_server: Option<PathBuf>,
    redis_server: Option<PathBuf>,
    postgres_bin: Option<PathBuf>,
}

impl Programs {
    /// The path of `nats-server`.
    pub(crate) fn nats(&self) -> Result<PathBuf> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
        servers::find(
            "nats-server",
            self.nats_server.as_deref(),
            &servers::newest(&tools, "nats-server-", ""),
        )
        .context("tests/run fetches nats-server into target/tools")
    }

    /// The path of `redis-server`.
    pub(crate) fn redis(&self) -> Result<PathBuf> {
        servers::find("redis-server", self.redis_server.as_deref(), &[])
            .context("Debian's package redis-server has it")
    }

    /// The folder with PostgreSQL's `initdb` and `postgres`.
    pub(crate) fn postgres(&self) -> Result<PathBuf> {
        let given = self.postgres_bin.as_ref().map(|folder| folder.join("postgres"));
        let debian = servers::newest(Path::new("/usr/lib/postgresql"), "", "bin");
        let program = servers::find("postgres", given.as_deref(), &debian)
            .context("Debian's package postgresql has it")?;
        Ok(program.parent().map(Path::to_owned).unwrap_or_default())
    }
}

/// What holds for every pass.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) shop: Shop,
    pub(crate) bounds: Bounds,
    pub(crate) store: PathBuf,
    pub(crate) programs: Programs,
}

/// A number and a unit, `ms` or `s`; seconds where no unit is given; up to a minute.
fn duration(text: &str) -> Result<Duration, String> {
    let told = || "a number and ms or s, up to 60s".to_owned();
    let (number, factor) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1_000),
        (None, None) => (text, 1_000),
    };
    let number: u64 = number.parse().map_err(|_| told())?;
    number.checked_mul(factor).filter(|millis| *millis <= 60_000).map(Duration::from_millis).ok_or_else(told)
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        // Whatever ends first, what is left of the other is dropped, and with it every child process and its folder.
        tokio::select! {
            ended = run(&args) => ended,
            ended = interrupted() => ended,
        }
    });
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() -> Result<ExitCode> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let code = tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    eprintln!("interrupted");
    Ok(ExitCode::from(code))
}

async fn run(args: &Args) -> Result<ExitCode> {
    audit::check().context("the audit itself")?;
    let programs = Programs {
        nats_server: args.nats_server.clone(),
        redis_server: args.redis_server.clone(),
        postgres_bin: args.postgres_bin.clone(),
    };
    let settings = Settings {
        shop: Shop { seed: args.seed, skus: args.skus, stock: args.stock },
        bounds: Bounds { warmup: args.warmup, window: args.window, orders_max: ORDERS_MAX },
        store: args.store_dir.clone().unwrap_or_else(std::env::temp_dir),
        programs,
    };
    if args.test || !args.bench { attempt(args, settings).await } else { measure(args, &settings).await }
}

/// Everybody once, briefly: shows that the contenders work and that none oversells when stock runs out.
async fn attempt(args: &Args, mut settings: Settings) -> Result<ExitCode> {
    settings.bounds.warmup = Duration::ZERO;
    settings.bounds.orders_max = ORDERS_TRIED;
    let scarce = Shop { skus: SKUS_SCARCE, stock: STOCK_SCARCE, ..settings.shop };
    let mut good = true;
    for contender in CONTENDERS.iter().filter(|contender| args.only.contains(&contender.only())) {
        if let Err(error) = contender.is_installed(&settings) {
            println!("NOT RUN  {}: {error:#}", contender.name);
            continue;
        }
        for shop in [settings.shop, scarce] {
            for fsync in
                [Fsync::Lazy, Fsync::Always].into_iter().filter(|fsync| contender.runs_beside(*fsync))
            {
                let settings = Settings { shop, ..settings.clone() };
                let (_, audit) =
                    contender.pass(&settings, fsync).await.with_context(|| contender.name.to_owned())?;
                let plentiful = shop.stock != STOCK_SCARCE;
                let sold = audit.is_clean() && audit.sent > 0 && plentiful == (audit.confirmed == audit.sent);
                good &= sold;
                let told = if sold { "ok     " } else { "FAILED " };
                println!("{told}  {}, {fsync:?}, {} units a SKU: {audit:?}", contender.name, shop.stock);
            }
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(args: &Args, settings: &Settings) -> Result<ExitCode> {
    let conditions = Conditions::read(&settings.store, &settings.programs);
    let mut report = Report::new(conditions, settings, args.rounds);
    for &fsync in &args.fsync {
        let chosen =
            |contender: &&Contender| args.only.contains(&contender.only()) && contender.runs_beside(fsync);
        let mut series: Vec<_> =
            CONTENDERS.iter().filter(chosen).map(|contender| Series::new(*contender, fsync)).collect();
        for round in 1..=args.rounds {
            for one in &mut series {
                eprint!("fsync {fsync:?}, round {round} of {}: {} … ", args.rounds, one.contender.name);
                one.run(settings).await;
                eprintln!("{}", one.last());
            }
        }
        report.series.append(&mut series);
    }
    print!("{}", report.text());
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(&report.json())?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! The options of `weir bench`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::load::{Lines, Load, Mix, SKUS_MAX};
use super::server::Fsync;
use crate::commands::fields;
use crate::words::codec::Format;
use crate::words::policy::QUANTITY_LIMIT_MAX;

/// The most orders in a message: with every step that may follow them, it stays below what a message may hold.
const BATCH_MAX: u32 = 2_048;
/// The most orders planned for one pass: some 25 GB on disk.
const PLANNED_MAX: u128 = 300_000_000;
/// The longest window and warm-up.
const TIME_MAX: Duration = Duration::from_mins(10);

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    /// Orders a second; or max: as many as are announced, with a bounded number on their way; or sweep: the highest rate
    /// that holds --p99
    #[arg(long, value_name = "RATE", value_delimiter = ',', default_value = "100000,583000,max")]
    rate: Vec<Rate>,
    /// What a sweep holds
    #[arg(long, value_name = "DURATION", default_value = "10ms", value_parser = fields::duration)]
    p99: Duration,
    /// How long each pass is measured
    #[arg(long = "for", value_name = "DURATION", default_value = "2s", value_parser = fields::duration)]
    window: Duration,
    /// A pass is measured over this many orders at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    orders: Option<u64>,
    /// How long each pass runs before it is measured
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = fields::duration)]
    warmup: Duration,
    /// How often each rate is measured
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Orders in one message
    #[arg(long, value_name = "N", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH_MAX)))]
    batch: u32,
    /// Lines of an order: a number, from A to B all alike (A-B), or shop, as a real shop's
    #[arg(long, default_value = "2")]
    lines: Lines,
    /// SKUs in each shard
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(SKUS_MAX)))]
    skus: u32,
    /// The exponent of Zipf's law for the SKUs' popularity: 0 for all alike, a real shop has 0.64
    #[arg(long, value_name = "EXPONENT", default_value_t = 0.0, value_parser = skew)]
    skew: f64,
    /// Units of each SKU in each shard: a small number runs out, and orders are refused
    #[arg(long, value_name = "UNITS", default_value_t = QUANTITY_LIMIT_MAX,
          value_parser = clap::value_parser!(i64).range(0..=QUANTITY_LIMIT_MAX))]
    stock: i64,
    /// Percents of the orders that are followed by a step: pay=20,cancel=5,ship=10,deliver=10,return=1,review=5
    #[arg(long, default_value = "", hide_default_value = true)]
    mix: Mix,
    /// Shards
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    shards: u32,
    /// How orders are sent
    #[arg(long, value_enum, default_value_t = Way::Log)]
    way: Way,
    /// How commands and outcomes are written: json or bincode
    #[arg(long, default_value = "bincode", value_parser = fields::format)]
    format: Format,
    /// What orders are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When the servers sync to disk
    #[arg(long, value_enum, default_value_t = Fsync::Lazy)]
    fsync: Fsync,
    /// Copies of each stream, and servers: 1 or 3
    #[arg(long, default_value = "1", value_parser = ["1", "3"])]
    replicas: String,
    /// Measure Weir only
    #[arg(long)]
    no_ceiling: bool,
    /// Run the worker without counting and timing its decisions
    #[arg(long)]
    no_metrics: bool,
    /// Orders on their way at once where the rate is max: enough for the largest appends, little enough to be worked off in
    /// a tenth of a second
    #[arg(long, value_name = "N", default_value_t = 131_072, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    in_flight: u64,
    /// The nats-server to start [default: one on the PATH, else one that tests/run has fetched]
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    pub(super) nats_server: Option<PathBuf>,
    /// Use a server that runs already: its CPU time is not known then, nor when it syncs
    #[arg(long, value_name = "URL", conflicts_with = "store_dir")]
    pub(super) server: Option<String>,
    /// Where the servers keep their streams, in a folder that is removed in the end [default: where temporary files go]
    #[arg(long, value_name = "FOLDER")]
    pub(super) store_dir: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write the latencies of each rate and worker to this folder, as standard percentile files
    #[arg(long, value_name = "FOLDER")]
    pub(super) hgrm: Option<PathBuf>,
    /// Compare with the figures of an earlier --json
    #[arg(long, value_name = "FILE")]
    pub(super) compare: Option<PathBuf>,
}

/// How orders are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// Straight into the log, as trusted services do
    Log,
}

/// A rate that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) enum Rate {
    PerSecond(u64),
    Max,
    Sweep,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(rate) => write!(f, "{rate}"),
            Self::Max => f.write_str("max"),
            Self::Sweep => f.write_str("sweep"),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "max" => Ok(Self::Max),
            "sweep" => Ok(Self::Sweep),
            _ => text
                .parse()
                .ok()
                .filter(|rate| (1..=100_000_000).contains(rate))
                .map(Self::PerSecond)
                .ok_or_else(|| "orders a second (1 to 100000000), max or sweep".to_owned()),
        }
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

fn skew(text: &str) -> Result<f64, String> {
    let skew = text.parse().ok().filter(|skew| (0.0..=4.0).contains(skew));
    skew.ok_or_else(|| "a number from 0 to 4".to_owned())
}

/// What is measured: the options that figures depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Options {
    pub(super) rates: Vec<Rate>,
    pub(super) p99_ms: u64,
    pub(super) window_ms: u64,
    pub(super) orders_max: Option<u64>,
    pub(super) warmup_ms: u64,
    pub(super) rounds: u32,
    pub(super) load: Load,
    pub(super) way: Way,
    /// None where the server is somebody else's.
    pub(super) fsync: Option<Fsync>,
    pub(super) replicas: usize,
    pub(super) ceiling: bool,
    /// Whether the worker counts and times its decisions.
    pub(super) metrics: bool,
    /// Orders on their way at once at saturation.
    pub(super) in_flight: u64,
}

impl Args {
    /// The server that runs already.
    pub(super) fn server_url(&self) -> Option<String> {
        let whole = |url: &String| if url.contains("://") { url.clone() } else { format!("nats://{url}") };
        self.server.as_ref().map(whole)
    }

    pub(super) fn options(&self) -> anyhow::Result<Options> {
        anyhow::ensure!(
            !self.window.is_zero() && self.window <= TIME_MAX && self.warmup <= TIME_MAX,
            "--for is 1ms to 10m, --warmup 0 to 10m"
        );
        for rate in &self.rate {
            let Rate::PerSecond(rate) = rate else { continue };
            let planned = u128::from(*rate) * (self.window + self.warmup).as_millis() / 1_000;
            anyhow::ensure!(planned <= PLANNED_MAX, "{rate} orders/s for so long are more than 300,000,000");
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Ok(Options {
            rates: self.rate.clone(),
            p99_ms: millis(self.p99),
            window_ms: millis(self.window),
            orders_max: self.orders,
            warmup_ms: millis(self.warmup),
            rounds: self.rounds,
            load: Load {
                seed: self.seed,
                format: self.format,
                batch: self.batch,
                lines: self.lines,
                skus: self.skus,
                skew: self.skew,
                shards: self.shards,
                mix: self.mix,
                stock: self.stock,
            },
            way: self.way,
            fsync: self.server.is_none().then_some(self.fsync),
            replicas: self.replicas.parse().unwrap_or(1),
            ceiling: !self.no_ceiling,
            metrics: !self.no_metrics,
            in_flight: self.in_flight,
        })
    }
}

impl Options {
    /// In which of them two runs differ. Which rates were measured is no difference: those in common are compared.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let of = |options: &Self| -> Vec<(String, String)> {
            let mut all = serde_json::to_value(options).unwrap_or_default();
            let load = all["load"].take();
            let entries = all.as_object().into_iter().flatten().chain(load.as_object().into_iter().flatten());
            let known = entries.filter(|(name, _)| !["rates", "load", "ceiling"].contains(&name.as_str()));
            known.map(|(name, value)| (name.clone(), value.to_string())).collect()
        };
        let pairs = of(self).into_iter().zip(of(other));
        let differing = pairs.filter(|((_, own), (_, others))| own != others);
        differing.map(|((name, own), (_, others))| format!("{name}: {others} then, {own} now")).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    pub(in crate::commands::bench) fn options(arguments: &[&str]) -> Result<Options, String> {
        let line =
            Line::try_parse_from([&["bench"], arguments].concat()).map_err(|error| error.to_string())?;
        line.args.options().map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_the_reference() {
        let bare = options(&[]).unwrap();
        assert_eq!(bare.rates, [Rate::PerSecond(100_000), Rate::PerSecond(583_000), Rate::Max]);
        assert_eq!((bare.rounds, bare.load.batch, bare.load.lines), (2, 256, Lines::Between(2, 2)));
        let json = serde_json::to_string(&bare).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), bare);
    }

    #[test]
    fn rates_repeat_or_are_listed() {
        let rates = options(&["--rate", "5,max", "--rate", "sweep"]).unwrap().rates;
        assert_eq!(rates, [Rate::PerSecond(5), Rate::Max, Rate::Sweep]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            ["--rate", "0"],
            ["--rate", "fast"],
            ["--batch", "0"],
            ["--batch", "2049"],
            ["--lines", "0"],
            ["--skew", "-1"],
            ["--skew", "NaN"],
            ["--shards", "0"],
            ["--way", "door"],
            ["--format", "xml"],
            ["--replicas", "2"],
            ["--for", "0"],
            ["--for", "11m"],
            ["--mix", "ship=101"],
            ["--stock", "-1"],
            ["--fsync", "never"],
            ["--for", "580s"],
        ] {
            assert!(options(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn differences_are_named() {
        let (own, other) = (options(&["--rate", "max"]).unwrap(), options(&["--skus", "7"]).unwrap());
        assert_eq!(own.differences(&other), ["skus: 7 then, 10000 now"]);
    }
}

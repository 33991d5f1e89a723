//! The options of `weir-bench load`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arguments::{Fsync, duration, format};
use crate::shop::{Lines, Load, Mix, SKUS_MAX};
use weir::words::codec::Format;
use weir::words::policy::QUANTITY_LIMIT_MAX;

/// The most orders in a message: with every step that may follow them, it stays below what a message may hold.
const BATCH_MAX: u32 = 2_048;
/// The most orders planned for one pass: some 25 GB on disk.
const PLANNED_MAX: u128 = 300_000_000;
/// The longest window and warm-up.
const TIME_MAX: Duration = Duration::from_mins(10);
/// Of the pass with a standby: records between snapshots, so that there are some within a short window.
const SNAPSHOT_EVERY: u64 = 200_000;
/// Of the pass with scarce stock: it lasts for a part of the orders, and then runs out.
const SKUS_SCARCE: u32 = 1_000;
const STOCK_SCARCE: i64 = 500;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Orders a second; or max: as many as are announced, with a bounded number on their way; or N%: that share of the max
    /// before it; or sweep: the highest rate that holds --p99
    #[arg(long, value_name = "RATE", value_delimiter = ',', default_value = "100000,583000,max,80%")]
    rate: Vec<Rate>,
    /// What a sweep holds
    #[arg(long, value_name = "DURATION", default_value = "10ms", value_parser = duration)]
    p99: Duration,
    /// How long each pass is measured
    #[arg(long = "for", value_name = "DURATION", default_value = "2s", value_parser = duration)]
    window: Duration,
    /// A pass is measured over this many orders at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    orders: Option<u64>,
    /// How long each pass runs before it is measured
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
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
    /// How commands and outcomes are written: json or bincode
    #[arg(long, default_value = "bincode", value_parser = format())]
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
    /// What is measured beside, once each, at saturation
    #[arg(long, value_enum, value_delimiter = ',', default_value = "json,standby,scarce,unobserved")]
    also: Vec<Also>,
    /// The worker to measure [default: the weir beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) weir: Option<PathBuf>,
    /// The nats-server to start [default: one on the PATH, else one that tests/run has fetched]
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    pub(crate) nats_server: Option<PathBuf>,
    /// Use a server that runs already: its CPU time is not known then, nor when it syncs
    #[arg(long, value_name = "URL", conflicts_with = "store_dir")]
    pub(crate) server: Option<String>,
    /// Where the servers keep their streams, in a folder that is removed in the end [default: where temporary files go]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store_dir: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the latencies of each rate and worker to this folder, as standard percentile files
    #[arg(long, value_name = "FOLDER")]
    pub(crate) hgrm: Option<PathBuf>,
    /// Compare with the figures of an earlier --json
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
}

/// A pass beside the others, at saturation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Also {
    /// Orders and outcomes as JSON
    Json,
    /// Two workers, of which the standby takes snapshots
    Standby,
    /// Stock that runs out, so that orders are refused and overselling would show
    Scarce,
    /// Without analytics: what they cost
    Unobserved,
    /// None of them
    None,
}

/// A rate that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum Rate {
    PerSecond(u64),
    Max,
    /// So many hundredths of the max that was measured before.
    Share(u8),
    Sweep,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(rate) => write!(f, "{rate}"),
            Self::Max => f.write_str("max"),
            Self::Share(percent) => write!(f, "{percent}%"),
            Self::Sweep => f.write_str("sweep"),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let told = || "orders a second (1 to 100000000), max, 1% to 100% of it, or sweep".to_owned();
        if let Some(percent) = text.strip_suffix('%') {
            return percent
                .parse()
                .ok()
                .filter(|it| (1..=100).contains(it))
                .map(Self::Share)
                .ok_or_else(told);
        }
        match text {
            "max" => Ok(Self::Max),
            "sweep" => Ok(Self::Sweep),
            _ => text
                .parse()
                .ok()
                .filter(|rate| (1..=100_000_000).contains(rate))
                .map(Self::PerSecond)
                .ok_or_else(told),
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
pub(crate) struct Options {
    pub(crate) rates: Vec<Rate>,
    pub(crate) p99_ms: u64,
    pub(crate) window_ms: u64,
    pub(crate) orders_max: Option<u64>,
    pub(crate) warmup_ms: u64,
    pub(crate) rounds: u32,
    pub(crate) load: Load,
    /// None where the server is somebody else's.
    pub(crate) fsync: Option<Fsync>,
    pub(crate) replicas: usize,
    pub(crate) ceiling: bool,
    /// Whether the worker counts and times its decisions.
    pub(crate) metrics: bool,
    /// Whether the worker has analytics.
    pub(crate) analytics: bool,
    /// Orders on their way at once at saturation.
    pub(crate) in_flight: u64,
    /// Workers, of which one leads.
    pub(crate) workers: u32,
    /// After how many records a snapshot is taken; none for what workers do by default.
    pub(crate) snapshot_every: Option<u64>,
    pub(crate) also: Vec<Also>,
}

impl Args {
    /// The server that runs already.
    pub(crate) fn server_url(&self) -> Option<String> {
        let whole = |url: &String| if url.contains("://") { url.clone() } else { format!("nats://{url}") };
        self.server.as_ref().map(whole)
    }

    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        anyhow::ensure!(
            !self.window.is_zero() && self.window <= TIME_MAX && self.warmup <= TIME_MAX,
            "--for is 1ms to 10m, --warmup 0 to 10m"
        );
        for rate in &self.rate {
            let Rate::PerSecond(rate) = rate else { continue };
            let planned = u128::from(*rate) * (self.window + self.warmup).as_millis() / 1_000;
            anyhow::ensure!(planned <= PLANNED_MAX, "{rate} orders/s for so long are more than 300,000,000");
        }
        let max_at = self.rate.iter().position(|rate| *rate == Rate::Max);
        let share_at = self.rate.iter().position(|rate| matches!(rate, Rate::Share(_)));
        anyhow::ensure!(
            share_at.is_none_or(|share| max_at.is_some_and(|max| max < share)),
            "a share is one of the max: name max before it"
        );
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
            fsync: self.server.is_none().then_some(self.fsync),
            replicas: self.replicas.parse().unwrap_or(1),
            ceiling: !self.no_ceiling,
            metrics: !self.no_metrics,
            analytics: true,
            in_flight: self.in_flight,
            workers: 1,
            snapshot_every: None,
            also: self.also.iter().copied().filter(|also| *also != Also::None).collect(),
        })
    }
}

impl Options {
    /// The same for one of the passes beside.
    pub(crate) fn for_also(&self, also: Also) -> Self {
        let mut options = Self { ceiling: false, ..self.clone() };
        match also {
            Also::Json => options.load.format = Format::Json,
            Also::Standby => (options.workers, options.snapshot_every) = (2, Some(SNAPSHOT_EVERY)),
            Also::Scarce => (options.load.skus, options.load.stock) = (SKUS_SCARCE, STOCK_SCARCE),
            Also::Unobserved => options.analytics = false,
            Also::None => {}
        }
        options
    }

    /// In which of them two runs differ. Which rates were measured is no difference: those in common are compared.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let of = |options: &Self| -> Vec<(String, String)> {
            let mut all = serde_json::to_value(options).unwrap_or_default();
            let load = all["load"].take();
            let entries = all.as_object().into_iter().flatten().chain(load.as_object().into_iter().flatten());
            let known =
                entries.filter(|(name, _)| !["rates", "load", "ceiling", "also"].contains(&name.as_str()));
            known.map(|(name, value)| (name.clone(), value.to_string())).collect()
        };
        let pairs = of(self).into_iter().zip(of(other));
        let differing = pairs.filter(|((_, own), (_, others))| own != others);
        differing.map(|((name, own), (_, others))| format!("{name}: {others} then, {own} now")).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    pub(crate) fn options(arguments: &[&str]) -> Result<Options, String> {
        let line =
            Line::try_parse_from([&["bench"], arguments].concat()).map_err(|error| error.to_string())?;
        line.args.options().map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_the_reference() {
        let bare = options(&[]).unwrap();
        assert_eq!(bare.rates[2..], [Rate::Max, Rate::Share(80)]);
        assert_eq!((bare.rounds, bare.load.batch, bare.load.lines), (2, 256, Lines::Between(2, 2)));
        let json = serde_json::to_string(&bare).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), bare);
    }

    #[test]
    fn rates_repeat_or_are_listed() {
        let rates = options(&["--rate", "5,max", "--rate", "50%,sweep"]).unwrap().rates;
        assert_eq!(rates, [Rate::PerSecond(5), Rate::Max, Rate::Share(50), Rate::Sweep]);
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
            ["--rate", "80%"],
            ["--rate", "0%,max"],
            ["--also", "nothing"],
            ["--format", "xml"],
            ["--replicas", "2"],
            ["--for", "0s"],
            ["--for", "5"],
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

//! `weir import`: a CSV of past orders through the log, and what became of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Ended;
use super::connect::{Deployment, one_shard};
use super::import::{Format, Options, open};
use super::sending::{Answered, batches, send};
use super::settings::Common;
use crate::words::command::OnShortage;
use crate::words::outcome::{Decision, Outcome};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// The file; `.gz` is read as it is, `-` is standard input
    file: PathBuf,
    /// How the file is written: weir or online-retail
    #[arg(long, default_value = "weir", value_parser = format)]
    format: Format,
    /// How much of each SKU's demand is received before the first order, in percent (online-retail)
    #[arg(long, value_name = "PERCENT", default_value_t = 90, value_parser = clap::value_parser!(u32).range(0..=1000))]
    stock_share: u32,
    /// How long after its placing an order is paid (online-retail)
    #[arg(long, default_value = "10m", value_parser = super::fields::duration)]
    pay_after: Duration,
    /// How long after its placing an order is shipped (online-retail)
    #[arg(long, default_value = "24h", value_parser = super::fields::duration)]
    ship_after: Duration,
    /// What orders that do not say do at a shortage: refuse, partial or backorder
    #[arg(long, default_value = "refuse", value_parser = on_shortage)]
    on_shortage: OnShortage,
    /// The site of what names none
    #[arg(long)]
    site: Option<String>,
    /// The shard to send to [default: the one that holds the site, or the only one]
    #[arg(long)]
    shard: Option<String>,
    /// Read and map the file, print the counts, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// How long to wait for the last outcomes
    #[arg(long, default_value = "60s", value_parser = super::fields::duration)]
    wait: Duration,
}

fn format(name: &str) -> Result<Format, String> {
    let known = || Format::ALL.map(Format::name).join(" or ");
    Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(known)
}

fn on_shortage(name: &str) -> Result<OnShortage, String> {
    match name {
        "refuse" => Ok(OnShortage::Refuse),
        "partial" => Ok(OnShortage::Partial),
        "backorder" => Ok(OnShortage::Backorder),
        _ => Err("refuse, partial or backorder".to_owned()),
    }
}

/// What became of the commands.
#[derive(Debug, Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn count(&mut self, outcome: &Outcome<'_>) {
        let name = match &outcome.decision {
            Decision::Refused { command, reason, .. } => {
                format!("refused {} {}", command.name(), reason.code())
            }
            Decision::Confirmed { released: true, .. } => "released".to_owned(),
            decision => decision.kind().name().to_owned(),
        };
        *self.0.entry(name).or_default() += 1;
    }
}

pub(super) async fn import(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let options = Options {
        stock_share_permille: args.stock_share * 10,
        pay_after_s: seconds(args.pay_after),
        ship_after_s: seconds(args.ship_after),
        on_shortage: args.on_shortage,
        site: args.site.clone(),
    };
    let file = open(&args.file)?;
    let plan = args.format.plan(file, &options).with_context(|| args.file.display().to_string())?;
    if !args.json {
        println!("{}", plan.counts);
    }
    if args.dry_run {
        if args.json {
            println!("{}", json!({ "commands": plan.commands.len(), "read": plan.counts.to_string() }));
        }
        return Ok(Ended::Done);
    }
    if plan.commands.is_empty() {
        bail!("{}: nothing to send", args.file.display());
    }
    let holds_site = args.site.as_deref().and_then(|site| config.shard_of(site));
    let shard = match (&args.shard, holds_site) {
        (None, Some(shard)) => shard,
        (named, _) => one_shard(&config, named.as_deref())?,
    };
    let deployment = Deployment::connect(&config, "import", false).await?;
    let streams = deployment.streams(&shard.name)?;
    let batches = batches(&plan.commands);
    let progress = ProgressBar::new(plan.commands.len() as u64);
    progress.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} commands, {per_sec}, {eta} to go")
            .expect("a constant template"),
    );
    let mut tally = Tally::default();
    let answered = send(
        &streams,
        batches,
        args.wait,
        |batch| progress.inc(u64::from(batch.commands)),
        |outcome, _| tally.count(outcome),
    )
    .await;
    progress.finish_and_clear();
    let answered = answered?;
    if args.json {
        println!("{}", json!({ "commands": plan.commands.len(), "outcomes": tally.0 }));
    } else {
        for (name, count) in &tally.0 {
            println!("{count:>9} {name}");
        }
    }
    if answered == Answered::NotInTime {
        eprintln!("weir: stored, but not all decided within {:?}: is a worker running?", args.wait);
        return Ok(Ended::Undecided);
    }
    Ok(Ended::Done)
}

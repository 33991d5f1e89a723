//! `weir import`: past orders, or any commands, through the log, and what became of them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Ended;
use super::connect::{Deployment, one_shard};
use super::import::{Counts, Options, Plan, open, plain};
use super::sending::{Answered, batches, send};
use super::settings::Common;
use super::submit::{may_be_sent, parse};
use crate::words::command::OnShortage;
use crate::words::outcome::{Decision, Outcome};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// The file; `.gz` is read as it is, `-` is standard input
    file: PathBuf,
    /// How the file is written
    #[arg(long, value_enum, default_value_t = Format::Orders)]
    format: Format,
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

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A CSV of orders, a row a line (`order_id,sku,quantity` and more; see docs/contract.md)
    Orders,
    /// Any commands, one JSON object a line
    Commands,
}

/// The most bytes of a file of commands, which is read whole.
const COMMANDS_BYTES_MAX: u64 = 1 << 30;

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

/// Reads the file; `text` keeps what commands borrow from.
fn plan<'t>(args: &Args, text: &'t mut String) -> anyhow::Result<Plan<'t>> {
    let file = open(&args.file)?;
    if args.format == Format::Orders {
        return Ok(plain(file, &Options { on_shortage: args.on_shortage, site: args.site.clone() })?);
    }
    file.take(COMMANDS_BYTES_MAX + 1).read_to_string(text)?;
    ensure!(text.len() as u64 <= COMMANDS_BYTES_MAX, "more than 1 GiB: import it in parts");
    let commands = parse(text)?;
    commands.iter().try_for_each(may_be_sent)?;
    Ok(Plan { counts: Counts::of(&commands, commands.len() as u64), commands })
}

pub(super) async fn import(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let mut text = String::new();
    let plan = plan(&args, &mut text).with_context(|| args.file.display().to_string())?;
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

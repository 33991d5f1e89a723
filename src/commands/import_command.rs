//! `weir import`: past orders, or any commands, through the log, and what became of them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use super::Ended;
use super::connect::Deployment;
use super::import::{Counts, Options, Plan, open, plain};
use super::output::{self, say};
use super::sending::{Answered, Batch, batches, send};
use super::settings::Common;
use super::submit::{by_shard, may_be_sent, parse};
use crate::words::command::{Command, OnShortage};
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
    /// What orders do at a shortage that do not say
    #[arg(long, default_value = "refuse", value_parser = super::fields::on_shortage())]
    on_shortage: OnShortage,
    /// The site of what names none
    #[arg(long)]
    site: Option<String>,
    /// The shard to send to [default: for each command the one that holds its site, or its order's; or the only one]
    #[arg(long)]
    shard: Option<String>,
    /// Read the file, print the counts, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long to wait for the last outcomes
    #[arg(long, default_value = "60s", value_parser = super::fields::duration)]
    wait: Duration,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A CSV of orders, a row a line (`order_id,sku,quantity` and more; see docs/operations.md)
    Orders,
    /// Any commands, one JSON object a line
    Commands,
}

/// The most bytes of a file of commands, which is read whole.
const COMMANDS_BYTES_MAX: u64 = 1 << 30;

/// What became of the commands, by what their outcomes are called.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<String, u64>,
    /// Answered as before, because the log held them already: nothing was changed.
    duplicates: u64,
    refused: u64,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome<'_>) {
        if outcome.decision.repeat().is_some() {
            self.duplicates += 1;
            return;
        }
        let name = match &outcome.decision {
            Decision::Refused { command, reason, .. } => {
                self.refused += 1;
                format!("refused {} {}", command.name(), reason.code())
            }
            decision => decision.kind().name().to_owned(),
        };
        *self.counts.entry(name).or_default() += 1;
    }
}

/// Reads a file of commands; `text` keeps what they borrow from.
pub(super) fn commands_of(file: impl Read, text: &mut String) -> anyhow::Result<Vec<Command<'_>>> {
    file.take(COMMANDS_BYTES_MAX + 1).read_to_string(text)?;
    ensure!(text.len() as u64 <= COMMANDS_BYTES_MAX, "more than 1 GiB: import it in parts");
    parse(text)
}

/// Reads the file; `text` keeps what commands borrow from.
fn plan<'t>(args: &Args, text: &'t mut String) -> anyhow::Result<Plan<'t>> {
    let file = open(&args.file)?;
    if args.format == Format::Orders {
        return Ok(plain(file, &Options { on_shortage: args.on_shortage, site: args.site.clone() })?);
    }
    let commands = commands_of(file, text)?;
    commands.iter().try_for_each(may_be_sent)?;
    Ok(Plan { counts: Counts::of(&commands, commands.len() as u64), commands })
}

pub(super) async fn import(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let mut text = String::new();
    let plan = plan(&args, &mut text).with_context(|| args.file.display().to_string())?;
    if args.dry_run {
        if args.json {
            output::json(&json!({ "commands": plan.commands.len(), "read": plan.counts.to_string() }));
        } else {
            say!("{}", plan.counts);
        }
        return Ok(Ended::Done);
    }
    if plan.commands.is_empty() {
        bail!("{}: nothing to send", args.file.display());
    }
    eprintln!("{}", plan.counts);
    let commands = plan.commands.len();
    let deployment = Deployment::connect(&config, "import", false).await?;
    let progress = output::progress(commands as u64, "commands");
    let (mut tally, mut all) = (Tally::default(), true);
    for (shard, commands) in by_shard(&config, args.shard.as_deref(), plan.commands)? {
        let streams = deployment.streams(&shard)?;
        let stored = |batch: &Batch| progress.inc(u64::from(batch.commands));
        // Others' outcomes come by as well.
        let each = |outcome: &Outcome<'_>, own: bool| {
            if own {
                tally.count(outcome);
            }
        };
        all &= send(&streams, batches(&commands), args.wait, stored, each).await? == Answered::All;
    }
    progress.finish_and_clear();
    if args.json {
        let Tally { counts, duplicates, .. } = &tally;
        output::json(&json!({ "commands": commands, "outcomes": counts, "duplicates": duplicates }));
    } else {
        let mut rows: Vec<_> =
            tally.counts.iter().map(|(name, count)| [count.to_string(), name.clone()]).collect();
        if tally.duplicates > 0 {
            rows.push([tally.duplicates.to_string(), "duplicates, which changed nothing".to_owned()]);
        }
        output::table(["COMMANDS", "OUTCOME"], &rows);
    }
    if !all {
        eprintln!("weir: stored, but not all decided within {:?}: is a worker running?", args.wait);
        return Ok(Ended::Undecided);
    }
    Ok(if tally.refused == 0 { Ended::Done } else { Ended::Failed })
}

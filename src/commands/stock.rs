//! `weir stock`: stock from a file.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use serde_json::json;

use super::Ended;
use super::connect::Deployment;
use super::load::{Kind, commands, read};
use super::output::{self, say};
use super::sending::{Answered, batches, send};
use super::settings::Common;
use crate::edges::streams::Streams;
use crate::words::command::Command as LogCommand;
use crate::words::outcome::{Decision, Reason};
use crate::words::text::is_id;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Send a CSV (`sku,quantity[,site]`) as receipts or as counts; a re-run counts once
    Load(Load),
    /// Show what there is of each SKU, or of one
    List(super::stock_list::List),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("kind").required(true))]
#[expect(clippy::struct_excessive_bools, reason = "a flag of the command line is one")]
pub(super) struct Load {
    #[command(flatten)]
    common: Common,
    /// The file; `.gz` is read as it is, `-` is standard input
    file: PathBuf,
    /// The quantities arrived
    #[arg(long, group = "kind")]
    receive: bool,
    /// The quantities were counted
    #[arg(long, group = "kind")]
    count: bool,
    /// Print what would be sent, as JSON, one command a line
    #[arg(long)]
    dry_run: bool,
    /// What tells this load from all others, such as the delivery note's number or the date of the count: at most 40 bytes.
    /// The same file under the same id counts once, another file under it is refused
    #[arg(long)]
    id: String,
    /// How long to wait for the outcomes
    #[arg(long, default_value = "30s", value_parser = super::fields::duration)]
    wait: Duration,
    /// Print JSON: what was refused, one object a line, and the counts
    #[arg(long)]
    json: bool,
}

pub(super) async fn stock(command: Command) -> anyhow::Result<Ended> {
    let args = match command {
        Command::Load(args) => args,
        Command::List(args) => return super::stock_list::list(args).await,
    };
    let config = args.common.load(|_| {})?;
    let kind = if args.receive { Kind::Receive } else { Kind::Count };
    let id = &args.id;
    if !is_id(id) || id.len() > 40 {
        bail!("--id: 1 to 40 bytes without control characters");
    }
    let mut by_shard = std::collections::BTreeMap::<_, Vec<_>>::new();
    for (site, skus) in &read(&args.file, kind).with_context(|| args.file.display().to_string())? {
        let shard = config
            .shard_of(site)
            .with_context(|| format!("no shard of the configuration holds site {site:?}"))?;
        by_shard.entry(shard.name.clone()).or_default().push(commands(kind, id, site, skus));
    }
    if args.dry_run {
        for command in by_shard.values().flatten().flatten() {
            output::json(command);
        }
        return Ok(Ended::Done);
    }
    let deployment = Deployment::connect(&config, "stock", false).await?;
    let mut tally = Tally::default();
    let parts = by_shard.values().flatten().map(Vec::len).sum::<usize>();
    let progress = output::progress(parts as u64, "parts");
    for (shard, sites) in &by_shard {
        let streams = deployment.streams(shard)?;
        for parts in sites {
            if load_site(&streams, parts, args.wait, &mut tally, &progress).await? == Answered::NotInTime {
                eprintln!(
                    "weir: shard {shard}: stored, but not decided within {:?}: is a worker running?",
                    args.wait
                );
                return Ok(Ended::Undecided);
            }
        }
    }
    progress.finish_and_clear();
    let Tally { new, known, refused, conflicts, unsent } = tally;
    let what = if args.receive { "receipts" } else { "counts" };
    let unsent = if unsent == 0 { String::new() } else { format!(", {unsent} not sent") };
    if args.json {
        output::json(&json!({ "new": new, "known": known, "refused": refused, "unsent": tally.unsent }));
    } else {
        say!("{what}: {new} new, {known} known before, {refused} refused{unsent}");
    }
    if conflicts > 0 {
        eprintln!("weir: the file differs from the one loaded under the id {id:?}: give another --id");
    }
    Ok(if refused == 0 { Ended::Done } else { Ended::Failed })
}

/// What became of the parts of a file.
#[derive(Debug, Default)]
struct Tally {
    new: u64,
    known: u64,
    refused: u64,
    /// Those of the refused whose id has other content.
    conflicts: u64,
    /// Those behind such a one.
    unsent: usize,
}

/// Sends the parts of one site, each once the one before was answered. Where a part differs from the one that is known
/// by its id, the parts behind it are not sent: they may hold rows that were received with other parts before.
async fn load_site<S: Streams>(
    streams: &S,
    parts: &[LogCommand<'_>],
    wait: Duration,
    tally: &mut Tally,
    progress: &ProgressBar,
) -> anyhow::Result<Answered> {
    let conflicts = tally.conflicts;
    for (sent, part) in (1..).zip(parts) {
        let answered = send(
            streams,
            batches([part]),
            wait,
            |_| progress.inc(1),
            |outcome, own| match &outcome.decision {
                _ if !own => {}
                Decision::Received { repeat, .. } | Decision::Counted { repeat, .. } => match repeat {
                    None => tally.new += 1,
                    Some(_) => tally.known += 1,
                },
                decision => {
                    tally.refused += 1;
                    tally.conflicts +=
                        u64::from(matches!(decision, Decision::Refused { reason: Reason::IdConflict, .. }));
                    output::json(outcome);
                }
            },
        );
        if answered.await? == Answered::NotInTime {
            return Ok(Answered::NotInTime);
        }
        if tally.conflicts > conflicts {
            tally.unsent += parts.len() - sent;
            break;
        }
    }
    Ok(Answered::All)
}

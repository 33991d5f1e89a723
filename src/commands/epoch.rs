//! `weir epoch`: goes on in a log that the broker has rewritten, and lists what is gone.

use anyhow::bail;

use super::Ended;
use super::connect::{Deployment, one_shard};
use super::settings::Common;
use super::status::Leases;
use crate::edges::clock::SystemClock;
use crate::motion::audit::Pace;
use crate::motion::epoch::{self, EpochError, Gone, Plan};
use crate::motion::fold::FoldOn;
use crate::words::codec::write_json_outcome;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Which shard [default: the only one]
    #[arg(long, value_name = "NAME")]
    shard: Option<String>,
    /// Decide the log's messages anew from this sequence on, where the streams do not tell from which
    #[arg(long, value_name = "SEQUENCE")]
    copy_from: Option<u64>,
    /// Do it; without this, only say what would be done
    #[arg(long)]
    yes: bool,
    /// Print JSON, one object a line: the outcomes that are gone, as is done anyway
    #[arg(long)]
    json: bool,
}

pub(super) async fn epoch(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let shard = one_shard(&config, args.shard.as_deref())?.name.clone();
    let deployment = Deployment::connect(&config, "epoch", false).await?;
    let edges = deployment.edges_of(&config, &shard)?;
    if let Some(leader) = Leases::read(&deployment, &config).await?.leader(&shard) {
        bail!("worker {leader} leads shard {shard}: stop it, or wait until its lease has run out");
    }
    let pace = Pace { fold_on: FoldOn::Thread, clock: SystemClock::shared(), rests: 0 };
    let plan = match Box::pin(epoch::examine(&shard, &edges, args.copy_from, &pace)).await {
        Err(error @ EpochError::Agrees) => {
            eprintln!("shard {shard}: {error}");
            if args.yes {
                epoch::open(&edges).await?;
            }
            return Ok(Ended::Done);
        }
        examined => examined?,
    };
    let mut line = Vec::new();
    let mut broken = false;
    let gone = epoch::gone(&edges, &plan, |outcome| {
        use std::io::Write as _;
        line.clear();
        write_json_outcome(&mut line, outcome);
        line.push(b'\n');
        // Whoever reads it may have had enough.
        broken = broken || std::io::stdout().write_all(&line).is_err();
    });
    let gone = Box::pin(gone).await?;
    describe(&shard, &plan, &gone);
    if !args.yes {
        eprintln!("nothing was changed: run it again with --yes to do this");
        return Ok(Ended::Done);
    }
    if broken {
        bail!("the list of what is gone could not be written: nothing was changed");
    }
    let writer = format!("epoch-{}", std::process::id());
    let first = Box::pin(epoch::begin(&shard, &edges, plan, &writer, &pace)).await?;
    eprintln!("the new epoch begins with sequence {first}: start the workers, then run `weir audit`");
    Ok(Ended::Done)
}

fn describe(shard: &str, plan: &Plan, gone: &Gone) {
    let Plan { snapshot, base, kept, agrees, through, .. } = plan;
    eprintln!(
        "shard {shard}: announced through {through}; the log agrees with that through sequence {agrees}"
    );
    let from =
        snapshot.as_ref().map_or_else(|| "the log's start".to_owned(), |name| format!("snapshot {name}"));
    eprintln!("the new epoch goes on from the state at sequence {base} ({from})");
    eprintln!("messages behind sequence {agrees} are copied to the log's end, and decided there");
    let Gone { count, dropped } = gone;
    eprintln!(
        "{count} outcomes behind {kept} were announced and are gone{}",
        if *count > 0 { ": those above" } else { "" }
    );
    if let Some(dropped) = dropped {
        eprintln!("and those up to {dropped}, which the outcome stream holds no more");
    }
}

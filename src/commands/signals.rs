//! `weir signals`: the early warnings, as they were published.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Ended;
use super::connect::{Deployment, one_shard};
use super::output::{self, say};
use super::settings::Common;
use crate::edges::jetstream::JetSignals;
use crate::edges::streams::{ReadError, Reader as _};
use crate::words::signal::StoredSignal;

/// How many identities are remembered, so that a repeat is printed once.
const KNOWN_MAX: usize = 100_000;
/// The pause before a stream that could not be read is opened again.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Only of this shard
    #[arg(long)]
    shard: Option<String>,
    /// Only of this kind, such as `delay_risk`; may be given several times
    #[arg(long)]
    kind: Vec<String>,
    /// Where to begin: a sequence of the stream [default: its first, or with --follow its end]
    #[arg(long, value_name = "SEQUENCE")]
    from: Option<u64>,
    /// Go on with those to come, until interrupted
    #[arg(long)]
    follow: bool,
    /// Print JSON, one object a line, as it was published
    #[arg(long)]
    json: bool,
}

pub(super) async fn signals(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    if let Some(shard) = &args.shard {
        one_shard(&config, Some(shard))?;
    }
    let deployment = Deployment::connect(&config, "signals", false).await?;
    let signals = JetSignals::new(&deployment.connections, &deployment.names);
    let state = signals.state().await?;
    let mut next = args.from.unwrap_or(if args.follow { state.last_sequence + 1 } else { 1 });
    let mut known = BTreeSet::new();
    while args.follow || next.max(state.first_sequence) <= state.last_sequence {
        match read(&signals, &mut next, &args, state.last_sequence, &mut known).await {
            // It comes back, or somebody says that it does not.
            Err(ReadError::Unavailable(_)) if args.follow => tokio::time::sleep(PAUSE).await,
            ended => ended?,
        }
    }
    Ok(Ended::Done)
}

async fn read(
    signals: &JetSignals,
    next: &mut u64,
    args: &Args,
    last: u64,
    known: &mut BTreeSet<String>,
) -> Result<(), ReadError> {
    let mut reader = signals.read(*next).await?;
    while args.follow || *next <= last {
        for StoredSignal { sequence, payload } in reader.next().await? {
            *next = sequence + 1;
            if !args.follow && sequence > last {
                break;
            }
            // What somebody else put there is passed over.
            let Ok(signal) = serde_json::from_slice::<Value>(&payload) else { continue };
            if is_wanted(&signal, args) && is_new(&signal, known) {
                print(&signal, args.json);
            }
        }
    }
    Ok(())
}

fn is_wanted(signal: &Value, args: &Args) -> bool {
    let is = |name: &str, wanted: &str| signal[name].as_str() == Some(wanted);
    args.shard.as_ref().is_none_or(|shard| is("shard", shard))
        && (args.kind.is_empty() || args.kind.iter().any(|kind| is("kind", kind)))
}

fn is_new(signal: &Value, known: &mut BTreeSet<String>) -> bool {
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
    signal["id"].as_str().is_none_or(|id| known.insert(id.to_owned()))
}

fn print(signal: &Value, json: bool) {
    if json {
        return output::json(signal);
    }
    let text = |name: &str| signal[name].as_str().unwrap_or("-");
    // A subject comes from outside: what would move a terminal is shown as it is written.
    let subject: String = text("subject").escape_debug().collect();
    let causes = signal["causes"].as_array().into_iter().flatten().filter_map(|cause| {
        Some(format!("{} {:+.1} d", cause["name"].as_str()?.escape_debug(), cause["days"].as_f64()?))
    });
    let drivers = signal["drivers"].as_array().into_iter().flatten().filter_map(|driver| {
        Some(format!("{} {}", driver["kind"].as_str()?, driver["name"].as_str()?.escape_debug()))
    });
    let restock = signal["restock_quantity"].as_i64().map(|quantity| format!("restock {quantity}"));
    let why: Vec<String> = causes.chain(drivers).chain(restock).collect();
    say!(
        "{}  {}  {:<18}  {:<7}  {}  {}  {}",
        text("at"),
        text("shard"),
        text("kind"),
        text("told"),
        signal["value"],
        subject,
        why.join(", ")
    );
}

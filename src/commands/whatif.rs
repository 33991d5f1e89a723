//! `weir whatif`: the same log, folded another way.

mod fates;
mod other;

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::Ended;
use super::connect::{Deployment, one_shard};
use super::load::{Kind, commands, read};
use super::output::{self, say};
use super::settings::Common;
use super::submit::check_rules;
use crate::motion::fold::FoldOn;
use crate::motion::folding::Applied;
use crate::motion::observing::records;
use crate::motion::refold::{farthest, refold};
use crate::words::command::OnShortage;
use crate::words::policy::PolicyChange;
use fates::{Fates, Life};
use other::{Different, Other};

/// What cannot be known.
const UNKNOWN: &str = "Customers would have behaved otherwise: who was refused would not have paid, who had not been would not have ordered \
                       again; what was shipped is shipped in both.";

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("different").required(true).multiple(true))]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// The shard [default: the only one]
    #[arg(long)]
    shard: Option<String>,
    /// Another policy: a file as `weir policy show` prints one; what it leaves out stays as it was. SKUs' own figures take effect once
    /// their SKUs are known
    #[arg(long, value_name = "FILE", group = "different")]
    policy: Option<PathBuf>,
    /// More stock from the start: a CSV (`sku,quantity[,site]`)
    #[arg(long, value_name = "FILE", group = "different")]
    stock: Option<PathBuf>,
    /// What orders do at a shortage that say to be refused, or say nothing
    #[arg(long, value_name = "WISH", group = "different", value_parser = ["partial", "backorder"])]
    on_shortage: Option<String>,
    /// List so many orders that differ, those worth most first; 0 for all
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn different(args: &Args) -> anyhow::Result<Different> {
    let mut different = Different {
        on_shortage: args.on_shortage.as_deref().map(|wish| match wish {
            "partial" => OnShortage::Partial,
            _ => OnShortage::Backorder,
        }),
        ..Different::default()
    };
    if let Some(file) = &args.policy {
        let name = file.display();
        let text = std::fs::read_to_string(file).with_context(|| name.to_string())?;
        // By way of a table, so that it borrows nothing of the text.
        let table: toml::Value = toml::from_str(&text).with_context(|| name.to_string())?;
        let policy = PolicyChange::<'static>::deserialize(table).with_context(|| name.to_string())?;
        check_rules(&policy).with_context(|| name.to_string())?;
        if let Some((figure, value, bounds)) =
            policy.figures().find(|(_, value, bounds)| !bounds.contains(value))
        {
            anyhow::bail!(
                "{name}: {figure} is {value}, it must be from {} to {}",
                bounds.start(),
                bounds.end()
            );
        }
        different.policy = policy;
    }
    if let Some(file) = &args.stock {
        let sites = read(file, Kind::Receive).with_context(|| file.display().to_string())?;
        let receipts = sites.iter().flat_map(|(site, skus)| commands(Kind::Receive, "whatif", site, skus));
        different.stock = receipts.collect();
    }
    Ok(different)
}

pub(super) async fn whatif(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let different = different(&args)?;
    let shard = one_shard(&config, args.shard.as_deref())?.name.clone();
    let deployment = Deployment::connect(&config, "whatif", false).await?;
    let edges = deployment.edges_of(&config, &shard)?;
    let pass_over = |snapshot: &str, why: &str| {
        eprintln!("weir: shard {shard}: snapshot {snapshot} is passed over: {why}");
    };
    let working = output::working(format!("folding shard {shard} twice"));
    let from = Box::pin(farthest(&shard, &edges, FoldOn::Thread, pass_over)).await?;
    // The other way begins with the same state.
    let again = Box::pin(farthest(&shard, &edges, FoldOn::Thread, |_, _| {})).await?;
    let first = from.start.inventory.chain().sequence + 1;
    anyhow::ensure!(
        again.start.inventory.chain() == from.start.inventory.chain(),
        "the log was trimmed meanwhile: try again"
    );
    let (snapshot, last) = (from.snapshot.clone(), from.last);
    let mut other = Other::new(again.start, different, snapshot.is_none());
    let mut fates = Fates::default();
    let (mut failed, mut span_ms) = (None, None);
    let each = |applied: &Applied| {
        for message in &applied.messages {
            records(applied, message, |_, record| fates.take(0, record));
            let Some(stored) = applied.stored.get(message.place) else { continue };
            let at_ms = stored.message.stored_at_ns / 1_000_000;
            let (since, _) = span_ms.unwrap_or((at_ms, at_ms));
            span_ms = Some((since, at_ms));
            let took = other.take(&stored.message, |applied| {
                for message in &applied.messages {
                    records(applied, message, |_, record| fates.take(1, record));
                }
            });
            if let Err(error) = took {
                failed = Some(error);
                return false;
            }
        }
        true
    };
    let inventory = Box::pin(refold(&edges, from, each)).await?;
    drop(working);
    if let Some(error) = failed {
        return Err(error.context("the other way"));
    }
    let time =
        |ms: i64| jiff::Timestamp::from_millisecond(ms).map_or(Value::Null, |at| at.to_string().into());
    let differing = fates.differing();
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let life = |life: &Option<Life>| {
        let waited_ms = life.and_then(|life| life.waited_ms);
        json!({ "fate": life.map(|life| life.fate.name()), "waited_ms": waited_ms })
    };
    let listed: Vec<Value> = differing
        .iter()
        .take(limit)
        .map(|order| {
            json!({
                "order_id": order.id,
                "value_minor": order.value_minor,
                "was": life(&order.lives[0]),
                "would_be": life(&order.lives[1]),
            })
        })
        .collect();
    let view = json!({
        "shard": shard,
        "first_sequence": first,
        "last_sequence": last,
        "snapshot": snapshot,
        "from": span_ms.map(|(since, _)| time(since)),
        "to": span_ms.map(|(_, until)| time(until)),
        "was": fates.sums(0, &inventory.totals()),
        "would_be": fates.sums(1, &other.inventory().totals()),
        "differing": differing.len(),
        "orders": listed,
        "not_compared": fates.not_compared,
        "messages_left_as_they_are": other.untouched,
        "unknown": UNKNOWN,
    });
    if args.json {
        output::json(&view);
    } else {
        print(&view);
    }
    Ok(Ended::Done)
}

fn print(view: &Value) {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.escape_debug().to_string(),
        other => other.to_string(),
    };
    for name in ["shard", "from", "to", "first_sequence", "last_sequence", "snapshot"] {
        say!("  {name}: {}", text(&view[name]));
    }
    let (Some(was), Some(would_be)) = (view["was"].as_object(), view["would_be"].as_object()) else { return };
    let rows: Vec<[String; 3]> =
        was.iter().map(|(name, value)| [name.clone(), text(value), text(&would_be[name])]).collect();
    say!("");
    output::table(["", "WAS", "WOULD BE"], &rows);
    say!("\n{} orders differ", view["differing"]);
    let rows: Vec<[String; 4]> = view["orders"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|order| {
            [
                text(&order["order_id"]),
                text(&order["value_minor"]),
                text(&order["was"]["fate"]),
                text(&order["would_be"]["fate"]),
            ]
        })
        .collect();
    if !rows.is_empty() {
        output::table(["ORDER", "VALUE", "WAS", "WOULD BE"], &rows);
    }
    say!("\n{UNKNOWN}");
}

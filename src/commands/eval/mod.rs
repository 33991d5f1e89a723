//! `weir eval`: judges Weir on a shop's own past before anybody trusts it.
//!
//! A file's rows become the contract's commands, which are played through the fold and the real analytics, each in its own time.
//! Every score is made before its truth is known: nothing after an event's own time can inform it. Formats: [`olist`], and
//! [`weir`], a CSV that any shop can write.

mod detections;
mod history;
mod olist;
mod play;
mod report;
mod scores;
mod stockouts;
mod told;
mod weir;

use std::path::PathBuf;

use serde_json::Value;

use super::Ended;
use super::import::open;
use super::import_command::commands_of;
use crate::folds::analytics::{DelaySettings, Settings};
use history::History;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The "Olist" data set
    Olist,
    /// Any commands, one JSON object a line, in the order of time: cancellations and stock
    Commands,
    #[value(
        help = "Weir's own CSV of past orders: order_id, placed, paid, shipped, delivered, cancelled, ship_by, \
                    promised_by, site, carrier, value; any further column is an attribute"
    )]
    Weir,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file, gzip or not; `-` is standard input
    file: PathBuf,
    /// How it is written
    #[arg(long, value_enum, default_value = "weir")]
    format: Format,
    /// Judge orders placed from then on; what was before is learned from in passing
    #[arg(long, value_parser = point_in_time)]
    since: Option<i64>,
    /// Judge orders placed before then
    #[arg(long, value_parser = point_in_time)]
    until: Option<i64>,
    /// The typical lead time from payment in days; learned where it is not given
    #[arg(long)]
    typical_paid: Option<f64>,
    /// The typical lead time from hand-over in days; learned where it is not given
    #[arg(long)]
    typical_shipped: Option<f64>,
    /// Publish what the lead-time model alone says
    #[arg(long)]
    no_mixture: bool,
    /// Divide all times within an order's life by this
    #[arg(long, default_value_t = 1.0)]
    shorten: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn point_in_time(text: &str) -> Result<i64, String> {
    weir::time(text, false).ok_or_else(|| format!("{text:?} is no time, such as 2026-11-22T03:00:00Z"))
}

pub(super) fn eval(args: &Args) -> anyhow::Result<Ended> {
    anyhow::ensure!(args.shorten.is_finite() && args.shorten >= 0.001, "--shorten is too small");
    for days in [args.typical_paid, args.typical_shipped].into_iter().flatten() {
        anyhow::ensure!(days.is_finite() && days > 0.0, "a typical lead time is a positive number of days");
    }
    let bytes = open(&args.file)?;
    let (pasts, notes) = match args.format {
        Format::Olist => (olist::read(bytes)?, Vec::new()),
        Format::Weir => weir::read(bytes)?,
        Format::Commands => {
            let mut text = String::new();
            let commands = told::timed(commands_of(bytes, &mut text)?);
            return show(&told::report(&commands)?, args.json);
        }
    };
    let history = History::new(pasts, args.shorten, notes);
    let settings = Settings {
        orders_max: history.lives.len().clamp(1_024, 1 << 22),
        // A past may say of a time no more than its day.
        follow_at_once_max: u32::MAX,
        delay: DelaySettings {
            typical_paid_days: args.typical_paid,
            typical_shipped_days: args.typical_shipped,
            mixture: !args.no_mixture,
            ..DelaySettings::default()
        },
        ..Settings::default()
    };
    let played = play::play(&history, settings)?;
    let between = args.since.unwrap_or(i64::MIN)..args.until.unwrap_or(i64::MAX);
    let report = report::report(&history, &played, &between);
    show(&report, args.json)
}

fn show(report: &Value, as_json: bool) -> anyhow::Result<Ended> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print(report, 0);
    }
    Ok(Ended::Done)
}

/// The report as indented lines.
fn print(value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if field.is_object() || field.as_array().is_some_and(|rows| rows.iter().any(Value::is_object))
                {
                    println!("{indent}{name}:");
                    print(field, depth + 1);
                } else {
                    println!("{indent}{name}: {field}");
                }
            }
        }
        Value::Array(rows) => {
            for row in rows {
                println!("{indent}{row}");
            }
        }
        other => println!("{indent}{other}"),
    }
}

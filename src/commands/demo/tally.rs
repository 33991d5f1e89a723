//! What was sent and what became of it, and whether that adds up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;

use crate::commands::output::say;
use crate::commands::sending::batches;
use crate::edges::streams::{AppendError, Streams};
use crate::edges::telemetry::ShardTelemetry;
use crate::motion::shard::Inspection;
use crate::words::codec::Format;
use crate::words::command::{Command, CommandKind};
use crate::words::outcome::{Decision, Outcome, Reason};

/// What the outcomes add up to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) confirmed: u64,
    confirmed_in_part: u64,
    waiting: u64,
    released: u64,
    refused: BTreeMap<&'static str, u64>,
    /// Refusals of commands other than place.
    refused_later: BTreeMap<&'static str, u64>,
    repeats: u64,
    others: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) fn count(&mut self, outcome: &Outcome<'_>) {
        match &outcome.decision {
            Decision::Confirmed { repeat: Some(_), .. }
            | Decision::Waiting { repeat: Some(_), .. }
            | Decision::Refused { repeat: Some(_), .. } => self.repeats += 1,
            Decision::Confirmed { released: true, .. } => self.released += 1,
            Decision::Confirmed { shortages, .. } => {
                self.confirmed += 1;
                self.confirmed_in_part += u64::from(!shortages.is_empty());
            }
            Decision::Waiting { .. } => self.waiting += 1,
            Decision::Refused { command: CommandKind::Place, reason, .. } => {
                *self.refused.entry(reason.code()).or_default() += 1;
            }
            Decision::Refused { reason, .. } => *self.refused_later.entry(reason.code()).or_default() += 1,
            decision => *self.others.entry(decision.kind().name()).or_default() += 1,
        }
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Orders that were decided for the first time.
    pub(super) fn orders(&self) -> u64 {
        self.confirmed + self.waiting + self.refused()
    }

    /// Refused orders that the state remembers: those for want of stock.
    fn refused_by_stock(&self) -> u64 {
        self.refused.get(Reason::InsufficientStock.code()).copied().unwrap_or_default()
    }
}

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    commands: AtomicU64,
    pub(super) places: AtomicU64,
}

/// Stores commands, and counts them.
pub(super) async fn append(
    streams: &impl Streams,
    commands: &[Command<'_>],
    sent: &Sent,
) -> Result<(), AppendError> {
    for batch in batches(commands) {
        streams.append_log(Format::Bincode, batch.payload).await?;
    }
    let places = commands.iter().filter(|command| command.kind() == CommandKind::Place).count();
    sent.places.fetch_add(places as u64, Relaxed);
    sent.commands.fetch_add(commands.len() as u64, Relaxed);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn to_f64(count: u64) -> f64 {
    count as f64
}

pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * to_f64(part) / to_f64(whole) }
}

pub(super) fn millis(micros: u64) -> String {
    format!("{:.1} ms", to_f64(micros) / 1000.0)
}

/// What does not add up: nothing, unless there is a defect.
pub(super) fn problems(tally: &Tally, sent: &Sent, inspection: &Inspection) -> Vec<String> {
    let mut problems = Vec::new();
    let mut equal = |what: &str, left: u64, right: u64| {
        if left != right {
            problems.push(format!("{what}: {left} is not {right}"));
        }
    };
    let totals = inspection.totals;
    equal("orders sent and orders decided", sent.places.load(Relaxed), tally.orders() + tally.repeats);
    equal(
        "orders decided, and orders in the state or forgotten",
        tally.confirmed + tally.waiting + tally.refused_by_stock(),
        totals.open_orders
            + totals.settled_orders
            + totals.closed_orders
            + totals.refused_orders
            + totals.forgotten_orders,
    );
    if let Err(broken) = &inspection.books {
        problems.push(broken.to_string());
    }
    problems
}

pub(super) fn print_json(
    tally: &Tally,
    sent: &Sent,
    telemetry: &ShardTelemetry,
    elapsed: Duration,
    problems: &[String],
) {
    let summary = json!({
        "seconds": elapsed.as_secs_f64(),
        "commands": sent.commands.load(Relaxed),
        "orders": tally.orders(),
        "orders_per_second": to_f64(tally.orders()) / elapsed.as_secs_f64().max(0.001),
        "confirmed": tally.confirmed,
        "confirmed_in_part": tally.confirmed_in_part,
        "waiting": tally.waiting,
        "released": tally.released,
        "refused": tally.refused,
        "refused_later": tally.refused_later,
        "repeats": tally.repeats,
        "others": tally.others,
        "stored_to_announced_us": {
            "p50": telemetry.end_to_end_us(0.5),
            "p99": telemetry.end_to_end_us(0.99),
            "max": telemetry.end_to_end_us(1.0),
        },
        "problems": problems,
    });
    say!("{summary}");
}

/// `span` is what the summary is of.
pub(super) fn print_summary(
    span: &str,
    tally: &Tally,
    sent: &Sent,
    telemetry: &ShardTelemetry,
    inspection: &Inspection,
    problems: &[String],
) {
    let orders = tally.orders();
    let row = |count: u64, what: &str| say!("{count:>12}  {what}");
    say!("\nIn {span}, {} commands:", sent.commands.load(Relaxed));
    row(orders, "orders placed, each decided once");
    row(tally.confirmed, &format!("confirmed ({} of them in part)", tally.confirmed_in_part));
    row(tally.waiting, &format!("had to wait ({} of them were released since)", tally.released));
    for (reason, count) in &tally.refused {
        row(*count, &format!("refused: {reason}"));
    }
    row(tally.repeats, "sent twice, and answered with the first outcome");
    for (what, count) in &tally.others {
        row(*count, what);
    }
    for (reason, count) in &tally.refused_later {
        row(*count, &format!("later steps refused: {reason}"));
    }
    say!(
        "Stored to announced: p50 {}, p99 {}, max {}.",
        millis(telemetry.end_to_end_us(0.5)),
        millis(telemetry.end_to_end_us(0.99)),
        millis(telemetry.end_to_end_us(1.0)),
    );
    let stock = inspection.totals.stock;
    say!("Stock: {} SKUs, {} units on hand, {} reserved.", stock.skus, stock.on_hand, stock.reserved);
    if problems.is_empty() {
        say!("It adds up: every order sent was decided once, every unit of stock is accounted for.");
    } else {
        say!("It does NOT add up:");
        for problem in problems {
            say!("  {problem}");
        }
    }
}

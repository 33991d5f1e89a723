//! `weir demo`: the engine on streams in memory, a load shaped like a real shop's, live figures, a summary that adds up.
//!
//! It is the engine of `weir run`, admin server included; only the streams are in memory, and trimmed behind what was
//! announced and shown, so that it can run for as long as one likes. Nothing survives its end.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Ended;
use super::console;
use super::generator::{Generator, Shape};
use super::output::{self, say};
use super::run::Signals;
use super::sending::batches;
use crate::edges::ShardEdges;
use crate::edges::clock::{SharedClock, SystemClock};
use crate::edges::jetstream::Names;
use crate::edges::memory::{MemoryLimits, MemoryStreams};
use crate::edges::streams::{AppendError, Reader as _, Streams as _};
use crate::edges::telemetry::{ShardTelemetry, Telemetry};
use crate::motion::options::AnalyticsOptions;
use crate::motion::shard::{Inspection, ShardOptions};
use crate::motion::status::Status;
use crate::process::admin::{Shown, bind, serve};
use crate::process::engine::Engine;
use crate::process::flow::Flow;
use crate::process::queries::Queries;
use crate::words::codec::{Format, outcomes};
use crate::words::command::{Command, CommandKind};
use crate::words::config::{ConsoleSettings, Shards};
use crate::words::identity::Identity;
use crate::words::outcome::{Decision, Outcome, Reason};

const SHARD: &str = "main";
/// How often the figures are shown on a terminal, and elsewhere; and after how long for the first time.
const SHOW_INTERVAL: Duration = Duration::from_millis(250);
const SHOW_INTERVAL_PLAIN: Duration = Duration::from_secs(1);
/// How often commands are sent.
const SEND_INTERVAL: Duration = Duration::from_millis(5);
/// How long the end may take.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long to run; Ctrl-C ends it early
    #[arg(long = "for", value_name = "DURATION", default_value = "15s", value_parser = super::fields::duration)]
    duration: Duration,
    /// Orders a second: 1 to 100000
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// What the load is drawn from: the same seed gives the same commands
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the summary as one JSON object, and nothing else
    #[arg(long)]
    json: bool,
    /// Where /metrics and /status listen [default: 127.0.0.1:9464, or any free port]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Where the live console listens [default: 127.0.0.1:9465, or any free port]
    #[arg(long, value_name = "ADDR")]
    console: Option<SocketAddr>,
}

/// What the outcomes add up to.
#[derive(Debug, Default)]
struct Tally {
    confirmed: u64,
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
    fn count(&mut self, outcome: &Outcome<'_>) {
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

    fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Orders that were decided for the first time.
    fn orders(&self) -> u64 {
        self.confirmed + self.waiting + self.refused()
    }

    /// Refused orders that the state remembers: those for want of stock.
    fn refused_by_stock(&self) -> u64 {
        self.refused.get(Reason::InsufficientStock.code()).copied().unwrap_or_default()
    }
}

/// What was sent.
#[derive(Debug, Default)]
struct Sent {
    commands: AtomicU64,
    places: AtomicU64,
}

pub(super) async fn demo(args: Args) -> anyhow::Result<Ended> {
    let mut signals = Signals::new()?;
    let telemetry = Arc::new(Telemetry::new());
    let listener = listen(args.admin).await?;
    let address = listener.local_addr()?;
    let clock = SystemClock::shared();
    let flow = Some(Flow::new(clock.clone()));
    let shown = Arc::new(Shown::with_flow(telemetry.clone(), flow, Names::default()));
    let stop_admin = CancellationToken::new();
    tokio::spawn(serve(listener, shown.clone(), stop_admin.clone()));
    let said = args.console.is_some();
    let mut settings = ConsoleSettings::default();
    if let Some(address) = args.console {
        settings.address = address.to_string();
    }
    let console = console::open(&settings, said, &shown, &telemetry, &clock, "demo").await?;
    if !args.json {
        say!("Weir on streams in memory, {} orders/s. Metrics: http://{address}/metrics", args.rate);
        if let Some(address) = console.address {
            say!("Console: http://{address}/");
        }
    }

    let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
    let mut outcome_reader = streams.read_outcomes(1).await?;
    let options = ShardOptions {
        analytics: Some(AnalyticsOptions::default()),
        ..ShardOptions::new("demo", Format::Bincode)
    };
    let engine = Engine::alone(
        vec![(SHARD.to_owned(), ShardEdges::in_memory(streams.clone()))],
        &clock,
        &options,
        &telemetry,
    );
    shown.set_statuses(engine.statuses());
    let status = engine.statuses()[0].clone();
    let held = vec![(status.clone(), streams.clone())];
    console.answer(Arc::new(Queries::new(held, Shards::default(), None)));

    let sent = Arc::new(Sent::default());
    let stop_sending = CancellationToken::new();
    let sender = tokio::spawn({
        let generator = Generator::new(args.seed, Shape::default());
        let (streams, clock, sent, stop) =
            (streams.clone(), clock.clone(), sent.clone(), stop_sending.clone());
        async move { feed(&streams, &clock, generator, args.rate, &sent, &stop).await }
    });

    let mut tally = Tally::default();
    let mut through = Identity::START;
    let screen = Screen {
        telemetry: telemetry_of(&telemetry, &status),
        status: status.clone(),
        terminal: std::io::stdout().is_terminal(),
    };
    let started = clock.monotonic();
    let interval = if screen.terminal { SHOW_INTERVAL } else { SHOW_INTERVAL_PLAIN };
    let mut ticker = tokio::time::interval_at(Instant::now() + SHOW_INTERVAL, interval);
    let end = tokio::time::sleep(args.duration);
    tokio::pin!(end);
    loop {
        tokio::select! {
            appends = outcome_reader.next() => through = take(&streams, appends?, &mut tally).await?,
            _ = ticker.tick(), if !args.json => screen.show(&tally, clock.monotonic().saturating_sub(started)),
            () = &mut end => break,
            () = signals.next() => break,
        }
    }
    let elapsed = clock.monotonic().saturating_sub(started);
    stop_sending.cancel();
    sender.await.context("the generator")??;
    let log_last = streams.log_state().await?.last_sequence;
    let rest = async {
        while through.sequence < log_last {
            through = take(&streams, outcome_reader.next().await?, &mut tally).await?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(DRAIN_DEADLINE, rest).await.context("the last outcomes did not come in time")??;
    let inspection = status.inspect().await.context("the shard stands still")?;
    shown.set_draining();
    engine.drain(DRAIN_DEADLINE).await;
    stop_admin.cancel();
    console.close().await;

    let problems = problems(&tally, &sent, &inspection);
    if args.json {
        print_json(&tally, &sent, &screen.telemetry, elapsed, &problems);
    } else {
        screen.end();
        print_summary(&tally, &sent, &screen.telemetry, elapsed, &inspection, &problems);
    }
    Ok(if problems.is_empty() { Ended::Done } else { Ended::Failed })
}

fn telemetry_of(telemetry: &Telemetry, status: &Status) -> Arc<ShardTelemetry> {
    telemetry.find(&status.shard).expect("the engine made it")
}

async fn listen(asked: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    if let Some(address) = asked {
        return bind(address).await.with_context(|| format!("cannot listen on {address}"));
    }
    let standard = SocketAddr::from(([127, 0, 0, 1], 9464));
    match bind(standard).await {
        Ok(listener) => Ok(listener),
        Err(_) => Ok(bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?),
    }
}

/// Sends what the generator gives, at the rate asked for, until stopped. Behind time it catches up, a second at most.
async fn feed(
    streams: &MemoryStreams,
    clock: &SharedClock,
    mut generator: Generator,
    rate: u64,
    sent: &Sent,
    stop: &CancellationToken,
) -> Result<(), AppendError> {
    append(streams, &generator.initial_stock(), sent).await?;
    let started = clock.monotonic();
    let mut ticker = tokio::time::interval(SEND_INTERVAL);
    let mut skipped = 0;
    while stop.run_until_cancelled(ticker.tick()).await.is_some() {
        let elapsed_ms =
            u64::try_from(clock.monotonic().saturating_sub(started).as_millis()).unwrap_or(u64::MAX);
        let due = (elapsed_ms.saturating_mul(rate) / 1000).saturating_sub(skipped);
        let mut behind = due.saturating_sub(generator.orders_placed());
        if behind > rate {
            skipped += behind - rate;
            behind = rate;
        }
        let target = generator.orders_placed() + behind;
        let mut commands = Vec::new();
        while generator.orders_placed() < target {
            commands.push(generator.next_command());
        }
        append(streams, &commands, sent).await?;
    }
    Ok(())
}

async fn append(streams: &MemoryStreams, commands: &[Command<'_>], sent: &Sent) -> Result<(), AppendError> {
    let places = commands.iter().filter(|command| command.kind() == CommandKind::Place).count();
    for batch in batches(commands) {
        streams.append_log(Format::Bincode, batch.payload).await?;
    }
    sent.places.fetch_add(places as u64, Relaxed);
    sent.commands.fetch_add(commands.len() as u64, Relaxed);
    Ok(())
}

/// Counts what was announced, and lets go of what is not needed any more.
async fn take(
    streams: &MemoryStreams,
    appends: Vec<crate::words::append::StoredAppend>,
    tally: &mut Tally,
) -> Result<Identity, AppendError> {
    let mut through = Identity::START;
    for stored in appends {
        through = stored.append.header.through;
        match outcomes(stored.append.format, &stored.append.payload) {
            Ok(outcomes) => outcomes.iter().for_each(|outcome| tally.count(outcome)),
            Err(error) => eprintln!("weir: {error}"),
        }
        streams.trim_outcomes(stored.sequence);
    }
    streams.trim_log(through.sequence.saturating_sub(1)).await?;
    Ok(through)
}

/// The live figures.
struct Screen {
    telemetry: Arc<ShardTelemetry>,
    status: Arc<Status>,
    terminal: bool,
}

impl Screen {
    fn show(&self, tally: &Tally, elapsed: Duration) {
        let orders = tally.orders();
        let seconds = elapsed.as_secs_f64().max(0.001);
        let progress = self.status.progress();
        let line = format!(
            "{seconds:5.1} s {orders:>8} orders {:>6.0}/s {:5.1}% confirmed {:4.1}% refused p99 {} lag {}",
            to_f64(orders) / seconds,
            percent(tally.confirmed, orders),
            percent(tally.refused(), orders),
            millis(self.telemetry.end_to_end_us(0.99)),
            progress.lag_messages(),
        );
        if self.terminal {
            print!("\r\x1b[K{}", output::cut(&line));
        } else {
            say!("{line}");
        }
        // A terminal that has gone away is no reason to stop.
        let _ = std::io::stdout().flush();
    }

    fn end(&self) {
        if self.terminal {
            say!("");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * to_f64(part) / to_f64(whole) }
}

fn millis(micros: u64) -> String {
    format!("{:.1} ms", to_f64(micros) / 1000.0)
}

/// What does not add up: nothing, unless there is a defect.
fn problems(tally: &Tally, sent: &Sent, inspection: &Inspection) -> Vec<String> {
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

fn print_json(
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

fn print_summary(
    tally: &Tally,
    sent: &Sent,
    telemetry: &ShardTelemetry,
    elapsed: Duration,
    inspection: &Inspection,
    problems: &[String],
) {
    let orders = tally.orders();
    let row = |count: u64, what: &str| say!("{count:>12}  {what}");
    say!("\nIn {:.1} s, {} commands:", elapsed.as_secs_f64(), sent.commands.load(Relaxed));
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

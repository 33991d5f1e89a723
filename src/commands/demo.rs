//! `weir demo`: the engine on streams in memory, a load shaped like a real shop's, live figures, a summary that adds up.
//!
//! It is the engine of `weir run`, admin server included; only the streams are in memory, and trimmed behind what was
//! announced and shown, so that it can run for as long as one likes. Nothing survives its end.

mod shop;
mod stage;
mod stories;
mod tally;
mod workers;

use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::stage::{Places, Stage};
use self::stories::Story;
use self::tally::{Sent, Tally, append, millis, percent, print_json, print_summary, problems, to_f64};
use super::Ended;
use super::generator::{Generator, Shape};
use super::output::{self, say};
use super::run::Signals;
use crate::edges::clock::{SharedClock, SystemClock};
use crate::edges::memory::MemoryStreams;
use crate::edges::streams::AppendError;
use crate::edges::telemetry::ShardTelemetry;
use crate::motion::status::Status;

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
    /// How long to run; Ctrl-C ends it early [default: 15s, or as long as the story is]
    #[arg(long = "for", value_name = "DURATION", value_parser = super::fields::duration)]
    duration: Option<Duration>,
    /// Orders a second: 1 to 100000
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=100_000), conflicts_with = "story")]
    rate: u64,
    /// Tell a story in place of an even load: what somebody sees who runs a shop, or Weir
    #[arg(long, value_name = "STORY")]
    story: Option<Story>,
    /// The server on which the stories of workers play (`dead-worker`, `full-log`), under a prefix of their own: one to try things out on
    #[arg(long, value_name = "URL", requires = "story")]
    nats: Option<String>,
    /// What the load is drawn from: the same seed gives the same commands
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the summary as one JSON object, and nothing else
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// How long it runs, where nobody says.
const DURATION: Duration = Duration::from_secs(15);

pub(super) async fn demo(args: Args) -> anyhow::Result<Ended> {
    let signals = Signals::new()?;
    match args.story {
        Some(story) => stories::tell(story, &args, signals).await,
        None => run(&args, signals).await,
    }
}

async fn run(args: &Args, mut signals: Signals) -> anyhow::Result<Ended> {
    let clock = SystemClock::shared();
    let mut stage = Stage::new(clock.clone()).await?;
    let audience = stage.show(&args.places).await?;
    if !args.json {
        say!("Weir on streams in memory, {} orders/s.", args.rate);
        audience.say();
    }

    let sent = Arc::new(Sent::default());
    let stop_sending = CancellationToken::new();
    let sender = tokio::spawn({
        let generator = Generator::new(args.seed, Shape::default());
        let (streams, clock, sent, stop, rate) =
            (stage.streams.clone(), clock.clone(), sent.clone(), stop_sending.clone(), args.rate);
        async move { feed(&streams, &clock, generator, rate, &sent, &stop).await }
    });

    let mut tally = Tally::default();
    let screen = Screen {
        telemetry: stage.shard_telemetry(),
        status: stage.status.clone(),
        terminal: std::io::stdout().is_terminal(),
    };
    let started = clock.monotonic();
    let interval = if screen.terminal { SHOW_INTERVAL } else { SHOW_INTERVAL_PLAIN };
    let mut ticker = tokio::time::interval_at(Instant::now() + SHOW_INTERVAL, interval);
    let end = tokio::time::sleep(args.duration.unwrap_or(DURATION));
    tokio::pin!(end);
    loop {
        tokio::select! {
            taken = stage.take(&mut tally) => taken?,
            _ = ticker.tick(), if !args.json => screen.show(&tally, clock.monotonic().saturating_sub(started)),
            () = &mut end => break,
            () = signals.next() => break,
        }
    }
    let elapsed = clock.monotonic().saturating_sub(started);
    stop_sending.cancel();
    sender.await.context("the generator")??;
    let inspection = stage.end(&mut tally, audience).await?;

    let problems = problems(&tally, &sent, &inspection);
    if args.json {
        print_json(&tally, &sent, &screen.telemetry, elapsed, &problems);
    } else {
        screen.end();
        let span = format!("{:.1} s", elapsed.as_secs_f64());
        print_summary(&span, &tally, &sent, &screen.telemetry, &inspection, &problems);
    }
    Ok(if problems.is_empty() { Ended::Done } else { Ended::Failed })
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

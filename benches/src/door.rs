//! The door: one JSON order a request, beside a plain request-reply echo on the same server; and a flood.
//!
//! ```sh
//! weir-bench door
//! ```
//!
//! Both answer the same generator over the same kind of connection: the echo reads requests and writes replies exactly as the door
//! does (`edges::jetstream::JetRequests`), and does nothing in between, so that it is the strictest measure there is. Door and leader
//! are one worker, a process of its own; so is the echo. They are measured in turn, round by round, at saturation (so many requests
//! are under way at any time) and at a tenth of the echo's rate (requests leave at planned times, and count from those). Then orders
//! come at ten times the door's own rate, or as fast as the generator can, for half a minute.
//!
//! Exit code: 1 where a request has no answer, an order was decided twice, or there is no nats-server.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Command as Program;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::sync::Notify;

use weir::edges::clock::{SharedClock, SystemClock};
use weir::edges::jetstream::{Connection, JetRequests, Names, Security};
use weir::edges::requests::{Outgoing, Replies as _, Request, Requests as _};
use weir::words::codec::{Format, encode_commands};
use weir::words::codes::Family;

use weir_kit::process::{Ending, Input, Process, peak_rss_bytes, version};
use weir_kit::programs;

use crate::arguments::Fsync;
use crate::asking::Asking;
use crate::conditions::{Conditions, worker};
use crate::load::folder;
use crate::reference::{numbered, stock};
use crate::screen::Screen;
use crate::servers::{Servers, become_before};
use crate::statistics::{Spread, grouped, histogram, millis, to_f64, whole};
use crate::{Ended, interrupted};

/// A request that has no answer for so long has none.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the generator waits for answers before it looks at the time again.
const TURN: Duration = Duration::from_millis(20);
/// How often requests leave whose planned time has come.
const BEAT: Duration = Duration::from_micros(500);
/// The most requests under way in a flood: the generator's memory is bounded, too.
const FLOOD_UNDER_WAY: usize = 2_000_000;
/// How many times the door's own rate a flood is.
const FLOOD_TIMES: f64 = 10.0;
/// A probe that is decided within this is well served.
const WELL_SERVED: Duration = Duration::from_millis(50);
/// So many in a row, and service is as it was.
const WELL_SERVED_IN_A_ROW: u32 = 100;
/// The aims: of the echo's rate at least; and of its median and its p99 at a tenth of its rate at most.
const RATE_LEAST: f64 = 0.5;
const P50_TIMES_MOST: f64 = 5.0;
const P99_TIMES_MOST: f64 = 3.0;
const RECOVERY_MOST: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many rounds there are
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each measurement takes, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many requests are under way at saturation, at the echo as at the door
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    under_way: u32,
    /// How long the flood takes, in seconds; 0 for none
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=600))]
    flood: u64,
    /// When the server fsyncs
    #[arg(long, value_enum, default_value_t = Fsync::Lazy)]
    fsync: Fsync,
    /// The nats-server to use [default: on PATH, else the newest in target/tools]
    #[arg(long, value_name = "FILE")]
    nats_server: Option<PathBuf>,
    /// Where the server stores, in a folder that is removed [default: the system's folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    store_dir: Option<PathBuf>,
    /// The worker to measure [default: the weir beside this program]
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
}

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Echo,
    Door,
}

impl Target {
    fn names(self) -> Result<Names> {
        Ok(Names::new(match self {
            Self::Echo => "echo",
            Self::Door => "weir",
        })?)
    }
}

/// One measurement.
#[derive(Debug)]
struct Measured {
    per_second: f64,
    latency: Histogram<u64>,
    /// Replies by what they begin with: decisions, `busy`, and others.
    decided: u64,
    busy: u64,
    others: u64,
    /// Requests without an answer.
    silent: u64,
}

/// Measures.
pub(crate) async fn measure(args: Args) -> Result<Ended> {
    tokio::select! {
        measured = run(&args) => measured,
        () = interrupted()? => Err(anyhow::anyhow!("interrupted")),
    }
}

/// Answers every request with itself, for ever: the echo's process.
pub(crate) async fn echo(url: String) -> Result<()> {
    let options = Connection {
        urls: vec![url],
        name: "echo".to_owned(),
        wait_for_server: true,
        security: Security::default(),
    };
    let mut requests = JetRequests::new(options, &Target::Echo.names()?)?;
    let replies = requests.replies();
    while let Some(came) = requests.next().await {
        let answers = came.into_iter().filter_map(|Request { reply_to, payload, .. }| {
            Some(Outgoing { to: reply_to?, format: Format::Json, payload })
        });
        replies.reply(&answers.collect::<Vec<_>>());
    }
    Ok(())
}

fn start(name: &str, program: &std::path::Path, arguments: &[&str]) -> Result<Process> {
    let before = become_before()?;
    let mut command = Program::new(&before[0]);
    command.args(&before[1..]).arg(program).args(arguments);
    Process::start(name, command, Input::None, Ending::Killed)
}

async fn run(args: &Args) -> Result<Ended> {
    let weir = worker(args.weir.as_deref())?;
    let folder = folder(&args.store_dir.clone().unwrap_or_else(std::env::temp_dir))?;
    let binary = programs::nats_server(args.nats_server.as_deref())?;
    let conditions = Conditions::of(vec![version(&binary)?], Some(folder.path()));
    for (name, what) in conditions.rows() {
        println!("{name:>8}  {what}");
    }
    println!(
        "          fsync: {:?}; {} rounds of {} s; one JSON order a request",
        args.fsync, args.rounds, args.seconds
    );
    let servers = Servers::start(&binary, folder.path(), args.fsync, 1).await?;
    let url = servers.urls[0].clone();
    let made = Program::new(&weir).args(["setup", "--nats", &url]).output()?;
    ensure!(made.status.success(), "weir setup: {}", String::from_utf8_lossy(&made.stderr));
    let own = std::env::current_exe()?;
    let _echo = start("echo", &own, &["part", "echo", &url])?;
    let door = start("weir", &weir, &["run", "--nats", &url, "--admin", "127.0.0.1:0"])?;

    let clock = SystemClock::shared();
    let mut generator = Generator::connect(&url, clock.clone()).await?;
    generator.until_open(Target::Echo).await?;
    generator.until_open(Target::Door).await?;
    for receipt in stock() {
        let payload = encode_commands(Format::Json, &[receipt]);
        let told = generator.ask(Target::Door, Family::Stock, &payload).await?;
        ensure!(told.starts_with(b"{\"outcome\":\"received\""), "{}", String::from_utf8_lossy(&told));
    }
    let window = Duration::from_secs(args.seconds);
    let mut screen = Screen::new();
    let (mut rates, mut slow) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 1..=args.rounds {
        for (place, target) in [Target::Echo, Target::Door].into_iter().enumerate() {
            screen.label(format!("round {round}, {target:?}"));
            screen.stage("at saturation");
            let measured = generator.run(target, Pace::UnderWay(args.under_way as usize), window).await?;
            check(target, &measured)?;
            rates[place].push(measured.per_second);
        }
        let tenth = rates[0].iter().sum::<f64>() / to_f64(rates[0].len() as u64) / 10.0;
        for (place, target) in [Target::Echo, Target::Door].into_iter().enumerate() {
            screen.label(format!("round {round}, {target:?}"));
            screen.stage("at a tenth of the echo's rate");
            let measured = generator.run(target, Pace::PerSecond(tenth), window).await?;
            check(target, &measured)?;
            slow[place].push(measured);
        }
    }
    screen.clear();
    let median = |figures: &[f64]| Spread::of(figures.iter().copied()).map_or(0.0, |spread| spread.median);
    let (echo, own) = (median(&rates[0]), median(&rates[1]));
    println!("at saturation, {} requests under way, medians of {} rounds:", args.under_way, args.rounds);
    println!("  echo {}/s, door {}/s", whole(echo), whole(own));
    aim("rate", own / echo, RATE_LEAST, true);
    let at = |measured: &[Measured], quantile: f64| {
        let all = measured.iter().map(|one| to_f64(one.latency.value_at_quantile(quantile)) / 1_000.0);
        median(&all.collect::<Vec<_>>())
    };
    println!("at a tenth of the echo's rate, planned to answered:");
    for (what, quantile, most) in [("p50", 0.5, P50_TIMES_MOST), ("p99", 0.99, P99_TIMES_MOST)] {
        let (echo, own) = (at(&slow[0], quantile), at(&slow[1], quantile));
        println!("  {what}: echo {}, door {}", millis(echo), millis(own));
        aim(what, own / echo, most, false);
    }
    if args.flood > 0 {
        flood(&mut generator, own, Duration::from_secs(args.flood), door.id()).await?;
    }
    let audited = Program::new(&weir).args(["audit", "--nats", &url]).output()?;
    ensure!(audited.status.success(), "the audit: {}", String::from_utf8_lossy(&audited.stdout));
    println!("audited: {}", String::from_utf8_lossy(&audited.stdout).lines().next().unwrap_or_default());
    Ok(Ended::Done)
}

/// An aim, and what was measured: a share of the echo's.
fn aim(what: &str, times: f64, bound: f64, least: bool) {
    let (reached, how) = if least { (times >= bound, "at least") } else { (times <= bound, "at most") };
    let reached = if reached { "reached" } else { "MISSED" };
    println!("  aim: {what} {how} {bound} times the echo's; {times:.2} times: {reached}");
}

/// Below its limits every request is decided.
fn check(target: Target, measured: &Measured) -> Result<()> {
    ensure!(measured.silent == 0, "{target:?}: {} requests have no answer", measured.silent);
    if target == Target::Door && (measured.busy > 0 || measured.others > 0) {
        bail!(
            "the door: {} busy and {} other answers, of {}",
            measured.busy,
            measured.others,
            measured.decided
        );
    }
    Ok(())
}

async fn flood(generator: &mut Generator, rate: f64, window: Duration, door: u32) -> Result<()> {
    let before = peak_rss_bytes(door).unwrap_or_default();
    let pace = Pace::PerSecond(rate * FLOOD_TIMES);
    let measured = generator.run(Target::Door, pace, window).await?;
    println!(
        "a flood of {} s at {FLOOD_TIMES} times its rate: {}/s asked for, {}/s answered ({} decided, {} busy, {} others)",
        window.as_secs(),
        whole(rate * FLOOD_TIMES),
        whole(measured.per_second),
        grouped(measured.decided),
        grouped(measured.busy),
        grouped(measured.others)
    );
    let mib = |bytes: u64| to_f64(bytes >> 20);
    let after = peak_rss_bytes(door).unwrap_or_default();
    println!("  the worker's memory at most: {} MiB before, {} MiB then", mib(before), mib(after));
    ensure!(measured.silent == 0, "{} requests have no answer", measured.silent);
    let clock = generator.clock.clone();
    let ended = clock.monotonic();
    let mut in_a_row = 0;
    let mut recovered = ended;
    while in_a_row < WELL_SERVED_IN_A_ROW {
        let begun = clock.monotonic();
        ensure!(begun.saturating_sub(ended) < Duration::from_mins(1), "service does not come back");
        let order = generator.next_order();
        let told = generator.ask(Target::Door, Family::Orders, &order).await?;
        let well = kind(&told) == Kind::Decided && clock.monotonic().saturating_sub(begun) <= WELL_SERVED;
        if !well {
            in_a_row = 0;
            continue;
        }
        if in_a_row == 0 {
            recovered = begun;
        }
        in_a_row += 1;
    }
    let took = recovered.saturating_sub(ended);
    let reached = if took <= RECOVERY_MOST { "reached" } else { "MISSED" };
    println!("  aim: service as before within {RECOVERY_MOST:?} of its end; {took:?}: {reached}");
    Ok(())
}

/// How many requests are due after so long.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far below 2^53, and positive")]
fn due(elapsed: Duration, rate: f64) -> u64 {
    (elapsed.as_secs_f64() * rate) as u64
}

/// Notifies on every beat, until what it returns is dropped. A thread of its own keeps the beat: tokio's timers are only exact to 1 ms.
/// With them, requests would leave mostly when answers arrive, so slow answers would delay them.
fn beats() -> Arc<Notify> {
    let beats = Arc::new(Notify::new());
    let told = Arc::downgrade(&beats);
    std::thread::spawn(move || {
        while let Some(beats) = told.upgrade() {
            beats.notify_one();
            drop(beats);
            std::thread::sleep(BEAT);
        }
    });
    beats
}

/// How requests leave.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// So many are under way at any time.
    UnderWay(usize),
    PerSecond(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Decided,
    Busy,
    Other,
}

/// What a reply is: an outcome, or one of the door's own.
pub(crate) fn kind(payload: &[u8]) -> Kind {
    let Some(rest) = payload.strip_prefix(b"{\"outcome\":\"") else { return Kind::Decided };
    let is = |word: &[u8]| rest.starts_with(word);
    if is(b"busy") {
        Kind::Busy
    } else if is(b"accepted") || is(b"unknown") || is(b"unavailable") {
        Kind::Other
    } else {
        Kind::Decided
    }
}

/// A client that asks over one connection.
struct Generator {
    clock: SharedClock,
    asking: Asking,
    /// The number of the next order, and of the next request.
    order: u64,
    number: u64,
    /// Orders that are ready to be sent.
    ready: VecDeque<Vec<u8>>,
    /// Where the last request went.
    subject: (Target, Family, String),
}

impl Generator {
    async fn connect(url: &str, clock: SharedClock) -> Result<Self> {
        let asking = Asking::connect(url, 0).await?;
        let (target, family) = (Target::Door, Family::Orders);
        let subject = (target, family, target.names()?.submit_subject(family));
        Ok(Self { clock, asking, order: 0, number: 0, ready: VecDeque::new(), subject })
    }

    fn next_order(&mut self) -> Vec<u8> {
        if let Some(ready) = self.ready.pop_front() {
            return ready;
        }
        self.order += 1;
        encode_commands(Format::Json, &numbered(self.order - 1..self.order))
    }

    /// Builds orders ahead, so that a measurement is not one of building them.
    fn prepare(&mut self, orders: usize) {
        while self.ready.len() < orders {
            let order = encode_commands(Format::Json, &numbered(self.order..self.order + 1));
            self.order += 1;
            self.ready.push_back(order);
        }
    }

    fn publish(&mut self, target: Target, family: Family, payload: &[u8]) -> Result<u64> {
        if (self.subject.0, self.subject.1) != (target, family) {
            self.subject = (target, family, target.names()?.submit_subject(family));
        }
        let number = self.number;
        self.number += 1;
        self.asking.request(&self.subject.2, number, payload);
        Ok(number)
    }

    /// One request and its reply.
    async fn ask(&mut self, target: Target, family: Family, payload: &[u8]) -> Result<Vec<u8>> {
        let number = self.publish(target, family, payload)?;
        let begun = self.clock.monotonic();
        loop {
            while let Some((of, payload)) = self.asking.take()? {
                if of == number {
                    return Ok(self.asking.said(payload).to_vec());
                }
            }
            ensure!(self.clock.monotonic().saturating_sub(begun) < SILENCE, "no answer to a request");
            self.asking.turn(Duration::from_millis(50)).await?;
        }
    }

    async fn until_open(&mut self, target: Target) -> Result<()> {
        for _ in 0..600 {
            // Nobody there gives an empty answer, and so does nobody else.
            if !self.ask(target, Family::Orders, b"?").await?.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("{target:?} does not answer")
    }

    /// Asks for so long, and waits for all answers.
    async fn run(&mut self, target: Target, pace: Pace, window: Duration) -> Result<Measured> {
        let mut measured =
            Measured { per_second: 0.0, latency: histogram(), decided: 0, busy: 0, others: 0, silent: 0 };
        self.prepare(100_000);
        let first = self.number;
        // When each request was to be sent, from the first that is not answered on; none where it is.
        let mut planned: VecDeque<Option<Duration>> = VecDeque::new();
        let (mut base, mut under_way) = (first, 0_usize);
        let beats = match pace {
            Pace::PerSecond(_) => beats(),
            Pace::UnderWay(_) => Arc::default(),
        };
        let begun = self.clock.monotonic();
        let mut answered_last = begun;
        loop {
            let now = self.clock.monotonic();
            let elapsed = now.saturating_sub(begun);
            let sending = elapsed < window;
            if sending {
                // What is written at once is bounded, so that answers are looked at in between.
                let due = match pace {
                    Pace::UnderWay(count) => count.saturating_sub(under_way),
                    Pace::PerSecond(rate) => {
                        let due = due(elapsed, rate);
                        let sent = self.number - first;
                        usize::try_from(due.saturating_sub(sent))?
                            .min(FLOOD_UNDER_WAY.saturating_sub(under_way))
                    }
                };
                if self.asking.has_room() {
                    for _ in 0..due.min(2_000) {
                        let at = match pace {
                            Pace::UnderWay(_) => now,
                            Pace::PerSecond(rate) => {
                                begun + Duration::from_secs_f64(to_f64(self.number - first) / rate)
                            }
                        };
                        let order = self.next_order();
                        self.publish(target, Family::Orders, &order)?;
                        planned.push_back(Some(at));
                        under_way += 1;
                    }
                }
            } else if under_way == 0 {
                break;
            } else if now.saturating_sub(answered_last) > SILENCE {
                measured.silent = under_way as u64;
                break;
            }
            tokio::select! {
                turned = self.asking.turn(TURN) => turned?,
                () = beats.notified(), if sending => {}
            }
            let now = self.clock.monotonic();
            while let Some((number, payload)) = self.asking.take()? {
                let Some(nth) = number.checked_sub(base) else { continue };
                let Some(at) = planned.get_mut(usize::try_from(nth)?).and_then(Option::take) else {
                    continue;
                };
                under_way -= 1;
                answered_last = now;
                let took = now.saturating_sub(at);
                measured.latency.saturating_record(u64::try_from(took.as_micros())?);
                match kind(self.asking.said(payload)) {
                    Kind::Decided => measured.decided += 1,
                    Kind::Busy => measured.busy += 1,
                    Kind::Other => measured.others += 1,
                }
                while planned.front().is_some_and(Option::is_none) {
                    planned.pop_front();
                    base += 1;
                }
            }
        }
        let answers = measured.decided + measured.busy + measured.others;
        measured.per_second = to_f64(answers) / answered_last.saturating_sub(begun).as_secs_f64().max(0.001);
        Ok(measured)
    }
}

//! Stories about workers: real ones, each a process of its own, on a NATS server that is named.
//!
//! They have a prefix to themselves. What an earlier story left under it is removed at the beginning, and all of it at the end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Args;
use super::shop::{Rates, Shop};
use super::stories::{Story, Teller};
use super::tally::{Sent, append};
use crate::commands::Ended;
use crate::commands::connect::{Deployment, shard_names};
use crate::commands::output::{json as print, say};
use crate::commands::probe::ask;
use crate::commands::run::Signals;
use crate::commands::settings::Common;
use crate::commands::setup::make_all;
use crate::edges::clock::SystemClock;
use crate::edges::jetstream::{JetStreams, remove};
use crate::edges::streams::AppendError;
use crate::words::command;
use crate::words::config::{Config, StreamSettings};

/// The first word of every subject.
const PREFIX: &str = "weir-story";
/// How often commands are sent.
const SEND_INTERVAL: Duration = Duration::from_millis(50);
/// How often the worker that shows most is asked how it is.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// How long a worker may take until it is ready.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Lines of a worker that are kept, for when it ends too soon.
const LINES_KEPT: usize = 20;
/// Orders an hour, on an ordinary day.
const RATES: Rates = Rates { usual: 5 * 3_600, elsewhere: 5 * 3_600 };
/// Orders an hour of an import that fills the log.
const IMPORT: i64 = 6_000 * 3_600;
/// How large the log of a story may grow that is about its being full, in bytes, so that snapshots are due before it is; and the
/// snapshots, of which none has room.
const LOG_BYTES_MAX: u64 = 16 << 20;
const SNAPSHOTS_BYTES_MAX: u64 = 1 << 20;

/// When the leader dies, and the worker that has taken over.
const DIES: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(45)];
/// When the import begins.
const IMPORTS: Duration = Duration::from_secs(20);
/// How long a story goes on, unless it is said.
const LASTS: Duration = Duration::from_mins(4);

pub(super) async fn tell(story: Story, args: &Args, mut signals: Signals) -> anyhow::Result<Ended> {
    let url = args.nats.as_ref().context(
        "this story plays with real workers: name a NATS server with JetStream to try things out on, with --nats URL",
    )?;
    let common = Common { nats: vec![url.clone()], prefix: Some(PREFIX.to_owned()), ..Common::default() };
    let config = common.load(|config| config.streams = streams(story))?;
    let deployment = Deployment::connect(&config, "story", false).await?;
    remove(&deployment.connections.publishing.context(), &deployment.names, &shard_names(&config)).await?;
    make_all(&deployment, &config).await?;
    let told = tokio::select! {
        told = play(story, args, &config, &deployment) => told,
        () = signals.next() => Ok(()),
    };
    // The workers are gone.
    remove(&deployment.connections.publishing.context(), &deployment.names, &shard_names(&config)).await?;
    told.map(|()| Ended::Done)
}

/// Small streams: the server is one to try things out on.
fn streams(story: Story) -> StreamSettings {
    let full = story == Story::FullLog;
    StreamSettings {
        log_bytes_max: if full { LOG_BYTES_MAX } else { 128 << 20 },
        outcomes_bytes_max: 128 << 20,
        dead_letters_bytes_max: 1 << 20,
        signals_bytes_max: 1 << 20,
        snapshots_bytes_max: if full { SNAPSHOTS_BYTES_MAX } else { 128 << 20 },
        ..StreamSettings::default()
    }
}

async fn play(story: Story, args: &Args, config: &Config, deployment: &Deployment) -> anyhow::Result<()> {
    let mut teller = Teller::new(args.json);
    let url = config.nats.urls.join(",");
    // The first one leads, the second stands by.
    let places = [args.places.admin, args.places.console];
    let mut workers = vec![Worker::start("a", &url, places, args.json).await?];
    workers.push(Worker::start("b", &url, [None; 2], args.json).await?);

    let clock = SystemClock::shared();
    let now_ms = || clock.wall_ns() / 1_000_000;
    let mut shop = Shop::new(args.seed, RATES, now_ms(), now_ms());
    let mut log = Log::new(deployment.streams("main")?);
    let end = tokio::time::sleep(args.duration.unwrap_or(LASTS));
    tokio::pin!(end);
    let mut ticker = tokio::time::interval(SEND_INTERVAL);
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    let started = clock.monotonic();
    teller.tell(
        Duration::ZERO,
        "Two workers: a leads, b stands by. Five orders a second are published to the log.",
    );
    let mut deaths = DIES.iter().zip(["a, the leader, is killed.", "b, the last one, is killed."]).peekable();
    let mut imports = false;
    loop {
        tokio::select! {
            _ = ticker.tick() => {
                let elapsed = clock.monotonic().saturating_sub(started);
                if story == Story::DeadWorker
                    && let Some((_, says)) = deaths.next_if(|(at, _)| **at <= elapsed)
                {
                    drop(workers.remove(0));
                    teller.tell(elapsed, says);
                }
                if story == Story::FullLog && !imports && elapsed >= IMPORTS {
                    imports = true;
                    shop.mood.per_hour = Some(IMPORT);
                    teller.tell(elapsed, "An import begins; snapshots have no room, so that the log cannot be trimmed.");
                }
                let was_full = log.refused > 0;
                log.append(&shop.until(now_ms())).await?;
                if log.refused > 0 && !was_full {
                    // What was refused is not paid either.
                    shop.lose_what_is_on_its_way();
                    shop.mood.per_hour = None;
                    teller.tell(elapsed, "The log is full: NATS refuses orders, and the import gives up.");
                }
            }
            _ = looks.tick() => {
                let elapsed = clock.monotonic().saturating_sub(started);
                if let Some(verdict) = verdict_of(&workers).await {
                    let text = |name: &str| verdict[name].as_str().unwrap_or_default().to_owned();
                    let judged = format!("{}{}", text("condition"), workers[0].name);
                    let name = workers[0].name;
                    teller.judge(elapsed, &judged, || format!("({name}) {} {}", text("sentence"), text("next_step")));
                }
            }
            () = &mut end => break,
        }
    }
    let Log { sent, refused, .. } = log;
    let stored = sent.places.load(Relaxed);
    if args.json {
        print(
            &json!({ "seconds": clock.monotonic().saturating_sub(started).as_secs_f64(), "stored": stored, "refused": refused }),
        );
    } else {
        say!("\n{stored} orders were stored. NATS refused {refused} messages, whose senders know it.");
    }
    Ok(())
}

/// How the first of the workers that are left judges itself; none where none is left, or it does not answer.
async fn verdict_of(workers: &[Worker]) -> Option<Value> {
    let first = workers.first()?;
    let (_, text) = tokio::time::timeout(ANSWERS_WITHIN, ask(first.admin, "/status")).await.ok()?.ok()?;
    let status: Value = serde_json::from_str(&text).ok()?;
    Some(status["verdict"].clone())
}

/// The log, as shops see it that publish to it.
struct Log {
    streams: JetStreams,
    sent: Sent,
    /// Messages that NATS did not take.
    refused: u64,
}

impl Log {
    fn new(streams: JetStreams) -> Self {
        Self { streams, sent: Sent::default(), refused: 0 }
    }

    async fn append(&mut self, commands: &[command::Command<'_>]) -> Result<(), AppendError> {
        match append(&self.streams, commands, &self.sent).await {
            Err(AppendError::Full) => self.refused += 1,
            appended => appended?,
        }
        Ok(())
    }
}

/// A worker; it is killed where this is dropped.
struct Worker {
    name: &'static str,
    child: Child,
    admin: SocketAddr,
}

impl Worker {
    /// Starts one and waits until it is ready. Where no place is said it listens anywhere.
    async fn start(
        name: &'static str,
        url: &str,
        places: [Option<SocketAddr>; 2],
        silent: bool,
    ) -> anyhow::Result<Self> {
        let [admin, console] =
            places.map(|place| place.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))).to_string());
        let mut child = Command::new(std::env::current_exe()?)
            .args(["run", "--nats", url, "--prefix", PREFIX, "--name", name])
            .args(["--admin", &admin, "--console", &console])
            // As the lines that are read below are.
            .env_remove("WEIR_CONFIG")
            .env_remove("WEIR_LOG")
            .env_remove("WEIR_HTTP")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("a worker")?;
        let stderr = child.stderr.take().context("a worker's log")?;
        let (tells, told) = oneshot::channel();
        std::thread::spawn(move || listen(BufReader::new(stderr), tells));
        let mut worker = Self { name, child, admin: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let told = tokio::time::timeout(READY_WITHIN, told).await.context("a worker does not listen")?;
        let (admin, console) = match told? {
            Ok(addresses) => addresses,
            Err(lines) => anyhow::bail!("worker {name} ended:\n{lines}"),
        };
        worker.admin = admin;
        let ready = async {
            while !ask(admin, "/readyz").await.is_ok_and(|(ready, _)| ready) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let ready = tokio::time::timeout(READY_WITHIN, ready).await;
        ensure!(ready.is_ok(), "worker {name} does not get ready");
        if !silent {
            say!("Metrics: http://{admin}/metrics (worker {name})");
            say!("Console: http://{console}/ (worker {name})");
        }
        Ok(worker)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a worker's admin server and its console listen, or its last lines where it says neither.
type Listening = Result<(SocketAddr, SocketAddr), String>;

/// Reads a worker's log to its end, and tells once where it listens.
fn listen(mut log: impl BufRead, tells: oneshot::Sender<Listening>) {
    let (mut tells, mut lines) = (Some(tells), Vec::new());
    let (mut admin, mut console) = (None, None);
    let mut line = String::new();
    while let Ok(1..) = log.read_line(&mut line) {
        let address = |what: &str| -> Option<SocketAddr> {
            let (_, rest) = line.split_once(what)?.1.split_once("address=")?;
            rest.split_whitespace().next()?.parse().ok()
        };
        admin = admin.or_else(|| address("the admin server listens"));
        console = console.or_else(|| address("the console listens"));
        if let Some((admin, console)) = admin.zip(console)
            && let Some(tells) = tells.take()
        {
            // Whoever asked may have gone.
            let _ = tells.send(Ok((admin, console)));
        }
        if tells.is_some() {
            lines.push(std::mem::take(&mut line));
            lines.drain(..lines.len().saturating_sub(LINES_KEPT));
        }
        line.clear();
    }
    if let Some(tells) = tells {
        let _ = tells.send(Err(lines.concat()));
    }
}

//! What the parent says to its parts, as one line of JSON on their stdin, and what they say to it, as lines on stdout.
//!
//! Stdin stays open: a part whose stdin ends has lost its parent, and ends too.

use std::io::{BufRead as _, Read as _, Write as _};

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::shop::Load;
use crate::statistics::Latencies;
use weir::words::codec::Format;

/// How fast orders are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    /// So many a second, each message at its planned time, whatever becomes of those before: an open loop.
    PerSecond(u64),
    /// As fast as they are announced, with at most so many orders on their way: a closed loop, at saturation.
    InFlight(u64),
}

/// Where the orders of a shard go, and where its outcomes come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Way {
    /// The subject to publish orders to.
    pub(crate) orders: String,
    /// The stream of outcomes.
    pub(crate) outcomes: String,
}

/// How the outcomes of an order are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answers {
    /// As a shop reads them: each outcome is decoded, belongs to an order that was sent, and comes once.
    Weir,
    /// The same, as the naive consumer writes them.
    Naive,
    /// By the position that an append's header states: the ceiling's bytes say nothing.
    Positions,
}

/// What the generator is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GenerateJob {
    pub(crate) urls: Vec<String>,
    /// Where orders go and outcomes come from, shard by shard.
    pub(crate) ways: Vec<Way>,
    pub(crate) answers: Answers,
    pub(crate) load: Load,
    pub(crate) pace: Pace,
    pub(crate) warmup_ms: u64,
    pub(crate) window_ms: u64,
    /// The window ends with this many orders, at the latest.
    pub(crate) orders_max: Option<u64>,
}

/// What the ceiling's worker is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CountJob {
    pub(crate) urls: Vec<String>,
    pub(crate) prefix: String,
    pub(crate) shards: Vec<String>,
    pub(crate) format: Format,
    /// So many bytes of outcomes
    pub(crate) bytes_out: u64,
    /// come of so many bytes of commands.
    pub(crate) bytes_in: u64,
}

/// What a part says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// The ceiling's worker reads.
    Ready,
    /// The generator's figures so far.
    Progress { sent: u64, announced: u64, p99_us: u64 },
    /// The measured window begins.
    Begin,
    /// The measured window is over.
    End,
    /// All is sent and announced.
    Done(Box<Generated>),
}

/// What the generator has measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Generated {
    /// The window's length, in seconds.
    pub(crate) window_seconds: f64,
    /// Orders announced within the window.
    pub(crate) window_announced: u64,
    /// Payload bytes of what was announced within the window.
    pub(crate) window_bytes: u64,
    /// How many appends announced it.
    pub(crate) window_appends: u64,
    /// Orders announced between saying [`Said::Begin`] and [`Said::End`], when the parent looks at the CPU times.
    pub(crate) sampled_announced: u64,
    /// Orders sent and acknowledged in all, numbered from 0.
    pub(crate) orders: u64,
    /// Orders that were planned and not sent, because too many were on their way for too long.
    pub(crate) unsent: u64,
    /// Commands in all: orders, and steps that follow them.
    pub(crate) records: u64,
    pub(crate) messages: u64,
    pub(crate) command_bytes: u64,
    /// Messages that were due within the window: as many samples.
    pub(crate) window_messages: u64,
    /// Outcomes that came a second time, or for an order that was never sent.
    pub(crate) strange: u64,
    /// How late a message was sent at worst, in microseconds.
    pub(crate) late_us_max: u64,
    /// The latencies in microseconds, each with how many orders took it.
    pub(crate) latencies: Latencies,
}

/// Takes a part's job from stdin, and ends the process once the parent has gone.
pub(crate) fn take<J: DeserializeOwned>() -> anyhow::Result<J> {
    let mut stdin = std::io::BufReader::new(std::io::stdin());
    let mut line = String::new();
    stdin.read_line(&mut line).context("stdin")?;
    let job = serde_json::from_str(&line).context("no job on stdin: weir-bench starts its parts itself")?;
    std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
        // Nothing more comes; the end does.
        let _ = stdin.read_to_end(&mut Vec::new());
        std::process::exit(1);
    })?;
    Ok(job)
}

/// Says something to the parent.
pub(crate) fn say(said: &Said) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush()).context("the parent does not listen")
}

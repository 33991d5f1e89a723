//! What the parent says to its parts, as one line of JSON on their stdin, and what they say to it, as lines on stdout.
//!
//! Stdin stays open: a part whose stdin ends has lost its parent, and ends too.

use std::io::{BufRead as _, Read as _, Write as _};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ledger::histogram;
use super::load::Load;
use crate::words::codec::Format;

/// How fast orders are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pace {
    /// So many a second, each message at its planned time, whatever becomes of those before: an open loop.
    PerSecond(u64),
    /// As fast as they are announced, with at most so many orders on their way: a closed loop, at saturation.
    InFlight(u64),
}

/// What the generator is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GenerateJob {
    pub(super) urls: Vec<String>,
    pub(super) prefix: String,
    pub(super) load: Load,
    pub(super) pace: Pace,
    pub(super) warmup_ms: u64,
    pub(super) window_ms: u64,
    /// The window ends with this many orders, at the latest.
    pub(super) orders_max: Option<u64>,
}

/// What the ceiling's worker is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CountJob {
    pub(super) urls: Vec<String>,
    pub(super) prefix: String,
    pub(super) shards: Vec<String>,
    pub(super) format: Format,
    /// So many bytes of outcomes
    pub(super) bytes_out: u64,
    /// come of so many bytes of commands.
    pub(super) bytes_in: u64,
}

/// What a part says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
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
pub(super) struct Generated {
    /// The window's length, in seconds.
    pub(super) window_seconds: f64,
    /// Orders announced within the window.
    pub(super) window_announced: u64,
    /// Payload bytes of what was announced within the window.
    pub(super) window_bytes: u64,
    /// How many appends announced it.
    pub(super) window_appends: u64,
    /// Orders announced between saying [`Said::Begin`] and [`Said::End`], when the parent looks at the CPU times.
    pub(super) sampled_announced: u64,
    /// Orders sent and acknowledged in all, numbered from 0.
    pub(super) orders: u64,
    /// Orders that were planned and not sent, because too many were on their way for too long.
    pub(super) unsent: u64,
    /// Commands in all: orders, and steps that follow them.
    pub(super) records: u64,
    pub(super) messages: u64,
    pub(super) command_bytes: u64,
    /// How late a message was sent at worst, in microseconds.
    pub(super) late_us_max: u64,
    /// The latencies in microseconds, each with how many orders took it.
    pub(super) latencies: Latencies,
}

/// A histogram, as what was recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Latencies(Vec<(u64, u64)>);

impl From<&Histogram<u64>> for Latencies {
    fn from(histogram: &Histogram<u64>) -> Self {
        let recorded = histogram.iter_recorded();
        Self(recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect())
    }
}

impl From<&Latencies> for Histogram<u64> {
    fn from(latencies: &Latencies) -> Self {
        let mut histogram = histogram();
        for (value, count) in &latencies.0 {
            histogram.saturating_record_n(*value, *count);
        }
        histogram
    }
}

/// Takes a part's job from stdin, and ends the process once the parent has gone.
pub(super) fn take<J: DeserializeOwned>() -> anyhow::Result<J> {
    let mut stdin = std::io::BufReader::new(std::io::stdin());
    let mut line = String::new();
    stdin.read_line(&mut line).context("stdin")?;
    let job = serde_json::from_str(&line).context("no job on stdin: `weir bench` starts its parts itself")?;
    std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
        // Nothing more comes; the end does.
        let _ = stdin.read_to_end(&mut Vec::new());
        std::process::exit(1);
    })?;
    Ok(job)
}

/// Says something to the parent.
pub(super) fn say(said: &Said) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush()).context("the parent does not listen")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_being_told() {
        let mut before = histogram();
        for latency in [1, 900, 1_024, 1_025, 77_777, 5_000_000] {
            before.saturating_record_n(latency, latency % 7 + 1);
        }
        let said = serde_json::to_string(&Latencies::from(&before)).unwrap();
        let after = Histogram::from(&serde_json::from_str::<Latencies>(&said).unwrap());
        assert_eq!(before, after);
    }
}

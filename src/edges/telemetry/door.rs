//! What a door shows.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge};

use super::distributions::Distribution;
use super::{Answering, Answers, Telemetry};
use crate::edges::streams::AppendError;
use crate::words::reply::ReplyKind;

const FAILURES: [&str; 6] = ["conflict", "full", "too_large", "timed_out", "unavailable", "missing"];

/// The metrics of a process's door.
pub struct DoorTelemetry {
    requests: Counter,
    replies: [Counter; ReplyKind::ALL.len()],
    batches: Counter,
    commands: Counter,
    again: Counter,
    found: Counter,
    failures: [Counter; FAILURES.len()],
    pending: Gauge,
    memory: Gauge,
    distributions: Mutex<Distributions>,
    answers: Answers,
}

struct Distributions {
    reply: Distribution,
    batch: Distribution,
}

impl DoorTelemetry {
    pub(super) fn describe(
        counter: impl Fn(&'static str, &'static str),
        gauge: impl Fn(&'static str, &'static str),
    ) {
        counter("weir_door_requests_total", "Requests that came to this process's door.");
        counter("weir_door_replies_total", "Replies to commands, by kind.");
        counter("weir_door_batches_total", "Messages that the door appended to logs.");
        counter("weir_door_commands_total", "Commands in those messages.");
        counter(
            "weir_door_sent_alone_total",
            "Commands that did not fit their message, and were sent again alone.",
        );
        counter("weir_door_found_total", "Appends without an acknowledgement that were found in the log.");
        counter("weir_door_append_failures_total", "Appends of the door that were not acknowledged, by why.");
        counter("weir_door_replies_dropped_total", "Replies that the server did not take in time.");
        gauge("weir_door_pending_requests", "Requests that wait for their replies.");
        gauge("weir_door_memory_bytes", "What the door counts for the requests that it holds.");
    }

    fn new(telemetry: &Telemetry) -> Self {
        Self {
            requests: telemetry.counter("weir_door_requests_total", &[]),
            replies: ReplyKind::ALL.map(|kind| {
                telemetry.counter("weir_door_replies_total", &[("kind", kind.name().to_owned())])
            }),
            batches: telemetry.counter("weir_door_batches_total", &[]),
            commands: telemetry.counter("weir_door_commands_total", &[]),
            again: telemetry.counter("weir_door_sent_alone_total", &[]),
            found: telemetry.counter("weir_door_found_total", &[]),
            failures: FAILURES
                .map(|why| telemetry.counter("weir_door_append_failures_total", &[("why", why.to_owned())])),
            pending: telemetry.gauge("weir_door_pending_requests", &[]),
            memory: telemetry.gauge("weir_door_memory_bytes", &[]),
            distributions: Mutex::new(Distributions {
                reply: Distribution::of_durations(),
                batch: Distribution::of_sizes(),
            }),
            answers: telemetry.answers().clone(),
        }
    }

    /// So many requests came.
    pub fn requests(&self, count: usize) {
        self.requests.increment(count as u64);
    }

    /// Requests were answered: of each, how many commands by kind, and after how long.
    pub fn answered<'k>(&self, requests: impl Iterator<Item = (&'k [u32; ReplyKind::ALL.len()], Duration)>) {
        let mut all = [0; ReplyKind::ALL.len()];
        let mut distributions = self.distributions.lock().unwrap_or_else(PoisonError::into_inner);
        for (kinds, took) in requests {
            for (all, count) in all.iter_mut().zip(kinds) {
                *all += u64::from(*count);
            }
            distributions.reply.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), 1);
        }
        drop(distributions);
        for (counter, count) in self.replies.iter().zip(all).filter(|(_, count)| *count > 0) {
            counter.increment(count);
        }
    }

    /// How a shard answers, as whoever asks at this door hears it.
    #[must_use]
    pub fn answering(&self, shard: &str) -> Arc<Answering> {
        self.answers.of(shard)
    }

    /// A message of so many commands is appended.
    pub fn appends(&self, commands: usize) {
        self.batches.increment(1);
        self.commands.increment(commands as u64);
        let commands = commands as u64;
        self.distributions.lock().unwrap_or_else(PoisonError::into_inner).batch.record(commands, 1);
    }

    /// A command did not fit its message.
    pub fn again(&self) {
        self.again.increment(1);
    }

    /// An append without an acknowledgement was found.
    pub fn found(&self) {
        self.found.increment(1);
    }

    /// An append was not acknowledged.
    pub fn append_failed(&self, error: &AppendError) {
        let why = match error {
            AppendError::Conflict => 0,
            AppendError::Full => 1,
            AppendError::TooLarge => 2,
            AppendError::TimedOut => 3,
            AppendError::Unavailable(_) => 4,
            AppendError::Missing(_) => 5,
        };
        self.failures[why].increment(1);
    }

    /// What the door holds now.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    pub fn holds(&self, requests: usize, bytes: usize) {
        self.pending.set(requests as f64);
        self.memory.set(bytes as f64);
    }

    pub(super) fn render(&self, text: &mut String) {
        let distributions = self.distributions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut family = |name: &str, help: &str, distribution: &Distribution| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
            distribution.render(text, name, "");
            text.push('\n');
        };
        family(
            "weir_door_reply_seconds",
            "From a request's being read to its reply's being written.",
            &distributions.reply,
        );
        family("weir_door_batch_commands", "Commands in one message of the door.", &distributions.batch);
    }
}

impl Telemetry {
    /// The handles of the process's door, made once.
    #[must_use]
    pub fn door(&self) -> Arc<DoorTelemetry> {
        self.door.get_or_init(|| Arc::new(DoorTelemetry::new(self))).clone()
    }
}

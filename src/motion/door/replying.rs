//! Replying: answers of one moment leave together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::edges::clock::Clock;
use crate::edges::requests::{Outgoing, Replies};
use crate::edges::telemetry::{Answering, DoorTelemetry};
use crate::words::codec::Format;
use crate::words::reply::ReplyKind;

/// What a reply's own header and its address take of what the server takes, in bytes.
const REPLY_HEADER_BYTES: usize = 512;

/// The reply to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it is written: as the request was.
    pub format: Format,
    /// One reply, or an array or a frame of them.
    pub payload: Bytes,
    /// What kind of reply it is; of several, the first that is not [`ReplyKind::Decided`], if there is one.
    pub kind: ReplyKind,
    /// When to try again, in milliseconds, where a reply says so: the longest of them.
    pub retry_after_ms: Option<u32>,
}

/// Where a reply goes over a connection.
pub(super) trait Inbox: Send + Sync {
    fn reply(&self, replies: &[Outgoing]);
    fn payload_bytes_max(&self) -> usize;
}

impl<R: Replies> Inbox for R {
    fn reply(&self, replies: &[Outgoing]) {
        Replies::reply(self, replies);
    }

    fn payload_bytes_max(&self) -> usize {
        Replies::payload_bytes_max(self)
    }
}

/// Who waits for a reply.
pub(super) enum To {
    Nobody,
    Inbox(Bytes, Arc<dyn Inbox>),
    Caller(oneshot::Sender<Answer>),
}

impl To {
    /// The longest payload that it takes, in bytes.
    pub(super) fn payload_bytes_max(&self) -> usize {
        match self {
            Self::Inbox(to, inbox) => inbox.payload_bytes_max().saturating_sub(REPLY_HEADER_BYTES + to.len()),
            Self::Nobody | Self::Caller(_) => usize::MAX,
        }
    }
}

/// An answer that is whole.
pub(super) struct Whole {
    pub(super) to: To,
    pub(super) answer: Answer,
    pub(super) kinds: [u32; ReplyKind::ALL.len()],
    pub(super) took: Duration,
    /// The request's deadline and number, and what it cost; none where it never waited.
    pub(super) waited: Option<Waited>,
}

/// A request that waited: its deadline and number, and what it cost in bytes.
pub(super) type Waited = ((Duration, u64), usize);

/// Whoever knows which requests wait.
pub(super) trait Waiting {
    /// These do no longer.
    fn no_longer_wait(&self, waited: &[Waited]);
}

/// So many answers leave at the latest.
const ROUND_MAX: usize = 256;

/// Answers that are given at one moment. What is locked and counted for them is so once, and they leave together: when this ends, or
/// there are many of them.
pub(super) struct Round<'b> {
    telemetry: &'b DoorTelemetry,
    waiting: &'b dyn Waiting,
    now: Duration,
    wall_ms: i64,
    whole: Vec<Whole>,
    /// Whose answers they are, how many are good, and how many there are.
    judged: Option<(Arc<Answering>, u64, u64)>,
}

impl<'b> Round<'b> {
    /// Answers are given now.
    pub(super) fn begin(clock: &dyn Clock, telemetry: &'b DoorTelemetry, waiting: &'b dyn Waiting) -> Self {
        let (now, wall_ms) = (clock.monotonic(), clock.wall_ns() / 1_000_000);
        Self { telemetry, waiting, now, wall_ms, whole: Vec::new(), judged: None }
    }

    /// The moment.
    pub(super) const fn now(&self) -> Duration {
        self.now
    }

    /// Counts an answer for a shard's objective.
    pub(super) fn judge(&mut self, answering: &Arc<Answering>, is_good: bool) {
        let (good, all) = match &mut self.judged {
            Some((same, good, all)) if Arc::ptr_eq(same, answering) => (good, all),
            _ => {
                self.count();
                let (_, good, all) = self.judged.insert((answering.clone(), 0, 0));
                (good, all)
            }
        };
        *good += u64::from(is_good);
        *all += 1;
    }

    fn count(&mut self) {
        if let Some((answering, good, all)) = self.judged.take() {
            answering.answered(self.wall_ms, good, all);
        }
    }

    /// Answers a request that never waited.
    pub(super) fn answer(&mut self, to: To, answer: Answer) {
        let mut kinds = [0; ReplyKind::ALL.len()];
        kinds[answer.kind as usize] = 1;
        self.push(Whole { to, answer, kinds, took: Duration::ZERO, waited: None });
    }

    /// The reply to a request is whole.
    pub(super) fn push(&mut self, whole: Whole) {
        self.whole.push(whole);
        if self.whole.len() >= ROUND_MAX {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.count();
        if self.whole.is_empty() {
            return;
        }
        self.telemetry.answered(self.whole.iter().map(|whole| (&whole.kinds, whole.took)));
        let mut waited = Vec::with_capacity(self.whole.len());
        let mut inbox: Option<Arc<dyn Inbox>> = None;
        let mut outgoing = Vec::with_capacity(self.whole.len());
        for Whole { to, answer, waited: key, .. } in self.whole.drain(..) {
            waited.extend(key);
            match to {
                To::Nobody => {}
                To::Caller(caller) => {
                    // It may have given up.
                    let _ = caller.send(answer);
                }
                To::Inbox(to, of) => {
                    if inbox.as_ref().is_some_and(|inbox| !Arc::ptr_eq(inbox, &of)) {
                        leave(inbox.as_ref(), &mut outgoing);
                    }
                    outgoing.push(Outgoing { to, format: answer.format, payload: answer.payload });
                    inbox = Some(of);
                }
            }
        }
        leave(inbox.as_ref(), &mut outgoing);
        // Behind their replies: where nothing waits any more, all have left.
        self.waiting.no_longer_wait(&waited);
    }
}

fn leave(inbox: Option<&Arc<dyn Inbox>>, outgoing: &mut Vec<Outgoing>) {
    if let Some(inbox) = inbox {
        inbox.reply(outgoing);
    }
    outgoing.clear();
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

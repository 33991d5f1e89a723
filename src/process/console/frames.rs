//! Frames: all that the page shows, as JSON, taken once for all who look.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Console;
use super::tiles::tiles;
use super::todo::{Row, rows};
use crate::motion::status::Status;
use crate::process::flow::{JUDGED_SECONDS, SECONDS_KEPT, Seen};
use crate::process::judging::worker_of;

/// The last seconds in each frame: a browser that misses more than these asks for the rest.
const POINTS_IN_FRAME: usize = 10;
/// Every so many samples the lists are taken as well.
const SAMPLES_A_LIST: u64 = 2;

/// How many refusals are shown, and how many of the slowest orders.
const REFUSALS_SHOWN: usize = 20;
const SLOWEST_SHOWN: usize = 10;

/// A moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    /// Figures.
    pub(super) now: Arc<str>,
    /// Lists, and which ones they are.
    pub(super) lists: (u64, Arc<str>),
}

impl Console {
    /// The frame of a sample.
    pub(super) fn frame(&self, number: u64) -> Frame {
        let seen = self.seen(POINTS_IN_FRAME);
        let before = self.frames.borrow().lists.clone();
        let taken = before.0 == 0 || number.is_multiple_of(SAMPLES_A_LIST);
        let lists = if taken { (before.0 + 1, self.lists(seen.as_ref()).to_string().into()) } else { before };
        Frame { now: self.figures(seen.as_ref()).to_string().into(), lists }
    }

    /// A moment as a whole, with the last `points` seconds: what the page asks for at first, and while its stream is broken.
    pub(super) fn snapshot(&self, points: usize) -> Value {
        let seen = self.seen(points.min(SECONDS_KEPT));
        json!({ "now": self.figures(seen.as_ref()), "lists": self.lists(seen.as_ref()) })
    }

    fn seen(&self, points: usize) -> Option<Seen> {
        self.flow.as_ref().map(|flow| flow.seen(points))
    }

    fn figures(&self, seen: Option<&Seen>) -> Value {
        let outlook = self.outlook();
        let judged = seen.map(|seen| &seen.judged);
        let verdict = self.shown.verdict();
        let shards: Vec<_> = self.shown.statuses().iter().map(|status| self.shard(status)).collect();
        json!({
            "at_ms": self.now_ms(),
            "started_ms": self.started_ms,
            "worker": self.worker,
            "version": env!("CARGO_PKG_VERSION"),
            "verdict": verdict.json(),
            "tiles": tiles(judged, outlook.as_ref()),
            "measured": seen.is_some(),
            "judged_seconds": JUDGED_SECONDS,
            "orders": seen.map(|seen| seen.orders),
            "lost_batches": seen.map(|seen| seen.lost_batches),
            "points": seen.map(|seen| &seen.points),
            "shards": shards,
        })
    }

    fn lists(&self, seen: Option<&Seen>) -> Value {
        let todo = self.todo();
        json!({
            "slowest": seen.map(|seen| &seen.slowest[..seen.slowest.len().min(SLOWEST_SHOWN)]),
            "refusals": seen.map(|seen| &seen.refusals[..seen.refusals.len().min(REFUSALS_SHOWN)]),
            "todo": todo,
        })
    }

    /// The shop's list; none where nobody measures.
    pub(super) fn todo(&self) -> Option<Vec<Row>> {
        self.outlook().map(|outlook| rows(&outlook))
    }

    fn shard(&self, status: &Status) -> Value {
        let progress = status.progress();
        let role = status.role();
        let leader = if role == Some("leader") { Some(self.worker.clone()) } else { status.leader() };
        let asked = progress.polled_at.map(|at| self.clock.monotonic().saturating_sub(at).as_millis());
        json!({
            "shard": status.shard,
            "role": role,
            "life": status.life().name(),
            "leader": leader.as_deref().map(|leader| if role == Some("leader") { leader } else { worker_of(leader) }),
            "unready": status.why_unready().map(|why| why.to_string()),
            "asked_ms": asked.and_then(|asked| u64::try_from(asked).ok()),
            "applied": progress.applied.sequence,
            "announced": progress.through.sequence,
            "log_last": progress.log.last_sequence,
            "lag_messages": progress.lag_messages(),
            "lag_seconds": progress.lag_seconds,
            "log_bytes": progress.log.bytes,
            "log_bytes_max": progress.log.bytes_max,
            "open_orders": progress.totals.open_orders,
            "waiting_orders": progress.totals.waiting_orders,
        })
    }
}

//! Notifying: outcomes told as a small message each, once they are announced, by the worker that announced them.
//!
//! At most once: what the observer's port loses, what a worker took over or gave away in that moment, and what the way has no room for is
//! not told, but counted where it is known. Whoever must not miss one reads the outcome stream. The fold never waits for any of this.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::ports::{Announcement, Observations, Seen};
use crate::edges::notices::Notices;
use crate::motion::rules::folding::Applied;
use crate::words::codec::decode_outcome;
use crate::words::config::Told;
use crate::words::identity::Identity;
use crate::words::outcome::{Outcome, OutcomeKind};

/// The batches that may wait for the port's reader.
pub const BATCHES_MAX: usize = 1_024;
/// The batches that may wait for being announced, and how many bytes they may take, about.
const WAITING_MAX: (usize, usize) = (4_096, 64 << 20);

/// Tells a shard's outcomes until the shard is no more; or, once it is to `stop`, what was announced by then.
pub async fn notify<N: Notices>(
    shard: &str,
    told: Told,
    notices: &N,
    mut seen: Observations,
    stop: &CancellationToken,
) {
    let mut waiting = Waiting::default();
    let lost = |why: &'static str, count: u64| {
        let labels = [("shard", shard.to_owned()), ("why", why.to_owned())];
        metrics::counter!("weir_notifications_lost_total", &labels).increment(count);
    };
    loop {
        let what = match stop.run_until_cancelled(seen.next()).await {
            Some(what) => what,
            None => seen.ready(),
        };
        let Some(what) = what else { break };
        match what {
            Seen::Restored { through, .. } => waiting.restored(through),
            Seen::Applied(applied) => lost("waiting", waiting.applied(applied)),
            Seen::Announced(Announcement { through, own, .. }) => {
                for (kind, json) in waiting.announced(through, own, told) {
                    let sent = notices.tell(shard, kind, json.into()).await;
                    let labels = [("shard", shard.to_owned()), ("outcome", kind.name().to_owned())];
                    if sent {
                        metrics::counter!("weir_notifications_total", &labels).increment(1);
                    } else {
                        lost("unsent", 1);
                    }
                }
            }
            Seen::Lost(batches) => lost("observing", batches),
        }
    }
}

/// What is applied and not announced yet.
#[derive(Default)]
struct Waiting {
    batches: VecDeque<Arc<Applied>>,
    bytes: usize,
    through: Identity,
}

impl Waiting {
    /// What was applied comes again.
    fn restored(&mut self, through: Identity) {
        self.batches.clear();
        self.bytes = 0;
        self.through = through;
    }

    /// Keeps a batch, and says how many had to go for it.
    fn applied(&mut self, applied: Arc<Applied>) -> u64 {
        if applied.output.last().is_none_or(|last| last <= self.through) {
            return 0;
        }
        self.bytes += applied.bytes;
        self.batches.push_back(applied);
        let (batches_max, bytes_max) = WAITING_MAX;
        let mut gone = 0;
        while self.batches.len() > batches_max || self.bytes > bytes_max && self.batches.len() > 1 {
            self.drop_first();
            gone += 1;
        }
        gone
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.batches.pop_front() {
            self.bytes -= first.bytes;
        }
    }

    /// What is to be told now: nothing of what another worker announced.
    fn announced(&mut self, through: Identity, own: bool, told: Told) -> Vec<(OutcomeKind, Vec<u8>)> {
        let mut due = Vec::new();
        while let Some(first) = self.batches.front() {
            let last = first.output.last().unwrap_or(through);
            if own {
                let from = first.output.len_through(self.through);
                let entries = first.output.outcomes_from(from);
                for (entry, bytes) in entries.take_while(|(entry, _)| entry.identity() <= through) {
                    let is_due = told.kinds[entry.kind as usize] || told.unrequested && !entry.answers;
                    if is_due && let Ok(outcome) = decode_outcome(bytes) {
                        due.push((entry.kind, json(&outcome)));
                    }
                }
            }
            if last > through {
                break;
            }
            self.drop_first();
        }
        self.through = self.through.max(through);
        due
    }
}

fn json(outcome: &Outcome<'_>) -> Vec<u8> {
    serde_json::to_vec(outcome).expect("an outcome has no map with keys other than strings")
}

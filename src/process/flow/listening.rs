//! Listens at one shard's port, and counts what is announced.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Decided, Flow, Inner, Refusal, SlowOrder};
use crate::folds::inventory::Entry;
use crate::motion::folding::{Applied, AppliedMessage};
use crate::motion::live::ports::{Announcement, Room, Seen};
use crate::motion::status::Status;
use crate::words::codec::decode_outcome;
use crate::words::command::CommandKind;
use crate::words::identity::Identity;
use crate::words::outcome::{Decision, Outcome, OutcomeKind};

/// Room for so many batches that were not looked at.
const BATCHES_MAX: usize = 256;
/// So many batches wait to be announced; the publisher keeps them as well. Older ones are dropped, and counted.
const WAITING_MAX: usize = 256;
/// So many refusals of one announcement are read; the others are only counted.
const REFUSALS_READ_MAX: usize = 8;

/// Listens until the shard is no more.
pub(super) fn listen(flow: Arc<Flow>, status: &Status) -> impl Future<Output = ()> + Send + use<> {
    let mut observations = status.ports().observe(Room::of(BATCHES_MAX).unhurried());
    let mut waiting = Waiting::new(&status.shard);
    async move {
        while let Some(seen) = observations.next().await {
            waiting.take(seen, &flow);
        }
    }
}

/// What was applied and is not announced yet, as far as is known.
struct Waiting {
    shard: Arc<str>,
    batches: VecDeque<Arc<Applied>>,
    /// How many messages of the first batch are counted.
    counted: usize,
    through: Identity,
}

impl Waiting {
    fn new(shard: &str) -> Self {
        Self { shard: shard.into(), batches: VecDeque::new(), counted: 0, through: Identity::START }
    }

    fn take(&mut self, seen: Seen, flow: &Flow) {
        match seen {
            Seen::Restored { through, .. } => {
                self.batches.clear();
                (self.counted, self.through) = (0, through);
            }
            Seen::Applied(applied) if applied.live => {
                if self.batches.len() == WAITING_MAX {
                    self.batches.pop_front();
                    self.counted = 0;
                    flow.inner().lost_batches += 1;
                }
                self.batches.push_back(applied);
                // Another worker may have announced it before it was applied here.
                self.settle(flow, flow.clock.wall_ns());
            }
            // What was announced before this worker came is no news.
            Seen::Applied(_) => {}
            Seen::Announced(Announcement { through, at_ns, .. }) => {
                self.through = self.through.max(through);
                self.settle(flow, at_ns);
            }
            Seen::Lost(batches) => flow.inner().lost_batches += batches,
        }
    }

    /// Counts what is announced by then.
    fn settle(&mut self, flow: &Flow, now_ns: i64) {
        let Some(first) = self.batches.front() else { return };
        if first.messages.get(self.counted).is_none_or(|message| !is_announced(first, message, self.through))
        {
            return;
        }
        let mut inner = flow.inner();
        let mut read = 0;
        while let Some(batch) = self.batches.front() {
            while let Some(message) = batch.messages.get(self.counted) {
                if !is_announced(batch, message, self.through) {
                    return;
                }
                count(&mut inner, &self.shard, batch, self.counted, now_ns, &mut read);
                self.counted += 1;
            }
            self.batches.pop_front();
            self.counted = 0;
        }
    }
}

fn entries<'a>(batch: &'a Applied, message: &AppliedMessage) -> &'a [Entry] {
    batch.output.entries(message.outcomes_end - message.outcomes, message.outcomes_end)
}

/// Whether all outcomes of a message are announced; one that has none is, once what follows it is.
fn is_announced(batch: &Applied, message: &AppliedMessage, through: Identity) -> bool {
    match entries(batch, message).last() {
        Some(last) => last.identity() <= through,
        None => message.chain.sequence <= through.sequence,
    }
}

/// Counts a message of a batch.
fn count(inner: &mut Inner, shard: &Arc<str>, batch: &Applied, place: usize, now_ns: i64, read: &mut usize) {
    let message = &batch.messages[place];
    let start = message.outcomes_end - message.outcomes;
    let before = place.checked_sub(1).map_or(0, |before| batch.messages[before].commands_end);
    let commands = &batch.commands[before..message.commands_end];
    let ordered =
        commands.iter().filter(|(kind, _)| *kind == CommandKind::Place).map(|(_, count)| u64::from(*count));
    let nanos = now_ns.saturating_sub(message.stored_at_ns).max(0).unsigned_abs();
    let mut decided = Decided {
        orders: ordered.sum(),
        outcomes: message.outcomes as u64,
        duration_us: nanos / 1_000,
        ..Decided::default()
    };
    let at_ms = now_ns / 1_000_000;
    for (number, entry) in entries(batch, message).iter().enumerate() {
        let of_place = entry.command == Some(CommandKind::Place);
        match entry.kind {
            OutcomeKind::Confirmed | OutcomeKind::Waiting if entry.repeat => {
                decided.orders = decided.orders.saturating_sub(1);
            }
            OutcomeKind::Refused if entry.repeat => {
                decided.orders = decided.orders.saturating_sub(u64::from(of_place));
            }
            OutcomeKind::Confirmed => decided.confirmed += 1,
            OutcomeKind::Waiting => decided.waiting += 1,
            OutcomeKind::Cancelled if !entry.repeat => decided.cancelled += 1,
            OutcomeKind::Refused => {
                decided.refused += u64::from(of_place);
                if let (true, Some(reason)) = (of_place, entry.reason) {
                    inner.seconds.filling.reasons.0[reason as usize] += 1;
                }
                if *read < REFUSALS_READ_MAX
                    && let Some(refusal) = refusal(shard, batch, start + number)
                {
                    *read += 1;
                    inner.refused(refusal);
                }
            }
            _ => {}
        }
    }
    inner.count(&decided);
    if decided.orders > 0
        && inner.slowest.takes(decided.duration_us)
        && let Some(order_id) = first_order(batch, start, message.outcomes_end)
    {
        inner.slowest.take(SlowOrder {
            shard: shard.to_string(),
            order_id,
            sequence: message.chain.sequence,
            orders: decided.orders,
            duration_us: decided.duration_us,
            at_ms,
        });
    }
}

fn outcome(batch: &Applied, place: usize) -> Option<Outcome<'_>> {
    let (_, bytes) = batch.output.outcomes_from(place).next()?;
    decode_outcome(bytes).ok()
}

fn refusal(shard: &Arc<str>, batch: &Applied, place: usize) -> Option<Refusal> {
    let outcome = outcome(batch, place)?;
    let Decision::Refused { command, subject, reason, detail, shortages, .. } = outcome.decision else {
        return None;
    };
    let shortage = shortages
        .first()
        .map(|short| format!("{}: {} wanted, {} there", short.sku, short.requested, short.available));
    Some(Refusal {
        shard: shard.to_string(),
        at_ms: outcome.at.millis(),
        command: command.name(),
        id: subject.map(|subject| subject.id().to_owned()),
        reason: reason.code(),
        detail: detail.map(|detail| detail.to_string()).or(shortage),
    })
}

/// The first order that a message decides.
fn first_order(batch: &Applied, start: usize, end: usize) -> Option<String> {
    let of_order = |entry: &&Entry| {
        let placed = matches!(entry.kind, OutcomeKind::Confirmed | OutcomeKind::Waiting);
        placed || entry.command == Some(CommandKind::Place)
    };
    let place = batch.output.entries(start, end).iter().position(|entry| of_order(&entry))?;
    outcome(batch, start + place)?.decision.order_id().map(ToOwned::to_owned)
}

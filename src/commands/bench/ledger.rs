//! The generator's ledger: which messages were sent, acknowledged and announced, and how long that took. Sans-IO.
//!
//! Acknowledgements say which sequence a message got, headlines of appends say up to where outcomes are announced; either
//! may come first. Times are nanoseconds of one clock, the generator's.

use std::collections::VecDeque;
use std::ops::Range;

use hdrhistogram::Histogram;

use crate::words::identity::Identity;

/// The longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// An empty histogram of latencies in microseconds, exact to three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are good")
}

/// A message on its way.
#[derive(Debug)]
struct Message {
    number: u64,
    /// When it was meant to be sent.
    due_ns: u64,
    orders: u32,
    bytes: usize,
    sequence: Option<u64>,
    /// How many of its orders are announced.
    announced: u32,
}

/// The messages of one shard.
#[derive(Debug, Default)]
struct Shard {
    /// In the order in which they were sent, which is that of their sequences.
    messages: VecDeque<Message>,
    /// Up to where outcomes were announced, and when; what all known messages lie behind is gone.
    announced: VecDeque<(Identity, u64)>,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) orders_sent: u64,
    pub(super) orders_announced: u64,
    pub(super) messages_sent: u64,
    /// Payload bytes of what was sent.
    pub(super) bytes_sent: u64,
    pub(super) records_sent: u64,
    pub(super) unacked_messages: usize,
    pub(super) unacked_bytes: usize,
    /// What was announced within the window: orders, appends, and their payload bytes.
    pub(super) window_announced: u64,
    pub(super) window_appends: u64,
    pub(super) window_bytes: u64,
}

/// The ledger.
#[derive(Debug)]
pub(super) struct Ledger {
    shards: Vec<Shard>,
    pub(super) counts: Counts,
    /// The latency of messages that are due within it is measured, and what is announced within it counts for the rate.
    pub(super) window_ns: Range<u64>,
    /// Latencies in microseconds, of the orders of measured messages.
    pub(super) latencies: Histogram<u64>,
}

/// An acknowledgement of something that was not sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("message {0} was acknowledged, but never sent")]
pub(super) struct NotSent(u64);

impl Ledger {
    pub(super) fn new(shards: usize, window_ns: Range<u64>) -> Self {
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            counts: Counts::default(),
            window_ns,
            latencies: histogram(),
        }
    }

    /// A message is about to be sent.
    pub(super) fn sent(&mut self, number: u64, due_ns: u64, orders: u32, records: u32, bytes: usize) {
        let shard = self.shard_of(number);
        let message = Message { number, due_ns, orders, bytes, sequence: None, announced: 0 };
        self.shards[shard].messages.push_back(message);
        self.counts.orders_sent += u64::from(orders);
        self.counts.records_sent += u64::from(records);
        self.counts.messages_sent += 1;
        self.counts.bytes_sent += bytes as u64;
        self.counts.unacked_messages += 1;
        self.counts.unacked_bytes += bytes;
    }

    /// A message was stored.
    pub(super) fn acked(&mut self, number: u64, sequence: u64) -> Result<(), NotSent> {
        let shards = self.shards.len() as u64;
        let shard = self.shard_of(number);
        let messages = &mut self.shards[shard].messages;
        let place = messages.front().and_then(|front| number.checked_sub(front.number));
        let place = place.and_then(|ahead| usize::try_from(ahead / shards).ok());
        let message = place.and_then(|place| messages.get_mut(place)).ok_or(NotSent(number))?;
        message.sequence = Some(sequence);
        self.counts.unacked_messages -= 1;
        self.counts.unacked_bytes -= message.bytes;
        self.settle(shard);
        Ok(())
    }

    /// An append of a shard was seen at `now_ns`.
    pub(super) fn announced(&mut self, shard: usize, through: Identity, bytes: usize, now_ns: u64) {
        self.shards[shard].announced.push_back((through, now_ns));
        if self.window_ns.contains(&now_ns) {
            self.counts.window_appends += 1;
            self.counts.window_bytes += bytes as u64;
        }
        self.settle(shard);
    }

    /// An order that was never sent took at least until `now_ns`.
    pub(super) fn unsent(&mut self, due_ns: u64, orders: u64, now_ns: u64) {
        record(&mut self.latencies, &self.window_ns, due_ns, now_ns, orders);
    }

    /// Whether all that was sent is announced.
    pub(super) fn is_settled(&self) -> bool {
        self.counts.unacked_messages == 0 && self.counts.orders_announced == self.counts.orders_sent
    }

    fn shard_of(&self, number: u64) -> usize {
        usize::try_from(number % self.shards.len() as u64).unwrap_or(0)
    }

    /// Matches what is known of a shard's messages with what was announced.
    fn settle(&mut self, shard: usize) {
        let Shard { messages, announced } = &mut self.shards[shard];
        while let (Some(message), Some(&(through, at_ns))) = (messages.front_mut(), announced.front()) {
            // Sequences ascend, so one that is not known yet may lie on either side.
            let Some(sequence) = message.sequence else { return };
            let reached = match through.sequence.cmp(&sequence) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => through.index.saturating_add(1).min(message.orders),
                std::cmp::Ordering::Greater => message.orders,
            };
            if let Some(new @ 1..) = reached.checked_sub(message.announced) {
                message.announced = reached;
                self.counts.orders_announced += u64::from(new);
                self.counts.window_announced +=
                    if self.window_ns.contains(&at_ns) { u64::from(new) } else { 0 };
                record(&mut self.latencies, &self.window_ns, message.due_ns, at_ns, u64::from(new));
            }
            if message.announced == message.orders {
                messages.pop_front();
            } else {
                announced.pop_front();
            }
        }
        // Without messages only the newest says anything about those to come.
        if messages.is_empty() {
            announced.drain(..announced.len().saturating_sub(1));
        }
    }
}

fn record(latencies: &mut Histogram<u64>, window: &Range<u64>, due_ns: u64, at_ns: u64, orders: u64) {
    if window.contains(&due_ns) {
        latencies.saturating_record_n((at_ns.saturating_sub(due_ns) / 1_000).max(1), orders);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn through(sequence: u64, index: u32) -> Identity {
        Identity { sequence, index, place: 0 }
    }

    /// The latencies in milliseconds, each with how many orders took it.
    fn latencies(ledger: &Ledger) -> Vec<(u64, u64)> {
        let recorded = ledger.latencies.iter_recorded();
        recorded.map(|step| (step.value_iterated_to() / 1_000, step.count_at_value())).collect()
    }

    #[test]
    fn acknowledgement_and_outcome_may_come_in_either_order() {
        for announced_first in [false, true] {
            let mut ledger = Ledger::new(1, 0..u64::MAX);
            ledger.sent(0, 10 * MS, 4, 4, 100);
            ledger.sent(1, 11 * MS, 4, 4, 100);
            let acks = |ledger: &mut Ledger| {
                ledger.acked(0, 5).unwrap();
                ledger.acked(1, 6).unwrap();
            };
            if !announced_first {
                acks(&mut ledger);
            }
            ledger.announced(0, through(5, 3), 50, 12 * MS);
            ledger.announced(0, through(6, 3), 50, 14 * MS);
            if announced_first {
                assert_eq!(ledger.counts.orders_announced, 0);
                acks(&mut ledger);
            }
            assert_eq!(latencies(&ledger), [(2, 4), (3, 4)]);
            assert!(ledger.is_settled());
        }
    }

    #[test]
    fn one_append_may_end_within_a_message_or_cover_many() {
        let mut ledger = Ledger::new(1, 0..u64::MAX);
        for number in 0..3 {
            ledger.sent(number, 0, 10, 12, 100);
            ledger.acked(number, number + 1).unwrap();
        }
        ledger.announced(0, through(1, 5), 1, 2 * MS);
        assert_eq!(ledger.counts.orders_announced, 6);
        // Behind the orders there are two other records.
        ledger.announced(0, through(1, 11), 1, 4 * MS);
        assert_eq!(ledger.counts.orders_announced, 10);
        ledger.announced(0, through(9, 0), 1, 6 * MS);
        assert_eq!(latencies(&ledger), [(2, 6), (4, 4), (6, 20)]);
        assert!(ledger.is_settled());
        ledger.sent(3, 7 * MS, 10, 10, 1);
        ledger.acked(3, 8).unwrap();
        assert!(ledger.is_settled(), "what covers it was seen before it was acknowledged");
    }

    #[test]
    fn shards_are_told_apart() {
        let mut ledger = Ledger::new(2, 0..u64::MAX);
        for number in 0..4 {
            ledger.sent(number, 0, 1, 1, 10);
        }
        ledger.acked(2, 2).unwrap();
        ledger.acked(0, 1).unwrap();
        ledger.announced(0, through(2, 0), 1, MS);
        assert_eq!(ledger.counts.orders_announced, 2);
        ledger.acked(3, 2).unwrap();
        ledger.announced(1, through(1, 0), 1, 2 * MS);
        assert_eq!((ledger.counts.orders_announced, ledger.counts.unacked_messages), (2, 1));
        ledger.acked(1, 1).unwrap();
        assert_eq!(ledger.counts.orders_announced, 3);
        assert!(!ledger.is_settled());
        assert_eq!(ledger.acked(9, 3), Err(NotSent(9)));
    }

    #[test]
    fn only_what_is_due_in_the_window_is_measured() {
        let mut ledger = Ledger::new(1, 10..20);
        for (number, due_ns) in [(0, 9), (1, 10), (2, 19), (3, 20)] {
            ledger.sent(number, due_ns, 1, 1, 10);
            ledger.acked(number, number + 1).unwrap();
        }
        ledger.announced(0, through(2, 0), 7, 12);
        ledger.announced(0, through(4, 0), 5, 5 * MS);
        assert_eq!(ledger.latencies.len(), 2);
        assert_eq!(ledger.counts.orders_announced, 4);
        // By when they were announced, not by when they were due.
        let Counts { window_announced, window_appends, window_bytes, .. } = ledger.counts;
        assert_eq!((window_announced, window_appends, window_bytes), (2, 1, 7));
        ledger.unsent(15, 3, 9 * MS);
        assert_eq!(latencies(&ledger).last(), Some(&(8, 3)));
    }

    #[test]
    fn what_was_announced_before_anything_was_sent_is_not_kept() {
        let mut ledger = Ledger::new(1, 0..u64::MAX);
        for sequence in 1..1_000 {
            ledger.announced(0, through(sequence, 0), 1, sequence);
        }
        assert_eq!(ledger.shards[0].announced.len(), 1);
    }
}

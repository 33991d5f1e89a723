//! The generator's ledger: which messages were sent, acknowledged and announced, and how long that took. Sans-IO.
//!
//! An order is due when it arrives itself, which in a message of many is before the message is full. Whoever reads outcomes
//! tells which orders are answered; of the ceiling, whose outcomes say nothing, acknowledgements tell which sequence a message
//! got, and positions up to where all is announced; either may come first. Times are nanoseconds of one clock, the generator's.

use std::collections::VecDeque;
use std::ops::Range;

use hdrhistogram::Histogram;

use super::job::Pace;
use super::sender::{nanoseconds, span};
use crate::findings::Numbers;
use crate::statistics::histogram;
use weir::words::identity::Identity;

/// A message on its way.
#[derive(Debug)]
struct Message {
    number: u64,
    /// When it was meant to be sent, or was.
    due_ns: u64,
    orders: u32,
    bytes: usize,
    sequence: Option<u64>,
    /// How many of its orders are answered.
    answered: u32,
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
pub(crate) struct Counts {
    pub(crate) orders_sent: u64,
    pub(crate) orders_announced: u64,
    pub(crate) messages_sent: u64,
    /// Payload bytes of what was sent.
    pub(crate) bytes_sent: u64,
    pub(crate) records_sent: u64,
    pub(crate) unacked_messages: usize,
    pub(crate) unacked_bytes: usize,
    /// What was announced within the window: orders, appends, and their payload bytes.
    pub(crate) window_announced: u64,
    pub(crate) window_appends: u64,
    pub(crate) window_bytes: u64,
    /// Messages that were due within the window.
    pub(crate) window_messages: u64,
    /// Outcomes that came a second time, or for an order that was never sent.
    pub(crate) strange: u64,
}

/// When orders are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) pace: Pace,
    /// When the first order of an open loop is due.
    pub(crate) start_ns: u64,
}

impl Due {
    /// When an order is due that went with a message; in a closed loop, when that was sent.
    fn of(self, number: u64, message_ns: u64) -> u64 {
        match self.pace {
            Pace::PerSecond(rate) => self.start_ns + nanoseconds(span(number, rate)),
            Pace::InFlight(_) => message_ns,
        }
    }
}

/// The ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    shards: Vec<Shard>,
    /// Orders in a message.
    batch: u64,
    due: Due,
    answered: Numbers,
    pub(crate) counts: Counts,
    /// The latency of messages that are due within it is measured, and what is announced within it counts for the rate.
    pub(crate) window_ns: Range<u64>,
    /// Latencies in microseconds, of the orders of measured messages.
    pub(crate) latencies: Histogram<u64>,
}

/// An acknowledgement of something that was not sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("message {0} was acknowledged, but never sent")]
pub(crate) struct NotSent(u64);

impl Ledger {
    pub(crate) fn new(shards: usize, batch: u32, due: Due, window_ns: Range<u64>) -> Self {
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            batch: batch.into(),
            due,
            answered: Numbers::default(),
            counts: Counts::default(),
            window_ns,
            latencies: histogram(),
        }
    }

    /// A message is about to be sent.
    pub(crate) fn sent(&mut self, number: u64, due_ns: u64, orders: u32, records: u32, bytes: usize) {
        let shard = self.shard_of(number);
        let message = Message { number, due_ns, orders, bytes, sequence: None, answered: 0 };
        self.shards[shard].messages.push_back(message);
        self.counts.orders_sent += u64::from(orders);
        self.counts.records_sent += u64::from(records);
        self.counts.messages_sent += 1;
        self.counts.window_messages += u64::from(self.window_ns.contains(&due_ns));
        self.counts.bytes_sent += bytes as u64;
        self.counts.unacked_messages += 1;
        self.counts.unacked_bytes += bytes;
    }

    /// A message was stored.
    pub(crate) fn acked(&mut self, number: u64, sequence: u64) -> Result<(), NotSent> {
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

    /// An append of outcomes came at `now_ns`.
    pub(crate) fn append(&mut self, bytes: usize, now_ns: u64) {
        if self.window_ns.contains(&now_ns) {
            self.counts.window_appends += 1;
            self.counts.window_bytes += bytes as u64;
        }
    }

    /// An order's outcome came at `now_ns`.
    pub(crate) fn answered(&mut self, number: u64, now_ns: u64) {
        let message_number = number / self.batch;
        let (shard, shards) = (self.shard_of(message_number), self.shards.len() as u64);
        let messages = &mut self.shards[shard].messages;
        let ahead = messages.front().and_then(|front| message_number.checked_sub(front.number));
        let place = ahead.and_then(|ahead| usize::try_from(ahead / shards).ok());
        let Some(message) = place.and_then(|place| messages.get_mut(place)) else {
            self.counts.strange += 1;
            return;
        };
        if !self.answered.add(number) {
            self.counts.strange += 1;
            return;
        }
        message.answered += 1;
        let due_ns = self.due.of(number, message.due_ns);
        self.count(due_ns, now_ns, 1);
        self.forget(shard);
    }

    /// All of a shard was announced at `now_ns` up to a position.
    pub(crate) fn announced(&mut self, shard: usize, through: Identity, now_ns: u64) {
        self.shards[shard].announced.push_back((through, now_ns));
        self.settle(shard);
    }

    fn count(&mut self, due_ns: u64, now_ns: u64, orders: u64) {
        self.counts.orders_announced += orders;
        self.counts.window_announced += if self.window_ns.contains(&now_ns) { orders } else { 0 };
        record(&mut self.latencies, &self.window_ns, due_ns, now_ns, orders);
    }

    /// Lets go of messages that are stored and answered.
    fn forget(&mut self, shard: usize) {
        let messages = &mut self.shards[shard].messages;
        while messages.front().is_some_and(|first| first.sequence.is_some() && first.answered == first.orders)
        {
            messages.pop_front();
        }
    }

    /// An order that was never sent took at least until `now_ns`.
    pub(crate) fn unsent(&mut self, due_ns: u64, orders: u64, now_ns: u64) {
        record(&mut self.latencies, &self.window_ns, due_ns, now_ns, orders);
    }

    /// Whether all that was sent is announced.
    pub(crate) fn is_settled(&self) -> bool {
        self.counts.unacked_messages == 0 && self.counts.orders_announced == self.counts.orders_sent
    }

    fn shard_of(&self, number: u64) -> usize {
        usize::try_from(number % self.shards.len() as u64).unwrap_or(0)
    }

    /// Matches what is known of a shard's messages with the positions that were announced.
    fn settle(&mut self, shard: usize) {
        while let Some(&(through, at_ns)) = self.shards[shard].announced.front() {
            let Some(message) = self.shards[shard].messages.front_mut() else { break };
            // Sequences ascend, so one that is not known yet may lie on either side.
            let Some(sequence) = message.sequence else { break };
            let reached = match through.sequence.cmp(&sequence) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => through.index.saturating_add(1).min(message.orders),
                std::cmp::Ordering::Greater => message.orders,
            };
            let new = message.answered..reached.max(message.answered);
            message.answered = new.end;
            let (first, message_ns) = (message.number * self.batch, message.due_ns);
            if message.answered == message.orders {
                self.shards[shard].messages.pop_front();
            } else {
                self.shards[shard].announced.pop_front();
            }
            for number in new {
                let due_ns = self.due.of(first + u64::from(number), message_ns);
                self.count(due_ns, at_ns, 1);
            }
        }
        // Without messages only the newest says anything about those to come.
        let Shard { messages, announced } = &mut self.shards[shard];
        if messages.is_empty() {
            announced.drain(..announced.len().saturating_sub(1));
        }
        self.forget(shard);
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
    const CLOSED: Due = Due { pace: Pace::InFlight(1), start_ns: 0 };

    fn through(sequence: u64, index: u32) -> Identity {
        Identity { sequence, index, place: 0 }
    }

    fn ledger(shards: usize, batch: u32) -> Ledger {
        Ledger::new(shards, batch, CLOSED, 0..u64::MAX)
    }

    /// The latencies in milliseconds, each with how many orders took it.
    fn latencies(ledger: &Ledger) -> Vec<(u64, u64)> {
        let recorded = ledger.latencies.iter_recorded();
        recorded.map(|step| (step.value_iterated_to() / 1_000, step.count_at_value())).collect()
    }

    #[test]
    fn an_order_is_due_when_it_arrives_and_not_with_its_message() {
        // A thousand a second: an order each millisecond, four a message.
        let due = Due { pace: Pace::PerSecond(1_000), start_ns: 10 * MS };
        let mut ledger = Ledger::new(1, 4, due, 0..u64::MAX);
        ledger.sent(0, 13 * MS, 4, 4, 100);
        for number in 0..4 {
            ledger.answered(number, 15 * MS);
        }
        assert_eq!(latencies(&ledger), [(2, 1), (3, 1), (4, 1), (5, 1)]);
        assert!(!ledger.is_settled(), "nothing says that it is stored");
        ledger.acked(0, 1).unwrap();
        assert!(ledger.is_settled());
    }

    #[test]
    fn an_outcome_counts_once_and_only_for_what_was_sent() {
        let mut ledger = ledger(2, 2);
        for number in 0..2 {
            ledger.sent(number, 0, 2, 2, 1);
        }
        for number in [0, 0, 3, 4, 1_000] {
            ledger.answered(number, MS);
        }
        assert_eq!((ledger.counts.orders_announced, ledger.counts.strange), (2, 3));
        ledger.answered(1, MS);
        ledger.acked(0, 1).unwrap();
        ledger.answered(1, MS);
        assert_eq!((ledger.counts.orders_announced, ledger.counts.strange), (3, 4));
    }

    #[test]
    fn acknowledgement_and_position_may_come_in_either_order() {
        for announced_first in [false, true] {
            let mut ledger = ledger(1, 4);
            ledger.sent(0, 10 * MS, 4, 4, 100);
            ledger.sent(1, 11 * MS, 4, 4, 100);
            let acks = |ledger: &mut Ledger| {
                ledger.acked(0, 5).unwrap();
                ledger.acked(1, 6).unwrap();
            };
            if !announced_first {
                acks(&mut ledger);
            }
            ledger.announced(0, through(5, 3), 12 * MS);
            ledger.announced(0, through(6, 3), 14 * MS);
            if announced_first {
                assert_eq!(ledger.counts.orders_announced, 0);
                acks(&mut ledger);
            }
            assert_eq!(latencies(&ledger), [(2, 4), (3, 4)]);
            assert!(ledger.is_settled());
        }
    }

    #[test]
    fn one_position_may_end_within_a_message_or_cover_many() {
        let mut ledger = ledger(1, 10);
        for number in 0..3 {
            ledger.sent(number, 0, 10, 12, 100);
            ledger.acked(number, number + 1).unwrap();
        }
        ledger.announced(0, through(1, 5), 2 * MS);
        assert_eq!(ledger.counts.orders_announced, 6);
        // Behind the orders there are two other records.
        ledger.announced(0, through(1, 11), 4 * MS);
        assert_eq!(ledger.counts.orders_announced, 10);
        ledger.announced(0, through(9, 0), 6 * MS);
        assert_eq!(latencies(&ledger), [(2, 6), (4, 4), (6, 20)]);
        assert!(ledger.is_settled());
        ledger.sent(3, 7 * MS, 10, 10, 1);
        ledger.acked(3, 8).unwrap();
        assert!(ledger.is_settled(), "what covers it was seen before it was acknowledged");
    }

    #[test]
    fn shards_are_told_apart() {
        let mut ledger = ledger(2, 1);
        for number in 0..4 {
            ledger.sent(number, 0, 1, 1, 10);
        }
        ledger.acked(2, 2).unwrap();
        ledger.acked(0, 1).unwrap();
        ledger.announced(0, through(2, 0), MS);
        assert_eq!(ledger.counts.orders_announced, 2);
        ledger.acked(3, 2).unwrap();
        ledger.announced(1, through(1, 0), 2 * MS);
        assert_eq!((ledger.counts.orders_announced, ledger.counts.unacked_messages), (2, 1));
        ledger.acked(1, 1).unwrap();
        assert_eq!(ledger.counts.orders_announced, 3);
        assert!(!ledger.is_settled());
        assert_eq!(ledger.acked(9, 3), Err(NotSent(9)));
    }

    #[test]
    fn only_what_is_due_in_the_window_is_measured() {
        let mut ledger = Ledger::new(1, 1, CLOSED, 10..20);
        for (number, due_ns) in [(0, 9), (1, 10), (2, 19), (3, 20)] {
            ledger.sent(number, due_ns, 1, 1, 10);
            ledger.acked(number, number + 1).unwrap();
        }
        ledger.append(7, 12);
        ledger.announced(0, through(2, 0), 12);
        ledger.append(5, 5 * MS);
        ledger.announced(0, through(4, 0), 5 * MS);
        assert_eq!((ledger.latencies.len(), ledger.counts.window_messages), (2, 2));
        assert_eq!(ledger.counts.orders_announced, 4);
        // By when they were announced, not by when they were due.
        let Counts { window_announced, window_appends, window_bytes, .. } = ledger.counts;
        assert_eq!((window_announced, window_appends, window_bytes), (2, 1, 7));
        ledger.unsent(15, 3, 9 * MS);
        assert_eq!(latencies(&ledger).last(), Some(&(8, 3)));
    }

    #[test]
    fn what_was_announced_before_anything_was_sent_is_not_kept() {
        let mut ledger = ledger(1, 1);
        for sequence in 1..1_000 {
            ledger.announced(0, through(sequence, 0), sequence);
        }
        assert_eq!(ledger.shards[0].announced.len(), 1);
    }
}

//! The slowest orders of the last five minutes.

use serde::Serialize;

/// How many are kept.
const SLOWEST_MAX: usize = 20;
/// For how long.
const KEPT_MS: i64 = 300_000;

/// An order that took long, from being stored to its outcome being announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlowOrder {
    /// Which shard.
    pub shard: String,
    /// The order: the first of its message.
    pub order_id: String,
    /// The sequence of its message.
    pub sequence: u64,
    /// How many orders its message has: they took as long.
    pub orders: u64,
    /// How long, in microseconds.
    pub duration_us: u64,
    /// When it was announced, in milliseconds since 1970.
    pub at_ms: i64,
}

/// The slowest ones, in no order.
#[derive(Debug, Default)]
pub(super) struct Slowest {
    orders: Vec<SlowOrder>,
}

impl Slowest {
    /// Whether one that took so long is among them.
    pub(super) fn takes(&self, duration_us: u64) -> bool {
        self.orders.len() < SLOWEST_MAX || self.orders.iter().any(|order| order.duration_us < duration_us)
    }

    /// Takes one, in place of the fastest where there is no room.
    pub(super) fn take(&mut self, order: SlowOrder) {
        self.forget(order.at_ms);
        if self.orders.len() == SLOWEST_MAX {
            let fastest = self.orders.iter().enumerate().min_by_key(|(_, order)| order.duration_us);
            let Some((place, fastest)) = fastest else { return };
            if fastest.duration_us >= order.duration_us {
                return;
            }
            self.orders.swap_remove(place);
        }
        self.orders.push(order);
    }

    /// Drops those of more than five minutes ago.
    pub(super) fn forget(&mut self, now_ms: i64) {
        self.orders.retain(|order| order.at_ms > now_ms - KEPT_MS);
    }

    /// The slowest first.
    pub(super) fn sorted(&self) -> Vec<SlowOrder> {
        let mut orders = self.orders.clone();
        orders.sort_by_key(|order| (std::cmp::Reverse(order.duration_us), order.sequence));
        orders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(sequence: u64, duration_us: u64, at_ms: i64) -> SlowOrder {
        SlowOrder {
            shard: "main".to_owned(),
            order_id: sequence.to_string(),
            sequence,
            orders: 1,
            duration_us,
            at_ms,
        }
    }

    #[test]
    fn the_slowest_stay_for_five_minutes() {
        let mut slowest = Slowest::default();
        for sequence in 1..=100 {
            assert!(slowest.takes(sequence));
            slowest.take(order(sequence, sequence, 1_000));
        }
        let kept: Vec<_> = slowest.sorted().iter().map(|order| order.sequence).collect();
        assert_eq!(kept, (81..=100).rev().collect::<Vec<_>>());
        assert!(!slowest.takes(81) && slowest.takes(82));
        slowest.take(order(101, 80, 2_000));
        assert_eq!(slowest.sorted().len(), SLOWEST_MAX);
        slowest.take(order(102, 5, 301_000));
        assert_eq!(slowest.sorted(), [order(102, 5, 301_000)]);
    }
}

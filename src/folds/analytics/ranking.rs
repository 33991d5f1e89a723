//! What is asked of open orders: how likely one comes late, and which of them are warned of, in order.

use super::orders::Order;
use super::{Analytics, SignalKind, order_hash};
use crate::words::query::{ArrivesBy, DelayCause, DelayRisk};
use crate::words::timestamp::Timestamp;

/// How many causes are told.
const CAUSES: usize = 3;
/// A key is a whole number that JavaScript keeps: so many bits of the probability, then so many of the order's hash.
const LATE_BITS: u32 = 12;
const HASH_BITS: u32 = 40;

/// The open orders that are warned of, the likeliest to arrive late first: by key, ascending, and the hash of the id.
#[derive(Clone, Debug, Default)]
pub struct Ranking(Vec<(u64, u64)>);

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Its place among all: those behind it have a higher one. No two have the same.
    pub key: u64,
    /// Which order.
    pub order_id: String,
    /// How likely it comes late.
    pub risk: DelayRisk,
}

/// Few enough digits to be read, as in signals.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn key(late: f64, order: u64) -> u64 {
    let most = f64::from((1_u32 << LATE_BITS) - 1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 4,095")]
    let late = ((1.0 - late.clamp(0.0, 1.0)) * most).round() as u64;
    late << HASH_BITS | order >> (u64::BITS - HASH_BITS)
}

impl Analytics {
    /// How likely an open order comes late, as it is now; none where it is not followed, or nothing can be said of it yet. `measured` is
    /// the last message of the log that this reflects.
    #[must_use]
    pub fn delay_risk_of(&self, order_id: &str, measured: u64) -> Option<DelayRisk> {
        let order = self.orders.get(self.find(order_id)?).filter(|order| order.is_open())?;
        let risk = self.delay_risk(order, measured);
        let says = risk.arrives_late.is_some() || risk.ships_late.is_some() || risk.arrives_by.is_some();
        says.then_some(risk)
    }

    fn delay_risk(&self, order: &Order, measured: u64) -> DelayRisk {
        let arrives_by = self.delay.arrives_by_ms(order, self.now_ms);
        let probability = |late: Option<f64>| late.filter(|late| late.is_finite()).map(rounded);
        let causes = self.delay.causes(order, CAUSES).into_iter();
        let causes = causes.map(|cause| DelayCause { name: cause.name, days: rounded(cause.days) });
        DelayRisk {
            arrives_late: probability(self.arrives_late(order)),
            ships_late: probability(self.delay.ships_late(order, self.now_ms)),
            promised_by: order.promised_by_ms.map(Timestamp::from_millis),
            arrives_by: arrives_by
                .map(|by| by.map(Timestamp::from_millis))
                .map(|[p5, p25, p50, p75, p95]| ArrivesBy { p5, p25, p50, p75, p95 }),
            causes: causes.filter(|cause| cause.days != 0.0 && cause.days.is_finite()).collect(),
            measured,
        }
    }

    /// Ranks those that are warned of: a walk over the signals that stand, some 300 ns each.
    #[must_use]
    pub fn rank(&self) -> Ranking {
        let standing = self.signals.standing(SignalKind::DelayRisk);
        let ranked = standing.filter_map(|(order_id, told)| {
            let id = order_hash(order_id);
            let order = self.orders.get(self.orders.find(id)?).filter(|order| order.is_open())?;
            // As it is now, where that is known; else as it was told last.
            Some((key(self.arrives_late(order).unwrap_or(told), id), id))
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        let mut before = None;
        for (key, _) in &mut ranked {
            *key = before.map_or(*key, |before| (*key).max(before + 1));
            before = Some(*key);
        }
        Ranking(ranked)
    }

    /// The first `rows` of a ranking behind a key that are still open; fewer where it ends.
    #[must_use]
    pub fn ranked(&self, ranking: &Ranking, after: Option<u64>, rows: usize, measured: u64) -> Vec<Ranked> {
        let Ranking(all) = ranking;
        let from = after.map_or(0, |after| all.partition_point(|(key, _)| *key <= after));
        let open = all[from..].iter().filter_map(|(key, id)| {
            let order = self.orders.get(self.orders.find(*id)?).filter(|order| order.is_open())?;
            Some((*key, order))
        });
        let ranked = open.take(rows).map(|(key, order)| Ranked {
            key,
            order_id: order.name.clone(),
            risk: self.delay_risk(order, measured),
        });
        ranked.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_by_probability_and_are_whole_in_javascript() {
        let keys = [1.0, 0.999, 0.5, 0.4, 0.0].map(|late| key(late, u64::MAX));
        assert!(keys.is_sorted(), "{keys:?}");
        assert!(keys.iter().all(|key| *key < 1 << 53), "{keys:?}");
        // What is no probability has a place, too.
        assert!(key(f64::NAN, 7) < 1 << 53 && key(7.0, 7) == key(1.0, 7));
    }
}

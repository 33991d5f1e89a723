//! Digests: the whole state in two numbers, by a walk over it; never on an order's way.
//!
//! Tables have no order of their own, so each entry is hashed alone and the hashes are added up (wrapping): the same
//! entries give the same sum, in whatever order they are walked.

use super::Inventory;
use super::order::{Order, Part};
use super::orders::{Closed, FirstOutcome};
use super::stock::{Flows, Stock};
use crate::words::hash::Hasher;
use crate::words::outcome::{Reason, State};
use crate::words::timestamp::Timestamp;

/// The state in two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Over everything: equal for two folds of one log.
    pub state: u64,
    /// Over stock and order states, without times and sequences: equal for two logs that hold the same commands, as long
    /// as no hold and no window ends.
    pub ledger: u64,
}

pub(super) fn part_units(part: &Part) -> u64 {
    [part.waiting, part.reserved, part.cancelled, part.shipped, part.delivered, part.returned]
        .into_iter()
        .map(u64::from)
        .sum()
}

impl Inventory {
    /// Walks the whole state. Takes time in proportion to it.
    #[must_use]
    pub fn digests(&self) -> Digests {
        let sum = |hashes: &mut dyn Iterator<Item = u64>| hashes.fold(0u64, u64::wrapping_add);
        let stock = sum(&mut self.stock.with_flows().map(|(item, flows)| self.stock_digest(item, flows)));
        let orders = sum(&mut self.orders.kept().map(|order| self.order_digest(order, false)));
        let closed = sum(&mut self.orders.closed().map(|closed| closed_digest(closed, false)));
        let ledger = hash_all(&[
            stock,
            sum(&mut self.orders.kept().map(|order| self.order_digest(order, true))),
            sum(&mut self.orders.closed().map(|closed| closed_digest(closed, true))),
        ]);
        let state = hash_all(&[
            self.chain.sequence,
            self.chain.hash,
            self.now.millis().unsigned_abs(),
            self.policy_digest(),
            stock,
            orders,
            closed,
            self.orders.forgotten_until().map_or(u64::MAX, |time| time.millis().unsigned_abs()),
            self.queues_digest(),
            sum(&mut self.facts.iter().map(|(kind, id, told)| {
                let mut hasher = Hasher::new();
                hasher.number(kind).text(id).number(told.content).number(told.first_sequence);
                hasher.finish()
            })),
        ]);
        Digests { state, ledger }
    }

    fn policy_digest(&self) -> u64 {
        let policy = &self.policy;
        let mut hasher = Hasher::new();
        hasher.number(u64::from(policy.rules));
        for value in [
            policy.pay_within_ms,
            policy.lines_max,
            policy.quantity_max,
            policy.open_orders_max,
            policy.settled_orders_max,
            policy.settled_window_ms,
            policy.closed_orders_max,
            policy.closed_window_ms,
            policy.facts_max,
            policy.facts_window_ms,
            policy.skus_max,
            policy.safety_stock,
        ] {
            hasher.signed(value);
        }
        for (name, _) in self.sites.listed() {
            hasher.text(name);
        }
        hasher.finish()
    }

    fn stock_digest(&self, item: &Stock, flows: &Flows) -> u64 {
        let mut hasher = Hasher::new();
        hasher.text(self.sites.name(item.site)).text(&item.sku);
        for value in [
            item.on_hand,
            item.reserved,
            item.safety.map_or(-1, i64::from),
            flows.received,
            flows.adjusted,
            flows.restocked,
            flows.shipped,
        ] {
            hasher.signed(value);
        }
        hasher.finish()
    }

    fn order_digest(&self, order: &Order, ledger: bool) -> u64 {
        let mut hasher = Hasher::new();
        hasher
            .text(&order.id)
            .text(self.sites.name(self.stock.site_of(order)))
            .number(state_number(order.state()));
        hasher.number(u64::from(order.paid)).number(u64::from(order.expired)).number(u64::from(order.waited));
        for (line, part) in order.lines().iter().zip(order.parts()) {
            hasher.text(&self.stock.get(line.stock).sku);
            for units in [
                part.waiting,
                part.reserved,
                part.cancelled,
                part.shipped,
                part.delivered,
                part.returned,
                part.shipping_due,
                part.delivery_due,
            ] {
                hasher.number(u64::from(units));
            }
        }
        if !ledger {
            hasher.number(order.content).number(order.first_sequence).number(u64::from(order.ticket().1));
            hasher.signed(order.since.millis()).signed(order.pay_by().map_or(-1, Timestamp::millis));
            hasher.text(order.parked_at().map_or("", |stock| &self.stock.get(stock).sku));
        }
        hasher.finish()
    }

    /// What is queued, in order.
    fn queues_digest(&self) -> u64 {
        let mut hasher = Hasher::new();
        for stock in self.waiting.releases() {
            hasher.number(u64::from(stock.0));
        }
        hasher.number(u64::MAX);
        for (stock, (sequence, index)) in self.waiting.parked() {
            hasher.number(u64::from(stock.0)).number(sequence).number(u64::from(index));
        }
        hasher.number(self.searches.len() as u64);
        hasher.finish()
    }
}

fn hash_all(numbers: &[u64]) -> u64 {
    let mut hasher = Hasher::new();
    for number in numbers {
        hasher.number(*number);
    }
    hasher.finish()
}

fn closed_digest(closed: &Closed, ledger: bool) -> u64 {
    let mut hasher = Hasher::new();
    let (first, reason) = match closed.first {
        FirstOutcome::Confirmed => (0, 0),
        FirstOutcome::Waiting => (1, 0),
        FirstOutcome::Refused(reason) => (2, reason_number(reason)),
    };
    hasher.text(&closed.id).number(first).number(reason).number(state_number(closed.state));
    if !ledger {
        hasher.number(closed.content).number(closed.first_sequence).signed(closed.at.millis());
    }
    hasher.finish()
}

fn reason_number(reason: Reason) -> u64 {
    reason as u64
}

fn state_number(state: State) -> u64 {
    state as u64
}

//! Expiring: holds that were not paid in time, and waiting that took too long.

use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::posting::{Movement, Movements};
use crate::folds::inventory::tables::order::{Bucket, Flags};
use crate::words::outcome::Decision;
use crate::words::timestamp::Timestamp;

impl Inventory {
    /// Starts the hold of an order that has its stock, where it or the policy sets one and it is not paid; gives when it ends.
    pub(crate) fn hold(
        &mut self,
        slot: u32,
        pay_within_ms: Option<i64>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let within = pay_within_ms.unwrap_or(self.policy.pay_within_ms);
        if within <= 0 || self.orders.get(slot).flags.has(Flags::PAID) {
            return None;
        }
        let pay_by = now.plus_millis(within);
        self.deadlines.set(&mut self.orders, slot, pay_by);
        Some(pay_by)
    }

    /// Whether holds or waits that have ended are still to be worked off.
    pub(crate) fn has_ended(&self) -> bool {
        self.deadlines.first().is_some_and(|(at, _)| at <= self.now)
    }

    /// Expires what has ended, as far as the message's budget goes.
    pub(crate) fn work_off_deadlines(&mut self, turn: &mut Turn<'_>) {
        while let Some((at, slot)) = self.deadlines.first() {
            if at > turn.at || turn.budget.outcomes == 0 || turn.budget.looks == 0 {
                return;
            }
            self.expire(slot, turn);
        }
    }

    fn expire(&mut self, slot: u32, turn: &mut Turn<'_>) {
        let view = self.orders.view(slot);
        let from = if view.has(Bucket::Waiting) { Bucket::Waiting } else { Bucket::Reserved };
        let movements: Movements = (0..view.lines().len())
            .map(|line| (line, view.units(line, from)))
            .filter(|(_, units)| *units > 0)
            .map(|(line, units)| Movement { line, from: Some(from), to: Bucket::Expired, units })
            .collect();
        turn.take_looks(view.lines().len());
        turn.budget.outcomes -= 1;
        self.post(slot, &movements, &[], turn.at);
        self.forget_value(slot);
        let view = self.orders.view(slot);
        turn.emit(&Decision::Expired {
            order_id: self.orders.id(view.order).into(),
            lines: self.told_lines(slot, &movements),
            state: view.state(),
        });
    }
}

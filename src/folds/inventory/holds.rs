//! Holds: what an unpaid order may keep its stock for, once policy sets a time.

use std::collections::BTreeMap;

use super::Inventory;
use super::order::{Part, Ticket};
use super::orders::Slot;
use super::output::Turn;
use crate::words::outcome::Decision;
use crate::words::timestamp::Timestamp;

/// The orders that hold stock unpaid, by the time at which that ends and the order in which they were placed.
pub(super) type Holds = BTreeMap<(Timestamp, Ticket), Slot>;

impl Inventory {
    /// Starts an order's hold, if policy sets one and it is not paid; gives when it ends.
    pub(super) fn hold(&mut self, slot: Slot, now: Timestamp) -> Option<Timestamp> {
        if self.policy.pay_within_ms <= 0 {
            return None;
        }
        let order = self.orders.get_mut(slot);
        if order.paid {
            return None;
        }
        let pay_by = now.plus_millis(self.policy.pay_within_ms);
        order.set_pay_by(Some(pay_by));
        self.holds.insert((pay_by, order.ticket()), slot);
        Some(pay_by)
    }

    /// Ends an order's hold: it was paid, or has nothing reserved any more.
    pub(super) fn end_hold(&mut self, slot: Slot) {
        let order = self.orders.get_mut(slot);
        if let Some(pay_by) = order.pay_by() {
            order.set_pay_by(None);
            self.holds.remove(&(pay_by, order.ticket()));
        }
    }

    /// Expires the holds whose time is over, as far as the record's budget goes.
    pub(super) fn work_off_holds(&mut self, turn: &mut Turn<'_>) {
        while turn.budget > 0 {
            match self.holds.first_key_value() {
                Some((&(pay_by, _), &slot)) if pay_by <= turn.at => self.expire(slot, turn),
                _ => return,
            }
        }
    }

    fn expire(&mut self, slot: Slot, turn: &mut Turn<'_>) {
        self.end_hold(slot);
        let order = self.orders.get_mut(slot);
        order.expired = true;
        let lines = order.copied_lines();
        let mut parts = order.parts();
        for (line, part) in lines.iter().zip(&mut parts) {
            let units = Part::take(&mut part.reserved, u32::MAX);
            part.cancelled += units;
            self.stock.unreserve(line.stock, i64::from(units));
            self.release(line.stock);
        }
        self.change(slot, &parts, turn.at);
        turn.budget -= 1;
        let order = self.orders.get(slot);
        turn.emit(&Decision::Expired { order_id: order.id.as_str().into(), state: order.state() });
    }

    /// Gives an order new parts and takes note of what follows for its hold and its settling.
    pub(super) fn change(&mut self, slot: Slot, parts: &[Part], now: Timestamp) {
        self.forget_needs(slot);
        let order = self.orders.get_mut(slot);
        let was_settled = order.is_settled();
        let noted = was_settled && order.since == now;
        order.set_parts(parts);
        self.note_needs(slot);
        let order = self.orders.get_mut(slot);
        order.since = now;
        let settled = order.is_settled();
        let holds_nothing = !order.any_part(|part| part.reserved > 0);
        if holds_nothing {
            self.end_hold(slot);
        }
        if settled && !noted {
            self.orders.settle(slot, was_settled);
        }
    }
}

//! Forgetting: what windows and caps say.

use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;

impl Inventory {
    /// Forgets what windows and caps say, as far as the message's budget goes. What is done for one record holds for the next ones, until
    /// time moves on, something is added, or the policy changes.
    pub(crate) fn forget(&mut self, turn: &mut Turn<'_>) {
        if self.has_forgotten() {
            return;
        }
        let mut budget = turn.budget.forgotten;
        let done = self.close_settled(&mut budget)
            && self.forget_closed(&mut budget)
            && self.facts.forget(
                self.now,
                count(self.policy.facts_max),
                self.policy.facts_window_ms,
                &mut budget,
            )
            && self.forget_skus(&mut budget);
        turn.budget.forgotten = budget;
        let at = Some((self.now, self.orders.additions() + self.facts.additions()));
        self.forgotten_at = at.filter(|_| done);
    }

    /// Whether nothing is to be forgotten beyond what was.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.forgotten_at == Some((self.now, self.orders.additions() + self.facts.additions()))
    }

    fn close_settled(&mut self, budget: &mut u32) -> bool {
        let (most, window) = (count(self.policy.settled_orders_max), self.policy.settled_window_ms);
        while let Some((slot, since)) = self.orders.first_settled(budget) {
            if self.orders.settled_count() <= most && since.plus_millis(window) >= self.now {
                return true;
            }
            let view = self.orders.view(slot);
            let lines = view.lines();
            let cost = u32::try_from(lines.len()).unwrap_or(u32::MAX);
            // An order of many lines is closed by the first message that has not forgotten anything yet.
            if *budget == 0 {
                return false;
            }
            *budget = budget.saturating_sub(cost);
            for number in 0..lines.len() {
                let view = self.orders.view(slot);
                let (stock, ticket) = (view.lines()[number].stock, view.order.ticket);
                if view.part(number).lacking > 0 {
                    self.end_lacking(stock, ticket);
                }
                self.stock.name(stock, -1, self.now);
            }
            self.orders.close_first(self.now);
        }
        *budget > 0
    }

    fn forget_closed(&mut self, budget: &mut u32) -> bool {
        let (most, window) = (count(self.policy.closed_orders_max), self.policy.closed_window_ms);
        while let Some(front) = self.orders.closed().front() {
            if self.orders.closed().len() <= most && front.at.plus_millis(window) >= self.now {
                break;
            }
            let Some(left) = budget.checked_sub(1) else { return false };
            *budget = left;
            self.orders.forget_closed();
        }
        let (most, window) = (count(self.policy.refused_orders_max), self.policy.refused_window_ms);
        while let Some(front) = self.orders.refused().front() {
            if self.orders.refused().len() <= most && front.at.plus_millis(window) >= self.now {
                break;
            }
            let Some(left) = budget.checked_sub(1) else { return false };
            *budget = left;
            self.orders.forget_refused();
        }
        true
    }

    fn forget_skus(&mut self, budget: &mut u32) -> bool {
        let window = self.policy.skus_window_ms;
        while let Some((since, stock)) = self.stock.first_idle().filter(|_| window > 0) {
            if since.plus_millis(window) >= self.now {
                break;
            }
            let Some(left) = budget.checked_sub(1) else { return false };
            *budget = left;
            self.stock.forget(stock);
        }
        true
    }
}

fn count(limit: i64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

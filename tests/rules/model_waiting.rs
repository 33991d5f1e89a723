//! The judge's consequences: holds and waits that end, what is forgotten, who is short, and who is released.

use weir::words::command::CommandKind;
use weir::words::outcome::{Decision, State};

use crate::model::{Model, Ticket, text, time};
use crate::model_facts::as_lines;
use crate::model_parts::{Column, Order, Remembered, Shelf};

impl Order {
    /// The SKU at which it is parked.
    pub(crate) fn waits_for(&self) -> Option<&str> {
        self.parked.map(|(line, _)| &*self.lines[line].sku)
    }
}

impl Model {
    /// A confirmed order holds its stock unpaid for so long.
    pub(crate) fn start_hold(&mut self, at: usize) {
        let by_policy = Some(self.policy.pay_within_ms).filter(|within| *within > 0);
        let order = &mut self.orders[at];
        let within = order.content.pay_within_ms.or(by_policy).filter(|_| !order.paid);
        order.pay_by = within.map(|within| time(self.now).plus_millis(within).millis());
        self.start(at);
    }

    /// Takes note of when a hold or a wait began.
    pub(crate) fn start(&mut self, at: usize) {
        self.starts += 1;
        self.orders[at].started = self.starts;
    }

    /// What has ended by now expires: by when it ended, then by the order in which it began.
    pub(crate) fn expire(&mut self) -> Vec<Decision<'static>> {
        let mut ended: Vec<(i64, u64, usize, Column)> = vec![];
        for (at, order) in self.orders.iter().enumerate() {
            let ends = [(order.pay_by, Column::Reserved), (order.wait_until, Column::Waiting)];
            for (end, column) in ends {
                if let Some(end) = end.filter(|end| *end <= self.now) {
                    ended.push((end, order.started, at, column));
                }
            }
        }
        ended.sort_unstable();
        ended.into_iter().map(|(_, _, at, column)| self.expire_one(at, column)).collect()
    }

    fn expire_one(&mut self, at: usize, column: Column) -> Decision<'static> {
        let mut lines = vec![];
        for line in 0..self.orders[at].lines.len() {
            let quantity = self.orders[at].lines[line].of(column);
            self.post(at, line, column, Column::Expired, quantity);
            if quantity > 0 {
                lines.push((self.orders[at].lines[line].sku.clone(), quantity));
            }
        }
        let order = &mut self.orders[at];
        if !order.is_gone() {
            order.set_value(None);
        }
        let expired: i64 = lines.iter().map(|(_, quantity)| quantity).sum();
        let told = if expired < order.whole() { as_lines(&lines) } else { vec![] };
        let decision = Decision::Expired { order_id: text(&order.id), lines: told, state: order.state() };
        self.look_at_changed();
        decision
    }

    /// What has followed for the orders whose units have moved: holds and waits that are over, and settling.
    pub(crate) fn look_at_changed(&mut self) {
        for order in &mut self.orders {
            if order.paid || order.of(Column::Reserved) == 0 {
                order.pay_by = None;
            }
            if !order.waits() {
                order.wait_until = None;
                order.parked = None;
                order.park_anew = false;
            }
        }
        for id in std::mem::take(&mut self.changed) {
            let order = self.orders.iter_mut().find(|order| order.id == id).expect("it has just changed");
            if !order.is_open() && order.settled_at.0 != self.now {
                order.settled_at = (self.now, self.settlings);
                self.settlings += 1;
            }
        }
    }

    /// Forgets what is older than its window, or beyond its cap.
    pub(crate) fn forget(&mut self) {
        let (now, policy) = (self.now, self.policy.clone());
        loop {
            let settled = self.orders.iter().filter(|order| !order.is_open());
            let (count, oldest) = (settled.clone().count(), settled.min_by_key(|order| order.settled_at));
            let Some(oldest) = oldest else { break };
            let is_over = oldest.settled_at.0 + policy.settled_window_ms < now;
            if !is_over && !is_beyond(count, policy.settled_orders_max) {
                break;
            }
            let at = self.orders.iter().position(|order| order.id == oldest.id).expect("it is kept");
            let order = self.orders.remove(at);
            let (state, since) = (order.state(), now);
            let Order { id, content, first, first_sequence, .. } = order;
            self.closed.push(Remembered { id, content, first, first_sequence, state, since });
        }
        while self.closed.first().is_some_and(|oldest| oldest.since + policy.closed_window_ms < now)
            || is_beyond(self.closed.len(), policy.closed_orders_max)
        {
            self.too_old = Some(self.closed.remove(0).since);
        }
        while self.refused.first().is_some_and(|oldest| oldest.since + policy.refused_window_ms < now)
            || is_beyond(self.refused.len(), policy.refused_orders_max)
        {
            self.refused.remove(0);
        }
        self.stock_facts.retain(|fact| fact.at + policy.facts_window_ms >= now);
        for kind in [CommandKind::Receive, CommandKind::Count, CommandKind::Adjust, CommandKind::Transfer] {
            while is_beyond(
                self.stock_facts.iter().filter(|fact| fact.kind == kind).count(),
                policy.facts_max,
            ) {
                let oldest = self.stock_facts.iter().position(|fact| fact.kind == kind);
                self.stock_facts.remove(oldest.expect("there is one"));
            }
        }
        self.look_for_idle();
        if policy.skus_window_ms > 0 {
            let is_over = |since: i64| since + policy.skus_window_ms < now;
            self.shelves.retain(|stock| !stock.idle_since.is_some_and(is_over));
        }
    }

    /// Takes note of the SKUs that have no stock and that nothing names.
    pub(crate) fn look_for_idle(&mut self) {
        let (now, orders) = (self.now, &self.orders);
        for stock in &mut self.shelves {
            let is_named = |stock: &Shelf| {
                let mut lines = orders.iter().flat_map(|order| &order.lines);
                lines.any(|line| line.site == stock.site && line.sku == stock.sku)
            };
            let has_figure =
                stock.safety_stock.is_some() || stock.allowance.is_some_and(|allowance| allowance > 0);
            if stock.on_hand != 0 || has_figure || is_named(stock) {
                stock.idle_since = None;
            } else {
                stock.idle_since = stock.idle_since.or(Some(now));
            }
        }
    }

    /// Who has reserved what is not there, and has not been told so: SKU by SKU, as this record has touched them.
    pub(crate) fn shortfalls(&mut self) -> Vec<Decision<'static>> {
        let mut said = vec![];
        for (site, sku) in self.touched.clone() {
            let mut missing = self.missing(&site, &sku);
            let mut orders: Vec<&mut Order> = self.orders.iter_mut().collect();
            orders.sort_by_key(|order| std::cmp::Reverse(order.ticket));
            for order in orders {
                let id = text(&order.id);
                for line in order.lines.iter_mut().filter(|line| line.site == site && line.sku == sku) {
                    let quantity = missing.min(line.of(Column::Reserved));
                    missing -= quantity;
                    if quantity != line.told {
                        line.told = quantity;
                        let (order_id, site, sku) = (id.clone(), text(&site), text(&sku));
                        said.push(Decision::Shortfall { order_id, site, sku, quantity });
                    }
                }
            }
        }
        said
    }

    /// What is claimed of a SKU by those placed before, or by all.
    pub(crate) fn claims(&self, site: &str, sku: &str, before: Option<Ticket>) -> i64 {
        let mut claims = 0;
        for order in &self.orders {
            let Some((line, claim)) = order.parked else { continue };
            let line = &order.lines[line];
            let counts = before.is_none_or(|before| order.wait_ticket < before);
            if line.site == site && line.sku == sku && counts {
                claims += claim;
            }
        }
        claims
    }

    /// Whether a waiting order can have what it waits for of a line.
    pub(crate) fn can_have(&self, at: usize, line: usize) -> bool {
        let order = &self.orders[at];
        let line = &order.lines[line];
        let unreserved = self.unreserved(&line.site, &line.sku).expect("an order names it");
        unreserved - self.claims(&line.site, &line.sku, Some(order.wait_ticket)) >= line.of(Column::Waiting)
    }

    /// The first of its lines that a waiting order is short of.
    fn first_short(&self, at: usize) -> Option<usize> {
        let waits = |line: &usize| self.orders[at].lines[*line].of(Column::Waiting) > 0;
        (0..self.orders[at].lines.len()).filter(waits).find(|line| !self.can_have(at, *line))
    }

    /// Parks a waiting order where it is short first; false where all of it can be had.
    pub(crate) fn park(&mut self, at: usize) -> bool {
        let Some(line) = self.first_short(at) else { return false };
        let wanted = self.orders[at].lines[line].of(Column::Waiting);
        let claim = if wanted > self.policy.claim_units_max { 0 } else { wanted };
        self.orders[at].parked = Some((line, claim));
        self.orders[at].park_anew = false;
        true
    }

    /// Those that need not wait any longer, in the order of placing.
    pub(crate) fn releases(&mut self) -> Vec<Decision<'static>> {
        let mut waiting: Vec<(Ticket, usize)> = (0..)
            .zip(&self.orders)
            .filter(|(_, order)| order.state() == State::Waiting)
            .map(|(at, order)| (order.wait_ticket, at))
            .collect();
        waiting.sort_unstable();
        let mut said = vec![];
        for (_, at) in waiting {
            let order = &self.orders[at];
            let (parked, _) = order.parked.expect("what waits is parked");
            if !order.park_anew && !self.can_have(at, parked) {
                continue;
            }
            if !self.park(at) {
                said.push(self.release(at));
            }
        }
        said
    }

    fn release(&mut self, at: usize) -> Decision<'static> {
        self.orders[at].parked = None;
        for line in 0..self.orders[at].lines.len() {
            let waiting = self.orders[at].lines[line].of(Column::Waiting);
            self.post(at, line, Column::Waiting, Column::Reserved, waiting);
        }
        self.start_hold(at);
        let order = &self.orders[at];
        Decision::Confirmed {
            order_id: text(&order.id),
            pay_by: order.pay_by.map(time),
            lines: order.site_lines(Some(Column::Reserved)),
            shortages: vec![],
            released: true,
            repeat: None,
        }
    }
}

fn is_beyond(count: usize, most: i64) -> bool {
    i64::try_from(count).expect("few") > most
}

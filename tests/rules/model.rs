//! The naive model: the same rules in the plainest words there are. Lists and scans; nothing is indexed, cached or
//! queued that could be looked for, except where the order of looking is itself the rule (which SKUs moved, in which
//! order orders were settled and closed).
//!
//! The commands' ladders are in [`crate::model_orders`], [`crate::model_facts`] and [`crate::model_stock`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir::folds::inventory::OUTCOMES_BEYOND_OWN_MAX;
use weir::words::command::{Command, CommandKind, Line, OnShortage};
use weir::words::outcome::{Decision, Outcome, Reason, Shortage, State};
use weir::words::policy::Policy;
use weir::words::timestamp::Timestamp;

pub(crate) type Key = (String, String);

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) key: Key,
    pub(crate) on_hand: i64,
    pub(crate) safety: Option<i64>,
    pub(crate) received: i64,
    pub(crate) adjusted: i64,
    pub(crate) restocked: i64,
    pub(crate) shipped: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Units {
    pub(crate) sku: String,
    pub(crate) quantity: i64,
    pub(crate) waiting: i64,
    pub(crate) reserved: i64,
    pub(crate) cancelled: i64,
    pub(crate) shipped: i64,
    pub(crate) delivered: i64,
    pub(crate) returned: i64,
    pub(crate) ship_due: i64,
    pub(crate) deliver_due: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Kept,
    Closed(i64),
    Forgotten,
}

/// What makes two orders under one id the same.
pub(crate) type Content = (String, OnShortage, BTreeMap<String, i64>);

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) site: String,
    pub(crate) content: Content,
    pub(crate) first_sequence: u64,
    pub(crate) refused: Option<Reason>,
    pub(crate) waited: bool,
    pub(crate) phase: Phase,
    pub(crate) lines: Vec<Units>,
    pub(crate) paid: bool,
    pub(crate) expired: bool,
    pub(crate) pay_by: Option<i64>,
    pub(crate) parked: Option<String>,
    pub(crate) since: i64,
}

impl Order {
    pub(crate) fn sum(&self, of: impl Fn(&Units) -> i64) -> i64 {
        self.lines.iter().map(of).sum()
    }

    pub(crate) fn waits(&self) -> bool {
        self.sum(|line| line.waiting) > 0
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Kept && self.sum(|line| line.waiting + line.reserved) > 0
    }

    pub(crate) fn state(&self) -> State {
        if self.refused.is_some() {
            State::Refused
        } else if self.waits() {
            State::Waiting
        } else if self.sum(|line| line.reserved) > 0 {
            if self.paid { State::Paid } else { State::Confirmed }
        } else if self.sum(|line| line.shipped) > 0 {
            State::Shipped
        } else if self.sum(|line| line.delivered) > 0 {
            State::Delivered
        } else if self.sum(|line| line.returned) > 0 {
            State::Returned
        } else if self.expired {
            State::Expired
        } else {
            State::Cancelled
        }
    }
}

#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) content: String,
    pub(crate) first_sequence: u64,
    pub(crate) at: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) now: i64,
    pub(crate) sequence: u64,
    pub(crate) policy: Policy,
    pub(crate) sites: BTreeSet<String>,
    /// In the order in which they became known.
    pub(crate) stock: Vec<Item>,
    /// All that ever were, in the order of placing.
    pub(crate) orders: Vec<Order>,
    pub(crate) facts: Vec<Fact>,
    /// SKUs whose waiting orders are to be looked at.
    moved: VecDeque<Key>,
    /// Changes to settled orders: when, and which.
    settled: VecDeque<(i64, usize)>,
    closed: VecDeque<usize>,
    pub(crate) forgotten_until: Option<i64>,
    /// Shortfalls to name once the command is answered.
    pub(crate) counted_short: Vec<Key>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { sites: ["main".to_owned()].into(), ..Self::default() }
    }

    /// What one message's commands bring about.
    pub(crate) fn apply(&mut self, stored_at: i64, commands: &[Command<'_>]) -> Vec<Outcome<'static>> {
        self.sequence += 1;
        let mut left = self.has_left();
        self.now = self.now.max(stored_at);
        let alone = commands.len() == 1;
        let mut outcomes = Vec::new();
        for (index, command) in (0..).zip(commands) {
            let works = !left || matches!(command, Command::Tick(_));
            let decisions = self.record(command, alone, works);
            left = self.has_left();
            outcomes.extend((0..).zip(decisions).map(|(place, decision)| Outcome {
                decision,
                sequence: self.sequence,
                index,
                place,
                at: Timestamp::from_millis(self.now),
            }));
        }
        outcomes
    }

    /// Whether something is left to do that earlier records brought about.
    fn has_left(&self) -> bool {
        self.next_to_expire().is_some() || !self.moved.is_empty() || !self.counted_short.is_empty()
    }

    fn record(&mut self, command: &Command<'_>, alone: bool, works: bool) -> Vec<Decision<'static>> {
        let mut out = Vec::new();
        let mut budget = if works { OUTCOMES_BEYOND_OWN_MAX } else { 0 };
        while let Some(order) = self.next_to_expire().filter(|_| budget > 0) {
            budget -= 1;
            out.push(self.expire(order));
        }
        self.forget();
        let answer = if matches!(command, Command::Policy(_)) && !alone {
            Some(refused(CommandKind::Policy, None, Refusal::new(Reason::NotAlone)))
        } else {
            self.decide(command)
        };
        out.extend(answer);
        if works {
            for key in std::mem::take(&mut self.counted_short) {
                self.name_short_orders(&key, &mut out, &mut budget);
            }
            self.release(&mut out, &mut budget);
        }
        out
    }

    // Looking for things.

    pub(crate) fn item(&mut self, site: &str, sku: &str) -> Option<&mut Item> {
        self.stock.iter_mut().find(|item| item.key.0 == site && item.key.1 == sku)
    }

    pub(crate) fn known(&self, site: &str, sku: &str) -> bool {
        self.stock.iter().any(|item| item.key.0 == site && item.key.1 == sku)
    }

    pub(crate) fn item_or_new(&mut self, site: &str, sku: &str) -> &mut Item {
        if !self.known(site, sku) {
            let key = (site.to_owned(), sku.to_owned());
            let (on_hand, received, adjusted, restocked, shipped) = (0, 0, 0, 0, 0);
            self.stock.push(Item { key, on_hand, safety: None, received, adjusted, restocked, shipped });
        }
        self.item(site, sku).unwrap()
    }

    pub(crate) fn reserved(&self, site: &str, sku: &str) -> i64 {
        let kept = self.orders.iter().filter(|order| order.phase == Phase::Kept && order.site == site);
        kept.flat_map(|order| &order.lines).filter(|line| line.sku == sku).map(|line| line.reserved).sum()
    }

    pub(crate) fn available(&self, site: &str, sku: &str) -> i64 {
        let item = self.stock.iter().find(|item| item.key.0 == site && item.key.1 == sku);
        item.map_or(0, |item| {
            item.on_hand - self.reserved(site, sku) - item.safety.unwrap_or(self.policy.safety_stock)
        })
    }

    /// The order under an id, unless it is forgotten.
    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.orders.iter().rposition(|order| order.id == id && order.phase != Phase::Forgotten)
    }

    pub(crate) fn first_parked(&self, site: &str, sku: &str) -> Option<usize> {
        self.orders.iter().position(|order| order.site == site && order.parked.as_deref() == Some(sku))
    }

    // Waiting.

    pub(crate) fn has_moved(&mut self, site: &str, sku: &str) {
        let key = (site.to_owned(), sku.to_owned());
        if self.first_parked(site, sku).is_some() && !self.moved.contains(&key) {
            self.moved.push_back(key);
        }
    }

    /// Less of a SKU is available than before: whoever could have had it, and cannot now, is passed over elsewhere.
    pub(crate) fn lowered(&mut self, site: &str, sku: &str, before: i64) {
        let now = self.available(site, sku);
        let place =
            |parked: &str| self.stock.iter().position(|item| item.key.0 == site && item.key.1 == parked);
        let waiting = self.orders.iter().filter(|order| order.site == site);
        let mut hit: Vec<_> = waiting
            .filter_map(|order| Some((order, order.parked.as_deref().filter(|parked| *parked != sku)?)))
            .flat_map(|(order, parked)| order.lines.iter().map(move |line| (line, parked)))
            .filter(|(line, _)| line.sku == sku && line.waiting > 0)
            .filter(|(line, _)| line.waiting > now && line.waiting <= before)
            .map(|(line, parked)| (line.waiting, place(parked), parked.to_owned()))
            .collect();
        hit.sort();
        for (_, _, parked) in hit {
            self.has_moved(site, &parked);
        }
    }

    /// The first other SKU that a waiting order cannot have: not enough, or an earlier order is first there.
    fn short_elsewhere(&self, order: usize, except: &str) -> Option<String> {
        let Order { site, lines, .. } = &self.orders[order];
        let short = lines.iter().find(|line| {
            line.sku != except
                && line.waiting > 0
                && (line.waiting > self.available(site, &line.sku)
                    || self.first_parked(site, &line.sku).is_some_and(|first| first < order))
        });
        short.map(|line| line.sku.clone())
    }

    /// What a new order may take: nothing while an earlier one has the claim.
    pub(crate) fn unclaimed(&mut self, site: &str, sku: &str) -> i64 {
        let available = self.available(site, sku).max(0);
        if available == 0 {
            return 0;
        }
        for _ in 0..16 {
            let Some(first) = self.first_parked(site, sku) else { return available };
            let Some(elsewhere) = self.short_elsewhere(first, sku) else { return 0 };
            self.orders[first].parked = Some(elsewhere);
            self.has_moved(site, sku);
        }
        self.has_moved(site, sku);
        0
    }

    /// After a change to a waiting order: parks it at the first SKU that it still waits for.
    pub(crate) fn park_anew(&mut self, order: usize) {
        let site = self.orders[order].site.clone();
        let Some(before) = self.orders[order].parked.take() else { return };
        self.has_moved(&site, &before);
        let next = self.orders[order].lines.iter().find(|line| line.waiting > 0);
        if let Some(sku) = next.map(|line| line.sku.clone()) {
            self.orders[order].parked = Some(sku.clone());
            self.has_moved(&site, &sku);
        }
    }

    fn release(&mut self, out: &mut Vec<Decision<'static>>, budget: &mut u32) {
        while let Some((site, sku)) = self.moved.front().cloned() {
            while let Some(first) = self.first_parked(&site, &sku) {
                if *budget == 0 {
                    return;
                }
                if let Some(elsewhere) = self.short_elsewhere(first, &sku) {
                    self.orders[first].parked = Some(elsewhere);
                    continue;
                }
                let need: i64 = self.orders[first]
                    .lines
                    .iter()
                    .filter(|line| line.sku == sku)
                    .map(|line| line.waiting)
                    .sum();
                if need > self.available(&site, &sku) {
                    break;
                }
                *budget -= 1;
                out.push(self.confirm_waiting(first));
            }
            self.moved.pop_front();
        }
    }

    fn confirm_waiting(&mut self, index: usize) -> Decision<'static> {
        let now = self.now;
        let before = self.available_of(index);
        let order = &mut self.orders[index];
        order.parked = None;
        order.since = now;
        for line in &mut order.lines {
            line.reserved += line.waiting;
            line.waiting = 0;
        }
        self.all_lowered(index, &before);
        self.hold(index);
        let order = &self.orders[index];
        Decision::Confirmed {
            order_id: order.id.clone().into(),
            pay_by: order.pay_by.map(Timestamp::from_millis),
            shortages: vec![],
            released: true,
            repeat: None,
        }
    }

    /// What is available of each of an order's SKUs.
    pub(crate) fn available_of(&self, index: usize) -> Vec<i64> {
        let order = &self.orders[index];
        order.lines.iter().map(|line| self.available(&order.site, &line.sku)).collect()
    }

    pub(crate) fn all_lowered(&mut self, index: usize, before: &[i64]) {
        let Order { site, lines, .. } = self.orders[index].clone();
        for (line, before) in lines.iter().zip(before) {
            self.lowered(&site, &line.sku, *before);
        }
    }

    // Holds.

    pub(crate) fn hold(&mut self, index: usize) {
        let order = &mut self.orders[index];
        if self.policy.pay_within_ms > 0 && !order.paid {
            order.pay_by = Some(self.now + self.policy.pay_within_ms);
        }
    }

    fn next_to_expire(&self) -> Option<usize> {
        let over = self
            .orders
            .iter()
            .enumerate()
            .filter_map(|(index, order)| order.pay_by.filter(|at| *at <= self.now).map(|at| (at, index)));
        over.min().map(|(_, index)| index)
    }

    fn expire(&mut self, index: usize) -> Decision<'static> {
        let order = &mut self.orders[index];
        order.expired = true;
        for line in &mut order.lines {
            line.cancelled += line.reserved;
            line.reserved = 0;
        }
        let order = self.changed(index);
        for line in &order.lines {
            self.has_moved(&order.site, &line.sku);
        }
        Decision::Expired { order_id: order.id.clone().into(), state: order.state() }
    }

    /// After units of an order have moved.
    pub(crate) fn changed(&mut self, index: usize) -> Order {
        let order = &mut self.orders[index];
        order.since = self.now;
        if order.sum(|line| line.reserved) == 0 {
            order.pay_by = None;
        }
        if !order.is_open() {
            self.settled.push_back((self.now, index));
        }
        self.orders[index].clone()
    }

    // Forgetting.

    fn forget(&mut self) {
        while let Some(&(since, index)) = self.settled.front() {
            let order = &self.orders[index];
            let counts = order.phase == Phase::Kept && order.since == since;
            let over = self.settled_count() > self.policy.settled_orders_max
                || since + self.policy.settled_window_ms < self.now;
            if counts && !over {
                break;
            }
            self.settled.pop_front();
            if counts {
                self.orders[index].phase = Phase::Closed(self.now);
                self.closed.push_back(index);
            }
        }
        while let Some(&index) = self.closed.front() {
            let Phase::Closed(at) = self.orders[index].phase else { unreachable!() };
            let over = count(self.closed.len()) > self.policy.closed_orders_max
                || at + self.policy.closed_window_ms < self.now;
            if !over {
                break;
            }
            self.closed.pop_front();
            self.orders[index].phase = Phase::Forgotten;
            self.forgotten_until = Some(at);
        }
        let kinds: BTreeSet<_> = self.facts.iter().map(|fact| fact.kind).collect();
        for kind in kinds {
            while let Some(first) = self.facts.iter().position(|fact| fact.kind == kind) {
                let of_kind = self.facts.iter().filter(|fact| fact.kind == kind).count();
                let over = count(of_kind) > self.policy.facts_max
                    || self.facts[first].at + self.policy.facts_window_ms < self.now;
                if !over {
                    break;
                }
                self.facts.remove(first);
            }
        }
    }

    pub(crate) fn close_refused(&mut self, order: Order) {
        self.closed.push_back(self.orders.len());
        self.orders.push(order);
    }

    pub(crate) fn open_count(&self) -> i64 {
        count(self.orders.iter().filter(|order| order.is_open()).count())
    }

    pub(crate) fn settled_count(&self) -> i64 {
        let kept = self.orders.iter().filter(|order| order.phase == Phase::Kept);
        count(kept.count()) - self.open_count()
    }

    pub(crate) fn closed_count(&self) -> i64 {
        count(self.closed.len())
    }

    fn name_short_orders(&mut self, key: &Key, out: &mut Vec<Decision<'static>>, budget: &mut u32) {
        let (site, sku) = key;
        let mut missing = self.reserved(site, sku) - self.item(site, sku).unwrap().on_hand;
        for order in self.orders.iter().rev().filter(|order| order.phase == Phase::Kept) {
            let here = order.lines.iter().filter(|line| order.site == *site && line.sku == *sku);
            let quantity = here.map(|line| line.reserved).sum::<i64>().min(missing);
            if quantity > 0 && *budget > 0 {
                missing -= quantity;
                *budget -= 1;
                out.push(Decision::Shortfall {
                    order_id: order.id.clone().into(),
                    site: site.clone().into(),
                    sku: sku.clone().into(),
                    quantity,
                });
            }
        }
    }
}

pub(crate) fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap()
}

/// Why the model refuses.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) state: Option<State>,
    pub(crate) shortages: Vec<Shortage<'static>>,
}

impl Refusal {
    pub(crate) fn new(reason: Reason) -> Self {
        Self { reason, state: None, shortages: vec![] }
    }
}

pub(crate) fn refused(
    command: CommandKind,
    subject: Option<weir::words::outcome::Subject<'static>>,
    refusal: Refusal,
) -> Decision<'static> {
    Decision::Refused {
        command,
        subject,
        reason: refusal.reason,
        detail: None,
        shortages: refusal.shortages,
        order_state: refusal.state,
        repeat: None,
    }
}

/// Lines as they are told: none where they are the whole order.
pub(crate) fn told(order: &Order, amounts: &[i64]) -> Vec<Line<'static>> {
    if order.lines.iter().zip(amounts).all(|(line, amount)| line.quantity == *amount) {
        return vec![];
    }
    let named = order.lines.iter().zip(amounts).filter(|(_, amount)| **amount > 0);
    named.map(|(line, &quantity)| Line { sku: line.sku.clone().into(), quantity }).collect()
}

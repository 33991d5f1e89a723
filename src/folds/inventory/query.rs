//! Questions to the state: an order, a page of orders, a page of stock. Nothing here changes anything.
//!
//! Whoever asks stands in the fold's way, so each look is bounded: by the lines of an order that it shows, or by the places of a table
//! that it walks over. A walk goes by place and is gone on with from a place: places are part of the state, so they are the same
//! at every worker and after a snapshot, and who stays in the state stays in its place.

use super::Inventory;
use super::tables::order::{Bucket, Flags, View};
use super::tables::orders::Found;
use super::tables::sides::Side;
use super::tables::sites::SiteIndex;
use super::tables::stock::StockIndex;
use crate::words::outcome::{Reason, State};
use crate::words::query::{
    Amount, FactAnswer, LineAnswer, Next, NextStep, OrderAnswer, OrderRow, OrdersKind, Reflects, StockRow,
    WaitsFor,
};

/// The places that one look at a table may walk over; with a side and a line each, some 200 ns where memory is slow.
pub const LOOKS_MAX: u32 = 256;
/// The rows that one look may give, and the lines of one order: each is some allocations.
pub const ROWS_MAX: usize = 64;
/// The facts of an order that are shown: the newest.
pub const FACTS_SHOWN_MAX: usize = 100;

/// Which orders are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// By state.
    pub kind: OrdersKind,
    /// By the site of any line.
    pub site: Option<String>,
    /// By how long no unit of them has moved, in milliseconds of log time: a payment moves none.
    pub older_than_ms: Option<u64>,
}

/// Which SKUs are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StockFilter {
    /// By site.
    pub site: Option<String>,
    /// By what a new order may have: less than this.
    pub below: Option<i64>,
}

/// What a look at an order shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked {
    /// The order, with some of its lines.
    pub answer: OrderAnswer,
    /// The index of the record that placed it in its message.
    pub index: u32,
    /// How many lines it has.
    pub lines: usize,
    /// The units of all lines by where they are: another movement shows by it.
    units: Option<[u64; Bucket::ALL.len()]>,
}

impl Looked {
    /// Whether both looks show the order as it was at one moment, as far as anything of it can be told apart.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        let head = |looked: &Self| {
            let OrderAnswer { state, since, paid, paid_minor, pay_by, wait_until, first_sequence, .. } =
                looked.answer;
            (state, since, paid, paid_minor, pay_by, wait_until, first_sequence, looked.lines, looked.units)
        };
        head(self) == head(other)
    }
}

/// What a walk has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked<T> {
    /// Those that are meant.
    pub rows: Vec<T>,
    /// Where to go on; none where the table ends.
    pub next: Option<u32>,
}

impl Inventory {
    /// Which state this is, as an answer of `shard`.
    #[must_use]
    pub fn reflects(&self, shard: &str) -> Reflects {
        Reflects { shard: shard.to_owned(), sequence: self.chain.sequence, log_time: self.now }
    }

    /// An order with [`ROWS_MAX`] lines at most, from the `from`th on; none where it is unknown or forgotten.
    #[must_use]
    pub fn look_at_order(&self, order_id: &str, from: usize, shard: &str) -> Option<Looked> {
        let slot = match self.orders.find(order_id) {
            Found::Unknown => return None,
            Found::Kept(slot) => slot,
            Found::Closed(closed) => {
                let refused = closed.state == State::Refused;
                let answer = OrderAnswer {
                    reason: refused.then(|| Reason::InsufficientStock.code().to_owned()),
                    ..self.order_answer(order_id, closed.state, closed.first_sequence, shard)
                };
                let answer = OrderAnswer { since: closed.at, ..answer };
                return Some(Looked { answer, index: 0, lines: 0, units: None });
            }
        };
        let view = self.orders.view(slot);
        let lines = view.lines().iter().enumerate().skip(from).take(ROWS_MAX);
        let facts = if from == 0 { facts(view.side) } else { Vec::new() };
        let paid_minor = view.side.map(|side| side.paid).filter(|paid| *paid > 0);
        let answer = OrderAnswer {
            kept: true,
            since: view.order.since,
            paid: view.order.flags.has(Flags::PAID),
            value: value(view.side),
            paid_minor,
            pay_by: view.pay_by(),
            wait_until: view.wait_until(),
            waits_for: self.waited_for(view),
            lines: lines.map(|(number, line)| self.line_answer(view, number, line.stock)).collect(),
            facts,
            next: next(view),
            ..self.order_answer(order_id, view.state(), view.order.ticket.sequence(), shard)
        };
        let units = view.side.and_then(|side| side.more.as_ref()).map(|more| more.sums.units);
        Some(Looked { answer, index: view.order.ticket.index(), lines: view.lines().len(), units })
    }

    fn order_answer(&self, order_id: &str, state: State, first_sequence: u64, shard: &str) -> OrderAnswer {
        OrderAnswer {
            order_id: order_id.to_owned(),
            state,
            kept: false,
            first_sequence,
            since: self.now,
            paid: false,
            value: None,
            paid_minor: None,
            pay_by: None,
            wait_until: None,
            waits_for: None,
            lines: Vec::new(),
            facts: Vec::new(),
            placed: None,
            next: None,
            reason: None,
            delay_risk: None,
            history: None,
            reflects: self.reflects(shard),
        }
    }

    fn line_answer(&self, view: View<'_>, number: usize, stock: StockIndex) -> LineAnswer {
        let part = view.part(number);
        LineAnswer {
            sku: self.stock.sku(stock).to_owned(),
            site: self.sites.name(self.stock.get(stock).site).to_owned(),
            quantity: view.lines()[number].quantity,
            waiting: part.at(Bucket::Waiting),
            reserved: part.at(Bucket::Reserved),
            cancelled: part.at(Bucket::Cancelled),
            expired: part.at(Bucket::Expired),
            shipped: part.at(Bucket::Shipped),
            delivered: part.at(Bucket::Delivered),
            returned: part.at(Bucket::Returned),
            written_off: part.at(Bucket::WrittenOff),
            lacking: part.lacking,
        }
    }

    fn waited_for(&self, view: View<'_>) -> Option<WaitsFor> {
        let parked = view.side?.more.as_ref()?.parked?;
        let site = self.sites.name(self.stock.get(parked.stock).site).to_owned();
        Some(WaitsFor { sku: self.stock.sku(parked.stock).to_owned(), site })
    }

    /// When the newest order was closed that is forgotten by now; none where none is.
    #[must_use]
    pub const fn forgotten_until(&self) -> Option<crate::words::timestamp::Timestamp> {
        self.orders.forgotten_until()
    }

    /// Walks over the kept orders from a place on, for at most [`LOOKS_MAX`] places, or as many lines where a site is meant (and those
    /// of one order more), and `rows_max` rows, of which [`ROWS_MAX`] at most. A site that the shard never had has no orders.
    #[must_use]
    pub fn page_of_orders(&self, filter: &OrderFilter, from: u32, rows_max: usize) -> Walked<OrderRow> {
        let mut rows = Vec::new();
        let site = match filter.site.as_deref().map(|name| self.sites.find_ever(name)) {
            Some(None) => return Walked { rows, next: None },
            site => site.flatten(),
        };
        let end = u32::try_from(self.orders.slots_count()).unwrap_or(u32::MAX);
        let (mut place, mut looks) = (from, LOOKS_MAX);
        while place < end && looks > 0 && rows.len() < rows_max.min(ROWS_MAX) {
            if let Some(view) = self.orders.at(place)
                && self.is_meant(view, filter, site, &mut looks)
            {
                rows.push(self.order_row(view));
            }
            looks = looks.saturating_sub(1);
            place += 1;
        }
        Walked { rows, next: (place < end).then_some(place) }
    }

    fn is_meant(
        &self,
        view: View<'_>,
        filter: &OrderFilter,
        site: Option<SiteIndex>,
        looks: &mut u32,
    ) -> bool {
        let is_kind = match (filter.kind, filter.kind.state()) {
            (_, Some(state)) => view.state() == state,
            (OrdersKind::Open, None) => view.is_open(),
            (OrdersKind::Unpaid, None) => view.state() == State::Confirmed && view.pay_by().is_some(),
            // Who is at risk is not for the state to say.
            (OrdersKind::AtRisk, None) => view.state() < State::Delivered,
            (_, None) => true,
        };
        if !is_kind {
            return false;
        }
        let idle_ms = self.now.millis().saturating_sub(view.order.since.millis()).max(0).unsigned_abs();
        if filter.older_than_ms.is_some_and(|older| idle_ms < older) {
            return false;
        }
        let Some(site) = site else { return true };
        view.lines().iter().any(|line| {
            *looks = looks.saturating_sub(1);
            self.stock.get(line.stock).site == site
        })
    }

    fn order_row(&self, view: View<'_>) -> OrderRow {
        let first = view.lines().first().map(|line| self.stock.get(line.stock).site);
        OrderRow {
            order_id: self.orders.id(view.order).to_owned(),
            state: view.state(),
            site: first.map_or_else(String::new, |site| self.sites.name(site).to_owned()),
            first_sequence: view.order.ticket.sequence(),
            since: view.order.since,
            lines: u32::try_from(view.lines().len()).unwrap_or(u32::MAX),
            value: value(view.side),
            pay_by: view.pay_by(),
            wait_until: view.wait_until(),
            waits_for: self.waited_for(view),
            delay_risk: None,
        }
    }

    /// The rows of these orders, in their order: none where one is not meant, or not kept. It looks at [`ROWS_MAX`] orders at most, and ends
    /// early, behind the first, where their lines are more than [`LOOKS_MAX`] to look through for a site.
    #[must_use]
    pub fn rows_of_orders(&self, filter: &OrderFilter, order_ids: &[String]) -> Vec<Option<OrderRow>> {
        let site = match filter.site.as_deref().map(|name| self.sites.find_ever(name)) {
            Some(None) => return vec![None; order_ids.len()],
            site => site.flatten(),
        };
        let (mut rows, mut looks) = (Vec::new(), LOOKS_MAX);
        for order_id in order_ids.iter().take(ROWS_MAX) {
            if looks == 0 {
                break;
            }
            let kept = match self.orders.find(order_id) {
                Found::Kept(slot) => Some(self.orders.view(slot)),
                Found::Closed(_) | Found::Unknown => None,
            };
            let meant = kept.filter(|view| self.is_meant(*view, filter, site, &mut looks));
            rows.push(meant.map(|view| self.order_row(view)));
        }
        rows
    }

    /// Walks over the stock from a place on, likewise.
    #[must_use]
    pub fn page_of_stock(&self, filter: &StockFilter, from: u32, rows_max: usize) -> Walked<StockRow> {
        let mut rows = Vec::new();
        let site = match filter.site.as_deref().map(|name| self.sites.find_ever(name)) {
            Some(None) => return Walked { rows, next: None },
            site => site.flatten(),
        };
        let end = u32::try_from(self.stock.len()).unwrap_or(u32::MAX);
        let (mut place, mut looks) = (from, LOOKS_MAX);
        while place < end && looks > 0 && rows.len() < rows_max.min(ROWS_MAX) {
            let item = self.stock.get(StockIndex(place));
            let is_meant = item.name_length != 0
                && site.is_none_or(|site| item.site == site)
                && filter.below.is_none_or(|below| self.stock.free(item) < below);
            if is_meant {
                rows.push(self.stock_row(StockIndex(place)));
            }
            looks -= 1;
            place += 1;
        }
        Walked { rows, next: (place < end).then_some(place) }
    }

    /// The stock of one SKU at one site that the shard has or had; none where it is not known.
    #[must_use]
    pub fn look_at_stock(&self, site: &str, sku: &str) -> Option<StockRow> {
        let site = self.sites.find_ever(site)?;
        Some(self.stock_row(self.stock.find(site, sku, self.stock.hash(sku))?))
    }

    fn stock_row(&self, index: StockIndex) -> StockRow {
        let (item, books) = (self.stock.get(index), self.stock.books(index));
        StockRow {
            site: self.sites.name(item.site).to_owned(),
            sku: self.stock.sku_of(item).to_owned(),
            on_hand: item.on_hand,
            reserved: item.reserved,
            available: self.stock.available(item),
            free: self.stock.free(item),
            safety_stock: self.stock.safety(item).into(),
            allowance: item.allowance.into(),
            waiting: books.waiting,
        }
    }
}

fn value(side: Option<&Side>) -> Option<Amount> {
    let value = side?.value?;
    Some(Amount { minor: value.minor, currency: String::from_utf8_lossy(&value.currency).into_owned() })
}

/// The newest facts, in the order of the log.
fn facts(side: Option<&Side>) -> Vec<FactAnswer> {
    let told = side.and_then(|side| side.more.as_ref()).map_or(&[][..], |more| &more.told);
    let mut newest: Vec<_> = told.iter().collect();
    newest.sort_by_key(|told| std::cmp::Reverse((told.first_sequence, told.kind)));
    newest.truncate(FACTS_SHOWN_MAX);
    let facts = newest.into_iter().rev();
    facts
        .map(|told| FactAnswer { fact: told.kind.name().to_owned(), sequence: told.first_sequence })
        .collect()
}

fn next(view: View<'_>) -> Option<Next> {
    let step = match view.state() {
        State::Waiting => return Some(Next { step: NextStep::Stock, by: view.wait_until() }),
        State::Confirmed => match view.pay_by() {
            None => NextStep::Shipment,
            by => return Some(Next { step: NextStep::Payment, by }),
        },
        State::Paid => NextStep::Shipment,
        State::Shipped => NextStep::Delivery,
        State::Delivered | State::Returned | State::Cancelled | State::Expired | State::Refused => {
            return None;
        }
    };
    Some(Next { step, by: None })
}

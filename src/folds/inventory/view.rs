//! Looking in: what the state holds, for queries, metrics and the audit. Nothing here changes anything.

use super::Inventory;
use super::tables::order::Bucket;
use super::tables::orders::Found;
use super::tables::stock::{Books, Stock, StockTable, StockTotals};
use crate::words::outcome::State;
use crate::words::policy::Policy;
use crate::words::timestamp::Timestamp;

/// Sums over the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Over all stock.
    pub stock: StockTotals,
    /// Orders of which something waits or is reserved.
    pub open_orders: u64,
    /// Of those, the ones that wait.
    pub waiting_orders: u64,
    /// Orders that may still be delivered or returned.
    pub settled_orders: u64,
    /// Orders that are only remembered.
    pub closed_orders: u64,
    /// Orders that were refused for want of stock, and are remembered.
    pub refused_orders: u64,
    /// Orders that were closed or refused and are no longer remembered.
    pub forgotten_orders: u64,
    /// Orders whose hold or waiting ends at some time.
    pub timed_orders: u64,
    /// Lines of open orders.
    pub open_lines: u64,
    /// Ids of facts that are kept with their orders.
    pub order_facts: u64,
}

impl Totals {
    /// How many counts there are, beside those of stock.
    pub const COUNTS: usize = 9;

    /// The counts, in order.
    #[must_use]
    pub const fn counts(&self) -> [u64; Self::COUNTS] {
        [
            self.open_orders,
            self.waiting_orders,
            self.settled_orders,
            self.closed_orders,
            self.refused_orders,
            self.forgotten_orders,
            self.timed_orders,
            self.open_lines,
            self.order_facts,
        ]
    }

    /// Totals of these counts, in order.
    #[must_use]
    pub const fn of(stock: StockTotals, counts: [u64; Self::COUNTS]) -> Self {
        let [
            open_orders,
            waiting_orders,
            settled_orders,
            closed_orders,
            refused_orders,
            forgotten_orders,
            timed_orders,
            open_lines,
            order_facts,
        ] = counts;
        Self {
            stock,
            open_orders,
            waiting_orders,
            settled_orders,
            closed_orders,
            refused_orders,
            forgotten_orders,
            timed_orders,
            open_lines,
            order_facts,
        }
    }
}

/// The stock of one SKU at one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockView {
    /// Where.
    pub site: String,
    /// Which SKU.
    pub sku: String,
    /// Physically there, by the books.
    pub on_hand: i64,
    /// Promised to open orders.
    pub reserved: i64,
    /// `on_hand` - `reserved` - safety stock; below 0 where more was promised than there is.
    pub available: i64,
    /// Never promised.
    pub safety_stock: i64,
    /// Promised beyond what there is.
    pub allowance: i64,
    /// What a new order may have: `available` + `allowance` - what waiting orders claim.
    pub free: i64,
    /// Units that orders wait for.
    pub waiting: i64,
    /// All that was ever received.
    pub received: i64,
    /// The sum of all differences that counts found and adjustments told.
    pub adjusted: i64,
    /// All that ever came back to the shelf.
    pub restocked: i64,
    /// All that ever left.
    pub shipped: i64,
    /// All that ever came from other sites.
    pub moved_in: i64,
    /// All that ever went to other sites.
    pub moved_out: i64,
}

/// An order as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// Its state.
    pub state: State,
    /// The sequence of the record that placed it.
    pub first_sequence: u64,
    /// Until when it must be paid.
    pub pay_by: Option<Timestamp>,
}

/// A broken rule of the books: a defect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// What came is not what is there and what went.
    #[error("stock of {sku} at {site} is not conserved")]
    Conservation {
        /// Where.
        site: String,
        /// Which SKU.
        sku: String,
    },
    /// What is reserved or waited for is not the sum over the open lines.
    #[error("{reserved} of {sku} at {site} are reserved or waited for, but the open lines add up to {lines}")]
    Reserved {
        /// Where.
        site: String,
        /// Which SKU.
        sku: String,
        /// What the stock says.
        reserved: i64,
        /// What the orders say.
        lines: i64,
    },
    /// A count of orders is not what a walk over them gives.
    #[error("{what}: {kept} by the books, {walked} by a walk over the orders")]
    Counted {
        /// Which count.
        what: &'static str,
        /// What is kept.
        kept: u64,
        /// What the walk gives.
        walked: u64,
    },
}

impl Inventory {
    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The sites that policy lists, in bytewise order.
    pub fn sites(&self) -> impl Iterator<Item = &str> {
        self.sites.listed().map(|(name, _)| name)
    }

    /// Sums over the state; costs nothing.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            stock: self.stock.totals(),
            open_orders: self.orders.open_count() as u64,
            waiting_orders: self.waiting.count() as u64,
            settled_orders: self.orders.settled_count() as u64,
            closed_orders: self.orders.closed().len() as u64,
            refused_orders: self.orders.refused().len() as u64,
            forgotten_orders: self.orders.forgotten_count(),
            timed_orders: self.deadlines.len() as u64,
            open_lines: self.orders.open_lines(),
            order_facts: self.orders.told_count(),
        }
    }

    /// All stock, in the order in which SKUs became known (and places were used again).
    pub fn stock(&self) -> impl Iterator<Item = StockView> {
        self.stock.iter().map(|(item, books)| self.stock_view(item, books))
    }

    /// The stock of one SKU at one site.
    #[must_use]
    pub fn stock_of(&self, site: &str, sku: &str) -> Option<StockView> {
        let site = self.sites.find(Some(site))?;
        let index = self.stock.find(site, sku, self.stock.hash(sku))?;
        Some(self.stock_view(self.stock.get(index), self.stock.books(index)))
    }

    fn stock_view(&self, item: &Stock, books: &Books) -> StockView {
        StockView {
            site: self.sites.name(item.site).to_owned(),
            sku: self.stock.sku_of(item).to_owned(),
            on_hand: item.on_hand,
            reserved: item.reserved,
            available: self.stock.available(item),
            safety_stock: self.stock.safety(item).into(),
            allowance: item.allowance.into(),
            free: self.stock.free(item),
            waiting: books.waiting,
            received: books.flows.received,
            adjusted: books.flows.adjusted,
            restocked: books.flows.restocked,
            shipped: books.flows.shipped,
            moved_in: books.flows.moved_in,
            moved_out: books.flows.moved_out,
        }
    }

    /// SKUs whose safety stock is their own, as (site, SKU, quantity).
    pub fn own_safety_stock(&self) -> impl Iterator<Item = (&str, &str, i64)> {
        self.stock.iter().filter_map(|(item, _)| {
            let own = StockTable::own_safety(item)?;
            Some((self.sites.name(item.site), self.stock.sku_of(item), own.into()))
        })
    }

    /// SKUs with an allowance, as (site, SKU, quantity).
    pub fn allowances(&self) -> impl Iterator<Item = (&str, &str, i64)> {
        self.stock
            .iter()
            .filter(|(item, _)| item.allowance > 0)
            .map(|(item, _)| (self.sites.name(item.site), self.stock.sku_of(item), item.allowance.into()))
    }

    /// An order, unless it is unknown or forgotten.
    #[must_use]
    pub fn order(&self, order_id: &str) -> Option<OrderView> {
        match self.orders.find(order_id) {
            Found::Unknown => None,
            Found::Kept(slot) => {
                let view = self.orders.view(slot);
                Some(OrderView {
                    state: view.state(),
                    first_sequence: view.order.ticket.sequence(),
                    pay_by: view.pay_by(),
                })
            }
            Found::Closed(closed) => {
                Some(OrderView { state: closed.state, first_sequence: closed.first_sequence, pay_by: None })
            }
        }
    }

    /// Checks the books by a walk over everything: conservation for every SKU, what is reserved and waited for against the open lines,
    /// and the counts of orders.
    pub fn check_books(&self) -> Result<(), Broken> {
        let mut reserved = vec![0i64; self.stock.len()];
        let mut waiting = vec![0i64; self.stock.len()];
        let (mut open, mut waits, mut kept, mut lines) = (0, 0, 0, 0);
        for view in self.orders.kept() {
            kept += 1;
            open += u64::from(view.is_open());
            waits += u64::from(view.has(Bucket::Waiting));
            lines += if view.is_open() { view.lines().len() as u64 } else { 0 };
            for (number, line) in view.lines().iter().enumerate() {
                let part = view.part(number);
                if part.quantity() != u64::from(line.quantity) {
                    let (kept, walked) = (line.quantity.into(), part.quantity());
                    return Err(Broken::Counted { what: "units of an order's line", kept, walked });
                }
                reserved[line.stock.0 as usize] += i64::from(part.at(Bucket::Reserved));
                waiting[line.stock.0 as usize] += i64::from(part.at(Bucket::Waiting));
            }
        }
        for (place, (reserved, waiting)) in self.stock.places().zip(reserved.into_iter().zip(waiting)) {
            let Some((item, books)) = place else { continue };
            let (site, sku) = (self.sites.name(item.site).to_owned(), self.stock.sku_of(item).to_owned());
            if books.flows.left() != item.on_hand {
                return Err(Broken::Conservation { site, sku });
            }
            for (kept, lines) in [(item.reserved, reserved), (books.waiting, waiting)] {
                if kept != lines {
                    return Err(Broken::Reserved { site, sku, reserved: kept, lines });
                }
            }
        }
        let totals = self.totals();
        for (what, kept, walked) in [
            ("open orders", totals.open_orders, open),
            ("settled orders", totals.settled_orders, kept - open),
            ("waiting orders", totals.waiting_orders, waits),
            ("open lines", totals.open_lines, lines),
        ] {
            if kept != walked {
                return Err(Broken::Counted { what, kept, walked });
            }
        }
        Ok(())
    }
}

//! Looking in: what the state holds, for queries, metrics and the audit. Nothing here changes anything.

use super::Inventory;
use super::digest::part_units;
use super::order::Order;
use super::orders::Found;
use super::stock::{Flows, SiteIndex, Stock, StockTotals};
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
    /// Orders that were closed and are no longer remembered.
    pub forgotten_orders: u64,
    /// Orders that hold their stock until a time by which they must be paid.
    pub held_orders: u64,
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
    /// All that was ever received.
    pub received: i64,
    /// The sum of all differences found by counts.
    pub adjusted: i64,
    /// All that ever came back to the shelf.
    pub restocked: i64,
    /// All that ever left.
    pub shipped: i64,
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
    /// received + adjusted + restocked is not `on_hand` + shipped.
    #[error("stock of {sku} at {site} is not conserved")]
    Conservation {
        /// Where.
        site: String,
        /// Which SKU.
        sku: String,
    },
    /// What is reserved is not the sum over the open lines.
    #[error("{reserved} of {sku} at {site} are reserved, but the open lines add up to {lines}")]
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
            closed_orders: self.orders.closed_count() as u64,
            forgotten_orders: self.orders.forgotten_count(),
            held_orders: self.holds.len() as u64,
        }
    }

    /// All stock, in the order in which SKUs became known.
    pub fn stock(&self) -> impl Iterator<Item = StockView> {
        self.stock.with_flows().map(|(item, flows)| self.stock_view(item, flows))
    }

    /// The stock of one SKU at one site.
    #[must_use]
    pub fn stock_of(&self, site: &str, sku: &str) -> Option<StockView> {
        let site = self.sites.find(Some(site)).ok()?;
        let index = self.stock.find(site, sku, self.stock.hash(sku))?;
        Some(self.stock_view(self.stock.get(index), self.stock.flows(index)))
    }

    fn stock_view(&self, item: &Stock, flows: &Flows) -> StockView {
        let safety_stock = self.stock.safety_of(item);
        StockView {
            site: self.site_name(item.site).to_owned(),
            sku: item.sku.to_string(),
            on_hand: item.on_hand,
            reserved: item.reserved,
            available: item.on_hand - item.reserved - safety_stock,
            safety_stock,
            received: flows.received,
            adjusted: flows.adjusted,
            restocked: flows.restocked,
            shipped: flows.shipped,
        }
    }

    fn site_name(&self, site: SiteIndex) -> &str {
        self.sites.name(site)
    }

    /// SKUs whose safety stock is their own, as (site, SKU, quantity).
    pub fn own_safety_stock(&self) -> impl Iterator<Item = (&str, &str, i64)> {
        self.stock.items().iter().filter_map(|item| {
            item.safety.map(|quantity| (self.site_name(item.site), item.sku.as_str(), quantity.into()))
        })
    }

    /// An order, unless it is unknown or forgotten.
    #[must_use]
    pub fn order(&self, order_id: &str) -> Option<OrderView> {
        match self.orders.find(order_id) {
            Found::Unknown => None,
            Found::Kept(slot) => {
                let order = self.orders.get(slot);
                Some(OrderView {
                    state: order.state(),
                    first_sequence: order.first_sequence,
                    pay_by: order.pay_by(),
                })
            }
            Found::Closed(closed) => {
                Some(OrderView { state: closed.state, first_sequence: closed.first_sequence, pay_by: None })
            }
        }
    }

    pub(super) fn state_of(&self, order_id: &str) -> Option<State> {
        self.order(order_id).map(|order| order.state)
    }

    /// Checks the books by a walk over everything: conservation for every SKU, reserved against the open lines, and
    /// the counts of orders.
    pub fn check_books(&self) -> Result<(), Broken> {
        let mut reserved = vec![0i64; self.stock.items().len()];
        let (mut open, mut waiting, mut kept) = (0, 0, 0);
        for order in self.orders.kept() {
            kept += 1;
            open += u64::from(!order.is_settled());
            waiting += u64::from(order.is_waiting());
            add_reserved(order, &mut reserved);
        }
        for ((item, flows), lines) in self.stock.with_flows().zip(reserved) {
            let (site, sku) = (self.site_name(item.site).to_owned(), item.sku.to_string());
            if !flows.conserve(item.on_hand) {
                return Err(Broken::Conservation { site, sku });
            }
            if item.reserved != lines {
                return Err(Broken::Reserved { site, sku, reserved: item.reserved, lines });
            }
        }
        let totals = self.totals();
        for (what, kept, walked) in [
            ("open orders", totals.open_orders, open),
            ("settled orders", totals.settled_orders, kept - open),
            ("waiting orders", totals.waiting_orders, waiting),
        ] {
            if kept != walked {
                return Err(Broken::Counted { what, kept, walked });
            }
        }
        Ok(())
    }
}

fn add_reserved(order: &Order, reserved: &mut [i64]) {
    for (line, part) in order.lines().iter().zip(order.parts()) {
        debug_assert_eq!(
            u64::from(line.quantity),
            part_units(&part),
            "the parts of {} do not add up",
            order.id
        );
        reserved[line.stock.0 as usize] += i64::from(part.reserved);
    }
}

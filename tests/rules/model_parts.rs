//! The judge's figures: an order with its lines, what is remembered of others, and a shelf.

use std::collections::BTreeMap;

use weir::words::command::{CommandKind, Money, OnShortage};
use weir::words::outcome::{Shortage, State};

use crate::model::Ticket;

/// An amount of money.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Amount {
    pub(crate) minor: i64,
    pub(crate) currency: String,
}

impl From<&Money<'_>> for Amount {
    fn from(money: &Money<'_>) -> Self {
        Self { minor: money.minor, currency: money.currency.to_string() }
    }
}

/// Where a unit of an order may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    Waiting,
    Reserved,
    Shipped,
    Delivered,
    Returned,
    Cancelled,
    Expired,
}

/// The columns of units that have left the site.
pub(crate) const LEFT: [Column; 3] = [Column::Shipped, Column::Delivered, Column::Returned];

/// What the place said: the deciding fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlaceContent {
    pub(crate) origin: Origin,
    pub(crate) lines: BTreeMap<String, i64>,
    pub(crate) on_shortage: OnShortage,
    pub(crate) value: Option<Amount>,
    pub(crate) pay_within_ms: Option<i64>,
}

/// Where an order may come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Origin {
    Site(String),
    Sites(Vec<String>),
}

/// How a place was answered first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Confirmed,
    Waiting,
    Refused,
}

/// The content of an order's fact: what a repeat must have alike.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FactContent {
    Nothing,
    Amount(Option<Amount>),
    Lines(Option<BTreeMap<String, i64>>),
    /// By SKU and whether it is restocked; and the command's own `restock`.
    Return(Option<BTreeMap<(String, bool), i64>>, bool),
    LinesAndValue(Option<BTreeMap<String, i64>>, Option<Amount>),
    /// A score, or a time.
    Number(i64),
}

/// A fact of an order that came with an id.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    pub(crate) kind: CommandKind,
    pub(crate) id: String,
    pub(crate) content: FactContent,
    pub(crate) first_sequence: u64,
    /// Of a payment: whether it was answered `part_paid`.
    pub(crate) in_part: bool,
}

/// One SKU of an order.
#[derive(Clone, Debug)]
pub(crate) struct OrderLine {
    pub(crate) sku: String,
    pub(crate) site: String,
    pub(crate) units: BTreeMap<Column, i64>,
    /// Units that have left the site, but were never told shipped.
    pub(crate) untold_shipped: i64,
    /// Units that came back, but were never told delivered.
    pub(crate) untold_delivered: i64,
    /// The shortfall that was told last.
    pub(crate) told: i64,
}

impl OrderLine {
    pub(crate) fn new(sku: &str, site: &str) -> Self {
        Self {
            sku: sku.to_owned(),
            site: site.to_owned(),
            units: BTreeMap::new(),
            untold_shipped: 0,
            untold_delivered: 0,
            told: 0,
        }
    }

    pub(crate) fn of(&self, column: Column) -> i64 {
        self.units.get(&column).copied().unwrap_or(0)
    }

    pub(crate) fn whole(&self) -> i64 {
        self.units.values().sum()
    }

    pub(crate) fn left(&self) -> i64 {
        LEFT.into_iter().map(|column| self.of(column)).sum()
    }
}

/// A kept order.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) content: PlaceContent,
    pub(crate) first: First,
    pub(crate) first_sequence: u64,
    /// What was short when it was placed.
    pub(crate) shortages: Vec<Shortage<'static>>,
    /// Its place in the order of placing.
    pub(crate) ticket: Ticket,
    /// The same, for waiting.
    pub(crate) wait_ticket: Ticket,
    pub(crate) lines: Vec<OrderLine>,
    pub(crate) amended: bool,
    /// What it is worth; none where that is not known.
    pub(crate) value: Option<Amount>,
    pub(crate) payments: i64,
    pub(crate) paid: bool,
    pub(crate) pay_by: Option<i64>,
    pub(crate) wait_until: Option<i64>,
    /// The number of its hold or wait, of all that ever began.
    pub(crate) started: u64,
    /// Where it is parked: the line, and how much it claims there.
    pub(crate) parked: Option<(usize, i64)>,
    /// Whether it is to be parked anew.
    pub(crate) park_anew: bool,
    pub(crate) facts: Vec<Noted>,
    /// When a change left it settled last, and how many such there had been before.
    pub(crate) settled_at: (i64, u64),
}

impl Order {
    pub(crate) fn of(&self, column: Column) -> i64 {
        self.lines.iter().map(|line| line.of(column)).sum()
    }

    pub(crate) fn left(&self) -> i64 {
        self.lines.iter().map(OrderLine::left).sum()
    }

    pub(crate) fn whole(&self) -> i64 {
        self.lines.iter().map(OrderLine::whole).sum()
    }

    pub(crate) fn waits(&self) -> bool {
        self.of(Column::Waiting) > 0
    }

    pub(crate) fn is_open(&self) -> bool {
        self.waits() || self.of(Column::Reserved) > 0
    }

    /// Whether all of it was cancelled or has expired.
    pub(crate) fn is_gone(&self) -> bool {
        !self.is_open() && self.left() == 0
    }

    pub(crate) fn line(&self, sku: &str) -> Option<usize> {
        self.lines.iter().position(|line| line.sku == sku)
    }

    /// That of its least advanced part.
    pub(crate) fn state(&self) -> State {
        let any = |column| self.of(column) > 0;
        if any(Column::Waiting) {
            State::Waiting
        } else if any(Column::Reserved) {
            if self.paid { State::Paid } else { State::Confirmed }
        } else if any(Column::Shipped) {
            State::Shipped
        } else if any(Column::Delivered) {
            State::Delivered
        } else if any(Column::Returned) {
            State::Returned
        } else if any(Column::Expired) {
            State::Expired
        } else {
            State::Cancelled
        }
    }
}

/// An order that is closed, or was refused for want of stock: what is remembered of it.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    pub(crate) id: String,
    pub(crate) content: PlaceContent,
    pub(crate) first: First,
    pub(crate) first_sequence: u64,
    pub(crate) state: State,
    pub(crate) since: i64,
}

/// A receipt, count, adjustment or transfer.
#[derive(Clone, Debug)]
pub(crate) struct StockFact {
    pub(crate) kind: CommandKind,
    pub(crate) id: String,
    pub(crate) content: StockContent,
    pub(crate) first_sequence: u64,
    pub(crate) at: i64,
}

/// Sites; quantity and what was expected, by SKU.
pub(crate) type StockContent = (Vec<String>, BTreeMap<String, (i64, Option<i64>)>);

/// A SKU at a site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) site: String,
    pub(crate) sku: String,
    pub(crate) on_hand: i64,
    pub(crate) received: i64,
    pub(crate) adjusted: i64,
    pub(crate) restocked: i64,
    pub(crate) shipped: i64,
    pub(crate) moved_in: i64,
    pub(crate) moved_out: i64,
    pub(crate) safety_stock: Option<i64>,
    pub(crate) allowance: Option<i64>,
    /// When what is on hand changed last.
    pub(crate) changed_at: Option<i64>,
    /// Since when it has no stock and nothing names it.
    pub(crate) idle_since: Option<i64>,
}

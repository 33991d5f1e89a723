//! The mapping of the "Online Retail" data set to Weir's commands: a year of a British online shop's invoices.
//!
//! The set is published by UCI (D. Chen, Online Retail, UCI Machine Learning Repository, dataset 352, CC BY 4.0).
//! Expected is a CSV of its rows with the columns `ts` (seconds since 1970), `invoice`, `sku`, `qty`,
//! `price_milli` (GBP times 1,000), `customer` and `country`, found by name; others, such as `cancel`, are not read.
//!
//! The file knows invoices, not orders, stock or shipments. The mapping below makes up what is missing, always
//! the same way. It is exact, so that another program can follow it and come to the same commands.
//!
//! # The mapping
//!
//! *First* and *order of first appearance* refer to rows of the file that are not skipped. *Bytewise* order compares
//! the UTF-8 bytes. Command fields that are not mentioned are absent. *pay after*, *ship after*, *stock share*,
//! *site* and *on shortage* are the [`Options`]; negative durations count as 0.
//!
//! 1. **Rows.** The first of these that applies decides a row's class; the row is counted in it:
//!    1. the invoice starts with `A`: an accounting adjustment, skipped;
//!    2. the invoice starts with `C` and `qty` is 0 or more: a cancellation of nothing, skipped;
//!    3. the invoice does not start with `C` and `qty` is 0 or less: a write-off, skipped;
//!    4. the SKU is not a valid id ([`is_id`](weir::words::text::is_id)), or `qty` without its sign is more than
//!       1,000,000,000: unusable, skipped;
//!    5. the invoice starts with `C`: a cancellation row, of the quantity without its sign;
//!    6. else: a sale row. Its price may be 0 or negative.
//!
//!    The import ends with an error that names the line where `invoice` is not a valid id of at most 48 bytes or
//!    `qty` no 64-bit number; and, in a row that is not skipped, where `ts` is not between 0 and the end of the year
//!    9998, `price_milli` is beyond ±1,000,000,000,000, `customer` or `country` is neither empty nor a valid id, or
//!    an invoice has more than 10,000 rows.
//! 2. **Orders.** Sale rows are grouped by invoice, orders made in order of first appearance. An order's *time*, its
//!    customer and its country are those of its first row. `place`: `order_id` is the invoice; `site`;
//!    `on_shortage`; `lines` are the rows in order, as they stand (a SKU may stand there twice); `customer` if not
//!    empty; `value` in GBP: the sum of `qty` * `price_milli` over the rows, divided by 10 and rounded towards zero,
//!    absent if the sum is negative or the value more than 2^53 - 1; `attributes`: `country` if not empty, then
//!    `invoiced_at`, the order's time as RFC 3339 with milliseconds and `Z`.
//! 3. **Stock.** A SKU's demand is the sum of its quantities over all orders; received of it is demand * stock share
//!    / 1,000, rounded down, at most 1,000,000,000. SKUs of which nothing is received are left out; the others, in
//!    bytewise order, make `receive` commands of 1,000 lines each (the last may have fewer), with `receipt_id`
//!    `import-1`, `import-2` and so on, and `site`.
//! 4. **Time line.** `place` at the order's time, `pay` (only `order_id`) at that time + pay after, `ship` (only
//!    `order_id`: all that remains) at that time + ship after. An order that is cancelled (5.2) is not shipped, and
//!    is paid only if its pay is not later than its cancel.
//! 5. **Cancellations.** Cancellation rows are grouped by invoice, worked off in order of first appearance. A
//!    cancellation's *time* and customer are those of its first row; it *wants* its quantities summed by SKU.
//!    Nothing in the file says which order it undoes. Its *candidates* are the orders of its customer whose time is
//!    not later than its own and whose first row stands before its own first row; *recent* means late in placing
//!    order, which is by time, then by first appearance.
//!    1. Without a customer, it is unmatched: `no_customer` counts its SKUs as lines, and its units.
//!    2. Otherwise, look for candidates of which nothing has been undone so far, whose lines, summed by SKU, equal
//!       exactly what is wanted, and whose time + ship after is later than the cancellation's time. If there are
//!       any, the most recent is cancelled: `cancel` with its `order_id`, `by` `customer`, `reason` `cancellation`,
//!       at the cancellation's time. All of it is then undone.
//!    3. Otherwise, for each wanted SKU in bytewise order, walk all candidates from the most recent back, and from
//!       each take the smaller of what is not yet undone of that SKU in that order (summed over its lines) and what
//!       is still wanted. What is taken is undone. The takes are grouped by order, the most recent order first: each
//!       is one `return` with its `order_id`, `return_id` `<cancellation's invoice>-<n>` with n from 1, and `lines`
//!       in bytewise order of SKU, each with `restock` true; at the later of the cancellation's time and that
//!       order's time + ship after.
//!    4. SKUs of which something is still wanted then are unmatched: `no_earlier_sale` counts one line each, and
//!       the units still wanted.
//! 6. **Order of commands.** All receipts first. Then by time; at one time `place` before `pay` before `ship` before
//!    `cancel` before `return`; those alike in that too in the order in which they were made: `place`, `pay` and
//!    `ship` as the orders, `cancel` and `return` as the cancellations, then as 5.3 says.

mod history;
#[cfg(test)]
mod tests;
mod undo;

use std::collections::BTreeMap;
use std::io::Read;

use self::history::{History, Sale};
use self::undo::{Takes, Undone};
use anyhow::Result;
use weir::words::command::{
    Attributes, Cancel, Command, Line, Money, OnShortage, Pay, Place, Receive, Return, ReturnLine, Ship,
};
use weir::words::policy::{QUANTITY_LIMIT_MAX, STOCK_MAX};
use weir::words::timestamp::Timestamp;

/// The longest invoice, in bytes: a number is added to make the id of a return.
const INVOICE_BYTES_MAX: usize = 48;

/// The highest price in thousandths, so that sums cannot overflow.
const PRICE_MILLI_MAX: i64 = 1_000_000_000_000;

/// The most lines of a receipt.
const RECEIPT_LINES_MAX: usize = 1_000;

/// What is made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// How much of each SKU's demand is received before the first order, in thousandths.
    pub(crate) stock_share_permille: u32,
    /// How long after its placing an order is paid, in seconds.
    pub(crate) pay_after_s: i64,
    /// How long after its placing an order is shipped, in seconds.
    pub(crate) ship_after_s: i64,
    /// What orders do at a shortage.
    pub(crate) on_shortage: OnShortage,
    /// The site of receipts and orders; absent for the shard's default.
    pub(crate) site: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stock_share_permille: 900,
            pay_after_s: 600,
            ship_after_s: 86_400,
            on_shortage: OnShortage::Refuse,
            site: None,
        }
    }
}

/// What the mapping comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// The commands, in the order in which they are to be sent.
    pub(crate) commands: Vec<Command<'static>>,
    /// What was read, made and left out.
    pub(crate) counts: Counts,
}

/// Lines and units of cancellations that no order could be found for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unmatched {
    pub(crate) lines: u64,
    pub(crate) units: u64,
}

/// What was read, made and left out, by the rules above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows: u64,
    pub(crate) sale_rows: u64,
    pub(crate) cancellation_rows: u64,
    pub(crate) adjustment_rows: u64,
    pub(crate) write_off_rows: u64,
    pub(crate) odd_cancellation_rows: u64,
    pub(crate) unusable_rows: u64,
    pub(crate) orders: u64,
    pub(crate) order_lines: u64,
    pub(crate) order_units: u64,
    pub(crate) receipts: u64,
    pub(crate) skus_received: u64,
    pub(crate) units_received: u64,
    pub(crate) pays: u64,
    pub(crate) ships: u64,
    pub(crate) cancellations: u64,
    pub(crate) cancellation_lines: u64,
    pub(crate) cancellation_units: u64,
    pub(crate) cancels: u64,
    pub(crate) cancel_units: u64,
    pub(crate) returns: u64,
    pub(crate) return_lines: u64,
    pub(crate) return_units: u64,
    /// Left over because the cancellation names no customer.
    pub(crate) no_customer: Unmatched,
    /// Left over because the customer has no earlier sale of it that is not undone yet.
    pub(crate) no_earlier_sale: Unmatched,
}

/// Reads rows of the "Online Retail" set. The module's own words say what becomes of them.
pub(crate) fn online_retail(read: impl Read, options: &Options) -> Result<Plan> {
    let mut counts = Counts::default();
    let history = history::read(read, &mut counts)?;
    let ship_after_s = options.ship_after_s.max(0);
    let undone = undo::undo(&history.orders, &history.cancellations, ship_after_s, &mut counts);
    let mut commands = receipts(&history, options, &mut counts);
    commands.extend(time_line(history, undone, options, &mut counts));
    Ok(Plan { commands, counts })
}

fn receipts(history: &History, options: &Options, counts: &mut Counts) -> Vec<Command<'static>> {
    let mut demand = BTreeMap::new();
    for &(sku, quantity) in history.orders.iter().flat_map(|order| &order.lines) {
        *demand.entry(sku).or_insert(0_u128) += u128::from(quantity.unsigned_abs());
    }
    let mut lines = Vec::new();
    for (sku, demand) in demand {
        let received = demand * u128::from(options.stock_share_permille) / 1_000;
        let quantity = i64::try_from(received).unwrap_or(QUANTITY_LIMIT_MAX).min(QUANTITY_LIMIT_MAX);
        if quantity > 0 {
            counts.units_received += quantity.unsigned_abs();
            lines.push(Line { sku: history.skus[sku as usize].clone().into(), quantity });
        }
    }
    counts.skus_received = lines.len() as u64;
    let mut receipts = Vec::new();
    while !lines.is_empty() {
        let rest = lines.split_off(lines.len().min(RECEIPT_LINES_MAX));
        receipts.push(Command::Receive(Receive {
            receipt_id: format!("import-{}", receipts.len() + 1).into(),
            site: options.site.clone().map(Into::into),
            lines: std::mem::replace(&mut lines, rest),
            occurred_at: None,
        }));
    }
    counts.receipts = receipts.len() as u64;
    receipts
}

/// A command at its time. The kind's rank decides between commands of one time.
type Timed = (i64, u8, Command<'static>);

fn time_line(
    history: History,
    undone: Undone,
    options: &Options,
    counts: &mut Counts,
) -> impl Iterator<Item = Command<'static>> {
    let ship_after_s = options.ship_after_s.max(0);
    let pay_after_s = options.pay_after_s.max(0);
    let History { skus, customers, orders, cancellations: _ } = history;
    let mut line: Vec<Timed> =
        Vec::with_capacity(3 * orders.len() + undone.cancels.len() + undone.returns.len());
    for (order, time) in undone.cancels {
        line.push((time, 3, cancel(&orders[order])));
    }
    for takes in undone.returns {
        line.push((takes.time, 4, return_of(&orders[takes.order], takes, &skus)));
    }
    for (index, sale) in orders.into_iter().enumerate() {
        let cancelled = undone.cancelled.get(&index);
        let pay = sale.time.saturating_add(pay_after_s);
        if cancelled.is_none_or(|&time| pay <= time) {
            counts.pays += 1;
            let order_id = sale.invoice.clone().into();
            line.push((pay, 1, Command::Pay(Pay { order_id, ..Pay::default() })));
        }
        if cancelled.is_none() {
            counts.ships += 1;
            let order_id = sale.invoice.clone().into();
            line.push((
                sale.time.saturating_add(ship_after_s),
                2,
                Command::Ship(Ship { order_id, ..Ship::default() }),
            ));
        }
        counts.orders += 1;
        counts.order_lines += sale.lines.len() as u64;
        counts.order_units += sale.lines.iter().map(|line| line.1.unsigned_abs()).sum::<u64>();
        line.push((sale.time, 0, Command::Place(place(sale, &skus, &customers, options))));
    }
    // A stable sort: within a kind, commands were pushed in the order in which they were made.
    line.sort_by_key(|&(time, rank, _)| (time, rank));
    line.into_iter().map(|(_, _, command)| command)
}

fn place(sale: Sale, skus: &[String], customers: &[String], options: &Options) -> Place<'static> {
    let invoiced_at = Timestamp::from_millis(sale.time * 1_000).to_string();
    let mut attributes = vec![("invoiced_at".into(), invoiced_at.into())];
    if !sale.country.is_empty() {
        attributes.insert(0, ("country".into(), sale.country.into()));
    }
    let minor = i64::try_from(sale.value_milli / 10).ok().filter(|minor| *minor <= STOCK_MAX);
    let value = minor.filter(|_| sale.value_milli >= 0);
    Place {
        order_id: sale.invoice.into(),
        site: options.site.clone().map(Into::into),
        lines: sale.lines.iter().map(|&(sku, quantity)| line(skus, sku, quantity).into()).collect(),
        on_shortage: options.on_shortage,
        value: value.map(|minor| Money { minor, currency: "GBP".into() }),
        customer: sale.customer.map(|customer| customers[customer as usize].clone().into()),
        attributes: Attributes(attributes),
        ..Place::default()
    }
}

fn line(skus: &[String], sku: history::Sku, quantity: i64) -> Line<'static> {
    Line { sku: skus[sku as usize].clone().into(), quantity }
}

fn cancel(sale: &Sale) -> Command<'static> {
    Command::Cancel(Cancel {
        order_id: sale.invoice.clone().into(),
        by: Some("customer".into()),
        reason: Some("cancellation".into()),
        ..Cancel::default()
    })
}

fn return_of(sale: &Sale, takes: Takes, skus: &[String]) -> Command<'static> {
    let lines = takes.lines.iter().map(|&(sku, quantity)| {
        let Line { sku, quantity } = line(skus, sku, quantity);
        ReturnLine { sku, quantity, restock: true }
    });
    Command::Return(Return {
        order_id: sale.invoice.clone().into(),
        return_id: takes.return_id.into(),
        lines: Some(lines.collect()),
        ..Return::default()
    })
}

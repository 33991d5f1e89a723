//! The rows of the file, gathered into orders and cancellations: rules 1 and 2 of the mapping.

use std::collections::BTreeMap;
use std::io::Read;

use super::super::table::{Column, Row, Table};
use super::super::{Counts, ImportError};
use super::{INVOICE_BYTES_MAX, PRICE_MILLI_MAX};
use crate::words::command::ELEMENTS_MAX;
use crate::words::policy::QUANTITY_LIMIT_MAX;
use crate::words::text::is_id;
use crate::words::timestamp::Timestamp;

/// A SKU's place in the bytewise order of all SKUs of the history.
pub(super) type Sku = u32;

/// What was sold under one invoice.
#[derive(Debug)]
pub(super) struct Sale {
    pub(super) invoice: String,
    /// The file's row in which the invoice first appears.
    pub(super) row: u64,
    /// Seconds since 1970.
    pub(super) time: i64,
    pub(super) customer: Option<u32>,
    pub(super) country: String,
    /// The rows as they stand: SKU and quantity.
    pub(super) lines: Vec<(Sku, i64)>,
    /// The sum of quantity times price, in thousandths.
    pub(super) value_milli: i128,
}

/// All that was read.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Names by [`Sku`].
    pub(super) skus: Vec<String>,
    /// Names by number.
    pub(super) customers: Vec<String>,
    /// In order of first appearance.
    pub(super) orders: Vec<Sale>,
    /// Likewise; quantities made positive.
    pub(super) cancellations: Vec<Sale>,
}

struct Columns {
    ts: Column,
    invoice: Column,
    sku: Column,
    quantity: Column,
    price: Column,
    customer: Column,
    country: Column,
}

/// Invoices of one kind, in order of first appearance.
#[derive(Default)]
struct Invoices {
    all: Vec<Sale>,
    by_id: BTreeMap<String, usize>,
}

/// Texts and the numbers that stand for them.
#[derive(Default)]
struct Names(BTreeMap<String, u32>);

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.0.get(name) {
            return number;
        }
        // More than 2^32 names would need more memory than their numbers could save.
        let number = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.insert(name.to_owned(), number);
        number
    }

    fn in_order_of_number(self) -> Vec<String> {
        let mut pairs: Vec<(u32, String)> = self.0.into_iter().map(|(name, number)| (number, name)).collect();
        pairs.sort_unstable();
        pairs.into_iter().map(|(_, name)| name).collect()
    }
}

/// Reads the file to its end.
pub(super) fn read(read: impl Read, counts: &mut Counts) -> Result<History, ImportError> {
    let mut table = Table::open(read)?;
    let columns = Columns {
        ts: table.required("ts")?,
        invoice: table.required("invoice")?,
        sku: table.required("sku")?,
        quantity: table.required("qty")?,
        price: table.required("price_milli")?,
        customer: table.required("customer")?,
        country: table.required("country")?,
    };
    let (mut orders, mut cancellations) = (Invoices::default(), Invoices::default());
    let (mut skus, mut customers) = (Names::default(), Names::default());
    while let Some(row) = table.next()? {
        counts.rows += 1;
        let invoice = row.id(columns.invoice)?;
        if invoice.len() > INVOICE_BYTES_MAX {
            return Err(row.wrong(columns.invoice, "longer than 48 bytes"));
        }
        let quantity = row.integer(columns.quantity, -i64::MAX, i64::MAX)?;
        let sku = row.text(columns.sku)?;
        let cancels = invoice.starts_with('C');
        let (kept, to) = if cancels {
            (&mut counts.cancellation_rows, &mut cancellations)
        } else {
            (&mut counts.sale_rows, &mut orders)
        };
        let class = if invoice.starts_with('A') {
            &mut counts.adjustment_rows
        } else if cancels && quantity >= 0 {
            &mut counts.odd_cancellation_rows
        } else if !cancels && quantity <= 0 {
            &mut counts.write_off_rows
        } else if !is_id(sku) || quantity.abs() > QUANTITY_LIMIT_MAX {
            &mut counts.unusable_rows
        } else {
            let sale = to.take(invoice, &row, &columns, counts.rows, &mut customers)?;
            let price = row.integer(columns.price, -PRICE_MILLI_MAX, PRICE_MILLI_MAX)?;
            if sale.lines.len() == ELEMENTS_MAX {
                return Err(row.wrong(columns.invoice, "more than 10,000 rows of one invoice"));
            }
            sale.lines.push((skus.number(sku), quantity.abs()));
            sale.value_milli += i128::from(quantity) * i128::from(price);
            kept
        };
        *class += 1;
    }
    Ok(in_bytewise_order(skus, customers, orders.all, cancellations.all))
}

impl Invoices {
    fn take(
        &mut self,
        invoice: &str,
        row: &Row<'_>,
        columns: &Columns,
        number: u64,
        customers: &mut Names,
    ) -> Result<&mut Sale, ImportError> {
        let time = row.integer(columns.ts, 0, Timestamp::MAX.millis() / 1_000)?;
        let customer = row.optional_id(columns.customer)?;
        let country = row.optional_id(columns.country)?.unwrap_or_default();
        let index = if let Some(&index) = self.by_id.get(invoice) {
            index
        } else {
            self.by_id.insert(invoice.to_owned(), self.all.len());
            self.all.push(Sale {
                invoice: invoice.to_owned(),
                row: number,
                time,
                customer: customer.map(|customer| customers.number(customer)),
                country: country.to_owned(),
                lines: Vec::new(),
                value_milli: 0,
            });
            self.all.len() - 1
        };
        Ok(&mut self.all[index])
    }
}

/// Renumbers the SKUs by the bytes of their names, so that sorting numbers sorts names.
fn in_bytewise_order(
    skus: Names,
    customers: Names,
    mut orders: Vec<Sale>,
    mut cancellations: Vec<Sale>,
) -> History {
    let mut place_of = vec![0; skus.0.len()];
    let mut names = Vec::with_capacity(skus.0.len());
    for ((name, number), place) in skus.0.into_iter().zip(0..) {
        place_of[number as usize] = place;
        names.push(name);
    }
    for sale in orders.iter_mut().chain(&mut cancellations) {
        for line in &mut sale.lines {
            line.0 = place_of[line.0 as usize];
        }
    }
    History { skus: names, customers: customers.in_order_of_number(), orders, cancellations }
}

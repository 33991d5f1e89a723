//! The rows of the file, gathered into orders and cancellations: rules 1 and 2 of the mapping.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::RangeInclusive;

use anyhow::{Context as _, Result, ensure};
use weir::words::command::ELEMENTS_MAX;
use weir::words::policy::QUANTITY_LIMIT_MAX;
use weir::words::text::is_id;
use weir::words::timestamp::Timestamp;

use super::{Counts, INVOICE_BYTES_MAX, PRICE_MILLI_MAX};

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

/// The columns, as they are found in the header.
struct Columns([usize; 7]);

const COLUMNS: [&str; 7] = ["ts", "invoice", "sku", "qty", "price_milli", "customer", "country"];

/// A row, and what may be read of it.
struct Row<'r> {
    record: &'r csv::StringRecord,
    columns: &'r Columns,
}

impl<'r> Row<'r> {
    fn text(&self, column: &str) -> &'r str {
        let place = COLUMNS.iter().position(|known| *known == column).unwrap_or_default();
        self.record.get(self.columns.0[place]).unwrap_or_default()
    }

    fn integer(&self, column: &str, bounds: RangeInclusive<i64>) -> Result<i64> {
        let parsed: Option<i64> = self.text(column).parse().ok();
        parsed.filter(|value| bounds.contains(value)).with_context(|| self.wrong(column, "not such a number"))
    }

    /// The id in a column; empty where there is none.
    fn id(&self, column: &str) -> Result<&'r str> {
        let text = self.text(column);
        ensure!(text.is_empty() || is_id(text), self.wrong(column, "not an id"));
        Ok(text)
    }

    fn wrong(&self, column: &str, problem: &str) -> String {
        let line = self.record.position().map_or(0, csv::Position::line);
        format!("line {line}: {column}: {problem}: {:.40?}", self.text(column))
    }
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
pub(super) fn read(read: impl Read, counts: &mut Counts) -> Result<History> {
    let mut reader = csv::Reader::from_reader(read);
    let header = reader.headers()?.clone();
    let mut columns = Columns([0; COLUMNS.len()]);
    for (place, name) in columns.0.iter_mut().zip(COLUMNS) {
        let found = header.iter().position(|column| column == name);
        *place = found.with_context(|| format!("the header has no column {name}"))?;
    }
    let (mut orders, mut cancellations) = (Invoices::default(), Invoices::default());
    let (mut skus, mut customers) = (Names::default(), Names::default());
    for record in reader.records() {
        let record = record?;
        let row = Row { record: &record, columns: &columns };
        counts.rows += 1;
        let invoice = row.id("invoice")?;
        ensure!((1..=INVOICE_BYTES_MAX).contains(&invoice.len()), row.wrong("invoice", "not 1 to 48 bytes"));
        let quantity = row.integer("qty", -i64::MAX..=i64::MAX)?;
        let sku = row.text("sku");
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
            let sale = to.take(invoice, &row, counts.rows, &mut customers)?;
            let price = row.integer("price_milli", -PRICE_MILLI_MAX..=PRICE_MILLI_MAX)?;
            ensure!(sale.lines.len() < ELEMENTS_MAX, row.wrong("invoice", "more than 10,000 rows"));
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
        number: u64,
        customers: &mut Names,
    ) -> Result<&mut Sale> {
        let time = row.integer("ts", 0..=Timestamp::MAX.millis() / 1_000)?;
        let customer = Some(row.id("customer")?).filter(|customer| !customer.is_empty());
        let country = row.id("country")?;
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

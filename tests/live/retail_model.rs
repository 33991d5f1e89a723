//! A plain model of what an import of the "Online Retail" rows must come to, to judge the real thing by.
//!
//! Written from words alone: the mapping as the import documents it (with the command line's own defaults: 90% of the
//! demand is received, paid after ten minutes, shipped after a day, orders are all or nothing), and the rules of the
//! inventory. It shares no code with them, and is as simple as it can be: every order knows its lines in a `BTreeMap`,
//! stock is a `BTreeMap`, nothing is fast.

use std::collections::BTreeMap;
use std::path::Path;

const PAY_AFTER_S: i64 = 600;
const SHIP_AFTER_S: i64 = 86_400;
const STOCK_SHARE_PERCENT: i64 = 90;

/// What the model comes to.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Orders placed.
    pub(crate) orders: u64,
    /// Their lines, as they stand.
    pub(crate) lines: u64,
    /// Every answer in the order of its command: what it says, and of what.
    pub(crate) answers: Vec<(String, String)>,
    /// How often each was said.
    pub(crate) tally: BTreeMap<String, u64>,
    /// What is left of every SKU.
    pub(crate) stock: BTreeMap<String, Shelf>,
}

/// The stock of one SKU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shelf {
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
    pub(crate) received: i64,
    pub(crate) restocked: i64,
    pub(crate) shipped: i64,
}

/// Units by SKU, in bytewise order.
type Units = BTreeMap<String, i64>;

/// A row of the file.
struct Row {
    time: i64,
    invoice: String,
    sku: String,
    quantity: i64,
    customer: String,
}

/// An order of the file.
struct Order {
    id: String,
    time: i64,
    customer: String,
    /// Where its first row stands in the file.
    first_row: usize,
    lines: u64,
    units: Units,
    /// What cancellations have taken back.
    undone: Units,
    cancelled_at: Option<i64>,
}

/// A cancellation of the file.
struct Cancellation {
    id: String,
    time: i64,
    customer: String,
    first_row: usize,
    units: Units,
}

/// A command, with as much of it as decides anything. Orders by their place in the file.
enum Step {
    Place(usize),
    Pay(usize),
    Ship(usize),
    Cancel(usize),
    Return { order: usize, id: String, units: Units },
}

/// When a step happens, and how steps of one time stand.
type When = (i64, u8);

/// Reads `file` and decides all of it.
pub(crate) fn model(file: &Path) -> Model {
    let rows = read(file);
    let (mut orders, cancellations) = group(&rows);
    let mut model = Model { orders: orders.len() as u64, ..Model::default() };
    model.lines = orders.iter().map(|order| order.lines).sum();
    let undoing = undo(&mut orders, &cancellations);
    receive(&orders, &mut model);

    let mut steps: Vec<(When, Step)> = Vec::new();
    for (place, order) in orders.iter().enumerate() {
        steps.push(((order.time, 0), Step::Place(place)));
        if order.cancelled_at.is_none_or(|cancelled| order.time + PAY_AFTER_S <= cancelled) {
            steps.push(((order.time + PAY_AFTER_S, 1), Step::Pay(place)));
        }
        if order.cancelled_at.is_none() {
            steps.push(((order.time + SHIP_AFTER_S, 2), Step::Ship(place)));
        }
    }
    steps.extend(undoing);
    // Stable: what is alike stays as it was made.
    steps.sort_by_key(|(when, _)| *when);
    decide(&orders, steps, &mut model);
    for (answer, _) in &model.answers {
        *model.tally.entry(answer.clone()).or_default() += 1;
    }
    model
}

/// The rows that are not skipped, in the order of the file.
fn read(file: &Path) -> Vec<Row> {
    let unpacked = flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap());
    let mut reader = csv::Reader::from_reader(unpacked);
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|title| title == name).unwrap();
    let (ts, invoice, sku) = (column("ts"), column("invoice"), column("sku"));
    let (qty, customer) = (column("qty"), column("customer"));
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.unwrap();
        let quantity: i64 = record[qty].parse().unwrap();
        let back = record[invoice].starts_with('C');
        let adjustment = record[invoice].starts_with('A');
        let nothing = if back { quantity >= 0 } else { quantity <= 0 };
        let unusable = record[sku].is_empty()
            || record[sku].len() > 64
            || record[sku].chars().any(char::is_control)
            || quantity.abs() > 1_000_000_000;
        if adjustment || nothing || unusable {
            continue;
        }
        rows.push(Row {
            time: record[ts].parse().unwrap(),
            invoice: record[invoice].to_owned(),
            sku: record[sku].to_owned(),
            quantity: quantity.abs(),
            customer: record[customer].to_owned(),
        });
    }
    rows
}

/// Invoices, in the order in which they first appear: of sales, and of cancellations.
fn group(rows: &[Row]) -> (Vec<Order>, Vec<Cancellation>) {
    let mut orders: Vec<Order> = Vec::new();
    let mut cancellations: Vec<Cancellation> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (first_row, row) in rows.iter().enumerate() {
        let (id, customer) = (row.invoice.clone(), row.customer.clone());
        if row.invoice.starts_with('C') {
            let place = *places.entry(&row.invoice).or_insert_with(|| {
                let units = Units::new();
                cancellations.push(Cancellation { id, time: row.time, customer, first_row, units });
                cancellations.len() - 1
            });
            *cancellations[place].units.entry(row.sku.clone()).or_default() += row.quantity;
        } else {
            let place = *places.entry(&row.invoice).or_insert_with(|| {
                let (units, undone) = (Units::new(), Units::new());
                let order = Order {
                    id,
                    time: row.time,
                    customer,
                    first_row,
                    lines: 0,
                    units,
                    undone,
                    cancelled_at: None,
                };
                orders.push(order);
                orders.len() - 1
            });
            orders[place].lines += 1;
            *orders[place].units.entry(row.sku.clone()).or_default() += row.quantity;
        }
    }
    (orders, cancellations)
}

/// Finds out what each cancellation takes back, and gives the cancels and returns.
fn undo(orders: &mut [Order], cancellations: &[Cancellation]) -> Vec<(When, Step)> {
    let mut of_customer: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, order) in orders.iter().enumerate() {
        of_customer.entry(order.customer.clone()).or_default().push(place);
    }
    let mut steps = Vec::new();
    for cancellation in cancellations.iter().filter(|cancellation| !cancellation.customer.is_empty()) {
        let known = of_customer.get(&cancellation.customer).map_or(&[][..], Vec::as_slice);
        let mut candidates: Vec<usize> = known
            .iter()
            .copied()
            .filter(|&place| {
                let order = &orders[place];
                order.time <= cancellation.time && order.first_row < cancellation.first_row
            })
            .collect();
        // The most recent first; of one time, the one that appears last.
        candidates.sort_by_key(|&place| std::cmp::Reverse((orders[place].time, place)));

        let whole = candidates.iter().copied().find(|&place| {
            let order = &orders[place];
            order.undone.is_empty()
                && order.units == cancellation.units
                && order.time + SHIP_AFTER_S > cancellation.time
        });
        if let Some(place) = whole {
            orders[place].undone = orders[place].units.clone();
            orders[place].cancelled_at = Some(cancellation.time);
            steps.push(((cancellation.time, 3), Step::Cancel(place)));
            continue;
        }

        let mut back_from: BTreeMap<usize, Units> = BTreeMap::new();
        for (sku, wanted) in &cancellation.units {
            let mut wanted = *wanted;
            for &place in &candidates {
                let order = &mut orders[place];
                let sold = order.units.get(sku).copied().unwrap_or(0);
                let gone = order.undone.get(sku).copied().unwrap_or(0);
                let taken = wanted.min(sold - gone);
                if taken > 0 {
                    wanted -= taken;
                    *order.undone.entry(sku.clone()).or_default() += taken;
                    back_from.entry(place).or_default().insert(sku.clone(), taken);
                }
            }
        }
        let in_turn = candidates.iter().filter_map(|place| Some((*place, back_from.remove(place)?)));
        for (number, (order, units)) in (1..).zip(in_turn.collect::<Vec<_>>()) {
            let time = cancellation.time.max(orders[order].time + SHIP_AFTER_S);
            let id = format!("{}-{number}", cancellation.id);
            steps.push(((time, 4), Step::Return { order, id, units }));
        }
    }
    steps
}

/// Fills the shelves, in receipts of a thousand SKUs each.
fn receive(orders: &[Order], model: &mut Model) {
    let mut demand = Units::new();
    for (sku, units) in orders.iter().flat_map(|order| &order.units) {
        *demand.entry(sku.clone()).or_default() += units;
    }
    for (sku, demand) in demand {
        let received = (demand * STOCK_SHARE_PERCENT / 100).min(1_000_000_000);
        if received > 0 {
            let shelf = Shelf { on_hand: received, received, ..Shelf::default() };
            model.stock.insert(sku, shelf);
        }
    }
    for receipt in 1..=model.stock.len().div_ceil(1_000) {
        model.answers.push(("received".to_owned(), format!("import-{receipt}")));
    }
}

/// Takes the steps one by one.
fn decide(orders: &[Order], steps: Vec<(When, Step)>, model: &mut Model) {
    // What later news of a refused order is answered: only orders refused for want of stock are remembered.
    let mut refused = BTreeMap::new();
    for (_, step) in steps {
        let (verb, order) = match &step {
            Step::Place(order) => ("place", *order),
            Step::Pay(order) => ("pay", *order),
            Step::Ship(order) => ("ship", *order),
            Step::Cancel(order) => ("cancel", *order),
            Step::Return { order, .. } => ("return", *order),
        };
        let Order { id, units, .. } = &orders[order];
        let answer = match &step {
            _ if refused.contains_key(&order) => format!("refused {verb} {}", refused[&order]),
            Step::Place(_) => match place(units, &mut model.stock) {
                Ok(()) => "confirmed".to_owned(),
                Err(reason) => {
                    let later = if reason == "unknown_sku" { "unknown_order" } else { "order_refused" };
                    refused.insert(order, later);
                    format!("refused place {reason}")
                }
            },
            Step::Pay(_) => "paid".to_owned(),
            Step::Ship(_) => {
                for (sku, units) in units {
                    let shelf = model.stock.get_mut(sku).unwrap();
                    shelf.reserved -= units;
                    shelf.on_hand -= units;
                    shelf.shipped += units;
                }
                "shipped".to_owned()
            }
            Step::Cancel(_) => {
                for (sku, units) in units {
                    model.stock.get_mut(sku).unwrap().reserved -= units;
                }
                "cancelled".to_owned()
            }
            Step::Return { units, .. } => {
                for (sku, units) in units {
                    let shelf = model.stock.get_mut(sku).unwrap();
                    shelf.on_hand += units;
                    shelf.restocked += units;
                }
                "returned".to_owned()
            }
        };
        let subject = match &step {
            Step::Return { id: return_id, .. } if answer == "returned" => format!("{id} {return_id}"),
            _ => id.clone(),
        };
        model.answers.push((answer, subject));
    }
}

/// All of it or nothing.
fn place(units: &Units, stock: &mut BTreeMap<String, Shelf>) -> Result<(), &'static str> {
    if units.keys().any(|sku| !stock.contains_key(sku)) {
        return Err("unknown_sku");
    }
    if units.iter().any(|(sku, units)| stock[sku].on_hand - stock[sku].reserved < *units) {
        return Err("insufficient_stock");
    }
    for (sku, units) in units {
        stock.get_mut(sku).unwrap().reserved += units;
    }
    Ok(())
}

//! Which order a cancellation undoes: rule 5 of the mapping. The file does not say.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Counts;
use super::history::{Sale, Sku};

/// Quantities summed by SKU, in bytewise order of the SKUs.
type Sums = Vec<(Sku, i64)>;

/// What the cancellations come to.
#[derive(Debug, Default)]
pub(super) struct Undone {
    /// Orders cancelled before they were shipped, by their place in the history, and when.
    pub(super) cancelled: BTreeMap<usize, i64>,
    /// Those cancellations in the order in which they were made: order and time.
    pub(super) cancels: Vec<(usize, i64)>,
    /// Returns in the order in which they were made.
    pub(super) returns: Vec<Takes>,
}

/// A return from one order.
#[derive(Debug)]
pub(super) struct Takes {
    pub(super) order: usize,
    pub(super) time: i64,
    pub(super) return_id: String,
    pub(super) lines: Sums,
}

/// An order as far as it is not undone.
struct Remains {
    ordered: Sums,
    left: Sums,
}

/// Looks for the orders that `cancellations` undo.
pub(super) fn undo(
    orders: &[Sale],
    cancellations: &[Sale],
    ship_after_s: i64,
    counts: &mut Counts,
) -> Undone {
    let mut search = Search::new(orders, ship_after_s);
    let mut undone = Undone::default();
    for cancellation in cancellations {
        let wanted = sums(&cancellation.lines);
        let units = units(&wanted);
        counts.cancellations += 1;
        counts.cancellation_lines += wanted.len() as u64;
        counts.cancellation_units += units;
        let Some(customer) = cancellation.customer else {
            counts.no_customer.lines += wanted.len() as u64;
            counts.no_customer.units += units;
            continue;
        };
        if let Some(order) = search.whole(cancellation, customer, &wanted) {
            counts.cancels += 1;
            counts.cancel_units += units;
            undone.cancels.push((order, cancellation.time));
            undone.cancelled.insert(order, cancellation.time);
        } else {
            search.parts(cancellation, customer, &wanted, &mut undone, counts);
        }
    }
    undone
}

struct Search<'h> {
    orders: &'h [Sale],
    ship_after_s: i64,
    remains: Vec<Remains>,
    /// A customer's orders in placing order: by time, then by first appearance.
    of_customer: BTreeMap<u32, Vec<usize>>,
    /// Those that hold a SKU which is not wholly undone.
    of_sku: BTreeMap<(u32, Sku), Vec<usize>>,
}

impl<'h> Search<'h> {
    fn new(orders: &'h [Sale], ship_after_s: i64) -> Self {
        let mut in_order: Vec<usize> = (0..orders.len()).collect();
        in_order.sort_by_key(|&order| orders[order].time);
        let remains: Vec<Remains> = orders
            .iter()
            .map(|order| {
                let ordered = sums(&order.lines);
                Remains { left: ordered.clone(), ordered }
            })
            .collect();
        let (mut of_customer, mut of_sku) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for order in in_order {
            let Some(customer) = orders[order].customer else { continue };
            of_customer.entry(customer).or_default().push(order);
            for &(sku, _) in &remains[order].ordered {
                of_sku.entry((customer, sku)).or_default().push(order);
            }
        }
        Self { orders, ship_after_s, remains, of_customer, of_sku }
    }

    fn shipped(&self, order: usize) -> i64 {
        self.orders[order].time.saturating_add(self.ship_after_s)
    }

    /// Undoes the most recent order that is just what is wanted, still whole and not shipped.
    fn whole(&mut self, cancellation: &Sale, customer: u32, wanted: &Sums) -> Option<usize> {
        let candidates = self.of_customer.get(&customer)?;
        let end = candidates.partition_point(|&order| self.orders[order].time <= cancellation.time);
        let order = candidates[..end]
            .iter()
            .rev()
            .copied()
            .take_while(|&order| cancellation.time < self.shipped(order))
            .filter(|&order| self.orders[order].row < cancellation.row)
            .find(|&order| self.remains[order].ordered == *wanted && self.remains[order].left == *wanted)?;
        for (_, left) in &mut self.remains[order].left {
            *left = 0;
        }
        Some(order)
    }

    /// Takes what is wanted from the customer's orders, the most recent first.
    fn parts(
        &mut self,
        cancellation: &Sale,
        customer: u32,
        wanted: &Sums,
        undone: &mut Undone,
        counts: &mut Counts,
    ) {
        let mut takes: BTreeMap<Reverse<(i64, usize)>, Sums> = BTreeMap::new();
        for &(sku, quantity) in wanted {
            let mut needed = quantity;
            let mut none = Vec::new();
            let candidates = self.of_sku.get_mut(&(customer, sku)).unwrap_or(&mut none);
            let mut place = candidates.partition_point(|&order| self.orders[order].time <= cancellation.time);
            while place > 0 && needed > 0 {
                place -= 1;
                let order = candidates[place];
                let sale = &self.orders[order];
                if sale.row > cancellation.row {
                    continue;
                }
                let remains = &mut self.remains[order].left;
                let Ok(line) = remains.binary_search_by_key(&sku, |line| line.0) else { continue };
                let left = &mut remains[line].1;
                let part = needed.min(*left);
                *left -= part;
                needed -= part;
                if *left == 0 {
                    // Nothing comes back, so it need not be passed again.
                    candidates.remove(place);
                }
                if part > 0 {
                    takes.entry(Reverse((sale.time, order))).or_default().push((sku, part));
                }
            }
            if needed > 0 {
                counts.no_earlier_sale.lines += 1;
                counts.no_earlier_sale.units += needed.unsigned_abs();
            }
        }
        for ((Reverse((_, order)), lines), number) in takes.into_iter().zip(1..) {
            counts.returns += 1;
            counts.return_lines += lines.len() as u64;
            counts.return_units += units(&lines);
            let return_id = format!("{}-{}", cancellation.invoice, number);
            let time = cancellation.time.max(self.shipped(order));
            undone.returns.push(Takes { order, time, return_id, lines });
        }
    }
}

/// `lines` summed by SKU. An invoice's lines are too few and too small to overflow.
fn sums(lines: &[(Sku, i64)]) -> Sums {
    let mut sorted = lines.to_vec();
    sorted.sort_unstable_by_key(|line| line.0);
    sorted.dedup_by(|next, line| {
        let same = next.0 == line.0;
        if same {
            line.1 += next.1;
        }
        same
    });
    sorted
}

fn units(lines: &Sums) -> u64 {
    lines.iter().map(|line| line.1.unsigned_abs()).sum()
}

//! The generator's own books: what is available, who waits, and how full to fill the shelves.
//!
//! They follow the fold's rules as far as the generator's commands go: lines summed by SKU, all or none unless the
//! order says otherwise, waiting orders released in placing order whenever stock comes.

use std::collections::BTreeMap;

use super::draw::{Popularity, whole};
use super::shape::Shape;
use crate::words::command::OnShortage;

/// SKUs and quantities.
pub(super) type Lines = Vec<(u32, i64)>;

/// The most orders that wait. The shelves are filled for all that do, so it takes a strange shape to reach it; what
/// waits beyond it is forgotten, and left waiting.
const WAITING_MAX: usize = 10_000;

/// How far the cover moves with each order, as a share of itself.
const LEARNING: f64 = 0.02;

/// What became of an order.
pub(super) enum Taken {
    /// Confirmed, with what it holds.
    Now(Lines),
    /// It waits, or was refused.
    Not,
}

/// The books.
#[derive(Debug)]
pub(super) struct Books {
    available: Vec<i64>,
    /// What is expected to be ordered of each SKU from one filling of the shelves to the next, and in one line.
    expected: Vec<f64>,
    /// The shelves are filled to this multiple of what is expected. Each shortage raises it, each order without one
    /// lowers it, so that it settles where the share of shortages is as wanted.
    cover: f64,
    shortage_share: f64,
    waiting: Vec<(u64, Lines)>,
    short: u64,
}

impl Books {
    pub(super) fn new(popularity: &Popularity, shape: &Shape) -> Self {
        let quantity = shape.quantity.mean();
        let every = f64::from(u32::try_from(shape.restock_every).unwrap_or(u32::MAX));
        let sold = shape.lines.mean() * quantity * every;
        let expected: Vec<f64> = popularity.shares().map(|share| share * sold + quantity).collect();
        Self {
            available: vec![0; expected.len()],
            expected,
            cover: 8.0,
            shortage_share: f64::from(shape.shortage_permille) / 1_000.0,
            waiting: Vec::new(),
            short: 0,
        }
    }

    pub(super) const fn short(&self) -> u64 {
        self.short
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes what an order asks for.
    pub(super) fn order(&mut self, number: u64, rows: &[(u32, i64)], on_shortage: OnShortage) -> Taken {
        let mut sums = BTreeMap::new();
        for &(sku, quantity) in rows {
            *sums.entry(sku).or_insert(0_i64) += quantity;
        }
        let mut wanted: Lines = sums.into_iter().collect();
        let short = !self.can(&wanted);
        self.cover *= 1.0 + LEARNING * (f64::from(u8::from(short)) - self.shortage_share);
        self.cover = self.cover.clamp(0.01, 1_000.0);
        if short {
            self.short += 1;
            match on_shortage {
                OnShortage::Refuse => return Taken::Not,
                OnShortage::Backorder => {
                    if self.waiting.len() < WAITING_MAX {
                        self.waiting.push((number, wanted));
                    }
                    return Taken::Not;
                }
                OnShortage::Partial => {
                    for line in &mut wanted {
                        line.1 = line.1.min(self.available[line.0 as usize]);
                    }
                    wanted.retain(|line| line.1 > 0);
                    if wanted.is_empty() {
                        return Taken::Not;
                    }
                }
            }
        }
        self.take(&wanted);
        Taken::Now(wanted)
    }

    /// Stock comes back. Gives the waiting orders that it releases.
    pub(super) fn put_back(&mut self, lines: &[(u32, i64)]) -> Vec<(u64, Lines)> {
        for &(sku, quantity) in lines {
            self.available[sku as usize] += quantity;
        }
        let mut released = Vec::new();
        for order in std::mem::take(&mut self.waiting) {
            if self.can(&order.1) {
                self.take(&order.1);
                released.push(order);
            } else {
                self.waiting.push(order);
            }
        }
        released
    }

    /// Fills the shelves. Gives what is received, and the waiting orders that it releases: all of them.
    pub(super) fn restock(&mut self) -> (Lines, Vec<(u64, Lines)>) {
        let mut waited_for: BTreeMap<u32, i64> = BTreeMap::new();
        for &(sku, quantity) in self.waiting.iter().flat_map(|(_, lines)| lines) {
            *waited_for.entry(sku).or_default() += quantity;
        }
        let mut received = Lines::new();
        for ((sku, available), expected) in (0..).zip(&self.available).zip(&self.expected) {
            let waited_for = waited_for.get(&sku).copied().unwrap_or_default();
            let full = i64::from(whole(expected * self.cover).clamp(1, 100_000_000));
            // Only what has run half empty is worth a delivery.
            if *available < full / 2 + 1 || *available < waited_for {
                received.push((sku, full + waited_for - available));
            }
        }
        received.retain(|line| line.1 > 0);
        let released = self.put_back(&received);
        (received, released)
    }

    fn can(&self, lines: &[(u32, i64)]) -> bool {
        lines.iter().all(|&(sku, quantity)| self.available[sku as usize] >= quantity)
    }

    fn take(&mut self, lines: &[(u32, i64)]) {
        for &(sku, quantity) in lines {
            self.available[sku as usize] -= quantity;
        }
    }
}

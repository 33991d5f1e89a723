//! What a command about an order acts on: which of its lines, how many of each; and how its outcome tells that.

use smallvec::SmallVec;

use super::refusal::Refusal;
use super::wants::{self, Checked, Want};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::posting::{Movement, Movements};
use crate::folds::inventory::tables::order::Bucket;
use crate::words::command::Line;
use crate::words::outcome::Reason;
use crate::words::policy::STOCK_MAX;

/// Units of an order's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineUnits {
    /// The line's number.
    pub(crate) line: usize,
    pub(crate) units: u32,
}

pub(crate) type Amounts = SmallVec<[LineUnits; 4]>;

impl Inventory {
    /// The policy's limits on the lines that a command names of an order.
    pub(crate) fn check_limits(&self, slot: u32, count: usize, wants: &[Want<'_>]) -> Checked {
        let state = Some(self.orders.view(slot).state());
        wants::limits(count, wants, &self.policy).map_err(|refusal| Refusal { order_state: state, ..refusal })
    }

    /// The amounts that a command names: each of a line that the order has, and at most its quantity.
    pub(crate) fn amounts(&self, slot: u32, wants: &[Want<'_>]) -> Result<Amounts, Refusal<'static>> {
        let view = self.orders.view(slot);
        let mut amounts = Amounts::with_capacity(wants.len());
        for want in wants {
            let Some(line) = self.orders.line_of(slot, &self.stock, want.sku, want.hash) else {
                return Err(Refusal::of_order(Reason::NotInOrder, view.state()));
            };
            let units =
                u32::try_from(want.quantity).ok().filter(|units| *units <= view.lines()[line].quantity);
            let Some(units) = units else {
                return Err(Refusal::of_order(Reason::ExceedsRemaining, view.state()));
            };
            amounts.push(LineUnits { line, units });
        }
        Ok(amounts)
    }

    /// How an outcome tells the lines of movements that a command did not name: not at all, where they are the whole order.
    pub(crate) fn told_lines(&self, slot: u32, movements: &[Movement]) -> Vec<Line<'_>> {
        let view = self.orders.view(slot);
        let lines = view.lines();
        let mut told: Vec<(usize, i64)> = Vec::with_capacity(movements.len());
        for movement in movements {
            match told.last_mut() {
                Some((line, units)) if *line == movement.line => *units += i64::from(movement.units),
                _ => told.push((movement.line, movement.units.into())),
            }
        }
        let is_whole = told.len() == lines.len()
            && told.iter().all(|(line, units)| i64::from(lines[*line].quantity) == *units);
        if is_whole {
            return Vec::new();
        }
        let line =
            |(line, quantity): (usize, i64)| Line { sku: self.stock.sku(lines[line].stock).into(), quantity };
        told.into_iter().map(line).collect()
    }

    /// Goods that leave are summed up for ever, and so are those that come back: refuses what would pass the largest sum.
    pub(crate) fn check_sums(&self, slot: u32, movements: &[Movement]) -> Result<(), Refusal<'static>> {
        let view = self.orders.view(slot);
        let fits = movements.iter().all(|movement| {
            let index = view.lines()[movement.line].stock;
            let (item, flows) = (self.stock.get(index), &self.stock.books(index).flows);
            let units = i64::from(movement.units);
            let leaves = movement.from.is_none_or(Bucket::is_inside) && !movement.to.is_inside();
            (!leaves || flows.shipped + units <= STOCK_MAX && item.on_hand - units >= -STOCK_MAX)
                && (movement.to != Bucket::Returned || flows.restocked.max(item.on_hand) + units <= STOCK_MAX)
        });
        if fits { Ok(()) } else { Err(Refusal::of_order(Reason::StockLimit, view.state())) }
    }
}

/// What a command tells of the lines that it named: each SKU once.
pub(crate) fn named<'c>(wants: &[Want<'c>]) -> Vec<Line<'c>> {
    wants.iter().map(|want| Line { sku: want.sku.into(), quantity: want.quantity }).collect()
}

/// Lines that outlive the state's next change.
pub(crate) fn owned(lines: Vec<Line<'_>>) -> Vec<Line<'static>> {
    let owned = |line: Line<'_>| Line { sku: line.sku.into_owned().into(), quantity: line.quantity };
    lines.into_iter().map(owned).collect()
}

/// Takes up to `wanted` units of a line out of one bucket, as a movement; gives how many are still wanted.
pub(crate) fn take(
    movements: &mut Movements,
    line: usize,
    (from, has): (Bucket, u32),
    to: Bucket,
    wanted: u32,
) -> u32 {
    let units = wanted.min(has);
    if units > 0 {
        movements.push(Movement { line, from: Some(from), to, units });
    }
    wanted - units
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::inventory::Output;
    use crate::folds::inventory::tables::stock::Flows;
    use crate::words::codec::{Format, encode_commands};
    use crate::words::command::{Command, Place, Receive};
    use crate::words::message::{LogMessage, Way};

    #[test]
    fn what_leaves_and_what_comes_back_is_summed_up_to_the_largest_sum() {
        let lines = || vec![Line { sku: "A".into(), quantity: 9 }];
        let received = Receive { receipt_id: "R-1".into(), lines: lines(), ..Receive::default() };
        let lines = lines().into_iter().map(Into::into).collect();
        let placed = Place { order_id: "O-1".into(), lines, ..Place::default() };
        let commands = [Command::Receive(received), Command::Place(placed)];
        let message = LogMessage {
            sequence: 1,
            stored_at_ns: 1,
            way: Way::default(),
            format: Some(Format::Bincode),
            payload: encode_commands(Format::Bincode, &commands).into(),
        };
        let mut inventory = Inventory::default();
        inventory.apply(&message, &mut Output::default()).expect("it is the first");
        let slot = inventory.kept("O-1").ok().expect("it was placed");
        let stock = inventory.orders.view(slot).lines()[0].stock;

        let mut fits = |from, to, on_hand: i64, (shipped, restocked): (i64, i64)| {
            inventory.stock.set_sums(stock, on_hand, Flows { shipped, restocked, ..Flows::default() });
            inventory.check_sums(slot, &[Movement { line: 0, from, to, units: 3 }]).is_ok()
        };
        let (reserved, shipped) = (Some(Bucket::Reserved), Some(Bucket::Shipped));
        for (shipped, expected) in [(STOCK_MAX - 3, true), (STOCK_MAX - 2, false)] {
            assert_eq!(fits(reserved, Bucket::Shipped, 0, (shipped, 0)), expected);
            assert_eq!(fits(None, Bucket::Shipped, 0, (shipped, 0)), expected);
        }
        for (on_hand, expected) in [(3 - STOCK_MAX, true), (2 - STOCK_MAX, false)] {
            assert_eq!(fits(reserved, Bucket::Shipped, on_hand, (0, 0)), expected);
        }
        for (sum, expected) in [(STOCK_MAX - 3, true), (STOCK_MAX - 2, false)] {
            assert_eq!(fits(shipped, Bucket::Returned, 0, (0, sum)), expected);
            assert_eq!(fits(shipped, Bucket::Returned, sum, (0, 0)), expected);
        }
        // What stays inside, or is outside already and does not come back to the shelf, adds to neither.
        for (from, to) in
            [(reserved, Bucket::Cancelled), (shipped, Bucket::Delivered), (shipped, Bucket::WrittenOff)]
        {
            assert!(fits(from, to, -STOCK_MAX, (STOCK_MAX, STOCK_MAX)), "{to:?}");
        }
    }
}

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
    use crate::folds::inventory::tables::stock::{Flows, RestoredStock};
    use crate::words::codec::{Format, encode_commands};
    use crate::words::command::{Command, OnShortage, Place, Receive};
    use crate::words::message::{LogMessage, Way};
    use crate::words::timestamp::Timestamp;

    fn apply(inventory: &mut Inventory, sequence: u64, command: Command<'_>) {
        let message = LogMessage {
            sequence,
            stored_at_ns: 1,
            way: Way::default(),
            format: Some(Format::Bincode),
            payload: encode_commands(Format::Bincode, &[command]).into(),
        };
        inventory.apply(&message, &mut Output::default()).expect("it is the next one");
    }

    /// Whether three units of a SKU that has these sums, which only years of trade would bring about, may move so.
    fn fits((from, to): (Option<Bucket>, Bucket), flows: Flows) -> bool {
        let mut inventory = Inventory::default();
        let line = |sku: &'static str| Line { sku: sku.into(), quantity: 9 };
        let lines = vec![line("B")];
        apply(
            &mut inventory,
            1,
            Command::Receive(Receive { receipt_id: "R-1".into(), lines, ..Receive::default() }),
        );
        let site = inventory.sites.find(None).expect("there is one of old");
        let (changed_at, idle_since) = (Timestamp::ZERO, None);
        let item = RestoredStock { own_safety: None, allowance: 0, flows, changed_at, idle_since };
        inventory.stock.restore(site, "A", item).expect("it is new");
        let placed = Place {
            order_id: "O-1".into(),
            lines: vec![line("A").into()],
            on_shortage: OnShortage::Backorder,
            ..Place::default()
        };
        apply(&mut inventory, 2, Command::Place(placed));
        let slot = inventory.kept("O-1").expect("it was placed");
        inventory.check_sums(slot, &[Movement { line: 0, from, to, units: 3 }]).is_ok()
    }

    #[test]
    fn what_leaves_and_what_comes_back_is_summed_up_to_the_largest_sum() {
        let (reserved, shipped) = (Some(Bucket::Reserved), Some(Bucket::Shipped));
        let none = Flows::default();
        for (sum, expected) in [(STOCK_MAX - 3, true), (STOCK_MAX - 2, false)] {
            let much_left = Flows { received: STOCK_MAX, shipped: sum, ..none };
            assert_eq!(fits((reserved, Bucket::Shipped), much_left), expected);
            assert_eq!(fits((None, Bucket::Shipped), much_left), expected);
            let little_is_there = Flows { moved_out: sum, ..none };
            assert_eq!(fits((reserved, Bucket::Shipped), little_is_there), expected);
            let much_came_back = Flows { restocked: sum, shipped: sum, ..none };
            assert_eq!(fits((shipped, Bucket::Returned), much_came_back), expected);
            let much_is_there = Flows { received: sum, ..none };
            assert_eq!(fits((shipped, Bucket::Returned), much_is_there), expected);
        }
        // What stays inside, or is outside already and does not come back to the shelf, adds to neither.
        let all = Flows { shipped: STOCK_MAX, restocked: STOCK_MAX, moved_out: STOCK_MAX, ..none };
        for way in
            [(reserved, Bucket::Cancelled), (shipped, Bucket::Delivered), (shipped, Bucket::WrittenOff)]
        {
            assert!(fits(way, all), "{way:?}");
        }
    }
}

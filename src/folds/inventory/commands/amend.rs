//! Amending an order: all its lines are replaced at once, or nothing is.

use super::content::Content;
use super::lines::take;
use super::refusal::Refusal;
use super::told::repeat;
use super::wants::{self, Want};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::posting::{Movement, Movements};
use crate::folds::inventory::tables::order::{Bucket, Flags, View};
use crate::folds::inventory::tables::sides::{Parked, ToldKind};
use crate::folds::inventory::tables::stock::StockIndex;
use crate::words::command::Amend;
use crate::words::outcome::{Decision, Reason, Shortage, State};
use crate::words::policy::{LINES_LIMIT_MAX, QUANTITY_LIMIT_MAX};

/// More of a SKU than an order has.
#[derive(Clone, Copy, Debug)]
struct More<'c> {
    sku: &'c str,
    /// The order's line of it; none where it is new to the order.
    line: Option<usize>,
    /// None where the SKU is not known.
    stock: Option<StockIndex>,
    units: u32,
}

/// What an amendment changes.
#[derive(Debug, Default)]
struct Change<'c> {
    /// What is given up.
    given_up: Movements,
    more: Vec<More<'c>>,
}

impl Inventory {
    pub(crate) fn amend<'c>(
        &mut self,
        command: &'c Amend<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        wants::ids([&command.order_id, &command.amendment_id])?;
        wants::money(command.value.as_ref(), 0)?;
        wants::times([command.promised_by])?;
        for line in &command.lines {
            wants::amount("unit_price", line.unit_price, 0)?;
        }
        let wants = wants::wants(&command.lines, 1, &self.stock)?;
        let content = wants::content(Content::new(), &wants).money(command.value.as_ref()).finish();
        let slot = self.kept(&command.order_id)?;
        let told = self.told(slot, &[ToldKind::Amendment], Some(&command.amendment_id), content)?;
        let again = match told {
            Ok(told) => Some(repeat(told.first_sequence)),
            Err(new) => {
                self.check_limits(slot, command.lines.len(), &wants)?;
                if !self.orders.view(slot).is_open() {
                    return Err(self.not_open(slot));
                }
                let lines = self.orders.view(slot).lines().len();
                turn.take_lines(2 * lines.max(wants.len()))?;
                let change = self.change(slot, &wants)?;
                self.check_more(slot, &change)?;

                // From here on it succeeds.
                self.keep_id(slot, new, turn);
                self.post_change(slot, &change, turn);
                self.orders.get_mut(slot).flags.set(Flags::AS_PLACED, false);
                self.replace_value(slot, command.value.as_ref());
                None
            }
        };
        turn.emit(&Decision::Amended {
            order_id: (&*command.order_id).into(),
            amendment_id: (&*command.amendment_id).into(),
            state: self.orders.view(slot).state(),
            repeat: again,
        });
        Ok(())
    }

    /// What an order gives up and what it gets by having so much of each SKU from now on.
    fn change<'c>(&self, slot: u32, wants: &[Want<'c>]) -> Result<Change<'c>, Refusal<'static>> {
        let view = self.orders.view(slot);
        let state = view.state();
        let lines = view.lines();
        let mut targets = vec![0_i64; lines.len()];
        let mut change = Change::default();
        let home = self.stock.get(lines[0].stock).site;
        for want in wants {
            let line = self.orders.line_of(slot, &self.stock, want.sku, want.hash);
            let Some(line) = line else {
                let stock = self.stock.find(home, want.sku, want.hash);
                change.more.push(More { sku: want.sku, line, stock, units: units(want.quantity) });
                continue;
            };
            targets[line] = want.quantity;
            let more = (want.quantity - kept(view, line)).max(0);
            if i64::from(lines[line].quantity) + more > QUANTITY_LIMIT_MAX {
                return Err(Refusal::of_order(Reason::InvalidQuantity, state));
            }
            if more > 0 {
                let stock = Some(lines[line].stock);
                change.more.push(More { sku: want.sku, line: Some(line), stock, units: units(more) });
            }
        }
        let new = change.more.iter().filter(|more| more.line.is_none()).count();
        if (lines.len() + new) as u64 > LINES_LIMIT_MAX.unsigned_abs() {
            return Err(Refusal::of_order(Reason::TooManyLines, state));
        }
        for (line, target) in targets.iter().enumerate() {
            let part = view.part(line);
            if *target < i64::from(part.gone()) {
                return Err(Refusal::of_order(Reason::AlreadyShipped, state));
            }
            let mut surplus = units((kept(view, line) - target).max(0));
            for bucket in [Bucket::Waiting, Bucket::Reserved] {
                surplus =
                    take(&mut change.given_up, line, (bucket, part.at(bucket)), Bucket::Cancelled, surplus);
            }
        }
        Ok(change)
    }

    /// Refuses what cannot be had, or would be more than policy allows.
    fn check_more<'c>(&self, slot: u32, change: &Change<'c>) -> Result<(), Refusal<'c>> {
        let view = self.orders.view(slot);
        let state = view.state();
        let refuse = |refusal: Refusal<'static>| Refusal { order_state: Some(state), ..refusal };
        let new_lines = change.more.iter().filter(|more| more.line.is_none()).count();
        if new_lines > 0 {
            self.check_open_lines(new_lines).map_err(refuse)?;
        }
        let waits = state == State::Waiting;
        let free =
            |more: &More<'_>| more.stock.map_or(0, |stock| self.stock.free(self.stock.get(stock)).max(0));
        let is_unknown = change.more.iter().any(|more| more.stock.is_none());
        if waits && !is_unknown {
            let units = change.more.iter().filter_map(|more| Some((more.stock?, more.units.into())));
            return self.check_waiting(units).map_err(refuse);
        }
        // One that waits needs no stock, but SKUs that are known.
        let short =
            |more: &&More<'_>| if waits { more.stock.is_none() } else { free(more) < i64::from(more.units) };
        let shortage = |more: &More<'c>| Shortage {
            sku: more.sku.into(),
            requested: more.units.into(),
            available: free(more),
        };
        let shortages: Vec<_> = change.more.iter().filter(short).map(shortage).collect();
        if shortages.is_empty() {
            return Ok(());
        }
        let reason = if is_unknown { Reason::UnknownSku } else { Reason::InsufficientStock };
        Err(Refusal { shortages, ..Refusal::of_order(reason, state) })
    }

    fn post_change(&mut self, slot: u32, change: &Change<'_>, turn: &Turn<'_>) {
        let parked = self.parked(slot);
        let to = if parked.is_some() { Bucket::Waiting } else { Bucket::Reserved };
        // One that asks for more queues last; it leaves before anything else is said of it.
        let queues_last = parked.filter(|_| !change.more.is_empty());
        if queues_last.is_some() {
            self.unpark(slot, turn.at);
        }
        let lines_before = self.orders.view(slot).lines().len();
        let mut movements = change.given_up.clone();
        for more in &change.more {
            let Some(stock) = more.stock else { continue };
            let line = more.line.unwrap_or_else(|| {
                self.stock.name(stock, 1, turn.at);
                self.orders.add_line(slot, stock)
            });
            movements.push(Movement { line, from: None, to, units: more.units });
        }
        let added = self.orders.view(slot).lines().len() - lines_before;
        self.orders.add_open_lines(added.cast_signed() as i64);
        self.post(slot, &movements, &[], turn.at);
        self.orders.sort_lines(slot, &self.stock);
        if let Some(parked) = queues_last {
            self.park_anew(slot, Parked { turn: turn.ticket(), ..parked }, turn);
        }
    }

    /// Parks an order that was placed last for waiting, at the first SKU that it is short of; it is looked at next if it is short of none.
    fn park_anew(&mut self, slot: u32, parked: Parked, turn: &Turn<'_>) {
        let view = self.orders.view(slot);
        let waits = |line: &usize| view.units(*line, Bucket::Waiting) > 0;
        let is_short = |line: &usize| {
            let wanted = i64::from(view.units(*line, Bucket::Waiting));
            wanted > self.stock.free(self.stock.get(view.lines()[*line].stock))
        };
        let lines = 0..view.lines().len();
        let line = lines.clone().filter(waits).find(is_short).or_else(|| lines.clone().find(waits));
        let Some(stock) = line.map(|line| view.lines()[line].stock) else { return };
        self.park(slot, stock, parked, turn.at);
        self.waiting.has_moved(stock, parked.turn);
    }
}

/// What an order has of a line: what is open, and what has left the site.
fn kept(view: View<'_>, line: usize) -> i64 {
    let part = view.part(line);
    i64::from(part.at(Bucket::Waiting)) + i64::from(part.at(Bucket::Reserved)) + i64::from(part.gone())
}

/// A quantity within the limits, as orders keep it.
fn units(quantity: i64) -> u32 {
    u32::try_from(quantity).expect("limited by policy to 1..=1,000,000,000")
}

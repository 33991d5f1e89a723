//! Waiting orders, and how they get their stock.
//!
//! A waiting order holds nothing. It is **parked** at one SKU: the first of its lines that it is short of. There it **claims** what it wants, unless
//! that is more than policy says: then it claims nothing, and shuts no shelf. It may have of a SKU what can be promised minus the claims of those
//! placed before it; a new order counts as placed last. So the turn of placing holds, and nobody is refused because a release is still being worked
//! off.
//!
//! Only who can have the SKU where it is parked is looked at as a whole: it gets its stock, or is parked at the next SKU that it is short of. Both leave
//! no more for those placed before it, so one walk in the order of placing, over all SKUs that have moved, is enough. Whoever may have gained something
//! is looked at before those behind it. So who claims of a SKU and stands before the one that is looked at is short there: the first claim alone is more
//! than there is, and nothing is left behind it.

use std::collections::{BTreeMap, BTreeSet};

use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::posting::{Movement, Movements};
use crate::folds::inventory::tables::order::{Bucket, Ticket};
use crate::folds::inventory::tables::sides::Parked;
use crate::folds::inventory::tables::stock::StockIndex;
use crate::words::outcome::Decision;
use crate::words::timestamp::Timestamp;

/// The orders parked at one SKU.
#[derive(Debug, Default)]
struct LineUp {
    /// By their turns.
    parked: BTreeMap<Ticket, u32>,
    /// What those claim that claim anything.
    claims: BTreeMap<Ticket, u32>,
    /// From which turn on they are to be looked at, if they are.
    moved: Option<Ticket>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    line_ups: BTreeMap<StockIndex, LineUp>,
    /// The SKUs that have moved, by the turns from which on orders are to be looked at.
    moved: BTreeSet<(Ticket, StockIndex)>,
    /// Every parked order by its turn.
    turns: BTreeMap<Ticket, u32>,
    /// From which turn on every order is to be looked at, if they are.
    all_moved: Option<Ticket>,
}

impl Waiting {
    pub(crate) fn has_releases(&self) -> bool {
        !self.moved.is_empty() || self.all_moved.is_some()
    }

    pub(crate) fn count(&self) -> usize {
        self.turns.len()
    }

    /// Takes note that orders parked at a SKU may have it now, from a turn on.
    pub(crate) fn has_moved(&mut self, stock: StockIndex, from: Ticket) {
        let Some(line_up) = self.line_ups.get_mut(&stock) else { return };
        if let Some(before) = line_up.moved {
            if before <= from {
                return;
            }
            self.moved.remove(&(before, stock));
        }
        line_up.moved = Some(from);
        self.moved.insert((from, stock));
    }

    /// Takes note that every order may have what it waits for.
    pub(crate) fn all_have_moved(&mut self) {
        if !self.turns.is_empty() {
            self.all_moved = Some(Ticket::default());
        }
    }

    /// A SKU is not to be looked at any more.
    fn settle(&mut self, stock: StockIndex) {
        if let Some(from) = self.line_ups.get_mut(&stock).and_then(|line_up| line_up.moved.take()) {
            self.moved.remove(&(from, stock));
        }
    }

    /// The next order to be looked at: the one placed first.
    fn next(&mut self) -> Option<u32> {
        loop {
            let by_stock = self.moved.first().copied();
            let by_turn =
                self.all_moved.map(|from| self.turns.range(from..).next().map(|(turn, slot)| (*turn, *slot)));
            match (by_stock, by_turn) {
                (None, Some(None)) => self.all_moved = None,
                (_, Some(Some((turn, slot)))) if by_stock.is_none_or(|(from, _)| turn <= from) => {
                    self.all_moved = Some(turn.next());
                    return Some(slot);
                }
                (None, None | Some(Some(_))) => return None,
                (Some((from, stock)), _) => {
                    let line_up = self.line_ups.get(&stock);
                    let behind = line_up
                        .and_then(|it| it.parked.range(from..).next().map(|(turn, slot)| (*turn, *slot)));
                    self.settle(stock);
                    match behind {
                        None => {}
                        // Another SKU's may come before it.
                        Some((turn, _)) if turn > from => self.has_moved(stock, turn),
                        Some((turn, slot)) => {
                            self.has_moved(stock, turn.next());
                            return Some(slot);
                        }
                    }
                }
            }
        }
    }

    /// Whether somebody placed before a turn claims some of a SKU: then nothing is left of it.
    fn is_claimed_before(&self, stock: StockIndex, turn: Ticket) -> bool {
        self.line_ups.get(&stock).is_some_and(|line_up| line_up.claims.range(..turn).next().is_some())
    }

    /// What a snapshot holds of it, once more.
    pub(crate) fn share(&self) -> Self {
        Self { moved: self.moved.clone(), all_moved: self.all_moved, ..Self::default() }
    }

    /// For snapshots: from which turns on orders parked at a SKU are to be looked at, SKU by SKU.
    pub(crate) fn moved(&self) -> impl Iterator<Item = (Ticket, StockIndex)> {
        self.moved.iter().copied()
    }

    /// For snapshots: from which turn on every order is to be looked at.
    pub(crate) const fn all_moved(&self) -> Option<Ticket> {
        self.all_moved
    }

    /// For snapshots.
    pub(crate) const fn restore_all_moved(&mut self, from: Option<Ticket>) {
        self.all_moved = from;
    }

    /// For snapshots: whether an order with this turn waits.
    pub(crate) fn has_turn(&self, turn: Ticket) -> bool {
        self.turns.contains_key(&turn)
    }

    /// For snapshots: whether orders are parked at a SKU, and it has not been said to have moved.
    pub(crate) fn has_not_moved(&self, stock: StockIndex) -> bool {
        self.line_ups.get(&stock).is_some_and(|line_up| line_up.moved.is_none())
    }
}

impl Inventory {
    /// Parks an order at a SKU, with the turn that it has.
    pub(crate) fn park(&mut self, slot: u32, stock: StockIndex, parked: Parked, now: Timestamp) {
        let wanted = self.waits_for(slot, stock);
        let claim = if i64::from(wanted) > self.policy.claim_units_max { 0 } else { wanted };
        self.park_with(slot, Parked { stock, claim, ..parked }, now);
    }

    /// Parks an order with the claim that it has.
    pub(crate) fn park_with(&mut self, slot: u32, parked: Parked, now: Timestamp) {
        let Parked { stock, claim, turn, .. } = parked;
        self.orders.more_mut(slot).parked = Some(parked);
        let line_up = self.waiting.line_ups.entry(stock).or_default();
        line_up.parked.insert(turn, slot);
        if claim > 0 {
            line_up.claims.insert(turn, claim);
        }
        self.waiting.turns.insert(turn, slot);
        self.stock.claim(stock, claim.into(), now);
        self.stock.set_parked(stock, true, now);
    }

    /// Takes an order out of the line-up that it stands in; those behind it may have what it claimed.
    pub(crate) fn unpark(&mut self, slot: u32, now: Timestamp) -> Option<Parked> {
        let parked = self.orders.more_mut(slot).parked.take();
        self.orders.tidy(slot);
        let Parked { stock, claim, turn, .. } = parked?;
        self.waiting.turns.remove(&turn);
        let line_up = self.waiting.line_ups.get_mut(&stock)?;
        line_up.parked.remove(&turn);
        line_up.claims.remove(&turn);
        if line_up.parked.is_empty() {
            self.waiting.settle(stock);
            self.waiting.line_ups.remove(&stock);
            self.stock.set_parked(stock, false, now);
        } else if claim > 0 {
            self.waiting.has_moved(stock, turn);
        }
        self.stock.claim(stock, -i64::from(claim), now);
        parked
    }

    /// Gives waiting orders their stock, as far as the message's budget goes.
    pub(crate) fn work_off_releases(&mut self, turn: &mut Turn<'_>) {
        while turn.budget.outcomes > 0 && turn.budget.looks > 0 {
            let Some(slot) = self.waiting.next() else { return };
            self.look_at(slot, turn);
        }
    }

    /// Looks at a waiting order: if it can have the SKU where it is parked, it gets its stock, or is parked elsewhere.
    fn look_at(&mut self, slot: u32, turn: &mut Turn<'_>) {
        turn.take_looks(1);
        let Some(parked) = self.parked(slot) else { return };
        let wanted = self.waits_for(slot, parked.stock);
        let can_have = self.stock.unclaimed(parked.stock);
        let is_claimed = self.waiting.is_claimed_before(parked.stock, parked.turn);
        if is_claimed || i64::from(wanted) > can_have {
            if is_claimed || can_have <= 0 {
                // Nothing is left for anybody behind it either.
                self.waiting.settle(parked.stock);
            }
            return;
        }
        let count = self.orders.view(slot).lines().len();
        let short = self.first_short(slot, parked.turn);
        turn.take_looks(count);
        match short {
            Some(stock) => {
                self.unpark(slot, turn.at);
                self.park(slot, stock, parked, turn.at);
            }
            None => self.release(slot, parked, turn),
        }
    }

    /// The first SKU that a waiting order is short of.
    fn first_short(&self, slot: u32, ticket: Ticket) -> Option<StockIndex> {
        let view = self.orders.view(slot);
        let is_short = |(number, stock): (usize, StockIndex)| {
            let wanted = i64::from(view.units(number, Bucket::Waiting));
            wanted > 0
                && (wanted > self.stock.unclaimed(stock) || self.waiting.is_claimed_before(stock, ticket))
        };
        let mut lines = view.lines().iter().map(|line| line.stock).enumerate();
        lines.find(|line| is_short(*line)).map(|(_, stock)| stock)
    }

    /// Gives a waiting order its stock.
    fn release(&mut self, slot: u32, parked: Parked, turn: &mut Turn<'_>) {
        let view = self.orders.view(slot);
        let movements: Movements = (0..view.lines().len())
            .map(|line| (line, view.units(line, Bucket::Waiting)))
            .filter(|(_, units)| *units > 0)
            .map(|(line, units)| Movement { line, from: Some(Bucket::Waiting), to: Bucket::Reserved, units })
            .collect();
        self.post(slot, &movements, &[], turn.at);
        let pay_by = self.hold(slot, parked.pay_within_ms, turn.at);
        turn.budget.outcomes -= 1;
        let order = self.orders.get(slot);
        turn.emit(&Decision::Confirmed {
            order_id: self.orders.id(order).into(),
            pay_by,
            lines: parked
                .first_site
                .map_or_else(Vec::new, |first| self.site_lines(first, slot, Some(Bucket::Reserved))),
            shortages: Vec::new(),
            released: true,
            repeat: None,
        });
    }
}

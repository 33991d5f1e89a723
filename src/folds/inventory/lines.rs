//! What a command about an order acts on: which order, which of its lines, how many of each.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::Inventory;
use super::ahead::Seen;
use super::order::{Order, Part};
use super::orders::{Found, Slot};
use super::refusal::Refusal;
use super::validate::{self, Want};
use crate::words::command::Line;
use crate::words::outcome::{Reason, State};

/// How many units of each of an order's lines; 0 where a line is left alone.
pub(super) type Amounts = SmallVec<[u32; 4]>;

impl Inventory {
    /// The order under an id, refusing those that are unknown or closed.
    pub(super) fn kept(&self, order_id: &str) -> Result<Slot, Refusal<'static>> {
        match self.orders.find(order_id) {
            Found::Kept(slot) => Ok(slot),
            Found::Unknown => Err(Refusal::new(Reason::UnknownOrder)),
            Found::Closed(closed) => Err(Refusal::of_order(
                match closed.state {
                    State::Refused => Reason::OrderRefused,
                    State::Cancelled => Reason::AlreadyCancelled,
                    State::Expired => Reason::OrderExpired,
                    _ => Reason::OrderClosed,
                },
                closed.state,
            )),
        }
    }

    /// The amounts that a command names, line by line of the order.
    pub(super) fn amounts(&self, slot: Slot, lines: &[Line<'_>]) -> Result<Amounts, Refusal<'static>> {
        let wants = validate::wants(lines, 1, &self.stock, &Seen::default())?;
        validate::limits(lines.len(), &wants, &self.policy)?;
        self.amounts_of(slot, &wants)
    }

    pub(super) fn amounts_of(&self, slot: Slot, wants: &[Want<'_>]) -> Result<Amounts, Refusal<'static>> {
        let order = self.orders.get(slot);
        let mut amounts: Amounts = order.lines().iter().map(|_| 0).collect();
        let places: BTreeMap<_, _> =
            order.lines().iter().enumerate().map(|(place, line)| (line.stock, place)).collect();
        for want in wants {
            let stock = self.stock.find(self.stock.site_of(order), want.sku, want.hash);
            let Some(&place) = stock.and_then(|stock| places.get(&stock)) else {
                return Err(Refusal::of_order(Reason::NotInOrder, order.state()));
            };
            let Some(amount) =
                u32::try_from(want.quantity).ok().filter(|amount| *amount <= order.lines()[place].quantity)
            else {
                return Err(Refusal::of_order(Reason::ExceedsRemaining, order.state()));
            };
            amounts[place] = amount;
        }
        Ok(amounts)
    }

    /// The lines that `amounts` stands for, for an outcome; none where it is the whole order.
    pub(super) fn lines_of(&self, order: &Order, amounts: &[u32]) -> Vec<Line<'_>> {
        if order.lines().iter().zip(amounts).all(|(line, amount)| line.quantity == *amount) {
            return Vec::new();
        }
        order
            .lines()
            .iter()
            .zip(amounts)
            .filter(|(_, amount)| **amount > 0)
            .map(|(line, amount)| Line {
                sku: self.stock.get(line.stock).sku.as_str().into(),
                quantity: i64::from(*amount),
            })
            .collect()
    }
}

/// All that `of` gives of each line.
pub(super) fn all(order: &Order, of: impl Fn(&Part) -> u32) -> Amounts {
    order.parts().iter().map(of).collect()
}

pub(super) fn is_nothing(amounts: &[u32]) -> bool {
    amounts.iter().all(|amount| *amount == 0)
}

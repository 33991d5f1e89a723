//! What became of each order, one way and the other.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::folds::analytics::{Quantiles, Record, order_hash};
use crate::folds::inventory::Totals;
use crate::words::command::Command;
use crate::words::outcome::{Decision, Reason, State};

/// Orders that are compared; those beyond are counted. About 150 bytes each.
const ORDERS_MAX: usize = 8_000_000;

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Refused(Reason),
    Waits,
    Confirmed,
    /// Confirmed after it had waited.
    Released,
    Expired,
    Cancelled,
}

impl Fate {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Refused(reason) => reason.code(),
            Self::Waits => "waits",
            Self::Confirmed => "confirmed",
            Self::Released => "confirmed_later",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One way of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) fate: Fate,
    /// Whether it ever had its stock.
    pub(super) had_stock: bool,
    placed_ms: i64,
    /// How long it waited, where it did and that is over.
    pub(super) waited_ms: Option<i64>,
}

/// One order.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) id: Box<str>,
    pub(super) value_minor: u64,
    currency: Box<str>,
    /// As it was, and the other way.
    pub(super) lives: [Option<Life>; 2],
}

/// All orders.
#[derive(Debug, Default)]
pub(super) struct Fates {
    orders: BTreeMap<u64, Order>,
    pub(super) not_compared: u64,
}

/// Sums over one way.
#[derive(Debug, Default)]
struct Sums {
    orders: u64,
    confirmed: u64,
    confirmed_later: u64,
    waiting: u64,
    expired: u64,
    cancelled: u64,
    refused: BTreeMap<&'static str, u64>,
    confirmed_value: BTreeMap<String, u64>,
    refused_value: BTreeMap<String, u64>,
    waits: Quantiles,
}

impl Fates {
    /// Takes in a record of one way.
    pub(super) fn take(&mut self, way: usize, record: &Record<'_, '_>) {
        let at_ms = record.at.millis();
        for outcome in record.outcomes {
            match (&outcome.decision, record.command) {
                (
                    Decision::Confirmed { order_id, released: false, repeat: None, .. },
                    Some(Command::Place(place)),
                ) => self.placed(way, order_id, place, Fate::Confirmed, at_ms),
                (Decision::Waiting { order_id, repeat: None, .. }, Some(Command::Place(place))) => {
                    self.placed(way, order_id, place, Fate::Waits, at_ms);
                }
                (Decision::Refused { reason, repeat: None, .. }, Some(Command::Place(place))) => {
                    self.placed(way, &place.order_id, place, Fate::Refused(*reason), at_ms);
                }
                (Decision::Confirmed { order_id, released: true, .. }, _) => {
                    self.moved(way, order_id, Fate::Released, at_ms);
                }
                (Decision::Expired { order_id, state: State::Expired, .. }, _) => {
                    self.moved(way, order_id, Fate::Expired, at_ms);
                }
                (Decision::Cancelled { order_id, state: State::Cancelled, repeat: None, .. }, _) => {
                    self.moved(way, order_id, Fate::Cancelled, at_ms);
                }
                _ => {}
            }
        }
    }

    fn placed(
        &mut self,
        way: usize,
        order_id: &str,
        place: &crate::words::command::Place<'_>,
        fate: Fate,
        at_ms: i64,
    ) {
        let id = order_hash(order_id);
        if !self.orders.contains_key(&id) && self.orders.len() >= ORDERS_MAX {
            self.not_compared += u64::from(way == 0);
            return;
        }
        let order = self.orders.entry(id).or_insert_with(|| Order {
            id: order_id.into(),
            value_minor: place.value.as_ref().map_or(0, |value| value.minor.max(0).unsigned_abs()),
            currency: place.value.as_ref().map_or("", |value| &value.currency).into(),
            lives: [None, None],
        });
        // What was refused for its form, and sent again, counts as it came out.
        let life = &mut order.lives[way];
        if life.is_none_or(|life| matches!(life.fate, Fate::Refused(_)) && !matches!(fate, Fate::Refused(_)))
        {
            let had_stock = fate == Fate::Confirmed;
            *life = Some(Life { fate, had_stock, placed_ms: at_ms, waited_ms: None });
        }
    }

    fn moved(&mut self, way: usize, order_id: &str, fate: Fate, at_ms: i64) {
        let order = self.orders.get_mut(&order_hash(order_id));
        let Some(life) = order.and_then(|order| order.lives[way].as_mut()) else { return };
        if life.fate == Fate::Waits {
            life.waited_ms = Some((at_ms - life.placed_ms).max(0));
        }
        life.had_stock |= fate == Fate::Released;
        life.fate = fate;
    }

    /// The orders whose fates differ, those worth most first.
    pub(super) fn differing(&self) -> Vec<&Order> {
        let fate = |life: &Option<Life>| life.map(|life| (life.fate, life.had_stock));
        let differs = |order: &&Order| fate(&order.lives[0]) != fate(&order.lives[1]);
        let mut orders: Vec<&Order> = self.orders.values().filter(differs).collect();
        orders.sort_by(|left, right| {
            right.value_minor.cmp(&left.value_minor).then_with(|| left.id.cmp(&right.id))
        });
        orders
    }

    /// The sums over one way, with the stock that it ends with.
    pub(super) fn sums(&self, way: usize, totals: &Totals) -> Value {
        let mut sums = Sums::default();
        for order in self.orders.values() {
            let Some(life) = order.lives[way] else { continue };
            sums.orders += 1;
            match life.fate {
                Fate::Refused(reason) => {
                    *sums.refused.entry(reason.code()).or_default() += 1;
                    let of = sums.refused_value.entry(order.currency.to_string()).or_default();
                    *of = of.saturating_add(order.value_minor);
                }
                Fate::Waits => sums.waiting += 1,
                Fate::Expired => sums.expired += 1,
                Fate::Cancelled => sums.cancelled += 1,
                Fate::Confirmed | Fate::Released => {}
            }
            if life.had_stock {
                sums.confirmed += 1;
                let of = sums.confirmed_value.entry(order.currency.to_string()).or_default();
                *of = of.saturating_add(order.value_minor);
            }
            sums.confirmed_later += u64::from(life.had_stock && life.waited_ms.is_some());
            if let Some(waited_ms) = life.waited_ms {
                sums.waits.take(waited_ms);
            }
        }
        let hours = |quantile| sums.waits.quantile(quantile).map(|ms| (ms / 36_000.0).round() / 100.0);
        json!({
            "orders": sums.orders,
            "confirmed": sums.confirmed,
            "confirmed_after_waiting": sums.confirmed_later,
            "waiting": sums.waiting,
            "expired": sums.expired,
            "cancelled": sums.cancelled,
            "refused": sums.refused.values().sum::<u64>(),
            "refused_by_reason": sums.refused,
            "confirmed_value_minor": sums.confirmed_value,
            "refused_value_minor": sums.refused_value,
            "waited_hours_p50": hours(0.5),
            "waited_hours_p90": hours(0.9),
            "units_on_hand": totals.stock.on_hand,
            "units_reserved": totals.stock.reserved,
            "skus_out_of_stock": totals.stock.out_of_stock,
        })
    }
}

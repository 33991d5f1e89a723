//! Ids of an order's facts: a retry is told by them. They are kept with their order, as long as it is.

use super::refusal::Refusal;
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::tables::orders::Found;
use crate::folds::inventory::tables::sides::{Told, ToldKind};
use crate::words::outcome::{Reason, Repeat, State, True};

/// The most ids of facts that one order keeps: adding one moves the others, which must be few.
const TOLD_MAX: usize = 1_000;

/// An id that a fact brings, which its order does not know yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewId {
    kind: ToldKind,
    id: u64,
    content: u64,
    /// Where it goes among those that the order has.
    place: usize,
}

/// What a repeated fact is answered with, where its outcome has a state of its own.
pub(crate) const fn repeat(first_sequence: u64) -> Repeat {
    Repeat { duplicate: True, first_sequence, state: None }
}

impl Inventory {
    /// The order under an id, refusing those that are unknown or closed.
    pub(crate) fn kept(&self, order_id: &str) -> Result<u32, Refusal<'static>> {
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

    /// The fact that an order was told under an id before; or else where the id goes, if there is one. `kinds` are those that share
    /// the id's namespace.
    pub(crate) fn told(
        &self,
        slot: u32,
        kinds: &[ToldKind],
        id: Option<&str>,
        content: u64,
    ) -> Result<Result<Told, Option<NewId>>, Refusal<'static>> {
        let Some(id) = id else { return Ok(Err(None)) };
        let id = self.orders.fact_hash(id);
        let view = self.orders.view(slot);
        let told = view.side.and_then(|side| side.more.as_ref()).map_or(&[][..], |more| &more.told);
        for kind in kinds {
            let place = told.partition_point(|known| (known.kind, known.id) < (*kind, id));
            match told.get(place) {
                Some(known) if (known.kind, known.id) == (*kind, id) => {
                    return if known.content == content {
                        Ok(Ok(*known))
                    } else {
                        Err(Refusal::of_order(Reason::IdConflict, view.state()))
                    };
                }
                _ => {}
            }
        }
        if told.len() >= TOLD_MAX {
            return Err(Refusal::of_order(Reason::TooManyFacts, view.state()));
        }
        if self.orders.told_count() >= self.policy.order_facts_max.unsigned_abs() {
            return Err(Refusal::of_order(Reason::Busy, view.state()));
        }
        let kind = kinds[0];
        let place = told.partition_point(|known| (known.kind, known.id) < (kind, id));
        Ok(Err(Some(NewId { kind, id, content, place })))
    }

    /// Keeps the id of a fact with its order.
    pub(crate) fn keep_id(&mut self, slot: u32, new: Option<NewId>, turn: &Turn<'_>) {
        let Some(NewId { kind, id, content, place }) = new else { return };
        let told = Told { kind, id, content, first_sequence: turn.sequence() };
        self.orders.more_mut(slot).told.insert(place, told);
        self.orders.add_told(1);
    }

    /// The same for a payment, which is kept by whether it settled the order.
    pub(crate) fn keep_payment(&mut self, slot: u32, new: Option<NewId>, kind: ToldKind, turn: &Turn<'_>) {
        let Some(NewId { id, content, .. }) = new else { return };
        let view = self.orders.view(slot);
        let told = view.side.and_then(|side| side.more.as_ref()).map_or(&[][..], |more| &more.told);
        let place = told.partition_point(|known| (known.kind, known.id) < (kind, id));
        self.keep_id(slot, Some(NewId { kind, id, content, place }), turn);
    }
}

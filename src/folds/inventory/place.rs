//! Placing an order: the decision that all else is about.

use std::collections::BTreeMap;

use super::Inventory;
use super::ahead::Seen;
use super::content::Content;
use super::order::{Order, OrderLine, OrderLines, Stage};
use super::orders::{Closed, FirstOutcome, Found};
use super::output::Turn;
use super::refusal::Refusal;
use super::validate::{self, Checked, Want};
use crate::words::command::{ATTRIBUTES_MAX, CommandKind, OnShortage, Place};
use crate::words::outcome::{Decision, Reason, Repeat, Shortage, State, Subject, True};
use crate::words::policy::SITE_DEFAULT;
use crate::words::text::is_id;
use compact_str::CompactString;

/// An order that nothing is known of yet.
struct Fresh {
    /// The hash of its id.
    hash: u64,
    /// The hash of its deciding fields.
    content: u64,
}

impl Inventory {
    pub(super) fn place<'c>(
        &mut self,
        command: &'c Place<'_>,
        seen: &Seen,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        check_shape(command)?;
        let mut wants = validate::wants(&command.lines, 1, &self.stock, seen)?;
        let site_name = command.site.as_deref().unwrap_or(SITE_DEFAULT);
        let content =
            Content::new().text(site_name).number(command.on_shortage as u64).wants(&wants).finish();
        let hash = seen.order_hash(&self.orders, &command.order_id);
        if let Some(first) = self.first_outcome(&command.order_id, hash, content, &wants)? {
            turn.emit(&first);
            return Ok(());
        }
        if let (Some(submitted), Some(forgotten)) = (command.submitted_at, self.orders.forgotten_until())
            && submitted <= forgotten
        {
            return Err(Refusal::new(Reason::TooOld));
        }
        let site = self.sites.find(command.site.as_deref())?;
        validate::limits(command.lines.len(), &wants, &self.policy)?;
        if self.orders.open_count() as u64 >= self.policy.open_orders_max.unsigned_abs() {
            return Err(Refusal::new(Reason::Busy));
        }

        let fresh = Fresh { hash, content };
        let (mut unknown, mut short) = (false, false);
        for want in &mut wants {
            want.stock = want.stock.or_else(|| self.stock.find(site, want.sku, want.hash));
            want.free = want.stock.map_or(0, |stock| self.unclaimed(stock));
            unknown |= want.stock.is_none();
            short |= want.is_short();
        }
        match command.on_shortage {
            OnShortage::Backorder if short && !unknown => self.wait(command, &fresh, &wants, turn),
            OnShortage::Partial if wants.iter().any(|want| want.free > 0) => {
                self.confirm(command, &fresh, &wants, turn);
            }
            _ if short => {
                let reason = if unknown { Reason::UnknownSku } else { Reason::InsufficientStock };
                self.refuse_order(command, &fresh, reason, &wants, turn);
            }
            _ => self.confirm(command, &fresh, &wants, turn),
        }
        Ok(())
    }

    fn confirm(&mut self, command: &Place<'_>, fresh: &Fresh, wants: &[Want<'_>], turn: &mut Turn<'_>) {
        let mut lines = OrderLines::with_capacity(wants.len());
        for want in wants {
            let quantity = want.quantity.min(want.free);
            if let (Some(stock), 1..) = (want.stock, quantity) {
                self.reserve(stock, quantity);
                lines.push(OrderLine { stock, quantity: units(quantity) });
            }
        }
        let order = Order::new(
            CompactString::from(&*command.order_id),
            fresh.content,
            (turn.sequence(), turn.index()),
            &lines,
            Stage::Reserved,
            turn.at,
        );
        let slot = self.orders.insert(order, fresh.hash);
        let pay_by = self.hold(slot, turn.at);
        turn.emit(&Decision::Confirmed {
            order_id: (&*command.order_id).into(),
            pay_by,
            shortages: shortages(wants),
            released: false,
            repeat: None,
        });
    }

    fn wait(&mut self, command: &Place<'_>, fresh: &Fresh, wants: &[Want<'_>], turn: &mut Turn<'_>) {
        let lines = wants
            .iter()
            .filter_map(|want| Some(OrderLine { stock: want.stock?, quantity: units(want.quantity) }));
        let lines: OrderLines = lines.collect();
        let order = Order::new(
            CompactString::from(&*command.order_id),
            fresh.content,
            (turn.sequence(), turn.index()),
            &lines,
            Stage::Waiting,
            turn.at,
        );
        let slot = self.orders.insert(order, fresh.hash);
        let first_short = wants.iter().find(|want| want.is_short());
        if let Some(stock) = first_short.and_then(|want| want.stock) {
            self.park(slot, stock);
        }
        turn.emit(&Decision::Waiting {
            order_id: (&*command.order_id).into(),
            sku: first_short.map(|want| want.sku.into()),
            shortages: shortages(wants),
            repeat: None,
        });
    }

    /// Refuses an order for want of stock, and remembers it: a retry gets the same answer, whatever has arrived since.
    fn refuse_order(
        &mut self,
        command: &Place<'_>,
        fresh: &Fresh,
        reason: Reason,
        wants: &[Want<'_>],
        turn: &mut Turn<'_>,
    ) {
        let closed = Closed {
            id: CompactString::from(&*command.order_id),
            content: fresh.content,
            first_sequence: turn.sequence(),
            first: FirstOutcome::Refused(reason),
            state: State::Refused,
            at: turn.at,
        };
        self.orders.insert_closed(closed, fresh.hash);
        let refusal = Refusal { shortages: shortages(wants), ..Refusal::new(reason) };
        let subject = Subject::OrderId((&*command.order_id).into());
        turn.emit(&refusal.into_decision(CommandKind::Place, Some(subject)));
    }

    /// The outcome that was given under this id before, as a repeat.
    fn first_outcome<'c>(
        &self,
        order_id: &'c str,
        hash: u64,
        content: u64,
        wants: &[Want<'c>],
    ) -> Result<Option<Decision<'c>>, Refusal<'static>> {
        let (known, first_sequence, first, state, kept) = match self.orders.find_hashed(order_id, hash) {
            Found::Unknown => return Ok(None),
            Found::Kept(slot) => {
                let order = self.orders.get(slot);
                let first = if order.waited { FirstOutcome::Waiting } else { FirstOutcome::Confirmed };
                (order.content, order.first_sequence, first, order.state(), Some(order))
            }
            Found::Closed(closed) => {
                (closed.content, closed.first_sequence, closed.first, closed.state, None)
            }
        };
        if known != content {
            return Err(Refusal::of_order(Reason::IdConflict, state));
        }
        let order_id = order_id.into();
        let repeat = Some(Repeat { duplicate: True, first_sequence, state: Some(state) });
        Ok(Some(match first {
            FirstOutcome::Confirmed => Decision::Confirmed {
                order_id,
                pay_by: kept.and_then(Order::pay_by),
                shortages: kept.map_or_else(Vec::new, |order| self.first_shortages(order, wants)),
                released: false,
                repeat,
            },
            FirstOutcome::Waiting => Decision::Waiting {
                order_id,
                sku: kept
                    .and_then(Order::parked_at)
                    .map(|stock| self.stock.get(stock).sku.to_string().into()),
                shortages: Vec::new(),
                repeat,
            },
            FirstOutcome::Refused(reason) => Decision::Refused {
                command: CommandKind::Place,
                subject: Some(Subject::OrderId(order_id)),
                reason,
                detail: None,
                shortages: Vec::new(),
                order_state: None,
                repeat,
            },
        }))
    }

    /// What a confirmed order did not get of what it wanted.
    fn first_shortages<'c>(&self, order: &Order, wants: &[Want<'c>]) -> Vec<Shortage<'c>> {
        let got: BTreeMap<_, _> =
            order.lines().iter().map(|line| (line.stock, i64::from(line.quantity))).collect();
        wants
            .iter()
            .filter_map(|want| {
                let stock = self.stock.find(self.stock.site_of(order), want.sku, want.hash);
                let available = stock.and_then(|stock| got.get(&stock).copied()).unwrap_or(0);
                (available < want.quantity).then(|| Shortage {
                    sku: want.sku.into(),
                    requested: want.quantity,
                    available,
                })
            })
            .collect()
    }
}

fn check_shape(command: &Place<'_>) -> Checked {
    validate::ids([&command.order_id])?;
    validate::times([command.submitted_at, command.ship_by, command.promised_by])?;
    let currency = command.value.as_ref().map(|value| &value.currency);
    validate::texts([
        ("carrier", command.carrier.as_ref()),
        ("customer", command.customer.as_ref()),
        ("currency", currency),
        ("site", command.site.as_ref()),
    ])?;
    let attributes = &command.attributes.0;
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(Refusal::detailed(Reason::InvalidValue, "more than 16 attributes"));
    }
    if attributes.iter().any(|(key, value)| !is_id(key) || (!value.is_empty() && !is_id(value))) {
        return Err(Refusal::detailed(
            Reason::InvalidValue,
            "attributes are at most 64 bytes each, without control characters",
        ));
    }
    Ok(())
}

fn shortages<'c>(wants: &[Want<'c>]) -> Vec<Shortage<'c>> {
    if !wants.iter().any(Want::is_short) {
        return Vec::new();
    }
    wants
        .iter()
        .filter(|want| want.is_short())
        .map(|want| Shortage { sku: want.sku.into(), requested: want.quantity, available: want.free })
        .collect()
}

/// A quantity within the limits, as orders keep it.
fn units(quantity: i64) -> u32 {
    u32::try_from(quantity).expect("limited by policy to 1..=1,000,000,000")
}

//! Placing an order: the decision that all else is about.

use std::collections::BTreeMap;

use compact_str::CompactString;
use smallvec::SmallVec;

use super::Inventory;
use super::content::Content;
use super::order::{Order, OrderLine, Stage};
use super::orders::{Closed, FirstOutcome, Found};
use super::output::Turn;
use super::refusal::Refusal;
use super::stock::{SiteIndex, StockIndex};
use super::validate::{self, Checked, Want};
use crate::words::command::{ATTRIBUTES_MAX, CommandKind, OnShortage, Place};
use crate::words::outcome::{Decision, Reason, Repeat, Shortage, State, Subject, True};
use crate::words::policy::SITE_DEFAULT;
use crate::words::text::is_id;

/// A line of an order on its way to a decision: what is wanted, where it lies, how much of it can be had.
struct Claim<'c> {
    want: Want<'c>,
    stock: Option<StockIndex>,
    free: i64,
}

impl Claim<'_> {
    const fn is_short(&self) -> bool {
        self.free < self.want.quantity
    }
}

impl Inventory {
    pub(super) fn place<'c>(
        &mut self,
        command: &'c Place<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        check_shape(command)?;
        let wants = validate::wants(&command.lines, 1, &self.stock)?;
        let site_name = command.site.as_deref().unwrap_or(SITE_DEFAULT);
        let content =
            Content::new().text(site_name).number(command.on_shortage as u64).wants(&wants).finish();
        if let Some(first) = self.first_outcome(&command.order_id, content, &wants)? {
            turn.emit(first);
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

        let claims: SmallVec<[Claim<'_>; 4]> = wants.iter().map(|want| self.claim(site, *want)).collect();
        let unknown = claims.iter().any(|claim| claim.stock.is_none());
        let short = claims.iter().any(Claim::is_short);
        match command.on_shortage {
            OnShortage::Backorder if short && !unknown => self.wait(command, site, content, &claims, turn),
            OnShortage::Partial if claims.iter().any(|claim| claim.free > 0) => {
                self.confirm(command, site, content, &claims, turn);
            }
            _ if short => {
                let reason = if unknown { Reason::UnknownSku } else { Reason::InsufficientStock };
                self.refuse_order(command, content, reason, &claims, turn);
            }
            _ => self.confirm(command, site, content, &claims, turn),
        }
        Ok(())
    }

    fn claim<'c>(&mut self, site: SiteIndex, want: Want<'c>) -> Claim<'c> {
        let stock = self.stock.find(site, want.sku, want.hash);
        Claim { want, stock, free: stock.map_or(0, |stock| self.unclaimed(stock)) }
    }

    fn confirm(
        &mut self,
        command: &Place<'_>,
        site: SiteIndex,
        content: u64,
        claims: &[Claim<'_>],
        turn: &mut Turn<'_>,
    ) {
        let mut lines = SmallVec::with_capacity(claims.len());
        for claim in claims {
            let quantity = claim.want.quantity.min(claim.free);
            if let (Some(stock), 1..) = (claim.stock, quantity) {
                self.reserve(stock, quantity);
                lines.push(OrderLine { stock, quantity: units(quantity) });
            }
        }
        let slot = self.orders.insert(Order::new(
            CompactString::from(&*command.order_id),
            content,
            (turn.sequence(), turn.index()),
            site,
            lines,
            Stage::Reserved,
            turn.at,
        ));
        self.hold(slot, turn.at);
        turn.emit(Decision::Confirmed {
            order_id: (&*command.order_id).into(),
            pay_by: self.orders.get(slot).pay_by(),
            shortages: shortages(claims),
            released: false,
            repeat: None,
        });
    }

    fn wait(
        &mut self,
        command: &Place<'_>,
        site: SiteIndex,
        content: u64,
        claims: &[Claim<'_>],
        turn: &mut Turn<'_>,
    ) {
        let lines = claims.iter().filter_map(|claim| {
            Some(OrderLine { stock: claim.stock?, quantity: units(claim.want.quantity) })
        });
        let slot = self.orders.insert(Order::new(
            CompactString::from(&*command.order_id),
            content,
            (turn.sequence(), turn.index()),
            site,
            lines.collect(),
            Stage::Waiting,
            turn.at,
        ));
        let first_short = claims.iter().find(|claim| claim.is_short());
        if let Some(stock) = first_short.and_then(|claim| claim.stock) {
            self.park(slot, stock);
        }
        turn.emit(Decision::Waiting {
            order_id: (&*command.order_id).into(),
            sku: first_short.map(|claim| claim.want.sku.into()),
            shortages: shortages(claims),
            repeat: None,
        });
    }

    /// Refuses an order for want of stock, and remembers it: a retry gets the same answer, whatever has arrived since.
    fn refuse_order(
        &mut self,
        command: &Place<'_>,
        content: u64,
        reason: Reason,
        claims: &[Claim<'_>],
        turn: &mut Turn<'_>,
    ) {
        self.orders.insert_closed(Closed {
            id: CompactString::from(&*command.order_id),
            content,
            first_sequence: turn.sequence(),
            first: FirstOutcome::Refused(reason),
            state: State::Refused,
            at: turn.at,
        });
        let refusal = Refusal { shortages: shortages(claims), ..Refusal::new(reason) };
        let subject = Subject::OrderId((&*command.order_id).into());
        turn.emit(refusal.into_decision(CommandKind::Place, Some(subject)));
    }

    /// The outcome that was given under this id before, as a repeat.
    fn first_outcome<'c>(
        &self,
        order_id: &'c str,
        content: u64,
        wants: &[Want<'c>],
    ) -> Result<Option<Decision<'c>>, Refusal<'static>> {
        let (known, first_sequence, first, state, kept) = match self.orders.find(order_id) {
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
            order.lines.iter().map(|line| (line.stock, i64::from(line.quantity))).collect();
        wants
            .iter()
            .filter_map(|want| {
                let stock = self.stock.find(order.site, want.sku, want.hash);
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
    let currency = command.value.as_ref().map(|value| value.currency.clone());
    validate::texts([
        ("carrier", &command.carrier),
        ("customer", &command.customer),
        ("currency", &currency),
        ("site", &command.site),
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

fn shortages<'c>(claims: &[Claim<'c>]) -> Vec<Shortage<'c>> {
    claims
        .iter()
        .filter(|claim| claim.is_short())
        .map(|claim| Shortage {
            sku: claim.want.sku.into(),
            requested: claim.want.quantity,
            available: claim.free,
        })
        .collect()
}

/// A quantity within the limits, as orders keep it.
fn units(quantity: i64) -> u32 {
    u32::try_from(quantity).expect("limited by policy to 1..=1,000,000,000")
}

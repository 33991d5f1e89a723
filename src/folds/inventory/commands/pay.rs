//! Paying, and failing to pay.

use super::content::Content;
use super::lines::Amounts;
use super::refusal::Refusal;
use super::told::repeat;
use super::wants;
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::posting::{Movement, Movements};
use crate::folds::inventory::tables::order::{Bucket, Flags};
use crate::folds::inventory::tables::sides::{ToldKind, Value};
use crate::words::command::{Money, Pay, PayFailed};
use crate::words::outcome::{Decision, Mark, Reason, Repeat, State, True};

/// What a payment comes to.
enum Settling {
    /// It settles the order.
    Whole,
    /// So much of it is paid with it, in all.
    Part(i64),
}

impl Inventory {
    pub(crate) fn pay<'c>(&mut self, command: &'c Pay<'_>, turn: &mut Turn<'_>) -> Result<(), Refusal<'c>> {
        wants::ids([&command.order_id])?;
        wants::ids(&command.attempt_id)?;
        wants::money(command.amount.as_ref(), 1)?;
        wants::times([command.occurred_at])?;
        let content = Content::new().money(command.amount.as_ref()).finish();
        let slot = self.kept(&command.order_id)?;
        let kinds = [ToldKind::Paid, ToldKind::PartPaid];
        let new = match self.told(slot, &kinds, command.attempt_id.as_deref(), content)? {
            Err(new) => new,
            Ok(told) => {
                let settled = told.kind == ToldKind::Paid;
                self.tell_payment(
                    command,
                    slot,
                    settled,
                    Vec::new(),
                    Some(repeat(told.first_sequence)),
                    turn,
                );
                return Ok(());
            }
        };
        let view = self.orders.view(slot);
        let state = view.state();
        if state == State::Cancelled {
            return Err(Refusal::of_order(Reason::AlreadyCancelled, state));
        }
        if view.order.flags.has(Flags::PAID) {
            return Err(Refusal::of_order(Reason::AlreadyPaid, state));
        }
        let settling = self.settling(slot, command.amount.as_ref())?;
        let (again, marks) = match settling {
            Settling::Part(_) if state == State::Expired => {
                return Err(Refusal::of_order(Reason::OrderExpired, state));
            }
            Settling::Part(_) => (Movements::new(), Vec::new()),
            Settling::Whole => self.reserved_again(slot, turn)?,
        };

        // From here on it succeeds.
        let settles = matches!(settling, Settling::Whole);
        let kind = if settles { ToldKind::Paid } else { ToldKind::PartPaid };
        self.keep_payment(slot, new, kind, turn);
        if let Settling::Part(paid) = settling {
            self.orders.side_mut(slot).paid = paid;
        } else {
            self.settle_payment(slot);
            if !again.is_empty() {
                self.post(slot, &again, &[], turn.at);
            }
        }
        self.tell_payment(command, slot, settles, marks, None, turn);
        Ok(())
    }

    pub(crate) fn pay_failed<'c>(
        &mut self,
        command: &'c PayFailed<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        wants::ids([&command.order_id, &command.attempt_id])?;
        wants::texts([("reason", command.reason.as_ref())])?;
        wants::times([command.occurred_at])?;
        let slot = self.kept(&command.order_id)?;
        let again = match self.told(slot, &[ToldKind::FailedAttempt], Some(&command.attempt_id), 0)? {
            Ok(told) => {
                let state = Some(self.orders.view(slot).state());
                Some(Repeat { duplicate: True, first_sequence: told.first_sequence, state })
            }
            Err(new) => {
                self.keep_id(slot, new, turn);
                None
            }
        };
        turn.emit(&Decision::PaymentFailed {
            order_id: (&*command.order_id).into(),
            attempt_id: (&*command.attempt_id).into(),
            repeat: again,
        });
        Ok(())
    }

    /// Whether an amount settles the order.
    fn settling(&self, slot: u32, amount: Option<&Money<'_>>) -> Result<Settling, Refusal<'static>> {
        let view = self.orders.view(slot);
        let value = view.side.and_then(|side| side.value);
        let (Some(amount), Some(value)) = (amount, value) else { return Ok(Settling::Whole) };
        if amount.currency.as_bytes() != value.currency {
            let detail = "the order's value is in another currency";
            return Err(Refusal {
                order_state: Some(view.state()),
                ..Refusal::detailed(Reason::InvalidValue, detail)
            });
        }
        let paid = view.side.map_or(0, |side| side.paid) + amount.minor;
        Ok(if paid >= value.minor { Settling::Whole } else { Settling::Part(paid) })
    }

    /// Reserves again what has expired of an order that is paid now, if all of it can be had.
    fn reserved_again(
        &self,
        slot: u32,
        turn: &mut Turn<'_>,
    ) -> Result<(Movements, Vec<Mark>), Refusal<'static>> {
        let view = self.orders.view(slot);
        if !view.has(Bucket::Expired) {
            return Ok((Movements::new(), Vec::new()));
        }
        turn.take_lines(view.lines().len())?;
        let expired: Amounts = (0..view.lines().len())
            .map(|line| super::lines::LineUnits { line, units: view.units(line, Bucket::Expired) })
            .filter(|amount| amount.units > 0)
            .collect();
        let is_free = expired
            .iter()
            .all(|it| i64::from(it.units) <= self.stock.free(self.stock.get(view.lines()[it.line].stock)));
        if is_free {
            let movement = |amount: &super::lines::LineUnits| Movement {
                line: amount.line,
                from: Some(Bucket::Expired),
                to: Bucket::Reserved,
                units: amount.units,
            };
            return Ok((expired.iter().map(movement).collect(), vec![Mark::ReservedAgain]));
        }
        match view.state() {
            state @ State::Expired => Err(Refusal::of_order(Reason::OrderExpired, state)),
            _ => Ok((Movements::new(), vec![Mark::WasCancelled])),
        }
    }

    /// Makes an order paid: its hold ends.
    fn settle_payment(&mut self, slot: u32) {
        self.orders.get_mut(slot).flags.set(Flags::PAID, true);
        if !self.orders.view(slot).has(Bucket::Waiting) {
            self.deadlines.end(&mut self.orders, slot);
        }
    }

    fn tell_payment(
        &self,
        command: &Pay<'_>,
        slot: u32,
        settled: bool,
        marks: Vec<Mark>,
        repeat: Option<Repeat>,
        turn: &mut Turn<'_>,
    ) {
        let view = self.orders.view(slot);
        let (order_id, attempt_id) = ((&*command.order_id).into(), command.attempt_id.clone());
        let state = view.state();
        if settled {
            return turn.emit(&Decision::Paid { order_id, attempt_id, marks, state, repeat });
        }
        let due = view.side.filter(|_| !view.order.flags.has(Flags::PAID)).and_then(|side| {
            let value = side.value?;
            let currency = str::from_utf8(&value.currency).ok()?.to_owned();
            Some(Money { minor: value.minor - side.paid, currency: currency.into() })
        });
        turn.emit(&Decision::PartPaid { order_id, attempt_id, due, state, repeat });
    }

    /// What an order is worth is not known any more, if a part of it is gone and another is left.
    pub(crate) fn forget_value(&mut self, slot: u32) {
        let view = self.orders.view(slot);
        if view.side.is_some() && (view.is_open() || view.has_gone()) {
            self.orders.side_mut(slot).value = None;
            self.orders.tidy(slot);
        }
    }

    /// An order is worth something else from now on, or nobody knows what. If so much was paid already, it is paid.
    pub(crate) fn replace_value(&mut self, slot: u32, value: Option<&Money<'_>>) {
        let Some(value) = value.and_then(value_of) else { return self.forget_value(slot) };
        let side = self.orders.side_mut(slot);
        side.value = Some(value);
        if side.paid > 0 && side.paid >= value.minor {
            self.settle_payment(slot);
        }
    }
}

/// An amount whose shape was checked, as orders keep it.
pub(crate) fn value_of(money: &Money<'_>) -> Option<Value> {
    let currency = money.currency.as_bytes().try_into().ok()?;
    Some(Value { minor: money.minor, currency })
}

//! The judge's payments: `pay` and `pay_failed`.

use weir::words::command::{CommandKind, Extend, Money, Pay, PayFailed};
use weir::words::outcome::{Decision, Mark, Reason, State};

use crate::model::{Answer, Model, text, time};
use crate::model_orders::repeat;
use crate::model_parts::{Amount, Column, FactContent, Order};
use crate::model_shape::{Shape, ids, need, texts, times, value};

impl Order {
    /// What is still to be paid, where that is known and more than nothing.
    fn due(&self) -> Option<Money<'static>> {
        let value = self.value.as_ref().filter(|_| !self.paid)?;
        let minor = value.minor - self.payments;
        (minor > 0).then(|| Money { minor, currency: text(&value.currency) })
    }

    /// It has another value from now on: `None` where that is not known.
    pub(crate) fn set_value(&mut self, value: Option<Amount>) {
        let reached = value.as_ref().is_some_and(|value| self.payments >= value.minor);
        if reached && self.payments > 0 {
            self.paid = true;
        }
        self.value = value;
    }
}

/// The shape of `pay`.
pub(crate) fn pay_shape(it: &Pay<'_>) -> Shape {
    ids(&[Some(&it.order_id), it.attempt_id.as_ref()])?;
    value(it.amount.as_ref())?;
    need(it.amount.as_ref().is_none_or(|amount| amount.minor > 0), Reason::InvalidValue)?;
    times(&[it.occurred_at])
}

/// The shape of `pay_failed`.
pub(crate) fn pay_failed_shape(it: &PayFailed<'_>) -> Shape {
    ids(&[Some(&it.order_id), Some(&it.attempt_id)])?;
    times(&[it.occurred_at])?;
    texts(&[it.reason.as_ref()])
}

/// The shape of `extend`.
pub(crate) fn extend_shape(it: &Extend<'_>) -> Shape {
    ids(&[Some(&it.order_id), Some(&it.extension_id)])?;
    need(it.pay_within_ms > 0, Reason::InvalidValue)
}

impl Model {
    pub(crate) fn pay(&mut self, pay: &Pay<'_>) -> Answer {
        let at = self.kept(&pay.order_id)?;
        let amount = pay.amount.as_ref().map(Amount::from);
        let (kind, content) = (CommandKind::Pay, FactContent::Amount(amount.clone()));
        let order_id = text(&pay.order_id);
        let attempt_id = pay.attempt_id.as_deref().map(text);
        let state = self.orders[at].state();
        if let Some(first) = self.noted(at, kind, pay.attempt_id.as_deref(), &content)? {
            let repeat = Some(repeat(first.first_sequence, None));
            return Ok(if first.in_part {
                Decision::PartPaid { order_id, attempt_id, due: self.orders[at].due(), state, repeat }
            } else {
                Decision::Paid { order_id, attempt_id, marks: vec![], state, repeat }
            });
        }
        let order = &self.orders[at];
        if state == State::Cancelled {
            return Err(Reason::AlreadyCancelled.into());
        }
        if order.paid {
            return Err(Reason::AlreadyPaid.into());
        }
        let settles = match (&order.value, &amount) {
            (Some(value), Some(amount)) => {
                if value.currency != amount.currency {
                    return Err(Reason::InvalidValue.into());
                }
                order.payments + amount.minor >= value.minor
            }
            _ => true,
        };
        if !settles && state == State::Expired {
            return Err(Reason::OrderExpired.into());
        }
        let marks = if settles { self.reserve_again(at)? } else { vec![] };
        let order = &mut self.orders[at];
        order.payments += amount.map_or(0, |amount| amount.minor);
        order.paid = settles;
        let (due, state) = (order.due(), order.state());
        self.note(at, kind, pay.attempt_id.as_deref(), content, !settles);
        Ok(if settles {
            Decision::Paid { order_id, attempt_id, marks, state, repeat: None }
        } else {
            Decision::PartPaid { order_id, attempt_id, due, state, repeat: None }
        })
    }

    /// A payment settles the order: what has expired of it is reserved again, all of it or nothing.
    fn reserve_again(&mut self, at: usize) -> Result<Vec<Mark>, Reason> {
        let order = &self.orders[at];
        if order.of(Column::Expired) == 0 {
            return Ok(vec![]);
        }
        let can_be_had = order.lines.iter().all(|line| {
            let expired = line.of(Column::Expired);
            expired == 0 || self.available(&line.site, &line.sku).is_some_and(|there| there >= expired)
        });
        if can_be_had {
            for line in 0..order.lines.len() {
                let expired = self.orders[at].lines[line].of(Column::Expired);
                self.post(at, line, Column::Expired, Column::Reserved, expired);
            }
            Ok(vec![Mark::ReservedAgain])
        } else if order.left() > 0 || order.of(Column::Reserved) > 0 {
            Ok(vec![Mark::WasCancelled])
        } else {
            Err(Reason::OrderExpired)
        }
    }

    pub(crate) fn pay_failed(&mut self, failed: &PayFailed<'_>) -> Answer {
        let at = self.kept(&failed.order_id)?;
        let kind = CommandKind::PayFailed;
        let (order_id, attempt_id) = (text(&failed.order_id), text(&failed.attempt_id));
        let id = Some(&*failed.attempt_id);
        if let Some(first) = self.noted(at, kind, id, &FactContent::Nothing)? {
            let repeat = Some(repeat(first.first_sequence, Some(self.orders[at].state())));
            return Ok(Decision::PaymentFailed { order_id, attempt_id, repeat });
        }
        self.note(at, kind, id, FactContent::Nothing, false);
        Ok(Decision::PaymentFailed { order_id, attempt_id, repeat: None })
    }

    pub(crate) fn extend(&mut self, extend: &Extend<'_>) -> Answer {
        let at = self.kept(&extend.order_id)?;
        let (kind, id) = (CommandKind::Extend, Some(&*extend.extension_id));
        let content = FactContent::Number(extend.pay_within_ms);
        let repeat = self.noted(at, kind, id, &content)?.map(|first| repeat(first.first_sequence, None));
        if repeat.is_none() {
            if extend.pay_within_ms > self.policy.hold_ms_max {
                return Err(Reason::InvalidValue.into());
            }
            let order = &self.orders[at];
            match order.state() {
                State::Cancelled => return Err(Reason::AlreadyCancelled.into()),
                State::Expired => return Err(Reason::OrderExpired.into()),
                _ if order.paid => return Err(Reason::AlreadyPaid.into()),
                _ if order.pay_by.is_none() => return Err(Reason::NothingRemains.into()),
                _ => {}
            }
            self.note(at, kind, id, content, false);
            self.orders[at].pay_by = Some(self.now + extend.pay_within_ms);
            self.start(at);
        }
        let order = &self.orders[at];
        Ok(Decision::Extended {
            order_id: text(&extend.order_id),
            extension_id: text(&extend.extension_id),
            pay_by: order.pay_by.map(time),
            state: order.state(),
            repeat,
        })
    }
}

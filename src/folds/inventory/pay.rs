//! Paying, and failing to pay.

use super::Inventory;
use super::content::Content;
use super::facts::{FactKind, Told};
use super::output::Turn;
use super::refusal::Refusal;
use super::validate;
use crate::words::command::{Pay, PayFailed};
use crate::words::outcome::{Decision, Mark, Reason, Repeat, State, True};

impl Inventory {
    pub(super) fn pay<'c>(&mut self, command: &'c Pay<'_>, turn: &mut Turn<'_>) -> Result<(), Refusal<'c>> {
        validate::ids([&command.order_id])?;
        validate::ids(&command.attempt_id)?;
        validate::texts([("currency", command.amount.as_ref().map(|amount| &amount.currency))])?;
        validate::times([command.occurred_at])?;
        let content = Content::new().text(&command.order_id).finish();
        if let Some(attempt_id) = &command.attempt_id
            && let Some(told) = self.facts.check(FactKind::Payment, attempt_id, content)?
        {
            let state = self.state_of(&command.order_id);
            turn.emit(&Decision::Paid {
                order_id: (&*command.order_id).into(),
                marks: Vec::new(),
                state: state.unwrap_or(State::Paid),
                repeat: Some(repeat(told, None)),
            });
            return Ok(());
        }
        let slot = self.kept(&command.order_id)?;
        let order = self.orders.get(slot);
        let state = order.state();
        match state {
            State::Cancelled => return Err(Refusal::of_order(Reason::AlreadyCancelled, state)),
            State::Expired => return Err(Refusal::of_order(Reason::OrderExpired, state)),
            _ if order.paid => return Err(Refusal::of_order(Reason::AlreadyPaid, state)),
            _ => {}
        }

        // From here on it succeeds.
        if let Some(attempt_id) = &command.attempt_id {
            let told = Told { content, first_sequence: turn.sequence() };
            self.facts.remember(FactKind::Payment, attempt_id, told, turn.at);
        }
        self.end_hold(slot);
        let order = self.orders.get_mut(slot);
        order.paid = true;
        let marks = if order.expired { vec![Mark::WasCancelled] } else { Vec::new() };
        turn.emit(&Decision::Paid {
            order_id: (&*command.order_id).into(),
            marks,
            state: order.state(),
            repeat: None,
        });
        Ok(())
    }

    pub(super) fn pay_failed<'c>(
        &mut self,
        command: &'c PayFailed<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        validate::ids([&command.order_id, &command.attempt_id])?;
        validate::texts([("reason", command.reason.as_ref())])?;
        validate::times([command.occurred_at])?;
        let content = Content::new().text(&command.order_id).finish();
        let told = self.facts.check(FactKind::FailedAttempt, &command.attempt_id, content)?;
        if told.is_none() {
            self.kept(&command.order_id)?;
            let told = Told { content, first_sequence: turn.sequence() };
            self.facts.remember(FactKind::FailedAttempt, &command.attempt_id, told, turn.at);
        }
        turn.emit(&Decision::PaymentFailed {
            order_id: (&*command.order_id).into(),
            attempt_id: (&*command.attempt_id).into(),
            repeat: told.map(|told| repeat(told, self.state_of(&command.order_id))),
        });
        Ok(())
    }
}

/// What a repeated fact is answered with.
pub(super) const fn repeat(told: Told, state: Option<State>) -> Repeat {
    Repeat { duplicate: True, first_sequence: told.first_sequence, state }
}

//! Cancelling: what waits or is reserved is given up; what has left cannot be.

use super::content::Content;
use super::lines::{named, owned, take};
use super::refusal::Refusal;
use super::told::repeat;
use super::wants::{self, Wants};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::posting::Movements;
use crate::folds::inventory::tables::order::Bucket;
use crate::folds::inventory::tables::sides::ToldKind;
use crate::words::command::Cancel;
use crate::words::outcome::{Decision, Reason, State};

impl Inventory {
    pub(crate) fn cancel<'c>(
        &mut self,
        command: &'c Cancel<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        wants::ids([&command.order_id])?;
        wants::ids(&command.cancel_id)?;
        wants::texts([("by", command.by.as_ref()), ("reason", command.reason.as_ref())])?;
        wants::money(command.value.as_ref(), 0)?;
        let wants = match &command.lines {
            None => None,
            Some(lines) => Some(wants::wants(lines, 1, &self.stock)?),
        };
        let content = Content::new().number(u64::from(wants.is_some()));
        let content =
            wants::content(content, wants.as_deref().unwrap_or_default()).money(command.value.as_ref());
        let slot = self.kept(&command.order_id)?;
        let told = self.told(slot, &[ToldKind::Cancel], command.cancel_id.as_deref(), content.finish())?;
        let (lines, again) = match told {
            Ok(told) => (Vec::new(), Some(repeat(told.first_sequence))),
            Err(new) => {
                let count = command.lines.as_ref().map_or(0, Vec::len);
                let movements = self.given_up(slot, wants.as_ref(), count, turn)?;

                // From here on it succeeds.
                self.keep_id(slot, new, turn);
                self.post(slot, &movements, &[], turn.at);
                self.replace_value(slot, command.value.as_ref());
                let lines = match &wants {
                    Some(wants) => named(wants),
                    None => owned(self.told_lines(slot, &movements)),
                };
                (lines, None)
            }
        };
        turn.emit(&Decision::Cancelled {
            order_id: (&*command.order_id).into(),
            cancel_id: command.cancel_id.clone(),
            lines,
            by: command.by.clone(),
            reason: command.reason.clone(),
            state: self.orders.view(slot).state(),
            repeat: again,
        });
        Ok(())
    }

    /// The units that a cancellation gives up, or why it gives up none.
    fn given_up(
        &self,
        slot: u32,
        wants: Option<&Wants<'_>>,
        count: usize,
        turn: &mut Turn<'_>,
    ) -> Result<Movements, Refusal<'static>> {
        let view = self.orders.view(slot);
        let mut movements = Movements::new();
        let Some(wants) = wants else {
            if !view.is_open() {
                return Err(self.not_open(slot));
            }
            turn.take_lines(view.lines().len())?;
            for line in 0..view.lines().len() {
                for bucket in [Bucket::Waiting, Bucket::Reserved] {
                    take(
                        &mut movements,
                        line,
                        (bucket, view.units(line, bucket)),
                        Bucket::Cancelled,
                        u32::MAX,
                    );
                }
            }
            return Ok(movements);
        };
        self.check_limits(slot, count, wants)?;
        let amounts = self.amounts(slot, wants)?;
        turn.take_lines(self.cost_of(slot, amounts.len()))?;
        for amount in amounts {
            let mut wanted = amount.units;
            for bucket in [Bucket::Waiting, Bucket::Reserved] {
                let has = (bucket, view.units(amount.line, bucket));
                wanted = take(&mut movements, amount.line, has, Bucket::Cancelled, wanted);
            }
            if wanted > view.part(amount.line).gone() {
                return Err(match view.state() {
                    State::Cancelled | State::Expired => self.not_open(slot),
                    state => Refusal::of_order(Reason::ExceedsRemaining, state),
                });
            }
            if wanted > 0 {
                return Err(self.not_open(slot));
            }
        }
        Ok(movements)
    }

    /// Why nothing of an order can be given up or replaced.
    pub(crate) fn not_open(&self, slot: u32) -> Refusal<'static> {
        let state = self.orders.view(slot).state();
        Refusal::of_order(
            match state {
                State::Cancelled => Reason::AlreadyCancelled,
                State::Expired => Reason::OrderExpired,
                _ => Reason::AlreadyShipped,
            },
            state,
        )
    }
}

//! What of an outcome the audit looks at, and which outcome can answer which command.

use crate::orders::{Drawn, Orders, number_of};
use weir::words::command::{Command, CommandKind};
use weir::words::identity::Identity;
use weir::words::outcome::{Decision, Outcome, OutcomeKind, Subject};
use weir::words::text::Text;

/// What of an outcome the audit looks at.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) identity: Identity,
    pub(crate) kind: OutcomeKind,
    /// Whether it answers its record, rather than telling what else followed.
    pub(crate) answer: bool,
    pub(crate) repeat: bool,
    /// Whose: an order's number.
    pub(crate) number: Option<u64>,
    /// Which command was refused, and why.
    pub(crate) refused: Option<(CommandKind, &'static str)>,
    /// Lines that were cancelled or came back, where it was not the whole order.
    pub(crate) lines: Option<Drawn>,
}

/// Whether an outcome can answer a command.
pub(crate) fn fits(command: CommandKind, told: &Told) -> bool {
    if let Some((refused, _)) = told.refused {
        return refused == command;
    }
    let answer = match command {
        CommandKind::Place => OutcomeKind::Confirmed,
        CommandKind::Cancel => OutcomeKind::Cancelled,
        CommandKind::Review => OutcomeKind::Reviewed,
        CommandKind::Pay => OutcomeKind::Paid,
        CommandKind::Ship => OutcomeKind::Shipped,
        CommandKind::Deliver => OutcomeKind::Delivered,
        CommandKind::Return => OutcomeKind::Returned,
        CommandKind::Receive => OutcomeKind::Received,
        CommandKind::Policy => OutcomeKind::PolicyApplied,
        // No other is sent here.
        _ => return false,
    };
    told.kind == answer
}

/// The order that a command is about.
pub(crate) fn subject<'c>(command: &'c Command<'_>) -> Option<Text<'c>> {
    match command.content().subject() {
        Some(Subject::OrderId(id)) => Some(id),
        _ => None,
    }
}

/// Looks at an outcome.
pub(crate) fn tell(outcome: &Outcome<'_>, orders: &Orders) -> Told {
    let mut refused = None;
    let mut lines = None;
    let (id, repeat) = match &outcome.decision {
        Decision::Confirmed { order_id, repeat, .. }
        | Decision::Waiting { order_id, repeat, .. }
        | Decision::Amended { order_id, repeat, .. }
        | Decision::PartPaid { order_id, repeat, .. }
        | Decision::Paid { order_id, repeat, .. }
        | Decision::PaymentFailed { order_id, repeat, .. }
        | Decision::Shipped { order_id, repeat, .. }
        | Decision::Delivered { order_id, repeat, .. } => (Some(order_id), repeat.is_some()),
        Decision::Cancelled { order_id, lines: some, .. } => {
            lines = Some(some);
            (Some(order_id), false)
        }
        Decision::Returned { order_id, lines: some, repeat, .. } => {
            lines = Some(some);
            (Some(order_id), repeat.is_some())
        }
        Decision::Refused { command, subject, reason, repeat, .. } => {
            refused = Some((*command, reason.code()));
            let id = if let Some(Subject::OrderId(id)) = subject { Some(id) } else { None };
            (id, repeat.is_some())
        }
        Decision::Expired { order_id, .. }
        | Decision::Reviewed { order_id, .. }
        | Decision::Shortfall { order_id, .. } => (Some(order_id), false),
        Decision::Received { repeat, .. } | Decision::Counted { repeat, .. } => (None, repeat.is_some()),
        _ => (None, false),
    };
    let drawn = lines.filter(|lines| !lines.is_empty()).map(|lines| {
        lines.iter().filter_map(|line| Some((orders.sku_of(&line.sku)?, line.quantity))).collect()
    });
    Told {
        identity: outcome.identity(),
        kind: outcome.decision.kind(),
        answer: outcome.decision.is_answer(),
        repeat,
        number: id.and_then(|id| number_of(id)),
        refused,
        lines: drawn,
    }
}

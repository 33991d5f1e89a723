//! Refusals: how a command's ladder of checks ends early.

use crate::words::command::CommandKind;
use crate::words::outcome::{Decision, Reason, Shortage, State, Subject};
use crate::words::text::Text;

/// Why a command is refused. Nothing was changed.
#[derive(Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) reason: Reason,
    pub(crate) detail: Option<Text<'a>>,
    pub(crate) shortages: Vec<Shortage<'a>>,
    pub(crate) order_state: Option<State>,
}

impl<'a> Refusal<'a> {
    pub(crate) const fn new(reason: Reason) -> Self {
        Self { reason, detail: None, shortages: Vec::new(), order_state: None }
    }

    pub(crate) fn detailed(reason: Reason, detail: impl Into<Text<'a>>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(reason) }
    }

    pub(crate) fn of_order(reason: Reason, state: State) -> Self {
        Self { order_state: Some(state), ..Self::new(reason) }
    }

    pub(crate) fn into_decision(self, command: CommandKind, subject: Option<Subject<'a>>) -> Decision<'a> {
        Decision::Refused {
            command,
            subject,
            reason: self.reason,
            detail: self.detail,
            shortages: self.shortages,
            order_state: self.order_state,
            repeat: None,
        }
    }
}

//! Outcomes in a few words, as scripts expect them.

use std::fmt::Write;

use weir::words::command::Line;
use weir::words::outcome::{Adjustment, Decision, Outcome, Repeat, Shortage};
use weir::words::timestamp::Timestamp;

use crate::support::START_MS;

pub(crate) fn since_start(at: Timestamp) -> String {
    format!("{}ms", at.millis() - START_MS)
}

/// An outcome in a few words. An answer does not repeat the id that it was asked about; what became of another order
/// names it.
pub(crate) fn render(outcome: &Outcome<'_>) -> String {
    let mut text = outcome.decision.kind().name().to_owned();
    let mut say = |word: &dyn std::fmt::Display| write!(text, " {word}").unwrap();
    let lines = |lines: &[Line<'_>]| {
        lines.iter().fold(String::new(), |all, line| all + &format!("{}:{} ", line.sku, line.quantity))
    };
    let short = |shortages: &[Shortage<'_>]| {
        let each = shortages.iter().map(|it| format!(" {}:{}/{}", it.sku, it.requested, it.available));
        if shortages.is_empty() { String::new() } else { format!(" short{}", each.collect::<String>()) }
    };
    let adjusted = |adjustments: &[Adjustment<'_>]| {
        let each = adjustments.iter().map(|it| format!(" {}:{}->{}", it.sku, it.before, it.after));
        each.collect::<String>()
    };
    match &outcome.decision {
        Decision::Confirmed { order_id, pay_by, lines, shortages, released, .. } => {
            if *released {
                say(&format_args!("{order_id} released"));
            }
            if let Some(at) = pay_by {
                say(&format_args!("pay_by={}", since_start(*at)));
            }
            for line in lines {
                say(&format_args!("{}:{}@{}", line.sku, line.quantity, line.site));
            }
            text += &short(shortages);
        }
        Decision::Waiting { sku, wait_until, shortages, .. } => {
            if let Some(sku) = sku {
                say(&format_args!("for {sku}"));
            }
            if let Some(at) = wait_until {
                say(&format_args!("until={}", since_start(*at)));
            }
            text += &short(shortages);
        }
        Decision::Refused { reason, shortages, order_state, .. } => {
            say(&reason.code());
            if let Some(state) = order_state {
                say(&format_args!("it is {}", state.name()));
            }
            text += &short(shortages);
        }
        Decision::Cancelled { lines: some, by, reason, state, .. } => {
            say(&format_args!("{}{}", lines(some), state.name()));
            for word in by.iter().chain(reason) {
                say(word);
            }
        }
        Decision::Expired { order_id, lines: some, state } => {
            say(&format_args!("{order_id} {}{}", lines(some), state.name()));
        }
        Decision::PartPaid { due, state, .. } => {
            if let Some(due) = due {
                say(&format_args!("due={}{}", due.currency, due.minor));
            }
            say(&state.name());
        }
        Decision::Shipped { lines: some, state, .. }
        | Decision::Delivered { lines: some, state, .. }
        | Decision::Returned { lines: some, state, .. } => {
            say(&format_args!("{}{}", lines(some), state.name()));
        }
        Decision::Counted { adjustments, .. } | Decision::Adjusted { adjustments, .. } => {
            text += &adjusted(adjustments);
        }
        Decision::Shortfall { order_id, sku, quantity, .. } => {
            say(&format_args!("{order_id} {sku}:{quantity}"));
        }
        Decision::PolicyApplied { rules } => say(&format_args!("rules={rules}")),
        Decision::DeadLettered { reason } => say(&reason.name()),
        // Of most there is no more to say than the order's state.
        other => {
            if let Some(state) = other.state() {
                say(&state.name());
            }
        }
    }
    text += &repeated(outcome.decision.repeat());
    for mark in outcome.decision.marks() {
        write!(text, " {}", mark.name()).unwrap();
    }
    text
}

fn repeated(repeat: Option<&Repeat>) -> String {
    let Some(repeat) = repeat else { return String::new() };
    let state = repeat.state.map_or(String::new(), |state| format!(" now {}", state.name()));
    format!(" again first={}{state}", repeat.first_sequence)
}

//! The boards: which panels stand where.

mod delay;
mod internals;
mod latency;
mod overview;
mod service;
mod stock;

use super::definition::{Board, Item, Kind, Panel, Target, Unit};

/// All boards, the customer's view first.
#[must_use]
pub const fn boards() -> &'static [Board] {
    const ALL: [Board; 6] =
        [overview::BOARD, latency::BOARD, stock::BOARD, delay::BOARD, internals::BOARD, service::BOARD];
    &ALL
}

/// A panel.
const fn panel(
    title: &'static str,
    description: &'static str,
    kind: Kind,
    unit: Unit,
    targets: &'static [Target],
) -> Item {
    Item::Panel(Panel { title, description, kind, unit, targets })
}

/// A query.
const fn target(expr: &'static str, legend: &'static str) -> Target {
    Target { expr, legend }
}

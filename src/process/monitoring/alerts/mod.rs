//! The alerts: the table from which rules, tests, panels and runbooks are made.

mod budget;
mod door;
mod flow;
mod looks;
mod shards;
mod shop;
mod storage;

use super::definition::Alert;

/// All alerts: what stops everything first, then what will, then what is the shop's.
pub fn alerts() -> impl Iterator<Item = &'static Alert> {
    flow::ALL
        .iter()
        .chain(&door::ALL)
        .chain(&budget::ALL)
        .chain(&shards::ALL)
        .chain(&storage::ALL)
        .chain(&shop::ALL)
}

/// The alert of that name; of several tiers, the first.
///
/// # Panics
/// If there is none: names in the tables are held by a test.
pub(super) fn alert(name: &str) -> &'static Alert {
    alerts().find(|alert| alert.name == name).unwrap_or_else(|| panic!("there is no alert {name}"))
}

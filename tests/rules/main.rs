//! The judge of the inventory: scripts (a rule each), a naive model under random commands, hostile bytes, the wire
//! formats, snapshots, and long releases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cases;
mod contract_page;
mod golden;
mod model;
mod model_facts;
mod model_orders;
mod model_parts;
mod model_payments;
mod model_placing;
mod model_shape;
mod model_stock;
mod model_waiting;
mod poison;
mod poison_memory;
mod random;
mod release;
mod rules_facts;
mod rules_orders;
mod rules_shard;
mod rules_stock;
mod script;
mod snapshot;
mod snapshot_poison;
mod support;
mod wire;

/// All scripts.
pub(crate) const ALL_RULES: [&[(&str, &str)]; 4] =
    [rules_orders::ALL, rules_facts::ALL, rules_stock::ALL, rules_shard::ALL];

//! The judge of the inventory: scripts (a rule each), a naive model under random commands, hostile bytes, the wire
//! formats, snapshots, and long releases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod analytics;
mod analytics_asked;
mod bounds;
mod cases;
mod commands;
mod contract_page;
mod golden;
mod linter;
mod model;
mod model_facts;
mod model_orders;
mod model_parts;
mod model_payments;
mod model_placing;
mod model_shape;
mod model_stock;
mod model_waiting;
mod monitoring;
mod odd_lives;
mod poison;
mod poison_memory;
#[path = "../promql.rs"]
mod promql;
mod queries;
mod random;
mod release;
mod rules_amend;
mod rules_facts;
mod rules_memory;
mod rules_money;
mod rules_orders;
mod rules_shard;
mod rules_sites;
mod rules_stock;
mod rules_waiting;
mod schema;
mod script;
mod script_outcomes;
mod snapshot;
mod snapshot_poison;
mod support;
mod upgrades;
mod wire;

/// All scripts.
pub(crate) const ALL_RULES: [&[(&str, &str)]; 9] = [
    rules_orders::ALL,
    rules_waiting::ALL,
    rules_amend::ALL,
    rules_money::ALL,
    rules_facts::ALL,
    rules_stock::ALL,
    rules_sites::ALL,
    rules_memory::ALL,
    rules_shard::ALL,
];

//! The judge of the inventory: scripts (a rule each), a naive model under random commands, hostile bytes, the wire
//! formats, snapshots, and long releases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod analytics;
mod contract_page;
mod golden;
mod mirror;
mod model;
mod model_facts;
mod model_orders;
mod model_stock;
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

//! Tests that run against a real `nats-server`, on loopback. `tests/run` fetches the server and starts them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod audit;
mod auditing;
mod chaos;
mod cli;
mod client;
mod clients;
mod console;
mod contract;
mod contract_keys;
mod contract_objects;
mod contract_requests;
mod crash;
mod dead;
mod deploying;
mod docs;
mod door;
mod door_flood;
mod door_hostile;
mod epoch;
mod http;
mod jetstream;
mod monitoring;
mod objective;
mod observing;
#[path = "../../examples/online_retail/mapping.rs"]
mod online_retail;
mod orders;
mod paging;
mod poison;
#[path = "../promql.rs"]
mod promql;
mod publishing;
mod queries;
mod real_data;
mod reports;
mod restore;
mod retail_model;
mod risks;
mod roles;
mod schema;
mod security;
mod stories;
mod storms;
mod supervised;
mod tidy;
mod upgrade;
mod watchers;
mod weir;
mod worker;
mod workers;

/// The kit, by the names that the tests here use.
mod nats {
    pub(crate) use weir_kit::nats::Server;
    pub(crate) use weir_kit::{PATIENCE, soon, until, within};
}

//! Tests that run against a real `nats-server`, on loopback. `tests/run` fetches the server and starts them.

mod contract;
mod jetstream;
mod nats;
mod poison;

//! Places orders from a Rust service: many tasks at once, one client.
//!
//! ```sh
//! cargo run --example place_orders -- nats://127.0.0.1:4222 1000
//! ```
//!
//! Needs a nats-server with JetStream, `weir setup`, and a worker (`weir run`).

use std::collections::BTreeMap;

use weir::client::{Client, ClientOptions};
use weir::words::command::{Command, Line, Place, PlaceLine, Receive};
use weir::words::outcome::OutcomeKind;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let orders: u32 = arguments.next().map_or(Ok(1_000), |count| count.parse())?;
    let client = Client::connect(ClientOptions::new(&url)).await?;

    // A receipt has an id: sent twice, it counts once.
    let lines = vec![Line { sku: "85123A".into(), quantity: i64::from(orders / 2) }];
    let receipt = Receive { receipt_id: "R-77".into(), lines, ..Receive::default() };
    client.decide(&Command::Receive(receipt)).await?;

    let placing: Vec<_> = (0..orders)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let line = PlaceLine { sku: "85123A".into(), quantity: 1, unit_price: None };
                let order =
                    Place { order_id: format!("O-{number}").into(), lines: vec![line], ..Place::default() };
                // What many tasks send at once goes in few requests.
                let decided = client.decide(&Command::Place(order)).await?;
                anyhow::Ok(decided.outcome()?.decision.kind())
            })
        })
        .collect();
    let mut counts: BTreeMap<OutcomeKind, u32> = BTreeMap::new();
    for placed in placing {
        *counts.entry(placed.await??).or_default() += 1;
    }
    for (outcome, count) in counts {
        println!("{}: {count}", outcome.name());
    }
    Ok(())
}

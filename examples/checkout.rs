//! A checkout in Rust, as `docs/clients.md` has it: places an order at Weir's door, cancels it, and prints what became of both.

use std::time::Duration;

use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

async fn ask(client: &async_nats::Client, command: Value) -> Result<Value, Failure> {
    let mut pause = Duration::from_millis(100);
    for _ in 0..10 {
        let request = client.request("weir.submit.orders", command.to_string().into());
        // No responders, or a time-out: the same again.
        if let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(5), request).await {
            let reply: Value = serde_json::from_slice(&answer.payload)?;
            if !["busy", "unavailable", "accepted", "unknown"].map(Value::from).contains(&reply["outcome"]) {
                return Ok(reply);
            }
            pause = pause.max(Duration::from_millis(reply["retry_after_ms"].as_u64().unwrap_or(0)));
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(Duration::from_secs(5));
    }
    Err("not known in time what became of it".into())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let client = async_nats::connect(url).await?;
    let place = json!({"place": {"order_id": "R-1", "lines": [{"sku": "85123A", "quantity": 1}]}});
    let placed = ask(&client, place).await?;
    println!("{} {}", placed["outcome"].as_str().unwrap_or("?"), placed["order_id"].as_str().unwrap_or("?"));
    let cancel = json!({"cancel": {"order_id": "R-1", "by": "customer"}});
    let cancelled = ask(&client, cancel).await?;
    println!(
        "{} {}",
        cancelled["outcome"].as_str().unwrap_or("?"),
        cancelled["order_id"].as_str().unwrap_or("?")
    );
    Ok(())
}

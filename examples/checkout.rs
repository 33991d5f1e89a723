//! A checkout in Rust, as `docs/clients.md` has it: places an order at Weir's door, cancels it, prints what became of both, and asks for
//! the order.

use std::time::Duration;

use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

async fn ask(client: &async_nats::Client, subject: &str, message: Value) -> Result<Value, Failure> {
    let mut pause = Duration::from_millis(100);
    for _ in 0..10 {
        let request = client.request(subject.to_owned(), message.to_string().into());
        // No responders, a time-out, or an error of the query service: the same again.
        if let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(5), request).await
            && answer.headers.as_ref().is_none_or(|headers| headers.get("Nats-Service-Error").is_none())
        {
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

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let client = async_nats::connect(url).await?;
    let place = json!({"place": {"order_id": "R-1", "lines": [{"sku": "85123A", "quantity": 1}]}});
    let placed = ask(&client, "weir.submit.orders", place).await?;
    println!("{} {}", text(&placed["outcome"]), text(&placed["order_id"]));
    let cancel = json!({"cancel": {"order_id": "R-1", "by": "customer"}});
    let cancelled = ask(&client, "weir.submit.orders", cancel).await?;
    println!("{} {}", text(&cancelled["outcome"]), text(&cancelled["order_id"]));
    let question = json!({"order_id": "R-1", "at_least": cancelled["sequence"]});
    let order = ask(&client, "weir.query.order", question).await?;
    println!("is {}", text(&order["state"]));
    Ok(())
}

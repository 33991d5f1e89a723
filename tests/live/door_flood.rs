//! A flood at the door, beyond all of its bounds: every request is answered, and told the truth; what the door holds stays within its
//! bounds; nothing is decided twice; and a good request afterwards is answered as ever.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::{Client, HeaderMap, Subscriber};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::door::{ask, client, only_door, opened};
use crate::nats::{Server, soon, until};
use crate::weir::{Weir, audit, place, receive, value};

/// Requests of each flood.
const REQUESTS: usize = 12_000;
/// How many commands the door may hold undecided, and how many bytes of requests.
const PENDING_MAX: u32 = 500;
const MEMORY_BYTES_MAX: u32 = 1 << 20;

/// What a flood sent, and what it heard: the replies, by the orders' ids.
struct Flood {
    name: &'static str,
    replies: Subscriber,
    heard: BTreeMap<String, Value>,
}

impl Flood {
    /// Sends it as fast as the server takes it.
    async fn start(client: &Client, name: &'static str, order: impl Fn(&str) -> Value) -> Self {
        let replies = client.subscribe(format!("{name}.*")).await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("Weir-Within-Ms", "30000");
        for number in 0..REQUESTS {
            let (id, payload) = (format!("{name}-{number}"), order(&format!("{name}-{number}")));
            let (reply, headers) = (format!("{name}.{id}"), headers.clone());
            let subject = "weir.submit.orders";
            let payload = payload.to_string().into();
            client.publish_with_reply_and_headers(subject, reply, headers, payload).await.unwrap();
        }
        client.flush().await.unwrap();
        Self { name, replies, heard: BTreeMap::new() }
    }

    /// Hears so many replies in all; none comes twice.
    async fn hear(&mut self, count: usize) {
        while self.heard.len() < count {
            let reply = soon("a reply to each request", self.replies.next()).await.unwrap();
            let id = reply.subject.as_str().strip_prefix(self.name).unwrap()[1..].to_owned();
            let told: Value = serde_json::from_slice(&reply.payload).unwrap();
            assert!(told["outcome"].is_string(), "{told}");
            assert_eq!(self.heard.insert(id.clone(), told), None, "{id} is answered twice");
        }
    }

    /// Those that were told this.
    fn told(&self, outcome: &str) -> BTreeSet<&str> {
        self.heard.iter().filter(|(_, told)| told["outcome"] == outcome).map(|(id, _)| id.as_str()).collect()
    }

    /// Compares what was told with what the shard announced. Gives how many were stored, and how many were told to come again.
    fn judge(&self, announced: &[Value]) -> (usize, usize) {
        let mut firsts: BTreeMap<&str, &Value> = BTreeMap::new();
        for outcome in announced {
            let id = outcome["order_id"].as_str().unwrap_or_default();
            if id.strip_prefix(self.name).is_some_and(|rest| rest.starts_with('-')) {
                assert_eq!(firsts.insert(id, outcome), None, "{id} is decided twice");
            }
        }
        let (mut stored, mut again) = (0, 0);
        for (id, told) in &self.heard {
            let announced = firsts.get(id.as_str());
            match told["outcome"].as_str().unwrap() {
                "busy" | "unavailable" => {
                    assert!(announced.is_none(), "{id} was told {told}, and decided: {announced:?}");
                    assert!(told["retry_after_ms"].as_u64().unwrap() > 0, "{told}");
                    again += 1;
                }
                "accepted" => {
                    assert_eq!(announced.unwrap()["sequence"], told["sequence"], "{id}");
                    stored += 1;
                }
                "unknown" => {}
                _ => {
                    assert_eq!(announced, Some(&told), "{id}");
                    stored += 1;
                }
            }
        }
        (stored, again)
    }
}

/// Checks that what the door shows itself to hold is within its bounds.
fn is_bounded(door: &Weir) {
    let (pending, bytes) = (door.metric("weir_door_pending_requests"), door.metric("weir_door_memory_bytes"));
    assert!(pending <= f64::from(PENDING_MAX), "{pending} requests");
    assert!(bytes <= f64::from(MEMORY_BYTES_MAX), "{bytes} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_answered_bounded_and_over_when_it_is_over() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let settings = format!("pending_max = {PENDING_MAX}\nmemory_bytes_max = {MEMORY_BYTES_MAX}\n");
    let door = only_door(&server, &settings).await;
    let client = client(&server).await;
    opened(&client).await;

    // Nobody leads the shard, so it is certain what is too much: all that is beyond the bounds is refused, and what is within them waits.
    let mut first = Flood::start(&client, "first", place).await;
    first.hear(REQUESTS - PENDING_MAX as usize).await;
    is_bounded(&door);
    assert!(first.heard.values().all(|told| told["at"].is_null()), "somebody decides");
    let leader = Weir::ready(&server, &[]).await;
    first.hear(REQUESTS).await;

    // Bytes are bounded, too: orders of 20 kB are too many before they are 500.
    let great = |id: &str| {
        let lines: Vec<_> =
            (0..400).map(|sku| json!({"sku": format!("B-{sku:030}"), "quantity": 1})).collect();
        json!({"place": {"order_id": id, "lines": lines}})
    };
    let mut second =
        Flood::start(&client, "second", |id| if id.ends_with('0') { great(id) } else { place(id) }).await;
    is_bounded(&door);
    second.hear(REQUESTS).await;
    is_bounded(&door);

    // It is over: nothing is left of it, and a good order is taken as ever.
    let told = ask(&client, "stock", receive("R-1", 5).to_string()).await;
    assert_eq!(told["outcome"], "received", "{told}");
    let told = ask(&client, "orders", place("good").to_string()).await;
    assert_eq!(told["outcome"], "confirmed", "{told}");
    until("nothing to be pending", async || {
        let is_empty =
            door.metric("weir_door_pending_requests") < 0.5 && door.metric("weir_door_memory_bytes") < 0.5;
        is_empty.then_some(())
    })
    .await;
    let (_, metrics) = door.get("/metrics");
    assert_eq!(value(&metrics, "weir_door_replies_dropped_total").unwrap_or_default().to_string(), "0");

    let announced = audit(&server).await;
    let (stored, again) = first.judge(&announced);
    assert!(stored > 0 && stored <= PENDING_MAX as usize && again > 0, "{stored} {again}");
    let (stored, again) = second.judge(&announced);
    assert!(stored > 0, "{stored} {again}");
    // Whoever comes again is decided.
    for id in first.told("busy").union(&first.told("unavailable")).take(20) {
        let told = ask(&client, "orders", place(id).to_string()).await;
        assert!(told["at"].is_string() && told["duplicate"] != true, "{told}");
    }
    door.stop().await;
    leader.stop().await;
}

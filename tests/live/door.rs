//! The door, as any client of NATS meets it: real workers, a real server, and a client that knows nothing of Weir.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{Client, HeaderMap, RequestErrorKind};
use serde_json::{Value, json};
use weir::edges::streams::Streams as _;
use weir::words::codec::{Format, encode_commands, replies};
use weir::words::command::{Cancel, Command, Pay};
use weir::words::reply::{DoorReply, Reply};

use crate::nats::{Server, soon, until};
use crate::weir::{Weir, audit, place, plain, publish, receive, streams};

/// How often a busy door is asked again.
const ASKED_AGAIN_MAX: u32 = 200;

/// A client without Weir.
pub(crate) async fn client(server: &Server) -> Client {
    async_nats::ConnectOptions::new()
        .request_timeout(Some(Duration::from_secs(40)))
        .connect(server.url())
        .await
        .unwrap()
}

/// Asks once, with the door's own patience, and gives the reply.
pub(crate) async fn ask_once(client: &Client, family: &str, payload: impl Into<bytes::Bytes>) -> Value {
    let reply = client.request(format!("weir.submit.{family}"), payload.into()).await.unwrap();
    serde_json::from_slice(&reply.payload).unwrap()
}

/// Asks once, with as much patience as there may be.
pub(crate) async fn ask_patiently(client: &Client, family: &str, payload: impl Into<bytes::Bytes>) -> Value {
    let mut headers = HeaderMap::new();
    headers.insert("Weir-Within-Ms", "30000");
    let subject = format!("weir.submit.{family}");
    let reply = client.request_with_headers(subject, headers, payload.into()).await.unwrap();
    serde_json::from_slice(&reply.payload).unwrap()
}

/// Asks as a good client does: what was not stored, because there was too much to do on this machine, is sent again.
pub(crate) async fn ask(client: &Client, family: &str, payload: impl Into<bytes::Bytes>) -> Value {
    let payload = payload.into();
    for _ in 0..ASKED_AGAIN_MAX {
        let told = ask_patiently(client, family, payload.clone()).await;
        let first = if told.is_array() { &told[0] } else { &told };
        let Some(pause) = first["retry_after_ms"].as_u64() else { return told };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    panic!("a door that is always busy");
}

/// Waits until somebody answers.
pub(crate) async fn opened(client: &Client) {
    until("the door to be open", async || client.request("weir.submit.orders", "?".into()).await.ok()).await;
}

/// A worker that is nothing but a door.
pub(crate) async fn only_door(server: &Server, settings: &str) -> Weir {
    let config = server.folder().join("door.toml");
    std::fs::write(&config, format!("[door]\nonly = true\n{settings}")).unwrap();
    Weir::ready(server, &["--config", config.to_str().unwrap()]).await
}

/// A server with streams, a worker, a client, and stock of SKU `A`.
async fn shop(units: i64) -> (Server, Weir, Client) {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    let client = client(&server).await;
    opened(&client).await;
    let told = ask(&client, "stock", receive("R-1", units).to_string()).await;
    assert_eq!(told["outcome"], "received", "{told}");
    (server, worker, client)
}

#[tokio::test]
async fn a_request_is_answered_with_its_outcome() {
    let (server, worker, client) = shop(1).await;
    let first = ask(&client, "orders", place("O-1").to_string()).await;
    assert_eq!((&first["outcome"], &first["order_id"]), (&json!("confirmed"), &json!("O-1")));
    let second = ask(&client, "orders", place("O-2").to_string()).await;
    assert_eq!((&second["outcome"], &second["reason"]), (&json!("refused"), &json!("insufficient_stock")));
    assert!(second["sequence"].as_u64() > first["sequence"].as_u64());
    // What was told is what was announced.
    let announced = audit(&server).await;
    assert!(announced.contains(&first) && announced.contains(&second), "{announced:?}");
    // In the log it is a frame, by the family's subject.
    let message = streams(&server).await.log_message(first["sequence"].as_u64().unwrap()).await;
    let message = message.unwrap().unwrap();
    assert_eq!(message.format, Some(Format::Bincode));
    assert_eq!(message.way, weir::words::message::Way::of_token(Some("orders")));

    let wrong = ask(&client, "orders", receive("R-2", 1).to_string()).await;
    assert_eq!(
        wrong,
        json!({"outcome": "refused", "command": "receive", "receipt_id": "R-2", "reason": "wrong_family"})
    );
    let nobody = ask(&client, "pirates", place("O-3").to_string()).await;
    assert_eq!((&nobody["outcome"], &nobody["reason"]), (&json!("refused"), &json!("wrong_family")));
    let tick = ask(&client, "orders", r#"{"tick":{}}"#).await;
    assert_eq!(tick["reason"], "wrong_family");
    let policy = ask(&client, "policy", r#"{"policy":{"rules":999}}"#).await;
    assert_eq!(policy["reason"], "unknown_rules");
    let elsewhere = r#"{"place":{"order_id":"O-4","site":"moon","lines":[{"sku":"A","quantity":1}]}}"#;
    assert_eq!(ask(&client, "orders", elsewhere).await["reason"], "unknown_site");
    let decided = worker.metric("weir_door_replies_total{kind=\"decided\"}");
    assert!(decided >= 3.0, "{decided}");
    until("nothing to be pending", async || {
        (worker.metric("weir_door_pending_requests") == 0.0).then_some(())
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn many_in_one_request_are_answered_index_by_index() {
    let (_server, worker, client) = shop(2).await;
    let payload = format!("[{}, nonsense, {}, {}]", place("O-1"), receive("R-9", 1), place("O-2"));
    let told = ask(&client, "orders", payload).await;
    let outcomes: Vec<_> =
        told.as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["confirmed", "refused", "refused", "confirmed"], "{told}");
    assert_eq!((&told[1]["reason"], &told[2]["reason"]), (&json!("not_a_command"), &json!("wrong_family")));
    for (payload, reason) in [
        ("[", "malformed_payload"),
        ("[]", "empty_payload"),
        ("[{\"cancel\":{\"order_id\":\"O\"}}] x", "malformed_payload"),
    ] {
        let told = ask(&client, "orders", payload).await;
        assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
        assert_eq!(told[0]["reason"], reason);
    }
    let many = format!("[{}]", vec!["1"; 10_001].join(","));
    assert_eq!(ask(&client, "orders", many).await[0]["reason"], "too_many_commands");
    let unknown = ask(&client, "orders", "").await;
    assert_eq!(unknown["reason"], "empty_payload");

    // As many as may be, whose outcomes in full are more than a message holds.
    let cancels: Vec<_> =
        (0..10_000).map(|number| json!({"cancel": {"order_id": format!("N{number}")}})).collect();
    let told = ask(&client, "orders", json!(cancels).to_string()).await;
    let told = told.as_array().unwrap();
    assert_eq!(told.len(), 10_000);
    let whole = told.iter().filter(|one| one["reason"] == "unknown_order").count();
    let short = told.iter().filter(|one| one["outcome"] == "accepted" && one["sequence"].is_u64()).count();
    assert!(whole > 1_000 && short > 0 && whole + short == 10_000, "{whole} {short}");
    worker.stop().await;
}

#[tokio::test]
async fn a_frame_is_answered_by_a_frame() {
    for outcomes in ["json", "bincode"] {
        let server = Server::start().await;
        Weir::setup(&server).await;
        let worker = Weir::ready(&server, &["--outcomes", outcomes]).await;
        let client = client(&server).await;
        opened(&client).await;
        ask(&client, "stock", receive("R-1", 1).to_string()).await;
        ask(&client, "orders", place("O-1").to_string()).await;
        let commands = [
            Command::Cancel(Cancel { order_id: "O-1".into(), ..Cancel::default() }),
            Command::Pay(Pay { order_id: "O-1".into(), ..Pay::default() }),
        ];
        let mut headers = HeaderMap::new();
        headers.insert("content-type", Format::Bincode.content_type());
        let payload = encode_commands(Format::Bincode, &commands).into();
        let reply = client.request_with_headers("weir.submit.orders", headers, payload).await.unwrap();
        let content = reply.headers.as_ref().unwrap().get("Content-Type").unwrap();
        assert_eq!(content.as_str(), Format::Bincode.content_type());
        let replies = replies(Format::Bincode, &reply.payload).unwrap();
        assert_eq!(replies.len(), 2);
        assert!(matches!(&replies[0], Reply::Decided(outcome) if outcome.sequence == 4), "{replies:?}");
        assert!(matches!(&replies[1], Reply::Door(DoorReply::Refused { .. })), "{replies:?}");
        worker.stop().await;
    }
}

/// A message may ask for the work of 32,768 lines. Whoever sends a great order costs nobody else his answer, and whole orders of
/// which the door cannot know how great they are go again, alone.
#[tokio::test]
async fn great_orders_cost_nobody_an_answer() {
    let (_server, worker, client) = shop(1_000_000).await;
    let lines: Vec<_> =
        (0..2_000).map(|number| json!({"sku": format!("A{number}"), "quantity": 1})).collect();
    let receipt: Vec<_> =
        (0..2_000).map(|number| json!({"sku": format!("A{number}"), "quantity": 100})).collect();
    let told =
        ask(&client, "stock", json!({"receive": {"receipt_id": "R-2", "lines": receipt}}).to_string()).await;
    assert_eq!(told["outcome"], "received");
    let great = |id: String| json!({"place": {"order_id": id, "lines": lines}});
    let asks = (0..20).map(|number| {
        let (client, great, small) =
            (client.clone(), great(format!("G-{number}")), place(&format!("S-{number}")));
        tokio::spawn(async move {
            (ask(&client, "orders", great.to_string()).await, ask(&client, "orders", small.to_string()).await)
        })
    });
    for asked in asks.collect::<Vec<_>>() {
        let (great, small) = soon("the answers", asked).await.unwrap();
        assert_eq!((&great["outcome"], &small["outcome"]), (&json!("confirmed"), &json!("confirmed")));
    }
    let cancels: Vec<_> =
        (0..20).map(|number| json!({"cancel": {"order_id": format!("G-{number}")}})).collect();
    let told = ask(&client, "orders", json!(cancels).to_string()).await;
    assert!(told.as_array().unwrap().iter().all(|one| one["outcome"] == "cancelled"), "{told}");
    assert!(worker.metric("weir_door_sent_alone_total") > 0.0);
    worker.stop().await;
}

/// Door and leader in different processes, and the leader is killed while requests go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_makes_no_answer_wrong() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    // A door that dies with its leader leaves its requests to their clients' patience: these have none.
    let config = server.folder().join("leader.toml");
    std::fs::write(&config, "[door]\nenabled = false\n").unwrap();
    let without_door = ["--config", config.to_str().unwrap()];
    let mut leader = Weir::ready(&server, &without_door).await;
    let standby = Weir::ready(&server, &without_door).await;
    let door = only_door(&server, "").await;
    let client = client(&server).await;
    opened(&client).await;
    ask(&client, "stock", receive("R-1", 300).to_string()).await;
    let (asked, told) = tokio::sync::mpsc::channel(1_024);
    let asking: Vec<_> = (0..8)
        .map(|number| {
            let (client, asked) = (client.clone(), asked.clone());
            tokio::spawn(async move {
                for order in 0..60 {
                    let id = format!("O-{number}-{order}");
                    let told = ask_once(&client, "orders", place(&id).to_string()).await;
                    asked.send((id, told)).await.unwrap();
                }
            })
        })
        .collect();
    drop(asked);
    let mut told = told;
    let mut first: BTreeMap<String, Value> = BTreeMap::new();
    while let Some((id, reply)) = soon("the next reply", told.recv()).await {
        if first.len() == 100 {
            leader.kill();
        }
        first.insert(id, reply);
    }
    for asking in asking {
        asking.await.unwrap();
    }
    assert_eq!(first.len(), 480);
    // The retry agrees with what was decided.
    let mut decided = 0;
    for (id, reply) in &first {
        let again = until("a decision", async || {
            let again = ask(&client, "orders", place(id).to_string()).await;
            again["at"].is_string().then_some(again)
        })
        .await;
        if reply["at"].is_string() {
            decided += 1;
            assert_eq!(again["outcome"], reply["outcome"], "{reply} {again}");
            assert_eq!((&again["duplicate"], &again["first_sequence"]), (&json!(true), &reply["sequence"]));
        } else if reply["outcome"] == "accepted" {
            assert_eq!((&again["duplicate"], &again["first_sequence"]), (&json!(true), &reply["sequence"]));
        } else {
            let explicit = ["unknown", "busy", "unavailable"];
            assert!(explicit.contains(&reply["outcome"].as_str().unwrap()), "{reply}");
        }
    }
    assert!(decided > 0, "{decided}");
    let announced = audit(&server).await;
    let firsts = |outcome: &str| {
        announced.iter().filter(|one| one["outcome"] == outcome && one["duplicate"] != true).count()
    };
    assert_eq!((firsts("confirmed"), firsts("refused")), (300, 180));
    door.stop().await;
    standby.stop().await;
}

/// Without a leader an order is stored, and said to be; then nothing more is, until there is one again.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_without_a_leader_is_told_and_so_is_too_much() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let door = only_door(&server, "within_ms = 300\npending_max = 2\n").await;
    let client = client(&server).await;
    opened(&client).await;
    let first = ask_once(&client, "orders", place("O-1").to_string()).await;
    assert_eq!((&first["outcome"], &first["index"]), (&json!("accepted"), &json!(0)), "{first}");
    assert!(first["sequence"].is_u64());
    // Patience of its own.
    let mut headers = HeaderMap::new();
    headers.insert("Weir-Within-Ms", "20000");
    let patient = {
        let client = client.clone();
        tokio::spawn(async move {
            let payload = json!([place("O-2"), place("O-3")]).to_string().into();
            client.request_with_headers("weir.submit.orders", headers, payload).await.unwrap()
        })
    };
    let log = streams(&server).await;
    until("the patient's orders to be stored", async || {
        (log.log_state().await.ok()?.last_sequence == 3).then_some(())
    })
    .await;
    let busy = until("too much", async || {
        let told = ask_once(&client, "orders", place("O-4").to_string()).await;
        (told["outcome"] == "busy").then_some(told)
    })
    .await;
    assert!((20..=1_000).contains(&busy["retry_after_ms"].as_u64().unwrap()), "{busy}");
    until("the standstill to be seen", async || {
        let told = ask_once(&client, "orders", json!([place("O-5")]).to_string()).await;
        (told[0]["outcome"] == "unavailable").then_some(())
    })
    .await;
    let leader = Weir::ready(&server, &[]).await;
    let told: Value = serde_json::from_slice(&soon("the patient", patient).await.unwrap().payload).unwrap();
    assert_eq!((&told[0]["reason"], &told[1]["reason"]), (&json!("unknown_sku"), &json!("unknown_sku")));
    until("answers again", async || {
        let told = ask_once(&client, "orders", place("O-6").to_string()).await;
        (told["reason"] == "unknown_sku").then_some(())
    })
    .await;
    door.stop().await;
    leader.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_closes_answers_what_it_has_and_then_nobody_does() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let door = only_door(&server, "within_ms = 30000\n").await;
    let client = client(&server).await;
    opened(&client).await;
    let asked = {
        let client = client.clone();
        tokio::spawn(async move { ask_once(&client, "orders", place("O-1").to_string()).await })
    };
    let log = streams(&server).await;
    until("the order to be stored", async || (log.log_state().await.ok()?.last_sequence == 2).then_some(()))
        .await;
    door.signal("TERM");
    let told = soon("the answer", asked).await.unwrap();
    assert_eq!((&told["outcome"], &told["sequence"]), (&json!("accepted"), &json!(2)), "{told}");
    assert_eq!(door.finish().await.code, Some(0));
    let error = client.request("weir.submit.orders", place("O-2").to_string().into()).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::NoResponders);
}

#[tokio::test]
async fn a_full_log_is_told() {
    let server = Server::start().await;
    let config = server.folder().join("small.toml");
    std::fs::write(&config, "[streams]\nlog_bytes_max = 1048576\n").unwrap();
    let ended = Weir::on(&server, &["setup", "--config", config.to_str().unwrap()]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let door = only_door(&server, "").await;
    let client = client(&server).await;
    opened(&client).await;
    let context = plain(&server).await;
    for bytes in [900_000, 100_000] {
        publish(&context, format!("{{\"tick\":{{}}}}{}", " ".repeat(bytes))).await;
    }
    let lines = vec![json!({"sku": "A-0123456789-0123456789-0123456789-0123456789", "quantity": 1}); 2_000];
    let great = json!({"place": {"order_id": "O-1", "lines": lines}});
    let told = ask_patiently(&client, "orders", great.to_string()).await;
    assert_eq!((&told["outcome"], &told["detail"]), (&json!("busy"), &json!("the log is full")), "{told}");
    door.stop().await;
}

/// What the contract says of retries, through the door.
#[tokio::test]
async fn retries_are_what_the_contract_says() {
    let (_server, worker, client) = shop(10).await;
    let at = |id: &str, submitted_at: &str| {
        let mut order = place(id);
        order["place"]["submitted_at"] = submitted_at.into();
        order.to_string()
    };
    let now = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    let now = String::from_utf8(now.stdout).unwrap();
    let now = now.trim();
    let first = ask(&client, "orders", at("O-1", now)).await;
    assert_eq!(first["outcome"], "confirmed");
    // With a new time it is the same order.
    let mut later: i64 = now[17..19].parse().unwrap();
    later = (later + 1) % 60;
    let again = ask(&client, "orders", at("O-1", &format!("{}{later:02}Z", &now[..17]))).await;
    assert_eq!((&again["duplicate"], &again["first_sequence"]), (&json!(true), &first["sequence"]));
    // With other content it is another one.
    let mut other = place("O-1");
    other["place"]["lines"][0]["quantity"] = 2.into();
    assert_eq!(ask(&client, "orders", other.to_string()).await["reason"], "id_conflict");
    // After it was cancelled it is told as it was decided, and as it is now.
    let cancelled = ask(&client, "orders", r#"{"cancel":{"order_id":"O-1"}}"#).await;
    assert_eq!(cancelled["outcome"], "cancelled");
    let again = ask(&client, "orders", at("O-1", now)).await;
    assert_eq!((&again["outcome"], &again["state"]), (&json!("confirmed"), &json!("cancelled")));
    // At the window's edge: what is remembered is answered, what is older than that is too old.
    let short = json!({"policy": {"closed_window_ms": 1, "closed_orders_max": 1, "settled_window_ms": 1, "settled_orders_max": 1}});
    assert_eq!(ask(&client, "policy", short.to_string()).await["outcome"], "policy_applied");
    let old = ask(&client, "orders", at("O-9", "2020-01-01T00:00:00Z")).await;
    until("the order to be forgotten", async || {
        for number in 0..3 {
            let id = format!("P-{number}");
            ask(&client, "orders", place(&id).to_string()).await;
            ask(&client, "orders", json!({"cancel": {"order_id": id}}).to_string()).await;
        }
        let told = ask(&client, "orders", at("O-1", now)).await;
        (told["reason"] == "too_old").then_some(())
    })
    .await;
    assert!(old["reason"] == "too_old" || old["outcome"] == "confirmed", "{old}");
    worker.stop().await;
}

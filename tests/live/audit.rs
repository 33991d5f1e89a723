//! `weir audit`, on a real server.

use async_nats::HeaderMap;
use serde_json::{Value, json};
use weir::edges::streams::Streams as _;

use crate::cli::{fails, file, worker};
use crate::nats::{Server, soon, until};
use crate::weir::{Ended, Weir, audit, place, plain, publish, receive, streams};

/// What it says of the only shard.
async fn audited(server: &Server, code: i32, arguments: &[&str]) -> Value {
    let ended = Weir::on(server, &[&["audit", "--json"], arguments].concat()).await;
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let mut shards: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(shards.len(), 1);
    shards.remove(0)
}

#[tokio::test]
async fn what_a_worker_announced_is_audited_while_it_goes_on() {
    let (server, worker) = worker().await;
    let context = plain(&server).await;
    let load = crate::weir::Load::start(&server).await;
    until("some orders", async || {
        (worker.metric("weir_announced_sequence{shard=\"main\"}") > 50.0).then_some(())
    })
    .await;
    let during = audited(&server, 0, &[]).await;
    assert_eq!((&during["agrees"], &during["from"]), (&json!(true), &json!("start")), "{during}");
    assert!(during["outcomes"].as_u64().unwrap() > 50, "{during}");
    load.stop().await;
    publish(&context, &b"no command"[..]).await;
    let outcomes = audit(&server).await.len();
    let whole = audited(&server, 0, &["--shard", "main", "--from", "start"]).await;
    assert_eq!((&whole["outcomes"], &whole["unannounced"]), (&json!(outcomes), &json!(0)), "{whole}");
    let status: Value = serde_json::from_str(&worker.get("/status?digests").1).unwrap();
    assert_eq!(status["shards"][0]["inspected"]["state"], whole["state"], "{status} {whole}");
    let text = Weir::on(&server, &["audit"]).await;
    assert_eq!(text.code, Some(0), "{text:?}");
    assert!(text.stdout.starts_with("shard main\n"), "{text:?}");
    assert!(text.stdout.contains("agrees              true\n"), "{text:?}");

    fails(&Weir::on(&server, &["audit", "--shard", "other"]).await, 1, &["no shard \"other\""]);
    fails(&Weir::on(&server, &["audit", "--from", "here"]).await, 2, &["oldest-snapshot"]);
    let none = audited(&server, 1, &["--from", "snapshot"]).await;
    assert_eq!(none["agrees"], Value::Null);
    assert!(none["error"].as_str().unwrap().starts_with("of 0 snapshots"), "{none}");
    worker.stop().await;
    assert_eq!(audited(&server, 0, &[]).await["outcomes"], json!(outcomes));
}

#[tokio::test]
async fn it_begins_with_a_snapshot_where_the_log_was_trimmed() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let config = file(&server, "weir.toml", "[snapshots]\nevery_records = 1000\n");
    let worker = Weir::ready(&server, &["--config", &config]).await;
    let context = plain(&server).await;
    publish(&context, receive("R-1", 5_000).to_string()).await;
    let streams = streams(&server).await;
    let mut orders = 0;
    while streams.log_state().await.unwrap().first_sequence == 1 {
        for _ in 0..20 {
            let batch: Vec<_> = (orders..orders + 50).map(|order| place(&format!("O-{order}"))).collect();
            orders += 50;
            publish(&context, json!(batch).to_string()).await;
        }
        let before = worker.metric("weir_snapshots_total{shard=\"main\",end=\"taken\"}");
        until("a snapshot", async || {
            (worker.metric("weir_snapshots_total{shard=\"main\",end=\"taken\"}") > before).then_some(())
        })
        .await;
    }
    let found = audited(&server, 0, &[]).await;
    assert!(found["from"].as_str().unwrap().starts_with("main."), "{found}");
    assert!(found["outcomes"].as_u64().unwrap() >= 1_000, "{found}");
    assert_eq!(found["snapshots"].as_array().unwrap().len(), 2, "{found}");
    let newest = audited(&server, 0, &["--from", "snapshot"]).await;
    assert!(newest["from_sequence"].as_u64() > found["from_sequence"].as_u64(), "{newest}");
    // Whatever else folds the log begins there, too.
    let status = Weir::on(&server, &["status", "--json", "--digests"]).await;
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(
        (&status["shards"][0]["inspected"]["state"], &status["shards"][0]["inspected"]["ledger"]),
        (&newest["state"], &newest["ledger"]),
        "{status}"
    );
    let policy = Weir::on(&server, &["policy", "show"]).await;
    assert!(policy.code == Some(0) && policy.stdout.contains("pay_within_ms"), "{policy:?}");
    assert_eq!(newest["state"], found["state"]);
    let refused = audited(&server, 1, &["--from", "start"]).await;
    assert!(refused["error"].as_str().unwrap().contains("was trimmed"), "{refused}");
    worker.stop().await;
}

/// A worker that has announced four messages, and was stopped.
async fn announced() -> Server {
    let (server, worker) = worker().await;
    let context = plain(&server).await;
    publish(&context, receive("R-1", 1).to_string()).await;
    audit(&server).await;
    publish(&context, place("O-1").to_string()).await;
    audit(&server).await;
    publish(&context, place("O-2").to_string()).await;
    audit(&server).await;
    worker.stop().await;
    server
}

/// Publishes to the outcome stream, as nobody but a worker should.
async fn forge(server: &Server, headers: &[(&str, &str)], payload: &'static str) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    let context = plain(server).await;
    let ack = context.publish_with_headers("weir.outcomes.main", map, payload.into()).await.unwrap();
    soon("the acknowledgement", async { ack.await }).await.unwrap();
}

async fn disagreement(server: &Server) -> String {
    let found = audited(server, 1, &[]).await;
    assert_eq!(found["agrees"], json!(false), "{found}");
    let text: Ended = Weir::on(server, &["audit"]).await;
    let first = found["first_disagreement"].as_str().unwrap().to_owned();
    assert!(text.code == Some(1) && text.stdout.contains(&first), "{text:?}");
    first
}

#[tokio::test]
async fn what_was_forged_or_taken_away_is_named() {
    let server = announced().await;
    // The log goes on, and somebody else announces what comes of it.
    let sequence = publish(&plain(&server).await, place("O-3").to_string()).await;
    assert_eq!(sequence, 5);
    let lag = audited(&server, 0, &[]).await;
    assert_eq!((&lag["unannounced"], &lag["outcomes_through"]), (&json!(1), &json!("4.0.0")), "{lag}");
    let headers = [
        ("Weir-From", "4.0.0"),
        ("Weir-Through", "5.0.0"),
        ("Weir-Rules", "1"),
        ("Weir-Writer", "somebody"),
        ("Weir-Chain", "5:0123456789abcdef"),
    ];
    let forged = r#"[{"outcome":"confirmed","order_id":"O-3","pay_by":null,"sequence":5,"index":0,"at":"2026-01-01T00:00:00Z"}]"#;
    forge(&server, &headers, forged).await;
    let first = disagreement(&server).await;
    assert!(first.contains("outcome 5.0.0 was announced as {\"outcome\":\"confirmed\""), "{first}");
    assert!(
        first.contains("the log gives {\"outcome\":\"refused\",\"command\":\"place\",\"order_id\":\"O-3\""),
        "{first}"
    );

    let server = announced().await;
    forge(&server, &[], "not even that").await;
    let first = disagreement(&server).await;
    assert_eq!(first, "append 5 cannot be read: outcome message 5: Weir-From is missing or malformed");

    // What the stream has dropped cannot be compared any more.
    let server = announced().await;
    let stream = plain(&server).await.get_stream("WEIR_OUTCOMES_main").await.unwrap();
    stream.purge().sequence(3).await.unwrap();
    let rest = audited(&server, 0, &[]).await;
    assert_eq!((&rest["outcomes_behind"], &rest["outcomes"]), (&json!("2.0.0"), &json!(2)), "{rest}");
}

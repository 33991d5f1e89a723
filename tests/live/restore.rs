//! Backing up and restoring: a deployment's streams, in another server, decide on from where they ended. `docs/operations.md`,
//! "Back up and restore", is this procedure; the `nats` tool speaks the same requests.

use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use weir::edges::streams::Streams as _;

use crate::nats::{Server, soon, until};
use crate::weir::{Weir, announced, place, plain, publish, receive, streams};

/// What is backed up, in this order. The leases are not: they say who is there now.
const STREAMS: [&str; 5] =
    ["WEIR_OUTCOMES_main", "WEIR_DEAD_LETTERS", "KV_WEIR_POINTERS", "OBJ_WEIR_SNAPSHOTS", "WEIR_LOG_main"];

/// A stream, as `nats stream backup` keeps it.
struct Backup {
    stream: &'static str,
    config: Value,
    state: Value,
    chunks: Vec<Bytes>,
}

async fn ask(client: &Client, subject: String, request: &Value) -> Value {
    let answer = soon(&subject, client.request(subject.clone(), request.to_string().into())).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer.get("error").is_none(), "{subject}: {answer}");
    answer
}

async fn back_up(client: &Client, stream: &'static str) -> Backup {
    let inbox = client.new_inbox();
    let mut pieces = client.subscribe(inbox.clone()).await.unwrap();
    let request = json!({"deliver_subject": inbox, "no_consumers": true, "chunk_size": 128 << 10});
    let answer = ask(client, format!("$JS.API.STREAM.SNAPSHOT.{stream}"), &request).await;
    let mut chunks = Vec::new();
    loop {
        let piece = soon("a piece of the backup", pieces.next()).await.unwrap();
        // What is empty is the end.
        if piece.payload.is_empty() {
            break;
        }
        chunks.push(piece.payload);
        if let Some(reply) = piece.reply {
            client.publish(reply, Bytes::new()).await.unwrap();
        }
    }
    Backup { stream, config: answer["config"].clone(), state: answer["state"].clone(), chunks }
}

async fn restore(client: &Client, backup: Backup) {
    let request = json!({"config": backup.config, "state": backup.state});
    let answer = ask(client, format!("$JS.API.STREAM.RESTORE.{}", backup.stream), &request).await;
    let subject = answer["deliver_subject"].as_str().unwrap().to_owned();
    for chunk in backup.chunks {
        let answer = soon("the restoring", client.request(subject.clone(), chunk)).await.unwrap();
        assert!(answer.payload.is_empty(), "{answer:?}");
    }
    let answer = soon("the end of the restoring", client.request(subject, Bytes::new())).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer["state"]["last_seq"], backup.state["last_seq"], "{answer}");
}

#[tokio::test]
async fn restored_streams_are_gone_on_with_and_nothing_is_announced_twice() {
    let server = Server::start().await;
    let config = server.folder().join("weir.toml");
    std::fs::write(&config, "[snapshots]\nevery_records = 1000\n").unwrap();
    let config = config.to_str().unwrap();
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &["--config", config]).await;
    let context = plain(&server).await;
    publish(&context, receive("R-1", 9_000).to_string()).await;
    let mut last = 0;
    for round in 0..2 {
        for batch in 0..11 {
            let order = |number| place(&format!("O-{round}-{batch}-{number}"));
            last = publish(&context, (0..100).map(order).collect::<Value>().to_string()).await;
        }
        until("a snapshot", async || {
            let taken = worker.metric("weir_snapshots_total{shard=\"main\",end=\"taken\"}");
            (taken > f64::from(round)).then_some(())
        })
        .await;
    }
    let streams_before = streams(&server).await;
    until("the log to be trimmed", async || {
        (streams_before.log_state().await.unwrap().first_sequence > 1).then_some(())
    })
    .await;
    // The workers first, so that what they announce stands still. Orders are stored meanwhile.
    worker.stop().await;
    let waiting = publish(&context, place("while nobody decides").to_string()).await;
    assert_eq!(waiting, last + 1);
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut backups = Vec::new();
    for stream in STREAMS {
        backups.push(back_up(&client, stream).await);
    }
    let before = announced(&streams_before).await;
    let unsaved = publish(&context, place("behind the backup").to_string()).await;
    drop(server);

    let server = Server::start().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    for backup in backups {
        restore(&client, backup).await;
    }
    let config = server.folder().join("weir.toml");
    std::fs::write(&config, "[snapshots]\nevery_records = 1000\n").unwrap();
    // It makes the leases, keeps what was restored, and adds no policy.
    let setup = Weir::on(&server, &["setup"]).await;
    assert_eq!(setup.code, Some(0), "{setup:?}");
    assert!(setup.stdout.contains("KV_WEIR_LEASES: created"), "{}", setup.stdout);
    // The streams, and the routes of doors among the pointers.
    assert_eq!(setup.stdout.matches("there already").count(), STREAMS.len() + 1, "{}", setup.stdout);
    let worker = Weir::ready(&server, &["--config", config.to_str().unwrap()]).await;
    let context = plain(&server).await;
    // What was stored behind the backup is lost: its sequence is another order's now.
    assert_eq!(publish(&context, place("after").to_string()).await, unsaved);
    let streams = streams(&server).await;
    until("the last outcome", async || {
        (streams.last_outcomes().await.unwrap()?.append.header.through.sequence == unsaved).then_some(())
    })
    .await;
    let after = announced(&streams).await;
    assert_eq!(after[..before.len()], before);
    let added: Vec<_> =
        after[before.len()..].iter().map(|outcome| outcome["order_id"].as_str().unwrap()).collect();
    assert_eq!(added, ["while nobody decides", "after"]);
    let log = worker.log();
    assert!(!log.contains("recovering shard=\"main\" snapshot=0 "), "{log}");
    worker.stop().await;
}

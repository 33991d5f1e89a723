//! A server that went back to an older copy of a log and took new orders into it, and the way out.

use std::path::Path;

use serde_json::{Value, json};
use weir::edges::streams::Streams as _;

use crate::nats::{Server, until};
use crate::weir::{Weir, announced, place, plain, publish, receive, streams};

const LOG: &str = "jetstream/$G/streams/WEIR_LOG_main";

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Sends orders, and waits until they are announced.
async fn decided(server: &Server, ids: &[&str]) {
    let context = plain(server).await;
    let mut last = 0;
    for id in ids {
        last = publish(&context, place(id).to_string()).await;
    }
    let streams = streams(server).await;
    until("the outcomes", async || {
        (streams.last_outcomes().await.unwrap()?.append.header.through.sequence == last).then_some(())
    })
    .await;
}

/// A server whose log has lost B-1 to B-3, which were announced, and holds others in their place; and its configuration.
async fn rewritten(every_records: u64) -> (Server, String) {
    let mut server = Server::start().await;
    let path = server.folder().join("weir.toml");
    let write =
        |every: u64| std::fs::write(&path, format!("[snapshots]\nevery_records = {every}\n")).unwrap();
    write(1_000_000);
    let config = path.to_str().unwrap().to_owned();
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &["--config", &config]).await;
    publish(&plain(&server).await, receive("R-1", 4).to_string()).await;
    decided(&server, &["A-1"]).await;
    let refused = Weir::on(&server, &["epoch", "--config", &config]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("leads shard main"), "{refused:?}");
    worker.stop().await;
    server.stop();
    let log = server.store().join(LOG);
    let kept = server.folder().join("older");
    copy(&log, &kept);
    server.restart().await;
    write(every_records);
    let worker = Weir::ready(&server, &["--config", &config]).await;
    // With the policy, the receipt, A-1, and these two, a thousand records: B-3 comes behind the snapshot.
    let ticks = json!(vec![json!({"tick": {}}); 995]).to_string();
    publish(&plain(&server).await, ticks).await;
    decided(&server, &["B-1", "B-2"]).await;
    if every_records == 1_000 {
        until("a snapshot", async || {
            (worker.metric("weir_snapshots_total{shard=\"main\",end=\"taken\"}") > 0.0).then_some(())
        })
        .await;
    }
    decided(&server, &["B-3"]).await;
    worker.stop().await;
    server.stop();
    copy(&kept, &log);
    server.restart().await;
    let context = plain(&server).await;
    publish(&context, place("B-3").to_string()).await;
    publish(&context, place("C-1").to_string()).await;
    (server, config)
}

/// The ids in what `weir epoch` lists.
fn listed(stdout: &str) -> Vec<String> {
    let id =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["order_id"].as_str().unwrap().to_owned();
    stdout.lines().map(id).collect()
}

async fn goes_on(server: &Server, config: &str, gone: &[&str]) -> Vec<(String, String)> {
    let before = announced(&streams(server).await).await;
    // A worker finds it out, says so, and announces nothing.
    let worker = Weir::worker(&server.url(), &["--config", config]).await;
    until("the fault, and the way out", async || {
        let (_, status) = worker.get("/readyz");
        (status.contains("outcomes ahead") && status.contains("weir epoch")).then_some(())
    })
    .await;
    worker.stop().await;

    let looked = Weir::on(server, &["epoch", "--config", config]).await;
    assert_eq!(looked.code, Some(0), "{looked:?}");
    assert_eq!(listed(&looked.stdout), gone, "{looked:?}");
    assert!(looked.stderr.contains("nothing was changed"), "{looked:?}");
    assert_eq!(announced(&streams(server).await).await, before);
    let begun = Weir::on(server, &["epoch", "--config", config, "--yes"]).await;
    assert_eq!((begun.code, listed(&begun.stdout)), (Some(0), listed(&looked.stdout)), "{begun:?}");
    let again = Weir::on(server, &["epoch", "--config", config, "--yes"]).await;
    assert!(again.code == Some(0) && again.stderr.contains("nothing to be done"), "{again:?}");

    let worker = Weir::ready(server, &["--config", config]).await;
    decided(server, &["D-1", "D-2"]).await;
    let after = announced(&streams(server).await).await;
    assert_eq!(after[..before.len()], before);
    let audited = Weir::on(server, &["audit", "--config", config]).await;
    assert_eq!(audited.code, Some(0), "{audited:?}");
    worker.stop().await;
    let told = |outcome: &Value, name: &str| outcome[name].as_str().unwrap().to_owned();
    after[before.len()..]
        .iter()
        .map(|outcome| (told(outcome, "order_id"), told(outcome, "outcome")))
        .collect()
}

fn decided_as(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, outcome)| ((*id).to_owned(), (*outcome).to_owned())).collect()
}

#[tokio::test]
async fn without_a_snapshot_the_log_is_gone_on_with_from_where_it_departs() {
    let (server, config) = rewritten(1_000_000).await;
    let after = goes_on(&server, &config, &["B-1", "B-2", "B-3"]).await;
    // Four units: A-1 had one, and B-1 and B-2 are gone.
    let expected = [("B-3", "confirmed"), ("C-1", "confirmed"), ("D-1", "confirmed"), ("D-2", "refused")];
    assert_eq!(after, decided_as(&expected));
}

#[tokio::test]
async fn what_a_snapshot_holds_is_not_gone() {
    let (server, config) = rewritten(1_000).await;
    let after = goes_on(&server, &config, &["B-3"]).await;
    let expected = [("B-3", "confirmed"), ("C-1", "refused"), ("D-1", "refused"), ("D-2", "refused")];
    assert_eq!(after, decided_as(&expected));
}

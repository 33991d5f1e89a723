//! The examples of `docs/clients.md`, run as they stand against a real server and a worker with a door; and what the page says of NATS.

use std::path::{Path, PathBuf};
use std::process::Command;

use async_nats::HeaderMap;
use serde_json::{Value, json};
use weir_kit::process::{Ending, Input, Process};
use weir_kit::{folder, scratch};

use crate::docs::blocks;
use crate::nats::{PATIENCE, Server, soon, until};
use crate::weir::{Weir, audit, place, plain};

const PAGE: &str = include_str!("../../docs/clients.md");

/// The only example in a language.
fn example(language: &str) -> String {
    let mut found = blocks(PAGE, language);
    assert_eq!(found.len(), 1, "{language}");
    found.remove(0).1
}

/// A worker with a door, and stock.
async fn open() -> (Server, Weir) {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    until("the door", async || worker.log().contains("the door is open").then_some(())).await;
    let stock =
        r#"{"receive":{"receipt_id":"R","lines":[{"sku":"85123A","quantity":9},{"sku":"A","quantity":9}]}}"#;
    assert_eq!(Weir::on(&server, &["submit", stock]).await.code, Some(0));
    (server, worker)
}

async fn run(server: &Server, mut command: Command, order: &str) {
    command.env("NATS_URL", server.url());
    let process = Process::start("example", command, Input::None, Ending::Killed).unwrap();
    let ended = process.finish(PATIENCE).await.unwrap();
    assert_eq!(ended.stdout, format!("confirmed {order}\ncancelled {order}\nis cancelled\n"), "{ended:?}");
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn python_hears_its_answer() {
    if !succeeds("python3", &["-c", "import nats"]) {
        weir_kit::skipped("python3 has no nats-py");
        return;
    }
    let (server, _worker) = open().await;
    let mut command = Command::new("python3");
    command.args(["-c", &example("python")]);
    run(&server, command, "P-1").await;
}

#[tokio::test]
async fn node_hears_its_answer() {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/node/node_modules");
    if !modules.join("@nats-io/transport-node").is_dir() || !succeeds("node", &["--version"]) {
        weir_kit::skipped(&format!(
            "there is no node, or no @nats-io/transport-node in {}",
            modules.display()
        ));
        return;
    }
    let (server, _worker) = open().await;
    let folder = folder(&scratch(), "node").unwrap();
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    let program = folder.path().join("checkout.mjs");
    std::fs::write(&program, example("js")).unwrap();
    let mut command = Command::new("node");
    command.arg(program);
    run(&server, command, "N-1").await;
}

/// Cargo builds examples beside the tests.
pub(crate) fn built(example: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(2).unwrap().join("examples").join(example)
}

#[tokio::test]
async fn rust_hears_its_answer() {
    let source = include_str!("../../examples/checkout.rs");
    let (_, program) = source.split_once("\n\n").unwrap();
    assert!(program == example("rust"), "examples/checkout.rs is not what the page shows");
    let (server, _worker) = open().await;
    run(&server, Command::new(built("checkout")), "R-1").await;
}

/// The shell's example under a heading.
fn shell(heading: &str) -> String {
    let found = blocks(PAGE, "sh").into_iter().find(|(above, _)| above == heading);
    found.unwrap().1
}

#[tokio::test]
async fn curl_hears_its_answer() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let config = server.folder().join("weir.toml");
    std::fs::write(&config, "[http]\naddress = \"127.0.0.1:0\"\ncommands = [\"orders\"]\n").unwrap();
    let worker = Weir::ready(&server, &["--config", config.to_str().unwrap()]).await;
    let stock = r#"{"receive":{"receipt_id":"R","lines":[{"sku":"85123A","quantity":9}]}}"#;
    assert_eq!(Weir::on(&server, &["submit", stock]).await.code, Some(0));
    let log = worker.log();
    let (_, address) = log.split_once("the HTTP API listens address=").unwrap();
    let address = address.split_whitespace().next().unwrap();
    let mut command = Command::new("sh");
    command.args(["-e", "-c", &shell("curl").replace("127.0.0.1:9466", address)]);
    let process = Process::start("curl", command, Input::None, Ending::Killed).unwrap();
    let ended = process.finish(PATIENCE).await.unwrap();
    for outcome in ["confirmed", "cancelled"] {
        assert!(ended.stdout.contains(&format!("\"outcome\":\"{outcome}\"")), "{ended:?}");
    }
    assert!(ended.stdout.contains("\"state\":\"cancelled\""), "{ended:?}");
}

#[tokio::test]
async fn the_nats_command_line_hears_its_answer() {
    if !succeeds("nats", &["--version"]) {
        weir_kit::skipped("there is no nats command line on the PATH");
        return;
    }
    let (server, _worker) = open().await;
    let mut command = Command::new("sh");
    command.args(["-e", "-c", &shell("The nats command line")]).env("NATS_URL", server.url());
    let process = Process::start("nats", command, Input::None, Ending::Killed).unwrap();
    let ended = process.finish(PATIENCE).await.unwrap();
    for outcome in ["confirmed", "cancelled"] {
        assert!(ended.stdout.contains(&format!("\"outcome\":\"{outcome}\"")), "{ended:?}");
    }
    assert!(ended.stdout.contains("\"state\":\"cancelled\""), "{ended:?}");
}

#[tokio::test]
async fn a_message_id_costs_another_order_its_place_in_the_log() {
    let (server, _worker) = open().await;
    let context = plain(&server).await;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", "1");
    // Until both come within the server's window: a busy machine may be slower than that.
    let gone = until("two messages within the window", async || {
        let mut acks = Vec::new();
        for id in ["O-1", "O-2"] {
            let payload = place(id).to_string().into();
            let sent = context.publish_with_headers("weir.log.main", headers.clone(), payload).await.unwrap();
            acks.push(sent);
        }
        let mut duplicates = Vec::new();
        for ack in acks {
            duplicates.push(soon("the log's acknowledgement", async { ack.await }).await.unwrap().duplicate);
        }
        (duplicates == [false, true]).then_some("O-2")
    })
    .await;
    // As many messages as decisions, and none of the one that was thrown away in the last round: with slow rounds before, O-2 is known.
    let announced = audit(&server).await;
    let placed: Vec<_> = announced.iter().filter(|outcome| outcome["order_id"] == gone).collect();
    let others = announced.iter().filter(|outcome| outcome["order_id"] == "O-1").count();
    assert!(placed.len() < others, "{announced:?}");
}

/// Asks the door, and gives the reply.
async fn ask(server: &Server, headers: HeaderMap, payload: Vec<u8>) -> Value {
    let client = async_nats::connect(server.url()).await.unwrap();
    let request = client.request_with_headers("weir.submit.orders", headers, payload.into());
    let reply = soon("the door's answer", request).await.unwrap();
    serde_json::from_slice(&reply.payload).unwrap()
}

#[tokio::test]
async fn header_names_are_taken_whatever_their_case() {
    let (server, _worker) = open().await;
    for name in ["Content-Type", "content-type", "CONTENT-TYPE"] {
        let mut headers = HeaderMap::new();
        headers.insert(name, "text/plain");
        let reply = ask(&server, headers, place("O-1").to_string().into_bytes()).await;
        assert_eq!(
            (&reply["outcome"], &reply["reason"]),
            (&json!("refused"), &json!("unknown_content_type")),
            "{reply}"
        );
    }
    // The same by the log.
    let context = plain(&server).await;
    let mut headers = HeaderMap::new();
    headers.insert("content-TYPE", "text/plain");
    let sent = context
        .publish_with_headers("weir.log.main", headers, place("O-1").to_string().into())
        .await
        .unwrap();
    soon("the log's acknowledgement", async { sent.await }).await.unwrap();
    let announced = audit(&server).await;
    assert_eq!(announced.last().unwrap()["reason"], "unknown_content_type", "{announced:?}");
}

/// Whoever may only ask must not make the worker write where only workers may: by a reply subject that purges the log.
#[tokio::test]
async fn the_door_answers_nobody_where_only_a_worker_may_write() {
    let (server, _worker) = open().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    for (number, reply) in
        ["$JS.API.STREAM.PURGE.WEIR_LOG_main", "$KV.WEIR_LEASES.main", "weir.log.main"].iter().enumerate()
    {
        let order = place(&format!("O-{number}")).to_string();
        client.publish_with_reply("weir.submit.orders", *reply, order.into()).await.unwrap();
    }
    client.flush().await.unwrap();
    // One that is answered comes behind the others: they are decided by then, and their replies would have been sent.
    let last = ask(&server, HeaderMap::new(), place("O-last").to_string().into_bytes()).await;
    assert_eq!(last["outcome"], "confirmed", "{last}");
    let announced = audit(&server).await;
    for number in 0..3 {
        let id = format!("O-{number}");
        assert!(announced.iter().any(|outcome| outcome["order_id"] == id.as_str()), "{id}: {announced:?}");
    }
    assert!(announced.iter().all(|outcome| outcome["outcome"] != "dead_lettered"), "{announced:?}");
}

//! What others do to a worker's streams and connections while it runs: the real binary on a real server.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use serde_json::{Value, json};
use weir::edges::streams::Streams as _;

use crate::nats::{Server, until};
use crate::poison;
use crate::weir::{Weir, audit, place, plain, publish, receive, streams, value};

/// Stands between a worker and its server, and cuts off the connections of one name: they stay open, and nothing comes through.
struct Proxy {
    port: u16,
    cut: Arc<AtomicBool>,
}

impl Proxy {
    /// `name` is a part of the names that are cut off once that is told.
    fn start(server: &Server, name: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (to, cut) = (server.port(), Arc::new(AtomicBool::new(false)));
        let told = cut.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, told) = (client.unwrap(), told.clone());
                std::thread::spawn(move || carry(client, to, name, &told));
            }
        });
        Self { port, cut }
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn cut_off(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

/// Carries one connection, whose client says its name in its first line.
fn carry(client: TcpStream, port: u16, name: &str, told: &Arc<AtomicBool>) -> Option<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let mut greeting = String::new();
    BufReader::with_capacity(1, server.try_clone().ok()?).read_line(&mut greeting).ok()?;
    (&client).write_all(greeting.as_bytes()).ok()?;
    let mut connect = String::new();
    BufReader::with_capacity(1, client.try_clone().ok()?).read_line(&mut connect).ok()?;
    let is_named = connect.contains(name);
    if is_named && told.load(Ordering::SeqCst) {
        // It is never answered.
        std::thread::park();
    }
    server.write_all(connect.as_bytes()).ok()?;
    let both = [(client.try_clone().ok()?, server.try_clone().ok()?), (server, client)];
    for (from, to) in both {
        let told = told.clone();
        std::thread::spawn(move || pass_on(from, to, is_named, &told));
    }
    Some(())
}

fn pass_on(mut from: impl Read, mut to: impl Write, is_named: bool, told: &AtomicBool) -> Option<()> {
    let mut bytes = [0; 16 << 10];
    loop {
        let count = from.read(&mut bytes).ok().filter(|count| *count > 0)?;
        while is_named && told.load(Ordering::SeqCst) {
            std::thread::park();
        }
        to.write_all(&bytes[..count]).ok()?;
    }
}

/// What `/status` says of the only shard.
fn shard(worker: &Weir) -> Value {
    let status: Value = serde_json::from_str(&worker.get("/status").1).unwrap();
    status["shards"][0].clone()
}

/// The connection that a leader reads its log over is cut off, and all others are whole: its lease goes to the standby.
#[tokio::test]
async fn a_leader_that_reads_nothing_gives_its_lease_up() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let proxy = Proxy::start(&server, "consuming main");
    let mut leader = Weir::worker(&proxy.url(), &["--name", "cut-off"]).await;
    leader.until_readyz(200).await;
    until("a leader", async || (shard(&leader)["role"] == "leader").then_some(())).await;
    let standby = Weir::ready(&server, &["--name", "whole"]).await;
    until("a standby", async || (shard(&standby)["life"] == "following").then_some(())).await;
    let context = plain(&server).await;
    publish(&context, receive("R-1", 10).to_string()).await;
    audit(&server).await;
    proxy.cut_off();
    let placed = publish(&context, place("O-1").to_string()).await;
    until("the standby to lead", async || (shard(&standby)["role"] == "leader").then_some(())).await;
    until("the order to be decided", async || {
        let last = streams(&server).await.last_outcomes().await.ok()??;
        (last.append.header.through.sequence == placed && last.append.header.writer == "whole").then_some(())
    })
    .await;
    // It lives, and says that it gets no further.
    assert_eq!(leader.get("/livez").0, 200);
    until("the other to know it", async || (shard(&leader)["role"] != "leader").then_some(())).await;
    leader.kill();
    standby.stop().await;
}

/// Somebody else writes to the outcome stream: before a worker is there, while it leads, and while another follows.
#[tokio::test]
async fn what_is_no_append_is_passed_over() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let context = plain(&server).await;
    let meddle = async || {
        context.publish("weir.outcomes.main", "not an append".into()).await.unwrap().await.unwrap();
    };
    meddle().await;
    let leader = Weir::ready(&server, &["--name", "one"]).await;
    let decided = async |sequence: u64| {
        until(&format!("message {sequence} to be announced"), async || {
            let last = streams(&server).await.last_outcomes().await.ok()??;
            (last.append.header.through.sequence == sequence).then_some(())
        })
        .await;
    };
    decided(publish(&context, receive("R-1", 10).to_string()).await).await;
    meddle().await;
    decided(publish(&context, place("O-1").to_string()).await).await;
    let standby = Weir::ready(&server, &["--name", "two"]).await;
    until("a standby", async || (shard(&standby)["life"] == "following").then_some(())).await;
    meddle().await;
    decided(publish(&context, place("O-2").to_string()).await).await;
    until("the standby to have seen it", async || {
        let announced = standby.metric("weir_announced_sequence{shard=\"main\"}");
        let decided = streams(&server).await.log_state().await.unwrap().last_sequence;
        ((announced - f64::from(u32::try_from(decided).unwrap())).abs() < 0.5).then_some(())
    })
    .await;
    let (_, text) = standby.get("/metrics");
    let counted = value(&text, "weir_foreign_messages_total{stream=\"WEIR_OUTCOMES_main\"}");
    assert!(counted >= Some(1.0), "{text}\n{}", standby.log());
    leader.stop().await;
    decided(publish(&context, place("O-3").to_string()).await).await;
    meddle().await;
    standby.stop().await;
    let again = Weir::ready(&server, &[]).await;
    decided(publish(&context, place("O-4").to_string()).await).await;
    again.stop().await;
}

/// Without the stream of the dead letters nothing behind one is announced: the worker says why, and goes on once it is made.
#[tokio::test]
async fn a_missing_stream_of_dead_letters_is_named_and_made_again() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    let context = plain(&server).await;
    context.delete_stream("WEIR_DEAD_LETTERS").await.unwrap();
    publish(&context, "no command").await;
    let reason = until("the stream to be named", async || {
        let (_, reason) = worker.get("/readyz");
        reason.contains("WEIR_DEAD_LETTERS").then_some(reason)
    })
    .await;
    assert!(reason.contains("weir setup"), "{reason}");
    assert_eq!(worker.get("/livez").0, 200);
    Weir::setup(&server).await;
    worker.until_readyz(200).await;
    publish(&context, receive("R-1", 1).to_string()).await;
    let outcomes = audit(&server).await;
    assert_eq!(outcomes[1]["outcome"], "dead_lettered");
    assert_eq!(streams(&server).await.dead_letters(1).await.unwrap().len(), 1);
    worker.stop().await;
}

/// A thousand messages in a row whose headers break the connection that delivers them break it a few times, not a thousand.
#[tokio::test]
async fn unreadable_headers_in_a_row_break_a_connection_once() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    let before = worker.get("/metrics").1;
    let broken = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("weir_nats_disconnects_total"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    poison::publish_many(
        &server,
        b"NATS/1.0\r\nno colon here\r\n\r\n",
        receive("R-0", 1).to_string().as_bytes(),
        1_000,
    );
    let context = plain(&server).await;
    let placed = publish(&context, place("O-1").to_string()).await;
    until("the order behind them to be decided", async || {
        let last = streams(&server).await.last_outcomes().await.ok()??;
        (last.append.header.through.sequence == placed).then_some(())
    })
    .await;
    let times = broken(&worker.get("/metrics").1) - broken(&before);
    assert!((1.0..=8.0).contains(&times), "the connection broke {times} times");
    worker.stop().await;
}

/// The outcome stream is gone, and the log was trimmed: nothing is missing that was not announced, so the shard goes on from its
/// newest snapshot.
#[tokio::test]
async fn a_lost_outcome_stream_goes_on_from_the_newest_snapshot() {
    let server = Server::start().await;
    let file = server.folder().join("weir.toml");
    std::fs::write(&file, "[snapshots]\nevery_records = 1000\n").unwrap();
    let config = ["--config", file.to_str().unwrap()];
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &config).await;
    let context = plain(&server).await;
    let streams = streams(&server).await;
    // Until the log is trimmed, which takes two snapshots.
    let mut number = 0;
    until("the log to be trimmed", async || {
        let orders: Vec<_> = (number..number + 250).map(|number| place(&format!("O-{number}"))).collect();
        number += 250;
        publish(&context, json!(orders).to_string()).await;
        (streams.log_state().await.unwrap().first_sequence > 1).then_some(())
    })
    .await;
    worker.stop().await;
    // The snapshots are in the broker, and not in a folder.
    let folder = server.folder().join("elsewhere");
    std::fs::create_dir_all(&folder).unwrap();
    let elsewhere = server.folder().join("elsewhere.toml");
    std::fs::write(&elsewhere, format!("[snapshots]\nfolder = {folder:?}\n")).unwrap();
    let ended =
        Weir::on(&server, &["run", "--admin", "127.0.0.1:0", "--config", elsewhere.to_str().unwrap()]).await;
    assert!(ended.code == Some(78) && ended.stderr.contains("in one place"), "{ended:?}");
    context.delete_stream("WEIR_OUTCOMES_main").await.unwrap();
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &config).await;
    let received = publish(&context, receive("R-1", 5).to_string()).await;
    until("what came since to be decided", async || {
        let last = streams.last_outcomes().await.unwrap()?;
        (last.append.header.through.sequence >= received).then_some(())
    })
    .await;
    assert!(
        worker.log().contains("the outcome stream is empty, and the log was trimmed"),
        "{}",
        worker.log()
    );
    worker.stop().await;
}

/// Somebody gives a log a limit of age: the worker says so while nothing is lost yet, and again that all is well once it is set right.
#[tokio::test]
async fn a_limit_that_somebody_changed_is_seen_under_a_running_worker() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    let context = plain(&server).await;
    let limit = async |age: Duration| {
        let mut log = context.get_stream("WEIR_LOG_main").await.unwrap();
        let config = Config { max_age: age, ..log.info().await.unwrap().config.clone() };
        context.update_stream(config).await.unwrap();
    };
    let unsafe_settings = || worker.metric("weir_stream_unsafe_settings{shard=\"main\"}");
    assert!(unsafe_settings() < 0.5);
    limit(Duration::from_hours(1)).await;
    until("the limit to be seen", async || (unsafe_settings() > 0.5).then_some(())).await;
    assert!(worker.log().contains("WEIR_LOG_main: max_age is 3600 s"), "{}", worker.log());
    limit(Duration::ZERO).await;
    until("the limit to be gone", async || (unsafe_settings() < 0.5).then_some(())).await;
    worker.stop().await;
}

/// Somebody purges a log under a worker that still has the state: it takes a snapshot at once, so that a restart finds a way on.
#[tokio::test]
async fn a_purge_under_a_running_worker_is_made_up_for() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    let context = plain(&server).await;
    publish(&context, receive("R-1", 5).to_string()).await;
    let placed = publish(&context, place("O-1").to_string()).await;
    let streams = streams(&server).await;
    until("the order to be decided", async || {
        (streams.last_outcomes().await.unwrap()?.append.header.through.sequence == placed).then_some(())
    })
    .await;
    context.get_stream("WEIR_LOG_main").await.unwrap().purge().await.unwrap();
    until("a snapshot", async || {
        (worker.metric("weir_snapshot_sequence{shard=\"main\"}") > 0.5).then_some(())
    })
    .await;
    worker.stop().await;
    let worker = Weir::ready(&server, &[]).await;
    let again = publish(&context, place("O-1").to_string()).await;
    until("the order to be known", async || {
        (streams.last_outcomes().await.unwrap()?.append.header.through.sequence == again).then_some(())
    })
    .await;
    worker.stop().await;
}

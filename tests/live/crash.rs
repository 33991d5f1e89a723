//! A server that is killed at each of a worker's writes, one after the other: right before it would get it, or right after.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_nats::jetstream::Context;
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use weir::edges::streams::Streams as _;

use crate::nats::{Server, until};
use crate::weir::{Weir, announced, place, plain, publish, receive, streams};

/// How many run at once: they mostly wait.
const AT_ONCE: usize = 4;
/// Without the variable that asks for chaos, one write in so many is tried.
const STRIDE: usize = 5;

/// When the server is to be killed.
#[derive(Clone, Copy, Debug)]
enum Kill {
    Never,
    /// Instead of getting the write with this number, from 1.
    Before(u64),
    /// Once it was sent that write.
    After(u64),
}

/// Between a worker and its server: counts the worker's writes, and stops at one.
struct Between {
    port: u16,
    server_port: u16,
    writes: AtomicU64,
    kill: Kill,
    /// The write was reached.
    reached: Notify,
    /// The server was killed: what was connected to it is let go.
    killed: Notify,
}

/// Whether a message changes something that lasts. Leases are written again and again, and say nothing of orders.
fn is_write(subject: &str) -> bool {
    let lasting = ["weir.", "$O.WEIR_SNAPSHOTS.", "$KV.WEIR_POINTERS.", "$JS.API.STREAM.PURGE."];
    lasting.iter().any(|prefix| subject.starts_with(prefix))
}

impl Between {
    async fn start(server_port: u16, kill: Kill) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let between = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            server_port,
            writes: AtomicU64::new(0),
            kill,
            reached: Notify::new(),
            killed: Notify::new(),
        });
        let accepting = between.clone();
        tokio::spawn(async move {
            while let Ok((worker, _)) = listener.accept().await {
                let between = accepting.clone();
                tokio::spawn(async move {
                    // Where there is no server, the worker finds that out by the end of its connection.
                    let Ok(server) = TcpStream::connect(("127.0.0.1", between.server_port)).await else {
                        return;
                    };
                    let (from_worker, mut to_worker) = worker.into_split();
                    let (mut from_server, to_server) = server.into_split();
                    tokio::select! {
                        _ = between.forward(from_worker, to_server) => {}
                        _ = tokio::io::copy(&mut from_server, &mut to_worker) => {}
                    }
                });
            }
        });
        between
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Forwards what the worker sends, message by message.
    async fn forward(&self, worker: OwnedReadHalf, mut server: OwnedWriteHalf) -> std::io::Result<()> {
        let mut worker = BufReader::new(worker);
        let mut line = Vec::new();
        loop {
            line.clear();
            if worker.read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            let mut words = text.split_ascii_whitespace();
            let verb = words.next().unwrap_or_default();
            if !verb.eq_ignore_ascii_case("PUB") && !verb.eq_ignore_ascii_case("HPUB") {
                server.write_all(&line).await?;
                continue;
            }
            let subject = words.next().unwrap_or_default().to_owned();
            let bytes: usize = words.next_back().unwrap().parse().unwrap();
            let start = line.len();
            line.resize(start + bytes + 2, 0);
            worker.read_exact(&mut line[start..]).await?;
            let number = if is_write(&subject) { self.writes.fetch_add(1, Relaxed) + 1 } else { 0 };
            match self.kill {
                Kill::Before(at) if at == number => {}
                Kill::After(at) if at == number => server.write_all(&line).await?,
                _ => {
                    server.write_all(&line).await?;
                    continue;
                }
            }
            let killed = self.killed.notified();
            self.reached.notify_one();
            killed.await;
            return Ok(());
        }
    }
}

/// Records that do nothing but count.
fn ticks(count: usize) -> String {
    json!(vec![json!({"tick": {}}); count]).to_string()
}

/// Sends a message, again and again until it is acknowledged.
async fn send(context: &Context, payload: &str) -> u64 {
    until("an acknowledgement", async || {
        let sent = context.publish("weir.log.main", payload.to_owned().into()).await.ok()?;
        Some(sent.await.ok()?.sequence)
    })
    .await
}

/// How many snapshots were taken, or failed.
fn snapshots(worker: &Weir) -> f64 {
    let of = |end| worker.metric(&format!("weir_snapshots_total{{shard=\"main\",end=\"{end}\"}}"));
    of("taken") + of("failed")
}

/// A worker decides a short log through a server that is killed once, and all ends well. Gives how many writes it took.
async fn decide(kill: Kill) -> u64 {
    let mut server = Server::start().await;
    Weir::setup(&server).await;
    let context = plain(&server).await;
    publish(&context, receive("R-1", 6).to_string()).await;
    for number in 0..4 {
        publish(&context, json!([place(&format!("O-{number}")), place(&format!("P-{number}"))]).to_string())
            .await;
    }
    publish(&context, ticks(1000)).await;
    let last = publish(&context, r#"[{"nonsense": 1}, {"tick": {}}, {"cancel": {"order_id": "O-1"}}]"#).await;
    let config = server.folder().join("weir.toml");
    std::fs::write(&config, "[snapshots]\nevery_records = 1000\n").unwrap();
    let between = Between::start(server.port(), kill).await;
    let worker = Weir::worker(&between.url(), &["--config", config.to_str().unwrap()]).await;
    let (context, streams, kill) = (plain(&server).await, streams(&server).await, format!("{kill:?}"));
    let scenario = async {
        let announced = async |last: u64| {
            until("the outcomes", async || {
                let through = streams.last_outcomes().await.ok()??.append.header.through;
                (through.sequence >= last).then_some(())
            })
            .await;
        };
        announced(last).await;
        until("a snapshot", async || (snapshots(&worker) > 0.0).then_some(())).await;
        let more: Vec<_> = (0..5).map(|number| place(&format!("Q-{number}"))).collect();
        announced(send(&context, &json!(more).to_string()).await).await;
        // What came between a snapshot and the trimming behind it is made up for by the next snapshot.
        for attempt in 0.. {
            assert!(attempt < 5, "{kill}: the log is not trimmed");
            let before = snapshots(&worker);
            send(&context, &ticks(1000)).await;
            until("another snapshot", async || (snapshots(&worker) > before).then_some(())).await;
            let log = until("the log's state", async || streams.log_state().await.ok()).await;
            if log.first_sequence > 1 {
                break;
            }
        }
    };
    let mut scenario = Box::pin(scenario);
    tokio::select! {
        () = &mut scenario => {}
        () = between.reached.notified() => {
            server.kill();
            between.killed.notify_waiters();
            server.restart().await;
            (&mut scenario).await;
        }
    }
    drop(scenario);
    worker.stop().await;
    let audited = Weir::on(&server, &["audit"]).await;
    assert_eq!(audited.code, Some(0), "{kill}: {audited:?}");
    let told = announced(&streams).await;
    let first = |outcome: &&serde_json::Value| outcome["duplicate"] != true;
    let of = |outcome: &str| told.iter().filter(first).filter(|told| told["outcome"] == outcome).count();
    // Six units, and one that came back, for thirteen orders.
    assert_eq!(
        (of("confirmed"), of("refused"), of("cancelled"), of("dead_lettered")),
        (7, 6, 1, 1),
        "{kill}: {told:?}"
    );
    let letters = Weir::on(&server, &["dead", "list", "--json"]).await;
    assert_eq!(letters.stdout.lines().count(), 1, "{kill}: {letters:?}");
    between.writes.load(Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_at_any_write_loses_and_repeats_nothing() {
    let writes = decide(Kill::Never).await;
    assert!(writes > 10, "{writes}");
    let stride = if std::env::var_os("WEIR_CHAOS_SECONDS").is_some() { 1 } else { STRIDE };
    let all: Vec<Kill> =
        (1..=writes).step_by(stride).flat_map(|at| [Kill::Before(at), Kill::After(at)]).collect();
    let tried = all.len();
    futures_util::stream::iter(all).map(decide).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    println!("{writes} writes, {tried} kills");
}

//! The real `weir` binary as a child process: started with an environment of its own, its output collected, always
//! gone when it is dropped. Also what a test needs to see whether what workers announced is what the log decides.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use serde_json::{Value, json};
use weir::edges::jetstream::{Connections, JetStreams, Names};
use weir::edges::streams::{ReadError, Reader as _, Streams as _};
use weir::motion::replay::{ReplayError, replay};
use weir::words::append::StoredAppend;
use weir::words::codec::{decode_outcome, outcomes};
use weir::words::identity::Identity;
use weir::words::message::LogMessage;
pub(crate) use weir_kit::process::Ended;
use weir_kit::process::{Ending, Input, Process};

use crate::nats::{PATIENCE, Server, soon, until, within};

/// The binary of these sources.
pub(crate) const OWN: &str = env!("CARGO_BIN_EXE_weir");

/// A `weir` that runs or ran.
pub(crate) struct Weir {
    process: Process,
    admin: Option<SocketAddr>,
}

impl Weir {
    /// Starts `weir` with these arguments and nothing of this process's own settings.
    pub(crate) fn spawn(arguments: &[&str], environment: &[(&str, &str)], stdin: &str) -> Self {
        Self::spawn_as(OWN, arguments, environment, stdin)
    }

    fn spawn_as(binary: &str, arguments: &[&str], environment: &[(&str, &str)], stdin: &str) -> Self {
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            if [&b"NATS_"[..], b"WEIR_"].iter().any(|of| name.as_encoded_bytes().starts_with(of)) {
                command.env_remove(name);
            }
        }
        command.args(arguments).envs(environment.iter().copied());
        let process = Process::start("weir", command, Input::Whole(stdin), Ending::Killed).unwrap();
        Self { process, admin: None }
    }

    /// Runs a command to its end.
    pub(crate) async fn command(arguments: &[&str]) -> Ended {
        Self::spawn(arguments, &[], "").finish().await
    }

    /// Runs a command against a server.
    pub(crate) async fn on(server: &Server, arguments: &[&str]) -> Ended {
        Self::spawn(arguments, &[("NATS_URL", &server.url())], "").finish().await
    }

    /// The same, with another binary.
    pub(crate) async fn on_as(binary: &str, server: &Server, arguments: &[&str]) -> Ended {
        Self::spawn_as(binary, arguments, &[("NATS_URL", &server.url())], "").finish().await
    }

    /// Makes the streams.
    pub(crate) async fn setup(server: &Server) {
        let ended = Self::command(&["setup", "--nats", &server.url()]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// Starts a worker and waits until its admin server listens. Its only configuration is the server's URL, and a free
    /// port.
    pub(crate) async fn worker(url: &str, arguments: &[&str]) -> Self {
        Self::worker_as(OWN, url, arguments).await
    }

    /// The same, of another binary.
    pub(crate) async fn worker_as(binary: &str, url: &str, arguments: &[&str]) -> Self {
        Self::worker_of(binary, url, arguments, &[("WEIR_ADMIN", "127.0.0.1:0")]).await
    }

    /// The same, with an environment, in which `WEIR_ADMIN` must be.
    pub(crate) async fn worker_in(url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::worker_of(OWN, url, arguments, environment).await
    }

    async fn worker_of(binary: &str, url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments = [&["run", "--nats", url], arguments].concat();
        let mut worker = Self::spawn_as(binary, &arguments, environment, "");
        let address = until("the admin server's address", async || {
            let text = worker.log();
            let (_, rest) = text.split_once("the admin server listens address=")?;
            rest.split_once(char::is_whitespace)?.0.parse().ok()
        });
        worker.admin = Some(address.await);
        worker
    }

    /// Starts a worker on a server with streams and waits until it is ready.
    pub(crate) async fn ready(server: &Server, arguments: &[&str]) -> Self {
        let worker = Self::worker(&server.url(), arguments).await;
        worker.until_readyz(200).await;
        worker
    }

    /// Where its admin server listens.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.unwrap()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        self.process.printed()
    }

    /// Asks its admin server: the status and the body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(self.admin.unwrap()).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Waits until /readyz has this status, and gives its body.
    pub(crate) async fn until_readyz(&self, status: u16) -> String {
        until(&format!("/readyz to be {status}"), async || {
            let (now, body) = self.get("/readyz");
            (now == status).then_some(body)
        })
        .await
    }

    /// The value of one metric, by its name and labels as they stand in the text.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        value(&text, series).unwrap_or_else(|| panic!("no {series} in\n{text}"))
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args(["-s", signal, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Waits until it ends by itself.
    pub(crate) async fn finish(self) -> Ended {
        self.process.finish(PATIENCE).await.unwrap()
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(self) -> Ended {
        self.signal("TERM");
        let ended = self.finish().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }

    /// Ends it without a chance to write anything down.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}

/// The value of a series in a text of metrics.
pub(crate) fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// The streams of the only shard.
pub(crate) async fn streams(server: &Server) -> JetStreams {
    streams_of(&server.connect().await, "main")
}

/// The streams of one shard of several.
pub(crate) fn streams_of(connections: &Connections, shard: &str) -> JetStreams {
    JetStreams::new(connections.clone(), Names::default().shard(shard).unwrap())
}

/// A JetStream context of a client that knows nothing of Weir.
pub(crate) async fn plain(server: &Server) -> Context {
    async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

/// Publishes to the log as any client can, without any header, and gives the sequence.
pub(crate) async fn publish(context: &Context, payload: impl Into<bytes::Bytes>) -> u64 {
    let ack = context.publish("weir.log.main", payload.into()).await.unwrap();
    soon("the log's acknowledgement", async { ack.await }).await.unwrap().sequence
}

/// A receipt of `quantity` units of SKU `A`.
pub(crate) fn receive(id: &str, quantity: i64) -> Value {
    json!({"receive": {"receipt_id": id, "lines": [{"sku": "A", "quantity": quantity}]}})
}

/// An order of one unit of SKU `A`.
pub(crate) fn place(id: &str) -> Value {
    json!({"place": {"order_id": id, "lines": [{"sku": "A", "quantity": 1}]}})
}

/// Orders that go on until they are told to stop; an append that was not acknowledged is sent again.
pub(crate) struct Load {
    stop: Arc<std::sync::atomic::AtomicBool>,
    task: tokio::task::JoinHandle<u64>,
}

impl Load {
    pub(crate) async fn start(server: &Server) -> Self {
        let context = plain(server).await;
        publish(&context, receive("for the load", 1000).to_string()).await;
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut orders = 0;
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                let batch: Vec<_> = (orders..orders + 10).map(|order| place(&format!("L-{order}"))).collect();
                let sent = context.publish("weir.log.main", json!(batch).to_string().into()).await;
                if let Ok(ack) = sent
                    && ack.await.is_ok()
                {
                    orders += 10;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            orders
        });
        Self { stop, task }
    }

    /// Ends it, and gives how many orders were acknowledged.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        soon("the load's end", self.task).await.unwrap()
    }
}

/// Waits until all that the log decides is announced, and checks that it is announced without a gap or a repeat. Gives
/// the outcomes, as JSON.
pub(crate) async fn audit(server: &Server) -> Vec<Value> {
    audit_shard(&streams(server).await).await
}

/// The same, for one shard of several.
pub(crate) async fn audit_shard(streams: &JetStreams) -> Vec<Value> {
    let (folded, end) = until("the log to be folded", async || {
        let (mut folded, mut end): (Vec<Value>, _) = (Vec::new(), Identity::START);
        let replayed = replay(streams, |output| {
            end = output.last().unwrap_or(end);
            for (_, bytes) in output.outcomes() {
                folded.push(serde_json::to_value(decode_outcome(bytes).unwrap()).unwrap());
            }
        });
        match replayed.await {
            Ok(_) => Some((folded, end)),
            // A cluster that was just broken may still elect a leader.
            Err(ReplayError::Read(ReadError::Unavailable(_))) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    until("all to be announced", async || {
        let last = streams.last_outcomes().await.ok()??;
        (last.append.header.through >= end).then_some(())
    })
    .await;
    let announced = announced(streams).await;
    assert!(announced == folded, "{} announced, {} folded", announced.len(), folded.len());
    announced
}

/// The outcomes that the stream holds, after a check that its appends follow each other.
pub(crate) async fn announced(streams: &JetStreams) -> Vec<Value> {
    let mut announced: Vec<Value> = Vec::new();
    let mut through = Identity::START;
    for StoredAppend { append, .. } in appends(streams).await {
        assert_eq!(append.header.from, through, "{:?}", append.header);
        through = append.header.through;
        match outcomes(append.format, &append.payload) {
            Ok(known) => announced.extend(known.iter().map(|it| serde_json::to_value(it).unwrap())),
            // A newer binary's may be of kinds that are not known here.
            Err(_) => announced.extend(serde_json::from_slice::<Vec<Value>>(&append.payload).unwrap()),
        }
    }
    announced
}

/// All appends that the outcome stream holds.
pub(crate) async fn appends(streams: &JetStreams) -> Vec<StoredAppend> {
    let read = async || {
        let last = streams.outcomes_state().await?.last_sequence;
        let mut reader = streams.read_outcomes(1).await?;
        let mut appends: Vec<StoredAppend> = Vec::new();
        while appends.last().map_or(0, |append| append.sequence) < last {
            appends.extend(soon("outcomes", reader.next()).await?);
        }
        Ok(appends)
    };
    again("the outcomes", read).await
}

/// All messages that the log holds.
pub(crate) async fn log_messages(streams: &JetStreams) -> Vec<LogMessage> {
    let read = async || {
        let last = streams.log_state().await?.last_sequence;
        let mut reader = streams.read_log(1).await?;
        let mut messages: Vec<LogMessage> = Vec::new();
        while messages.last().map_or(0, |message| message.sequence) < last {
            messages.extend(soon("the log", reader.next()).await?);
        }
        Ok(messages)
    };
    again("the log", read).await
}

/// Reads again and again, as a cluster that was just broken may still elect leaders.
async fn again<T>(what: &str, mut read: impl AsyncFnMut() -> Result<T, ReadError>) -> T {
    within(3 * PATIENCE, what, async || match read().await {
        Ok(read) => Some(read),
        Err(ReadError::Unavailable(_)) => None,
        Err(error) => panic!("{what}: {error}"),
    })
    .await
}

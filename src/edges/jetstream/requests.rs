//! Requests over NATS: `<prefix>.submit.<family>`, shared by all doors of a deployment through one queue group.
//!
//! Over a connection of its own, which speaks the protocol by itself ([`super::wire`]): anybody's requests come here, and nothing
//! that they hold may break it. It reads as fast as the door takes; a server drops a client that does not. Replies are gathered, and
//! written as many at a time as there are.
//!
//! A connection that breaks is made anew, for as long as the process lives. Replies that wait meanwhile leave over the next one, as
//! they go to subjects of their own.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::ServerAddr;
use bytes::BytesMut;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connection::{ConnectError, Connection, backoff, servers};
use super::names::Names;
use super::security::{SecurityError, UserInfo};
use super::wire::{self, Garbled, Op};
use crate::edges::requests::{Outgoing, Replies, Request, Requests};

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the server is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// A server that sends nothing for so long is gone: it has not answered two pings.
const SILENCE_MAX: Duration = Duration::from_secs(25);
/// How much room there is for what one read gives, in bytes.
const READ_BYTES: usize = 256 << 10;
/// How many bytes of replies wait for a server that does not take them; further ones are dropped.
const REPLIES_BYTES_MAX: usize = 64 << 20;
/// The most requests that are given at once.
const GIVEN_MAX: usize = 4_096;
/// What a server takes in one message before it has said anything: NATS's default.
const PAYLOAD_BYTES_DEFAULT: usize = 1 << 20;
/// The queue group of all doors.
const QUEUE_GROUP: &str = "weir-door";

/// A connection's two ways.
type Reading = Box<dyn AsyncRead + Send + Unpin>;
type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// What a server says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    max_payload: usize,
    tls_required: bool,
    nonce: String,
}

struct Shared {
    out: Mutex<Vec<u8>>,
    woken: Notify,
    /// How many bytes of replies were given, and how many of them have left.
    given: AtomicU64,
    left: AtomicU64,
    has_left: Notify,
    payload_bytes_max: AtomicUsize,
    names: Names,
    open: AtomicBool,
    stopped: AtomicBool,
    stop: Notify,
    /// Pings sent over the connection of now, and their answers.
    pings: AtomicU64,
    pongs: AtomicU64,
}

impl Shared {
    fn write(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let before = out.len();
        write(&mut out);
        self.given.fetch_add((out.len() - before) as u64, Relaxed);
        drop(out);
        if before == 0 {
            self.woken.notify_one();
        }
    }
}

struct Open {
    reading: Reading,
    buffer: BytesMut,
    /// Ends the writing side with this.
    _writing: DropGuard,
    /// Cancelled where writing fails.
    broken: CancellationToken,
}

/// Requests over NATS.
pub struct JetRequests {
    options: Connection,
    servers: Vec<ServerAddr>,
    in_url: Option<UserInfo>,
    subject: String,
    shared: Arc<Shared>,
    open: Option<Open>,
    attempts: usize,
    complained: bool,
}

impl JetRequests {
    /// Takes requests under a prefix. It connects once the first is waited for.
    pub fn new(options: Connection, names: &Names) -> Result<Self, ConnectError> {
        let (servers, in_url) = servers(&options)?;
        let shared = Arc::new(Shared {
            out: Mutex::default(),
            woken: Notify::new(),
            given: AtomicU64::new(0),
            left: AtomicU64::new(0),
            has_left: Notify::new(),
            payload_bytes_max: AtomicUsize::new(PAYLOAD_BYTES_DEFAULT),
            names: names.clone(),
            open: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            stop: Notify::new(),
            pings: AtomicU64::new(0),
            pongs: AtomicU64::new(0),
        });
        let subject = names.submit_subjects();
        Ok(Self { options, servers, in_url, subject, shared, open: None, attempts: 0, complained: false })
    }

    /// Makes a connection: to the next of the servers.
    async fn connect(&mut self) -> Result<Open, io::Error> {
        let server = &self.servers[self.attempts % self.servers.len()];
        self.attempts += 1;
        let dial = dial(&self.options, server);
        let (info, mut reading, mut writing) =
            tokio::time::timeout(CONNECT_TIMEOUT, dial).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let greet = async {
            // The answer to the ping comes behind any refusal.
            let login = login(&self.options, self.in_url.as_ref(), &info.nonce).map_err(io::Error::other)?;
            let greeting = format!("CONNECT {login}\r\nPING\r\n");
            writing.write_all(greeting.as_bytes()).await?;
            writing.flush().await?;
            loop {
                match wire::next(&mut buffer).map_err(garbled)? {
                    Some(Op::Pong) => break,
                    Some(Op::Error(error)) => return Err(io::Error::other(error)),
                    Some(_) => {}
                    None => {
                        if reading.read_buf(&mut buffer).await? == 0 {
                            return Err(io::ErrorKind::UnexpectedEof.into());
                        }
                    }
                }
            }
            let subscribe = format!("SUB {} {QUEUE_GROUP} 1\r\n", self.subject);
            writing.write_all(subscribe.as_bytes()).await?;
            writing.flush().await
        };
        tokio::time::timeout(CONNECT_TIMEOUT, greet).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if info.max_payload > 0 {
            self.shared.payload_bytes_max.store(info.max_payload.min(wire::MESSAGE_BYTES_MAX), Relaxed);
        }
        self.shared.pings.store(0, Relaxed);
        self.shared.pongs.store(0, Relaxed);
        let (ended, broken) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(write_on(self.shared.clone(), writing, ended.clone(), broken.clone()));
        Ok(Open { reading, buffer, _writing: ended.drop_guard(), broken })
    }

    /// Takes what the buffer holds; true where the server has said all that it will.
    fn take(&mut self, given: &mut Vec<Request>) -> Result<bool, io::Error> {
        let Some(open) = &mut self.open else { return Ok(false) };
        while given.len() < GIVEN_MAX {
            match wire::next(&mut open.buffer).map_err(garbled)? {
                Some(Op::Message(request)) => given.push(request),
                Some(Op::Ping) => self.shared.write(|out| out.extend_from_slice(b"PONG\r\n")),
                Some(Op::Pong) => {
                    let pongs = self.shared.pongs.fetch_add(1, Relaxed) + 1;
                    if self.shared.stopped.load(Relaxed) && pongs >= self.shared.pings.load(Relaxed) {
                        return Ok(true);
                    }
                }
                Some(Op::Info(info)) => {
                    if let Ok(Info { max_payload: max @ 1.., .. }) = serde_json::from_slice(&info) {
                        self.shared.payload_bytes_max.store(max.min(wire::MESSAGE_BYTES_MAX), Relaxed);
                    }
                }
                Some(Op::Error(error)) => tracing::warn!(error, "NATS reports an error to the door"),
                Some(Op::Other) => {}
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Reads until there is something.
    async fn read(&mut self) -> Result<(Vec<Request>, bool), io::Error> {
        let mut given = Vec::new();
        loop {
            let ended = self.take(&mut given)?;
            if ended || !given.is_empty() {
                return Ok((given, ended));
            }
            let Some(Open { reading, buffer, broken, .. }) = &mut self.open else {
                return Err(io::ErrorKind::NotConnected.into());
            };
            if buffer.capacity() - buffer.len() < READ_BYTES / 8 {
                buffer.reserve(READ_BYTES);
            }
            let read = tokio::select! {
                biased;
                read = tokio::time::timeout(SILENCE_MAX, reading.read_buf(buffer)) => {
                    read.map_err(|_| io::ErrorKind::TimedOut)??
                }
                () = broken.cancelled() => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Says that the connection does not hold: once, until it does again.
    fn complain(&mut self, error: &io::Error) {
        if self.shared.open.swap(false, Relaxed) {
            let connection = self.options.name.clone();
            metrics::counter!("weir_nats_disconnects_total", "connection" => connection).increment(1);
        }
        if !self.complained {
            tracing::warn!(%error, "the door is not connected to NATS; trying on");
        }
        self.complained = true;
    }
}

fn garbled(Garbled(what): Garbled) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Opens a way to a server, and reads what it says first.
async fn dial(options: &Connection, server: &ServerAddr) -> Result<(Info, Reading, Writing), io::Error> {
    let Connection { urls, security, .. } = options;
    let mut stream = TcpStream::connect((server.host(), server.port())).await?;
    stream.set_nodelay(true)?;
    if security.tls.handshake_first {
        let mut stream = security.encrypt(stream, server.host()).await?;
        let info = greeting(&mut stream).await?;
        let (reading, writing) = tokio::io::split(stream);
        return Ok((info, Box::new(reading), Box::new(writing)));
    }
    let info = greeting(&mut stream).await?;
    if info.tls_required || security.tls.is_required(urls) {
        let (reading, writing) = tokio::io::split(security.encrypt(stream, server.host()).await?);
        return Ok((info, Box::new(reading), Box::new(writing)));
    }
    let (reading, writing) = stream.into_split();
    Ok((info, Box::new(reading), Box::new(writing)))
}

/// The server's first line, byte by byte: what follows it may be for TLS.
async fn greeting(stream: &mut (impl AsyncRead + Unpin)) -> Result<Info, io::Error> {
    let mut line = Vec::with_capacity(1024);
    while !line.ends_with(b"\n") {
        if line.len() > wire::LINE_BYTES_MAX {
            return Err(garbled(Garbled("a line without an end")));
        }
        line.push(stream.read_u8().await?);
    }
    match wire::next(&mut BytesMut::from(&line[..])).map_err(garbled)? {
        Some(Op::Info(info)) => Ok(serde_json::from_slice(&info)?),
        _ => Err(garbled(Garbled("no server of NATS"))),
    }
}

/// What a client says of itself.
fn login(
    options: &Connection,
    in_url: Option<&UserInfo>,
    nonce: &str,
) -> Result<serde_json::Value, SecurityError> {
    let mut login = json!({
        "verbose": false,
        "pedantic": false,
        "echo": false,
        "headers": true,
        "no_responders": false,
        "protocol": 1,
        "lang": "rust",
        "version": env!("CARGO_PKG_VERSION"),
        "name": options.name,
        "tls_required": options.security.tls.is_required(&options.urls),
    });
    for (name, value) in options.security.credentials(in_url, nonce)? {
        login[name] = value.into();
    }
    Ok(login)
}

/// Writes what there is, until the connection ends.
async fn write_on(
    shared: Arc<Shared>,
    mut writing: Writing,
    ended: CancellationToken,
    broken: CancellationToken,
) {
    let mut pings = tokio::time::interval(PING_INTERVAL);
    pings.tick().await;
    loop {
        let full = {
            let mut out = shared.out.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *out)
        };
        if !full.is_empty() {
            let write = async {
                writing.write_all(&full).await?;
                // What is encrypted may wait in between.
                writing.flush().await
            };
            let written = tokio::select! {
                written = write => written,
                () = ended.cancelled() => return,
            };
            shared.left.fetch_add(full.len() as u64, Relaxed);
            shared.has_left.notify_waiters();
            if written.is_err() {
                broken.cancel();
                return;
            }
            continue;
        }
        tokio::select! {
            () = shared.woken.notified() => {}
            () = ended.cancelled() => return,
            _ = pings.tick() => {
                shared.pings.fetch_add(1, Relaxed);
                shared.write(|out| out.extend_from_slice(b"PING\r\n"));
            }
        }
    }
}

impl Requests for JetRequests {
    type Replies = JetReplies;

    fn replies(&self) -> JetReplies {
        JetReplies { shared: self.shared.clone() }
    }

    async fn next(&mut self) -> Option<Vec<Request>> {
        loop {
            let failed = if self.open.is_some() {
                match self.read().await {
                    Ok((given, ended)) => {
                        if ended {
                            // Replies still leave: the writing side goes on until this is dropped.
                            self.shared.open.store(false, Relaxed);
                            if given.is_empty() {
                                return None;
                            }
                        }
                        return Some(given);
                    }
                    Err(error) => {
                        self.open = None;
                        error
                    }
                }
            } else if self.shared.stopped.load(Relaxed) {
                return None;
            } else {
                match self.connect().await {
                    Ok(open) => {
                        tracing::info!(subject = self.subject, "the door is open");
                        self.open = Some(open);
                        (self.attempts, self.complained) = (0, false);
                        self.shared.open.store(true, Relaxed);
                        // What waited for a connection leaves now.
                        self.shared.woken.notify_one();
                        continue;
                    }
                    Err(error) => error,
                }
            };
            self.complain(&failed);
            tokio::select! {
                () = tokio::time::sleep(backoff(self.attempts)) => {}
                () = self.shared.stop.notified() => {}
            }
        }
    }
}

/// The way back over NATS.
#[derive(Clone)]
pub struct JetReplies {
    shared: Arc<Shared>,
}

impl Replies for JetReplies {
    fn reply(&self, replies: &[Outgoing]) {
        self.shared.write(|out| {
            for Outgoing { to, format, payload } in replies {
                if self.shared.names.is_for_workers_only(to) || out.len() > REPLIES_BYTES_MAX {
                    metrics::counter!("weir_door_replies_dropped_total").increment(1);
                } else {
                    wire::publish(out, to, *format, payload);
                }
            }
        });
    }

    fn payload_bytes_max(&self) -> usize {
        self.shared.payload_bytes_max.load(Relaxed)
    }

    fn is_open(&self) -> bool {
        self.shared.open.load(Relaxed)
    }

    fn stop(&self) {
        if self.shared.stopped.swap(true, Relaxed) {
            return;
        }
        if self.is_open() {
            self.shared.pings.fetch_add(1, Relaxed);
            self.shared.write(|out| out.extend_from_slice(b"UNSUB 1\r\nPING\r\n"));
        }
        self.shared.stop.notify_one();
    }

    async fn flushed(&self, within: Duration) {
        let due = self.shared.given.load(Relaxed);
        let flushed = async {
            loop {
                let left = self.shared.has_left.notified();
                let mut left = std::pin::pin!(left);
                left.as_mut().enable();
                if self.shared.left.load(Relaxed) >= due {
                    return;
                }
                left.await;
            }
        };
        // A server that takes nothing is not waited for.
        let _ = tokio::time::timeout(within, flushed).await;
    }
}

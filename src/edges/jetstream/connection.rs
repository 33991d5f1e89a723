//! Connections to the NATS servers.
//!
//! One task for each connection parses and writes everything that goes over it, so publishing and consuming have
//! one each: a burst of log messages must not hold up an acknowledgement. A connection that was once made is
//! never given up: it is tried again, with a bounded backoff, for as long as the process lives.
//!
//! One server that must be spoken to by TLS means that all are; [`Security`] has files and secrets.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, Event, ServerAddr};
use futures_util::FutureExt as _;
use tokio::sync::watch;

use super::security::{Security, UserInfo, choose_cryptography, take_user};

/// How long an append waits for its acknowledgement, and a request for its answer. Longer than a healthy server
/// ever takes, about as long as the election of a new stream leader; an append that took longer may still land.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent connection is probed; after two probes without an answer it counts as broken.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// The longest pause between two attempts to connect.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Where to connect to, and how.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// The servers of one cluster, such as `nats://127.0.0.1:4222`; at least one. One user or token may stand in them.
    pub urls: Vec<String>,
    /// What the servers call this client in their own listings.
    pub name: String,
    /// Whether to go on trying while no server can be reached at first. A worker waits; a command that a person
    /// waits for fails at once.
    pub wait_for_server: bool,
    /// What keeps it secret, and who it is.
    pub security: Security,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold a password.
        let servers: Vec<_> =
            self.urls.iter().map(|url| url.parse().as_ref().map(shown).unwrap_or_default()).collect();
        f.debug_struct("Connection")
            .field("servers", &servers)
            .field("name", &self.name)
            .field("wait_for_server", &self.wait_for_server)
            .field("security", &self.security)
            .finish()
    }
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No URL was given.
    #[error("no NATS server is configured")]
    NoServer,
    /// A text that is no server's URL. It is not repeated here, because it may hold a password.
    #[error("the NATS server's URL number {position} cannot be read: {reason}")]
    Url {
        /// Which of the URLs, from 1.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A user or token stands in a URL, and beside that there is another login.
    #[error("a NATS server's URL has a user or token in it, and nats.login another: choose one")]
    TwoLogins,
    /// No server could be reached.
    #[error("cannot connect to NATS at {servers}: {source}")]
    Unreachable {
        /// The servers tried, as host and port.
        servers: String,
        /// What the last attempt said.
        source: async_nats::ConnectError,
    },
}

/// The connections of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Connections {
    /// For appends, and for requests whose answers are small.
    pub publishing: Link,
    /// For readers.
    pub consuming: Link,
}

impl Connections {
    /// Makes both.
    pub async fn open(options: &Connection) -> Result<Self, ConnectError> {
        let named = |role: &str| Connection { name: format!("{} {role}", options.name), ..options.clone() };
        Ok(Self {
            publishing: Link::open(named("publishing")).await?,
            consuming: Link::open(named("consuming")).await?,
        })
    }
}

/// A connection that can be replaced. Clones share it.
///
/// The client's task reads whatever was published, by anybody, and panics over a header value that holds a bare
/// carriage return (async-nats 0.51, `connection.rs`, tried: `tests/live/poison.rs`). Such a client stays dead, so
/// what subscribes to others' messages must be able to make a new one.
#[derive(Clone, Debug)]
pub struct Link {
    options: Arc<Connection>,
    context: Arc<Mutex<Context>>,
    losses: watch::Sender<u64>,
}

impl Link {
    /// Makes the connection.
    pub async fn open(options: Connection) -> Result<Self, ConnectError> {
        let losses = watch::Sender::new(0);
        let context = context(connect_counting(&options, losses.clone()).await?);
        Ok(Self { options: Arc::new(options), context: Arc::new(Mutex::new(context)), losses })
    }

    /// Makes another connection to the same servers, whose name ends in `purpose`. It waits for a server that cannot be reached.
    pub async fn another(&self, purpose: &str) -> Result<Self, ConnectError> {
        let name = format!("{} {purpose}", self.options.name);
        Self::open(Connection { name, wait_for_server: true, ..Connection::clone(&self.options) }).await
    }

    /// Counts the times when deliveries may have been lost on their way: the connection broke, or a subscription was
    /// full. The client reconnects and subscribes again by itself, and the server goes on with what comes next.
    #[must_use]
    pub fn losses(&self) -> watch::Receiver<u64> {
        self.losses.subscribe()
    }

    /// The client as it is now.
    #[must_use]
    pub fn client(&self) -> Client {
        self.context().client()
    }

    /// The JetStream context as it is now; requests and acknowledgements wait for [`ACK_TIMEOUT`].
    #[must_use]
    pub fn context(&self) -> Context {
        self.context.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the client if its task has ended. One that is merely disconnected is left alone: it reconnects.
    pub async fn renew_if_dead(&self) {
        let dead = matches!(self.client().flush().now_or_never(), Some(Err(_)));
        if !dead {
            return;
        }
        tracing::error!(connection = self.options.name, "the NATS client has died; connecting anew");
        let options = Connection { wait_for_server: true, ..Connection::clone(&self.options) };
        match connect_counting(&options, self.losses.clone()).await {
            Ok(client) => *self.context.lock().unwrap_or_else(PoisonError::into_inner) = context(client),
            Err(error) => tracing::error!(connection = self.options.name, %error, "cannot connect anew"),
        }
    }
}

fn context(client: Client) -> Context {
    ContextBuilder::new().timeout(ACK_TIMEOUT).build(client)
}

/// Makes one connection. With [`Connection::wait_for_server`] it returns at once and connects in the background.
pub async fn connect(options: &Connection) -> Result<Client, ConnectError> {
    connect_counting(options, watch::Sender::new(0)).await
}

async fn connect_counting(options: &Connection, losses: watch::Sender<u64>) -> Result<Client, ConnectError> {
    choose_cryptography();
    let (servers, in_url) = servers(options)?;
    let encrypted = options.security.tls.is_required(&options.urls);
    let shown = servers.iter().map(shown).collect::<Vec<_>>().join(", ");

    let name = options.name.clone();
    let lost = AtomicBool::new(false);
    let mut connect = options
        .security
        .options(encrypted, in_url)
        .name(&options.name)
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .max_reconnects(None)
        .reconnect_delay_callback(backoff)
        .event_callback(move |event| {
            if matches!(event, Event::Disconnected | Event::SlowConsumer(_)) {
                losses.send_modify(|losses| *losses += 1);
            }
            note(&name, &event, &lost);
            std::future::ready(())
        });
    if options.wait_for_server {
        connect = connect.retry_on_initial_connect();
    }
    connect.connect(servers).await.map_err(|source| ConnectError::Unreachable { servers: shown, source })
}

/// The servers that are named, without what their URLs say of a user or token, and that.
pub(super) fn servers(options: &Connection) -> Result<(Vec<ServerAddr>, Option<UserInfo>), ConnectError> {
    if options.urls.is_empty() {
        return Err(ConnectError::NoServer);
    }
    let mut servers = Vec::with_capacity(options.urls.len());
    let mut in_url = None;
    for (position, url) in (1..).zip(&options.urls) {
        let wrong = |reason: String| ConnectError::Url { position, reason };
        let server: ServerAddr = url.parse().map_err(|error: std::io::Error| wrong(error.to_string()))?;
        // The client would not use it, and would show it in its traces.
        let (server, user) = take_user(server).map_err(wrong)?;
        servers.push(server);
        if let (Some(before), Some(user)) = (&in_url, &user)
            && before != user
        {
            return Err(wrong("its user or token is not that of the URL before".to_owned()));
        }
        in_url = in_url.or(user);
    }
    if in_url.is_some() && !options.security.login.is_none() {
        return Err(ConnectError::TwoLogins);
    }
    Ok((servers, in_url))
}

/// A server without what its URL may hold of credentials.
fn shown(server: &ServerAddr) -> String {
    let (host, port) = (server.host(), server.port());
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The pause before an attempt: none before the first, then 10 ms, doubled each time, up to [`BACKOFF_MAX`].
pub(super) fn backoff(attempts: usize) -> Duration {
    let Some(doublings) = attempts.checked_sub(2) else { return Duration::ZERO };
    let doublings = u32::try_from(doublings).unwrap_or(u32::MAX);
    Duration::from_millis(10).saturating_mul(2_u32.saturating_pow(doublings)).min(BACKOFF_MAX)
}

/// Logs what happened to a connection, and counts what an operator should know of. While a connection is `lost`, each
/// attempt to make it anew may fail; the first that does speaks for all.
fn note(connection: &str, event: &Event, lost: &AtomicBool) {
    match event {
        Event::Connected => {
            lost.store(false, Relaxed);
            tracing::info!(connection, "connected to NATS");
        }
        Event::Disconnected => {
            metrics::counter!("weir_nats_disconnects_total", "connection" => connection.to_owned())
                .increment(1);
            tracing::warn!(connection, "disconnected from NATS");
        }
        // The client drops what its subscription has no room for and says only this. A reader notices the hole.
        Event::SlowConsumer(subscription) => {
            metrics::counter!("weir_nats_slow_consumers_total", "connection" => connection.to_owned())
                .increment(1);
            tracing::warn!(connection, subscription, "deliveries were dropped: the consumer is too slow");
        }
        Event::ServerError(error) => tracing::warn!(connection, %error, "NATS reports an error"),
        Event::ClientError(error) if lost.swap(true, Relaxed) => {
            tracing::debug!(connection, %error, "the NATS connection failed again");
        }
        Event::ClientError(error) => tracing::warn!(connection, %error, "the NATS connection failed"),
        Event::LameDuckMode => tracing::info!(connection, "the NATS server is about to stop"),
        // This side's own doing.
        Event::Draining | Event::Closed => tracing::debug!(connection, state = %event, "the connection ends"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_grows_and_is_bounded() {
        assert_eq!(backoff(0), Duration::ZERO);
        assert_eq!(backoff(1), Duration::ZERO);
        assert_eq!(backoff(2), Duration::from_millis(10));
        assert_eq!(backoff(4), Duration::from_millis(40));
        assert_eq!(backoff(1_000_000), BACKOFF_MAX);
    }

    #[test]
    fn credentials_are_not_shown() {
        let shown_of = |url: &str| shown(&url.parse().unwrap());
        assert_eq!(shown_of("nats://someone:secret@db1:4333"), "db1:4333");
        assert_eq!(shown_of("[::1]:4222"), "[::1]:4222");
    }
}

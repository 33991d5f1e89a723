//! What a worker offers beside its streams, wired: queries over NATS, the HTTP API, notifications.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::http::{self, Api, Limits, Token, TokenError};
use super::queries::{Answers, Queries, serve_all};
use crate::edges::jetstream::service::JetQuestions;
use crate::edges::jetstream::{ConnectError, JetNotices, JetStreams, Link, Names};
use crate::edges::streams::Streams as _;
use crate::motion::door::Submits;
use crate::motion::live::notifying;
use crate::motion::live::ports::Room;
use crate::motion::status::Status;
use crate::words::config::{Config, ConfigError, HttpSettings};

/// How long what is under way may take at the end.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// Why the HTTP API cannot be had as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The token cannot be had.
    #[error("http.token_file, or WEIR_HTTP_TOKEN: {0}")]
    Token(#[from] TokenError),
    /// Anybody could come.
    #[error("http.address: {0} is not loopback, and there is no token (http.token_file, or WEIR_HTTP_TOKEN)")]
    Open(SocketAddr),
    /// Nobody would be there to take commands.
    #[error("http.commands: this worker has no door to take them")]
    NoDoor,
    /// It cannot listen there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// A listener for the HTTP API, before anything is served.
pub struct Listening {
    listener: TcpListener,
    token: Option<Token>,
    settings: HttpSettings,
}

impl Listening {
    /// Listens as configured; none where the API is off. `token` is the variable's, and goes before the file's. What is wrong shows
    /// before a worker does anything else.
    pub async fn open(settings: &HttpSettings, token: Option<&str>) -> Result<Option<Self>, HttpError> {
        let Ok(address) = settings.address.parse::<SocketAddr>() else { return Ok(None) };
        let token = match token.filter(|token| !token.is_empty()) {
            Some(token) => Some(Token::new(token)?),
            None if settings.token_file.is_empty() => None,
            None => Some(Token::read(Path::new(&settings.token_file))?),
        };
        if token.is_none() && !http::may_be_open(&address) {
            return Err(HttpError::Open(address));
        }
        let listener =
            TcpListener::bind(address).await.map_err(|source| HttpError::Listen { address, source })?;
        Ok(Some(Self { listener, token, settings: settings.clone() }))
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What is offered, at work.
pub struct Outward {
    stop: CancellationToken,
    running: TaskTracker,
}

impl Outward {
    /// Starts it all. `link` is a connection of this process; each part gets its own. `submit` takes the commands that come by HTTP.
    pub async fn start(
        config: &Config,
        shards: Vec<(Arc<Status>, JetStreams)>,
        (link, names): (&Link, &Names),
        listening: Option<Listening>,
        submit: Option<Arc<dyn Submits>>,
    ) -> Result<Self, ConnectError> {
        let (stop, running) = (CancellationToken::new(), TaskTracker::new());
        let told = config
            .notify
            .told()
            .unwrap_or_else(|_: ConfigError| unreachable!("checked with the configuration"));
        if told != crate::words::config::Told::default() {
            let notices = JetNotices::new(link.another("notices").await?, names.clone());
            for (status, _) in &shards {
                let seen = status.ports().observe(Room::of(notifying::BATCHES_MAX).unhurried());
                let (shard, notices, stop) = (status.shard.clone(), notices.clone(), stop.clone());
                running.spawn(async move {
                    notifying::notify(&shard, told, &notices, seen, &stop).await;
                });
            }
        }
        if !config.queries.nats && listening.is_none() {
            return Ok(Self { stop, running });
        }
        let asking = JetQuestions::new(link.another("questions").await?, names.clone());
        let shards = shards.into_iter().map(|(status, streams)| (status, streams.beside())).collect();
        let queries = Arc::new(Queries::new(shards, config.shards.clone(), Some(Box::new(asking))));
        if config.queries.nats {
            let link = link.another("queries").await?;
            running.spawn(serve_all(queries.clone(), link, names.clone(), stop.clone()));
        }
        if let Some(Listening { listener, token, settings }) = listening {
            let answers: Arc<dyn Answers> = queries;
            let limits = Limits {
                request: Duration::from_millis(settings.request_ms),
                connections: settings.connections_max,
            };
            let api = Api { answers, submit, families: settings.commands, token, limits };
            running.spawn(http::serve(listener, api, stop.clone()));
        }
        Ok(Self { stop, running })
    }

    /// Ends it; requests under way have a moment.
    pub async fn close(self) {
        self.stop.cancel();
        self.running.close();
        let _ = tokio::time::timeout(CLOSES_WITHIN, self.running.wait()).await;
    }
}

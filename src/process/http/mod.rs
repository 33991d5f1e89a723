//! HTTP for people with curl and pages without a NATS client: queries, and, where the configuration says so, commands.
//!
//! A listener of its own: the probe listener ([`super::admin`]) has no token, this one has, unless it is on loopback. What comes is
//! hostile until shown otherwise:
//!
//! - A connection may take [`Limits::request`] for the head of each request (so long it may stay idle, too) and as long for a body, and
//!   lives for [`LIFETIME`] at most. There are at most [`Limits::connections`] of them; one more hears 503 and is closed.
//! - A head has at most [`HEAD_BYTES_MAX`], a body [`BODY_BYTES_MAX`], which `Content-Length` tells before anything is read.
//! - A body is JSON in UTF-8, not compressed; its `Content-Type` must say so, so that no page of another site can send one unasked.
//! - On loopback without a token, `Host` must be loopback's too, so that no name of another site can be made to lead here.
//!
//! Errors are `application/problem+json` (RFC 9457) with a stable `code`; only what is no HTTP at all is answered without a body.

mod admitting;
mod commands;
mod problem;
mod routes;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::queries::Answers;
use crate::motion::door::Submits;
use crate::words::codes::Family;

pub use admitting::{Token, TokenError};

/// The most bytes of a request's head.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// The most bytes of a body.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// The longest that a connection lives; a client makes another.
pub const LIFETIME: Duration = Duration::from_mins(5);
/// How long, and up to how many bytes, is read of what a client still sends behind an answer that ends its connection: closing at once
/// would take the answer from it.
const LINGER: (Duration, u64) = (Duration::from_millis(500), 256 << 10);
/// The pause where no connection can be accepted, as there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What one connection too many hears.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// How long and how much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the head of a request may take, and as long its body.
    pub request: Duration,
    /// How many connections there may be.
    pub connections: usize,
}

/// What is served.
pub struct Api {
    /// Who answers queries.
    pub answers: Arc<dyn Answers>,
    /// Who takes commands; none where that is off.
    pub submit: Option<Arc<dyn Submits>>,
    /// The families whose commands are taken.
    pub families: Vec<Family>,
    /// What clients must show; none where anybody may ask, who must be on this machine.
    pub token: Option<Token>,
    /// See there.
    pub limits: Limits,
}

/// Whether a listener at an address may do without a token.
#[must_use]
pub const fn may_be_open(address: &SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Serves until cancelled; requests under way are answered.
pub async fn serve(listener: TcpListener, api: Api, cancelled: CancellationToken) {
    let (limits, api) = (api.limits, Arc::new(api));
    let router = routes::router(api.clone());
    let room = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = cancelled.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Ok(turn) = room.clone().try_acquire_owned() {
            let (api, router) = (api.clone(), router.clone());
            connections.spawn(connection(stream, api, router, cancelled.clone(), turn));
        } else {
            metrics::counter!("weir_http_turned_away_total").increment(1);
            // Just accepted, it has room for so little.
            let _ = stream.try_write(FULL);
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(
    mut stream: TcpStream,
    api: Arc<Api>,
    router: Router,
    cancelled: CancellationToken,
    _turn: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let limits = api.limits;
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (api, router) = (api.clone(), router.clone());
        async move { Ok::<_, Infallible>(respond(&api, router, request.map(Body::new)).await) }
    });
    {
        let mut served = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.request)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(&mut stream), service)
        );
        let over = async {
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = tokio::time::sleep(LIFETIME) => {}
            }
        };
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = over => {
                served.as_mut().graceful_shutdown();
                tokio::time::timeout(2 * limits.request, served).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection ended");
        }
    }
    let _ = stream.shutdown().await;
    let (within, bytes) = LINGER;
    let rest = async { tokio::io::copy(&mut stream.take(bytes), &mut tokio::io::sink()).await };
    let _ = tokio::time::timeout(within, rest).await;
}

async fn respond(api: &Api, router: Router, request: Request<Body>) -> Response<Body> {
    let route = routes::name(request.method(), request.uri().path());
    let response = match admitting::admit(api, request.headers()) {
        Ok(()) => match TowerToHyperService::new(router).call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(problem) => axum::response::IntoResponse::into_response(problem),
    };
    let status = response.status().as_u16().to_string();
    metrics::counter!("weir_http_requests_total", "route" => route, "status" => status).increment(1);
    response
}

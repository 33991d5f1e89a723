//! The admin server: /metrics, /livez, /readyz, /status and /runbooks. Plain HTTP without a token: it belongs on loopback, or on a
//! network that only Prometheus reaches.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::edges::clock::SystemClock;
use crate::edges::jetstream::Names;
use crate::edges::telemetry::Telemetry;
use crate::motion::status::Status;
use crate::process::engine::Health;
use crate::process::flow::Flow;
use crate::process::judging::figures_of;
use crate::process::monitoring;
use crate::process::verdict::{Figures, Verdict, judge};

/// What the admin server shows.
#[derive(Default)]
pub struct Shown {
    telemetry: Arc<Telemetry>,
    statuses: Mutex<Vec<Arc<Status>>>,
    draining: AtomicBool,
    health: Mutex<Arc<Health>>,
    door: Mutex<Option<Box<dyn Fn() -> bool + Send>>>,
    flow: Option<Arc<Flow>>,
    names: Names,
}

impl Shown {
    /// Shows a registry, and no shards yet.
    #[must_use]
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        Self { telemetry, ..Self::default() }
    }

    /// The same, with what becomes of orders, and the names of a deployment's streams.
    #[must_use]
    pub fn with_flow(telemetry: Arc<Telemetry>, flow: Option<Arc<Flow>>, names: Names) -> Self {
        Self { telemetry, flow, names, ..Self::default() }
    }

    /// What becomes of orders; none where that is not measured.
    #[must_use]
    pub fn flow(&self) -> Option<Arc<Flow>> {
        self.flow.clone()
    }

    /// Whether orders are confirmed, how fast, and what to do.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        judge(&Figures {
            now_ms: SystemClock::shared().wall_ns() / 1_000_000,
            from_outside: false,
            draining: self.draining.load(Relaxed),
            unwell: self.unwell(),
            shards: figures_of(&self.statuses(), &self.names),
            flow: self.flow.as_ref().map(|flow| flow.for_verdict()),
        })
    }

    /// How many messages are not applied, of all shards that are folded here.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.statuses().iter().map(|status| status.progress().lag_messages()).sum()
    }

    /// Says from now on whether the worker has what it needs.
    pub fn set_health(&self, health: Arc<Health>) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    /// What the worker lacks, in words: it is best started again; none where it has all that it needs.
    #[must_use]
    pub fn unwell(&self) -> Option<String> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).unwell()
    }

    /// Shows these shards from now on, and what becomes of their orders.
    pub fn set_statuses(&self, statuses: &[Arc<Status>]) {
        if let Some(flow) = &self.flow {
            flow.listen(statuses);
        }
        *self.statuses.lock().unwrap_or_else(PoisonError::into_inner) = statuses.to_vec();
    }

    /// The worker is nothing but a door from now on; `is_open` says whether requests can come to it.
    pub fn set_only_door(&self, is_open: impl Fn() -> bool + Send + 'static) {
        *self.door.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(is_open));
    }

    /// Says that the worker is going: it is not ready any more.
    pub fn set_draining(&self) {
        self.draining.store(true, Relaxed);
    }

    pub(in crate::process) fn statuses(&self) -> Vec<Arc<Status>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the worker cannot serve; none where it can. One shard that stands still is for an alert, and does not make the
    /// others unready.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        if self.draining.load(Relaxed) {
            return Some("draining".to_owned());
        }
        if let Some(is_open) = &*self.door.lock().unwrap_or_else(PoisonError::into_inner) {
            return (!is_open()).then(|| "the door is not connected to NATS".to_owned());
        }
        let statuses = self.statuses();
        if statuses.is_empty() {
            return Some("the streams are not there yet, or NATS cannot be reached".to_owned());
        }
        let reasons: Vec<_> = statuses.iter().filter_map(|status| status.unready()).collect();
        let all_halted = statuses.iter().all(|status| status.progress().fault.is_some());
        let waiting = statuses.iter().any(|status| !status.is_ready() && status.progress().fault.is_none());
        (waiting || all_halted).then(|| reasons.join("\n"))
    }
}

/// Binds the address: before anything else is started, so that a port that is taken shows at once.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until cancelled.
pub async fn serve(listener: TcpListener, shown: Arc<Shown>, cancelled: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/runbooks/{alert}", get(runbook))
        .with_state(shown);
    let served = axum::serve(listener, router).with_graceful_shutdown(cancelled.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the admin server stopped");
    }
}

async fn metrics(State(shown): State<Arc<Shown>>) -> Response {
    let text = shown.telemetry.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn livez(State(shown): State<Arc<Shown>>) -> Response {
    match shown.unwell() {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn readyz(State(shown): State<Arc<Shown>>) -> Response {
    match shown.unready() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// What to do about an alert, by this binary's version of it.
async fn runbook(Path(alert): Path<String>) -> Response {
    match monitoring::runbook(&alert) {
        Some(text) => ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such alert\n").into_response(),
    }
}

/// `?digests` adds the digests of each state at its log's end, from a fold beside the one that decides; not where that takes longer than
/// a minute.
async fn status(State(shown): State<Arc<Shown>>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let mut shards = Vec::new();
    for status in shown.statuses() {
        let mut view = view(&status);
        if query.contains_key("digests")
            && let Some(inspection) = status.inspect_beside().await
        {
            view["inspected"] = json!({
                "chain": inspection.chain.to_string(),
                "state": format!("{:016x}", inspection.digests.state),
                "ledger": format!("{:016x}", inspection.digests.ledger),
                "books": inspection.books.as_ref().map_or_else(ToString::to_string, |()| "hold".to_owned()),
            });
        }
        shards.push(view);
    }
    let text = json!({ "version": env!("CARGO_PKG_VERSION"), "unready": shown.unready(), "verdict": shown.verdict().json(), "shards": shards });
    ([(header::CONTENT_TYPE, "application/json")], text.to_string()).into_response()
}

fn view(status: &Status) -> Value {
    let progress = status.progress();
    let totals = progress.totals;
    json!({
        "shard": status.shard,
        "role": status.role(),
        "life": status.life().name(),
        "ready": status.is_ready(),
        "unsafe_settings": progress.unsafe_settings,
        "fault": progress.fault.as_ref().map(ToString::to_string),
        "applied": progress.applied.sequence,
        "chain": progress.applied.to_string(),
        "announced": progress.through.to_string(),
        "log_last": progress.log.last_sequence,
        "lag_messages": progress.lag_messages(),
        "lag_seconds": progress.lag_seconds,
        "orders": {
            "open": totals.open_orders,
            "waiting": totals.waiting_orders,
            "timed": totals.timed_orders,
            "settled": totals.settled_orders,
            "closed": totals.closed_orders,
        },
    })
}

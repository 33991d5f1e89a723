//! What the console answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::frames::Frame;
use super::guard::{Admission, Guard, Token};
use super::{Console, assets, todo};
use crate::process::flow::SECONDS_KEPT;
use crate::words::query::{OrderQuestion, QueryCode, Question};
use crate::words::text::is_id;

/// All that the page may load, and from where: itself. No inline code, no other site around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// A form with a token is no longer than this.
const FORM_BYTES_MAX: usize = 2 << 10;
/// How long a wrong token keeps whoever shows it waiting.
const WRONG_TOKEN_PAUSE: Duration = Duration::from_millis(500);
/// After how many milliseconds a browser opens a broken stream again.
const RETRY_MS: u64 = 2_000;

/// What the answers stand on.
struct Answered {
    console: Arc<Console>,
    guard: Guard,
}

/// The router.
pub(super) fn router(console: Arc<Console>, token: Option<Token>, port: u16) -> Router {
    let answers = Arc::new(Answered { console, guard: Guard::new(token, port) });
    let mut router = Router::new()
        .route("/session", post(session))
        .route("/snapshot", get(snapshot))
        .route("/stream", get(stream_on))
        .route("/order", get(order))
        .route("/todo.csv", get(todo_csv));
    for (place, path) in assets::paths().enumerate() {
        router =
            router.route(path, get(move |headers: HeaderMap| async move { assets::give(place, &headers) }));
    }
    router
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn_with_state(answers.clone(), guarded))
        .with_state(answers)
}

/// Lets in whoever may look, and says to browsers what they may do with what they get.
async fn guarded(State(answers): State<Arc<Answered>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // What is needed to show the token; none of it shows a figure.
    let open = matches!(path, "/login" | "/session" | "/console.css" | "/favicon.svg");
    let now = answers.console.now_ms() / 1_000;
    let mut response = match answers.guard.admit(request.headers(), now) {
        Admission::ForeignName => {
            let why = "this console answers to localhost only: see [console] in docs/operations.md\n";
            (StatusCode::MISDIRECTED_REQUEST, why).into_response()
        }
        Admission::TokenNeeded if !open && path == "/" => Redirect::to("/login").into_response(),
        Admission::TokenNeeded if !open => (StatusCode::UNAUTHORIZED, "a token is needed\n").into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Exchanges the token for a cookie.
async fn session(State(answers): State<Arc<Answered>>, headers: HeaderMap, body: Bytes) -> Response {
    let form = std::str::from_utf8(&body).ok().and_then(|body| format!("/?{body}").parse().ok());
    let form = form.and_then(|uri| Query::<BTreeMap<String, String>>::try_from_uri(&uri).ok());
    let shown = form.and_then(|Query(mut form)| form.remove("token")).unwrap_or_default();
    if !answers.guard.is_token(&shown) {
        tokio::time::sleep(WRONG_TOKEN_PAUSE).await;
        return Redirect::to("/login?wrong").into_response();
    }
    let secure = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let cookie = answers.guard.cookie(answers.console.now_ms() / 1_000, secure);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

fn as_json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// A moment, with the last `points` seconds: all that are kept, unless said.
async fn snapshot(
    State(answers): State<Arc<Answered>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let points = query.get("points").map_or(Some(SECONDS_KEPT), |points| points.parse().ok());
    match points {
        Some(points) => as_json(&answers.console.snapshot(points)),
        None => (StatusCode::BAD_REQUEST, "points: a number\n").into_response(),
    }
}

/// What feeds one browser.
struct Feed {
    frames: watch::Receiver<Frame>,
    /// The lists that it has.
    lists: u64,
    /// What comes before the next frame.
    first: Vec<Event>,
    console: Arc<Console>,
    _place: OwnedSemaphorePermit,
}

async fn stream_on(State(answers): State<Arc<Answered>>) -> Response {
    let console = answers.console.clone();
    let Ok(place) = console.streams.clone().try_acquire_owned() else {
        let why = "too many pages are open\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], why).into_response();
    };
    let mut frames = console.frames.subscribe();
    // What was there before it came may be old.
    frames.mark_unchanged();
    let first = vec![Event::default().retry(Duration::from_millis(RETRY_MS)).comment("weir")];
    let feed = Feed { frames, lists: 0, first, console, _place: place };
    let mut response = Sse::new(events(feed)).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The latest frame, whenever the browser is ready for one; ends with the worker.
fn events(feed: Feed) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(feed, |mut feed| async move {
        if let Some(event) = feed.first.pop() {
            return Some((Ok(event), feed));
        }
        let ending = feed.console.ending.clone();
        ending.run_until_cancelled(feed.frames.changed()).await?.ok()?;
        let frame = feed.frames.borrow_and_update().clone();
        if frame.lists.0 != feed.lists {
            feed.lists = frame.lists.0;
            feed.first.push(Event::default().event("lists").data(&*frame.lists.1));
        }
        Some((Ok(Event::default().event("now").data(&*frame.now)), feed))
    })
}

/// What became of an order: its state, its history and why it was decided so, by whoever has its shard; and the risk that it is late.
async fn order(
    State(answers): State<Arc<Answered>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(id) = query.get("id").filter(|id| is_id(id)) else {
        let why = "id: 1 to 64 bytes without control characters\n";
        return (StatusCode::BAD_REQUEST, why).into_response();
    };
    let said = |status: StatusCode, why: &str| {
        (status, as_json(&json!({ "order_id": id, "state": null, "why": why }))).into_response()
    };
    let Some(queries) = answers.console.answers.get() else {
        return said(StatusCode::SERVICE_UNAVAILABLE, "this worker has not reached its streams yet");
    };
    let question = OrderQuestion { order_id: id.clone(), history: true, ..OrderQuestion::default() };
    match queries.answer(Question::Order(question)).await {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(error) if error.code == QueryCode::UnknownOrder => {
            said(StatusCode::NOT_FOUND, &error.to_string())
        }
        Err(error) => said(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// The shop's list of things to do.
async fn todo_csv(State(answers): State<Arc<Answered>>) -> Response {
    let Some(rows) = answers.console.todo() else {
        return (StatusCode::NOT_FOUND, "not measured\n").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"weir-todo.csv\""),
    ];
    (headers, todo::csv(&rows)).into_response()
}

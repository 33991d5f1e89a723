//! The queries' side of NATS: a service of its micro protocol (`$SRV.PING`, `INFO`, `STATS`), found by any tool that knows it, and the
//! client that asks it.
//!
//! What is asked comes from anybody. The client's task dies of some headers ([`Link`]), so a service has a connection of its own, at which
//! nothing else waits; one that has died is made anew at once. Requests are answered side by side, up to
//! [`REQUESTS_MAX`]; those beyond hear `busy`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::RequestErrorKind;
use async_nats::service::endpoint::Endpoint;
use async_nats::service::error::Error as ServiceError;
use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, Request, Service, ServiceExt as _};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::connection::Link;
use super::names::Names;
use crate::edges::questions::{Asking, Questions};
use crate::words::query::{Query, QueryCode, QueryError};

/// The most requests that one service answers at once.
pub const REQUESTS_MAX: usize = 64;
/// The pause before a service that could not be had is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// What a message's header may take beside its payload.
const HEADER_BYTES_MAX: usize = 1 << 10;

/// What a service answers, and under which names.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The shard that is asked; none where the worker finds out itself.
    pub shard: Option<String>,
    /// The names of the deployment.
    pub names: Names,
}

impl Offered {
    /// The service's name, the same for all workers.
    fn name(&self) -> String {
        format!("{}-query", self.names.prefix())
    }
}

/// Answers what is asked of it until `until` is over, whatever becomes of the connection.
pub async fn serve<A, F>(link: &Link, offered: &Offered, answer: A, until: impl Future<Output = ()>)
where
    A: Fn(Query, Bytes) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Bytes, QueryError>> + Send + 'static,
{
    let serving = async {
        loop {
            if let Err(error) = serve_once(link, offered, answer.clone()).await {
                tracing::debug!(%error, "the queries cannot be served; trying on");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            link.renew_if_dead().await;
        }
    };
    tokio::select! {
        () = serving => {}
        () = until => {}
    }
}

/// Ends a service with its subscriptions, also where nobody waits for that.
struct Running(Option<Service>);

impl Drop for Running {
    fn drop(&mut self) {
        if let (Some(service), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(service.stop());
        }
    }
}

/// Serves until the connection's client has died.
async fn serve_once<A, F>(link: &Link, offered: &Offered, answer: A) -> Result<(), async_nats::Error>
where
    A: Fn(Query, Bytes) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Bytes, QueryError>> + Send + 'static,
{
    let client = link.client();
    let service = client
        .service_builder()
        .description("Weir: orders and stock as a shard's state has them")
        .metadata(offered.shard.iter().map(|shard| ("shard".to_owned(), shard.clone())).collect())
        .start(offered.name(), env!("CARGO_PKG_VERSION"))
        .await?;
    let mut endpoints = Vec::new();
    for query in Query::ALL {
        let subject = offered.names.query_subject(offered.shard.as_deref(), query);
        let named = service.endpoint_builder().name(query.name());
        let endpoint: Endpoint = named.add(subject).await?;
        endpoints.push(endpoint.map(move |request| (query, request)));
    }
    let running = Running(Some(service));
    let mut requests = futures_util::stream::select_all(endpoints);
    let room = Arc::new(Semaphore::new(REQUESTS_MAX));
    let answering = TaskTracker::new();
    while let Some((query, request)) = requests.next().await {
        let to = request.message.reply.as_ref().map(|to| to.as_bytes());
        if to.is_some_and(|to| offered.names.is_for_workers_only(to)) {
            continue;
        }
        let client = client.clone();
        let Ok(turn) = room.clone().try_acquire_owned() else {
            let busy = QueryError::new(QueryCode::Busy, "too many questions at once");
            respond(&request, Err(busy)).await;
            continue;
        };
        let answer = answer(query, request.message.payload.clone());
        answering.spawn(async move {
            let answer = fitting(answer.await, client.max_payload());
            respond(&request, answer).await;
            drop(turn);
        });
    }
    drop(running);
    Ok(())
}

/// An answer that the broker takes.
fn fitting(answer: Result<Bytes, QueryError>, payload_bytes_max: usize) -> Result<Bytes, QueryError> {
    let bytes = answer?;
    if bytes.len() + HEADER_BYTES_MAX > payload_bytes_max {
        let text = format!("{} bytes, and the broker takes {payload_bytes_max}: ask for less", bytes.len());
        return Err(QueryError::new(QueryCode::AnswerTooLarge, text));
    }
    Ok(bytes)
}

async fn respond(request: &Request, answer: Result<Bytes, QueryError>) {
    let answer = answer.map_err(|error| ServiceError {
        status: one_line(&error.to_string()),
        code: error.code.status().into(),
    });
    if let Err(error) = request.respond(answer).await {
        tracing::debug!(%error, "an answer could not be sent");
    }
}

/// A text that may stand in a header.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if (' '..='~').contains(&letter) { letter } else { '?' }).collect()
}

/// Asks the services of a deployment.
#[derive(Clone, Debug)]
pub struct JetQuestions {
    link: Link,
    names: Names,
}

impl JetQuestions {
    /// Asks over a connection.
    #[must_use]
    pub const fn new(link: Link, names: Names) -> Self {
        Self { link, names }
    }
}

impl Questions for JetQuestions {
    fn ask<'a>(
        &'a self,
        shard: Option<&'a str>,
        query: Query,
        question: Bytes,
        within: Duration,
    ) -> Asking<'a> {
        Box::pin(async move {
            let request = async_nats::Request::new().payload(question).timeout(Some(within));
            let subject = self.names.query_subject(shard, query);
            let unavailable = |text: &str| QueryError::new(QueryCode::Unavailable, text);
            let answer = match self.link.client().send_request(subject, request).await {
                Ok(answer) => answer,
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                    return Err(unavailable("no worker has the shard's state now"));
                }
                Err(error) if error.kind() == RequestErrorKind::TimedOut => {
                    return Err(unavailable("no worker answered in time"));
                }
                Err(error) => return Err(unavailable(&error.to_string())),
            };
            let header = |name| answer.headers.as_ref().and_then(|headers| headers.get(name));
            match (header(NATS_SERVICE_ERROR), header(NATS_SERVICE_ERROR_CODE)) {
                (None, None) => Ok(answer.payload),
                (said, _) => Err(said_of(said.map_or("", |said| said.as_str()))),
            }
        })
    }
}

/// The error that a service's text stands for.
fn said_of(text: &str) -> QueryError {
    let (code, detail) = text.split_once(": ").unwrap_or((text, ""));
    match QueryCode::of_name(code) {
        Some(code) => QueryError::new(code, detail),
        None => QueryError::new(QueryCode::Unavailable, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_its_header() {
        let error = QueryError::new(QueryCode::UnknownOrder, "shard a: none\r\nX: 1 \u{e9}");
        let said = said_of(&one_line(&error.to_string()));
        assert_eq!(said, QueryError::new(QueryCode::UnknownOrder, "shard a: none??X: 1 ?"));
        assert_eq!(said_of("odd").code, QueryCode::Unavailable);
    }

    #[test]
    fn an_answer_fits_or_is_refused() {
        let answer = || Ok(Bytes::from(vec![b' '; 2_000]));
        assert!(fitting(answer(), 2_000 + HEADER_BYTES_MAX).is_ok());
        let refused = fitting(answer(), 1_999 + HEADER_BYTES_MAX).unwrap_err();
        assert_eq!(refused.code, QueryCode::AnswerTooLarge);
    }
}

//! Queries: which shard a question is for, who answers it, and the services by which others ask.
//!
//! A worker answers from its own state where it leads a shard, or stands by and has caught up; any other question it passes on to a
//! worker that does. So any worker can be asked, over NATS or HTTP, and nobody needs to know who holds what.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::edges::jetstream::service::{Offered, serve};
use crate::edges::jetstream::{Link, Names};
use crate::edges::questions::{Asking, Questions};
use crate::edges::streams::Streams;
use crate::motion::live::answering;
use crate::motion::status::Status;
use crate::words::config::Shards;
use crate::words::policy::SITE_DEFAULT;
use crate::words::query::{Query, QueryCode, QueryError, Question, WAIT_MS_MAX};

/// How many questions that take many looks, or read streams, are answered at once; further ones hear `busy`.
const LONG_MAX: usize = 8;
/// How long another worker may take, beyond what the question itself waits for.
const ELSEWHERE_WITHIN: Duration = Duration::from_secs(12);

/// How often it is looked whether this worker can answer, where nothing tells of a change.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Answers questions to any shard of the deployment.
pub trait Answers: Send + Sync + 'static {
    /// Answers a question, as JSON.
    fn answer(&self, question: Question) -> Asking<'_>;
}

/// Answers from this worker's states, and asks others where it has none. See the module.
pub struct Queries<S> {
    /// All shards of the configuration: whether this worker has their states shows from their statuses.
    shards: Vec<(Arc<Status>, S)>,
    layout: Shards,
    elsewhere: Option<Box<dyn Questions>>,
    long: Semaphore,
}

impl<S: Streams> Queries<S> {
    /// Over all shards of the configuration. Without `elsewhere` nobody else is asked.
    #[must_use]
    pub fn new(shards: Vec<(Arc<Status>, S)>, layout: Shards, elsewhere: Option<Box<dyn Questions>>) -> Self {
        Self { shards, layout, elsewhere, long: Semaphore::new(LONG_MAX) }
    }

    fn held(&self, shard: &str) -> Option<&(Arc<Status>, S)> {
        self.shards.iter().find(|(status, _)| status.shard == shard)
    }

    /// Answers from this worker's own state of a shard.
    pub async fn answer_here(&self, shard: &str, question: &Question) -> Result<Bytes, QueryError> {
        let unknown = || QueryError::new(QueryCode::UnknownShard, format!("there is no shard {shard:?}"));
        let (status, streams) = self.held(shard).ok_or_else(unknown)?;
        let _turn = if is_long(question) {
            let busy = |_| QueryError::new(QueryCode::Busy, "too many long questions at once");
            Some(self.long.try_acquire().map_err(busy)?)
        } else {
            None
        };
        let answered = answering::answer(status, streams, question).await;
        count(question.query(), answered.as_ref().err());
        Ok(answered?.to_json().into())
    }

    /// Answers from here, or from elsewhere.
    async fn answer_of(&self, shard: &str, mut question: Question) -> Result<Bytes, QueryError> {
        let is_here = self.held(shard).is_some_and(|(status, _)| status.can_answer());
        match &self.elsewhere {
            Some(elsewhere) if !is_here => {
                question.common_mut().shard = Some(shard.to_owned());
                let within = ELSEWHERE_WITHIN
                    + Duration::from_millis(
                        question.common().wait_ms.unwrap_or(WAIT_MS_MAX).min(WAIT_MS_MAX),
                    );
                elsewhere.ask(Some(shard), question.query(), question.to_json().into(), within).await
            }
            _ => self.answer_here(shard, &question).await,
        }
    }

    /// The shard that a question is for; none where all are.
    fn shard_of(&self, question: &Question) -> Result<Option<&str>, QueryError> {
        let shards = &self.layout.0;
        if let Some(named) = &question.common().shard {
            let found = shards.iter().find(|shard| shard.name == *named);
            let unknown = || QueryError::new(QueryCode::UnknownShard, format!("there is no shard {named:?}"));
            return found.map(|shard| Some(shard.name.as_str())).ok_or_else(unknown);
        }
        let default = matches!(question, Question::Stock(_)).then_some(SITE_DEFAULT);
        if let Some(site) = question.site().or(default) {
            let found = shards.iter().find(|shard| shard.sites.iter().any(|held| held == site));
            let unknown = || QueryError::new(QueryCode::UnknownSite, format!("no shard holds site {site:?}"));
            return found.map(|shard| Some(shard.name.as_str())).ok_or_else(unknown);
        }
        match (shards.as_slice(), question) {
            ([only], _) => Ok(Some(&only.name)),
            (_, Question::Order(_)) => Ok(None),
            (several, _) => {
                let names: Vec<_> = several.iter().take(8).map(|shard| shard.name.as_str()).collect();
                let text = format!(
                    "there are {} shards ({} …): name one, or a site",
                    several.len(),
                    names.join(", ")
                );
                Err(QueryError::new(QueryCode::UnknownShard, text))
            }
        }
    }

    async fn answer_any(&self, question: Question) -> Result<Bytes, QueryError> {
        question.check()?;
        if let Some(shard) = self.shard_of(&question)? {
            return self.answer_of(shard, question).await;
        }
        // An order's id does not tell its shard.
        let asked = self.layout.0.iter().map(|shard| self.answer_of(&shard.name, question.clone()));
        let mut unanswered = None;
        for answer in join_all(asked).await {
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) if error.code == QueryCode::UnknownOrder => {
                    unanswered.get_or_insert(error);
                }
                // Where a shard did not answer, nobody knows whether it has the order.
                Err(error) => unanswered = Some(error),
            }
        }
        Err(unanswered.unwrap_or_else(|| QueryError::new(QueryCode::UnknownShard, "there is no shard")))
    }
}

impl<S: Streams> Answers for Queries<S> {
    fn answer(&self, question: Question) -> Asking<'_> {
        Box::pin(self.answer_any(question))
    }
}

/// Whether a question takes more than a few looks.
const fn is_long(question: &Question) -> bool {
    match question {
        Question::Orders(_) | Question::Stocks(_) => true,
        Question::Order(order) => order.history,
        Question::Stock(_) => false,
    }
}

fn count(query: Query, error: Option<&QueryError>) {
    let result = error.map_or("answered", |error| error.code.name());
    metrics::counter!("weir_queries_total", "query" => query.name(), "result" => result).increment(1);
}

/// Waits until this worker can answer for a shard, or no more. Not all that counts is told as a change.
async fn until(status: &Status, can: bool) {
    let changed = || status.wait_for(|_| status.can_answer() == can);
    while tokio::time::timeout(LOOK_INTERVAL, changed()).await.is_err() {}
}

/// Serves questions over NATS until told to stop: those to any worker all the time, those to a shard while this worker has its state.
pub async fn serve_all<S: Streams>(
    queries: Arc<Queries<S>>,
    link: Link,
    names: Names,
    stop: CancellationToken,
) {
    let services = TaskTracker::new();
    {
        let (queries, link, stop) = (queries.clone(), link.clone(), stop.clone());
        let offered = Offered { shard: None, names: names.clone() };
        services.spawn(async move {
            let answer = move |query, question: Bytes| {
                let queries = queries.clone();
                async move { queries.answer_any(Question::parse(query, &question)?).await }
            };
            serve(&link, &offered, answer, stop.cancelled_owned()).await;
        });
    }
    for (status, _) in &queries.shards {
        let (queries, link, stop, status) = (queries.clone(), link.clone(), stop.clone(), status.clone());
        let offered = Offered { shard: Some(status.shard.clone()), names: names.clone() };
        services.spawn(async move {
            let serving = async {
                loop {
                    until(&status, true).await;
                    let queries = queries.clone();
                    let shard: Arc<str> = status.shard.as_str().into();
                    let answer = move |query, question: Bytes| {
                        let (queries, shard) = (queries.clone(), shard.clone());
                        async move { queries.answer_here(&shard, &Question::parse(query, &question)?).await }
                    };
                    serve(&link, &offered, answer, until(&status, false)).await;
                }
            };
            stop.run_until_cancelled(serving).await;
        });
    }
    services.close();
    services.wait().await;
}

//! Feeds logs without waiting for each acknowledgement.
//!
//! All acknowledgements come over one subscription, each under the token that its message was published with: there is
//! no request, timer or task for each message, which a client that sends a hundred thousand a second would feel.
//! Nothing is repeated here, and how many may be unacknowledged is the caller's to bound: the subscription holds 65,536.

use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::{Client, HeaderMap, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::append::answered;
use super::connection::Link;
use super::header;
use super::names::ShardNames;
use crate::edges::streams::AppendError;
use crate::words::codec::Format;

/// Publishes to the logs of some shards.
#[derive(Clone, Debug)]
pub struct LogFeed {
    client: Client,
    inbox: String,
    subjects: Vec<Subject>,
    headers: HeaderMap,
}

/// A message that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it was published with.
    pub token: u64,
    /// Its sequence in its log.
    pub sequence: u64,
}

/// The acknowledgements of a [`LogFeed`], in the order in which they come.
#[derive(Debug)]
pub struct Acks {
    subscription: Subscriber,
}

impl LogFeed {
    /// Subscribes to the acknowledgements. All payloads will be in `format`.
    pub async fn open(
        link: &Link,
        shards: &[ShardNames],
        format: Format,
    ) -> Result<(Self, Acks), AppendError> {
        let client = link.client();
        let inbox = client.new_inbox();
        let subscription =
            client.subscribe(format!("{inbox}.*")).await.map_err(|error| unavailable(&error))?;
        let subjects = shards.iter().map(|shard| Subject::from(shard.log_subject.clone())).collect();
        Ok((Self { client, inbox, subjects, headers: header::of_log(format) }, Acks { subscription }))
    }

    /// Hands a message over to the connection, for the log of the `shard`th shard. Waits only while the connection has
    /// no room for it.
    pub async fn publish(&self, shard: usize, token: u64, payload: Bytes) -> Result<(), AppendError> {
        let reply = format!("{}.{token}", self.inbox);
        self.client
            .publish_with_reply_and_headers(
                self.subjects[shard].clone(),
                reply,
                self.headers.clone(),
                payload,
            )
            .await
            .map_err(|error| unavailable(&error))
    }
}

impl Acks {
    /// The next acknowledgement, or why a message was refused.
    pub async fn next(&mut self) -> Result<Stored, AppendError> {
        let Some(message) = self.subscription.next().await else {
            return Err(AppendError::Unavailable("the connection has ended".to_owned()));
        };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(AppendError::Unavailable("no stream takes the log's subject".to_owned()));
        }
        let token = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let response = serde_json::from_slice(&message.payload);
        match (token, response) {
            (Some(token), Ok(Response::Ok(PublishAck { sequence, .. }))) => Ok(Stored { token, sequence }),
            (_, Ok(Response::Err { error })) => Err(answered(&error)),
            (None, _) | (_, Err(_)) => {
                Err(AppendError::Unavailable("an answer that is no acknowledgement".to_owned()))
            }
        }
    }
}

fn unavailable(error: &impl std::fmt::Display) -> AppendError {
    AppendError::Unavailable(error.to_string())
}

//! Feeds orders without waiting for each acknowledgement.
//!
//! All acknowledgements come over one subscription, each under the token that its message was published with: there is
//! no request, timer or task for each message, which a client that sends a hundred thousand a second would feel.
//! Nothing is repeated here, and how many may be unacknowledged is the caller's to bound: the subscription holds 65,536.

use anyhow::{Context as _, bail};
use async_nats::{Client, HeaderMap, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;

use weir::words::codec::Format;

/// Publishes orders.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    client: Client,
    inbox: String,
    subjects: Vec<Subject>,
    headers: HeaderMap,
}

/// A message that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// What it was published with.
    pub(crate) token: u64,
    /// Its sequence in its stream.
    pub(crate) sequence: u64,
}

/// The acknowledgements of a [`Feed`], in the order in which they come.
#[derive(Debug)]
pub(crate) struct Acks {
    subscription: Subscriber,
}

/// What the server says to a message that was published to a stream.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Refused { error: Refusal },
    Stored { seq: u64 },
}

#[derive(Deserialize)]
struct Refusal {
    description: String,
}

impl Feed {
    /// Subscribes to the acknowledgements. All payloads will be in `format`.
    pub(crate) async fn open(
        client: Client,
        subjects: impl Iterator<Item = String>,
        format: Format,
    ) -> anyhow::Result<(Self, Acks)> {
        let inbox = client.new_inbox();
        let subscription = client.subscribe(format!("{inbox}.*")).await?;
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", format.content_type());
        Ok((
            Self { client, inbox, subjects: subjects.map(Subject::from).collect(), headers },
            Acks { subscription },
        ))
    }

    /// Hands a message over to the connection. Waits only while the connection has no room for it.
    pub(crate) async fn publish(&self, shard: usize, token: u64, payload: Bytes) -> anyhow::Result<()> {
        let (subject, reply) = (self.subjects[shard].clone(), format!("{}.{token}", self.inbox));
        let publish =
            self.client.publish_with_reply_and_headers(subject, reply, self.headers.clone(), payload);
        Ok(publish.await?)
    }
}

impl Acks {
    /// The next acknowledgement, or why a message was refused.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Stored> {
        let message = self.subscription.next().await.context("the connection has ended")?;
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            bail!("no stream takes the subject");
        }
        let token = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let token = token.context("an answer to nothing")?;
        match serde_json::from_slice(&message.payload).context("an answer that is no acknowledgement")? {
            Answer::Stored { seq: sequence } => Ok(Stored { token, sequence }),
            Answer::Refused { error } => bail!("the server refused it: {}", error.description),
        }
    }
}

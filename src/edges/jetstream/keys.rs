//! A table in JetStream: a bucket of keys and values as every client of NATS knows them, spoken to directly.
//!
//! A revision is a sequence of the bucket's stream. A value is read from the stream's leader, never from a follower or a
//! cache, and put with `Nats-Expected-Last-Subject-Sequence`. What is removed is marked so by a fenced message, and then
//! that mark is purged: keys that come and go would fill the server's memory with their marks.

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;

use super::append::append;
use super::connection::{Connections, Link};
use super::header::Incoming;
use super::names::TableNames;
use super::request::{self, Purged, Which};
use crate::edges::keys::{Entry, KEYS_MAX, Keys, VALUE_BYTES_MAX, is_name, no_name};
use crate::edges::streams::{AppendError, ReadError};

/// What is done to a key, where it is not a put.
const OPERATION: &str = "KV-Operation";
/// The [`OPERATION`] of a mark.
const REMOVED: &str = "DEL";

/// A table in JetStream. Clones share the connections.
#[derive(Clone, Debug)]
pub struct JetKeys {
    link: Link,
    names: Arc<TableNames>,
}

impl JetKeys {
    /// The table in a bucket, such as [`Names::leases_bucket`](super::Names::leases_bucket). It is not looked at yet.
    #[must_use]
    pub fn new(connections: &Connections, bucket: &str) -> Self {
        Self { link: connections.publishing.clone(), names: Arc::new(TableNames::new(bucket)) }
    }

    /// All values as [`Keys::all`] gives them, each with how long ago it was put, by the server's clock.
    pub async fn with_ages(&self) -> Result<Vec<(String, Entry, Duration)>, ReadError> {
        let now = request::info(&self.link.context(), &self.names.stream).await?.at();
        let aged = |(key, entry, stored_at_ns): (String, Entry, i64)| {
            let age_ms = now.map_or(0, |now| now.millis() - stored_at_ns / 1_000_000);
            (key, entry, Duration::from_millis(age_ms.max(0).unsigned_abs()))
        };
        Ok(self.stored().await?.into_iter().map(aged).collect())
    }

    /// All values, each with when it was put, in nanoseconds since 1970.
    async fn stored(&self) -> Result<Vec<(String, Entry, i64)>, ReadError> {
        let TableNames { stream, keys } = &*self.names;
        let lasts = request::lasts(&self.link.context(), stream, &format!("{keys}>"), KEYS_MAX).await?;
        let mut all = Vec::with_capacity(lasts.len());
        for (subject, message) in lasts {
            let stored_at_ns = message.stored_at_ns;
            if let (Some(key), Some(entry)) = (subject.strip_prefix(keys), entry(message)?) {
                all.push((key.to_owned(), entry, stored_at_ns));
            }
        }
        Ok(all)
    }

    fn subject(&self, key: &str) -> String {
        format!("{}{key}", self.names.keys)
    }

    async fn last(&self, subject: &str) -> Result<Option<Incoming>, ReadError> {
        request::message(&self.link.context(), &self.names.stream, Which::Last(subject)).await
    }

    /// Publishes to a key's subject if the last message of it is `expected`.
    async fn change(
        &self,
        subject: &str,
        mut headers: HeaderMap,
        value: Bytes,
        expected: u64,
    ) -> Result<u64, AppendError> {
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(expected));
        append(&self.link, &self.names.stream, subject, headers, value).await
    }
}

/// The value that a message holds; none where it is a mark.
fn entry(message: Incoming) -> Result<Option<Entry>, ReadError> {
    let Some(headers) = &message.headers else {
        return Err(ReadError::Unreadable(format!("the header of revision {}", message.sequence)));
    };
    let put = headers.get(OPERATION).is_none_or(|operation| operation.as_str() == "PUT");
    Ok(put.then_some(Entry { value: message.payload, revision: message.sequence }))
}

impl Keys for JetKeys {
    async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        if !is_name(key) {
            return Ok(None);
        }
        self.last(&self.subject(key)).await?.map_or(Ok(None), entry)
    }

    async fn all(&self) -> Result<Vec<(String, Entry)>, ReadError> {
        Ok(self.stored().await?.into_iter().map(|(key, entry, _)| (key, entry)).collect())
    }

    async fn put(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, AppendError> {
        if !is_name(key) {
            return Err(no_name(key));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        let subject = self.subject(key);
        let put = self.change(&subject, HeaderMap::new(), value.clone(), expected).await;
        if expected > 0 || put != Err(AppendError::Conflict) {
            return put;
        }
        // It may be a mark that is in the way.
        let unread = |error: ReadError| AppendError::Unavailable(error.to_string());
        let mut mark = 0;
        if let Some(last) = self.last(&subject).await.map_err(unread)? {
            mark = last.sequence;
            if entry(last).map_err(unread)?.is_some() {
                return Err(AppendError::Conflict);
            }
        }
        self.change(&subject, HeaderMap::new(), value, mark).await
    }

    async fn remove(&self, key: &str, expected: u64) -> Result<(), AppendError> {
        if !is_name(key) || expected == 0 {
            return Err(AppendError::Conflict);
        }
        let subject = self.subject(key);
        let mut headers = HeaderMap::new();
        headers.insert(OPERATION, REMOVED);
        let mark = self.change(&subject, headers, Bytes::new(), expected).await?;
        // A mark that stays costs room, nothing else.
        let purged =
            request::purge(&self.link.context(), &self.names.stream, Purged::Through(&subject, mark)).await;
        if let Err(error) = purged {
            tracing::debug!(key, %error, "the mark of a removed key was not purged");
        }
        Ok(())
    }
}

//! Objects in JetStream: an object store as every client of NATS knows it, spoken to directly.
//!
//! An object's chunks are messages under a subject of its own, and what is known of it (its name, size, number of chunks,
//! digest) is one message under its name, stored last and only if there is none: that makes the object. Both are purged
//! when it is removed. A write that fails takes its chunks away; one that was given up, or whose process died, leaves
//! them, and a later write [sweeps](JetObjects::sweep) them.
//!
//! Chunks share the connection's bandwidth with whatever else goes over it: a worker gives its snapshots connections of
//! their own.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use ring::digest::{self, SHA256};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::append::{append, send};
use super::connection::Connections;
use super::header::Incoming;
use super::names::StoreNames;
use super::request::{self, Purged, Which};
use super::span::Span;
use crate::edges::keys::{is_name, no_name};
use crate::edges::objects::{OBJECTS_MAX, ObjectInfo, ObjectReader, Objects, PIECE_BYTES_MAX, Pieces};
use crate::edges::streams::{AppendError, ReadError};

/// How many chunks may be unacknowledged.
const CHUNKS_UNDER_WAY_MAX: usize = 8;
/// A write that has stored nothing for so long will not go on. Longer than any source of chunks may pause.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);

/// What is known of an object, as all clients write it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Info {
    name: String,
    bucket: String,
    /// Tells its chunks from those of other writes.
    nuid: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    chunks: u64,
    #[serde(default)]
    digest: String,
    /// Removed by a client that leaves a mark.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

/// Objects in JetStream. Clones share the connections.
#[derive(Clone, Debug)]
pub struct JetObjects {
    connections: Connections,
    names: Arc<StoreNames>,
}

impl JetObjects {
    /// The objects in a bucket, such as [`Names::snapshots_bucket`](super::Names::snapshots_bucket). It is not looked at
    /// yet.
    #[must_use]
    pub fn new(connections: Connections, bucket: &str) -> Self {
        Self { connections, names: Arc::new(StoreNames::new(bucket)) }
    }

    fn info_subject(&self, name: &str) -> String {
        format!("{}{}", self.names.infos, URL_SAFE.encode(name))
    }

    fn chunks_subject(&self, nuid: &str) -> String {
        format!("{}{nuid}", self.names.chunks)
    }

    fn context(&self) -> async_nats::jetstream::Context {
        self.connections.publishing.context()
    }

    async fn info(&self, name: &str) -> Result<Option<(u64, Info)>, ReadError> {
        let subject = self.info_subject(name);
        let last = request::message(&self.context(), &self.names.stream, Which::Last(&subject)).await?;
        last.map(|last| Ok((last.sequence, parse(&last)?))).transpose()
    }

    /// What is known of all objects, also of those that were marked as removed.
    async fn infos(&self) -> Result<Vec<Info>, ReadError> {
        let StoreNames { stream, infos, .. } = &*self.names;
        let lasts = request::lasts(&self.context(), stream, &format!("{infos}>"), OBJECTS_MAX).await?;
        lasts.iter().map(|(_, last)| parse(last)).collect()
    }

    /// Takes away the chunks of writes that were given up and have stored nothing for `idle`.
    pub async fn sweep(&self, idle: Duration) -> Result<(), AppendError> {
        let unread = |error: ReadError| AppendError::Unavailable(error.to_string());
        let (context, StoreNames { stream, chunks, .. }) = (self.context(), &*self.names);
        let Some(now) = request::info(&context, stream).await.map_err(unread)?.at() else { return Ok(()) };
        // The chunks first: those of an object that is made meanwhile are not among them, or are its own by then.
        let filter = format!("{chunks}>");
        let mut subjects: BTreeSet<String> = request::subjects(&context, stream, &filter, OBJECTS_MAX)
            .await
            .map_err(unread)?
            .into_iter()
            .collect();
        for info in self.infos().await.map_err(unread)? {
            subjects.remove(&self.chunks_subject(&info.nuid));
        }
        for subject in subjects {
            let last = request::message(&context, stream, Which::Last(&subject)).await.map_err(unread)?;
            let age_ms = last.map_or(0, |last| now.millis() - last.stored_at_ns / 1_000_000);
            if u128::from(age_ms.max(0).unsigned_abs()) >= idle.as_millis() {
                tracing::info!(stream, subject, "taking away what a write left that was given up");
                request::purge(&context, stream, Purged::All(&subject)).await?;
            }
        }
        Ok(())
    }

    /// Stores the chunks of an object and gives what is known of it then.
    async fn write_chunks(
        &self,
        name: &str,
        nuid: &str,
        chunks: mpsc::Receiver<Bytes>,
    ) -> Result<Info, AppendError> {
        let (link, subject) = (&self.connections.publishing, self.chunks_subject(nuid));
        let mut info = Info {
            name: name.to_owned(),
            bucket: self.names.bucket.clone(),
            nuid: nuid.to_owned(),
            size: 0,
            chunks: 0,
            digest: String::new(),
            deleted: false,
        };
        let mut digest = digest::Context::new(&SHA256);
        let mut under_way = VecDeque::with_capacity(CHUNKS_UNDER_WAY_MAX);
        let mut pieces = Pieces::new(chunks);
        let mut so_far = Ok(());
        while so_far.is_ok()
            && let Some(piece) = pieces.next().await
        {
            digest.update(&piece);
            // What else the runtime carries must go on.
            tokio::task::yield_now().await;
            info.size += piece.len() as u64;
            info.chunks += 1;
            match send(link, &self.names.stream, subject.clone(), HeaderMap::new(), piece).await {
                Ok(sent) => under_way.push_back(sent),
                Err(error) => so_far = Err(error),
            }
            if under_way.len() == CHUNKS_UNDER_WAY_MAX
                && let Some(oldest) = under_way.pop_front()
            {
                so_far = so_far.and(oldest.stored().await.map(drop));
            }
        }
        // After a failure too: what would be stored after the rest was taken away would stay. But not for one after the other of those
        // that get no answer.
        let mut answered = so_far != Err(AppendError::TimedOut);
        while answered && let Some(sent) = under_way.pop_front() {
            let stored = sent.stored().await.map(drop);
            answered = stored != Err(AppendError::TimedOut);
            so_far = so_far.and(stored);
        }
        so_far?;
        info.digest = written(digest);
        Ok(info)
    }
}

fn parse(message: &Incoming) -> Result<Info, ReadError> {
    serde_json::from_slice(&message.payload)
        .map_err(|error| ReadError::Unreadable(format!("what is known of an object: {error}")))
}

/// A digest as all clients write it.
fn written(digest: digest::Context) -> String {
    format!("SHA-256={}", URL_SAFE.encode(digest.finish()))
}

impl Objects for JetObjects {
    type Reader = JetObjectReader;

    async fn write(&self, name: &str, chunks: mpsc::Receiver<Bytes>) -> Result<u64, AppendError> {
        if !is_name(name) {
            return Err(no_name(name));
        }
        let unread = |error: ReadError| AppendError::Unavailable(error.to_string());
        if self.info(name).await.map_err(unread)?.is_some() {
            return Err(AppendError::Conflict);
        }
        if let Err(error) = Box::pin(self.sweep(ABANDONED_AFTER)).await {
            tracing::warn!(stream = self.names.stream, %error, "what writes left that were given up stays for now");
        }
        let inbox = self.connections.publishing.client().new_inbox();
        let nuid = inbox.rsplit('.').next().unwrap_or_default();
        let made = async {
            let info = Box::pin(self.write_chunks(name, nuid, chunks)).await?;
            let payload = serde_json::to_vec(&info).expect("plain values").into();
            let mut headers = HeaderMap::new();
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(0_u64));
            let (link, subject) = (&self.connections.publishing, self.info_subject(name));
            append(link, &self.names.stream, &subject, headers, payload).await.map(|_| info.size)
        };
        let made = made.await;
        // After a time-out the object may be there.
        if made.as_ref().is_err_and(|error| *error != AppendError::TimedOut) {
            let subject = self.chunks_subject(nuid);
            let purged = request::purge(&self.context(), &self.names.stream, Purged::All(&subject)).await;
            if let Err(error) = purged {
                tracing::debug!(name, %error, "what a write left that failed will be swept later");
            }
        }
        made
    }

    async fn read(&self, name: &str) -> Result<Option<JetObjectReader>, ReadError> {
        if !is_name(name) {
            return Ok(None);
        }
        match self.info(name).await? {
            Some((_, info)) if !info.deleted => Ok(Some(JetObjectReader::new(self, info))),
            _ => Ok(None),
        }
    }

    async fn list(&self) -> Result<Vec<ObjectInfo>, ReadError> {
        let infos = self.infos().await?.into_iter().filter(|info| !info.deleted && is_name(&info.name));
        let mut objects: Vec<_> =
            infos.map(|info| ObjectInfo { name: info.name, bytes: info.size }).collect();
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    async fn remove(&self, name: &str) -> Result<(), AppendError> {
        if !is_name(name) {
            return Ok(());
        }
        let info = self.info(name).await.map_err(|error| AppendError::Unavailable(error.to_string()))?;
        let Some((sequence, info)) = info else { return Ok(()) };
        // In this order: what can be seen can be read.
        let (context, stream) = (self.context(), &self.names.stream);
        request::purge(&context, stream, Purged::Through(&self.info_subject(name), sequence)).await?;
        request::purge(&context, stream, Purged::All(&self.chunks_subject(&info.nuid))).await
    }
}

/// Reads an object.
pub struct JetObjectReader {
    info: Info,
    chunks: Span<Bytes>,
    /// What has come and was not yet given.
    read: VecDeque<Bytes>,
    /// How many chunks have come, and how many bytes of them were given.
    came: u64,
    given: u64,
    digest: Option<digest::Context>,
}

impl JetObjectReader {
    fn new(objects: &JetObjects, info: Info) -> Self {
        let (stream, subject) = (&objects.names.stream, objects.chunks_subject(&info.nuid));
        let chunks =
            Span::new(&objects.connections, stream, &subject, 1, |chunk| Ok((chunk.sequence, chunk.payload)));
        let digest = Some(digest::Context::new(&SHA256));
        Self { info, chunks, read: VecDeque::new(), came: 0, given: 0, digest }
    }

    fn unreadable(&self, what: &str) -> ReadError {
        ReadError::Unreadable(format!("object {}: {what}", self.info.name))
    }

    /// Whether what was given is what was written.
    fn check(&mut self) -> Result<(), ReadError> {
        if let Some(digest) = self.digest.take()
            && (self.given != self.info.size || written(digest) != self.info.digest)
        {
            return Err(self.unreadable("it is not what was written"));
        }
        Ok(())
    }
}

impl ObjectReader for JetObjectReader {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            while let Some(mut chunk) = self.read.pop_front() {
                let piece = chunk.split_to(chunk.len().min(PIECE_BYTES_MAX));
                if !chunk.is_empty() {
                    self.read.push_front(chunk);
                }
                if !piece.is_empty() {
                    self.given += piece.len() as u64;
                    if let Some(digest) = &mut self.digest {
                        digest.update(&piece);
                    }
                    // What else the runtime carries must go on.
                    tokio::task::yield_now().await;
                    return Ok(Some(piece));
                }
            }
            if self.came == self.info.chunks {
                self.check()?;
                return Ok(None);
            }
            let came = self.chunks.next().await?;
            if came.is_empty() {
                return Err(self.unreadable("chunks are missing"));
            }
            self.came += came.len() as u64;
            self.read.extend(came.into_iter().map(|(_, chunk)| chunk));
        }
    }
}

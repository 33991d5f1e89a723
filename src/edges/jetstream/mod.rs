//! The streams of a shard in JetStream, and tables and objects beside them.
//!
//! Appends go to the shard's subjects with the headers of [`header`]; the outcome stream is fenced by its last
//! sequence. No message id is sent: whether a server takes a message for a repetition differs between versions,
//! and the fence already tells. Readers are in [`reader`](JetReader), tables in [`keys`](JetKeys), objects in
//! [`objects`](JetObjects), what must exist beforehand in [`setup`].
//!
//! Nothing here retries: what to do after an error depends on where the caller stands.

mod append;
mod compare;
mod connection;
pub mod header;
mod keys;
mod names;
mod notices;
mod objects;
mod reader;
mod request;
mod requests;
mod security;
pub mod service;
mod setup;
mod signals;
mod span;
mod wire;

use std::sync::Arc;

use async_nats::HeaderValue;
use bytes::Bytes;
use tokio::sync::{OnceCell, mpsc};

use self::append::append;
use self::header::Incoming;
use self::reader::Wanted;
use self::request::Which;
use self::span::Span;
use super::Edges;
use super::folder::{FolderObjects, FolderReader};
use super::objects::{ObjectInfo, ObjectReader, Objects};
use super::streams::{
    AppendError, ClosableLog, Headers, READ_BYTES_MAX, READ_MESSAGES_MAX, ReadError, StreamState, Streams,
};
use crate::words::append::{Append, DeadLetter, Headline, StoredAppend, StoredLetter};
use crate::words::codec::Format;
use crate::words::message::{LogMessage, Way};
use crate::words::signal::SignalLetter;

pub use self::compare::Difference;
pub use self::connection::{ACK_TIMEOUT, ConnectError, Connection, Connections, Link, connect};
pub use self::keys::JetKeys;
pub use self::names::{NameError, Names, PREFIX_DEFAULT, ShardNames};
pub use self::notices::JetNotices;
pub use self::objects::{JetObjectReader, JetObjects};
pub use self::reader::JetReader;
pub use self::requests::{JetReplies, JetRequests};
pub use self::security::{Security, SecurityError};
pub use self::setup::{Done, SetupError, remove, setup, streams, verify};
pub use self::signals::JetSignals;

/// How many messages at the end of an outcome stream are passed over that are no appends.
const FOREIGN_MAX: u64 = 1_024;

/// The streams of one shard in JetStream. Clones share the connections.
#[derive(Clone, Debug)]
pub struct JetStreams {
    connections: Connections,
    names: Arc<ShardNames>,
    /// The connection that the log is read over, once it is; none where that is the one that all share.
    own: Option<Arc<OnceCell<Link>>>,
    /// The connections for who reads much at once; none where those are the same.
    beside: Option<Connections>,
}

impl JetStreams {
    /// The streams of a shard. They are not looked at yet.
    #[must_use]
    pub fn new(connections: Connections, names: ShardNames) -> Self {
        Self { connections, names: Arc::new(names), own: None, beside: None }
    }

    /// The same streams, whose log is read over a connection of its own (what breaks that holds up no other shard), and, by whoever
    /// [reads much at once](Streams::beside), over `beside`.
    #[must_use]
    pub fn apart(self, beside: Connections) -> Self {
        Self { own: Some(Arc::default()), beside: Some(beside), ..self }
    }

    /// The connection that the log is read over.
    async fn consuming(&self) -> Result<Link, ReadError> {
        let Some(own) = &self.own else { return Ok(self.connections.consuming.clone()) };
        let open = async || self.connections.consuming.another(&self.names.shard).await;
        let link = own.get_or_try_init(open).await;
        link.cloned().map_err(|error| ReadError::Unavailable(error.to_string()))
    }

    /// The names of the shard's streams and subjects.
    #[must_use]
    pub fn names(&self) -> &ShardNames {
        &self.names
    }

    async fn open_outcomes<T>(
        &self,
        from: u64,
        convert: fn(Incoming) -> Result<T, ReadError>,
        headlines: bool,
    ) -> Result<JetReader<T>, ReadError> {
        let Connections { publishing, consuming } = &self.connections;
        let wanted = Wanted { stream: &self.names.outcomes_stream, subject: None, from, convert, headlines };
        JetReader::open(publishing, consuming, wanted).await
    }
}

impl Streams for JetStreams {
    type LogReader = JetReader<LogMessage>;
    type OutcomeReader = JetReader<StoredAppend>;
    type HeadlineReader = JetReader<Headline>;

    fn beside(&self) -> Self {
        let connections = self.beside.as_ref().unwrap_or(&self.connections).clone();
        Self { connections, own: None, ..self.clone() }
    }

    /// What the server last said; NATS's default of 1 MiB before it has said anything.
    fn payload_bytes_max(&self) -> usize {
        self.connections.publishing.client().max_payload()
    }

    async fn log_state(&self) -> Result<StreamState, ReadError> {
        let context = self.connections.publishing.context();
        Ok(request::info(&context, &self.names.log_stream).await?.state())
    }

    async fn now_ns(&self) -> Result<Option<i64>, ReadError> {
        let context = self.connections.publishing.context();
        let at = request::info(&context, &self.names.log_stream).await?.at();
        Ok(at.map(|at| at.millis().saturating_mul(1_000_000)))
    }

    async fn log_message(&self, sequence: u64) -> Result<Option<LogMessage>, ReadError> {
        let context = self.connections.publishing.context();
        let message = request::message(&context, &self.names.log_stream, Which::At(sequence)).await?;
        message.map(Incoming::into_log_message).transpose()
    }

    async fn read_log(&self, from: u64) -> Result<Self::LogReader, ReadError> {
        let wanted = Wanted {
            stream: &self.names.log_stream,
            subject: None,
            from,
            convert: Incoming::into_log_message,
            headlines: false,
        };
        let consuming = self.consuming().await?;
        JetReader::open(&self.connections.publishing, &consuming, wanted).await
    }

    async fn append_log(&self, format: Format, payload: Bytes) -> Result<u64, AppendError> {
        let ShardNames { log_stream, log_subject, .. } = &*self.names;
        append(&self.connections.publishing, log_stream, log_subject, header::of_log(format), payload).await
    }

    async fn append_log_by(
        &self,
        way: Way,
        format: Format,
        headers: &Headers,
        payload: Bytes,
    ) -> Result<u64, AppendError> {
        let ShardNames { log_stream, log_subject, .. } = &*self.names;
        let subject = match way {
            Way::Any => log_subject,
            Way::Family(family) => &format!("{log_subject}.{}", family.name()),
            Way::Other => return Err(AppendError::Missing(log_stream.clone())),
        };
        let headers = header::with(header::of_log(format), headers);
        append(&self.connections.publishing, log_stream, subject, headers, payload).await
    }

    async fn trim_log(&self, through: u64) -> Result<(), AppendError> {
        let context = self.connections.publishing.context();
        request::trim(&context, &self.names.log_stream, through).await
    }

    async fn outcomes_state(&self) -> Result<StreamState, ReadError> {
        let context = self.connections.publishing.context();
        Ok(request::info(&context, &self.names.outcomes_stream).await?.state())
    }

    async fn outcomes_since_ns(&self) -> Result<Option<i64>, ReadError> {
        let context = self.connections.publishing.context();
        let first = request::info(&context, &self.names.outcomes_stream).await?.first_at();
        Ok(first.map(|first| first.millis().saturating_mul(1_000_000)))
    }

    async fn unsafe_settings(&self) -> Result<Vec<String>, ReadError> {
        let context = self.connections.publishing.context();
        let differences = self::setup::unsafe_settings(&context, &self.names).await?;
        Ok(differences.iter().map(ToString::to_string).collect())
    }

    async fn last_outcomes(&self) -> Result<Option<StoredAppend>, ReadError> {
        Ok(self.outcomes_end().await?.1)
    }

    async fn outcomes_end(&self) -> Result<(u64, Option<StoredAppend>), ReadError> {
        let context = self.connections.publishing.context();
        let ShardNames { outcomes_stream, outcomes_subject, .. } = &*self.names;
        let last = request::message(&context, outcomes_stream, Which::Last(outcomes_subject)).await?;
        let Some(mut message) = last else {
            return Ok((self.outcomes_state().await?.last_sequence, None));
        };
        let end = message.sequence;
        let mut at = end;
        loop {
            let found = match message.into_append() {
                Ok(append) => return Ok((end, Some(append))),
                Err(found) => found,
            };
            self::reader::passed_over(outcomes_stream, &found);
            loop {
                if end - at >= FOREIGN_MAX {
                    return Err(found);
                }
                at -= 1;
                if at == 0 {
                    return Ok((end, None));
                }
                if let Some(before) = request::message(&context, outcomes_stream, Which::At(at)).await? {
                    message = before;
                    break;
                }
            }
        }
    }

    async fn read_outcomes(&self, from: u64) -> Result<Self::OutcomeReader, ReadError> {
        self.open_outcomes(from, Incoming::into_append, false).await
    }

    async fn read_headlines(&self, from: u64) -> Result<Self::HeadlineReader, ReadError> {
        self.open_outcomes(from, Incoming::into_headline, true).await
    }

    async fn append_outcomes(&self, append: Append, expected_last: u64) -> Result<u64, AppendError> {
        let ShardNames { outcomes_stream, outcomes_subject, .. } = &*self.names;
        let headers = header::of_append(&append, expected_last);
        let link = &self.connections.publishing;
        self::append::append(link, outcomes_stream, outcomes_subject, headers, append.payload).await
    }

    /// Bytes that do not fit beside the header are cut, and the header says how many there were: a letter that
    /// could never be stored would hold up the shard for ever.
    async fn append_dead_letter(&self, letter: DeadLetter) -> Result<(), AppendError> {
        let ShardNames { shard, dead_letters_stream, dead_letters_subject, .. } = &*self.names;
        let mut headers = header::of_dead_letter(shard, &letter);
        let mut bytes = letter.bytes;
        let room = self.payload_bytes_max().saturating_sub(header::DEAD_LETTER_HEADER_BYTES_MAX);
        if bytes.len() > room {
            headers.insert(header::BYTES, HeaderValue::from(bytes.len()));
            bytes.truncate(room);
        }
        let link = &self.connections.publishing;
        append(link, dead_letters_stream, dead_letters_subject, headers, bytes).await.map(|_| ())
    }

    /// A repeat, by its id, is stored once within the stream's window for that.
    async fn append_signal(&self, signal: SignalLetter) -> Result<(), AppendError> {
        let ShardNames { signals_stream, signals_subject, .. } = &*self.names;
        let subject = format!("{signals_subject}.{}", signal.kind);
        let (headers, link) = (header::of_signal(&signal.id), &self.connections.publishing);
        append(link, signals_stream, &subject, headers, signal.payload).await.map(|_| ())
    }

    async fn dead_letters(&self, from: u64) -> Result<Vec<StoredLetter>, ReadError> {
        let ShardNames { dead_letters_stream, dead_letters_subject, .. } = &*self.names;
        let convert = |message: Incoming| Ok((message.sequence, message.into_letter()));
        let mut span = Span::new(&self.connections, dead_letters_stream, dead_letters_subject, from, convert);
        let (mut letters, mut bytes) = (Vec::new(), 0);
        while letters.len() < READ_MESSAGES_MAX && bytes < READ_BYTES_MAX {
            let came = span.next().await?;
            if came.is_empty() {
                break;
            }
            // What Weir has not written is passed over.
            for letter in came.into_iter().filter_map(|(_, letter)| letter) {
                bytes += letter.letter.bytes.len();
                letters.push(letter);
            }
        }
        Ok(letters)
    }
}

/// A closed log takes another subject: publishers to the usual one hear that there is no stream for it. A worker that starts
/// meanwhile refuses the stream, and so does `weir setup`.
impl ClosableLog for JetStreams {
    async fn close_log(&self) -> Result<(), AppendError> {
        let context = self.connections.publishing.context();
        request::set_subjects(&context, &self.names.log_stream, &self.names.closed_log_subjects).await
    }

    async fn open_log(&self) -> Result<(), AppendError> {
        let context = self.connections.publishing.context();
        request::set_subjects(&context, &self.names.log_stream, &self.names.log_subjects).await
    }

    async fn append_closed(
        &self,
        way: Way,
        format: Option<Format>,
        payload: Bytes,
        expected_last: u64,
    ) -> Result<u64, AppendError> {
        let ShardNames { log_stream, closed_log_subject, .. } = &*self.names;
        let headers = header::of_copy(format, expected_last);
        let subject = match way {
            Way::Family(family) => &format!("{closed_log_subject}.{}", family.name()),
            // No log takes another subject than those.
            Way::Any | Way::Other => closed_log_subject,
        };
        append(&self.connections.publishing, log_stream, subject, headers, payload).await
    }
}

/// The edges of a worker: streams and tables in JetStream, snapshots there or in a folder.
#[derive(Clone, Copy, Debug)]
pub enum InJetStream {}

impl Edges for InJetStream {
    type Streams = JetStreams;
    type Keys = JetKeys;
    type Objects = Store;
}

/// Where snapshots are kept.
#[derive(Clone, Debug)]
pub enum Store {
    /// In the broker's object store.
    JetStream(JetObjects),
    /// In a folder of this machine.
    Folder(FolderObjects),
}

/// Reads one object of a [`Store`].
pub enum StoreReader {
    /// From the broker.
    JetStream(Box<JetObjectReader>),
    /// From a file.
    Folder(FolderReader),
}

impl Objects for Store {
    type Reader = StoreReader;

    async fn write(&self, name: &str, chunks: mpsc::Receiver<Bytes>) -> Result<u64, AppendError> {
        match self {
            Self::JetStream(objects) => objects.write(name, chunks).await,
            Self::Folder(objects) => objects.write(name, chunks).await,
        }
    }

    async fn read(&self, name: &str) -> Result<Option<StoreReader>, ReadError> {
        Ok(match self {
            Self::JetStream(objects) => objects.read(name).await?.map(Box::new).map(StoreReader::JetStream),
            Self::Folder(objects) => objects.read(name).await?.map(StoreReader::Folder),
        })
    }

    async fn list(&self) -> Result<Vec<ObjectInfo>, ReadError> {
        match self {
            Self::JetStream(objects) => objects.list().await,
            Self::Folder(objects) => objects.list().await,
        }
    }

    async fn remove(&self, name: &str) -> Result<(), AppendError> {
        match self {
            Self::JetStream(objects) => objects.remove(name).await,
            Self::Folder(objects) => objects.remove(name).await,
        }
    }
}

impl ObjectReader for StoreReader {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        match self {
            Self::JetStream(reader) => reader.next().await,
            Self::Folder(reader) => reader.next().await,
        }
    }
}

//! Requests to JetStream's API: what a stream is like, and single messages.
//!
//! They go to the stream's leader and are never cached: a follower, or an answer of a minute ago, may lie behind
//! what was acknowledged since. The answers are decoded here rather than by the client, which leaves out the
//! settings that are newer than the server version it was built for, and gives up on a message whose header it
//! cannot parse.

use std::collections::BTreeMap;

use async_nats::jetstream::Context;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{RequestError, RequestErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::RawMessage;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::header::{self, Incoming};
use crate::edges::streams::{AppendError, ReadError, StreamState};
use crate::words::timestamp::Timestamp;

/// How many requests are under way at once where many are needed.
const REQUESTS_MAX: usize = 64;

/// A stream's settings and state, as far as Weir looks at them.
#[derive(Debug, Deserialize)]
pub(super) struct StreamInfo {
    pub(super) config: StreamConfig,
    state: State,
    ts: Option<String>,
}

/// A stream's settings by the names that the server gives them. What is absent is off or unlimited.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "they are the server's")]
pub(super) struct StreamConfig {
    pub(super) subjects: Vec<String>,
    pub(super) retention: String,
    pub(super) discard: String,
    pub(super) discard_new_per_subject: bool,
    pub(super) storage: String,
    pub(super) num_replicas: usize,
    pub(super) max_bytes: i64,
    pub(super) max_msgs: i64,
    pub(super) max_msgs_per_subject: i64,
    pub(super) max_msg_size: i64,
    /// In nanoseconds.
    pub(super) max_age: i64,
    pub(super) no_ack: bool,
    pub(super) sealed: bool,
    pub(super) deny_purge: bool,
    pub(super) allow_rollup_hdrs: bool,
    pub(super) allow_msg_ttl: bool,
    pub(super) allow_msg_counter: bool,
    pub(super) mirror: Option<IgnoredAny>,
    pub(super) sources: Option<Vec<IgnoredAny>>,
    pub(super) subject_transform: Option<IgnoredAny>,
    pub(super) persist_mode: Option<String>,
}

#[derive(Debug, Deserialize)]
struct State {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    first_ts: Option<String>,
}

impl StreamInfo {
    /// The server's time.
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.ts.as_deref()?.parse().ok()
    }

    /// When the first message that the stream holds was stored; none where it holds none.
    pub(super) fn first_at(&self) -> Option<Timestamp> {
        (self.state.messages > 0).then(|| self.state.first_ts.as_deref()?.parse().ok())?
    }

    pub(super) fn state(&self) -> StreamState {
        let State { messages, bytes, first_seq, last_seq, .. } = self.state;
        StreamState {
            first_sequence: if messages == 0 { last_seq + 1 } else { first_seq },
            last_sequence: last_seq,
            bytes,
            bytes_max: u64::try_from(self.config.max_bytes).unwrap_or(0),
        }
    }
}

/// The stream as it is now.
pub(super) async fn info(context: &Context, stream: &str) -> Result<StreamInfo, ReadError> {
    let response: Response<StreamInfo> =
        context.request(format!("STREAM.INFO.{stream}"), &()).await.map_err(|error| unanswered(&error))?;
    match response {
        Response::Ok(info) => Ok(info),
        Response::Err { error } => Err(refused(stream, &error)),
    }
}

/// The subjects that match `filter` and have messages, in order; [`ReadError::Unreadable`] where there are more than `max`
/// of them (and `max` is below what the server tells at once, 100,000).
pub(super) async fn subjects(
    context: &Context,
    stream: &str,
    filter: &str,
    max: usize,
) -> Result<Vec<String>, ReadError> {
    #[derive(Deserialize)]
    struct Info {
        state: Subjects,
    }
    #[derive(Deserialize)]
    struct Subjects {
        /// With how many messages each has.
        #[serde(default)]
        subjects: Option<BTreeMap<String, u64>>,
    }
    let request = json!({ "subjects_filter": filter });
    let response: Response<Info> = context
        .request(format!("STREAM.INFO.{stream}"), &request)
        .await
        .map_err(|error| unanswered(&error))?;
    let subjects = match response {
        Response::Ok(info) => info.state.subjects.unwrap_or_default(),
        Response::Err { error } => return Err(refused(stream, &error)),
    };
    if subjects.len() > max {
        return Err(ReadError::Unreadable(format!("stream {stream} has more than {max} subjects {filter}")));
    }
    Ok(subjects.into_keys().collect())
}

/// The last message of each subject that matches `filter`, in order of the subjects; bounded as [`subjects`] is.
pub(super) async fn lasts(
    context: &Context,
    stream: &str,
    filter: &str,
    max: usize,
) -> Result<Vec<(String, Incoming)>, ReadError> {
    let subjects = subjects(context, stream, filter, max).await?;
    let fetch = async |subject: String| {
        // Gone meanwhile, otherwise.
        let last = message(context, stream, Which::Last(&subject)).await?;
        Ok(last.map(|last| (subject, last)))
    };
    let fetched = futures_util::stream::iter(subjects).map(fetch).buffered(REQUESTS_MAX);
    fetched.try_filter_map(async |last| Ok(last)).try_collect().await
}

/// Which message is meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'a> {
    /// The one at this sequence.
    At(u64),
    /// The first of this subject at or after this sequence.
    From(u64, &'a str),
    /// The last of this subject.
    Last(&'a str),
}

#[derive(Deserialize)]
struct Got {
    message: RawMessage,
}

/// One message; none where the stream holds no such one.
pub(super) async fn message(
    context: &Context,
    stream: &str,
    which: Which<'_>,
) -> Result<Option<Incoming>, ReadError> {
    let request = match which {
        Which::At(0) => return Ok(None),
        Which::At(sequence) => json!({ "seq": sequence }),
        Which::From(sequence, subject) => json!({ "seq": sequence.max(1), "next_by_subj": subject }),
        Which::Last(subject) => json!({ "last_by_subj": subject }),
    };
    let response: Response<Got> = context
        .request(format!("STREAM.MSG.GET.{stream}"), &request)
        .await
        .map_err(|error| unanswered(&error))?;
    match response {
        Response::Ok(Got { message }) => decoded(message).map(Some),
        Response::Err { error } if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
        Response::Err { error } => Err(refused(stream, &error)),
    }
}

fn decoded(mut message: RawMessage) -> Result<Incoming, ReadError> {
    let unreadable = |error: async_nats::Error| ReadError::Unreadable(error.to_string());
    let header_block = message.headers.take();
    let headers = match header_block {
        None => Some(async_nats::HeaderMap::new()),
        // The client decodes payloads but hides its base64: the header block is passed off as one.
        Some(payload) => {
            let block = RawMessage { payload, headers: None, subject: String::new(), ..message };
            header::parse(&StreamMessage::try_from(block).map_err(unreadable)?.payload)
        }
    };
    let message = StreamMessage::try_from(message).map_err(unreadable)?;
    Ok(Incoming {
        sequence: message.sequence,
        stored_at_ns: nanoseconds(message.time.unix_timestamp_nanos()),
        way: super::names::way(&message.subject),
        headers,
        payload: message.payload,
    })
}

/// Which messages a purge drops.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purged<'a> {
    /// Those before this sequence.
    Before(u64),
    /// Those of this subject up to and including this sequence.
    Through(&'a str, u64),
    /// All of this subject.
    All(&'a str),
}

#[derive(Deserialize)]
struct Done {
    success: bool,
}

/// Drops messages of a stream.
pub(super) async fn purge(context: &Context, stream: &str, which: Purged<'_>) -> Result<(), AppendError> {
    let request = match which {
        Purged::Before(sequence) => json!({ "seq": sequence }),
        Purged::Through(subject, sequence) => json!({ "filter": subject, "seq": sequence + 1 }),
        Purged::All(subject) => json!({ "filter": subject }),
    };
    let response: Response<Done> = context
        .request(format!("STREAM.PURGE.{stream}"), &request)
        .await
        .map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => AppendError::Unavailable(error.to_string()),
            // It may have been sent.
            _ => AppendError::TimedOut,
        })?;
    match response {
        Response::Ok(Done { success: true }) => Ok(()),
        Response::Ok(Done { success: false }) => {
            Err(AppendError::Unavailable(format!("stream {stream} was not purged")))
        }
        Response::Err { error } => Err(AppendError::Unavailable(error.to_string())),
    }
}

/// Gives a stream another subject in place of those that it has, and leaves its other settings as they are, also those that
/// this binary does not know.
pub(super) async fn set_subjects(
    context: &Context,
    stream: &str,
    subjects: &[String],
) -> Result<(), AppendError> {
    #[derive(Deserialize)]
    struct Info {
        config: serde_json::Map<String, serde_json::Value>,
    }
    let unanswered = |error: RequestError| match error.kind() {
        RequestErrorKind::NoResponders => AppendError::Unavailable(error.to_string()),
        // It may have been sent.
        _ => AppendError::TimedOut,
    };
    let refused = |error: async_nats::jetstream::Error| AppendError::Unavailable(error.to_string());
    let response: Response<Info> =
        context.request(format!("STREAM.INFO.{stream}"), &()).await.map_err(unanswered)?;
    let mut config = match response {
        Response::Ok(Info { config }) => config,
        Response::Err { error } => return Err(refused(error)),
    };
    config.insert("subjects".to_owned(), json!(subjects));
    let response: Response<IgnoredAny> =
        context.request(format!("STREAM.UPDATE.{stream}"), &config).await.map_err(unanswered)?;
    match response {
        Response::Ok(_) => Ok(()),
        Response::Err { error } => Err(refused(error)),
    }
}

/// Drops the messages of a stream up to and including `through`. Never asks for more than there is: that would make the
/// server go on behind what was asked for, and the sequences in between would be missing.
pub(super) async fn trim(context: &Context, stream: &str, through: u64) -> Result<(), AppendError> {
    let state =
        info(context, stream).await.map_err(|error| AppendError::Unavailable(error.to_string()))?.state();
    if through < state.first_sequence || state.first_sequence > state.last_sequence {
        return Ok(());
    }
    purge(context, stream, Purged::Before(through.min(state.last_sequence) + 1)).await
}

/// Nanoseconds since 1970 as they are kept everywhere else; the years 1678 to 2262 fit.
pub(super) fn nanoseconds(wide: i128) -> i64 {
    i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
}

pub(super) fn unanswered(error: &RequestError) -> ReadError {
    ReadError::Unavailable(error.to_string())
}

pub(super) fn refused(stream: &str, error: &async_nats::jetstream::Error) -> ReadError {
    if error.error_code() == ErrorCode::STREAM_NOT_FOUND {
        ReadError::Missing(stream.to_owned())
    } else {
        ReadError::Unavailable(error.to_string())
    }
}

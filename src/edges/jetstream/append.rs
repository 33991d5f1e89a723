//! Publishes a message and waits for the stream's acknowledgement.

use std::error::Error as _;

use async_nats::HeaderMap;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;

use super::connection::Link;
use crate::edges::streams::AppendError;

/// A message that was handed to the connection, and not yet acknowledged.
pub(super) struct Sent<'a> {
    link: &'a Link,
    stream: &'a str,
    ack: PublishAckFuture,
}

/// Publishes to a subject of `stream`.
pub(super) async fn send<'a>(
    link: &'a Link,
    stream: &'a str,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
) -> Result<Sent<'a>, AppendError> {
    let message = PublishMessage::build().payload(payload).headers(headers);
    match link.context().send_publish(subject, message).await {
        Ok(ack) => Ok(Sent { link, stream, ack }),
        Err(error) => Err(failed(link, refused(stream, &error, false)).await),
    }
}

impl Sent<'_> {
    /// Waits for the acknowledgement and gives the sequence.
    pub(super) async fn stored(self) -> Result<u64, AppendError> {
        let Self { link, stream, ack } = self;
        match ack.await {
            Ok(ack) if ack.stream == stream => Ok(ack.sequence),
            Ok(ack) => Err(AppendError::Unavailable(format!(
                "what was meant for stream {stream} went to stream {}",
                ack.stream
            ))),
            Err(error) => Err(failed(link, refused(stream, &error, true)).await),
        }
    }
}

/// Publishes to a subject of `stream`, and gives the sequence that it acknowledged.
pub(super) async fn append(
    link: &Link,
    stream: &str,
    subject: &str,
    headers: HeaderMap,
    payload: Bytes,
) -> Result<u64, AppendError> {
    send(link, stream, subject.to_owned(), headers, payload).await?.stored().await
}

async fn failed(link: &Link, error: AppendError) -> AppendError {
    if matches!(error, AppendError::TimedOut | AppendError::Missing(_) | AppendError::Unavailable(_)) {
        link.renew_if_dead().await;
    }
    error
}

/// What a failure means. `sent` tells whether the message had already left.
fn refused(stream: &str, error: &PublishError, sent: bool) -> AppendError {
    match error.kind() {
        PublishErrorKind::WrongLastSequence => AppendError::Conflict,
        PublishErrorKind::MaxPayloadExceeded => AppendError::TooLarge,
        // A broken pipe is the client's end between sending and the answer.
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => AppendError::TimedOut,
        PublishErrorKind::StreamNotFound => AppendError::Missing(stream.to_owned()),
        PublishErrorKind::WrongLastMessageId | PublishErrorKind::MaxAckPending => {
            AppendError::Unavailable(error.to_string())
        }
        PublishErrorKind::Other => {
            let answer =
                error.source().and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
            match answer {
                Some(answer) => answered(answer),
                // Something was answered that is no acknowledgement: it may have been stored.
                None if sent => AppendError::TimedOut,
                None => AppendError::Unavailable(error.to_string()),
            }
        }
    }
}

pub(super) fn answered(answer: &async_nats::jetstream::Error) -> AppendError {
    match answer.error_code() {
        // One code for whatever a store refuses: a limit ("maximum bytes exceeded"), or a failing disk.
        ErrorCode::STREAM_STORE_FAILED if answer.to_string().contains("maximum") => AppendError::Full,
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => AppendError::TooLarge,
        // "wrong last sequence" without the sequence, which newer servers also answer.
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => AppendError::Conflict,
        _ => AppendError::Unavailable(answer.to_string()),
    }
}

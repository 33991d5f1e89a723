//! Publishes a message and waits for the stream's acknowledgement.

use std::error::Error as _;

use async_nats::HeaderMap;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;

use super::JetStreams;
use crate::edges::streams::AppendError;

impl JetStreams {
    /// Publishes to `subject` and gives the sequence that `stream` acknowledged.
    pub(super) async fn append(
        &self,
        stream: &str,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, AppendError> {
        let link = &self.connections.publishing;
        let message = PublishMessage::build().payload(payload).headers(headers);
        let sent = link.context().send_publish(subject.to_owned(), message).await;
        let ack = match sent {
            Ok(ack) => ack.await.map_err(|error| refused(stream, &error, true)),
            Err(error) => Err(refused(stream, &error, false)),
        };
        match ack {
            Ok(ack) if ack.stream == stream => Ok(ack.sequence),
            Ok(ack) => Err(AppendError::Unavailable(format!(
                "subject {subject} belongs to stream {}, not to {stream}",
                ack.stream
            ))),
            Err(error) => {
                if matches!(error, AppendError::TimedOut | AppendError::Unavailable(_)) {
                    link.renew_if_dead().await;
                }
                Err(error)
            }
        }
    }
}

/// What a failure means. `sent` tells whether the message had already left.
fn refused(stream: &str, error: &PublishError, sent: bool) -> AppendError {
    match error.kind() {
        PublishErrorKind::WrongLastSequence => AppendError::Conflict,
        PublishErrorKind::MaxPayloadExceeded => AppendError::TooLarge,
        // A broken pipe is the client's end between sending and the answer.
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => AppendError::TimedOut,
        PublishErrorKind::StreamNotFound => AppendError::Unavailable(format!(
            "stream {stream} does not exist, or no server that holds it answers"
        )),
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

//! Reads a stream onwards.
//!
//! An ephemeral pull consumer without acknowledgements: the position is the caller's own, so the server keeps
//! nothing that matters. The price is that what was sent but not received is not sent again. The consumer counts
//! its deliveries; a hole in that count means that some were lost (a broken connection, a full subscription), and
//! ends the reader, so that the caller opens another from its position. The count tells nothing while nothing comes
//! after the hole, so a broken connection ends the reader too, although the client mends it. A hole in the *stream's* sequences is
//! passed on as it is: that is for the fold to judge.
//!
//! Every reader fetches its first message by a request of its own. A message whose header the client cannot parse
//! breaks the connection that delivers it, again and again; fetched this way, it is only a message without a
//! format, and the reader goes on behind it. The same holds for a header that looks like one of the server's own
//! status lines.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull::{self, MessagesError};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::stream::ConsumerErrorKind;
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;

use super::connection::Link;
use super::header::Incoming;
use super::names;
use super::request::{self, Which};
use crate::edges::streams::{LogReader, READ_BYTES_MAX, READ_MESSAGES_MAX, ReadError, Reader, StoredMessage};
use crate::words::message::LogMessage;

/// How many messages a pull asks for. The client asks again when half of them have come, so at most one and a half
/// times as many are on their way: far below the 65,536 that its subscription holds.
const PULL_MESSAGES_MAX: usize = 1_024;
/// How many bytes a pull asks for; twice the largest message where that is more, because the server never sends a
/// message that is larger than what was asked for.
const PULL_BYTES_MAX: usize = 16 << 20;
/// How often the server says that it is there. After two of these in silence the reader gives up.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long a pull stays open at the server.
const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// How long the server keeps a consumer that nobody pulls from.
const INACTIVE_MAX: Duration = Duration::from_mins(1);

/// How many messages are fetched one by one at once, behind one whose header cannot be read.
const FETCHED_AT_ONCE: u64 = 32;
/// So many in a row whose headers can be read end that.
const READABLE_MIN: u64 = 32;
/// No more are fetched so when a reader is opened.
const FETCHED_MAX: usize = 4_096;

/// How a message becomes what the caller wants.
type Convert<T> = fn(Incoming) -> Result<T, ReadError>;

/// What is read, and how much of it.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a, T> {
    pub(super) stream: &'a str,
    /// Only this subject's messages; none where it has no other's.
    pub(super) subject: Option<&'a str>,
    /// From this sequence on.
    pub(super) from: u64,
    pub(super) convert: Convert<T>,
    /// Whether the payloads may be left out (the first message's never is), and what cannot be converted is passed over.
    pub(super) headlines: bool,
}

/// Reads a stream of JetStream onwards.
pub struct JetReader<T> {
    convert: Convert<T>,
    deliveries: pull::Stream,
    /// Changes when deliveries may have been lost.
    losses: watch::Receiver<u64>,
    /// The messages that were fetched when the reader was opened.
    first: VecDeque<Incoming>,
    /// Messages before this sequence are not wanted.
    from: u64,
    /// How many deliveries there have been.
    delivered: u64,
    /// Found when there was something to give first.
    failed: Option<ReadError>,
    /// The stream's name, where what cannot be converted is passed over.
    passes_over: Option<String>,
}

impl<T> JetReader<T> {
    /// Opens what is wanted. `requests` serves the fetch, `link` the consumer.
    pub(super) async fn open(requests: &Link, link: &Link, wanted: Wanted<'_, T>) -> Result<Self, ReadError> {
        let Wanted { stream, subject, from, convert, headlines } = wanted;
        link.renew_if_dead().await;
        let first = begin(&requests.context(), stream, from, subject).await?;
        let from = first.back().map_or(from, |last| last.sequence + 1).max(1);

        let losses = link.losses();
        let context = link.context();
        let client = context.client();
        let inbox = client.new_inbox();
        let config = pull::Config {
            name: Some(format!("weir-{}", inbox.rsplit('.').next().unwrap_or_default())),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            inactive_threshold: INACTIVE_MAX,
            num_replicas: 1,
            memory_storage: true,
            headers_only: headlines,
            filter_subject: subject.unwrap_or_default().to_owned(),
            ..pull::Config::default()
        };
        let consumer =
            context.create_consumer_on_stream(config, stream).await.map_err(|error| match error.kind() {
                ConsumerErrorKind::JetStream(error) => request::refused(stream, &error),
                _ => ReadError::Unavailable(error.to_string()),
            })?;
        let deliveries = consumer
            .stream()
            .max_messages_per_batch(PULL_MESSAGES_MAX)
            .max_bytes_per_batch(PULL_BYTES_MAX.max(2 * client.max_payload()))
            .heartbeat(HEARTBEAT)
            .expires(PULL_EXPIRES)
            .messages()
            .await
            .map_err(|error| ReadError::Unavailable(error.to_string()))?;
        let passes_over = headlines.then(|| stream.to_owned());
        Ok(Self { convert, deliveries, losses, first, from, delivered: 0, failed: None, passes_over })
    }

    /// Checks a delivery; none where it is not wanted.
    fn accept(&mut self, delivery: Delivery) -> Result<Option<Incoming>, ReadError> {
        let message = match delivery {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(ReadError::Unavailable(error.to_string())),
            None => return Err(ReadError::Unavailable("the connection has ended".to_owned())),
        };
        let (sequence, number, published) = {
            let info = message.info().map_err(|error| ReadError::Unavailable(error.to_string()))?;
            (info.stream_sequence, info.consumer_sequence, info.published)
        };
        if number != self.delivered + 1 {
            return Err(ReadError::Unavailable(format!(
                "deliveries {} to {} of the consumer were lost",
                self.delivered + 1,
                number.saturating_sub(1)
            )));
        }
        self.delivered = number;
        if sequence < self.from {
            return Ok(None);
        }
        let message = message.message;
        Ok(Some(Incoming {
            sequence,
            stored_at_ns: request::nanoseconds(published.unix_timestamp_nanos()),
            way: names::way(&message.subject),
            headers: Some(message.headers.unwrap_or_default()),
            payload: message.payload,
        }))
    }

    /// Waits for the first message.
    async fn wait(&mut self) -> Result<Incoming, ReadError> {
        if let Some(first) = self.first.pop_front() {
            return Ok(first);
        }
        loop {
            let delivery = tokio::select! {
                // What has already come is good.
                biased;
                delivery = self.deliveries.next() => delivery,
                _ = self.losses.changed() => {
                    return Err(ReadError::Unavailable("the connection broke, deliveries may be lost".to_owned()));
                }
            };
            if let Some(incoming) = self.accept(delivery)? {
                return Ok(incoming);
            }
        }
    }

    /// Takes a message if one is there.
    fn ready(&mut self) -> Result<Option<Incoming>, ReadError> {
        if let Some(first) = self.first.pop_front() {
            return Ok(Some(first));
        }
        loop {
            // Outside tokio's budget, which would end after about a hundred messages what only looks whether more
            // are there; the wait for the first one stays inside it.
            match tokio::task::unconstrained(self.deliveries.next()).now_or_never() {
                None => return Ok(None),
                Some(delivery) => {
                    if let Some(incoming) = self.accept(delivery)? {
                        return Ok(Some(incoming));
                    }
                }
            }
        }
    }
}

/// Counts and tells that somebody else put something into an outcome stream, and that it is passed over.
pub(super) fn passed_over(stream: &str, error: &ReadError) {
    metrics::counter!("weir_foreign_messages_total", "stream" => stream.to_owned()).increment(1);
    tracing::warn!(stream, %error, "a message that is no append is passed over");
}

/// Fetches the message at `from`, or behind it. Where its header cannot be read, those behind it may be no better: each would break the
/// connection that delivers it. They are fetched too, up to some that can be read in a row.
async fn begin(
    context: &Context,
    stream: &str,
    from: u64,
    subject: Option<&str>,
) -> Result<VecDeque<Incoming>, ReadError> {
    let which = Which::From(from, subject.unwrap_or(">"));
    let mut fetched = VecDeque::from_iter(request::message(context, stream, which).await?);
    // Of one subject among others only Weir's own are read.
    let Some(first) = fetched.back().filter(|_| subject.is_none()) else { return Ok(fetched) };
    let mut readable = if first.headers.is_some() { READABLE_MIN } else { 0 };
    let mut at = first.sequence + 1;
    while readable < READABLE_MIN && fetched.len() < FETCHED_MAX {
        let due =
            (at..at + FETCHED_AT_ONCE).map(|sequence| request::message(context, stream, Which::At(sequence)));
        for message in join_all(due).await {
            // None at the end, where others may come meanwhile.
            let Some(message) = message? else { return Ok(fetched) };
            readable = if message.headers.is_some() { readable + 1 } else { 0 };
            fetched.push_back(message);
        }
        at += FETCHED_AT_ONCE;
    }
    Ok(fetched)
}

type Delivery = Option<Result<async_nats::jetstream::Message, MessagesError>>;

impl<T> JetReader<T> {
    /// Waits for the first message, then takes what is ready.
    async fn take<U>(&mut self, convert: Convert<U>) -> Result<Vec<U>, ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        // Nothing below this line waits once something is taken, so that a caller who gives up waiting has lost nothing.
        let mut next = self.wait().await.map(Some);
        loop {
            let item = match next {
                Ok(Some(incoming)) => {
                    bytes += incoming.payload.len();
                    convert(incoming)
                }
                Ok(None) if taken.is_empty() => {
                    // All of it was passed over.
                    next = self.wait().await.map(Some);
                    continue;
                }
                Ok(None) => return Ok(taken),
                Err(error) => Err(error),
            };
            match (item, &self.passes_over) {
                (Ok(item), _) => taken.push(item),
                (Err(error @ ReadError::Unreadable(_)), Some(stream)) => passed_over(stream, &error),
                (Err(error), _) => {
                    self.failed = Some(error.clone());
                    return if taken.is_empty() { Err(error) } else { Ok(taken) };
                }
            }
            if taken.len() >= READ_MESSAGES_MAX || bytes >= READ_BYTES_MAX {
                return Ok(taken);
            }
            next = self.ready();
        }
    }
}

impl<T: Send + 'static> Reader<T> for JetReader<T> {
    async fn next(&mut self) -> Result<Vec<T>, ReadError> {
        self.take(self.convert).await
    }
}

impl LogReader for JetReader<LogMessage> {
    async fn next_stored(&mut self) -> Result<Vec<StoredMessage>, ReadError> {
        self.take(Incoming::into_stored).await
    }
}

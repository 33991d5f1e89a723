//! Sending: what is queued leaves in batches, and comes back as fates, or is queued again.

use std::time::Duration;

use async_nats::{HeaderMap, Request, RequestErrorKind};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{ClientOptions, Decided, Fate, SendError, Stored};
use crate::edges::jetstream::{JetStreams, Link, header};
use crate::edges::requests::{SHARD_HEADER, WITHIN_HEADER};
use crate::edges::streams::{AppendError, Headers, Streams as _};
use crate::words::codec::{Format, FrameWriter, reply_elements};
use crate::words::codes::Family;
use crate::words::message;
use crate::words::reply::{DoorReply, Reply};

/// The most bytes that go together; one command may be longer.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// How many batches of one family are under way at once.
const BATCHES_MAX: usize = 16;
/// The pause before a command is sent again, where nobody says another.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How much of an attempt is the door's: the rest is for the way.
const WITHIN_PERCENT: u32 = 80;

/// How commands go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Door,
    Log,
}

/// A command on its way.
pub(super) struct Queued {
    element: Vec<u8>,
    idempotent: bool,
    told: oneshot::Sender<Result<Fate, SendError>>,
    /// When it came: its patience runs from there.
    since: Instant,
    attempts: u32,
    _room: OwnedSemaphorePermit,
}

impl Queued {
    pub(super) fn new(
        element: Vec<u8>,
        idempotent: bool,
        told: oneshot::Sender<Result<Fate, SendError>>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self { element, idempotent, told, since: Instant::now(), attempts: 0, _room: room }
    }

    fn tell(self, fate: Result<Fate, SendError>) {
        // Whoever sent it may have given up.
        let _ = self.told.send(fate);
    }
}

/// What became of one attempt.
enum Attempt {
    Done(Result<Fate, SendError>),
    /// Surely not stored: after so long, again.
    NotStored(Duration, String),
    /// Stored and undecided, or not known whether stored.
    Open(SendError),
}

/// Sends the commands of one family one way.
pub(super) struct Sender {
    pub(super) way: Way,
    pub(super) family: Family,
    /// Where the door takes them.
    pub(super) subject: String,
    pub(super) options: ClientOptions,
    pub(super) link: Link,
    pub(super) streams: JetStreams,
    /// Where what is to be sent again goes.
    pub(super) again: mpsc::WeakSender<Queued>,
}

impl Sender {
    /// Sends what comes, until nobody can send any more.
    pub(super) async fn run(self, mut queued: mpsc::Receiver<Queued>) {
        let sender = std::sync::Arc::new(self);
        let mut under_way = JoinSet::new();
        while let Some(first) = queued.recv().await {
            let batch = sender.gather(first, &mut queued).await;
            while under_way.len() >= BATCHES_MAX {
                under_way.join_next().await;
            }
            let sender = sender.clone();
            under_way.spawn(async move { sender.send(batch).await });
        }
        while under_way.join_next().await.is_some() {}
    }

    /// What goes with the first: what comes until the linger is over, or the batch is full.
    async fn gather(&self, first: Queued, queued: &mut mpsc::Receiver<Queued>) -> Vec<Queued> {
        let mut bytes = first.element.len();
        let mut batch = vec![first];
        // A policy is alone in its message.
        if self.family == Family::Policy {
            return batch;
        }
        let linger = tokio::time::sleep(self.options.linger);
        let mut linger = std::pin::pin!(linger);
        while batch.len() < self.options.batch_commands && bytes < BATCH_BYTES_MAX {
            let next = tokio::select! {
                biased;
                next = queued.recv() => next,
                () = &mut linger => None,
            };
            let Some(next) = next else { break };
            bytes += next.element.len();
            batch.push(next);
        }
        batch
    }

    async fn send(&self, batch: Vec<Queued>) {
        let mut frame = FrameWriter::new();
        for queued in &batch {
            frame.push(&queued.element);
        }
        let payload = Bytes::from(frame.finish());
        let attempts = match self.way {
            Way::Door => self.ask(payload, batch.len()).await,
            Way::Log => self.append(payload, batch.len()).await,
        };
        for (queued, attempt) in batch.into_iter().zip(attempts) {
            self.settle(queued, attempt);
        }
    }

    /// Tells a command's fate, or sends it again.
    fn settle(&self, mut queued: Queued, attempt: Attempt) {
        let over = queued.since.elapsed() >= self.options.patience;
        let pause = PAUSE.saturating_mul(1 << queued.attempts.min(6)).min(PAUSE_MAX);
        let pause = match attempt {
            Attempt::Done(fate) => return queued.tell(fate),
            Attempt::NotStored(_, why) if over => return queued.tell(Err(SendError::NotStored(why))),
            Attempt::NotStored(asked, _) => pause.max(asked),
            Attempt::Open(error) if over || !queued.idempotent => return queued.tell(Err(error)),
            Attempt::Open(_) => pause,
        };
        queued.attempts += 1;
        let again = self.again.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            // The client has ended, otherwise: whoever waited hears that.
            if let Some(again) = again.upgrade() {
                let _ = again.send(queued).await;
            }
        });
    }

    /// One request at the door.
    async fn ask(&self, payload: Bytes, commands: usize) -> Vec<Attempt> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, Format::Bincode.content_type());
        let within = self.options.attempt * WITHIN_PERCENT / 100;
        headers.insert(WITHIN_HEADER, within.as_millis().to_string());
        if let Some(shard) = &self.options.shard {
            headers.insert(SHARD_HEADER, shard.as_str());
        }
        let request = Request::new().headers(headers).payload(payload).timeout(Some(self.options.attempt));
        let all = |attempt: &dyn Fn() -> Attempt| (0..commands).map(|_| attempt()).collect();
        let reply = match self.link.client().send_request(self.subject.clone(), request).await {
            Ok(reply) => reply,
            Err(error) => {
                self.link.renew_if_dead().await;
                let why = error.to_string();
                return match error.kind() {
                    RequestErrorKind::NoResponders => all(&|| Attempt::NotStored(PAUSE, why.clone())),
                    _ => all(&|| Attempt::Open(SendError::Unknown(why.clone()))),
                };
            }
        };
        let unreadable = || Attempt::Open(SendError::Unknown("an unreadable reply".to_owned()));
        let Ok(elements) = reply_elements(&reply.payload) else { return all(&unreadable) };
        if let ([one], true) = (elements.as_slice(), commands > 1) {
            // One answer for all of it.
            return all(&|| Self::attempt(one).unwrap_or_else(unreadable));
        }
        if elements.len() != commands {
            return all(&unreadable);
        }
        elements.into_iter().map(|element| Self::attempt(element).unwrap_or_else(unreadable)).collect()
    }

    /// What one reply says; none where it cannot be read.
    fn attempt(element: &[u8]) -> Option<Attempt> {
        let reply = crate::words::codec::decode_reply(element).ok()?;
        let detail = |detail: Option<std::borrow::Cow<'_, str>>| detail.map(std::borrow::Cow::into_owned);
        Some(match reply {
            // Behind the tag stands the outcome.
            Reply::Decided(_) => {
                Attempt::Done(Ok(Fate::Decided(Decided(Bytes::copy_from_slice(element.get(1..)?)))))
            }
            Reply::Door(DoorReply::Refused { reason, detail: why, .. }) => {
                Attempt::Done(Err(SendError::Refused { reason, detail: detail(why) }))
            }
            Reply::Door(DoorReply::Accepted { sequence, index, .. }) => {
                Attempt::Open(SendError::Undecided { sequence, index })
            }
            Reply::Door(DoorReply::Unknown { detail: why }) => {
                Attempt::Open(SendError::Unknown(detail(why).unwrap_or_default()))
            }
            Reply::Door(
                DoorReply::Busy { retry_after_ms, detail: why }
                | DoorReply::Unavailable { retry_after_ms, detail: why },
            ) => {
                let pause = Duration::from_millis(retry_after_ms.into()).min(PAUSE_MAX);
                Attempt::NotStored(pause, detail(why).unwrap_or_default())
            }
        })
    }

    /// One message for the log.
    async fn append(&self, payload: Bytes, commands: usize) -> Vec<Attempt> {
        let way = message::Way::Family(self.family);
        let headers = Headers::default();
        let appended = self.streams.append_log_by(way, Format::Bincode, &headers, payload).await;
        (0..commands)
            .map(|index| match &appended {
                Ok(sequence) => {
                    let index = u32::try_from(index).unwrap_or(u32::MAX);
                    Attempt::Done(Ok(Fate::Stored(Stored { sequence: *sequence, index })))
                }
                Err(AppendError::TimedOut) => {
                    Attempt::Open(SendError::Unknown(AppendError::TimedOut.to_string()))
                }
                Err(AppendError::TooLarge) => {
                    Attempt::Done(Err(SendError::NotStored(AppendError::TooLarge.to_string())))
                }
                Err(error) => Attempt::NotStored(PAUSE, error.to_string()),
            })
            .collect()
    }
}

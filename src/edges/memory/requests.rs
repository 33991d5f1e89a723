//! Requests in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::edges::requests::{Outgoing, Replies, Request, Requests, Said};
use crate::words::codec::Format;
use crate::words::codes::Family;

/// How many requests wait before whoever asks must.
const QUEUED_MAX: usize = 4_096;
/// How many requests are given at once.
const GIVEN_MAX: usize = 256;
/// The longest reply, in bytes.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// A reply as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replied {
    /// How it is written.
    pub format: Format,
    /// What it says.
    pub payload: Bytes,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Replied>>>,
    numbers: AtomicU64,
    stopped: AtomicBool,
    stop: Notify,
}

/// Whoever asks. Clones ask the same doors.
#[derive(Clone)]
pub struct MemoryAsker {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

impl MemoryAsker {
    /// Sends a request. The reply comes to what this gives; it ends without one where the request was lost. Waits where too many
    /// requests do.
    pub async fn ask(
        &self,
        family: Option<Family>,
        said: Said,
        payload: Bytes,
    ) -> oneshot::Receiver<Replied> {
        let (sender, replied) = oneshot::channel();
        if self.shared.stopped.load(Relaxed) {
            return replied;
        }
        let number = self.shared.numbers.fetch_add(1, Relaxed);
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, sender);
        let reply_to = Some(Bytes::from(number.to_string()));
        if self.requests.send(Request { family, said, reply_to, payload }).await.is_err() {
            self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        }
        replied
    }

    /// Sends a request whose reply goes nowhere.
    pub async fn tell(&self, family: Option<Family>, said: Said, payload: Bytes) {
        if !self.shared.stopped.load(Relaxed) {
            // Nobody is there to take it, otherwise.
            let _ = self.requests.send(Request { family, said, reply_to: None, payload }).await;
        }
    }
}

/// Requests in memory.
pub struct MemoryRequests {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
}

impl MemoryRequests {
    /// A place to ask, and what is asked there.
    #[must_use]
    pub fn new() -> (MemoryAsker, Self) {
        let (sender, requests) = mpsc::channel(QUEUED_MAX);
        let shared = Arc::<Shared>::default();
        (MemoryAsker { shared: shared.clone(), requests: sender }, Self { shared, requests })
    }
}

impl Requests for MemoryRequests {
    type Replies = MemoryReplies;

    fn replies(&self) -> MemoryReplies {
        MemoryReplies { shared: self.shared.clone() }
    }

    async fn next(&mut self) -> Option<Vec<Request>> {
        let mut given = Vec::new();
        if !self.shared.stopped.load(Relaxed) {
            let stop = self.shared.stop.notified();
            tokio::select! {
                biased;
                count = self.requests.recv_many(&mut given, GIVEN_MAX) => {
                    return if count > 0 { Some(given) } else { None };
                }
                () = stop => {}
            }
        }
        // What was sent before is still given.
        while let Ok(request) = self.requests.try_recv() {
            given.push(request);
        }
        (!given.is_empty()).then_some(given)
    }
}

/// The way back in memory.
#[derive(Clone)]
pub struct MemoryReplies {
    shared: Arc<Shared>,
}

impl Replies for MemoryReplies {
    fn reply(&self, replies: &[Outgoing]) {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for Outgoing { to, format, payload } in replies {
            let number = std::str::from_utf8(to).ok().and_then(|text| text.parse::<u64>().ok());
            if let Some(asked) = number.and_then(|number| waiting.remove(&number)) {
                // Whoever asked may have given up.
                let _ = asked.send(Replied { format: *format, payload: payload.clone() });
            }
        }
    }

    fn payload_bytes_max(&self) -> usize {
        REPLY_BYTES_MAX
    }

    fn is_open(&self) -> bool {
        !self.shared.stopped.load(Relaxed)
    }

    fn stop(&self) {
        self.shared.stopped.store(true, Relaxed);
        self.shared.stop.notify_one();
    }

    async fn flushed(&self, _within: Duration) {}
}

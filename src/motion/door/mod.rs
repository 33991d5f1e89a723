//! The door: where requests enter, and wait for their answers.
//!
//! A request is read once, and refused for what no shard would take. Its commands are routed, encoded, and appended to their shards'
//! logs in messages of many (`lane`), as [`gathering`](crate::motion::rules::gathering) packs them. A door hears what the shards decide,
//! wherever they are led (`hearing`, `outcomes`), and answers by sequence and index (`pending`): it says what the log decides, and nothing else.
//!
//! Every request gets a reply. Where there is none of the shard's in time, it says whether the command is stored: `accepted` (it will
//! be decided), `unknown` (the log did not say), `busy` or `unavailable` (it is not). Overload is answered before anything is read.
//!
//! Any process can have a door, with or without shards of its own, in front of streams of any kind.

mod hearing;
mod lane;
mod outcomes;
mod pending;
mod replying;
pub mod routing;
mod taking;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use self::hearing::Hearer;
use self::lane::{Runner, Shard};
use self::pending::{Board, Expired};
use self::replying::To;
use crate::edges::clock::SharedClock;
use crate::edges::keys::Keys;
use crate::edges::requests::{Replies, Request, Requests, Said};
use crate::edges::streams::Streams;
use crate::edges::telemetry::DoorTelemetry;
use crate::motion::live::status::Status;
use crate::words::codec::Format;
use crate::words::codes::Family;

pub use self::replying::Answer;
pub use self::routing::Routes;

/// The pause before something that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How often routes are read again, and what nobody waits for is forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often the routes are read again, in rounds of housekeeping.
const ROUTES_EVERY: u32 = 5;
/// How many requests are taken at one moment: what the first of them asks for is handed on with the last.
const TAKEN_TOGETHER: usize = 64;
/// The longest that a request may wait.
pub const WITHIN_MAX: Duration = Duration::from_secs(30);
/// A request that waits for less is one that waits for nothing.
pub const WITHIN_MIN: Duration = Duration::from_millis(1);

/// How a door works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorOptions {
    /// Which door this is: no two at once have the same name.
    pub name: String,
    /// How long a request waits that does not say it.
    pub within: Duration,
    /// How many commands of one shard may be undecided at once.
    pub pending_max: usize,
    /// What all requests together may cost, in bytes.
    pub memory_bytes_max: usize,
}

impl DoorOptions {
    /// The options where nobody says otherwise.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            within: Duration::from_secs(2),
            pending_max: 100_000,
            memory_bytes_max: 256 << 20,
        }
    }
}

/// A request of this process.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The family that its commands must be of.
    pub family: Family,
    /// What it says beside its payload.
    pub said: Said,
    /// One command, or an array or a frame of them.
    pub payload: Bytes,
}

/// Where commands go: the routes, and the shards in their order.
#[derive(Default)]
struct Routing {
    routes: Routes,
    shards: Vec<Arc<Shard>>,
}

struct Inner {
    options: DoorOptions,
    board: Arc<Board>,
    routing: Mutex<Arc<Routing>>,
    closing: AtomicBool,
}

impl Inner {
    fn routing(&self) -> Arc<Routing> {
        self.routing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A door. Clones are the same one.
#[derive(Clone)]
pub struct Door {
    inner: Arc<Inner>,
}

impl Door {
    /// Submits commands, and waits for the answer: at most as long as the submission says, or the options. The answer comes in any
    /// case, also where nothing was stored.
    pub async fn submit(&self, submission: Submission) -> Answer {
        let Submission { family, said, payload } = submission;
        let format = said.format.unwrap_or_default();
        let (caller, answer) = oneshot::channel();
        let request = Request { family: Some(family), said, reply_to: None, payload };
        self.inner.taking().take(request, To::Caller(caller));
        // Whoever holds the other end answers before dropping it, unless it panicked.
        answer.await.unwrap_or_else(|_| taking::lost(format))
    }

    /// Answers requests until they are [stopped](Replies::stop). Replies may leave only as long as the requests are kept.
    pub async fn serve<R: Requests>(&self, requests: &mut R) {
        let replies: Arc<dyn replying::Inbox> = Arc::new(requests.replies());
        while let Some(came) = requests.next().await {
            self.inner.board.telemetry.requests(came.len());
            let mut came = came.into_iter().peekable();
            while came.peek().is_some() {
                let mut taking = self.inner.taking();
                for mut request in came.by_ref().take(TAKEN_TOGETHER) {
                    let to = match request.reply_to.take() {
                        Some(to) => To::Inbox(to, replies.clone()),
                        None => To::Nobody,
                    };
                    taking.take(request, to);
                }
            }
            // Whoever appends and answers has its turn, too.
            tokio::task::yield_now().await;
        }
    }

    /// How many requests wait for their answers.
    #[must_use]
    pub fn pending_requests(&self) -> usize {
        self.inner.board.requests()
    }

    /// What all requests cost now, in bytes, as the door counts it.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.inner.board.bytes()
    }

    /// The shard that holds a site, and all shards, as the routes say now.
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.inner.routing().routes.clone()
    }
}

/// What makes the streams of a shard; none where its name cannot be one.
type Make<S> = Arc<dyn Fn(&str) -> Option<S> + Send + Sync>;

/// A door's tasks: they end with this.
pub struct Doorkeeper {
    door: Door,
    tasks: JoinSet<()>,
}

impl Doorkeeper {
    /// Opens a door in front of the shards that `fallback` names, until the document says otherwise; `streams` makes a shard's streams, and
    /// `held` are those that this process holds.
    #[must_use]
    pub fn open<S: Streams, K: Keys>(
        options: DoorOptions,
        clock: SharedClock,
        telemetry: Arc<DoorTelemetry>,
        (keys, fallback): (K, Routes),
        streams: impl Fn(&str) -> Option<S> + Send + Sync + 'static,
        held: &[Arc<Status>],
    ) -> Self {
        let board = Board::new(clock, telemetry, options.memory_bytes_max);
        let (routing, closing) = (Mutex::default(), AtomicBool::new(false));
        let inner = Arc::new(Inner { options, board, routing, closing });
        let door = Door { inner: inner.clone() };
        let mut keeping = Keeping {
            inner: inner.clone(),
            streams: Arc::new(streams),
            held: held.to_vec(),
            known: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        keeping.turn_to(fallback);
        let mut tasks = JoinSet::new();
        tasks.spawn(expire(inner));
        tasks.spawn(keeping.keep(keys));
        Self { door, tasks }
    }

    /// The door.
    #[must_use]
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Answers requests from here on, in a task of its own.
    pub fn serve<R: Requests>(&mut self, mut requests: R) {
        let door = self.door.clone();
        self.tasks.spawn(async move {
            door.serve(&mut requests).await;
            // Answers to what was taken still leave by it.
            std::future::pending::<()>().await;
        });
    }

    /// Takes no more requests, waits until those that were taken are answered, and answers what is left after `within` as it stands.
    /// All replies have left when this ends, as far as the server takes them.
    pub async fn close(mut self, replies: Option<&impl Replies>, within: Duration) {
        let inner = &self.door.inner;
        if let Some(replies) = replies {
            replies.stop();
        }
        let deadline = inner.board.clock.monotonic() + within;
        let answered = async {
            // What is on its way from the server is still taken.
            while replies.is_some_and(Replies::is_open) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            inner.closing.store(true, Relaxed);
            loop {
                let empty = inner.board.empty.notified();
                let mut empty = std::pin::pin!(empty);
                empty.as_mut().enable();
                if inner.board.requests() == 0 {
                    return;
                }
                empty.await;
            }
        };
        // What is left is told how it stands.
        let _ = tokio::time::timeout(within, answered).await;
        inner.closing.store(true, Relaxed);
        inner.board.expire(None, Expired::Closing);
        if let Some(replies) = replies {
            let left = deadline.saturating_sub(inner.board.clock.monotonic());
            replies.flushed(left.max(Duration::from_millis(500))).await;
        }
        self.tasks.shutdown().await;
    }
}

/// Answers requests whose time is over, for ever.
async fn expire(inner: Arc<Inner>) {
    let board = &inner.board;
    loop {
        let earlier = board.earlier.notified();
        match board.first() {
            None => earlier.await,
            Some(first) => {
                let left = first.saturating_sub(board.clock.monotonic());
                if left.is_zero() {
                    board.expire(Some(board.clock.monotonic()), Expired::Deadline);
                    continue;
                }
                tokio::select! {
                    () = tokio::time::sleep(left) => {}
                    () = earlier => {}
                }
            }
        }
    }
}

/// Keeps the routes as the document has them, and a door's shards with them.
struct Keeping<S> {
    inner: Arc<Inner>,
    streams: Make<S>,
    held: Vec<Arc<Status>>,
    known: BTreeMap<String, Arc<Shard>>,
    tasks: JoinSet<()>,
}

impl<S: Streams> Keeping<S> {
    fn turn_to(&mut self, routes: Routes) {
        if self.inner.routing().routes == routes {
            return;
        }
        let mut shards = Vec::with_capacity(routes.shards().len());
        for name in routes.shards() {
            if let Some(shard) = self.known.get(name) {
                shards.push(shard.clone());
                continue;
            }
            let shard = Shard::new(name, self.inner.board.telemetry.answering(name));
            shards.push(shard.clone());
            self.known.insert(name.clone(), shard.clone());
            // A shard without streams takes nothing: what is sent there is unavailable at its deadline.
            let Some(streams) = (self.streams)(name) else {
                tracing::error!(shard = name, "the routes name a shard that cannot be");
                continue;
            };
            let door = self.inner.options.name.clone().into();
            let runner = Runner { shard, board: self.inner.board.clone(), streams, door };
            let hearer = Hearer::new(runner.clone());
            if let Some(status) = self.held.iter().find(|status| status.shard == *name) {
                self.tasks.spawn(hearer.clone().listen(status.clone()));
            }
            self.tasks.spawn(hearer.read());
            for family in Family::ALL {
                self.tasks.spawn(runner.clone().append(family));
            }
        }
        let routing = Arc::new(Routing { routes, shards });
        *self.inner.routing.lock().unwrap_or_else(PoisonError::into_inner) = routing;
    }

    async fn keep<K: Keys>(mut self, keys: K) {
        let mut complained = false;
        for round in 0_u32.. {
            if round % ROUTES_EVERY == 0 {
                match Routes::read(&keys).await {
                    Ok(Some(routes)) => {
                        self.turn_to(routes);
                        complained = false;
                    }
                    Ok(None) => {}
                    Err(error) if complained => tracing::debug!(%error, "the routes cannot be read"),
                    Err(error) => {
                        complained = true;
                        tracing::warn!(%error, "the routes cannot be read; the door goes by those that it knows");
                    }
                }
            }
            let board = &self.inner.board;
            let now = board.clock.monotonic();
            for shard in self.known.values() {
                shard.forget(now);
            }
            board.telemetry.holds(board.requests(), board.bytes());
            tokio::time::sleep(HOUSEKEEPING).await;
        }
    }
}

/// A door behind which its kind does not matter: for whoever submits on behalf of others.
pub trait Submits: Send + Sync + 'static {
    /// See [`Door::submit`].
    fn submit(&self, submission: Submission) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>>;
}

impl Submits for Door {
    fn submit(&self, submission: Submission) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
        Box::pin(self.submit(submission))
    }
}

/// The format of a reply to a request in this format: the same, and JSON where that is not known.
const fn reply_format(format: Option<Format>) -> Format {
    match format {
        Some(format) => format,
        None => Format::Json,
    }
}

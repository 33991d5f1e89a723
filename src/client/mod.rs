//! The client: commands from a Rust service to Weir, typed, in batches, and sent again where that is safe; and questions.
//!
//! Two ways, which differ in when a command counts as done:
//!
//! - [`Client::decide`] goes by the door, and ends with the **outcome**.
//! - [`Client::store`] goes straight to a shard's log, and ends with the **acknowledgement**: the command is stored and will be decided,
//!   also where no worker runs at the moment. Writing there is a trusted role.
//!
//! What many tasks send at once is gathered: a request leaves when it has waited for [`ClientOptions::linger`], or holds
//! [`ClientOptions::batch_commands`]. While [`ClientOptions::commands_max`] commands are under way, sending waits.
//!
//! A command is sent again, with the same id, until its fate is known or [`ClientOptions::patience`] is over: where it was surely not
//! stored (`busy`, `unavailable`) any command is; where that is not known, only one whose id tells the shard that it is the same one
//! ([`is_idempotent`]). So nothing is ever decided twice.
//!
//! What became of an order, and what is in stock, [`Client::order`] and its like ask of whoever has the shard's state.
//!
//! ```no_run
//! use weir::client::{Client, ClientOptions};
//! use weir::words::command::{Command, Place, PlaceLine};
//! use weir::words::outcome::Decision;
//!
//! # async fn order() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ClientOptions::new("nats://127.0.0.1:4222")).await?;
//! let line = PlaceLine { sku: "85123A".into(), quantity: 2, unit_price: None };
//! let order = Place { order_id: "O-1001".into(), lines: vec![line], ..Place::default() };
//! let decided = client.decide(&Command::Place(order)).await?;
//! match decided.outcome()?.decision {
//!     Decision::Confirmed { .. } => println!("confirmed"),
//!     other => println!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```

mod asking;
mod sending;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::edges::jetstream::{
    ConnectError, Connection, Connections, JetStreams, NameError, Names, Security, service::JetQuestions,
};
use crate::words::codec::{NotOutcomes, decode_outcome, encode_command};
use crate::words::codes::Family;
use crate::words::command::Command;
use crate::words::outcome::Outcome;
use crate::words::reply::DoorReason;

use self::asking::Asker;
use self::sending::{Queued, Sender, Way};

/// The most commands in one request or message of a client.
pub const BATCH_COMMANDS_MAX: usize = 4_096;

/// How a client works.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The servers of one cluster; at least one.
    pub urls: Vec<String>,
    /// The first word of every subject; default `weir`.
    pub prefix: String,
    /// What the servers call this client.
    pub name: String,
    /// Encryption, and who this client is to the servers; default neither.
    pub security: Security,
    /// The shard for commands that name no site, where there are several, and for [`Client::store`]; default `main` for that, and none
    /// for the door.
    pub shard: Option<String>,
    /// How long a command waits for others to go with; 0 for not at all. Default 1 ms.
    pub linger: Duration,
    /// How many commands go together at most, from 1 to [`BATCH_COMMANDS_MAX`]. Default 256.
    pub batch_commands: usize,
    /// How many commands may be under way at once; beyond, sending waits. At least 1; default 10,000.
    pub commands_max: usize,
    /// How long one attempt may take. Default 5 s: longer than a door waits for a decision.
    pub attempt: Duration,
    /// How long a command is tried in all. Default 30 s.
    pub patience: Duration,
}

impl ClientOptions {
    /// The defaults, for one server.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            urls: vec![url.to_owned()],
            prefix: "weir".to_owned(),
            name: "weir client".to_owned(),
            security: Security::default(),
            shard: None,
            linger: Duration::from_millis(1),
            batch_commands: 256,
            commands_max: 10_000,
            attempt: Duration::from_secs(5),
            patience: Duration::from_secs(30),
        }
    }
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The prefix or the shard is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No connection can be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// Why a command's fate is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is refused for good, and was not stored.
    #[error("refused: {} {}", .reason.name(), .detail.as_deref().unwrap_or_default())]
    Refused {
        /// Why.
        reason: DoorReason,
        /// What the code leaves open.
        detail: Option<String>,
    },
    /// It is stored and will be decided, but its outcome was not known in time; it has no id by which it could be asked for.
    #[error("stored at {sequence}.{index}, and not decided in time")]
    Undecided {
        /// The sequence of its message in the log.
        sequence: u64,
        /// Its index in that message.
        index: u32,
    },
    /// It was not stored within the client's patience: too much to do, or nobody there.
    #[error("not stored: {0}")]
    NotStored(String),
    /// It may have been stored, or not.
    #[error("not known whether it is stored: {0}")]
    Unknown(String),
    /// Ticks are sent by a shard's leader alone.
    #[error("only a shard's leader sends ticks")]
    Tick,
}

/// A command's outcome, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided(Bytes);

impl Decided {
    /// What it says.
    pub fn outcome(&self) -> Result<Outcome<'_>, NotOutcomes> {
        decode_outcome(&self.0).map_err(|undecodable| NotOutcomes::new(undecodable.reason))
    }
}

/// Where a command is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The sequence of its message in the log.
    pub sequence: u64,
    /// Its index in that message.
    pub index: u32,
}

/// What a sender gives back.
#[derive(Clone, Debug)]
enum Fate {
    Decided(Decided),
    Stored(Stored),
}

/// Sends commands, and asks. Clones share connections, batches and bounds; what is under way ends with the last of them.
#[derive(Clone)]
pub struct Client {
    by_door: Arc<[mpsc::Sender<Queued>]>,
    by_log: Arc<[mpsc::Sender<Queued>]>,
    room: Arc<Semaphore>,
    asker: Arc<Asker>,
    _tasks: Arc<JoinSet<()>>,
}

impl Client {
    /// Connects.
    pub async fn connect(mut options: ClientOptions) -> Result<Self, OpenError> {
        options.batch_commands = options.batch_commands.clamp(1, BATCH_COMMANDS_MAX);
        options.commands_max = options.commands_max.clamp(1, Semaphore::MAX_PERMITS);
        let names = Names::new(&options.prefix)?;
        let shard = names.shard(options.shard.as_deref().unwrap_or("main"))?;
        let connection = Connection {
            urls: options.urls.clone(),
            name: options.name.clone(),
            wait_for_server: false,
            security: options.security.clone(),
        };
        let connections = Connections::open(&connection).await?;
        let streams = JetStreams::new(connections.clone(), shard);
        let asker = Asker::new(JetQuestions::new(connections.publishing.clone(), names.clone()), &options);
        let room = Arc::new(Semaphore::new(options.commands_max));
        let mut tasks = JoinSet::new();
        let mut open = |way: Way| {
            let lanes = Family::ALL.map(|family| {
                let (queue, queued) = mpsc::channel(options.batch_commands);
                let sender = Sender {
                    way,
                    family,
                    subject: names.submit_subject(family),
                    options: options.clone(),
                    link: connections.publishing.clone(),
                    streams: streams.clone(),
                    again: queue.downgrade(),
                };
                tasks.spawn(sender.run(queued));
                queue
            });
            Arc::from(lanes.to_vec())
        };
        let (by_door, by_log) = (open(Way::Door), open(Way::Log));
        Ok(Self { by_door, by_log, room, asker: Arc::new(asker), _tasks: Arc::new(tasks) })
    }

    /// Sends a command by the door, and waits for its outcome. Waits, too, while too many are under way.
    pub async fn decide(&self, command: &Command<'_>) -> Result<Decided, SendError> {
        match self.send(&self.by_door, command).await? {
            Fate::Decided(decided) => Ok(decided),
            // The other way's.
            Fate::Stored(Stored { sequence, index }) => Err(SendError::Undecided { sequence, index }),
        }
    }

    /// Sends a command straight to the shard's log, and waits until it is stored. Waits, too, while too many are under way.
    pub async fn store(&self, command: &Command<'_>) -> Result<Stored, SendError> {
        match self.send(&self.by_log, command).await? {
            Fate::Stored(stored) => Ok(stored),
            Fate::Decided(_) => Err(SendError::Unknown("decided by another way".to_owned())),
        }
    }

    async fn send(&self, lanes: &[mpsc::Sender<Queued>], command: &Command<'_>) -> Result<Fate, SendError> {
        let family = command.kind().family().ok_or(SendError::Tick)?;
        let gone = || SendError::NotStored("the client has ended".to_owned());
        let room = self.room.clone().acquire_owned().await.map_err(|_| gone())?;
        let (told, fate) = oneshot::channel();
        let queued = Queued::new(encode_command(command), is_idempotent(command), told, room);
        lanes[family as usize].send(queued).await.map_err(|_| gone())?;
        fate.await.map_err(|_| SendError::Unknown("the client has ended".to_owned()))?
    }
}

/// Whether a shard knows a command again that comes twice, and answers it with the first outcome: it has an id of its own, or can only
/// be done once.
#[must_use]
pub fn is_idempotent(command: &Command<'_>) -> bool {
    command.content().is_idempotent()
}

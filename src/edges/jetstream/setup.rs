//! Makes the streams that Weir needs, and refuses existing ones whose settings would lose data.
//!
//! Nothing that exists is ever changed here: not a limit, not a number of replicas. That is an operator's decision
//! and the `nats` tool's work.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, DeleteStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};

use super::compare::{Comparison, Difference, Role, bytes_max, compare};
use super::names::{NameError, Names, ShardNames, StoreNames, TableNames};
use super::request;
use crate::edges::streams::ReadError;
use crate::words::config::{Storage, StreamSettings};

/// The shortest window that the server allows for telling repetitions by message id, which Weir does not use: a
/// longer one would only cost memory.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);

/// How long a signal is known by its id, so that a repeat after a takeover is told as one.
const SIGNALS_WINDOW: Duration = Duration::from_mins(10);

/// How many streams are being made at once.
const CREATED_AT_ONCE: usize = 8;
/// The snapshots' size limit is not made smaller than this, in bytes, for want of room.
const SNAPSHOTS_BYTES_LEAST: i64 = 1 << 20;

/// What was done about one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was made.
    Created {
        /// Its name.
        stream: String,
        /// Where it differs from what was configured, for a person to read.
        notes: Vec<String>,
    },
    /// It was there.
    Kept {
        /// Its name.
        stream: String,
        /// Where it differs from what was configured, for a person to read.
        notes: Vec<String>,
    },
}

/// Why the streams are not as they must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A shard's name cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Streams exist whose settings would lose data. Nothing was changed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Difference>),
    /// A stream does not exist.
    #[error("stream {0} does not exist: run `weir setup`")]
    Missing(String),
    /// The server would not make a stream.
    #[error("the server does not make stream {stream}: {reason}")]
    NotCreated {
        /// Which stream.
        stream: String,
        /// What the server said.
        reason: String,
    },
    /// The server cannot be reached, or does not answer in time.
    #[error("the server does not answer: {0}")]
    Unavailable(String),
}

struct Wanted {
    stream: String,
    subjects: Vec<String>,
    role: Role,
}

/// All streams, that of the snapshots last.
fn wanted(names: &Names, shards: &[impl AsRef<str>]) -> Result<Vec<Wanted>, NameError> {
    let mut wanted = Vec::with_capacity(2 * shards.len() + 4);
    let mut want = |role, stream, subjects| wanted.push(Wanted { stream, subjects, role });
    for shard in shards {
        let names = names.shard(shard.as_ref())?;
        for (role, stream, subjects) in of_shard(&names) {
            want(role, stream, subjects);
        }
    }
    want(Role::DeadLetters, names.dead_letters_stream(), vec![names.dead_letters_subjects()]);
    for (role, bucket) in [(Role::Leases, names.leases_bucket()), (Role::Pointers, names.pointers_bucket())] {
        let table = TableNames::new(&bucket);
        want(role, table.stream.clone(), table.subjects());
    }
    want(Role::Signals, names.signals_stream(), vec![names.signals_subjects()]);
    let store = StoreNames::new(&names.snapshots_bucket());
    want(Role::Snapshots, store.stream.clone(), store.subjects());
    Ok(wanted)
}

/// The streams that a shard has to itself.
fn of_shard(names: &ShardNames) -> [(Role, String, Vec<String>); 2] {
    let ShardNames { log_stream, log_subjects, outcomes_stream, outcomes_subject, .. } = names;
    [
        (Role::Log, log_stream.clone(), log_subjects.clone()),
        (Role::Outcomes, outcomes_stream.clone(), vec![outcomes_subject.clone()]),
    ]
}

/// The settings of a shard's own streams under which they would lose data: somebody changed them since a worker looked at its start. A
/// stream that is not there is none of this.
pub(super) async fn unsafe_settings(
    context: &Context,
    names: &ShardNames,
) -> Result<Vec<Difference>, ReadError> {
    let mut differences = Vec::new();
    for (role, stream, subjects) in of_shard(names) {
        match request::info(context, &stream).await {
            Ok(info) => differences.extend(compare(&stream, role, &subjects, &info.config, None).refused),
            Err(ReadError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    // A log that is closed, while a new epoch of it is begun, takes other subjects for a moment.
    differences.retain(|difference| {
        difference.setting != "subjects" || difference.is != names.closed_log_subjects.join(",")
    });
    Ok(differences)
}

/// The names of all streams of a deployment, buckets included.
pub fn streams(names: &Names, shards: &[impl AsRef<str>]) -> Result<Vec<String>, NameError> {
    Ok(wanted(names, shards)?.into_iter().map(|wanted| wanted.stream).collect())
}

/// Compares a stream with what is wanted; none where it does not exist.
async fn look(
    context: &Context,
    wanted: &Wanted,
    settings: Option<&StreamSettings>,
) -> Result<Option<Comparison>, SetupError> {
    match request::info(context, &wanted.stream).await {
        Ok(info) => Ok(Some(compare(&wanted.stream, wanted.role, &wanted.subjects, &info.config, settings))),
        Err(ReadError::Missing(_)) => Ok(None),
        Err(error) => Err(SetupError::Unavailable(error.to_string())),
    }
}

/// Makes what is missing, after looking at all that exists. Running it again changes nothing.
pub async fn setup(
    context: &Context,
    names: &Names,
    shards: &[impl AsRef<str>],
    settings: &StreamSettings,
) -> Result<Vec<Done>, SetupError> {
    let wanted = wanted(names, shards)?;
    let mut refused = Vec::new();
    let mut found = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let comparison = look(context, &wanted, Some(settings)).await?.map(|comparison| {
            refused.extend(comparison.refused);
            comparison.notes
        });
        found.push((wanted, comparison));
    }
    if !refused.is_empty() {
        return Err(SetupError::Refused(refused));
    }
    // The snapshots take what room the others leave.
    let snapshots = found.pop();
    let make = async |(wanted, notes): (Wanted, Option<Vec<String>>)| match notes {
        Some(notes) => Ok(Done::Kept { stream: wanted.stream, notes }),
        None => create(context, wanted, settings).await,
    };
    // In a cluster each elects a leader first.
    let mut done: Vec<_> = iter(found).map(make).buffered(CREATED_AT_ONCE).try_collect().await?;
    if let Some(snapshots) = snapshots {
        done.push(make(snapshots).await?);
    }
    Ok(done)
}

/// Removes all streams of a deployment, and what they hold, as far as they are there. Nothing of it can be brought back.
pub async fn remove(context: &Context, names: &Names, shards: &[impl AsRef<str>]) -> Result<(), SetupError> {
    for wanted in wanted(names, shards)? {
        let Err(error) = context.delete_stream(&wanted.stream).await else { continue };
        match error.kind() {
            DeleteStreamErrorKind::JetStream(answer)
                if answer.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            _ => return Err(SetupError::Unavailable(format!("stream {}: {error}", wanted.stream))),
        }
    }
    Ok(())
}

/// Compares all that must exist with what would lose data, and changes nothing.
pub async fn verify(
    context: &Context,
    names: &Names,
    shards: &[impl AsRef<str>],
) -> Result<Vec<Done>, SetupError> {
    let mut refused = Vec::new();
    let mut missing = None;
    let mut done = Vec::new();
    for wanted in wanted(names, shards)? {
        match look(context, &wanted, None).await? {
            Some(comparison) => {
                refused.extend(comparison.refused);
                done.push(Done::Kept { stream: wanted.stream, notes: comparison.notes });
            }
            // Early warnings are best effort: a worker does without.
            None if wanted.role == Role::Signals => {}
            None => missing = missing.or(Some(wanted.stream)),
        }
    }
    // `weir setup`, which the other error sends people to, would refuse too.
    if !refused.is_empty() {
        return Err(SetupError::Refused(refused));
    }
    missing.map_or(Ok(done), |stream| Err(SetupError::Missing(stream)))
}

async fn create(context: &Context, wanted: Wanted, settings: &StreamSettings) -> Result<Done, SetupError> {
    let mut config = Config {
        name: wanted.stream.clone(),
        subjects: wanted.subjects.clone(),
        retention: RetentionPolicy::Limits,
        discard: if wanted.role.refuses_when_full() { DiscardPolicy::New } else { DiscardPolicy::Old },
        storage: match settings.storage {
            Storage::File => StorageType::File,
            Storage::Memory => StorageType::Memory,
        },
        num_replicas: settings.replicas,
        max_bytes: bytes_max(settings, wanted.role),
        max_messages: -1,
        max_messages_per_subject: wanted.role.history().unwrap_or(-1),
        max_message_size: -1,
        max_consumers: -1,
        duplicate_window: if wanted.role == Role::Signals { SIGNALS_WINDOW } else { DUPLICATE_WINDOW },
        // A hole in the log is a fault. Weir trims it from the front (a purge), which stays allowed.
        deny_delete: !matches!(wanted.role, Role::DeadLetters | Role::Snapshots | Role::Signals),
        allow_rollup: wanted.role.is_bucket(),
        ..Config::default()
    };
    loop {
        let Err(error) = context.create_stream(config.clone()).await else {
            let configured = bytes_max(settings, wanted.role);
            let smaller = (config.max_bytes < configured).then(|| {
                format!(
                    "max_bytes is {}, configured is {configured}: there is no room for more",
                    config.max_bytes
                )
            });
            return Ok(Done::Created { stream: wanted.stream, notes: smaller.into_iter().collect() });
        };
        match error.kind() {
            // Somebody else made it a moment ago, otherwise.
            CreateStreamErrorKind::JetStream(answer)
                if answer.error_code() == ErrorCode::STREAM_NAME_EXIST =>
            {
                return match look(context, &wanted, Some(settings)).await? {
                    Some(Comparison { refused, notes }) if refused.is_empty() => {
                        Ok(Done::Kept { stream: wanted.stream, notes })
                    }
                    Some(Comparison { refused, .. }) => Err(SetupError::Refused(refused)),
                    None => Err(SetupError::Missing(wanted.stream)),
                };
            }
            // Limits are reserved: a small server has not so much.
            CreateStreamErrorKind::JetStream(answer)
                if wanted.role == Role::Snapshots
                    && lacks_room(&answer)
                    && config.max_bytes / 2 >= SNAPSHOTS_BYTES_LEAST =>
            {
                config.max_bytes /= 2;
            }
            CreateStreamErrorKind::JetStream(answer) => {
                return Err(SetupError::NotCreated { stream: wanted.stream, reason: answer.to_string() });
            }
            _ => return Err(SetupError::Unavailable(error.to_string())),
        }
    }
}

/// Whether a stream was not made because its limit is larger than what the server, the cluster or the account has left.
fn lacks_room(answer: &async_nats::jetstream::Error) -> bool {
    match answer.error_code() {
        ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED => true,
        // One code for whatever keeps a cluster from finding places: also servers that are away.
        ErrorCode::CLUSTER_NO_PEERS => answer.to_string().contains("insufficient storage"),
        _ => false,
    }
}

//! Snapshots in their store: objects, and the pointers that say which of them are good.
//!
//! An object that no pointer names is nothing: a write that was given up, or one that was not read back yet. The pointers
//! of a shard are one small document, newest first, changed only behind its revision. A snapshot that it names was read
//! back, to its last byte, and all of it had been announced by then.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use xxhash_rust::xxh3::Xxh3Default;

use crate::edges::keys::Keys as _;
use crate::edges::objects::{ObjectReader as _, Objects as _};
use crate::edges::streams::{AppendError, ReadError};
use crate::edges::threads::give_way;
use crate::edges::{Edges, ShardEdges};
use crate::folds::inventory::{Digests, Frozen, Inventory, Restoring, SnapshotError};
use crate::motion::rules::folding::Start;
use crate::motion::rules::kept::{DROPS_PAUSE, FoldOn};
use crate::motion::store::last::Last;
use crate::words::identity::Identity;

pub use crate::motion::rules::kept::Kept;

/// How often a change of the pointers is tried against those of others.
const POINTING_TRIES: u32 = 5;
/// Chunks that wait to be stored: of about a mebibyte each.
const CHUNKS_QUEUED_MAX: usize = 2;
/// Pieces that wait to be restored: of [`PIECE_BYTES_MAX`](crate::edges::objects::PIECE_BYTES_MAX) at most.
const PIECES_QUEUED_MAX: usize = 16;
/// What a simulation writes at once, in bytes: so small a state fills the channel as a large one does.
const TASK_CHUNK_BYTES: usize = 256;

/// The pointers of a shard, newest first.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Pointers {
    snapshots: Vec<Kept>,
}

/// Why a snapshot cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store does not answer. It may later.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is not there, or not what its pointer says.
    #[error("it is not there, or not the one that was stored")]
    Missing,
    /// It is damaged, or of another version.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// Why a snapshot is passed over.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The log does not go on from it.
    #[error("the log does not go on from it")]
    NotHeld,
    /// It cannot be restored.
    #[error(transparent)]
    Damaged(RestoreError),
}

/// The snapshots of one shard.
#[derive(Clone, Debug)]
pub struct Snapshots<E: Edges> {
    shard: String,
    pointers: E::Keys,
    objects: E::Objects,
}

impl<E: Edges> Snapshots<E> {
    /// The snapshots of `shard`.
    #[must_use]
    pub fn new(shard: &str, edges: &ShardEdges<E>) -> Self {
        Self { shard: shard.to_owned(), pointers: edges.pointers.clone(), objects: edges.objects.clone() }
    }

    fn key(&self) -> String {
        format!("snapshots.{}", self.shard)
    }

    /// The snapshots that are good, newest first.
    pub async fn kept(&self) -> Result<Vec<Kept>, ReadError> {
        Ok(self.read_pointers().await?.0.snapshots)
    }

    async fn read_pointers(&self) -> Result<(Pointers, u64), ReadError> {
        let Some(entry) = self.pointers.get(&self.key()).await? else { return Ok((Pointers::default(), 0)) };
        let pointers = serde_json::from_slice(&entry.value)
            .map_err(|error| ReadError::Unreadable(format!("the pointers to snapshots: {error}")))?;
        Ok((pointers, entry.revision))
    }

    /// The state that a snapshot holds, made where folds run: it keeps a core busy for as long as that takes, and what else the
    /// runtime carries must go on.
    pub async fn restore(&self, kept: &Kept, on: FoldOn) -> Result<Start, RestoreError> {
        let through = kept.through().ok_or(RestoreError::Missing)?;
        let mut reader = self.objects.read(&kept.name).await?.ok_or(RestoreError::Missing)?;
        let inventory = match on {
            FoldOn::Thread => {
                let (pieces, read) = mpsc::channel(PIECES_QUEUED_MAX);
                let restoring = tokio::task::spawn_blocking(|| restore_from(read));
                while let Some(piece) = reader.next().await? {
                    if pieces.send(piece).await.is_err() {
                        // It has failed, and says why.
                        break;
                    }
                }
                drop(pieces);
                restoring.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?
            }
            FoldOn::Task => {
                let mut restoring = Restoring::new();
                while let Some(piece) = reader.next().await? {
                    restoring.feed(&piece)?;
                }
                restoring.finish()?
            }
        };
        if inventory.chain().to_string() != kept.chain {
            return Err(RestoreError::Missing);
        }
        Ok(Start { inventory: Box::new(inventory), through })
    }

    /// The first of `kept` that can be restored and, where `log` is given, that the log goes on from. `pass_over` is told of those
    /// before it. A store that does not answer says nothing about a snapshot: that ends the search.
    pub async fn first<'k>(
        &self,
        kept: Vec<&'k Kept>,
        log: Option<&E::Streams>,
        on: FoldOn,
        mut pass_over: impl FnMut(&Kept, &Unfit),
    ) -> Result<Option<(&'k Kept, Start)>, ReadError> {
        for kept in kept {
            let unfit = match self.restore(kept, on).await {
                Ok(start) => match log {
                    Some(log) if !Last::of_state(&start.inventory).is_held(log).await? => Unfit::NotHeld,
                    _ => return Ok(Some((kept, start))),
                },
                Err(RestoreError::Read(error @ ReadError::Unavailable(_))) => return Err(error),
                Err(error) => Unfit::Damaged(error),
            };
            pass_over(kept, &unfit);
        }
        Ok(None)
    }

    /// Stores a state and reads it back: written where folds run beside others, a piece at a time as the store takes them. Nothing
    /// points to it yet. None where it could not be written to its end.
    pub(in crate::motion) async fn store_state(
        &self,
        name: String,
        frozen: Frozen,
        through: Identity,
        on: FoldOn,
    ) -> Result<Option<Kept>, AppendError> {
        let head = frozen.head();
        let (chunks, mut written_chunks) = mpsc::channel::<Bytes>(CHUNKS_QUEUED_MAX);
        let (forward, stored_chunks) = mpsc::channel(CHUNKS_QUEUED_MAX);
        let hashing = async move {
            let mut hash = Xxh3Default::new();
            while let Some(chunk) = written_chunks.recv().await {
                hash.update(&chunk);
                if forward.send(chunk).await.is_err() {
                    break;
                }
            }
            hash.digest()
        };
        let storing = self.objects.write(&name, stored_chunks);
        let (digests, hash, bytes) = tokio::join!(write(frozen, chunks, on), hashing, storing);
        let bytes = bytes?;
        let Some(digests) = digests else {
            // What is not whole would be passed over all the same; it only takes room.
            let _ = self.objects.remove(&name).await;
            return Ok(None);
        };
        let kept = Kept {
            name,
            sequence: head.chain.sequence,
            chain: head.chain.to_string(),
            through: through.to_string(),
            rules: head.rules,
            bytes,
            hash: format!("{hash:016x}"),
            state: format!("{:016x}", digests.state),
            ledger: format!("{:016x}", digests.ledger),
        };
        match self.is_whole(&kept).await {
            Ok(true) => Ok(Some(kept)),
            Ok(false) => {
                Err(AppendError::Unavailable("what was read back is not what was stored".to_owned()))
            }
            Err(error) => Err(AppendError::Unavailable(error.to_string())),
        }
    }

    /// Whether a snapshot is there, to its last byte.
    pub async fn is_whole(&self, kept: &Kept) -> Result<bool, ReadError> {
        let Some(mut reader) = self.objects.read(&kept.name).await? else { return Ok(false) };
        let (mut hash, mut bytes) = (Xxh3Default::new(), 0);
        while let Some(piece) = reader.next().await? {
            hash.update(&piece);
            bytes += piece.len() as u64;
        }
        Ok(bytes == kept.bytes && format!("{:016x}", hash.digest()) == kept.hash)
    }

    /// Points to a snapshot as the newest one, keeps the newest `keep`, and gives those, newest first. One that is older than
    /// the newest comes too late and is not pointed to: what is older than all that is kept may be removed at any time.
    pub(in crate::motion) async fn point(&self, kept: &Kept, keep: usize) -> Result<Vec<Kept>, AppendError> {
        for _ in 0..POINTING_TRIES {
            let read = self.read_pointers().await;
            let (mut pointers, revision) =
                read.map_err(|error| AppendError::Unavailable(error.to_string()))?;
            let newest = pointers.snapshots.first();
            // A change that timed out may have been made.
            if newest.is_some_and(|newest| newest.sequence > kept.sequence || newest.name == kept.name) {
                return Ok(pointers.snapshots);
            }
            pointers.snapshots.insert(0, kept.clone());
            pointers.snapshots.truncate(keep);
            let value = serde_json::to_vec(&pointers).expect("plain texts and numbers");
            match self.pointers.put(&self.key(), value.into(), revision).await {
                Ok(_) => return Ok(pointers.snapshots),
                // Read again: whether it is there shows then.
                Err(AppendError::Conflict | AppendError::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Err(AppendError::Conflict)
    }

    /// The same, and the revision of the pointers.
    pub(in crate::motion) async fn kept_at(&self) -> Result<(Vec<Kept>, u64), ReadError> {
        let (pointers, revision) = self.read_pointers().await?;
        Ok((pointers.snapshots, revision))
    }

    /// Points to a snapshot, and to none beside it, if the pointers' revision is `expected`: what was folded before it is not what the
    /// log holds any more.
    pub(in crate::motion) async fn point_only(&self, kept: &Kept, expected: u64) -> Result<(), AppendError> {
        let value = serde_json::to_vec(&Pointers { snapshots: vec![kept.clone()] });
        let value = value.expect("plain texts and numbers").into();
        match self.pointers.put(&self.key(), value, expected).await {
            // It timed out before, and landed.
            Err(AppendError::Conflict) if self.kept().await.is_ok_and(|now| now == [kept.clone()]) => Ok(()),
            ended => ended.map(|_| ()),
        }
    }

    /// Removes the objects of this shard that no pointer names and that are older than those that one does.
    pub(in crate::motion) async fn prune(&self, kept: &[Kept]) -> Result<(), AppendError> {
        let listed = self.objects.list().await;
        let listed = listed.map_err(|error| AppendError::Unavailable(error.to_string()))?;
        let oldest = kept.iter().map(|kept| kept.sequence).min().unwrap_or(0);
        for object in listed {
            let sequence = sequence_of(&self.shard, &object.name);
            if sequence.is_some_and(|sequence| sequence < oldest)
                && !kept.iter().any(|kept| kept.name == object.name)
            {
                self.objects.remove(&object.name).await?;
            }
        }
        Ok(())
    }

    /// A name for a snapshot up to `sequence`, which nobody else gives.
    pub(in crate::motion) fn name(&self, sequence: u64, writer: &str, attempt: u64) -> String {
        format!("{}.{sequence}.{writer}.{attempt}", self.shard)
    }
}

/// Writes a state, as long as somebody takes it.
async fn write(mut frozen: Frozen, chunks: mpsc::Sender<Bytes>, on: FoldOn) -> Option<Digests> {
    match on {
        FoldOn::Thread => {
            let (written, digests) = oneshot::channel();
            let write = move || {
                give_way();
                // Who asked may have gone.
                let _ = written.send(frozen.write_snapshot(|chunk| chunks.blocking_send(chunk)).ok());
                drop(chunks);
                // Nobody waits for this, and it holds nobody up.
                frozen.drop_in_steps(|| std::thread::sleep(DROPS_PAUSE));
            };
            let thread = std::thread::Builder::new().name("snapshot".to_owned()).spawn(write);
            drop(thread.expect("the operating system gives a thread"));
            digests.await.ok()?
        }
        FoldOn::Task => {
            let mut all = Vec::new();
            let written = frozen.write_snapshot(|chunk| {
                all.push(chunk);
                Ok::<_, std::convert::Infallible>(())
            });
            for mut chunk in all {
                while !chunk.is_empty() {
                    let piece = chunk.split_to(chunk.len().min(TASK_CHUNK_BYTES));
                    chunks.send(piece).await.ok()?;
                }
            }
            written.ok()
        }
    }
}

fn restore_from(mut pieces: mpsc::Receiver<Bytes>) -> Result<Inventory, SnapshotError> {
    let mut restoring = Restoring::new();
    while let Some(piece) = pieces.blocking_recv() {
        restoring.feed(&piece)?;
    }
    restoring.finish()
}

/// The sequence in an object's name, if it is a snapshot of the shard.
fn sequence_of(shard: &str, name: &str) -> Option<u64> {
    let rest = name.strip_prefix(shard)?.strip_prefix('.')?;
    rest.split('.').next()?.parse().ok()
}

//! The states of analytics, saved beside snapshots: one object a shard, and a pointer to it. They are no part of any digest, and nothing
//! hangs on them: where one is missing, damaged, or of another version, analytics begin anew.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::edges::keys::Keys as _;
use crate::edges::objects::{ObjectReader as _, Objects as _};
use crate::edges::streams::{AppendError, ReadError};
use crate::edges::{Edges, ShardEdges};
use crate::words::hash::hash;
use crate::words::identity::Identity;

/// A larger state is neither saved nor loaded, in bytes.
pub const BYTES_MAX: u64 = 1 << 30;
/// States are written in chunks of so many bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// How often a change of the pointer is tried against those of others.
const TRIES: u32 = 5;

/// A state that was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The object's name.
    pub name: String,
    /// The last log message that was measured.
    pub sequence: u64,
    /// The last outcome of it or before, as `sequence.index.place`.
    pub through: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// XXH3-64 of its bytes, in hexadecimal.
    pub hash: String,
}

impl Saved {
    /// The last outcome that was measured; none where that cannot be read.
    #[must_use]
    pub fn through(&self) -> Option<Identity> {
        self.through.parse().ok()
    }
}

/// The saved states of one shard.
#[derive(Clone, Debug)]
pub struct Models<E: Edges> {
    shard: String,
    pointers: E::Keys,
    objects: E::Objects,
}

impl<E: Edges> Models<E> {
    /// Those of `shard`.
    #[must_use]
    pub fn new(shard: &str, edges: &ShardEdges<E>) -> Self {
        Self { shard: shard.to_owned(), pointers: edges.pointers.clone(), objects: edges.objects.clone() }
    }

    fn key(&self) -> String {
        format!("analytics.{}", self.shard)
    }

    /// What the names of this shard's objects begin with. No snapshot's does: there a number follows the shard.
    fn prefix(&self) -> String {
        format!("{}.analytics.", self.shard)
    }

    async fn pointer(&self) -> Result<(Option<Saved>, u64), ReadError> {
        let Some(entry) = self.pointers.get(&self.key()).await? else { return Ok((None, 0)) };
        // What cannot be read is written over.
        Ok((serde_json::from_slice(&entry.value).ok(), entry.revision))
    }

    /// The newest one, if there is any.
    pub async fn newest(&self) -> Result<Option<Saved>, ReadError> {
        Ok(self.pointer().await?.0)
    }

    /// Its bytes; none where they are gone, or not what was saved.
    pub async fn load(&self, saved: &Saved) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(mut reader) = self.objects.read(&saved.name).await? else { return Ok(None) };
        let mut bytes = Vec::new();
        while let Some(piece) = reader.next().await? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > saved.bytes.min(BYTES_MAX) {
                return Ok(None);
            }
        }
        let is_whole = bytes.len() as u64 == saved.bytes && format!("{:016x}", hash(&bytes)) == saved.hash;
        Ok(is_whole.then_some(bytes))
    }

    /// Saves a state that measured everything through a message and an outcome, and removes those before; `announced` is how far
    /// outcomes are announced by the outcome stream's word. Gives none where a newer one is there.
    ///
    /// # Panics
    /// Never: a pointer is plain texts and numbers.
    pub async fn save(
        &self,
        writer: &str,
        (sequence, through): (u64, Identity),
        announced: Identity,
        bytes: Vec<u8>,
    ) -> Result<Option<Saved>, AppendError> {
        if bytes.len() as u64 > BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        let unread = |error: ReadError| AppendError::Unavailable(error.to_string());
        let sum = hash(&bytes);
        let saved = Saved {
            name: format!("{}{sequence}.{writer}.{sum:016x}", self.prefix()),
            sequence,
            through: through.to_string(),
            bytes: bytes.len() as u64,
            hash: format!("{sum:016x}"),
        };
        let bytes = Bytes::from(bytes);
        let (chunks, written) = mpsc::channel(2);
        let feeding = async move {
            for from in (0..bytes.len()).step_by(CHUNK_BYTES) {
                let chunk = bytes.slice(from..bytes.len().min(from + CHUNK_BYTES));
                if chunks.send(chunk).await.is_err() {
                    break;
                }
            }
        };
        let (stored, ()) = tokio::join!(self.objects.write(&saved.name, written), feeding);
        match stored {
            // The same state was saved a moment ago.
            Ok(_) | Err(AppendError::Conflict) => {}
            Err(error) => return Err(error),
        }
        for _ in 0..TRIES {
            let (before, revision) = self.pointer().await.map_err(unread)?;
            if let Some(before) = before.filter(|before| before.name != saved.name)
                && before.sequence > sequence
                && before.through().is_some_and(|through| through <= announced)
            {
                self.objects.remove(&saved.name).await?;
                return Ok(None);
            }
            let value = serde_json::to_vec(&saved).expect("plain texts and numbers").into();
            match self.pointers.put(&self.key(), value, revision).await {
                Ok(_) => {
                    self.prune(&saved).await?;
                    return Ok(Some(saved));
                }
                Err(AppendError::Conflict | AppendError::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Err(AppendError::Conflict)
    }

    /// Removes the states of this shard that are older than the one that is pointed to. What a slower writer stores meanwhile is newer,
    /// or goes with the next one.
    async fn prune(&self, kept: &Saved) -> Result<(), AppendError> {
        let listed = self.objects.list().await;
        let listed = listed.map_err(|error| AppendError::Unavailable(error.to_string()))?;
        let prefix = self.prefix();
        for object in listed {
            let sequence =
                object.name.strip_prefix(&prefix).and_then(|rest| rest.split('.').next()?.parse().ok());
            if object.name != kept.name && sequence.is_some_and(|sequence: u64| sequence <= kept.sequence) {
                self.objects.remove(&object.name).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edges::clock::SystemClock;
    use crate::edges::memory::{InMemory, MemoryLimits, MemoryStreams};

    fn at(sequence: u64) -> (u64, Identity) {
        (sequence, Identity { sequence, index: 0, place: 0 })
    }

    #[tokio::test]
    async fn the_newest_stays_and_nothing_else() {
        let edges = ShardEdges::<InMemory>::in_memory(MemoryStreams::new(
            SystemClock::shared(),
            MemoryLimits::default(),
        ));
        let models = Models::new("main", &edges);
        let announced = at(100).1;
        assert_eq!(models.newest().await, Ok(None));
        let large: Vec<u8> = (0..=255).cycle().take(3 * CHUNK_BYTES + 7).collect();
        let first = models.save("one", at(10), announced, large.clone()).await.unwrap().unwrap();
        assert_eq!(models.load(&first).await.unwrap(), Some(large));
        let second = models.save("two", at(20), announced, vec![2]).await.unwrap().unwrap();
        assert_eq!(models.newest().await, Ok(Some(second.clone())));
        assert_eq!(models.load(&first).await, Ok(None));
        // One that comes too late is not kept.
        assert_eq!(models.save("one", at(15), announced, vec![1]).await, Ok(None));
        assert_eq!(edges.objects.list().await.unwrap().len(), 1);
        // One of a log that was written anew is written over.
        let third = models.save("one", at(15), at(17).1, vec![3]).await.unwrap().unwrap();
        assert_eq!(models.newest().await, Ok(Some(third.clone())));
        let damaged = Saved { hash: "0".repeat(16), ..third };
        assert_eq!(models.load(&damaged).await, Ok(None));
    }
}

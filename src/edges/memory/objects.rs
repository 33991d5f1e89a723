//! Objects in memory.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::edges::keys::{is_name, no_name};
use crate::edges::objects::{OBJECTS_MAX, ObjectInfo, ObjectReader, Objects, Pieces};
use crate::edges::streams::{AppendError, ReadError};

/// An object, in pieces.
type Pieced = Arc<[Bytes]>;

fn bytes_of(pieces: &[Bytes]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

/// Objects in memory. Clones share them.
#[derive(Clone)]
pub struct MemoryObjects {
    bytes_max: u64,
    objects: Arc<Mutex<BTreeMap<String, Pieced>>>,
}

impl MemoryObjects {
    /// None yet, and at most `bytes_max` bytes of them.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, objects: Arc::default() }
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Pieced>> {
        // Nothing in here panics half-way.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryObjects {
    /// At most 1 GiB of them.
    fn default() -> Self {
        Self::new(1 << 30)
    }
}

impl Objects for MemoryObjects {
    type Reader = MemoryObjectReader;

    async fn write(&self, name: &str, chunks: mpsc::Receiver<Bytes>) -> Result<u64, AppendError> {
        if !is_name(name) {
            return Err(no_name(name));
        }
        if self.objects().contains_key(name) {
            return Err(AppendError::Conflict);
        }
        let (mut source, mut pieces, mut bytes) = (Pieces::new(chunks), Vec::new(), 0);
        while let Some(piece) = source.next().await {
            bytes += piece.len() as u64;
            if bytes > self.bytes_max {
                return Err(AppendError::Full);
            }
            pieces.push(piece);
        }
        let mut objects = self.objects();
        let others: u64 = objects.values().map(|pieces| bytes_of(pieces)).sum();
        match objects.entry(name.to_owned()) {
            btree_map::Entry::Occupied(_) => Err(AppendError::Conflict),
            btree_map::Entry::Vacant(_) if others + bytes > self.bytes_max => Err(AppendError::Full),
            btree_map::Entry::Vacant(place) => {
                place.insert(pieces.into());
                Ok(bytes)
            }
        }
    }

    async fn read(&self, name: &str) -> Result<Option<MemoryObjectReader>, ReadError> {
        Ok(self.objects().get(name).map(|pieces| MemoryObjectReader { pieces: pieces.clone(), next: 0 }))
    }

    async fn list(&self) -> Result<Vec<ObjectInfo>, ReadError> {
        let objects = self.objects();
        if objects.len() > OBJECTS_MAX {
            return Err(ReadError::Unreadable(format!("more than {OBJECTS_MAX} objects")));
        }
        let info =
            |(name, pieces): (&String, &Pieced)| ObjectInfo { name: name.clone(), bytes: bytes_of(pieces) };
        Ok(objects.iter().map(info).collect())
    }

    async fn remove(&self, name: &str) -> Result<(), AppendError> {
        self.objects().remove(name);
        Ok(())
    }
}

/// Reads an object in memory. It goes on to its end though the object is removed meanwhile.
#[derive(Clone, Debug)]
pub struct MemoryObjectReader {
    pieces: Pieced,
    next: usize,
}

impl ObjectReader for MemoryObjectReader {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let piece = self.pieces.get(self.next).cloned();
        self.next += 1;
        Ok(piece)
    }
}

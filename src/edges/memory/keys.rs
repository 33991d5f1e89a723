//! A table in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::edges::keys::{Entry, KEYS_MAX, Keys, VALUE_BYTES_MAX, is_name, no_name};
use crate::edges::streams::{AppendError, ReadError};

#[derive(Default)]
struct Table {
    entries: BTreeMap<String, Entry>,
    /// The last revision given.
    revision: u64,
}

/// A table in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryKeys {
    table: Arc<Mutex<Table>>,
}

impl MemoryKeys {
    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics half-way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys for MemoryKeys {
    async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        Ok(self.table().entries.get(key).cloned())
    }

    async fn all(&self) -> Result<Vec<(String, Entry)>, ReadError> {
        let table = self.table();
        if table.entries.len() > KEYS_MAX {
            return Err(ReadError::Unreadable(format!("more than {KEYS_MAX} keys")));
        }
        Ok(table.entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }

    async fn put(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, AppendError> {
        if !is_name(key) {
            return Err(no_name(key));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        let mut table = self.table();
        if table.entries.get(key).map_or(0, |entry| entry.revision) != expected {
            return Err(AppendError::Conflict);
        }
        table.revision += 1;
        let revision = table.revision;
        table.entries.insert(key.to_owned(), Entry { value, revision });
        Ok(revision)
    }

    async fn remove(&self, key: &str, expected: u64) -> Result<(), AppendError> {
        let mut table = self.table();
        if table.entries.get(key).is_none_or(|entry| entry.revision != expected) {
            return Err(AppendError::Conflict);
        }
        table.entries.remove(key);
        Ok(())
    }
}

//! Notices: outcomes told to whoever listens now, each as a small message. Nothing is kept, and nobody answers.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::words::outcome::OutcomeKind;

/// Where notices go.
pub trait Notices: Send + Sync + 'static {
    /// Tells an outcome of a shard, as JSON. May wait while the way is full, and says whether it was sent: it may get lost all the same.
    fn tell(&self, shard: &str, outcome: OutcomeKind, json: Bytes) -> impl Future<Output = bool> + Send;
}

/// Notices in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryNotices(Arc<Mutex<Vec<(String, OutcomeKind, Bytes)>>>);

impl MemoryNotices {
    /// Takes what was told so far: shard, outcome, JSON.
    #[must_use]
    pub fn take(&self) -> Vec<(String, OutcomeKind, Bytes)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Notices for MemoryNotices {
    async fn tell(&self, shard: &str, outcome: OutcomeKind, json: Bytes) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((shard.to_owned(), outcome, json));
        true
    }
}

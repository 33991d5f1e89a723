//! What a worker is to do for a shard, as the shard's tasks see it: they look, or wait for a change.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::motion::rules::leases::Assignment;

/// An assignment that changes; shared.
///
/// Whoever waits is woken in the order in which they began to: tokio's own watch channel wakes in random order, which no seed
/// could repeat.
#[derive(Debug, Default)]
pub struct Assigned {
    now: Mutex<Assignment>,
    changed: Notify,
}

impl Assigned {
    /// Begins with an assignment.
    #[must_use]
    pub fn new(assignment: Assignment) -> Self {
        Self { now: Mutex::new(assignment), changed: Notify::new() }
    }

    /// The assignment as it is now.
    #[must_use]
    pub fn get(&self) -> Assignment {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it, and gives the one before.
    pub fn set(&self, assignment: Assignment) -> Assignment {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *now, assignment);
        drop(now);
        if before != assignment {
            self.changed.notify_waiters();
        }
        before
    }

    /// Waits until it is such as is wanted.
    pub async fn until(&self, wanted: impl Fn(Assignment) -> bool) -> Assignment {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before the look, so that what comes in between is not missed.
            changed.as_mut().enable();
            let now = self.get();
            if wanted(now) {
                return now;
            }
            changed.await;
        }
    }
}

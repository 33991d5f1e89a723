//! What a shard says of itself, read by the admin server and by whoever watches.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot};

use super::fold::{Input, Inspection};
use crate::edges::streams::StreamState;
use crate::folds::inventory::Totals;
use crate::motion::rules::leases::Role;
use crate::words::append::Chain;
use crate::words::fault::Fault;
use crate::words::identity::Identity;

/// How far a shard is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The last message applied, and the chain after it.
    pub applied: Chain,
    /// The published position.
    pub through: Identity,
    /// The last message that is wholly announced, as far as is known.
    pub announced: Chain,
    /// The outcome stream's last sequence, as whoever publishes or follows last saw it.
    pub outcomes_seen: u64,
    /// How many records were applied since the state was restored.
    pub records: u64,
    /// Log and outcome stream as they were last asked.
    pub log: StreamState,
    /// See `log`.
    pub outcomes: StreamState,
    /// Age of the oldest message that is not applied, in seconds; 0 where there is none.
    pub lag_seconds: f64,
    /// Sums over the state.
    pub totals: Totals,
    /// Why the shard stands still, if it does.
    pub fault: Option<Fault>,
}

impl Progress {
    /// How many messages are not applied.
    #[must_use]
    pub const fn lag_messages(&self) -> u64 {
        self.log.last_sequence.saturating_sub(self.applied.sequence)
    }
}

/// One shard's status; shared.
#[derive(Debug)]
pub struct Status {
    /// The shard's name.
    pub shard: String,
    progress: Mutex<Progress>,
    applied: AtomicU64,
    caught_up: AtomicBool,
    connected: AtomicBool,
    changed: Notify,
    inspector: Mutex<Option<mpsc::WeakSender<Input>>>,
    role: Mutex<Option<Role>>,
}

/// A shard counts as caught up while its lag is below this many seconds.
pub const LAG_SECONDS_MAX: f64 = 5.0;

impl Status {
    /// The status of a shard that has done nothing yet.
    #[must_use]
    pub fn new(shard: &str) -> Self {
        Self {
            shard: shard.to_owned(),
            progress: Mutex::default(),
            applied: AtomicU64::new(0),
            caught_up: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            changed: Notify::new(),
            inspector: Mutex::default(),
            role: Mutex::default(),
        }
    }

    /// A copy of how far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut progress);
        self.applied.store(progress.applied.sequence, Relaxed);
        drop(progress);
        self.changed.notify_waiters();
    }

    /// The last message applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied.load(Relaxed)
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Relaxed);
    }

    /// The shard is no longer this worker's: what is known of it says nothing any more.
    pub(super) fn leave(&self) {
        *self.inspector.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.caught_up.store(false, Relaxed);
        self.update(|progress| *progress = Progress::default());
    }

    pub(super) fn set_caught_up(&self, caught_up: bool) {
        self.caught_up.store(caught_up, Relaxed);
    }

    pub(in crate::motion) fn assigned(&self, role: Role) {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner) = Some(role);
    }

    /// What this worker does for it; none before that is known.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has its streams, is done with all but the newest of its log, and does not stand still. A shard that is not this
    /// worker's keeps nobody waiting.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.role() == Some(Role::Away)
            || self.connected.load(Relaxed) && self.caught_up.load(Relaxed) && self.progress().fault.is_none()
    }

    /// Why it is not ready, in words.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        if let Some(fault) = self.progress().fault {
            return Some(format!("shard {}: {fault}", self.shard));
        }
        if self.role() == Some(Role::Away) {
            return None;
        }
        if !self.connected.load(Relaxed) {
            return Some(format!("shard {}: NATS cannot be reached", self.shard));
        }
        if !self.caught_up.load(Relaxed) {
            let progress = self.progress();
            return Some(format!(
                "shard {}: catching up, {} messages behind",
                self.shard,
                progress.lag_messages()
            ));
        }
        None
    }

    pub(super) fn set_inspector(&self, inspector: mpsc::WeakSender<Input>) {
        *self.inspector.lock().unwrap_or_else(PoisonError::into_inner) = Some(inspector);
    }

    /// The state in numbers, by a walk over it that stops the fold meanwhile; none where no fold runs.
    pub async fn inspect(&self) -> Option<Inspection> {
        let inspector = self.inspector.lock().unwrap_or_else(PoisonError::into_inner).clone()?.upgrade()?;
        let (reply, inspection) = oneshot::channel();
        inspector.send(Input::Inspect(reply)).await.ok()?;
        drop(inspector);
        inspection.await.ok()
    }

    /// Waits until `until` holds.
    pub async fn wait_for(&self, until: impl Fn(&Progress) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if until(&self.progress()) {
                return;
            }
            changed.await;
        }
    }
}

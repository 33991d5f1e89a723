//! What a shard says of itself: its [life](crate::motion::rules::life) and how far it is. Read by the admin server, by sharing, and
//! by whoever watches.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::fold::Inspection;
use super::ports::Ports;
use super::risks::RiskPort;
use crate::edges::clock::SharedClock;
use crate::edges::streams::StreamState;
use crate::edges::telemetry::analytics::Watched;
use crate::folds::inventory::Totals;
use crate::motion::rules::leases::Role;
use crate::motion::rules::life::{Answer, End, Life, Living, Phase, Standing};
use crate::words::append::Chain;
use crate::words::fault::Fault;
use crate::words::identity::Identity;

pub use crate::motion::rules::life::LAG_SECONDS_MAX;
pub use crate::motion::rules::unready::Unready;

/// Folds a log beside.
pub(super) type Inspector =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<Inspection>> + Send>> + Send + Sync>;

/// How long a walk over the whole state may take, or a fold beside up to it.
const INSPECTS_WITHIN: Duration = Duration::from_mins(1);

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
    /// When that was known, on the monotonic clock; none before the streams have answered.
    pub polled_at: Option<Duration>,
    /// When something was last applied or announced, in nanoseconds since 1970; 0 before.
    pub moved_at_ns: i64,
    /// Settings of the shard's streams under which they would lose data, in words.
    pub unsafe_settings: Vec<String>,
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

#[derive(Debug, Default)]
struct Known {
    living: Living,
    progress: Progress,
    /// Whether it was said what this worker is to the shard.
    assigned: bool,
    /// Who leads it, by the table of leases.
    leader: Option<String>,
}

/// One shard's status; shared.
pub struct Status {
    /// The shard's name.
    pub shard: String,
    clock: SharedClock,
    known: Mutex<Known>,
    applied: AtomicU64,
    changed: Notify,
    ports: Arc<Ports>,
    risks: RiskPort,
    inspector: Mutex<Option<Inspector>>,
    watched: Mutex<Option<Arc<Watched>>>,
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Status")
            .field("shard", &self.shard)
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

/// That a shard can be inspected: it ends with this.
pub(super) struct Inspected(Arc<Status>);

impl Drop for Inspected {
    fn drop(&mut self) {
        let inspector = self.0.inspector.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It may hold the last of much else.
        drop(inspector);
    }
}

impl Status {
    /// The status of a shard that has done nothing yet.
    #[must_use]
    pub fn new(shard: &str, clock: SharedClock) -> Self {
        Self {
            shard: shard.to_owned(),
            clock,
            known: Mutex::default(),
            applied: AtomicU64::new(0),
            changed: Notify::new(),
            ports: Arc::default(),
            risks: RiskPort::default(),
            inspector: Mutex::default(),
            watched: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells its life something, and says so where it is another by that.
    fn tell<T>(&self, what: impl FnOnce(&mut Living, Duration) -> T) -> T {
        let now = self.clock.monotonic();
        let mut known = self.known();
        let before = known.living.life().name();
        let told = what(&mut known.living, now);
        let after = known.living.life().name();
        drop(known);
        if before != after {
            tracing::info!(shard = self.shard, from = before, to = after, "life");
            self.changed.notify_waiters();
        }
        told
    }

    /// A copy of how far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let known = self.known();
        Progress { fault: known.living.fault().cloned(), ..known.progress.clone() }
    }

    pub(super) fn progress_through(&self) -> Identity {
        self.known().progress.through
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Progress)) {
        let (now, wall_ns) = (self.clock.monotonic(), self.clock.wall_ns());
        let mut known = self.known();
        let Known { living, progress, .. } = &mut *known;
        let before = (progress.applied.sequence, progress.announced.sequence);
        change(progress);
        let after = (progress.applied.sequence, progress.announced.sequence);
        if before != after {
            progress.moved_at_ns = wall_ns;
        }
        living.moved(after.0, after.1, now);
        self.applied.store(after.0, Relaxed);
        drop(known);
        self.changed.notify_waiters();
    }

    /// The shard's analytics at this worker; none where nobody watches.
    #[must_use]
    pub fn watched(&self) -> Option<Arc<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_watched(&self, watched: Arc<Watched>) {
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched);
    }

    /// The last message applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied.load(Relaxed)
    }

    /// The streams answered, and this is what they are like.
    pub(super) fn polled(&self, log: StreamState, outcomes: StreamState, lag_seconds: f64) {
        let polled_at = Some(self.clock.monotonic());
        let mut known = self.known();
        known.progress =
            Progress { log, outcomes, lag_seconds, polled_at, ..std::mem::take(&mut known.progress) };
        drop(known);
        self.tell(|living, now| living.polled(log.last_sequence, lag_seconds, now));
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.tell(|living, _| if connected { living.answered() } else { living.unanswered() });
    }

    pub(super) fn recovering(&self, phase: Phase) {
        self.tell(|living, now| living.recovering(phase, now));
    }

    pub(super) fn ended(&self, end: End) -> Answer {
        self.tell(|living, now| living.ended(end, now))
    }

    /// Says whether it did not stand still before.
    pub(super) fn halted(&self, fault: &Fault) -> bool {
        self.tell(|living, now| living.halted(fault.clone(), now))
    }

    /// Outcomes cannot be announced, for this reason; none once they can.
    pub(super) fn held_up(&self, why: Option<String>) {
        self.tell(|living, _| living.held_up(why));
    }

    /// The shard is no longer this worker's: what is known of it says nothing any more.
    pub(super) fn leave(&self) {
        self.ports.close();
        self.tell(|living, _| living.left());
        self.known().progress = Progress::default();
        self.applied.store(0, Relaxed);
        self.changed.notify_waiters();
    }

    pub(in crate::motion) fn assigned(&self, role: Role) {
        self.known().assigned = true;
        self.tell(|living, now| living.assigned(role, now));
    }

    /// What this worker does for it, by the name that stands in metrics; none before that is known. A lease that has run out is none.
    #[must_use]
    pub fn role(&self) -> Option<&'static str> {
        let known = self.known();
        known.assigned.then(|| known.living.role_name(self.clock.monotonic()))
    }

    /// Whether this worker leads it now.
    #[must_use]
    pub fn leads(&self) -> bool {
        let known = self.known();
        known.assigned && known.living.leads(self.clock.monotonic())
    }

    /// What it is.
    #[must_use]
    pub fn life(&self) -> Life {
        self.known().living.life().clone()
    }

    /// What other workers are told of it.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.known().living.standing(self.clock.monotonic())
    }

    /// Whether it has its streams, is done with all but the newest of its log, and gets on. A shard that is not this worker's keeps
    /// nobody waiting.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.unready().is_none()
    }

    /// Why it is not ready, in words.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        self.why_unready().map(|why| format!("shard {}: {why}", self.shard))
    }

    /// Why it is not ready.
    #[must_use]
    pub fn why_unready(&self) -> Option<Unready> {
        let known = self.known();
        if known.assigned { known.living.unready(self.clock.monotonic()) } else { Some(Unready::Unreachable) }
    }

    /// Who leads it, by the table of leases as this worker last read it: the name that the worker has there. None where nobody does, or
    /// where shards are not shared.
    #[must_use]
    pub fn leader(&self) -> Option<String> {
        self.known().leader.clone()
    }

    pub(in crate::motion) fn led_by(&self, leader: Option<&str>) {
        let mut known = self.known();
        if known.leader.as_deref() != leader {
            known.leader = leader.map(str::to_owned);
        }
    }

    /// Where others read of the shard's fold, and ask it.
    #[must_use]
    pub fn ports(&self) -> &Arc<Ports> {
        &self.ports
    }

    /// Where whoever observes the shard is asked of open orders.
    #[must_use]
    pub const fn risks(&self) -> &RiskPort {
        &self.risks
    }

    /// The state in numbers, by a walk over it that stops the fold meanwhile: for a test, or a demo. None where no fold runs.
    pub async fn inspect(&self) -> Option<Inspection> {
        self.ports.ask(INSPECTS_WITHIN, Inspection::of).await.ok()
    }

    /// Who inspects it, for as long as what this gives is kept.
    pub(super) fn inspected_by(self: &Arc<Self>, inspector: Inspector) -> Inspected {
        *self.inspector.lock().unwrap_or_else(PoisonError::into_inner) = Some(inspector);
        Inspected(self.clone())
    }

    /// The state at the log's end in numbers, by a fold of its own beside the one that decides, from the newest snapshot on. None where
    /// that cannot be had in time, or another such fold takes its time.
    pub async fn inspect_beside(&self) -> Option<Inspection> {
        let inspector = self.inspector.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        tokio::time::timeout(INSPECTS_WITHIN, inspector()).await.ok()?
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

//! Polling: asks the streams how far they are, again and again, and shows what is known of the shard, also while they do not answer.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::context::Shard;
use crate::edges::Edges;
use crate::edges::streams::{ReadError, Streams as _};
use crate::edges::telemetry::Gauges;
use crate::motion::rules::life::Life;
use crate::motion::store::last::Suspicion;

/// How often stream states are asked for, and gauges are set.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same for states, until the shard has caught up.
const INTERVAL_FIRST: Duration = Duration::from_millis(50);
/// How many times the states are asked for between two looks at the broker's clock.
const LOOKS_AT_CLOCK: u32 = 10;

impl<E: Edges> Shard<E> {
    /// Asks and shows, for ever.
    pub(super) async fn poll(&self) {
        tokio::join!(self.ask_on(), self.show());
    }

    async fn ask_on(&self) {
        let mut looks = 0;
        // Since when the outcome stream has ended before what was seen of it.
        let mut lost = Suspicion::default();
        loop {
            if self.poll_once(&mut lost, looks % LOOKS_AT_CLOCK == 0).await.is_err() {
                lost.ends();
                self.status.set_connected(false);
            }
            looks = looks.wrapping_add(1);
            let settled = !matches!(self.status.life(), Life::Recovering { .. });
            tokio::time::sleep(if settled { INTERVAL } else { INTERVAL_FIRST }).await;
        }
    }

    async fn poll_once(&self, lost: &mut Suspicion, clock: bool) -> Result<(), ReadError> {
        let streams = &self.edges.streams;
        let log = streams.log_state().await?;
        let seen = self.status.progress().outcomes_seen;
        let outcomes = streams.outcomes_state().await?;
        if outcomes.last_sequence < seen {
            // A server that was cut off a moment ago answers from the past.
            if lost.grows() {
                self.outcomes_lost.notify_one();
            }
        } else {
            lost.ends();
        }
        let applied = self.status.applied();
        let mut lag_seconds = 0.0;
        if log.last_sequence > applied
            && let Some(oldest) = streams.log_message(applied + 1).await?
        {
            let age_ns = self.clock.wall_ns().saturating_sub(oldest.stored_at_ns).max(0);
            lag_seconds = Duration::from_nanos(age_ns.unsigned_abs()).as_secs_f64();
        }
        if clock {
            if let Some(broker_ns) = streams.now_ns().await? {
                self.ahead_ns.store(broker_ns.saturating_sub(self.clock.wall_ns()), Relaxed);
            }
            if let Some(since_ns) = streams.outcomes_since_ns().await? {
                self.telemetry.outcomes_since(since_ns);
            }
            self.note_settings(streams.unsafe_settings().await?);
        }
        self.status.polled(log, outcomes, lag_seconds);
        Ok(())
    }

    /// Takes note of settings that somebody changed, and says each once.
    fn note_settings(&self, found: Vec<String>) {
        let before = self.status.progress().unsafe_settings;
        for new in found.iter().filter(|setting| !before.contains(setting)) {
            tracing::error!(
                shard = self.status.shard,
                setting = new,
                "a stream would lose data under this setting: set it right"
            );
        }
        if found != before {
            self.status.update(|progress| progress.unsafe_settings = found);
        }
    }

    /// Shows what is known, for ever.
    async fn show(&self) {
        loop {
            self.show_once();
            self.status.ports().remind();
            tokio::time::sleep(INTERVAL).await;
        }
    }

    pub(super) fn show_once(&self) {
        let progress = self.status.progress();
        // What came since the streams last answered is not known: it may be as old as that.
        let unanswered =
            progress.polled_at.map_or(Duration::ZERO, |at| self.clock.monotonic().saturating_sub(at));
        let unanswered = if unanswered > 2 * INTERVAL { unanswered.as_secs_f64() } else { 0.0 };
        self.telemetry.progress(&Gauges {
            applied: progress.applied.sequence,
            announced: progress.through.sequence,
            decided: progress.announced.sequence,
            shown_at_ns: self.clock.wall_ns(),
            lag_seconds: progress.lag_seconds + unanswered,
            ready: self.status.is_ready(),
            log: progress.log,
            outcomes: progress.outcomes,
            totals: progress.totals,
            role: self.status.role().unwrap_or("away"),
            life: self.status.life().name(),
            unsafe_settings: progress.unsafe_settings.len(),
            moved_at_ns: progress.moved_at_ns,
            clock_skew_ns: self.ahead_ns.load(Relaxed),
            at_ms: self.clock.wall_ns() / 1_000_000,
        });
    }
}

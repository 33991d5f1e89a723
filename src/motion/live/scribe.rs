//! The scribe: takes snapshots, and trims the log behind them.
//!
//! A standby takes them where there is one, else the leader does. Either has its fold give the state of one moment, which takes
//! some time by how large it is but copies no table, and writes that beside it: decisions do not wait for a snapshot.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;

use super::context::Shard;
use super::fold::freeze;
use super::input::Input;
pub use super::options::SnapshotOptions;
use crate::edges::Edges;
use crate::edges::streams::{AppendError, ReadError, StreamState, Streams as _};
use crate::motion::past::recovery::ask;
use crate::motion::rules::kept::Kept;
use crate::motion::store::snapshots::Snapshots;

/// How often it looks whether a snapshot is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The longest pause after snapshots that failed one after the other: each costs the writing of the whole state.
const PAUSE_MAX: Duration = Duration::from_secs(32);
/// How many looks are remembered.
const LOOKS_MAX: usize = 1_024;
/// How long what a snapshot holds may take to be announced before the snapshot is given up.
const ANNOUNCED_WITHIN: Duration = Duration::from_mins(1);
/// How many snapshots must be kept at least: the two newest, and the one that the log was trimmed behind last. Where the broker
/// loses outcomes while the newest is pointed to, it is the only one that can be gone on from.
const KEEP_LEAST: usize = 3;

/// Counts the records that a snapshot would save a restart.
#[derive(Debug, Default)]
pub(super) struct Distance {
    /// How many records had been applied when the fold had got to a sequence; ascending.
    seen: VecDeque<(u64, u64)>,
    /// The newest snapshot known.
    newest: u64,
}

impl Distance {
    /// Takes note of how far the fold is, and gives how many records it is past the newest snapshot.
    fn note(&mut self, sequence: u64, records: u64) -> u64 {
        // A shard that stands still tells nothing new.
        if self.seen.back().is_none_or(|(last, _)| *last != sequence) {
            self.seen.push_back((sequence, records));
        }
        if self.seen.len() > LOOKS_MAX {
            // Half of them tell nearly as well: what is counted too much is two looks' worth then.
            let mut keep = false;
            self.seen.retain(|_| {
                keep = !keep;
                keep
            });
        }
        // The last one at or before the snapshot stays: what it counts too much is a look's worth.
        while self.seen.get(1).is_some_and(|(next, _)| *next <= self.newest) {
            self.seen.pop_front();
        }
        records - self.seen.front().map_or(records, |(_, before)| *before)
    }
}

impl<E: Edges> Shard<E> {
    /// Takes snapshots whenever they are due and this worker's to take, for ever.
    pub(super) async fn scribe(&self, restored: u64, fold: mpsc::WeakSender<Input>) {
        let snapshots = Snapshots::new(&self.status.shard, &self.edges);
        let mut distance = Distance { newest: restored, ..Distance::default() };
        distance.note(restored, 0);
        self.telemetry.snapshot_known(restored);
        let (mut attempts, mut pause) = (0, LOOK_INTERVAL);
        loop {
            tokio::time::sleep(pause).await;
            let progress = self.status.progress();
            let records = distance.note(progress.applied.sequence, progress.records);
            // The log does not go on from it any more: somebody has purged it. Only here is still the state.
            let torn = progress.log.first_sequence > distance.newest + 1;
            if !(torn || self.is_due(records, distance.newest, progress.log)) || !self.assigned.get().scribe {
                continue;
            }
            // Another may have taken one.
            match snapshots.kept().await {
                Ok(kept) => {
                    let newest = kept.first().map_or(0, |kept| kept.sequence);
                    if newest > distance.newest {
                        distance.newest = newest;
                        self.telemetry.snapshot_known(newest);
                        pause = LOOK_INTERVAL;
                        continue;
                    }
                }
                Err(error) => {
                    tracing::warn!(shard = self.status.shard, %error, "the snapshots cannot be listed; trying on");
                    continue;
                }
            }
            attempts += 1;
            let taken = self.take(&snapshots, &fold, attempts, torn).await;
            pause = if taken.is_ok() { LOOK_INTERVAL } else { (2 * pause).min(PAUSE_MAX) };
            match taken {
                Ok(Some(kept)) => {
                    distance.newest = kept.sequence;
                    self.telemetry.snapshot_taken(kept.sequence, kept.bytes, self.clock.wall_ns());
                    tracing::info!(
                        shard = self.status.shard,
                        snapshot = kept.name,
                        bytes = kept.bytes,
                        state = kept.state,
                        "a snapshot was taken and read back"
                    );
                }
                Ok(None) => {}
                Err(error) => {
                    self.telemetry.snapshot_failed();
                    tracing::warn!(
                        shard = self.status.shard,
                        %error,
                        "no snapshot could be taken; trying on. Until then restarts take longer and the log is not trimmed"
                    );
                }
            }
        }
    }

    /// A snapshot is due after its many records; sooner where the log is half full, which only trimming helps, and for any record
    /// where it is nearly full. Where nothing came since the newest one (a full log takes nothing), a second one of the same state lets
    /// the log be trimmed behind both.
    fn is_due(&self, records: u64, newest: u64, log: StreamState) -> bool {
        let every = self.options.snapshots.every_records;
        let half_full = log.bytes_max > 0 && log.bytes > log.bytes_max / 2;
        let nothing_came = records == 0 && log.first_sequence <= newest;
        // Messages may be so large that it fills up before that.
        let nearly_full = log.bytes_max > 0 && log.bytes > log.bytes_max / 4 * 3;
        records >= every
            || half_full && (records >= (every / 16).max(1) || nothing_came)
            || nearly_full && records > 0
    }

    /// Takes a snapshot, points to it, trims behind the one before; none where there was nothing to take.
    async fn take(
        &self,
        snapshots: &Snapshots<E>,
        fold: &mpsc::WeakSender<Input>,
        attempt: u64,
        torn: bool,
    ) -> Result<Option<Kept>, AppendError> {
        if torn {
            tracing::error!(
                shard = self.status.shard,
                "the log was purged beyond the newest snapshot: taking one at once, as a restart would find no way on"
            );
        }
        let Some(fold) = fold.upgrade() else { return Ok(None) };
        let Some((frozen, through)) = freeze(fold).await else { return Ok(None) };
        let name = snapshots.name(frozen.head().chain.sequence, &self.options.writer, attempt);
        let kept = snapshots.store_state(name, frozen, through, self.options.fold_on).await?;
        let Some(kept) = kept else { return Ok(None) };
        let announced = self.status.wait_for(|progress| progress.announced.sequence >= kept.sequence);
        if tokio::time::timeout(ANNOUNCED_WITHIN, announced).await.is_err() {
            return Err(AppendError::Unavailable("what it holds is not announced yet".to_owned()));
        }
        // By the stream's own word, too: it may have lost some. Snapshots ahead of it must not drive out those that are not.
        if !self.is_announced(&kept).await? {
            return Err(AppendError::Unavailable("what it holds is announced no more".to_owned()));
        }
        let all = snapshots.point(&kept, self.options.snapshots.keep.max(KEEP_LEAST)).await?;
        if !all.contains(&kept) {
            // Another's is newer: this one came too late, and nothing points to it.
            return Ok(None);
        }
        if let [_, second, ..] = all.as_slice()
            && self.is_announced(second).await?
        {
            let through = self.dispensable(second.sequence).await?;
            if through > 0 {
                self.edges.streams.trim_log(through).await?;
            }
        }
        snapshots.prune(&all).await?;
        Ok(Some(kept))
    }

    /// The last message that nobody needs any more, of those through `last`: what is younger than reports want stays, unless the log
    /// is half full. 0 where there is none.
    async fn dispensable(&self, last: u64) -> Result<u64, AppendError> {
        let unread = |error: ReadError| AppendError::Unavailable(error.to_string());
        let keep_for = self.options.snapshots.keep_log_for;
        if keep_for.is_zero() {
            return Ok(last);
        }
        let log = self.edges.streams.log_state().await.map_err(unread)?;
        if log.bytes_max > 0 && log.bytes > log.bytes_max / 2 {
            return Ok(last);
        }
        let keep_ns = i64::try_from(keep_for.as_nanos()).unwrap_or(i64::MAX);
        let since_ns = self.clock.wall_ns().saturating_sub(keep_ns);
        // The first message that is kept: stamps ascend, as good as always.
        let (mut low, mut high) = (log.first_sequence, last + 1);
        while low < high {
            let middle = low.midpoint(high);
            let message = self.edges.streams.log_message(middle).await.map_err(unread)?;
            if message.is_some_and(|message| message.stored_at_ns >= since_ns) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(if low > log.first_sequence { low - 1 } else { 0 })
    }

    /// Whether the outcome stream holds all that a snapshot does.
    async fn is_announced(&self, kept: &Kept) -> Result<bool, AppendError> {
        let asked = ask(&self.edges.streams).await;
        let (position, _) = asked.map_err(|error| AppendError::Unavailable(error.to_string()))?;
        Ok(kept.through().is_some_and(|through| through <= position.through))
    }
}

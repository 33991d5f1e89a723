//! How a worker runs its shards.

use std::time::Duration;

use super::ports::Room;
use crate::folds::analytics::Settings;
use crate::motion::past::audit::AuditOptions;
use crate::motion::rules::kept::FoldOn;
use crate::words::codec::Format;

/// How a worker runs its shards.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// This worker's name, for the headers of its appends.
    pub writer: String,
    /// How outcomes are written.
    pub format: Format,
    /// When snapshots are taken.
    pub snapshots: SnapshotOptions,
    /// When standbys audit.
    pub audits: AuditOptions,
    /// Where the folds run.
    pub fold_on: FoldOn,
    /// How analytics watch; none where nobody does.
    pub analytics: Option<AnalyticsOptions>,
}

/// How analytics watch a shard.
#[derive(Clone, Debug)]
pub struct AnalyticsOptions {
    /// What may be chosen of the measurements.
    pub settings: Settings,
    /// How much may wait to be measured; what comes beyond is skipped.
    pub room: Room,
    /// How often the state is saved at least, where anything was measured; it is after a snapshot, too, where saving
    /// held up little.
    pub save_every: Duration,
}

impl Default for AnalyticsOptions {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            room: Room { bytes: 64 << 20, ..Room::of(8_192).unhurried() },
            save_every: Duration::from_mins(15),
        }
    }
}

impl ShardOptions {
    /// Whatever else is usual, for a worker of this name.
    #[must_use]
    pub fn new(writer: &str, format: Format) -> Self {
        Self {
            writer: writer.to_owned(),
            format,
            snapshots: SnapshotOptions::default(),
            audits: AuditOptions::default(),
            fold_on: FoldOn::default(),
            analytics: None,
        }
    }
}

/// When snapshots are taken, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// A snapshot is due after so many records: what a restart has to fold is at most about as much.
    pub every_records: u64,
    /// How many are kept, 3 and more; the log is trimmed behind the second-newest.
    pub keep: usize,
    /// How long the log is kept beyond that, for reports; not where it is half full.
    pub keep_log_for: Duration,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self { every_records: 5_000_000, keep: 3, keep_log_for: Duration::ZERO }
    }
}

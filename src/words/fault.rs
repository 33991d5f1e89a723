//! Faults: what halts a shard. A fault is never skipped over and never guessed away; each says what to do.

use super::identity::Identity;

/// Why a shard stands still. The other shards of the worker go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Records are missing from the log.
    #[error(
        "gap: the log continues at sequence {found} where {expected} was due. Restore the stream from a \
         backup, then restart the worker"
    )]
    Gap {
        /// The sequence that was due.
        expected: u64,
        /// The sequence that came.
        found: u64,
    },
    /// The log ends before what was already applied.
    #[error(
        "log behind: the log ends at sequence {last}, but {applied} was already applied: the broker lost what it \
         had acknowledged. Restore the stream from a backup, or begin a new epoch with `weir epoch`; then restart the \
         worker"
    )]
    LogBehind {
        /// The last sequence of the log.
        last: u64,
        /// The last sequence applied.
        applied: u64,
    },
    /// The log holds another message where one was already applied.
    #[error(
        "log rewritten: the message at sequence {sequence} is not the one that was applied: the log was rolled \
         back and refilled. Restore the stream from a backup, or begin a new epoch with `weir epoch`; then restart \
         the worker"
    )]
    LogRewritten {
        /// Where it differs.
        sequence: u64,
    },
    /// This worker's outcomes differ from those that were announced.
    #[error(
        "digest mismatch: at {at} the announced outcomes differ from this worker's (chain {announced} against {own}). \
         Run the binary that announced them, and audit; where the log was rolled back and refilled, restore it from a \
         backup, or begin a new epoch with `weir epoch`"
    )]
    DigestMismatch {
        /// The identity up to which they were announced.
        at: Identity,
        /// The chain announced.
        announced: String,
        /// The chain of this worker.
        own: String,
    },
    /// More was announced than the log holds.
    #[error(
        "outcomes ahead: outcomes were announced through {through}, but the log ends at sequence {last}: the broker \
         lost part of the log. Restore the stream from a backup, or begin a new epoch with `weir epoch`; then restart \
         the worker"
    )]
    OutcomesAhead {
        /// The last identity announced.
        through: Identity,
        /// The last sequence of the log.
        last: u64,
    },
    /// A record's timestamp lies too far ahead of both the worker's clock and the broker's own.
    #[error(
        "clock: the record at sequence {sequence} is stamped {ahead_ms} ms ahead of this worker's clock and the \
         broker's own. The shard goes on by itself once the time has come; see that the broker's clock stays right"
    )]
    Clock {
        /// Which record.
        sequence: u64,
        /// How far ahead, in milliseconds.
        ahead_ms: i64,
    },
    /// The policy asks for rules that this binary does not know.
    #[error(
        "unknown rules: the policy at sequence {sequence} asks for rules version {rules}, this binary knows up to \
         {newest}. Run a newer binary"
    )]
    UnknownRules {
        /// Which record.
        sequence: u64,
        /// The version asked for.
        rules: u32,
        /// The newest version known.
        newest: u32,
    },
    /// A defect in this program.
    #[error(
        "panic at sequence {sequence}: {message}. This is a defect in Weir: nothing was skipped, the shard waits for \
         a mended binary"
    )]
    Panic {
        /// The message that was being applied.
        sequence: u64,
        /// What the panic said.
        message: String,
    },
}

impl Fault {
    /// Every fault's name.
    pub const NAMES: [&str; 8] = [
        "gap",
        "log_behind",
        "log_rewritten",
        "digest_mismatch",
        "outcomes_ahead",
        "clock",
        "unknown_rules",
        "panic",
    ];

    /// The fault's name, as it stands in metrics and in the operators' docs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "gap",
            Self::LogBehind { .. } => "log_behind",
            Self::LogRewritten { .. } => "log_rewritten",
            Self::DigestMismatch { .. } => "digest_mismatch",
            Self::OutcomesAhead { .. } => "outcomes_ahead",
            Self::Clock { .. } => "clock",
            Self::UnknownRules { .. } => "unknown_rules",
            Self::Panic { .. } => "panic",
        }
    }
}

//! What an audit finds: how much it compared, and where what was announced is not what the log gives.

use crate::folds::inventory::{Broken, Digests};
use crate::words::append::Chain;
use crate::words::identity::Identity;

/// What an audit has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The snapshot that it began with; none where it folded from the log's start.
    pub start: Option<String>,
    /// Snapshots that it might have begun with and that could not be restored, and why.
    pub passed_over: Vec<String>,
    /// The chain that it began with: the first message folded is the next one.
    pub from: Chain,
    /// The chain at the log's end, as it was when the audit began.
    pub to: Chain,
    /// How many messages were folded.
    pub messages: u64,
    /// How many records they had.
    pub records: u64,
    /// How many appends were compared.
    pub appends: u64,
    /// How many more go back to what was announced before; readers drop them.
    pub repeats: u64,
    /// How many announced outcomes were compared.
    pub outcomes: u64,
    /// What lies behind this was compared: the outcome stream drops its oldest, and a snapshot holds no outcomes.
    pub compared_from: Identity,
    /// The published position, as it was when the audit began.
    pub through: Identity,
    /// How many outcomes of the fold lie behind that: a worker has yet to announce them.
    pub unannounced: u64,
    /// The digests at the log's end.
    pub digests: Option<Digests>,
    /// The snapshots whose pointers were compared with the fold.
    pub snapshots: Vec<String>,
    /// How many disagreements there are.
    pub disagreements: u64,
    /// The first of them.
    pub first: Option<Disagreement>,
}

impl Findings {
    /// Whether all that was compared is what the log gives.
    #[must_use]
    pub const fn agrees(&self) -> bool {
        self.disagreements == 0
    }

    pub(in crate::motion) fn found(&mut self, disagreement: impl FnOnce() -> Disagreement) {
        self.disagreements += 1;
        if self.first.is_none() {
            self.first = Some(disagreement());
        }
    }
}

/// One place where what is stored is not what the log gives. `append` is a sequence of the outcome stream; outcomes stand as JSON,
/// cut where they are long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// Another outcome was announced.
    #[error("append {append}: outcome {at} was announced as {announced}, the log gives {own}")]
    Outcome {
        /// Which append.
        append: u64,
        /// Which outcome.
        at: Identity,
        /// What was announced.
        announced: String,
        /// What the fold gives.
        own: String,
    },
    /// An outcome was announced that the log does not give.
    #[error("append {append}: outcome {at} was announced as {announced}, the log gives none")]
    Unfounded {
        /// Which append.
        append: u64,
        /// Which outcome.
        at: Identity,
        /// What was announced.
        announced: String,
    },
    /// An outcome was left out.
    #[error("append {append}: outcome {at} was not announced, the log gives {own}")]
    Missing {
        /// The append that should have it, or before which one with it is missing.
        append: u64,
        /// Which outcome.
        at: Identity,
        /// What the fold gives.
        own: String,
    },
    /// An outcome is not between its append's `from` and `through`, or not in order.
    #[error(
        "append {append}: outcome {at} does not belong between {from} and {through}, or not where it stands"
    )]
    Misplaced {
        /// Which append.
        append: u64,
        /// Which outcome.
        at: Identity,
        /// The append's `from`.
        from: Identity,
        /// The append's `through`.
        through: Identity,
    },
    /// An append does not go on where the one before ends.
    #[error("append {append} goes on from {from}, where {due} was due")]
    Gap {
        /// Which append.
        append: u64,
        /// Its `from`.
        from: Identity,
        /// The `through` of the one before.
        due: Identity,
    },
    /// An append repeats what was announced, and says something else. Readers drop it.
    #[error("append {append} goes back to {from} and announces outcome {at} again, now as {announced}")]
    Repeat {
        /// Which append.
        append: u64,
        /// Its `from`.
        from: Identity,
        /// Which outcome.
        at: Identity,
        /// What was announced the second time.
        announced: String,
    },
    /// An append repeats what was announced, and goes on behind it. Readers drop all of it.
    #[error(
        "append {append} goes back to {from} and on through {through}: readers drop it, and what it says behind {due}"
    )]
    Overlap {
        /// Which append.
        append: u64,
        /// Its `from`.
        from: Identity,
        /// Its `through`.
        through: Identity,
        /// The `through` of the one before.
        due: Identity,
    },
    /// An append repeats what lies too far back to be compared.
    #[error("append {append} goes back to {from}, where {due} was due: further than can be compared")]
    Back {
        /// Which append.
        append: u64,
        /// Its `from`.
        from: Identity,
        /// The `through` of the one before.
        due: Identity,
    },
    /// An append cannot be read. Nothing behind it is compared.
    #[error("append {append} cannot be read: {what}")]
    Unreadable {
        /// Which append.
        append: u64,
        /// Why.
        what: String,
    },
    /// An append is ahead of the log.
    #[error("append {append} announces outcomes through {through}, but the log ends at sequence {last}")]
    Ahead {
        /// Which append.
        append: u64,
        /// Its `through`.
        through: Identity,
        /// The log's last sequence.
        last: u64,
    },
    /// An append's chain is not the fold's.
    #[error("append {append} says chain {announced}, the log gives {own}")]
    Chain {
        /// Which append.
        append: u64,
        /// Its chain.
        announced: Chain,
        /// The fold's chain at that sequence.
        own: Chain,
    },
    /// An append's chain covers what it does not: messages that are not wholly announced, none that the log holds, or fewer than
    /// an append before.
    #[error("append {append} says chain {announced}, which cannot be: it ends with outcome {through}, {why}")]
    Covers {
        /// Which append.
        append: u64,
        /// Its chain.
        announced: Chain,
        /// Its `through`.
        through: Identity,
        /// What speaks against it.
        why: String,
    },
    /// The pointer to a snapshot says something else of it than the fold at its sequence.
    #[error("snapshot {name}: its pointer says {what} {said}, the log gives {own}")]
    Snapshot {
        /// The snapshot's name.
        name: String,
        /// What of it.
        what: &'static str,
        /// What the pointer says.
        said: String,
        /// What the fold gives.
        own: String,
    },
    /// The books do not hold at the log's end: a defect in Weir.
    #[error("the books do not hold: {0}")]
    Books(Broken),
}

//! A message of the log, as the broker stored it.

use bytes::Bytes;

use super::codec::Format;
use super::codes::Family;
use super::command::CommandKind;
use super::hash::Hasher;
use super::timestamp::Timestamp;

/// By which of a shard's subjects a message came: what its sender may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// The shard's own: commands of any family.
    #[default]
    Any,
    /// A family's: its own commands only.
    Family(Family),
    /// One that is none of a shard's: no command at all.
    Other,
}

impl Way {
    /// The way that a subject's token behind the shard's name stands for; none is the shard's own subject.
    #[must_use]
    pub fn of_token(token: Option<&str>) -> Self {
        match token {
            None => Self::Any,
            Some(token) => Family::ALL
                .into_iter()
                .find(|family| family.name() == token)
                .map_or(Self::Other, Self::Family),
        }
    }

    /// Whether a command may come this way. What only a leader sends comes by the shard's own subject.
    #[must_use]
    pub fn takes(self, kind: CommandKind) -> bool {
        match self {
            Self::Any => true,
            Self::Family(family) => kind.family() == Some(family),
            Self::Other => false,
        }
    }

    /// As one number, for hashes.
    const fn number(self) -> u64 {
        match self {
            Self::Any => 0,
            Self::Family(family) => 1 + family as u64,
            Self::Other => u64::MAX,
        }
    }
}

/// A message of the log: one command or many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMessage {
    /// Its sequence in the stream, from 1, without gaps.
    pub sequence: u64,
    /// When the broker stored it, in nanoseconds since 1970.
    pub stored_at_ns: i64,
    /// By which of the shard's subjects it came.
    pub way: Way,
    /// What its `Content-Type` says; none where that is not known to Weir.
    pub format: Option<Format>,
    /// The commands.
    pub payload: Bytes,
}

impl LogMessage {
    /// When the broker stored it, in whole milliseconds.
    #[must_use]
    pub const fn stored_at(&self) -> Timestamp {
        Timestamp::from_millis(self.stored_at_ns.div_euclid(1_000_000))
    }

    /// XXH3-64 over its sequence, timestamp, subject, format and payload, all that the fold goes by: whoever applied it knows it
    /// again by this.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hasher = Hasher::new();
        let format = self.format.map_or(u64::MAX, |format| format as u64);
        hasher.number(self.sequence).signed(self.stored_at_ns).number(self.way.number()).number(format);
        hasher.bytes(&self.payload);
        hasher.finish()
    }
}

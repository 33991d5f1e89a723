//! Who an outcome is: which record caused it, and its place among that record's outcomes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An outcome's identity: the log message's sequence, the record's index in the message, and the outcome's
/// place among the record's outcomes. Identities of one shard ascend in the order of its outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Identity {
    /// The sequence of the log message, from 1.
    pub sequence: u64,
    /// The record's index in its message, from 0.
    pub index: u32,
    /// The place among the record's outcomes, from 0.
    pub place: u32,
}

impl Identity {
    /// Before every outcome: the published position of a shard that has announced nothing.
    pub const START: Self = Self { sequence: 0, index: 0, place: 0 };
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.sequence, self.index, self.place)
    }
}

/// A text that is no identity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an identity of the form sequence.index.place")]
pub struct NotAnIdentity;

impl FromStr for Identity {
    type Err = NotAnIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(NotAnIdentity);
        let (sequence, index, place) = (next()?, next()?, next()?);
        let identity = Self {
            sequence: sequence.parse().map_err(|_| NotAnIdentity)?,
            index: index.parse().map_err(|_| NotAnIdentity)?,
            place: place.parse().map_err(|_| NotAnIdentity)?,
        };
        if parts.next().is_some() { Err(NotAnIdentity) } else { Ok(identity) }
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string()
    }
}

impl TryFrom<String> for Identity {
    type Error = NotAnIdentity;

    fn try_from(text: String) -> Result<Self, NotAnIdentity> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let identity = Identity { sequence: 42, index: 7, place: 256 };
        assert_eq!(identity.to_string(), "42.7.256");
        assert_eq!("42.7.256".parse(), Ok(identity));
        for bad in ["", "1", "1.2", "1.2.3.4", "a.b.c", "-1.0.0"] {
            assert_eq!(bad.parse::<Identity>(), Err(NotAnIdentity), "{bad}");
        }
    }
}

//! Replies: what whoever asks at a door hears, one for each command.
//!
//! Most are the outcome, as the shard decided it. The others are the door's own, and say whether the command is stored: whoever
//! hears one that is no decision sends the same command again, under the same id.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use super::codec::BINCODE;
use super::codes::codes;
use super::command::CommandKind;
use super::outcome::{Outcome, Subject, Unreadable};
use super::text::Text;

/// What one command is answered with. Tags are append-only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(untagged)]
pub enum Reply<'a> {
    /// The shard has decided it: the outcome, as it is announced.
    Decided(#[serde(borrow)] Outcome<'a>),
    /// The door's own answer.
    Door(DoorReply<'a>),
}

/// What a door answers by itself. In JSON it stands beside outcomes, and is known by its `outcome`, and, where that is `refused`, by
/// having no `sequence`. Tags are append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum DoorReply<'a> {
    /// It was not stored, and would not be if it came again.
    Refused {
        /// Which command, where it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<CommandKind>,
        /// Whose, where it has a good id.
        #[serde(flatten)]
        subject: Option<Subject<'a>>,
        /// Why, as a stable code.
        reason: DoorReason,
        /// What the code leaves open, for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Text<'a>>,
    },
    /// It is stored, and will be decided; the outcome was not known in time.
    Accepted {
        /// The sequence of its message in the log.
        sequence: u64,
        /// Its index in that message.
        index: u32,
        /// What else there is to say, for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Text<'a>>,
    },
    /// The log did not acknowledge it: it may be stored, or not.
    Unknown {
        /// What else there is to say, for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Text<'a>>,
    },
    /// It was not stored: there is too much to do.
    Busy {
        /// When to try again, in milliseconds.
        retry_after_ms: u32,
        /// What there is too much of, for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Text<'a>>,
    },
    /// It was not stored: the log cannot be reached, nobody decides for the shard, or the door is closing.
    Unavailable {
        /// When to try again, in milliseconds.
        retry_after_ms: u32,
        /// What is missing, for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Text<'a>>,
    },
}

codes! {
    /// What kind of reply a command got.
    #[derive(Hash)]
    ReplyKind {
        /// The shard has decided.
        Decided = "decided",
        /// The door refused it.
        Refused = "refused",
        /// Stored and undecided.
        Accepted = "accepted",
        /// Not known whether stored.
        Unknown = "unknown",
        /// Not stored: too much to do.
        Busy = "busy",
        /// Not stored: something is missing.
        Unavailable = "unavailable",
    }
}

codes! {
    /// Why a door refuses a command for good: stable codes.
    DoorReason {
        /// It is of another family than the subject that it came by.
        WrongFamily = "wrong_family",
        /// No shard holds its site.
        UnknownSite = "unknown_site",
        /// It names no site, there are several shards, and it is not said for which one it is.
        NoShard = "no_shard",
        /// A policy for rules that this version does not know: it would halt the shard.
        UnknownRules = "unknown_rules",
        /// The headers cannot be read, or are too long.
        UnreadableHeaders = "unreadable_headers",
        /// One element is no command.
        NotACommand = "not_a_command",
        /// The `Content-Type` is not one that Weir knows.
        UnknownContentType = "unknown_content_type",
        /// The payload cannot be cut into elements.
        MalformedPayload = "malformed_payload",
        /// There is no element.
        EmptyPayload = "empty_payload",
        /// There are more elements than a request may hold.
        TooManyCommands = "too_many_commands",
        /// The payload, or one command, is longer than a message may be.
        PayloadTooLarge = "payload_too_large",
    }
}

impl From<Unreadable> for DoorReason {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::NotACommand => Self::NotACommand,
            Unreadable::UnknownContentType => Self::UnknownContentType,
            Unreadable::MalformedPayload => Self::MalformedPayload,
            Unreadable::EmptyPayload => Self::EmptyPayload,
            Unreadable::TooManyCommands => Self::TooManyCommands,
            Unreadable::PayloadTooLarge => Self::PayloadTooLarge,
        }
    }
}

impl DoorReply<'_> {
    /// What kind of reply it is.
    #[must_use]
    pub const fn kind(&self) -> ReplyKind {
        match self {
            Self::Refused { .. } => ReplyKind::Refused,
            Self::Accepted { .. } => ReplyKind::Accepted,
            Self::Unknown { .. } => ReplyKind::Unknown,
            Self::Busy { .. } => ReplyKind::Busy,
            Self::Unavailable { .. } => ReplyKind::Unavailable,
        }
    }

    /// When to try again, in milliseconds, where it says so.
    #[must_use]
    pub const fn retry_after_ms(&self) -> Option<u32> {
        match self {
            Self::Busy { retry_after_ms, .. } | Self::Unavailable { retry_after_ms, .. } => {
                Some(*retry_after_ms)
            }
            _ => None,
        }
    }
}

impl Reply<'_> {
    /// What kind of reply it is.
    #[must_use]
    pub const fn kind(&self) -> ReplyKind {
        match self {
            Self::Decided(_) => ReplyKind::Decided,
            Self::Door(reply) => reply.kind(),
        }
    }
}

/// The header of a reply that is a frame: [`BINCODE`]. A reply in JSON has none.
pub const FRAME_CONTENT_TYPE: &str = BINCODE;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::codec::{decode_reply, encode_reply};

    #[test]
    fn door_replies_by_example() {
        let cases = [
            (
                DoorReply::Refused {
                    command: Some(CommandKind::Receive),
                    subject: Some(Subject::ReceiptId("R-1".into())),
                    reason: DoorReason::WrongFamily,
                    detail: None,
                },
                r#"{"outcome":"refused","command":"receive","receipt_id":"R-1","reason":"wrong_family"}"#,
            ),
            (
                DoorReply::Accepted { sequence: 7, index: 2, detail: None },
                r#"{"outcome":"accepted","sequence":7,"index":2}"#,
            ),
            (DoorReply::Unknown { detail: None }, r#"{"outcome":"unknown"}"#),
            (
                DoorReply::Busy { retry_after_ms: 50, detail: Some("why".into()) },
                r#"{"outcome":"busy","retry_after_ms":50,"detail":"why"}"#,
            ),
            (
                DoorReply::Unavailable { retry_after_ms: 500, detail: None },
                r#"{"outcome":"unavailable","retry_after_ms":500}"#,
            ),
        ];
        for (reply, json) in cases {
            let reply = Reply::Door(reply);
            assert_eq!(serde_json::to_string(&reply).unwrap(), json);
            assert_eq!(serde_json::from_str::<Reply<'_>>(json).unwrap(), reply);
            assert_eq!(decode_reply(&encode_reply(&reply)).unwrap(), reply);
        }
    }

    #[test]
    fn an_outcome_is_a_reply() {
        let json = r#"{"outcome":"refused","command":"place","order_id":"O-1","reason":"insufficient_stock","sequence":44,"index":0,"at":"2026-11-22T03:00:00.123Z"}"#;
        let reply: Reply<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(reply.kind(), ReplyKind::Decided);
        assert_eq!(serde_json::to_string(&reply).unwrap(), json);
        assert_eq!(decode_reply(&encode_reply(&reply)).unwrap(), reply);
    }
}

//! Bytes to commands and outcomes, and back.
//!
//! A payload holds one command or many, as JSON (one object, or an array of them) or as a frame of
//! commands in bincode's format. Decoding is total: whatever cannot be read becomes an [`Undecodable`] at its
//! index, and the commands around it are read all the same wherever the payload still says where they are.

mod frame;
mod json;
#[cfg(test)]
mod samples;
mod told;

use super::command::{Command, CommandKind, Line, Money, Place};
use super::outcome::{Outcome, Unreadable};
use super::text::Id;
use super::timestamp::Timestamp;

pub use frame::{Confirmations, FRAME_VERSION, FrameWriter, decode_outcome, encode_command, encode_outcome};
pub(crate) use frame::{read_varint, write_varint, zigzag};
pub use json::{JsonOutcomes, write_outcome as write_json_outcome};
pub use told::{
    DecidedReplies, Told, decode_reply, encode_reply, replies, reply_elements, told, write_door_reply,
    write_replies,
};

/// The `Content-Type` of bincode frames, version 1.
pub const BINCODE: &str = "application/vnd.weir.v1+bincode";
/// The `Content-Type` of JSON; also what a message without the header is taken for.
pub const JSON: &str = "application/json";

/// How a payload is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// [`JSON`].
    #[default]
    Json,
    /// [`BINCODE`].
    Bincode,
}

impl Format {
    /// The `Content-Type` of this format.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Bincode => BINCODE,
        }
    }

    /// The format that a `Content-Type` names, without its parameters; none where Weir does not know it.
    #[must_use]
    pub fn of_content_type(value: &str) -> Option<Self> {
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(JSON) {
            Some(Self::Json)
        } else if essence.eq_ignore_ascii_case(BINCODE) {
            Some(Self::Bincode)
        } else {
            None
        }
    }
}

/// The longest payload that is read, in bytes: what one message may cost is bounded by it.
pub const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// Bytes that are no command: what is wrong with them, and which bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable<'a> {
    /// What is wrong, as a stable code: the same for every binary.
    pub code: Unreadable,
    /// What is wrong, for a person; bounded in length. Another binary may say it otherwise.
    pub reason: String,
    /// The bytes in question.
    pub bytes: &'a [u8],
}

/// The longest reason of an [`Undecodable`] in bytes: error texts may quote what they were given.
const REASON_BYTES_MAX: usize = 200;

impl<'a> Undecodable<'a> {
    fn new(code: Unreadable, reason: impl std::fmt::Display, bytes: &'a [u8]) -> Self {
        let mut reason = reason.to_string();
        if reason.len() > REASON_BYTES_MAX {
            let mut end = REASON_BYTES_MAX;
            while !reason.is_char_boundary(end) {
                end -= 1;
            }
            reason.truncate(end);
            reason.push('…');
        }
        Self { code, reason, bytes }
    }

    /// One element that is no command.
    fn element(reason: impl std::fmt::Display, bytes: &'a [u8]) -> Self {
        Self::new(Unreadable::NotACommand, reason, bytes)
    }
}

/// What stands at one index of a payload.
pub type Decoded<'a> = Result<Command<'a>, Undecodable<'a>>;

/// A `place` as most of them are: for the default site, all or nothing, one line or two, each with a quantity that any policy
/// could allow, without a hold or a wait of its own; what nobody decides by has been checked already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<'a> {
    /// The order's id.
    pub order_id: Id<'a>,
    /// The first SKU, and how many: from 1 to [`QUANTITY_LIMIT_MAX`](super::policy::QUANTITY_LIMIT_MAX).
    pub first: (Id<'a>, u32),
    /// The second one, if there is one; it may be the first SKU again.
    pub second: Option<(Id<'a>, u32)>,
    /// When it was submitted; a valid time.
    pub submitted_at: Option<Timestamp>,
    /// What it is worth: minor units from 0 to 2^53 - 1, and three capital letters.
    pub value: Option<(i64, [u8; 3])>,
}

impl<'a> Plain<'a> {
    /// Some order, to be overwritten by one that is read.
    pub const ANY: Plain<'static> =
        Plain { order_id: Id::ANY, first: (Id::ANY, 1), second: None, submitted_at: None, value: None };

    /// Its lines: SKUs, and how many of each.
    pub fn lines(&self) -> impl Iterator<Item = (Id<'a>, u32)> + use<'a> {
        std::iter::once(self.first).chain(self.second)
    }

    /// The command that it is, without what nobody decides by.
    #[must_use]
    pub fn command(&self) -> Command<'a> {
        let line =
            |(sku, quantity): (Id<'a>, u32)| Line { sku: sku.text().into(), quantity: quantity.into() };
        let value = self.value.and_then(|(minor, currency)| {
            let currency = str::from_utf8(&currency).ok()?.to_owned();
            Some(Money { minor, currency: currency.into() })
        });
        Command::Place(Place {
            order_id: self.order_id.text().into(),
            lines: self.lines().map(line).map(Into::into).collect(),
            submitted_at: self.submitted_at,
            value,
            ..Place::default()
        })
    }
}

/// What the next element of a payload is.
#[derive(Debug)]
pub enum Next<'a> {
    /// A plain `place`, which was written where the reader said.
    Plain,
    /// Anything else.
    Other(Box<Decoded<'a>>),
    /// None: there is no more.
    End,
}

/// One element of a payload, read as far as its reader needs it.
#[derive(Clone, Debug)]
pub enum Element<'a> {
    /// A plain `place`.
    Plain(Plain<'a>),
    /// Anything else; apart, so that plain ones are short.
    Other(Box<Decoded<'a>>),
}

/// The commands of a payload, in order; at least one element. A command that is newer than `rules` is none.
///
/// `format` is none where the message's `Content-Type` is not one that Weir knows.
#[must_use]
pub fn commands(format: Option<Format>, payload: &[u8], rules: u32) -> Commands<'_> {
    let failed = |code, reason: &str| Inner::Failed(Some(Undecodable::new(code, reason, payload)));
    let inner = match format {
        _ if payload.len() > PAYLOAD_BYTES_MAX => failed(Unreadable::PayloadTooLarge, "longer than 4 MiB"),
        Some(Format::Json) => Inner::Json(json::Elements::new(payload)),
        Some(Format::Bincode) => Inner::Frame(frame::Elements::new(payload)),
        None => failed(Unreadable::UnknownContentType, "unknown Content-Type"),
    };
    Commands { inner, rules }
}

/// See [`commands`].
pub struct Commands<'a> {
    inner: Inner<'a>,
    rules: u32,
}

enum Inner<'a> {
    Json(json::Elements<'a>),
    Frame(frame::Elements<'a>),
    Failed(Option<Undecodable<'a>>),
}

impl<'a> Iterator for Commands<'a> {
    type Item = Decoded<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let element = match &mut self.inner {
            Inner::Json(elements) => elements.next()?,
            Inner::Frame(elements) => elements.next()?,
            Inner::Failed(failed) => Err(failed.take()?),
        };
        Some(element.and_then(|bytes| self.decode(bytes)))
    }
}

impl<'a> Commands<'a> {
    /// The next element. What is plain is read without more ado: the iterator gives the same as a command.
    pub fn next_element(&mut self) -> Option<Element<'a>> {
        let mut plain = Plain::ANY;
        match self.next_into(&mut plain) {
            Next::Plain => Some(Element::Plain(plain)),
            Next::Other(other) => Some(Element::Other(other)),
            Next::End => None,
        }
    }

    /// The same, with a plain one written to `plain`: who reads many of them need not move them. What is there after anything else is
    /// of no meaning.
    #[inline]
    pub fn next_into(&mut self, plain: &mut Plain<'a>) -> Next<'a> {
        let knows_plain = CommandKind::Place.rules() <= self.rules;
        let element = match &mut self.inner {
            Inner::Json(elements) => {
                if knows_plain && let Some(next) = elements.next_plain() {
                    *plain = *next;
                    return Next::Plain;
                }
                elements.next()
            }
            Inner::Frame(elements) => match elements.next_bytes() {
                Some(Ok((bytes, length))) => {
                    if knows_plain && frame::read_plain(bytes, length, plain) {
                        return Next::Plain;
                    }
                    Some(Ok(&bytes[..length]))
                }
                Some(Err(undecodable)) => Some(Err(undecodable)),
                None => None,
            },
            Inner::Failed(failed) => failed.take().map(Err),
        };
        self.other(element)
    }

    /// Takes the next element only if it is a plain `place` in a frame that says nothing but its lines and when it was submitted; what is in
    /// `plain` is of no meaning otherwise.
    #[inline]
    pub fn next_bare(&mut self, plain: &mut Plain<'a>) -> bool {
        let knows_plain = CommandKind::Place.rules() <= self.rules;
        match &mut self.inner {
            Inner::Frame(elements) if knows_plain => {
                elements.next_if(|bytes, length| frame::read_bare(bytes, length, plain))
            }
            _ => false,
        }
    }

    #[inline(never)]
    fn other(&self, element: Option<Result<&'a [u8], Undecodable<'a>>>) -> Next<'a> {
        let Some(element) = element else { return Next::End };
        Next::Other(Box::new(element.and_then(|bytes| self.decode(bytes))))
    }

    fn decode(&self, bytes: &'a [u8]) -> Decoded<'a> {
        let decoded = match &self.inner {
            Inner::Json(_) => json::decode(bytes),
            Inner::Frame(_) | Inner::Failed(_) => frame::decode(bytes),
        };
        self.known(decoded, bytes)
    }

    /// What is newer than the rules in force is unreadable, as it is for a binary that does not know it.
    fn known(&self, decoded: Decoded<'a>, bytes: &'a [u8]) -> Decoded<'a> {
        match decoded {
            Ok(command) if command.kind().rules() > self.rules => {
                Err(Undecodable::element("a command of newer rules", bytes))
            }
            decoded => decoded,
        }
    }

    /// Whether the payload says that it holds exactly one element: a frame does so by its count, whatever follows. To be asked before
    /// the first is taken.
    #[must_use]
    pub fn is_single(&self) -> bool {
        match &self.inner {
            Inner::Json(elements) => elements.is_single(),
            Inner::Frame(elements) => elements.is_single(),
            Inner::Failed(_) => true,
        }
    }
}

/// Why a payload of outcomes cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not a payload of outcomes: {0}")]
pub struct NotOutcomes(String);

impl NotOutcomes {
    /// For this reason.
    #[must_use]
    pub const fn new(reason: String) -> Self {
        Self(reason)
    }
}

/// The outcomes of an append.
pub fn outcomes(format: Format, payload: &[u8]) -> Result<Vec<Outcome<'_>>, NotOutcomes> {
    match format {
        Format::Json => serde_json::from_slice(payload).map_err(|error| NotOutcomes(error.to_string())),
        Format::Bincode => frame::Elements::new(payload)
            .map(|element| element.and_then(frame::decode_outcome))
            .collect::<Result<_, _>>()
            .map_err(|undecodable| NotOutcomes(undecodable.reason)),
    }
}

/// Writes commands as one payload.
///
/// # Panics
/// Never: the types hold nothing that cannot be written.
#[must_use]
pub fn encode_commands(format: Format, commands: &[Command<'_>]) -> Vec<u8> {
    match format {
        Format::Json => match commands {
            [one] => serde_json::to_vec(one),
            many => serde_json::to_vec(many),
        }
        .expect("commands have no map with keys other than strings"),
        Format::Bincode => {
            let mut frame = FrameWriter::new();
            for command in commands {
                frame.push_command(command);
            }
            frame.finish()
        }
    }
}

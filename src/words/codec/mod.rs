//! Bytes to commands and outcomes, and back.
//!
//! A payload holds one command or many, as JSON (one object, or an array of them) or as a frame of
//! commands in bincode's format. Decoding is total: whatever cannot be read becomes an [`Undecodable`] at its
//! index, and the commands around it are read all the same wherever the payload still says where they are.

mod frame;
mod json;
mod place;

use super::command::{Command, Tick};
use super::outcome::Outcome;

pub use frame::{FRAME_VERSION, FrameWriter, decode_outcome, encode_command, encode_outcome};
pub(crate) use frame::{read_varint, write_varint, zigzag};
pub use json::write_outcome as write_json_outcome;

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

/// Bytes that are no command: what is wrong with them, and which bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable<'a> {
    /// What is wrong, for a person; bounded in length.
    pub reason: String,
    /// The bytes in question.
    pub bytes: &'a [u8],
}

/// The longest reason of an [`Undecodable`] in bytes: error texts may quote what they were given.
const REASON_BYTES_MAX: usize = 200;

impl<'a> Undecodable<'a> {
    fn new(reason: impl std::fmt::Display, bytes: &'a [u8]) -> Self {
        let mut reason = reason.to_string();
        if reason.len() > REASON_BYTES_MAX {
            let mut end = REASON_BYTES_MAX;
            while !reason.is_char_boundary(end) {
                end -= 1;
            }
            reason.truncate(end);
            reason.push('…');
        }
        Self { reason, bytes }
    }
}

/// What stands at one index of a payload.
pub type Decoded<'a> = Result<Command<'a>, Undecodable<'a>>;

/// The commands of a payload, in order; at least one element.
///
/// `format` is none where the message's `Content-Type` is not one that Weir knows.
#[must_use]
pub fn commands(format: Option<Format>, payload: &[u8]) -> Commands<'_> {
    Commands(match format {
        Some(Format::Json) => Inner::Json(json::Elements::new(payload)),
        Some(Format::Bincode) => Inner::Frame(frame::Elements::new(payload)),
        None => Inner::Json(json::Elements::failed(Undecodable::new("unknown Content-Type", payload))),
    })
}

/// See [`commands`].
pub struct Commands<'a>(Inner<'a>);

enum Inner<'a> {
    Json(json::Elements<'a>),
    Frame(frame::Elements<'a>),
}

impl<'a> Iterator for Commands<'a> {
    type Item = Decoded<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut decoded = Ok(Command::Tick(Tick {}));
        self.read(&mut decoded).then_some(decoded)
    }
}

impl<'a> Commands<'a> {
    /// Reads the next command into `decoded`, using the memory of what was there before; false at the end.
    #[inline]
    pub fn read(&mut self, decoded: &mut Decoded<'a>) -> bool {
        match &mut self.0 {
            Inner::Json(elements) => elements.next().map(|next| *decoded = next).is_some(),
            Inner::Frame(elements) => match elements.next() {
                Some(Ok(element)) => {
                    frame::read_command(element, decoded);
                    true
                }
                Some(Err(undecodable)) => {
                    *decoded = Err(undecodable);
                    true
                }
                None => false,
            },
        }
    }

    /// Whether the payload says that it holds exactly one element: a frame does so by its count, whatever follows. To be asked before
    /// the first is taken.
    #[must_use]
    pub fn is_single(&self) -> bool {
        match &self.0 {
            Inner::Json(elements) => elements.is_single(),
            Inner::Frame(elements) => elements.is_single(),
        }
    }
}

/// Why a payload of outcomes cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not a payload of outcomes: {0}")]
pub struct NotOutcomes(String);

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

//! Headers: what stands in them, and how they are read back.
//!
//! A message of the log may come from anybody who may write to it, in any language, so its header may be
//! anything. Whatever cannot be read costs the message its format, never the reader its life.

use std::fmt::Write as _;
use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use crate::edges::streams::{Headers, ReadError, StoredMessage};
use crate::words::append::{Append, AppendHeader, DeadLetter, Headline, StoredAppend, StoredLetter};
use crate::words::codec::Format;
use crate::words::message::{LogMessage, Way};

/// How names of headers begin that are Weir's own.
const OURS: &str = "Weir-";
/// How a payload is written.
pub const CONTENT_TYPE: &str = "Content-Type";
/// An append's `from`.
pub const FROM: &str = "Weir-From";
/// An append's `through`.
pub const THROUGH: &str = "Weir-Through";
/// The rules version in force at an append's end.
pub const RULES: &str = "Weir-Rules";
/// Who wrote an append.
pub const WRITER: &str = "Weir-Writer";
/// The chain at the end of an append.
pub const CHAIN: &str = "Weir-Chain";
/// The shard that a dead letter comes from.
pub const SHARD: &str = "Weir-Shard";
/// The sequence of the log message that a dead letter came in.
pub const SEQUENCE: &str = "Weir-Sequence";
/// The dead letter's index in that message.
pub const INDEX: &str = "Weir-Index";
/// What is wrong with a dead letter.
pub const REASON: &str = "Weir-Reason";
/// How many bytes a dead letter had, where they did not all fit.
pub const BYTES: &str = "Weir-Bytes";

/// How many bytes a payload had that the server left out (NATS's own).
const LEFT_OUT: &str = "Nats-Msg-Size";

/// The content type of a copy of what had none that is known.
const UNKNOWN_CONTENT: &str = "application/octet-stream";

/// The longest text, in bytes, that goes into a header from elsewhere (a reason, a writer's name).
const TEXT_BYTES_MAX: usize = 512;

/// Room for the header of a dead letter: the texts, the names and the numbers.
pub(super) const DEAD_LETTER_HEADER_BYTES_MAX: usize = 1_024;

/// A message as it came, whichever way it came.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) sequence: u64,
    pub(super) stored_at_ns: i64,
    /// By which of a shard's subjects it came, if it is a message of a log.
    pub(super) way: Way,
    /// None where the header cannot be read.
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
}

impl Incoming {
    fn header(&self, name: &str) -> Option<&str> {
        let headers = self.headers.as_ref()?;
        if let Some(value) = headers.get(name) {
            return Some(value.as_str());
        }
        // NATS tells names apart by their case, people do not. Which of several counts must not be left to the order of a map.
        let named = headers.iter().filter(|(other, _)| {
            let other: &str = other.as_ref();
            other.eq_ignore_ascii_case(name)
        });
        let (_, values) = named.min_by(|(one, _), (other, _)| {
            let (one, other): (&str, &str) = (one.as_ref(), other.as_ref());
            one.cmp(other)
        })?;
        values.first().map(HeaderValue::as_str)
    }

    /// The format; none where it is not known.
    fn format(&self) -> Option<Format> {
        self.headers.as_ref()?;
        self.header(CONTENT_TYPE).map_or(Some(Format::Json), Format::of_content_type)
    }

    /// As a message of the log: always possible.
    #[expect(clippy::unnecessary_wraps, reason = "readers of both streams take one kind of function")]
    pub(super) fn into_log_message(self) -> Result<LogMessage, ReadError> {
        let format = self.format();
        let Self { sequence, stored_at_ns, way, payload, .. } = self;
        Ok(LogMessage { sequence, stored_at_ns, way, format, payload })
    }

    /// The same, with the headers that are Weir's.
    pub(super) fn into_stored(self) -> Result<StoredMessage, ReadError> {
        let ours = |name: &str| name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS));
        let headers = self.headers.iter().flat_map(|headers| headers.iter());
        let headers = headers.filter(|(name, _)| ours(name.as_ref())).flat_map(|(name, values)| {
            values.iter().map(move |value| (name.to_string(), value.as_str().to_owned()))
        });
        let headers = Headers::new(headers);
        Ok(StoredMessage { message: self.into_log_message()?, headers })
    }

    fn parsed<T: FromStr>(&self, name: &str) -> Option<T> {
        self.header(name)?.parse().ok()
    }

    /// As an append of outcomes: only Weir writes those.
    pub(super) fn into_append(self) -> Result<StoredAppend, ReadError> {
        let header = self.append_header()?;
        let format = self.format().ok_or_else(|| self.unreadable(CONTENT_TYPE))?;
        Ok(StoredAppend { sequence: self.sequence, append: Append { header, format, payload: self.payload } })
    }

    /// As the headline of an append, whose payload the server may have left out.
    pub(super) fn into_headline(self) -> Result<Headline, ReadError> {
        let header = self.append_header()?;
        let payload_bytes = self.parsed(LEFT_OUT).unwrap_or(self.payload.len());
        let Self { sequence, stored_at_ns, .. } = self;
        Ok(Headline { sequence, header, payload_bytes, stored_at_ns })
    }

    fn append_header(&self) -> Result<AppendHeader, ReadError> {
        Ok(AppendHeader {
            from: self.parsed(FROM).ok_or_else(|| self.unreadable(FROM))?,
            through: self.parsed(THROUGH).ok_or_else(|| self.unreadable(THROUGH))?,
            rules: self.parsed(RULES).ok_or_else(|| self.unreadable(RULES))?,
            writer: self.header(WRITER).ok_or_else(|| self.unreadable(WRITER))?.to_owned(),
            chain: self.parsed(CHAIN).ok_or_else(|| self.unreadable(CHAIN))?,
        })
    }

    /// As a dead letter; none where it is not one that Weir has written.
    pub(super) fn into_letter(self) -> Option<StoredLetter> {
        let letter = DeadLetter {
            sequence: self.parsed(SEQUENCE)?,
            index: self.parsed(INDEX)?,
            format: self.header(CONTENT_TYPE).and_then(Format::of_content_type),
            reason: self.header(REASON)?.to_owned(),
            bytes: self.payload.clone(),
        };
        let bytes_all = self.parsed(BYTES).unwrap_or(letter.bytes.len() as u64);
        Some(StoredLetter { sequence: self.sequence, stored_at_ns: self.stored_at_ns, letter, bytes_all })
    }

    fn unreadable(&self, what: &str) -> ReadError {
        ReadError::Unreadable(format!("outcome message {}: {what} is missing or malformed", self.sequence))
    }
}

/// Adds a header whose value is safe: what could end the line is escaped, and what is too long is cut.
fn put(headers: &mut HeaderMap, name: &'static str, value: impl std::fmt::Display) {
    headers.insert(name, safe(&value.to_string()).as_str());
}

/// Printable ASCII as it is, anything else as `\u{…}`; at most [`TEXT_BYTES_MAX`] bytes.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        if char == ' ' || char.is_ascii_graphic() {
            safe.push(char);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(safe, "{}", char.escape_unicode());
        }
        if safe.len() > TEXT_BYTES_MAX {
            safe.truncate(TEXT_BYTES_MAX);
            break;
        }
    }
    safe
}

/// The header of a message of the log.
pub(super) fn of_log(format: Format) -> HeaderMap {
    let mut headers = HeaderMap::new();
    put(&mut headers, CONTENT_TYPE, format.content_type());
    headers
}

/// Adds headers of Weir's own. A name that is none is left out.
pub(super) fn with(mut headers: HeaderMap, more: &Headers) -> HeaderMap {
    for (name, value) in more.iter() {
        if let Ok(name) = HeaderName::from_str(name) {
            headers.append(name, safe(value).as_str());
        }
    }
    headers
}

/// The header of a copy of a message of the log, which is only stored after `expected_last`.
pub(super) fn of_copy(format: Option<Format>, expected_last: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    put(&mut headers, CONTENT_TYPE, format.map_or(UNKNOWN_CONTENT, Format::content_type));
    expect(&mut headers, expected_last);
    headers
}

fn expect(headers: &mut HeaderMap, last: u64) {
    headers.insert(async_nats::header::NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(last));
}

/// The header of an append that is only stored after `expected_last`.
pub(super) fn of_append(append: &Append, expected_last: u64) -> HeaderMap {
    let AppendHeader { from, through, rules, writer, chain } = &append.header;
    let mut headers = of_log(append.format);
    put(&mut headers, FROM, from);
    put(&mut headers, THROUGH, through);
    put(&mut headers, RULES, rules);
    put(&mut headers, WRITER, writer);
    put(&mut headers, CHAIN, chain);
    expect(&mut headers, expected_last);
    headers
}

/// The header of a dead letter.
pub(super) fn of_dead_letter(shard: &str, letter: &DeadLetter) -> HeaderMap {
    let mut headers = HeaderMap::new();
    put(&mut headers, SHARD, shard);
    put(&mut headers, SEQUENCE, letter.sequence);
    put(&mut headers, INDEX, letter.index);
    put(&mut headers, REASON, &letter.reason);
    if let Some(format) = letter.format {
        put(&mut headers, CONTENT_TYPE, format.content_type());
    }
    headers
}

/// The header of a signal.
pub(super) fn of_signal(id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_MESSAGE_ID, HeaderValue::from(id));
    put(&mut headers, CONTENT_TYPE, Format::Json.content_type());
    headers
}

/// Reads a header block by the rules of the client's own parser, so that a message has the same format whether it
/// was consumed or fetched. None where that parser would give up.
pub(super) fn parse(block: &[u8]) -> Option<HeaderMap> {
    let mut lines = std::str::from_utf8(block).ok()?.lines().peekable();
    lines.next()?.strip_prefix("NATS/1.0")?;
    let mut headers = HeaderMap::new();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_str(name).ok()?;
        let mut value = value.trim_start().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        headers.append(name, HeaderValue::from_str(value.trim_end()).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_case_of_a_name_does_not_count() {
        let header = |lines: &str, name: &str| {
            let headers = parse(format!("NATS/1.0\r\n{lines}\r\n").as_bytes());
            let payload = Bytes::new();
            let incoming = Incoming { sequence: 1, stored_at_ns: 0, way: Way::Any, headers, payload };
            incoming.header(name).map(str::to_owned)
        };
        for name in ["Content-Type", "content-type", "CONTENT-type"] {
            assert_eq!(header(&format!("{name}: a\r\n"), CONTENT_TYPE).as_deref(), Some("a"), "{name}");
        }
        assert_eq!(header("Content-Typo: a\r\n", CONTENT_TYPE), None);
        // The exact name first, and then by the alphabet: the same whenever it is read.
        for _ in 0..32 {
            let several = "content-type: c\r\nCONTENT-TYPE: b\r\n";
            assert_eq!(header(several, CONTENT_TYPE).as_deref(), Some("b"));
            let exact = format!("{several}Content-Type: a\r\n");
            assert_eq!(header(&exact, CONTENT_TYPE).as_deref(), Some("a"));
        }
    }

    #[test]
    fn a_value_cannot_end_its_line() {
        assert_eq!(safe("bad\r\nX: y é"), "bad\\u{d}\\u{a}X: y \\u{e9}");
        assert!(safe(&"\u{10ffff}".repeat(1000)).len() <= TEXT_BYTES_MAX);
    }

    #[test]
    fn what_cannot_be_parsed_has_no_format() {
        let format = |block: &[u8]| {
            let headers = parse(block);
            Incoming { sequence: 1, stored_at_ns: 0, way: Way::Any, headers, payload: Bytes::new() }.format()
        };
        assert_eq!(format(b"NATS/1.0\r\n\r\n"), Some(Format::Json));
        assert_eq!(format(b"NATS/1.0\r\nA: b\r\n\r\n"), Some(Format::Json));
        assert_eq!(
            format(b"NATS/1.0\r\nContent-Type:application/vnd.weir.v1+bincode\r\n\r\n"),
            Some(Format::Bincode)
        );
        assert_eq!(format(b"NATS/1.0\r\nContent-Type: text/plain\r\n\r\n"), None);
        assert_eq!(format(b"NATS/1.0\r\nno colon\r\n\r\n"), None);
        assert_eq!(format(b"NATS/1.0\r\nA: \xff\r\n\r\n"), None);
        assert_eq!(format(b""), None);
    }
}

//! NATS's own protocol, as far as a door's connection needs it: what the server sends is cut into messages here, and nothing that
//! other clients put into theirs can break the cutting. Sans-IO.
//!
//! The client that everything else uses gives up a connection at a header that it cannot parse, and panics at one. Over that
//! connection anybody's requests come, so what one of them sends would cost all others theirs.

use bytes::{Buf as _, Bytes, BytesMut};

use super::header;
use crate::edges::requests::{REQUEST_HEADER_BYTES_MAX, Request, SHARD_HEADER, Said, WITHIN_HEADER};
use crate::words::codec::Format;
use crate::words::codes::Family;

/// The longest line of the protocol that is read, in bytes: a server sends its own description in one.
pub(super) const LINE_BYTES_MAX: usize = 256 << 10;
/// The longest message, in bytes: the largest that a server can be configured to take.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The longest subject that is replied to, in bytes: a server takes lines of 4 KiB.
const SUBJECT_BYTES_MAX: usize = 2 << 10;

/// What a server sends.
#[derive(Debug)]
pub(super) enum Op {
    Info(Bytes),
    Message(Request),
    Ping,
    Pong,
    Error(String),
    /// Anything that needs no answer.
    Other,
}

/// What a server cannot have sent: the connection is of no further use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled(pub(super) &'static str);

/// Takes the next message from what has come; none where more must come first.
pub(super) fn next(buffer: &mut BytesMut) -> Result<Option<Op>, Garbled> {
    let Some(end) = buffer.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
        return if buffer.len() >= LINE_BYTES_MAX { Err(Garbled("a line without an end")) } else { Ok(None) };
    };
    let line = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
    let (verb, rest) = match line.iter().position(|byte| matches!(byte, b' ' | b'\t')) {
        Some(at) => line.split_at(at),
        None => (line, &line[..0]),
    };
    let op = match verb {
        b"MSG" => return message(buffer, end, false),
        b"HMSG" => return message(buffer, end, true),
        b"PING" => Op::Ping,
        b"PONG" => Op::Pong,
        b"INFO" => Op::Info(Bytes::copy_from_slice(rest)),
        b"-ERR" => Op::Error(String::from_utf8_lossy(rest).trim().trim_matches('\'').to_owned()),
        b"+OK" | b"" => Op::Other,
        _ => return Err(Garbled("an unknown word")),
    };
    buffer.advance(end + 1);
    Ok(Some(op))
}

/// `MSG subject sid [reply] bytes`, or `HMSG subject sid [reply] header-bytes bytes`.
fn message(buffer: &mut BytesMut, end: usize, with_header: bool) -> Result<Option<Op>, Garbled> {
    let bad = Garbled("a message's line that cannot be read");
    let line = &buffer[..end];
    let mut words = [&line[..0]; 6];
    let mut count = 0;
    for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        *words.get_mut(count).ok_or(Garbled("a message's line with too many words"))? = word;
        count += 1;
    }
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<usize>().ok();
    let numbers = if with_header { 2 } else { 1 };
    let reply_to = match count.checked_sub(numbers) {
        Some(3) => None,
        Some(4) => Some(words[3]),
        _ => return Err(bad),
    };
    let all = number(words[count - 1]).ok_or(Garbled("a message of an unknown length"))?;
    let head = if with_header { number(words[count - 2]).unwrap_or(usize::MAX) } else { 0 };
    if all > MESSAGE_BYTES_MAX || head > all {
        return Err(Garbled("a message longer than any server takes"));
    }
    let begin = end + 1;
    if buffer.len() < begin + all + 2 {
        // Room for the rest of it at once.
        let missing = begin + all + 2 - buffer.len();
        buffer.reserve(missing);
        return Ok(None);
    }
    let family = words[1].rsplit(|byte| *byte == b'.').next().and_then(family);
    let reply_to = reply_to.map(Bytes::copy_from_slice);
    let said = if head > 0 { said(&buffer[begin..begin + head]) } else { Said::default() };
    buffer.advance(begin + head);
    let payload = buffer.split_to(all - head).freeze();
    buffer.advance(2);
    Ok(Some(Op::Message(Request { family, said, reply_to, payload })))
}

fn family(token: &[u8]) -> Option<Family> {
    Family::ALL.into_iter().find(|family| family.name().as_bytes() == token)
}

/// What a header block says: read by the same rules as the headers of a log.
fn said(block: &[u8]) -> Said {
    let unreadable = Said { format: None, shard: None, within: None, readable: false };
    // The client's type for headers is not shown what its parser would panic at.
    let lone = |at: usize| block[at] == b'\r' && block.get(at + 1) != Some(&b'\n');
    if block.len() > REQUEST_HEADER_BYTES_MAX || (0..block.len()).any(lone) {
        return unreadable;
    }
    let Some(headers) = header::parse(block) else { return unreadable };
    let get = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name.to_string().eq_ignore_ascii_case(wanted));
        found.and_then(|(_, values)| values.first()).map(|value| value.as_str().to_owned())
    };
    let within = get(WITHIN_HEADER).and_then(|text| text.trim().parse().ok());
    Said {
        format: get(header::CONTENT_TYPE).map_or(Some(Format::Json), |text| Format::of_content_type(&text)),
        shard: get(SHARD_HEADER).map(Into::into),
        within: within.map(std::time::Duration::from_millis),
        readable: true,
    }
}

/// Writes a message, with a `Content-Type` where it is not JSON.
pub(super) fn publish(out: &mut Vec<u8>, to: &[u8], format: Format, payload: &[u8]) {
    let odd = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control();
    if to.is_empty() || to.len() > SUBJECT_BYTES_MAX || to.iter().any(odd) {
        // No subject: the server has not sent that, and would end the connection over it.
        return;
    }
    match format {
        Format::Json => {
            out.extend_from_slice(b"PUB ");
            out.extend_from_slice(to);
            out.push(b' ');
            write_number(out, payload.len());
        }
        Format::Bincode => {
            out.extend_from_slice(b"HPUB ");
            out.extend_from_slice(to);
            out.push(b' ');
            write_number(out, BINCODE_HEADER.len());
            out.push(b' ');
            write_number(out, BINCODE_HEADER.len() + payload.len());
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(BINCODE_HEADER);
            out.extend_from_slice(payload);
            out.extend_from_slice(b"\r\n");
            return;
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// The header of a reply that is a frame.
pub(super) const BINCODE_HEADER: &[u8] = b"NATS/1.0\r\nContent-Type: application/vnd.weir.v1+bincode\r\n\r\n";

fn write_number(out: &mut Vec<u8>, number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> (Vec<Op>, usize) {
        let mut buffer = BytesMut::from(bytes);
        let mut ops = Vec::new();
        while let Some(op) = next(&mut buffer).unwrap() {
            ops.push(op);
        }
        (ops, buffer.len())
    }

    fn request(op: &Op) -> &Request {
        match op {
            Op::Message(request) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_are_cut_wherever_reads_end() {
        let text = b"PING\r\nMSG weir.submit.orders 1 _INBOX.a 5\r\nhello\r\n+OK\r\nHMSG weir.submit.stock 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n";
        let (ops, left) = all(text);
        assert_eq!((ops.len(), left), (5, 0));
        let first = request(&ops[1]);
        assert_eq!(first.family, Some(Family::Orders));
        assert_eq!(first.reply_to.as_deref(), Some(&b"_INBOX.a"[..]));
        assert_eq!(&first.payload[..], b"hello");
        let second = request(&ops[3]);
        assert_eq!(
            (second.family, &second.reply_to, &second.payload[..]),
            (Some(Family::Stock), &None, &b"hi"[..])
        );
        assert_eq!(second.said, Said::default());
        for cut in 0..text.len() {
            let mut buffer = BytesMut::from(&text[..cut]);
            let mut count = 0;
            while next(&mut buffer).unwrap().is_some() {
                count += 1;
            }
            buffer.extend_from_slice(&text[cut..]);
            while next(&mut buffer).unwrap().is_some() {
                count += 1;
            }
            assert_eq!(count, 5, "{cut}");
        }
    }

    #[test]
    fn hostile_headers_cost_only_their_own_request() {
        for head in [
            &b"NATS/1.0\r\nno colon\r\n\r\n"[..],
            b"NATS/1.0\r\nA b: c\r\n\r\n",
            b"NATS/1.0\r\nA: \xe9\r\n\r\n",
            b"NATS/1.0\r\nA: b\rc\r\n\r\n",
            b"NATS/1.0\r\nA: b\r",
            b"garbage",
            b"\0",
        ] {
            let mut text =
                format!("HMSG weir.submit.orders 1 r {} {}\r\n", head.len(), head.len() + 2).into_bytes();
            text.extend_from_slice(head);
            text.extend_from_slice(b"{}\r\nMSG weir.submit.orders 1 r 2\r\n[]\r\n");
            let (ops, left) = all(&text);
            assert_eq!((ops.len(), left), (2, 0), "{}", head.escape_ascii());
            assert!(!request(&ops[0]).said.readable, "{}", head.escape_ascii());
            assert!(request(&ops[1]).said.readable);
        }
    }

    #[test]
    fn headers_are_read_in_any_case_and_bounded() {
        let read = |block: &str| said(block.as_bytes());
        let mixed = read(
            "NATS/1.0\r\ncontent-TYPE: application/vnd.weir.v1+bincode\r\nweir-shard: eu\r\nWEIR-WITHIN-MS: 250\r\n\r\n",
        );
        assert_eq!(mixed.format, Some(Format::Bincode));
        assert_eq!(mixed.shard.as_deref(), Some("eu"));
        assert_eq!(mixed.within, Some(std::time::Duration::from_millis(250)));
        assert_eq!(read("NATS/1.0\r\nContent-Type: text/plain\r\n\r\n").format, None);
        assert_eq!(read("NATS/1.0\r\nWeir-Within-Ms: soon\r\n\r\n").within, None);
        let padded = |bytes: usize| format!("NATS/1.0\r\nA: {}\r\n\r\n", "x".repeat(bytes - 17));
        assert!(read(&padded(REQUEST_HEADER_BYTES_MAX)).readable);
        assert!(!read(&padded(REQUEST_HEADER_BYTES_MAX + 1)).readable);
    }

    #[test]
    fn what_no_server_sends_ends_the_connection() {
        for text in [
            &b"MSG a 1\r\n"[..],
            b"MSG a 1 b c 5\r\n",
            b"HMSG a 1 9 5\r\n",
            b"MSG a 1 99999999999\r\n",
            b"MSG a 1 -1\r\n",
            b"GET / HTTP/1.1\r\n",
        ] {
            assert!(next(&mut BytesMut::from(text)).is_err(), "{}", text.escape_ascii());
        }
        assert!(next(&mut BytesMut::from(&vec![b'a'; LINE_BYTES_MAX][..])).is_err());
        assert!(next(&mut BytesMut::from(&vec![b'a'; LINE_BYTES_MAX - 1][..])).unwrap().is_none());
    }

    #[test]
    fn replies_are_read_back() {
        for format in [Format::Json, Format::Bincode] {
            for payload in [&b""[..], b"0123456789"] {
                let mut out = Vec::new();
                publish(&mut out, b"_INBOX.x.y", format, payload);
                let text = out.escape_ascii().to_string();
                let head = if format == Format::Json { 0 } else { BINCODE_HEADER.len() };
                assert!(text.contains(&format!(" {}\\r\\n", head + payload.len())), "{text}");
            }
        }
        let mut out = Vec::new();
        publish(&mut out, b"a b", Format::Json, b"");
        publish(&mut out, b"", Format::Json, b"");
        publish(&mut out, &[b'a'; SUBJECT_BYTES_MAX + 1], Format::Json, b"");
        publish(&mut out, b"a\r\nPUB x", Format::Json, b"");
        assert!(out.is_empty());
    }
}

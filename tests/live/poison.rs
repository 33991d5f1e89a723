//! Messages that a well-behaved client would never send, written to the log by hand: their headers break the
//! client's parser, or look like the server's own status lines (which 2.10 passes on and 2.15 strips). No reader may
//! stop at them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use weir::edges::streams::Streams;
use weir::words::codec::Format;

use crate::contract::{assert_written, jetstream, payload, read_through_errors, write};
use crate::nats::Server;

/// Publishes to the log with any bytes for a header, and waits until the server has taken it.
fn publish(server: &Server, header: &[u8], payload: &[u8]) {
    let mut connection = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let (head, total) = (header.len(), header.len() + payload.len());
    connection.write_all(b"CONNECT {\"verbose\":false,\"headers\":true,\"echo\":true}\r\n").unwrap();
    connection.write_all(b"SUB reply 1\r\n").unwrap();
    connection.write_all(format!("HPUB weir.log.main reply {head} {total}\r\n").as_bytes()).unwrap();
    connection.write_all(&[header, payload, b"\r\n"].concat()).unwrap();
    for line in BufReader::new(connection).lines() {
        let line = line.unwrap();
        assert!(!line.starts_with("-ERR"), "{line}");
        if line.starts_with('{') {
            assert!(line.contains("\"seq\""), "{line}");
            return;
        }
    }
    panic!("the server has closed the connection");
}

/// Publishes so many of the same to the log, and waits until the server has taken them all.
pub(crate) fn publish_many(server: &Server, header: &[u8], payload: &[u8], count: usize) {
    let mut connection = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let (head, total) = (header.len(), header.len() + payload.len());
    connection
        .write_all(b"CONNECT {\"verbose\":false,\"headers\":true,\"echo\":true}\r\nSUB reply 1\r\n")
        .unwrap();
    let line = format!("HPUB weir.log.main reply {head} {total}\r\n");
    let one = [line.as_bytes(), header, payload, b"\r\n"].concat();
    connection.write_all(&one.repeat(count)).unwrap();
    let mut taken = 0;
    for line in BufReader::new(connection).lines() {
        let line = line.unwrap();
        assert!(!line.starts_with("-ERR"), "{line}");
        taken += usize::from(line.starts_with('{') && line.contains("\"seq\""));
        if taken == count {
            return;
        }
    }
    panic!("the server has closed the connection");
}

async fn survives(header: &[u8], format: Option<Format>) {
    let fixture = jetstream(256 << 20).await;
    let server = fixture.server.as_ref().unwrap();
    write(&fixture.streams, 1..=5).await;
    for sequence in 6..=7 {
        publish(server, header, &payload(sequence));
    }
    write(&fixture.streams, 8..=10).await;
    for from in [1, 6, 7] {
        let (messages, _) = read_through_errors(&fixture.streams, from, 10).await;
        let poison = messages.iter().filter(|message| (6..=7).contains(&message.sequence));
        assert!(poison.clone().all(|message| message.format == format), "{messages:?}");
        let mended: Vec<_> = messages
            .iter()
            .cloned()
            .map(|message| weir::words::message::LogMessage { format: Some(Format::Json), ..message })
            .collect();
        assert_written(&mended, from);
        assert_eq!(mended.len() as u64, 11 - from);
        for message in &messages {
            assert_eq!(
                fixture.streams.log_message(message.sequence).await.as_ref(),
                Ok(&Some(message.clone()))
            );
        }
    }
}

#[tokio::test]
async fn a_header_without_a_colon() {
    survives(b"NATS/1.0\r\nno colon here\r\n\r\n", None).await;
}

#[tokio::test]
async fn a_header_that_is_not_utf_8() {
    survives(b"NATS/1.0\r\nA: \xff\xfe\r\n\r\n", None).await;
}

#[tokio::test]
async fn a_header_value_with_a_bare_carriage_return() {
    survives(b"NATS/1.0\r\nA: b\rc\r\n\r\n", None).await;
}

#[tokio::test]
async fn a_header_that_looks_like_a_heartbeat() {
    survives(b"NATS/1.0 100 Idle Heartbeat\r\nA: b\r\n\r\n", Some(Format::Json)).await;
}

#[tokio::test]
async fn a_header_that_looks_like_the_end_of_the_consumer() {
    survives(b"NATS/1.0 409 Consumer Deleted\r\nA: b\r\n\r\n", Some(Format::Json)).await;
}

#[tokio::test]
async fn a_header_that_looks_like_no_responders() {
    survives(b"NATS/1.0 503\r\nA: b\r\n\r\n", Some(Format::Json)).await;
}

#[tokio::test]
async fn a_folded_header_has_one_meaning() {
    survives(b"NATS/1.0\r\nContent-Type: application/vnd.weir.v1\r\n +bincode\r\n\r\n", None).await;
}

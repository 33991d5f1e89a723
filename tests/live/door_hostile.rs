//! Requests that no well-behaved client sends, beside good ones: each has its stated answer, and none costs another anything.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::door::{ask, ask_patiently, client, only_door, opened};
use crate::nats::{PATIENCE, Server, soon};
use crate::weir::{Weir, audit, place, receive};

/// Sends one request by hand, with any bytes for a header, and gives the reply's payload.
fn by_hand(port: u16, header: Option<&[u8]>, payload: &[u8]) -> Value {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
        .write_all(b"CONNECT {\"verbose\":false,\"headers\":true,\"echo\":true}\r\nSUB reply.x 1\r\n")
        .unwrap();
    if let Some(header) = header {
        let (head, total) = (header.len(), header.len() + payload.len());
        let line = format!("HPUB weir.submit.orders reply.x {head} {total}\r\n");
        connection.write_all(&[line.as_bytes(), header, payload, b"\r\n"].concat()).unwrap();
    } else {
        let line = format!("PUB weir.submit.orders reply.x {}\r\n", payload.len());
        connection.write_all(&[line.as_bytes(), payload, b"\r\n"].concat()).unwrap();
    }
    let mut reader = BufReader::new(connection);
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the server has closed the connection");
        assert!(!line.starts_with("-ERR"), "{line}");
        if line.starts_with("MSG ") {
            let length: usize = line.split_whitespace().next_back().unwrap().parse().unwrap();
            let mut payload = vec![0; length];
            reader.read_exact(&mut payload).unwrap();
            return serde_json::from_slice(&payload).unwrap();
        }
    }
}

/// What it is, its header, its payload, and why it is refused.
type Case = (&'static str, Option<Vec<u8>>, Vec<u8>, &'static str);

fn utf_16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_have_their_answer_and_delay_no_other() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let leader = Weir::ready(&server, &[]).await;
    let door = only_door(&server, "").await;
    let asker = client(&server).await;
    opened(&asker).await;
    ask(&asker, "stock", receive("R-1", 1_000_000).to_string()).await;
    let before = door.metric("weir_door_requests_total") + leader.metric("weir_door_requests_total");

    // Good orders all the while: each is answered at its first try, and none of the answers is lost.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let good = tokio::spawn({
        let asker = asker.clone();
        async move {
            let (mut sent, mut confirmed) = (0_u32, 0_u32);
            while !*stopped.borrow() {
                let order = place(&format!("good-{sent}")).to_string();
                let told = ask_patiently(&asker, "orders", order).await;
                sent += 1;
                // On a machine that is busy with other things a shard may be late.
                match told["outcome"].as_str() {
                    Some("confirmed") => confirmed += 1,
                    Some("busy" | "unavailable") => {}
                    _ => panic!("{told}"),
                }
            }
            (sent, confirmed)
        }
    });
    let order = |id: &str| place(id).to_string();
    let good_order = order("H-0");
    let gzip: &[u8] =
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    let large_header = format!("NATS/1.0\r\nA: {}\r\n\r\n", "x".repeat(100_000)).into_bytes();
    let header = |name: &str, value: &str| format!("NATS/1.0\r\n{name}: {value}\r\n\r\n").into_bytes();
    let cases: Vec<Case> = vec![
        ("BOM", None, format!("\u{feff}{good_order}").into_bytes(), "not_a_command"),
        ("gzip", None, gzip.to_vec(), "not_a_command"),
        ("gzip told", Some(header("Content-Encoding", "gzip")), gzip.to_vec(), "not_a_command"),
        ("UTF-16", None, utf_16(&good_order), "not_a_command"),
        ("nothing", None, Vec::new(), "empty_payload"),
        ("another type", Some(header("Content-Type", "text/xml")), b"<a/>".to_vec(), "unknown_content_type"),
        ("two orders", None, format!("{good_order}{good_order}").into_bytes(), "not_a_command"),
        ("no colon", Some(b"NATS/1.0\r\nnothing\r\n\r\n".to_vec()), b"{}".to_vec(), "unreadable_headers"),
        ("blank in a name", Some(header("A b", "c")), good_order.clone().into_bytes(), "unreadable_headers"),
        ("Latin-1", Some(b"NATS/1.0\r\nA: \xe9\r\n\r\n".to_vec()), b"{}".to_vec(), "unreadable_headers"),
        ("lone CR", Some(b"NATS/1.0\r\nA: b\rc\r\n\r\n".to_vec()), b"{}".to_vec(), "unreadable_headers"),
        ("100 kB of headers", Some(large_header), b"{}".to_vec(), "unreadable_headers"),
        ("deep", None, vec![b'['; 500_000], "malformed_payload"),
        ("deep objects", None, "{\"a\":".repeat(100_000).into_bytes(), "not_a_command"),
    ];
    let port = server.port();
    for round in 0..3 {
        for (what, header, payload, reason) in cases.clone() {
            let told = tokio::task::spawn_blocking(move || by_hand(port, header.as_deref(), &payload));
            let told = soon(what, told).await.unwrap();
            let told = if told.is_array() { &told[0] } else { &told };
            assert_eq!(
                (&told["outcome"], &told["reason"]),
                (&json!("refused"), &json!(reason)),
                "{what} {round}"
            );
        }
    }
    // A status line that looks like the server's own is only a strange first line.
    let status = tokio::task::spawn_blocking(move || {
        by_hand(port, Some(b"NATS/1.0 503\r\nWeir-Within-Ms: 30000\r\n\r\n"), order("H-1").as_bytes())
    });
    assert_eq!(status.await.unwrap()["outcome"], "confirmed");

    // One id with two contents at once: one of them is the order, the other a conflict.
    let mut other = place("H-2");
    other["place"]["lines"][0]["quantity"] = 2.into();
    let (one, two) = tokio::join!(
        ask_patiently(&asker, "orders", place("H-2").to_string()),
        ask_patiently(&asker, "orders", other.to_string())
    );
    let mut both = [&one, &two].map(|told| format!("{}{}", told["outcome"], told["reason"]));
    both.sort();
    assert_eq!(both, ["\"confirmed\"null", "\"refused\"\"id_conflict\""]);

    stop.send_replace(true);
    let (sent, good) = soon("the good orders", good).await.unwrap();
    assert!(good > 10, "{good} of {sent}");
    // Nothing of it broke a connection, and nothing came twice.
    for worker in [&door, &leader] {
        let (_, metrics) = worker.get("/metrics");
        let lost = metrics.lines().any(|line| line.starts_with("weir_nats_disconnects_total{"));
        assert!(!lost, "{metrics}");
    }
    let after = door.metric("weir_door_requests_total") + leader.metric("weir_door_requests_total");
    let came = after - before - f64::from(3 * 14 + 1 + 2 + sent);
    assert!(came.abs() < 0.5, "{came}");
    let announced = audit(&server).await;
    let confirmed = announced.iter().filter(|one| one["outcome"] == "confirmed").count();
    assert_eq!(confirmed, good as usize + 2);
    door.stop().await;
    leader.stop().await;
}

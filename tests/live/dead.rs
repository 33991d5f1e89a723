//! `weir dead`: what was no command is listed, shown, and sent again.

use serde_json::json;
use weir::edges::streams::Streams as _;
use weir::words::append::DeadLetter;
use weir::words::codec::{Format, FrameWriter, encode_command};

use crate::cli::{fails, file, lines, log_last, worker};
use crate::weir::{Weir, audit, place, plain, publish, receive, streams};

/// An order as an element of a frame.
fn element(order_id: &str) -> Vec<u8> {
    encode_command(&serde_json::from_str(&place(order_id).to_string()).unwrap())
}

#[tokio::test]
async fn what_is_dead_is_listed_shown_and_sent_again() {
    let (server, _worker) = worker().await;
    let context = plain(&server).await;
    publish(&context, receive("R-1", 10).to_string()).await;
    let garbage = publish(&context, &b"\xff\x00\x1b[2J not even text"[..]).await;
    let misspelt = r#"{"place":{"ordre_id":"O-2","lines":[{"sku":"A","quantity":1}]}}"#;
    let mixed = publish(&context, format!("[{},{misspelt},7]", place("O-1"))).await;
    let element = element("O-3");
    let mut frame = FrameWriter::new();
    frame.push(&element);
    frame.push(&element[..element.len() - 1]);
    let streams = streams(&server).await;
    let cut = streams.append_log(Format::Bincode, frame.finish().into()).await.unwrap();
    let before = audit(&server).await.len();
    // A second worker stores its letters again.
    for stored in streams.dead_letters(1).await.unwrap() {
        streams.append_dead_letter(stored.letter).await.unwrap();
    }

    let listed = lines(&Weir::on(&server, &["dead", "list", "--json"]).await);
    let records: Vec<_> =
        listed.iter().map(|line| (line["sequence"].as_u64(), line["index"].as_u64())).collect();
    let record = |sequence, index| (Some(sequence), Some(index));
    assert_eq!(records, [record(garbage, 0), record(mixed, 1), record(mixed, 2), record(cut, 1)]);
    assert_eq!((&listed[1]["shard"], &listed[1]["format"]), (&json!("main"), &json!("json")));
    assert_eq!((&listed[1]["preview"], &listed[1]["bytes"]), (&json!(misspelt), &json!(misspelt.len())));
    assert!(listed[1]["reason"].as_str().unwrap().contains("ordre_id"), "{}", listed[1]);
    assert_eq!((&listed[3]["format"], &listed[3]["whole"]), (&json!("bincode"), &json!(true)));
    let last =
        lines(&Weir::on(&server, &["dead", "list", "--json", "--limit", "1", "--shard", "main"]).await);
    assert_eq!(last, listed[3..]);
    let plain = Weir::on(&server, &["dead", "list"]).await;
    assert!(
        plain.stdout.contains("\\u{1b}[2J not even text\n") && !plain.stdout.contains('\x1b'),
        "{plain:?}"
    );
    assert!(plain.stdout.contains(&format!("main {mixed}.1  ")), "{plain:?}");

    let name = |sequence: u64, index: u32| format!("{sequence}.{index}");
    let shown = Weir::on(&server, &["dead", "show", &garbage.to_string()]).await;
    assert!(shown.stdout.contains("00000000  ff 00 1b 5b 32 4a 20 6e"), "{shown:?}");
    assert!(!shown.stdout.contains('\x1b'), "{shown:?}");
    let shown = Weir::on(&server, &["dead", "show", &name(mixed, 1)]).await;
    assert!(shown.stdout.ends_with(&format!("\n\n{misspelt}\n")), "{shown:?}");
    let raw = Weir::on(&server, &["dead", "show", "--raw", &name(mixed, 1)]).await;
    assert_eq!(raw.stdout, misspelt);
    fails(
        &Weir::on(&server, &["dead", "show", &mixed.to_string()]).await,
        1,
        &[&format!("message {mixed} has 2 dead letters: say which, such as {mixed}.1, {mixed}.2")],
    );
    fails(&Weir::on(&server, &["dead", "show", "999.1"]).await, 1, &["shard main has no dead letter 999.1"]);
    fails(&Weir::on(&server, &["dead", "show", "x"]).await, 2, &["a log sequence"]);

    // What is still no command is not sent.
    let log = log_last(&server).await;
    for (sequence, index, reason) in [
        (garbage, 0, "as json: "),
        (mixed, 1, "as json: unknown field `ordre_id`"),
        (mixed, 2, "as json: "),
        (cut, 1, "as bincode: "),
    ] {
        let refused = Weir::on(&server, &["dead", "resubmit", &name(sequence, index)]).await;
        fails(&refused, 1, &[&format!("{sequence}.{index} is no command that can be sent: {reason}")]);
        assert_eq!(refused.stdout, "");
    }
    let tick = file(&server, "tick", r#"{"tick":{}}"#);
    let refused = Weir::on(&server, &["dead", "resubmit", &name(mixed, 1), "--file", &tick]).await;
    fails(&refused, 1, &["only a shard's leader sends ticks"]);
    assert_eq!(log_last(&server).await, log);

    // Mended, it is; twice, it counts once.
    let mended = file(&server, "mended", &misspelt.replace("ordre_id", "order_id"));
    for (again, expected) in [(log + 1, json!(null)), (log + 2, json!(true))] {
        let sent = Weir::on(&server, &["dead", "resubmit", &name(mixed, 1), "--file", &mended]).await;
        assert_eq!((sent.code, sent.stdout.as_str()), (Some(0), format!("{again}\n").as_str()), "{sent:?}");
        assert!(sent.stderr.contains("A second time it changes nothing"), "{sent:?}");
        let outcome = audit(&server).await.pop().unwrap();
        assert_eq!((&outcome["outcome"], &outcome["order_id"]), (&json!("confirmed"), &json!("O-2")));
        assert_eq!((&outcome["sequence"], &outcome["duplicate"]), (&json!(again), &expected));
    }
    // Of a bincode one, the mended may be bytes like those, or JSON.
    let whole = server.folder().join("whole");
    std::fs::write(&whole, &element).unwrap();
    for mended in [whole.to_str().unwrap(), &file(&server, "json", &place("O-4").to_string())] {
        let sent = Weir::on(&server, &["dead", "resubmit", &name(cut, 1), "--file", mended]).await;
        assert_eq!(sent.code, Some(0), "{sent:?}");
    }
    let outcomes = audit(&server).await;
    let orders: Vec<_> =
        outcomes[before..].iter().map(|outcome| outcome["order_id"].as_str().unwrap()).collect();
    assert_eq!(orders, ["O-2", "O-2", "O-3", "O-4"]);
    assert_eq!(outcomes[before + 2]["duplicate"], true);
}

#[tokio::test]
async fn a_dead_letter_that_was_mended_by_an_upgrade_is_sent_as_it_is() {
    let (server, _worker) = worker().await;
    publish(&plain(&server).await, receive("R-1", 1).to_string()).await;
    // As if this binary had not known them then.
    let streams = streams(&server).await;
    let element = element("O-2");
    for (index, format, bytes) in [
        (0, Some(Format::Json), place("O-1").to_string().into()),
        (1, Some(Format::Bincode), element.clone().into()),
        (2, None, element.into()),
    ] {
        let letter = DeadLetter { sequence: 1, index, format, reason: "new".to_owned(), bytes };
        streams.append_dead_letter(letter).await.unwrap();
        let sent = Weir::on(&server, &["dead", "resubmit", &format!("1.{index}")]).await;
        assert_eq!((sent.code, sent.stdout), (Some(0), format!("{}\n", 3 + index)), "{}", sent.stderr);
    }
    let outcomes = audit(&server).await;
    let shape: Vec<_> =
        outcomes[2..].iter().map(|outcome| (&outcome["order_id"], &outcome["outcome"])).collect();
    let (one, two) = (json!("O-1"), json!("O-2"));
    let (confirmed, refused) = (json!("confirmed"), json!("refused"));
    assert_eq!(shape, [(&one, &confirmed), (&two, &refused), (&two, &refused)]);

    // One that was cut cannot be sent as it is.
    let letter = DeadLetter {
        sequence: 9,
        index: 0,
        format: None,
        reason: "too long".to_owned(),
        bytes: vec![b' '; streams.payload_bytes_max()].into(),
    };
    streams.append_dead_letter(letter).await.unwrap();
    fails(&Weir::on(&server, &["dead", "resubmit", "9"]).await, 1, &["give them with --file", "message 9"]);
    let shown = Weir::on(&server, &["dead", "show", "9"]).await;
    assert!(shown.stdout.contains("bytes   1048576, 1047552 of them kept\n"), "{}", &shown.stdout[..200]);
}

//! What only JetStream can do wrong: streams with the wrong settings, servers that go away.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use weir::edges::jetstream::{
    Connection, Connections, Done, JetStreams, Names, SetupError, connect, setup, verify,
};
use weir::edges::streams::{AppendError, READ_MESSAGES_MAX, ReadError, Reader, Streams};
use weir::words::append::DeadLetter;
use weir::words::codec::Format;
use weir::words::config::StreamSettings;

use crate::contract::{
    Fixture, append, assert_written, jetstream, payload, read_through, read_through_errors, write,
};
use crate::nats::{Server, soon};

const ROOMY: u32 = 256 << 20;

fn settings() -> StreamSettings {
    StreamSettings {
        log_bytes_max: 1 << 20,
        outcomes_bytes_max: 1 << 20,
        snapshots_bytes_max: 1 << 20,
        ..StreamSettings::default()
    }
}

async fn config(context: &Context, stream: &str) -> Config {
    context.get_stream(stream).await.unwrap().cached_info().config.clone()
}

#[tokio::test]
async fn setup_makes_what_is_missing_once() {
    let server = Server::start().await;
    let context = server.connect().await.publishing.context();
    let names = Names::new("shop-1").unwrap();
    let streams = [
        "SHOP-1_LOG_a",
        "SHOP-1_OUTCOMES_a",
        "SHOP-1_LOG_b",
        "SHOP-1_OUTCOMES_b",
        "SHOP-1_DEAD_LETTERS",
        "KV_SHOP-1_LEASES",
        "KV_SHOP-1_POINTERS",
        "SHOP-1_SIGNALS",
        "OBJ_SHOP-1_SNAPSHOTS",
    ];
    assert_eq!(
        verify(&context, &names, &["a", "b"]).await,
        Err(SetupError::Missing("SHOP-1_LOG_a".to_owned()))
    );
    let created: Vec<Done> =
        streams.map(|stream| Done::Created { stream: stream.to_owned(), notes: vec![] }).into();
    let kept: Vec<Done> =
        streams.map(|stream| Done::Kept { stream: stream.to_owned(), notes: vec![] }).into();
    assert_eq!(setup(&context, &names, &["a", "b"], &settings()).await, Ok(created));
    assert_eq!(setup(&context, &names, &["a", "b"], &settings()).await, Ok(kept.clone()));
    assert_eq!(verify(&context, &names, &["a", "b"]).await, Ok(kept));

    let log = config(&context, "SHOP-1_LOG_a").await;
    let families = ["orders", "payments", "fulfilment", "stock", "policy"];
    let subjects = families.map(|family| format!("shop-1.log.a.{family}"));
    assert_eq!(log.subjects[0], "shop-1.log.a");
    assert_eq!(log.subjects[1..], subjects);
    assert_eq!((log.discard, log.retention), (DiscardPolicy::New, RetentionPolicy::Limits));
    assert_eq!((log.max_age, log.max_messages, log.max_bytes), (Duration::ZERO, -1, 1 << 20));
    assert!(!log.allow_direct && !log.allow_rollup && !log.deny_purge && log.deny_delete);
    assert_eq!(config(&context, "SHOP-1_DEAD_LETTERS").await.subjects, ["shop-1.dead.*"]);
    for (bucket, history, bytes_max) in [
        ("KV_SHOP-1_LEASES", 1, 8 << 20),
        ("KV_SHOP-1_POINTERS", 8, 64 << 20),
        ("OBJ_SHOP-1_SNAPSHOTS", -1, 1 << 20),
    ] {
        let bucket = config(&context, bucket).await;
        assert_eq!((bucket.max_messages_per_subject, bucket.max_bytes), (history, bytes_max));
        assert_eq!((bucket.discard, bucket.max_age), (DiscardPolicy::New, Duration::ZERO));
        assert_eq!(bucket.storage, StorageType::File);
        // Reads are the leader's.
        assert!(!bucket.allow_direct && !bucket.deny_purge && bucket.allow_rollup);
    }

    let bad = setup(&context, &names, &["a.b"], &settings()).await;
    assert!(matches!(bad, Err(SetupError::Name(_))), "{bad:?}");
}

#[tokio::test]
async fn setup_refuses_what_would_lose_data_and_changes_nothing() {
    let server = Server::start().await;
    let context = server.connect().await.publishing.context();
    let log = |name: &str| Config {
        name: format!("WEIR_LOG_{name}"),
        subjects: Names::default().shard(name).unwrap().log_subjects,
        discard: DiscardPolicy::New,
        max_bytes: 1 << 20,
        max_messages: -1,
        ..Config::default()
    };
    let cases: [(&str, Config); 9] = [
        ("discard", Config { discard: DiscardPolicy::Old, ..log("a") }),
        ("max_age", Config { max_age: Duration::from_hours(1), ..log("b") }),
        ("max_msgs", Config { max_messages: 10, ..log("c") }),
        ("max_msgs_per_subject", Config { max_messages_per_subject: 10, ..log("d") }),
        ("subjects", Config { subjects: vec!["weir.log.e".into(), "more".into()], ..log("e") }),
        ("retention", Config { retention: RetentionPolicy::WorkQueue, ..log("f") }),
        ("storage", Config { storage: StorageType::Memory, ..log("g") }),
        ("max_bytes", Config { max_bytes: 1000, ..log("h") }),
        ("allow_rollup_hdrs", Config { allow_rollup: true, ..log("i") }),
    ];
    for (setting, wrong) in cases {
        let shard = wrong.name.rsplit('_').next().unwrap().to_owned();
        context.create_stream(wrong.clone()).await.unwrap();
        let before = config(&context, &wrong.name).await;
        let refused = setup(&context, &Names::default(), &["fresh", &shard], &settings()).await;
        let Err(SetupError::Refused(differences)) = &refused else { panic!("{setting}: {refused:?}") };
        assert_eq!(differences.len(), 1, "{differences:?}");
        assert_eq!((differences[0].setting, &differences[0].stream), (setting, &wrong.name));
        let text = refused.as_ref().unwrap_err().to_string();
        assert!(text.contains(&wrong.name) && text.contains(setting) && text.contains("must be"), "{text}");
        assert_eq!(config(&context, &wrong.name).await, before);
        assert!(context.get_stream("WEIR_LOG_fresh").await.is_err(), "nothing may be made after a refusal");
        // A worker is told no sizes; all the rest it refuses likewise.
        match (setting, verify(&context, &Names::default(), &[&shard]).await) {
            ("storage" | "max_bytes", Err(SetupError::Missing(stream))) => {
                assert_eq!(stream, format!("WEIR_OUTCOMES_{shard}"));
            }
            (_, verified) => assert_eq!(verified, Err(SetupError::Refused(differences.clone()))),
        }
    }
    let larger = Config { max_bytes: 2 << 20, ..log("k") };
    context.create_stream(larger).await.unwrap();
    let done = setup(&context, &Names::default(), &["k"], &settings()).await.unwrap();
    let Done::Kept { notes, .. } = &done[0] else { panic!("{done:?}") };
    assert_eq!(notes, &["max_bytes is 2097152, configured is 1048576"]);
}

#[tokio::test]
async fn on_a_small_server_the_snapshots_take_what_room_is_left() {
    let server = Server::start_with("jetstream { max_file_store: 1GB }").await;
    let context = server.connect().await.publishing.context();
    let made = async |prefix: &str| {
        let settings = StreamSettings { dead_letters_bytes_max: 1 << 20, ..settings() };
        let settings = StreamSettings { snapshots_bytes_max: 32 << 30, ..settings };
        setup(&context, &Names::new(prefix).unwrap(), &["main"], &settings).await
    };
    let done = made("one").await.unwrap();
    let Some(Done::Created { stream, notes }) = done.last() else { panic!("{done:?}") };
    assert_eq!(stream, "OBJ_ONE_SNAPSHOTS");
    assert_eq!(notes, &["max_bytes is 536870912, configured is 34359738368: there is no room for more"]);
    assert_eq!(config(&context, stream).await.max_bytes, 512 << 20);
    // Again, it is there, and no reason to refuse.
    let done = made("one").await.unwrap();
    let Some(Done::Kept { notes, .. }) = done.last() else { panic!("{done:?}") };
    assert_eq!(notes, &["max_bytes is 536870912, configured is 34359738368"]);
    assert_eq!(verify(&context, &Names::new("one").unwrap(), &["main"]).await.unwrap().len(), 7);
    // What must not be smaller is not made smaller.
    let full = StreamSettings { log_bytes_max: 1 << 30, ..settings() };
    let refused = setup(&context, &Names::new("two").unwrap(), &["main"], &full).await;
    let Err(SetupError::NotCreated { stream, reason }) = refused else { panic!("{refused:?}") };
    assert_eq!(
        (stream.as_str(), reason.contains("insufficient storage")),
        ("TWO_LOG_main", true),
        "{reason}"
    );
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let server = Server::start().await;
    let connections = server.connect().await;
    let streams = JetStreams::new(connections, Names::default().shard("main").unwrap());
    let missing = |stream: &str| ReadError::Missing(stream.to_owned());
    assert_eq!(streams.log_state().await, Err(missing("WEIR_LOG_main")));
    assert_eq!(streams.log_message(1).await, Err(missing("WEIR_LOG_main")));
    assert_eq!(streams.read_log(1).await.err(), Some(missing("WEIR_LOG_main")));
    assert_eq!(streams.last_outcomes().await, Err(missing("WEIR_OUTCOMES_main")));
    let refused = streams.append_log(Format::Json, payload(1)).await;
    assert_eq!(refused, Err(AppendError::Missing("WEIR_LOG_main".to_owned())));
}

#[tokio::test]
async fn a_command_fails_fast_and_a_worker_waits_where_there_is_no_server() {
    let mut server = Server::start().await;
    server.stop();
    let options = server.connection();
    let error = soon("the refusal", connect(&options)).await.unwrap_err().to_string();
    assert!(error.contains(&format!("127.0.0.1:{}", server.port())), "{error}");

    let waiting = Connection { wait_for_server: true, ..options };
    let connections = soon("a worker's connection", Connections::open(&waiting)).await.unwrap();
    let streams = JetStreams::new(connections, Names::default().shard("main").unwrap());
    let state = streams.log_state().await;
    assert!(matches!(state, Err(ReadError::Unavailable(_))), "{state:?}");
    server.restart().await;
    crate::nats::until("the connection", async || match streams.log_state().await {
        Err(ReadError::Missing(_)) => Some(()),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn reading_goes_on_exactly_after_a_server_was_stopped_or_killed() {
    let Fixture { streams, server, .. } = jetstream(ROOMY).await;
    let mut server = server.unwrap();
    write(&streams, 1..=1_000).await;
    let mut reader = streams.read_log(1).await.unwrap();
    let first = soon("the first messages", reader.next()).await.unwrap();
    assert!(first.len() <= READ_MESSAGES_MAX);
    assert_written(&first, 1);
    server.restart().await;
    // Whatever the old reader still gives goes on where it stood; then it fails or lives on.
    let mut position = first.len() as u64 + 1;
    while position <= 1_000 {
        match soon("the old reader", reader.next()).await {
            Ok(more) => {
                assert_written(&more, position);
                position += more.len() as u64;
            }
            Err(error) => {
                assert!(matches!(error, ReadError::Unavailable(_)), "{error}");
                break;
            }
        }
    }
    if position <= 1_000 {
        let (rest, _) = read_through_errors(&streams, position, 1_000).await;
        assert_written(&rest, position);
    }
    // A reader that waits notices a server that was killed, and does not wait for ever.
    let mut waiting = streams.read_log(1_001).await.unwrap();
    server.kill();
    let error = soon("the end of a reader whose server is gone", waiting.next()).await.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable(_)), "{error}");
    server.restart().await;
    // Lazy fsync: what a process leaves in the page cache survives its death.
    crate::nats::until("the connection", async || streams.log_state().await.ok()).await;
    assert_eq!(streams.append_log(Format::Json, payload(1_001)).await, Ok(1_001));
    let (rest, _) = read_through_errors(&streams, 1_000, 1_001).await;
    assert_written(&rest, 1_000);
}

#[tokio::test]
async fn a_reader_whose_consumer_is_gone_says_so() {
    let Fixture { streams, other, server } = jetstream(ROOMY).await;
    write(&streams, 1..=3).await;
    let mut reader = streams.read_log(1).await.unwrap();
    read_through(&mut reader, 3).await;
    let context = server.as_ref().unwrap().connect().await.publishing.context();
    let log = context.get_stream("WEIR_LOG_main").await.unwrap();
    let consumers: Vec<String> = log.consumer_names().try_collect().await.unwrap();
    assert_eq!(consumers.len(), 1);
    log.delete_consumer(&consumers[0]).await.unwrap();
    let error = soon("the end of a reader without a consumer", reader.next()).await.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable(_)), "{error}");
    assert_eq!(reader.next().await.unwrap_err(), error);
    write(&other, 4..=4).await;
    assert_written(&read_through(&mut streams.read_log(4).await.unwrap(), 4).await, 4);
}

#[tokio::test]
async fn a_gap_in_the_log_is_passed_on_as_it_is() {
    let Fixture { streams, server, .. } = jetstream(ROOMY).await;
    write(&streams, 1..=10).await;
    let context = server.as_ref().unwrap().connect().await.publishing.context();
    let log = context.get_stream("WEIR_LOG_main").await.unwrap();
    log.purge().sequence(6).await.unwrap();
    let mut reader = streams.read_log(3).await.unwrap();
    let messages = read_through(&mut reader, 10).await;
    assert_written(&messages, 6);
    assert_eq!(messages.len(), 5);
    let state = streams.log_state().await.unwrap();
    assert_eq!((state.first_sequence, state.last_sequence), (6, 10));
    assert_eq!(streams.log_message(5).await, Ok(None));
    log.purge().await.unwrap();
    let state = streams.log_state().await.unwrap();
    assert_eq!((state.first_sequence, state.last_sequence, state.bytes), (11, 10, 0));
    write(&streams, 11..=11).await;
    assert_written(&read_through(&mut reader, 11).await, 11);
}

#[tokio::test]
async fn full_outcomes_lose_their_oldest_but_never_the_last() {
    let Fixture { streams, server: _server, .. } = jetstream(1 << 20).await;
    let mut last = 0;
    for _ in 0..30 {
        let mut large = append(last, last + 1, "a");
        large.payload = Bytes::from(vec![b' '; 100_000]);
        last = streams.append_outcomes(large, last).await.unwrap();
    }
    let state = streams.outcomes_state().await.unwrap();
    assert!(state.first_sequence > 1 && state.last_sequence == 30, "{state:?}");
    assert_eq!(streams.last_outcomes().await.unwrap().unwrap().sequence, 30);
    assert_eq!(streams.append_outcomes(append(30, 31, "a"), 29).await, Err(AppendError::Conflict));
    assert_eq!(streams.append_outcomes(append(30, 31, "a"), 30).await, Ok(31));
}

#[tokio::test]
async fn dead_letters_say_where_they_come_from() {
    let Fixture { streams, server, .. } = jetstream(ROOMY).await;
    let bytes_max = streams.payload_bytes_max();
    let letters = [
        DeadLetter {
            sequence: 7,
            index: 3,
            format: Some(Format::Bincode),
            reason: "bad\r\nnews é".into(),
            bytes: Bytes::from_static(b"\0\xff"),
        },
        DeadLetter {
            sequence: 8,
            index: 0,
            format: None,
            reason: "y".repeat(9_999),
            bytes: vec![1; bytes_max].into(),
        },
    ];
    for letter in letters {
        streams.append_dead_letter(letter).await.unwrap();
    }
    let context = server.as_ref().unwrap().connect().await.publishing.context();
    let stream = context.get_stream("WEIR_DEAD_LETTERS").await.unwrap();
    let consumer = stream.create_consumer(pull::Config::default()).await.unwrap();
    let read: Vec<_> = consumer.messages().await.unwrap().take(2).try_collect().await.unwrap();
    let header =
        |index: usize, name: &str| read[index].headers.as_ref().unwrap().get(name).map(ToString::to_string);
    assert_eq!(read[0].subject.as_str(), "weir.dead.main");
    assert_eq!(&read[0].payload[..], b"\0\xff");
    assert_eq!(header(0, "Weir-Shard").as_deref(), Some("main"));
    assert_eq!(header(0, "Weir-Sequence").as_deref(), Some("7"));
    assert_eq!(header(0, "Weir-Index").as_deref(), Some("3"));
    assert_eq!(header(0, "Weir-Reason").as_deref(), Some("bad\\u{d}\\u{a}news \\u{e9}"));
    assert_eq!(header(0, "Content-Type").as_deref(), Some("application/vnd.weir.v1+bincode"));
    assert_eq!(header(1, "Content-Type"), None);
    assert_eq!(header(0, "Weir-Bytes"), None);
    assert_eq!(header(1, "Weir-Bytes"), Some(bytes_max.to_string()));
    assert!(read[1].payload.len() > bytes_max - 2_000);

    // Neither another shard's letters nor what Weir has not written are among them.
    let other = Names::default().shard("other").unwrap();
    let other = JetStreams::new(server.as_ref().unwrap().connect().await, other);
    let letter = DeadLetter { sequence: 1, index: 0, format: None, reason: "r".into(), bytes: payload(1) };
    other.append_dead_letter(letter.clone()).await.unwrap();
    context.publish("weir.dead.main", "not one".into()).await.unwrap().await.unwrap();
    let letters = streams.dead_letters(1).await.unwrap();
    let shape: Vec<_> = letters.iter().map(|stored| (stored.letter.sequence, stored.bytes_all)).collect();
    assert_eq!(shape, [(7, 2), (8, bytes_max as u64)]);
    assert_eq!(other.dead_letters(1).await.unwrap()[0].letter, letter);
}

#[tokio::test]
async fn the_content_type_is_read_alike_both_ways_in() {
    let fixture = jetstream(ROOMY).await;
    let client = async_nats::connect(fixture.server.as_ref().unwrap().url()).await.unwrap();
    let cases = [
        (None, Some(Format::Json)),
        (Some("application/json; charset=utf-8"), Some(Format::Json)),
        (Some("application/vnd.weir.v1+bincode"), Some(Format::Bincode)),
        (Some("text/plain"), None),
        (Some(""), None),
    ];
    for (content_type, _) in cases {
        let mut headers = async_nats::HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert("Content-Type", content_type);
            headers.append("Content-Type", "application/json");
            client.publish_with_headers("weir.log.main", headers, payload(1)).await.unwrap();
        } else {
            client.publish("weir.log.main", payload(1)).await.unwrap();
        }
    }
    client.flush().await.unwrap();
    // The first comes by a fetch, the others by the consumer.
    let messages = read_through(&mut fixture.streams.read_log(1).await.unwrap(), 5).await;
    for (message, (content_type, format)) in messages.iter().zip(cases) {
        assert_eq!(message.format, format, "{content_type:?}");
        assert_eq!(fixture.streams.log_message(message.sequence).await.as_ref(), Ok(&Some(message.clone())));
    }
    assert_eq!(messages.len(), 5);
}

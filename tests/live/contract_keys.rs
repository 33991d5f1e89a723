//! What every implementation of `Keys` must do.

use bytes::Bytes;
use weir::edges::jetstream::{JetKeys, Names, setup};
use weir::edges::keys::{Entry, Keys, VALUE_BYTES_MAX};
use weir::edges::memory::MemoryKeys;
use weir::edges::streams::{AppendError, ReadError};
use weir::words::config::StreamSettings;

use crate::nats::Server;

/// What a test of the contract gets.
struct Fixture<K> {
    keys: K,
    /// The same table over other connections, as another worker has it.
    other: K,
    /// Dropped last.
    _server: Option<Server>,
}

#[expect(clippy::unused_async, reason = "made like the others")]
async fn memory() -> Fixture<MemoryKeys> {
    let keys = MemoryKeys::default();
    Fixture { other: keys.clone(), keys, _server: None }
}

/// A table on a server of its own.
async fn jetstream() -> Fixture<JetKeys> {
    let server = Server::start().await;
    let (keys, other) = tables(&server, &server, 1).await;
    Fixture { keys, other, _server: Some(server) }
}

/// Makes the buckets with so many copies, and gives the pointers twice, over connections to each server.
async fn tables(one: &Server, another: &Server, replicas: usize) -> (JetKeys, JetKeys) {
    let (names, settings) = (Names::default(), StreamSettings { replicas, ..StreamSettings::default() });
    let connections = one.connect().await;
    setup(&connections.publishing.context(), &names, &[] as &[&str], &settings).await.unwrap();
    let bucket = names.pointers_bucket();
    (JetKeys::new(&connections, &bucket), JetKeys::new(&another.connect().await, &bucket))
}

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::memory().await).await;
            })*
        }
        mod in_jetstream {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::jetstream().await).await;
            })*
        }
    };
}

contract! {
    values_are_put_changed_and_removed,
    what_is_not_expected_changes_nothing,
    revisions_ascend_and_never_come_again,
    all_are_given_in_the_order_of_their_keys,
    writers_race_and_one_wins_each_revision,
    values_are_bounded_and_keys_are_names,
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn values_are_put_changed_and_removed<K: Keys>(fixture: Fixture<K>) {
    let Fixture { keys, other, .. } = &fixture;
    assert_eq!(keys.get("a").await, Ok(None));
    let first = keys.put("a", bytes("one"), 0).await.unwrap();
    assert_eq!(other.get("a").await, Ok(Some(Entry { value: bytes("one"), revision: first })));
    let second = other.put("a", Bytes::from_static(&[0, 255, 13, 10]), first).await.unwrap();
    let entry = Entry { value: Bytes::from_static(&[0, 255, 13, 10]), revision: second };
    assert_eq!(keys.get("a").await, Ok(Some(entry)));
    let empty = keys.put("a", Bytes::new(), second).await.unwrap();
    assert_eq!(other.get("a").await, Ok(Some(Entry { value: Bytes::new(), revision: empty })));
    assert_eq!(other.remove("a", empty).await, Ok(()));
    assert_eq!(keys.get("a").await, Ok(None));
    assert_eq!(keys.all().await, Ok(vec![]));
}

async fn what_is_not_expected_changes_nothing<K: Keys>(fixture: Fixture<K>) {
    let Fixture { keys, other, .. } = &fixture;
    let conflict = AppendError::Conflict;
    for expected in [1, 7, u64::MAX] {
        assert_eq!(keys.put("a", bytes("x"), expected).await, Err(conflict.clone()), "{expected}");
        assert_eq!(keys.remove("a", expected).await, Err(conflict.clone()), "{expected}");
    }
    assert_eq!(keys.remove("a", 0).await, Err(conflict.clone()));
    let of_another = keys.put("b", bytes("b"), 0).await.unwrap();
    assert_eq!(keys.put("a", bytes("x"), of_another).await, Err(conflict.clone()));
    let first = keys.put("a", bytes("one"), 0).await.unwrap();
    let second = keys.put("a", bytes("two"), first).await.unwrap();
    for expected in [0, first, of_another, second + 1] {
        assert_eq!(other.put("a", bytes("x"), expected).await, Err(conflict.clone()), "{expected}");
        assert_eq!(other.remove("a", expected).await, Err(conflict.clone()), "{expected}");
    }
    assert_eq!(keys.get("a").await, Ok(Some(Entry { value: bytes("two"), revision: second })));
    assert_eq!(keys.get("b").await, Ok(Some(Entry { value: bytes("b"), revision: of_another })));
}

async fn revisions_ascend_and_never_come_again<K: Keys>(fixture: Fixture<K>) {
    let Fixture { keys, other, .. } = &fixture;
    let mut last = 0;
    let mut old = Vec::new();
    for round in 0..20 {
        let key = ["a", "b.c", "d-e_F"][round % 3];
        let revision = keys.put(key, bytes("v"), 0).await.unwrap();
        assert!(revision > last);
        for stale in &old {
            assert_eq!(other.put(key, bytes("x"), *stale).await, Err(AppendError::Conflict));
            assert_eq!(other.remove(key, *stale).await, Err(AppendError::Conflict));
        }
        last = other.put(key, bytes("w"), revision).await.unwrap();
        assert!(last > revision);
        old.extend([revision, last]);
        assert_eq!(keys.remove(key, last).await, Ok(()));
        assert_eq!(other.remove(key, last).await, Err(AppendError::Conflict));
    }
}

async fn all_are_given_in_the_order_of_their_keys<K: Keys>(fixture: Fixture<K>) {
    let Fixture { keys, other, .. } = &fixture;
    let mut expected = Vec::new();
    for number in (0..200).rev() {
        let (key, value) = (format!("shard-{number:03}.lease"), bytes(&number.to_string()));
        let revision = keys.put(&key, value.clone(), 0).await.unwrap();
        expected.push((key, Entry { value, revision }));
    }
    expected.reverse();
    assert_eq!(other.all().await, Ok(expected.clone()));
    for (key, entry) in expected.iter().step_by(2) {
        keys.remove(key, entry.revision).await.unwrap();
    }
    let left: Vec<_> = expected.into_iter().skip(1).step_by(2).collect();
    assert_eq!(other.all().await, Ok(left));
}

async fn writers_race_and_one_wins_each_revision<K: Keys>(fixture: Fixture<K>) {
    const TURNS: usize = 60;
    /// Counts up, and now and then removes the value, until all turns are taken; gives the revisions won.
    async fn contend<K: Keys>(keys: K, writer: usize) -> Vec<u64> {
        let mut won = Vec::new();
        loop {
            let (turns, expected) = match keys.get("counter").await.unwrap() {
                Some(entry) => (std::str::from_utf8(&entry.value).unwrap().parse().unwrap(), entry.revision),
                None => (0, 0),
            };
            if turns >= TURNS {
                return won;
            }
            match keys.put("counter", Bytes::from((turns + 1).to_string()), expected).await {
                Ok(revision) => won.push(revision),
                Err(AppendError::Conflict) => {}
                Err(error) => panic!("{writer}: {error}"),
            }
            tokio::task::yield_now().await;
        }
    }
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let keys = if writer % 2 == 0 { &fixture.keys } else { &fixture.other };
            tokio::spawn(contend(keys.clone(), writer))
        })
        .collect();
    let mut won = Vec::new();
    for writer in writers {
        won.extend(writer.await.unwrap());
    }
    won.sort_unstable();
    won.dedup();
    assert_eq!(won.len(), TURNS, "each turn was taken once");
    assert_eq!(fixture.keys.get("counter").await.unwrap().unwrap().revision, *won.last().unwrap());

    // Of those who find nothing, one passes; so too where something was removed, and of those who remove.
    let mut revision = fixture.keys.get("counter").await.unwrap().unwrap().revision;
    for round in 0..20 {
        let (keys, other) = (&fixture.keys, &fixture.other);
        let removed = tokio::join!(keys.remove("counter", revision), other.remove("counter", revision));
        assert!(
            matches!(removed, (Ok(()), Err(AppendError::Conflict)) | (Err(AppendError::Conflict), Ok(()))),
            "{round}: {removed:?}"
        );
        let put = tokio::join!(keys.put("counter", bytes("a"), 0), other.put("counter", bytes("b"), 0));
        let (winner, value) = match &put {
            (Ok(revision), Err(AppendError::Conflict)) => (*revision, "a"),
            (Err(AppendError::Conflict), Ok(revision)) => (*revision, "b"),
            _ => panic!("{round}: {put:?}"),
        };
        assert_eq!(keys.get("counter").await, Ok(Some(Entry { value: bytes(value), revision: winner })));
        revision = winner;
    }
}

async fn values_are_bounded_and_keys_are_names<K: Keys>(fixture: Fixture<K>) {
    let keys = &fixture.keys;
    let largest = Bytes::from(vec![7; VALUE_BYTES_MAX]);
    let revision = keys.put("large", largest.clone(), 0).await.unwrap();
    assert_eq!(keys.get("large").await, Ok(Some(Entry { value: largest, revision })));
    let larger = Bytes::from(vec![7; VALUE_BYTES_MAX + 1]);
    assert_eq!(keys.put("large", larger, revision).await, Err(AppendError::TooLarge));
    for bad in ["", ".", "a..b", "*", ">", "a.*", "a b", "../a", "a\r\nb", &"x".repeat(129)] {
        assert_eq!(keys.get(bad).await, Ok(None), "{bad:?}");
        let refused = keys.put(bad, bytes("x"), 0).await;
        assert!(matches!(&refused, Err(AppendError::Unavailable(_))), "{bad:?}: {refused:?}");
        assert_eq!(keys.remove(bad, 1).await, Err(AppendError::Conflict), "{bad:?}");
    }
    assert_eq!(keys.all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_cluster_keeps_the_contract() {
    let servers = Server::start_three().await;
    let (keys, other) = tables(&servers[0], &servers[1], 3).await;
    let fixture = Fixture { keys: keys.clone(), other: other.clone(), _server: None };
    Box::pin(writers_race_and_one_wins_each_revision(fixture)).await;
    // What was acknowledged to one is read by the other at once, whoever leads.
    let mut revision = keys.get("counter").await.unwrap().unwrap().revision;
    for round in 0..100_u32 {
        let (writer, reader) = if round % 2 == 0 { (&keys, &other) } else { (&other, &keys) };
        let value = bytes(&round.to_string());
        revision = writer.put("counter", value.clone(), revision).await.unwrap();
        let entry = Entry { value, revision };
        assert_eq!(reader.get("counter").await, Ok(Some(entry.clone())));
        assert_eq!(reader.all().await, Ok(vec![("counter".to_owned(), entry)]));
    }
}

#[tokio::test]
async fn removed_keys_leave_nothing_on_the_server() {
    let Fixture { keys, _server: server, .. } = jetstream().await;
    let server = server.unwrap();
    for number in 0..20 {
        let key = format!("worker-{number}");
        let revision = keys.put(&key, bytes("here"), 0).await.unwrap();
        keys.remove(&key, revision).await.unwrap();
    }
    let context = server.connect().await.publishing.context();
    let mut stream = context.get_stream("KV_WEIR_POINTERS").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 0);
    // A mark that stayed, or that another client has left, is no value, and is in nobody's way.
    let marked = |operation: &str| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("KV-Operation", operation);
        headers
    };
    for (key, operation) in [("a", "DEL"), ("b", "PURGE")] {
        let revision = keys.put(key, bytes("x"), 0).await.unwrap();
        let mark =
            context.publish_with_headers(format!("$KV.WEIR_POINTERS.{key}"), marked(operation), Bytes::new());
        mark.await.unwrap().await.unwrap();
        assert_eq!(keys.get(key).await, Ok(None));
        assert_eq!(keys.all().await, Ok(vec![]));
        assert_eq!(keys.put(key, bytes("x"), revision).await, Err(AppendError::Conflict));
        let revision = keys.put(key, bytes("y"), 0).await.unwrap();
        assert_eq!(keys.put(key, bytes("z"), 0).await, Err(AppendError::Conflict));
        keys.remove(key, revision).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_no_answer() {
    let Fixture { keys, _server: server, .. } = jetstream().await;
    let mut server = server.unwrap();
    let revision = keys.put("a", bytes("x"), 0).await.unwrap();
    server.kill();
    for answer in [keys.get("a").await.err(), keys.all().await.err()] {
        assert!(matches!(answer, Some(ReadError::Unavailable(_))), "{answer:?}");
    }
    for answer in [keys.put("a", bytes("y"), revision).await.err(), keys.remove("a", revision).await.err()] {
        assert!(matches!(answer, Some(AppendError::TimedOut | AppendError::Unavailable(_))), "{answer:?}");
    }
    let missing = JetKeys::new(&Server::start().await.connect().await, "NO_SUCH_BUCKET");
    assert!(missing.put("a", bytes("x"), 0).await.is_err());
}

#[tokio::test]
async fn other_clients_know_the_table() {
    let Fixture { keys, _server: server, .. } = jetstream().await;
    let context = server.as_ref().unwrap().connect().await.publishing.context();
    let theirs = context.get_key_value("WEIR_POINTERS").await.unwrap();
    let revision = keys.put("main.newest", bytes("ours"), 0).await.unwrap();
    assert_eq!(theirs.get("main.newest").await.unwrap(), Some(bytes("ours")));
    let theirs_revision = theirs.update("main.newest", bytes("theirs"), revision).await.unwrap();
    let entry = Entry { value: bytes("theirs"), revision: theirs_revision };
    assert_eq!(keys.get("main.newest").await, Ok(Some(entry)));
    keys.remove("main.newest", theirs_revision).await.unwrap();
    assert_eq!(theirs.get("main.newest").await.unwrap(), None);
}

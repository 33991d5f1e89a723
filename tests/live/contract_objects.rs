//! What every implementation of `Objects` must do.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use weir::edges::folder::FolderObjects;
use weir::edges::jetstream::{JetObjects, Names, setup};
use weir::edges::memory::MemoryObjects;
use weir::edges::objects::{ObjectInfo, ObjectReader, Objects, PIECE_BYTES_MAX};
use weir::edges::streams::{AppendError, ReadError};
use weir::words::config::StreamSettings;

use crate::nats::{Server, soon};

/// What a test of the contract gets.
struct Fixture<O> {
    objects: O,
    /// The same store, as another worker has it.
    other: O,
    /// Dropped last.
    place: Place,
}

/// Where the objects are.
enum Place {
    Memory,
    Folder(Folder),
    Server(Box<Server>),
}

/// A folder that is gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("objects-{}-{number}", std::process::id()));
        // A process of the same id may have left one.
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    /// The names of all that is in it, ascending.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[expect(clippy::unused_async, reason = "made like the others")]
async fn memory() -> Fixture<MemoryObjects> {
    let objects = MemoryObjects::new(64 << 20);
    Fixture { other: objects.clone(), objects, place: Place::Memory }
}

#[expect(clippy::unused_async, reason = "made like the others")]
async fn folder() -> Fixture<FolderObjects> {
    let folder = Folder::new();
    let open = || FolderObjects::open(&folder.0).unwrap();
    Fixture { objects: open(), other: open(), place: Place::Folder(folder) }
}

/// A store on a server of its own.
async fn jetstream() -> Fixture<JetObjects> {
    let server = Server::start().await;
    let (objects, other) = stores(&server, &server, &StreamSettings::default()).await;
    Fixture { objects, other, place: Place::Server(Box::new(server)) }
}

/// Makes the store, and gives it twice, over connections to each server.
async fn stores(one: &Server, another: &Server, settings: &StreamSettings) -> (JetObjects, JetObjects) {
    let (names, connections) = (Names::default(), one.connect().await);
    setup(&connections.publishing.context(), &names, &[] as &[&str], settings).await.unwrap();
    let bucket = names.snapshots_bucket();
    (JetObjects::new(connections, &bucket), JetObjects::new(another.connect().await, &bucket))
}

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::memory().await).await;
            })*
        }
        mod in_a_folder {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::folder().await).await;
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
    what_is_read_is_what_was_written,
    a_name_is_written_once,
    of_writers_that_race_one_passes,
    what_is_given_up_is_not_seen,
    objects_are_listed_and_removed,
    names_do_not_lead_elsewhere,
    a_write_takes_chunks_as_fast_as_it_stores_them,
}

/// Bytes that are nowhere alike.
fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// Writes an object in chunks of `size` bytes.
async fn write(objects: &impl Objects, name: &str, bytes: &[u8], size: usize) -> Result<u64, AppendError> {
    let (sender, chunks) = mpsc::channel(2);
    let send = async move {
        for chunk in bytes.chunks(size) {
            // A write that has failed takes no more.
            if sender.send(Bytes::copy_from_slice(chunk)).await.is_err() {
                break;
            }
        }
    };
    let writing = Box::pin(objects.write(name, chunks));
    soon("an object to be written", async { tokio::join!(writing, send).0 }).await
}

async fn read(objects: &impl Objects, name: &str) -> Option<Vec<u8>> {
    let mut reader = soon("an object to be opened", objects.read(name)).await.unwrap()?;
    let mut bytes = Vec::new();
    while let Some(piece) = soon("a piece", reader.next()).await.unwrap() {
        assert!((1..=PIECE_BYTES_MAX).contains(&piece.len()));
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(reader.next().await, Ok(None), "the end is the end");
    Some(bytes)
}

async fn what_is_read_is_what_was_written<O: Objects>(fixture: Fixture<O>) {
    let Fixture { objects, other, .. } = &fixture;
    let cases = [
        (0, 1),
        (1, 1),
        (1_000, 7),
        (PIECE_BYTES_MAX - 1, 1_000),
        (PIECE_BYTES_MAX, PIECE_BYTES_MAX),
        (PIECE_BYTES_MAX + 1, 100_000),
        (5 * PIECE_BYTES_MAX, 3 * PIECE_BYTES_MAX),
        (10_000_000, 1_500_000),
    ];
    for (number, (length, size)) in (0..).zip(cases) {
        let name = format!("main.{number}-a_b");
        let bytes = content(length, number);
        assert_eq!(write(objects, &name, &bytes, size).await, Ok(length as u64));
        assert!(read(other, &name).await.unwrap() == bytes, "{length} bytes in chunks of {size}");
    }
    assert_eq!(read(other, "main.0").await, None);
}

async fn a_name_is_written_once<O: Objects>(fixture: Fixture<O>) {
    let Fixture { objects, other, .. } = &fixture;
    let bytes = content(300_000, 1);
    assert_eq!(write(objects, "a", &bytes, 50_000).await, Ok(300_000));
    for again in [objects, other] {
        assert_eq!(write(again, "a", &content(10, 2), 10).await, Err(AppendError::Conflict));
        assert_eq!(write(again, "a", &bytes, 50_000).await, Err(AppendError::Conflict));
        assert_eq!(write(again, "a", &[], 1).await, Err(AppendError::Conflict));
    }
    assert!(read(other, "a").await.unwrap() == bytes);
    // A name that was removed is free again.
    objects.remove("a").await.unwrap();
    assert_eq!(write(other, "a", &bytes[..7], 7).await, Ok(7));
    assert_eq!(read(objects, "a").await.unwrap(), bytes[..7]);
}

async fn of_writers_that_race_one_passes<O: Objects>(fixture: Fixture<O>) {
    for round in 0..5 {
        let name = format!("race-{round}");
        let racing = (0..4).map(|writer| {
            let objects = if writer % 2 == 0 { &fixture.objects } else { &fixture.other }.clone();
            let name = name.clone();
            tokio::spawn(async move { write(&objects, &name, &content(400_000, writer), 30_000).await })
        });
        let racing: Vec<_> = racing.collect();
        let mut won = Vec::new();
        for (writer, task) in (0..).zip(racing) {
            match task.await.unwrap() {
                Ok(bytes) => {
                    assert_eq!(bytes, 400_000);
                    won.push(writer);
                }
                Err(error) => assert_eq!(error, AppendError::Conflict),
            }
        }
        assert_eq!(won.len(), 1, "{won:?}");
        assert!(read(&fixture.objects, &name).await.unwrap() == content(400_000, won[0]));
    }
}

async fn what_is_given_up_is_not_seen<O: Objects>(fixture: Fixture<O>) {
    let Fixture { objects, other, .. } = &fixture;
    let (sender, chunks) = mpsc::channel(1);
    let mut writing = Box::pin(objects.write("half", chunks));
    let send = async {
        for _ in 0..40 {
            sender.send(Bytes::from(content(100_000, 1))).await.unwrap();
        }
    };
    tokio::select! {
        written = &mut writing => panic!("{written:?}"),
        () = send => {}
    }
    assert_eq!(other.list().await, Ok(vec![]));
    assert_eq!(read(other, "half").await, None);
    drop(writing);
    drop(sender);
    assert_eq!(other.list().await, Ok(vec![]));
    assert_eq!(read(other, "half").await, None);
    // Its name is free.
    assert_eq!(write(other, "half", b"whole", 2).await, Ok(5));
    assert_eq!(read(objects, "half").await.unwrap(), b"whole");
}

async fn objects_are_listed_and_removed<O: Objects>(fixture: Fixture<O>) {
    let Fixture { objects, other, .. } = &fixture;
    assert_eq!(objects.list().await, Ok(vec![]));
    let info = |name: &str, bytes| ObjectInfo { name: name.to_owned(), bytes };
    for (name, length) in [("b", 200_000), ("a.2", 0), ("a-1", 1), ("A", 2)] {
        write(objects, name, &content(length, 1), 70_000).await.unwrap();
    }
    let all = vec![info("A", 2), info("a-1", 1), info("a.2", 0), info("b", 200_000)];
    assert_eq!(other.list().await, Ok(all.clone()));
    for removed in ["b", "a.2"] {
        assert_eq!(other.remove(removed).await, Ok(()));
        assert_eq!(read(objects, removed).await, None);
    }
    assert_eq!(objects.list().await, Ok(all[..2].to_vec()));
    assert_eq!(read(other, "a-1").await.unwrap().len(), 1);
    // Removing what is not there is no error.
    for absent in ["b", "never"] {
        assert_eq!(objects.remove(absent).await, Ok(()));
    }
}

async fn names_do_not_lead_elsewhere<O: Objects>(fixture: Fixture<O>) {
    let objects = &fixture.objects;
    write(objects, "a", b"x", 1).await.unwrap();
    for bad in
        ["", ".", "..", "../a", "/a", "a/b", "a/../a", ".a", "a.", "*", ">", "a b", "a\0", &"x".repeat(129)]
    {
        let refused = write(objects, bad, b"x", 1).await;
        assert!(matches!(&refused, Err(AppendError::Unavailable(_))), "{bad:?}: {refused:?}");
        assert_eq!(read(objects, bad).await, None, "{bad:?}");
        assert_eq!(objects.remove(bad).await, Ok(()), "{bad:?}");
    }
    assert_eq!(objects.list().await.unwrap().len(), 1);
    write(objects, &"x".repeat(128), b"y", 1).await.unwrap();
    assert_eq!(read(objects, &"x".repeat(128)).await.unwrap(), b"y");
}

async fn a_write_takes_chunks_as_fast_as_it_stores_them<O: Objects>(fixture: Fixture<O>) {
    // A source that waits for each chunk to be taken still gets to its end, as one that sends all at once.
    for capacity in [1, 64] {
        let (sender, chunks) = mpsc::channel(capacity);
        let bytes = content(3_000_000, 9);
        let name = format!("capacity-{capacity}");
        let send = async {
            for chunk in bytes.chunks(64_000) {
                sender.send(Bytes::copy_from_slice(chunk)).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(sender);
        };
        let writing = Box::pin(fixture.objects.write(&name, chunks));
        let writing = async { tokio::join!(writing, send).0 };
        assert_eq!(soon("an object to be written", writing).await, Ok(3_000_000));
        assert!(read(&fixture.other, &name).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn objects_in_memory_are_bounded() {
    let objects = MemoryObjects::new(1_000);
    assert_eq!(write(&objects, "a", &content(600, 1), 100).await, Ok(600));
    for length in [401, 1_001, 1_000_000] {
        assert_eq!(write(&objects, "b", &content(length, 1), 100).await, Err(AppendError::Full));
    }
    assert_eq!(write(&objects, "b", &content(400, 1), 100).await, Ok(400));
    objects.remove("a").await.unwrap();
    assert_eq!(write(&objects, "c", &content(600, 1), 100).await, Ok(600));
}

#[tokio::test]
async fn a_folder_holds_nothing_but_its_objects() {
    let fixture = folder().await;
    let Place::Folder(folder) = &fixture.place else { panic!("no folder") };
    write(&fixture.objects, "a", b"x", 1).await.unwrap();
    assert_eq!(write(&fixture.objects, "a", b"x", 1).await, Err(AppendError::Conflict));
    assert_eq!(folder.names(), ["a"]);
    // What a crash has left goes when the folder is opened again; what is being written stays.
    std::fs::write(folder.0.join(".b.1.1.part"), "left").unwrap();
    std::fs::write(folder.0.join("not a name"), "somebody else's").unwrap();
    let (sender, chunks) = mpsc::channel(1);
    let mut writing = Box::pin(fixture.objects.write("b", chunks));
    tokio::select! {
        written = &mut writing => panic!("{written:?}"),
        () = async {
            for _ in 0..3 {
                sender.send(Bytes::from_static(b"b")).await.unwrap();
            }
        } => {}
    }
    let reopened = FolderObjects::open(&folder.0).unwrap();
    assert_eq!(folder.names().len(), 3, "{:?}", folder.names());
    drop(sender);
    assert_eq!(writing.await, Ok(3));
    assert_eq!(folder.names(), ["a", "b", "not a name"]);
    assert_eq!(reopened.list().await.unwrap().len(), 2);
    let mut reader = reopened.read("b").await.unwrap().unwrap();
    reopened.remove("b").await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), "bbb");
}

/// How many messages the store's stream holds.
async fn messages(server: &Server) -> u64 {
    let context = server.connect().await.publishing.context();
    let mut stream = context.get_stream("OBJ_WEIR_SNAPSHOTS").await.unwrap();
    stream.info().await.unwrap().state.messages
}

#[tokio::test]
async fn a_cluster_keeps_the_contract() {
    let servers = Server::start_three().await;
    let settings = StreamSettings { replicas: 3, ..StreamSettings::default() };
    let (objects, other) = stores(&servers[0], &servers[1], &settings).await;
    let fixture = || Fixture { objects: objects.clone(), other: other.clone(), place: Place::Memory };
    of_writers_that_race_one_passes(fixture()).await;
    for object in objects.list().await.unwrap() {
        other.remove(&object.name).await.unwrap();
    }
    objects_are_listed_and_removed(fixture()).await;
    assert_eq!(messages(&servers[2]).await, 4, "two objects of a chunk each");
}

#[tokio::test]
async fn a_full_store_refuses_and_gives_its_room_back() {
    let server = Server::start().await;
    let settings = StreamSettings { snapshots_bytes_max: 1 << 20, ..StreamSettings::default() };
    let (objects, other) = stores(&server, &server, &settings).await;
    assert_eq!(write(&objects, "a", &content(600_000, 1), 100_000).await, Ok(600_000));
    let kept = messages(&server).await;
    assert_eq!(write(&objects, "b", &content(600_000, 2), 100_000).await, Err(AppendError::Full));
    assert_eq!(messages(&server).await, kept, "what was stored of it is gone again");
    assert_eq!(read(&other, "b").await, None);
    objects.remove("a").await.unwrap();
    assert_eq!(messages(&server).await, 0);
    assert_eq!(write(&other, "b", &content(600_000, 2), 100_000).await, Ok(600_000));
    assert!(read(&objects, "b").await.unwrap() == content(600_000, 2));
}

#[tokio::test]
async fn what_was_given_up_is_swept() {
    let fixture = jetstream().await;
    let Place::Server(server) = &fixture.place else { panic!("no server") };
    let (objects, other) = (&fixture.objects, &fixture.other);
    write(objects, "whole", &content(300_000, 1), 100_000).await.unwrap();
    let kept = messages(server).await;
    let (sender, chunks) = mpsc::channel(1);
    let mut writing = Box::pin(objects.write("half", chunks));
    tokio::select! {
        written = &mut writing => panic!("{written:?}"),
        () = async {
            for _ in 0..40 {
                sender.send(Bytes::from(content(100_000, 1))).await.unwrap();
            }
        } => {}
    }
    drop(writing);
    let left = messages(server).await;
    assert!(left > kept, "{left}");
    // One that may still go on is left alone.
    other.sweep(Duration::from_mins(5)).await.unwrap();
    assert_eq!(messages(server).await, left);
    other.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(messages(server).await, kept);
    assert!(read(other, "whole").await.unwrap() == content(300_000, 1));
}

#[tokio::test]
async fn what_is_damaged_or_removed_is_not_read_as_if_it_were_whole() {
    let fixture = jetstream().await;
    let Place::Server(server) = &fixture.place else { panic!("no server") };
    let (objects, other) = (&fixture.objects, &fixture.other);
    let context = server.connect().await.publishing.context();
    let stream = context.get_stream("OBJ_WEIR_SNAPSHOTS").await.unwrap();
    let read_all = async |mut reader: <JetObjects as Objects>::Reader| loop {
        match soon("a piece", reader.next()).await {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    };
    let is_unreadable = |error: &Option<ReadError>| matches!(error, Some(ReadError::Unreadable(_)));

    write(objects, "a", &content(1_000_000, 1), 100_000).await.unwrap();
    // The last chunk, and one in the middle.
    for lost in [8, 4] {
        stream.delete_message(lost).await.unwrap();
        let error = read_all(other.read("a").await.unwrap().unwrap()).await;
        assert!(is_unreadable(&error), "{error:?}");
    }
    stream.purge().filter("$O.WEIR_SNAPSHOTS.C.>").await.unwrap();
    let error = read_all(other.read("a").await.unwrap().unwrap()).await;
    assert!(is_unreadable(&error), "{error:?}");
    assert_eq!(objects.remove("a").await, Ok(()));

    // Another's chunk in its place.
    write(objects, "b", b"b", 1).await.unwrap();
    let chunk = stream.get_last_raw_message_by_subject("$O.WEIR_SNAPSHOTS.C.>").await.unwrap();
    stream.delete_message(chunk.sequence).await.unwrap();
    context.publish(chunk.subject, "c".into()).await.unwrap().await.unwrap();
    let error = read_all(other.read("b").await.unwrap().unwrap()).await;
    assert!(is_unreadable(&error), "{error:?}");

    // Removed under a reader that has more on its way than it has taken.
    write(objects, "c", &content(60_000_000, 1), 1_000_000).await.unwrap();
    let mut reader = other.read("c").await.unwrap().unwrap();
    assert!(soon("the first piece", reader.next()).await.unwrap().is_some());
    objects.remove("c").await.unwrap();
    let error = read_all(reader).await;
    assert!(matches!(error, Some(ReadError::Unreadable(_) | ReadError::Unavailable(_))), "{error:?}");
    assert_eq!(other.read("c").await.err(), None);
}

#[tokio::test]
async fn other_clients_know_the_store() {
    let fixture = jetstream().await;
    let Place::Server(server) = &fixture.place else { panic!("no server") };
    let context = server.connect().await.publishing.context();
    let theirs = context.get_object_store("WEIR_SNAPSHOTS").await.unwrap();
    let bytes = content(1_000_000, 1);
    write(&fixture.objects, "main.1-a", &bytes, 300_000).await.unwrap();
    let mut read_by_them = Vec::new();
    // It checks the digest.
    theirs.get("main.1-a").await.unwrap().read_to_end(&mut read_by_them).await.unwrap();
    assert!(read_by_them == bytes);
    theirs.put("theirs", &mut &bytes[..]).await.unwrap();
    assert!(read(&fixture.other, "theirs").await.unwrap() == bytes);
    assert_eq!(write(&fixture.objects, "theirs", b"x", 1).await, Err(AppendError::Conflict));
    // They leave a mark, Weir does not.
    theirs.delete("theirs").await.unwrap();
    assert_eq!(read(&fixture.objects, "theirs").await, None);
    assert_eq!(fixture.objects.list().await.unwrap().len(), 1);
    fixture.objects.remove("theirs").await.unwrap();
    assert_eq!(write(&fixture.objects, "theirs", b"x", 1).await, Ok(1));
}

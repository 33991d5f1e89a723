//! What every implementation of `Streams` must do, run on both: in memory, and in JetStream on a real server.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use weir::edges::clock::SystemClock;
use weir::edges::jetstream::{JetStreams, Names, setup};
use weir::edges::memory::{MemoryLimits, MemoryStreams};
use weir::edges::streams::{
    AppendError, Headers, LogReader as _, READ_BYTES_MAX, READ_MESSAGES_MAX, ReadError, Reader, Streams,
};
use weir::words::append::{Append, AppendHeader, Chain, DeadLetter, StoredAppend};
use weir::words::codec::Format;
use weir::words::codes::Family;
use weir::words::config::StreamSettings;
use weir::words::identity::Identity;
use weir::words::message::{LogMessage, Way};

use crate::nats::{Server, soon, until};

/// What a test of the contract gets.
pub(crate) struct Fixture<S> {
    pub(crate) streams: S,
    /// The same streams over other connections, as another worker has them.
    pub(crate) other: S,
    /// Dropped last.
    pub(crate) server: Option<Server>,
}

/// Streams in memory.
#[expect(clippy::unused_async, reason = "made like the others")]
async fn memory(log_bytes_max: u32) -> Fixture<MemoryStreams> {
    let limits = MemoryLimits {
        log_bytes_max: log_bytes_max.into(),
        outcomes_bytes_max: log_bytes_max.into(),
        ..MemoryLimits::default()
    };
    let streams = MemoryStreams::new(SystemClock::shared(), limits);
    Fixture { other: streams.clone(), streams, server: None }
}

/// Streams on a server of their own.
pub(crate) async fn jetstream(log_bytes_max: u32) -> Fixture<JetStreams> {
    let server = Server::start().await;
    let names = Names::default();
    let connections = server.connect().await;
    let settings = StreamSettings {
        log_bytes_max: log_bytes_max.into(),
        outcomes_bytes_max: log_bytes_max.into(),
        ..StreamSettings::default()
    };
    setup(&connections.publishing.context(), &names, &["main"], &settings).await.unwrap();
    let shard = names.shard("main").unwrap();
    let streams = JetStreams::new(connections, shard.clone());
    let other = JetStreams::new(server.connect().await, shard);
    Fixture { streams, other, server: Some(server) }
}

const ROOMY: u32 = 256 << 20;

macro_rules! contract {
    ($($test:ident($bytes:expr)),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::memory($bytes).await).await;
            })*
        }
        mod in_jetstream {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::jetstream($bytes).await).await;
            })*
        }
    };
}

contract! {
    messages_are_read_in_order_as_they_were_written(super::ROOMY),
    a_read_gives_a_bounded_number_of_messages_and_bytes(super::ROOMY),
    reading_starts_anywhere(super::ROOMY),
    a_reader_beyond_the_end_waits_and_then_delivers(super::ROOMY),
    a_reader_follows_what_is_written_later(super::ROOMY),
    giving_up_a_read_loses_nothing(super::ROOMY),
    messages_are_fetched_as_they_are_read(super::ROOMY),
    the_fence_lets_one_append_pass(super::ROOMY),
    two_writers_race_and_one_wins_each_sequence(super::ROOMY),
    outcomes_come_back_as_they_went(super::ROOMY),
    the_state_tells_first_last_and_bytes(super::ROOMY),
    an_append_by_a_subject_keeps_its_way_and_its_headers(super::ROOMY),
    a_full_log_refuses_and_drops_nothing(1 << 20),
    what_is_too_large_is_refused(super::ROOMY),
    dead_letters_are_taken(super::ROOMY),
    dead_letters_are_read_as_they_were_stored(super::ROOMY),
    what_is_left_of_a_trimmed_log_is_contiguous(super::ROOMY),
    a_trim_beyond_the_end_empties_the_log_and_sequences_go_on(super::ROOMY),
    a_reader_opened_before_a_trim_goes_on(super::ROOMY),
    a_trim_makes_room_in_a_full_log(1 << 20),
}

/// The `number`th payload of a test.
pub(crate) fn payload(number: u64) -> Bytes {
    Bytes::from(format!("{{\"number\":{number}}}"))
}

/// Writes payloads `numbers` to the log.
pub(crate) async fn write(streams: &impl Streams, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(streams.append_log(Format::Json, payload(number)).await, Ok(number));
    }
}

/// Reads until the message `through` has come.
pub(crate) async fn read_through(reader: &mut impl Reader<LogMessage>, through: u64) -> Vec<LogMessage> {
    let mut messages: Vec<LogMessage> = Vec::new();
    while messages.last().is_none_or(|message| message.sequence < through) {
        let taken = soon("the next messages", reader.next()).await.unwrap();
        assert!(!taken.is_empty() && taken.len() <= READ_MESSAGES_MAX);
        messages.extend(taken);
    }
    messages
}

/// Checks that `messages` are the ones that [`write`] wrote, from `from` on, without gaps.
pub(crate) fn assert_written(messages: &[LogMessage], from: u64) {
    for (sequence, message) in (from..).zip(messages) {
        assert_eq!((message.sequence, &message.payload), (sequence, &payload(sequence)));
        assert_eq!(message.format, Some(Format::Json));
    }
    assert!(messages.windows(2).all(|pair| pair[0].stored_at_ns <= pair[1].stored_at_ns));
}

/// An append from `from` to `through`.
pub(crate) fn append(from: u64, through: u64, writer: &str) -> Append {
    Append {
        header: AppendHeader {
            from: Identity { sequence: from, index: 1, place: 2 },
            through: Identity { sequence: through, index: 3, place: 4 },
            rules: 7,
            writer: writer.to_owned(),
            chain: Chain { sequence: through, hash: u64::MAX - through },
        },
        format: Format::Bincode,
        payload: payload(through),
    }
}

async fn messages_are_read_in_order_as_they_were_written<S: Streams>(fixture: Fixture<S>) {
    let streams = &fixture.streams;
    write(streams, 1..=3).await;
    assert_eq!(streams.append_log(Format::Bincode, Bytes::from_static(&[0, 255, 13, 10])).await, Ok(4));
    assert_eq!(streams.append_log(Format::Json, Bytes::new()).await, Ok(5));
    let messages = read_through(&mut fixture.other.read_log(1).await.unwrap(), 5).await;
    assert_written(&messages[..3], 1);
    assert_eq!(messages[3].format, Some(Format::Bincode));
    assert_eq!(&messages[3].payload[..], [0, 255, 13, 10]);
    assert!(messages[4].payload.is_empty());
    let now = SystemClock::shared().wall_ns();
    assert!(messages.iter().all(|message| (now - message.stored_at_ns).abs() < 60_000_000_000));
}

async fn a_read_gives_a_bounded_number_of_messages_and_bytes<S: Streams>(fixture: Fixture<S>) {
    let streams = &fixture.streams;
    write(streams, 1..=1_500).await;
    let messages = read_through(&mut streams.read_log(1).await.unwrap(), 1_500).await;
    assert_written(&messages, 1);
    assert_eq!(messages.len(), 1_500);

    let large = Bytes::from(vec![b' '; 1_000_000]);
    for _ in 0..40 {
        streams.append_log(Format::Json, large.clone()).await.unwrap();
    }
    let mut reader = streams.read_log(1_501).await.unwrap();
    let mut came = 0;
    while came < 40 {
        let taken = soon("large messages", reader.next()).await.unwrap();
        assert!(taken.len() * large.len() < READ_BYTES_MAX + large.len());
        assert!(taken.iter().all(|message| message.payload == large));
        came += taken.len();
    }
}

async fn an_append_by_a_subject_keeps_its_way_and_its_headers<S: Streams>(fixture: Fixture<S>) {
    let streams = &fixture.streams;
    let marks =
        [("Weir-Append".to_owned(), "a.main.1".to_owned()), ("weir-other".to_owned(), "x y".to_owned())];
    let none = Headers::default();
    let ways = [
        (Way::Family(Family::Orders), Headers::new(marks.clone())),
        (Way::Family(Family::Stock), none.clone()),
        (Way::Any, Headers::new(marks[..1].to_vec())),
    ];
    for (sequence, (way, headers)) in (1..).zip(&ways) {
        let appended = streams.append_log_by(*way, Format::Bincode, headers, payload(sequence)).await;
        assert_eq!(appended, Ok(sequence));
    }
    let refused = streams.append_log_by(Way::Other, Format::Json, &none, payload(4)).await;
    assert!(matches!(refused, Err(AppendError::Missing(_))), "{refused:?}");
    let mut reader = fixture.other.read_log(1).await.unwrap();
    let mut read = Vec::new();
    while read.len() < ways.len() {
        read.extend(soon("the messages", reader.next_stored()).await.unwrap());
    }
    for ((sequence, stored), (way, headers)) in (1..).zip(&read).zip(&ways) {
        let message = &stored.message;
        assert_eq!((message.sequence, message.way, &message.payload), (sequence, *way, &payload(sequence)));
        assert_eq!(message.format, Some(Format::Bincode));
        assert_eq!(stored.headers.iter().count(), headers.iter().count(), "{stored:?}");
        for (name, value) in headers.iter() {
            assert_eq!(stored.headers.get(&name.to_uppercase()), Some(value));
        }
        assert_eq!(streams.log_message(sequence).await, Ok(Some(message.clone())));
    }
}

async fn reading_starts_anywhere<S: Streams>(fixture: Fixture<S>) {
    write(&fixture.streams, 1..=20).await;
    for from in [0, 1, 2, 10, 20] {
        let messages = read_through(&mut fixture.streams.read_log(from).await.unwrap(), 20).await;
        assert_written(&messages, from.max(1));
        assert_eq!(messages.len() as u64, 21 - from.max(1));
    }
}

async fn a_reader_beyond_the_end_waits_and_then_delivers<S: Streams>(fixture: Fixture<S>) {
    let mut on_empty = fixture.streams.read_log(1).await.unwrap();
    let mut beyond = fixture.streams.read_log(5).await.unwrap();
    let wait = Duration::from_millis(300);
    assert!(tokio::time::timeout(wait, on_empty.next()).await.is_err());
    write(&fixture.streams, 1..=4).await;
    // What comes before its position is not for it.
    assert!(tokio::time::timeout(wait, beyond.next()).await.is_err());
    write(&fixture.streams, 5..=7).await;
    assert_written(&read_through(&mut on_empty, 7).await, 1);
    let messages = read_through(&mut beyond, 7).await;
    assert_written(&messages, 5);
    assert_eq!(messages.len(), 3);
}

async fn a_reader_follows_what_is_written_later<S: Streams>(fixture: Fixture<S>) {
    let mut reader = fixture.other.read_log(1).await.unwrap();
    for round in 0..20 {
        write(&fixture.streams, round * 10 + 1..=round * 10 + 10).await;
        assert_written(&read_through(&mut reader, round * 10 + 10).await, round * 10 + 1);
    }
    // Longer than it takes a reader to give up on a silent server.
    assert!(tokio::time::timeout(Duration::from_secs(4), reader.next()).await.is_err());
    write(&fixture.streams, 201..=201).await;
    assert_written(&read_through(&mut reader, 201).await, 201);
}

async fn giving_up_a_read_loses_nothing<S: Streams>(fixture: Fixture<S>) {
    let mut reader = fixture.streams.read_log(1).await.unwrap();
    let writer = tokio::spawn({
        let streams = fixture.other.clone();
        async move {
            for number in 1..=2_000 {
                write(&streams, number..=number).await;
                tokio::task::yield_now().await;
            }
        }
    });
    let mut messages = Vec::new();
    let mut given_up = 0;
    while messages.len() < 2_000 {
        // The read is polled once, and given up whenever it has to wait.
        match reader.next().now_or_never() {
            Some(taken) => messages.extend(taken.unwrap()),
            None => given_up += 1,
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert_written(&messages, 1);
    assert!(given_up > 0);
}

async fn messages_are_fetched_as_they_are_read<S: Streams>(fixture: Fixture<S>) {
    let streams = &fixture.streams;
    assert_eq!(streams.log_message(1).await, Ok(None));
    write(streams, 1..=10).await;
    streams.append_log(Format::Bincode, Bytes::from(vec![7; 1_000_000])).await.unwrap();
    let messages = read_through(&mut streams.read_log(1).await.unwrap(), 11).await;
    // Read in the middle of a batch as well as first: both ways in are compared.
    for message in messages {
        assert_eq!(streams.log_message(message.sequence).await, Ok(Some(message)));
    }
    for absent in [0, 12, u64::MAX] {
        assert_eq!(streams.log_message(absent).await, Ok(None), "{absent}");
    }
}

async fn the_fence_lets_one_append_pass<S: Streams>(fixture: Fixture<S>) {
    let Fixture { streams, other, .. } = &fixture;
    assert_eq!(streams.append_outcomes(append(0, 1, "a"), 1).await, Err(AppendError::Conflict));
    assert_eq!(streams.append_outcomes(append(0, 1, "a"), 0).await, Ok(1));
    assert_eq!(other.append_outcomes(append(0, 1, "b"), 0).await, Err(AppendError::Conflict));
    assert_eq!(other.append_outcomes(append(1, 2, "b"), 1).await, Ok(2));
    assert_eq!(streams.append_outcomes(append(1, 2, "a"), 1).await, Err(AppendError::Conflict));
    // After a conflict the loser reads the last append and goes on after it.
    let last = streams.last_outcomes().await.unwrap().unwrap();
    assert_eq!((last.sequence, last.append), (2, append(1, 2, "b")));
    assert_eq!(streams.append_outcomes(append(2, 3, "a"), last.sequence).await, Ok(3));
}

async fn two_writers_race_and_one_wins_each_sequence<S: Streams>(fixture: Fixture<S>) {
    const SEQUENCES: u64 = 100;
    async fn contend<S: Streams>(streams: S, writer: &'static str) -> Vec<u64> {
        let mut won = Vec::new();
        let mut last = 0;
        while last < SEQUENCES {
            match streams.append_outcomes(append(last, last + 1, writer), last).await {
                Ok(sequence) => {
                    won.push(sequence);
                    last = sequence;
                }
                Err(AppendError::Conflict) => {
                    last = streams.last_outcomes().await.unwrap().map_or(0, |append| append.sequence);
                }
                Err(error) => panic!("{error}"),
            }
            tokio::task::yield_now().await;
        }
        won
    }
    let a = tokio::spawn(contend(fixture.streams.clone(), "a"));
    let b = tokio::spawn(contend(fixture.other.clone(), "b"));
    let (a, b) = (a.await.unwrap(), b.await.unwrap());
    let mut reader = fixture.streams.read_outcomes(1).await.unwrap();
    let mut stored: Vec<StoredAppend> = Vec::new();
    while stored.len() < a.len() + b.len() {
        stored.extend(soon("outcomes", reader.next()).await.unwrap());
    }
    assert_eq!(fixture.streams.outcomes_state().await.unwrap().last_sequence, stored.len() as u64);
    for (sequence, stored) in (1..).zip(stored) {
        let writer = if a.contains(&sequence) { "a" } else { "b" };
        assert_eq!(stored, StoredAppend { sequence, append: append(sequence - 1, sequence, writer) });
    }
}

async fn outcomes_come_back_as_they_went<S: Streams>(fixture: Fixture<S>) {
    let streams = &fixture.streams;
    assert_eq!(streams.last_outcomes().await, Ok(None));
    let mut written = vec![append(0, 1, "worker-1"), append(1, 2, ""), append(2, 3, "a: b; c=\"d\"")];
    written[1].format = Format::Json;
    written[1].payload = Bytes::new();
    written[2].header.through = Identity { sequence: u64::MAX, index: u32::MAX, place: u32::MAX };
    written[2].header.rules = u32::MAX;
    for (expected_last, append) in (0..).zip(&written) {
        assert_eq!(streams.append_outcomes(append.clone(), expected_last).await, Ok(expected_last + 1));
        let last = streams.last_outcomes().await.unwrap().unwrap();
        assert_eq!(last, StoredAppend { sequence: expected_last + 1, append: append.clone() });
    }
    let mut reader = fixture.other.read_outcomes(1).await.unwrap();
    let mut read = Vec::new();
    while read.len() < 3 {
        read.extend(soon("outcomes", reader.next()).await.unwrap().into_iter().map(|stored| stored.append));
    }
    assert_eq!(read, written);
}

async fn the_state_tells_first_last_and_bytes<S: Streams>(fixture: Fixture<S>) {
    let streams = &fixture.streams;
    let empty = streams.log_state().await.unwrap();
    assert_eq!((empty.first_sequence, empty.last_sequence, empty.bytes), (1, 0, 0));
    assert_eq!(empty.bytes_max, u64::from(ROOMY));
    write(streams, 1..=5).await;
    // Told by the other side at once: nothing in between may remember.
    let state = fixture.other.log_state().await.unwrap();
    assert_eq!((state.first_sequence, state.last_sequence), (1, 5));
    assert!(state.bytes > 5 * payload(1).len() as u64);
}

async fn a_full_log_refuses_and_drops_nothing<S: Streams>(fixture: Fixture<S>) {
    let streams = &fixture.streams;
    let large = Bytes::from(vec![b' '; 100_000]);
    let mut last = 0;
    let refused = loop {
        match streams.append_log(Format::Json, large.clone()).await {
            Ok(sequence) => last = sequence,
            Err(error) => break error,
        }
    };
    assert_eq!((refused, last), (AppendError::Full, 10));
    let state = streams.log_state().await.unwrap();
    assert_eq!((state.first_sequence, state.last_sequence), (1, 10));
    // What still fits still passes, without a gap.
    assert_eq!(streams.append_log(Format::Json, payload(11)).await, Ok(11));
    assert_eq!(read_through(&mut streams.read_log(1).await.unwrap(), 11).await.len(), 11);
}

async fn what_is_too_large_is_refused<S: Streams>(fixture: Fixture<S>) {
    let streams = &fixture.streams;
    let bytes_max = streams.payload_bytes_max();
    assert_eq!(bytes_max, 1 << 20);
    let too_large = Bytes::from(vec![b' '; bytes_max + 1]);
    assert_eq!(streams.append_log(Format::Json, too_large.clone()).await, Err(AppendError::TooLarge));
    let outcomes = Append { payload: too_large, ..append(0, 1, "a") };
    assert_eq!(streams.append_outcomes(outcomes, 0).await, Err(AppendError::TooLarge));
    write(streams, 1..=1).await;
    let just = Bytes::from(vec![b' '; bytes_max - 1_000]);
    assert_eq!(streams.append_log(Format::Json, just.clone()).await, Ok(2));
    assert_eq!(streams.log_message(2).await.unwrap().unwrap().payload, just);
}

async fn dead_letters_are_taken<S: Streams>(fixture: Fixture<S>) {
    let reasons = ["not JSON", "line\r\nbreak: x\0", "é 日本", &"x".repeat(5_000)];
    for (index, reason) in (0..).zip(reasons) {
        let letter = DeadLetter {
            sequence: 9,
            index,
            format: None,
            reason: reason.to_owned(),
            bytes: Bytes::from_static(&[0, 159, 13, 10]),
        };
        assert_eq!(fixture.streams.append_dead_letter(letter).await, Ok(()));
    }
    // One that fills its message to the last byte must not get stuck.
    let bytes = Bytes::from(vec![0; fixture.streams.payload_bytes_max()]);
    let letter = DeadLetter {
        sequence: 10,
        index: 0,
        format: Some(Format::Json),
        reason: "all of it".to_owned(),
        bytes,
    };
    assert_eq!(fixture.streams.append_dead_letter(letter).await, Ok(()));
}

async fn what_is_left_of_a_trimmed_log_is_contiguous<S: Streams>(fixture: Fixture<S>) {
    let Fixture { streams, other, .. } = &fixture;
    write(streams, 1..=20).await;
    for (through, first) in [(0, 1), (1, 2), (7, 8), (3, 8), (7, 8), (19, 20)] {
        assert_eq!(streams.trim_log(through).await, Ok(()));
        let state = other.log_state().await.unwrap();
        assert_eq!((state.first_sequence, state.last_sequence), (first, 20), "{through}");
        assert_eq!(other.log_message(first - 1).await, Ok(None));
        let messages = read_through(&mut other.read_log(1).await.unwrap(), 20).await;
        assert_written(&messages, first);
        assert_eq!(messages.len() as u64, 21 - first);
    }
    write(streams, 21..=22).await;
    assert_written(&read_through(&mut other.read_log(20).await.unwrap(), 22).await, 20);
}

async fn a_trim_beyond_the_end_empties_the_log_and_sequences_go_on<S: Streams>(fixture: Fixture<S>) {
    let Fixture { streams, other, .. } = &fixture;
    // Of an empty log there is nothing to trim.
    assert_eq!(streams.trim_log(u64::MAX).await, Ok(()));
    write(streams, 1..=5).await;
    for through in [5, 6, 1_000, u64::MAX] {
        let last = other.log_state().await.unwrap().last_sequence;
        assert_eq!(streams.trim_log(through).await, Ok(()));
        let state = other.log_state().await.unwrap();
        assert_eq!(
            (state.first_sequence, state.last_sequence, state.bytes),
            (last + 1, last, 0),
            "{through}"
        );
        assert_eq!(streams.trim_log(through).await, Ok(()));
        assert_eq!(other.log_state().await.unwrap(), state);
        write(streams, last + 1..=last + 1).await;
    }
    assert_written(&read_through(&mut other.read_log(1).await.unwrap(), 9).await, 9);
}

async fn a_reader_opened_before_a_trim_goes_on<S: Streams>(fixture: Fixture<S>) {
    let Fixture { streams, other, .. } = &fixture;
    write(streams, 1..=10).await;
    let mut at_the_end = other.read_log(1).await.unwrap();
    read_through(&mut at_the_end, 10).await;
    let mut waiting = other.read_log(11).await.unwrap();
    streams.trim_log(10).await.unwrap();
    write(streams, 11..=600).await;
    assert_written(&read_through(&mut at_the_end, 600).await, 11);
    assert_written(&read_through(&mut waiting, 600).await, 11);
    // One that is behind the trim may still give what it had fetched, and never goes back.
    let mut behind = other.read_log(100).await.unwrap();
    assert_written(&soon("the first messages", behind.next()).await.unwrap(), 100);
    streams.trim_log(500).await.unwrap();
    write(streams, 601..=601).await;
    let rest = read_through(&mut behind, 601).await;
    let gaps = rest.windows(2).filter(|pair| pair[1].sequence != pair[0].sequence + 1).count();
    assert!(gaps <= 1 && rest.is_sorted_by_key(|message| message.sequence));
    assert_written(&rest[rest.len() - 101..], 501);
}

async fn a_trim_makes_room_in_a_full_log<S: Streams>(fixture: Fixture<S>) {
    let streams = &fixture.streams;
    let large = Bytes::from(vec![b' '; 300_000]);
    for sequence in 1..=3 {
        assert_eq!(streams.append_log(Format::Json, large.clone()).await, Ok(sequence));
    }
    assert_eq!(streams.append_log(Format::Json, large.clone()).await, Err(AppendError::Full));
    streams.trim_log(1).await.unwrap();
    assert_eq!(streams.append_log(Format::Json, large).await, Ok(4));
}

async fn dead_letters_are_read_as_they_were_stored<S: Streams>(fixture: Fixture<S>) {
    let Fixture { streams, other, .. } = &fixture;
    assert_eq!(streams.dead_letters(1).await, Ok(vec![]));
    let formats = [None, Some(Format::Json), Some(Format::Bincode)];
    let letter = |number: u32| DeadLetter {
        sequence: u64::from(number / 7),
        index: number % 7,
        format: formats[number as usize % 3],
        reason: format!("reason {number}"),
        bytes: [&b"\0\xff\r\n"[..], &payload(number.into())].concat().into(),
    };
    for number in 0..600 {
        streams.append_dead_letter(letter(number)).await.unwrap();
    }
    // Twice, as two workers do.
    streams.append_dead_letter(letter(599)).await.unwrap();
    let (mut from, mut read) = (1, Vec::new());
    loop {
        let letters = soon("dead letters", other.dead_letters(from)).await.unwrap();
        assert!(letters.len() < 2 * READ_MESSAGES_MAX);
        let Some(last) = letters.last() else { break };
        from = last.sequence + 1;
        read.extend(letters);
    }
    assert_eq!(read.len(), 601);
    let now = SystemClock::shared().wall_ns();
    for (number, stored) in (0..).zip(&read) {
        assert_eq!(stored.letter, letter(number.min(599)));
        assert_eq!(stored.bytes_all, stored.letter.bytes.len() as u64);
        assert!((now - stored.stored_at_ns).abs() < 60_000_000_000);
    }
    assert!(read.is_sorted_by(|a, b| a.sequence < b.sequence));
    let later = read[300].sequence;
    assert_eq!(streams.dead_letters(later).await.unwrap()[0], read[300]);
    for beyond in [read[600].sequence + 1, u64::MAX] {
        assert_eq!(streams.dead_letters(beyond).await, Ok(vec![]));
    }
}

#[tokio::test]
async fn full_outcomes_in_memory_refuse_and_are_trimmed_but_for_the_last() {
    let streams = memory(1_000).await.streams;
    let mut last = 0;
    while let Ok(sequence) = streams.append_outcomes(append(last, last + 1, "a"), last).await {
        last = sequence;
    }
    assert_eq!(streams.append_outcomes(append(last, last + 1, "a"), last).await, Err(AppendError::Full));
    streams.trim_outcomes(u64::MAX);
    let state = streams.outcomes_state().await.unwrap();
    assert_eq!((state.first_sequence, state.last_sequence), (last, last));
    assert_eq!(streams.last_outcomes().await.unwrap().unwrap().sequence, last);
    assert_eq!(streams.append_outcomes(append(last, last + 1, "a"), last).await, Ok(last + 1));
}

/// Reads on from `position` through any error, as a shard does, until `through` has come.
pub(crate) async fn read_through_errors(
    streams: &impl Streams,
    position: u64,
    through: u64,
) -> (Vec<LogMessage>, u32) {
    let mut messages: Vec<LogMessage> = Vec::new();
    let mut errors = 0;
    let mut reader = None;
    until("the messages through errors", async || {
        let next = messages.last().map_or(position, |message| message.sequence + 1);
        if next > through {
            return Some(());
        }
        let taken = match &mut reader {
            None => match streams.read_log(next).await {
                Ok(opened) => {
                    reader = Some(opened);
                    return None;
                }
                Err(error) => Err(error),
            },
            Some(reader) => reader.next().await,
        };
        match taken {
            Ok(taken) => messages.extend(taken),
            Err(ReadError::Unavailable(error)) => {
                eprintln!("at {next}: {error}");
                errors += 1;
                reader = None;
            }
            Err(error) => panic!("{error}"),
        }
        None
    })
    .await;
    (messages, errors)
}

//! `Publishing`, driven by hand: no server, no thread, no clock. Whatever becomes of its appends, the stream must hold
//! exactly the outcomes of one fold, in order.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use weir::edges::streams::AppendError;
use weir::motion::folding::{Applied, Folding, Start};
use weir::motion::publishing::{Action, Position, Publishing};
use weir::words::append::{Append, Chain, StoredAppend};
use weir::words::codec::{Format, decode_outcome, outcomes};
use weir::words::fault::Fault;
use weir::words::identity::Identity;
use weir::words::message::{LogMessage, Way};

/// Room for headers that `Publishing` leaves in every message.
const HEADER_BYTES: usize = 1024;
/// Large enough for everything.
const ROOMY: usize = 1 << 20;

fn message(sequence: u64, commands: &[Value]) -> LogMessage {
    LogMessage {
        sequence,
        stored_at_ns: i64::try_from(sequence).unwrap() * 1_000_000,
        way: Way::Any,
        format: Some(Format::Json),
        payload: Bytes::from(json!(commands).to_string()),
    }
}

fn receive(id: u64, quantity: u64) -> Value {
    json!({"receive": {"receipt_id": format!("R-{id}"), "lines": [{"sku": "A", "quantity": quantity}]}})
}

/// An order that waits where there is no stock.
fn place(id: u64) -> Value {
    let lines = [json!({"sku": "A", "quantity": 1})];
    json!({"place": {"order_id": format!("O-{id}"), "lines": lines, "on_shortage": "backorder"}})
}

/// A log whose last record alone releases `orders` orders.
fn release(orders: u64) -> Vec<LogMessage> {
    let placed: Vec<_> = std::iter::once(receive(1, 1)).chain((0..=orders).map(place)).collect();
    vec![message(1, &placed), message(2, &[receive(2, orders)])]
}

fn folded(folding: &mut Folding, messages: &[LogMessage]) -> Vec<Applied> {
    let mut batches = Vec::new();
    let ended = folding.step(messages, i64::MAX, |applied| {
        batches.push(applied);
        true
    });
    assert_eq!(ended, Ok(()));
    batches
}

/// The outcomes of one fold, as JSON, and which records are dead letters.
fn reference(log: &[LogMessage]) -> (Vec<Value>, Vec<(u64, u32)>) {
    let mut folding = Folding::new(Start::empty(), Identity::START);
    let batches = folded(&mut folding, log);
    let mut all = Vec::new();
    let mut letters = Vec::new();
    for applied in &batches {
        for (_, bytes) in applied.output.outcomes() {
            all.push(serde_json::to_value(decode_outcome(bytes).unwrap()).unwrap());
        }
        letters.extend(applied.output.dead_letters.iter().map(|letter| (letter.sequence, letter.index)));
    }
    (all, letters)
}

/// The outcome stream and the dead letters, in memory.
#[derive(Default)]
struct Outbox {
    appends: Vec<StoredAppend>,
    letters: Vec<(u64, u32)>,
}

impl Outbox {
    fn position(&self) -> Position {
        Position::of(self.appends.len() as u64, self.appends.last())
    }

    /// Stores an append behind the fence.
    fn store(&mut self, append: Append, expected_last: u64) -> Result<u64, AppendError> {
        if expected_last != self.appends.len() as u64 {
            return Err(AppendError::Conflict);
        }
        let sequence = expected_last + 1;
        self.appends.push(StoredAppend { sequence, append });
        Ok(sequence)
    }

    /// All that is stored, after a check that each append follows the one before, and that none is larger than
    /// `payload_bytes_max` unless it holds a single outcome.
    fn outcomes(&self, payload_bytes_max: usize) -> Vec<Value> {
        let mut all = Vec::new();
        let mut through = Identity::START;
        for StoredAppend { append, .. } in &self.appends {
            assert_eq!(append.header.from, through);
            assert!(append.header.through > through);
            let outcomes = outcomes(append.format, &append.payload).unwrap();
            assert_eq!(outcomes.last().unwrap().identity(), append.header.through);
            assert!(outcomes.iter().all(|outcome| outcome.identity() > through));
            let bytes = append.payload.len() + HEADER_BYTES;
            assert!(bytes <= payload_bytes_max || outcomes.len() == 1, "{bytes}");
            all.extend(outcomes.iter().map(|outcome| serde_json::to_value(outcome).unwrap()));
            through = append.header.through;
        }
        all
    }
}

/// One worker: its fold, its publishing, and how far it has read the log.
struct Writer {
    folding: Folding,
    publishing: Publishing,
    read: usize,
}

impl Writer {
    fn new(format: Format, payload_bytes_max: usize, outbox: &Outbox) -> Self {
        let position = outbox.position();
        let mut publishing = Publishing::new("test".to_owned(), format, payload_bytes_max, &position);
        publishing.lead(true);
        Self { folding: Folding::new(Start::empty(), position.through), publishing, read: 0 }
    }

    fn fold(&mut self, log: &[LogMessage], count: usize) -> Vec<Applied> {
        let end = log.len().min(self.read + count);
        let batches = folded(&mut self.folding, &log[self.read..end]);
        self.read = end;
        batches
    }

    /// Reads and applies `count` messages of the log.
    fn apply(&mut self, log: &[LogMessage], count: usize) {
        for applied in self.fold(log, count) {
            self.publishing.applied(applied).unwrap();
        }
    }

    /// Lets everything succeed until nothing is left.
    fn finish(&mut self, log: &[LogMessage], outbox: &mut Outbox) {
        self.apply(log, usize::MAX - self.read);
        loop {
            match self.publishing.next() {
                Action::Idle => break,
                Action::Wait => panic!("nothing is under way"),
                Action::DeadLetters(letters) => {
                    outbox.letters.extend(letters.iter().map(|letter| (letter.sequence, letter.index)));
                    self.publishing.letters_ended(vec![]);
                }
                Action::Append { append, expected_last } => match outbox.store(append, expected_last) {
                    Ok(sequence) => drop(self.publishing.stored(sequence).unwrap()),
                    Err(error) => self.publishing.failed(&error),
                },
                Action::ReadLast => drop(self.publishing.read(&outbox.position()).unwrap()),
            }
        }
        assert!(self.publishing.is_done());
        assert_eq!(self.publishing.queued_bytes(), 0);
    }

    fn next_append(&mut self) -> (Append, u64) {
        match self.publishing.next() {
            Action::Append { append, expected_last } => (append, expected_last),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn appends_are_split_also_within_a_record() {
    let log = release(200);
    let (expected, _) = reference(&log);
    for format in [Format::Json, Format::Bincode] {
        let payload_bytes_max = HEADER_BYTES + 900;
        let mut outbox = Outbox::default();
        Writer::new(format, payload_bytes_max, &outbox).finish(&log, &mut outbox);
        assert_eq!(outbox.outcomes(payload_bytes_max), expected);
        let within = outbox.appends.iter().filter(|stored| {
            let header = &stored.append.header;
            header.from.sequence == 2 && header.through.sequence == 2
        });
        assert!(within.count() > 1);
        // While a message is announced in part, the chain stays at the one before.
        for stored in &outbox.appends[..outbox.appends.len() - 1] {
            let header = &stored.append.header;
            assert!(header.chain.sequence <= header.through.sequence);
        }
        assert_eq!(outbox.appends.last().unwrap().append.header.chain.sequence, 2);

        // Another one goes on from the middle of the record.
        for taken in 1..outbox.appends.len() {
            let mut rest = Outbox { appends: outbox.appends[..taken].to_vec(), letters: Vec::new() };
            Writer::new(format, payload_bytes_max, &rest).finish(&log, &mut rest);
            assert_eq!(rest.outcomes(payload_bytes_max), expected);
        }
    }
}

#[test]
fn a_lost_acknowledgement_loses_and_repeats_nothing() {
    let log = release(20);
    let (expected, _) = reference(&log);
    for landed in [true, false] {
        let mut outbox = Outbox::default();
        let mut writer = Writer::new(Format::Json, HEADER_BYTES + 900, &outbox);
        writer.apply(&log, 2);
        let (append, expected_last) = writer.next_append();
        let through = append.header.through;
        if landed {
            outbox.store(append, expected_last).unwrap();
        }
        assert_eq!(writer.publishing.next(), Action::Wait);
        writer.publishing.failed(&AppendError::TimedOut);
        assert_eq!(writer.publishing.next(), Action::ReadLast);
        writer.publishing.read(&outbox.position()).unwrap();
        assert_eq!(writer.publishing.through(), if landed { through } else { Identity::START });
        writer.finish(&log, &mut outbox);
        assert_eq!(outbox.outcomes(ROOMY), expected);
    }
}

#[test]
fn an_append_that_lands_late_is_found_by_the_conflict_it_makes() {
    let log = release(20);
    let mut outbox = Outbox::default();
    let mut writer = Writer::new(Format::Bincode, HEADER_BYTES + 600, &outbox);
    writer.apply(&log, 1);
    let (late, expected_late) = writer.next_append();
    writer.publishing.failed(&AppendError::TimedOut);
    assert_eq!(writer.publishing.next(), Action::ReadLast);
    writer.publishing.read(&outbox.position()).unwrap();
    writer.apply(&log, 1);
    let (append, expected_last) = writer.next_append();
    outbox.store(late, expected_late).unwrap();
    assert_eq!(outbox.store(append, expected_last), Err(AppendError::Conflict));
    writer.publishing.failed(&AppendError::Conflict);
    writer.finish(&log, &mut outbox);
    assert_eq!(outbox.outcomes(ROOMY), reference(&log).0);
}

#[test]
fn another_writer_behind_or_ahead_is_followed() {
    let log: Vec<_> = (1..=6).map(|sequence| message(sequence, &[receive(sequence, 1)])).collect();
    let (expected, _) = reference(&log);
    for (own, others) in [(4, 2), (2, 4), (3, 3)] {
        let mut outbox = Outbox::default();
        let mut one = Writer::new(Format::Json, ROOMY, &outbox);
        let mut other = Writer::new(Format::Bincode, ROOMY, &outbox);
        one.apply(&log, own);
        let (append, expected_last) = one.next_append();
        // The other one is faster.
        other.apply(&log, others);
        let (faster, _) = other.next_append();
        other.publishing.stored(outbox.store(faster, 0).unwrap()).unwrap();
        assert_eq!(outbox.store(append, expected_last), Err(AppendError::Conflict));
        one.publishing.failed(&AppendError::Conflict);
        assert_eq!(one.publishing.next(), Action::ReadLast);
        one.publishing.read(&outbox.position()).unwrap();
        one.finish(&log, &mut outbox);
        other.finish(&log, &mut outbox);
        assert_eq!(outbox.outcomes(ROOMY), expected);
    }
}

#[test]
fn a_full_stream_is_tried_again_without_reading_it() {
    let log = release(1);
    let mut outbox = Outbox::default();
    let mut writer = Writer::new(Format::Json, ROOMY, &outbox);
    writer.apply(&log, 2);
    let first = writer.next_append();
    writer.publishing.failed(&AppendError::Full);
    assert_eq!(writer.next_append(), first);
    writer.publishing.failed(&AppendError::Full);
    writer.finish(&log, &mut outbox);
    assert_eq!(outbox.outcomes(ROOMY), reference(&log).0);
}

#[test]
fn another_chain_is_a_mismatch() {
    let log: Vec<_> = (1..=3).map(|sequence| message(sequence, &[receive(sequence, 1)])).collect();
    let mut outbox = Outbox::default();
    Writer::new(Format::Json, ROOMY, &outbox).finish(&log[..2], &mut outbox);
    let header = &mut outbox.appends[0].append.header;
    header.chain = Chain { hash: header.chain.hash ^ 1, ..header.chain };
    let mismatch = |result: Result<(), Fault>| {
        assert!(matches!(result, Err(Fault::DigestMismatch { .. })), "{result:?}");
    };

    // Found when what was announced is folded again.
    let mut late = Writer::new(Format::Json, ROOMY, &outbox);
    let applied = late.fold(&log, 3);
    mismatch(applied.into_iter().try_for_each(|applied| late.publishing.applied(applied)));

    // Found when it is read and was applied before, and when it is applied after it was read.
    for applied in [2, 1] {
        let mut writer = Writer::new(Format::Json, ROOMY, &Outbox::default());
        writer.apply(&log, applied);
        let _ = writer.next_append();
        writer.publishing.failed(&AppendError::Conflict);
        let read = writer.publishing.read(&outbox.position());
        if applied == 2 {
            mismatch(read.map(drop));
        } else {
            read.unwrap();
            let next = writer.fold(&log, 1);
            mismatch(next.into_iter().try_for_each(|applied| writer.publishing.applied(applied)));
        }
    }
}

#[test]
fn dead_letters_go_first_also_those_of_later_batches() {
    let log = [
        message(1, &[receive(1, 1), json!("garbage")]),
        message(2, &[receive(2, 1)]),
        message(3, &[json!("more"), json!("garbage"), receive(3, 1)]),
    ];
    let mut outbox = Outbox::default();
    let mut writer = Writer::new(Format::Json, ROOMY, &outbox);
    for _ in &log {
        writer.apply(&log, 1);
    }
    let mut order = Vec::new();
    let mut failed = false;
    loop {
        match writer.publishing.next() {
            Action::DeadLetters(mut letters) => {
                // Of several, one that fails is tried again.
                let again = if letters.len() > 1 && !failed { letters.split_off(1) } else { Vec::new() };
                failed |= !again.is_empty();
                for letter in letters {
                    order.push(format!("letter {}.{}", letter.sequence, letter.index));
                }
                writer.publishing.letters_ended(again);
            }
            Action::Append { append, expected_last } => {
                order.push(format!("append {}", append.header.through));
                let sequence = outbox.store(append, expected_last).unwrap();
                writer.publishing.stored(sequence).unwrap();
            }
            Action::Idle => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(order, ["letter 1.1", "append 2.0.0", "letter 3.0", "letter 3.1", "append 3.2.0"]);

    // One who takes over sends none again that is covered.
    let mut next = Writer::new(Format::Json, ROOMY, &outbox);
    next.finish(&log, &mut outbox);
    assert_eq!(outbox.letters, []);
}

#[test]
fn ticks_neither_stall_nor_pile_up() {
    let mut outbox = Outbox::default();
    let mut writer = Writer::new(Format::Json, ROOMY, &outbox);
    let mut log: Vec<_> = (1..=1000).map(|sequence| message(sequence, &[json!({"tick": {}})])).collect();
    for _ in 0..1000 {
        writer.apply(&log, 1);
        assert_eq!(writer.publishing.next(), Action::Idle);
        assert!(writer.publishing.is_done());
    }
    log.push(message(1001, &[receive(1, 1)]));
    log.push(message(1002, &[json!({"tick": {}})]));
    writer.finish(&log, &mut outbox);
    assert_eq!(outbox.appends.len(), 1);
    let header = &outbox.appends[0].append.header;
    // The chain covers the ticks around the only outcome.
    assert_eq!((header.through.sequence, header.chain.sequence), (1001, 1002));
}

/// What becomes of the next thing that a writer does.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Works,
    TimesOut,
    TimesOutAndLands,
    TimesOutAndLandsLater,
    Fails,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A writer reads so many messages.
    Read(usize, usize),
    /// A writer does what comes next.
    Act(usize, Fate),
    /// What was held back on its way lands, if the fence lets it.
    Land,
    /// A writer is replaced by a new one.
    Restart(usize),
}

fn command() -> impl Strategy<Value = (u8, u64)> {
    (0..10u8, 1..6u64)
}

fn log() -> impl Strategy<Value = Vec<LogMessage>> {
    let messages = prop::collection::vec(prop::collection::vec(command(), 1..6), 1..12);
    messages.prop_map(|messages| {
        let mut id = 0;
        (1..)
            .zip(messages)
            .map(|(sequence, commands)| {
                let commands: Vec<_> = commands
                    .into_iter()
                    .map(|(kind, number)| {
                        id += 1;
                        match kind {
                            0..5 => place(id),
                            5..7 => receive(id, number),
                            7 => json!({"cancel": {"order_id": format!("O-{number}")}}),
                            8 => json!({"tick": {}}),
                            _ => json!({"no such command": number}),
                        }
                    })
                    .collect();
                message(sequence, &commands)
            })
            .collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        5 => Just(Fate::Works),
        1 => Just(Fate::TimesOut),
        1 => Just(Fate::TimesOutAndLands),
        1 => Just(Fate::TimesOutAndLandsLater),
        1 => Just(Fate::Fails),
    ];
    prop_oneof![
        4 => (0..2usize, 1..4usize).prop_map(|(writer, count)| Step::Read(writer, count)),
        10 => (0..2usize, fate).prop_map(|(writer, fate)| Step::Act(writer, fate)),
        1 => Just(Step::Land),
        1 => (0..2usize).prop_map(Step::Restart),
    ]
}

/// One thing that a writer does, and what becomes of it.
fn act(writer: &mut Writer, fate: Fate, outbox: &mut Outbox, late: &mut Vec<(Append, u64)>) {
    let publishing = &mut writer.publishing;
    match publishing.next() {
        Action::Idle => {}
        Action::Wait => panic!("nothing is under way"),
        Action::DeadLetters(letters) => {
            if !matches!(fate, Fate::TimesOut | Fate::Fails) {
                outbox.letters.extend(letters.iter().map(|letter| (letter.sequence, letter.index)));
            }
            publishing.letters_ended(if matches!(fate, Fate::Works) { Vec::new() } else { letters });
        }
        Action::Append { append, expected_last } => {
            let error = match fate {
                Fate::Works => match outbox.store(append, expected_last) {
                    Ok(sequence) => {
                        publishing.stored(sequence).unwrap();
                        return;
                    }
                    Err(error) => error,
                },
                Fate::TimesOutAndLands => {
                    let _ = outbox.store(append, expected_last);
                    AppendError::TimedOut
                }
                Fate::TimesOutAndLandsLater => {
                    late.push((append, expected_last));
                    AppendError::TimedOut
                }
                Fate::TimesOut => AppendError::TimedOut,
                Fate::Fails => AppendError::Unavailable("broken".to_owned()),
            };
            publishing.failed(&error);
        }
        Action::ReadLast => {
            if !matches!(fate, Fate::Fails) {
                publishing.read(&outbox.position()).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_stream_holds_one_fold(
        log in log(),
        steps in prop::collection::vec(step(), 0..80),
        bytes in 100..2_000usize,
        formats in prop::array::uniform2(prop_oneof![Just(Format::Json), Just(Format::Bincode)]),
    ) {
        let payload_bytes_max = HEADER_BYTES + bytes;
        let mut outbox = Outbox::default();
        let mut writers = formats.map(|format| Writer::new(format, payload_bytes_max, &outbox));
        let mut late = Vec::new();
        let (expected, letters) = reference(&log);
        let check_letters = |outbox: &Outbox| {
            let through = outbox.position().through;
            let covered = letters.iter().filter(|letter| **letter <= (through.sequence, through.index));
            for letter in covered {
                assert!(outbox.letters.contains(letter), "{letter:?} was announced and not sent");
            }
        };
        for step in steps {
            match step {
                Step::Read(writer, count) => writers[writer].apply(&log, count),
                Step::Act(writer, fate) => act(&mut writers[writer], fate, &mut outbox, &mut late),
                Step::Land => late.drain(..).for_each(|(append, expected_last)| {
                    let _ = outbox.store(append, expected_last);
                }),
                Step::Restart(writer) => {
                    writers[writer] = Writer::new(formats[writer], payload_bytes_max, &outbox);
                }
            }
            check_letters(&outbox);
        }
        for writer in &mut writers {
            writer.finish(&log, &mut outbox);
        }
        check_letters(&outbox);
        prop_assert_eq!(outbox.outcomes(payload_bytes_max), expected);
        let chain = outbox.appends.last().map(|stored| stored.append.header.chain);
        if let Some(chain) = chain {
            let mut folding = Folding::new(Start::empty(), Identity::START);
            let covered = usize::try_from(chain.sequence).unwrap();
            folded(&mut folding, &log[..covered]);
            prop_assert_eq!(folding.inventory().chain(), chain);
        }
    }
}

//! The audit on streams in memory: it agrees with what is right, and names what is wrong, whatever it is.

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;
use weir::edges::ShardEdges;
use weir::edges::clock::SystemClock;
use weir::edges::keys::Keys as _;
use weir::edges::memory::{InMemory, MemoryLimits, MemoryStreams};
use weir::edges::objects::Objects as _;
use weir::edges::streams::Streams as _;
use weir::motion::audit::{AuditError, Disagreement, Findings, From, Pace, audit};
use weir::motion::fold::FoldOn;
use weir::motion::folding::{Folding, Start};
use weir::motion::publishing::{Action, Position, Publishing};
use weir::motion::replay::{ReplayError, current, replay};
use weir::motion::snapshots::Kept;
use weir::words::append::{Append, Chain};
use weir::words::codec::Format;
use weir::words::identity::Identity;
use weir::words::message::LogMessage;

use crate::weir::{place, receive};

/// So small that the outcomes of some messages come in several appends.
const fn payload_bytes_max(format: Format) -> usize {
    1024 + match format {
        Format::Json => 300,
        Format::Bincode => 100,
    }
}

/// A shard whose log is whole, and what was announced of it.
struct World {
    edges: ShardEdges<InMemory>,
    log: Vec<LogMessage>,
    appends: Vec<Append>,
}

impl World {
    async fn new(format: Format) -> Self {
        let streams = MemoryStreams::new(SystemClock::shared(), MemoryLimits::default());
        let waiting = |id: String| {
            let lines = [json!({"sku": "A", "quantity": 1})];
            json!({"place": {"order_id": id, "lines": lines, "on_shortage": "backorder"}})
        };
        let mut payloads = vec![receive("R-0", 10), json!([7])];
        payloads.extend(
            (0..12).map(|order| json!([place(&format!("O-{order}")), waiting(format!("W-{order}"))])),
        );
        // What one record releases.
        payloads.push(receive("R-1", 100));
        payloads.push(json!([place("O-last"), {"cancel": {"order_id": "O-0"}}, place("O-1")]));
        payloads.extend([json!({"tick": {}}), json!({"tick": {}})]);
        let mut log = Vec::new();
        for payload in payloads {
            let sequence = streams.append_log(Format::Json, payload.to_string().into()).await.unwrap();
            log.push(streams.log_message(sequence).await.unwrap().unwrap());
        }
        let appends = announce(&log, format);
        let within = |pair: &[Append]| pair[0].header.through.sequence == pair[1].header.through.sequence;
        assert!(appends.windows(2).any(within), "no message takes two appends");
        Self { edges: ShardEdges::in_memory(streams), log, appends }
    }

    /// Stores the appends as they are now.
    async fn announced(&self) {
        for (last, append) in self.appends.iter().enumerate() {
            self.edges.streams.append_outcomes(append.clone(), last as u64).await.unwrap();
        }
    }

    async fn audit(&self, from: From) -> Result<Findings, AuditError> {
        let pace = Pace { fold_on: FoldOn::Thread, clock: SystemClock::shared(), rests: 0 };
        audit("main", &self.edges, from, &pace).await
    }

    async fn agrees(&self, from: From) -> Findings {
        let findings = self.audit(from).await.unwrap();
        assert_eq!((findings.disagreements, &findings.first), (0, &None), "{findings:?}");
        assert!(findings.agrees() && findings.digests.is_some());
        findings
    }

    /// The snapshot up to `sequence`, stored, and its pointer.
    async fn snapshot(&self, sequence: u64) -> Kept {
        let mut folding = Folding::new(Start::empty(), Identity::START);
        let until = self.log.partition_point(|message| message.sequence <= sequence);
        folding.step(&self.log[..until], i64::MAX, |_| true).unwrap();
        let (chunks, written) = mpsc::channel(8);
        let inventory = folding.inventory();
        let digests = inventory.write_snapshot(|chunk| chunks.try_send(chunk)).unwrap();
        drop(chunks);
        let name = format!("main.{sequence}.test.1");
        let bytes = self.edges.objects.write(&name, written).await.unwrap();
        Kept {
            name,
            sequence,
            chain: inventory.chain().to_string(),
            through: folding.through().to_string(),
            rules: 1,
            bytes,
            hash: String::new(),
            state: format!("{:016x}", digests.state),
            ledger: format!("{:016x}", digests.ledger),
        }
    }

    /// Points to these, newest first.
    async fn point(&self, kept: &[Kept]) {
        let before = self.edges.pointers.get("snapshots.main").await.unwrap();
        let value = json!({"snapshots": kept}).to_string().into();
        let revision = before.map_or(0, |entry| entry.revision);
        self.edges.pointers.put("snapshots.main", value, revision).await.unwrap();
    }
}

/// What one leader announces of a log, message by message.
fn announce(log: &[LogMessage], format: Format) -> Vec<Append> {
    let mut folding = Folding::new(Start::empty(), Identity::START);
    let mut publishing =
        Publishing::new("test".to_owned(), format, payload_bytes_max(format), &Position::default());
    publishing.lead(true);
    let mut appends = Vec::new();
    for message in log {
        folding
            .step(std::slice::from_ref(message), i64::MAX, |applied| {
                publishing.applied(applied).unwrap();
                true
            })
            .unwrap();
        loop {
            match publishing.next() {
                Action::Append { append, .. } => {
                    appends.push(append);
                    publishing.stored(appends.len() as u64).unwrap();
                }
                Action::DeadLetters(_) => publishing.letters_ended(Vec::new()),
                Action::Idle => break,
                other => panic!("{other:?}"),
            }
        }
    }
    appends
}

/// Replaces a text in an append of JSON.
fn replace(append: &mut Append, from: &str, to: &str) {
    let text = String::from_utf8(append.payload.to_vec()).unwrap();
    assert!(text.contains(from), "{text}");
    append.payload = Bytes::from(text.replacen(from, to, 1));
}

#[tokio::test]
async fn what_is_right_agrees_as_far_as_it_goes() {
    for format in [Format::Json, Format::Bincode] {
        let mut world = World::new(format).await;
        let appends = world.appends.len();
        let last = world.appends[appends - 1].header.through;
        world.announced().await;
        let findings = world.agrees(From::Farthest).await;
        assert_eq!(findings.start, None);
        assert_eq!((findings.messages, findings.appends), (world.log.len() as u64, appends as u64));
        assert_eq!((findings.from, findings.to.sequence), (Chain::default(), world.log.len() as u64));
        assert_eq!((findings.compared_from, findings.through), (Identity::START, last));
        assert_eq!((findings.unannounced, findings.repeats), (0, 0));
        let all = findings.outcomes;

        // A worker that is behind is no disagreement.
        world = World::new(format).await;
        world.appends.truncate(appends - 3);
        world.announced().await;
        let findings = world.agrees(From::Start).await;
        assert!(findings.unannounced > 0);
        assert_eq!(findings.outcomes + findings.unannounced, all);
        assert_eq!(findings.through, world.appends[appends - 4].header.through);
    }
    let world = World::new(Format::Json).await;
    let findings = world.agrees(From::Start).await;
    assert!(findings.outcomes == 0 && findings.unannounced > 0, "{findings:?}");
    let empty = ShardEdges::in_memory(MemoryStreams::new(SystemClock::shared(), MemoryLimits::default()));
    let findings = World { edges: empty, log: Vec::new(), appends: Vec::new() }.agrees(From::Farthest).await;
    assert_eq!((findings.messages, findings.outcomes), (0, 0));
}

#[tokio::test]
async fn outcomes_that_the_stream_has_dropped_are_not_missed() {
    let world = World::new(Format::Json).await;
    world.announced().await;
    let all = world.agrees(From::Start).await.outcomes;
    world.edges.streams.trim_outcomes(9);
    let findings = world.agrees(From::Start).await;
    assert_eq!(findings.compared_from, world.appends[8].header.through);
    assert!(findings.outcomes < all && findings.appends == world.appends.len() as u64 - 9);
    world.edges.streams.trim_outcomes(u64::MAX);
    assert_eq!(world.agrees(From::Start).await.appends, 1);
}

type Tamper = fn(&mut Vec<Append>);

#[tokio::test]
async fn each_disagreement_is_named() {
    let cases: [(&str, Tamper, &str); 13] = [
        (
            "a changed outcome",
            |appends| replace(&mut appends[4], "\"O-2\"", "\"O-X\""),
            "outcome 5.0.0 was announced as {\"outcome\":\"confirmed\",\"order_id\":\"O-X\"",
        ),
        (
            "an outcome that is left out",
            |appends| {
                let text = String::from_utf8(appends[4].payload.to_vec()).unwrap();
                let two = text.split_once("},{").map(|(first, _)| format!("{first}}}]"));
                appends[4].payload = two.unwrap().into();
            },
            "append 5: outcome 5.1.0 was not announced, the log gives {\"outcome\":\"confirmed\"",
        ),
        (
            "an append that is left out",
            |appends| drop(appends.remove(5)),
            "append 6 goes on from 6.1.0, where 5.1.0 was due",
        ),
        (
            "an outcome of no record",
            |appends| {
                let extra = r#"},{"outcome":"received","receipt_id":"Z","sequence":5,"index":0,"place":3,"at":"2026-01-01T00:00:00Z"},{"#;
                replace(&mut appends[4], "},{", extra);
            },
            "outcome 5.0.3 was announced as {\"outcome\":\"received\",\"receipt_id\":\"Z\"",
        ),
        ("a wrong chain", |appends| appends[4].header.chain.hash ^= 1, "append 5 says chain 5:"),
        (
            "a chain that covers too much",
            |appends| appends[4].header.chain.sequence += 5,
            "which cannot be: it ends with outcome",
        ),
        (
            "a chain that goes back",
            |appends| appends[9].header.chain = appends[1].header.chain,
            "and an append before it covered message",
        ),
        (
            "an append that does not follow",
            |appends| appends[6].header.from.place += 1,
            "append 7 goes on from",
        ),
        (
            "an append ahead of the log",
            |appends| {
                let last = appends.last().unwrap().clone();
                let mut forged = last.clone();
                forged.header.from = last.header.through;
                forged.header.through.sequence += 50;
                appends.push(forged);
            },
            "but the log ends at sequence 18",
        ),
        (
            "a repeat that says something else",
            |appends| {
                let mut again = appends[4].clone();
                replace(&mut again, "\"O-2\"", "\"O-X\"");
                appends.insert(5, again);
            },
            "announces outcome 5.0.0 again, now as {\"outcome\":\"confirmed\",\"order_id\":\"O-X\"",
        ),
        (
            "a repeat that goes on",
            |appends| {
                appends[5].header.from = appends[3].header.from;
            },
            "readers drop it, and what it says behind",
        ),
        (
            "bytes that are no outcomes",
            |appends| appends[4].payload = Bytes::from_static(b"[{}]"),
            "append 5 cannot be read: not a payload of outcomes",
        ),
        (
            "outcomes out of order",
            |appends| replace(&mut appends[4], "\"index\":0", "\"index\":1"),
            "append 5: outcome 5.1.0 does not belong between 4.1.0 and 5.1.0",
        ),
    ];
    for (what, tamper, expected) in cases {
        let mut world = World::new(Format::Json).await;
        tamper(&mut world.appends);
        world.announced().await;
        let findings = world.audit(From::Start).await.unwrap();
        assert!(!findings.agrees(), "{what}");
        let first = findings.first.unwrap().to_string();
        println!("{what}: {first}");
        assert!(first.contains(expected), "{what}: {first}");
    }
}

#[tokio::test]
async fn wherever_something_is_wrong_it_is_found() {
    let whole = World::new(Format::Bincode).await;
    for at in 0..whole.appends.len() {
        let tampered = async |tamper: &dyn Fn(&mut Vec<Append>)| {
            let mut world = World::new(Format::Bincode).await;
            tamper(&mut world.appends);
            world.announced().await;
            world.audit(From::Start).await.unwrap()
        };
        let doubled = tampered(&|appends| appends.insert(at, appends[at].clone())).await;
        assert_eq!((doubled.agrees(), doubled.repeats), (true, 1), "{at}: {doubled:?}");
        if at + 1 < whole.appends.len() {
            let removed = tampered(&|appends| drop(appends.remove(at))).await;
            let Some(Disagreement::Gap { append, .. }) = removed.first else { panic!("{at}: {removed:?}") };
            assert_eq!(append, at as u64 + 1);
            let swapped = tampered(&|appends| appends.swap(at, at + 1)).await;
            assert!(!swapped.agrees(), "{at}");
        }
        let chain = tampered(&|appends| appends[at].header.chain.hash ^= 1 << 40).await;
        assert!(matches!(chain.first, Some(Disagreement::Chain { .. })), "{at}: {chain:?}");
    }
}

#[tokio::test]
async fn snapshots_are_where_it_begins_and_what_it_compares() {
    let mut world = World::new(Format::Json).await;
    // Some sequence whose outcomes end within no append, and one whose do.
    let (old, middle, new) = (world.snapshot(4).await, world.snapshot(9).await, world.snapshot(17).await);
    world.announced().await;
    world.point(&[new.clone(), middle.clone(), old.clone()]).await;
    let findings = world.agrees(From::Start).await;
    assert_eq!(findings.snapshots, [old.name.clone(), middle.name.clone(), new.name.clone()]);
    let all = findings.outcomes;

    // The log goes on from the second-newest.
    world.edges.streams.trim_log(9).await.unwrap();
    for (from, start, passed) in
        [(From::Farthest, &middle, 2), (From::OldestSnapshot, &middle, 2), (From::NewestSnapshot, &new, 1)]
    {
        let findings = world.agrees(from).await;
        assert_eq!(findings.start.as_ref(), Some(&start.name));
        assert_eq!(findings.compared_from.to_string(), start.through);
        assert_eq!((findings.from.to_string(), findings.snapshots.len()), (start.chain.clone(), passed));
        assert!(findings.outcomes < all);
    }
    let error = world.audit(From::Start).await.unwrap_err().to_string();
    assert!(error.starts_with("the log begins at sequence 10: what came before was trimmed"), "{error}");

    // What lies before it is not compared, what lies behind it is.
    let before = world.appends.partition_point(|append| append.header.through.sequence <= 9);
    for (number, agrees) in [(before - 2, true), (before + 2, false)] {
        let mut tampered = World::new(Format::Json).await;
        let (middle, new) = (tampered.snapshot(9).await, tampered.snapshot(17).await);
        replace(&mut tampered.appends[number], "\"at\":\"2", "\"at\":\"1");
        tampered.announced().await;
        tampered.point(&[new, middle]).await;
        let findings = tampered.audit(From::OldestSnapshot).await.unwrap();
        assert_eq!(findings.agrees(), agrees, "{findings:?}");
    }

    // Pointers that say something else.
    let wrong = |change: fn(&mut Kept)| {
        let mut kept = new.clone();
        change(&mut kept);
        [kept, middle.clone()]
    };
    let digest = "00000000000000ff".to_owned();
    for (pointers, expected) in [
        (
            wrong(|kept| kept.state = "00000000000000ff".to_owned()),
            format!("says state {digest}, the log gives {}", new.state),
        ),
        (
            wrong(|kept| kept.ledger = "00000000000000ff".to_owned()),
            format!("says ledger {digest}, the log gives {}", new.ledger),
        ),
        (
            wrong(|kept| kept.chain = "17:00".to_owned()),
            format!("says chain 17:00, the log gives {}", new.chain),
        ),
        (
            wrong(|kept| kept.through = "4.0.0".to_owned()),
            format!("says through 4.0.0, the log gives {}", new.through),
        ),
    ] {
        world.point(&pointers).await;
        let findings = world.audit(From::Farthest).await.unwrap();
        let first = findings.first.unwrap().to_string();
        assert_eq!(
            (first, findings.disagreements),
            (format!("snapshot {}: its pointer {expected}", new.name), 1)
        );
    }

    // One that is gone is passed over; where there is no other, there is no audit.
    world.point(&[new.clone(), middle.clone()]).await;
    world.edges.objects.remove(&middle.name).await.unwrap();
    let findings = world.agrees(From::OldestSnapshot).await;
    assert_eq!(findings.start, Some(new.name.clone()));
    assert_eq!(findings.passed_over.len(), 1);
    assert!(findings.passed_over[0].starts_with(&middle.name), "{findings:?}");
    world.edges.objects.remove(&new.name).await.unwrap();
    let error = world.audit(From::NewestSnapshot).await.unwrap_err().to_string();
    assert!(
        error.starts_with("of 2 snapshots, the log goes on from none that can be restored (main."),
        "{error}"
    );
    world.appends.clear();
}

#[tokio::test]
async fn a_log_is_folded_on_from_the_newest_snapshot_that_belongs_to_it() {
    let mut world = World::new(Format::Json).await;
    let whole = replay(&world.edges.streams, |_| {}).await.unwrap().digests();
    let good = world.snapshot(5).await;
    // What the servers lost, and hold other messages in place of.
    let seventh = std::mem::replace(&mut world.log[6].payload, Bytes::from_static(b"[]"));
    let lost = world.snapshot(7).await;
    world.log[6].payload = seventh;
    world.point(&[lost.clone(), good.clone()]).await;
    let mut passed = Vec::new();
    let mut current = async || {
        passed.clear();
        let pass_over = |name: &str, _: &str| passed.push(name.to_owned());
        let folded = current("main", &world.edges, FoldOn::Thread, pass_over).await;
        (folded.map(|inventory| inventory.digests()), passed.clone())
    };
    let (folded, passed) = current().await;
    assert_eq!((folded.unwrap(), passed), (whole, vec![lost.name.clone()]));
    world.edges.streams.trim_log(5).await.unwrap();
    let (folded, passed) = current().await;
    assert_eq!((folded.unwrap(), passed), (whole, vec![lost.name.clone()]));
    world.edges.streams.trim_log(6).await.unwrap();
    let (folded, passed) = current().await;
    assert!(matches!(folded, Err(ReplayError::Trimmed { first: 7 })), "{folded:?}");
    assert_eq!(passed, [lost.name, good.name]);
    world.edges.pointers.put("epoch.main", Bytes::from_static(b"{}"), 0).await.unwrap();
    let (folded, _) = current().await;
    assert!(matches!(folded, Err(ReplayError::EpochUnderWay)), "{folded:?}");
}

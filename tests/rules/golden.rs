//! Golden files: what version 1 of each format is, to the byte, for as long as anybody may have bytes of it. They come from a
//! fixed log, whose state of some KiB has something in every kind of chunk.
//!
//! A change that breaks one of these tests breaks what is stored. It needs a new version beside the old one, and golden files
//! of its own; `docs/working.md` says how those are written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use weir::folds::inventory::SnapshotHead;
use weir::words::append::Chain;
use weir::words::codec::{self, Format, FrameWriter};
use weir::words::command::{Command, CommandKind};
use weir::words::outcome::{Outcome, OutcomeKind};
use weir::words::policy::RULES_NEWEST;
use weir::words::timestamp::Timestamp;

use crate::script::{self, Seen};
use crate::support::{START_MS, Shard, restore, snapshot};

/// See [`script`], without what is expected.
const LOG: &str = "
    policy sites=main,west,gone quantity_max=1000000000 closed_orders_max=6 refused_orders_max=3 facts_max=3
    [ receive R-1 A:70000 B:9 C:5 D:1000000000 E:1 | receive R-2 A:4 B:2 site=west | receive R-3 A:4 B:300 D:1000000000 ]
    [ receive R-4 Ä-日本-a-name-as-long-as-one-may-be-which-is-64-bytes-with-th:7 | receive R-5 G:1 site=gone ]
    [ count C-1 B:20 | count C-2 G:0 site=gone | count C-3 E:0/1 ]
    [ adjust J-1 A:-5 B:5 reason=damaged | transfer X-1 from=main to=west A:1 D:5 | adjust J-2 Q:1 | adjust J-3 Q:-1 ]
    policy sites=main,west safety_stock=1 safety=A:0,west/B:2
    +1500ms
    [ place L-1 A:1 B:1 C:1 D:70000 | place L-2 D:2 | place an-order-whose-id-is-as-long-as-one-may-be-which-is-64-bytes-too D:251 ]
    [ pay L-1 attempt=T-1 | pay_failed L-2 T-2 | ship L-1 A:1 id=S-1 | review L-1 5 id=V-1 ]
    [ place M-1 A:1 D:1 value=EUR500 | pay M-1 attempt=T-1 amount=EUR20 | place M-2 A:2 B:1 sites=west,main pay_within=90000 | amend M-1 N-1 D:3 value=EUR400 | extend M-2 E-1 80000 ]
    [ deliver L-2 D:1 | return L-2 X-1 D:1+ ]
    [ place K-1 D:2 | place K-2 D:3 C:1 | place K-3 D:9 | place K-4 A:99 B:1 partial site=west ]
    [ ship K-1 | ship K-2 id=S-2 ]
    +20ms
    [ deliver K-1 id=S-1 | return K-2 X-2 D:3 | cancel K-3 | place K-1 D:2 | place L-1 A:7 ]
    +20ms
    [ return K-2 X-3 C:1+ | ship K-3 D:4 ]
    [ place F-1 C:99 | place F-2 Z:1 | place F-3 C:98 | place F-4 C:97 | place F-5 Z:96 ]
    policy pay_within_ms=5000
    [ place H-1 D:1 | place H-2 D:250 | place H-3 D:1 E:1 partial ]
    pay H-2
    +4990ms
    [ place H-4 D:1 | place H-5 B:1 D:1 ]
    cancel H-5 B:1
    +10ms
    tick
    policy pay_within_ms=0
    policy wait_within_ms=60000 allowance=C:1
    [ place W-1 C:9 backorder | place W-2 E:1 C:2 backorder | place W-3 B:1 C:300 E:2 D:5 backorder sites=main,west pay_within=9000 | place W-4 C:9 A:1 backorder ]
    [ cancel W-1 C:1 | pay W-4 ]
    [ place K-5 D:1 | place K-6 D:1 E:1 partial | place K-7 D:1 | place Z-1 D:1100 ]
    json {}
";

/// Orders enough that one record cannot name them all.
const SEARCHED: u32 = 260;
/// Movements of one settled order, which leave so many entries that are out of date that they are sifted.
const SIFTED: u32 = 1_033;

/// The state, and the outcomes on the way there as a frame; those of movements that are all alike are left out. At its end a search is
/// under way while another SKU is missing, who waits for a third may be let in, and the queue of settled orders is sifted.
pub(crate) fn golden() -> (Shard, Vec<u8>) {
    let mut shard = Shard::new();
    shard.clock_ms = 1_790_000_000_000;
    let mut outcomes = FrameWriter::new();
    let mut take = |line: &str, tell: bool| {
        shard.output.clear();
        script::step(&mut shard, Format::Bincode, line, &mut Seen::default());
        if tell {
            outcomes.push_elements(shard.output.bytes(), shard.output.len());
        }
        shard.inventory.check_books().unwrap();
    };
    let orders: Vec<_> = (0..SEARCHED).map(|number| format!("place {number} A:1")).collect();
    let orders = format!("[ {} ]", orders.join(" | "));
    let settling = [
        &orders,
        "policy settled_orders_max=5 skus_window_ms=5",
        "[ ship K-5 | ship K-7 | ship K-6 ]",
        "+5ms",
        "deliver K-6",
        "cancel Z-1",
    ];
    for line in LOG.lines().map(str::trim).filter(|line| !line.is_empty()).chain(settling) {
        take(line, true);
    }
    for _ in 0..SIFTED {
        take("+1ms", false);
        take("ship Z-1 D:1", false);
    }
    take("count C-4 A:1 C:14", true);
    take("[ count C-5 D:9 | count C-6 A:1 at=0 ]", true);
    (shard, outcomes.finish())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A golden file's bytes. `now` is what today's code writes: it becomes the file where that is missing and the variable says
/// so; no file is ever written over.
fn file(name: &str, now: &[u8]) -> Vec<u8> {
    let path = folder().join(name);
    if std::env::var("WEIR_WRITE_GOLDEN").is_ok_and(|names| names == name) && !path.exists() {
        std::fs::write(&path, now).unwrap();
        panic!("{name} was written: look at it, and run again without WEIR_WRITE_GOLDEN");
    }
    std::fs::read(path)
        .unwrap_or_else(|error| panic!("{name}: {error}; docs/working.md says how it is written"))
}

#[test]
fn snapshot_v1() {
    let (shard, _) = golden();
    let now = snapshot(&shard.inventory);
    let golden = file("snapshot-v1.bin", &now);
    let restored = restore(&golden).unwrap();
    let chain = Chain { sequence: 1067, hash: 0x34e9_703b_0bfb_de4b };
    let head = SnapshotHead {
        chain,
        last_message_hash: 0x797b_343e_f47c_2864,
        rules: 1,
        now: Timestamp::from_millis(START_MS + 1_790_000_007_578),
        orders: 285,
    };
    assert_eq!(restored.snapshot_head(), head);
    let digests = restored.digests();
    assert_eq!((digests.state, digests.ledger), (0xaf08_61c8_b859_553b, 0x8c78_bb53_769c_2b15));
    assert_eq!(digests, shard.inventory.digests());
    assert_eq!(restored.totals(), shard.inventory.totals());
    assert_eq!(restored.check_books(), Ok(()));
    assert!(snapshot(&restored) == golden && now == golden, "version 1 is written otherwise");

    // What follows is decided as it always was.
    let sequence = restored.chain().sequence;
    let mut on = Shard { inventory: restored, sequence, clock_ms: shard.clock_ms, ..Shard::default() };
    for line in [
        "[ place N-1 C:1 A:1 | receive R-9 A:900 E:9 | cancel 7 | deliver K-7 | place W-5 B:40 backorder ]",
        "+20000ms",
        "tick",
        "policy settled_window_ms=0 closed_window_ms=0 facts_window_ms=0",
        "+1ms",
        "[ tick | place F-1 C:99 | receive R-9 A:1 ]",
    ] {
        script::step(&mut on, Format::Bincode, line, &mut Seen::default());
    }
    assert_eq!(on.inventory.chain().to_string(), "1071:bc2e5875da989565");
}

/// A golden file that is written by hand, as JSON lines: commands, and outcomes. What is made of it stands beside it as bytes: a frame of
/// the commands, and behind it one of the outcomes, where there are any.
pub(crate) struct Written {
    name: String,
    pub(crate) commands: Vec<Command<'static>>,
    pub(crate) outcomes: Vec<Outcome<'static>>,
}

/// Every golden file that is written by hand. `frame-v1` was frozen with version 1: what came later has a file of its own, which is found
/// here by itself.
pub(crate) fn written() -> &'static [Written] {
    static WRITTEN: LazyLock<Vec<Written>> = LazyLock::new(|| {
        let mut paths: Vec<_> =
            std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        paths.sort();
        paths.iter().map(|path| read(path)).collect()
    });
    &WRITTEN
}

fn read(path: &Path) -> Written {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let text: &'static str = std::fs::read_to_string(path).unwrap().leak();
    let (mut commands, mut outcomes) = (vec![], vec![]);
    for line in text.lines() {
        let is_outcome = line.starts_with(r#"{"outcome":"#);
        let read = if is_outcome {
            serde_json::from_str(line).map(|outcome| outcomes.push(outcome))
        } else {
            serde_json::from_str(line).map(|command| commands.push(command))
        };
        read.unwrap_or_else(|error| panic!("{name}: {line}: {error}"));
    }
    Written { name, commands, outcomes }
}

/// The commands of all files that are written by hand.
pub(crate) fn commands() -> impl Iterator<Item = &'static Command<'static>> {
    written().iter().flat_map(|file| &file.commands)
}

/// The outcomes of all golden files.
pub(crate) fn outcomes() -> Vec<Outcome<'static>> {
    let frozen = include_bytes!("../golden/outcomes-v1.bin");
    let frozen = codec::outcomes(Format::Bincode, frozen).unwrap();
    frozen.into_iter().chain(written().iter().flat_map(|file| file.outcomes.clone())).collect()
}

#[test]
fn frames_are_written_and_read_as_ever() {
    for Written { name, commands, outcomes } in written() {
        let mut now = codec::encode_commands(Format::Bincode, commands);
        let behind = now.len();
        if !outcomes.is_empty() {
            let (mut frame, mut bytes) = (FrameWriter::new(), Vec::new());
            for outcome in outcomes {
                codec::encode_outcome(&mut bytes, &outcome.decision, outcome.identity(), outcome.at);
            }
            frame.push_elements(&bytes, outcomes.len());
            now.extend(frame.finish());
        }
        let golden = file(&format!("{name}.bin"), &now);
        assert!(golden == now, "{name} is written otherwise");
        let decoded = codec::commands(Some(Format::Bincode), &golden[..behind], RULES_NEWEST);
        assert_eq!(decoded.map(Result::unwrap).collect::<Vec<_>>(), *commands);
        if !outcomes.is_empty() {
            assert_eq!(codec::outcomes(Format::Bincode, &golden[behind..]).unwrap(), *outcomes);
        }
    }
    let kinds: BTreeSet<_> = commands().map(Command::kind).collect();
    assert_eq!(kinds, CommandKind::ALL.into(), "a command has no golden frame: a .jsonl in tests/golden");
}

#[test]
fn outcomes_v1() {
    let (_, now) = golden();
    let golden = file("outcomes-v1.bin", &now);
    let outcomes = codec::outcomes(Format::Bincode, &golden).unwrap();
    let mut bytes = Vec::new();
    for outcome in &outcomes {
        codec::encode_outcome(&mut bytes, &outcome.decision, outcome.identity(), outcome.at);
    }
    assert!(golden.ends_with(&bytes) && now == golden, "version 1 is written otherwise");
    // Both formats say the same.
    let json = serde_json::to_vec(&outcomes).unwrap();
    assert_eq!(codec::outcomes(Format::Json, &json).unwrap(), outcomes);
}

#[test]
fn every_outcome_is_in_a_golden_file() {
    let kinds: BTreeSet<_> = outcomes().iter().map(|outcome| outcome.decision.kind()).collect();
    assert_eq!(kinds, OutcomeKind::ALL.into(), "an outcome is in no golden file: a .jsonl in tests/golden");
}

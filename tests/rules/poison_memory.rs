//! Hostile bytes do not take memory out of proportion.

use weir::folds::inventory::{Restoring, SnapshotError};
use weir::words::codec::Format;

use crate::golden::golden;
use crate::poison::MIB;
use crate::snapshot_poison::{Chunks, HEAD, ORDERS, PREFIX};
use crate::support::{Shard, snapshot};

/// Peak memory of this process in KiB, as the kernel counted it.
fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Runs each case in a process of its own, as the kernel's peak is a whole process's: this test starts itself again.
fn each_alone(test: &str, cases: usize, run: impl FnOnce(usize)) {
    const CASE: &str = "WEIR_TEST_POISON_CASE";
    if let Ok(case) = std::env::var(CASE) {
        return run(case.parse().unwrap());
    }
    let bad: Vec<_> = (0..cases)
        .filter_map(|case| {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture", &format!("poison_memory::{test}")])
                .env(CASE, case.to_string())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            (!output.status.success()).then_some((case, said))
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// A MiB of the worst: the fold takes no more than 64 MiB over it.
#[test]
fn memory_stays_in_proportion() {
    let fill = |unit: &[u8]| unit.iter().copied().cycle().take(MIB - 64).collect::<Vec<u8>>();
    let array = |unit: &str| [b"[", &*fill(unit.as_bytes()), b"]"].concat();
    let mut ones = array("1,");
    let end = ones.len() - 2;
    ones[end] = b'1';
    let frame_header = [1, 252, 0, 0, 15, 0];
    let cases: [(Format, Vec<u8>); 7] = [
        (Format::Json, ones),
        (Format::Json, fill(b"[")),
        (Format::Json, fill(b"\"")),
        (Format::Bincode, [&frame_header[..], &fill(&[0])].concat()),
        (Format::Bincode, [&frame_header[..], &fill(&[1, 11])].concat()),
        (
            Format::Bincode,
            [&[1, 1, 252, 240, 255, 15, 0, 0, 1, b'O', 0][..], &fill(&[252, 255, 255, 3, 0])].concat(),
        ),
        (Format::Bincode, fill(&[1, 255])),
    ];
    each_alone("memory_stays_in_proportion", cases.len(), |case| {
        let (format, payload) = cases[case].clone();
        let mut shard = Shard::new();
        shard.tick();
        let before = peak_kib();
        shard.feed(Some(format), payload).unwrap();
        let grown = peak_kib() - before;
        println!("{} outcomes, {grown} KiB", shard.output.len());
        assert!(grown < 64 * 1024, "{grown} KiB for a MiB");
    });
}

/// Snapshots take what came of them times what the worst record takes, whatever they claim.
#[test]
fn snapshots_take_memory_in_proportion() {
    each_alone("snapshots_take_memory_in_proportion", 3, |case| {
        let mut chunks = Chunks::of(&snapshot(&golden().0.inventory));
        let before = peak_kib();
        let kept = match case {
            // Two thousand that claim 2 MiB each.
            0 => {
                let header = [&PREFIX[..], &[1], &(2 * 1_048_576_u32).to_le_bytes(), &[0; 20]].concat();
                (0..2_000).map(|_| fed(&header).0).collect::<Vec<_>>()
            }
            // Orders without number, by the head.
            1 => {
                chunks.records(HEAD, |head| {
                    head.truncate(head.len() - 3);
                    head.extend_from_slice(&[253, 255, 255, 255, 255, 255, 255, 255, 255]);
                });
                let (restoring, fed) = fed(&chunks.framed());
                assert_eq!(restoring.head().unwrap().orders, u64::MAX);
                assert!(fed.unwrap_err().to_string().ends_with("the head says another number of orders"));
                vec![restoring]
            }
            // A MiB of slots that are not used: nothing is smaller, and larger when it is read.
            _ => {
                chunks.records(ORDERS, |records| *records = vec![7; MIB - 5_000]);
                let (restoring, fed) = fed(&chunks.framed());
                assert!(matches!(fed, Err(SnapshotError::Malformed { .. })));
                vec![restoring]
            }
        };
        let grown = peak_kib() - before;
        println!("{grown} KiB");
        assert!(grown < 100 * 1024, "{grown} KiB");
        drop(kept);
    });
}

fn fed(bytes: &[u8]) -> (Restoring, Result<(), SnapshotError>) {
    let mut restoring = Restoring::new();
    let fed = restoring.feed(bytes);
    (restoring, fed)
}

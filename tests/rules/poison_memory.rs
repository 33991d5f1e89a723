//! Hostile bytes do not take memory out of proportion.

use weir::words::codec::Format;

use crate::poison::MIB;
use crate::support::Shard;

/// Peak memory of this process in KiB, as the kernel counted it.
fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A MiB of the worst: the fold takes no more than 64 MiB over it.
///
/// The kernel's peak is the whole process's, so that the test runs itself in a process of its own.
#[test]
fn memory_stays_in_proportion() {
    const CASE: &str = "WEIR_TEST_POISON_CASE";
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
    if let Ok(case) = std::env::var(CASE) {
        let (format, payload) = cases[case.parse::<usize>().unwrap()].clone();
        let mut shard = Shard::new();
        shard.tick();
        let before = peak_kib();
        shard.feed(Some(format), payload).unwrap();
        let grown = peak_kib() - before;
        println!("{} outcomes, {grown} KiB", shard.output.outcomes().len());
        assert!(grown < 64 * 1024, "{grown} KiB for a MiB");
        return;
    }
    let bad: Vec<_> = (0..cases.len())
        .filter_map(|case| {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture", "poison_memory::memory_stays_in_proportion"])
                .env(CASE, case.to_string())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            (!output.status.success()).then_some((case, said))
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

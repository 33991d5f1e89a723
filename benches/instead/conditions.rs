//! What the figures depend on: the machine, its kernel, where the contenders store, and their versions.

use std::path::Path;

use serde::Serialize;
use weir::edges::clock::SystemClock;
use weir::words::timestamp::Timestamp;

use super::Programs;
use super::servers::version;

/// The conditions of a run, as a person would ask for them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Conditions {
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// Of the folder where the contenders store: its type and where it is mounted.
    pub(crate) filesystem: String,
    pub(crate) weir: String,
    pub(crate) nats_server: String,
    pub(crate) redis_server: String,
    pub(crate) postgres: String,
}

impl Conditions {
    /// As they are now. What cannot be read says so instead of failing the run.
    pub(crate) fn read(store: &Path, programs: &Programs) -> Self {
        let told = |found: anyhow::Result<String>| found.unwrap_or_else(|error| format!("{error:#}"));
        let now = Timestamp::from_millis(SystemClock::shared().wall_ns() / 1_000_000);
        Self {
            date: now.to_string(),
            cpu: value("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: value("/proc/meminfo", "MemTotal")
                .and_then(|text| text.trim_end_matches(" kB").parse().ok())
                .map_or(0, |kilobytes: u64| kilobytes * 1_024),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "unknown".to_owned(), |text| format!("Linux {}", text.trim())),
            filesystem: filesystem(store).unwrap_or_else(|| "unknown".to_owned()),
            weir: told(version(Path::new(super::weir::EXECUTABLE))),
            nats_server: told(programs.nats().and_then(|path| version(&path))),
            redis_server: told(programs.redis().and_then(|path| version(&path))),
            postgres: told(programs.postgres().and_then(|path| version(&path.join("postgres")))),
        }
    }

    /// Whether an fsync there costs nothing, because there is no disk.
    pub(crate) fn stores_in_memory(&self) -> bool {
        ["tmpfs", "ramfs"].iter().any(|kind| self.filesystem.starts_with(kind))
    }
}

fn value(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The innermost mount that holds `folder`.
fn filesystem(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let (place, kind, device) = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (device, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
            folder.starts_with(place).then_some((place, kind, device))
        })
        // Of several on one place the last hides the others.
        .max_by_key(|(place, ..)| place.len())?;
    Some(format!("{kind} on {device}, mounted at {place}"))
}

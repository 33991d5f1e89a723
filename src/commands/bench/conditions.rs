//! The conditions of a measurement: the machine, the versions, the date.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::edges::clock::SystemClock;
use crate::words::timestamp::Timestamp;

/// Under what a measurement was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Conditions {
    pub(super) date: String,
    pub(super) weir: String,
    pub(super) nats_server: String,
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) memory_bytes: u64,
    pub(super) kernel: String,
    /// Of the servers' stores: its kind, and what it lies on.
    pub(super) filesystem: String,
}

impl Conditions {
    /// This machine's. `store` is none where the servers are somebody else's.
    pub(super) fn of(nats_server: String, store: Option<&Path>) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let memory_kib: Option<u64> = memory.and_then(|text| text.strip_suffix(" kB")?.trim().parse().ok());
        let unknown = || "unknown".to_owned();
        Self {
            date: Timestamp::from_millis(SystemClock::shared().wall_ns() / 1_000_000).to_string(),
            weir: env!("CARGO_PKG_VERSION").to_owned(),
            nats_server,
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory_kib.unwrap_or(0) * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: store
                .and_then(|store| filesystem(&read("/proc/self/mountinfo"), store))
                .unwrap_or_else(unknown),
        }
    }

    /// In which of the figures that matter two of them differ.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let pairs = [
            ("nats-server", &self.nats_server, &other.nats_server),
            ("CPU", &self.cpu, &other.cpu),
            ("cores", &self.cores.to_string(), &other.cores.to_string()),
            ("memory", &self.memory_bytes.to_string(), &other.memory_bytes.to_string()),
            ("kernel", &self.kernel, &other.kernel),
            ("filesystem", &self.filesystem, &other.filesystem),
        ];
        let differing = pairs.into_iter().filter(|(_, own, others)| own != others);
        differing.map(|(what, own, others)| format!("{what}: {others} then, {own} now")).collect()
    }
}

/// What a path lies on, by the system's list of mounts.
fn filesystem(mounts: &str, path: &Path) -> Option<String> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // id parent device root MOUNT options … - KIND SOURCE …
    let mounts = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mount = before.split(' ').nth(4)?;
        let mut after = after.split(' ');
        let (kind, source) = (after.next()?, after.next()?);
        path.starts_with(mount).then(|| (mount.len(), format!("{kind} on {source}")))
    });
    // The last of two on one place hides the first.
    mounts.max_by_key(|(length, _)| *length).map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_counts() {
        let mounts = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                      30 22 0:25 / /nowhere rw - tmpfs tmpfs rw\n\
                      31 22 0:26 / /nowhere/deep rw master:1 - xfs /dev/vdb rw\n";
        let of = |path| filesystem(mounts, Path::new(path));
        assert_eq!(of("/nowhere/deep/store").as_deref(), Some("xfs on /dev/vdb"));
        assert_eq!(of("/nowhere/deeper").as_deref(), Some("tmpfs on tmpfs"));
        assert_eq!(of("/").as_deref(), Some("ext4 on /dev/vda"));
    }

    #[test]
    fn this_machine_is_known() {
        let here = Conditions::of("2.15.1".to_owned(), Some(Path::new("/")));
        assert!(here.cores > 0 && here.memory_bytes > 1 << 20 && !here.kernel.is_empty(), "{here:?}");
        assert!(here.differences(&here).is_empty());
        let there = Conditions { cores: 1_000, ..here.clone() };
        let differences = here.differences(&there);
        assert_eq!(differences, [format!("cores: 1000 then, {} now", here.cores)]);
    }
}

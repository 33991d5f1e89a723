//! The conditions of a measurement: the commit, the machine, the versions, the date.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::statistics::to_f64;
use weir::edges::clock::SystemClock;
use weir::words::timestamp::Timestamp;

/// Under what a measurement was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conditions {
    pub(crate) date: String,
    pub(crate) weir: String,
    /// Of the sources, with a `+` where they were changed since; "unknown" away from them.
    pub(crate) commit: String,
    /// What the server, or the servers, say of themselves.
    pub(crate) servers: Vec<String>,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// Of the servers' stores: its kind, and what it lies on.
    pub(crate) filesystem: String,
}

impl Conditions {
    /// This machine's. `store` is none where the servers are somebody else's.
    pub(crate) fn of(servers: Vec<String>, store: Option<&Path>) -> Self {
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
            commit: commit().unwrap_or_else(unknown),
            servers,
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory_kib.unwrap_or(0) * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: store
                .and_then(|store| filesystem(&read("/proc/self/mountinfo"), store))
                .unwrap_or_else(unknown),
        }
    }

    /// Whether an fsync there costs nothing, because there is no disk.
    pub(crate) fn stores_in_memory(&self) -> bool {
        ["tmpfs", "ramfs"].iter().any(|kind| self.filesystem.starts_with(kind))
    }

    /// For people, in rows of a name and what it is.
    pub(crate) fn rows(&self) -> [(&'static str, String); 3] {
        let memory_gib = to_f64(self.memory_bytes) / f64::from(1 << 30);
        [
            ("weir", format!("{}, commit {}, {}", self.weir, self.commit, self.date)),
            (
                "machine",
                format!(
                    "{} cores of {}, {memory_gib:.1} GiB, Linux {}, store: {}{}",
                    self.cores,
                    self.cpu,
                    self.kernel,
                    self.filesystem,
                    if self.stores_in_memory() {
                        ": THAT IS MEMORY, an fsync costs nothing there"
                    } else {
                        ""
                    }
                ),
            ),
            ("server", self.servers.join("; ")),
        ]
    }

    /// In which of the figures that matter two of them differ. Another commit is what a comparison is for.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let pairs = [
            ("servers", &self.servers.join("; "), &other.servers.join("; ")),
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

/// The folder of the sources that this was built from, if it is still there.
fn sources() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.to_owned();
    folder.join("src/lib.rs").is_file().then_some(folder)
}

/// The commit of the sources.
fn commit() -> Option<String> {
    let folder = sources()?;
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(&folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}+") })
}

/// The worker to measure: the one `given`, else the one beside this program, which must be no older than its sources.
pub(crate) fn worker(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        ensure!(given.is_file(), "there is no {}", given.display());
        return Ok(given.to_owned());
    }
    let worker = std::env::current_exe()?.with_file_name("weir");
    let how = "build it (cargo build --release --workspace --bins), or name one with --weir";
    let built = std::fs::metadata(&worker).and_then(|found| found.modified());
    let built = built.with_context(|| format!("there is no {}: {how}", worker.display()))?;
    if let Some(folder) = sources() {
        let mut places = vec![folder.join("src"), folder.join("Cargo.lock")];
        while let Some(place) = places.pop() {
            let found = std::fs::metadata(&place)?;
            if found.is_dir() {
                for entry in std::fs::read_dir(&place)? {
                    places.push(entry?.path());
                }
            } else if found.modified()? > built {
                anyhow::bail!("{} is older than {}: {how}", worker.display(), place.display());
            }
        }
    }
    Ok(worker)
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
        let here = Conditions::of(vec!["nats-server 2.15.1".to_owned()], Some(Path::new("/")));
        assert!(here.cores > 0 && here.memory_bytes > 1 << 20 && !here.kernel.is_empty(), "{here:?}");
        assert!(here.differences(&here).is_empty());
        let there = Conditions { cores: 1_000, commit: "another".to_owned(), ..here.clone() };
        let differences = here.differences(&there);
        assert_eq!(differences, [format!("cores: 1000 then, {} now", here.cores)]);
    }
}

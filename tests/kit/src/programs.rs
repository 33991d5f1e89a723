//! Programs that are looked for: as given, on the PATH, where Debian keeps them, or where `tests/run` puts what it fetches.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// The oldest nats-server that will do: the first that knows `sync_interval`.
const NATS_OLDEST: Version = Version(2, 10, 0);

/// A version of three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    /// From a text such as `nats-server: v2.15.1`.
    fn of(text: &str) -> Option<Self> {
        let digits = text.find(|letter: char| letter.is_ascii_digit())?;
        let mut parts = text[digits..].split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
        let mut next = || parts.next()?.ok();
        Some(Self(next()?, next()?, next()?))
    }

    fn of_binary(path: &Path) -> Option<Self> {
        let output = Command::new(path).arg("--version").output().ok()?;
        Self::of(&String::from_utf8_lossy(&output.stdout))
    }
}

/// A nats-server: the one `given`, else one on the PATH, else the newest that `tests/run` has fetched.
pub fn nats_server(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        let version = Version::of_binary(path)
            .with_context(|| format!("{} is no nats-server that can be run", path.display()))?;
        if version < NATS_OLDEST {
            bail!("{} is older than 2.10", path.display());
        }
        return Ok(path.to_owned());
    }
    let good = |path: &PathBuf| path.is_file() && Version::of_binary(path) >= Some(NATS_OLDEST);
    on_path("nats-server").find(good).or_else(|| fetched(&tool_folders())).context(
        "there is no nats-server 2.10 or later: name one with --nats-server, put one on the PATH (https://nats.io \
         has it), run tests/run, which fetches one into target/tools, or use one that runs, with --server URL",
    )
}

/// Where `tests/run` puts what it fetches: beside this program's target folder, or in the current one's.
fn tool_folders() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let mut folders = vec![PathBuf::from("target/tools")];
    folders.extend(program.ancestors().skip(1).map(|folder| folder.join("tools")));
    folders
}

/// The newest server in the first of these folders that has any.
fn fetched(folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().find_map(|folder| {
        let entries = std::fs::read_dir(folder).ok()?.flatten();
        let servers = entries.filter_map(|entry| {
            let version = Version::of(entry.file_name().to_str()?.strip_prefix("nats-server-")?)?;
            let path = entry.path().join("nats-server");
            path.is_file().then_some((version, path))
        });
        servers.max().map(|(_, path)| path)
    })
}

/// `redis-server`: as given, else on the PATH.
pub fn redis_server(given: Option<&Path>) -> Result<PathBuf> {
    find("redis-server", given, &[]).context("Debian's package redis-server has it")
}

/// The folder with PostgreSQL's `initdb` and `postgres`: as given, else on the PATH, else Debian's newest.
pub fn postgres_folder(given: Option<&Path>) -> Result<PathBuf> {
    let given = given.map(|folder| folder.join("postgres"));
    let program = find("postgres", given.as_deref(), &debian_postgres())
        .context("Debian's package postgresql has it")?;
    Ok(program.parent().map(Path::to_owned).unwrap_or_default())
}

/// Debian's folders of PostgreSQL's programs, the newest first.
fn debian_postgres() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

fn on_path(program: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).collect::<Vec<_>>().into_iter()
}

fn find(program: &str, given: Option<&Path>, folders: &[PathBuf]) -> Result<PathBuf> {
    if let Some(given) = given {
        ensure!(given.is_file(), "there is no {}", given.display());
        return Ok(given.to_owned());
    }
    on_path(program)
        .chain(folders.iter().map(|folder| folder.join(program)))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{program} is not installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        assert_eq!(Version::of("nats-server: v2.15.1"), Some(Version(2, 15, 1)));
        assert_eq!(Version::of("2.10.26-RC.1"), Some(Version(2, 10, 26)));
        assert_eq!(Version::of("2.15"), None);
        assert!(Version(2, 10, 0) > Version(2, 9, 25));
    }

    #[test]
    fn the_newest_fetched_server_is_taken() {
        let folder = crate::folder(&std::env::temp_dir(), "programs").unwrap();
        for version in ["2.9.25", "2.15.1", "2.10.26"] {
            let home = folder.path().join(format!("nats-server-{version}"));
            std::fs::create_dir(&home).unwrap();
            std::fs::write(home.join("nats-server"), "").unwrap();
        }
        let found = fetched(&[folder.path().join("none"), folder.path().to_owned()]).unwrap();
        assert!(found.ends_with("nats-server-2.15.1/nats-server"), "{}", found.display());
    }
}

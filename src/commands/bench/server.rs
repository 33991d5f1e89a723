//! The broker: a nats-server that is found, started on free loopback ports with a store of its own, and removed with it.

use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parts::Part;

/// The oldest version that knows `sync_interval`.
const OLDEST: Version = Version(2, 10, 0);
/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether it has.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Streams reserve their size limits; what is really there is bounded by the load.
const STORE_BYTES_MAX: &str = "1TB";

/// When the servers sync what they have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fsync {
    /// Every two minutes, the server's default
    Lazy,
    /// Before they acknowledge
    Always,
}

/// A version of nats-server.
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

/// Finds a nats-server: the one named, else one on the PATH, else one that `tests/run` has fetched.
pub(super) fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        let version = Version::of_binary(path)
            .with_context(|| format!("{} is no nats-server that can be run", path.display()))?;
        if version < OLDEST {
            bail!("{} is older than 2.10", path.display());
        }
        return Ok(path.to_owned());
    }
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).map(|folder| folder.join("nats-server"));
    let good = |path: &PathBuf| path.is_file() && Version::of_binary(path) >= Some(OLDEST);
    on_path.into_iter().find(good).or_else(|| fetched(&tool_folders())).context(
        "there is no nats-server 2.10 or later: name one with --nats-server, put one on the PATH (https://nats.io \
         has it), run tests/run, which fetches one into target/tools, or use one that runs, with --server URL",
    )
}

/// Where `tests/run` puts what it fetches: beside this executable's target folder, or in the current one's.
fn tool_folders() -> Vec<PathBuf> {
    let executable = std::env::current_exe().unwrap_or_default();
    let mut folders = vec![PathBuf::from("target/tools")];
    folders.extend(executable.ancestors().skip(1).map(|folder| folder.join("tools")));
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

/// A folder that is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one, in `parent` or where the system keeps such.
    pub(super) fn new(parent: Option<&Path>) -> anyhow::Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = parent.join(format!("weir-bench-{}", std::process::id()));
        std::fs::create_dir_all(&parent)
            // The configurations in it may hold a server's password.
            .and_then(|()| DirBuilder::new().mode(0o700).create(&path))
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(std::path::absolute(path)?))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One server, or the servers of a cluster.
#[derive(Debug)]
pub(super) struct Servers {
    parts: Vec<Part>,
    pub(super) urls: Vec<String>,
}

impl Servers {
    /// Uses servers that run already.
    pub(super) fn given(urls: Vec<String>) -> Self {
        Self { parts: Vec::new(), urls }
    }

    /// Starts as many servers as there shall be copies, and waits until each says where it listens.
    pub(super) async fn start(
        executable: &Path,
        binary: &Path,
        folder: &Path,
        fsync: Fsync,
        replicas: usize,
    ) -> anyhow::Result<Self> {
        let routes: Vec<u16> = if replicas > 1 { free_ports(replicas)? } else { Vec::new() };
        let mut servers = Self { parts: Vec::new(), urls: Vec::new() };
        for number in 0..replicas {
            let home = folder.join(format!("server-{number}"));
            std::fs::create_dir(&home)?;
            let config = home.join("config");
            std::fs::write(&config, configuration(&home, number, fsync, &routes))?;
            let mut command = Command::new(executable);
            command.args(["bench-part", "become"]).arg(binary);
            command.arg("--config").arg(&config).arg("--ports_file_dir").arg(&home);
            servers.parts.push(Part::start("nats-server", command, None)?);
        }
        for number in 0..replicas {
            let part = &mut servers.parts[number];
            let id = part.id();
            let ports = folder.join(format!("server-{number}/nats-server_{id}.ports"));
            let url = tokio::select! {
                url = tokio::time::timeout(PATIENCE, listening(&ports)) => url,
                death = part.death() => return Err(death),
            };
            servers.urls.push(url.context("nats-server does not say where it listens")?);
        }
        Ok(servers)
    }

    /// The servers' processes, as far as they are this one's children.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.parts.iter().map(Part::id).collect()
    }

    /// Waits for the end of any of them, which nobody asked for.
    pub(super) async fn death(&mut self) -> anyhow::Error {
        if self.parts.is_empty() {
            return std::future::pending().await;
        }
        let deaths = self.parts.iter_mut().map(|part| Box::pin(part.death()));
        futures_util::future::select_all(deaths).await.0
    }
}

/// Where the server listens, once its ports file is there.
async fn listening(ports: &Path) -> String {
    loop {
        let text = std::fs::read(ports).unwrap_or_default();
        let ports = serde_json::from_slice::<Value>(&text).unwrap_or_default();
        if let Some(url) = ports["nats"][0].as_str() {
            return url.to_owned();
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Ports that nobody listens on now. The servers of a cluster must know each other's beforehand.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<_, _>>()?;
    Ok(listeners
        .iter()
        .map(|listener| listener.local_addr().map(|it| it.port()))
        .collect::<Result<_, _>>()?)
}

fn configuration(home: &Path, number: usize, fsync: Fsync, routes: &[u16]) -> String {
    let store = serde_json::Value::from(home.join("store").to_string_lossy().into_owned());
    let sync = match fsync {
        Fsync::Lazy => "",
        Fsync::Always => "\n  sync_interval: always",
    };
    let mut text = format!(
        "server_name: bench-{number}\nlisten: \"127.0.0.1:-1\"\n\
         jetstream {{\n  store_dir: {store}\n  max_file_store: {STORE_BYTES_MAX}{sync}\n}}\n"
    );
    if let Some(own) = routes.get(number) {
        let routes: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "cluster {{\n  name: bench\n  listen: \"127.0.0.1:{own}\"\n  routes: {}\n}}",
            serde_json::Value::from(routes)
        );
    }
    text
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
    fn servers_are_configured_as_asked() {
        let home = Path::new("/store \"here\"");
        let alone = configuration(home, 0, Fsync::Lazy, &[]);
        assert!(alone.contains("listen: \"127.0.0.1:-1\""), "{alone}");
        assert!(alone.contains(r#"store_dir: "/store \"here\"/store""#), "{alone}");
        assert!(!alone.contains("sync_interval") && !alone.contains("cluster"), "{alone}");
        let third = configuration(home, 2, Fsync::Always, &[5, 6, 7]);
        assert!(
            third.contains("sync_interval: always\n") && third.contains("server_name: bench-2"),
            "{third}"
        );
        assert!(
            third.contains("listen: \"127.0.0.1:7\"") && third.contains("\"nats://127.0.0.1:5\""),
            "{third}"
        );
    }

    #[test]
    fn the_newest_fetched_server_is_taken() {
        let folder = Folder::new(None).unwrap();
        for version in ["2.9.25", "2.15.1", "2.10.26"] {
            let home = folder.path().join(format!("nats-server-{version}"));
            std::fs::create_dir(&home).unwrap();
            std::fs::write(home.join("nats-server"), "").unwrap();
        }
        let found = fetched(&[folder.path().join("none"), folder.path().to_owned()]).unwrap();
        assert!(found.ends_with("nats-server-2.15.1/nats-server"), "{}", found.display());
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }
}

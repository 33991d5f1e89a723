//! Servers and workers as child processes: found, started, watched, ended by their own process id, their folders removed.
//!
//! They run in process groups of their own, so that a Ctrl-C on the terminal reaches this process alone, which then ends
//! them in good order. All listen on the loopback only.

#![allow(dead_code, reason = "not every bench needs all of it")]

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

/// How long a server may take until it answers.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile.
const ASK_INTERVAL: Duration = Duration::from_millis(10);
/// How long a server may take to end in good order.
const END_DEADLINE: Duration = Duration::from_secs(10);
/// The most bytes of a log that are shown.
const LOG_SHOWN_MAX: usize = 2_000;
/// What the kernel counts CPU time in, on every Linux that Rust runs on.
const TICKS_PER_SECOND: u64 = 100;

/// A folder that goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new one in `parent`.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Relaxed);
        let path = parent.join(format!("weir-bench-{}-{number}-{name}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// How a child is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By SIGINT; by SIGKILL where that does not do.
    Asked,
    /// By SIGKILL: nothing that it would still write is wanted.
    Killed,
}

/// A child process, ended when this is dropped. What it prints goes to a file.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ending: Ending,
}

impl Process {
    /// Starts `command`, with a log in `folder`.
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path, ending: Ending) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { name: name.to_owned(), child, log, ending })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of what it printed.
    pub(crate) fn failed(&self, what: &str) -> anyhow::Error {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let end = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN_MAX)..]).into_owned();
        anyhow!("{} {what}; it said:\n{}", self.name, end.trim_end())
    }

    /// Waits until `attempt` gives something; fails if the process ends first or it takes too long.
    pub(crate) async fn until<T>(&mut self, mut attempt: impl AsyncFnMut() -> Option<T>) -> Result<T> {
        let asked = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    return Err(self.failed(&format!("ended ({status})")));
                }
                if let Some(found) = attempt().await {
                    return Ok(found);
                }
                tokio::time::sleep(ASK_INTERVAL).await;
            }
        };
        match tokio::time::timeout(START_DEADLINE, asked).await {
            Ok(found) => found,
            Err(_) => Err(self.failed(&format!("did not answer within {START_DEADLINE:?}"))),
        }
    }

    /// Waits until it ends by itself, for at most `deadline`.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    return anyhow::Ok(status);
                }
                tokio::time::sleep(ASK_INTERVAL).await;
            }
        };
        match tokio::time::timeout(deadline, ended).await {
            Ok(status) => status,
            Err(_) => Err(self.failed(&format!("did not end within {deadline:?}"))),
        }
    }

    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        if self.ending == Ending::Asked && interrupt(self.child.id()).is_ok() {
            let mut waited = Duration::ZERO;
            while waited < END_DEADLINE {
                if self.child.try_wait()?.is_some() {
                    return Ok(());
                }
                std::thread::sleep(ASK_INTERVAL);
                waited += ASK_INTERVAL;
            }
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("cannot end {} (process {}): {error:#}", self.name, self.child.id());
        }
    }
}

/// Sends SIGINT, by the shell's own `kill`: the standard library has none.
fn interrupt(process: u32) -> Result<()> {
    let status = Command::new("sh")
        .args(["-c", "kill -INT \"$0\"", &process.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { bail!("kill: {status}") }
}

/// A server and its folder, which goes after it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) port: u16,
    #[expect(dead_code, reason = "held so that it goes after the process")]
    folder: Folder,
}

impl Server {
    pub(crate) fn new(process: Process, port: u16, folder: Folder) -> Self {
        Self { process, port, folder }
    }

    /// What it has used so far of the CPUs, with its children that still run.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let own = self.process.id();
        let mut used = cpu(&own.to_string())?;
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(process) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            else {
                continue;
            };
            // One that ended meanwhile is no concern.
            if stat(process).is_ok_and(|stat| stat.parent == own) {
                used += cpu(process).unwrap_or_default();
            }
        }
        Ok(used)
    }
}

struct Stat {
    parent: u32,
    cpu: Duration,
}

/// CPU time of a process, user and system, all its threads: a process id, or `self`.
pub(crate) fn cpu(process: &str) -> Result<Duration> {
    Ok(stat(process)?.cpu)
}

fn stat(process: &str) -> Result<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may hold anything; the fields after it begin with the third (proc(5)).
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let field = |number: usize| after.split_whitespace().nth(number - 3).unwrap_or_default();
    let ticks = field(14).parse::<u64>()? + field(15).parse::<u64>()?;
    Ok(Stat { parent: field(4).parse()?, cpu: Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND) })
}

/// A port of the loopback that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A program's path: as `given`, else from PATH, else from `folders`.
pub(crate) fn find(program: &str, given: Option<&Path>, folders: &[PathBuf]) -> Result<PathBuf> {
    if let Some(given) = given {
        anyhow::ensure!(given.is_file(), "there is no {}", given.display());
        return Ok(given.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(folders.iter().cloned())
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{program} is not installed"))
}

/// The folders `parent/*suffix` whose names begin with `prefix`, the highest numbers in them first.
pub(crate) fn newest(parent: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let numbers = |path: &PathBuf| -> Vec<u64> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    let mut found: Vec<PathBuf> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    found.sort_by_key(numbers);
    found.into_iter().rev().map(|path| if suffix.is_empty() { path } else { path.join(suffix) }).collect()
}

/// What `program --version` says, in one line.
pub(crate) fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

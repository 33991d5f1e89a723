//! Child processes: started, listened to, measured, and ended by their own id on every way out.
//!
//! Each has a process group of its own, so that Ctrl-C on a terminal reaches the parent only, which then ends them.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;

/// How many of its last lines of stderr are kept, and how many are told when it dies.
const TAIL_LINES: usize = 40;
const TOLD_LINES: usize = 10;
/// A longer line is cut.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// Lines of stdout that wait to be read.
const LINES_QUEUED_MAX: usize = 1_024;
/// How often it is looked whether a process still runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A child process.
#[derive(Debug)]
pub(super) struct Part {
    name: &'static str,
    child: Child,
    /// Kept open: its end tells the part that the parent has gone.
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    tail: Tail,
}

/// The last lines that a process has said on stderr.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(line);
        while lines.len() > TAIL_LINES {
            lines.pop_front();
        }
    }

    /// The lines.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Part {
    /// Starts a process. `input` goes to its stdin as one line.
    pub(super) fn start(
        name: &'static str,
        mut command: Command,
        input: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start the {name} ({})", command.get_program().display()))?;
        let (told, lines) = mpsc::channel(LINES_QUEUED_MAX);
        let tail = Tail::default();
        if let Some(stdout) = child.stdout.take() {
            follow(stdout, move |line| told.blocking_send(line).is_ok())?;
        }
        if let Some(stderr) = child.stderr.take() {
            let tail = tail.clone();
            follow(stderr, move |line| {
                tail.push(line);
                true
            })?;
        }
        let stdin = child.stdin.take();
        let mut part = Self { name, child, stdin, lines, tail };
        if let (Some(stdin), Some(input)) = (&mut part.stdin, input) {
            writeln!(stdin, "{input}").with_context(|| format!("the {name} takes no input"))?;
        }
        Ok(part)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its stdout; an error once it has ended.
    pub(super) async fn line(&mut self) -> anyhow::Result<String> {
        match self.lines.recv().await {
            Some(line) => Ok(line),
            None => Err(self.death().await),
        }
    }

    /// Its last lines of stderr, now and later.
    pub(super) fn tail(&self) -> Tail {
        self.tail.clone()
    }

    /// Waits for its end, which nobody asked for.
    pub(super) async fn death(&mut self) -> anyhow::Error {
        let status = loop {
            match self.child.try_wait() {
                Ok(None) => tokio::time::sleep(LOOK_INTERVAL).await,
                Ok(Some(status)) => break status.to_string(),
                Err(error) => break error.to_string(),
            }
        };
        // What it said last may still be on its way.
        tokio::time::sleep(LOOK_INTERVAL).await;
        let mut text = format!("the {} has ended ({status})", self.name);
        let lines = self.tail.lines();
        for line in &lines[lines.len().saturating_sub(TOLD_LINES)..] {
            text.push_str("\n    ");
            text.push_str(line);
        }
        anyhow::Error::msg(text)
    }

    /// Asks it to end, and waits for that.
    pub(super) async fn stop(mut self, patience: Duration) -> anyhow::Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        // It may have ended just now.
        let _ = id.map(|id| kill_process(id, Signal::TERM));
        let status = self.ended(patience).await?;
        if !status.success() {
            return Err(self.death().await);
        }
        Ok(())
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let looking = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    return anyhow::Ok(status);
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        match tokio::time::timeout(patience, looking).await {
            Ok(status) => status,
            Err(_) => bail!("the {} does not end", self.name),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Both fail only where it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives every line of `source` to `each` on a thread, until it ends or `each` wants no more.
fn follow(
    source: impl Read + Send + 'static,
    mut each: impl FnMut(String) -> bool + Send + 'static,
) -> anyhow::Result<()> {
    std::thread::Builder::new().name("follow".to_owned()).spawn(move || {
        let mut source = BufReader::new(source);
        let mut listening = true;
        let mut line = Vec::new();
        // A process must not block because nobody reads what it says.
        while let Ok(1..) = (&mut source).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            if listening {
                listening = each(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
            }
            line.clear();
        }
    })?;
    Ok(())
}

/// What a process has used.
#[derive(Clone, Debug, Default)]
pub(super) struct Used {
    /// Nanoseconds on a CPU, by thread.
    threads: BTreeMap<String, u64>,
}

impl Used {
    /// What a process has used so far. A thread that ended is not known any more.
    pub(super) fn by(process: u32) -> Self {
        let mut threads = BTreeMap::new();
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            if let Some(nanos) = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()) {
                threads.insert(task.file_name().to_string_lossy().into_owned(), nanos);
            }
        }
        Self { threads }
    }

    /// Nanoseconds used since an earlier look; none where the system does not tell.
    pub(super) fn since(&self, earlier: &Self) -> Option<u64> {
        let used = |(thread, nanos): (&String, &u64)| {
            nanos.saturating_sub(earlier.threads.get(thread).copied().unwrap_or(0))
        };
        (!self.threads.is_empty()).then(|| self.threads.iter().map(used).sum())
    }
}

/// The most memory that a process has held at once, in bytes.
pub(super) fn peak_rss_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_part_is_heard_and_its_death_is_told() {
        let script = "read job; echo \"got $job\"; echo broken >&2; exit 7";
        let mut part = Part::start("part", shell(script), Some("work")).unwrap();
        assert_eq!(part.line().await.unwrap(), "got work");
        let death = part.line().await.unwrap_err().to_string();
        assert_eq!(death, "the part has ended (exit status: 7)\n    broken");
    }

    #[tokio::test]
    async fn a_part_that_is_dropped_is_gone() {
        let mut part = Part::start("part", shell("echo up; sleep 60"), None).unwrap();
        assert_eq!(part.line().await.unwrap(), "up");
        let folder = format!("/proc/{}", part.id());
        assert!(std::fs::exists(&folder).unwrap());
        drop(part);
        assert!(!std::fs::exists(&folder).unwrap());
    }

    #[tokio::test]
    async fn a_part_ends_when_asked() {
        let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done";
        let mut part = Part::start("part", shell(script), None).unwrap();
        part.line().await.unwrap();
        part.stop(Duration::from_secs(20)).await.unwrap();
    }

    #[test]
    fn what_this_process_used_is_known() {
        let before = Used::by(std::process::id());
        let mut sum = 0_u64;
        while Used::by(std::process::id()).since(&before) < Some(1_000_000) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(peak_rss_bytes(std::process::id()).unwrap() > 1 << 20);
    }
}

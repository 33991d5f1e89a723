//! A child process: started, listened to, measured, and ended by its own id on every way out.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

/// The most that is kept of each of a process's streams, in bytes; what comes beyond is read and dropped.
const TEXT_BYTES_MAX: usize = 64 << 20;
/// How much of its end is told when it dies.
const TOLD_LINES: usize = 10;
/// How often it is looked whether a process still runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How long a process that is asked to end may take before it is killed.
const END_DEADLINE: Duration = Duration::from_secs(10);
/// What the kernel counts CPU time in, on every Linux that Rust runs on.
const TICKS_PER_SECOND: u64 = 100;

/// What a process reads.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Nothing.
    None,
    /// This, and then the end.
    Whole(&'a str),
    /// This line; the stream stays open, and its end tells the process that its parent has gone.
    Line(&'a str),
}

/// How a process ends when it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By SIGINT; by SIGKILL where that does not do.
    Asked,
    /// By SIGKILL: nothing that it would still write is wanted.
    Killed,
}

/// What a process that ended has left.
#[derive(Debug)]
pub struct Ended {
    /// None where a signal ended it.
    pub code: Option<i32>,
    /// All that it wrote there.
    pub stdout: String,
    /// All that it wrote there.
    pub stderr: String,
}

/// A child process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// Kept open, where it is.
    _input: Option<ChildStdin>,
    stdout: Text,
    stderr: Text,
    /// How much of stdout was given line by line.
    given: usize,
    ending: Ending,
}

/// A stream of text that a thread collects, until its end.
#[derive(Debug)]
struct Text {
    so_far: Arc<Mutex<String>>,
    /// How often something came; closed at the end.
    came: watch::Receiver<u64>,
    thread: Option<JoinHandle<()>>,
}

fn lock(text: &Mutex<String>) -> MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Text {
    fn collect(source: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let (tell, came) = watch::channel(0);
        let shared = text.clone();
        let thread = source.map(|mut source| {
            std::thread::spawn(move || {
                let mut bytes = [0; 8_192];
                // A process must not block because nobody reads what it says.
                while let Ok(count @ 1..) = source.read(&mut bytes) {
                    let mut text = lock(&shared);
                    if text.len() < TEXT_BYTES_MAX {
                        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
                    }
                    drop(text);
                    tell.send_modify(|count| *count += 1);
                }
            })
        });
        Self { so_far: text, came, thread }
    }

    fn now(&self) -> String {
        lock(&self.so_far).clone()
    }

    /// All of it, once the process has ended.
    fn whole(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            // It only reads, and ends with the stream.
            let _ = thread.join();
        }
        self.now()
    }

    /// The line that begins at `from`, if it is whole.
    fn line(&self, from: usize) -> Option<String> {
        let text = lock(&self.so_far);
        let rest = text.get(from..)?;
        rest.split_once('\n').map(|(line, _)| line.to_owned())
    }
}

impl Process {
    /// Starts `command`, whose streams it takes over.
    pub fn start(name: &str, mut command: Command, input: Input<'_>, ending: Ending) -> Result<Self> {
        let mut child = command
            .stdin(if matches!(input, Input::None) { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the {name} ({})", command.get_program().display()))?;
        let (stdout, stderr) = (Text::collect(child.stdout.take()), Text::collect(child.stderr.take()));
        let mut stdin = child.stdin.take();
        // A process that does not read its input may be gone already: whoever waits for it will know.
        match (input, &mut stdin) {
            (Input::Whole(text), Some(pipe)) => {
                let _ = pipe.write_all(text.as_bytes());
                stdin = None;
            }
            (Input::Line(line), Some(pipe)) => {
                let _ = writeln!(pipe, "{line}");
            }
            _ => {}
        }
        Ok(Self { name: name.to_owned(), child, _input: stdin, stdout, stderr, given: 0, ending })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout so far.
    #[must_use]
    pub fn printed(&self) -> String {
        self.stdout.now()
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.stderr.now()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The next line of its stdout; an error once it has ended.
    pub async fn line(&mut self) -> Result<String> {
        loop {
            if let Some(line) = self.stdout.line(self.given) {
                self.given += line.len() + 1;
                return Ok(line);
            }
            if self.stdout.came.changed().await.is_err() && self.stdout.line(self.given).is_none() {
                return Err(self.death().await);
            }
        }
    }

    /// An error with the end of what it wrote.
    #[must_use]
    pub fn failed(&self, what: &str) -> anyhow::Error {
        let mut text = format!("the {} {what}", self.name);
        let log = [self.stdout.now(), self.stderr.now()].concat();
        let lines: Vec<_> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(TOLD_LINES)..] {
            text.push_str("\n    ");
            text.push_str(line);
        }
        anyhow!(text)
    }

    /// Waits for its end, which nobody asked for.
    pub async fn death(&mut self) -> anyhow::Error {
        loop {
            match self.child.try_wait() {
                Ok(None) => tokio::time::sleep(LOOK_INTERVAL).await,
                Ok(Some(status)) => {
                    self.stderr.whole();
                    return self.failed(&format!("has ended ({status})"));
                }
                Err(error) => return error.into(),
            }
        }
    }

    /// Waits until `attempt` gives something; fails if the process ends first, or after `patience`.
    pub async fn until<T>(
        &mut self,
        patience: Duration,
        mut attempt: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T> {
        let asked = async {
            loop {
                if !self.is_running() {
                    return Err(self.death().await);
                }
                if let Some(found) = attempt().await {
                    return Ok(found);
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        match tokio::time::timeout(patience, asked).await {
            Ok(found) => found,
            Err(_) => Err(self.failed(&format!("did not answer within {patience:?}"))),
        }
    }

    /// Waits for its end, for at most `patience`.
    pub async fn ended(&mut self, patience: Duration) -> Result<ExitStatus> {
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
            Err(_) => Err(self.failed(&format!("did not end within {patience:?}"))),
        }
    }

    /// Waits until it ends by itself, and gives what it has left.
    pub async fn finish(mut self, patience: Duration) -> Result<Ended> {
        let code = self.ended(patience).await?.code();
        Ok(Ended { code, stdout: self.stdout.whole(), stderr: self.stderr.whole() })
    }

    /// Sends it a signal, if it still runs.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        // It may have ended just now.
        let _ = id.map(|id| kill_process(id, signal));
    }

    /// Asks it to end, and waits for that.
    pub async fn stop(mut self, patience: Duration) -> Result<()> {
        self.signal(Signal::TERM);
        if !self.ended(patience).await?.success() {
            return Err(self.death().await);
        }
        Ok(())
    }

    /// Ends it without a chance to write anything down.
    pub fn kill(&mut self) {
        // Both fail only where it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it has used so far of the CPUs, with its children that still run.
    pub fn cpu_with_children(&self) -> Result<Duration> {
        let own = self.id();
        let mut used = stat(&own.to_string())?.cpu;
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(process) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            else {
                continue;
            };
            // One that ended meanwhile is no concern.
            if let Ok(stat) = stat(process)
                && stat.parent == own
            {
                used += stat.cpu;
            }
        }
        Ok(used)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ending == Ending::Asked && self.is_running() {
            self.signal(Signal::INT);
            let mut waited = Duration::ZERO;
            while waited < END_DEADLINE && self.is_running() {
                std::thread::sleep(LOOK_INTERVAL);
                waited += LOOK_INTERVAL;
            }
        }
        self.kill();
        if std::thread::panicking() {
            eprintln!("the log of the {}:\n{}", self.name, self.log());
        }
    }
}

struct Stat {
    parent: u32,
    cpu: Duration,
}

fn stat(process: &str) -> Result<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may hold anything; the fields after it begin with the third (proc(5)).
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let field = |number: usize| after.split_whitespace().nth(number - 3).unwrap_or_default();
    let ticks = field(14).parse::<u64>()? + field(15).parse::<u64>()?;
    Ok(Stat { parent: field(4).parse()?, cpu: Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND) })
}

/// What a process has used of the CPUs.
#[derive(Clone, Debug, Default)]
pub struct Used {
    /// Nanoseconds on a CPU, by thread.
    threads: BTreeMap<String, u64>,
}

impl Used {
    /// What a process has used so far. A thread that ended is not known any more.
    #[must_use]
    pub fn by(process: u32) -> Self {
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
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<u64> {
        let used = |(thread, nanos): (&String, &u64)| {
            nanos.saturating_sub(earlier.threads.get(thread).copied().unwrap_or(0))
        };
        (!self.threads.is_empty()).then(|| self.threads.iter().map(used).sum())
    }
}

/// The most memory that a process has held at once, in bytes.
#[must_use]
pub fn peak_rss_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// What `program --version` says, in one line.
pub fn version(program: &std::path::Path) -> Result<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{} cannot be run", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next() {
        Some(line) if output.status.success() => Ok(line.trim().to_owned()),
        _ => bail!("{} does not say its version", program.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: Input<'_>) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("part", command, input, Ending::Killed).unwrap()
    }

    #[tokio::test]
    async fn a_process_is_heard_and_its_death_is_told() {
        let script = "read job; echo \"got $job\"; echo broken >&2; exit 7";
        let mut part = shell(script, Input::Line("work"));
        assert_eq!(part.line().await.unwrap(), "got work");
        let death = part.line().await.unwrap_err().to_string();
        assert_eq!(death, "the part has ended (exit status: 7)\n    got work\n    broken");
    }

    #[tokio::test]
    async fn a_process_that_is_dropped_is_gone() {
        let mut part = shell("echo up; sleep 60", Input::None);
        assert_eq!(part.line().await.unwrap(), "up");
        let folder = format!("/proc/{}", part.id());
        assert!(std::fs::exists(&folder).unwrap());
        drop(part);
        assert!(!std::fs::exists(&folder).unwrap());
    }

    #[tokio::test]
    async fn a_process_ends_when_asked_and_leaves_what_it_said() {
        let script = "trap 'echo bye; exit 3' TERM; cat; while :; do sleep 0.01; done";
        let mut part = shell(script, Input::Whole("up\n"));
        part.line().await.unwrap();
        part.signal(Signal::TERM);
        let ended = part.finish(Duration::from_secs(20)).await.unwrap();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), "up\nbye\n"));
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

//! What the tests and the benches share: servers, processes, programs that are looked for, and waiting for what must come.
//!
//! All traffic is on the loopback. What is started here ends with the value that stands for it, and its folder goes.
//! Deliberately absent: anything that knows what Weir decides.

pub mod nats;
pub mod process;
pub mod programs;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use tempfile::TempDir;

/// How long anything may take before a test gives up on it: on a busy machine with a slow disk.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked whether something has come.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Says that the test that runs does not check what it is for, and why. `tests/run` names a file where it is told too, so that no such
/// test counts as passed.
///
/// # Panics
/// If the file cannot be written.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    println!("skipped: {test}: {why}");
    if let Some(file) = std::env::var_os("WEIR_TEST_SKIPPED") {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .expect("the list of skipped tests");
        // One write, so that lines of several tests do not mix.
        file.write_all(format!("{test}: {why}\n").as_bytes()).expect("the list of skipped tests");
    }
}

/// Cargo's folder for what tests leave behind, beside the running program; else the system's folder for temporary files.
#[must_use]
pub fn scratch() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    // Cargo marks its target folder.
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.map_or_else(std::env::temp_dir, |target| target.join("tmp"))
}

/// A folder of its own in `parent`, which is made if it is missing. It goes with the value; only its owner can read it.
pub fn folder(parent: &Path, name: &str) -> std::io::Result<TempDir> {
    std::fs::create_dir_all(parent)?;
    tempfile::Builder::new().prefix(&format!("weir-{name}-")).tempdir_in(parent)
}

/// Tries again and again until `attempt` gives something, for at most [`PATIENCE`].
///
/// # Panics
/// If it takes longer.
pub async fn until<T>(what: &str, attempt: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, attempt).await
}

/// The same, for what may take longer.
///
/// # Panics
/// If it takes longer than `patience`.
pub async fn within<T>(patience: Duration, what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let tries = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(patience, tries).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Waits for `future`, for at most [`PATIENCE`].
///
/// # Panics
/// If it takes longer.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

//! What the tests and the benches share: servers, processes, programs that are looked for, and waiting for what must come.
//!
//! All traffic is on the loopback. What is started here ends with the value that stands for it, and its folder goes.
//! Deliberately absent: anything that knows what Weir decides.

pub mod nats;
pub mod process;
pub mod programs;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use tempfile::TempDir;

/// How long anything may take before a test gives up on it: on a busy machine with a slow disk.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked whether something has come.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

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

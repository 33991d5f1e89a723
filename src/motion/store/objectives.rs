//! The objective's counts of all processes, added up: one entry a shard beside the pointers to snapshots. So its days outlast whoever
//! counted, and a worker that takes over shows what those before it counted.
//!
//! Each process adds what it has counted now and then, fenced by the entry's revision. An addition that was not acknowledged may have
//! been made: the entry names the last ones, and the same one is tried again until it is there. What a process counted since it last
//! added dies with it: [`EVERY`] at most.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::edges::clock::SharedClock;
use crate::edges::keys::Keys;
use crate::edges::streams::{AppendError, ReadError};
use crate::edges::telemetry::{Answers, Unsaved};
use crate::folds::analytics::{DAYS, OBJECTIVE, Objective};

/// How often counts are added.
pub const EVERY: Duration = Duration::from_secs(10);
/// How long that may take at the end of a process.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// How often an addition is tried against those of others.
const TRIES: u32 = 5;
/// How many of the last additions an entry names.
const NAMED_MAX: usize = 64;

/// What an entry holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// By hour since 1970: good, all.
    hours: Vec<(i64, u64, u64)>,
    /// The last additions, the newest last: process and number.
    named: Vec<(String, u64)>,
}

/// Adds up what this process counts, and tells it what others did.
pub struct Objectives<K> {
    keys: K,
    clock: SharedClock,
    answers: Answers,
    process: String,
    complained: bool,
}

impl<K: Keys> Objectives<K> {
    /// For a process whose name is like no other's, also not one of its own before.
    #[must_use]
    pub const fn new(keys: K, clock: SharedClock, answers: Answers, process: String) -> Self {
        Self { keys, clock, answers, process, complained: false }
    }

    /// Adds up every few seconds until it is over, and then once more.
    pub async fn keep(mut self, over: CancellationToken) {
        while over.run_until_cancelled(self.add_up()).await.is_some()
            && over.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some()
        {}
        // What does not get there is lost: nothing hangs on it.
        let _ = tokio::time::timeout(ENDS_WITHIN, self.add_up()).await;
    }

    /// Adds what was counted of each shard since the last time, and reads what all have counted.
    pub async fn add_up(&mut self) {
        for (shard, answering) in self.answers.all() {
            let unsaved = answering.unsaved();
            match self.add(&shard, unsaved.as_ref()).await {
                Ok(kept) => {
                    answering.saved(kept, unsaved.map(|unsaved| unsaved.number));
                    self.complained = false;
                }
                Err(error) if self.complained => {
                    tracing::debug!(shard, %error, "the objective was not saved");
                }
                Err(error) => {
                    self.complained = true;
                    tracing::warn!(shard, %error, "the objective was not saved; trying on");
                }
            }
        }
    }

    /// Adds something, if it is not there already, and gives the whole.
    async fn add(&self, shard: &str, unsaved: Option<&Unsaved>) -> Result<Objective, AppendError> {
        let key = format!("objective.{shard}");
        let unread = |error: ReadError| AppendError::Unavailable(error.to_string());
        let mut failed = AppendError::Conflict;
        for _ in 0..TRIES {
            let entry = self.keys.get(&key).await.map_err(unread)?;
            let revision = entry.as_ref().map_or(0, |entry| entry.revision);
            // What cannot be read is written over.
            let kept: Kept =
                entry.and_then(|entry| serde_json::from_slice(&entry.value).ok()).unwrap_or_default();
            let Kept { hours, mut named } = kept;
            let mut objective = Objective::new(OBJECTIVE, DAYS);
            for (hour, good, all) in hours {
                objective.add(hour, good, all);
            }
            let is_there =
                |number| named.iter().any(|(process, known)| *process == self.process && *known == number);
            let Some(unsaved) = unsaved.filter(|unsaved| !is_there(unsaved.number)) else {
                objective.forget(self.now_ms());
                return Ok(objective);
            };
            objective.merge(&unsaved.objective);
            objective.forget(self.now_ms());
            named.push((self.process.clone(), unsaved.number));
            named.drain(..named.len().saturating_sub(NAMED_MAX));
            let value = serde_json::to_vec(&Kept { hours: objective.hours().collect(), named });
            let value = value.map_err(|error| AppendError::Unavailable(error.to_string()))?;
            match self.keys.put(&key, value.into(), revision).await {
                Ok(_) => return Ok(objective),
                Err(error @ (AppendError::Conflict | AppendError::TimedOut)) => failed = error,
                Err(error) => return Err(error),
            }
        }
        Err(failed)
    }

    fn now_ms(&self) -> i64 {
        self.clock.wall_ns() / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use bytes::Bytes;

    use super::*;
    use crate::edges::clock::SystemClock;
    use crate::edges::keys::Entry;
    use crate::edges::memory::MemoryKeys;

    /// A table whose next changes are made and not acknowledged.
    #[derive(Clone, Default)]
    struct Silent {
        inner: MemoryKeys,
        silent: Arc<AtomicU32>,
    }

    impl Keys for Silent {
        async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
            self.inner.get(key).await
        }

        async fn all(&self) -> Result<Vec<(String, Entry)>, ReadError> {
            self.inner.all().await
        }

        async fn put(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, AppendError> {
            let put = self.inner.put(key, value, expected).await?;
            let left =
                self.silent.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_ok() { Err(AppendError::TimedOut) } else { Ok(put) }
        }

        async fn remove(&self, key: &str, expected: u64) -> Result<(), AppendError> {
            self.inner.remove(key, expected).await
        }
    }

    fn process(keys: &Silent, name: &str) -> (Answers, Objectives<Silent>) {
        let answers = Answers::default();
        let clock = SystemClock::shared();
        (answers.clone(), Objectives::new(keys.clone(), clock, answers, name.to_owned()))
    }

    /// Whether all is saved, and what the whole is, as a worker sees it that has just begun.
    async fn whole(keys: &Silent) -> Vec<(u64, u64)> {
        let (_, newcomer) = process(keys, "newcomer");
        let kept = newcomer.add("main", None).await.unwrap();
        kept.hours().map(|(_, good, all)| (good, all)).collect()
    }

    #[tokio::test]
    async fn counts_of_all_processes_add_up_once_each() {
        let keys = Silent::default();
        let now_ms = SystemClock::shared().wall_ns() / 1_000_000;
        let (of_worker, mut worker) = process(&keys, "worker-1");
        let (of_door, mut door) = process(&keys, "door-1");
        // Nothing was counted: nothing is written.
        assert_eq!(of_worker.of("main").unsaved(), None);
        worker.add_up().await;
        assert_eq!(keys.get("objective.main").await, Ok(None));
        of_worker.of("main").answered(now_ms, 90, 90);
        of_door.of("main").answered(now_ms, 0, 10);
        worker.add_up().await;
        door.add_up().await;
        assert_eq!(whole(&keys).await, [(90, 100)]);
        // It was made, and nobody said so: it is not made again.
        of_worker.of("main").answered(now_ms, 5, 5);
        keys.silent.store(1, Ordering::SeqCst);
        worker.add_up().await;
        assert_eq!((whole(&keys).await, of_worker.of("main").unsaved()), (vec![(95, 105)], None));
        // The same, and the process tries again later, after others have added to it.
        of_worker.of("main").answered(now_ms, 1, 1);
        let unsaved = of_worker.of("main").unsaved();
        worker.add("main", unsaved.as_ref()).await.unwrap();
        of_door.of("main").answered(now_ms, 0, 4);
        door.add_up().await;
        worker.add_up().await;
        assert_eq!((whole(&keys).await, of_worker.of("main").unsaved()), (vec![(96, 110)], None));
        // The next process of the same name begins its numbers anew, and is another one.
        let (of_next, mut next) = process(&keys, "worker-2");
        of_next.of("main").answered(now_ms, 2, 2);
        next.add_up().await;
        assert_eq!(whole(&keys).await, [(98, 112)]);
    }

    #[tokio::test]
    async fn what_is_no_entry_is_written_over_and_old_hours_go() {
        let keys = Silent::default();
        let hour = SystemClock::shared().wall_ns() / 3_600_000_000_000;
        let (answers, mut worker) = process(&keys, "worker");
        keys.put("objective.main", Bytes::from_static(b"{"), 0).await.unwrap();
        answers.of("main").answered(hour * 3_600_000, 1, 1);
        worker.add_up().await;
        assert_eq!(whole(&keys).await, [(1, 1)]);
        let entry = keys.get("objective.main").await.unwrap().unwrap();
        let hours = vec![(hour - 720, 7, 7), (hour - 719, 3, 9), (hour + 2, 8, 8), (i64::MAX, 5, 1)];
        let value = serde_json::to_vec(&Kept { hours, named: Vec::new() }).unwrap();
        keys.put("objective.main", value.into(), entry.revision).await.unwrap();
        assert_eq!(whole(&keys).await, [(3, 9)]);
    }
}

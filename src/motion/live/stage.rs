//! Stages as tasks of their own, whose end is told, whatever it is.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;

use super::context::Shard;
use crate::edges::Edges;
use crate::motion::rules::life::{Stage, said};

/// The pause before a stage that panicked begins again; it doubles for each further time.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A stage at work. It is ended where this is dropped.
#[derive(Debug)]
pub struct Running<T> {
    task: JoinSet<T>,
}

/// Starts a stage.
#[must_use]
pub fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Running<T> {
    let mut task = JoinSet::new();
    task.spawn(work);
    Running { task }
}

impl<T: 'static> Running<T> {
    /// Waits for its end: what it gave, or what its panic said. It ends once.
    pub async fn ended(&mut self) -> Result<T, String> {
        match self.task.join_next().await {
            Some(Ok(given)) => Ok(given),
            Some(Err(error)) => Err(match error.try_into_panic() {
                Ok(panic) => said(&*panic),
                Err(error) => error.to_string(),
            }),
            None => std::future::pending().await,
        }
    }
}

impl<E: Edges> Shard<E> {
    /// Runs a stage that the shard can do without for a moment: anew whenever it panics.
    pub(super) async fn keep<F>(&self, stage: Stage, make: impl Fn(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut pause = PAUSE;
        while let Err(text) = start(make(self.clone())).ended().await {
            self.panicked(stage, &text);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        // It had nothing to do.
        std::future::pending::<()>().await;
    }

    /// Says that a stage panicked.
    pub(super) fn panicked(&self, stage: Stage, text: &str) {
        self.telemetry.stage_panicked(stage.name());
        tracing::error!(
            shard = self.status.shard,
            stage = stage.name(),
            panic = text,
            "a stage panicked and begins again: this is a defect in Weir, report it"
        );
    }
}

/// The end of what runs. It waits where nothing does.
pub(super) async fn end_of<T: 'static>(running: &mut Option<Running<T>>) -> Result<T, String> {
    match running {
        Some(running) => running.ended().await,
        None => std::future::pending().await,
    }
}

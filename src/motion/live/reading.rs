//! Reading: carries the log to the fold, and sees to it that what comes next belongs to what was applied.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::mpsc;

use super::context::Shard;
use super::input::Input;
use crate::edges::Edges;
use crate::edges::streams::{LogReader as _, ReadError, Streams as _};
use crate::motion::store::last::Last;
use crate::motion::store::onward::RETRY_PAUSE;
use crate::words::fault::Fault;

/// A reader that gives nothing for so long, while its stream has gone on, is opened anew.
pub(super) const STALL: Duration = Duration::from_secs(2);

impl<E: Edges> Shard<E> {
    /// Reads the log behind `last` and gives it to the fold, until the shard drains.
    pub(super) async fn read(&self, mut last: Last, input: mpsc::Sender<Input>) -> Result<(), Fault> {
        let mut complained = false;
        let reading = async {
            loop {
                let error = match self.read_on(&input, &mut last, &mut complained).await {
                    Ok(Some(fault)) => return Err(fault),
                    Ok(None) => return Ok(()),
                    Err(error) => error,
                };
                self.complain(&mut complained, &error);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        };
        self.drain.run_until_cancelled(reading).await.unwrap_or(Ok(()))
    }

    /// Reads from behind `last` until something fails, after having seen that the log still holds `last`.
    async fn read_on(
        &self,
        input: &mpsc::Sender<Input>,
        last: &mut Last,
        complained: &mut bool,
    ) -> Result<Option<Fault>, ReadError> {
        if let Some(fault) = last.confirm(&self.edges.streams).await? {
            return Ok(Some(fault));
        }
        let from = last.sequence + 1;
        let mut reader = self.edges.streams.read_log(from).await?;
        self.status.set_connected(true);
        if std::mem::take(complained) {
            tracing::info!(shard = self.status.shard, from, "reading the log again");
        }
        // The log's end, as it was when the reader had been silent for a while.
        let mut due = None;
        loop {
            let Ok(read) = tokio::time::timeout(STALL, reader.next_stored()).await else {
                // A quiet log is no stall; one that was rewritten behind an open reader is found here, too.
                if let Some(fault) = last.confirm(&self.edges.streams).await? {
                    return Ok(Some(fault));
                }
                // What came a moment ago may be on its way: it is missed where it has not come by the next look.
                if due.is_some_and(|due| due > last.sequence) {
                    self.telemetry.stalled();
                    return Err(ReadError::Unavailable(
                        "the reader fell silent while the log went on".to_owned(),
                    ));
                }
                due = Some(self.edges.streams.log_state().await?.last_sequence);
                continue;
            };
            due = None;
            let mut messages = read?;
            // A reader that was opened anew may repeat.
            messages.retain(|stored| stored.message.sequence > last.sequence);
            let Some(newest) = messages.last() else { continue };
            *last = Last::of(&newest.message);
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = *last;
            if input.send(Input::Messages(messages)).await.is_err() {
                // The fold has ended: publishing knows why.
                return Ok(None);
            }
        }
    }
}

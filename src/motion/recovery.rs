//! Recovery: where a shard goes on. The outcome stream says what was announced; the newest good snapshot that is not ahead of it
//! is where the fold begins.
//!
//! A snapshot that is ahead would swallow the outcomes between: what was folded into it was never announced.

use std::sync::PoisonError;

use super::folding::Start;
use super::publishing::Position;
use super::reading::Last;
use super::shard::{RETRY_PAUSE, Shard};
use super::snapshots::{Kept, RestoreError, Snapshots};
use crate::edges::Edges;
use crate::edges::streams::{ReadError, StreamState, Streams as _};
use crate::words::fault::Fault;

/// No broker may take less in one message: the largest outcomes would not fit. NATS's default.
const PAYLOAD_BYTES_LEAST: usize = 1 << 20;

/// Where a shard goes on.
pub(super) struct Recovered {
    pub(super) position: Position,
    /// The last message that the log held.
    pub(super) log_last: u64,
    pub(super) start: Start,
}

impl Recovered {
    /// The last message of the state.
    pub(super) fn last(&self) -> Last {
        Last::of_state(&self.start.inventory)
    }
}

impl<E: Edges> Shard<E> {
    /// Asks the streams how far they are, until they answer, and restores what they allow.
    pub(super) async fn recover(&self) -> Result<Recovered, Fault> {
        let mut complained = false;
        loop {
            match self.try_to_recover().await {
                Ok(recovered) => return recovered,
                Err(error) => self.complain(&mut complained, &error),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn try_to_recover(&self) -> Result<Result<Recovered, Fault>, ReadError> {
        let (mut position, log) = self.ask().await?;
        let log_last = log.last_sequence;
        if self.edges.streams.payload_bytes_max() < PAYLOAD_BYTES_LEAST {
            let text = format!("the server's max_payload is below {PAYLOAD_BYTES_LEAST} bytes: raise it");
            return Err(ReadError::Unavailable(text));
        }
        if position.through.sequence > log_last {
            return Ok(Err(Fault::OutcomesAhead { through: position.through, last: log_last }));
        }
        // Log and outcomes that were rolled back together look whole to whoever has read nothing yet.
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match self.verify(seen).await? {
            // It may have been trimmed since: the snapshots tell.
            None | Some(Fault::Gap { .. }) => {}
            Some(fault) => return Ok(Err(fault)),
        }
        let announced = position.through;
        let snapshots = Snapshots::new(&self.status.shard, &self.edges);
        let kept = snapshots.kept().await?;
        let start = self.restore(&snapshots, &kept, &position).await?;
        let state = start.inventory.chain();
        let due = state.sequence + 1;
        if log.first_sequence > due {
            // What was asked one after the other may belong to different moments.
            let moved = self.ask().await?.0.through != announced || snapshots.kept().await? != kept;
            if moved {
                return Err(ReadError::Unavailable("the log was trimmed behind newer snapshots".to_owned()));
            }
            return Ok(Err(Fault::Gap { expected: due, found: log.first_sequence }));
        }
        tracing::info!(
            shard = self.status.shard,
            snapshot = state.sequence,
            log_last,
            announced = %position.through,
            "recovering"
        );
        // What came after it without an outcome is announced as much as it will ever be.
        if state.sequence > position.chain.sequence {
            position.chain = state;
        }
        Ok(Ok(Recovered { position, log_last, start }))
    }

    /// The newest state that is not ahead of what was announced; that before the first message where there is none.
    async fn restore(
        &self,
        snapshots: &Snapshots<E>,
        kept: &[Kept],
        position: &Position,
    ) -> Result<Start, ReadError> {
        for kept in kept {
            if kept.through().is_none_or(|through| through > position.through) {
                continue;
            }
            match snapshots.restore(kept, self.options.fold_on).await {
                Ok(start) => return Ok(start),
                Err(RestoreError::Read(error @ ReadError::Unavailable(_))) => return Err(error),
                Err(error) => {
                    self.telemetry.snapshot_passed_over();
                    tracing::error!(
                        shard = self.status.shard,
                        snapshot = kept.name,
                        %error,
                        "a snapshot cannot be restored and is passed over for an older one: find out what damaged it"
                    );
                }
            }
        }
        Ok(Start::empty())
    }

    /// How far the outcomes and the log are.
    pub(super) async fn ask(&self) -> Result<(Position, StreamState), ReadError> {
        let streams = &self.edges.streams;
        let outcomes = streams.outcomes_state().await?;
        let last = streams.last_outcomes().await?;
        let log = streams.log_state().await?;
        Ok((Position::of(outcomes.last_sequence, last.as_ref()), log))
    }
}

//! Watching: a standby audits its shard by itself, now and then, at low cost. Who leads never does: it has better things to do, and
//! a second fold beside the first takes as much memory again.

use std::time::Duration;

use super::context::Shard;
use crate::edges::Edges;
use crate::motion::past::audit::{AuditError, AuditOptions, Findings, From, Pace, audit};
use crate::motion::rules::leases::{Assignment, Role};

/// Nothing is worth waiting longer for: the first audit, and the next one after one that came to no end.
const SOON: Duration = Duration::from_hours(1);
/// It rests so many times as long as it works: half of one core is the most that it takes.
const RESTS: u32 = 1;

/// Whether the audits are this worker's: those of the standby that takes the snapshots.
fn is_ours(assignment: Assignment) -> bool {
    assignment.role == Role::Standby && assignment.scribe
}

impl<E: Edges> Shard<E> {
    /// Audits whenever it is time and this worker's to do, for ever; for no time where it never is.
    pub(super) async fn watch(&self) {
        let AuditOptions { every, turn } = &self.options.audits;
        let mut pause = SOON.min(*every);
        while !every.is_zero() {
            tokio::time::sleep(pause).await;
            self.assigned.until(is_ours).await;
            let _turn = turn.acquire().await;
            let ended = tokio::select! {
                biased;
                _ = self.assigned.until(|now| !is_ours(now)) => continue,
                ended = self.audit() => ended,
            };
            pause = if ended.is_ok() { *every } else { SOON.min(*every) };
            self.tell(ended);
        }
    }

    async fn audit(&self) -> Result<Findings, AuditError> {
        let pace = Pace { fold_on: self.options.fold_on, clock: self.clock.clone(), rests: RESTS };
        audit(&self.status.shard, &self.edges, From::Farthest, &pace).await
    }

    fn tell(&self, ended: Result<Findings, AuditError>) {
        let (shard, audits) = (&self.status.shard, &self.telemetry.audits);
        let findings = match ended {
            Ok(findings) => findings,
            Err(error) => {
                audits.failed();
                tracing::warn!(shard, %error, "the audit came to no end; it will be tried again");
                return;
            }
        };
        for snapshot in &findings.passed_over {
            tracing::error!(shard, snapshot, "the audit cannot restore a snapshot: find out what damaged it");
        }
        let Findings { outcomes, disagreements, compared_from, through, .. } = findings;
        if let Some(first) = findings.first {
            audits.disagreed(disagreements);
            tracing::error!(
                shard,
                disagreements,
                "the audit found that what was announced is not what the log decides: {first}. Keep the log, the outcomes \
                 and the snapshots as they are, run `weir audit --shard {shard}` with the binary that announced them, and \
                 see Audit in docs/operations.md"
            );
        } else {
            audits.agreed(self.clock.wall_ns());
            tracing::info!(shard, outcomes, from = %compared_from, %through, "the audit agrees");
        }
    }
}

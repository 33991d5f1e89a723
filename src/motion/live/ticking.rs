//! Ticking: the leader of a shard appends a tick when the fold has something to do that no command asks for.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::context::Shard;
use crate::edges::Edges;
use crate::edges::streams::Streams as _;
use crate::folds::inventory::Due;
use crate::words::codec::{Format, encode_commands};
use crate::words::command::{Command, Tick};
use crate::words::timestamp::Timestamp;

/// Ticks for one due time come no closer together than this: the broker's clock, which stamps them, may be behind.
const PAUSE: Duration = Duration::from_millis(50);
/// The same for each further one: the pauses double up to here, so that a clock that is minutes behind does not fill the log.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What the fold has to do next, and when that was known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) due: Due,
    /// Log time then.
    pub(super) log_time: Timestamp,
    /// The worker's monotonic time then.
    pub(super) noted_at: Duration,
}

impl Next {
    /// How long to wait, by whichever clock says that it is time first: this machine's, or the broker's as the log shows it. Too
    /// early is a tick too many; too late, and nothing expires for as long as the clocks are apart.
    fn wait(&self, wall_ns: i64, now: Duration) -> Duration {
        let until = |time: Timestamp, from_ms: i64| {
            Duration::from_millis(time.millis().saturating_sub(from_ms).try_into().unwrap_or(0))
        };
        match self.due {
            Due::Now => Duration::ZERO,
            Due::Never => Duration::MAX,
            Due::At(time) => {
                let by_log = until(time, self.log_time.millis());
                until(time, wall_ns / 1_000_000).min(by_log.saturating_sub(now.saturating_sub(self.noted_at)))
            }
        }
    }
}

/// Appends a tick whenever `next` says so and this worker leads, for ever. A tick is not followed by another before it was applied.
pub(super) async fn tick<E: Edges>(shard: Shard<E>, mut next: watch::Receiver<Next>) {
    let payload = Bytes::from(encode_commands(Format::Bincode, &[Command::Tick(Tick {})]));
    let (clock, status) = (&shard.clock, &shard.status);
    let (mut ticked_for, mut pause) = (Due::Never, PAUSE);
    loop {
        let (known, assignment) = (*next.borrow_and_update(), shard.assigned.get());
        let wait = if shard.leads() { known.wait(clock.wall_ns(), clock.monotonic()) } else { Duration::MAX };
        tokio::select! {
            biased;
            Ok(()) = next.changed() => continue,
            _ = shard.assigned.until(|now| now != assignment) => continue,
            () = sleep(wait) => {}
        }
        match shard.edges.streams.append_log(Format::Bincode, payload.clone()).await {
            Ok(sequence) => {
                status.wait_for(|progress| progress.applied.sequence >= sequence).await;
                if matches!(next.borrow().due, Due::At(_)) {
                    pause = if ticked_for == known.due { (pause * 2).min(PAUSE_MAX) } else { PAUSE };
                    sleep(pause).await;
                }
                ticked_for = known.due;
            }
            Err(error) => {
                tracing::warn!(shard = status.shard, %error, "a tick was not stored; it will be tried again");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn sleep(duration: Duration) {
    if duration == Duration::MAX {
        std::future::pending::<()>().await;
    }
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

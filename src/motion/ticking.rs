//! Ticking: the leader of a shard appends a tick when the fold has something to do that no command asks for.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::shard::Shard;
use crate::edges::Edges;
use crate::edges::streams::Streams as _;
use crate::folds::inventory::Due;
use crate::words::codec::{Format, encode_commands};
use crate::words::command::{Command, Tick};

/// Ticks for one due time come no closer together than this: the broker's clock, which stamps them, may be behind.
const PAUSE: Duration = Duration::from_millis(50);
/// The same for each further one: the pauses double up to here, so that a clock that is minutes behind does not fill the log.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Appends a tick whenever `due` says so and this worker leads, for ever. A tick is not followed by another before it was applied.
pub(super) async fn tick<E: Edges>(shard: &Shard<E>, mut due: watch::Receiver<Due>) {
    let payload = Bytes::from(encode_commands(Format::Bincode, &[Command::Tick(Tick {})]));
    let (clock, status) = (&shard.clock, &shard.status);
    let (mut ticked_for, mut pause) = (Due::Never, PAUSE);
    loop {
        let (now_due, assignment) = (*due.borrow_and_update(), shard.assigned.get());
        let wait = match now_due {
            _ if !shard.leads() => Duration::MAX,
            Due::Now => Duration::ZERO,
            Due::Never => Duration::MAX,
            Due::At(time) => {
                let millis = time.millis().saturating_sub(clock.wall_ns() / 1_000_000);
                Duration::from_millis(millis.try_into().unwrap_or(0))
            }
        };
        tokio::select! {
            biased;
            Ok(()) = due.changed() => continue,
            _ = shard.assigned.until(|now| now != assignment) => continue,
            () = sleep(wait) => {}
        }
        match shard.edges.streams.append_log(Format::Bincode, payload.clone()).await {
            Ok(sequence) => {
                status.wait_for(|progress| progress.applied.sequence >= sequence).await;
                if matches!(*due.borrow(), Due::At(_)) {
                    pause = if ticked_for == now_due { (pause * 2).min(PAUSE_MAX) } else { PAUSE };
                    sleep(pause).await;
                }
                ticked_for = now_due;
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

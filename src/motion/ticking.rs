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

/// Ticks for a due time come no closer together than this: the broker's clock, which stamps them, may be behind.
const PAUSE: Duration = Duration::from_millis(50);

/// Appends a tick whenever `due` says so and this worker leads, for ever. A tick is not followed by another before it was applied.
pub(super) async fn tick<E: Edges>(shard: &Shard<E>, mut due: watch::Receiver<Due>) {
    let payload = Bytes::from(encode_commands(Format::Bincode, &[Command::Tick(Tick {})]));
    let (clock, status) = (&shard.clock, &shard.status);
    let mut assignment = shard.assignment.clone();
    loop {
        let wait = match *due.borrow_and_update() {
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
            Ok(()) = assignment.changed() => continue,
            () = sleep(wait) => {}
        }
        match shard.edges.streams.append_log(Format::Bincode, payload.clone()).await {
            Ok(sequence) => {
                status.wait_for(|progress| progress.applied.sequence >= sequence).await;
                if matches!(*due.borrow(), Due::At(_)) {
                    sleep(PAUSE).await;
                }
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

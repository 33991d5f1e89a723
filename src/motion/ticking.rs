//! Ticking: the leader of a shard appends a tick when the fold has something to do that no command asks for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::edges::clock::SharedClock;
use crate::edges::streams::Streams;
use crate::folds::inventory::Due;
use crate::words::codec::{Format, encode_commands};
use crate::words::command::{Command, Tick};

use super::status::Status;

/// Ticks for a due time come no closer together than this: the broker's clock, which stamps them, may be behind.
const PAUSE: Duration = Duration::from_millis(50);

/// Appends a tick whenever `due` says so, until cancelled. A tick is not followed by another before it was applied.
pub(super) async fn tick<S: Streams>(
    streams: S,
    clock: SharedClock,
    mut due: watch::Receiver<Due>,
    status: Arc<Status>,
    cancelled: CancellationToken,
) {
    let payload = Bytes::from(encode_commands(Format::Bincode, &[Command::Tick(Tick {})]));
    let ticking = async {
        loop {
            let wait = match *due.borrow_and_update() {
                Due::Now => Duration::ZERO,
                Due::Never => Duration::MAX,
                Due::At(time) => {
                    let millis = time.millis().saturating_sub(clock.wall_ns() / 1_000_000);
                    Duration::from_millis(millis.try_into().unwrap_or(0))
                }
            };
            tokio::select! {
                changed = due.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = sleep(wait) => {}
            }
            match streams.append_log(Format::Bincode, payload.clone()).await {
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
    };
    cancelled.run_until_cancelled(ticking).await;
}

async fn sleep(duration: Duration) {
    if duration == Duration::MAX {
        std::future::pending::<()>().await;
    }
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

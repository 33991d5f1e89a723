//! Signalling: publishes what analytics found, in order, best effort. Nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::edges::streams::{AppendError, Streams};
use crate::edges::telemetry::analytics::Watched;
use crate::folds::analytics::SignalKind;
use crate::words::signal::SignalLetter;

/// How many signals are under way at once.
const AT_ONCE: usize = 64;
/// How often one is tried that was not taken.
const TRIES: u32 = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Publishes signals until there are no more.
pub(super) async fn publish<S: Streams>(
    shard: String,
    streams: S,
    mut letters: mpsc::Receiver<SignalLetter>,
    watched: Arc<Watched>,
) {
    let mut complained = false;
    let mut gathered = Vec::with_capacity(AT_ONCE);
    while letters.recv_many(&mut gathered, AT_ONCE).await > 0 {
        let publishing = gathered.drain(..).map(|letter| {
            let streams = streams.clone();
            async move { (letter.kind, publish_one(&streams, letter).await) }
        });
        let ended = join_all(publishing).await;
        let mut watching = watched.watch();
        for (kind, published) in ended {
            let place = SignalKind::ALL.iter().position(|known| known.name() == kind).unwrap_or(0);
            match published {
                Ok(()) => {
                    watching.facts_mut().published[place] += 1;
                    complained = false;
                }
                Err(error) => {
                    watching.facts_mut().dropped[2] += 1;
                    if !std::mem::replace(&mut complained, true) {
                        tracing::warn!(shard, %error, "a signal was not published");
                    }
                }
            }
        }
    }
}

/// Tries it again where it may not have been stored: a repeat is stored once.
async fn publish_one<S: Streams>(streams: &S, letter: SignalLetter) -> Result<(), AppendError> {
    let mut tries = 1;
    loop {
        match streams.append_signal(letter.clone()).await {
            Err(AppendError::TimedOut | AppendError::Unavailable(_)) if tries < TRIES => {
                tokio::time::sleep(RETRY_PAUSE * tries).await;
                tries += 1;
            }
            ended => return ended,
        }
    }
}

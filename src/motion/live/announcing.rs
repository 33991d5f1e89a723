//! Announcing: carries what was applied to the outcome stream, one append at a time, as [`publishing`](crate::motion::publishing) says; a standby
//! carries back what is announced.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};

use super::context::{Shard, Stop, weights};
use super::fold::Folded;
use super::ports::{Announcement, Seen};
use super::reading::STALL;
use super::ticking::Next;
use crate::edges::Edges;
use crate::edges::streams::{AppendError, ReadError, Reader as _, Streams as _};
use crate::motion::past::recovery::ask;
use crate::motion::rules::folding::Applied;
use crate::motion::rules::publishing::{Action, Announced, Position, Publishing};
use crate::motion::store::last::Suspicion;
use crate::motion::store::onward::RETRY_PAUSE;
use crate::words::append::{DeadLetter, Headline};
use crate::words::fault::Fault;

/// No more is taken while what waits to be announced takes this many bytes.
const BYTES_QUEUED_MAX: usize = 32 << 20;
/// A shard that could not store for so long is not ready.
const HELD_UP_AFTER: Duration = Duration::from_secs(5);
/// How many positions of others wait to be looked at.
const HEADLINES_QUEUED_MAX: usize = 16;
/// An append that fails again is not logged again before this has passed; the metrics count each.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

impl<E: Edges> Shard<E> {
    /// Announces what was applied, until there is no more.
    pub(super) async fn publish(
        &self,
        mut publishing: Publishing,
        mut folded: mpsc::Receiver<Folded>,
        next: watch::Sender<Next>,
        log_last: u64,
    ) -> Result<(), Stop> {
        let mut fault = None;
        let mut open = true;
        let mut troubles = Troubles::default();
        let mut assignment = self.assigned.get();
        // What others announce, while this worker follows.
        let (seen, mut announced) = mpsc::channel(HEADLINES_QUEUED_MAX);
        let mut following: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
        let mut under_way: Option<Pin<Box<dyn Future<Output = Finished> + Send>>> = None;
        loop {
            let leads = self.leads();
            publishing.lead(leads);
            // A server that was moved to may take less.
            publishing.set_payload_bytes_max(self.edges.streams.payload_bytes_max());
            if leads {
                following = None;
            } else if following.is_none() {
                let shard = self.clone();
                let (from, seen) = (publishing.stream_last() + 1, seen.clone());
                following = Some(Box::pin(async move { shard.follow(from, seen).await }));
            }
            if under_way.is_none() {
                under_way = self.start(publishing.next());
            }
            self.idle.store(leads && under_way.is_none(), Relaxed);
            if under_way.is_none() && !open {
                return fault.map_or(Ok(()), |fault| Err(Stop::Fault(fault)));
            }
            tokio::select! {
                biased;
                finished = async { under_way.as_mut().expect("guarded").await }, if under_way.is_some() => {
                    under_way = None;
                    self.finished(&mut publishing, finished, &mut troubles).await?;
                }
                () = async { following.as_mut().expect("guarded").await }, if following.is_some() => {}
                () = self.outcomes_lost.notified() => {
                    // A standby would wait for what comes behind appends that are gone.
                    if !leads {
                        return Err(Stop::Recover("the broker lost announced outcomes; recovering to follow them again"));
                    }
                    publishing.doubt();
                }
                Some(position) = announced.recv() => {
                    publishing.read(&position)?;
                    self.note_announced(&publishing, false);
                }
                folded = folded.recv(), if open && publishing.queued_bytes() < BYTES_QUEUED_MAX => match folded {
                    Some(Ok(applied)) => {
                        self.measure(&applied, leads);
                        self.note(&applied, &next, log_last);
                        publishing.applied(applied)?;
                        self.note_announced(&publishing, false);
                    }
                    Some(Err(found)) => {
                        // What was applied before it is still announced. A gap may turn out to be none.
                        if !matches!(found, Fault::Gap { .. }) {
                            self.halted(&found);
                        }
                        fault = Some(found);
                    }
                    None => open = false,
                },
                changed = self.assigned.until(|now| now != assignment) => assignment = changed,
            }
        }
    }

    fn note(&self, applied: &Applied, next: &watch::Sender<Next>, log_last: u64) {
        let Some(last) = applied.messages.last() else { return };
        // While the past is folded, nothing is due: the ticks of the past are in the log.
        if last.chain.sequence >= log_last {
            let noted_at = self.clock.monotonic();
            next.send_if_modified(|next| {
                let known = Next { due: applied.due, log_time: applied.now, noted_at };
                std::mem::replace(next, known).due != applied.due
            });
        }
        self.status.update(|progress| {
            progress.applied = last.chain;
            progress.totals = applied.totals;
            progress.records += applied.records;
        });
    }

    /// Tells of a batch's way so far.
    fn measure(&self, applied: &Applied, leads: bool) {
        if !applied.live {
            self.telemetry.replayed(applied.messages.len());
        } else if leads {
            self.telemetry.applied(weights(&applied.messages), applied.applied_at_ns);
        } else {
            self.telemetry.followed(applied.messages.len());
        }
    }

    fn note_announced(&self, publishing: &Publishing, own: bool) {
        let through = publishing.through();
        if through != self.status.progress_through() {
            let (stream_last, at_ns) = (publishing.stream_last(), self.clock.wall_ns());
            let announced = Seen::Announced(Announcement { through, own, stream_last, at_ns });
            self.telemetry.observers_lost(self.status.ports().give(&announced));
        }
        self.status.update(|progress| {
            progress.through = publishing.through();
            progress.announced = publishing.chain();
            progress.outcomes_seen = publishing.stream_last();
        });
    }

    /// Reads what others announce from `from` on, for ever.
    async fn follow(&self, mut from: u64, seen: mpsc::Sender<Position>) {
        loop {
            if let Err(error) = self.follow_on(&mut from, &seen).await {
                tracing::debug!(shard = self.status.shard, %error, "the outcomes cannot be followed; trying on");
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn follow_on(&self, from: &mut u64, seen: &mpsc::Sender<Position>) -> Result<(), ReadError> {
        let mut reader = self.edges.streams.read_headlines(*from).await?;
        let mut due = None;
        loop {
            let Ok(read) = tokio::time::timeout(STALL, reader.next()).await else {
                // Nothing announced is no stall, and what came a moment ago may be on its way.
                if due.is_some_and(|due| due >= *from) {
                    self.telemetry.stalled();
                    return Err(ReadError::Unavailable(
                        "the reader fell silent while outcomes were announced".to_owned(),
                    ));
                }
                due = Some(self.status.progress().outcomes.last_sequence);
                continue;
            };
            due = None;
            let headlines = read?;
            let Some(Headline { sequence, header, .. }) = headlines.into_iter().next_back() else { continue };
            *from = sequence + 1;
            let position = Position { stream_last: sequence, through: header.through, chain: header.chain };
            // The receiver outlives this.
            let _ = seen.send(position).await;
        }
    }

    fn announced(&self, announced: &Announced, took: Option<Duration>) {
        let messages = weights(&announced.messages);
        let Announced { outcomes, commands, busy, .. } = announced;
        self.telemetry.announced((outcomes, *busy), commands, messages, took, self.clock.wall_ns());
    }

    /// Says that something was not stored: once, then again after a while; and, once that goes on, to whoever asks whether the
    /// shard is ready.
    fn complain_of(&self, what: &str, error: &AppendError, troubles: &mut Troubles) {
        let now = self.clock.monotonic();
        if troubles.complained_at.is_none_or(|at| now.saturating_sub(at) >= COMPLAINT_INTERVAL) {
            troubles.complained_at = Some(now);
            tracing::warn!(shard = self.status.shard, %error, "{what}");
        }
        let since = *troubles.since.get_or_insert(now);
        let named = matches!(error, AppendError::Missing(_));
        if named || now.saturating_sub(since) >= HELD_UP_AFTER {
            self.status.held_up(Some(format!("nothing can be announced: {error}")));
        }
    }

    fn well(&self, troubles: &mut Troubles) {
        if troubles.since.take().is_some() {
            self.status.held_up(None);
        }
    }

    fn start(&self, action: Action) -> Option<Pin<Box<dyn Future<Output = Finished> + Send>>> {
        let shard = self.clone();
        Some(match action {
            Action::Idle | Action::Wait => return None,
            Action::DeadLetters(letters) => Box::pin(async move {
                let storing = letters.into_iter().map(async |letter| {
                    let stored = shard.edges.streams.append_dead_letter(letter.clone()).await;
                    stored.err().map(|error| (letter, error))
                });
                let failed: Vec<_> = join_all(storing).await.into_iter().flatten().collect();
                if !failed.is_empty() {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Finished::DeadLetters(failed)
            }),
            Action::Append { append, expected_last } => Box::pin(async move {
                let started = shard.clock.monotonic();
                let stored = shard.edges.streams.append_outcomes(append, expected_last).await;
                // After a conflict or a time-out the stream itself tells how to go on.
                if matches!(
                    stored,
                    Err(AppendError::Full
                        | AppendError::TooLarge
                        | AppendError::Missing(_)
                        | AppendError::Unavailable(_))
                ) {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Finished::Append(stored, shard.clock.monotonic().saturating_sub(started))
            }),
            Action::ReadLast => Box::pin(async move {
                let asked = ask(&shard.edges.streams).await;
                if asked.is_err() {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Finished::Read(asked.map(|(position, _)| position))
            }),
        })
    }

    async fn finished(
        &self,
        publishing: &mut Publishing,
        finished: Finished,
        troubles: &mut Troubles,
    ) -> Result<(), Stop> {
        // What another has announced is read, too.
        let mut own = true;
        match finished {
            Finished::DeadLetters(failed) => {
                match failed.first() {
                    Some((_, error)) => {
                        self.complain_of("dead letters were not stored; trying on", error, troubles);
                    }
                    None => self.well(troubles),
                }
                publishing.letters_ended(failed.into_iter().map(|(letter, _)| letter).collect());
            }
            Finished::Append(Ok(sequence), took) => {
                self.well(troubles);
                let announced = publishing.stored(sequence)?;
                self.announced(&announced, Some(took));
            }
            Finished::Append(Err(error), _) => {
                self.complain_of(
                    "outcomes were not acknowledged; reading where they ended",
                    &error,
                    troubles,
                );
                self.telemetry.append_failed(&error);
                publishing.failed(&error);
            }
            Finished::Read(Ok(position)) if publishing.has_lost(&position) => {
                // A server that was cut off a moment ago answers from the past.
                if troubles.lost.grows() {
                    return Err(Stop::Recover(
                        "the broker lost announced outcomes; recovering to announce them again",
                    ));
                }
                publishing.doubt();
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Finished::Read(Ok(position)) => {
                troubles.lost.ends();
                let announced = publishing.read(&position)?;
                own = announced.outcomes.all > 0;
                if own {
                    self.announced(&announced, None);
                }
            }
            Finished::Read(Err(error)) => {
                troubles.lost.ends();
                tracing::debug!(shard = self.status.shard, %error, "the outcome stream cannot be read");
            }
        }
        self.note_announced(publishing, own);
        Ok(())
    }
}

/// What went wrong while announcing.
#[derive(Default)]
struct Troubles {
    /// When it was last logged that something was not stored.
    complained_at: Option<Duration>,
    /// Since when nothing could be stored.
    since: Option<Duration>,
    /// That the outcome stream has lost what was announced.
    lost: Suspicion,
}

/// How an action ended.
enum Finished {
    DeadLetters(Vec<(DeadLetter, AppendError)>),
    Append(Result<u64, AppendError>, Duration),
    Read(Result<Position, ReadError>),
}

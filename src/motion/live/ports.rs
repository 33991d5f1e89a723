//! The ports of a shard: what others than its own stages read of the fold, and ask it.
//!
//! An **observer** is given each batch that was applied, right after that, and told how far outcomes are announced; one in no hurry
//! looks at what there is some milliseconds later. It shares the
//! batch with the publisher, decodes what it needs by itself, and can never slow the fold: what it has no room for it loses, and is
//! told how much that was. A **question** is put to the state between two batches. It must look at little; the asker waits no longer
//! than it wants to.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::input::{Input, Question};
use crate::folds::inventory::Inventory;
use crate::motion::rules::folding::Applied;
use crate::words::append::Chain;
use crate::words::identity::Identity;

/// Questions that wait for the fold; further ones are refused.
const QUESTIONS_QUEUED_MAX: usize = 64;

/// How long an observer rests for which nobody waits.
const REST: Duration = Duration::from_millis(5);

/// What an observer sees of a shard, in this order.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The state was restored: what comes is what follows this message, and what was seen before may come again.
    Restored {
        /// The last message that the state holds.
        state: Chain,
        /// The published position.
        through: Identity,
    },
    /// A batch was applied, by a leader or a standby. Its outcomes may be announced already where it is not
    /// [live](Applied::live).
    Applied(Arc<Applied>),
    /// Outcomes are announced.
    Announced(Announcement),
    /// So many batches are missing here: the observer was too slow.
    Lost(u64),
}

/// How far outcomes are announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The published position.
    pub through: Identity,
    /// Whether this worker announced them; another did, otherwise.
    pub own: bool,
    /// The last sequence of the outcome stream by then.
    pub stream_last: u64,
    /// When that became known, in nanoseconds since 1970.
    pub at_ns: i64,
}

/// What may wait for an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many batches and announcements.
    pub batches: usize,
    /// How many bytes batches may take together; one is taken however large it is.
    pub bytes: usize,
    /// How long an observer rests once it has seen everything, so that one wake-up serves many batches.
    pub rest: Duration,
}

impl Room {
    /// Room for so many batches, of up to about 200 KiB each.
    #[must_use]
    pub const fn of(batches: usize) -> Self {
        Self { batches, bytes: usize::MAX, rest: Duration::ZERO }
    }

    /// For an observer for which nobody waits: it rests.
    #[must_use]
    pub const fn unhurried(self) -> Self {
        Self { rest: REST, ..self }
    }
}

impl Seen {
    fn bytes(&self) -> usize {
        if let Self::Applied(applied) = self { applied.bytes } else { 0 }
    }
}

/// What an observer reads.
#[derive(Debug)]
pub struct Observations {
    seen: mpsc::Receiver<Seen>,
    /// What the batches take that wait here.
    waiting_bytes: Arc<AtomicUsize>,
    rest: Duration,
    /// When it will have rested.
    rested: Instant,
}

impl Observations {
    /// What comes next; none once the shard is no more. Nothing is lost where this is dropped before it ends.
    pub async fn next(&mut self) -> Option<Seen> {
        let rests = !self.rest.is_zero();
        if rests && self.seen.is_empty() {
            tokio::time::sleep_until(self.rested).await;
        }
        let seen = self.seen.recv().await?;
        if rests && self.seen.is_empty() {
            self.rested = Instant::now() + self.rest;
        }
        Some(self.taken(seen))
    }

    /// What is there already; none where nothing is.
    pub fn ready(&mut self) -> Option<Seen> {
        let seen = self.seen.try_recv().ok()?;
        Some(self.taken(seen))
    }

    fn taken(&self, seen: Seen) -> Seen {
        self.waiting_bytes.fetch_sub(seen.bytes(), Relaxed);
        seen
    }
}

#[derive(Debug)]
struct Observer {
    seen: mpsc::Sender<Seen>,
    waiting_bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    /// How many batches it lost since it was last told.
    lost: u64,
    /// What it has yet to be told, where it had no room: from which state on it goes on.
    restored: Option<(Chain, Identity)>,
    /// What it has yet to be told, where it had no room: how far outcomes are announced.
    announced: Option<Announcement>,
}

impl Observer {
    /// Tells it what it has yet to be told, as far as it has room. What is missing comes before what follows it, and so does how far
    /// outcomes were announced. It has room again once half of what its bytes are bounded by is free: so gaps are few.
    fn remind(&mut self) {
        if self.lost > 0 && self.waiting_bytes.load(Relaxed) > self.bytes_max / 2 {
            return;
        }
        if self.lost > 0 && self.seen.try_send(Seen::Lost(self.lost)).is_ok() {
            self.lost = 0;
        }
        if self.lost == 0
            && let Some((state, through)) = self.restored
            && self.seen.try_send(Seen::Restored { state, through }).is_ok()
        {
            self.restored = None;
        }
        if self.is_told()
            && let Some(announcement) = self.announced
            && self.seen.try_send(Seen::Announced(announcement)).is_ok()
        {
            self.announced = None;
        }
    }

    /// Whether it knows what is missing, and from where on it goes on.
    const fn is_told(&self) -> bool {
        self.lost == 0 && self.restored.is_none()
    }

    /// Gives it something; false where it has gone.
    fn give(&mut self, what: Seen, lost: &mut u64) -> bool {
        self.remind();
        let bytes = what.bytes();
        let waiting = self.waiting_bytes.load(Relaxed);
        let fits = bytes == 0 || waiting == 0 || waiting.saturating_add(bytes) <= self.bytes_max;
        let in_turn = self.is_told() && (self.announced.is_none() || matches!(what, Seen::Announced(_)));
        let given = if fits && in_turn {
            // Before the other side can take it off.
            self.waiting_bytes.fetch_add(bytes, Relaxed);
            self.seen.try_send(what).inspect_err(|_| {
                self.waiting_bytes.fetch_sub(bytes, Relaxed);
            })
        } else {
            Err(mpsc::error::TrySendError::Full(what))
        };
        match given {
            Ok(()) => self.announced = None,
            Err(mpsc::error::TrySendError::Full(Seen::Announced(announcement))) => {
                self.announced = Some(announcement);
            }
            Err(mpsc::error::TrySendError::Full(Seen::Restored { state, through })) => {
                // What was announced before is of another state.
                (self.restored, self.announced) = (Some((state, through)), None);
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.lost += 1;
                *lost += 1;
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
        }
        !self.seen.is_closed()
    }
}

/// Why a question was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// This worker has no state of the shard now.
    #[error("the shard is not here, or recovers")]
    Away,
    /// Too many others wait.
    #[error("too many questions wait")]
    Busy,
    /// The fold did not come to it in time.
    #[error("no answer came in time")]
    TimedOut,
}

/// Where questions to a fold go.
#[derive(Clone, Debug)]
struct Asked {
    questions: mpsc::Sender<Question>,
    /// Wakes a fold that waits for messages.
    input: mpsc::WeakSender<Input>,
}

/// The ports of one shard, from one state to the next.
#[derive(Debug, Default)]
pub struct Ports {
    observers: Mutex<Vec<Observer>>,
    asked: Mutex<Option<Asked>>,
}

impl Ports {
    /// Observes the shard from now on, with so much room.
    #[must_use]
    pub fn observe(&self, room: Room) -> Observations {
        let (sender, seen) = mpsc::channel(room.batches.max(1));
        let waiting_bytes = Arc::<AtomicUsize>::default();
        let observer = Observer {
            seen: sender,
            waiting_bytes: waiting_bytes.clone(),
            bytes_max: room.bytes,
            lost: 0,
            restored: None,
            announced: None,
        };
        self.observers.lock().unwrap_or_else(PoisonError::into_inner).push(observer);
        Observations { seen, waiting_bytes, rest: room.rest, rested: Instant::now() }
    }

    /// Puts a question to the state as it is between two batches, and waits for its answer no longer than `within`. The fold stands
    /// still while the question looks: it must be bounded, to some tens of microseconds.
    pub async fn ask<T: Send + 'static>(
        &self,
        within: Duration,
        question: impl FnOnce(&Inventory) -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Asked { questions, input } = asked.ok_or(Unanswered::Away)?;
        let (reply, answer) = oneshot::channel();
        let question = Box::new(move |inventory: &Inventory| {
            // Whoever asked may have given up.
            if !reply.is_closed() {
                let _ = reply.send(question(inventory));
            }
        });
        questions.try_send(question).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unanswered::Busy,
            mpsc::error::TrySendError::Closed(_) => Unanswered::Away,
        })?;
        let input = input.upgrade().ok_or(Unanswered::Away)?;
        // Where it is full, the fold comes by without being woken.
        let _ = input.try_send(Input::Look);
        drop(input);
        match tokio::time::timeout(within, answer).await {
            Ok(answer) => answer.map_err(|_| Unanswered::Away),
            Err(_) => Err(Unanswered::TimedOut),
        }
    }

    /// Gives something to all observers, and says how many batches they lost by that.
    pub(super) fn give(&self, what: &Seen) -> u64 {
        let mut lost = 0;
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        observers.retain_mut(|observer| observer.give(what.clone(), &mut lost));
        lost
    }

    /// Tells observers that were too slow what they missed: on a shard that falls quiet, nothing else would.
    pub(super) fn remind(&self) {
        self.observers.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(Observer::remind);
    }

    /// From now on questions go to the fold that this is the input of; gives what it reads them from.
    pub(super) fn open(&self, input: mpsc::WeakSender<Input>) -> mpsc::Receiver<Question> {
        let (questions, asked) = mpsc::channel(QUESTIONS_QUEUED_MAX);
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Asked { questions, input });
        asked
    }

    /// There is no state to put questions to.
    pub(super) fn close(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::inventory::{Due, Totals};
    use crate::motion::rules::folding::Reused;
    use crate::words::timestamp::Timestamp;

    fn announced(sequence: u64) -> Seen {
        let through = Identity { sequence, index: 0, place: 0 };
        Seen::Announced(Announcement { through, own: true, stream_last: sequence, at_ns: 0 })
    }

    fn restored(sequence: u64) -> Seen {
        Seen::Restored { state: Chain { sequence, hash: 0 }, through: Identity::START }
    }

    /// What an observer was given so far, in short.
    fn taken(observations: &mut Observations) -> Vec<String> {
        let seen = std::iter::from_fn(|| observations.ready());
        seen.map(|seen| match seen {
            Seen::Restored { state, .. } => format!("restored {}", state.sequence),
            Seen::Applied(_) => "applied".to_owned(),
            Seen::Announced(Announcement { through, .. }) => format!("announced {}", through.sequence),
            Seen::Lost(batches) => format!("lost {batches}"),
        })
        .collect()
    }

    /// A batch that takes so many bytes.
    fn applied(bytes: usize) -> Seen {
        Seen::Applied(Arc::new(Applied {
            output: Reused::default(),
            messages: Vec::new(),
            stored: Arc::default(),
            commands: Vec::new(),
            records: 0,
            live: true,
            due: Due::Never,
            now: Timestamp::ZERO,
            totals: Totals::default(),
            bytes,
            applied_at_ns: 0,
        }))
    }

    #[test]
    fn who_is_too_slow_is_told_how_much_is_missing_where_it_is_missing() {
        let ports = Ports::default();
        let (mut slow, mut quick) = (ports.observe(Room::of(2)), ports.observe(Room::of(16)));
        let lost: u64 = (0..4).map(|_| ports.give(&applied(1))).sum();
        assert_eq!((lost, ports.give(&announced(4))), (2, 0));
        assert_eq!(taken(&mut quick), ["applied", "applied", "applied", "applied", "announced 4"]);
        assert_eq!(taken(&mut slow), ["applied", "applied"]);
        // Nothing comes any more: it hears of it all the same, and once.
        ports.remind();
        ports.remind();
        assert_eq!(taken(&mut slow), ["lost 2", "announced 4"]);
        assert_eq!(ports.give(&applied(1)), 0);
        assert_eq!(taken(&mut slow), ["applied"]);
    }

    /// From which state on a shard goes on is never lost; what was announced of the one before is of no use.
    #[test]
    fn who_is_too_slow_still_learns_that_a_state_was_restored() {
        let ports = Ports::default();
        let mut slow = ports.observe(Room::of(1));
        let lost: u64 = (0..3).map(|_| ports.give(&applied(1))).sum();
        assert_eq!((lost, ports.give(&announced(3)), ports.give(&restored(2))), (2, 0, 0));
        assert_eq!((ports.give(&applied(1)), ports.give(&restored(7))), (1, 0));
        let mut told = Vec::new();
        for _ in 0..4 {
            told.extend(taken(&mut slow));
            ports.remind();
        }
        assert_eq!(told, ["applied", "lost 3", "restored 7"]);
        assert_eq!(ports.give(&announced(8)), 0);
        assert_eq!(taken(&mut slow), ["announced 8"]);
    }

    #[test]
    fn batches_wait_as_far_as_their_bytes_go() {
        let ports = Ports::default();
        let mut observations = ports.observe(Room { bytes: 100, ..Room::of(16) });
        let give = |bytes| ports.give(&applied(bytes));
        // One is taken however large it is, and beside it what takes nothing.
        assert_eq!((give(1_000), give(0), give(1)), (0, 0, 1));
        assert_eq!(taken(&mut observations), ["applied", "applied"]);
        assert_eq!((give(60), give(40), give(1)), (0, 0, 1));
        assert_eq!(ports.give(&announced(3)), 0);
        // What is missing is told where it is missing, once there is room for more.
        assert_eq!(taken(&mut observations), ["lost 1", "applied", "applied"]);
        ports.remind();
        assert_eq!(taken(&mut observations), ["lost 1", "announced 3"]);
        assert_eq!((give(60), give(60)), (0, 1));
        ports.remind();
        assert_eq!(taken(&mut observations), ["applied"]);
        assert_eq!(give(100), 0);
        assert_eq!(taken(&mut observations), ["lost 1", "applied"]);
        assert_eq!(observations.waiting_bytes.load(Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_in_a_hurry_rests_between_what_there_is() {
        let ports = Ports::default();
        let mut observations = ports.observe(Room::of(8).unhurried());
        let begun = Instant::now();
        let soon = Duration::from_millis(1);
        ports.give(&announced(1));
        assert!(observations.next().await.is_some());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let come = async {
            for sequence in 2..=3 {
                tokio::time::sleep(soon).await;
                ports.give(&announced(sequence));
            }
        };
        let (next, ()) = tokio::join!(observations.next(), come);
        assert_eq!((next.is_some(), begun.elapsed()), (true, REST));
        assert_eq!(taken(&mut observations), ["announced 3"]);
        // Who has rested sees at once what comes, and what is given while somebody who looks gives up is not lost.
        assert!(tokio::time::timeout(REST * 2, observations.next()).await.is_err());
        let (next, ()) = tokio::join!(observations.next(), async {
            tokio::time::sleep(soon).await;
            ports.give(&announced(4));
        });
        assert_eq!((next.is_some(), begun.elapsed()), (true, REST * 3 + soon));
        ports.give(&announced(5));
        assert_eq!(taken(&mut observations), ["announced 5"]);
        assert!(tokio::time::timeout(soon, observations.next()).await.is_err());
        ports.give(&announced(6));
        assert!(tokio::time::timeout(soon, observations.next()).await.is_ok());
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let ports = Ports::default();
        drop(ports.observe(Room::of(1)));
        for sequence in 1..4 {
            assert_eq!(ports.give(&restored(sequence)), 0);
        }
        assert!(ports.observers.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_question_without_a_fold_or_with_too_many_before_it_is_answered_at_once() {
        let ports = Ports::default();
        let ask = || ports.ask(Duration::from_mins(1), Inventory::now);
        assert_eq!(ask().await, Err(Unanswered::Away));
        let (input, _fold) = mpsc::channel(1);
        let mut questions = ports.open(input.downgrade());
        let soon = || ports.ask(Duration::ZERO, Inventory::now);
        for _ in 0..QUESTIONS_QUEUED_MAX {
            assert_eq!(soon().await, Err(Unanswered::TimedOut));
        }
        assert_eq!(ask().await, Err(Unanswered::Busy));
        // Whoever asked has given up: the state is not looked at for them.
        questions.try_recv().unwrap()(&Inventory::new());
        ports.close();
        assert_eq!(ask().await, Err(Unanswered::Away));
    }
}

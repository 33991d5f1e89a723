//! The ports of a shard: what others than its own stages read of the fold, and ask it.
//!
//! An **observer** is given each batch that was applied, right after that, and told how far outcomes are announced. It shares the
//! batch with the publisher, decodes what it needs by itself, and can never slow the fold: what it has no room for it loses, and is
//! told how much that was. A **question** is put to the state between two batches. It must look at little; the asker waits no longer
//! than it wants to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::input::{Input, Question};
use crate::folds::inventory::Inventory;
use crate::motion::rules::folding::Applied;
use crate::words::append::Chain;
use crate::words::identity::Identity;

/// Questions that wait for the fold; further ones are refused.
const QUESTIONS_QUEUED_MAX: usize = 64;

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
    /// Outcomes up to here are announced.
    Announced {
        /// The published position.
        through: Identity,
        /// Whether this worker announced them; another did, otherwise.
        own: bool,
    },
    /// So many batches are missing here: the observer was too slow.
    Lost(u64),
}

/// What an observer reads.
#[derive(Debug)]
pub struct Observations {
    seen: mpsc::Receiver<Seen>,
}

impl Observations {
    /// What comes next; none once the shard is no more.
    pub async fn next(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }

    /// What is there already; none where nothing is.
    pub fn ready(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }
}

#[derive(Debug)]
struct Observer {
    seen: mpsc::Sender<Seen>,
    /// How many batches it lost since it was last told.
    lost: u64,
    /// What it has yet to be told, where it had no room: how far outcomes are announced, and by whom.
    announced: Option<(Identity, bool)>,
}

impl Observer {
    /// Tells it what it has yet to be told, as far as it has room. What is missing comes before what follows it, and so does how far
    /// outcomes were announced.
    fn remind(&mut self) {
        if self.lost > 0 && self.seen.try_send(Seen::Lost(self.lost)).is_ok() {
            self.lost = 0;
        }
        if self.lost == 0
            && let Some((through, own)) = self.announced
            && self.seen.try_send(Seen::Announced { through, own }).is_ok()
        {
            self.announced = None;
        }
    }

    /// Gives it something; false where it has gone.
    fn give(&mut self, what: Seen, lost: &mut u64) -> bool {
        self.remind();
        let room = self.lost == 0 && (self.announced.is_none() || matches!(what, Seen::Announced { .. }));
        let given = if room { self.seen.try_send(what) } else { Err(mpsc::error::TrySendError::Full(what)) };
        match given {
            Ok(()) => self.announced = None,
            Err(mpsc::error::TrySendError::Full(Seen::Announced { through, own })) => {
                self.announced = Some((through, own));
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
    /// Observes the shard from now on, with room for so many batches.
    #[must_use]
    pub fn observe(&self, batches: usize) -> Observations {
        let (sender, seen) = mpsc::channel(batches.max(1));
        let observer = Observer { seen: sender, lost: 0, announced: None };
        self.observers.lock().unwrap_or_else(PoisonError::into_inner).push(observer);
        Observations { seen }
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

    fn announced(sequence: u64) -> Seen {
        Seen::Announced { through: Identity { sequence, index: 0, place: 0 }, own: true }
    }

    fn restored(sequence: u64) -> Seen {
        Seen::Restored { state: Chain { sequence, hash: 0 }, through: Identity::START }
    }

    /// What an observer was given so far, in short.
    fn taken(observations: &mut Observations) -> Vec<String> {
        let seen = std::iter::from_fn(|| observations.seen.try_recv().ok());
        seen.map(|seen| match seen {
            Seen::Restored { state, .. } => format!("restored {}", state.sequence),
            Seen::Applied(_) => "applied".to_owned(),
            Seen::Announced { through, .. } => format!("announced {}", through.sequence),
            Seen::Lost(batches) => format!("lost {batches}"),
        })
        .collect()
    }

    #[test]
    fn who_is_too_slow_is_told_how_much_is_missing_where_it_is_missing() {
        let ports = Ports::default();
        let (mut slow, mut quick) = (ports.observe(2), ports.observe(16));
        let lost: u64 = (1..=4).map(|sequence| ports.give(&restored(sequence))).sum();
        assert_eq!((lost, ports.give(&announced(4))), (2, 0));
        assert_eq!(
            taken(&mut quick),
            ["restored 1", "restored 2", "restored 3", "restored 4", "announced 4"]
        );
        assert_eq!(taken(&mut slow), ["restored 1", "restored 2"]);
        // Nothing comes any more: it hears of it all the same, and once.
        ports.remind();
        ports.remind();
        assert_eq!(taken(&mut slow), ["lost 2", "announced 4"]);
        assert_eq!(ports.give(&restored(5)), 0);
        assert_eq!(taken(&mut slow), ["restored 5"]);
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let ports = Ports::default();
        drop(ports.observe(1));
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

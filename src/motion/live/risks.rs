//! What whoever observes a shard is asked of its open orders: how likely one comes late, and which do.
//!
//! A port of its own, beside those of the fold, which never hears of it: a short queue that the observer reads between two batches. Who asks
//! waits no longer than it wants to, and hears nothing where nobody observes, or the observer is busy.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::ports::Unanswered;
use crate::edges::telemetry::analytics::Watched;
use crate::folds::analytics::{Ranked, Ranking};
use crate::words::query::DelayRisk;

/// Questions that wait for the observer; further ones are refused.
const QUESTIONS_QUEUED_MAX: usize = 64;

/// A question to the observer.
#[derive(Debug)]
pub(super) enum RiskQuestion {
    Of { order_id: String, reply: oneshot::Sender<Option<DelayRisk>> },
    Ranked { after: Option<u64>, rows: usize, reply: oneshot::Sender<Vec<Ranked>> },
}

/// Where the observer of one shard is asked, from one observer to the next.
#[derive(Debug, Default)]
pub struct RiskPort {
    questions: Mutex<Option<mpsc::Sender<RiskQuestion>>>,
}

impl RiskPort {
    /// How likely an open order comes late; none where nothing can be said of it.
    pub async fn of(&self, within: Duration, order_id: &str) -> Result<Option<DelayRisk>, Unanswered> {
        let order_id = order_id.to_owned();
        self.ask(within, |reply| RiskQuestion::Of { order_id, reply }).await
    }

    /// The open orders that are warned of, behind a [key](Ranked::key), the likeliest to be late first: so many, or fewer at the end.
    pub async fn ranked(
        &self,
        within: Duration,
        after: Option<u64>,
        rows: usize,
    ) -> Result<Vec<Ranked>, Unanswered> {
        self.ask(within, |reply| RiskQuestion::Ranked { after, rows, reply }).await
    }

    async fn ask<T>(
        &self,
        within: Duration,
        question: impl FnOnce(oneshot::Sender<T>) -> RiskQuestion,
    ) -> Result<T, Unanswered> {
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (reply, answer) = oneshot::channel();
        questions.ok_or(Unanswered::Away)?.try_send(question(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unanswered::Busy,
            mpsc::error::TrySendError::Closed(_) => Unanswered::Away,
        })?;
        match tokio::time::timeout(within, answer).await {
            Ok(answer) => answer.map_err(|_| Unanswered::Away),
            Err(_) => Err(Unanswered::TimedOut),
        }
    }

    /// From now on questions go to whoever reads this.
    pub(super) fn open(&self) -> Asked {
        let (questions, asked) = mpsc::channel(QUESTIONS_QUEUED_MAX);
        *self.questions.lock().unwrap_or_else(PoisonError::into_inner) = Some(questions);
        Asked { asked, ranking: None }
    }
}

/// Questions, as the observer reads them.
#[derive(Debug)]
pub(super) struct Asked {
    asked: mpsc::Receiver<RiskQuestion>,
    /// The ranking, and at which look it was made: pages of one look go by the same one, and it costs no more than one walk a look.
    ranking: Option<(u32, Ranking)>,
}

impl Asked {
    /// What is asked next. It waits where another observer is asked.
    pub(super) async fn next(&mut self) -> RiskQuestion {
        match self.asked.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }

    /// Answers a question from the model; `look` is the number of the look that is on now.
    pub(super) fn answer(&mut self, question: RiskQuestion, watched: &Watched, look: u32) {
        let watching = watched.watch();
        let (model, measured) = (watching.model(), watching.facts().sequence);
        // Whoever asked may have given up.
        match question {
            RiskQuestion::Of { order_id, reply } if !reply.is_closed() => {
                let _ = reply.send(model.delay_risk_of(&order_id, measured));
            }
            RiskQuestion::Ranked { after, rows, reply } if !reply.is_closed() => {
                if self.ranking.as_ref().is_none_or(|(made, _)| *made != look) {
                    self.ranking = Some((look, model.rank()));
                }
                let ranked = self.ranking.iter().flat_map(|(_, it)| model.ranked(it, after, rows, measured));
                let _ = reply.send(ranked.collect());
            }
            RiskQuestion::Of { .. } | RiskQuestion::Ranked { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::analytics::Settings;

    #[tokio::test]
    async fn nobody_waits_for_an_observer_that_is_not_there_or_busy() {
        let port = RiskPort::default();
        let long = Duration::from_mins(1);
        assert_eq!(port.of(long, "O-1").await, Err(Unanswered::Away));
        let mut asked = port.open();
        for _ in 0..QUESTIONS_QUEUED_MAX {
            assert_eq!(port.of(Duration::ZERO, "O-1").await, Err(Unanswered::TimedOut));
        }
        assert_eq!(port.ranked(long, None, 1).await, Err(Unanswered::Busy));
        let watched = Watched::new(Settings::default());
        for _ in 0..QUESTIONS_QUEUED_MAX {
            let question = asked.next().await;
            asked.answer(question, &watched, 0);
        }
        // Whoever asked had given up: nothing was looked at for them.
        let (of, ranked, ()) = tokio::join!(port.of(long, "O-1"), port.ranked(long, None, 1), async {
            for _ in 0..2 {
                let question = asked.next().await;
                asked.answer(question, &watched, 0);
            }
        });
        assert_eq!((of, ranked), (Ok(None), Ok(Vec::new())));
        drop(asked);
        assert_eq!(port.of(long, "O-1").await, Err(Unanswered::Away));
    }
}

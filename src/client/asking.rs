//! Asking: questions to whoever has a shard's state. They change nothing, so they are asked again while nobody answers.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Client, ClientOptions};
use crate::edges::jetstream::service::JetQuestions;
use crate::edges::questions::Questions as _;
use crate::words::query::{
    OrderAnswer, OrderQuestion, OrdersAnswer, OrdersQuestion, QueryCode, QueryError, Question, StockAnswer,
    StockQuestion, StocksAnswer, StocksQuestion, WAIT_MS_DEFAULT,
};

/// The first pause before a question is asked again; it doubles.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How a client asks.
#[derive(Debug)]
pub(super) struct Asker {
    questions: JetQuestions,
    /// How long one attempt may take, beyond what the question waits, and how long all of them.
    attempt: Duration,
    patience: Duration,
}

impl Asker {
    pub(super) const fn new(questions: JetQuestions, options: &ClientOptions) -> Self {
        Self { questions, attempt: options.attempt, patience: options.patience }
    }

    async fn ask<A: DeserializeOwned>(&self, question: &Question) -> Result<A, QueryError> {
        question.check()?;
        let since = Instant::now();
        let common = question.common();
        let waits = common.at_least.map_or(0, |_| common.wait_ms.unwrap_or(WAIT_MS_DEFAULT));
        let within = self.attempt + Duration::from_millis(waits);
        let mut pause = PAUSE;
        loop {
            let payload = question.to_json().into();
            let asked = self.questions.ask(common.shard.as_deref(), question.query(), payload, within).await;
            let error = match asked {
                Ok(answer) => {
                    return serde_json::from_slice(&answer).map_err(|error| {
                        let text = format!("the answer cannot be read: {error}");
                        QueryError::new(QueryCode::Unavailable, text)
                    });
                }
                Err(error) => error,
            };
            let later = matches!(error.code, QueryCode::Busy | QueryCode::Behind | QueryCode::Unavailable);
            if !later || since.elapsed() >= self.patience {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }
}

/// What a shard's state says. Where nobody answers (`busy`, `behind`, `unavailable`), it is asked again until
/// [`ClientOptions::patience`] is over. One's own write is read by giving its sequence as `at_least`.
impl Client {
    /// One order: its state line by line, what it was promised, how likely it comes late, and its history where that is asked for.
    pub async fn order(&self, question: OrderQuestion) -> Result<OrderAnswer, QueryError> {
        self.asker.ask(&Question::Order(question)).await
    }

    /// A page of the orders in some state; its cursor asks for the next one.
    pub async fn orders(&self, question: OrdersQuestion) -> Result<OrdersAnswer, QueryError> {
        self.asker.ask(&Question::Orders(question)).await
    }

    /// The stock of one SKU at one site.
    pub async fn stock(&self, question: StockQuestion) -> Result<StockAnswer, QueryError> {
        self.asker.ask(&Question::Stock(question)).await
    }

    /// A page of SKUs, of all or of those below a level; its cursor asks for the next one.
    pub async fn stocks(&self, question: StocksQuestion) -> Result<StocksAnswer, QueryError> {
        self.asker.ask(&Question::Stocks(question)).await
    }
}

//! Answering queries from a shard's state: each is a few short looks at it, between which the fold goes on.
//!
//! What is asked of one look is bounded (`folds::inventory::query`), and so is the number of looks a query may take. Where the
//! state moves on between two looks at one order, it is looked at anew. What a state does not keep, the promises and the history, is read
//! from the log and the outcome stream beside it. How likely an order comes late, whoever observes the shard is asked, for a moment: an
//! order is told without it where that one says nothing.

use std::time::Duration;

use super::history;
use super::ports::Unanswered;
use super::status::Status;
use crate::edges::streams::Streams;
use crate::folds::inventory::Inventory;
use crate::folds::inventory::query::{self, Looked, OrderFilter, StockFilter, Walked};
use crate::motion::rules::life::Life;
use crate::words::outcome::State;
use crate::words::policy::SITE_DEFAULT;
use crate::words::query::{
    Answer, Common, Next, NextStep, OrderAnswer, OrderQuestion, OrderRow, OrdersAnswer, OrdersKind,
    OrdersQuestion, QueryCode, QueryError, Question, ROWS_DEFAULT, Reflects, StockAnswer, StockQuestion,
    StocksAnswer, StocksQuestion, WAIT_MS_DEFAULT, WAIT_MS_MAX,
};

/// How long a look waits for its turn.
const LOOK_WITHIN: Duration = Duration::from_millis(500);
/// How long whoever observes may take to say how likely orders come late.
const RISK_WITHIN: Duration = Duration::from_millis(500);
/// The most looks that a page takes: some 65,000 places of a table.
const LOOKS_MAX: usize = 256;
/// How often an order that moves while it is looked at is looked at anew.
const TRIES_MAX: usize = 8;

impl Status {
    /// Whether this worker answers questions to the shard: it leads it, or stands by and has caught up.
    #[must_use]
    pub fn can_answer(&self) -> bool {
        match self.life() {
            Life::Leading => true,
            Life::Following => self.is_ready(),
            Life::Away | Life::Recovering { .. } | Life::Halted { .. } => false,
        }
    }
}

/// Answers a question from the state that this worker has of the shard.
pub async fn answer<S: Streams>(
    status: &Status,
    streams: &S,
    question: &Question,
) -> Result<Answer, QueryError> {
    if !status.can_answer() {
        return Err(away(status));
    }
    reach(status, question.common()).await?;
    Ok(match question {
        Question::Order(it) => Answer::Order(Box::new(order(status, streams, it).await?)),
        Question::Orders(it) if it.state == OrdersKind::AtRisk => Answer::Orders(at_risk(status, it).await?),
        Question::Orders(it) => Answer::Orders(orders(status, it).await?),
        Question::Stock(it) => Answer::Stock(stock(status, it).await?),
        Question::Stocks(it) => Answer::Stocks(stocks(status, it).await?),
    })
}

fn away(status: &Status) -> QueryError {
    let text = format!("shard {} is not led here, nor stood by for; or it recovers", status.shard);
    QueryError::new(QueryCode::Unavailable, text)
}

/// Waits until what the answer has to reflect is applied.
async fn reach(status: &Status, common: &Common) -> Result<(), QueryError> {
    let Some(sequence) = common.at_least else { return Ok(()) };
    let wait = Duration::from_millis(common.wait_ms.unwrap_or(WAIT_MS_DEFAULT).min(WAIT_MS_MAX));
    let reached = status.wait_for(|progress| progress.applied.sequence >= sequence);
    tokio::time::timeout(wait, reached).await.map_err(|_| {
        let applied = status.applied();
        QueryError::new(
            QueryCode::Behind,
            format!("sequence {sequence} is not applied yet, but {applied} is"),
        )
    })
}

/// One look at the state.
async fn look<T: Send + 'static>(
    status: &Status,
    look: impl FnOnce(&Inventory) -> T + Send + 'static,
) -> Result<T, QueryError> {
    let busy = || QueryError::new(QueryCode::Busy, "too many questions wait for the shard");
    status.ports().ask(LOOK_WITHIN, look).await.map_err(|unanswered| match unanswered {
        Unanswered::Away => away(status),
        Unanswered::Busy | Unanswered::TimedOut => busy(),
    })
}

async fn order<S: Streams>(
    status: &Status,
    streams: &S,
    question: &OrderQuestion,
) -> Result<OrderAnswer, QueryError> {
    let Looked { mut answer, index, .. } = whole_order(status, &question.order_id).await?;
    if answer.kept {
        let risk = async {
            let open = answer.state < State::Delivered;
            let asked =
                if open { Some(status.risks().of(RISK_WITHIN, &answer.order_id).await) } else { None };
            asked.and_then(Result::ok).flatten()
        };
        (answer.placed, answer.delay_risk) = tokio::join!(history::placed(streams, &answer, index), risk);
        if let (Some(Next { step, by: by @ None }), Some(placed)) = (&mut answer.next, &answer.placed) {
            *by = match step {
                NextStep::Shipment => placed.ship_by,
                NextStep::Delivery => placed.promised_by,
                NextStep::Stock | NextStep::Payment => None,
            };
        }
    }
    if question.history {
        let of = (question.order_id.as_str(), answer.first_sequence);
        answer.history = Some(history::history(streams, of, question.history_from).await?);
    }
    Ok(answer)
}

/// An order with all its lines, as it was at one moment.
async fn whole_order(status: &Status, order_id: &str) -> Result<Looked, QueryError> {
    'anew: for _ in 0..TRIES_MAX {
        let mut looked = look_at(status, order_id, 0).await?;
        while looked.answer.lines.len() < looked.lines {
            let more = look_at(status, order_id, looked.answer.lines.len()).await?;
            if !more.is_as(&looked) || more.answer.lines.is_empty() {
                continue 'anew;
            }
            looked.answer.lines.extend(more.answer.lines);
        }
        return Ok(looked);
    }
    Err(QueryError::new(QueryCode::Busy, "the order moves all the time"))
}

async fn look_at(status: &Status, order_id: &str, from: usize) -> Result<Looked, QueryError> {
    let (id, shard) = (order_id.to_owned(), status.shard.clone());
    let looked = look(status, move |state| {
        state.look_at_order(&id, from, &shard).ok_or((state.chain().sequence, state.forgotten_until()))
    });
    looked.await?.map_err(|(sequence, forgotten_until)| {
        let forgotten = forgotten_until.map_or_else(String::new, |until| {
            format!("; those that were closed up to {until} may be forgotten")
        });
        QueryError::new(
            QueryCode::UnknownOrder,
            format!("shard {} knows no such order at sequence {sequence}{forgotten}", status.shard),
        )
    })
}

/// Walks on until a page is full, the table ends, or enough was looked at.
async fn walk<T: Send + 'static>(
    status: &Status,
    (cursor, limit): (Option<u64>, Option<u32>),
    step: impl Fn(&Inventory, u32, usize) -> Walked<T> + Clone + Send + 'static,
) -> Result<(Vec<T>, Option<u64>, Reflects), QueryError> {
    let limit = limit.unwrap_or(ROWS_DEFAULT) as usize;
    // No table has so many places that the last number is one.
    let first = u32::try_from(cursor.unwrap_or(0)).unwrap_or(u32::MAX);
    let (mut rows, mut next, mut reflects) = (Vec::new(), Some(first), Reflects::default());
    for _ in 0..LOOKS_MAX {
        let Some(from) = next.filter(|_| rows.len() < limit) else { break };
        let (step, shard, wanted) = (step.clone(), status.shard.clone(), limit - rows.len());
        let looked = look(status, move |state| (step(state, from, wanted), state.reflects(&shard)));
        let (walked, at) = looked.await?;
        rows.extend(walked.rows);
        (next, reflects) = (walked.next, at);
    }
    Ok((rows, next.map(u64::from), reflects))
}

fn filter_of(question: &OrdersQuestion) -> OrderFilter {
    OrderFilter { kind: question.state, site: question.site.clone(), older_than_ms: question.older_than_ms }
}

/// Orders at risk: whoever observes says which, in which order, and the state says what they are.
async fn at_risk(status: &Status, question: &OrdersQuestion) -> Result<OrdersAnswer, QueryError> {
    let limit = question.limit.unwrap_or(ROWS_DEFAULT) as usize;
    let mut answer = OrdersAnswer { cursor: question.cursor, ..OrdersAnswer::default() };
    for _ in 0..LOOKS_MAX {
        let wanted = (limit - answer.orders.len()).min(query::ROWS_MAX);
        let ranked = status.risks().ranked(RISK_WITHIN, answer.cursor, wanted).await;
        let ranked = ranked.map_err(|unanswered| match unanswered {
            Unanswered::Away => QueryError::new(QueryCode::Unavailable, "nobody measures risks here"),
            Unanswered::Busy | Unanswered::TimedOut => {
                QueryError::new(QueryCode::Busy, "whoever measures risks is busy")
            }
        })?;
        let (filter, shard) = (filter_of(question), status.shard.clone());
        let ids: Vec<_> = ranked.iter().map(|it| it.order_id.clone()).collect();
        let looked = look(status, move |state| (state.rows_of_orders(&filter, &ids), state.reflects(&shard)));
        let (rows, reflects) = looked.await?;
        answer.reflects = reflects;
        let is_last = ranked.len() < wanted && rows.len() == ranked.len();
        for (ranked, row) in ranked.into_iter().zip(rows) {
            answer.cursor = Some(ranked.key);
            answer.orders.extend(row.map(|row| OrderRow { delay_risk: Some(ranked.risk), ..row }));
        }
        if is_last {
            answer.cursor = None;
            break;
        }
        if answer.orders.len() >= limit {
            break;
        }
    }
    Ok(answer)
}

async fn orders(status: &Status, question: &OrdersQuestion) -> Result<OrdersAnswer, QueryError> {
    let filter = filter_of(question);
    let step = move |state: &Inventory, from, rows| state.page_of_orders(&filter, from, rows);
    let (orders, cursor, reflects) = walk(status, (question.cursor, question.limit), step).await?;
    Ok(OrdersAnswer { orders, cursor, reflects })
}

async fn stocks(status: &Status, question: &StocksQuestion) -> Result<StocksAnswer, QueryError> {
    let filter = StockFilter { site: question.site.clone(), below: question.below };
    let step = move |state: &Inventory, from, rows| state.page_of_stock(&filter, from, rows);
    let (stock, cursor, reflects) = walk(status, (question.cursor, question.limit), step).await?;
    Ok(StocksAnswer { stock, cursor, reflects })
}

async fn stock(status: &Status, question: &StockQuestion) -> Result<StockAnswer, QueryError> {
    let (site, sku) =
        (question.site.clone().unwrap_or_else(|| SITE_DEFAULT.to_owned()), question.sku.clone());
    let shard = status.shard.clone();
    let looked = look(status, move |state| (state.look_at_stock(&site, &sku), state.reflects(&shard)));
    let (stock, reflects) = looked.await?;
    let unknown = || {
        let text = format!("the SKU is not known there at sequence {}", reflects.sequence);
        QueryError::new(QueryCode::UnknownSku, text)
    };
    Ok(StockAnswer { stock: stock.ok_or_else(unknown)?, reflects: reflects.clone() })
}

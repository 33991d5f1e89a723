//! Queries: what may be asked of a shard's state, and what is answered. Plain data, one JSON object each way, the same over NATS, HTTP
//! and the command line.
//!
//! A question is small and bounded ([`QUESTION_BYTES_MAX`]); unknown fields are refused, as in commands. A list is answered page by
//! page: a page's [`cursor`](OrdersAnswer::cursor) asks for the next one. A cursor is a place in the shard's tables, which are the same
//! at every worker: whatever is there from the first page to the last is on exactly one of them. Orders at risk are listed by their risk,
//! and a cursor is a place in that order: one whose risk changes meanwhile may be on two pages, or on none.

mod answer;

pub use answer::{
    Amount, Answer, ArrivesBy, DelayCause, DelayRisk, EventAnswer, FactAnswer, HistoryAnswer, LineAnswer,
    Next, NextStep, OrderAnswer, OrderRow, OrdersAnswer, PlacedAnswer, Reflects, StockAnswer, StockRow,
    StocksAnswer, WaitsFor,
};

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use super::codes::codes;
use super::outcome::State;
use super::text::is_id;

/// The most bytes of a question.
pub const QUESTION_BYTES_MAX: usize = 4 << 10;
/// The most rows of a page.
pub const ROWS_MAX: u32 = 500;
/// The rows of a page whose question names no number.
pub const ROWS_DEFAULT: u32 = 100;
/// How long a question waits for the sequence that it wants the answer to reflect, in milliseconds, where it says nothing.
pub const WAIT_MS_DEFAULT: u64 = 1_000;
/// The longest that it may wait, in milliseconds.
pub const WAIT_MS_MAX: u64 = 5_000;

codes! {
    /// What can be asked: the last word of a query's subject.
    Query {
        /// One order, and its history.
        Order = "order",
        /// Orders by state, site and age, page by page.
        Orders = "orders",
        /// One SKU at one site.
        Stock = "stock",
        /// SKUs, those below a level, page by page.
        Stocks = "stocks",
    }
}

codes! {
    /// Why a question was not answered.
    QueryCode {
        /// The question cannot be read, or a value is out of its bounds.
        InvalidQuestion = "invalid_question",
        /// There is no such order, or it is no longer remembered.
        UnknownOrder = "unknown_order",
        /// The SKU is not known at the site.
        UnknownSku = "unknown_sku",
        /// No shard holds the site.
        UnknownSite = "unknown_site",
        /// There is no such shard, or several, of which none was named.
        UnknownShard = "unknown_shard",
        /// What was to be reflected is not applied yet.
        Behind = "behind",
        /// The answer is larger than the broker takes: ask for less of it.
        AnswerTooLarge = "answer_too_large",
        /// Too many others ask.
        Busy = "busy",
        /// No worker that has the shard's state answers.
        Unavailable = "unavailable",
    }
}

impl QueryCode {
    /// The code of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// The number that stands for it over NATS and HTTP.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidQuestion => 400,
            Self::UnknownOrder | Self::UnknownSku | Self::UnknownSite | Self::UnknownShard => 404,
            Self::AnswerTooLarge => 413,
            Self::Busy => 429,
            Self::Behind | Self::Unavailable => 503,
        }
    }
}

/// A question that was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.name())]
pub struct QueryError {
    /// Why.
    pub code: QueryCode,
    /// For a person.
    pub detail: String,
}

impl QueryError {
    /// With a detail for a person.
    #[must_use]
    pub fn new(code: QueryCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    fn invalid(detail: impl Into<String>) -> Self {
        Self::new(QueryCode::InvalidQuestion, detail)
    }
}

/// What every question may say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Common {
    /// The shard that is asked; the one that holds the site, or the only one there is, where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// The answer must reflect the log up to this sequence at least: one's own write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
    /// How long to wait for that, in milliseconds: 0 to [`WAIT_MS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Asks for one order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderQuestion {
    /// Which.
    pub order_id: String,
    /// A site of the shard that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Whether its history is wanted too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub history: bool,
    /// Where the history goes on: the [`cursor`](HistoryAnswer::cursor) of the part before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_from: Option<u64>,
    /// See there.
    #[serde(flatten)]
    pub common: Common,
}

codes! {
    /// Which orders are meant, beside those of one state.
    #[derive(Default)]
    OrdersKind {
        /// All that are kept.
        #[default]
        All = "all",
        /// Those of which something waits or is reserved.
        Open = "open",
        /// Those that hold their stock unpaid, and lose it at some time.
        Unpaid = "unpaid",
        /// Those that have not arrived and that analytics warn of: they are late, or probably will be.
        AtRisk = "at_risk",
        /// Waiting for stock.
        Waiting = "waiting",
        /// Have their stock, not paid.
        Confirmed = "confirmed",
        /// Have their stock, paid.
        Paid = "paid",
        /// On their way.
        Shipped = "shipped",
        /// Arrived.
        Delivered = "delivered",
        /// Came back.
        Returned = "returned",
        /// Cancelled before they left.
        Cancelled = "cancelled",
        /// Not paid in time, or waited too long.
        Expired = "expired",
    }
}

impl OrdersKind {
    /// The state that is meant, where it is one.
    #[must_use]
    pub const fn state(self) -> Option<State> {
        Some(match self {
            Self::All | Self::Open | Self::Unpaid | Self::AtRisk => return None,
            Self::Waiting => State::Waiting,
            Self::Confirmed => State::Confirmed,
            Self::Paid => State::Paid,
            Self::Shipped => State::Shipped,
            Self::Delivered => State::Delivered,
            Self::Returned => State::Returned,
            Self::Cancelled => State::Cancelled,
            Self::Expired => State::Expired,
        })
    }
}

/// Asks for orders that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrdersQuestion {
    /// Which.
    #[serde(default)]
    pub state: OrdersKind,
    /// Only those of which some line comes from this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Only those of which no unit has moved for so long, in milliseconds of log time: a payment moves none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than_ms: Option<u64>,
    /// The most rows: 1 to [`ROWS_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
    /// See there.
    #[serde(flatten)]
    pub common: Common,
}

/// Asks for one SKU at one site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockQuestion {
    /// Where; default `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Which.
    pub sku: String,
    /// See there.
    #[serde(flatten)]
    pub common: Common,
}

/// Asks for SKUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StocksQuestion {
    /// Only those at this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Only those of which a new order may have less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<i64>,
    /// The most rows: 1 to [`ROWS_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
    /// See there.
    #[serde(flatten)]
    pub common: Common,
}

/// A question of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// See there.
    Order(OrderQuestion),
    /// See there.
    Orders(OrdersQuestion),
    /// See there.
    Stock(StockQuestion),
    /// See there.
    Stocks(StocksQuestion),
}

impl Question {
    /// Reads a question; no bytes at all are one that says nothing.
    pub fn parse(query: Query, bytes: &[u8]) -> Result<Self, QueryError> {
        if bytes.len() > QUESTION_BYTES_MAX {
            return Err(QueryError::invalid(format!("longer than {QUESTION_BYTES_MAX} bytes")));
        }
        let bytes = if bytes.is_empty() { b"{}" } else { bytes };
        let question = match query {
            Query::Order => read(bytes, &["order_id", "site", "history", "history_from"]).map(Self::Order),
            Query::Orders => {
                read(bytes, &["state", "site", "older_than_ms", "limit", "cursor"]).map(Self::Orders)
            }
            Query::Stock => read(bytes, &["site", "sku"]).map(Self::Stock),
            Query::Stocks => read(bytes, &["site", "below", "limit", "cursor"]).map(Self::Stocks),
        }?;
        question.check()?;
        Ok(question)
    }

    /// Checks every value against its bounds.
    pub fn check(&self) -> Result<(), QueryError> {
        let ids: [(&str, Option<&str>); 2] = match self {
            Self::Order(it) => [("order_id", Some(&it.order_id)), ("site", it.site.as_deref())],
            Self::Orders(it) => [("site", it.site.as_deref()), ("", None)],
            Self::Stock(it) => [("sku", Some(&it.sku)), ("site", it.site.as_deref())],
            Self::Stocks(it) => [("site", it.site.as_deref()), ("", None)],
        };
        for (name, id) in ids {
            if id.is_some_and(|id| !is_id(id)) {
                return Err(QueryError::invalid(format!("{name}: 1 to 64 bytes without control characters")));
            }
        }
        let limit = match self {
            Self::Orders(it) => it.limit,
            Self::Stocks(it) => it.limit,
            Self::Order(_) | Self::Stock(_) => None,
        };
        if limit.is_some_and(|limit| !(1..=ROWS_MAX).contains(&limit)) {
            return Err(QueryError::invalid(format!("limit: 1 to {ROWS_MAX}")));
        }
        let Common { shard, wait_ms, .. } = self.common();
        if wait_ms.is_some_and(|wait| wait > WAIT_MS_MAX) {
            return Err(QueryError::invalid(format!("wait_ms: 0 to {WAIT_MS_MAX}")));
        }
        if shard.as_deref().is_some_and(|shard| !super::config::is_token(shard)) {
            return Err(QueryError::invalid("shard: 1 to 32 letters, digits, '-' and '_'"));
        }
        Ok(())
    }

    /// What every question may say.
    #[must_use]
    pub const fn common(&self) -> &Common {
        match self {
            Self::Order(it) => &it.common,
            Self::Orders(it) => &it.common,
            Self::Stock(it) => &it.common,
            Self::Stocks(it) => &it.common,
        }
    }

    /// The same, to be changed.
    pub const fn common_mut(&mut self) -> &mut Common {
        match self {
            Self::Order(it) => &mut it.common,
            Self::Orders(it) => &mut it.common,
            Self::Stock(it) => &mut it.common,
            Self::Stocks(it) => &mut it.common,
        }
    }

    /// The site that it names.
    #[must_use]
    pub fn site(&self) -> Option<&str> {
        match self {
            Self::Order(it) => it.site.as_deref(),
            Self::Orders(it) => it.site.as_deref(),
            Self::Stock(it) => it.site.as_deref(),
            Self::Stocks(it) => it.site.as_deref(),
        }
    }

    /// What kind it is.
    #[must_use]
    pub const fn query(&self) -> Query {
        match self {
            Self::Order(_) => Query::Order,
            Self::Orders(_) => Query::Orders,
            Self::Stock(_) => Query::Stock,
            Self::Stocks(_) => Query::Stocks,
        }
    }

    /// The question as JSON.
    ///
    /// # Panics
    /// Never: the types hold nothing that cannot be written.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        match self {
            Self::Order(it) => serde_json::to_vec(it),
            Self::Orders(it) => serde_json::to_vec(it),
            Self::Stock(it) => serde_json::to_vec(it),
            Self::Stocks(it) => serde_json::to_vec(it),
        }
        .expect("plain objects with names for keys")
    }
}

/// Reads one object that has no fields but these and those of [`Common`], each once.
fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8], known: &[&str]) -> Result<T, QueryError> {
    // A flattened struct cannot refuse what it does not know: that is done before.
    let fields: std::collections::BTreeMap<std::borrow::Cow<'_, str>, &serde_json::value::RawValue> =
        serde_json::from_slice(bytes).map_err(|error| QueryError::invalid(error.to_string()))?;
    let common = ["shard", "at_least", "wait_ms"];
    if let Some(unknown) = fields.keys().find(|field| !known.iter().chain(&common).any(|name| name == field))
    {
        let shown: String = unknown.chars().take(64).collect();
        return Err(QueryError::invalid(format!("unknown field {shown:?}")));
    }
    serde_json::from_slice(bytes).map_err(|error| QueryError::invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_survive_their_own_json() {
        let common = Common { shard: Some("main".to_owned()), at_least: Some(7), wait_ms: Some(0) };
        let order =
            OrderQuestion { order_id: "O-1".to_owned(), common: common.clone(), ..OrderQuestion::default() };
        let orders = OrdersQuestion {
            state: OrdersKind::Unpaid,
            cursor: Some(3),
            common,
            ..OrdersQuestion::default()
        };
        for question in [Question::Order(order), Question::Orders(orders)] {
            assert_eq!(Question::parse(question.query(), &question.to_json()).unwrap(), question);
        }
        assert!(Question::parse(Query::Orders, b"").is_ok());
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_and_said() {
        let long = "x".repeat(65);
        let cases = [
            (Query::Order, "{}".to_owned(), "missing field `order_id`"),
            (Query::Order, "[]".to_owned(), "invalid type"),
            (Query::Order, r#"{"order_id":"a","orderid":"b"}"#.to_owned(), "unknown field \"orderid\""),
            (Query::Order, r#"{"order_id":"a","order_id":"b"}"#.to_owned(), "duplicate field"),
            (Query::Order, format!(r#"{{"order_id":"{long}"}}"#), "order_id: 1 to 64 bytes"),
            (Query::Order, r#"{"order_id":"a","shard":"a.b"}"#.to_owned(), "shard: 1 to 32"),
            (Query::Order, r#"{"order_id":"a","wait_ms":5001}"#.to_owned(), "wait_ms: 0 to 5000"),
            (Query::Order, r#"{"order_id":"a","at_least":-1}"#.to_owned(), "invalid"),
            (Query::Orders, r#"{"limit":0}"#.to_owned(), "limit: 1 to 500"),
            (Query::Orders, r#"{"limit":501}"#.to_owned(), "limit: 1 to 500"),
            (Query::Orders, r#"{"state":"refused"}"#.to_owned(), "unknown variant `refused`"),
            (Query::Stock, r#"{"sku":""}"#.to_owned(), "sku: 1 to 64 bytes"),
            (Query::Stocks, r#"{"below":1.5}"#.to_owned(), "invalid type"),
            (Query::Stocks, format!("{{}}{}", " ".repeat(QUESTION_BYTES_MAX - 1)), "longer than 4096 bytes"),
            (Query::Stocks, "\u{feff}{}".to_owned(), "expected value"),
        ];
        for (query, text, expected) in cases {
            let error = Question::parse(query, text.as_bytes()).unwrap_err();
            assert_eq!(error.code, QueryCode::InvalidQuestion);
            assert!(error.detail.contains(expected), "{text:?} gave {:?}", error.detail);
        }
        for (query, text) in [
            (Query::Orders, r#"{"limit":500,"wait_ms":5000}"#.to_owned()),
            (Query::Stocks, format!("{{}}{}", " ".repeat(QUESTION_BYTES_MAX - 2))),
        ] {
            Question::parse(query, text.as_bytes()).unwrap();
        }
    }
}

//! What is answered.

use serde::{Deserialize, Serialize};

use crate::words::codes::codes;
use crate::words::outcome::State;
use crate::words::timestamp::Timestamp;

use serde_json::Value;
use wincode::{SchemaRead, SchemaWrite};

/// Which state of the shard an answer reflects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reflects {
    /// The shard.
    pub shard: String,
    /// The last message of its log that was applied.
    pub sequence: u64,
    /// Log time then.
    pub log_time: Timestamp,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// In the currency's minor unit.
    pub minor: i64,
    /// Three capital letters.
    pub currency: String,
}

/// How far one line of an order is, in units: they add up to the line's quantity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LineAnswer {
    /// Which SKU.
    pub sku: String,
    /// Where it comes from.
    pub site: String,
    /// How many were accepted.
    pub quantity: u32,
    /// Wait for stock.
    #[serde(skip_serializing_if = "is_zero")]
    pub waiting: u32,
    /// Are held for the order.
    #[serde(skip_serializing_if = "is_zero")]
    pub reserved: u32,
    /// Were cancelled.
    #[serde(skip_serializing_if = "is_zero")]
    pub cancelled: u32,
    /// Expired.
    #[serde(skip_serializing_if = "is_zero")]
    pub expired: u32,
    /// Are on their way.
    #[serde(skip_serializing_if = "is_zero")]
    pub shipped: u32,
    /// Arrived.
    #[serde(skip_serializing_if = "is_zero")]
    pub delivered: u32,
    /// Came back, and stand on the shelf again.
    #[serde(skip_serializing_if = "is_zero")]
    pub returned: u32,
    /// Came back, and are of no use.
    #[serde(skip_serializing_if = "is_zero")]
    pub written_off: u32,
    /// Those of the reserved ones that are missing, as was told last.
    #[serde(skip_serializing_if = "is_zero")]
    pub lacking: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_zero(units: &u32) -> bool {
    *units == 0
}

/// What an order waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitsFor {
    /// The SKU that it is short of first.
    pub sku: String,
    /// Where.
    pub site: String,
}

codes! {
    /// What happens next to an order, if all goes well.
    NextStep {
        /// Stock arrives.
        Stock = "stock",
        /// It is paid.
        Payment = "payment",
        /// It leaves.
        Shipment = "shipment",
        /// It arrives.
        Delivery = "delivery",
    }
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// What.
    pub step: NextStep,
    /// By when: the end of its hold or its waiting, behind which it expires; else what was promised, where the log still says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Timestamp>,
}

/// A fact that was told of an order under an id of its own. The ids themselves are not kept, only their hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactAnswer {
    /// What kind: `paid`, `part_paid`, `payment_failed`, `shipment`, `delivery`, `return`, `cancel`, `review`, `amendment`,
    /// `extension`.
    pub fact: String,
    /// The sequence of the record that told it first.
    pub sequence: u64,
}

/// What the record that placed an order says, where the log still has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlacedAnswer {
    /// When it was stored.
    pub at: Timestamp,
    /// When the customer submitted it, by the client's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Timestamp>,
    /// Promised to leave by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ship_by: Option<Timestamp>,
    /// Promised to arrive by; an amendment's promise, where a later one gave another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promised_by: Option<Timestamp>,
    /// The carrier it is meant to go with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// The shop's reference to the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
}

/// How likely an open order comes late, as analytics have it: they are a little behind the state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DelayRisk {
    /// The probability that it arrives after its promise, given that it arrives, from 0 to 1; 1 once the promise has passed. None where
    /// nothing was promised, or the order does not count yet: where payments are seen, it counts from its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrives_late: Option<f64>,
    /// The probability that it leaves after its `ship_by`, likewise; none once it has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ships_late: Option<f64>,
    /// Until when it was promised to arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promised_by: Option<Timestamp>,
    /// When it will have arrived, given that it has not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrives_by: Option<ArrivesBy>,
    /// What moves its lead time most, the weightiest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<DelayCause>,
    /// The last message of the log that was measured.
    pub measured: u64,
}

/// When an order will have arrived with a probability of 5%, 25%, 50%, 75% and 95%.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrivesBy {
    /// 5%.
    pub p5: Timestamp,
    /// 25%.
    pub p25: Timestamp,
    /// 50%.
    pub p50: Timestamp,
    /// 75%.
    pub p75: Timestamp,
    /// 95%.
    pub p95: Timestamp,
}

/// Why an order is expected to take longer, or less long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DelayCause {
    /// What, such as an attribute of the order.
    pub name: String,
    /// By how many days, against an order of which nothing is known.
    pub days: f64,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderAnswer {
    /// Which.
    pub order_id: String,
    /// The state of its least advanced part.
    pub state: State,
    /// Whether its lines are kept. Of an order that is closed, or was refused when it was placed, only its end is.
    pub kept: bool,
    /// The sequence of the record that placed it.
    pub first_sequence: u64,
    /// Log time of its last movement; of an order that is not kept, of when it was closed or refused.
    pub since: Timestamp,
    /// Whether it is paid.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paid: bool,
    /// What it is worth, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Amount>,
    /// What was paid so far, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_minor: Option<i64>,
    /// Until when it holds its stock unpaid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay_by: Option<Timestamp>,
    /// Until when it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_until: Option<Timestamp>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// Its lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineAnswer>,
    /// What was told of it under ids of their own, in the order of the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<FactAnswer>,
    /// What the record that placed it says; none where the log has it no more, or was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed: Option<PlacedAnswer>,
    /// What happens next; none where nothing more is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// Why it was refused when it was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How likely it comes late; none where nobody measures that, or did not say so in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_risk: Option<DelayRisk>,
    /// What became of it, step by step, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryAnswer>,
    /// See there.
    #[serde(flatten)]
    pub reflects: Reflects,
}

/// What the outcome stream says of an order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryAnswer {
    /// The outcomes of the order, in order.
    pub events: Vec<EventAnswer>,
    /// Since when outcomes are kept at all; what was before is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_since: Option<Timestamp>,
    /// Whether it begins with the order's first outcome: otherwise that is gone.
    pub from_the_start: bool,
    /// Where to go on reading (`history_from`); none where this reaches what was announced last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
}

/// One step of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventAnswer {
    /// The outcome, as it was announced.
    pub outcome: Value,
    /// The command that caused it, where it was this order's and the log still has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Value>,
}

/// One order of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderRow {
    /// Which.
    pub order_id: String,
    /// The state of its least advanced part.
    pub state: State,
    /// Where its first line comes from.
    pub site: String,
    /// The sequence of the record that placed it.
    pub first_sequence: u64,
    /// Log time of its last movement.
    pub since: Timestamp,
    /// How many lines it has.
    pub lines: u32,
    /// What it is worth, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Amount>,
    /// Until when it holds its stock unpaid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay_by: Option<Timestamp>,
    /// Until when it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_until: Option<Timestamp>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// How likely it comes late, where those at risk are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_risk: Option<DelayRisk>,
}

/// A page of orders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OrdersAnswer {
    /// The orders, in the order of their places; those at risk by how likely they arrive late, the likeliest first.
    pub orders: Vec<OrderRow>,
    /// Where to go on; none where this is the end. A page may be short, or empty, and have one: what is looked at for one page is
    /// bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
    /// Which state the end of the page reflects.
    #[serde(flatten)]
    pub reflects: Reflects,
}

/// The stock of one SKU at one site, in units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRow {
    /// Where.
    pub site: String,
    /// Which SKU.
    pub sku: String,
    /// Physically there, by the books.
    pub on_hand: i64,
    /// Promised to open orders.
    pub reserved: i64,
    /// `on_hand` - `reserved` - `safety_stock`.
    pub available: i64,
    /// What a new order may have: `available` + `allowance` - what waiting orders claim.
    pub free: i64,
    /// Never promised.
    pub safety_stock: i64,
    /// Promised beyond what there is.
    pub allowance: i64,
    /// Units that orders wait for.
    pub waiting: i64,
}

/// The stock of one SKU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAnswer {
    /// The stock.
    #[serde(flatten)]
    pub stock: StockRow,
    /// See there.
    #[serde(flatten)]
    pub reflects: Reflects,
}

/// A page of SKUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StocksAnswer {
    /// The SKUs, in the order of their places.
    pub stock: Vec<StockRow>,
    /// Where to go on, as in [`OrdersAnswer::cursor`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
    /// Which state the end of the page reflects.
    #[serde(flatten)]
    pub reflects: Reflects,
}

/// An answer of any kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// See there.
    Order(Box<OrderAnswer>),
    /// See there.
    Orders(OrdersAnswer),
    /// See there.
    Stock(StockAnswer),
    /// See there.
    Stocks(StocksAnswer),
}

impl Answer {
    /// The answer as JSON.
    ///
    /// # Panics
    /// Never: the types hold nothing that cannot be written.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain objects with names for keys")
    }
}

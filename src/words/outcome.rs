//! Outcomes: what became of a record. One type for what the fold says, what the outcome stream holds (JSON or
//! bincode) and what clients read.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wincode::{SchemaRead, SchemaWrite};

use super::command::{CommandKind, Line, Money};
use super::identity::Identity;
use super::text::Text;
use super::timestamp::Timestamp;

use super::codes::codes;
pub use super::codes::{Mark, Reason, State, Unreadable};

/// What became of a record, with its identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
pub struct Outcome<'a> {
    /// What was decided.
    #[serde(flatten, borrow)]
    pub decision: Decision<'a>,
    /// The sequence of the log message that caused it.
    pub sequence: u64,
    /// The record's index in that message.
    pub index: u32,
    /// Its place among the record's outcomes; absent in JSON where it is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub place: u32,
    /// Log time: when the record was stored.
    pub at: Timestamp,
}

impl Outcome<'_> {
    /// The outcome's identity.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        Identity { sequence: self.sequence, index: self.index, place: self.place }
    }
}

/// What was decided. Tags are append-only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Decision<'a> {
    /// The order has its stock.
    Confirmed {
        /// Which order.
        order_id: Text<'a>,
        /// Until when it must be paid, where it is held.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pay_by: Option<Timestamp>,
        /// Where each line comes from, where the order listed sites and not all of it comes from the first.
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<SiteLine<'a>>,
        /// What a partial order did not get.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shortages: Vec<Shortage<'a>>,
        /// Whether it had been waiting: the record that caused this is another one's.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        released: bool,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// The order waits, holding nothing, until all its lines can be had.
    Waiting {
        /// Which order.
        order_id: Text<'a>,
        /// The SKU it waits for first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sku: Option<Text<'a>>,
        /// Until when it waits, where that ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait_until: Option<Timestamp>,
        /// What was short when it was placed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shortages: Vec<Shortage<'a>>,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// The command was refused and changed nothing.
    Refused {
        /// Which command.
        command: CommandKind,
        /// Whose; absent where the command has no id, or a bad one.
        #[serde(flatten)]
        subject: Option<Subject<'a>>,
        /// Why, as a stable code.
        reason: Reason,
        /// What the code leaves open, for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Text<'a>>,
        /// What was short.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shortages: Vec<Shortage<'a>>,
        /// The order's state, where there is such an order and this does not repeat an earlier outcome.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order_state: Option<State>,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// The order, or some of its lines, was cancelled.
    Cancelled {
        /// Which order.
        order_id: Text<'a>,
        /// Which cancellation, where it has an id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cancel_id: Option<Text<'a>>,
        /// What was cancelled, where lines were named or it was less than the whole order.
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<Line<'a>>,
        /// Who wanted it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Text<'a>>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Text<'a>>,
        /// The order's state from here on.
        state: State,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// The order was not paid in time, and what it held is free again; or it waited too long.
    Expired {
        /// Which order.
        order_id: Text<'a>,
        /// What expired, where it was less than the whole order.
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<Line<'a>>,
        /// The order's state from here on.
        state: State,
    },
    /// The order was paid.
    Paid {
        /// Which order.
        order_id: Text<'a>,
        /// Which payment, where it has an id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt_id: Option<Text<'a>>,
        /// What is special about it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        marks: Vec<Mark>,
        /// The order's state from here on.
        state: State,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// A part of the order was paid; its hold goes on.
    PartPaid {
        /// Which order.
        order_id: Text<'a>,
        /// Which payment, where it has an id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt_id: Option<Text<'a>>,
        /// What is still to be paid now; absent in a repeat of an order that is paid meanwhile.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Money<'a>>,
        /// The order's state from here on.
        state: State,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// An attempt to pay failed.
    PaymentFailed {
        /// Which order.
        order_id: Text<'a>,
        /// Which attempt.
        attempt_id: Text<'a>,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// Goods left the site.
    Shipped {
        /// Which order.
        order_id: Text<'a>,
        /// Which shipment, where it has an id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shipment_id: Option<Text<'a>>,
        /// What left, where lines were named or it was less than the whole order.
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<Line<'a>>,
        /// What contradicts the books.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        marks: Vec<Mark>,
        /// The order's state from here on.
        state: State,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// Goods reached the customer.
    Delivered {
        /// Which order.
        order_id: Text<'a>,
        /// Which shipment, where it has an id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shipment_id: Option<Text<'a>>,
        /// What arrived, where lines were named or it was less than the whole order.
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<Line<'a>>,
        /// What contradicts the books.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        marks: Vec<Mark>,
        /// The order's state from here on.
        state: State,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// Goods came back.
    Returned {
        /// Which order.
        order_id: Text<'a>,
        /// Which return.
        return_id: Text<'a>,
        /// What came back, where lines were named or it was less than the whole order.
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<Line<'a>>,
        /// What contradicts the books.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        marks: Vec<Mark>,
        /// The order's state from here on.
        state: State,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// A review was taken note of.
    Reviewed {
        /// Which order.
        order_id: Text<'a>,
        /// Which review, where it has an id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        review_id: Option<Text<'a>>,
        /// The order's state.
        state: State,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// Stock arrived.
    Received {
        /// Which receipt.
        receipt_id: Text<'a>,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// Stock was counted.
    Counted {
        /// Which count.
        count_id: Text<'a>,
        /// Where the books were wrong.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        adjustments: Vec<Adjustment<'a>>,
        /// The SKUs whose lines were not applied, as their stock has changed since they were counted.
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        stale: Vec<Text<'a>>,
        /// What contradicts the books.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        marks: Vec<Mark>,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// An order holds stock that is not there: it cannot be shipped as it stands.
    Shortfall {
        /// Which order.
        order_id: Text<'a>,
        /// Where.
        site: Text<'a>,
        /// Which SKU.
        sku: Text<'a>,
        /// How many of its units are missing now. It is told again when that changes; 0 closes it.
        quantity: i64,
    },
    /// The policy changed.
    PolicyApplied {
        /// The rules version in force.
        rules: u32,
    },
    /// The record was no command; its bytes are in the dead letters.
    DeadLettered {
        /// What is wrong with it.
        reason: Unreadable,
    },
    /// The books were adjusted.
    Adjusted {
        /// Which adjustment.
        adjustment_id: Text<'a>,
        /// What the books say from here on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        adjustments: Vec<Adjustment<'a>>,
        /// What contradicts the books.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        marks: Vec<Mark>,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// Stock was moved to another site.
    Transferred {
        /// Which transfer.
        transfer_id: Text<'a>,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// The order's lines were replaced.
    Amended {
        /// Which order.
        order_id: Text<'a>,
        /// Which amendment.
        amendment_id: Text<'a>,
        /// The order's state from here on.
        state: State,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
    /// The order has more time to be paid.
    Extended {
        /// Which order.
        order_id: Text<'a>,
        /// Which extension.
        extension_id: Text<'a>,
        /// Until when it must be paid, where that ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pay_by: Option<Timestamp>,
        /// The order's state.
        state: State,
        /// Where this repeats an earlier outcome.
        #[serde(flatten)]
        repeat: Option<Repeat>,
    },
}

/// A field of a row, or `_` where its variant has none such: as a pattern, and as what is found.
macro_rules! field {
    ($Variant:ident, _) => {
        Self::$Variant { .. }
    };
    ($Variant:ident, $field:ident) => {
        Self::$Variant { $field, .. }
    };
    (_ => $found:expr, $none:expr) => {
        $none
    };
    ($field:ident => $found:expr, $none:expr) => {
        $found
    };
}

/// All outcomes, in the order of their tags: a row each with its name, and which it has of the fields that are the same for many.
macro_rules! decisions {
    ($($Variant:ident = $name:literal: $order:tt $state:tt $marks:tt $repeat:tt;)*) => {
        codes! {
            /// An outcome's name, without its content.
            #[expect(missing_docs, reason = "each is the name of a variant of `Decision`, documented there")]
            OutcomeKind { $($Variant = $name,)* }
        }

        impl Decision<'_> {
            /// Which outcome it is.
            #[must_use]
            pub const fn kind(&self) -> OutcomeKind {
                match self {
                    $(Self::$Variant { .. } => OutcomeKind::$Variant,)*
                }
            }

            /// Whose it is, where it is an order's.
            #[must_use]
            pub fn order_id(&self) -> Option<&str> {
                match self {
                    Self::Refused { subject: Some(Subject::OrderId(id)), .. } => Some(id),
                    $(field!($Variant, $order) => field!($order => Some($order), None),)*
                }
            }

            /// The order's state from here on, where it says one.
            #[must_use]
            pub const fn state(&self) -> Option<State> {
                match self {
                    $(field!($Variant, $state) => field!($state => Some(*$state), None),)*
                }
            }

            /// What is special about it.
            #[must_use]
            pub fn marks(&self) -> &[Mark] {
                match self {
                    $(field!($Variant, $marks) => field!($marks => $marks, &[]),)*
                }
            }

            /// What it repeats, if it does.
            #[must_use]
            pub const fn repeat(&self) -> Option<&Repeat> {
                match self {
                    $(field!($Variant, $repeat) => field!($repeat => $repeat.as_ref(), None),)*
                }
            }

            /// The same, to be changed.
            #[must_use]
            pub const fn repeat_mut(&mut self) -> Option<&mut Repeat> {
                match self {
                    $(field!($Variant, $repeat) => field!($repeat => $repeat.as_mut(), None),)*
                }
            }
        }
    };
}

decisions! {
    Confirmed = "confirmed":            order_id _     _     repeat;
    Waiting = "waiting":                order_id _     _     repeat;
    Refused = "refused":                _        _     _     repeat;
    Cancelled = "cancelled":            order_id state _     repeat;
    Expired = "expired":                order_id state _     _;
    Paid = "paid":                      order_id state marks repeat;
    PartPaid = "part_paid":             order_id state _     repeat;
    PaymentFailed = "payment_failed":   order_id _     _     repeat;
    Shipped = "shipped":                order_id state marks repeat;
    Delivered = "delivered":            order_id state marks repeat;
    Returned = "returned":              order_id state marks repeat;
    Reviewed = "reviewed":              order_id state _     repeat;
    Received = "received":              _        _     _     repeat;
    Counted = "counted":                _        _     marks repeat;
    Shortfall = "shortfall":            order_id _     _     _;
    PolicyApplied = "policy_applied":   _        _     _     _;
    DeadLettered = "dead_lettered":     _        _     _     _;
    Adjusted = "adjusted":              _        _     marks repeat;
    Transferred = "transferred":        _        _     _     repeat;
    Amended = "amended":                order_id state _     repeat;
    Extended = "extended":              order_id state _     repeat;
}

impl Decision<'_> {
    /// Whether it is the answer to the record itself, rather than a consequence for another's order.
    #[must_use]
    pub const fn is_answer(&self) -> bool {
        !matches!(
            self,
            Self::Confirmed { released: true, .. } | Self::Expired { .. } | Self::Shortfall { .. }
        )
    }
}

/// Whose command was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
pub enum Subject<'a> {
    /// An order.
    #[serde(rename = "order_id")]
    OrderId(Text<'a>),
    /// A receipt.
    #[serde(rename = "receipt_id")]
    ReceiptId(Text<'a>),
    /// A count.
    #[serde(rename = "count_id")]
    CountId(Text<'a>),
    /// An adjustment.
    #[serde(rename = "adjustment_id")]
    AdjustmentId(Text<'a>),
    /// A transfer.
    #[serde(rename = "transfer_id")]
    TransferId(Text<'a>),
}

impl Subject<'_> {
    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::OrderId(id)
            | Self::ReceiptId(id)
            | Self::CountId(id)
            | Self::AdjustmentId(id)
            | Self::TransferId(id) => id,
        }
    }
}

/// Where a line of an order comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
pub struct SiteLine<'a> {
    /// Which SKU.
    pub sku: Text<'a>,
    /// How many.
    pub quantity: i64,
    /// From which site.
    pub site: Text<'a>,
}

/// What of a SKU was asked for and could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
pub struct Shortage<'a> {
    /// Which SKU.
    pub sku: Text<'a>,
    /// How many were asked for.
    pub requested: i64,
    /// How many could be had, never below 0.
    pub available: i64,
}

/// A difference between the books and a count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
pub struct Adjustment<'a> {
    /// Which SKU.
    pub sku: Text<'a>,
    /// What the books said.
    pub before: i64,
    /// What was counted.
    pub after: i64,
}

/// Says that an outcome repeats an earlier one: the same command came again and changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
pub struct Repeat {
    /// Always `true`, so that readers can tell repeats by one field.
    pub duplicate: True,
    /// The sequence of the record whose outcome this repeats.
    pub first_sequence: u64,
    /// The order's state now; absent where the outcome has a `state` of its own, which says it then: in JSON the two
    /// would be one key.
    #[serde(default, rename = "state", skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// A field that is `true` or absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct True;

impl Serialize for True {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl<'de> Deserialize<'de> for True {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if bool::deserialize(deserializer)? { Ok(Self) } else { Err(de::Error::custom("true or absent")) }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_by_example() {
        let at: Timestamp = "2026-11-22T03:00:00.123Z".parse().unwrap();
        let repeat = Repeat { duplicate: True, first_sequence: 42, state: Some(State::Shipped) };
        let cases = [
            (
                Decision::Confirmed {
                    order_id: "O-1001".into(),
                    pay_by: None,
                    lines: vec![],
                    shortages: vec![],
                    released: false,
                    repeat: None,
                },
                r#"{"outcome":"confirmed","order_id":"O-1001","sequence":44,"index":0,"at":"2026-11-22T03:00:00.123Z"}"#,
            ),
            (
                Decision::Refused {
                    command: CommandKind::Place,
                    subject: Some(Subject::OrderId("O-1002".into())),
                    reason: Reason::InsufficientStock,
                    detail: None,
                    shortages: vec![Shortage { sku: "85123A".into(), requested: 9, available: 3 }],
                    order_state: None,
                    repeat: None,
                },
                r#"{"outcome":"refused","command":"place","order_id":"O-1002","reason":"insufficient_stock","shortages":[{"sku":"85123A","requested":9,"available":3}],"sequence":44,"index":0,"at":"2026-11-22T03:00:00.123Z"}"#,
            ),
            (
                Decision::Confirmed {
                    order_id: "O-1001".into(),
                    pay_by: None,
                    lines: vec![],
                    shortages: vec![],
                    released: false,
                    repeat: Some(repeat),
                },
                r#"{"outcome":"confirmed","order_id":"O-1001","duplicate":true,"first_sequence":42,"state":"shipped","sequence":44,"index":0,"at":"2026-11-22T03:00:00.123Z"}"#,
            ),
        ];
        for (decision, json) in cases {
            let outcome = Outcome { decision, sequence: 44, index: 0, place: 0, at };
            assert_eq!(serde_json::to_string(&outcome).unwrap(), json);
            assert_eq!(serde_json::from_str::<Outcome<'_>>(json).unwrap(), outcome);
        }
    }
}

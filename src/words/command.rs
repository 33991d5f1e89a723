//! Commands: what may be asked of a shard, and the facts it may be told.
//!
//! The same types are the JSON contract (one object, one key, the command's name; unknown fields are refused)
//! and the bincode contract (the order of variants and fields below). Tags are append-only: a variant is never
//! moved, a field is never added to one; what needs more becomes a new variant.
//!
//! Types say what can be written, not what is acceptable: quantities are signed and ids are any text, so that
//! nonsense is refused with the order's id and a reason, by the fold, rather than thrown away.

mod attributes;
mod content;
mod reading;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use super::codes::{Family, codes};
use super::outcome::Subject;
use super::policy::{
    LINES_LIMIT_MAX, PolicyChange, QUANTITY_LIMIT_MAX, SITE_DEFAULT, STOCK_MAX, WINDOW_MS_MAX,
};
use super::text::Text;
use super::timestamp::Timestamp;
pub use content::{Content, UNNAMED_LINES};
use content::{contents, length, named};
pub(super) use reading::{capped, capped_option};
use reading::{is_default, null_is_default};

/// The most elements that any list of a command may hold and still be decoded. The policy's own limit (2,000
/// lines by default) lies below it.
pub const ELEMENTS_MAX: usize = 10_000;

/// The most commands in one message: more are one dead letter together.
pub const COMMANDS_MAX: usize = 16_384;

/// The most `attributes` an order may carry.
pub const ATTRIBUTES_MAX: usize = 16;

/// The most sites that an order may list.
pub const ORDER_SITES_MAX: usize = 8;

/// The one list of all commands, in the order of their tags: its type, its name, whose role it is (none where only a shard's
/// leader sends it), and the rules version that knows it first.
macro_rules! commands {
    ($($(#[$doc:meta])* $Variant:ident($Type:ty) = $name:literal, $family:expr, $rules:literal;)*) => {
        /// One command.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
        pub enum Command<'a> {
            $($(#[$doc])* #[serde(rename = $name)] $Variant($Type),)*
        }

        codes! {
            /// A command's name, without its content.
            #[expect(missing_docs, reason = "each is the name of a variant of `Command`, documented there")]
            CommandKind { $($Variant = $name,)* }
        }

        impl CommandKind {
            /// The role that sends it; none for what only a shard's leader sends.
            #[must_use]
            pub const fn family(self) -> Option<Family> {
                match self {
                    $(Self::$Variant => $family,)*
                }
            }

            /// The first rules version that knows it. Under older ones it is no command.
            #[must_use]
            pub const fn rules(self) -> u32 {
                match self {
                    $(Self::$Variant => $rules,)*
                }
            }
        }

        impl Command<'_> {
            /// Which command it is.
            #[must_use]
            pub const fn kind(&self) -> CommandKind {
                match self {
                    $(Self::$Variant(_) => CommandKind::$Variant,)*
                }
            }

            /// What is to be known of its content.
            #[must_use]
            pub fn content(&self) -> &dyn Content {
                match self {
                    $(Self::$Variant(content) => content,)*
                }
            }
        }
    };
}

commands! {
    /// Ask for stock.
    #[serde(borrow)]
    Place(Place<'a>) = "place", Some(Family::Orders), 1;
    /// Give up what has not been shipped.
    #[serde(borrow)]
    Cancel(Cancel<'a>) = "cancel", Some(Family::Orders), 1;
    /// Say how the service was.
    #[serde(borrow)]
    Review(Review<'a>) = "review", Some(Family::Orders), 1;
    /// The order was paid, or a part of it.
    #[serde(borrow)]
    Pay(Pay<'a>) = "pay", Some(Family::Payments), 1;
    /// An attempt to pay failed.
    #[serde(borrow)]
    PayFailed(PayFailed<'a>) = "pay_failed", Some(Family::Payments), 1;
    /// Goods left the site.
    #[serde(borrow)]
    Ship(Ship<'a>) = "ship", Some(Family::Fulfilment), 1;
    /// Goods reached the customer.
    #[serde(borrow)]
    Deliver(Deliver<'a>) = "deliver", Some(Family::Fulfilment), 1;
    /// Goods came back.
    #[serde(borrow)]
    Return(Return<'a>) = "return", Some(Family::Fulfilment), 1;
    /// Stock arrived at a site.
    #[serde(borrow)]
    Receive(Receive<'a>) = "receive", Some(Family::Stock), 1;
    /// Stock was counted at a site.
    #[serde(borrow)]
    Count(Count<'a>) = "count", Some(Family::Stock), 1;
    /// What the fold is told to do from here on.
    #[serde(borrow)]
    Policy(PolicyChange<'a>) = "policy", Some(Family::Policy), 1;
    /// Nothing but the passing of time. Only a shard's leader sends it.
    Tick(Tick) = "tick", None, 1;
    /// Stock was found damaged, lost or there after all.
    #[serde(borrow)]
    Adjust(Adjust<'a>) = "adjust", Some(Family::Stock), 1;
    /// Move stock from one site to another.
    #[serde(borrow)]
    Transfer(Transfer<'a>) = "transfer", Some(Family::Stock), 1;
    /// Replace an order's lines.
    #[serde(borrow)]
    Amend(Amend<'a>) = "amend", Some(Family::Orders), 1;
    /// Give more time to pay.
    #[serde(borrow)]
    Extend(Extend<'a>) = "extend", Some(Family::Orders), 1;
}

/// A quantity of one SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line<'a> {
    /// The stock-keeping unit.
    #[serde(borrow)]
    pub sku: Text<'a>,
    /// How many, in whole units; from 1 to the policy's limit, and in an `adjust` below 0 too.
    #[schemars(range(min = -QUANTITY_LIMIT_MAX, max = QUANTITY_LIMIT_MAX))]
    pub quantity: i64,
}

/// A line of an order.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct PlaceLine<'a> {
    /// The stock-keeping unit.
    #[serde(borrow)]
    pub sku: Text<'a>,
    /// How many, in whole units; from 1 to the policy's limit.
    #[schemars(range(min = 1, max = QUANTITY_LIMIT_MAX))]
    pub quantity: i64,
    /// What a unit costs, in the currency's minor unit. Nobody decides by it.
    #[schemars(range(min = 0, max = STOCK_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<i64>,
}

impl<'a> From<Line<'a>> for PlaceLine<'a> {
    fn from(Line { sku, quantity }: Line<'a>) -> Self {
        Self { sku, quantity, unit_price: None }
    }
}

/// What was found of one SKU.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct CountLine<'a> {
    /// The stock-keeping unit.
    #[serde(borrow)]
    pub sku: Text<'a>,
    /// How many are there, reserved or not; from 0 to the policy's limit.
    #[schemars(range(min = 0, max = QUANTITY_LIMIT_MAX))]
    pub quantity: i64,
    /// What the counter's books said when he counted: then the difference is applied to the books of now.
    #[schemars(range(min = -QUANTITY_LIMIT_MAX, max = QUANTITY_LIMIT_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<i64>,
}

impl<'a> From<Line<'a>> for CountLine<'a> {
    fn from(Line { sku, quantity }: Line<'a>) -> Self {
        Self { sku, quantity, expected: None }
    }
}

codes! {
    /// What to do with an order that cannot be met in full.
    #[derive(Default)]
    OnShortage {
        /// All lines or none.
        #[default]
        Refuse = "refuse",
        /// What there is, line by line; refused only if there is nothing at all.
        Partial = "partial",
        /// Wait, holding nothing, until all lines can be had at once.
        Backorder = "backorder",
    }
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Money<'a> {
    /// In the currency's minor unit (cents, pence, yen), up to 2^53 - 1.
    #[schemars(range(min = 0, max = STOCK_MAX))]
    pub minor: i64,
    /// ISO 4217 code: three capital letters.
    #[schemars(regex(pattern = "^[A-Z]{3}$"))]
    #[serde(borrow)]
    pub currency: Text<'a>,
}

/// Short strings that nobody decides by; a JSON object on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Attributes<'a>(pub Vec<(Text<'a>, Text<'a>)>);

/// Place an order. Only `order_id` and `lines` are required.
///
/// `site`, `sites`, `lines`, `on_shortage`, `value` and `pay_within_ms` are the deciding fields: the same id with the same
/// deciding fields is the same order, however often it comes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place<'a> {
    /// The shop's id of the order: the key of idempotency.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// Where the stock is taken from; default `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Text<'a>>,
    /// What is ordered; lines that name one SKU are summed.
    #[serde(borrow, deserialize_with = "capped")]
    #[schemars(length(min = 1, max = LINES_LIMIT_MAX))]
    pub lines: Vec<PlaceLine<'a>>,
    /// What to do with a shortage; default `refuse`.
    #[serde(default, skip_serializing_if = "is_default", deserialize_with = "null_is_default")]
    #[schemars(with = "Option<OnShortage>")]
    pub on_shortage: OnShortage,
    /// When the customer submitted it, by the client's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Timestamp>,
    /// Promised to leave by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_by: Option<Timestamp>,
    /// Promised to arrive by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promised_by: Option<Timestamp>,
    /// The carrier it is meant to go with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Text<'a>>,
    /// What it is worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Money<'a>>,
    /// An opaque reference, never personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Text<'a>>,
    /// At most [`ATTRIBUTES_MAX`].
    #[serde(
        borrow,
        default,
        skip_serializing_if = "Attributes::is_empty",
        deserialize_with = "null_is_default"
    )]
    #[schemars(with = "Option<Attributes<'a>>")]
    pub attributes: Attributes<'a>,
    /// How long it may hold its stock unpaid, in milliseconds of log time, in place of the policy's figure; at most the policy's
    /// `hold_ms_max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = WINDOW_MS_MAX))]
    pub pay_within_ms: Option<i64>,
    /// Until when it may wait, in log time; at most the policy's `wait_ms_max` from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_until: Option<Timestamp>,
    /// In place of `site`: the sites that it may come from, the preferred one first; at most [`ORDER_SITES_MAX`].
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "capped_option")]
    #[schemars(length(min = 1, max = ORDER_SITES_MAX))]
    pub sites: Option<Vec<Text<'a>>>,
}

/// Cancel an order or some of its lines: what waits or is reserved, never what has left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// Which lines and how many of each; default all that remain.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "capped_option")]
    #[schemars(length(min = 1, max = LINES_LIMIT_MAX))]
    pub lines: Option<Vec<Line<'a>>>,
    /// Who wants it: `customer`, `shop`, `payment`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Text<'a>>,
    /// Why, as a short code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
    /// The shop's id of the cancellation; with it, a retry is answered as a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_id: Option<Text<'a>>,
    /// What the order is worth without what is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Money<'a>>,
}

/// A customer's review or complaint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Review<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// From 1 (bad) to 5 (good).
    #[schemars(range(min = 1, max = 5))]
    pub score: i64,
    /// What it is about, as a short code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Text<'a>>,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// The shop's id of the review; with it, a retry is answered as a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_id: Option<Text<'a>>,
}

/// The order was paid: in full where no amount is named, else by so much.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pay<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// The payment system's id of the attempt; with it, a retry is answered as a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_id: Option<Text<'a>>,
    /// How much was paid; positive, in the currency of the order's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money<'a>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// An attempt to pay failed. The order stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayFailed<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// The payment system's id of the attempt.
    #[serde(borrow)]
    pub attempt_id: Text<'a>,
    /// Why, as a short code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// Goods left the site: a fact, accepted even where it contradicts the books.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ship<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// With it, a retry of a shipment by lines is answered as a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment_id: Option<Text<'a>>,
    /// Which lines and how many of each; default all that remain.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "capped_option")]
    #[schemars(length(min = 1, max = LINES_LIMIT_MAX))]
    pub lines: Option<Vec<Line<'a>>>,
    /// Who carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Text<'a>>,
    /// When it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// Goods reached the customer: a fact, accepted even where it contradicts the books.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deliver<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// With it, a retry of a delivery by lines is answered as a duplicate. Its own namespace, apart from
    /// a ship's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment_id: Option<Text<'a>>,
    /// Which lines and how many of each; default all that remain.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "capped_option")]
    #[schemars(length(min = 1, max = LINES_LIMIT_MAX))]
    pub lines: Option<Vec<Line<'a>>>,
    /// When it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// A quantity of one SKU that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnLine<'a> {
    /// The stock-keeping unit.
    #[serde(borrow)]
    pub sku: Text<'a>,
    /// How many.
    #[schemars(range(min = 1, max = QUANTITY_LIMIT_MAX))]
    pub quantity: i64,
    /// Whether it goes back on the shelf.
    pub restock: bool,
}

/// Goods came back: a fact, accepted even where it contradicts the books.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Return<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// The shop's id of the return: the key of idempotency.
    #[serde(borrow)]
    pub return_id: Text<'a>,
    /// Which lines, how many of each, restocked or not; default all that remain, by `restock`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "capped_option")]
    #[schemars(length(min = 1, max = LINES_LIMIT_MAX))]
    pub lines: Option<Vec<ReturnLine<'a>>>,
    /// Where no lines are named: whether all of it goes back on the shelf. Default false.
    #[serde(default, skip_serializing_if = "is_default", deserialize_with = "null_is_default")]
    #[schemars(with = "Option<bool>")]
    pub restock: bool,
    /// Why, as a short code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// Stock arrived at a site. Makes a SKU known there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receive<'a> {
    /// The shop's id of the receipt: the key of idempotency.
    #[serde(borrow)]
    pub receipt_id: Text<'a>,
    /// Where; default `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Text<'a>>,
    /// What; lines that name one SKU are summed.
    #[serde(borrow, deserialize_with = "capped")]
    #[schemars(length(min = 1, max = LINES_LIMIT_MAX))]
    pub lines: Vec<Line<'a>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// Stock was counted at a site: what is on hand from now on. Makes a SKU known there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count<'a> {
    /// The shop's id of the count: the key of idempotency.
    #[serde(borrow)]
    pub count_id: Text<'a>,
    /// Where; default `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Text<'a>>,
    /// What is there; each SKU at most once.
    #[serde(borrow, deserialize_with = "capped")]
    #[schemars(length(min = 1, max = LINES_LIMIT_MAX))]
    pub lines: Vec<CountLine<'a>>,
    /// When it was counted. A line without `expected` is not applied if its stock has changed since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// Time passed. Carries nothing, so two do no harm; it counts only as the one command of its message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Tick {}

/// The books of a site were wrong: a fact, by so many units more or less. Makes a SKU known there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adjust<'a> {
    /// The shop's id of the adjustment: the key of idempotency.
    #[serde(borrow)]
    pub adjustment_id: Text<'a>,
    /// Where; default `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Text<'a>>,
    /// How many more or (below 0) less of each SKU; lines that name one SKU are summed.
    #[serde(borrow, deserialize_with = "capped")]
    #[schemars(length(min = 1, max = LINES_LIMIT_MAX))]
    pub lines: Vec<Line<'a>>,
    /// Why, as a short code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// Move stock from one site to another, at once: a request, refused unless every line is available. Makes a SKU known at the
/// site that it goes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer<'a> {
    /// The shop's id of the transfer: the key of idempotency.
    #[serde(borrow)]
    pub transfer_id: Text<'a>,
    /// Where the stock is.
    #[serde(borrow)]
    pub from: Text<'a>,
    /// Where it goes.
    #[serde(borrow)]
    pub to: Text<'a>,
    /// What; lines that name one SKU are summed.
    #[serde(borrow, deserialize_with = "capped")]
    #[schemars(length(min = 1, max = LINES_LIMIT_MAX))]
    pub lines: Vec<Line<'a>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// Replace all lines of an order at once: a request, refused whole where it cannot be met.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Amend<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// The shop's id of the amendment: the key of idempotency.
    #[serde(borrow)]
    pub amendment_id: Text<'a>,
    /// What is ordered from now on, all of it; lines that name one SKU are summed.
    #[serde(borrow, deserialize_with = "capped")]
    #[schemars(length(min = 1, max = LINES_LIMIT_MAX))]
    pub lines: Vec<PlaceLine<'a>>,
    /// What it is worth from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Money<'a>>,
    /// Promised to arrive by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promised_by: Option<Timestamp>,
}

/// Give an order that is held unpaid more time: a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extend<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// The shop's id of the extension: the key of idempotency.
    #[serde(borrow)]
    pub extension_id: Text<'a>,
    /// How long it is held from now on, in milliseconds: from 1 to the policy's `hold_ms_max`.
    #[schemars(range(min = 1, max = WINDOW_MS_MAX))]
    pub pay_within_ms: i64,
}

/// The site that a field names, or means by naming none.
fn at<'a>(site: Option<&'a Text<'_>>) -> &'a str {
    site.map_or(SITE_DEFAULT, |site| site)
}

contents! {
    Place: OrderId(order_id), told order_id,
        // Sites of two shards are no site of one: the shard refuses those that are not its own.
        site |it| match &it.sites {
            Some(sites) if it.site.is_none() => Some(at(sites.first())),
            _ => Some(at(it.site.as_ref())),
        },
        lists |it| it.lines.len().max(it.attributes.0.len()).max(length(it.sites.as_ref())),
        asks |it| it.lines.len().saturating_mul(length(it.sites.as_ref()).max(1));
    Cancel: OrderId(order_id), told cancel_id,
        lists |it| length(it.lines.as_ref()), asks |it| named(it.longest_list());
    Review: OrderId(order_id), told review_id, occurred occurred_at, asks |_| 0;
    Pay: OrderId(order_id), told attempt_id, occurred occurred_at, asks |_| UNNAMED_LINES;
    PayFailed: OrderId(order_id), told attempt_id, occurred occurred_at, asks |_| 0;
    Ship: OrderId(order_id), told shipment_id, occurred occurred_at,
        lists |it| length(it.lines.as_ref()), asks |it| named(it.longest_list());
    Deliver: OrderId(order_id), told shipment_id, occurred occurred_at,
        lists |it| length(it.lines.as_ref()), asks |it| named(it.longest_list());
    Return: OrderId(order_id), told return_id, occurred occurred_at,
        lists |it| length(it.lines.as_ref()), asks |it| named(it.longest_list());
    Receive: ReceiptId(receipt_id), told receipt_id, site |it| Some(at(it.site.as_ref())), occurred occurred_at,
        lists |it| it.lines.len(), asks Content::longest_list;
    Count: CountId(count_id), told count_id, site |it| Some(at(it.site.as_ref())), occurred occurred_at,
        lists |it| it.lines.len(), asks Content::longest_list;
    Adjust: AdjustmentId(adjustment_id), told adjustment_id, site |it| Some(at(it.site.as_ref())), occurred occurred_at,
        lists |it| it.lines.len(), asks Content::longest_list;
    Transfer: TransferId(transfer_id), told transfer_id, site |it| Some(&it.from), occurred occurred_at,
        lists |it| it.lines.len(), asks |it| 2 * it.lines.len();
    Amend: OrderId(order_id), told amendment_id,
        lists |it| it.lines.len(), asks |it| 2 * named(it.lines.len());
    Extend: OrderId(order_id), told extension_id, asks |_| 0;
}

impl Content for PolicyChange<'_> {
    /// It says what holds from then on.
    fn is_idempotent(&self) -> bool {
        true
    }

    fn longest_list(&self) -> usize {
        let own = length(self.safety_stock_of.as_ref()).max(length(self.allowance_of.as_ref()));
        own.max(length(self.sites.as_ref()))
    }

    fn asks(&self) -> usize {
        0
    }

    fn is_alone(&self) -> bool {
        true
    }
}

impl Content for Tick {
    fn asks(&self) -> usize {
        0
    }
}

//! Commands: what may be asked of a shard, and the facts it may be told.
//!
//! The same types are the JSON contract (one object, one key, the command's name; unknown fields are refused)
//! and the bincode contract (the order of variants and fields below). Tags are append-only: a variant is never
//! moved, a field is never added to one; what needs more becomes a new variant.
//!
//! Types say what can be written, not what is acceptable: quantities are signed and ids are any text, so that
//! nonsense is refused with the order's id and a reason, by the fold, rather than thrown away.

use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wincode::{SchemaRead, SchemaWrite};

use super::policy::PolicyChange;
use super::text::Text;
use super::timestamp::Timestamp;

/// The most elements that any list of a command may hold and still be decoded. The policy's own limit (2,000
/// lines by default) lies below it.
pub const ELEMENTS_MAX: usize = 10_000;

/// The most commands in one message: more are one dead letter together.
pub const COMMANDS_MAX: usize = 16_384;

/// The most `attributes` an order may carry.
pub const ATTRIBUTES_MAX: usize = 16;

/// One command. A tick is only sent by a shard's leader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
pub enum Command<'a> {
    /// Ask for stock.
    Place(#[serde(borrow)] Place<'a>),
    /// Give up what has not been shipped.
    Cancel(#[serde(borrow)] Cancel<'a>),
    /// Say how the service was.
    Review(#[serde(borrow)] Review<'a>),
    /// The order was paid.
    Pay(#[serde(borrow)] Pay<'a>),
    /// An attempt to pay failed.
    PayFailed(#[serde(borrow)] PayFailed<'a>),
    /// Goods left the site.
    Ship(#[serde(borrow)] Ship<'a>),
    /// Goods reached the customer.
    Deliver(#[serde(borrow)] Deliver<'a>),
    /// Goods came back.
    Return(#[serde(borrow)] Return<'a>),
    /// Stock arrived at a site.
    Receive(#[serde(borrow)] Receive<'a>),
    /// Stock was counted at a site.
    Count(#[serde(borrow)] Count<'a>),
    /// What the fold is told to do from here on.
    Policy(#[serde(borrow)] PolicyChange<'a>),
    /// Nothing but the passing of time.
    Tick(Tick),
}

/// A command's name, without its content.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the name of a variant of `Command`, documented there")]
pub enum CommandKind {
    Place,
    Cancel,
    Review,
    Pay,
    PayFailed,
    Ship,
    Deliver,
    Return,
    Receive,
    Count,
    Policy,
    Tick,
}

impl CommandKind {
    /// Every kind, in the order of their tags.
    pub const ALL: [Self; 12] = [
        Self::Place,
        Self::Cancel,
        Self::Review,
        Self::Pay,
        Self::PayFailed,
        Self::Ship,
        Self::Deliver,
        Self::Return,
        Self::Receive,
        Self::Count,
        Self::Policy,
        Self::Tick,
    ];

    /// The name as it stands in JSON and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Cancel => "cancel",
            Self::Review => "review",
            Self::Pay => "pay",
            Self::PayFailed => "pay_failed",
            Self::Ship => "ship",
            Self::Deliver => "deliver",
            Self::Return => "return",
            Self::Receive => "receive",
            Self::Count => "count",
            Self::Policy => "policy",
            Self::Tick => "tick",
        }
    }
}

impl Command<'_> {
    /// Which command it is.
    #[must_use]
    pub const fn kind(&self) -> CommandKind {
        match self {
            Self::Place(_) => CommandKind::Place,
            Self::Cancel(_) => CommandKind::Cancel,
            Self::Review(_) => CommandKind::Review,
            Self::Pay(_) => CommandKind::Pay,
            Self::PayFailed(_) => CommandKind::PayFailed,
            Self::Ship(_) => CommandKind::Ship,
            Self::Deliver(_) => CommandKind::Deliver,
            Self::Return(_) => CommandKind::Return,
            Self::Receive(_) => CommandKind::Receive,
            Self::Count(_) => CommandKind::Count,
            Self::Policy(_) => CommandKind::Policy,
            Self::Tick(_) => CommandKind::Tick,
        }
    }

    /// The length of its longest list, to be held against [`ELEMENTS_MAX`].
    #[must_use]
    pub fn longest_list(&self) -> usize {
        const fn length<T>(list: Option<&Vec<T>>) -> usize {
            match list {
                Some(list) => list.len(),
                None => 0,
            }
        }
        match self {
            Self::Place(it) => it.lines.len().max(it.attributes.0.len()),
            Self::Cancel(it) => length(it.lines.as_ref()),
            Self::Ship(it) => length(it.lines.as_ref()),
            Self::Deliver(it) => length(it.lines.as_ref()),
            Self::Return(it) => length(it.lines.as_ref()),
            Self::Receive(it) => it.lines.len(),
            Self::Count(it) => it.lines.len(),
            Self::Policy(it) => length(it.sites.as_ref()).max(length(it.safety_stock_of.as_ref())),
            Self::Review(_) | Self::Pay(_) | Self::PayFailed(_) | Self::Tick(_) => 0,
        }
    }
}

/// A quantity of one SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct Line<'a> {
    /// The stock-keeping unit.
    #[serde(borrow)]
    pub sku: Text<'a>,
    /// How many, in whole units; from 1 (from 0 in a count) to the policy's limit.
    pub quantity: i64,
}

/// What to do with an order that cannot be met in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
pub enum OnShortage {
    /// All lines or none.
    #[default]
    Refuse,
    /// What there is, line by line; refused only if there is nothing at all.
    Partial,
    /// Wait, holding nothing, until all lines can be had at once.
    Backorder,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct Money<'a> {
    /// In the currency's minor unit (cents, pence, yen).
    pub minor: i64,
    /// ISO 4217 code.
    #[serde(borrow)]
    pub currency: Text<'a>,
}

/// Short strings that nobody decides by; a JSON object on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Attributes<'a>(pub Vec<(Text<'a>, Text<'a>)>);

/// Place an order. Only `order_id` and `lines` are required.
///
/// `site`, `lines` and `on_shortage` are the deciding fields: the same id with the same deciding fields is the
/// same order, however often it comes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
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
    pub lines: Vec<Line<'a>>,
    /// What to do with a shortage; default `refuse`.
    #[serde(default, skip_serializing_if = "is_default")]
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
    #[serde(borrow, default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes<'a>,
}

/// Cancel an order or some of its lines: what waits or is reserved, never what has left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct Cancel<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// Which lines and how many of each; default all that remain.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "capped_option")]
    pub lines: Option<Vec<Line<'a>>>,
    /// Who wants it: `customer`, `shop`, `payment`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Text<'a>>,
    /// Why, as a short code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
}

/// A customer's review or complaint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct Review<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// From 1 (bad) to 5 (good).
    pub score: i64,
    /// What it is about, as a short code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Text<'a>>,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// The order was paid in full.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct Pay<'a> {
    /// Which order.
    #[serde(borrow)]
    pub order_id: Text<'a>,
    /// The payment system's id of the attempt; with it, a retry is answered as a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_id: Option<Text<'a>>,
    /// How much was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money<'a>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// An attempt to pay failed. The order stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
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
    pub lines: Option<Vec<Line<'a>>>,
    /// Who carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Text<'a>>,
    /// When it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// Goods reached the customer: a fact, accepted even where it contradicts the books.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
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
    pub lines: Option<Vec<Line<'a>>>,
    /// When it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// A quantity of one SKU that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct ReturnLine<'a> {
    /// The stock-keeping unit.
    #[serde(borrow)]
    pub sku: Text<'a>,
    /// How many.
    pub quantity: i64,
    /// Whether it goes back on the shelf.
    pub restock: bool,
}

/// Goods came back: a fact, accepted even where it contradicts the books.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
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
    pub lines: Option<Vec<ReturnLine<'a>>>,
    /// Where no lines are named: whether all of it goes back on the shelf. Default false.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restock: bool,
    /// Why, as a short code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// Stock arrived at a site. Makes a SKU known there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
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
    pub lines: Vec<Line<'a>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// Stock was counted at a site: what is on hand from now on. Makes a SKU known there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct Count<'a> {
    /// The shop's id of the count: the key of idempotency.
    #[serde(borrow)]
    pub count_id: Text<'a>,
    /// Where; default `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Text<'a>>,
    /// What is there, reserved or not; quantities from 0; each SKU at most once.
    #[serde(borrow, deserialize_with = "capped")]
    pub lines: Vec<Line<'a>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

/// Time passed. Carries nothing, so two do no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct Tick {}

impl Attributes<'_> {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Attributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Attributes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    if entries.len() == ELEMENTS_MAX {
                        return Err(de::Error::custom(format_args!("more than {ELEMENTS_MAX} attributes")));
                    }
                    entries.push((key, value));
                }
                Ok(Attributes(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A list of at most [`ELEMENTS_MAX`] elements: the bound stands before the memory is taken.
pub(super) fn capped<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Elements<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element()? {
                if elements.len() == ELEMENTS_MAX {
                    return Err(de::Error::custom(format_args!("more than {ELEMENTS_MAX} elements")));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }
    deserializer.deserialize_seq(Elements(std::marker::PhantomData))
}

/// As [`capped`], for a list that may be absent. `null` is not absent.
pub(super) fn capped_option<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    capped(deserializer).map(Some)
}

//! Policy: what the fold is told to do. It arrives as commands in the log, never from a worker's configuration,
//! so that two workers configured differently still decide alike.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use super::text::Text;

/// The newest rules version that this binary knows. It also knows the one before, once there is one.
pub const RULES_NEWEST: u32 = 1;

/// The rules version of a log whose policy has not named one.
pub const RULES_FIRST: u32 = 1;

/// The site that an order has when it names none.
pub const SITE_DEFAULT: &str = "main";

/// The highest value of any limit on a quantity, so that sums cannot overflow: the sum of
/// [`super::command::ELEMENTS_MAX`] of them is far below [`STOCK_MAX`].
pub const QUANTITY_LIMIT_MAX: i64 = 1_000_000_000;

/// The highest value of the limit on lines: an outcome that lists that many, each with the longest SKU, stays below the
/// broker's default limit of 1 MiB a message.
pub const LINES_LIMIT_MAX: i64 = 4_000;

/// No stock figure may pass this: 2^53 - 1, the largest whole number that every JSON reader holds exactly.
pub const STOCK_MAX: i64 = (1 << 53) - 1;

/// The most sites that a shard may hold.
pub const SITES_MAX: usize = 1_000;

/// A change of policy: what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange<'a> {
    /// The version of the rules from this record on. A worker that does not know it halts before this record.
    /// Stands first, so that it can be read even where the rest cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<u32>,
    /// The shard's sites, all of them. A site that still has stock or open orders cannot be left out.
    #[serde(
        borrow,
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::command::capped_option"
    )]
    pub sites: Option<Vec<Text<'a>>>,
    /// How long an unpaid confirmed order holds its stock, in milliseconds of log time; 0 for ever. Applies to
    /// orders confirmed from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay_within_ms: Option<i64>,
    /// The most lines a command may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines_max: Option<i64>,
    /// The most units of one SKU a command may name, after summing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity_max: Option<i64>,
    /// The most open orders (waiting or reserved); a place beyond is answered `busy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_orders_max: Option<i64>,
    /// The most settled orders (all shipped, so that they can be delivered and returned).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_orders_max: Option<i64>,
    /// How long a settled order is kept since its last change, in milliseconds of log time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_window_ms: Option<i64>,
    /// The most closed and refused orders that are remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_orders_max: Option<i64>,
    /// How long a closed or refused order is remembered, in milliseconds of log time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_window_ms: Option<i64>,
    /// The most ids that are remembered of each kind: receipts, counts, returns, payments, failed attempts, shipments,
    /// deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts_max: Option<i64>,
    /// How long such an id is remembered, in milliseconds of log time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts_window_ms: Option<i64>,
    /// The most SKUs, summed over the shard's sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skus_max: Option<i64>,
    /// Stock that is never promised, where a SKU has no figure of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_stock: Option<i64>,
    /// Stock that is never promised, SKU by SKU.
    #[serde(
        borrow,
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::command::capped_option"
    )]
    pub safety_stock_of: Option<Vec<SafetyStock<'a>>>,
}

/// Stock of one SKU that is never promised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct SafetyStock<'a> {
    /// Where; default `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Text<'a>>,
    /// Which SKU. It must be known there.
    #[serde(borrow)]
    pub sku: Text<'a>,
    /// How many; absent for the shard's own `safety_stock` again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
}

/// The policy in force, without the sites and the SKUs' own safety stock, which live beside the stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// See [`PolicyChange::rules`].
    pub rules: u32,
    /// See [`PolicyChange::pay_within_ms`].
    pub pay_within_ms: i64,
    /// See [`PolicyChange::lines_max`].
    pub lines_max: i64,
    /// See [`PolicyChange::quantity_max`].
    pub quantity_max: i64,
    /// See [`PolicyChange::open_orders_max`]. About 100 bytes each for two lines, and 8 for each line more (60 more per line
    /// while its order waits, or its lines are not all in one stage).
    pub open_orders_max: i64,
    /// See [`PolicyChange::settled_orders_max`]. As much as open ones.
    pub settled_orders_max: i64,
    /// See [`PolicyChange::settled_window_ms`].
    pub settled_window_ms: i64,
    /// See [`PolicyChange::closed_orders_max`]. About 80 bytes each.
    pub closed_orders_max: i64,
    /// See [`PolicyChange::closed_window_ms`].
    pub closed_window_ms: i64,
    /// See [`PolicyChange::facts_max`]. About 150 bytes each.
    pub facts_max: i64,
    /// See [`PolicyChange::facts_window_ms`].
    pub facts_window_ms: i64,
    /// See [`PolicyChange::skus_max`]. About 150 bytes each.
    pub skus_max: i64,
    /// See [`PolicyChange::safety_stock`].
    pub safety_stock: i64,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl From<&Policy> for PolicyChange<'static> {
    /// The change that sets every field.
    fn from(policy: &Policy) -> Self {
        Self {
            rules: Some(policy.rules),
            sites: None,
            pay_within_ms: Some(policy.pay_within_ms),
            lines_max: Some(policy.lines_max),
            quantity_max: Some(policy.quantity_max),
            open_orders_max: Some(policy.open_orders_max),
            settled_orders_max: Some(policy.settled_orders_max),
            settled_window_ms: Some(policy.settled_window_ms),
            closed_orders_max: Some(policy.closed_orders_max),
            closed_window_ms: Some(policy.closed_window_ms),
            facts_max: Some(policy.facts_max),
            facts_window_ms: Some(policy.facts_window_ms),
            skus_max: Some(policy.skus_max),
            safety_stock: Some(policy.safety_stock),
            safety_stock_of: None,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rules: RULES_FIRST,
            pay_within_ms: 0,
            lines_max: 2_000,
            quantity_max: QUANTITY_LIMIT_MAX,
            open_orders_max: 20_000_000,
            settled_orders_max: 5_000_000,
            settled_window_ms: 30 * DAY_MS,
            closed_orders_max: 10_000_000,
            closed_window_ms: 7 * DAY_MS,
            facts_max: 2_000_000,
            facts_window_ms: 30 * DAY_MS,
            skus_max: 2_000_000,
            safety_stock: 0,
        }
    }
}

//! Policy: what the fold is told to do. It arrives as commands in the log, never from a worker's configuration,
//! so that two workers configured differently still decide alike.

use schemars::JsonSchema;
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

/// The most units that a waiting order may claim, whatever policy says: none may shut a shelf for all.
pub const CLAIM_UNITS_LIMIT_MAX: i64 = 1_000;

/// The most SKUs, whatever policy says: what a change of the shard's own safety stock costs is bounded by it.
pub const SKUS_LIMIT_MAX: i64 = 4_000_000;

/// The longest window, in milliseconds: ten years.
pub const WINDOW_MS_MAX: i64 = 10 * 366 * DAY_MS;

/// No table grows beyond so many entries.
pub const ENTRIES_MAX: i64 = 1 << 29;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A change of one of the policy's figures, and the policy itself: each figure once, with its default and its bounds.
macro_rules! figures {
    ($($(#[$doc:meta])* $figure:ident = $default:expr, $least:expr, $most:expr;)*) => {
        /// A change of policy: what is absent stays as it is.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
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
            $($(#[$doc])*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(range(min = $least, max = $most))]
            pub $figure: Option<i64>,)*
            /// Stock that is never promised, SKU by SKU.
            #[serde(
                borrow,
                default,
                skip_serializing_if = "Option::is_none",
                deserialize_with = "super::command::capped_option"
            )]
            pub safety_stock_of: Option<Vec<OwnFigure<'a>>>,
            /// Units that may be promised beyond what there is, SKU by SKU: `available` may go down to minus them.
            #[serde(
                borrow,
                default,
                skip_serializing_if = "Option::is_none",
                deserialize_with = "super::command::capped_option"
            )]
            pub allowance_of: Option<Vec<OwnFigure<'a>>>,
        }

        /// The policy in force, without the sites and the SKUs' own figures, which live beside the stock.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Policy {
            /// The version of the rules.
            pub rules: u32,
            $($(#[$doc])* pub $figure: i64,)*
        }

        impl Default for Policy {
            fn default() -> Self {
                Self { rules: RULES_FIRST, $($figure: $default,)* }
            }
        }

        impl Policy {
            /// How many figures there are.
            pub const FIGURES: usize = [$(stringify!($figure)),*].len();

            /// The figures, in order.
            #[must_use]
            pub const fn figures(&self) -> [i64; Self::FIGURES] {
                [$(self.$figure),*]
            }

            /// The policy of these rules and figures, in order.
            #[must_use]
            pub const fn of_figures(rules: u32, figures: [i64; Self::FIGURES]) -> Self {
                let [$($figure),*] = figures;
                Self { rules, $($figure,)* }
            }

            /// Takes a change over.
            pub fn change(&mut self, change: &PolicyChange<'_>) {
                self.rules = change.rules.unwrap_or(self.rules);
                $(self.$figure = change.$figure.unwrap_or(self.$figure);)*
            }
        }

        impl From<&Policy> for PolicyChange<'static> {
            /// The change that sets every figure.
            fn from(policy: &Policy) -> Self {
                Self { rules: Some(policy.rules), $($figure: Some(policy.$figure),)* ..Self::default() }
            }
        }

        impl PolicyChange<'_> {
            /// The same without the figures that a policy has already.
            #[must_use]
            pub fn without_figures_of(self, policy: &Policy) -> Self {
                Self { $($figure: self.$figure.filter(|figure| *figure != policy.$figure),)* ..self }
            }

            /// The same, with every figure that `other` names in place of its own.
            #[must_use]
            pub fn with_figures_of(self, other: &PolicyChange<'_>) -> Self {
                Self { $($figure: other.$figure.or(self.$figure),)* ..self }
            }

            /// Every figure that it names, with its name and its bounds.
            pub fn figures(&self) -> impl Iterator<Item = (&'static str, i64, std::ops::RangeInclusive<i64>)> {
                [$((stringify!($figure), self.$figure, $least..=$most)),*]
                    .into_iter()
                    .filter_map(|(name, value, bounds)| Some((name, value?, bounds)))
            }
        }
    };
}

figures! {
    /// How long an unpaid confirmed order holds its stock, in milliseconds of log time, where it does not say so itself; 0 for
    /// ever. Applies to orders confirmed from here on.
    pay_within_ms = 0, 0, WINDOW_MS_MAX;
    /// The longest hold that an order may ask for, in milliseconds.
    hold_ms_max = WINDOW_MS_MAX, 1, WINDOW_MS_MAX;
    /// How long an order may wait for stock, in milliseconds of log time, where it does not say so itself; 0 for ever. Applies to
    /// orders placed from here on.
    wait_within_ms = 0, 0, WINDOW_MS_MAX;
    /// The longest wait that an order may ask for, in milliseconds.
    wait_ms_max = WINDOW_MS_MAX, 1, WINDOW_MS_MAX;
    /// The most lines a command may have.
    lines_max = 2_000, 1, LINES_LIMIT_MAX;
    /// The most units of one SKU a command may name, after summing.
    quantity_max = QUANTITY_LIMIT_MAX, 1, QUANTITY_LIMIT_MAX;
    /// The most open orders (waiting or reserved); a place beyond is answered `busy`.
    open_orders_max = 20_000_000, 1, ENTRIES_MAX;
    /// The most lines of open orders; a place or an amendment beyond is answered `busy`.
    open_lines_max = 60_000_000, 1, ENTRIES_MAX;
    /// The most units that a waiting order claims; one that wants more claims none. Applies to orders parked from here on.
    claim_units_max = 100, 0, CLAIM_UNITS_LIMIT_MAX;
    /// The most waiting orders; one beyond is refused `waiting_full`.
    waiting_orders_max = 2_000_000, 0, ENTRIES_MAX;
    /// The most units of one SKU at one site that orders wait for; beyond it is `waiting_full`.
    waiting_units_max = 10_000_000, 0, STOCK_MAX;
    /// The most settled orders (all shipped, so that they can be delivered and returned).
    settled_orders_max = 5_000_000, 0, ENTRIES_MAX;
    /// How long a settled order is kept since its last change, in milliseconds of log time.
    settled_window_ms = 30 * DAY_MS, 0, WINDOW_MS_MAX;
    /// The most closed orders that are remembered.
    closed_orders_max = 10_000_000, 0, ENTRIES_MAX;
    /// How long a closed order is remembered, in milliseconds of log time.
    closed_window_ms = 7 * DAY_MS, 0, WINDOW_MS_MAX;
    /// The most refused orders that are remembered.
    refused_orders_max = 5_000_000, 0, ENTRIES_MAX;
    /// How long a refused order is remembered, in milliseconds of log time.
    refused_window_ms = DAY_MS, 0, WINDOW_MS_MAX;
    /// The most ids that are remembered of each kind that belongs to no order: receipts, counts, adjustments, transfers.
    facts_max = 2_000_000, 0, ENTRIES_MAX;
    /// How long such an id is remembered, in milliseconds of log time.
    facts_window_ms = 30 * DAY_MS, 0, WINDOW_MS_MAX;
    /// The most ids of payments, shipments, returns and the like that are kept with their orders, all together; a command with
    /// one more is answered `busy`.
    order_facts_max = 60_000_000, 0, ENTRIES_MAX;
    /// The most SKUs, summed over the shard's sites.
    skus_max = 2_000_000, 1, SKUS_LIMIT_MAX;
    /// How long a SKU is known that has no stock and that nothing names, in milliseconds of log time; 0 for ever.
    skus_window_ms = 0, 0, WINDOW_MS_MAX;
    /// Stock that is never promised, where a SKU has no figure of its own.
    safety_stock = 0, 0, QUANTITY_LIMIT_MAX;
}

/// A figure of one SKU's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaRead, SchemaWrite, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnFigure<'a> {
    /// Where; default `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Text<'a>>,
    /// Which SKU. It must be known there.
    #[serde(borrow)]
    pub sku: Text<'a>,
    /// How many; absent for none of its own again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
}

//! The codes that outcomes speak in: states, marks, reasons. Stable: each is written in JSON, in metrics and in the docs
//! as it stands here, and tags are append-only.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// An order's state: that of its least advanced part.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for stock and holds none.
    Waiting,
    /// Has its stock, not paid.
    Confirmed,
    /// Has its stock, paid.
    Paid,
    /// On its way.
    Shipped,
    /// Arrived.
    Delivered,
    /// Came back.
    Returned,
    /// Cancelled before it left.
    Cancelled,
    /// Not paid in time.
    Expired,
    /// Never accepted.
    Refused,
}

impl State {
    /// Every state, in the order of their tags.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Confirmed,
        Self::Paid,
        Self::Shipped,
        Self::Delivered,
        Self::Returned,
        Self::Cancelled,
        Self::Expired,
        Self::Refused,
    ];

    /// The name as it stands in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Confirmed => "confirmed",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }
}

/// How an accepted fact contradicts the books.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It had not been shipped: taken as shipped now.
    WasNotShipped,
    /// It had been cancelled or had expired.
    WasCancelled,
    /// It was still waiting for stock.
    WasWaiting,
    /// Its delivery or return was known before its shipping.
    OutOfOrder,
    /// More has left the site than was on hand by the books.
    BelowZero,
}

/// Why a command was refused: stable codes. Tags are append-only.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Some line cannot be met from available stock.
    InsufficientStock,
    /// Some SKU was never received or counted at the site.
    UnknownSku,
    /// The shard's policy does not list the site.
    UnknownSite,
    /// There is no such order, or it is no longer remembered.
    UnknownOrder,
    /// The same id came before with other content.
    IdConflict,
    /// Submitted before the time from which decisions are remembered: it may have been decided already.
    TooOld,
    /// The shard is at its cap of open orders (or of SKUs, for stock); try again later.
    Busy,
    /// An id is empty, longer than 64 bytes, or has control characters.
    InvalidId,
    /// A quantity is not between 1 (0 in a count) and the policy's limit.
    InvalidQuantity,
    /// A time is not between 1970 and 9998.
    InvalidTime,
    /// Another value is out of its bounds; `detail` says which.
    InvalidValue,
    /// There is no line.
    NoLines,
    /// There are more lines than policy allows.
    TooManyLines,
    /// A count names one SKU twice. Elsewhere, lines that name one SKU are summed.
    DuplicateSku,
    /// The order has no line of that SKU.
    NotInOrder,
    /// More is named than remains.
    ExceedsRemaining,
    /// Nothing remains that the command could act on.
    NothingRemains,
    /// What was to be cancelled has left the site.
    AlreadyShipped,
    /// It was cancelled.
    AlreadyCancelled,
    /// It was paid.
    AlreadyPaid,
    /// Its hold expired.
    OrderExpired,
    /// It was refused when it was placed.
    OrderRefused,
    /// It is closed and its lines are no longer kept.
    OrderClosed,
    /// A stock figure would pass 2^53 - 1.
    StockLimit,
    /// A site that is to go still has stock or open orders.
    SiteInUse,
    /// A policy must be the only command of its message.
    NotAlone,
}

impl Reason {
    /// Every reason, in the order of their tags.
    pub const ALL: [Self; 26] = [
        Self::InsufficientStock,
        Self::UnknownSku,
        Self::UnknownSite,
        Self::UnknownOrder,
        Self::IdConflict,
        Self::TooOld,
        Self::Busy,
        Self::InvalidId,
        Self::InvalidQuantity,
        Self::InvalidTime,
        Self::InvalidValue,
        Self::NoLines,
        Self::TooManyLines,
        Self::DuplicateSku,
        Self::NotInOrder,
        Self::ExceedsRemaining,
        Self::NothingRemains,
        Self::AlreadyShipped,
        Self::AlreadyCancelled,
        Self::AlreadyPaid,
        Self::OrderExpired,
        Self::OrderRefused,
        Self::OrderClosed,
        Self::StockLimit,
        Self::SiteInUse,
        Self::NotAlone,
    ];

    /// The code as it stands in JSON and in metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::InsufficientStock => "insufficient_stock",
            Self::UnknownSku => "unknown_sku",
            Self::UnknownSite => "unknown_site",
            Self::UnknownOrder => "unknown_order",
            Self::IdConflict => "id_conflict",
            Self::TooOld => "too_old",
            Self::Busy => "busy",
            Self::InvalidId => "invalid_id",
            Self::InvalidQuantity => "invalid_quantity",
            Self::InvalidTime => "invalid_time",
            Self::InvalidValue => "invalid_value",
            Self::NoLines => "no_lines",
            Self::TooManyLines => "too_many_lines",
            Self::DuplicateSku => "duplicate_sku",
            Self::NotInOrder => "not_in_order",
            Self::ExceedsRemaining => "exceeds_remaining",
            Self::NothingRemains => "nothing_remains",
            Self::AlreadyShipped => "already_shipped",
            Self::AlreadyCancelled => "already_cancelled",
            Self::AlreadyPaid => "already_paid",
            Self::OrderExpired => "order_expired",
            Self::OrderRefused => "order_refused",
            Self::OrderClosed => "order_closed",
            Self::StockLimit => "stock_limit",
            Self::SiteInUse => "site_in_use",
            Self::NotAlone => "not_alone",
        }
    }
}

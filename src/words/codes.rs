//! The codes that Weir speaks in: families, commands, states, marks, reasons. Stable: each is written in JSON, in
//! metrics and in the docs as it stands here, and tags are append-only.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// A closed list of codes: an enum, its names, and all of it in the order of its tags.
macro_rules! codes {
    ($(#[$about:meta])* $Name:ident { $($(#[$doc:meta])* $Variant:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, SchemaRead, SchemaWrite,
            schemars::JsonSchema,
        )]
        pub enum $Name {
            $($(#[$doc])* #[serde(rename = $name)] $Variant,)*
        }

        impl $Name {
            /// Every one, in the order of their tags.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$Variant),*];

            /// The name as it stands in JSON and in metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)*
                }
            }
        }
    };
}
pub(super) use codes;

codes! {
    /// What kind of role sends a command: each has a subject of its own beside the shard's.
    Family {
        /// Checkouts and customer care: place, cancel, amend, extend, review.
        Orders = "orders",
        /// The payment system: pay, `pay_failed`.
        Payments = "payments",
        /// Warehouses and carriers: ship, deliver, return.
        Fulfilment = "fulfilment",
        /// Stock keeping: receive, count, adjust, transfer.
        Stock = "stock",
        /// Operators: policy.
        Policy = "policy",
    }
}

codes! {
    /// An order's state: that of its least advanced part.
    State {
        /// Waits for stock and holds none.
        Waiting = "waiting",
        /// Has its stock, not paid.
        Confirmed = "confirmed",
        /// Has its stock, paid.
        Paid = "paid",
        /// On its way.
        Shipped = "shipped",
        /// Arrived.
        Delivered = "delivered",
        /// Came back.
        Returned = "returned",
        /// Cancelled before it left.
        Cancelled = "cancelled",
        /// Not paid in time, or waited too long.
        Expired = "expired",
        /// Never accepted.
        Refused = "refused",
    }
}

codes! {
    /// How an accepted command contradicts the books, or what else is special about it.
    Mark {
        /// It had not been shipped: taken as shipped now.
        WasNotShipped = "was_not_shipped",
        /// It had been cancelled or had expired.
        WasCancelled = "was_cancelled",
        /// It was still waiting for stock.
        WasWaiting = "was_waiting",
        /// Its delivery or return was known before its shipping.
        OutOfOrder = "out_of_order",
        /// More has left the site than was on hand by the books.
        BelowZero = "below_zero",
        /// Its hold had expired, and its stock was still free: it is reserved again.
        ReservedAgain = "reserved_again",
        /// A count is older than the last change of what it counted: that line was not applied.
        Stale = "stale",
    }
}

codes! {
    /// Why a command was refused: stable codes.
    Reason {
        /// Some line cannot be met from available stock.
        InsufficientStock = "insufficient_stock",
        /// Some SKU was never received, counted, adjusted or transferred to the site.
        UnknownSku = "unknown_sku",
        /// The shard's policy does not list the site.
        UnknownSite = "unknown_site",
        /// There is no such order, or it is no longer remembered.
        UnknownOrder = "unknown_order",
        /// The same id came before with other content.
        IdConflict = "id_conflict",
        /// Submitted before the time from which decisions are remembered: it may have been decided already.
        TooOld = "too_old",
        /// The shard is at a cap, or work that may free stock is still to be done; try again later.
        Busy = "busy",
        /// An id is empty, longer than 64 bytes, or has control characters.
        InvalidId = "invalid_id",
        /// A quantity is not between 1 (0 in a count) and the policy's limit.
        InvalidQuantity = "invalid_quantity",
        /// A time is not between 1970 and 9998, or an order was submitted in the future.
        InvalidTime = "invalid_time",
        /// Another value is out of its bounds; `detail` says which.
        InvalidValue = "invalid_value",
        /// There is no line.
        NoLines = "no_lines",
        /// There are more lines than policy allows.
        TooManyLines = "too_many_lines",
        /// A count names one SKU twice. Elsewhere, lines that name one SKU are summed.
        DuplicateSku = "duplicate_sku",
        /// The order has no line of that SKU.
        NotInOrder = "not_in_order",
        /// More is named than remains.
        ExceedsRemaining = "exceeds_remaining",
        /// Nothing remains that the command could act on.
        NothingRemains = "nothing_remains",
        /// What was to be cancelled or amended has left the site.
        AlreadyShipped = "already_shipped",
        /// It was cancelled.
        AlreadyCancelled = "already_cancelled",
        /// It was paid.
        AlreadyPaid = "already_paid",
        /// Its hold expired, or it waited too long.
        OrderExpired = "order_expired",
        /// It was refused when it was placed.
        OrderRefused = "order_refused",
        /// It is closed and its lines are no longer kept.
        OrderClosed = "order_closed",
        /// A stock figure would pass 2^53 - 1.
        StockLimit = "stock_limit",
        /// A site that is to go still has stock or open orders.
        SiteInUse = "site_in_use",
        /// A policy must be the only command of its message.
        NotAlone = "not_alone",
        /// More orders wait, or for more units of a SKU, than policy allows.
        WaitingFull = "waiting_full",
        /// The message asks for more work than one may; send the command in a smaller one.
        MessageTooLarge = "message_too_large",
        /// It came by a subject of another family.
        WrongFamily = "wrong_family",
        /// The order has as many ids of payments, shipments, returns and the like as are kept for one.
        TooManyFacts = "too_many_facts",
    }
}

codes! {
    /// Why bytes were no command. What a decoder says of them beside that goes with the dead letter, never into an outcome: the
    /// next binary's decoder may say it otherwise.
    Unreadable {
        /// One element cannot be read as a command that the rules in force know.
        NotACommand = "not_a_command",
        /// The message's `Content-Type` is not one that Weir knows.
        UnknownContentType = "unknown_content_type",
        /// The payload cannot be cut into elements.
        MalformedPayload = "malformed_payload",
        /// There is no element.
        EmptyPayload = "empty_payload",
        /// There are more elements than a message may hold.
        TooManyCommands = "too_many_commands",
        /// The payload is longer than a message may be.
        PayloadTooLarge = "payload_too_large",
    }
}

impl Reason {
    /// The code as it stands in JSON and in metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.name()
    }
}

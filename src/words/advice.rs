//! The catalogue of codes: what each means, and what whoever hears it should do. The one table that the contract page, the catalogue and
//! clients go by; the compiler sees to it that no code is missing.

use std::fmt::Write as _;

use super::codes::{Reason, Unreadable};
use super::reply::{DoorReason, ReplyKind};

/// How long a client should wait for an answer before it sends the same again, in milliseconds. A healthy shard decides within a few
/// hundred; a takeover after a worker died takes the lease time and a little more (about 4 s by default).
pub const CLIENT_TIMEOUT_MS: u32 = 5_000;

/// The pause before the first retry, in milliseconds, where the answer names none; it is doubled each time.
pub const RETRY_FIRST_MS: u32 = 100;

/// The longest pause between two retries, in milliseconds.
pub const RETRY_PAUSE_MS_MAX: u32 = 5_000;

/// How long a client should go on with retries while a person waits, in milliseconds. What has nobody waiting for it goes on until it has
/// an answer.
pub const GIVE_UP_MS: u32 = 30_000;

/// Whether what was refused is worth being sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No: it would be refused again.
    Never,
    /// As it is, after a pause.
    Later,
    /// Once something has changed: what, in a few words.
    When(&'static str),
    /// Changed: how, in a few words.
    Changed(&'static str),
}

impl Retry {
    /// What the contract page says.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Never => "no",
            Self::Later => "later",
            Self::When(words) | Self::Changed(words) => words,
        }
    }

    /// Whether the same bytes may succeed when they are sent again.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Later | Self::When(_))
    }

    /// How long a client should go on sending the same again while a person waits, in milliseconds; 0 for not at all.
    #[must_use]
    pub const fn give_up_ms(self) -> u32 {
        match self {
            Self::Later => GIVE_UP_MS,
            Self::Never | Self::When(_) | Self::Changed(_) => 0,
        }
    }
}

/// What is known of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it means, in Markdown.
    pub meaning: &'static str,
    /// Whether to send it again.
    pub retry: Retry,
}

macro_rules! advice {
    ($Name:ident { $($Variant:ident: $retry:expr, $meaning:literal;)* }) => {
        impl $Name {
            /// What it means, and what to do.
            #[must_use]
            pub const fn advice(self) -> Advice {
                match self {
                    $(Self::$Variant => Advice { meaning: $meaning, retry: $retry },)*
                }
            }
        }
    };
}

use Retry::{Changed, Later, Never, When};

advice! { Reason {
    InsufficientStock: Never, "some line cannot be met; `shortages` tells which";
    UnknownSku: Never, "some SKU is not known at the site";
    UnknownSite: When("when policy or routing is mended"), "the shard does not hold the site";
    UnknownOrder: Never, "there is no such order, or it is no longer remembered";
    IdConflict: Never, "the id came before with other content";
    TooOld: Never, "submitted before what is remembered; may have been decided";
    Busy: Later, "the shard is at a cap (open orders, their lines, SKUs, ids); or an order is short only because ended holds are still to be worked off";
    InvalidId: Never, "an id is empty, longer than 64 bytes or has control characters";
    InvalidQuantity: Never, "a quantity is out of its bounds";
    InvalidTime: Never, "a time is not between 1970 and 9998, or submitted in the future";
    InvalidValue: Never, "another value is out of its bounds; `detail` says which";
    NoLines: Never, "there is no line";
    TooManyLines: Never, "more lines than policy allows";
    DuplicateSku: Never, "a count names one SKU twice";
    NotInOrder: Never, "the order has no line of that SKU";
    ExceedsRemaining: Never, "more is named than remains";
    NothingRemains: Never, "nothing remains that the command could act on";
    AlreadyShipped: Never, "what was to be cancelled or amended has left the site";
    AlreadyCancelled: Never, "the order was cancelled";
    AlreadyPaid: Never, "the order was paid";
    OrderExpired: Never, "its hold expired, or it waited too long";
    OrderRefused: Never, "it was refused when it was placed";
    OrderClosed: Never, "it is closed; its lines are no longer kept";
    StockLimit: Never, "a stock figure would pass 2^53 - 1";
    SiteInUse: When("when it is empty"), "a site that is to go still has stock or open orders; `detail` names it";
    NotAlone: Changed("alone"), "a policy must be the only command of its message";
    WaitingFull: Later, "too many orders wait, or for too many units of a SKU";
    MessageTooLarge: Changed("in a smaller message"), "the message asks for more work than one may";
    WrongFamily: Changed("by the right subject"), "it came by a subject of another family";
    TooManyFacts: Never, "the order has as many ids of its facts as are kept";
} }

advice! { Unreadable {
    NotACommand: Never, "the element is no command that the rules in force know";
    UnknownContentType: Never, "the `Content-Type` is not one of the two";
    MalformedPayload: Never, "the payload cannot be cut into elements; those of a frame before the damage were decided";
    EmptyPayload: Never, "there is no element";
    TooManyCommands: Changed("in smaller messages"), "there are more than 16,384";
    PayloadTooLarge: Changed("in smaller messages"), "the payload is longer than 4 MiB";
} }

advice! { DoorReason {
    WrongFamily: Changed("by the right subject"), "it is of another family than the subject that it came by";
    UnknownSite: When("when routing is mended"), "no shard holds its site";
    NoShard: Changed("with the header `Weir-Shard`"), "it names no site, there are several shards, and it is not said for which one it is";
    UnknownRules: When("when every worker knows them"), "a policy for rules that this version does not know: it would halt the shard";
    UnreadableHeaders: Never, "the headers cannot be read, or are too long";
    NotACommand: Never, "the element is no command that the rules in force know";
    UnknownContentType: Never, "the `Content-Type` is not one of the two";
    MalformedPayload: Never, "the payload cannot be cut into elements";
    EmptyPayload: Never, "there is no element";
    TooManyCommands: Changed("in smaller requests"), "there are more elements than a request may hold";
    PayloadTooLarge: Changed("in smaller requests"), "the payload, or one command, is longer than a message may be";
} }

advice! { ReplyKind {
    Decided: Never, "the outcome: what the shard decided";
    Refused: Never, "the door refused it and stored nothing; `reason` has a code";
    Accepted: Later, "it is stored and will be decided, but was not in time; the same again, under the same id, hears the outcome";
    Unknown: Later, "the log did not acknowledge it: it may be stored, or not; the same again, under the same id, is safe";
    Busy: Later, "it was not stored: there is too much to do; after `retry_after_ms`";
    Unavailable: Later, "it was not stored: the log cannot be reached, nobody decides for the shard, or the door is closing; after `retry_after_ms`";
} }

/// The catalogue as a page.
#[must_use]
pub fn page() -> String {
    let mut page = format!(
        "# Codes\n\n\
         Made by `weir schema errors` from the table that the program itself goes by (`src/words/advice.rs`). What the codes mean in full is on \
         [the contract page](contract.md).\n\n\
         *Same again*: whether the same bytes may be accepted when they are sent again. *For how long*: how long a client should go on while a \
         person waits, with {RETRY_FIRST_MS} ms before the first retry (or the answer's `retry_after_ms`), doubled each time up to \
         {RETRY_PAUSE_MS_MAX} ms. Wait {CLIENT_TIMEOUT_MS} ms for an answer before taking it for lost. What was lost is sent again under the \
         same id: that is always safe.\n\n\
         ## Refusals\n\n"
    );
    table(&mut page, Reason::ALL.map(|code| (code.name(), code.advice())));
    page.push_str(
        "\n## A door's answers\n\nThe `outcome` of what the door says by itself; anything else that it answers is an outcome of the shard. \
         NATS's own *no responders* says that no door is open: nothing was stored.\n\n",
    );
    let own = ReplyKind::ALL.into_iter().filter(|kind| *kind != ReplyKind::Decided);
    table(&mut page, own.map(|code| (code.name(), code.advice())));
    page.push_str(
        "\n## A door's refusals\n\nBy the `reason` of an answer that is `refused` and has no `sequence`.\n\n",
    );
    table(&mut page, DoorReason::ALL.map(|code| (code.name(), code.advice())));
    page.push_str("\n## Dead letters\n\n");
    table(&mut page, Unreadable::ALL.map(|code| (code.name(), code.advice())));
    page
}

fn table(page: &mut String, rows: impl IntoIterator<Item = (&'static str, Advice)>) {
    page.push_str("| code | meaning | same again | for how long |\n|---|---|---|---|\n");
    for (code, Advice { meaning, retry }) in rows {
        let again = match retry {
            Retry::Never | Retry::Later => retry.words().to_owned(),
            Retry::When(words) => words.to_owned(),
            Retry::Changed(words) => format!("no; {words}"),
        };
        let how_long = match retry.give_up_ms() {
            0 => "-".to_owned(),
            millis => format!("{} s", millis / 1000),
        };
        // Writing to a string does not fail.
        let _ = writeln!(page, "| `{code}` | {meaning} | {again} | {how_long} |");
    }
}

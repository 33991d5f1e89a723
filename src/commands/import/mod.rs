//! Import: files of past orders turned into the commands that would have made them.
//!
//! A reader goes in, a [`Plan`] comes out: every command in the order in which it is to be sent, and counts of all
//! that was read, made and left out. Pure: no broker, no clock, and the same file gives the same plan.
//!
//! Deliberately absent: sending, and time. The commands carry no `submitted_at` or `occurred_at` of the past unless
//! the file is Weir's own ([`mod@plain`]) and names one; what is imported is the history, not its pace.
//!
//! Memory is proportional to the file: the plan is held whole, since commands are put in order of time.

mod counts;
pub mod online_retail;
pub mod plain;
mod source;
pub(in crate::commands) mod table;

pub use counts::{Counts, Unmatched};
pub use online_retail::online_retail;
pub use plain::plain;
pub use source::open;
pub use table::{FIELD_BYTES_MAX, RECORD_BYTES_MAX};

use std::io::{self, Read};

use crate::words::command::{Command, OnShortage};

/// The formats that can be imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Weir's own CSV of orders: [`mod@plain`].
    #[default]
    Weir,
    /// The rows of the "Online Retail" data set: [`mod@online_retail`].
    OnlineRetail,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Weir, Self::OnlineRetail];

    /// The name as it is given on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::OnlineRetail => "online-retail",
        }
    }

    /// Reads `read` in this format.
    pub fn plan(self, read: impl Read, options: &Options) -> Result<Plan, ImportError> {
        match self {
            Self::Weir => plain(read, options),
            Self::OnlineRetail => online_retail(read, options),
        }
    }
}

/// What an import may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How much of each SKU's demand is received before the first order, in thousandths. Only `online-retail`.
    pub stock_share_permille: u32,
    /// How long after its placing an order is paid, in seconds. Only `online-retail`.
    pub pay_after_s: i64,
    /// How long after its placing an order is shipped, in seconds. Only `online-retail`.
    pub ship_after_s: i64,
    /// What orders do at a shortage; in the format `weir`, those that do not say.
    pub on_shortage: OnShortage,
    /// The site of receipts and orders; in the format `weir`, of those that name none. Absent for the shard's default.
    pub site: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stock_share_permille: 900,
            pay_after_s: 600,
            ship_after_s: 86_400,
            on_shortage: OnShortage::Refuse,
            site: None,
        }
    }
}

/// What an import comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The commands, in the order in which they are to be sent.
    pub commands: Vec<Command<'static>>,
    /// What was read, made and left out.
    pub counts: Counts,
}

/// Why a file cannot be imported. Lines count from 1, the header included. Every text is short, whatever the file
/// holds.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// Which file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// Reading failed part of the way: also what a damaged or cut `.gz` gives.
    #[error("line {line}: cannot read on: {source}")]
    Read {
        /// The line that was not read.
        line: u64,
        /// Why not.
        source: io::Error,
    },
    /// The header lacks a column.
    #[error("line 1: the header has no column `{0}`")]
    MissingColumn(&'static str),
    /// The header holds a column twice, or one that the format does not know.
    #[error("line 1: column {column}: {problem}")]
    BadColumn {
        /// The column as the header has it, quoted and cut.
        column: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A line has more or fewer fields than the header.
    #[error("line {line}: {found} fields where the header has {expected}")]
    FieldCount {
        /// Which line.
        line: u64,
        /// How many it has.
        found: u64,
        /// How many it should have.
        expected: u64,
    },
    /// A record goes on and on: as a rule a quote that is never closed.
    #[error("line {line}: a record longer than {RECORD_BYTES_MAX} bytes; is a quote left open?")]
    RecordTooLong {
        /// The line on which it starts.
        line: u64,
    },
    /// A field holds what it may not.
    #[error("line {line}: {column}: {problem}: {found}")]
    Field {
        /// Which line.
        line: u64,
        /// Which column.
        column: &'static str,
        /// What is wrong with it.
        problem: &'static str,
        /// What stands there, quoted and cut.
        found: String,
    },
}

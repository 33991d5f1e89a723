//! Import: files of past orders turned into the commands that would have made them.
//!
//! A reader goes in, a [`Plan`] comes out: every command in the order in which it is to be sent, and counts of what was read.
//! Pure: no broker, no clock, and the same file gives the same plan.
//!
//! Deliberately absent: sending, and the pace of the past. Any history that can be written as commands comes in as they are,
//! one JSON object a line; `examples/online_retail` writes one.
//!
//! Memory is proportional to the file: the plan is held whole.

pub mod plain;
mod source;
pub(in crate::commands) mod table;

pub use plain::plain;
pub use source::open;
pub use table::{FIELD_BYTES_MAX, RECORD_BYTES_MAX};

use std::fmt;
use std::io;

use crate::words::command::{Command, OnShortage};

/// What an import may be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What orders do at a shortage that do not say.
    pub on_shortage: OnShortage,
    /// The site of those that name none. Absent for the shard's default.
    pub site: Option<String>,
}

/// What an import comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan<'t> {
    /// The commands, in the order in which they are to be sent.
    pub commands: Vec<Command<'t>>,
    /// What was read and made.
    pub counts: Counts,
}

/// What an import read and made, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows after the header, or commands.
    pub rows: u64,
    /// Orders placed.
    pub orders: u64,
    /// Their lines.
    pub order_lines: u64,
    /// Their units.
    pub order_units: u64,
}

impl Counts {
    /// Counts commands, of so many rows.
    #[must_use]
    pub fn of(commands: &[Command<'_>], rows: u64) -> Self {
        let mut counts = Self { rows, ..Self::default() };
        for command in commands {
            if let Command::Place(place) = command {
                counts.orders += 1;
                counts.order_lines += place.lines.len() as u64;
                counts.order_units +=
                    place.lines.iter().map(|line| line.quantity.unsigned_abs()).sum::<u64>();
            }
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, orders, order_lines, order_units } = self;
        write!(f, "{rows} read: {orders} orders with {order_lines} lines, {order_units} units")
    }
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

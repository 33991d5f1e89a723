//! What an audit finds: counts of what is wrong, and the first few instances.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many instances of what is wrong are told.
const INSTANCES_MAX: usize = 5;

/// What an audit has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    /// Orders that were sent and not decided.
    pub(crate) lost: u64,
    /// Decisions beyond an order's first.
    pub(crate) duplicated: u64,
    /// Of Weir: orders confirmed beyond the stock. Of the others: units.
    pub(crate) oversold: u64,
    /// Whatever else must not be.
    pub(crate) unexplained: u64,
    /// The first few.
    pub(crate) instances: Vec<String>,
    /// Commands or orders that were looked at.
    pub(crate) records: u64,
    pub(crate) confirmed: u64,
    /// Refused orders, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Outcomes of other commands.
    pub(crate) others: BTreeMap<String, u64>,
}

/// What may be wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrong {
    Lost,
    Duplicated,
    Oversold,
    Unexplained,
}

impl Findings {
    /// Whether all is as it must be.
    pub(crate) const fn are_good(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.oversold == 0 && self.unexplained == 0
    }

    pub(crate) fn add(&mut self, wrong: Wrong, count: u64, instance: impl FnOnce() -> String) {
        let (counter, name) = match wrong {
            Wrong::Lost => (&mut self.lost, "lost"),
            Wrong::Duplicated => (&mut self.duplicated, "duplicated"),
            Wrong::Oversold => (&mut self.oversold, "oversold"),
            Wrong::Unexplained => (&mut self.unexplained, "unexplained"),
        };
        *counter += count;
        if count > 0 && self.instances.len() < INSTANCES_MAX {
            self.instances.push(format!("{name}: {}", instance()));
        }
    }

    /// How many orders were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let Self { lost, duplicated, oversold, unexplained, .. } = self;
        let first = self.instances.first().map_or_else(String::new, |first| format!(": {first}"));
        format!("lost {lost}, duplicated {duplicated}, oversold {oversold}, unexplained {unexplained}{first}")
    }
}

/// A set of order numbers.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Vec<u64>);

impl Numbers {
    /// Adds one, and says whether it is new.
    pub(crate) fn add(&mut self, number: u64) -> bool {
        let (word, bit) = (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    pub(crate) fn has(&self, number: u64) -> bool {
        usize::try_from(number / 64).ok().and_then(|word| self.0.get(word)).unwrap_or(&0) >> (number % 64) & 1
            == 1
    }
}

//! What an audit finds: counts of what is wrong, and the first few instances.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many instances of what is wrong are told.
const INSTANCES_MAX: usize = 5;

/// What an audit has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commands::bench) struct Findings {
    pub(in crate::commands::bench) lost: u64,
    pub(in crate::commands::bench) duplicated: u64,
    pub(in crate::commands::bench) oversold: u64,
    pub(in crate::commands::bench) unexplained: u64,
    /// The first few.
    pub(in crate::commands::bench) instances: Vec<String>,
    /// Commands that the logs hold.
    pub(in crate::commands::bench) records: u64,
    pub(in crate::commands::bench) confirmed: u64,
    /// Refused orders, by reason.
    pub(in crate::commands::bench) refused: BTreeMap<String, u64>,
    /// Outcomes of other commands.
    pub(in crate::commands::bench) others: BTreeMap<String, u64>,
}

/// What may be wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wrong {
    Lost,
    Duplicated,
    Oversold,
    Unexplained,
}

impl Findings {
    /// Whether all is as it must be.
    pub(in crate::commands::bench) const fn are_good(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.oversold == 0 && self.unexplained == 0
    }

    pub(super) fn add(&mut self, wrong: Wrong, count: u64, instance: impl FnOnce() -> String) {
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
}

/// A set of order numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<u64>);

impl Numbers {
    /// Adds one, and says whether it is new.
    pub(super) fn add(&mut self, number: u64) -> bool {
        let (word, bit) = (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    pub(super) fn has(&self, number: u64) -> bool {
        usize::try_from(number / 64).ok().and_then(|word| self.0.get(word)).unwrap_or(&0) >> (number % 64) & 1
            == 1
    }
}

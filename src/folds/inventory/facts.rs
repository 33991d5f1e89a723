//! Which facts were told before: ids of receipts, counts, returns, attempts and shipments, so that a retry never
//! counts twice.

use std::collections::{BTreeMap, VecDeque};

use compact_str::CompactString;

use super::refusal::Refusal;
use crate::words::outcome::Reason;
use crate::words::timestamp::Timestamp;

/// Ids of one kind are a namespace of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FactKind {
    Receipt,
    Count,
    Return,
    FailedAttempt,
    Payment,
    Shipment,
    Delivery,
}

type Key = (FactKind, CompactString);

/// A fact that was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// The hash of its deciding fields.
    pub(super) content: u64,
    pub(super) first_sequence: u64,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    told: BTreeMap<Key, Told>,
    by_time: VecDeque<(Timestamp, Key)>,
}

/// As with orders: a shrunken window is worked off in steps.
const FORGET_PER_RECORD_MAX: usize = 1024;

impl Facts {
    /// The fact told under this id before, refusing another one under the same id.
    pub(super) fn check(
        &self,
        kind: FactKind,
        id: &str,
        content: u64,
    ) -> Result<Option<Told>, Refusal<'static>> {
        match self.told.get(&(kind, CompactString::from(id))) {
            None => Ok(None),
            Some(told) if told.content == content => Ok(Some(*told)),
            Some(_) => Err(Refusal::new(Reason::IdConflict)),
        }
    }

    pub(super) fn remember(&mut self, kind: FactKind, id: &str, told: Told, now: Timestamp) {
        let key = (kind, CompactString::from(id));
        self.by_time.push_back((now, key.clone()));
        self.told.insert(key, told);
    }

    pub(super) fn forget(&mut self, now: Timestamp, max: usize, window_ms: i64) {
        for _ in 0..FORGET_PER_RECORD_MAX {
            let Some((at, key)) = self.by_time.front() else { return };
            if self.by_time.len() <= max && at.plus_millis(window_ms) >= now {
                return;
            }
            self.told.remove(key);
            self.by_time.pop_front();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (FactKind, &str, &Told)> {
        self.told.iter().map(|((kind, id), told)| (*kind, id.as_str(), told))
    }
}

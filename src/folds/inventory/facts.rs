//! Which facts were told before: ids of receipts, counts, returns, attempts and shipments, so that a retry never
//! counts twice.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::queue::Queue;
use super::refusal::Refusal;
use crate::words::outcome::Reason;
use crate::words::timestamp::Timestamp;

/// Ids of one kind are a namespace of their own.
#[derive(Clone, Copy, Debug)]
pub(super) enum FactKind {
    Receipt,
    Count,
    Return,
    FailedAttempt,
    Payment,
    Shipment,
    Delivery,
}

impl FactKind {
    pub(super) const COUNT: usize = 7;
}

/// A fact that was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// The hash of its deciding fields.
    pub(super) content: u64,
    pub(super) first_sequence: u64,
}

/// The facts of one kind.
#[derive(Debug, Default)]
struct OfKind {
    told: BTreeMap<CompactString, Told>,
    by_time: Queue<(Timestamp, CompactString)>,
}

/// Kinds have a cap each: the many payments must not push out the few receipts.
#[derive(Debug, Default)]
pub(super) struct Facts {
    kinds: [OfKind; FactKind::COUNT],
    additions: u64,
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
        match self.kinds[kind as usize].told.get(id) {
            None => Ok(None),
            Some(told) if told.content == content => Ok(Some(*told)),
            Some(_) => Err(Refusal::new(Reason::IdConflict)),
        }
    }

    pub(super) fn remember(&mut self, kind: FactKind, id: &str, told: Told, now: Timestamp) {
        let of_kind = &mut self.kinds[kind as usize];
        let id = CompactString::from(id);
        of_kind.by_time.push_back((now, id.clone()));
        of_kind.told.insert(id, told);
        self.additions += 1;
    }

    /// How often something was added that [`Self::forget`] may have to look at.
    pub(super) const fn additions(&self) -> u64 {
        self.additions
    }

    /// Forgets what the window and the cap say; false where there is more to do.
    pub(super) fn forget(&mut self, now: Timestamp, max: usize, window_ms: i64) -> bool {
        let mut done = true;
        for of_kind in &mut self.kinds {
            done &= (0..FORGET_PER_RECORD_MAX).any(|_| {
                let Some((at, id)) = of_kind.by_time.front() else { return true };
                if of_kind.by_time.len() <= max && at.plus_millis(window_ms) >= now {
                    return true;
                }
                of_kind.told.remove(id);
                of_kind.by_time.pop_front();
                false
            });
        }
        done
    }

    /// Every fact with the number of its kind, kind by kind, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, Timestamp, &str, Told)> {
        self.kinds.iter().enumerate().flat_map(|(kind, OfKind { told, by_time })| {
            by_time.iter().map(move |(at, id)| {
                let told = told.get(id).expect("what is remembered by its time is remembered by its id");
                (kind, *at, id.as_str(), *told)
            })
        })
    }

    /// The facts of one kind, oldest first, that a snapshot has; false where an id is there twice.
    pub(super) fn restore(&mut self, kind: usize, facts: Vec<(Timestamp, CompactString, Told)>) -> bool {
        let count = facts.len();
        let OfKind { told, by_time } = &mut self.kinds[kind];
        let noted = |(at, id, told): (_, CompactString, _)| {
            by_time.push_back((at, id.clone()));
            (id, told)
        };
        // Built in one go: that sorts them, where inserting them would look for each one's place.
        *told = facts.into_iter().map(noted).collect();
        told.len() == count
    }
}

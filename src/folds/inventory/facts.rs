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
    const COUNT: usize = 7;
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

    /// Every fact, with the number of its kind.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &str, &Told)> {
        (0..)
            .zip(&self.kinds)
            .flat_map(|(kind, of_kind)| of_kind.told.iter().map(move |(id, told)| (kind, id.as_str(), told)))
    }
}

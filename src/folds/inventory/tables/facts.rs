//! Which facts of stock were told before: ids of receipts, counts, adjustments and transfers, so that a retry never counts twice.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::queue::Queue;
use crate::words::timestamp::Timestamp;

/// Ids of one kind are a namespace of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FactKind {
    Receipt,
    Count,
    Adjustment,
    Transfer,
}

impl FactKind {
    pub(crate) const KINDS: usize = 4;
}

/// A fact that was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// The hash of its deciding fields.
    pub(crate) content: u64,
    pub(crate) first_sequence: u64,
}

/// The facts of one kind.
#[derive(Debug, Default)]
struct OfKind {
    told: BTreeMap<CompactString, Told>,
    by_time: Queue<(Timestamp, CompactString, Told)>,
}

/// Kinds have a cap each: the many payments must not push out the few receipts.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    kinds: [OfKind; FactKind::KINDS],
    additions: u64,
}

impl Facts {
    /// The fact told under this id before.
    pub(crate) fn find(&self, kind: FactKind, id: &str) -> Option<Told> {
        self.kinds[kind as usize].told.get(id).copied()
    }

    pub(crate) fn remember(&mut self, kind: FactKind, id: &str, told: Told, now: Timestamp) {
        let of_kind = &mut self.kinds[kind as usize];
        let id = CompactString::from(id);
        of_kind.by_time.push_back((now, id.clone(), told));
        of_kind.told.insert(id, told);
        self.additions += 1;
    }

    /// How often something was added that [`Self::forget`] may have to look at.
    pub(crate) const fn additions(&self) -> u64 {
        self.additions
    }

    /// Forgets what the window and the cap say, at most `budget` of them; false where there is more to do.
    pub(crate) fn forget(&mut self, now: Timestamp, max: usize, window_ms: i64, budget: &mut u32) -> bool {
        for of_kind in &mut self.kinds {
            while let Some((at, id, _)) = of_kind.by_time.front() {
                if of_kind.by_time.len() <= max && at.plus_millis(window_ms) >= now {
                    break;
                }
                if *budget == 0 {
                    return false;
                }
                *budget -= 1;
                of_kind.told.remove(id);
                of_kind.by_time.pop_front();
            }
        }
        true
    }

    /// Every fact with the number of its kind, kind by kind, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Timestamp, &str, Told)> {
        self.kinds.iter().enumerate().flat_map(|(kind, of_kind)| {
            of_kind.by_time.iter().map(move |(at, id, told)| (kind, *at, id.as_str(), *told))
        })
    }

    /// What [`Self::iter`] gives now, once more, for a snapshot: see [`super::granules`].
    pub(crate) fn share(&mut self) -> Self {
        let share = |of_kind: &mut OfKind| OfKind { by_time: of_kind.by_time.share(), ..OfKind::default() };
        Self { kinds: self.kinds.each_mut().map(share), additions: self.additions }
    }

    /// The facts of one kind, oldest first, that a snapshot has; false where an id is there twice.
    pub(crate) fn restore(&mut self, kind: usize, facts: Vec<(Timestamp, CompactString, Told)>) -> bool {
        let count = facts.len();
        let OfKind { told, by_time } = &mut self.kinds[kind];
        let noted = |(at, id, told): (_, CompactString, _)| {
            by_time.push_back((at, id.clone(), told));
            (id, told)
        };
        // Built in one go: that sorts them, where inserting them would look for each one's place.
        *told = facts.into_iter().map(noted).collect();
        told.len() == count
    }
}

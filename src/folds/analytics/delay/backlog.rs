//! Backlogs: how many paid orders a party (a site, or a seller where one site stands for many) has not handed over, against how
//! many it hands over a day.

use std::collections::BinaryHeap;

use wincode::{SchemaRead, SchemaWrite};

/// A rate of events a day, exponentially weighted.
#[derive(Clone, Copy, Debug, Default, SchemaRead, SchemaWrite)]
struct Rate {
    per_day: f64,
    at: f64,
}

impl Rate {
    fn at(&self, now: f64, half_life: f64) -> f64 {
        self.per_day * (-(now - self.at).max(0.0) / half_life).exp2()
    }

    fn count(&mut self, now: f64, half_life: f64) {
        self.per_day = self.at(now, half_life) + std::f64::consts::LN_2 / half_life;
        self.at = self.at.max(now);
    }
}

#[derive(Clone, Copy, Debug, Default, SchemaRead, SchemaWrite)]
struct Party {
    open: u32,
    shipped: Rate,
}

/// All backlogs. Orders are known by their place and id, so that one that left its place is not taken for the next.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Backlog {
    all: Party,
    /// By key of the party.
    parties: Vec<Party>,
    /// When each open order leaves the backlog at the latest, in milliseconds and negated, so that the first comes first; its place,
    /// and its id.
    ends: BinaryHeap<(i64, u32, u64)>,
}

impl Backlog {
    pub(super) fn new() -> Self {
        Self { all: Party::default(), parties: Vec::new(), ends: BinaryHeap::new() }
    }

    fn party(&mut self, key: u32) -> &mut Party {
        let place = key as usize;
        if self.parties.len() <= place {
            self.parties.resize(place + 1, Party::default());
        }
        &mut self.parties[place]
    }

    /// An order was paid and is to be handed over.
    pub(super) fn enter(&mut self, party: u32, end_ms: i64, place: u32, id: u64) {
        self.all.open += 1;
        self.party(party).open += 1;
        self.ends.push((end_ms.saturating_neg(), place, id));
    }

    /// It was handed over, cancelled, or is given up.
    pub(super) fn leave(&mut self, party: u32) {
        self.all.open = self.all.open.saturating_sub(1);
        let party = self.party(party);
        party.open = party.open.saturating_sub(1);
    }

    /// An order of this party was handed over.
    pub(super) fn shipped(&mut self, party: u32, now: f64, half_life: f64) {
        self.all.shipped.count(now, half_life);
        self.party(party).shipped.count(now, half_life);
    }

    /// An order that stayed longer than it may, if there is one: its place and its id.
    pub(super) fn overstayed(&mut self, now_ms: i64) -> Option<(u32, u64)> {
        let (end, place, id) = *self.ends.peek()?;
        if end < now_ms.saturating_neg() {
            return None;
        }
        self.ends.pop();
        Some((place, id))
    }

    /// How much longer a party's backlog is than everybody's: the difference of the logarithms of days of work, within 3.
    pub(super) fn excess(&self, party: u32, now: f64, half_life: f64) -> f64 {
        let all = ((f64::from(self.all.open) + 5.0) / (self.all.shipped.at(now, half_life) + 1.0)).ln();
        let own = self.parties.get(party as usize).copied().unwrap_or_default();
        let own = ((f64::from(own.open) + 0.2) / (own.shipped.at(now, half_life) + 0.05)).ln();
        (own - all).clamp(-3.0, 3.0)
    }

    pub(super) fn is_sound(&self, keys: usize) -> bool {
        let sound = |it: &Party| it.shipped.per_day.is_finite() && it.shipped.at.is_finite();
        sound(&self.all) && self.parties.len() <= keys && self.parties.iter().all(sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_that_does_not_hand_over_is_behind() {
        let mut backlog = Backlog::new();
        for number in 0..200_u64 {
            let now = f64::from(u32::try_from(number).unwrap()) / 10.0;
            let party = u32::try_from(number % 2).unwrap();
            backlog.enter(party, 1_000_000 + i64::try_from(number).unwrap(), 0, number);
            if party == 0 {
                backlog.leave(0);
                backlog.shipped(0, now, 7.0);
            }
        }
        assert!(backlog.excess(0, 20.0, 7.0) < 0.0 && backlog.excess(1, 20.0, 7.0) > 1.0);
        assert_eq!(backlog.overstayed(999_999), None);
        assert_eq!(backlog.overstayed(1_000_001), Some((0, 0)));
    }
}

//! Space-Saving: the most frequent names of a stream in bounded memory.
//!
//! Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and top-k elements in data streams" (2005). With `m` counters over
//! `n` counts, each counter is too high by at most `n / m` (its own bound is kept beside it), never too low, and every name that
//! occurs more than `n / m` times is there.

use wincode::{SchemaRead, SchemaWrite};

use super::index::Index;
use crate::words::hash::hash;
use crate::words::text::ID_BYTES_MAX;

/// One name that is counted.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Counter {
    /// The name, cut to 64 bytes.
    pub name: String,
    /// Counted at most so often.
    pub count: u64,
    /// Of which so many may be others'.
    pub error: u64,
}

/// The counters.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct SpaceSaving {
    max: usize,
    counters: Vec<Counter>,
    hashes: Vec<u64>,
    #[wincode(skip)]
    index: Index,
    total: u64,
}

impl SpaceSaving {
    /// With `max` counters, about 120 bytes each.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let max = max.max(1);
        Self { max, counters: Vec::new(), hashes: Vec::new(), index: Index::default(), total: 0 }
    }

    /// Counts a name so often.
    pub fn add(&mut self, name: &str, count: u64) {
        self.total = self.total.saturating_add(count);
        let named = hash(name.as_bytes());
        if let Some(place) = self.index.get(&named) {
            let counter = &mut self.counters[*place as usize];
            counter.count = counter.count.saturating_add(count);
            return;
        }
        let place = if self.counters.len() < self.max {
            self.counters.push(Counter { name: cut(name), count, error: 0 });
            self.hashes.push(named);
            self.counters.len() - 1
        } else {
            let least = self.counters.iter().enumerate().min_by_key(|(_, counter)| counter.count);
            let place = least.map_or(0, |(place, _)| place);
            let error = self.counters[place].count;
            self.index.remove(&self.hashes[place]);
            self.counters[place] = Counter { name: cut(name), count: error.saturating_add(count), error };
            self.hashes[place] = named;
            place
        };
        self.index.insert(named, u32::try_from(place).unwrap_or(u32::MAX));
    }

    /// The most frequent ones, the first one first.
    #[must_use]
    pub fn top(&self, count: usize) -> Vec<Counter> {
        let mut sorted = self.counters.clone();
        sorted.sort_by(|left, right| right.count.cmp(&left.count).then_with(|| left.name.cmp(&right.name)));
        sorted.truncate(count);
        sorted
    }

    /// At most how often a name was counted.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        let place = self.index.get(&hash(name.as_bytes()));
        place.map_or(0, |place| self.counters[*place as usize].count)
    }

    /// How often anything was counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        (self.counters, self.hashes, self.index) = (Vec::new(), Vec::new(), Index::default());
        self.total = 0;
    }

    /// Makes the index again after reading; false where it does not hold together.
    pub(in crate::folds::analytics) fn restore(&mut self) -> bool {
        let places = self.hashes.iter().enumerate();
        self.index = places.map(|(place, hash)| (*hash, u32::try_from(place).unwrap_or(u32::MAX))).collect();
        self.counters.len() == self.hashes.len()
            && self.index.len() == self.counters.len()
            && self.counters.len() <= self.max
            && self.max <= 1 << 20
    }
}

fn cut(name: &str) -> String {
    let mut end = name.len().min(ID_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers of a test")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn counts_are_within_the_bound_and_no_frequent_name_is_missed() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut sketch = SpaceSaving::new(100);
        let mut exact: BTreeMap<String, u64> = BTreeMap::new();
        for _ in 0..50_000 {
            // Zipf-like: a few names often, thousands rarely.
            let name = format!("n{}", (1.0 / random.f64().max(1e-4)) as u64);
            sketch.add(&name, 1);
            *exact.entry(name).or_default() += 1;
        }
        let bound = sketch.total() / 100;
        for counter in sketch.top(100) {
            let truth = exact[&counter.name];
            assert!(counter.count >= truth && counter.count - counter.error <= truth);
            assert!(counter.error <= bound, "{counter:?}");
        }
        for (name, count) in exact.iter().filter(|(_, count)| **count > bound) {
            assert!(sketch.count(name) >= *count, "{name} is missing");
        }
        assert!(sketch.restore());
    }
}

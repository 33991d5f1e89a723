//! An index from hashes to numbers: a hash table that grows a little at a time.
//!
//! A table that doubles stops the shard while it does; with ten million entries that is most of a second. So this one is
//! cut into segments of about a thousand entries, and grows by splitting one of them in two, in turn (W. Litwin, "Linear
//! hashing", VLDB 1980): what one insertion may cost is bounded, whatever the number of entries.
//!
//! An entry is 32 bits of its hash and a number of 32 bits. So splitting and growing never look at what the numbers stand
//! for, and a look for something unknown seldom does. Within a segment an entry lies at its hash's place or behind it (linear
//! probing): where a look ends there the next insertion goes, so that both together wait for memory once.

/// A segment is split when there are more entries than this for each; while one waits for its turn it has up to twice as many.
const ENTRIES_PER_SEGMENT: usize = 700;
/// The least places in a segment.
const PLACES_LEAST: usize = 16;

/// A map from hashes to numbers; which of those under one hash is meant is for the caller to tell.
#[derive(Debug)]
pub(super) struct Index {
    segments: Vec<Segment>,
    len: usize,
}

/// A part of the index: as many places as a power of two, at most three quarters of them used.
#[derive(Debug)]
struct Segment {
    places: Vec<Entry>,
    len: usize,
}

/// The hash's part above, the number below; or [`EMPTY`].
type Entry = u64;

/// No entry: no hash's part is `u32::MAX`.
const EMPTY: Entry = u64::MAX;

/// The part of a hash that an entry keeps. Its low bits tell the segment, its high ones the place in it.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is kept")]
const fn kept(hash: u64) -> u32 {
    let kept = hash as u32;
    if kept == u32::MAX { 0 } else { kept }
}

const fn entry(hash: u32, number: u32) -> Entry {
    ((hash as u64) << 32) | number as u64
}

const fn hash_of(entry: Entry) -> u32 {
    (entry >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn number_of(entry: Entry) -> u32 {
    entry as u32
}

impl Default for Index {
    fn default() -> Self {
        Self { segments: vec![Segment::with_room(0)], len: 0 }
    }
}

impl Index {
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The segment of a hash: as many low bits as tell all segments apart, or one less where that one is not split yet.
    fn segment(&self, hash: u32) -> usize {
        let mask = self.segments.len().next_power_of_two() - 1;
        let segment = hash as usize & mask;
        if segment < self.segments.len() { segment } else { segment & (mask >> 1) }
    }

    /// The number under `hash` that is the one meant.
    #[inline]
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = kept(hash);
        let segment = &self.segments[self.segment(hash)];
        let found = segment.find(hash, is).ok()?;
        Some(number_of(segment.places[found]))
    }

    /// Reads the memory that a look for `hash` begins at. Without a branch on what is there: a branch that was foreseen wrongly
    /// would make the next read wait for this one.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> u64 {
        let hash = kept(hash);
        let segment = &self.segments[self.segment(hash)];
        segment.places[segment.home(hash)]
    }

    /// Adds a number, which is not there yet.
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        let hash = kept(hash);
        let segment = self.segment(hash);
        self.segments[segment].insert(entry(hash, number));
        self.len += 1;
        if self.len > ENTRIES_PER_SEGMENT * self.segments.len() {
            self.split();
        }
    }

    /// Puts another number in the place of one that is there.
    pub(super) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        let hash = kept(hash);
        let segment = self.segment(hash);
        let segment = &mut self.segments[segment];
        let place = segment.find(hash, |number| number == old).expect("what is replaced is there");
        segment.places[place] = entry(hash, new);
    }

    /// Removes a number that is there.
    pub(super) fn remove(&mut self, hash: u64, number: u32) {
        let hash = kept(hash);
        let segment = self.segment(hash);
        let segment = &mut self.segments[segment];
        let place = segment.find(hash, |found| found == number).expect("what is removed is there");
        segment.remove(place);
        self.len -= 1;
    }

    /// Splits the segment whose turn it is: half of its entries go to a new one, by one more bit of their hashes.
    fn split(&mut self) {
        let count = self.segments.len();
        let bit = count.ilog2();
        // Entries keep 32 bits; more segments than those tell apart would stay empty.
        if bit >= 31 {
            return;
        }
        let low = count ^ (1 << bit);
        let whole = std::mem::replace(&mut self.segments[low], Segment::with_room(0));
        let is_high = |found: &Entry| hash_of(*found) >> bit & 1 == 1;
        let high = whole.entries().filter(is_high).count();
        let mut halves = [Segment::with_room(whole.len - high), Segment::with_room(high)];
        for found in whole.entries() {
            halves[usize::from(is_high(&found))].insert(found);
        }
        let [stays, goes] = halves;
        self.segments[low] = stays;
        self.segments.push(goes);
    }
}

impl Segment {
    /// An empty one that takes so many entries without growing.
    fn with_room(entries: usize) -> Self {
        let places = (entries * 4 / 3 + 1).next_power_of_two().max(PLACES_LEAST);
        Self { places: vec![EMPTY; places], len: 0 }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.places.iter().copied().filter(|found| *found != EMPTY)
    }

    /// The place that an entry with this hash lies at, unless others lie there. Segments take the low bits.
    fn home(&self, hash: u32) -> usize {
        (hash >> 20) as usize & (self.places.len() - 1)
    }

    /// The place of the entry that is meant, or else the first empty place.
    #[inline]
    fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Result<usize, usize> {
        let mask = self.places.len() - 1;
        let mut place = self.home(hash);
        loop {
            let found = self.places[place & mask];
            if found == EMPTY {
                return Err(place & mask);
            }
            if hash_of(found) == hash && is(number_of(found)) {
                return Ok(place & mask);
            }
            place += 1;
        }
    }

    fn insert(&mut self, new: Entry) {
        if (self.len + 1) * 4 > self.places.len() * 3 {
            let mut larger = Self::with_room(self.len + 1);
            self.entries().for_each(|found| larger.insert(found));
            *self = larger;
        }
        let empty = self.find(hash_of(new), |_| false).expect_err("no entry is meant");
        self.places[empty] = new;
        self.len += 1;
    }

    /// Removes an entry, and closes the gap: entries behind it move up to where a look for them would now end.
    fn remove(&mut self, place: usize) {
        let mask = self.places.len() - 1;
        let (mut gap, mut next) = (place, place);
        loop {
            next = (next + 1) & mask;
            let found = self.places[next];
            if found == EMPTY {
                break;
            }
            let from_home = next.wrapping_sub(self.home(hash_of(found))) & mask;
            let from_gap = next.wrapping_sub(gap) & mask;
            if from_home >= from_gap {
                self.places[gap] = found;
                gap = next;
            }
        }
        self.places[gap] = EMPTY;
        self.len -= 1;
    }
}

/// Entries for an index that is made of all of them at once.
#[derive(Debug, Default)]
pub(super) struct Entries(Vec<Entry>);

impl Entries {
    /// Adds a number.
    #[inline]
    pub(super) fn push(&mut self, hash: u64, number: u32) {
        self.0.push(entry(kept(hash), number));
    }

    /// The index; none where two numbers under one hash are the `same`. Sorted by their segments first, entries meet memory
    /// that is at hand; inserted one after the other, each would wait for its own.
    pub(super) fn into_index(self, same: impl Fn(u32, u32) -> bool) -> Option<Index> {
        let len = self.0.len();
        let count = (len / ENTRIES_PER_SEGMENT + 1).next_power_of_two();
        let segment = |found: Entry| hash_of(found) as usize & (count - 1);
        let mut places = vec![0; count + 1];
        for found in &self.0 {
            places[segment(*found) + 1] += 1;
        }
        for number in 0..count {
            places[number + 1] += places[number];
        }
        let starts = places.clone();
        let mut sorted = vec![EMPTY; len];
        for found in self.0 {
            let place = &mut places[segment(found)];
            sorted[*place] = found;
            *place += 1;
        }
        let segments = starts.windows(2).map(|border| {
            let entries = &sorted[border[0]..border[1]];
            let mut segment = Segment::with_room(entries.len());
            segment.len = entries.len();
            for new in entries {
                let is = |other| same(other, number_of(*new));
                let place = segment.find(hash_of(*new), is).err()?;
                segment.places[place] = *new;
            }
            Some(segment)
        });
        Some(Index { segments: segments.collect::<Option<_>>()?, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::hash::mix;

    fn hash_of(number: u32) -> u64 {
        mix(7, u64::from(number))
    }

    fn find(index: &Index, number: u32) -> Option<u32> {
        index.find(hash_of(number), |found| found == number)
    }

    #[test]
    fn finds_all_that_is_in_it_while_it_grows_and_after_removals() {
        let mut index = Index::default();
        for number in 0..100_000 {
            assert_eq!(find(&index, number), None);
            index.insert(hash_of(number), number);
            assert_eq!(find(&index, number / 2), Some(number / 2));
        }
        assert!(index.segments.len() > 100, "{}", index.segments.len());
        for number in 0..50_000 {
            index.remove(hash_of(number), number);
            index.replace(hash_of(number + 50_000), number + 50_000, number + 200_000);
        }
        for number in 0..50_000 {
            assert_eq!(find(&index, number), None);
            let moved = index.find(hash_of(number + 50_000), |found| found == number + 200_000);
            assert_eq!(moved, Some(number + 200_000));
        }
        assert_eq!(index.len, 50_000);
        assert_eq!(index.segments.iter().map(|segment| segment.entries().count()).sum::<usize>(), 50_000);
    }

    #[test]
    fn what_one_insertion_costs_and_what_an_entry_takes_are_bounded() {
        let mut index = Index::default();
        let mut most = 0;
        for number in 0..1_000_000_u32 {
            index.insert(hash_of(number), number);
            most =
                most.max(index.segments.iter().rev().take(2).map(|segment| segment.len).max().unwrap_or(0));
        }
        let longest = index.segments.iter().map(|segment| segment.len).max().unwrap_or(0);
        assert!(longest.max(most) < 3 * ENTRIES_PER_SEGMENT, "{longest}, {most}");
        let places: usize = index.segments.iter().map(|segment| segment.places.len()).sum();
        assert!(places < 2_500_000, "{places}");
    }

    #[test]
    fn made_of_all_at_once_it_goes_on_as_one_that_grew() {
        for count in [0, 1, 10, 700, 5_000, 100_000_u32] {
            let mut entries = Entries::default();
            for number in 0..count {
                entries.push(hash_of(number), number);
            }
            let mut index = entries.into_index(|one, other| one == other).unwrap();
            for number in 0..count {
                assert_eq!(find(&index, number), Some(number));
            }
            for number in count..2 * count + 100 {
                assert_eq!(find(&index, number), None);
                index.insert(hash_of(number), number);
            }
            for number in (0..2 * count + 100).step_by(2) {
                index.remove(hash_of(number), number);
            }
            for number in 0..2 * count + 100 {
                assert_eq!(find(&index, number), (number % 2 == 1).then_some(number));
            }
        }
        let mut entries = Entries::default();
        for number in [1, 2, 1] {
            entries.push(hash_of(number), number);
        }
        assert!(entries.into_index(|one, other| one == other).is_none());
        let mut entries = Entries::default();
        for number in [1, 2, 3] {
            entries.push(7, number);
        }
        let index = entries.into_index(|_, _| false).unwrap();
        assert_eq!(index.find(7, |number| number == 3), Some(3));
    }

    /// Removal in a crowd: hashes that share a home, and such as wrap around.
    #[test]
    fn removing_one_never_hides_another() {
        for removed in 0..8_u32 {
            let mut index = Index::default();
            let crowded = |number: u32| u64::from(u32::MAX << 20 | number) - (u64::from(number % 3) << 21);
            for number in 0..8 {
                index.insert(crowded(number), number);
            }
            index.remove(crowded(removed), removed);
            for number in 0..8 {
                let found = index.find(crowded(number), |found| found == number);
                assert_eq!(found, (number != removed).then_some(number), "{removed} was removed");
            }
        }
    }

    #[test]
    fn equal_hashes_are_told_apart_by_the_caller() {
        for hash in [42, u64::from(u32::MAX), 0, u64::MAX] {
            let mut index = Index::default();
            for number in [0, 1, u32::MAX] {
                index.insert(hash, number);
            }
            assert_eq!(index.find(hash, |number| number == 1), Some(1));
            index.remove(hash, 1);
            assert_eq!(index.find(hash, |number| number == 1), None);
            assert_eq!(index.find(hash, |number| number == u32::MAX), Some(u32::MAX));
        }
    }
}

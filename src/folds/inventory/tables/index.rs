//! An index from hashes to numbers: a hash table that grows a little at a time.
//!
//! A table that doubles stops the shard while it does; with ten million entries that is most of a second. So this one is cut into
//! segments, and grows by splitting one of them in two, in turn (W. Litwin, "Linear hashing", VLDB 1980): what one insertion may
//! cost is bounded, whatever the number of entries.
//!
//! A segment is 64 buckets, a bucket is one line of the cache: eight tags and their eight numbers. A tag is 32 bits of the hash;
//! its low bits tell the segment, its high ones the bucket. So splitting never looks at what the numbers stand for, and a look for
//! something unknown seldom does. What finds its bucket full goes to the next one of its segment; a look ends at the first bucket with an empty
//! place, where the next insertion goes: both together wait for memory once. A segment without an empty place (chance does not make one,
//! somebody hostile might) spills into a tree.

use std::collections::BTreeSet;

use wide::u32x8;

use super::chunked::Chunked;

/// Entries in a bucket.
const PLACES: usize = 8;
/// Buckets in a segment.
const BUCKETS: u32 = 64;
const SEGMENT: usize = BUCKETS as usize;
/// A segment is split when there are more entries than this for each (41% of its places); while one waits for its turn it has up to
/// twice as many.
const ENTRIES_PER_SEGMENT: usize = 210;
/// Set in every tag, so that 0 is no tag and new memory is an empty table.
const MARK: u32 = 1 << 23;
/// The segment's number is taken from the bits below the mark.
const SEGMENTS_MAX: u32 = MARK;
/// A number that a guess gives for none.
pub(crate) const NOTHING: u32 = u32::MAX;
/// The bits of a tag that tell its bucket.
const HOME: u32 = (BUCKETS - 1) << 26;

/// A line of the cache.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Bucket {
    tags: [u32; PLACES],
    numbers: [u32; PLACES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    /// Which of its places have this tag, as bits.
    #[inline]
    fn with(&self, tag: u32) -> u32 {
        u32x8::new(self.tags).simd_eq(u32x8::splat(tag)).to_bitmask()
    }

    /// Reads its memory. Without a branch on what is there: a branch that was foreseen wrongly would make the next read wait for
    /// this one.
    #[inline]
    pub(crate) const fn touch(&self) -> u32 {
        self.tags[0]
    }

    /// Which of its places have a tag with this bit.
    #[inline]
    fn with_bit(&self, bit: u32) -> u32 {
        let bit = u32x8::splat(bit);
        (u32x8::new(self.tags) & bit).simd_eq(bit).to_bitmask()
    }

    /// Which of its places have an entry that belongs to another bucket than this one, the `number`th of its segment.
    #[inline]
    fn astray(&self, number: u32) -> u32 {
        let tags = u32x8::new(self.tags);
        let at_home = (tags & u32x8::splat(HOME)).simd_eq(u32x8::splat(number << HOME.trailing_zeros()));
        !(at_home.to_bitmask() | self.with(0)) & ((1 << PLACES) - 1)
    }

    fn is_full(&self) -> bool {
        self.with(0) == 0
    }
}

/// A map from hashes to numbers; which of those under one hash is meant is for the caller to tell.
#[derive(Debug)]
pub(crate) struct Index {
    /// Segment by segment.
    buckets: Chunked<Bucket>,
    segments: u32,
    /// As many low bits of a tag as tell all segments apart.
    mask: u32,
    len: usize,
    /// With more entries than this, one segment more is made.
    len_max: usize,
    /// Tags and numbers that found their segment full.
    spilled: BTreeSet<(u32, u32)>,
}

/// The bucket where a look for a hash begins, worked out before: it holds as long as no segment is split.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start {
    bucket: u32,
    /// How many segments there were.
    segments: u32,
}

/// Where a look ended that found nothing: the next insertion under its hash goes there, if nothing is inserted or removed before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vacancy {
    tag: u32,
    /// None where the whole segment is full.
    place: Option<(u32, u32)>,
}

/// What a look found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    Found(u32),
    Vacant(Vacancy),
}

/// Where an entry is.
enum At {
    Place(u32, usize),
    Spilled,
}

const fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32 | MARK
}

/// The bucket within its segment where an entry belongs.
const fn home(tag: u32) -> u32 {
    tag >> 26
}

impl Default for Index {
    fn default() -> Self {
        let mut index = Self {
            buckets: Chunked::default(),
            segments: 0,
            mask: 0,
            len: 0,
            len_max: 0,
            spilled: BTreeSet::new(),
        };
        index.add_segment();
        index
    }
}

impl Index {
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn add_segment(&mut self) {
        for _ in 0..BUCKETS {
            self.buckets.push(Bucket::default());
        }
        self.segments += 1;
        self.mask = self.segments.next_power_of_two() - 1;
        let most = ENTRIES_PER_SEGMENT * self.segments as usize;
        self.len_max = if self.segments < SEGMENTS_MAX { most } else { usize::MAX };
    }

    /// The segment of a tag: as many low bits as tell all segments apart, or one less where that one is not split yet.
    #[inline]
    const fn segment(&self, tag: u32) -> u32 {
        let segment = tag & self.mask;
        if segment < self.segments { segment } else { segment & (self.mask >> 1) }
    }

    /// The bucket where a look for a hash begins.
    #[inline]
    fn first(&self, tag: u32) -> u32 {
        self.segment(tag) * BUCKETS + home(tag)
    }

    /// Where a look for a hash begins.
    #[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
    #[inline(always)]
    pub(crate) fn start(&self, hash: u64) -> Start {
        Start { bucket: self.first(tag_of(hash)), segments: self.segments }
    }

    /// The bucket behind one, within its segment.
    #[inline]
    const fn behind(bucket: u32) -> u32 {
        bucket & !(BUCKETS - 1) | (bucket + 1) & (BUCKETS - 1)
    }

    /// The number under `hash` that is the one meant, or where it would go.
    #[inline]
    pub(crate) fn probe(&self, hash: u64, is: impl Fn(u32) -> bool) -> Probe {
        let tag = tag_of(hash);
        let mut number = self.first(tag);
        for _ in 0..BUCKETS {
            let bucket = self.buckets.get(number);
            let mut found = bucket.with(tag);
            while found != 0 {
                let meant = bucket.numbers[found.trailing_zeros() as usize % PLACES];
                if is(meant) {
                    return Probe::Found(meant);
                }
                found &= found - 1;
            }
            let empty = bucket.with(0);
            if empty != 0 {
                return Probe::Vacant(Vacancy { tag, place: Some((number, empty.trailing_zeros())) });
            }
            number = Self::behind(number);
        }
        match self.spilled.range((tag, 0)..=(tag, u32::MAX)).find(|(_, spilled)| is(*spilled)) {
            Some((_, spilled)) => Probe::Found(*spilled),
            None => Probe::Vacant(Vacancy { tag, place: None }),
        }
    }

    /// Where a number under `hash` would go, where the first look tells that there is none: what is most often so of a new one.
    #[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
    #[inline(always)]
    pub(crate) fn vacancy(&self, start: Start, hash: u64) -> Option<Vacancy> {
        let tag = tag_of(hash);
        let number = if start.segments == self.segments { start.bucket } else { self.first(tag) };
        let bucket = self.buckets.get(number);
        let (found, empty) = (bucket.with(tag), bucket.with(0));
        (found == 0 && empty != 0).then(|| Vacancy { tag, place: Some((number, empty.trailing_zeros())) })
    }

    /// The number under `hash` that is the one meant.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        match self.probe(hash, is) {
            Probe::Found(number) => Some(number),
            Probe::Vacant(_) => None,
        }
    }

    /// The bucket that a look begins at. It is not read yet.
    #[inline]
    pub(crate) fn bucket(&self, start: Start) -> &Bucket {
        self.buckets.get(start.bucket)
    }

    /// The first number under `hash`, whatever it stands for: most probably the one meant. A look for it begins at this bucket. Of those
    /// that were spilled it knows nothing. [`NOTHING`] where there is none.
    #[inline]
    pub(crate) fn guess(&self, bucket: &Bucket, hash: u64) -> u32 {
        match bucket.with(tag_of(hash)) {
            0 => self.guess_behind(tag_of(hash)),
            found => bucket.numbers[found.trailing_zeros() as usize % PLACES],
        }
    }

    #[cold]
    fn guess_behind(&self, tag: u32) -> u32 {
        let mut number = self.first(tag);
        for _ in 1..BUCKETS {
            if !self.buckets.get(number).is_full() {
                return NOTHING;
            }
            number = Self::behind(number);
            let bucket = self.buckets.get(number);
            let found = bucket.with(tag);
            if found != 0 {
                return bucket.numbers[found.trailing_zeros() as usize % PLACES];
            }
        }
        NOTHING
    }

    /// Adds a number, which is not there yet.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        if let Probe::Vacant(vacancy) = self.probe(hash, |_| false) {
            self.fill(vacancy, number);
        }
    }

    /// Adds a number where a look for it ended.
    #[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
    #[inline(always)]
    pub(crate) fn fill(&mut self, vacancy: Vacancy, number: u32) {
        self.put(vacancy, number);
        self.len += 1;
        if self.len > self.len_max {
            self.split();
        }
    }

    #[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
    #[inline(always)]
    fn put(&mut self, Vacancy { tag, place }: Vacancy, number: u32) {
        if let Some((bucket, place)) = place {
            let bucket = self.buckets.get_mut(bucket);
            bucket.tags[place as usize % PLACES] = tag;
            bucket.numbers[place as usize % PLACES] = number;
        } else {
            self.spilled.insert((tag, number));
        }
    }

    fn at(&self, hash: u64, number: u32) -> At {
        let tag = tag_of(hash);
        let mut bucket = self.first(tag);
        for _ in 0..BUCKETS {
            let here = self.buckets.get(bucket);
            let mut found = here.with(tag);
            while found != 0 {
                let place = found.trailing_zeros() as usize;
                if here.numbers[place] == number {
                    return At::Place(bucket, place);
                }
                found &= found - 1;
            }
            assert!(here.is_full(), "what is looked for is there");
            bucket = Self::behind(bucket);
        }
        At::Spilled
    }

    /// Puts another number in the place of one that is there.
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        match self.at(hash, old) {
            At::Place(bucket, place) => self.buckets.get_mut(bucket).numbers[place] = new,
            At::Spilled => {
                assert!(self.spilled.remove(&(tag_of(hash), old)), "what is replaced is there");
                self.spilled.insert((tag_of(hash), new));
            }
        }
    }

    /// Removes a number that is there.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        self.len -= 1;
        match self.at(hash, number) {
            At::Place(bucket, place) => self.close_gap(bucket, place),
            At::Spilled => assert!(self.spilled.remove(&(tag_of(hash), number)), "what is removed is there"),
        }
    }

    /// Empties a place. Looks end at a bucket with an empty place: where there was none before, the first entry behind that belongs at or
    /// before it moves up, and so on.
    fn close_gap(&mut self, bucket: u32, place: usize) {
        let (mut bucket, mut place) = (bucket, place);
        loop {
            let was_full = self.buckets.get(bucket).is_full();
            self.buckets.get_mut(bucket).tags[place] = 0;
            if !was_full {
                return;
            }
            let mut next = bucket;
            let moved = loop {
                next = Self::behind(next);
                if next == bucket {
                    break None;
                }
                let behind = self.buckets.get(next);
                let goes = (0..PLACES).find(|&place| {
                    let from_home = next.wrapping_sub(home(behind.tags[place])) & (BUCKETS - 1);
                    let from_gap = next.wrapping_sub(bucket) & (BUCKETS - 1);
                    behind.tags[place] != 0 && from_home >= from_gap
                });
                match goes {
                    Some(found) => break Some((next, found)),
                    None if !behind.is_full() => return,
                    None => {}
                }
            };
            let Some((from, found)) = moved else {
                // The whole segment was full: what it spilled may come back.
                let segment = bucket / BUCKETS;
                let back = self.spilled.iter().find(|(tag, _)| self.segment(*tag) == segment).copied();
                if let Some((tag, number)) = back {
                    self.spilled.remove(&(tag, number));
                    self.put(
                        Vacancy { tag, place: Some((bucket, u32::try_from(place).unwrap_or_default())) },
                        number,
                    );
                }
                return;
            };
            let entry = *self.buckets.get(from);
            let gap = self.buckets.get_mut(bucket);
            (gap.tags[place], gap.numbers[place]) = (entry.tags[found], entry.numbers[found]);
            (bucket, place) = (from, found);
        }
    }

    /// Splits the segment whose turn it is: half of its entries go to a new one, by one more bit of their tags. Those that stay where they
    /// belong are not touched.
    #[inline(never)]
    fn split(&mut self) {
        let bit = 1 << self.segments.ilog2();
        let low = self.segments ^ bit;
        let spilled: Vec<_> =
            self.spilled.iter().filter(|(tag, _)| self.segment(*tag) == low).copied().collect();
        let high = self.segments * BUCKETS;
        self.add_segment();
        let arrays = self.buckets.two_arrays_mut([low * BUCKETS, high]);
        let [old, new]: [&mut [Bucket; SEGMENT]; 2] = arrays.expect("segments are in one chunk each");
        // The new segment is empty: most find their place without a look.
        let mut filled = [0_u8; SEGMENT];
        let mut loose = Vec::with_capacity(SEGMENT);
        for (bucket, at) in old.iter_mut().zip(0..) {
            let mut goes = bucket.with_bit(bit) | bucket.astray(at);
            while goes != 0 {
                let place = goes.trailing_zeros() as usize % PLACES;
                goes &= goes - 1;
                let (tag, number) = (bucket.tags[place], bucket.numbers[place]);
                bucket.tags[place] = 0;
                let home = home(tag) as usize;
                let free = usize::from(filled[home]);
                if tag & bit == 0 || free == PLACES {
                    loose.push((tag, number));
                    continue;
                }
                filled[home] += 1;
                new[home].tags[free % PLACES] = tag;
                new[home].numbers[free % PLACES] = number;
            }
        }
        for (tag, number) in loose.into_iter().chain(spilled) {
            self.spilled.remove(&(tag, number));
            if let Probe::Vacant(vacancy) = self.probe(u64::from(tag) << 32, |_| false) {
                self.put(vacancy, number);
            }
        }
    }
}

/// Entries for an index that is made of all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Entries(Vec<(u32, u32)>);

impl Entries {
    /// Adds a number.
    #[inline]
    pub(crate) fn push(&mut self, hash: u64, number: u32) {
        self.0.push((tag_of(hash), number));
    }

    /// The index; none where two numbers under one hash are the `same`. In the order of their segments entries meet memory that is at hand;
    /// inserted as they come, each would wait for its own.
    pub(crate) fn into_index(self, same: impl Fn(u32, u32) -> bool) -> Option<Index> {
        let mut index = Index::default();
        while self.0.len() > ENTRIES_PER_SEGMENT * index.segments as usize && index.segments < SEGMENTS_MAX {
            index.add_segment();
        }
        let mut starts = vec![0_u32; index.segments as usize + 1];
        for (tag, _) in &self.0 {
            starts[index.segment(*tag) as usize + 1] += 1;
        }
        for segment in 0..index.segments as usize {
            starts[segment + 1] += starts[segment];
        }
        let mut sorted = vec![(0, 0); self.0.len()];
        for entry in self.0 {
            let start = &mut starts[index.segment(entry.0) as usize];
            sorted[*start as usize] = entry;
            *start += 1;
        }
        for (tag, number) in sorted {
            match index.probe(u64::from(tag) << 32, |other| same(other, number)) {
                Probe::Found(_) => return None,
                Probe::Vacant(vacancy) => index.put(vacancy, number),
            }
            index.len += 1;
        }
        Some(index)
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

    fn entries(index: &Index) -> usize {
        let buckets = (0..index.segments * BUCKETS).map(|place| index.buckets.get(place));
        let placed = buckets.flat_map(|bucket| bucket.tags).filter(|tag| *tag != 0).count();
        placed + index.spilled.len()
    }

    #[test]
    fn finds_all_that_is_in_it_while_it_grows_and_after_removals() {
        let mut index = Index::default();
        for number in 0..100_000 {
            assert_eq!(find(&index, number), None);
            index.insert(hash_of(number), number);
            assert_eq!(find(&index, number / 2), Some(number / 2));
        }
        assert!(index.segments > 400, "{}", index.segments);
        for number in 0..50_000 {
            index.remove(hash_of(number), number);
            index.replace(hash_of(number + 50_000), number + 50_000, number + 200_000);
        }
        for number in 0..50_000 {
            assert_eq!(find(&index, number), None);
            let moved = index.find(hash_of(number + 50_000), |found| found == number + 200_000);
            assert_eq!(moved, Some(number + 200_000));
        }
        assert_eq!((index.len, entries(&index), index.spilled.len()), (50_000, 50_000, 0));
    }

    #[test]
    fn made_of_all_at_once_it_goes_on_as_one_that_grew() {
        for count in [0, 1, 10, 700, 5_000, 100_000_u32] {
            let mut all = Entries::default();
            for number in 0..count {
                all.push(hash_of(number), number);
            }
            let mut index = all.into_index(|one, other| one == other).unwrap();
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
        let mut all = Entries::default();
        for number in [1, 2, 1] {
            all.push(hash_of(number), number);
        }
        assert!(all.into_index(|one, other| one == other).is_none());
    }

    /// Entries whose tags share a segment, and often a bucket: full buckets, a full segment, the tree, and back.
    #[test]
    fn a_crowd_in_one_segment_is_found_and_removed_in_any_order() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20 {
            let mut index = Index::default();
            let crowd: Vec<u64> = (0..1_500_u64)
                .map(|number| (u64::from(random.u32(..)) & 0xff80_0000) << 32 | 5 << 32 | number)
                .collect();
            for (number, hash) in (0..).zip(&crowd) {
                index.insert(*hash, number);
            }
            assert!(!index.spilled.is_empty());
            let mut order: Vec<u32> = (0..1_500).collect();
            random.shuffle(&mut order);
            for (gone, removed) in order.iter().enumerate() {
                index.remove(crowd[*removed as usize], *removed);
                for left in order[gone + 1..].iter().step_by(37) {
                    assert_eq!(index.find(crowd[*left as usize], |found| found == *left), Some(*left));
                }
                assert_eq!(index.find(crowd[*removed as usize], |found| found == *removed), None);
            }
            assert_eq!((index.len, entries(&index)), (0, 0));
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

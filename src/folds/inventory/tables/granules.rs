//! Lists and queues in granules. What they hold at one moment can be had at once ([`Granules::share`]): its granules are shared then,
//! and one that changes while somebody else still has it is copied first. So a snapshot is written while the fold goes on, nothing is
//! folded twice, and a change costs at most one granule's copy.
//!
//! They grow by whole granules, so that no growth copies what is there.

use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes in a granule at most: what one change may have to copy.
const GRANULE_BYTES: usize = 64 << 10;

/// A granule, of a list or of a queue.
#[derive(Debug)]
pub(super) enum Granule<C> {
    /// Nobody else has it.
    Own(C),
    /// Somebody else has it, or had it and has dropped it since.
    Shared(Arc<C>),
}

/// What a granule's elements are in.
pub(super) trait Container: Default {
    /// The same elements, with room for `most`.
    fn copied(&self, most: usize) -> Self;
}

impl<T: Clone> Container for Vec<T> {
    fn copied(&self, most: usize) -> Self {
        let mut copy = Self::with_capacity(most);
        copy.extend_from_slice(self);
        copy
    }
}

impl<T: Clone> Container for VecDeque<T> {
    fn copied(&self, most: usize) -> Self {
        let mut copy = Self::with_capacity(most);
        copy.extend(self.iter().cloned());
        copy
    }
}

impl<C: Container> Granule<C> {
    #[expect(clippy::inline_always, reason = "measured: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn get(&self) -> &C {
        match self {
            Self::Own(elements) => elements,
            Self::Shared(elements) => elements,
        }
    }

    /// The elements to be changed; copied first where somebody else has them. There is room for `most` then.
    #[expect(clippy::inline_always, reason = "measured: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn get_mut(&mut self, most: usize) -> &mut C {
        match self {
            Self::Own(elements) => elements,
            Self::Shared(_) => self.taken_back(most),
        }
    }

    #[cold]
    fn taken_back(&mut self, most: usize) -> &mut C {
        let elements = match std::mem::replace(self, Self::Own(C::default())) {
            Self::Own(elements) => elements,
            Self::Shared(shared) => Arc::try_unwrap(shared).unwrap_or_else(|shared| shared.copied(most)),
        };
        *self = Self::Own(elements);
        match self {
            Self::Own(elements) => elements,
            Self::Shared(_) => unreachable!("it was just taken back"),
        }
    }

    /// The same granule once more.
    pub(super) fn share(&mut self) -> Self {
        let shared = match std::mem::replace(self, Self::Own(C::default())) {
            Self::Own(elements) => Arc::new(elements),
            Self::Shared(shared) => shared,
        };
        *self = Self::Shared(Arc::clone(&shared));
        Self::Shared(shared)
    }
}

/// A list.
#[derive(Debug)]
pub(crate) struct Granules<T> {
    /// All but the last are full.
    granules: Vec<Granule<Vec<T>>>,
}

impl<T> Default for Granules<T> {
    fn default() -> Self {
        Self { granules: Vec::new() }
    }
}

impl<T: Clone> Granules<T> {
    /// How far a place's number is shifted to give its granule's.
    const BITS: u32 = (GRANULE_BYTES / size_of::<T>()).ilog2();
    const MOST: usize = 1 << Self::BITS;

    pub(crate) fn len(&self) -> usize {
        match self.granules.split_last() {
            Some((last, full)) => (full.len() << Self::BITS) + last.get().len(),
            None => 0,
        }
    }

    #[expect(clippy::inline_always, reason = "measured: a call costs as much as it does")]
    #[inline(always)]
    pub(crate) fn get(&self, place: u32) -> &T {
        let place = place as usize;
        &self.granules[place >> Self::BITS].get()[place & (Self::MOST - 1)]
    }

    #[expect(clippy::inline_always, reason = "measured: a call costs as much as it does")]
    #[inline(always)]
    pub(crate) fn get_mut(&mut self, place: u32) -> &mut T {
        let place = place as usize;
        &mut self.granules[place >> Self::BITS].get_mut(Self::MOST)[place & (Self::MOST - 1)]
    }

    /// The element at a place that there may not be.
    #[inline]
    pub(crate) fn at(&self, place: u32) -> Option<&T> {
        let place = place as usize;
        self.granules.get(place >> Self::BITS)?.get().get(place & (Self::MOST - 1))
    }

    /// Adds an element and gives its place.
    ///
    /// # Panics
    /// If there are 2^32 already: whoever adds keeps to the caps of policy.
    #[expect(clippy::inline_always, reason = "measured: a call costs as much as it does")]
    #[inline(always)]
    pub(crate) fn push(&mut self, element: T) -> u32 {
        let full = self.granules.len().saturating_sub(1);
        match self.granules.last_mut() {
            Some(Granule::Own(last)) if last.len() < Self::MOST => {
                let place = (full << Self::BITS) + last.len();
                last.push(element);
                u32::try_from(place).expect("policy caps what there is")
            }
            _ => self.push_behind(element),
        }
    }

    /// The same where the last granule is full, is not there, or is shared.
    #[cold]
    fn push_behind(&mut self, element: T) -> u32 {
        if self.granules.last().is_none_or(|last| last.get().len() == Self::MOST) {
            self.granules.push(Granule::Own(Vec::with_capacity(Self::MOST)));
        }
        let full = self.granules.len() - 1;
        let last = self.granules[full].get_mut(Self::MOST);
        let place = (full << Self::BITS) + last.len();
        last.push(element);
        u32::try_from(place).expect("policy caps what there is")
    }

    /// Takes the last element away.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.granules.last()?.get().is_empty() {
            // An empty one stays until the next but one is touched, so that going up and down over its border costs nothing.
            self.granules.pop();
        }
        self.granules.last_mut()?.get_mut(Self::MOST).pop()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.granules.iter().flat_map(Granule::get)
    }

    /// What is there now, once more: a count for each granule, and an allocation for those that were not shared yet.
    pub(crate) fn share(&mut self) -> Self {
        Self { granules: self.granules.iter_mut().map(Granule::share).collect() }
    }

    /// Gives the memory back a mebibyte at a time.
    pub(crate) fn drop_in_steps(self, mut between: impl FnMut()) {
        const STEP: usize = (1 << 20) / GRANULE_BYTES;
        let mut granules = self.granules;
        while !granules.is_empty() {
            granules.truncate(granules.len().saturating_sub(STEP));
            between();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list and a model beside it, changed at random, shared at random: what was shared stays as it was.
    #[test]
    fn what_is_shared_stays_as_it_was() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut list, mut model) = (Granules::<[u64; 100]>::default(), Vec::new());
        let mut shared: Vec<(Granules<[u64; 100]>, Vec<u64>)> = Vec::new();
        for step in 0..40_000 {
            match random.u32(0..100) {
                0..60 => {
                    assert_eq!(list.push([step; 100]) as usize, model.len());
                    model.push(step);
                }
                60..75 => assert_eq!(list.pop().map(|element| element[7]), model.pop()),
                75..99 if !model.is_empty() => {
                    let place = random.usize(0..model.len());
                    list.get_mut(u32::try_from(place).unwrap())[7] = step;
                    model[place] = step;
                }
                _ if step % 16 == 0 => {
                    shared.push((list.share(), model.clone()));
                    if shared.len() > 3 {
                        shared.remove(random.usize(0..3));
                    }
                }
                _ => {}
            }
            assert_eq!(list.len(), model.len());
        }
        shared.push((list, model));
        for (list, model) in shared {
            assert!(list.iter().map(|element| element[7]).eq(model.iter().copied()));
            assert_eq!(list.at(u32::try_from(model.len()).unwrap()), None);
            let mut steps = 0;
            list.drop_in_steps(|| steps += 1);
            assert!(steps > 1, "{steps}");
        }
    }

    /// What nobody else has any more is not copied.
    #[test]
    fn what_was_given_back_is_taken_back_as_it_is() {
        let mut list = Granules::<u64>::default();
        for number in 0..10_000 {
            list.push(number);
        }
        let address = |list: &Granules<u64>| std::ptr::from_ref(list.get(0));
        let before = address(&list);
        drop(list.share());
        *list.get_mut(0) += 1;
        assert_eq!(address(&list), before);
        let kept = list.share();
        *list.get_mut(0) += 1;
        assert_ne!(address(&list), before);
        assert_eq!((address(&kept), *kept.get(0), *list.get(0)), (before, 1, 2));
    }
}

//! A queue that grows and shrinks by whole granules: unlike a ring that doubles, no push ever copies what is there.

use std::collections::VecDeque;

use super::granules::Granule;

/// Elements in a granule; a power of two.
const MOST: usize = 1024;

/// First in, first out, with access by place.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// None is empty; all but the first and the last hold [`MOST`].
    granules: VecDeque<Granule<VecDeque<T>>>,
    len: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { granules: VecDeque::new(), len: 0 }
    }
}

impl<T: Clone> Queue<T> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.granules.front()?.get().front()
    }

    /// The element `place` places behind the front.
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        let first = self.granules.front()?.get();
        match place.checked_sub(first.len()) {
            None => first.get(place),
            Some(behind) => self.granules.get(1 + behind / MOST)?.get().get(behind % MOST),
        }
    }

    pub(crate) fn push_back(&mut self, element: T) {
        match self.granules.back_mut() {
            Some(last) if last.get().len() < MOST => last.get_mut(MOST).push_back(element),
            _ => {
                let mut elements = VecDeque::with_capacity(MOST);
                elements.push_back(element);
                self.granules.push_back(Granule::Own(elements));
            }
        }
        self.len += 1;
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.granules.front_mut()?.get_mut(MOST);
        let element = first.pop_front();
        if first.is_empty() {
            self.granules.pop_front();
        }
        self.len -= usize::from(element.is_some());
        element
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.granules.iter().flat_map(Granule::get)
    }

    /// What is in it now, once more: see [`super::granules`].
    pub(crate) fn share(&mut self) -> Self {
        Self { granules: self.granules.iter_mut().map(Granule::share).collect(), len: self.len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_queue() {
        let (mut queue, mut model) = (Queue::default(), VecDeque::new());
        let mut shared = Vec::new();
        for step in 0..20_000_usize {
            queue.push_back(step);
            model.push_back(step);
            // It grows to thousands, shrinks to nothing, and grows again.
            let pops = if (step / 4000) % 2 == 0 { usize::from(step % 3 == 0) } else { 2 };
            for _ in 0..pops {
                assert_eq!(queue.pop_front(), model.pop_front());
            }
            if step % 1_500 == 0 {
                shared.push((queue.share(), model.clone()));
            }
            assert_eq!((queue.len(), queue.front()), (model.len(), model.front()));
            for place in [0, 1, 1023, 1024, 1025, model.len().saturating_sub(1), model.len()] {
                assert_eq!(queue.get(place), model.get(place), "{place} of {}", model.len());
            }
        }
        shared.push((queue, model));
        for (queue, model) in shared {
            assert!(queue.iter().eq(model.iter()) && queue.len() == model.len());
        }
    }
}

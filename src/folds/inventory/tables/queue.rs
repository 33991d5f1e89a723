//! A queue that grows and shrinks by whole chunks: unlike a ring that doubles, no push ever copies what is there.

use std::collections::VecDeque;

/// Elements in a chunk; a power of two.
const CHUNK: usize = 1024;

/// First in, first out, with access by place.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// None is empty; all but the first and the last hold [`CHUNK`].
    chunks: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }
}

impl<T> Queue<T> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.chunks.front()?.front()
    }

    /// The element `place` places behind the front.
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        let first = self.chunks.front()?;
        match place.checked_sub(first.len()) {
            None => first.get(place),
            Some(behind) => self.chunks.get(1 + behind / CHUNK)?.get(behind % CHUNK),
        }
    }

    pub(crate) fn push_back(&mut self, element: T) {
        match self.chunks.back_mut() {
            Some(last) if last.len() < CHUNK => last.push_back(element),
            _ => {
                let mut chunk = VecDeque::with_capacity(CHUNK);
                chunk.push_back(element);
                self.chunks.push_back(chunk);
            }
        }
        self.len += 1;
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.chunks.front_mut()?;
        let element = first.pop_front();
        if first.is_empty() {
            self.chunks.pop_front();
        }
        self.len -= usize::from(element.is_some());
        element
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_queue() {
        let (mut queue, mut model) = (Queue::default(), VecDeque::new());
        for step in 0..20_000_usize {
            queue.push_back(step);
            model.push_back(step);
            // It grows to thousands, shrinks to nothing, and grows again.
            let pops = if (step / 4000) % 2 == 0 { usize::from(step % 3 == 0) } else { 2 };
            for _ in 0..pops {
                assert_eq!(queue.pop_front(), model.pop_front());
            }
            assert_eq!((queue.len(), queue.front()), (model.len(), model.front()));
            for place in [0, 1, 1023, 1024, 1025, model.len().saturating_sub(1), model.len()] {
                assert_eq!(queue.get(place), model.get(place), "{place} of {}", model.len());
            }
        }
        assert!(queue.iter().eq(model.iter()));
    }
}

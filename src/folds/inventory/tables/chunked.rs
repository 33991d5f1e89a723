//! A list that grows by whole chunks, so that no element is ever moved and no growth copies what is there. Unlike
//! [`super::granules`], it is nobody else's at any time.

/// Bytes in a chunk, about: large enough that chunks are few, small enough that making one is no pause.
const CHUNK_BYTES: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Chunked<T> {
    /// All but the last are full.
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Chunked<T> {
    /// How far a place's number is shifted to give its chunk's.
    const BITS: u32 = (CHUNK_BYTES / size_of::<T>()).ilog2();
    const CHUNK: usize = 1 << Self::BITS;

    #[expect(clippy::inline_always, reason = "measured: a call costs as much as it does")]
    #[inline(always)]
    pub(crate) fn get(&self, place: u32) -> &T {
        let place = place as usize;
        &self.chunks[place >> Self::BITS][place & (Self::CHUNK - 1)]
    }

    #[expect(clippy::inline_always, reason = "measured: a call costs as much as it does")]
    #[inline(always)]
    pub(crate) fn get_mut(&mut self, place: u32) -> &mut T {
        let place = place as usize;
        &mut self.chunks[place >> Self::BITS][place & (Self::CHUNK - 1)]
    }

    /// So many elements from each of two places on, that are in one chunk each and do not overlap; none where they do, or
    /// are not.
    pub(crate) fn two_arrays_mut<const N: usize>(&mut self, places: [u32; 2]) -> Option<[&mut [T; N]; 2]> {
        let [one, other] = places.map(|place| place as usize >> Self::BITS);
        let [from, other_from] = places.map(|place| place as usize & (Self::CHUNK - 1));
        let (first, second) = if one == other {
            let ranges = [from..from + N, other_from..other_from + N];
            let [first, second] = self.chunks[one].get_disjoint_mut(ranges).ok()?;
            (first, second)
        } else {
            let [first, second] = self.chunks.get_disjoint_mut([one, other]).ok()?;
            (first.get_mut(from..)?, second.get_mut(other_from..)?)
        };
        Some([first.first_chunk_mut()?, second.first_chunk_mut()?])
    }

    /// Adds an element and gives its place.
    ///
    /// # Panics
    /// If there are 2^32 already: whoever adds keeps to the caps of policy.
    #[expect(clippy::inline_always, reason = "measured: a call costs as much as it does")]
    #[inline(always)]
    pub(crate) fn push(&mut self, element: T) -> u32 {
        if self.chunks.last().is_none_or(|last| last.len() == Self::CHUNK) {
            self.add_chunk();
        }
        let full = self.chunks.len() - 1;
        let last = &mut self.chunks[full];
        let place = (full << Self::BITS) + last.len();
        last.push(element);
        u32::try_from(place).expect("policy caps what there is")
    }

    #[cold]
    fn add_chunk(&mut self) {
        self.chunks.push(Vec::with_capacity(Self::CHUNK));
    }
}

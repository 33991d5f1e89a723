//! Large values by name: snapshots.
//!
//! One trait with three sides, [`super::memory`], [`super::folder`] and [`super::jetstream`], under one contract suite
//! (`tests/live/contract_objects.rs`). What the contract says:
//!
//! - An object is there wholly or not at all: until its last byte is stored, nobody sees its name.
//! - What is there never changes. A write under a name that is there is refused, also where two writers race.
//! - A write that was answered is stored; one that failed with [`AppendError::TimedOut`] may be stored all the same.
//!   One that failed otherwise, or was given up, leaves nothing that is seen; what room it took is given back, sooner or
//!   later.
//! - What is read is what was written, to the byte and to the end, or an error. An object that is removed while it is read
//!   may end in one.

use std::future::Future;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::streams::{AppendError, ReadError};

/// The most that [`ObjectReader::next`] gives at once, in bytes.
pub const PIECE_BYTES_MAX: usize = 128 << 10;

/// The most objects that [`Objects::list`] gives.
pub const OBJECTS_MAX: usize = 65_536;

/// An object, without what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A store of objects. Clones share it. A text that [is no name](super::keys::is_name) is never there, and cannot be
/// written.
pub trait Objects: Clone + Send + Sync + 'static {
    /// Reads one object.
    type Reader: ObjectReader;

    /// Writes an object from the chunks that come, which may be of any size, and gives its size in bytes. Holds a few of
    /// them in memory at a time.
    ///
    /// The object ends where the chunks do: whoever cannot finish it must drop this future before the sender. A name that
    /// is there already is [`AppendError::Conflict`].
    fn write(
        &self,
        name: &str,
        chunks: mpsc::Receiver<Bytes>,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send;

    /// Opens an object; none where there is none of this name.
    fn read(&self, name: &str) -> impl Future<Output = Result<Option<Self::Reader>, ReadError>> + Send;

    /// All objects, ascending by name; [`ReadError::Unreadable`] where there are more than [`OBJECTS_MAX`].
    fn list(&self) -> impl Future<Output = Result<Vec<ObjectInfo>, ReadError>> + Send;

    /// Removes an object and gives its room back. One that is not there is as good as removed.
    fn remove(&self, name: &str) -> impl Future<Output = Result<(), AppendError>> + Send;
}

/// Reads an object from its start to its end.
pub trait ObjectReader: Send + 'static {
    /// The next piece, of 1 to [`PIECE_BYTES_MAX`] bytes, whose borders are not those of the chunks written; none at the
    /// end. After an error the reader is of no further use.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, ReadError>> + Send;
}

/// Cuts chunks of any size into pieces of [`PIECE_BYTES_MAX`] bytes; the last one may be smaller.
#[derive(Debug)]
pub(super) struct Pieces {
    chunks: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Pieces {
    pub(super) fn new(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self { chunks, rest: Bytes::new() }
    }

    /// The next piece; none at the end of the chunks.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let mut piece = bytes::BytesMut::new();
        loop {
            if piece.is_empty() && self.rest.len() >= PIECE_BYTES_MAX {
                return Some(self.rest.split_to(PIECE_BYTES_MAX));
            }
            let room = PIECE_BYTES_MAX - piece.len();
            piece.extend_from_slice(&self.rest.split_to(room.min(self.rest.len())));
            if piece.len() == PIECE_BYTES_MAX {
                return Some(piece.freeze());
            }
            match self.chunks.recv().await {
                Some(chunk) => self.rest = chunk,
                None => return (!piece.is_empty()).then(|| piece.freeze()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_hold_what_the_chunks_held() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * PIECE_BYTES_MAX + 1).collect();
        for size in [1_000, PIECE_BYTES_MAX - 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, bytes.len()] {
            let (sender, chunks) = mpsc::channel(2 * bytes.len());
            for chunk in bytes.chunks(size) {
                sender.send(Bytes::copy_from_slice(chunk)).await.unwrap();
                sender.send(Bytes::new()).await.unwrap();
            }
            drop(sender);
            let (mut pieces, mut read) = (Pieces::new(chunks), Vec::new());
            while let Some(piece) = pieces.next().await {
                read.push(piece);
            }
            assert_eq!(read.concat(), bytes, "{size}");
            assert_eq!(
                read.iter().map(Bytes::len).collect::<Vec<_>>(),
                [PIECE_BYTES_MAX, PIECE_BYTES_MAX, PIECE_BYTES_MAX, 1]
            );
        }
    }
}

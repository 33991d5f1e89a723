//! Snapshots: the state as bytes and back, so that a worker recovers without folding the log from its start.
//!
//! Whoever folds on from a restored state decides, to the byte, what a fold that was never interrupted decides. So a
//! snapshot holds everything that can reach a decision or its time: which slot an order is in and which slot comes next
//! (searches walk slots in steps), the queues with those of their entries that are out of date (what is done for one message is
//! counted in entries). What follows from the rest is not stored but rebuilt: indexes, sums, counts, what is reserved or waited for,
//! who stands where in which line-up. So it cannot contradict the rest.
//!
//! What is left out, and why that changes nothing: `Inventory::forgotten_at`, and the two counts of additions that it is
//! compared with. They say that a look for something to forget found nothing more; looking again finds nothing again.
//!
//! A snapshot is of one moment, and is written while the fold goes on ([`Frozen`]): nothing is folded twice, and nothing waits.
//!
//! # Format, version 1
//!
//! A prefix: `WEIRSNAP` and the version (4 bytes). Then chunks: kind (1 byte), length of the payload (4), checksum (8), payload.
//! Numbers of fixed width are little endian. The checksum is XXH3-64 of the payload, seeded with `mix(before, length << 8 |
//! kind)`, where `before` is the checksum of the chunk before, and for the first chunk XXH3-64 of the prefix.
//!
//! A payload is the length of its records (4), its records one after the other, of what its kind says, and their texts one after
//! the other. A chunk ends with the record that takes its payload to
//! 1 MiB or beyond, or with the last record of its kind; a kind without records has no chunk. Kinds come in this order:
//!
//! | kind | records |
//! |---|---|
//! | 1 head | one: see [`SnapshotHead`] |
//! | 2 basics | one: policy, sites, seeds of the tables' hashes, what was forgotten |
//! | 3 stock | places of SKUs by their numbers: a SKU, or that it is not used |
//! | 4 stock unused | the places that are not used, by when they became free |
//! | 5 orders | slots by their numbers: an order, or that it is not used |
//! | 6 unused | the slots that are not used, by when they became free |
//! | 7 deadlines | slots of orders whose hold or waiting ends, by when |
//! | 8 sifted, 9 settled | the queues of settled orders |
//! | 10 closed, 11 refused | orders that are remembered, oldest first |
//! | 12 facts | facts of stock, kind by kind, oldest first |
//! | 13 moved | SKUs whose parked orders are to be looked at, and from which turn on |
//! | 14 uneasy | SKUs that a shortfall is to be looked for at |
//! | 15 search, 16 found | a search under way for orders that lose, and what its walk has found |
//! | 17 end | one: [`Totals`] and [`Digests`] |
//!
//! A state has exactly one form, and nothing else is taken: what was restored writes the same bytes again. So the checksum of
//! the chunk before the end stands for the whole state, and is its digest.

mod basics;
mod chunks;
mod fields;
mod orders;
mod restore;
mod stock;
mod work;
mod write;

use super::digest::Digests;
use super::view::Totals;
use crate::words::append::Chain;
use crate::words::timestamp::Timestamp;

pub use restore::Restoring;
pub use write::Frozen;

/// What a snapshot says of itself at its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHead {
    /// The last message applied, and the chain after it.
    pub chain: Chain,
    /// See [`Inventory::last_message_hash`](super::Inventory::last_message_hash).
    pub last_message_hash: u64,
    /// The rules version in force.
    pub rules: u32,
    /// Log time.
    pub now: Timestamp,
    /// How many orders are to come, closed ones among them.
    pub orders: u64,
}

/// Why bytes are no snapshot that can be restored. Another snapshot is needed, or, where the version is not known, a newer
/// binary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It begins with something else.
    #[error("not a snapshot: it begins with something else")]
    NotASnapshot,
    /// It is of a format that this binary does not know.
    #[error(
        "unknown format: the snapshot is of version {version}, this binary knows up to {newest}. Run a newer binary"
    )]
    UnknownFormat {
        /// The version of its format.
        version: u32,
        /// The newest version known.
        newest: u32,
    },
    /// Its rules are not known to this binary.
    #[error(
        "unknown rules: the snapshot is of rules version {rules}, this binary knows up to {newest}. Run a newer binary"
    )]
    UnknownRules {
        /// The version in force in it.
        rules: u32,
        /// The newest version known.
        newest: u32,
    },
    /// A chunk is damaged, or one before it is missing, repeated or out of order.
    #[error("the checksum of chunk {chunk} is wrong: the snapshot was damaged")]
    Checksum {
        /// Which chunk, from 0.
        chunk: u64,
    },
    /// A chunk with a good checksum does not make sense.
    #[error("chunk {chunk}: {what}")]
    Malformed {
        /// Which chunk, from 0.
        chunk: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// What was restored does not add up to what the snapshot says at its end: a defect in the program that wrote it, or in
    /// this one.
    #[error("the totals of the snapshot are {said:?}, those of what was restored {found:?}")]
    Totals {
        /// What the snapshot says.
        said: Box<Totals>,
        /// What was restored.
        found: Box<Totals>,
    },
    /// What was restored is not what was stored: a defect in the program that wrote it, or in this one.
    #[error("the digests of the snapshot are {said:x?}, those of what was restored {found:x?}")]
    Digests {
        /// What the snapshot says.
        said: Digests,
        /// What was restored.
        found: Digests,
    },
    /// It ends too soon.
    #[error("the snapshot ends within or behind chunk {chunk}, before its last one")]
    Truncated {
        /// The chunk that is not whole, or not there; from 0.
        chunk: u64,
    },
    /// Something stands behind its end.
    #[error("bytes behind the end of the snapshot")]
    BytesBehind,
}

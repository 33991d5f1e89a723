//! Chunks: the frames that a snapshot's records go in. Here are their borders and checksums; nothing of what is in them.

use super::SnapshotError;
use super::fields::{PAYLOAD_BYTES_MIN, Payload};
use crate::words::hash::{hash, hash_seeded, mix};

/// What a snapshot begins with.
const MAGIC: [u8; 8] = *b"WEIRSNAP";
/// The version of the format that this binary writes, and the only one there is.
const VERSION: u32 = 1;
/// The magic number and the version.
const PREFIX_BYTES: usize = 12;
/// A chunk's kind, the length of its payload, and its checksum.
const HEADER_BYTES: usize = 13;

/// A chunk ends with the record that takes its payload to this size, or with the last record of its kind.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
/// No payload is longer: the longest record, an order with as many lines and ids of facts as there may be, takes a third of this.
const PAYLOAD_BYTES_MAX: usize = 2 * CHUNK_BYTES;

/// What a chunk's records are. Chunks come in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Head = 1,
    Basics,
    Stock,
    StockUnused,
    Orders,
    Unused,
    Deadlines,
    Sifted,
    Settled,
    Closed,
    Refused,
    Facts,
    Moved,
    Uneasy,
    Search,
    Found,
    End,
}

impl Kind {
    const ALL: [Self; 17] = [
        Self::Head,
        Self::Basics,
        Self::Stock,
        Self::StockUnused,
        Self::Orders,
        Self::Unused,
        Self::Deadlines,
        Self::Sifted,
        Self::Settled,
        Self::Closed,
        Self::Refused,
        Self::Facts,
        Self::Moved,
        Self::Uneasy,
        Self::Search,
        Self::Found,
        Self::End,
    ];

    /// Whether there is exactly one such chunk, and one record in it.
    const fn is_single(self) -> bool {
        matches!(self, Self::Head | Self::Basics | Self::Search | Self::End)
    }
}

fn prefix() -> [u8; PREFIX_BYTES] {
    let mut prefix = [0; PREFIX_BYTES];
    prefix[..8].copy_from_slice(&MAGIC);
    prefix[8..].copy_from_slice(&VERSION.to_le_bytes());
    prefix
}

/// A payload's checksum is seeded with the one before it, so that a chunk that is missing, repeated or out of order shows.
fn checksum(before: u64, kind: u8, payload: &[u8]) -> u64 {
    hash_seeded(payload, mix(before, (payload.len() as u64) << 8 | u64::from(kind)))
}

/// Cuts records into chunks and hands these on.
pub(super) struct Chunks<'e, E> {
    payload: Payload,
    kind: Kind,
    checksum: u64,
    each: &'e mut dyn FnMut(&[u8]) -> Result<(), E>,
}

impl<'e, E> Chunks<'e, E> {
    pub(super) fn new(each: &'e mut dyn FnMut(&[u8]) -> Result<(), E>) -> Self {
        let mut payload = Payload::default();
        payload.begin(&[&prefix()[..], &[0; HEADER_BYTES]].concat());
        Self { payload, kind: Kind::Head, checksum: hash(&prefix()), each }
    }

    /// The checksum of the last chunk that was ended: it stands for all of them.
    pub(super) const fn checksum(&self) -> u64 {
        self.checksum
    }

    /// Adds a record.
    #[inline]
    pub(super) fn record(&mut self, kind: Kind, write: impl FnOnce(&mut Payload)) -> Result<(), E> {
        if self.kind != kind {
            self.end()?;
            self.kind = kind;
        }
        write(&mut self.payload);
        if self.payload.len() >= CHUNK_BYTES { self.end() } else { Ok(()) }
    }

    /// Ends the chunk, if there is something in it.
    pub(super) fn end(&mut self) -> Result<(), E> {
        if self.payload.len() < PAYLOAD_BYTES_MIN {
            return Ok(());
        }
        let (before, payload) = self.payload.end();
        let length = u32::try_from(payload.len()).expect("it ends soon after CHUNK_BYTES");
        self.checksum = checksum(self.checksum, self.kind as u8, payload);
        let header = before.len() - HEADER_BYTES;
        before[header] = self.kind as u8;
        before[header + 1..header + 5].copy_from_slice(&length.to_le_bytes());
        before[header + 5..].copy_from_slice(&self.checksum.to_le_bytes());
        (self.each)(self.payload.bytes())?;
        self.payload.begin(&[0; HEADER_BYTES]);
        Ok(())
    }
}

/// A chunk's payload, and what is known of it.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    /// How many there were before it.
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// The checksum of the chunk before.
    pub(super) before: u64,
    pub(super) payload: &'a [u8],
}

/// What a chunk's header says.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: Kind,
    length: usize,
    checksum: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Prefix,
    Header,
    Payload(Header),
    Nothing,
}

/// Gathers bytes that come cut anyhow into chunks.
#[derive(Debug)]
pub(super) struct Unframe {
    next: Next,
    /// What has come of what comes next, where that is not whole yet.
    part: Vec<u8>,
    /// How many chunks there were.
    number: u64,
    /// The checksum of the last one.
    checksum: u64,
    /// Its kind, and the length of its payload.
    last: Option<(Kind, usize)>,
}

impl Unframe {
    pub(super) fn new() -> Self {
        Self { next: Next::Prefix, part: Vec::new(), number: 0, checksum: hash(&prefix()), last: None }
    }

    /// Whether the last chunk has come, and all before it.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self.next, Next::Nothing)
    }

    /// How many chunks have come.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Takes more bytes and gives `each` the chunks that they complete. No more is kept than what has come of one chunk.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Chunk<'_>) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        while !bytes.is_empty() {
            let wanted = match self.next {
                Next::Prefix => PREFIX_BYTES,
                Next::Header => HEADER_BYTES,
                Next::Payload(header) => header.length,
                Next::Nothing => return Err(SnapshotError::BytesBehind),
            };
            let missing = (wanted - self.part.len()).min(bytes.len());
            let (come, rest) = bytes.split_at(missing);
            bytes = rest;
            if self.part.len() + come.len() < wanted {
                self.part.extend_from_slice(come);
                return Ok(());
            }
            // What came whole is read where it lies.
            let mut part = std::mem::take(&mut self.part);
            if part.is_empty() {
                self.take(come, &mut each)?;
            } else {
                part.extend_from_slice(come);
                self.take(&part, &mut each)?;
            }
            part.clear();
            self.part = part;
        }
        Ok(())
    }

    fn take(
        &mut self,
        whole: &[u8],
        each: &mut impl FnMut(Chunk<'_>) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        match self.next {
            Next::Prefix => {
                check_prefix(whole)?;
                self.next = Next::Header;
            }
            Next::Header => self.next = Next::Payload(self.header(whole)?),
            Next::Payload(Header { kind, length, checksum: expected }) => {
                let before = self.checksum;
                if checksum(before, kind as u8, whole) != expected {
                    return Err(SnapshotError::Checksum { chunk: self.number });
                }
                each(Chunk { number: self.number, kind, before, payload: whole })?;
                (self.checksum, self.last) = (expected, Some((kind, length)));
                self.number += 1;
                self.next = if kind == Kind::End { Next::Nothing } else { Next::Header };
            }
            Next::Nothing => {}
        }
        Ok(())
    }

    /// Reads a header. What it claims is checked before anything is kept for it.
    fn header(&self, bytes: &[u8]) -> Result<Header, SnapshotError> {
        let malformed = |what| SnapshotError::Malformed { chunk: self.number, what };
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == bytes[0]);
        let kind = kind.ok_or(malformed("a kind of chunk that there is not"))?;
        let length = number(&bytes[1..5]);
        let length = usize::try_from(length)
            .ok()
            .filter(|length| (PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(length));
        let length = length.ok_or(malformed("a chunk is shorter than 5 bytes or longer than 2 MiB"))?;
        match self.last {
            None if kind != Kind::Head => return Err(malformed("the first chunk is not the head")),
            Some((Kind::Head, _)) if kind != Kind::Basics => {
                return Err(malformed("the chunk behind the head is not the one with the basics"));
            }
            Some((before, before_length)) => {
                if kind < before || kind == before && kind.is_single() {
                    return Err(malformed("a chunk is out of order"));
                }
                if kind == before && before_length < CHUNK_BYTES {
                    return Err(malformed("the chunk before ended too soon"));
                }
            }
            None => {}
        }
        Ok(Header { kind, length, checksum: number(&bytes[5..]) })
    }
}

fn check_prefix(bytes: &[u8]) -> Result<(), SnapshotError> {
    let (magic, version) = bytes.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(SnapshotError::NotASnapshot);
    }
    let version = version.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
    if version != VERSION {
        return Err(SnapshotError::UnknownFormat { version, newest: VERSION });
    }
    Ok(())
}

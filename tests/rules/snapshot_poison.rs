//! Bytes that are no snapshot: whatever they are, they are refused by name or give a state that can be folded on. The framing
//! here is written anew after the words in `folds::inventory::snapshot`, so that the two are held against each other.

use proptest::prelude::*;
use weir::folds::inventory::{Digests, Inventory, Restoring, SnapshotError, Totals};
use weir::words::codec::Format;
use weir::words::hash::{hash, hash_seeded, mix};

use crate::golden::golden;
use crate::random;
use crate::script::{self, Seen};
use crate::support::{START_MS, Shard, restore, snapshot};
use crate::wire::bincode_of;

pub(crate) const PREFIX: [u8; 12] = *b"WEIRSNAP\x01\0\0\0";
const HEADER_BYTES: usize = 13;

pub(crate) const HEAD: u8 = 1;
const BASICS: u8 = 2;
const STOCK: u8 = 3;
const STOCK_UNUSED: u8 = 4;
pub(crate) const ORDERS: u8 = 5;
const UNUSED: u8 = 6;
const DEADLINES: u8 = 7;
const SIFTED: u8 = 8;
const SETTLED: u8 = 9;
const CLOSED: u8 = 10;
const REFUSED: u8 = 11;
const FACTS: u8 = 12;
const MOVED: u8 = 13;
const UNEASY: u8 = 14;
const SEARCH: u8 = 15;
const FOUND: u8 = 16;
const END: u8 = 17;

/// A snapshot that was taken apart: kinds and payloads.
#[derive(Clone, Debug)]
pub(crate) struct Chunks(pub(crate) Vec<(u8, Vec<u8>)>);

impl Chunks {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut rest = bytes.strip_prefix(&PREFIX).unwrap();
        let mut chunks = Vec::new();
        while let Some((header, behind)) = rest.split_at_checked(HEADER_BYTES) {
            let length = u32::from_le_bytes(header[1..5].try_into().unwrap()) as usize;
            let (payload, behind) = behind.split_at(length);
            chunks.push((header[0], payload.to_vec()));
            rest = behind;
        }
        Self(chunks)
    }

    /// With good checksums.
    pub(crate) fn framed(&self) -> Vec<u8> {
        let mut bytes = PREFIX.to_vec();
        let mut checksum = hash(&PREFIX);
        for (kind, payload) in &self.0 {
            let length = u32::try_from(payload.len()).unwrap();
            checksum = hash_seeded(payload, mix(checksum, u64::from(length) << 8 | u64::from(*kind)));
            bytes.push(*kind);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&checksum.to_le_bytes());
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    fn set_totals(&mut self, totals: &Totals) {
        let (stock, it) = (totals.stock, totals);
        let orders = it.counts();
        let totals = bincode_of(&(stock.skus, stock.out_of_stock, stock.on_hand, stock.reserved, orders));
        self.records(END, |records| drop(records.splice(..records.len() - 16, totals)));
    }

    fn set_digests(&mut self, digests: Digests) {
        let digests = [digests.state.to_le_bytes(), digests.ledger.to_le_bytes()].concat();
        self.records(END, |records| drop(records.splice(records.len() - 16.., digests)));
    }

    /// As somebody writes it who wants it to be taken: with good checksums, totals and digests. The bytes, and what comes of
    /// them.
    pub(crate) fn mended(&self) -> (Vec<u8>, Result<Inventory, SnapshotError>) {
        let mut chunks = self.clone();
        for _ in 0..3 {
            let bytes = chunks.framed();
            match restore(&bytes) {
                Err(SnapshotError::Totals { said, found }) => {
                    assert_ne!(said, found);
                    chunks.set_totals(&found);
                }
                Err(SnapshotError::Digests { said, found }) => {
                    assert_ne!(said, found);
                    chunks.set_digests(found);
                }
                other => return (bytes, other),
            }
        }
        panic!("what was mended is still not what was found");
    }

    fn payload(&mut self, kind: u8) -> &mut Vec<u8> {
        &mut self.0.iter_mut().find(|(other, _)| *other == kind).unwrap().1
    }

    /// Changes the records of a kind, and leaves their texts as they are.
    pub(crate) fn records(&mut self, kind: u8, change: impl FnOnce(&mut Vec<u8>)) {
        let payload = self.payload(kind);
        let (length, rest) = payload.split_at(4);
        let (records, texts) = rest.split_at(u32::from_le_bytes(length.try_into().unwrap()) as usize);
        let mut records = records.to_vec();
        change(&mut records);
        let length = u32::try_from(records.len()).unwrap().to_le_bytes();
        *payload = [&length[..], &records, texts].concat();
    }

    fn with(&self, kind: u8, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut chunks = self.clone();
        chunks.records(kind, change);
        chunks
    }

    /// With other bytes in the place of some.
    fn patched(&self, kind: u8, from: &[u8], to: &[u8]) -> Self {
        let mut chunks = self.clone();
        let payload = chunks.payload(kind);
        let at = payload.windows(from.len()).position(|bytes| bytes == from);
        let at = at.unwrap_or_else(|| panic!("{from:?} is not in kind {kind}: {payload:?}"));
        payload.splice(at..at + from.len(), to.iter().copied());
        chunks
    }
}

/// Folds on from a state that was let in: nothing panics, and the books hold.
fn fold_on(inventory: Inventory) {
    // A broker counts in nanoseconds, and not beyond the year 2262.
    let clock_ms = inventory.now().millis().min(9_000_000_000_000) - START_MS;
    let mut shard = Shard { sequence: inventory.chain().sequence, inventory, clock_ms, ..Shard::default() };
    for line in [
        "tick",
        "[ ship L-1 | deliver L-1 | return L-1 X-9 restock | pay H-4 | ship H-4 | cancel H-5 | deliver 7 ]",
        "[ ship K-3 D:1 | deliver K-2 D:1 | return K-2 X-8 D:1+ | ship K-1 | deliver K-6 | return K-5 X-7 ]",
        "[ ship W-1 | cancel W-2 C:1 | pay W-3 | cancel W-4 | place W-1 C:9 backorder | place W-9 C:1 backorder ]",
        "[ receive R-8 A:99 B:99 C:9 E:99 | receive R-9 A:1 B:1 site=west | count C-8 D:0 | place W-8 D:1 backorder ]",
        "[ ship W-3 B:1 | deliver 8 | return 9 X-6 | ship 10 | cancel 11 | pay 12 | place 13 A:1 ]",
        "policy settled_window_ms=0 closed_window_ms=0 facts_window_ms=0 safety_stock=0 pay_within_ms=1",
        "[ tick | receive R-7 A:900 C:900 | count C-7 B:0 C:3 ]",
        "+90000000ms",
        "[ tick | tick | tick ]",
        "policy sites=main,east",
        "[ tick | tick | tick ]",
    ] {
        script::step(&mut shard, Format::Bincode, line, &mut Seen::default());
        shard.inventory.check_books().unwrap();
    }
}

/// What is refused is refused by name; what is let in is written again as it was, and can be folded on.
fn survives(chunks: &Chunks) -> Option<SnapshotError> {
    let (bytes, restored) = chunks.mended();
    match restored {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Some(error)
        }
        Ok(inventory) => {
            inventory.check_books().unwrap();
            assert_eq!(snapshot(&inventory), bytes, "it has two forms");
            fold_on(inventory);
            None
        }
    }
}

fn golden_chunks() -> Chunks {
    Chunks::of(&snapshot(&golden().0.inventory))
}

#[test]
fn the_framing_is_what_its_words_say() {
    let bytes = snapshot(&golden().0.inventory);
    let chunks = Chunks::of(&bytes);
    assert_eq!(chunks.framed(), bytes);
    let kinds: Vec<_> = chunks.0.iter().map(|(kind, _)| *kind).collect();
    let all: Vec<u8> = (HEAD..=END).collect();
    assert_eq!(kinds, all);
    let digests = golden().0.inventory.digests();
    let (_, end) = chunks.0.last().unwrap();
    assert!(end.ends_with(&[digests.state.to_le_bytes(), digests.ledger.to_le_bytes()].concat()));
    // The digest of the state is the last checksum before the end.
    let end_bytes = HEADER_BYTES + end.len();
    let before = Chunks(chunks.0[..chunks.0.len() - 1].to_vec()).framed();
    assert_eq!(before.len(), bytes.len() - end_bytes);
    let last = HEADER_BYTES + chunks.0[chunks.0.len() - 2].1.len();
    assert_eq!(before[before.len() - last + 5..][..8], digests.state.to_le_bytes());
    // Nothing is wrong with the tools of these tests.
    assert_eq!(survives(&chunks), None);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = snapshot(&golden().0.inventory);
    for length in 0..bytes.len() {
        let mut restoring = Restoring::new();
        restoring.feed(&bytes[..length]).unwrap();
        assert!(matches!(restoring.finish(), Err(SnapshotError::Truncated { .. })), "{length} bytes");
    }
    let mut restoring = Restoring::new();
    restoring.feed(&bytes).unwrap();
    assert_eq!(restoring.feed(&[0]), Err(SnapshotError::BytesBehind));
    // What failed stays failed.
    assert_eq!(restoring.feed(&[]), Err(SnapshotError::BytesBehind));
    assert_eq!(restoring.finish().unwrap_err(), SnapshotError::BytesBehind);
}

#[test]
fn every_flipped_bit_is_refused() {
    let mut bytes = snapshot(&golden().0.inventory);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(restore(&bytes).is_err(), "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
    }
    restore(&bytes).unwrap();
}

/// Missing, repeated and exchanged chunks: by their checksums; and where those are mended, never with a panic.
#[test]
fn chunks_that_are_missing_repeated_or_out_of_order() {
    let chunks = golden_chunks();
    let raw = chunks.framed();
    let mut borders = vec![PREFIX.len()];
    for (_, payload) in &chunks.0 {
        borders.push(borders.last().unwrap() + HEADER_BYTES + payload.len());
    }
    let piece = |number: usize| &raw[borders[number]..borders[number + 1]];
    for number in 0..chunks.0.len() {
        let (before, behind) = (&raw[..borders[number]], &raw[borders[number + 1]..]);
        let missing = [before, behind].concat();
        let repeated = [before, piece(number), piece(number), behind].concat();
        for bytes in [missing, repeated] {
            let error = restore(&bytes).unwrap_err();
            assert!(
                !matches!(error, SnapshotError::Totals { .. } | SnapshotError::Digests { .. }),
                "{error}"
            );
        }
        let mut mended = chunks.clone();
        mended.0.remove(number);
        if number + 1 < chunks.0.len() {
            survives(&mended);
        }
        let mut mended = chunks.clone();
        mended.0.insert(number, mended.0[number].clone());
        assert!(survives(&mended).is_some(), "chunk {number} twice");
        if number + 1 < chunks.0.len() {
            let exchanged = [before, piece(number + 1), piece(number), &raw[borders[number + 2]..]].concat();
            assert!(restore(&exchanged).is_err());
            let mut mended = chunks.clone();
            mended.0.swap(number, number + 1);
            assert!(survives(&mended).is_some(), "chunks {number} and {} exchanged", number + 1);
        }
    }
}

/// A hostile writer's own checksums, totals and digests: every byte changed in some ways, every payload cut and stretched.
#[test]
fn whatever_is_mended_is_refused_or_can_be_folded_on() {
    let chunks = golden_chunks();
    let (mut refused, mut taken) = (0, 0);
    let mut count = |survived: Option<SnapshotError>| match survived {
        Some(_) => refused += 1,
        None => taken += 1,
    };
    for number in 0..chunks.0.len() {
        let kind = chunks.0[number].0;
        // The many orders that are found are alike, and so are the entries of one that moved often.
        let length = chunks.0[number].1.len().min(if kind == SETTLED { 200 } else { 1_500 });
        for at in 0..length {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = chunks.clone();
                changed.0[number].1[at] ^= change;
                // The end is made anew where it is read at all.
                count(if kind == END { restore(&changed.framed()).err() } else { survives(&changed) });
            }
            let mut cut = chunks.clone();
            cut.0[number].1.truncate(at);
            count(if kind == END || at == 0 { restore(&cut.framed()).err() } else { survives(&cut) });
        }
        let mut stretched = chunks.clone();
        stretched.0[number].1.push(0);
        count(if kind == END { restore(&stretched.framed()).err() } else { survives(&stretched) });
    }
    // Other figures and times are another state.
    assert!(refused > 2_000 && taken > 2_000, "{refused} refused, {taken} taken");
}

#[track_caller]
fn says(chunks: &Chunks, expected: &str) {
    let error = survives(chunks).expect("it is refused").to_string();
    assert!(error.ends_with(expected), "{error}");
}

/// What is wrong is named.
#[test]
fn what_is_wrong_is_said() {
    let chunks = golden_chunks();
    says(&chunks.patched(ORDERS, b"100101", b"101101"), ": an order is there twice");
    says(&chunks.patched(CLOSED, b"K-2", b"H-2"), ": an order is there twice");
    says(&chunks.patched(REFUSED, b"F-3", b"F-1"), ": an order is there twice");
    says(&chunks.patched(STOCK, b"ABC", b"AAC"), ": a SKU is there twice");
    says(&chunks.patched(FACTS, b"C-4C-5", b"C-4C-4"), ": a fact is there twice");
    says(&chunks.patched(BASICS, b"mainwest", b"mainmain"), ": a site is there twice");
    says(&chunks.patched(ORDERS, b"100101", b"1\n0101"), ": an id has control characters");
    says(&chunks.patched(ORDERS, b"100101", b"1\xff0101"), ": an id is not UTF-8");
    says(&chunks.patched(ORDERS, b"100101", b"1001012"), ": a record ends too soon");
    says(&chunks.with(STOCK, |records| records[0] = 2), ": a place of stock is neither used nor not");
    says(&chunks.with(STOCK, |records| records[1] = 0), ": an id is empty or too long");
    says(&chunks.with(STOCK, |records| records[1] = 65), ": an id is empty or too long");
    says(&chunks.with(STOCK, |records| records[1] = 2), ": an id ends too soon, or within a character");
    let idle = ": a SKU is idle that is not, or is not that is";
    says(&chunks.with(STOCK, |records| records[28] = 2), idle);
    let twice = ": a place of stock is named unused that is used, or was named before";
    says(&chunks.with(STOCK_UNUSED, |records| records[1] = records[0]), twice);
    says(&chunks.with(STOCK_UNUSED, |records| records[0] = 0), twice);
    let not_named = ": a place of stock is not used, and not named so";
    says(&chunks.with(STOCK_UNUSED, |records| records.truncate(1)), not_named);
    says(&chunks.with(DEADLINES, |records| records.reverse()), ": deadlines are out of order");
    says(&chunks.with(DEADLINES, |records| records[0] = 200), ": a deadline of an order that has none");
    says(
        &chunks.with(DEADLINES, |records| records.truncate(3)),
        ": an order has a deadline that did not come",
    );
    says(&chunks.with(REFUSED, |records| records[0] = 5), ": a state that no such order has");
    says(
        &chunks.with(REFUSED, |records| records[1] = 0),
        ": a refused order that was not, or a closed one that was",
    );
    says(&chunks.with(MOVED, |records| *records = vec![251, 2, 0, 2]), ": a number is not at its shortest");
    says(&chunks.with(MOVED, |records| *records = vec![253, 2, 0]), ": a record ends too soon");
    says(&chunks.with(MOVED, |records| records[0] = 255), ": a record ends too soon");
    says(&chunks.with(MOVED, |records| records[1] = 200), ": a SKU that there is not");
    let moved = ": a SKU has moved twice, or nobody is parked at it";
    says(&chunks.with(MOVED, |records| records.extend_from_within(..)), moved);
    says(&chunks.with(MOVED, |records| records[1] = 3), moved);
    let uneasy = ": a SKU is looked for twice, or there is none";
    says(&chunks.with(UNEASY, |records| records.extend_from_within(..)), uneasy);
    says(&chunks.with(UNEASY, |records| records[0] = 8), uneasy);
    says(&chunks.with(UNEASY, |records| records[0] = 200), ": a SKU that there is not");
    let two = |records: &mut Vec<u8>| {
        records[0] = 2;
        let first = records[1..5].to_vec();
        records.splice(1..1, first);
    };
    says(&chunks.with(SEARCH, two), ": a SKU is searched for twice");
    says(&chunks.with(SEARCH, |records| records.extend_from_within(..)), ": a search is there twice");
    says(&chunks.with(SEARCH, |records| records[1] = 77), ": a SKU that there is not");
    says(&chunks.with(SEARCH, |records| records[0] = 200), ": a search for more SKUs than there are");
    says(&chunks.with(SEARCH, |records| *records = vec![0; 5]), ": a search for nothing");
    says(&chunks.with(SEARCH, |records| records[7] = 2), ": a search is beyond the last slot");
    says(&chunks.with(SEARCH, |records| records[8] = 1), ": a search has told all it was to tell");
    let unknown = ": something was found by a search that there is not";
    says(&chunks.with(FOUND, |records| records[0] = 1), unknown);
    says(&chunks.with(FOUND, |records| records[6] = 0), ": what a search found is out of order");
    says(&chunks.with(SIFTED, |records| records[0] = 250), ": an order is settled, and in no queue");
    says(&chunks.with(BASICS, |records| records.push(0)), ": bytes behind the last field");
    let last = |records: &mut Vec<u8>| *records.iter_mut().nth_back(1).unwrap() ^= 1;
    says(&chunks.with(HEAD, last), ": the head says another number of orders");
    let mut longer = chunks.clone();
    longer.payload(MOVED)[0] = 3;
    says(&longer, ": a chunk is shorter than its records");

    let mut unused = Vec::new();
    chunks.with(UNUSED, |records| unused.clone_from(records));
    assert!(unused.len() == 4 && !unused.contains(&0), "{unused:?}");
    let twice = ": a slot is named unused that is used, or was named before";
    says(&chunks.with(UNUSED, |records| records[1] = records[0]), twice);
    says(&chunks.with(UNUSED, |records| records[0] = 0), twice);
    says(&chunks.with(UNUSED, |records| records.truncate(3)), ": a slot is not used, and not named so");
    let beyond = |records: &mut Vec<u8>| drop(records.splice(0..1, [251, 255, 255]));
    says(&chunks.with(UNUSED, beyond), ": a slot that there is not");

    let newer = chunks.with(HEAD, |records| records[0] = 2);
    assert_eq!(survives(&newer), Some(SnapshotError::UnknownRules { rules: 2, newest: 1 }));
    let mut bytes = chunks.framed();
    bytes[8] = 2;
    assert_eq!(restore(&bytes).unwrap_err(), SnapshotError::UnknownFormat { version: 2, newest: 1 });
    bytes[0] = b'w';
    assert_eq!(restore(&bytes).unwrap_err(), SnapshotError::NotASnapshot);

    // A chunk that ends before its time has no business to go on in another.
    let mut split = chunks.with(UNUSED, |records| records.truncate(1));
    let number = split.0.iter().position(|(kind, _)| *kind == UNUSED).unwrap();
    let rest = chunks.with(UNUSED, |records| *records = unused[1..].to_vec());
    split.0.insert(number + 1, rest.0[number].clone());
    says(&split, ": the chunk before ended too soon");
}

/// Two states that look alike and decide otherwise have two digests.
#[test]
fn the_state_digest_covers_what_decides_later() {
    let chunks = golden_chunks();
    let mut digests = vec![golden().0.inventory.digests()];
    for (kind, at, to) in [
        (STOCK_UNUSED, 0, None),
        (UNUSED, 0, None),
        (DEADLINES, 0, None),
        (MOVED, 0, Some(7)),
        (UNEASY, 0, Some(1)),
        (SEARCH, 3, Some(7)),
        (FOUND, 4, Some(3)),
        (FACTS, 12, Some(7)),
    ] {
        let other = chunks.with(kind, |records| match to {
            Some(to) => records[at] = to,
            None => records.swap(0, 1),
        });
        digests.push(other.mended().1.unwrap().digests());
    }
    for (number, one) in digests.iter().enumerate() {
        assert!(digests[..number].iter().all(|other| other.state != one.state && other.ledger == one.ledger));
    }
}

/// What a header claims is checked before anything is kept for it.
#[test]
fn absurd_lengths_and_kinds() {
    let header = |kind: u8, length: u32| [&PREFIX[..], &[kind], &length.to_le_bytes(), &[0; 8]].concat();
    for (kind, length, expected) in [
        (HEAD, 4, "chunk 0: a chunk is shorter than 5 bytes or longer than 2 MiB"),
        (HEAD, (2 << 20) + 1, "chunk 0: a chunk is shorter than 5 bytes or longer than 2 MiB"),
        (HEAD, u32::MAX, "chunk 0: a chunk is shorter than 5 bytes or longer than 2 MiB"),
        (0, 5, "chunk 0: a kind of chunk that there is not"),
        (END + 1, 5, "chunk 0: a kind of chunk that there is not"),
        (255, 5, "chunk 0: a kind of chunk that there is not"),
        (BASICS, 5, "chunk 0: the first chunk is not the head"),
        (END, 5, "chunk 0: the first chunk is not the head"),
    ] {
        let mut restoring = Restoring::new();
        let error = restoring.feed(&header(kind, length)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

proptest! {
    #![proptest_config(random::config())]

    /// Arbitrary states, with arbitrary changes and good checksums.
    #[test]
    fn arbitrary_changes_to_arbitrary_states(
        steps in prop::collection::vec(random::step(), 1..80),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut shard = Shard::new();
        for step in &steps {
            random::feed(&mut shard, step);
        }
        let mut chunks = Chunks::of(&snapshot(&shard.inventory));
        for (number, at, to) in changes {
            let last = chunks.0.len() - 1;
            let payload = &mut chunks.0[number.index(last)].1;
            let at = at.index(payload.len());
            payload[at] = to;
        }
        survives(&chunks);
    }

    /// Arbitrary bytes.
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), prefix in any::<bool>()) {
        let bytes = if prefix { [&PREFIX[..], &bytes].concat() } else { bytes };
        prop_assert!(restore(&bytes).is_err());
    }
}

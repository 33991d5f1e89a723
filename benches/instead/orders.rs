//! The reference order, the same for every contender: a 12-byte id, two lines of one unit with 6-byte SKUs, `submitted_at`.
//!
//! The lines of an order follow from the seed and its number alone, so that an audit needs no record of what was sent.

use compact_str::{CompactString, format_compact};
use weir::words::timestamp::Timestamp;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Units of a line.
pub(crate) const QUANTITY: i64 = 1;
/// The most SKUs that six bytes name.
pub(crate) const SKUS_MAX: u32 = 100_000;

/// What is ordered, and of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shop {
    /// What the lines are drawn from.
    pub(crate) seed: u64,
    /// How many SKUs there are: 2 to [`SKUS_MAX`].
    pub(crate) skus: u32,
    /// Units of each SKU that are there at first.
    pub(crate) stock: i64,
}

/// One order, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: CompactString,
    pub(crate) skus: [CompactString; 2],
    pub(crate) submitted_at: Timestamp,
}

impl Shop {
    /// The SKUs of an order's two lines, by number: uniform, and never the same twice.
    pub(crate) fn draw(&self, number: u64) -> [u32; 2] {
        let hash = xxh3_64_with_seed(&number.to_le_bytes(), self.seed);
        let first = scale(hash >> 32, self.skus);
        let second = scale(hash & u64::from(u32::MAX), self.skus - 1);
        [first, if second >= first { second + 1 } else { second }]
    }

    /// Order `number`, as of `submitted_at`.
    pub(crate) fn order(&self, number: u64, submitted_at: Timestamp) -> Order {
        Order { id: order_id(number), skus: self.draw(number).map(sku), submitted_at }
    }
}

/// A number below 2^32 scaled to below `bound`.
fn scale(number: u64, bound: u32) -> u32 {
    u32::try_from((number * u64::from(bound)) >> 32).unwrap_or(0)
}

/// `O-` and ten digits.
pub(crate) fn order_id(number: u64) -> CompactString {
    format_compact!("O-{number:010}")
}

/// The number in an order's id, where it is one of these.
pub(crate) fn order_number(id: &str) -> Option<u64> {
    id.strip_prefix("O-").filter(|digits| digits.len() == 10)?.parse().ok()
}

/// `S` and five digits.
pub(crate) fn sku(number: u32) -> CompactString {
    format_compact!("S{number:05}")
}

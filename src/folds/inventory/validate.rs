//! The first rungs of every ladder: shapes and bounds, before any look at the state.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::ahead::Seen;
use super::refusal::Refusal;
use super::stock::{StockIndex, StockTable};
use crate::words::command::Line;
use crate::words::outcome::Reason;
use crate::words::policy::{Policy, QUANTITY_LIMIT_MAX};
use crate::words::text::{Text, is_id};
use crate::words::timestamp::Timestamp;

pub(super) type Checked = Result<(), Refusal<'static>>;

/// Ids must be ids.
pub(super) fn ids<'t>(ids: impl IntoIterator<Item = &'t Text<'t>>) -> Checked {
    for id in ids {
        if !is_id(id) {
            return Err(Refusal::new(Reason::InvalidId));
        }
    }
    Ok(())
}

/// Short texts that nobody decides by are bounded like ids.
#[inline]
pub(super) fn texts<'t, const N: usize>(texts: [(&'static str, Option<&'t Text<'t>>); N]) -> Checked {
    for (name, text) in texts {
        if text.is_some_and(|text| !is_id(text)) {
            return Err(Refusal::detailed(
                Reason::InvalidValue,
                format!("{name} must be 1 to 64 bytes without control characters"),
            ));
        }
    }
    Ok(())
}

pub(super) fn times(times: impl IntoIterator<Item = Option<Timestamp>>) -> Checked {
    if times.into_iter().flatten().all(Timestamp::is_valid) {
        Ok(())
    } else {
        Err(Refusal::new(Reason::InvalidTime))
    }
}

/// What is wanted of one SKU, summed over the lines that name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want<'c> {
    pub(super) sku: &'c str,
    pub(super) hash: u64,
    /// At most the sum of all lines at the highest limit, so it cannot overflow.
    pub(super) quantity: i64,
    /// Where it lies, once that was looked up; none where the SKU is not known.
    pub(super) stock: Option<StockIndex>,
    /// How much of it can be had, once that was looked up.
    pub(super) free: i64,
}

impl Want<'_> {
    pub(super) const fn is_short(&self) -> bool {
        self.free < self.quantity
    }
}

pub(super) type Wants<'c> = SmallVec<[Want<'c>; 4]>;

/// Up to this many lines, looking through the ones before is cheaper than a map.
const LINEAR_MAX: usize = 16;

/// Sums the lines that name one SKU, in order of first appearance. SKUs must be ids and quantities between `least` and
/// the highest limit that a policy could set.
pub(super) fn wants<'c>(
    lines: &'c [Line<'_>],
    least: i64,
    stock: &StockTable,
    seen: &Seen,
) -> Result<Wants<'c>, Refusal<'static>> {
    let mut wants = Wants::new();
    let mut places = (lines.len() > LINEAR_MAX).then(BTreeMap::new);
    for (number, line) in lines.iter().enumerate() {
        let known_at = seen.line(number);
        // A known SKU's name is an id: it was let in.
        if known_at.is_none() && !is_id(&line.sku) {
            return Err(Refusal::new(Reason::InvalidId));
        }
        if !(least..=QUANTITY_LIMIT_MAX).contains(&line.quantity) {
            return Err(Refusal::new(Reason::InvalidQuantity));
        }
        let hash = known_at.map_or_else(|| stock.hash(&line.sku), |index| stock.get(index).hash);
        let known = if let Some(places) = &mut places {
            let next = wants.len();
            let place = *places.entry(&*line.sku).or_insert(next);
            (place < next).then_some(place)
        } else {
            wants.iter().position(|want: &Want<'_>| want.hash == hash && want.sku == line.sku)
        };
        match known {
            Some(place) => wants[place].quantity += line.quantity,
            None => {
                wants.push(Want { sku: &line.sku, hash, quantity: line.quantity, stock: known_at, free: 0 });
            }
        }
    }
    if wants.is_empty() { Err(Refusal::new(Reason::NoLines)) } else { Ok(wants) }
}

/// The policy's limits on lines and their quantities.
pub(super) fn limits(lines: usize, wants: &[Want<'_>], policy: &Policy) -> Checked {
    if lines as u64 > policy.lines_max.unsigned_abs() {
        return Err(Refusal::new(Reason::TooManyLines));
    }
    if wants.iter().any(|want| want.quantity > policy.quantity_max) {
        return Err(Refusal::new(Reason::InvalidQuantity));
    }
    Ok(())
}

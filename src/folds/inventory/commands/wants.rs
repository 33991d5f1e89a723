//! The first rungs of every ladder: shapes and bounds, before any look at the state; and what a command wants of each SKU.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::content::Content;
use super::refusal::Refusal;
use crate::folds::inventory::tables::stock::StockTable;
use crate::words::command::{CountLine, Line, Money, PlaceLine, ReturnLine};
use crate::words::outcome::Reason;
use crate::words::policy::{Policy, QUANTITY_LIMIT_MAX, STOCK_MAX};
use crate::words::text::{Text, is_id};
use crate::words::timestamp::Timestamp;

pub(crate) type Checked = Result<(), Refusal<'static>>;

/// Ids must be ids.
pub(crate) fn ids<'t>(ids: impl IntoIterator<Item = &'t Text<'t>>) -> Checked {
    if ids.into_iter().all(|id| is_id(id)) { Ok(()) } else { Err(Refusal::new(Reason::InvalidId)) }
}

/// Short texts that nobody decides by are bounded like ids.
pub(crate) fn texts<'t, const N: usize>(texts: [(&'static str, Option<&'t Text<'t>>); N]) -> Checked {
    match texts.into_iter().find(|(_, text)| text.is_some_and(|text| !is_id(text))) {
        None => Ok(()),
        Some((name, _)) => Err(Refusal::detailed(
            Reason::InvalidValue,
            format!("{name} must be 1 to 64 bytes without control characters"),
        )),
    }
}

pub(crate) fn times(times: impl IntoIterator<Item = Option<Timestamp>>) -> Checked {
    if times.into_iter().flatten().all(Timestamp::is_valid) {
        Ok(())
    } else {
        Err(Refusal::new(Reason::InvalidTime))
    }
}

/// An amount of money: its minor units from `least`, and its currency.
pub(crate) fn money(money: Option<&Money<'_>>, least: i64) -> Checked {
    let Some(Money { minor, currency }) = money else { return Ok(()) };
    let is_currency = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_currency {
        return Err(Refusal::detailed(Reason::InvalidValue, "a currency is three capital letters"));
    }
    amount("minor", Some(*minor), least)
}

/// A number of minor units.
pub(crate) fn amount(name: &str, minor: Option<i64>, least: i64) -> Checked {
    match minor {
        Some(minor) if !(least..=STOCK_MAX).contains(&minor) => {
            Err(Refusal::detailed(Reason::InvalidValue, format!("{name} must be {least} to 2^53 - 1")))
        }
        _ => Ok(()),
    }
}

/// What is wanted of one SKU, summed over the lines that name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want<'c> {
    pub(crate) sku: &'c str,
    pub(crate) hash: u64,
    /// At most the sum of all lines at the highest limit, so it cannot overflow.
    pub(crate) quantity: i64,
}

pub(crate) type Wants<'c> = SmallVec<[Want<'c>; 4]>;

/// A line of whichever command.
pub(crate) trait Named {
    fn named(&self) -> (&str, i64);
}

macro_rules! named {
    ($($Type:ident),*) => {
        $(impl Named for $Type<'_> {
            fn named(&self) -> (&str, i64) {
                (&self.sku, self.quantity)
            }
        })*
    };
}

named!(Line, PlaceLine, CountLine, ReturnLine);

/// Up to this many lines, looking through the ones before is cheaper than a map.
const LINEAR_MAX: usize = 16;

/// Sums the lines that name one SKU, in order of first appearance. SKUs must be ids and quantities between `least` and
/// the highest limit that a policy could set.
pub(crate) fn wants<'c, L: Named>(
    lines: &'c [L],
    least: i64,
    stock: &StockTable,
) -> Result<Wants<'c>, Refusal<'static>> {
    let mut wants = Wants::new();
    let mut places = (lines.len() > LINEAR_MAX).then(BTreeMap::new);
    for line in lines {
        let (sku, quantity) = line.named();
        if !is_id(sku) {
            return Err(Refusal::new(Reason::InvalidId));
        }
        if !(least..=QUANTITY_LIMIT_MAX).contains(&quantity) {
            return Err(Refusal::new(Reason::InvalidQuantity));
        }
        let hash = stock.hash(sku);
        let known = if let Some(places) = &mut places {
            let next = wants.len();
            let place = *places.entry(sku).or_insert(next);
            (place < next).then_some(place)
        } else {
            wants.iter().position(|want: &Want<'_>| want.hash == hash && want.sku == sku)
        };
        match known {
            Some(place) => wants[place].quantity += quantity,
            None => wants.push(Want { sku, hash, quantity }),
        }
    }
    if wants.is_empty() { Err(Refusal::new(Reason::NoLines)) } else { Ok(wants) }
}

/// The policy's limits on lines and their quantities.
pub(crate) fn limits(lines: usize, wants: &[Want<'_>], policy: &Policy) -> Checked {
    if lines as u64 > policy.lines_max.unsigned_abs() {
        return Err(Refusal::new(Reason::TooManyLines));
    }
    if wants.iter().any(|want| want.quantity.abs() > policy.quantity_max) {
        return Err(Refusal::new(Reason::InvalidQuantity));
    }
    Ok(())
}

/// The policy's limit on how long stock may be held unpaid.
pub(crate) fn hold(within_ms: Option<i64>, policy: &Policy) -> Checked {
    if within_ms.is_some_and(|within| within > policy.hold_ms_max) {
        let detail = "pay_within_ms is beyond the policy's hold_ms_max";
        return Err(Refusal::detailed(Reason::InvalidValue, detail));
    }
    Ok(())
}

/// What makes two lists of lines the same, in whatever order.
pub(crate) fn content(content: Content, wants: &[Want<'_>]) -> Content {
    content.any_order(wants.iter().map(|want| (want.hash, want.quantity.cast_unsigned())))
}

//! Facts of stock, and work under way: line-ups that have moved, a search and what it found.

use compact_str::CompactString;

use super::fields::{Fields, Payload, Read};
use super::orders::{read_slot_number, write_slot_number};
use super::stock::{read_number, write_number};
use crate::folds::inventory::after::shortfalls::{Found, Search};
use crate::folds::inventory::tables::facts::{FactKind, Told};
use crate::folds::inventory::tables::order::Ticket;
use crate::folds::inventory::tables::stock::StockIndex;
use crate::words::timestamp::Timestamp;

/// No number of units is beyond: there is room to go on.
const UNITS_MAX: u64 = 1 << 62;

/// A fact, without its kind.
pub(super) type Fact = (Timestamp, CompactString, Told);

pub(super) fn write_fact(payload: &mut Payload, kind: usize, at: Timestamp, id: &str, told: Told) {
    payload.count(kind);
    payload.time(at);
    payload.id(id);
    payload.hash(told.content);
    payload.sequence(told.first_sequence);
}

/// Reads a fact, and the number of its kind.
pub(super) fn read_fact(fields: &mut Fields<'_>) -> Read<(usize, Fact)> {
    let kind = fields.at_most(FactKind::KINDS as u64 - 1, "a kind of fact that there is not")?;
    let (at, id) = (fields.time()?, fields.id()?.into());
    let told = Told { content: fields.hash()?, first_sequence: fields.sequence()? };
    Ok((kind, (at, id, told)))
}

/// A search without what its walk has found, but with what it looks for.
pub(super) fn write_search(payload: &mut Payload, search: &Search) {
    payload.count(search.stocks.len());
    for stock in &search.stocks {
        write_number(payload, *stock);
        let found = search.found.get(stock);
        payload.number(found.map_or(0, |found| found.target.unsigned_abs() + 1));
    }
    payload.number(search.cursor);
    payload.count(search.told);
    payload.number(search.below.map_or(0, |below| below.0 + 1));
    payload.number(search.covered.unsigned_abs());
}

pub(super) fn read_search(fields: &mut Fields<'_>, places: usize, slots: usize) -> Read<Search> {
    let count: usize = fields.at_most(places as u64, "a search for more SKUs than there are")?;
    let mut search = Search::default();
    for _ in 0..count {
        let stock = read_number(fields, places)?;
        search.stocks.push(stock);
        if let Some(target) = fields
            .at_most::<i64>(UNITS_MAX, "more units than there can be")?
            .checked_sub(1)
            .filter(|target| *target >= 0)
        {
            let twice = search.found.insert(stock, Found { target, ..Found::default() });
            if twice.is_some() {
                return Err("a SKU is searched for twice");
            }
        }
    }
    search.cursor = fields.at_most(slots as u64, "a search is beyond the last slot")?;
    search.told = fields.at_most((count as u64).saturating_sub(1), "a search has told all it was to tell")?;
    search.below = fields.number()?.checked_sub(1).map(Ticket);
    search.covered = fields.at_most(UNITS_MAX, "more units than there can be")?;
    if count == 0 { Err("a search for nothing") } else { Ok(search) }
}

pub(super) fn write_found(
    payload: &mut Payload,
    stock: StockIndex,
    ticket: Ticket,
    (slot, reserved): (u32, u32),
) {
    write_number(payload, stock);
    payload.ticket(ticket);
    write_slot_number(payload, slot);
    payload.number(reserved);
}

/// Reads what a walk found: SKUs in their order, and oldest orders first.
pub(super) fn read_found(
    fields: &mut Fields<'_>,
    search: Option<&mut Search>,
    last: &mut StockIndex,
    (places, slots): (usize, usize),
) -> Read<()> {
    const NONE: &str = "something was found by a search that there is not";
    let stock = read_number(fields, places)?;
    let ticket = fields.ticket()?;
    let slot = read_slot_number(fields, slots)?;
    let reserved: u32 = fields.at_most(u32::MAX.into(), "more units than there can be")?;
    let found = search.and_then(|search| search.found.get_mut(&stock)).ok_or(NONE)?;
    let newer = found.orders.last_key_value().is_none_or(|(before, _)| *before < ticket);
    if stock < *last || !newer {
        return Err("what a search found is out of order");
    }
    *last = stock;
    found.held += i64::from(reserved);
    found.orders.insert(ticket, (slot, reserved));
    Ok(())
}

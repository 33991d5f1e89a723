//! Facts, and work under way: releases, searches and what they found.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::fields::{Fields, Payload, Read};
use super::orders::{read_slot_number, read_ticket, write_slot_number, write_ticket};
use crate::folds::inventory::facts::{FactKind, Told};
use crate::folds::inventory::order::Ticket;
use crate::folds::inventory::orders::Slot;
use crate::folds::inventory::shortfalls::{Search, Searches};
use crate::folds::inventory::stock::StockIndex;
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
    let kind = fields.at_most(FactKind::COUNT as u64 - 1, "a kind of fact that there is not")?;
    let (at, id) = (fields.time()?, fields.id()?.into());
    let told = Told { content: fields.hash()?, first_sequence: fields.sequence()? };
    Ok((kind, (at, id, told)))
}

pub(super) fn write_stock_number(payload: &mut Payload, stock: StockIndex) {
    payload.number(stock.0);
}

/// Reads the number of a SKU that there is.
pub(super) fn read_stock_number(fields: &mut Fields<'_>, skus: usize) -> Read<StockIndex> {
    let stock = StockIndex(fields.at_most(u32::MAX.into(), "a SKU that there is not")?);
    if (stock.0 as usize) < skus { Ok(stock) } else { Err("a SKU that there is not") }
}

pub(super) fn write_search(payload: &mut Payload, search: &Search) {
    write_stock_number(payload, search.stock);
    payload.count(search.cursor);
    for units in [search.target, search.held, search.named] {
        payload.number(units.unsigned_abs());
    }
}

pub(super) fn read_search(fields: &mut Fields<'_>, skus: usize, slots: usize) -> Read<Search> {
    let stock = read_stock_number(fields, skus)?;
    let cursor = fields.at_most(slots as u64, "a search is beyond the last slot")?;
    let mut units = || fields.at_most(UNITS_MAX, "more units than there can be");
    Ok(Search { stock, cursor, target: units()?, held: units()?, named: units()?, found: BTreeMap::new() })
}

pub(super) fn write_found(
    payload: &mut Payload,
    search: usize,
    ticket: Ticket,
    (slot, reserved): (Slot, i64),
) {
    payload.count(search);
    write_ticket(payload, ticket);
    write_slot_number(payload, slot);
    payload.number(reserved.unsigned_abs());
}

/// Reads what a search found: searches in their order, and oldest orders first.
pub(super) fn read_found(
    fields: &mut Fields<'_>,
    searches: &mut Searches,
    last: &mut usize,
    slots: usize,
) -> Read<()> {
    const NONE: &str = "something was found by a search that there is not";
    let number: usize = fields.at_most((searches.len() as u64).checked_sub(1).ok_or(NONE)?, NONE)?;
    let ticket = read_ticket(fields)?;
    let slot = read_slot_number(fields, slots)?;
    let reserved = fields.at_most(u32::MAX.into(), "more units than there can be")?;
    let found = &mut searches[number].found;
    let newer = found.last_key_value().is_none_or(|(before, _)| *before < ticket);
    if number < *last || !newer {
        return Err("what searches found is out of order");
    }
    *last = number;
    found.insert(ticket, (slot, reserved));
    Ok(())
}

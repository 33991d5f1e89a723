//! Stock: SKUs at sites, and places that are not used.

use super::fields::{Fields, Payload, Read, Wrong};
use crate::folds::inventory::tables::sites::{SiteIndex, Sites};
use crate::folds::inventory::tables::stock::{Books, Flows, RestoredStock, Stock, StockIndex, StockTable};
use crate::words::policy::{QUANTITY_LIMIT_MAX, SKUS_LIMIT_MAX, STOCK_MAX};

/// The places that a table of SKUs may have: a policy may have allowed more than one of now.
const PLACES_MAX: u64 = 2 * SKUS_LIMIT_MAX.unsigned_abs();

pub(super) fn write_place(payload: &mut Payload, stock: &StockTable, place: Option<(&Stock, &Books)>) {
    let Some((item, books)) = place else { return payload.byte(0) };
    payload.byte(1);
    payload.id(stock.sku_of(item));
    payload.number(item.site.0);
    payload.number(StockTable::own_safety(item).map_or(0, |safety| u64::from(safety) + 1));
    payload.number(item.allowance);
    // What is on hand follows from what came and went; what is reserved, from the orders.
    for flow in books.flows.all() {
        payload.signed(flow);
    }
    payload.time(books.changed_at);
    payload.maybe_time(StockTable::idle_since(books));
}

/// Reads a place of the table; whether it is used.
pub(super) fn read_place(
    fields: &mut Fields<'_>,
    sites: &Sites,
    stock: &mut StockTable,
) -> Read<Option<StockIndex>> {
    const BEYOND: Wrong = "a figure of stock is out of its bounds";
    if stock.len() as u64 >= PLACES_MAX {
        return Err("more SKUs than there can be");
    }
    if fields.at_most::<u8>(1, "a place of stock is neither used nor not")? == 0 {
        stock.restore_empty();
        return Ok(None);
    }
    let sku = fields.id()?;
    let site = SiteIndex(fields.at_most(u16::MAX.into(), "a site that there is not")?);
    if usize::from(site.0) >= sites.all().len() {
        return Err("a site that there is not");
    }
    let most = QUANTITY_LIMIT_MAX.unsigned_abs();
    let own_safety = fields.at_most::<u32>(most + 1, BEYOND)?.checked_sub(1);
    let allowance = fields.at_most(most, BEYOND)?;
    let mut flow = |least: i64| {
        fields
            .signed_within(STOCK_MAX, BEYOND)
            .and_then(|flow| if flow < least { Err(BEYOND) } else { Ok(flow) })
    };
    let flows = Flows {
        received: flow(0)?,
        adjusted: flow(-STOCK_MAX)?,
        restocked: flow(0)?,
        shipped: flow(0)?,
        moved_in: flow(0)?,
        moved_out: flow(0)?,
    };
    if flows.left().abs() > STOCK_MAX {
        return Err(BEYOND);
    }
    let (changed_at, idle_since) = (fields.time()?, fields.maybe_time()?);
    let item = RestoredStock { own_safety, allowance, flows, changed_at, idle_since };
    stock.restore(site, sku, item).map(Some).ok_or("a SKU is there twice")
}

pub(super) fn write_number(payload: &mut Payload, stock: StockIndex) {
    payload.number(stock.0);
}

/// Reads the number of a place of the table, used or not.
pub(super) fn read_number(fields: &mut Fields<'_>, places: usize) -> Read<StockIndex> {
    let stock = StockIndex(fields.at_most(u32::MAX.into(), "a SKU that there is not")?);
    if (stock.0 as usize) < places { Ok(stock) } else { Err("a SKU that there is not") }
}

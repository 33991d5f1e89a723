//! The small things and the stock: head, basics, SKUs, end.

use super::SnapshotHead;
use super::fields::{Fields, Payload, Read};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::digest::Digests;
use crate::folds::inventory::orders::{NUMBERS, Orders, Remembered};
use crate::folds::inventory::policy::{ENTRIES_MAX, check_ranges};
use crate::folds::inventory::stock::{Flows, SiteIndex, Sites, Stock, StockTable, StockTotals};
use crate::folds::inventory::view::Totals;
use crate::words::append::Chain;
use crate::words::policy::{Policy, PolicyChange, QUANTITY_LIMIT_MAX, SITES_MAX, STOCK_MAX};
use crate::words::timestamp::Timestamp;

/// No count and no sequence is beyond: there is room to go on.
const NUMBER_MAX: u64 = 1 << 62;

pub(super) fn write_head(payload: &mut Payload, head: &SnapshotHead) {
    payload.number(head.rules);
    payload.number(head.chain.sequence);
    payload.hash(head.chain.hash);
    payload.hash(head.last_message_hash);
    payload.number(head.now.millis().unsigned_abs());
    payload.number(head.orders);
}

pub(super) fn read_head(fields: &mut Fields<'_>) -> Read<SnapshotHead> {
    Ok(SnapshotHead {
        rules: fields.at_most(u32::MAX.into(), "a rules version that is none")?,
        chain: Chain {
            sequence: fields.at_most(NUMBER_MAX, "a sequence beyond all bounds")?,
            hash: fields.hash()?,
        },
        last_message_hash: fields.hash()?,
        now: Timestamp::from_millis(fields.at_most(
            Timestamp::MAX.millis().unsigned_abs(),
            "a log time that does not lie between 1970 and 9998",
        )?),
        orders: fields.number()?,
    })
}

pub(super) fn write_basics(payload: &mut Payload, inventory: &Inventory) {
    for value in figures(&inventory.policy) {
        payload.number(value.unsigned_abs());
    }
    let sites = inventory.sites.all();
    payload.count(sites.len());
    for (name, listed) in sites {
        payload.id(name);
        payload.byte(listed.into());
    }
    payload.hash(inventory.stock.seed());
    let Remembered { closed_front, forgotten_until, forgotten_count, seed } = inventory.orders.remembered();
    payload.hash(seed);
    payload.number(closed_front);
    payload.number(forgotten_until.map_or(0, |until| until.millis().unsigned_abs() + 1));
    payload.number(forgotten_count);
}

/// A policy without its rules version, which stands in the head.
fn figures(policy: &Policy) -> [i64; 12] {
    let Policy {
        rules: _,
        pay_within_ms,
        lines_max,
        quantity_max,
        open_orders_max,
        settled_orders_max,
        settled_window_ms,
        closed_orders_max,
        closed_window_ms,
        facts_max,
        facts_window_ms,
        skus_max,
        safety_stock,
    } = *policy;
    [
        pay_within_ms,
        lines_max,
        quantity_max,
        open_orders_max,
        settled_orders_max,
        settled_window_ms,
        closed_orders_max,
        closed_window_ms,
        facts_max,
        facts_window_ms,
        skus_max,
        safety_stock,
    ]
}

/// Reads the basics into an inventory that has nothing but its head.
pub(super) fn read_basics(fields: &mut Fields<'_>, inventory: &mut Inventory) -> Read<()> {
    let mut figure = || fields.at_most(NUMBER_MAX, "a figure of the policy is out of its bounds");
    inventory.policy = Policy {
        rules: inventory.policy.rules,
        pay_within_ms: figure()?,
        lines_max: figure()?,
        quantity_max: figure()?,
        open_orders_max: figure()?,
        settled_orders_max: figure()?,
        settled_window_ms: figure()?,
        closed_orders_max: figure()?,
        closed_window_ms: figure()?,
        facts_max: figure()?,
        facts_window_ms: figure()?,
        skus_max: figure()?,
        safety_stock: figure()?,
    };
    if check_ranges(&PolicyChange::from(&inventory.policy)).is_err() {
        return Err("a figure of the policy is out of its bounds");
    }
    let count: usize = fields.at_most(SITES_MAX as u64, "more sites than a shard may have")?;
    let mut sites = Vec::new();
    for _ in 0..count {
        sites.push((fields.id()?, fields.at_most::<u8>(1, "a site is neither listed nor not")? == 1));
    }
    inventory.sites = Sites::restored(&sites).ok_or("a site is there twice")?;
    inventory.stock = StockTable::default();
    inventory.stock.set_seed(fields.hash()?);
    inventory.stock.set_safety_default(inventory.policy.safety_stock);
    let seed = fields.hash()?;
    let closed_front =
        fields.at_most(u64::from(NUMBERS) - 1, "a closed order's number beyond all numbers")?;
    let forgotten_until = match fields.number()? {
        0 => None,
        after => {
            let until = i64::try_from(after - 1).ok().filter(|until| *until <= inventory.now.millis());
            Some(Timestamp::from_millis(until.ok_or("something was forgotten after log time")?))
        }
    };
    let forgotten_count = fields.at_most(NUMBER_MAX, "more orders forgotten than there can be")?;
    let remembered = Remembered { closed_front, forgotten_until, forgotten_count, seed };
    inventory.orders = Orders::restored(remembered);
    Ok(())
}

pub(super) fn write_stock(payload: &mut Payload, item: &Stock, flows: &Flows) {
    payload.id(&item.sku);
    payload.number(item.site.0);
    payload.number(item.safety.map_or(0, |safety| u64::from(safety) + 1));
    // What is on hand follows from what came and went; what is reserved, from the orders.
    payload.number(flows.received.unsigned_abs());
    payload.signed(flows.adjusted);
    payload.number(flows.restocked.unsigned_abs());
    payload.number(flows.shipped.unsigned_abs());
}

pub(super) fn read_stock(fields: &mut Fields<'_>, sites: &Sites, stock: &mut StockTable) -> Read<()> {
    const BEYOND: &str = "a figure of stock is out of its bounds";
    let sku = fields.id()?;
    let site = SiteIndex(fields.at_most(u16::MAX.into(), "a site that there is not")?);
    if usize::from(site.0) >= sites.all().len() {
        return Err("a site that there is not");
    }
    let safety = fields.at_most::<u32>(QUANTITY_LIMIT_MAX.unsigned_abs() + 1, BEYOND)?.checked_sub(1);
    let most = STOCK_MAX.unsigned_abs();
    let flows = Flows {
        received: fields.at_most(most, BEYOND)?,
        adjusted: fields.signed_within(STOCK_MAX, BEYOND)?,
        restocked: fields.at_most(most, BEYOND)?,
        shipped: fields.at_most(most, BEYOND)?,
    };
    if flows.left().abs() > STOCK_MAX {
        return Err(BEYOND);
    }
    if stock.items().len() as u64 >= ENTRIES_MAX.unsigned_abs() {
        return Err("more SKUs than there can be");
    }
    if stock.restore((site, sku), safety, flows) { Ok(()) } else { Err("a SKU is there twice") }
}

pub(super) fn write_end(payload: &mut Payload, totals: &Totals, digests: Digests) {
    let Totals {
        stock: StockTotals { skus, out_of_stock, on_hand, reserved },
        open_orders,
        waiting_orders,
        settled_orders,
        closed_orders,
        forgotten_orders,
        held_orders,
    } = *totals;
    payload.number(skus);
    payload.number(out_of_stock);
    payload.signed(on_hand);
    payload.signed(reserved);
    for count in [open_orders, waiting_orders, settled_orders, closed_orders, forgotten_orders, held_orders] {
        payload.number(count);
    }
    payload.hash(digests.state);
    payload.hash(digests.ledger);
}

pub(super) fn read_end(fields: &mut Fields<'_>) -> Read<(Totals, Digests)> {
    let stock = StockTotals {
        skus: fields.number()?,
        out_of_stock: fields.number()?,
        on_hand: fields.signed()?,
        reserved: fields.signed()?,
    };
    let totals = Totals {
        stock,
        open_orders: fields.number()?,
        waiting_orders: fields.number()?,
        settled_orders: fields.number()?,
        closed_orders: fields.number()?,
        forgotten_orders: fields.number()?,
        held_orders: fields.number()?,
    };
    Ok((totals, Digests { state: fields.hash()?, ledger: fields.hash()? }))
}

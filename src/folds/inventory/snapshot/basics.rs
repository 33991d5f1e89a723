//! The small things: head, basics, end.

use super::SnapshotHead;
use super::fields::{Fields, Payload, Read};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::commands::policy::check_figures;
use crate::folds::inventory::digest::Digests;
use crate::folds::inventory::tables::order::{SEQUENCES_MAX, Ticket};
use crate::folds::inventory::tables::orders::{Basics, Orders};
use crate::folds::inventory::tables::remembered::NUMBERS;
use crate::folds::inventory::tables::sites::Sites;
use crate::folds::inventory::tables::stock::{StockTable, StockTotals};
use crate::folds::inventory::view::Totals;
use crate::words::append::Chain;
use crate::words::policy::{Policy, PolicyChange, SITES_MAX};
use crate::words::timestamp::Timestamp;

/// No count is beyond: there is room to go on.
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
            sequence: fields.at_most(SEQUENCES_MAX / 2, "a sequence beyond all bounds")?,
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
    // The rules version stands in the head.
    for value in inventory.policy.figures() {
        payload.number(value.unsigned_abs());
    }
    let sites = inventory.sites.all();
    payload.count(sites.len());
    for (name, listed) in sites {
        payload.id(name);
        payload.byte(listed.into());
    }
    payload.hash(inventory.stock.seed());
    let Basics { closed_front, refused_front, forgotten_until, forgotten_count, seed } =
        inventory.orders.basics();
    payload.hash(seed);
    payload.number(closed_front);
    payload.number(refused_front);
    payload.maybe_time(forgotten_until);
    payload.number(forgotten_count);
    payload.number(inventory.waiting.all_moved().map_or(0, |from| from.0 + 1));
}

/// Reads the basics into an inventory that has nothing but its head.
pub(super) fn read_basics(fields: &mut Fields<'_>, inventory: &mut Inventory) -> Read<()> {
    const BEYOND: &str = "a figure of the policy is out of its bounds";
    let mut figures = [0; Policy::FIGURES];
    for figure in &mut figures {
        *figure = fields.at_most(NUMBER_MAX, BEYOND)?;
    }
    inventory.policy = Policy::of_figures(inventory.policy.rules, figures);
    if check_figures(&PolicyChange::from(&inventory.policy)).is_err() {
        return Err(BEYOND);
    }
    let count: usize = fields.at_most(SITES_MAX as u64, "more sites than a shard may have")?;
    let mut sites = Vec::new();
    for _ in 0..count {
        sites.push((fields.id()?, fields.at_most::<u8>(1, "a site is neither listed nor not")? == 1));
    }
    inventory.sites = Sites::restored(&sites).ok_or("a site is there twice")?;
    inventory.stock = StockTable::default();
    inventory.stock.set_seed(fields.hash()?);
    inventory.stock.set_safety_default(u32::try_from(inventory.policy.safety_stock).map_err(|_| BEYOND)?);
    let seed = fields.hash()?;
    let mut front = || fields.at_most(u64::from(NUMBERS) - 1, "an order's number beyond all numbers");
    let (closed_front, refused_front) = (front()?, front()?);
    let forgotten_until = fields.maybe_time()?;
    let forgotten_count = fields.at_most(NUMBER_MAX, "more orders forgotten than there can be")?;
    inventory.orders =
        Orders::restored(Basics { closed_front, refused_front, forgotten_until, forgotten_count, seed });
    let all_moved = fields.number()?.checked_sub(1).map(Ticket);
    inventory.waiting.restore_all_moved(all_moved);
    Ok(())
}

pub(super) fn write_end(payload: &mut Payload, totals: &Totals, digests: Digests) {
    let StockTotals { skus, out_of_stock, on_hand, reserved } = totals.stock;
    payload.number(skus);
    payload.number(out_of_stock);
    payload.signed(on_hand);
    payload.signed(reserved);
    for count in totals.counts() {
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
    let mut counts = [0; Totals::COUNTS];
    for count in &mut counts {
        *count = fields.number()?;
    }
    let digests = Digests { state: fields.hash()?, ledger: fields.hash()? };
    Ok((Totals::of(stock, counts), digests))
}

//! Orders, used slots and unused ones, settled entries, closed and refused orders.

use super::fields::{Fields, Payload, Read, Wrong};
use crate::folds::inventory::posting::new_order;
use crate::folds::inventory::tables::names::Name;
use crate::folds::inventory::tables::order::Order;
use crate::folds::inventory::tables::order::{Bucket, Flags, MIXED, OrderLine, Part, Ticket, View};
use crate::folds::inventory::tables::orders::Orders;
use crate::folds::inventory::tables::remembered::{Closed, FirstOutcome};
use crate::folds::inventory::tables::settled::Entry;
use crate::folds::inventory::tables::sides::{More, Parked, Side, Sums, Told, ToldKind, Value};
use crate::folds::inventory::tables::sites::SiteIndex;
use crate::folds::inventory::tables::stock::StockIndex;
use crate::words::outcome::State;
use crate::words::policy::{CLAIM_UNITS_LIMIT_MAX, LINES_LIMIT_MAX, SITES_MAX, STOCK_MAX, WINDOW_MS_MAX};

// A slot's first byte: a stage and the order's flags, or that it is not used.
const STAGE_BITS: u32 = 4;
const STAGE: u8 = (1 << STAGE_BITS) - 1;
const UNUSED: u8 = STAGE;
/// The order has a side, and what of it there is follows.
const SIDE: u8 = 1 << 7;

// What there is of a side.
const VALUE: u8 = 1;
const PAID: u8 = 1 << 1;
const DEADLINE: u8 = 1 << 2;
const TOLD: u8 = 1 << 3;
const PARKED: u8 = 1 << 4;

const QUANTITY: Wrong = "a quantity is 0 or out of bounds";

/// Up to this many lines, comparing each with each is cheaper than sorting them.
const LINEAR_MAX: usize = 16;

pub(super) fn write_slot(payload: &mut Payload, orders: &Orders, view: Option<View<'_>>) {
    let Some(view) = view else { return payload.byte(UNUSED) };
    let order = view.order;
    let of_side = of_side(view);
    let side = if of_side == 0 { 0 } else { SIDE };
    payload.byte(order.stage | order.flags.0 << STAGE_BITS | side);
    payload.id(orders.id(order));
    payload.hash(order.content);
    payload.ticket(order.ticket);
    payload.time(order.since);
    let lines = view.lines();
    payload.count(lines.len());
    for (number, line) in lines.iter().enumerate() {
        payload.number(line.stock.0);
        if view.whole().is_some() {
            payload.number(line.quantity);
        } else {
            write_part(payload, &view.part(number));
        }
    }
    if side != 0 {
        payload.byte(of_side);
        write_side(payload, view);
    }
}

fn of_side(view: View<'_>) -> u8 {
    let Some(side) = view.side else { return 0 };
    let more = side.more.as_deref();
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    flag(side.value.is_some(), VALUE)
        | flag(side.paid != 0, PAID)
        | flag(side.deadline.is_some(), DEADLINE)
        | flag(more.is_some_and(|more| !more.told.is_empty()), TOLD)
        | flag(more.is_some_and(|more| more.parked.is_some()), PARKED)
}

fn write_side(payload: &mut Payload, view: View<'_>) {
    let Some(side) = view.side else { return };
    if let Some(Value { minor, currency }) = side.value {
        payload.number(minor.unsigned_abs());
        for letter in currency {
            payload.byte(letter);
        }
    }
    if side.paid != 0 {
        payload.number(side.paid.unsigned_abs());
    }
    if let Some(deadline) = side.deadline {
        payload.signed(deadline.millis() - view.order.since.millis());
    }
    let Some(more) = &side.more else { return };
    if !more.told.is_empty() {
        payload.count(more.told.len());
        for told in &more.told {
            payload.byte(told.kind as u8);
            payload.hash(told.id);
            payload.hash(told.content);
            payload.sequence(told.first_sequence);
        }
    }
    if let Some(Parked { stock, claim, turn, pay_within_ms, first_site }) = more.parked {
        // Whoever waits stands in the line-up of one of its SKUs, and nobody else does.
        let line = view.lines().iter().position(|line| line.stock == stock).unwrap_or_default();
        payload.count(line);
        payload.number(claim);
        payload.ticket(turn);
        payload.number(pay_within_ms.map_or(0, i64::unsigned_abs));
        payload.number(first_site.map_or(0, |site| u32::from(site.0) + 1));
    }
}

fn write_part(payload: &mut Payload, part: &Part) {
    for units in part.units.into_iter().chain([part.shipping_due, part.delivery_due, part.lacking]) {
        payload.number(units);
    }
}

/// An order that a snapshot has.
pub(super) struct ReadOrder<'a> {
    pub(super) order: Order,
    pub(super) id: &'a str,
    pub(super) side: Option<Side>,
}

/// Reads a slot: its order, if it is used. What its lines say of stock is for the table of stock to check.
#[inline]
pub(super) fn read_slot<'a>(fields: &mut Fields<'a>) -> Read<Option<ReadOrder<'a>>> {
    let first = fields.byte()?;
    if first == UNUSED {
        return Ok(None);
    }
    let stage = first & STAGE;
    let flags = (first & !SIDE) >> STAGE_BITS;
    if stage > MIXED || flags > Flags::ALL.0 {
        return Err("a stage or a flag that there is not");
    }
    let whole = Bucket::ALL.get(usize::from(stage)).copied();
    let id = fields.id()?;
    let content = fields.hash()?;
    let ticket = fields.ticket()?;
    let since = fields.time()?;
    let count: usize = fields.at_most(LINES_LIMIT_MAX.unsigned_abs(), "more lines than an order may have")?;
    let mut more = More::default();
    let mut few = [OrderLine::default(); 2];
    let lines = if let Some(few) = few.get_mut(..count) {
        for line in &mut *few {
            *line = read_line(fields, whole.is_some(), &mut more.parts)?;
        }
        &*few
    } else {
        for _ in 0..count {
            let line = read_line(fields, whole.is_some(), &mut more.parts)?;
            more.lines.push(line);
        }
        &more.lines[..]
    };
    check_lines(lines)?;
    let mut order = new_order(content, ticket, lines, whole.unwrap_or(Bucket::Reserved), since);
    (order.stage, order.flags) = (stage, Flags(flags));
    order.name_length = u8::try_from(id.len()).map_err(|_| "an id is too long")?;
    more.sums = Sums::of(&more.parts);
    if whole.is_none() && more.sums.whole().is_some() {
        return Err("an order's parts are all in one bucket");
    }
    let mut side = Side::default();
    if first & SIDE != 0 {
        read_side(fields, &order, &mut more, &mut side)?;
    }
    if waits(&order, &more) != more.parked.is_some() {
        return Err("an order waits and is not parked, or is parked and does not wait");
    }
    let has_more =
        !more.lines.is_empty() || !more.parts.is_empty() || !more.told.is_empty() || more.parked.is_some();
    if has_more {
        side.more = Some(Box::new(more));
    }
    let has_side = first & SIDE != 0 || has_more;
    Ok(Some(ReadOrder { order, id, side: has_side.then_some(side) }))
}

fn waits(order: &Order, more: &More) -> bool {
    order.stage == Bucket::Waiting as u8 || more.sums.units[Bucket::Waiting as usize] > 0
}

fn is_reserved(order: &Order, more: &More) -> bool {
    order.stage == Bucket::Reserved as u8 || more.sums.units[Bucket::Reserved as usize] > 0
}

fn read_side(fields: &mut Fields<'_>, order: &Order, more: &mut More, side: &mut Side) -> Read<()> {
    const MONEY: Wrong = "an amount of money is out of its bounds";
    let of_side = fields.byte()?;
    if of_side == 0 || of_side > VALUE | PAID | DEADLINE | TOLD | PARKED {
        return Err("a side that has nothing, or something that there is not");
    }
    let most = STOCK_MAX.unsigned_abs();
    if of_side & VALUE != 0 {
        let minor = fields.at_most(most, MONEY)?;
        let currency = [fields.byte()?, fields.byte()?, fields.byte()?];
        if !currency.iter().all(u8::is_ascii_uppercase) {
            return Err("a currency that is none");
        }
        side.value = Some(Value { minor, currency });
    }
    if of_side & PAID != 0 {
        side.paid = fields.at_most(most, MONEY)?;
        if side.paid == 0 {
            return Err(MONEY);
        }
    }
    if of_side & DEADLINE != 0 {
        let held = is_reserved(order, more) && !order.flags.has(Flags::PAID);
        if !held && !waits(order, more) {
            return Err("an order is held that is paid or has nothing reserved");
        }
        side.deadline = Some(fields.time_from(order.since)?);
    }
    if of_side & TOLD != 0 {
        read_told(fields, more)?;
    }
    if of_side & PARKED != 0 {
        more.parked = Some(read_parked(fields, order, more)?);
    }
    Ok(())
}

fn read_told(fields: &mut Fields<'_>, more: &mut More) -> Read<()> {
    const COUNT_MAX: u64 = 1_000;
    let count: usize = fields.at_most(COUNT_MAX, "more ids of facts than an order keeps")?;
    for _ in 0..count {
        let kind = ToldKind::ALL.get(usize::from(fields.byte()?)).copied();
        let kind = kind.ok_or("a kind of fact that there is not")?;
        let told =
            Told { kind, id: fields.hash()?, content: fields.hash()?, first_sequence: fields.sequence()? };
        if more.told.last().is_some_and(|before| (before.kind, before.id) >= (told.kind, told.id)) {
            return Err("an order's facts are out of order");
        }
        more.told.push(told);
    }
    if count == 0 { Err("an order's facts are there, and none is") } else { Ok(()) }
}

fn read_parked(fields: &mut Fields<'_>, order: &Order, more: &More) -> Read<Parked> {
    let lines =
        if order.few_count == 0 { &more.lines[..] } else { &order.few[..usize::from(order.few_count)] };
    let line: usize =
        fields.at_most(lines.len() as u64 - 1, "an order is parked at a line that it has not")?;
    let waiting = match more.parts.get(line) {
        Some(part) => part.at(Bucket::Waiting),
        None if order.stage == Bucket::Waiting as u8 => lines[line].quantity,
        None => 0,
    };
    let claim = fields.at_most(CLAIM_UNITS_LIMIT_MAX.unsigned_abs(), "an order claims more than it may")?;
    if waiting == 0 || claim != 0 && claim != waiting {
        return Err("an order is parked at a line that does not wait, or claims what it does not want");
    }
    let turn = fields.ticket()?;
    let within = fields.at_most(WINDOW_MS_MAX.unsigned_abs(), "a hold that is too long")?;
    let pay_within_ms = Some(within).filter(|within| *within > 0);
    let first_site =
        fields.at_most::<u16>(SITES_MAX as u64, "a site that there is not")?.checked_sub(1).map(SiteIndex);
    Ok(Parked { stock: lines[line].stock, claim, turn, pay_within_ms, first_site })
}

#[inline]
fn read_line(fields: &mut Fields<'_>, is_whole: bool, parts: &mut Vec<Part>) -> Read<OrderLine> {
    let stock = StockIndex(fields.at_most(u32::MAX.into(), "a SKU that there is not")?);
    let quantity = if is_whole {
        fields.at_most(u32::MAX.into(), QUANTITY)?
    } else {
        let (part, quantity) = read_part(fields)?;
        parts.push(part);
        quantity
    };
    if quantity == 0 { Err(QUANTITY) } else { Ok(OrderLine { stock, quantity }) }
}

/// Reads a part, and gives the line's quantity.
fn read_part(fields: &mut Fields<'_>) -> Read<(Part, u32)> {
    const DUE: Wrong =
        "news of more units is due than left or came back, or more are missing than are reserved";
    let mut part = Part::default();
    for units in &mut part.units {
        *units = fields.at_most(u32::MAX.into(), QUANTITY)?;
    }
    let quantity = u32::try_from(part.quantity()).map_err(|_| QUANTITY)?;
    let back = part.at(Bucket::Returned) + part.at(Bucket::WrittenOff);
    part.shipping_due = fields.at_most(u64::from(part.at(Bucket::Delivered) + back), DUE)?;
    part.delivery_due = fields.at_most(back.into(), DUE)?;
    part.lacking = fields.at_most(part.at(Bucket::Reserved).into(), DUE)?;
    Ok((part, quantity))
}

/// An order has a line at least, and names each SKU once.
#[inline]
fn check_lines(lines: &[OrderLine]) -> Read<()> {
    if lines.is_empty() {
        return Err("an order without lines");
    }
    let twice = if lines.len() <= LINEAR_MAX {
        (1..lines.len()).any(|line| lines[..line].iter().any(|other| other.stock == lines[line].stock))
    } else {
        let mut stocks: Vec<_> = lines.iter().map(|line| line.stock).collect();
        stocks.sort_unstable();
        stocks.windows(2).any(|pair| pair[0] == pair[1])
    };
    if twice { Err("an order names a SKU twice") } else { Ok(()) }
}

pub(super) fn write_slot_number(payload: &mut Payload, slot: u32) {
    payload.number(slot);
}

/// Reads the number of a slot that there is, used or not.
pub(super) fn read_slot_number(fields: &mut Fields<'_>, slots: usize) -> Read<u32> {
    const NONE: Wrong = "a slot that there is not";
    fields.at_most((slots as u64).checked_sub(1).ok_or(NONE)?, NONE)
}

pub(super) fn write_settled(payload: &mut Payload, entry: &Entry) {
    write_slot_number(payload, entry.slot);
    payload.ticket(entry.ticket);
    payload.time(entry.since);
}

pub(super) fn read_settled(fields: &mut Fields<'_>, slots: usize) -> Read<Entry> {
    let slot = read_slot_number(fields, slots)?;
    Ok(Entry { slot, ticket: fields.ticket()?, since: fields.time()? })
}

pub(super) fn write_closed(payload: &mut Payload, orders: &Orders, closed: &Closed) {
    payload.byte(closed.state as u8);
    payload.byte(closed.first as u8);
    payload.id(orders.closed_id(closed));
    payload.hash(closed.content);
    payload.sequence(closed.first_sequence);
    payload.time(closed.at);
}

pub(super) fn read_closed<'a>(fields: &mut Fields<'a>, refused: bool) -> Read<(Closed, &'a str)> {
    let state = State::ALL.get(usize::from(fields.byte()?)).copied();
    let first = FirstOutcome::ALL.get(usize::from(fields.byte()?)).copied();
    let first = first.ok_or("a first outcome that there is not")?;
    let state = state.filter(|state| match state {
        State::Waiting | State::Confirmed | State::Paid => false,
        State::Refused => refused,
        State::Shipped | State::Delivered | State::Returned | State::Cancelled | State::Expired => !refused,
    });
    if refused != (first == FirstOutcome::Refused) {
        return Err("a refused order that was not, or a closed one that was");
    }
    let id = fields.id()?;
    let closed = Closed {
        name: Name::default(),
        name_length: u8::try_from(id.len()).map_err(|_| "an id is too long")?,
        state: state.ok_or("a state that no such order has")?,
        first,
        content: fields.hash()?,
        first_sequence: fields.sequence()?,
        at: fields.time()?,
    };
    Ok((closed, id))
}

/// A turn from which on orders are to be looked at: any number.
pub(super) fn write_turn(payload: &mut Payload, turn: Ticket) {
    payload.number(turn.0);
}

pub(super) fn read_turn(fields: &mut Fields<'_>) -> Read<Ticket> {
    fields.number().map(Ticket)
}

//! Orders, used slots and unused ones, settled entries, closed orders.

use compact_str::CompactString;

use super::fields::{Fields, Payload, Read, Wrong};
use crate::folds::inventory::order::{Order, OrderLine, Part, Parts, Stage, Ticket};
use crate::folds::inventory::orders::{Closed, FirstOutcome, Settled, Slot};
use crate::folds::inventory::stock::StockIndex;
use crate::words::command::COMMANDS_MAX;
use crate::words::outcome::{Reason, State};
use crate::words::policy::{LINES_LIMIT_MAX, QUANTITY_LIMIT_MAX};

// A slot's first byte: a stage, or that the lines' parts follow, or that it is not used; and an order's flags.
const PARTS: u8 = 5;
const UNUSED: u8 = 7;
const STAGE: u8 = 7;
const PAID: u8 = 1 << 3;
const WAITED: u8 = 1 << 4;
const EXPIRED: u8 = 1 << 5;
const HELD: u8 = 1 << 6;

const QUANTITY: Wrong = "a quantity is 0 or out of bounds";

/// Up to this many lines, comparing each with each is cheaper than sorting them.
const LINEAR_MAX: usize = 16;

pub(super) fn write_slot(payload: &mut Payload, order: Option<&Order>) {
    let Some(order) = order else { return payload.byte(UNUSED) };
    let whole = order.whole();
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    payload.byte(
        whole.map_or(PARTS, |stage| stage as u8)
            | flag(order.paid, PAID)
            | flag(order.waited, WAITED)
            | flag(order.expired, EXPIRED)
            | flag(order.pay_by().is_some(), HELD),
    );
    payload.id(&order.id);
    payload.hash(order.content);
    write_ticket(payload, order.ticket());
    payload.time(order.since);
    if let Some(pay_by) = order.pay_by() {
        payload.signed(pay_by.millis() - order.since.millis());
    }
    let lines = order.lines();
    payload.count(lines.len());
    for (number, line) in lines.iter().enumerate() {
        payload.number(line.stock.0);
        if whole.is_some() {
            payload.number(line.quantity);
        } else {
            write_part(payload, &order.part(number));
        }
    }
    // Whoever waits stands in the queue of one of its SKUs, and nobody else does.
    let parked_at = |stock| lines.iter().position(|line| line.stock == stock);
    if let Some(line) = order.parked_at().and_then(parked_at) {
        payload.count(line);
    }
}

fn write_part(payload: &mut Payload, part: &Part) {
    let Part { waiting, reserved, cancelled, shipped, delivered, returned, shipping_due, delivery_due } =
        *part;
    for units in [waiting, reserved, cancelled, shipped, delivered, returned, shipping_due, delivery_due] {
        payload.number(units);
    }
}

/// Reads a slot: its order, if it is used. What its lines say of stock is for the table of stock to check.
#[inline]
pub(super) fn read_slot(fields: &mut Fields<'_>) -> Read<Option<Order>> {
    let first = fields.byte()?;
    if first == UNUSED {
        return Ok(None);
    }
    let whole = match Stage::ALL.get(usize::from(first & STAGE)) {
        Some(stage) => Some(*stage),
        None if first & STAGE == PARTS => None,
        None => return Err("a stage that there is not"),
    };
    if first > STAGE | PAID | WAITED | EXPIRED | HELD {
        return Err("a flag that there is not");
    }
    let id = fields.id()?;
    let content = fields.hash()?;
    let ticket = read_ticket(fields)?;
    let since = fields.time()?;
    let pay_by = if first & HELD == 0 { None } else { Some(fields.time_from(since)?) };
    let count: usize = fields.at_most(LINES_LIMIT_MAX.unsigned_abs(), "more lines than an order may have")?;
    let (mut few, mut many, mut parts) = ([OrderLine::default(); 2], Vec::new(), Parts::new());
    let lines = if let Some(few) = few.get_mut(..count) {
        for line in &mut *few {
            *line = read_line(fields, whole.is_some(), &mut parts)?;
        }
        &*few
    } else {
        for _ in 0..count {
            many.push(read_line(fields, whole.is_some(), &mut parts)?);
        }
        &many
    };
    check_lines(lines)?;
    let id = CompactString::from(id);
    let mut order = Order::new(id, content, ticket, lines, whole.unwrap_or(Stage::Reserved), since);
    if whole.is_none() {
        order.set_parts(&parts);
        if order.whole().is_some() {
            return Err("an order's parts are all in one stage");
        }
    }
    (order.paid, order.waited, order.expired) =
        (first & PAID != 0, first & WAITED != 0, first & EXPIRED != 0);
    if pay_by.is_some() {
        if order.paid || !order.any_part(|part| part.reserved > 0) {
            return Err("an order is held that is paid or has nothing reserved");
        }
        order.set_pay_by(pay_by);
    }
    if order.is_waiting() {
        let line: usize = fields.at_most(count as u64 - 1, "an order is parked at a line that it has not")?;
        if order.part(line).waiting == 0 {
            return Err("an order is parked at a line that does not wait");
        }
        order.set_parked_at(Some(lines[line].stock));
    }
    Ok(Some(order))
}

#[inline]
fn read_line(fields: &mut Fields<'_>, is_whole: bool, parts: &mut Parts) -> Read<OrderLine> {
    let stock = StockIndex(fields.at_most(u32::MAX.into(), "a SKU that there is not")?);
    let quantity = if is_whole {
        fields.at_most(QUANTITY_LIMIT_MAX.unsigned_abs(), QUANTITY)?
    } else {
        let (part, quantity) = read_part(fields)?;
        parts.push(part);
        quantity
    };
    if quantity == 0 { Err(QUANTITY) } else { Ok(OrderLine { stock, quantity }) }
}

/// Reads a part, and gives the line's quantity.
fn read_part(fields: &mut Fields<'_>) -> Read<(Part, u32)> {
    const DUE: Wrong = "news of more units is due than left or came back";
    let most = QUANTITY_LIMIT_MAX.unsigned_abs();
    let mut units = || fields.at_most::<u32>(most, QUANTITY);
    let mut part = Part {
        waiting: units()?,
        reserved: units()?,
        cancelled: units()?,
        shipped: units()?,
        delivered: units()?,
        returned: units()?,
        ..Part::default()
    };
    let Part { waiting, reserved, cancelled, shipped, delivered, returned, .. } = part;
    let sum = [waiting, reserved, cancelled, shipped, delivered, returned].map(u64::from).iter().sum::<u64>();
    if sum > most {
        return Err(QUANTITY);
    }
    part.shipping_due = fields.at_most(u64::from(delivered) + u64::from(returned), DUE)?;
    part.delivery_due = fields.at_most(returned.into(), DUE)?;
    Ok((part, u32::try_from(sum).map_err(|_| QUANTITY)?))
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

pub(super) fn write_ticket(payload: &mut Payload, (sequence, index): Ticket) {
    payload.sequence(sequence);
    payload.number(index);
}

#[inline]
pub(super) fn read_ticket(fields: &mut Fields<'_>) -> Read<Ticket> {
    let sequence = fields.sequence()?;
    Ok((sequence, fields.at_most(COMMANDS_MAX as u64 - 1, "a record's index beyond those of a message")?))
}

pub(super) fn write_slot_number(payload: &mut Payload, slot: Slot) {
    payload.number(slot.0);
}

/// Reads the number of a slot that there is, used or not.
pub(super) fn read_slot_number(fields: &mut Fields<'_>, slots: usize) -> Read<Slot> {
    const NONE: Wrong = "a slot that there is not";
    Ok(Slot(fields.at_most((slots as u64).checked_sub(1).ok_or(NONE)?, NONE)?))
}

pub(super) fn write_settled(payload: &mut Payload, entry: &Settled) {
    write_slot_number(payload, entry.slot);
    write_ticket(payload, entry.ticket);
    payload.time(entry.since);
}

pub(super) fn read_settled(fields: &mut Fields<'_>, slots: usize) -> Read<Settled> {
    let slot = read_slot_number(fields, slots)?;
    Ok(Settled { slot, ticket: read_ticket(fields)?, since: fields.time()? })
}

// A closed order's first outcome; a refusal's reason stands behind it.
const CONFIRMED: u8 = 0;
const WAITING: u8 = 1;
const REFUSED: u8 = 2;

pub(super) fn write_closed(payload: &mut Payload, closed: &Closed) {
    payload.byte(closed.state as u8);
    match closed.first {
        FirstOutcome::Confirmed => payload.byte(CONFIRMED),
        FirstOutcome::Waiting => payload.byte(WAITING),
        FirstOutcome::Refused(reason) => {
            payload.byte(REFUSED);
            payload.byte(reason as u8);
        }
    }
    payload.id(&closed.id);
    payload.hash(closed.content);
    payload.sequence(closed.first_sequence);
    payload.time(closed.at);
}

pub(super) fn read_closed(fields: &mut Fields<'_>) -> Read<Closed> {
    let state = State::ALL.get(usize::from(fields.byte()?)).copied();
    let first = match fields.byte()? {
        CONFIRMED => FirstOutcome::Confirmed,
        WAITING => FirstOutcome::Waiting,
        REFUSED => {
            let reason = Reason::ALL.get(usize::from(fields.byte()?)).copied();
            FirstOutcome::Refused(reason.ok_or("a reason that there is not")?)
        }
        _ => return Err("a first outcome that there is not"),
    };
    let was_refused = matches!(first, FirstOutcome::Refused(_));
    let state = state.filter(|state| match state {
        State::Waiting | State::Confirmed | State::Paid => false,
        State::Refused => was_refused,
        State::Shipped | State::Delivered | State::Returned | State::Cancelled | State::Expired => {
            !was_refused
        }
    });
    Ok(Closed {
        state: state.ok_or("a state that no closed order has")?,
        first,
        id: fields.id()?.into(),
        content: fields.hash()?,
        first_sequence: fields.sequence()?,
        at: fields.time()?,
    })
}

//! The judge's first look at a command: its shape, before anything is known of what it is about.

use weir::words::command::{ATTRIBUTES_MAX, Command, Line, Money, ORDER_SITES_MAX, Place};
use weir::words::outcome::Reason;
use weir::words::policy::{PolicyChange, QUANTITY_LIMIT_MAX, SITES_MAX, STOCK_MAX};
use weir::words::text::{Text, is_id};
use weir::words::timestamp::Timestamp;

type Shape = Result<(), Reason>;

/// How far ahead of log time an order may have been submitted.
const AHEAD_MS_MAX: i64 = 300_000;

/// What is wrong with a command's shape first.
pub(crate) fn check(now: i64, command: &Command<'_>) -> Shape {
    match command {
        Command::Place(place) => check_place(now, place),
        Command::Cancel(it) => {
            ids(&[Some(&it.order_id), it.cancel_id.as_ref()])?;
            texts(&[it.by.as_ref(), it.reason.as_ref()])?;
            value(it.value.as_ref())?;
            it.lines.as_ref().map_or(Ok(()), |lines| named(lines, 1))
        }
        Command::Amend(it) => {
            ids(&[Some(&it.order_id), Some(&it.amendment_id)])?;
            times(&[it.promised_by])?;
            value(it.value.as_ref())?;
            for line in &it.lines {
                need(line.unit_price.is_none_or(is_minor), Reason::InvalidValue)?;
            }
            lines(it.lines.iter().map(|line| (&line.sku, line.quantity)), 1)
        }
        Command::Extend(it) => {
            ids(&[Some(&it.order_id), Some(&it.extension_id)])?;
            need(it.pay_within_ms > 0, Reason::InvalidValue)
        }
        Command::Review(it) => {
            ids(&[Some(&it.order_id), it.review_id.as_ref()])?;
            times(&[it.occurred_at])?;
            need((1..=5).contains(&it.score), Reason::InvalidValue)?;
            texts(&[it.topic.as_ref()])
        }
        Command::Pay(it) => {
            ids(&[Some(&it.order_id), it.attempt_id.as_ref()])?;
            value(it.amount.as_ref())?;
            need(it.amount.as_ref().is_none_or(|amount| amount.minor > 0), Reason::InvalidValue)?;
            times(&[it.occurred_at])
        }
        Command::PayFailed(it) => {
            ids(&[Some(&it.order_id), Some(&it.attempt_id)])?;
            times(&[it.occurred_at])?;
            texts(&[it.reason.as_ref()])
        }
        Command::Ship(it) => {
            ids(&[Some(&it.order_id), it.shipment_id.as_ref()])?;
            times(&[it.occurred_at])?;
            texts(&[it.carrier.as_ref()])?;
            it.lines.as_ref().map_or(Ok(()), |lines| named(lines, 1))
        }
        Command::Deliver(it) => {
            ids(&[Some(&it.order_id), it.shipment_id.as_ref()])?;
            times(&[it.occurred_at])?;
            it.lines.as_ref().map_or(Ok(()), |lines| named(lines, 1))
        }
        Command::Return(it) => {
            ids(&[Some(&it.order_id), Some(&it.return_id)])?;
            times(&[it.occurred_at])?;
            texts(&[it.reason.as_ref()])?;
            let named = it.lines.as_ref();
            named.map_or(Ok(()), |named| lines(named.iter().map(|line| (&line.sku, line.quantity)), 1))
        }
        Command::Receive(it) => {
            ids(&[Some(&it.receipt_id)])?;
            times(&[it.occurred_at])?;
            texts(&[it.site.as_ref()])?;
            named(&it.lines, 1)
        }
        Command::Count(it) => {
            ids(&[Some(&it.count_id)])?;
            times(&[it.occurred_at])?;
            texts(&[it.site.as_ref()])?;
            lines(it.lines.iter().map(|line| (&line.sku, line.quantity)), 0)?;
            let books = -QUANTITY_LIMIT_MAX..=QUANTITY_LIMIT_MAX;
            for (at, line) in it.lines.iter().enumerate() {
                need(
                    line.expected.is_none_or(|expected| books.contains(&expected)),
                    Reason::InvalidQuantity,
                )?;
                need(it.lines[..at].iter().all(|other| other.sku != line.sku), Reason::DuplicateSku)?;
            }
            Ok(())
        }
        Command::Adjust(it) => {
            ids(&[Some(&it.adjustment_id)])?;
            times(&[it.occurred_at])?;
            texts(&[it.site.as_ref(), it.reason.as_ref()])?;
            named(&it.lines, -QUANTITY_LIMIT_MAX)?;
            need(it.lines.iter().all(|line| line.quantity != 0), Reason::InvalidQuantity)
        }
        Command::Transfer(it) => {
            ids(&[Some(&it.transfer_id)])?;
            times(&[it.occurred_at])?;
            texts(&[Some(&it.from), Some(&it.to)])?;
            need(it.from != it.to, Reason::InvalidValue)?;
            named(&it.lines, 1)
        }
        Command::Policy(change) => check_policy(change),
        Command::Tick(_) => Ok(()),
    }
}

fn check_place(now: i64, place: &Place<'_>) -> Shape {
    ids(&[Some(&place.order_id)])?;
    times(&[place.submitted_at, place.ship_by, place.promised_by, place.wait_until])?;
    let ahead = place.submitted_at.is_some_and(|at| at.millis() > now + AHEAD_MS_MAX);
    need(!ahead, Reason::InvalidTime)?;
    texts(&[place.carrier.as_ref(), place.customer.as_ref(), place.site.as_ref()])?;
    let attributes = &place.attributes.0;
    let is_attribute = |(key, value): &(Text<'_>, Text<'_>)| is_id(key) && (value.is_empty() || is_id(value));
    need(attributes.len() <= ATTRIBUTES_MAX && attributes.iter().all(is_attribute), Reason::InvalidValue)?;
    value(place.value.as_ref())?;
    need(place.lines.iter().all(|line| line.unit_price.is_none_or(is_minor)), Reason::InvalidValue)?;
    need(place.pay_within_ms.is_none_or(|within| within >= 1), Reason::InvalidValue)?;
    if let Some(sites) = &place.sites {
        need(place.site.is_none(), Reason::InvalidValue)?;
        need((1..=ORDER_SITES_MAX).contains(&sites.len()), Reason::InvalidValue)?;
        for (at, site) in sites.iter().enumerate() {
            need(is_id(site) && !sites[..at].contains(site), Reason::InvalidValue)?;
        }
    }
    lines(place.lines.iter().map(|line| (&line.sku, line.quantity)), 1)
}

fn check_policy(change: &PolicyChange<'_>) -> Shape {
    for (_, figure, bounds) in change.figures() {
        need(bounds.contains(&figure), Reason::InvalidValue)?;
    }
    if let Some(sites) = &change.sites {
        need((1..=SITES_MAX).contains(&sites.len()), Reason::InvalidValue)?;
        need(sites.iter().all(|site| is_id(site)), Reason::InvalidId)?;
    }
    for own in change.safety_stock_of.iter().chain(&change.allowance_of).flatten() {
        ids(&[own.site.as_ref(), Some(&own.sku)])?;
        let most = 0..=QUANTITY_LIMIT_MAX;
        need(own.quantity.is_none_or(|quantity| most.contains(&quantity)), Reason::InvalidValue)?;
    }
    Ok(())
}

fn need(is_right: bool, reason: Reason) -> Shape {
    if is_right { Ok(()) } else { Err(reason) }
}

fn ids(ids: &[Option<&Text<'_>>]) -> Shape {
    need(ids.iter().flatten().all(|id| is_id(id)), Reason::InvalidId)
}

fn texts(texts: &[Option<&Text<'_>>]) -> Shape {
    need(texts.iter().flatten().all(|text| is_id(text)), Reason::InvalidValue)
}

fn times(times: &[Option<Timestamp>]) -> Shape {
    need(times.iter().flatten().all(|time| time.is_valid()), Reason::InvalidTime)
}

fn is_minor(minor: i64) -> bool {
    (0..=STOCK_MAX).contains(&minor)
}

fn value(value: Option<&Money<'_>>) -> Shape {
    let is_currency = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    need(value.is_none_or(|it| is_minor(it.minor) && is_currency(&it.currency)), Reason::InvalidValue)
}

fn named(named: &[Line<'_>], least: i64) -> Shape {
    lines(named.iter().map(|line| (&line.sku, line.quantity)), least)
}

fn lines<'a>(lines: impl Iterator<Item = (&'a Text<'a>, i64)>, least: i64) -> Shape {
    let mut any = false;
    for (sku, quantity) in lines {
        any = true;
        need(is_id(sku), Reason::InvalidId)?;
        need((least..=QUANTITY_LIMIT_MAX).contains(&quantity), Reason::InvalidQuantity)?;
    }
    need(any, Reason::NoLines)
}

//! The judge's first look at a command: what its shape is made of. The shape of each stands beside what is decided of it.

use weir::words::command::{Line, Money};
use weir::words::outcome::Reason;
use weir::words::policy::{QUANTITY_LIMIT_MAX, STOCK_MAX};
use weir::words::text::{Text, is_id};
use weir::words::timestamp::Timestamp;

/// What is wrong with a command's shape first, before anything is known of what it is about.
pub(crate) type Shape = Result<(), Reason>;

pub(crate) fn need(is_right: bool, reason: Reason) -> Shape {
    if is_right { Ok(()) } else { Err(reason) }
}

pub(crate) fn ids(ids: &[Option<&Text<'_>>]) -> Shape {
    need(ids.iter().flatten().all(|id| is_id(id)), Reason::InvalidId)
}

pub(crate) fn texts(texts: &[Option<&Text<'_>>]) -> Shape {
    need(texts.iter().flatten().all(|text| is_id(text)), Reason::InvalidValue)
}

pub(crate) fn times(times: &[Option<Timestamp>]) -> Shape {
    need(times.iter().flatten().all(|time| time.is_valid()), Reason::InvalidTime)
}

pub(crate) fn is_minor(minor: i64) -> bool {
    (0..=STOCK_MAX).contains(&minor)
}

pub(crate) fn value(value: Option<&Money<'_>>) -> Shape {
    let is_currency = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    need(value.is_none_or(|it| is_minor(it.minor) && is_currency(&it.currency)), Reason::InvalidValue)
}

pub(crate) fn named(named: &[Line<'_>], least: i64) -> Shape {
    lines(named.iter().map(|line| (&line.sku, line.quantity)), least)
}

pub(crate) fn lines<'a>(lines: impl Iterator<Item = (&'a Text<'a>, i64)>, least: i64) -> Shape {
    let mut any = false;
    for (sku, quantity) in lines {
        any = true;
        need(is_id(sku), Reason::InvalidId)?;
        need((least..=QUANTITY_LIMIT_MAX).contains(&quantity), Reason::InvalidQuantity)?;
    }
    need(any, Reason::NoLines)
}

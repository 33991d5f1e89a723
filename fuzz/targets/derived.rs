//! Commands derived from bytes: few ids, few SKUs and mostly small numbers, so that they meet each other's orders.

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use weir::words::command::{
    Adjust, Amend, Cancel, Command, Count, Deliver, Extend, Line, Money, OnShortage, Pay, PayFailed, Place,
    Receive, Return, ReturnLine, Review, Ship, Tick, Transfer,
};
use weir::words::policy::{OwnFigure, PolicyChange};
use weir::words::text::Text;
use weir::words::timestamp::Timestamp;

type Bytes<'b> = Unstructured<'b>;
type Owned = Command<'static>;

const COMMANDS_MAX: usize = 64;

/// What the bytes hold, as far as they go: at least one, and not more than so many.
pub(crate) fn commands(bytes: &[u8]) -> Vec<Owned> {
    let mut bytes = Bytes::new(bytes);
    let mut all = Vec::new();
    while all.is_empty() || (!bytes.is_empty() && all.len() < COMMANDS_MAX) {
        let Ok(command) = command(&mut bytes) else { break };
        // It counts alone only.
        let alone = all.is_empty() && matches!(command, Command::Policy(_));
        all.push(command);
        if alone {
            break;
        }
    }
    all
}

fn command(bytes: &mut Bytes<'_>) -> Result<Owned> {
    Ok(match bytes.int_in_range(0..=19)? {
        0..=3 => Command::Place(Place {
            order_id: id(bytes, "O", 19)?,
            site: site(bytes)?,
            lines: lines(bytes)?.into_iter().map(Into::into).collect(),
            on_shortage: *bytes.choose(&[OnShortage::Refuse, OnShortage::Partial, OnShortage::Backorder])?,
            submitted_at: time(bytes)?,
            ship_by: time(bytes)?,
            value: money(bytes)?,
            ..Place::default()
        }),
        4 => Command::Cancel(Cancel {
            order_id: id(bytes, "O", 19)?,
            lines: some(bytes, lines)?,
            ..Cancel::default()
        }),
        5 => Command::Review(Review {
            order_id: id(bytes, "O", 19)?,
            score: quantity(bytes)?,
            ..Review::default()
        }),
        6 => Command::Pay(Pay {
            order_id: id(bytes, "O", 19)?,
            attempt_id: some(bytes, |bytes| id(bytes, "T", 3))?,
            amount: money(bytes)?,
            ..Pay::default()
        }),
        7 => Command::PayFailed(PayFailed {
            order_id: id(bytes, "O", 19)?,
            attempt_id: id(bytes, "T", 3)?,
            ..PayFailed::default()
        }),
        8 => Command::Ship(Ship {
            order_id: id(bytes, "O", 19)?,
            shipment_id: some(bytes, |bytes| id(bytes, "S", 3))?,
            lines: some(bytes, lines)?,
            occurred_at: time(bytes)?,
            ..Ship::default()
        }),
        9 => Command::Deliver(Deliver {
            order_id: id(bytes, "O", 19)?,
            shipment_id: some(bytes, |bytes| id(bytes, "S", 3))?,
            lines: some(bytes, lines)?,
            ..Deliver::default()
        }),
        10 => Command::Return(Return {
            order_id: id(bytes, "O", 19)?,
            return_id: id(bytes, "X", 9)?,
            lines: some(bytes, |bytes| {
                let lines = lines(bytes)?.into_iter();
                lines
                    .map(|Line { sku, quantity }| {
                        Ok(ReturnLine { sku, quantity, restock: bytes.int_in_range(0..=1)? > 0 })
                    })
                    .collect()
            })?,
            restock: bytes.int_in_range(0..=1)? > 0,
            ..Return::default()
        }),
        11 | 12 => Command::Receive(Receive {
            receipt_id: id(bytes, "R", 19)?,
            site: site(bytes)?,
            lines: lines(bytes)?,
            ..Receive::default()
        }),
        13 => Command::Count(Count {
            count_id: id(bytes, "C", 9)?,
            site: site(bytes)?,
            lines: lines(bytes)?.into_iter().map(Into::into).collect(),
            occurred_at: time(bytes)?,
        }),
        14 => Command::Policy(policy(bytes)?),
        15 => Command::Amend(Amend {
            order_id: id(bytes, "O", 19)?,
            amendment_id: id(bytes, "M", 9)?,
            lines: lines(bytes)?.into_iter().map(Into::into).collect(),
            value: money(bytes)?,
            ..Amend::default()
        }),
        16 => Command::Extend(Extend {
            order_id: id(bytes, "O", 19)?,
            extension_id: id(bytes, "E", 9)?,
            pay_within_ms: quantity(bytes)?,
        }),
        17 => Command::Adjust(Adjust {
            adjustment_id: id(bytes, "A", 9)?,
            site: site(bytes)?,
            lines: lines(bytes)?,
            ..Adjust::default()
        }),
        18 => Command::Transfer(Transfer {
            transfer_id: id(bytes, "F", 9)?,
            from: "main".into(),
            to: "west".into(),
            lines: lines(bytes)?,
            ..Transfer::default()
        }),
        _ => Command::Tick(Tick {}),
    })
}

fn policy(bytes: &mut Bytes<'_>) -> Result<PolicyChange<'static>> {
    let mut policy =
        PolicyChange { rules: some(bytes, |bytes| bytes.int_in_range(0..=2))?, ..Default::default() };
    policy.sites = some(bytes, |bytes| {
        Ok(bytes
            .choose(&[&["main", "west"][..], &["main"], &["west", "gone"], &[]])?
            .iter()
            .map(|&site| site.into())
            .collect())
    })?;
    for number in [
        &mut policy.pay_within_ms,
        &mut policy.lines_max,
        &mut policy.quantity_max,
        &mut policy.open_orders_max,
        &mut policy.settled_orders_max,
        &mut policy.settled_window_ms,
        &mut policy.closed_orders_max,
        &mut policy.closed_window_ms,
        &mut policy.facts_max,
        &mut policy.facts_window_ms,
        &mut policy.skus_max,
        &mut policy.safety_stock,
    ] {
        *number = some(bytes, |bytes| {
            Ok(*bytes.choose(&[0, 1, 2, 3, 5, 10, 1_000, 10_000, 60_000, 1_000_000_000, i64::MAX, -1])?)
        })?;
    }
    policy.safety_stock_of = some(bytes, |bytes| {
        let site = site(bytes)?;
        Ok(vec![OwnFigure { site, sku: sku(bytes)?, quantity: some(bytes, quantity)? }])
    })?;
    Ok(policy)
}

/// Nothing, three times of four.
fn some<T>(
    bytes: &mut Bytes<'_>,
    what: impl FnOnce(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Option<T>> {
    if bytes.int_in_range(0..=3)? == 3 { what(bytes).map(Some) } else { Ok(None) }
}

fn id(bytes: &mut Bytes<'_>, prefix: &str, most: u8) -> Result<Text<'static>> {
    Ok(format!("{prefix}-{}", bytes.int_in_range(0..=most)?).into())
}

fn sku(bytes: &mut Bytes<'_>) -> Result<Text<'static>> {
    Ok((*bytes.choose(&["A", "A", "A", "B", "B", "C", "D", ""])?).into())
}

fn site(bytes: &mut Bytes<'_>) -> Result<Option<Text<'static>>> {
    let site =
        bytes.choose(&[None, None, None, None, Some("main"), Some("west"), Some("west"), Some("gone")])?;
    Ok(site.map(Into::into))
}

fn quantity(bytes: &mut Bytes<'_>) -> Result<i64> {
    let number: u8 = bytes.arbitrary()?;
    Ok(match number {
        0..240 => i64::from(number % 12),
        _ => [-1, i64::MIN, i64::MAX, 1_000_000_000, 1 << 53][usize::from(number % 5)],
    })
}

fn lines(bytes: &mut Bytes<'_>) -> Result<Vec<Line<'static>>> {
    let count = *bytes.choose(&[1, 1, 1, 2, 2, 3, 5, 0])?;
    (0..count).map(|_| Ok(Line { sku: sku(bytes)?, quantity: quantity(bytes)? })).collect()
}

fn time(bytes: &mut Bytes<'_>) -> Result<Option<Timestamp>> {
    let at = |millis| Some(Timestamp::from_millis(millis));
    let choices =
        [None, None, None, None, at(super::START_MS), at(super::START_MS + 600_000), at(-1), at(i64::MAX)];
    Ok(*bytes.choose(&choices)?)
}

fn money(bytes: &mut Bytes<'_>) -> Result<Option<Money<'static>>> {
    some(bytes, |bytes| {
        Ok(Money { minor: quantity(bytes)?, currency: (*bytes.choose(&["EUR", "JPY", ""])?).into() })
    })
}

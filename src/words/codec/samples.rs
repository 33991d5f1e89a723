//! Orders to try decoders with, and what of a command is plain, told naively.

use super::{Decoded, Element, Format, Plain, commands};
use crate::words::command::{Attributes, Command, Money, OnShortage, Place, PlaceLine};
use crate::words::policy::RULES_NEWEST;
use crate::words::text::is_id;
use crate::words::timestamp::Timestamp;

/// A [`Plain`] that owns its texts.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    order_id: String,
    lines: Vec<(String, i64)>,
    submitted_at: Option<Timestamp>,
    value: Option<(i64, String)>,
}

impl From<&Plain<'_>> for Told {
    fn from(plain: &Plain<'_>) -> Self {
        let lines = std::iter::once(plain.first).chain(plain.second);
        Self {
            order_id: plain.order_id.text().into(),
            lines: lines.map(|(sku, quantity)| (sku.text().into(), quantity.into())).collect(),
            submitted_at: plain.submitted_at,
            value: plain.value.map(|(minor, code)| (minor, String::from_utf8(code.to_vec()).unwrap())),
        }
    }
}

/// What the short way must give for a command, or nothing.
pub(super) fn told(command: &Command<'_>) -> Option<Told> {
    let Command::Place(place) = command else { return None };
    let money = 0..=(1_i64 << 53) - 1;
    let line = |line: &PlaceLine<'_>| {
        let price = line.unit_price.is_none_or(|price| money.contains(&price));
        is_id(&line.sku) && (1..=1_000_000_000).contains(&line.quantity) && price
    };
    let code = |code: &str| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    let times = [place.submitted_at, place.ship_by, place.promised_by];
    let plain = is_id(&place.order_id)
        && place.site.is_none()
        && (1..=2).contains(&place.lines.len())
        && place.lines.iter().all(line)
        && place.on_shortage == OnShortage::Refuse
        && times.into_iter().flatten().all(Timestamp::is_valid)
        && place.carrier.iter().chain(&place.customer).all(|text| is_id(text))
        && place.value.as_ref().is_none_or(|value| money.contains(&value.minor) && code(&value.currency))
        && place.attributes.0.len() <= 16
        && place.attributes.0.iter().all(|(key, value)| is_id(key) && (value.is_empty() || is_id(value)))
        && (place.pay_within_ms, place.wait_until, place.sites.as_ref()) == (None, None, None);
    plain.then(|| Told {
        order_id: place.order_id.to_string(),
        lines: place.lines.iter().map(|line| (line.sku.to_string(), line.quantity)).collect(),
        submitted_at: place.submitted_at,
        value: place.value.as_ref().map(|value| (value.minor, value.currency.to_string())),
    })
}

/// Reads a payload both ways, holds them together, and gives how many elements the short way read, and how many it could have read.
pub(super) fn both_ways(format: Format, payload: &[u8]) -> (usize, usize) {
    let long: Vec<_> = commands(Some(format), payload, RULES_NEWEST).collect();
    let mut elements = commands(Some(format), payload, RULES_NEWEST);
    let (mut plain, mut could) = (0, 0);
    for long in &long {
        let told = long.as_ref().ok().and_then(told);
        could += usize::from(told.is_some());
        match elements.next_element() {
            Some(Element::Plain(short)) => {
                plain += 1;
                assert_eq!(Some(Told::from(&short)), told, "{} {long:?}", payload.escape_ascii());
                for id in [Some(short.order_id), Some(short.first.0), short.second.map(|(sku, _)| sku)] {
                    let bytes = id.map_or(&b"x"[..], |id| id.bytes());
                    let mut key = [0; 16];
                    key[..bytes.len().min(16)].copy_from_slice(&bytes[..bytes.len().min(16)]);
                    let key = u128::from_le_bytes(key);
                    assert!(
                        id.is_none_or(|id| u128::from(id.key()[1]) << 64 | u128::from(id.key()[0]) == key)
                    );
                }
            }
            Some(Element::Other(other)) => assert_eq!(&*other, long, "{}", payload.escape_ascii()),
            None => panic!("an element less: {}", payload.escape_ascii()),
        }
    }
    assert!(elements.next_element().is_none(), "{}", payload.escape_ascii());
    bare_ways(format, payload, &long);
    (plain, could)
}

/// Reads a payload by the way for bare places, and holds what it takes, and what it leaves, against what the long way read.
fn bare_ways(format: Format, payload: &[u8], long: &[Decoded<'_>]) {
    let mut elements = commands(Some(format), payload, RULES_NEWEST);
    let mut plain = Plain::ANY;
    for long in long {
        if elements.next_bare(&mut plain) {
            assert_eq!(Ok(plain.command()), *long, "{}", payload.escape_ascii());
        } else {
            assert_eq!(elements.next().as_ref(), Some(long), "{}", payload.escape_ascii());
        }
    }
    assert!(!elements.next_bare(&mut plain) && elements.next().is_none(), "{}", payload.escape_ascii());
}

/// An order as the reference load has them.
pub(super) fn plain() -> Place<'static> {
    Place {
        order_id: "O-0123456789".into(),
        lines: vec![line("85123A", 2, None), line("84406B", 1, None)],
        submitted_at: Some("2026-11-22T03:00:00.123Z".parse().unwrap()),
        ..Place::default()
    }
}

/// An order as checkouts send it.
pub(super) fn full() -> Place<'static> {
    let attribute = |key: &'static str, value: &'static str| (key.into(), value.into());
    Place {
        order_id: "3f2b8c1e-9a4d-4e77-b0c5-2d1f6a8e9b03".into(),
        lines: vec![line("85123A", 2, Some(255)), line("84406B-XL-ROUGE-42", 1_000, Some(0))],
        submitted_at: Some("2026-11-22T03:00:00.123Z".parse().unwrap()),
        ship_by: Some("2026-11-23T12:00:00Z".parse().unwrap()),
        promised_by: Some("2026-11-25T00:00:00Z".parse().unwrap()),
        carrier: Some("dhl".into()),
        value: Some(Money { minor: 51_000, currency: "GBP".into() }),
        customer: Some("c-77".into()),
        attributes: Attributes(vec![
            attribute("route", "SP-RJ"),
            attribute("seller", "s-12"),
            attribute("channel", "web"),
            attribute("note", ""),
        ]),
        ..Place::default()
    }
}

/// One with texts that are not ASCII.
pub(super) fn foreign() -> Place<'static> {
    Place {
        order_id: "Köln-日本-0123456789".into(),
        lines: vec![line("é", 1, None), line("日本日本日本日本日本", 1_000_000_000, None)],
        customer: Some("Zoë".into()),
        ..Place::default()
    }
}

fn line(sku: &'static str, quantity: i64, unit_price: Option<i64>) -> PlaceLine<'static> {
    PlaceLine { sku: sku.into(), quantity, unit_price }
}

/// Hands over whatever differs from `bytes` by one byte that is replaced, put in or left out, or by the rest that is cut off, each
/// alone and with one of `also` put in the place of a second byte further on.
pub(super) fn changes(bytes: &[u8], also: &[u8], mut take: impl FnMut(&[u8])) {
    let mut with_second = |changed: &mut Vec<u8>, at: usize| {
        take(changed);
        for (step, byte) in also.iter().enumerate() {
            // Near by, where it belongs to the same field, and further off.
            for distance in [1, 2 + step] {
                if let Some(place) = changed.get_mut(at + distance) {
                    let before = std::mem::replace(place, *byte);
                    take(changed);
                    changed[at + distance] = before;
                }
            }
        }
    };
    for at in 0..bytes.len() {
        with_second(&mut bytes[..at].to_vec(), at);
        let mut without = bytes.to_vec();
        without.remove(at);
        with_second(&mut without, at);
        for byte in 0..=255 {
            let mut changed = bytes.to_vec();
            changed[at] = byte;
            with_second(&mut changed, at);
            changed[at] = bytes[at];
            changed.insert(at, byte);
            with_second(&mut changed, at);
        }
    }
    take(bytes);
}

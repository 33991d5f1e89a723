//! A shop's past as commands at their times, and what is known to have become of each order.

use crate::folds::analytics::order_hash;
use crate::words::command::{
    Attributes, Cancel, Command, Deliver, Line, Money, OnShortage, Pay, Place, Review, Ship,
};
use crate::words::policy::SITES_MAX;
use crate::words::timestamp::Timestamp;

/// The SKU of every line: files of lead times do not say what was sold.
pub(super) const SKU: &str = "goods";

/// The most units of an order; more count as so many.
const UNITS_MAX: i64 = 1_000_000;

/// One order of a file. Times are in milliseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    pub(super) order_id: String,
    pub(super) placed_ms: i64,
    pub(super) paid_ms: Option<i64>,
    pub(super) shipped_ms: Option<i64>,
    pub(super) delivered_ms: Option<i64>,
    pub(super) cancelled_ms: Option<i64>,
    pub(super) ship_by_ms: Option<i64>,
    pub(super) promised_by_ms: Option<i64>,
    pub(super) site: String,
    pub(super) carrier: String,
    pub(super) units: i64,
    pub(super) value_minor: Option<i64>,
    pub(super) currency: String,
    pub(super) attributes: Vec<(String, String)>,
    /// When it was reviewed, and how.
    pub(super) review: Option<(i64, i64)>,
}

/// What is known to have become of an order.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) id: u64,
    pub(super) placed_ms: i64,
    pub(super) shipped_ms: Option<i64>,
    pub(super) delivered_ms: Option<i64>,
    /// The first instant that is too late to leave.
    pub(super) left_late_from_ms: Option<i64>,
    /// The first instant that is late.
    pub(super) late_from_ms: Option<i64>,
    pub(super) carrier: String,
}

/// A file as commands, ordered by their times.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) commands: Vec<(i64, Command<'static>)>,
    pub(super) lives: Vec<Life>,
    pub(super) sites: Vec<String>,
    /// What the file holds that is not used, for a person.
    pub(super) notes: Vec<String>,
}

impl History {
    /// Orders as commands. At one time, an order is placed before it is paid, shipped, delivered, reviewed or cancelled; what the
    /// file dates before the order was placed happens when it is placed. With `shorten`, all lives are that many times shorter.
    pub(super) fn new(pasts: Vec<Past>, shorten: f64, notes: Vec<String>) -> Self {
        let mut history = Self { notes, ..Self::default() };
        let mut timed: Vec<(i64, u8, Command<'static>)> = Vec::with_capacity(pasts.len() * 4);
        for past in pasts {
            history.order(shortened(past, shorten), &mut timed);
        }
        // A stable sort: at one time and rank, as the file has them.
        timed.sort_by_key(|(at, rank, _)| (*at, *rank));
        history.commands = timed.into_iter().map(|(at, _, command)| (at, command)).collect();
        history
    }

    fn site(&mut self, site: String) -> Option<String> {
        if site.is_empty() {
            return None;
        }
        if self.sites.contains(&site) {
            return Some(site);
        }
        if self.sites.len() + 1 >= SITES_MAX {
            return None;
        }
        self.sites.push(site.clone());
        Some(site)
    }

    fn order(&mut self, past: Past, timed: &mut Vec<(i64, u8, Command<'static>)>) {
        let placed = past.placed_ms;
        let not_before = |at: i64| at.max(placed);
        let id = || past.order_id.clone().into();
        if let Some(at) = past.paid_ms {
            timed.push((not_before(at), 1, Command::Pay(Pay { order_id: id(), ..Pay::default() })));
        }
        if let Some(at) = past.shipped_ms {
            timed.push((not_before(at), 2, Command::Ship(Ship { order_id: id(), ..Ship::default() })));
        }
        if let Some(at) = past.delivered_ms {
            timed.push((
                not_before(at),
                3,
                Command::Deliver(Deliver { order_id: id(), ..Deliver::default() }),
            ));
        }
        if let Some((at, score)) = past.review {
            let review = Review { order_id: id(), score, ..Review::default() };
            timed.push((not_before(at), 4, Command::Review(review)));
        }
        if let Some(at) = past.cancelled_ms {
            timed.push((not_before(at), 5, Command::Cancel(Cancel { order_id: id(), ..Cancel::default() })));
        }
        self.lives.push(Life {
            id: order_hash(&past.order_id),
            placed_ms: placed,
            shipped_ms: past.shipped_ms,
            delivered_ms: past.delivered_ms,
            left_late_from_ms: past.ship_by_ms.map(|by| by + 1),
            late_from_ms: past.promised_by_ms.map(|by| by + 1),
            carrier: past.carrier.clone(),
        });
        let time = |ms: Option<i64>| ms.map(Timestamp::from_millis);
        let currency = past.currency;
        let place = Place {
            order_id: past.order_id.clone().into(),
            site: self.site(past.site).map(Into::into),
            lines: vec![Line { sku: SKU.into(), quantity: past.units.clamp(1, UNITS_MAX) }.into()],
            on_shortage: OnShortage::Refuse,
            submitted_at: None,
            ship_by: time(past.ship_by_ms),
            promised_by: time(past.promised_by_ms),
            carrier: Some(past.carrier).filter(|carrier| !carrier.is_empty()).map(Into::into),
            value: past.value_minor.map(|minor| Money { minor, currency: currency.into() }),
            attributes: Attributes(
                past.attributes.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            ),
            ..Place::default()
        };
        timed.push((placed, 0, Command::Place(place)));
    }
}

/// The order with all its times after its placing moved closer to that.
fn shortened(past: Past, by: f64) -> Past {
    let placed = past.placed_ms;
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "times of a file")]
    let moved = |at: Option<i64>| at.map(|at| placed + ((at - placed) as f64 / by) as i64);
    Past {
        paid_ms: moved(past.paid_ms),
        shipped_ms: moved(past.shipped_ms),
        delivered_ms: moved(past.delivered_ms),
        cancelled_ms: moved(past.cancelled_ms),
        ship_by_ms: moved(past.ship_by_ms),
        promised_by_ms: moved(past.promised_by_ms),
        review: past.review.map(|(at, score)| (moved(Some(at)).unwrap_or(at), score)),
        ..past
    }
}

/// A text as the contract takes it: without control characters, at most 64 bytes.
pub(super) fn cut(text: &str) -> String {
    let mut cut = String::new();
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if cut.len() + letter.len_utf8() > crate::words::text::ID_BYTES_MAX {
            break;
        }
        cut.push(letter);
    }
    cut
}

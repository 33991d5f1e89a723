//! The judge's orders: `place`, `cancel`, `amend` and `review`, and what all commands about an order share: how it is
//! found, the ids of its facts, and the lines that a command names.

use std::collections::BTreeMap;

use weir::words::command::{
    ATTRIBUTES_MAX, Cancel, CommandKind, Line, ORDER_SITES_MAX, Place, PlaceLine, Review,
};
use weir::words::outcome::{Decision, Reason, Repeat, State, Subject, True};
use weir::words::policy::SITE_DEFAULT;
use weir::words::text::{Text, is_id};

use crate::model::{Answer, Model, No, text, time};
use crate::model_facts::as_lines;
use crate::model_parts::{
    Amount, Column, FactContent, First, Noted, Order, Origin, PlaceContent, Remembered,
};
use crate::model_shape::{Shape, ids, is_minor, lines, named, need, texts, times, value};

/// The most ids of facts that an order keeps.
const ORDER_FACTS_MAX: usize = 1_000;

pub(crate) fn repeat(first_sequence: u64, state: Option<State>) -> Repeat {
    Repeat { duplicate: True, first_sequence, state }
}

pub(crate) fn line_list(lines: &[Line<'_>]) -> Vec<(String, i64)> {
    lines.iter().map(|line| (line.sku.to_string(), line.quantity)).collect()
}

pub(crate) fn place_line_list(lines: &[PlaceLine<'_>]) -> Vec<(String, i64)> {
    lines.iter().map(|line| (line.sku.to_string(), line.quantity)).collect()
}

/// Each SKU once, in the order in which it was first named.
pub(crate) fn summed(lines: &[(String, i64)]) -> Vec<(String, i64)> {
    let mut summed: Vec<(String, i64)> = vec![];
    for (sku, quantity) in lines {
        match summed.iter_mut().find(|(other, _)| other == sku) {
            Some((_, sum)) => *sum += quantity,
            None => summed.push((sku.clone(), *quantity)),
        }
    }
    summed
}

/// The same in no order, to be compared.
pub(crate) fn totals(lines: &[(String, i64)]) -> BTreeMap<String, i64> {
    summed(lines).into_iter().collect()
}

fn content_of(place: &Place<'_>) -> PlaceContent {
    let origin = match &place.sites {
        Some(sites) => Origin::Sites(sites.iter().map(ToString::to_string).collect()),
        None => Origin::Site(place.site.as_deref().unwrap_or(SITE_DEFAULT).to_owned()),
    };
    PlaceContent {
        origin,
        lines: totals(&place_line_list(&place.lines)),
        on_shortage: place.on_shortage,
        value: place.value.as_ref().map(Amount::from),
        pay_within_ms: place.pay_within_ms,
    }
}

/// Why an order of which nothing waits or is reserved cannot be cancelled or amended.
pub(crate) fn nothing_open(order: &Order) -> Reason {
    match order.state() {
        State::Cancelled => Reason::AlreadyCancelled,
        State::Expired => Reason::OrderExpired,
        _ => Reason::AlreadyShipped,
    }
}

/// How far ahead of log time an order may have been submitted.
const AHEAD_MS_MAX: i64 = 300_000;

/// The shape of `place`.
pub(crate) fn place_shape(now: i64, place: &Place<'_>) -> Shape {
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

/// The shape of `cancel`.
pub(crate) fn cancel_shape(it: &Cancel<'_>) -> Shape {
    ids(&[Some(&it.order_id), it.cancel_id.as_ref()])?;
    texts(&[it.by.as_ref(), it.reason.as_ref()])?;
    value(it.value.as_ref())?;
    it.lines.as_ref().map_or(Ok(()), |lines| named(lines, 1))
}

/// The shape of `review`.
pub(crate) fn review_shape(it: &Review<'_>) -> Shape {
    ids(&[Some(&it.order_id), it.review_id.as_ref()])?;
    times(&[it.occurred_at])?;
    need((1..=5).contains(&it.score), Reason::InvalidValue)?;
    texts(&[it.topic.as_ref()])
}

impl Model {
    /// Where a kept order is, or why there is none to act on.
    pub(crate) fn kept(&self, id: &str) -> Result<usize, Reason> {
        if let Some(at) = self.orders.iter().position(|order| order.id == id) {
            return Ok(at);
        }
        Err(match self.remembered(id).map(|it| it.state) {
            None => Reason::UnknownOrder,
            Some(State::Refused) => Reason::OrderRefused,
            Some(State::Cancelled) => Reason::AlreadyCancelled,
            Some(State::Expired) => Reason::OrderExpired,
            Some(_) => Reason::OrderClosed,
        })
    }

    /// The fact of a kept order that came under this id before, if any; or why there can be no such fact.
    pub(crate) fn noted(
        &self,
        at: usize,
        kind: CommandKind,
        id: Option<&str>,
        content: &FactContent,
    ) -> Result<Option<Noted>, Reason> {
        let Some(id) = id else { return Ok(None) };
        let order = &self.orders[at];
        if let Some(noted) = order.facts.iter().find(|noted| noted.kind == kind && noted.id == id) {
            return if noted.content == *content { Ok(Some(noted.clone())) } else { Err(Reason::IdConflict) };
        }
        if order.facts.len() >= ORDER_FACTS_MAX {
            return Err(Reason::TooManyFacts);
        }
        let all: usize = self.orders.iter().map(|order| order.facts.len()).sum();
        if i64::try_from(all).expect("few") >= self.policy.order_facts_max {
            return Err(Reason::Busy);
        }
        Ok(None)
    }

    pub(crate) fn note(
        &mut self,
        at: usize,
        kind: CommandKind,
        id: Option<&str>,
        content: FactContent,
        in_part: bool,
    ) {
        let Some(id) = id else { return };
        let (id, first_sequence) = (id.to_owned(), self.sequence);
        self.orders[at].facts.push(Noted { kind, id, content, first_sequence, in_part });
    }

    /// Whether policy allows so many lines and units.
    pub(crate) fn within_limits(&self, named: &[(String, i64)]) -> Result<(), Reason> {
        if i64::try_from(named.len()).expect("few") > self.policy.lines_max {
            return Err(Reason::TooManyLines);
        }
        let most = self.policy.quantity_max;
        if summed(named).iter().any(|(_, quantity)| quantity.abs() > most) {
            return Err(Reason::InvalidQuantity);
        }
        Ok(())
    }

    /// The order's lines that are named (each once), none with more than its whole quantity.
    pub(crate) fn of_order(&self, at: usize, named: &[(String, i64)]) -> Result<Vec<(usize, i64)>, Reason> {
        let order = &self.orders[at];
        let mut lines = vec![];
        for (sku, quantity) in named {
            let line = order.line(sku).ok_or(Reason::NotInOrder)?;
            if *quantity > order.lines[line].whole() {
                return Err(Reason::ExceedsRemaining);
            }
            lines.push((line, *quantity));
        }
        Ok(lines)
    }

    pub(crate) fn place(&mut self, place: &Place<'_>) -> Answer {
        let content = content_of(place);
        if let Some(answer) = self.placed_before(place, &content) {
            return answer;
        }
        if place.submitted_at.is_some_and(|at| self.too_old.is_some_and(|too_old| at.millis() <= too_old)) {
            return Err(Reason::TooOld.into());
        }
        let sites = match &content.origin {
            Origin::Site(site) => vec![site.clone()],
            Origin::Sites(sites) => sites.clone(),
        };
        if sites.iter().any(|site| !self.sites.contains(site)) {
            return Err(Reason::UnknownSite.into());
        }
        if place.sites.is_some() && place.lines.len() > 2_000 {
            return Err(Reason::TooManyLines.into());
        }
        let named = place_line_list(&place.lines);
        self.within_limits(&named)?;
        let too_long = place.pay_within_ms.is_some_and(|within| within > self.policy.hold_ms_max);
        let latest = self.now + self.policy.wait_ms_max;
        if too_long || place.wait_until.is_some_and(|until| until.millis() > latest) {
            return Err(Reason::InvalidValue.into());
        }
        let (counts, named) = (self.counts(), summed(&named));
        let fits = |count: usize, most: i64| i64::try_from(count).expect("few") <= most;
        if !fits(counts.open + 1, self.policy.open_orders_max)
            || !fits(counts.open_lines + named.len(), self.policy.open_lines_max)
        {
            return Err(Reason::Busy.into());
        }
        let answer = self.place_new(place, &content, &sites, &named);
        match &answer {
            Err(No { reason: Reason::InsufficientStock, .. }) => {
                self.refused.push(Remembered {
                    id: place.order_id.to_string(),
                    content,
                    first: First::Refused,
                    first_sequence: self.sequence,
                    state: State::Refused,
                    since: self.now,
                });
            }
            Err(_) => return answer,
            Ok(_) => {}
        }
        if !self.ids.iter().any(|id| *id == place.order_id) {
            self.ids.push(place.order_id.to_string());
        }
        answer
    }

    /// The answer to a place whose id is known.
    fn placed_before(&self, place: &Place<'_>, content: &PlaceContent) -> Option<Answer> {
        let kept = self.orders.iter().find(|order| order.id == place.order_id);
        let remembered = self.remembered(&place.order_id);
        let (known, first, first_sequence, state) = match (kept, remembered) {
            (Some(it), _) => (&it.content, it.first, it.first_sequence, it.state()),
            (None, Some(it)) => (&it.content, it.first, it.first_sequence, it.state),
            (None, None) => return None,
        };
        if known != content {
            return Some(Err(Reason::IdConflict.into()));
        }
        let order_id = text(&place.order_id);
        let as_placed = kept.filter(|order| !order.amended);
        let shortages = as_placed.map(|order| order.shortages.clone()).unwrap_or_default();
        let repeat = Some(repeat(first_sequence, Some(state)));
        Some(Ok(match first {
            First::Confirmed => Decision::Confirmed {
                order_id,
                pay_by: kept.and_then(|order| order.pay_by).map(time),
                lines: as_placed.map(|order| order.site_lines(None)).unwrap_or_default(),
                shortages,
                released: false,
                repeat,
            },
            First::Waiting => Decision::Waiting {
                order_id,
                sku: kept.and_then(Order::waits_for).map(text),
                wait_until: kept.and_then(|order| order.wait_until).map(time),
                shortages: vec![],
                repeat,
            },
            First::Refused => Decision::Refused {
                command: CommandKind::Place,
                subject: Some(Subject::OrderId(order_id)),
                reason: Reason::InsufficientStock,
                detail: None,
                shortages: vec![],
                order_state: None,
                repeat,
            },
        }))
    }

    pub(crate) fn cancel(&mut self, cancel: &Cancel<'_>) -> Answer {
        let at = self.kept(&cancel.order_id)?;
        let (kind, id) = (CommandKind::Cancel, cancel.cancel_id.as_deref());
        let named = cancel.lines.as_deref().map(line_list);
        let value = cancel.value.as_ref().map(Amount::from);
        let content = FactContent::LinesAndValue(named.as_deref().map(totals), value.clone());
        let (by, reason) = (cancel.by.as_deref().map(text), cancel.reason.as_deref().map(text));
        let (order_id, cancel_id) = (text(&cancel.order_id), id.map(text));
        if let Some(first) = self.noted(at, kind, id, &content)? {
            let (lines, state) = (vec![], self.orders[at].state());
            let repeat = Some(repeat(first.first_sequence, None));
            return Ok(Decision::Cancelled { order_id, cancel_id, lines, by, reason, state, repeat });
        }
        let order = &self.orders[at];
        let to_cancel: Vec<(usize, i64)> = if let Some(named) = &named {
            self.within_limits(named)?;
            let lines = self.of_order(at, &summed(named))?;
            for &(line, quantity) in &lines {
                let line = &order.lines[line];
                let open = line.of(Column::Waiting) + line.of(Column::Reserved);
                if quantity > open {
                    return Err(match order.state() {
                        State::Cancelled => Reason::AlreadyCancelled,
                        State::Expired => Reason::OrderExpired,
                        _ if quantity <= open + line.left() => Reason::AlreadyShipped,
                        _ => Reason::ExceedsRemaining,
                    }
                    .into());
                }
            }
            lines
        } else {
            if !order.is_open() {
                return Err(nothing_open(order).into());
            }
            let open =
                |line: usize| order.lines[line].of(Column::Waiting) + order.lines[line].of(Column::Reserved);
            (0..order.lines.len()).map(|line| (line, open(line))).collect()
        };
        let mut lines = vec![];
        for (line, quantity) in to_cancel.into_iter().filter(|(_, quantity)| *quantity > 0) {
            self.cancel_units(at, line, quantity);
            lines.push((self.orders[at].lines[line].sku.clone(), quantity));
        }
        let order = &mut self.orders[at];
        if value.is_some() || !order.is_gone() {
            order.set_value(value);
        }
        let cancelled: i64 = lines.iter().map(|(_, quantity)| quantity).sum();
        let told = named.is_some() || cancelled < order.whole();
        let (lines, state) = (if told { as_lines(&lines) } else { vec![] }, order.state());
        self.note(at, kind, id, content, false);
        Ok(Decision::Cancelled { order_id, cancel_id, lines, by, reason, state, repeat: None })
    }

    /// Cancels so many units of a line, what waits first.
    pub(crate) fn cancel_units(&mut self, at: usize, line: usize, quantity: i64) {
        let waiting = quantity.min(self.orders[at].lines[line].of(Column::Waiting));
        self.post(at, line, Column::Waiting, Column::Cancelled, waiting);
        self.post(at, line, Column::Reserved, Column::Cancelled, quantity - waiting);
    }

    pub(crate) fn review(&mut self, review: &Review<'_>) -> Answer {
        let (order_id, review_id) = (text(&review.order_id), review.review_id.as_deref().map(text));
        if let Some(remembered) = self.remembered(&review.order_id) {
            let state = remembered.state;
            return Ok(Decision::Reviewed { order_id, review_id, state, repeat: None });
        }
        let at = self.kept(&review.order_id)?;
        let (kind, id) = (CommandKind::Review, review.review_id.as_deref());
        let (content, state) = (FactContent::Number(review.score), self.orders[at].state());
        let repeat = self.noted(at, kind, id, &content)?.map(|first| repeat(first.first_sequence, None));
        if repeat.is_none() {
            self.note(at, kind, id, content, false);
        }
        Ok(Decision::Reviewed { order_id, review_id, state, repeat })
    }
}

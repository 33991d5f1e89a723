//! The judge's stock for orders: what a new order gets, and from where; and `amend`, which gets more as a new order would.

use weir::words::command::{Amend, CommandKind, OnShortage, Place};
use weir::words::outcome::{Decision, Reason, Shortage, SiteLine};
use weir::words::timestamp::Timestamp;

use crate::model::{Answer, Model, No, text, time};
use crate::model_orders::{nothing_open, place_line_list, repeat, summed, totals};
use crate::model_parts::{Amount, Column, FactContent, First, Order, OrderLine, Origin, PlaceContent};
use crate::model_shape::{Shape, ids, is_minor, lines, need, times, value};

/// Where a line of a new order would come from.
struct Found {
    sku: String,
    wanted: i64,
    /// How much of it is met.
    met: i64,
    /// From where; none where no listed site knows the SKU.
    site: Option<String>,
}

impl Order {
    /// Where each line comes from, where the order listed sites and not all of it comes from the first: all its units, or
    /// those in one column.
    pub(crate) fn site_lines(&self, column: Option<Column>) -> Vec<SiteLine<'static>> {
        let Origin::Sites(sites) = &self.content.origin else { return vec![] };
        let units = |line: &OrderLine| column.map_or_else(|| line.whole(), |column| line.of(column));
        let lines: Vec<&OrderLine> = self.lines.iter().filter(|line| units(line) > 0).collect();
        if lines.iter().all(|line| line.site == sites[0]) {
            return vec![];
        }
        let told = |line: &&OrderLine| SiteLine {
            sku: text(&line.sku),
            quantity: units(line),
            site: text(&line.site),
        };
        lines.iter().map(told).collect()
    }
}

fn short_of(sku: &str, requested: i64, available: i64) -> Shortage<'static> {
    Shortage { sku: text(sku), requested, available: available.max(0) }
}

/// The shape of `amend`.
pub(crate) fn amend_shape(it: &Amend<'_>) -> Shape {
    ids(&[Some(&it.order_id), Some(&it.amendment_id)])?;
    times(&[it.promised_by])?;
    value(it.value.as_ref())?;
    for line in &it.lines {
        need(line.unit_price.is_none_or(is_minor), Reason::InvalidValue)?;
    }
    lines(it.lines.iter().map(|line| (&line.sku, line.quantity)), 1)
}

impl Model {
    /// Which of its lines a new order gets, and from which of the sites.
    fn find_stock(&self, sites: &[String], named: &[(String, i64)]) -> Vec<Found> {
        let has = |site: &String, sku: &str, wanted| {
            self.available(site, sku).is_some_and(|available| available >= wanted)
        };
        let has_all = |site: &&String| named.iter().all(|(sku, wanted)| has(site, sku, *wanted));
        let whole = sites.iter().find(has_all);
        let find = |(sku, wanted): &(String, i64)| {
            let (sku, wanted) = (sku.clone(), *wanted);
            if let Some(site) = whole.or_else(|| sites.iter().find(|site| has(site, &sku, wanted))) {
                return Found { sku, wanted, met: wanted, site: Some(site.clone()) };
            }
            // The first of those that have most.
            let mut best: Option<(&String, i64)> = None;
            for site in sites {
                let Some(available) = self.available(site, &sku) else { continue };
                if best.is_none_or(|(_, most)| available.max(0) > most) {
                    best = Some((site, available.max(0)));
                }
            }
            let (site, met) = best.map_or((None, 0), |(site, most)| (Some(site.clone()), most));
            Found { sku, wanted, met, site }
        };
        named.iter().map(find).collect()
    }

    /// A new order, after everything but stock has been checked.
    pub(crate) fn place_new(
        &mut self,
        place: &Place<'_>,
        content: &PlaceContent,
        sites: &[String],
        named: &[(String, i64)],
    ) -> Answer {
        let found = self.find_stock(sites, named);
        let short = found.iter().filter(|line| line.met < line.wanted);
        let shortages: Vec<Shortage<'static>> =
            short.map(|line| short_of(&line.sku, line.wanted, line.met)).collect();
        let is_unknown = found.iter().any(|line| line.site.is_none());
        let reason = if is_unknown { Reason::UnknownSku } else { Reason::InsufficientStock };
        let got: i64 = found.iter().map(|line| line.met).sum();
        if shortages.is_empty() || (place.on_shortage == OnShortage::Partial && got > 0) {
            return Ok(self.confirm(content, place, &found, shortages));
        }
        let until = place.wait_until.map(Timestamp::millis);
        let waits = place.on_shortage == OnShortage::Backorder
            && !is_unknown
            && until.is_none_or(|until| until > self.now);
        if !waits {
            return Err(No { reason, shortages });
        }
        let first_that_knows = |sku: &str| {
            let site = sites.iter().find(|site| self.shelf(site, sku).is_some());
            site.expect("some site knows it").clone()
        };
        let lines: Vec<(String, String, i64)> =
            named.iter().map(|(sku, wanted)| (first_that_knows(sku), sku.clone(), *wanted)).collect();
        let waiting = self.orders.iter().filter(|order| order.waits()).count();
        let too_many = i64::try_from(waiting).expect("few") >= self.policy.waiting_orders_max;
        if too_many || lines.iter().any(|(site, sku, wanted)| self.waiting_is_full(site, sku, *wanted)) {
            return Err(Reason::WaitingFull.into());
        }
        Ok(self.wait(content, place, &lines, shortages))
    }

    /// Whether no more than so many units more of a SKU may be waited for.
    fn waiting_is_full(&self, site: &str, sku: &str, more: i64) -> bool {
        let lines = self.orders.iter().flat_map(|order| &order.lines);
        let there = lines.filter(|line| line.site == site && line.sku == sku);
        let waiting: i64 = there.map(|line| line.of(Column::Waiting)).sum();
        waiting + more > self.policy.waiting_units_max
    }

    fn new_order(&mut self, place: &Place<'_>, content: &PlaceContent, first: First) -> usize {
        let ticket = (self.sequence, self.index);
        self.orders.push(Order {
            id: place.order_id.to_string(),
            content: content.clone(),
            first,
            first_sequence: self.sequence,
            shortages: vec![],
            ticket,
            wait_ticket: ticket,
            lines: vec![],
            amended: false,
            value: content.value.clone(),
            payments: 0,
            paid: false,
            pay_by: None,
            wait_until: None,
            started: 0,
            parked: None,
            park_anew: false,
            facts: vec![],
            settled_at: (-1, 0),
        });
        self.orders.len() - 1
    }

    fn confirm(
        &mut self,
        content: &PlaceContent,
        place: &Place<'_>,
        found: &[Found],
        shortages: Vec<Shortage<'static>>,
    ) -> Decision<'static> {
        let at = self.new_order(place, content, First::Confirmed);
        for line in found.iter().filter(|line| line.met > 0) {
            let site = line.site.as_ref().expect("it is met there");
            self.add_units(at, site, &line.sku, Column::Reserved, line.met);
        }
        if !shortages.is_empty() {
            self.orders[at].value = None;
        }
        self.orders[at].shortages.clone_from(&shortages);
        self.start_hold(at);
        let order = &self.orders[at];
        Decision::Confirmed {
            order_id: text(&order.id),
            pay_by: order.pay_by.map(time),
            lines: order.site_lines(None),
            shortages,
            released: false,
            repeat: None,
        }
    }

    fn wait(
        &mut self,
        content: &PlaceContent,
        place: &Place<'_>,
        lines: &[(String, String, i64)],
        shortages: Vec<Shortage<'static>>,
    ) -> Decision<'static> {
        let at = self.new_order(place, content, First::Waiting);
        for (site, sku, wanted) in lines {
            self.add_units(at, site, sku, Column::Waiting, *wanted);
        }
        let within = Some(self.policy.wait_within_ms).filter(|within| *within > 0);
        let order = &mut self.orders[at];
        let until = place.wait_until.map(Timestamp::millis);
        order.wait_until = until.or(within.map(|within| time(self.now).plus_millis(within).millis()));
        self.start(at);
        self.park(at);
        let order = &self.orders[at];
        Decision::Waiting {
            order_id: text(&order.id),
            sku: order.waits_for().map(text),
            wait_until: order.wait_until.map(time),
            shortages,
            repeat: None,
        }
    }

    pub(crate) fn amend(&mut self, amend: &Amend<'_>) -> Answer {
        let at = self.kept(&amend.order_id)?;
        let (kind, id) = (CommandKind::Amend, Some(&*amend.amendment_id));
        let named = place_line_list(&amend.lines);
        let value = amend.value.as_ref().map(Amount::from);
        let content = FactContent::LinesAndValue(Some(totals(&named)), value.clone());
        let (order_id, amendment_id) = (text(&amend.order_id), text(&amend.amendment_id));
        if let Some(first) = self.noted(at, kind, id, &content)? {
            let (state, repeat) = (self.orders[at].state(), Some(repeat(first.first_sequence, None)));
            return Ok(Decision::Amended { order_id, amendment_id, state, repeat });
        }
        self.within_limits(&named)?;
        let named = summed(&named);
        let order = &self.orders[at];
        if !order.is_open() {
            return Err(nothing_open(order).into());
        }
        let target = |sku: &str| named.iter().find(|(other, _)| other == sku).map_or(0, |(_, it)| *it);
        if order.lines.iter().any(|line| target(&line.sku) < line.left()) {
            return Err(Reason::AlreadyShipped.into());
        }
        let added = named.iter().filter(|(sku, _)| order.line(sku).is_none()).count();
        let open_lines = i64::try_from(self.counts().open_lines + added).expect("few");
        if added > 0 && open_lines > self.policy.open_lines_max {
            return Err(Reason::Busy.into());
        }
        let waits = order.waits();
        // What it is to have more: site, SKU, how much.
        let mut more: Vec<(String, String, i64)> = vec![];
        for (sku, target) in &named {
            let line = order.line(sku).map(|line| &order.lines[line]);
            let has =
                line.map_or(0, |line| line.whole() - line.of(Column::Cancelled) - line.of(Column::Expired));
            if *target > has {
                let site = &line.unwrap_or(&order.lines[0]).site;
                more.push((site.clone(), sku.clone(), target - has));
            }
        }
        self.can_have_more(waits, &more)?;
        let fewer: Vec<(usize, i64)> = (0..)
            .zip(&order.lines)
            .map(|(at, line)| {
                let open = line.of(Column::Waiting) + line.of(Column::Reserved);
                (at, line.left() + open - target(&line.sku))
            })
            .filter(|(_, fewer)| *fewer > 0)
            .collect();
        for (line, quantity) in fewer {
            self.cancel_units(at, line, quantity);
        }
        let column = if waits { Column::Waiting } else { Column::Reserved };
        for (site, sku, quantity) in &more {
            self.add_units(at, site, sku, column, *quantity);
        }
        let ticket = (self.sequence, self.index);
        let order = &mut self.orders[at];
        if waits && !more.is_empty() {
            order.wait_ticket = ticket;
            order.park_anew = true;
        }
        order.amended = true;
        order.set_value(value);
        let state = order.state();
        self.note(at, kind, id, content, false);
        Ok(Decision::Amended { order_id, amendment_id, state, repeat: None })
    }

    /// Whether an amended order gets more, as a new order would.
    fn can_have_more(&self, waits: bool, more: &[(String, String, i64)]) -> Result<(), No> {
        let mut shortages = vec![];
        let mut is_unknown = false;
        for (site, sku, wanted) in more {
            let available = self.available(site, sku);
            is_unknown |= available.is_none();
            if available.is_none() || (!waits && available.is_some_and(|available| available < *wanted)) {
                shortages.push(short_of(sku, *wanted, available.unwrap_or(0)));
            }
        }
        if is_unknown {
            return Err(No { reason: Reason::UnknownSku, shortages });
        }
        if !shortages.is_empty() {
            return Err(No { reason: Reason::InsufficientStock, shortages });
        }
        if waits && more.iter().any(|(site, sku, wanted)| self.waiting_is_full(site, sku, *wanted)) {
            return Err(Reason::WaitingFull.into());
        }
        Ok(())
    }
}

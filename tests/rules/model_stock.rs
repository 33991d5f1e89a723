//! The judge's stock: the shelves and what of them can be had, movements of an order's units, the commands `receive`,
//! `count`, `adjust` and `transfer`, and the policy.

use std::collections::BTreeMap;

use weir::words::command::{Adjust, CommandKind, Count, Receive, Transfer};
use weir::words::outcome::{Adjustment, Decision, Mark, Reason, Shortage};
use weir::words::policy::{OwnFigure, PolicyChange, QUANTITY_LIMIT_MAX, SITE_DEFAULT, SITES_MAX};
use weir::words::text::is_id;
use weir::words::timestamp::Timestamp;

use crate::model::{Answer, Model, No, text};
use crate::model_orders::{line_list, repeat, summed, totals};
use crate::model_parts::{Column, LEFT, OrderLine, Shelf, StockContent, StockFact};
use crate::model_shape::{Shape, ids, lines, named, need, texts, times};

/// The shape of `receive`.
pub(crate) fn receive_shape(it: &Receive<'_>) -> Shape {
    ids(&[Some(&it.receipt_id)])?;
    times(&[it.occurred_at])?;
    texts(&[it.site.as_ref()])?;
    named(&it.lines, 1)
}

/// The shape of `count`.
pub(crate) fn count_shape(it: &Count<'_>) -> Shape {
    ids(&[Some(&it.count_id)])?;
    times(&[it.occurred_at])?;
    texts(&[it.site.as_ref()])?;
    lines(it.lines.iter().map(|line| (&line.sku, line.quantity)), 0)?;
    let books = -QUANTITY_LIMIT_MAX..=QUANTITY_LIMIT_MAX;
    for (at, line) in it.lines.iter().enumerate() {
        need(line.expected.is_none_or(|expected| books.contains(&expected)), Reason::InvalidQuantity)?;
        need(it.lines[..at].iter().all(|other| other.sku != line.sku), Reason::DuplicateSku)?;
    }
    Ok(())
}

/// The shape of `adjust`.
pub(crate) fn adjust_shape(it: &Adjust<'_>) -> Shape {
    ids(&[Some(&it.adjustment_id)])?;
    times(&[it.occurred_at])?;
    texts(&[it.site.as_ref(), it.reason.as_ref()])?;
    named(&it.lines, -QUANTITY_LIMIT_MAX)?;
    need(it.lines.iter().all(|line| line.quantity != 0), Reason::InvalidQuantity)
}

/// The shape of `transfer`.
pub(crate) fn transfer_shape(it: &Transfer<'_>) -> Shape {
    ids(&[Some(&it.transfer_id)])?;
    times(&[it.occurred_at])?;
    texts(&[Some(&it.from), Some(&it.to)])?;
    need(it.from != it.to, Reason::InvalidValue)?;
    named(&it.lines, 1)
}

/// The shape of `policy`.
pub(crate) fn policy_shape(change: &PolicyChange<'_>) -> Shape {
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

impl Model {
    pub(crate) fn shelf(&self, site: &str, sku: &str) -> Option<&Shelf> {
        self.shelves.iter().find(|stock| stock.site == site && stock.sku == sku)
    }

    /// A SKU at a site, which becomes known there if it is not.
    pub(crate) fn shelf_mut(&mut self, site: &str, sku: &str) -> &mut Shelf {
        let at = self.shelves.iter().position(|stock| stock.site == site && stock.sku == sku);
        let at = at.unwrap_or_else(|| {
            self.shelves.push(Shelf { site: site.to_owned(), sku: sku.to_owned(), ..Shelf::default() });
            self.shelves.len() - 1
        });
        &mut self.shelves[at]
    }

    pub(crate) fn safety_stock(&self, stock: &Shelf) -> i64 {
        stock.safety_stock.unwrap_or(self.policy.safety_stock)
    }

    /// The units of a SKU at a site that orders have reserved.
    pub(crate) fn reserved(&self, site: &str, sku: &str) -> i64 {
        let lines = self.orders.iter().flat_map(|order| &order.lines);
        let there = lines.filter(|line| line.site == site && line.sku == sku);
        there.map(|line| line.of(Column::Reserved)).sum()
    }

    /// How much of a SKU there is to be had, claimed or not; none where the site does not know it.
    pub(crate) fn unreserved(&self, site: &str, sku: &str) -> Option<i64> {
        let stock = self.shelf(site, sku)?;
        let allowance = stock.allowance.unwrap_or(0);
        Some(stock.on_hand - self.reserved(site, sku) - self.safety_stock(stock) + allowance)
    }

    /// How much a new order may have of a SKU: it counts as placed last.
    pub(crate) fn available(&self, site: &str, sku: &str) -> Option<i64> {
        Some(self.unreserved(site, sku)? - self.claims(site, sku, None))
    }

    /// What is missing of a SKU: reserved units that are not there.
    pub(crate) fn missing(&self, site: &str, sku: &str) -> i64 {
        let reserved = self.reserved(site, sku);
        let Some(stock) = self.shelf(site, sku) else { return 0 };
        (reserved - stock.on_hand - stock.allowance.unwrap_or(0)).clamp(0, reserved)
    }

    /// Takes note of a SKU that has just changed, if some of it is missing, or was told to be.
    pub(crate) fn touch(&mut self, site: &str, sku: &str) {
        let lines = self.orders.iter().flat_map(|order| &order.lines);
        let mut of_it = lines.filter(|line| line.site == site && line.sku == sku);
        let is_short = of_it.any(|line| line.told > 0) || self.missing(site, sku) > 0;
        let touched = (site.to_owned(), sku.to_owned());
        if is_short && !self.touched.contains(&touched) {
            self.touched.push(touched);
        }
    }

    /// What is on hand changes by so much.
    pub(crate) fn change_on_hand(&mut self, site: &str, sku: &str, by: i64) {
        let now = self.now;
        let stock = self.shelf_mut(site, sku);
        stock.on_hand += by;
        stock.changed_at = Some(now);
        self.touch(site, sku);
    }

    /// Moves units of an order's line from one column to another, and off the shelf where they leave the site.
    pub(crate) fn post(&mut self, at: usize, line: usize, from: Column, to: Column, quantity: i64) {
        if quantity == 0 {
            return;
        }
        let order = &mut self.orders[at];
        if [from, to].contains(&Column::Waiting) && order.parked.is_some_and(|(parked, _)| parked == line) {
            order.park_anew = true;
        }
        let id = order.id.clone();
        let line = &mut order.lines[line];
        *line.units.entry(from).or_insert(0) -= quantity;
        *line.units.entry(to).or_insert(0) += quantity;
        let leaves = LEFT.contains(&to) && !LEFT.contains(&from);
        if leaves && to != Column::Shipped {
            line.untold_shipped += quantity;
        }
        if to == Column::Returned && from != Column::Delivered {
            line.untold_delivered += quantity;
        }
        let (site, sku) = (line.site.clone(), line.sku.clone());
        if leaves {
            self.change_on_hand(&site, &sku, -quantity);
            self.shelf_mut(&site, &sku).shipped += quantity;
        }
        self.touch(&site, &sku);
        self.changed.push(id);
    }

    /// Adds units to an order.
    pub(crate) fn add_units(&mut self, at: usize, site: &str, sku: &str, to: Column, quantity: i64) {
        let order = &mut self.orders[at];
        let line = order.line(sku).unwrap_or_else(|| {
            order.lines.push(OrderLine::new(sku, site));
            order.lines.len() - 1
        });
        *order.lines[line].units.entry(to).or_insert(0) += quantity;
        self.changed.push(order.id.clone());
        self.touch(site, sku);
    }

    /// The sequence under which a fact of stock came before, if it did; or why there can be no such fact.
    fn fact_before(
        &self,
        kind: CommandKind,
        id: &str,
        content: &StockContent,
    ) -> Result<Option<u64>, Reason> {
        match self.stock_facts.iter().find(|fact| fact.kind == kind && fact.id == id) {
            None => Ok(None),
            Some(fact) if fact.content == *content => Ok(Some(fact.first_sequence)),
            Some(_) => Err(Reason::IdConflict),
        }
    }

    fn remember_fact(&mut self, kind: CommandKind, id: &str, content: StockContent) {
        let (first_sequence, at) = (self.sequence, self.now);
        self.stock_facts.push(StockFact { kind, id: id.to_owned(), content, first_sequence, at });
    }

    fn check_sites(&self, sites: &[&str]) -> Result<(), Reason> {
        let known = sites.iter().all(|site| self.sites.iter().any(|it| it == site));
        if known { Ok(()) } else { Err(Reason::UnknownSite) }
    }

    /// Whether there is room for the SKUs that would become known.
    fn room_for_skus(&self, site: &str, named: &[(String, i64)]) -> Result<(), Reason> {
        let added = named.iter().filter(|(sku, _)| self.shelf(site, sku).is_none()).count();
        let all = i64::try_from(self.shelves.len() + added).expect("few");
        if added > 0 && all > self.policy.skus_max { Err(Reason::Busy) } else { Ok(()) }
    }

    pub(crate) fn receive(&mut self, receive: &Receive<'_>) -> Answer {
        let (kind, id) = (CommandKind::Receive, &*receive.receipt_id);
        let site = receive.site.as_deref().unwrap_or(SITE_DEFAULT).to_owned();
        let named = line_list(&receive.lines);
        let content = content_of(&[&site], &named);
        let receipt_id = text(id);
        if let Some(first) = self.fact_before(kind, id, &content)? {
            return Ok(Decision::Received { receipt_id, repeat: Some(repeat(first, None)) });
        }
        self.check_sites(&[&site])?;
        self.within_limits(&named)?;
        let named = summed(&named);
        self.room_for_skus(&site, &named)?;
        for (sku, quantity) in &named {
            self.change_on_hand(&site, sku, *quantity);
            self.shelf_mut(&site, sku).received += quantity;
        }
        self.remember_fact(kind, id, content);
        Ok(Decision::Received { receipt_id, repeat: None })
    }

    /// The books are changed by so much: what they say then, unless nothing changes.
    fn correct(&mut self, site: &str, sku: &str, by: i64) -> Option<Adjustment<'static>> {
        let stock = self.shelf_mut(site, sku);
        if by == 0 {
            return None;
        }
        stock.adjusted += by;
        let before = stock.on_hand;
        self.change_on_hand(site, sku, by);
        Some(Adjustment { sku: text(sku), before, after: before + by })
    }

    pub(crate) fn count(&mut self, count: &Count<'_>) -> Answer {
        let (kind, id) = (CommandKind::Count, &*count.count_id);
        let site = count.site.as_deref().unwrap_or(SITE_DEFAULT).to_owned();
        let expected = count.lines.iter().map(|line| (line.sku.to_string(), (line.quantity, line.expected)));
        let content = (vec![site.clone()], expected.collect());
        let count_id = text(id);
        let (mut adjustments, mut stale, mut marks) = (vec![], vec![], vec![]);
        if let Some(first) = self.fact_before(kind, id, &content)? {
            let repeat = Some(repeat(first, None));
            return Ok(Decision::Counted { count_id, adjustments, stale, marks, repeat });
        }
        let named: Vec<(String, i64)> =
            count.lines.iter().map(|line| (line.sku.to_string(), line.quantity)).collect();
        self.check_sites(&[&site])?;
        self.within_limits(&named)?;
        self.room_for_skus(&site, &named)?;
        for line in &count.lines {
            let stock = self.shelf_mut(&site, &line.sku);
            let by = line.quantity - line.expected.unwrap_or(stock.on_hand);
            let occurred_at = count.occurred_at.map(Timestamp::millis);
            let is_late = occurred_at.is_some_and(|at| stock.changed_at.is_some_and(|changed| at < changed));
            if line.expected.is_none() && is_late {
                stale.push(text(&line.sku));
            } else {
                adjustments.extend(self.correct(&site, &line.sku, by));
            }
        }
        marks.extend(below_zero(&adjustments));
        if !stale.is_empty() {
            marks.push(Mark::Stale);
        }
        self.remember_fact(kind, id, content);
        Ok(Decision::Counted { count_id, adjustments, stale, marks, repeat: None })
    }

    pub(crate) fn adjust(&mut self, adjust: &Adjust<'_>) -> Answer {
        let (kind, id) = (CommandKind::Adjust, &*adjust.adjustment_id);
        let site = adjust.site.as_deref().unwrap_or(SITE_DEFAULT).to_owned();
        let named = line_list(&adjust.lines);
        let content = content_of(&[&site], &named);
        let adjustment_id = text(id);
        let (mut adjustments, mut marks) = (vec![], vec![]);
        if let Some(first) = self.fact_before(kind, id, &content)? {
            let repeat = Some(repeat(first, None));
            return Ok(Decision::Adjusted { adjustment_id, adjustments, marks, repeat });
        }
        self.check_sites(&[&site])?;
        self.within_limits(&named)?;
        let named = summed(&named);
        self.room_for_skus(&site, &named)?;
        for (sku, by) in &named {
            adjustments.extend(self.correct(&site, sku, *by));
        }
        marks.extend(below_zero(&adjustments));
        self.remember_fact(kind, id, content);
        Ok(Decision::Adjusted { adjustment_id, adjustments, marks, repeat: None })
    }

    pub(crate) fn transfer(&mut self, transfer: &Transfer<'_>) -> Answer {
        let (kind, id) = (CommandKind::Transfer, &*transfer.transfer_id);
        let (from, to) = (transfer.from.to_string(), transfer.to.to_string());
        let named = line_list(&transfer.lines);
        let content = content_of(&[&from, &to], &named);
        let transfer_id = text(id);
        if let Some(first) = self.fact_before(kind, id, &content)? {
            return Ok(Decision::Transferred { transfer_id, repeat: Some(repeat(first, None)) });
        }
        self.check_sites(&[&from, &to])?;
        self.within_limits(&named)?;
        let named = summed(&named);
        self.room_for_skus(&to, &named)?;
        let mut shortages = vec![];
        for (sku, wanted) in &named {
            let available = self.available(&from, sku).unwrap_or(0);
            if available < *wanted || self.shelf(&from, sku).is_none() {
                shortages.push(Shortage { sku: text(sku), requested: *wanted, available: available.max(0) });
            }
        }
        if !shortages.is_empty() {
            let is_unknown = named.iter().any(|(sku, _)| self.shelf(&from, sku).is_none());
            let reason = if is_unknown { Reason::UnknownSku } else { Reason::InsufficientStock };
            return Err(No { reason, shortages });
        }
        for (sku, quantity) in &named {
            self.change_on_hand(&from, sku, -quantity);
            self.shelf_mut(&from, sku).moved_out += quantity;
            self.change_on_hand(&to, sku, *quantity);
            self.shelf_mut(&to, sku).moved_in += quantity;
        }
        self.remember_fact(kind, id, content);
        Ok(Decision::Transferred { transfer_id, repeat: None })
    }

    pub(crate) fn change_policy(&mut self, change: &PolicyChange<'_>) -> Answer {
        let mut sites = self.sites.clone();
        if let Some(listed) = &change.sites {
            sites = listed.iter().map(ToString::to_string).collect();
        }
        let dropped = self.sites.iter().filter(|site| !sites.contains(site));
        if dropped.into_iter().any(|site| self.is_in_use(site)) {
            return Err(Reason::SiteInUse.into());
        }
        let own: Vec<&OwnFigure<'_>> =
            change.safety_stock_of.iter().chain(&change.allowance_of).flatten().collect();
        for figure in own {
            if !sites.iter().any(|site| site == site_of(figure)) {
                return Err(Reason::UnknownSite.into());
            }
            if self.shelf(site_of(figure), &figure.sku).is_none() {
                return Err(Reason::UnknownSku.into());
            }
        }
        self.sites = sites;
        self.policy.change(change);
        for figure in change.safety_stock_of.iter().flatten() {
            let stock = self.shelf_mut(site_of(figure), &figure.sku);
            stock.safety_stock = figure.quantity;
            stock.idle_since = stock.idle_since.filter(|_| figure.quantity.is_none());
            self.touch(site_of(figure), &figure.sku);
        }
        for figure in change.allowance_of.iter().flatten() {
            let stock = self.shelf_mut(site_of(figure), &figure.sku);
            stock.allowance = figure.quantity;
            stock.idle_since = stock.idle_since.filter(|_| figure.quantity.is_none_or(|it| it == 0));
            self.touch(site_of(figure), &figure.sku);
        }
        Ok(Decision::PolicyApplied { rules: self.policy.rules })
    }

    /// Whether a site has stock, or an order waits for or has reserved something there.
    fn is_in_use(&self, site: &str) -> bool {
        let mut lines = self.orders.iter().flat_map(|order| &order.lines).filter(|line| line.site == site);
        let is_open = |line: &OrderLine| line.of(Column::Waiting) + line.of(Column::Reserved) > 0;
        self.shelves.iter().any(|stock| stock.site == site && stock.on_hand != 0) || lines.any(is_open)
    }
}

fn site_of<'a>(figure: &'a OwnFigure<'_>) -> &'a str {
    figure.site.as_deref().unwrap_or(SITE_DEFAULT)
}

fn content_of(sites: &[&str], named: &[(String, i64)]) -> StockContent {
    let lines: BTreeMap<String, (i64, Option<i64>)> =
        totals(named).into_iter().map(|(sku, quantity)| (sku, (quantity, None))).collect();
    (sites.iter().map(ToString::to_string).collect(), lines)
}

fn below_zero(adjustments: &[Adjustment<'_>]) -> Option<Mark> {
    let lowered = |it: &Adjustment<'_>| it.after < it.before && it.after < 0;
    adjustments.iter().any(lowered).then_some(Mark::BelowZero)
}

//! Placing an order: the decision that all else is about.

use smallvec::SmallVec;

use super::content::Content;
use super::pay::value_of;
use super::refusal::Refusal;
use super::wants::{self, Checked, Want, Wants};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::posting::new_order;
use crate::folds::inventory::tables::index::Vacancy;
use crate::folds::inventory::tables::names::Name;
use crate::folds::inventory::tables::order::{Bucket, Flags, OrderLine, OrderLines, View};
use crate::folds::inventory::tables::orders::Found;
use crate::folds::inventory::tables::remembered::{Closed, FirstOutcome};
use crate::folds::inventory::tables::sides::Parked;
use crate::folds::inventory::tables::sites::SiteIndex;
use crate::folds::inventory::tables::stock::StockIndex;
use crate::words::command::{ATTRIBUTES_MAX, CommandKind, ORDER_SITES_MAX, OnShortage, Place};
use crate::words::outcome::{Decision, Reason, Repeat, Shortage, SiteLine, State, Subject, True};
use crate::words::policy::SITE_DEFAULT;
use crate::words::text::is_id;
use crate::words::timestamp::Timestamp;

/// An order may say that it was submitted so far ahead of log time, in milliseconds: clocks differ.
pub(super) const SUBMITTED_AHEAD_MS_MAX: i64 = 5 * 60 * 1000;

/// An order that lists sites has at most so many lines: its outcome may have to say the site of each.
const LINES_WITH_SITES_MAX: usize = 2_000;

/// The site of each of its lines must be told within what the broker takes in one message.
type SiteIndices = SmallVec<[SiteIndex; 4]>;

/// An order that nothing is known of yet.
struct Fresh {
    /// The hash of its id.
    hash: u64,
    /// Where its id goes.
    vacancy: Vacancy,
    /// The hash of its deciding fields.
    content: u64,
}

/// How one of its SKUs can be met.
#[derive(Clone, Copy, Debug)]
struct Supply {
    /// Where from; none where no listed site knows the SKU.
    stock: Option<StockIndex>,
    /// How much can be had there, never below 0.
    free: i64,
}

type Supplies = SmallVec<[Supply; 4]>;

impl Inventory {
    pub(crate) fn place<'c>(
        &mut self,
        command: &'c Place<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        check_shape(command, turn.at)?;
        let wants = wants::wants(&command.lines, 1, &self.stock)?;
        let content = content(command, &wants);
        let hash = self.orders.hash(&command.order_id);
        let vacancy = match self.orders.probe(&command.order_id, hash) {
            Err(vacancy) => vacancy,
            Ok(found) => {
                let first = self.first_outcome(command, &found, content, &wants)?;
                turn.emit(&first);
                return Ok(());
            }
        };
        let fresh = Fresh { hash, vacancy, content };
        let sites = self.check_policy(command, &wants)?;
        turn.take_lines(wants.len().max(command.lines.len()) * sites.len())?;

        let supplies = self.supplies(&sites, &wants, |_| 0);
        let is_short =
            |supplies: &[Supply]| wants.iter().zip(supplies).any(|(want, it)| it.free < want.quantity);
        if !is_short(&supplies) {
            self.confirm(command, &fresh, &wants, (&sites, &supplies), turn);
            return Ok(());
        }
        // What has ended may free what it lacks: no final answer yet.
        if self.has_ended() && !is_short(&self.supplies(&sites, &wants, |reserved| reserved)) {
            return Err(Refusal::new(Reason::Busy));
        }
        let reason = if supplies.iter().any(|it| it.stock.is_none()) {
            Reason::UnknownSku
        } else {
            Reason::InsufficientStock
        };
        let refusal = || Refusal { shortages: shortages(&wants, &supplies), ..Refusal::new(reason) };
        match command.on_shortage {
            OnShortage::Partial if supplies.iter().any(|it| it.free > 0) => {
                self.confirm(command, &fresh, &wants, (&sites, &supplies), turn);
                Ok(())
            }
            OnShortage::Backorder
                if reason == Reason::InsufficientStock
                    && command.wait_until.is_none_or(|until| until > turn.at) =>
            {
                self.wait(command, &fresh, &wants, (&sites, &supplies), turn)
            }
            _ if reason == Reason::InsufficientStock => {
                self.remember_refused(command, &fresh, turn);
                Err(refusal())
            }
            _ => Err(refusal()),
        }
    }

    /// What policy says of an order, before any look at the stock; and the sites that it may come from.
    fn check_policy(&self, command: &Place<'_>, wants: &[Want<'_>]) -> Result<SiteIndices, Refusal<'static>> {
        let forgotten = self.orders.forgotten_until();
        if command.submitted_at.zip(forgotten).is_some_and(|(submitted, forgotten)| submitted <= forgotten) {
            return Err(Refusal::new(Reason::TooOld));
        }
        let named = command.sites.as_deref().unwrap_or_default().iter().map(|site| Some(&**site));
        let one = command.sites.is_none().then_some(command.site.as_deref());
        let sites: Option<SiteIndices> = named.chain(one).map(|site| self.sites.find(site)).collect();
        let sites = sites.ok_or(Refusal::new(Reason::UnknownSite))?;
        if command.sites.is_some() && command.lines.len() > LINES_WITH_SITES_MAX {
            return Err(Refusal::new(Reason::TooManyLines));
        }
        wants::limits(command.lines.len(), wants, &self.policy)?;
        wants::hold(command.pay_within_ms, &self.policy)?;
        let wait_max = self.now.plus_millis(self.policy.wait_ms_max);
        if command.wait_until.is_some_and(|until| until > wait_max) {
            return Err(Refusal::detailed(
                Reason::InvalidValue,
                "wait_until is beyond the policy's wait_ms_max",
            ));
        }
        self.check_open(wants.len())?;
        Ok(sites)
    }

    /// Refuses one more order, of so many lines, where that would be more than policy allows.
    pub(crate) fn check_open(&self, lines: usize) -> Checked {
        if self.orders.open_count() as u64 >= self.policy.open_orders_max.unsigned_abs() {
            return Err(Refusal::new(Reason::Busy));
        }
        self.check_open_lines(lines)
    }

    /// Refuses so many lines more of open orders, where that would be more than policy allows.
    pub(crate) fn check_open_lines(&self, lines: usize) -> Checked {
        if self.orders.open_lines() + lines as u64 > self.policy.open_lines_max.unsigned_abs() {
            return Err(Refusal::new(Reason::Busy));
        }
        Ok(())
    }

    /// How each SKU can be met from the listed sites, as if of what is reserved so much were free: all from the first site that has all; else each
    /// from the first that has all of it; else from the one that has most.
    fn supplies(&self, sites: &[SiteIndex], wants: &[Want<'_>], freed: fn(i64) -> i64) -> Supplies {
        let supply = |site: SiteIndex, want: &Want<'_>| {
            let stock = self.stock.find(site, want.sku, want.hash);
            let free = stock.map_or(0, |stock| {
                let item = self.stock.get(stock);
                (self.stock.free(item) + freed(item.reserved)).max(0)
            });
            Supply { stock, free }
        };
        let all_from =
            |site: SiteIndex| -> Supplies { wants.iter().map(|want| supply(site, want)).collect() };
        let has_all =
            |supplies: &Supplies| wants.iter().zip(supplies).all(|(want, it)| it.free >= want.quantity);
        let first = all_from(sites[0]);
        if sites.len() == 1 || has_all(&first) {
            return first;
        }
        let others: SmallVec<[Supplies; 4]> = sites[1..].iter().map(|site| all_from(*site)).collect();
        if let Some(whole) = others.iter().find(|supplies| has_all(supplies)) {
            return whole.clone();
        }
        let best = |number: usize, want: &Want<'_>| {
            let mut of_sites = std::iter::once(&first).chain(&others).map(|supplies| supplies[number]);
            let whole = of_sites.clone().find(|it| it.free >= want.quantity);
            // Of those that have most the first; one that knows the SKU before one that does not.
            let rank = |it: &Supply| (it.stock.is_some(), it.free);
            let most = of_sites
                .next()
                .map(|it| of_sites.fold(it, |most, it| if rank(&it) > rank(&most) { it } else { most }));
            whole.or(most).unwrap_or(first[number])
        };
        wants.iter().enumerate().map(|(number, want)| best(number, want)).collect()
    }

    fn confirm(
        &mut self,
        command: &Place<'_>,
        fresh: &Fresh,
        wants: &[Want<'_>],
        (sites, supplies): (&[SiteIndex], &[Supply]),
        turn: &mut Turn<'_>,
    ) {
        let first_site = command.sites.as_ref().map(|_| sites[0]);
        let accepted = wants.iter().zip(supplies).filter_map(|(want, supply)| {
            let quantity = want.quantity.min(supply.free);
            Some(OrderLine { stock: supply.stock?, quantity: units(quantity) }).filter(|_| quantity > 0)
        });
        let lines: OrderLines = accepted.collect();
        let is_whole = wants.iter().zip(supplies).all(|(want, supply)| supply.free >= want.quantity);
        let slot = self.insert(command, fresh, &lines, Bucket::Reserved, is_whole, turn);
        let pay_by = self.hold(slot, command.pay_within_ms, turn.at);
        turn.emit(&Decision::Confirmed {
            order_id: (&*command.order_id).into(),
            pay_by,
            lines: first_site.map_or_else(Vec::new, |first| self.site_lines(first, slot, None)),
            shortages: shortages(wants, supplies),
            released: false,
            repeat: None,
        });
    }

    fn wait<'c>(
        &mut self,
        command: &'c Place<'_>,
        fresh: &Fresh,
        wants: &[Want<'c>],
        (sites, supplies): (&[SiteIndex], &[Supply]),
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        let known =
            |want: &Want<'_>| sites.iter().find_map(|site| self.stock.find(*site, want.sku, want.hash));
        let line = |want: &Want<'_>| Some(OrderLine { stock: known(want)?, quantity: units(want.quantity) });
        let lines: OrderLines = wants.iter().filter_map(line).collect();
        if self.waiting.count() as u64 >= self.policy.waiting_orders_max.unsigned_abs() {
            return Err(Refusal::new(Reason::WaitingFull));
        }
        self.check_waiting(lines.iter().map(|line| (line.stock, line.quantity.into())))?;
        let free = |line: &OrderLine| self.stock.free(self.stock.get(line.stock));
        let short = lines.iter().find(|line| free(line) < i64::from(line.quantity));
        let stock = short.unwrap_or(&lines[0]).stock;

        // From here on it succeeds.
        let slot = self.insert(command, fresh, &lines, Bucket::Waiting, true, turn);
        let (pay_within_ms, first_site) = (command.pay_within_ms, command.sites.as_ref().map(|_| sites[0]));
        self.park(
            slot,
            stock,
            Parked { stock, claim: 0, turn: turn.ticket(), pay_within_ms, first_site },
            turn.at,
        );
        let within = Some(self.policy.wait_within_ms).filter(|within| *within > 0);
        let wait_until = command.wait_until.or(within.map(|within| turn.at.plus_millis(within)));
        if let Some(until) = wait_until {
            self.deadlines.set(&mut self.orders, slot, until);
        }
        turn.emit(&Decision::Waiting {
            order_id: (&*command.order_id).into(),
            sku: Some(self.stock.sku(stock).into()),
            wait_until,
            shortages: shortages(wants, supplies),
            repeat: None,
        });
        Ok(())
    }

    /// Refuses what would make orders wait for more units than policy allows.
    pub(crate) fn check_waiting(&self, mut units: impl Iterator<Item = (StockIndex, i64)>) -> Checked {
        let most = self.policy.waiting_units_max;
        let full = units.any(|(stock, units)| self.stock.books(stock).waiting + units > most);
        if full { Err(Refusal::new(Reason::WaitingFull)) } else { Ok(()) }
    }

    /// Adds an order and posts its lines.
    fn insert(
        &mut self,
        command: &Place<'_>,
        fresh: &Fresh,
        lines: &[OrderLine],
        bucket: Bucket,
        is_whole: bool,
        turn: &Turn<'_>,
    ) -> u32 {
        let mut order = new_order(fresh.content, turn.ticket(), lines, bucket, turn.at);
        order.flags.set(Flags::AS_PLACED, true);
        order.name_length = u8::try_from(command.order_id.len()).expect("an id is at most 64 bytes");
        let slot = self.orders.insert(order, &command.order_id, fresh.hash, fresh.vacancy);
        if order.few_count == 0 {
            self.orders.more_mut(slot).lines = lines.to_vec();
            self.orders.sort_lines(slot, &self.stock);
        }
        if let Some(value) = command.value.as_ref().and_then(value_of).filter(|_| is_whole) {
            self.orders.side_mut(slot).value = Some(value);
        }
        self.post_new(slot, turn.at);
        slot
    }

    /// Remembers an order that is refused for want of stock: a retry gets the same answer, whatever has arrived since.
    fn remember_refused(&mut self, command: &Place<'_>, fresh: &Fresh, turn: &Turn<'_>) {
        let closed = Closed {
            name: Name::default(),
            content: fresh.content,
            first_sequence: turn.sequence(),
            at: turn.at,
            first: FirstOutcome::Refused,
            state: State::Refused,
            name_length: u8::try_from(command.order_id.len()).expect("an id is at most 64 bytes"),
        };
        self.orders.insert_refused(closed, &command.order_id, fresh.hash, fresh.vacancy);
    }

    /// The outcome that was given under this id before, as a repeat.
    fn first_outcome<'c>(
        &self,
        command: &'c Place<'_>,
        found: &Found<'_>,
        content: u64,
        wants: &[Want<'c>],
    ) -> Result<Decision<'c>, Refusal<'static>> {
        let (known, first_sequence, first, state, slot) = match *found {
            Found::Kept(slot) => {
                let view = self.orders.view(slot);
                let waited = view.order.flags.has(Flags::WAITED);
                let first = if waited { FirstOutcome::Waiting } else { FirstOutcome::Confirmed };
                (view.order.content, view.order.ticket.sequence(), first, view.state(), Some(slot))
            }
            Found::Closed(closed) => {
                (closed.content, closed.first_sequence, closed.first, closed.state, None)
            }
            Found::Unknown => return Err(Refusal::new(Reason::UnknownOrder)),
        };
        if known != content {
            return Err(Refusal::of_order(Reason::IdConflict, state));
        }
        let order_id = (&*command.order_id).into();
        let view = slot.map(|slot| self.orders.view(slot));
        let repeat = Some(Repeat { duplicate: True, first_sequence, state: Some(state) });
        Ok(match first {
            FirstOutcome::Confirmed => {
                let placed = slot.filter(|slot| self.orders.get(*slot).flags.has(Flags::AS_PLACED));
                let listed =
                    command.sites.as_deref().and_then(<[_]>::first).map(|site| self.sites.find(Some(site)));
                let lines = placed
                    .zip(listed.flatten())
                    .map_or_else(Vec::new, |(slot, first)| self.site_lines(first, slot, None));
                let owned = |line: SiteLine<'_>| SiteLine {
                    sku: line.sku.into_owned().into(),
                    site: line.site.into_owned().into(),
                    quantity: line.quantity,
                };
                Decision::Confirmed {
                    order_id,
                    pay_by: view.and_then(View::pay_by),
                    lines: lines.into_iter().map(owned).collect(),
                    shortages: placed.map_or_else(Vec::new, |slot| self.first_shortages(slot, wants)),
                    released: false,
                    repeat,
                }
            }
            FirstOutcome::Waiting => {
                let parked = slot.and_then(|slot| self.parked(slot));
                Decision::Waiting {
                    order_id,
                    sku: parked.map(|parked| self.stock.sku(parked.stock).to_owned().into()),
                    wait_until: view.and_then(View::wait_until),
                    shortages: Vec::new(),
                    repeat,
                }
            }
            FirstOutcome::Refused => Decision::Refused {
                command: CommandKind::Place,
                subject: Some(Subject::OrderId(order_id)),
                reason: Reason::InsufficientStock,
                detail: None,
                shortages: Vec::new(),
                order_state: None,
                repeat,
            },
        })
    }

    /// Where an order's units come from (all of its lines, or those in a bucket), where not all of them come from the first of the sites
    /// that it listed.
    pub(crate) fn site_lines(
        &self,
        first: SiteIndex,
        slot: u32,
        bucket: Option<Bucket>,
    ) -> Vec<SiteLine<'_>> {
        let view = self.orders.view(slot);
        let site = |line: &OrderLine| self.stock.get(line.stock).site;
        let units = |number: usize, line: &OrderLine| match bucket {
            None => line.quantity,
            Some(bucket) => view.units(number, bucket),
        };
        let lines = view.lines().iter().enumerate().map(|(number, line)| (line, units(number, line)));
        let lines = lines.filter(|(_, units)| *units > 0);
        if lines.clone().all(|(line, _)| site(line) == first) {
            return Vec::new();
        }
        let told = |(line, units): (&OrderLine, u32)| SiteLine {
            sku: self.stock.sku(line.stock).into(),
            quantity: units.into(),
            site: self.sites.name(site(line)).into(),
        };
        lines.map(told).collect()
    }

    /// What a confirmed order did not get of what it wanted.
    fn first_shortages<'c>(&self, slot: u32, wants: &[Want<'c>]) -> Vec<Shortage<'c>> {
        let lines = self.orders.view(slot).lines();
        let got = |want: &Want<'_>| {
            let line = self.orders.line_of(slot, &self.stock, want.sku, want.hash);
            line.map_or(0, |line| i64::from(lines[line].quantity))
        };
        let short = |want: &Want<'c>| {
            let available = got(want);
            let shortage = Shortage { sku: want.sku.into(), requested: want.quantity, available };
            (available < want.quantity).then_some(shortage)
        };
        wants.iter().filter_map(short).collect()
    }
}

/// The hash of an order's deciding fields.
fn content(command: &Place<'_>, wants: &Wants<'_>) -> u64 {
    let content = Content::new().number(command.on_shortage as u64);
    let content = match &command.sites {
        None => content.number(0).text(command.site.as_deref().unwrap_or(SITE_DEFAULT)),
        Some(sites) => sites.iter().fold(content.number(sites.len() as u64), |all, site| all.text(site)),
    };
    let content = wants::content(content, wants).money(command.value.as_ref());
    content.maybe(command.pay_within_ms).finish()
}

fn check_shape(command: &Place<'_>, now: Timestamp) -> Checked {
    let invalid = |detail: &'static str| Err(Refusal::detailed(Reason::InvalidValue, detail));
    wants::ids([&command.order_id])?;
    wants::times([command.submitted_at, command.ship_by, command.promised_by, command.wait_until])?;
    if command.submitted_at.is_some_and(|submitted| submitted > now.plus_millis(SUBMITTED_AHEAD_MS_MAX)) {
        return Err(Refusal::detailed(Reason::InvalidTime, "submitted_at is more than five minutes ahead"));
    }
    wants::texts([
        ("carrier", command.carrier.as_ref()),
        ("customer", command.customer.as_ref()),
        ("site", command.site.as_ref()),
    ])?;
    check_sites(command)?;
    let attributes = &command.attributes.0;
    if attributes.len() > ATTRIBUTES_MAX {
        return invalid("more than 16 attributes");
    }
    if attributes.iter().any(|(key, value)| !is_id(key) || (!value.is_empty() && !is_id(value))) {
        return invalid("attributes are at most 64 bytes each, without control characters");
    }
    wants::money(command.value.as_ref(), 0)?;
    for line in &command.lines {
        wants::amount("unit_price", line.unit_price, 0)?;
    }
    if command.pay_within_ms.is_some_and(|within| within < 1) {
        return invalid("pay_within_ms must be at least 1");
    }
    Ok(())
}

fn check_sites(command: &Place<'_>) -> Checked {
    let Some(sites) = &command.sites else { return Ok(()) };
    let invalid = |detail: &'static str| Err(Refusal::detailed(Reason::InvalidValue, detail));
    if command.site.is_some() {
        return invalid("site and sites exclude each other");
    }
    if sites.is_empty() || sites.len() > ORDER_SITES_MAX {
        return invalid("sites must be 1 to 8");
    }
    if sites.iter().any(|site| !is_id(site)) {
        return invalid("sites must be 1 to 64 bytes each, without control characters");
    }
    if (1..sites.len()).any(|number| sites[..number].contains(&sites[number])) {
        return invalid("a site is listed twice");
    }
    Ok(())
}

fn shortages<'c>(wants: &[Want<'c>], supplies: &[Supply]) -> Vec<Shortage<'c>> {
    wants
        .iter()
        .zip(supplies)
        .filter(|(want, supply)| supply.free < want.quantity)
        .map(|(want, supply)| Shortage {
            sku: want.sku.into(),
            requested: want.quantity,
            available: supply.free,
        })
        .collect()
}

/// A quantity within the limits, as orders keep it.
fn units(quantity: i64) -> u32 {
    u32::try_from(quantity).expect("limited by policy to 1..=1,000,000,000")
}

//! The short way of a plain order that can be met: what most records are.
//!
//! It only ever confirms. Whatever is not as usual (a known id, an unknown SKU, a shelf that does not hold enough, a cap that is
//! reached) goes up the ladder of [`super::place`], before the first change; what it confirms, that would confirm alike.
//!
//! With millions of orders every look-up waits for memory. So elements are taken in groups, and what they will need is read for
//! the whole group in short loops first, in which the processor has many reads under way at once. What was found then is used where it cannot have
//! changed meanwhile (a SKU's place never does within a message); the rest is merely in the cache by then.

use super::content::Content;
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::tables::order::{Bucket, Flags, Order, OrderLine};
use crate::folds::inventory::tables::sides::Value;
use crate::folds::inventory::tables::sites::SiteIndex;
use crate::folds::inventory::tables::stock::StockIndex;
use crate::words::codec::{Commands, Element, Plain};
use crate::words::command::{Command, Line, OnShortage, Place};
use crate::words::hash::fold;
use crate::words::policy::SITE_DEFAULT;
use crate::words::text::Id;

/// How many elements are looked at together.
pub(crate) const GROUP: usize = 32;

/// An element that waits for its turn, and what was looked up for it.
#[derive(Debug)]
pub(crate) struct Ahead<'a> {
    pub(crate) element: Element<'a>,
    /// The hash of its order id, if it names one.
    order: u64,
    /// The hashes of a plain order's SKUs.
    skus: [u64; 2],
    /// Where they lie, most probably.
    stocks: [Option<StockIndex>; 2],
}

/// Reads the next elements of a message.
pub(crate) fn read_group<'a>(commands: &mut Commands<'a>, group: &mut Vec<Ahead<'a>>) {
    group.clear();
    while group.len() < GROUP {
        let Some(element) = commands.next_element() else { return };
        group.push(Ahead { element, order: 0, skus: [0; 2], stocks: [None; 2] });
    }
}

impl Inventory {
    /// Looks up what a group's elements will need.
    ///
    /// The loops that read memory hold nothing else, and no branch on what they read: the processor looks only so far ahead.
    pub(crate) fn look_ahead(&self, group: &mut [Ahead<'_>]) {
        let Some(site) = self.sites.find(None) else { return };
        let mut read = 0;
        for ahead in &mut *group {
            match &ahead.element {
                Element::Plain(plain) => {
                    ahead.order = self.orders.hash_id(plain.order_id);
                    ahead.skus[0] = self.stock.hash_id(plain.first.0);
                    ahead.skus[1] = plain.second.map_or(0, |(sku, _)| self.stock.hash_id(sku));
                }
                Element::Other(decoded) => {
                    let id = decoded.as_ref().as_ref().ok().and_then(|command| command.content().subject());
                    ahead.order = id.map_or(0, |id| self.orders.hash(id.id()));
                }
            }
        }
        for ahead in &*group {
            read ^= self.orders.touch(ahead.order)
                ^ self.stock.touch(site, ahead.skus[0])
                ^ self.stock.touch(site, ahead.skus[1]);
        }
        for ahead in &mut *group {
            if let Element::Plain(plain) = &ahead.element {
                ahead.stocks[0] = self.stock.guess(site, ahead.skus[0]);
                ahead.stocks[1] = plain.second.and_then(|_| self.stock.guess(site, ahead.skus[1]));
            } else {
                read ^= self.orders.touch_order(ahead.order);
            }
        }
        for stock in group.iter().flat_map(|ahead| ahead.stocks).flatten() {
            read ^= self.stock.get(stock).named;
        }
        // What was read is used for nothing, which the compiler must not notice.
        std::hint::black_box(read);
    }

    /// Confirms a plain order if all is as usual; false, and nothing has changed, where it is not.
    pub(crate) fn place_plain(&mut self, plain: &Plain<'_>, ahead: &Ahead<'_>, turn: &mut Turn<'_>) -> bool {
        let Some(site) = self.sites.find(None) else { return false };
        let Some(first) = self.free_line(site, plain.first, ahead.skus[0], ahead.stocks[0]) else {
            return false;
        };
        let second = match plain.second {
            None => None,
            Some(line) => match self.free_line(site, line, ahead.skus[1], ahead.stocks[1]) {
                Some(second) if second.stock != first.stock => Some(second),
                _ => return false,
            },
        };
        let count = 1 + usize::from(second.is_some());
        if plain.submitted_at.is_some_and(|submitted| {
            submitted > turn.at.plus_millis(super::place::SUBMITTED_AHEAD_MS_MAX)
                || self.orders.forgotten_until().is_some_and(|forgotten| submitted <= forgotten)
        }) {
            return false;
        }
        if count as u64 > self.policy.lines_max.unsigned_abs() || self.check_open(count).is_err() {
            return false;
        }
        let Some(vacancy) = self.orders.vacancy(plain.order_id, ahead.order) else { return false };
        if turn.take_lines(count).is_err() {
            return false;
        }

        // From here on it succeeds.
        let hashed = |hash: u64, line: OrderLine| fold(hash, line.quantity.into());
        let sum = second.map_or(0, |second| hashed(ahead.skus[1], second));
        let sum = hashed(ahead.skus[0], first).wrapping_add(sum);
        let order = Order {
            content: plain_content(self.plain_content, sum, plain.value),
            ticket: turn.ticket(),
            since: turn.at,
            few: [first, second.unwrap_or_default()],
            few_count: if second.is_some() { 2 } else { 1 },
            stage: Bucket::Reserved as u8,
            name_length: u8::try_from(plain.order_id.bytes().len()).expect("an id is at most 64 bytes"),
            flags: Flags::AS_PLACED,
            ..Order::UNUSED
        };
        let slot = self.orders.insert_id(order, plain.order_id, ahead.order, vacancy);
        self.stock.reserve_free(first.stock, first.quantity);
        if let Some(second) = second {
            self.stock.reserve_free(second.stock, second.quantity);
        }
        self.orders.add_open_lines(if second.is_some() { 2 } else { 1 });
        if let Some((minor, currency)) = plain.value {
            self.orders.side_mut(slot).value = Some(Value { minor, currency });
        }
        let pay_by = self.hold(slot, None, turn.at);
        turn.confirm(plain.order_id, pay_by);
        true
    }

    /// A line of a plain order, if its SKU is known and holds enough for it.
    #[inline]
    fn free_line(
        &self,
        site: SiteIndex,
        (sku, quantity): (Id<'_>, u32),
        hash: u64,
        guess: Option<StockIndex>,
    ) -> Option<OrderLine> {
        let stock = guess?;
        let item = self.stock.get(stock);
        let is_free = self.stock.is(item, site, sku, hash)
            && item.free >= i64::from(quantity)
            && item.allowance == 0
            && i64::from(quantity) <= self.policy.quantity_max;
        is_free.then_some(OrderLine { stock, quantity })
    }
}

/// The beginning of the hash of a plain order's deciding fields: all-or-nothing, and from the default site.
pub(crate) fn plain_start() -> Content {
    Content::new().number(OnShortage::Refuse as u64).number(0).text(SITE_DEFAULT)
}

fn plain_content(start: Content, sum: u64, value: Option<(i64, [u8; 3])>) -> u64 {
    let content = start.number(sum);
    let content = match value {
        None => content.number(0),
        Some((minor, currency)) => content.number(1).number(minor.cast_unsigned()).currency(currency),
    };
    content.maybe(None).finish()
}

/// The command that a plain order is, without what nobody decides by.
pub(crate) fn whole<'a>(plain: &Plain<'a>) -> Command<'a> {
    let line = |(sku, quantity): (Id<'a>, u32)| Line { sku: sku.text().into(), quantity: quantity.into() };
    let lines = std::iter::once(plain.first).chain(plain.second).map(line);
    let value = plain.value.and_then(|(minor, currency)| {
        let currency = str::from_utf8(&currency).ok()?.to_owned();
        Some(crate::words::command::Money { minor, currency: currency.into() })
    });
    Command::Place(Place {
        order_id: plain.order_id.text().into(),
        lines: lines.map(Into::into).collect(),
        submitted_at: plain.submitted_at,
        value,
        ..Place::default()
    })
}

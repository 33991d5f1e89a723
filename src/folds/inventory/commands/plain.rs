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
use crate::folds::inventory::tables::index::Start;
use crate::folds::inventory::tables::order::{Bucket, Flags, Order, OrderLine};
use crate::folds::inventory::tables::sides::Value;
use crate::folds::inventory::tables::sites::SiteIndex;
use crate::folds::inventory::tables::stock::StockIndex;
use crate::words::codec::{Commands, Decoded, Next, Plain};
use crate::words::command::{Command, CommandKind, Line, OnShortage, Place};
use crate::words::hash::fold;
use crate::words::message::Way;
use crate::words::policy::SITE_DEFAULT;
use crate::words::text::Id;
use crate::words::timestamp::Timestamp;

/// How many elements are looked at together.
const GROUP: usize = 32;

/// An element that waits for its turn, and what was looked up for it.
#[derive(Debug)]
pub(crate) struct Ahead<'a> {
    /// The element, where it is a plain order.
    pub(crate) plain: Plain<'a>,
    /// The element, where it is anything else.
    pub(crate) other: Option<Box<Decoded<'a>>>,
    /// The hash of its order id, if it names one, and where a look for it begins.
    order: (u64, Start),
    /// The same of a plain order's SKUs.
    skus: [(u64, Start); 2],
    /// Where they lie, most probably.
    stocks: [StockIndex; 2],
}

/// Elements that are looked at together. Their memory is used again for the next ones, so that each is written where it stays.
#[derive(Debug, Default)]
pub(crate) struct Group<'a> {
    slots: Vec<Ahead<'a>>,
    len: usize,
}

impl<'a> Group<'a> {
    pub(crate) fn all(&self) -> &[Ahead<'a>] {
        &self.slots[..self.len]
    }

    pub(crate) fn all_mut(&mut self) -> &mut [Ahead<'a>] {
        &mut self.slots[..self.len]
    }

    /// Reads the next elements of a message.
    pub(crate) fn read(&mut self, commands: &mut Commands<'a>) {
        for number in 0..GROUP {
            self.len = number;
            if number == self.slots.len() {
                let (order, skus) = ((0, Start::default()), [(0, Start::default()); 2]);
                let stocks = [StockIndex::NONE; 2];
                self.slots.push(Ahead { plain: Plain::ANY, other: None, order, skus, stocks });
            }
            let slot = &mut self.slots[number];
            slot.other = match commands.next_into(&mut slot.plain) {
                Next::Plain => None,
                Next::Other(other) => Some(other),
                Next::End => return,
            };
        }
        self.len = GROUP;
    }
}

/// What is the same for plain orders, one after the other, until anything else is decided.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usual {
    /// Nothing is to be forgotten or worked off before or behind them.
    pub(crate) is_idle: bool,
    /// Where they are placed; none where that cannot be.
    site: Option<SiteIndex>,
    /// How many orders more may be open, and how many lines.
    orders_left: u64,
    lines_left: u64,
    /// How many lines each may have.
    lines_max: u64,
    quantity_max: i64,
    /// They may say that they were submitted after the first of these, up to the second.
    submitted: (Timestamp, Timestamp),
    pay_by: Option<Timestamp>,
}

impl Inventory {
    /// What is usual now; nothing is to be forgotten beyond what was.
    pub(crate) fn usual(&self, way: Way, works: bool, at: Timestamp) -> Usual {
        let policy = &self.policy;
        let has_work = works && (self.waiting.has_releases() || !self.shortfalls.is_idle());
        let within = policy.pay_within_ms;
        Usual {
            is_idle: !has_work && self.has_forgotten(),
            site: self.sites.find(None).filter(|_| way.takes(CommandKind::Place)),
            orders_left: policy
                .open_orders_max
                .unsigned_abs()
                .saturating_sub(self.orders.open_count() as u64),
            lines_left: policy.open_lines_max.unsigned_abs().saturating_sub(self.orders.open_lines()),
            lines_max: policy.lines_max.unsigned_abs(),
            quantity_max: policy.quantity_max,
            submitted: (
                self.orders.forgotten_until().unwrap_or(Timestamp::from_millis(i64::MIN)),
                at.plus_millis(super::place::SUBMITTED_AHEAD_MS_MAX),
            ),
            pay_by: (within > 0).then(|| at.plus_millis(within)),
        }
    }

    /// Looks up what a group's elements will need.
    ///
    /// The loops that read memory hold nothing else, and no branch on what they read: the processor looks only so far ahead.
    #[inline(never)]
    pub(crate) fn look_ahead(&self, group: &mut [Ahead<'_>]) {
        let Some(site) = self.sites.find(None) else { return };
        let mut read = 0;
        for ahead in &mut *group {
            let Ahead { plain, other, order, skus, .. } = ahead;
            order.0 = match other.as_deref() {
                None => {
                    skus[0].0 = self.stock.hash_id(plain.first.0);
                    skus[1].0 = plain.second.map_or(0, |(sku, _)| self.stock.hash_id(sku));
                    for (hash, start) in skus {
                        *start = self.stock.start(site, *hash);
                    }
                    self.orders.hash_id(plain.order_id)
                }
                Some(decoded) => {
                    let id = decoded.as_ref().ok().and_then(|command| command.content().subject());
                    id.map_or(0, |id| self.orders.hash(id.id()))
                }
            };
            order.1 = self.orders.start(order.0);
        }
        for ahead in &*group {
            read ^= self.orders.touch(ahead.order.1)
                ^ self.stock.touch(ahead.skus[0].1)
                ^ self.stock.touch(ahead.skus[1].1);
        }
        for ahead in &mut *group {
            if ahead.other.is_none() {
                ahead.stocks = ahead.skus.map(|(hash, start)| self.stock.guess(start, site, hash));
            } else {
                read ^= self.orders.touch_order(ahead.order.0);
            }
        }
        for ahead in &*group {
            read ^= self.stock.touch_item(ahead.stocks[0]) ^ self.stock.touch_item(ahead.stocks[1]);
        }
        // What was read is used for nothing, which the compiler must not notice.
        std::hint::black_box(read);
    }

    /// Confirms a plain order if all is as usual; false, and nothing has changed, where it is not.
    #[inline(never)]
    pub(crate) fn place_plain(&mut self, ahead: &Ahead<'_>, usual: &mut Usual, turn: &mut Turn<'_>) -> bool {
        let Ahead { plain, other: None, order: (hash, start), skus, stocks } = ahead else { return false };
        let Some(site) = usual.site else { return false };
        let Some(first) = self.free_line(site, plain.first, skus[0].0, stocks[0], usual) else {
            return false;
        };
        let (second, count) = match plain.second {
            None => (None, 1),
            Some(line) => match self.free_line(site, line, skus[1].0, stocks[1], usual) {
                Some(second) if second.stock != first.stock => (Some(second), 2),
                _ => return false,
            },
        };
        let (after, until) = usual.submitted;
        if plain.submitted_at.is_some_and(|submitted| submitted <= after || submitted > until) {
            return false;
        }
        if count > usual.lines_max || count > usual.lines_left || usual.orders_left == 0 {
            return false;
        }
        let Some(vacancy) = self.orders.vacancy(*start, &plain.order_id, *hash) else { return false };
        if turn.take_lines(if second.is_some() { 2 } else { 1 }).is_err() {
            return false;
        }

        // From here on it succeeds.
        usual.orders_left -= 1;
        usual.lines_left -= count;
        let hashed = |hash: u64, line: OrderLine| fold(hash, line.quantity.into());
        let sum = second.map_or(0, |second| hashed(skus[1].0, second));
        let sum = hashed(skus[0].0, first).wrapping_add(sum);
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
        let slot = self.orders.insert_id(order, plain.order_id, *hash, vacancy);
        self.stock.reserve_free(first.stock, first.quantity);
        if let Some(second) = second {
            self.stock.reserve_free(second.stock, second.quantity);
        }
        self.orders.add_open_lines(if second.is_some() { 2 } else { 1 });
        if let Some((minor, currency)) = plain.value {
            self.orders.side_mut(slot).value = Some(Value { minor, currency });
        }
        if let Some(pay_by) = usual.pay_by {
            self.deadlines.set(&mut self.orders, slot, pay_by);
        }
        turn.confirm(plain.order_id, usual.pay_by);
        turn.count(CommandKind::Place);
        true
    }

    /// A line of a plain order, if its SKU is known and holds enough for it.
    #[expect(clippy::inline_always, reason = "measured: a call would pass the line through memory")]
    #[inline(always)]
    fn free_line(
        &self,
        site: SiteIndex,
        (sku, quantity): (Id<'_>, u32),
        hash: u64,
        stock: StockIndex,
        usual: &Usual,
    ) -> Option<OrderLine> {
        let item = self.stock.at(stock)?;
        let is_free = self.stock.is(item, site, sku, hash)
            && item.free >= i64::from(quantity)
            && item.allowance == 0
            && i64::from(quantity) <= usual.quantity_max;
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

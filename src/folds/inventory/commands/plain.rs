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
use crate::words::command::{CommandKind, OnShortage};
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
    /// The hashes of a plain order's SKUs, as far as it has two; and that of its deciding fields, where they are two different ones.
    skus: [u64; 2],
    content: u64,
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
                let (order, skus) = ((0, Start::default()), [0; 2]);
                let stocks = [StockIndex::NONE; 2];
                let (plain, content) = (Plain::ANY, 0);
                self.slots.push(Ahead { plain, other: None, order, skus, content, stocks });
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
            let Ahead { plain, other, order: (order, start), skus, content, .. } = ahead;
            *order = match other.as_deref() {
                None => {
                    skus[0] = self.stock.hash_id(plain.first.0);
                    let mut sum = fold(skus[0], plain.first.1.into());
                    if let Some((sku, quantity)) = plain.second {
                        skus[1] = self.stock.hash_id(sku);
                        sum = sum.wrapping_add(fold(skus[1], quantity.into()));
                    }
                    *content = plain_content(self.plain_content, sum, plain.value);
                    self.orders.hash_id(plain.order_id)
                }
                Some(decoded) => {
                    let id = decoded.as_ref().ok().and_then(|command| command.content().subject());
                    id.map_or(0, |id| self.orders.hash(id.id()))
                }
            };
            *start = self.orders.start(*order);
        }
        let mut near = [[self.orders.bucket(Start::default()); 3]; GROUP];
        for (ahead, near) in group.iter().zip(&mut near) {
            let Ahead { order: (_, start), skus: [first, second], .. } = ahead;
            *near = [
                self.orders.bucket(*start),
                self.stock.bucket(site, *first),
                self.stock.bucket(site, *second),
            ];
        }
        for near in &near[..group.len().min(GROUP)] {
            read ^= near[0].touch() ^ near[1].touch() ^ near[2].touch();
        }
        for (ahead, near) in group.iter_mut().zip(&near) {
            if ahead.other.is_none() {
                let [first, second] = ahead.skus;
                ahead.stocks =
                    [self.stock.guess(near[1], site, first), self.stock.guess(near[2], site, second)];
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
        if !self.is_usual(ahead, usual) {
            return false;
        }
        let Ahead { plain, order: (hash, start), stocks, .. } = ahead;
        let Some(vacancy) = self.orders.vacancy(*start, &plain.order_id, *hash) else { return false };
        let count = if plain.second.is_some() { 2 } else { 1 };
        if !turn.takes_lines(count.into()) {
            return false;
        }

        // From here on it succeeds.
        usual.orders_left -= 1;
        usual.lines_left -= u64::from(count);
        let first = OrderLine { stock: stocks[0], quantity: plain.first.1 };
        let second = plain.second.map(|(_, quantity)| OrderLine { stock: stocks[1], quantity });
        let order = Order {
            content: ahead.content,
            ticket: turn.ticket(),
            since: turn.at,
            few: [first, second.unwrap_or_default()],
            few_count: count,
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
        self.orders.add_open_lines(count.into());
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

    /// Whether an element is a plain order that can be met and that nothing speaks against, as far as its id is new.
    #[inline(never)]
    fn is_usual(&self, ahead: &Ahead<'_>, usual: &Usual) -> bool {
        let Ahead { plain, other: None, skus, stocks, .. } = ahead else { return false };
        let Some(site) = usual.site else { return false };
        let count = match plain.second {
            None => 1,
            Some(second) => {
                if !self.is_free(site, second, skus[1], stocks[1], usual) || stocks[0] == stocks[1] {
                    return false;
                }
                2
            }
        };
        let (after, until) = usual.submitted;
        self.is_free(site, plain.first, skus[0], stocks[0], usual)
            && plain.submitted_at.is_none_or(|submitted| submitted > after && submitted <= until)
            && count <= usual.lines_max
            && count <= usual.lines_left
            && usual.orders_left > 0
    }

    /// Whether a line's SKU is the one at this place, and holds enough for it.
    #[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
    #[inline(always)]
    fn is_free(
        &self,
        site: SiteIndex,
        (sku, quantity): (Id<'_>, u32),
        hash: u64,
        stock: StockIndex,
        usual: &Usual,
    ) -> bool {
        self.stock.at(stock).is_some_and(|item| {
            self.stock.is(item, site, sku, hash)
                && self.stock.free(item) >= i64::from(quantity)
                && item.allowance == 0
                && i64::from(quantity) <= usual.quantity_max
        })
    }
}

/// The beginning of the hash of a plain order's deciding fields: all-or-nothing, and from the default site.
pub(crate) fn plain_start() -> Content {
    Content::new().number(OnShortage::Refuse as u64).number(0).text(SITE_DEFAULT)
}

#[expect(clippy::inline_always, reason = "measured: a plain order is placed in one piece")]
#[inline(always)]
fn plain_content(start: Content, sum: u64, value: Option<(i64, [u8; 3])>) -> u64 {
    let content = start.number(sum);
    let content = match value {
        None => content.number(0),
        Some((minor, currency)) => content.number(1).number(minor.cast_unsigned()).currency(currency),
    };
    content.maybe(None).finish()
}

//! Posting: the only place where units change buckets.
//!
//! After its checks a command is a short list of movements: so many units of an order's line, or of a SKU, from one bucket to another.
//! Posting them changes parts, stock, holds, claims and settling, and notes what may follow for others: SKUs of which there is more to be had, and
//! SKUs of which something is missing. So conservation holds by construction, and a rule that stands here holds for every command.
//!
//! The work is that of the lines named. An order whose lines all move together stays as small as it was.

use smallvec::SmallVec;

use super::Inventory;
use super::tables::order::{Bucket, Flags, MIXED, Order, OrderLine, Part, Ticket};
use super::tables::sides::{More, Parked, Sums};
use super::tables::stock::{StockIndex, Way};
use crate::words::timestamp::Timestamp;

/// Units of an order's line, from one bucket to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Movement {
    /// The line's number.
    pub(crate) line: usize,
    /// Where they come from; none where they are new to the order.
    pub(crate) from: Option<Bucket>,
    pub(crate) to: Bucket,
    pub(crate) units: u32,
}

pub(crate) type Movements = SmallVec<[Movement; 4]>;

/// News of units that were told delivered or returned before: nothing moves, and the same news is not due any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) line: usize,
    /// Of their shipping, or else of their delivery.
    pub(crate) shipping: bool,
    pub(crate) units: u32,
}

/// Stock that comes or goes without an order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StockMovement {
    pub(crate) stock: StockIndex,
    pub(crate) way: Way,
    pub(crate) units: i64,
}

impl Inventory {
    /// Posts what comes and goes without an order.
    pub(crate) fn post_stock(&mut self, movements: &[StockMovement], now: Timestamp) {
        for movement in movements {
            self.changing(movement.stock, now, |stock| {
                stock.post_stock(movement.stock, movement.way, movement.units, now);
            });
        }
    }

    /// Posts a new order's lines: all of them go to the bucket that its stage names.
    pub(crate) fn post_new(&mut self, slot: u32, now: Timestamp) {
        let view = self.orders.view(slot);
        let (lines, bucket) = (SmallVec::<[OrderLine; 4]>::from_slice(view.lines()), view.whole());
        let Some(bucket) = bucket else { return };
        for line in &lines {
            self.stock.name(line.stock, 1, now);
            self.changing(line.stock, now, |stock| stock.post(line.stock, None, bucket, line.quantity, now));
        }
        self.orders.add_open_lines(lines.len().cast_signed() as i64);
    }

    /// Posts movements of an order's units, and news of some that moved before.
    pub(crate) fn post(&mut self, slot: u32, movements: &[Movement], news: &[News], now: Timestamp) {
        let view = self.orders.view(slot);
        let (was_open, was_waiting) = (view.is_open(), view.has(Bucket::Waiting));
        let lines_before = view.lines().len();
        let parked = self.parked(slot).map(|parked| (parked, self.waits_for(slot, parked.stock)));
        if let Some(to) = self.moves_whole(slot, movements) {
            self.post_whole(slot, to, now);
        } else {
            self.post_parts(slot, movements, news, now);
        }
        if movements.is_empty() {
            return;
        }
        if let Some((parked, _)) =
            parked.filter(|(parked, wanted)| self.waits_for(slot, parked.stock) != *wanted)
        {
            self.wait_on(slot, parked, now);
        }
        let order = self.orders.get_mut(slot);
        let noted = !was_open && order.since == now;
        order.since = now;
        let view = self.orders.view(slot);
        let (is_open, lines) = (view.is_open(), view.lines().len());
        let counted = |open: bool, lines: usize| if open { lines.cast_signed() as i64 } else { 0 };
        self.orders.add_open_lines(counted(is_open, lines) - counted(was_open, lines_before));
        match (was_open, is_open) {
            (_, true) if was_waiting && !self.orders.view(slot).has(Bucket::Waiting) => {
                self.deadlines.end(&mut self.orders, slot);
            }
            (true, true) => {}
            (false, true) => self.orders.reopen(),
            (_, false) => {
                self.deadlines.end(&mut self.orders, slot);
                if !noted {
                    self.orders.settle(slot, !was_open);
                }
            }
        }
    }

    /// The bucket that all units of an order go to together, if they come from one and nothing else is to be kept of it.
    fn moves_whole(&self, slot: u32, movements: &[Movement]) -> Option<Bucket> {
        let view = self.orders.view(slot);
        let (whole, lines) = (view.whole()?, view.lines());
        let to = movements.first()?.to;
        // What leaves without having been told shipped, or comes back without having been told delivered, leaves news due.
        let leaves_news = !(to.is_inside()
            || to == Bucket::Shipped
            || to == Bucket::Delivered && whole == Bucket::Shipped
            || to.is_back() && whole == Bucket::Delivered);
        let all = movements.len() == lines.len()
            && movements.iter().zip(lines).enumerate().all(|(number, (movement, line))| {
                movement.line == number
                    && movement.from == Some(whole)
                    && movement.to == to
                    && movement.units == line.quantity
            });
        (all && !leaves_news).then_some(to)
    }

    fn post_whole(&mut self, slot: u32, to: Bucket, now: Timestamp) {
        let view = self.orders.view(slot);
        let (from, lines) = (view.whole(), SmallVec::<[OrderLine; 4]>::from_slice(view.lines()));
        self.orders.get_mut(slot).stage = to as u8;
        for line in lines {
            self.changing(line.stock, now, |stock| stock.post(line.stock, from, to, line.quantity, now));
        }
    }

    fn post_parts(&mut self, slot: u32, movements: &[Movement], news: &[News], now: Timestamp) {
        self.orders.spread(slot);
        for movement in movements {
            let (stock, lacking) = self.orders.move_units(slot, movement);
            if lacking && movement.from == Some(Bucket::Reserved) {
                self.shortfalls.moved(stock, movement.units);
            }
            self.changing(stock, now, |table| {
                table.post(stock, movement.from, movement.to, movement.units, now);
            });
        }
        for news in news {
            self.orders.take_news(slot, news);
        }
        self.orders.gather(slot);
    }

    /// Changes one SKU's stock, and notes what may follow from it for others.
    pub(crate) fn changing(
        &mut self,
        stock: StockIndex,
        now: Timestamp,
        change: impl FnOnce(&mut super::tables::stock::StockTable),
    ) {
        let before = self.stock.unclaimed(stock);
        change(&mut self.stock);
        if self.stock.get(stock).is_parked() && self.stock.unclaimed(stock) > before {
            self.waiting.has_moved(stock, Ticket::default());
        }
        if self.stock.is_short(stock) && !self.stock.set_uneasy(stock, true, now) {
            self.shortfalls.note(stock);
        }
    }

    /// Parks an order anew, as what it wants of the SKU where it was parked has changed; or it waits no more. At its first line that
    /// waits: if it can have that, it is looked at as a whole.
    fn wait_on(&mut self, slot: u32, parked: Parked, now: Timestamp) {
        self.unpark(slot, now);
        let view = self.orders.view(slot);
        let first = (0..view.lines().len()).find(|line| view.units(*line, Bucket::Waiting) > 0);
        if let Some(stock) = first.map(|line| view.lines()[line].stock) {
            self.park(slot, stock, parked, now);
            self.waiting.has_moved(stock, parked.turn);
        }
    }

    /// How many units of a SKU an order waits for.
    pub(crate) fn waits_for(&self, slot: u32, stock: StockIndex) -> u32 {
        let view = self.orders.view(slot);
        let line = view.lines().iter().position(|line| line.stock == stock);
        line.map_or(0, |line| view.units(line, Bucket::Waiting))
    }

    /// Where an order waits, if it does.
    pub(crate) fn parked(&self, slot: u32) -> Option<Parked> {
        self.orders.view(slot).side?.more.as_ref()?.parked
    }
}

/// The parts of an order.
impl super::tables::orders::Orders {
    /// Gives an order parts, if it has none: as many as lines.
    fn spread(&mut self, slot: u32) {
        let view = self.view(slot);
        let Some(whole) = view.whole() else { return };
        let parts: Vec<_> = view.lines().iter().map(|line| Part::whole(whole, line.quantity)).collect();
        let sums = Sums::of(&parts);
        let more = self.more_mut(slot);
        (more.parts, more.sums) = (parts, sums);
        self.get_mut(slot).stage = MIXED;
    }

    /// Takes an order's parts back, if all of them are in one bucket and nothing else is to be kept.
    fn gather(&mut self, slot: u32) {
        let more = self.more_mut(slot);
        if let Some(whole) = more.sums.whole() {
            (more.parts, more.sums) = (Vec::new(), Sums::default());
            self.get_mut(slot).stage = whole as u8;
        }
        self.tidy(slot);
    }

    /// Moves units of an order that has parts, and gives the line's SKU, and whether units of it were told missing.
    fn move_units(&mut self, slot: u32, movement: &Movement) -> (StockIndex, bool) {
        let Movement { line, from, to, units } = *movement;
        let more = self.more_mut(slot);
        let More { parts, sums, .. } = more;
        let part = &mut parts[line];
        let lacking = part.lacking > 0;
        if let Some(from) = from {
            part.units[from as usize] -= units;
            sums.units[from as usize] -= u64::from(units);
        }
        part.units[to as usize] += units;
        sums.units[to as usize] += u64::from(units);
        let was_inside = from.is_none_or(Bucket::is_inside);
        if was_inside && !to.is_inside() && to != Bucket::Shipped {
            part.shipping_due += units;
            sums.shipping_due += u64::from(units);
        }
        if to.is_back() && from != Some(Bucket::Delivered) {
            part.delivery_due += units;
            sums.delivery_due += u64::from(units);
        }
        let stock = if from.is_none() {
            let line = self.line_mut(slot, line);
            line.quantity += units;
            line.stock
        } else {
            self.view(slot).lines()[line].stock
        };
        (stock, lacking)
    }

    fn take_news(&mut self, slot: u32, news: &News) {
        let more = self.more_mut(slot);
        let part = &mut more.parts[news.line];
        if news.shipping {
            part.shipping_due -= news.units;
            more.sums.shipping_due -= u64::from(news.units);
        } else {
            part.delivery_due -= news.units;
            more.sums.delivery_due -= u64::from(news.units);
        }
    }

    fn line_mut(&mut self, slot: u32, line: usize) -> &mut OrderLine {
        if self.get(slot).few_count == 0 {
            &mut self.more_mut(slot).lines[line]
        } else {
            &mut self.get_mut(slot).few[line]
        }
    }

    /// Adds a line without units to an order; its number.
    pub(crate) fn add_line(&mut self, slot: u32, stock: StockIndex) -> usize {
        self.spread(slot);
        let line = OrderLine { stock, quantity: 0 };
        let order = *self.get(slot);
        let count = self.view(slot).lines().len();
        let few = usize::from(order.few_count);
        let more = self.more_mut(slot);
        more.parts.push(Part::default());
        if order.few_count == 0 {
            more.lines.push(line);
        } else if few < order.few.len() {
            let order = self.get_mut(slot);
            order.few[few] = line;
            order.few_count += 1;
        } else {
            more.lines = order.few.to_vec();
            more.lines.push(line);
            self.get_mut(slot).few_count = 0;
        }
        count
    }

    /// Takes note of how many units of a line were told missing; whether any were before.
    pub(crate) fn set_lacking(&mut self, slot: u32, line: usize, units: u32) {
        self.spread(slot);
        let more = self.more_mut(slot);
        let before = std::mem::replace(&mut more.parts[line].lacking, units);
        more.sums.lacking = more.sums.lacking + u64::from(units) - u64::from(before);
        self.gather(slot);
    }
}

/// A new order's slot, without its name.
pub(crate) fn new_order(
    content: u64,
    ticket: Ticket,
    lines: &[OrderLine],
    bucket: Bucket,
    now: Timestamp,
) -> Order {
    let mut few = [OrderLine::default(); 2];
    let few_count = if lines.len() <= few.len() {
        few[..lines.len()].copy_from_slice(lines);
        lines.len()
    } else {
        0
    };
    Order {
        content,
        ticket,
        since: now,
        few,
        few_count: u8::try_from(few_count).unwrap_or_default(),
        stage: bucket as u8,
        flags: Flags::default().with(Flags::WAITED, bucket == Bucket::Waiting),
        ..Order::UNUSED
    }
}

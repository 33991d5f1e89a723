//! The load generator: an endless, deterministic stream of commands shaped like a real shop's.
//!
//! The shape is that of a year of a British online shop (the "Online Retail" set): popularity by Zipf with exponent
//! 0.64, which heats hot SKUs less than the usual synthetic 1; orders of 13 lines at the median and of a thousand at
//! the end of the tail; some 15% of orders cancelled or returned. What that set does not know (back-orders, partial
//! orders, failed payments, retries) is made up, and stated in [`Shape`].
//!
//! Time is virtual: it is counted in orders placed, so that orders move on through their lives at any rate of
//! sending. Commands carry no times and no promises; who sends them may add those.
//!
//! The generator keeps books of its own, close to the fold's, to tell which of its orders were confirmed: it pays and
//! ships those, and leaves alone those that it holds for refused. The two are not equal, so a few later steps meet an
//! order that the fold has refused, and are refused too; a few confirmed orders are never paid. Its receipts follow
//! the share of orders that meet a shortage, so that this stays near what the shape asks for.
//!
//! Floats live here: this is a source of load, not a decision.

mod books;
mod draw;
mod shape;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use fastrand::Rng;

use self::books::{Books, Lines, Taken};
pub use self::draw::Quantiles;
use self::draw::{Chance, Popularity};
pub use self::shape::Shape;
use crate::words::command::{
    Cancel, Command, Deliver, Line, Money, OnShortage, Pay, PayFailed, Place, Receive, Return, ReturnLine,
    Review, Ship,
};
use crate::words::text::Text;

/// The most lines of a receipt.
const RECEIPT_LINES_MAX: usize = 1_000;

/// The most retries that wait to be sent.
const RETRIES_MAX: usize = 16;

/// What happens next to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    PayFailed,
    Pay,
    Cancel,
    Ship,
    Deliver,
    Return,
    Review,
}

/// An order on its way. Only what the rest of its life needs.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Journey {
    /// When its next step is due, in orders placed.
    due: u64,
    /// The order's number, from 1.
    number: u64,
    step: Step,
    /// Cancelled before it ships.
    cancels: bool,
    /// Returned after its delivery.
    returns: bool,
    /// What it holds, kept only where stock may come back from it.
    held: Lines,
}

/// The generator. Its memory is bounded by [`Shape::journeys_max`] orders on their way, and those that wait for the
/// next filling of the shelves.
#[derive(Debug)]
pub struct Generator {
    seed: u64,
    shape: Shape,
    rng: Rng,
    popularity: Popularity,
    books: Books,
    /// Orders placed: the virtual time.
    placed: u64,
    receipts: u64,
    next_review: u64,
    journeys: BinaryHeap<Reverse<Journey>>,
    /// Made, not handed out yet.
    ready: VecDeque<Command<'static>>,
    /// Copies to be sent once more, and when.
    retries: VecDeque<(u64, Command<'static>)>,
}

impl Generator {
    /// A generator of which every command follows from `seed` and `shape`. Ids contain the seed: generators with
    /// different seeds can share a shard, while the same seed a second time gives nothing but duplicates.
    #[must_use]
    pub fn new(seed: u64, shape: Shape) -> Self {
        let popularity = Popularity::zipf(shape.skus, shape.zipf_exponent);
        Self {
            seed,
            rng: Rng::with_seed(seed),
            books: Books::new(&popularity, &shape),
            popularity,
            placed: 0,
            receipts: 0,
            next_review: shape.restock_every,
            journeys: BinaryHeap::new(),
            ready: VecDeque::new(),
            retries: VecDeque::new(),
            shape,
        }
    }

    /// The receipts that fill the shelves. To be sent first. Calling it again tops them up.
    pub fn initial_stock(&mut self) -> Vec<Command<'static>> {
        let (lines, released) = self.books.restock();
        self.begin(released);
        self.receipts_of(&lines)
    }

    /// The next command. There always is one; it is never a tick or a policy.
    #[must_use]
    pub fn next_command(&mut self) -> Command<'static> {
        loop {
            if let Some(command) = self.ready.pop_front() {
                return command;
            }
            if self.retries.front().is_some_and(|(due, _)| *due <= self.placed)
                && let Some((_, command)) = self.retries.pop_front()
            {
                return command;
            }
            let full = self.journeys.len() >= self.shape.journeys_max;
            if self.journeys.peek().is_some_and(|Reverse(journey)| full || journey.due <= self.placed)
                && let Some(Reverse(journey)) = self.journeys.pop()
            {
                return self.step(journey);
            }
            if self.placed >= self.next_review {
                self.next_review = self.placed + self.shape.restock_every.max(1);
                let (lines, released) = self.books.restock();
                let receipts = self.receipts_of(&lines);
                self.ready.extend(receipts);
                self.begin(released);
                continue;
            }
            return self.place();
        }
    }

    /// How many orders were placed so far.
    #[must_use]
    pub const fn orders_placed(&self) -> u64 {
        self.placed
    }

    /// How many of those met a shortage, by the generator's own books.
    #[must_use]
    pub const fn orders_short(&self) -> u64 {
        self.books.short()
    }

    /// How many orders are on their way: at most [`Shape::journeys_max`], and those that a receipt has just released.
    #[must_use]
    pub fn journeys(&self) -> usize {
        self.journeys.len()
    }

    fn place(&mut self) -> Command<'static> {
        self.placed += 1;
        let number = self.placed;
        let count = self.shape.lines.draw(&mut self.rng);
        let rows: Lines = (0..count)
            .map(|_| {
                (self.popularity.draw(&mut self.rng), i64::from(self.shape.quantity.draw(&mut self.rng)))
            })
            .collect();
        let on_shortage = match self.rng.u32(0..1_000) {
            draw if draw < self.shape.partial_permille => OnShortage::Partial,
            draw if draw < self.shape.partial_permille + self.shape.backorder_permille => {
                OnShortage::Backorder
            }
            _ => OnShortage::Refuse,
        };
        if let Taken::Now(held) = self.books.order(number, &rows, on_shortage) {
            self.begin(vec![(number, held)]);
        }
        // Prices from 0.30 to 15.00, fixed for each SKU.
        let price = |sku: u32| 30 + i64::from(sku.wrapping_mul(2_654_435_761) % 1_470);
        let minor = rows.iter().map(|&(sku, quantity)| price(sku) * quantity).sum();
        let customer = self.rng.u32(0..self.shape.customers.max(1));
        let command = Command::Place(Place {
            order_id: self.id("o", number),
            lines: rows.iter().map(|&(sku, quantity)| Line { sku: sku_name(sku), quantity }.into()).collect(),
            on_shortage,
            carrier: Some(carrier(number)),
            value: Some(Money { minor, currency: "GBP".into() }),
            customer: Some(format!("c{customer}").into()),
            ..Place::default()
        });
        self.retried(command)
    }

    /// Puts confirmed orders on their way.
    fn begin(&mut self, orders: Vec<(u64, Lines)>) {
        for (number, held) in orders {
            let cancels = self.rng.chance(self.shape.cancel_permille);
            let returns = !cancels && self.rng.chance(self.shape.return_permille);
            let step =
                if self.rng.chance(self.shape.pay_failed_permille) { Step::PayFailed } else { Step::Pay };
            let due = self.after(self.shape.pay_after);
            let held = if cancels || returns { held } else { Lines::new() };
            self.journeys.push(Reverse(Journey { due, number, step, cancels, returns, held }));
        }
    }

    /// Makes a step's command, and puts the order on its way to the step after it.
    fn step(&mut self, mut journey: Journey) -> Command<'static> {
        let order_id = self.id("o", journey.number);
        let reviewed = self.rng.chance(self.shape.review_permille);
        let (command, next) = match journey.step {
            Step::PayFailed => {
                let attempt_id = self.id("f", journey.number);
                let reason = Some("declined".into());
                let command =
                    Command::PayFailed(PayFailed { order_id, attempt_id, reason, ..PayFailed::default() });
                (command, Some((Step::Pay, self.shape.pay_after)))
            }
            Step::Pay => {
                let attempt_id = Some(self.id("p", journey.number));
                let command = Command::Pay(Pay { order_id, attempt_id, ..Pay::default() });
                let next = if journey.cancels { Step::Cancel } else { Step::Ship };
                (self.retried(command), Some((next, self.shape.ship_after)))
            }
            Step::Cancel => {
                let released = self.books.put_back(&journey.held);
                self.begin(released);
                let (by, reason) = (Some("customer".into()), Some("changed_mind".into()));
                (Command::Cancel(Cancel { order_id, by, reason, ..Cancel::default() }), None)
            }
            Step::Ship => {
                let carrier = Some(carrier(journey.number));
                let command = Command::Ship(Ship { order_id, carrier, ..Ship::default() });
                (command, Some((Step::Deliver, self.shape.deliver_after)))
            }
            Step::Deliver => {
                let command = Command::Deliver(Deliver { order_id, ..Deliver::default() });
                let next = if journey.returns {
                    Some((Step::Return, self.shape.return_after))
                } else {
                    reviewed.then_some((Step::Review, self.shape.deliver_after))
                };
                (command, next)
            }
            Step::Return => (self.return_of(order_id, &mut journey), None),
            Step::Review => {
                // Most are content.
                let score = [5, 5, 5, 4, 4, 3, 2, 1][self.rng.usize(0..8)];
                (Command::Review(Review { order_id, score, ..Review::default() }), None)
            }
        };
        if let Some((step, after)) = next {
            let due = self.after(after);
            self.journeys.push(Reverse(Journey { due, step, ..journey }));
        }
        command
    }

    /// One half of the returns is of one line, the other of all.
    fn return_of(&mut self, order_id: Text<'static>, journey: &mut Journey) -> Command<'static> {
        if self.rng.bool() {
            journey.held.truncate(1);
        }
        let released = self.books.put_back(&journey.held);
        self.begin(released);
        let back = |&(sku, quantity): &(u32, i64)| ReturnLine { sku: sku_name(sku), quantity, restock: true };
        Command::Return(Return {
            order_id,
            return_id: self.id("r", journey.number),
            lines: Some(journey.held.iter().map(back).collect()),
            reason: Some("unwanted".into()),
            ..Return::default()
        })
    }

    /// Hands `command` out, and now and then keeps a copy to be sent again.
    fn retried(&mut self, command: Command<'static>) -> Command<'static> {
        if self.retries.len() < RETRIES_MAX && self.rng.chance(self.shape.retry_permille) {
            self.retries.push_back((self.placed + 2, command.clone()));
        }
        command
    }

    fn receipts_of(&mut self, lines: &[(u32, i64)]) -> Vec<Command<'static>> {
        let mut receipts = Vec::new();
        for lines in lines.chunks(RECEIPT_LINES_MAX) {
            self.receipts += 1;
            receipts.push(Command::Receive(Receive {
                receipt_id: self.id("s", self.receipts),
                lines: lines.iter().map(|&(sku, quantity)| Line { sku: sku_name(sku), quantity }).collect(),
                ..Receive::default()
            }));
        }
        receipts
    }

    fn after(&mut self, (least, most): (u64, u64)) -> u64 {
        self.placed + self.rng.u64(least..=most.max(least))
    }

    fn id(&self, kind: &str, number: u64) -> Text<'static> {
        format!("{kind}{:x}-{number}", self.seed).into()
    }
}

/// SKUs are numbered from the most popular.
fn sku_name(sku: u32) -> Text<'static> {
    format!("sku-{:05}", u64::from(sku) + 1).into()
}

fn carrier(number: u64) -> Text<'static> {
    ["swift", "steady", "cheap"]
        [usize::from(number.is_multiple_of(3)) + usize::from(number.is_multiple_of(2))]
    .into()
}

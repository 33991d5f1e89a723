//! The facts of fulfilment: goods left, arrived, came back. What has happened has happened, whatever the books say.
//!
//! The three are one table: which units a fact takes, in which order. Without lines it takes all of the first column that has any, and what
//! contradicts the books only where nothing of the order has ever gone that way: a fact that is told again takes nothing.

use smallvec::SmallVec;

use super::content::Content;
use super::lines::{named, owned, take};
use super::refusal::Refusal;
use super::told::repeat;
use super::wants::{self, Want, Wants};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::posting::{Movement, Movements, News};
use crate::folds::inventory::tables::order::{Bucket, View};
use crate::folds::inventory::tables::sides::ToldKind;
use crate::words::command::{Deliver, Line, Return, Ship};
use crate::words::outcome::{Decision, Mark, Reason, Repeat};

/// Which units a fact takes.
struct Fact {
    kind: ToldKind,
    /// Where they go.
    to: Bucket,
    /// What it is about.
    takes: &'static [Bucket],
    /// Whether news of shipping (or else of delivery) may be what it brings, where units have gone on already.
    news_of: Option<Step>,
    /// What else it may be about, against the books.
    or: &'static [&'static [Bucket]],
    /// Whether anything of an order has gone that way.
    has_happened: fn(View<'_>) -> bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Shipping,
    Delivery,
}

const GIVEN_UP: &[Bucket] = &[Bucket::Cancelled, Bucket::Expired];

const SHIP: Fact = Fact {
    kind: ToldKind::Shipment,
    to: Bucket::Shipped,
    takes: &[Bucket::Reserved],
    news_of: Some(Step::Shipping),
    or: &[&[Bucket::Waiting], GIVEN_UP],
    has_happened: |view| view.has_gone(),
};

const DELIVER: Fact = Fact {
    kind: ToldKind::Delivery,
    to: Bucket::Delivered,
    takes: &[Bucket::Shipped],
    news_of: Some(Step::Delivery),
    or: &[&[Bucket::Reserved], &[Bucket::Waiting], GIVEN_UP],
    has_happened: |view| view.has(Bucket::Delivered) || view.has_come_back(),
};

const RETURN: Fact = Fact {
    kind: ToldKind::Return,
    to: Bucket::WrittenOff,
    takes: &[Bucket::Delivered, Bucket::Shipped],
    news_of: None,
    or: &[&[Bucket::Reserved], &[Bucket::Waiting], GIVEN_UP],
    has_happened: |view| view.has_come_back(),
};

/// The units that a fact takes.
#[derive(Default)]
struct Taken {
    movements: Movements,
    news: SmallVec<[News; 2]>,
}

impl Fact {
    /// News of it that is due: units of a line, and of the whole order.
    fn due(&self, view: View<'_>, line: usize) -> u32 {
        let part = view.part(line);
        match self.news_of {
            None => 0,
            Some(Step::Shipping) => part.shipping_due,
            Some(Step::Delivery) => part.delivery_due,
        }
    }

    fn is_due(&self, view: View<'_>) -> bool {
        let (shipping, delivery) = view.news_due();
        match self.news_of {
            None => false,
            Some(Step::Shipping) => shipping,
            Some(Step::Delivery) => delivery,
        }
    }

    /// All of the first column that has any.
    fn take_whole(&self, view: View<'_>) -> Option<Taken> {
        let has = |buckets: &&[Bucket]| buckets.iter().any(|bucket| view.has(*bucket));
        let lines = 0..view.lines().len();
        if !has(&self.takes) && self.is_due(view) {
            let shipping = self.news_of == Some(Step::Shipping);
            let news = lines.map(|line| News { line, shipping, units: self.due(view, line) });
            return Some(Taken { news: news.filter(|news| news.units > 0).collect(), ..Taken::default() });
        }
        let or = if (self.has_happened)(view) { &[][..] } else { self.or };
        let column = [self.takes].into_iter().chain(or.iter().copied()).find(has)?;
        let mut taken = Taken::default();
        for line in lines {
            for bucket in column {
                take(&mut taken.movements, line, (*bucket, view.units(line, *bucket)), self.to, u32::MAX);
            }
        }
        Some(taken)
    }

    /// So many units of a line, in the table's order; false where there are not so many.
    fn take_line(&self, view: View<'_>, line: usize, units: u32, taken: &mut Taken) -> bool {
        let mut wanted = units;
        for bucket in self.takes {
            wanted = take(&mut taken.movements, line, (*bucket, view.units(line, *bucket)), self.to, wanted);
        }
        let late = wanted.min(self.due(view, line));
        if late > 0 {
            let shipping = self.news_of == Some(Step::Shipping);
            taken.news.push(News { line, shipping, units: late });
            wanted -= late;
        }
        for bucket in self.or.iter().copied().flatten() {
            wanted = take(&mut taken.movements, line, (*bucket, view.units(line, *bucket)), self.to, wanted);
        }
        wanted == 0
    }

    /// What it says against the books, before it is posted.
    fn marks(&self, taken: &Taken) -> Marks {
        let from = |bucket: Bucket| taken.movements.iter().any(|movement| movement.from == Some(bucket));
        let was_inside = taken.movements.iter().any(|movement| movement.from.is_some_and(Bucket::is_inside));
        let mut marks = Marks::new();
        let mut add = |mark, applies| {
            if applies {
                marks.push(mark);
            }
        };
        add(Mark::WasNotShipped, self.to != Bucket::Shipped && was_inside);
        add(Mark::WasCancelled, from(Bucket::Cancelled) || from(Bucket::Expired));
        add(Mark::WasWaiting, from(Bucket::Waiting));
        add(Mark::OutOfOrder, !taken.news.is_empty());
        marks
    }
}

type Marks = SmallVec<[Mark; 4]>;

/// What became of a fact that was accepted.
struct Accepted<'c> {
    lines: Vec<Line<'c>>,
    marks: Vec<Mark>,
}

/// The lines that a fact names.
struct NamedLines<'c> {
    wants: Wants<'c>,
    /// How many were named, before those of one SKU were summed.
    count: usize,
}

impl Inventory {
    pub(crate) fn ship<'c>(&mut self, command: &'c Ship<'_>, turn: &mut Turn<'_>) -> Result<(), Refusal<'c>> {
        wants::ids([&command.order_id])?;
        wants::ids(&command.shipment_id)?;
        wants::texts([("carrier", command.carrier.as_ref())])?;
        wants::times([command.occurred_at])?;
        let lines = self.named_lines(command.lines.as_deref())?;
        let content = lines_content(lines.as_ref());
        let slot = self.kept(&command.order_id)?;
        let id = (command.shipment_id.as_deref(), content);
        let (accepted, again) = self.decide_fact(&SHIP, slot, id, lines.as_ref(), turn, |_, _| {})?;
        turn.emit(&Decision::Shipped {
            order_id: (&*command.order_id).into(),
            shipment_id: command.shipment_id.clone(),
            lines: accepted.lines,
            marks: accepted.marks,
            state: self.orders.view(slot).state(),
            repeat: again,
        });
        Ok(())
    }

    pub(crate) fn deliver<'c>(
        &mut self,
        command: &'c Deliver<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        wants::ids([&command.order_id])?;
        wants::ids(&command.shipment_id)?;
        wants::times([command.occurred_at])?;
        let lines = self.named_lines(command.lines.as_deref())?;
        let content = lines_content(lines.as_ref());
        let slot = self.kept(&command.order_id)?;
        let id = (command.shipment_id.as_deref(), content);
        let (accepted, again) = self.decide_fact(&DELIVER, slot, id, lines.as_ref(), turn, |_, _| {})?;
        turn.emit(&Decision::Delivered {
            order_id: (&*command.order_id).into(),
            shipment_id: command.shipment_id.clone(),
            lines: accepted.lines,
            marks: accepted.marks,
            state: self.orders.view(slot).state(),
            repeat: again,
        });
        Ok(())
    }

    pub(crate) fn return_<'c>(
        &mut self,
        command: &'c Return<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        wants::ids([&command.order_id, &command.return_id])?;
        wants::texts([("reason", command.reason.as_ref())])?;
        wants::times([command.occurred_at])?;
        let lines = self.named_lines(command.lines.as_deref())?;
        let restocked = restocked(command, lines.as_ref());
        let content = match &lines {
            None => Content::new().number(u64::from(command.restock)),
            Some(lines) => {
                let both = lines.wants.iter().zip(&restocked);
                let content =
                    wants::content(Content::new().number(2 + u64::from(command.restock)), &lines.wants);
                content.any_order(both.map(|(want, restocked)| (want.hash, restocked.cast_unsigned())))
            }
        };
        let slot = self.kept(&command.order_id)?;
        let id = (Some(&*command.return_id), content.finish());
        let put_back = |inventory: &Self, taken: &mut Taken| match &lines {
            None if command.restock => {
                taken.movements.iter_mut().for_each(|movement| movement.to = Bucket::Returned);
            }
            None => {}
            Some(lines) => inventory.restock(slot, &lines.wants, &restocked, taken),
        };
        let (accepted, again) = self.decide_fact(&RETURN, slot, id, lines.as_ref(), turn, put_back)?;
        turn.emit(&Decision::Returned {
            order_id: (&*command.order_id).into(),
            return_id: (&*command.return_id).into(),
            lines: accepted.lines,
            marks: accepted.marks,
            state: self.orders.view(slot).state(),
            repeat: again,
        });
        Ok(())
    }

    /// Takes a fact's units and posts them, or tells what it repeats. `turned` says where units go that do not go where the table says.
    fn decide_fact<'c>(
        &mut self,
        fact: &Fact,
        slot: u32,
        (id, content): (Option<&str>, u64),
        lines: Option<&NamedLines<'c>>,
        turn: &mut Turn<'_>,
        turned: impl FnOnce(&Self, &mut Taken),
    ) -> Result<(Accepted<'c>, Option<Repeat>), Refusal<'static>> {
        match self.told(slot, &[fact.kind], id, content)? {
            Ok(told) => {
                Ok((Accepted { lines: Vec::new(), marks: Vec::new() }, Some(repeat(told.first_sequence))))
            }
            Err(new) => {
                let mut taken = self.take_units(fact, slot, lines, turn)?;
                turned(self, &mut taken);
                self.check_sums(slot, &taken.movements)?;

                // From here on it succeeds.
                self.keep_id(slot, new, turn);
                Ok((self.post_fact(fact, slot, &taken, lines, turn), None))
            }
        }
    }

    fn named_lines<'c, L: wants::Named>(
        &self,
        lines: Option<&'c [L]>,
    ) -> Result<Option<NamedLines<'c>>, Refusal<'static>> {
        let Some(lines) = lines else { return Ok(None) };
        Ok(Some(NamedLines { wants: wants::wants(lines, 1, &self.stock)?, count: lines.len() }))
    }

    /// The units that a fact takes, or why it takes none.
    fn take_units(
        &self,
        fact: &Fact,
        slot: u32,
        lines: Option<&NamedLines<'_>>,
        turn: &mut Turn<'_>,
    ) -> Result<Taken, Refusal<'static>> {
        let view = self.orders.view(slot);
        let Some(lines) = lines else {
            turn.take_lines(view.lines().len())?;
            return fact.take_whole(view).ok_or(Refusal::of_order(Reason::NothingRemains, view.state()));
        };
        self.check_limits(slot, lines.count, &lines.wants)?;
        let amounts = self.amounts(slot, &lines.wants)?;
        turn.take_lines(self.cost_of(slot, amounts.len()))?;
        let mut taken = Taken::default();
        if amounts.iter().any(|amount| !fact.take_line(view, amount.line, amount.units, &mut taken)) {
            return Err(Refusal::of_order(Reason::ExceedsRemaining, view.state()));
        }
        Ok(taken)
    }

    /// How many lines of work it is to move units of some of an order's lines: those, and all of them once, where they have moved together
    /// until now.
    pub(crate) fn cost_of(&self, slot: u32, named: usize) -> usize {
        let view = self.orders.view(slot);
        let lines = view.lines().len();
        named + if view.whole().is_some() && lines > named { lines } else { 0 }
    }

    /// Says where returned units go: those of a line that go back on the shelf are taken first.
    fn restock(&self, slot: u32, wants: &[Want<'_>], on_shelf: &[i64], taken: &mut Taken) {
        let mut movements = Movements::new();
        for (want, units) in wants.iter().zip(on_shelf) {
            let line = self.orders.line_of(slot, &self.stock, want.sku, want.hash);
            let mut left = u32::try_from(*units).unwrap_or(u32::MAX);
            for movement in taken.movements.iter().filter(|movement| Some(movement.line) == line) {
                let up = movement.units.min(left);
                left -= up;
                let parts = [(Bucket::Returned, up), (Bucket::WrittenOff, movement.units - up)];
                let parts = parts.into_iter().filter(|(_, units)| *units > 0);
                movements.extend(parts.map(|(to, units)| Movement { to, units, ..*movement }));
            }
        }
        taken.movements = movements;
    }

    fn post_fact<'c>(
        &mut self,
        fact: &Fact,
        slot: u32,
        taken: &Taken,
        lines: Option<&NamedLines<'c>>,
        turn: &Turn<'_>,
    ) -> Accepted<'c> {
        let mut marks = fact.marks(taken);
        self.post(slot, &taken.movements, &taken.news, turn.at);
        let view = self.orders.view(slot);
        // Movements of one line stand together.
        let below_zero = taken.movements.chunk_by(|one, next| one.line == next.line).any(|of_line| {
            let lowered: i64 = of_line.iter().map(lowers).sum();
            lowered > 0 && self.stock.get(view.lines()[of_line[0].line].stock).on_hand < 0
        });
        if below_zero {
            marks.push(Mark::BelowZero);
        }
        let lines = match lines {
            Some(lines) => named(&lines.wants),
            None if taken.movements.is_empty() => self.told_news(slot, &taken.news),
            None => owned(self.told_lines(slot, &taken.movements)),
        };
        Accepted { lines, marks: marks.into_vec() }
    }

    /// How an outcome tells the lines of news, as that of movements.
    fn told_news(&self, slot: u32, news: &[News]) -> Vec<Line<'static>> {
        let as_moved =
            |news: &News| Movement { line: news.line, from: None, to: Bucket::Shipped, units: news.units };
        let movements: Movements = news.iter().map(as_moved).collect();
        owned(self.told_lines(slot, &movements))
    }
}

/// By how many units a movement lowers what is on hand.
fn lowers(movement: &Movement) -> i64 {
    let units = i64::from(movement.units);
    let leaves = movement.from.is_some_and(Bucket::is_inside) && !movement.to.is_inside();
    (if leaves { units } else { 0 }) - if movement.to == Bucket::Returned { units } else { 0 }
}

fn lines_content(lines: Option<&NamedLines<'_>>) -> u64 {
    match lines {
        None => Content::new().number(0).finish(),
        Some(lines) => wants::content(Content::new().number(1), &lines.wants).finish(),
    }
}

/// How many units of each wanted SKU go back on the shelf.
fn restocked(command: &Return<'_>, lines: Option<&NamedLines<'_>>) -> Vec<i64> {
    let (Some(lines), Some(named)) = (lines, &command.lines) else { return Vec::new() };
    let mut by_sku = std::collections::BTreeMap::<&str, i64>::new();
    for line in named.iter().filter(|line| line.restock) {
        *by_sku.entry(&line.sku).or_default() += line.quantity;
    }
    lines.wants.iter().map(|want| by_sku.get(want.sku).copied().unwrap_or(0)).collect()
}

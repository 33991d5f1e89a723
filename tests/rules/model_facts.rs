//! The judge's fulfilment: `ship`, `deliver` and `return`, which are one table.

use weir::words::command::{CommandKind, Deliver, Line, Return, Ship};
use weir::words::outcome::{Decision, Mark, Reason};

use crate::model::{Answer, Model, No, text};
use crate::model_orders::{line_list, repeat, summed, totals};
use crate::model_parts::{Column, FactContent, LEFT, OrderLine};
use crate::model_shape::{Shape, ids, lines, named, texts, times};

/// What a fact may take.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Units(Column),
    /// News of units that have gone that way already: nothing moves.
    News,
}

/// One fact's row of the table.
struct Row {
    to: Column,
    /// From left to right; what stands together in one column is taken together.
    columns: Vec<Vec<Source>>,
    /// From which column on it takes only where nothing of the order has ever gone that way.
    fallback: usize,
    /// The columns of units that have gone that way.
    gone: &'static [Column],
}

const CANCELLED: Source = Source::Units(Column::Cancelled);
const EXPIRED: Source = Source::Units(Column::Expired);
const WAITING: Source = Source::Units(Column::Waiting);
const RESERVED: Source = Source::Units(Column::Reserved);
const SHIPPED: Source = Source::Units(Column::Shipped);
const DELIVERED: Source = Source::Units(Column::Delivered);

fn row(kind: CommandKind) -> Row {
    match kind {
        CommandKind::Ship => Row {
            to: Column::Shipped,
            columns: vec![vec![RESERVED], vec![Source::News], vec![WAITING], vec![CANCELLED, EXPIRED]],
            fallback: 2,
            gone: &LEFT,
        },
        CommandKind::Deliver => Row {
            to: Column::Delivered,
            columns: vec![
                vec![SHIPPED],
                vec![Source::News],
                vec![RESERVED],
                vec![WAITING],
                vec![CANCELLED, EXPIRED],
            ],
            fallback: 2,
            gone: &[Column::Delivered, Column::Returned],
        },
        _ => Row {
            to: Column::Returned,
            columns: vec![vec![DELIVERED, SHIPPED], vec![RESERVED], vec![WAITING], vec![CANCELLED, EXPIRED]],
            fallback: 1,
            gone: &[Column::Returned],
        },
    }
}

/// How it contradicts the books that a fact takes from there.
fn marks_of(to: Column, source: Source) -> Vec<Mark> {
    let mut marks = match source {
        Source::News => vec![Mark::OutOfOrder],
        WAITING => vec![Mark::WasWaiting],
        CANCELLED | EXPIRED => vec![Mark::WasCancelled],
        Source::Units(_) => vec![],
    };
    if to != Column::Shipped && [RESERVED, WAITING, CANCELLED, EXPIRED].contains(&source) {
        marks.push(Mark::WasNotShipped);
    }
    marks
}

/// What a fact took.
struct Took {
    lines: Vec<Line<'static>>,
    marks: Vec<Mark>,
}

/// What of a return goes back on the shelf.
enum Restock {
    All(bool),
    /// So many of each SKU.
    Of(Vec<(String, i64)>),
}

/// The shape of `ship`.
pub(crate) fn ship_shape(it: &Ship<'_>) -> Shape {
    ids(&[Some(&it.order_id), it.shipment_id.as_ref()])?;
    times(&[it.occurred_at])?;
    texts(&[it.carrier.as_ref()])?;
    it.lines.as_ref().map_or(Ok(()), |lines| named(lines, 1))
}

/// The shape of `deliver`.
pub(crate) fn deliver_shape(it: &Deliver<'_>) -> Shape {
    ids(&[Some(&it.order_id), it.shipment_id.as_ref()])?;
    times(&[it.occurred_at])?;
    it.lines.as_ref().map_or(Ok(()), |lines| named(lines, 1))
}

/// The shape of `return`.
pub(crate) fn return_shape(it: &Return<'_>) -> Shape {
    ids(&[Some(&it.order_id), Some(&it.return_id)])?;
    times(&[it.occurred_at])?;
    texts(&[it.reason.as_ref()])?;
    let named = it.lines.as_ref();
    named.map_or(Ok(()), |named| lines(named.iter().map(|line| (&line.sku, line.quantity)), 1))
}

impl Model {
    pub(crate) fn ship(&mut self, ship: &Ship<'_>) -> Answer {
        let (kind, id) = (CommandKind::Ship, ship.shipment_id.as_deref());
        let at = self.kept(&ship.order_id)?;
        let named = ship.lines.as_deref().map(line_list);
        let content = FactContent::Lines(named.as_deref().map(totals));
        let order_id = text(&ship.order_id);
        let shipment_id = id.map(text);
        if let Some(first) = self.noted(at, kind, id, &content)? {
            let (lines, marks, state) = (vec![], vec![], self.orders[at].state());
            let repeat = Some(repeat(first.first_sequence, None));
            return Ok(Decision::Shipped { order_id, shipment_id, lines, marks, state, repeat });
        }
        let Took { lines, marks } = self.take(at, kind, named.as_deref(), &Restock::All(false))?;
        self.note(at, kind, id, content, false);
        let state = self.orders[at].state();
        Ok(Decision::Shipped { order_id, shipment_id, lines, marks, state, repeat: None })
    }

    pub(crate) fn deliver(&mut self, deliver: &Deliver<'_>) -> Answer {
        let (kind, id) = (CommandKind::Deliver, deliver.shipment_id.as_deref());
        let at = self.kept(&deliver.order_id)?;
        let named = deliver.lines.as_deref().map(line_list);
        let content = FactContent::Lines(named.as_deref().map(totals));
        let order_id = text(&deliver.order_id);
        let shipment_id = id.map(text);
        if let Some(first) = self.noted(at, kind, id, &content)? {
            let (lines, marks, state) = (vec![], vec![], self.orders[at].state());
            let repeat = Some(repeat(first.first_sequence, None));
            return Ok(Decision::Delivered { order_id, shipment_id, lines, marks, state, repeat });
        }
        let Took { lines, marks } = self.take(at, kind, named.as_deref(), &Restock::All(false))?;
        self.note(at, kind, id, content, false);
        let state = self.orders[at].state();
        Ok(Decision::Delivered { order_id, shipment_id, lines, marks, state, repeat: None })
    }

    pub(crate) fn give_back(&mut self, back: &Return<'_>) -> Answer {
        let (kind, id) = (CommandKind::Return, Some(&*back.return_id));
        let at = self.kept(&back.order_id)?;
        let named: Option<Vec<(String, i64)>> = back
            .lines
            .as_ref()
            .map(|lines| lines.iter().map(|line| (line.sku.to_string(), line.quantity)).collect());
        let by_restock = back.lines.as_ref().map(|lines| {
            let mut by_restock = std::collections::BTreeMap::new();
            for line in lines {
                *by_restock.entry((line.sku.to_string(), line.restock)).or_insert(0) += line.quantity;
            }
            by_restock
        });
        let content = FactContent::Return(by_restock, back.restock);
        let (order_id, return_id) = (text(&back.order_id), text(&back.return_id));
        if let Some(first) = self.noted(at, kind, id, &content)? {
            let (lines, marks, state) = (vec![], vec![], self.orders[at].state());
            let repeat = Some(repeat(first.first_sequence, None));
            return Ok(Decision::Returned { order_id, return_id, lines, marks, state, repeat });
        }
        let restock = match &back.lines {
            None => Restock::All(back.restock),
            Some(lines) => Restock::Of(
                lines
                    .iter()
                    .filter(|line| line.restock)
                    .map(|line| (line.sku.to_string(), line.quantity))
                    .collect(),
            ),
        };
        let Took { lines, marks } = self.take(at, kind, named.as_deref(), &restock)?;
        self.note(at, kind, id, content, false);
        let state = self.orders[at].state();
        Ok(Decision::Returned { order_id, return_id, lines, marks, state, repeat: None })
    }

    /// Takes what a fact names, or all of the first column that has any.
    fn take(
        &mut self,
        at: usize,
        kind: CommandKind,
        named: Option<&[(String, i64)]>,
        restock: &Restock,
    ) -> Result<Took, No> {
        let row = row(kind);
        // What is taken: of which line, from where, how much.
        let mut taken: Vec<(usize, Source, i64)> = vec![];
        if let Some(named) = named {
            self.within_limits(named)?;
            let named = self.of_order(at, &summed(named))?;
            for (line, quantity) in named {
                let mut missing = quantity;
                for source in row.columns.iter().flatten() {
                    let some = missing.min(on(kind, &self.orders[at].lines[line], *source));
                    taken.push((line, *source, some));
                    missing -= some;
                }
                if missing > 0 {
                    return Err(Reason::ExceedsRemaining.into());
                }
            }
        } else {
            let order = &self.orders[at];
            let gone = row.gone.iter().any(|column| order.of(*column) > 0);
            let columns = if gone { &row.columns[..row.fallback] } else { &row.columns[..] };
            for column in columns {
                for (at, line) in order.lines.iter().enumerate() {
                    taken.extend(column.iter().map(|source| (at, *source, on(kind, line, *source))));
                }
                if taken.iter().any(|(_, _, quantity)| *quantity > 0) {
                    break;
                }
            }
        }
        taken.retain(|(_, _, quantity)| *quantity > 0);
        if taken.is_empty() {
            return Err(Reason::NothingRemains.into());
        }
        Ok(self.take_all(at, kind, named.is_some(), &taken, restock))
    }

    fn take_all(
        &mut self,
        at: usize,
        kind: CommandKind,
        by_lines: bool,
        taken: &[(usize, Source, i64)],
        restock: &Restock,
    ) -> Took {
        let to = row(kind).to;
        let mut marks = vec![];
        let mut lines: Vec<(String, i64)> = vec![];
        let before: Vec<i64> = self.orders[at].lines.iter().map(|line| self.on_hand_of(line)).collect();
        for &(line, source, quantity) in taken {
            marks.extend(marks_of(to, source));
            lines.push((self.orders[at].lines[line].sku.clone(), quantity));
            match source {
                Source::Units(from) => self.post(at, line, from, to, quantity),
                Source::News if kind == CommandKind::Ship => {
                    self.orders[at].lines[line].untold_shipped -= quantity;
                }
                Source::News => self.orders[at].lines[line].untold_delivered -= quantity,
            }
        }
        let lines = summed(&lines);
        let restocked = match restock {
            Restock::All(true) => lines.clone(),
            Restock::All(false) => vec![],
            Restock::Of(some) => some.clone(),
        };
        for (sku, quantity) in restocked {
            let line = self.orders[at].line(&sku).expect("it was taken of this line");
            let site = self.orders[at].lines[line].site.clone();
            self.change_on_hand(&site, &sku, quantity);
            self.shelf_mut(&site, &sku).restocked += quantity;
        }
        let order = &self.orders[at];
        let mut after = order.lines.iter().map(|line| self.on_hand_of(line)).zip(before);
        if after.any(|(after, before)| after < before && after < 0) {
            marks.push(Mark::BelowZero);
        }
        marks.sort_unstable();
        marks.dedup();
        let all: i64 = lines.iter().map(|(_, quantity)| quantity).sum();
        let told = by_lines || all < order.whole();
        Took { lines: if told { as_lines(&lines) } else { vec![] }, marks }
    }

    fn on_hand_of(&self, line: &OrderLine) -> i64 {
        self.shelf(&line.site, &line.sku).map_or(0, |stock| stock.on_hand)
    }
}

/// How much a line has there.
fn on(kind: CommandKind, line: &OrderLine, source: Source) -> i64 {
    match source {
        Source::Units(column) => line.of(column),
        Source::News if kind == CommandKind::Ship => line.untold_shipped,
        Source::News => line.untold_delivered,
    }
}

/// As outcomes tell them.
pub(crate) fn as_lines(lines: &[(String, i64)]) -> Vec<Line<'static>> {
    lines.iter().map(|(sku, quantity)| Line { sku: text(sku), quantity: *quantity }).collect()
}

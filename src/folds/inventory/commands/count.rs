//! Counting stock: what was found on the shelf is what is there, whatever was promised.

use super::content::Content;
use super::receive::told_now;
use super::refusal::Refusal;
use super::told::repeat;
use super::wants::{self, Want};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::posting::StockMovement;
use crate::folds::inventory::tables::facts::FactKind;
use crate::folds::inventory::tables::stock::Way;
use crate::words::command::Count;
use crate::words::outcome::{Adjustment, Decision, Mark, Reason};
use crate::words::policy::{QUANTITY_LIMIT_MAX, SITE_DEFAULT, STOCK_MAX};

impl Inventory {
    pub(crate) fn count<'c>(
        &mut self,
        command: &'c Count<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        wants::ids([&command.count_id])?;
        wants::texts([("site", command.site.as_ref())])?;
        wants::times([command.occurred_at])?;
        let wants = wants::wants(&command.lines, 0, &self.stock)?;
        let out_of_bounds = |expected: i64| expected.unsigned_abs() > QUANTITY_LIMIT_MAX.unsigned_abs();
        if command.lines.iter().filter_map(|line| line.expected).any(out_of_bounds) {
            return Err(Refusal::new(Reason::InvalidQuantity));
        }
        if wants.len() != command.lines.len() {
            return Err(Refusal::new(Reason::DuplicateSku));
        }
        let content = content(command, &wants);
        if let Some(told) = self.stock_fact(FactKind::Count, &command.count_id, content)? {
            turn.emit(&Decision::Counted {
                count_id: (&*command.count_id).into(),
                adjustments: Vec::new(),
                stale: Vec::new(),
                marks: Vec::new(),
                repeat: Some(repeat(told.first_sequence)),
            });
            return Ok(());
        }
        let site = self.site(command.site.as_deref())?;
        wants::limits(command.lines.len(), &wants, &self.policy)?;
        self.check_new_skus(site, &wants)?;
        turn.take_lines(command.lines.len())?;
        self.check_stock(site, &wants, |most, _| most + 2 * QUANTITY_LIMIT_MAX <= STOCK_MAX)?;

        // From here on it succeeds.
        self.facts.remember(FactKind::Count, &command.count_id, told_now(content, turn), turn.at);
        let (mut adjustments, mut stale, mut marks) = (Vec::new(), Vec::new(), Vec::new());
        for (want, line) in wants.iter().zip(&command.lines) {
            let stock = self.stock.find_or_add(site, want.sku, turn.at);
            let (item, changed_at) = (self.stock.get(stock), self.stock.books(stock).changed_at);
            let before = item.on_hand;
            let units = match line.expected {
                Some(expected) => want.quantity - expected,
                None if command.occurred_at.is_some_and(|occurred| occurred < changed_at) => {
                    stale.push(want.sku.into());
                    continue;
                }
                None => want.quantity - before,
            };
            if units == 0 {
                continue;
            }
            adjustments.push(Adjustment { sku: want.sku.into(), before, after: before + units });
            self.post_stock(&[StockMovement { stock, way: Way::Adjusted, units }], turn.at);
        }
        if adjustments.iter().any(|it| it.after < it.before.min(0)) {
            marks.push(Mark::BelowZero);
        }
        if !stale.is_empty() {
            marks.push(Mark::Stale);
        }
        let count_id = (&*command.count_id).into();
        turn.emit(&Decision::Counted { count_id, adjustments, stale, marks, repeat: None });
        Ok(())
    }
}

fn content(command: &Count<'_>, wants: &[Want<'_>]) -> u64 {
    let site = command.site.as_deref().unwrap_or(SITE_DEFAULT);
    let line = |(want, expected): (&Want<'_>, Option<i64>)| {
        (want.hash, Content::new().number(want.quantity.cast_unsigned()).maybe(expected).finish())
    };
    let expected = command.lines.iter().map(|line| line.expected);
    Content::new().text(site).any_order(wants.iter().zip(expected).map(line)).finish()
}

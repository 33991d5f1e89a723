//! Adjusting stock: a fact, by so many units more or less.

use super::content::Content;
use super::receive::told_now;
use super::refusal::Refusal;
use super::told::repeat;
use super::wants;
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::posting::StockMovement;
use crate::folds::inventory::tables::facts::FactKind;
use crate::folds::inventory::tables::stock::Way;
use crate::words::command::Adjust;
use crate::words::outcome::{Adjustment, Decision, Mark, Reason};
use crate::words::policy::{QUANTITY_LIMIT_MAX, SITE_DEFAULT, STOCK_MAX};

impl Inventory {
    pub(crate) fn adjust<'c>(
        &mut self,
        command: &'c Adjust<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        wants::ids([&command.adjustment_id])?;
        wants::texts([("site", command.site.as_ref()), ("reason", command.reason.as_ref())])?;
        wants::times([command.occurred_at])?;
        let wants = wants::wants(&command.lines, -QUANTITY_LIMIT_MAX, &self.stock)?;
        if command.lines.iter().any(|line| line.quantity == 0) {
            return Err(Refusal::new(Reason::InvalidQuantity));
        }
        let site_name = command.site.as_deref().unwrap_or(SITE_DEFAULT);
        let content = wants::content(Content::new().text(site_name), &wants).finish();
        if let Some(told) = self.stock_fact(FactKind::Adjustment, &command.adjustment_id, content)? {
            turn.emit(&Decision::Adjusted {
                adjustment_id: (&*command.adjustment_id).into(),
                adjustments: Vec::new(),
                marks: Vec::new(),
                repeat: Some(repeat(told.first_sequence)),
            });
            return Ok(());
        }
        let site = self.site(command.site.as_deref())?;
        wants::limits(command.lines.len(), &wants, &self.policy)?;
        self.check_new_skus(site, &wants)?;
        turn.take_lines(command.lines.len())?;
        self.check_stock(site, &wants, |most, units| most + units.abs() <= STOCK_MAX)?;

        // From here on it succeeds.
        self.facts.remember(FactKind::Adjustment, &command.adjustment_id, told_now(content, turn), turn.at);
        let mut adjustments = Vec::new();
        for want in &wants {
            let stock = self.stock.find_or_add(site, want.sku, turn.at);
            let before = self.stock.get(stock).on_hand;
            if want.quantity == 0 {
                continue;
            }
            adjustments.push(Adjustment { sku: want.sku.into(), before, after: before + want.quantity });
            let movement = StockMovement { stock, way: Way::Adjusted, units: want.quantity };
            self.post_stock(&[movement], turn.at);
        }
        let is_below = adjustments.iter().any(|it| it.after < it.before.min(0));
        turn.emit(&Decision::Adjusted {
            adjustment_id: (&*command.adjustment_id).into(),
            adjustments,
            marks: if is_below { vec![Mark::BelowZero] } else { Vec::new() },
            repeat: None,
        });
        Ok(())
    }
}

//! Counting stock: what was found on the shelf is what is there, whatever was promised.

use super::Inventory;
use super::ahead::Seen;
use super::content::Content;
use super::facts::{FactKind, Told};
use super::output::Turn;
use super::pay::repeat;
use super::refusal::Refusal;
use super::validate;
use crate::words::command::Count;
use crate::words::outcome::{Adjustment, Decision, Reason};
use crate::words::policy::{SITE_DEFAULT, STOCK_MAX};

impl Inventory {
    pub(super) fn count<'c>(
        &mut self,
        command: &'c Count<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        validate::ids([&command.count_id])?;
        validate::texts([("site", command.site.as_ref())])?;
        validate::times([command.occurred_at])?;
        let wants = validate::wants(&command.lines, 0, &self.stock, &Seen::default())?;
        if wants.len() != command.lines.len() {
            return Err(Refusal::new(Reason::DuplicateSku));
        }
        let site_name = command.site.as_deref().unwrap_or(SITE_DEFAULT);
        let content = Content::new().text(site_name).wants(&wants).finish();
        if let Some(told) = self.facts.check(FactKind::Count, &command.count_id, content)? {
            turn.emit(&Decision::Counted {
                count_id: (&*command.count_id).into(),
                adjustments: Vec::new(),
                repeat: Some(repeat(told, None)),
            });
            return Ok(());
        }
        let site = self.sites.find(command.site.as_deref())?;
        validate::limits(command.lines.len(), &wants, &self.policy)?;
        self.check_new_skus(site, &wants)?;
        let fits = wants.iter().all(|want| {
            self.stock.find(site, want.sku, want.hash).is_none_or(|stock| {
                let item = self.stock.get(stock);
                (self.stock.flows(stock).adjusted + want.quantity - item.on_hand).abs() <= STOCK_MAX
            })
        });
        if !fits {
            return Err(Refusal::new(Reason::StockLimit));
        }

        // From here on it succeeds.
        let told = Told { content, first_sequence: turn.sequence() };
        self.facts.remember(FactKind::Count, &command.count_id, told, turn.at);
        let mut adjustments = Vec::new();
        for want in &wants {
            let stock = self.stock.find_or_add(site, want.sku);
            let before = self.stock.get(stock).on_hand;
            let available = self.stock.available(stock);
            if before == want.quantity {
                continue;
            }
            adjustments.push(Adjustment { sku: want.sku.into(), before, after: want.quantity });
            self.stock.count(stock, want.quantity);
            self.release(stock);
            self.lowered(stock, available);
            self.search_shortfall(stock);
        }
        turn.emit(&Decision::Counted { count_id: (&*command.count_id).into(), adjustments, repeat: None });
        Ok(())
    }
}

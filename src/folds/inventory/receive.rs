//! Receiving stock.

use super::Inventory;
use super::ahead::Seen;
use super::content::Content;
use super::facts::{FactKind, Told};
use super::output::Turn;
use super::pay::repeat;
use super::refusal::Refusal;
use super::stock::SiteIndex;
use super::validate::{self, Checked, Want};
use crate::words::command::Receive;
use crate::words::outcome::{Decision, Reason};
use crate::words::policy::{SITE_DEFAULT, STOCK_MAX};

impl Inventory {
    pub(super) fn receive<'c>(
        &mut self,
        command: &'c Receive<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        validate::ids([&command.receipt_id])?;
        validate::texts([("site", command.site.as_ref())])?;
        validate::times([command.occurred_at])?;
        let wants = validate::wants(&command.lines, 1, &self.stock, &Seen::default())?;
        let site_name = command.site.as_deref().unwrap_or(SITE_DEFAULT);
        let content = Content::new().text(site_name).wants(&wants).finish();
        let told = self.facts.check(FactKind::Receipt, &command.receipt_id, content)?;
        if told.is_none() {
            let site = self.sites.find(command.site.as_deref())?;
            validate::limits(command.lines.len(), &wants, &self.policy)?;
            self.check_new_skus(site, &wants)?;
            let fits = wants.iter().all(|want| {
                self.stock.find(site, want.sku, want.hash).is_none_or(|stock| {
                    let item = self.stock.get(stock);
                    self.stock.flows(stock).received.max(item.on_hand) + want.quantity <= STOCK_MAX
                })
            });
            if !fits {
                return Err(Refusal::new(Reason::StockLimit));
            }

            // From here on it succeeds.
            let told = Told { content, first_sequence: turn.sequence() };
            self.facts.remember(FactKind::Receipt, &command.receipt_id, told, turn.at);
            for want in &wants {
                let stock = self.stock.find_or_add(site, want.sku);
                self.stock.receive(stock, want.quantity);
                self.release(stock);
            }
        }
        turn.emit(&Decision::Received {
            receipt_id: (&*command.receipt_id).into(),
            repeat: told.map(|told| repeat(told, None)),
        });
        Ok(())
    }

    /// Refuses what would make more SKUs known than policy allows.
    pub(super) fn check_new_skus(&self, site: SiteIndex, wants: &[Want<'_>]) -> Checked {
        let new = wants.iter().filter(|want| self.stock.find(site, want.sku, want.hash).is_none()).count();
        if new > 0 && (self.stock.items().len() + new) as u64 > self.policy.skus_max.unsigned_abs() {
            return Err(Refusal::detailed(Reason::Busy, "the shard is at its cap of SKUs"));
        }
        Ok(())
    }
}

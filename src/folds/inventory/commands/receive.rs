//! Receiving stock.

use super::content::Content;
use super::refusal::Refusal;
use super::told::repeat;
use super::wants::{self, Checked, Want};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::posting::StockMovement;
use crate::folds::inventory::tables::facts::{FactKind, Told};
use crate::folds::inventory::tables::sites::SiteIndex;
use crate::folds::inventory::tables::stock::Way;
use crate::words::command::Receive;
use crate::words::outcome::{Decision, Reason};
use crate::words::policy::{SITE_DEFAULT, STOCK_MAX};

impl Inventory {
    pub(crate) fn receive<'c>(
        &mut self,
        command: &'c Receive<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        wants::ids([&command.receipt_id])?;
        wants::texts([("site", command.site.as_ref())])?;
        wants::times([command.occurred_at])?;
        let wants = wants::wants(&command.lines, 1, &self.stock)?;
        let site_name = command.site.as_deref().unwrap_or(SITE_DEFAULT);
        let content = wants::content(Content::new().text(site_name), &wants).finish();
        let told = self.stock_fact(FactKind::Receipt, &command.receipt_id, content)?;
        if told.is_none() {
            let site = self.site(command.site.as_deref())?;
            wants::limits(command.lines.len(), &wants, &self.policy)?;
            self.check_new_skus(site, &wants)?;
            turn.take_lines(command.lines.len())?;
            self.check_stock(site, &wants, |received, quantity| received + quantity <= STOCK_MAX)?;

            // From here on it succeeds.
            self.facts.remember(FactKind::Receipt, &command.receipt_id, told_now(content, turn), turn.at);
            for want in &wants {
                let stock = self.stock.find_or_add(site, want.sku, turn.at);
                self.post_stock(
                    &[StockMovement { stock, way: Way::Received, units: want.quantity }],
                    turn.at,
                );
            }
        }
        turn.emit(&Decision::Received {
            receipt_id: (&*command.receipt_id).into(),
            repeat: told.map(|told| repeat(told.first_sequence)),
        });
        Ok(())
    }

    /// The site that a command names, or the default one.
    pub(crate) fn site(&self, name: Option<&str>) -> Result<SiteIndex, Refusal<'static>> {
        self.sites.find(name).ok_or(Refusal::new(Reason::UnknownSite))
    }

    /// A fact of stock that was told under an id before, refusing another one under the same id.
    pub(crate) fn stock_fact(
        &self,
        kind: FactKind,
        id: &str,
        content: u64,
    ) -> Result<Option<Told>, Refusal<'static>> {
        match self.facts.find(kind, id) {
            Some(told) if told.content != content => Err(Refusal::new(Reason::IdConflict)),
            told => Ok(told),
        }
    }

    /// Refuses what would make more SKUs known than policy allows.
    pub(crate) fn check_new_skus(&self, site: SiteIndex, wants: &[Want<'_>]) -> Checked {
        let new = wants.iter().filter(|want| self.stock.find(site, want.sku, want.hash).is_none()).count();
        if new > 0 && (self.stock.known() + new) as u64 > self.policy.skus_max.unsigned_abs() {
            return Err(Refusal::detailed(Reason::Busy, "the shard is at its cap of SKUs"));
        }
        Ok(())
    }

    /// Refuses what would take a figure of stock beyond the largest: the largest sum of what came and the books say, and what is to come.
    pub(crate) fn check_stock(
        &self,
        site: SiteIndex,
        wants: &[Want<'_>],
        fits: impl Fn(i64, i64) -> bool,
    ) -> Checked {
        let fits = wants.iter().all(|want| {
            self.stock.find(site, want.sku, want.hash).is_none_or(|stock| {
                let flows = &self.stock.books(stock).flows;
                let most = [self.stock.get(stock).on_hand.abs(), flows.adjusted.abs()];
                let most = flows.all().into_iter().chain(most).max().unwrap_or_default();
                fits(most, want.quantity)
            })
        });
        if fits { Ok(()) } else { Err(Refusal::new(Reason::StockLimit)) }
    }
}

/// A fact that is told for the first time.
pub(crate) const fn told_now(content: u64, turn: &Turn<'_>) -> Told {
    Told { content, first_sequence: turn.sequence() }
}

//! Moving stock from one site to another: a request, as it takes what orders could have.

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
use crate::words::command::Transfer;
use crate::words::outcome::{Decision, Reason, Shortage};
use crate::words::policy::STOCK_MAX;

impl Inventory {
    pub(crate) fn transfer<'c>(
        &mut self,
        command: &'c Transfer<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        wants::ids([&command.transfer_id])?;
        wants::texts([("from", Some(&command.from)), ("to", Some(&command.to))])?;
        wants::times([command.occurred_at])?;
        if command.from == command.to {
            return Err(Refusal::detailed(Reason::InvalidValue, "from and to are one site"));
        }
        let wants = wants::wants(&command.lines, 1, &self.stock)?;
        let sites = Content::new().text(&command.from).text(&command.to);
        let content = wants::content(sites, &wants).finish();
        let told = self.stock_fact(FactKind::Transfer, &command.transfer_id, content)?;
        if told.is_none() {
            let (from, to) = (self.site(Some(&command.from))?, self.site(Some(&command.to))?);
            wants::limits(command.lines.len(), &wants, &self.policy)?;
            self.check_new_skus(to, &wants)?;
            turn.take_lines(2 * command.lines.len())?;
            self.check_stock(from, &wants, |most, units| most + units <= STOCK_MAX)?;
            self.check_stock(to, &wants, |most, units| most + units <= STOCK_MAX)?;
            let found = wants.iter().map(|want| self.stock.find(from, want.sku, want.hash));
            let free = found.map(|stock| stock.map(|stock| self.stock.free(self.stock.get(stock)).max(0)));
            let free: Vec<Option<i64>> = free.collect();
            let short = wants.iter().zip(&free).filter(|(want, free)| free.unwrap_or(0) < want.quantity);
            let shortage = |(want, free): (&wants::Want<'c>, &Option<i64>)| Shortage {
                sku: want.sku.into(),
                requested: want.quantity,
                available: free.unwrap_or(0),
            };
            let shortages: Vec<_> = short.map(shortage).collect();
            if !shortages.is_empty() {
                let unknown = free.iter().any(Option::is_none);
                let reason = if unknown { Reason::UnknownSku } else { Reason::InsufficientStock };
                return Err(Refusal { shortages, ..Refusal::new(reason) });
            }

            // From here on it succeeds.
            self.facts.remember(FactKind::Transfer, &command.transfer_id, told_now(content, turn), turn.at);
            for want in &wants {
                let out = self.stock.find_or_add(from, want.sku, turn.at);
                let into = self.stock.find_or_add(to, want.sku, turn.at);
                let movement = |stock, way| StockMovement { stock, way, units: want.quantity };
                self.post_stock(&[movement(out, Way::MovedOut), movement(into, Way::MovedIn)], turn.at);
            }
        }
        turn.emit(&Decision::Transferred {
            transfer_id: (&*command.transfer_id).into(),
            repeat: told.map(|told| repeat(told.first_sequence)),
        });
        Ok(())
    }
}

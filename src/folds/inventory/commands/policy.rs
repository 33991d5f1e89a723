//! Policy: what the fold is told to do from this record on.

use super::refusal::Refusal;
use super::wants::Checked;
use crate::folds::inventory::Inventory;
use crate::folds::inventory::output::Turn;
use crate::folds::inventory::tables::stock::StockIndex;
use crate::words::outcome::{Decision, Reason};
use crate::words::policy::{
    OwnFigure, PolicyChange, QUANTITY_LIMIT_MAX, RULES_NEWEST, SITE_DEFAULT, SITES_MAX,
};
use crate::words::text::is_id;

/// A figure of a SKU's own, or that it has none any more.
type Own = (StockIndex, Option<u32>);

impl Inventory {
    pub(crate) fn apply_policy<'c>(
        &mut self,
        change: &'c PolicyChange<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        check_figures(change)?;
        self.check_sites(change)?;
        let safety = self.own_figures("safety_stock_of", change, change.safety_stock_of.as_deref())?;
        let allowances = self.own_figures("allowance_of", change, change.allowance_of.as_deref())?;

        // From here on it succeeds.
        self.forgotten_at = None;
        self.policy.change(change);
        if let Some(sites) = &change.sites {
            self.sites.replace(sites.iter().map(|site| &**site));
        }
        if let Some(default) = change.safety_stock {
            self.stock.set_safety_default(figure(default));
            self.waiting.all_have_moved();
        }
        for (stock, own) in safety {
            self.changing(stock, turn.at, |table| table.set_safety(stock, own, turn.at));
        }
        for (stock, own) in allowances {
            self.changing(stock, turn.at, |table| table.set_allowance(stock, own.unwrap_or(0), turn.at));
        }
        turn.emit(&Decision::PolicyApplied { rules: self.policy.rules });
        Ok(())
    }

    fn check_sites(&self, change: &PolicyChange<'_>) -> Checked {
        let Some(sites) = &change.sites else { return Ok(()) };
        if sites.is_empty() || sites.len() > SITES_MAX {
            return Err(Refusal::detailed(Reason::InvalidValue, "a shard has 1 to 1000 sites"));
        }
        if sites.iter().any(|site| !is_id(site)) {
            return Err(Refusal::new(Reason::InvalidId));
        }
        if self.sites.count_with(sites.iter().map(|site| &**site)) > SITES_MAX {
            return Err(Refusal::detailed(
                Reason::InvalidValue,
                "more than 1000 sites over the shard's life",
            ));
        }
        let goes = |name: &str| !sites.iter().any(|kept| kept == name);
        match self.sites.listed().find(|(name, site)| goes(name) && self.stock.is_in_use(*site)) {
            Some((name, _)) => Err(Refusal::detailed(Reason::SiteInUse, name.to_owned())),
            None => Ok(()),
        }
    }

    fn own_figures(
        &self,
        name: &str,
        change: &PolicyChange<'_>,
        entries: Option<&[OwnFigure<'_>]>,
    ) -> Result<Vec<Own>, Refusal<'static>> {
        let own = |entry: &OwnFigure<'_>| {
            let bounds = 0..=QUANTITY_LIMIT_MAX;
            if entry.quantity.is_some_and(|quantity| !bounds.contains(&quantity)) {
                let detail = format!("{name} must be 0 to {QUANTITY_LIMIT_MAX}");
                return Err(Refusal::detailed(Reason::InvalidValue, detail));
            }
            let site = entry.site.as_deref().unwrap_or(SITE_DEFAULT);
            let stays = change.sites.as_ref().map_or_else(
                || self.sites.find(Some(site)).is_some(),
                |listed| listed.iter().any(|listed| listed == site),
            );
            if !stays {
                return Err(Refusal::new(Reason::UnknownSite));
            }
            // It may be one that this policy lists again.
            let stock = self.sites.find_ever(site);
            let stock = stock.and_then(|site| self.stock.find(site, &entry.sku, self.stock.hash(&entry.sku)));
            let unknown = || {
                let name = if is_id(&entry.sku) { &*entry.sku } else { "not an id" };
                Refusal::detailed(Reason::UnknownSku, name.to_owned())
            };
            Ok((stock.ok_or_else(unknown)?, entry.quantity.map(figure)))
        };
        entries.unwrap_or_default().iter().map(own).collect()
    }
}

/// A figure within its bounds, as stock keeps it.
fn figure(quantity: i64) -> u32 {
    u32::try_from(quantity).expect("checked against the limit on quantities")
}

/// Checks each figure against its bounds.
pub(crate) fn check_figures(change: &PolicyChange<'_>) -> Checked {
    if change.rules.is_some_and(|rules| rules == 0 || rules > RULES_NEWEST) {
        return Err(Refusal::detailed(Reason::InvalidValue, "rules versions begin at 1"));
    }
    match change.figures().find(|(_, value, bounds)| !bounds.contains(value)) {
        None => Ok(()),
        Some((name, _, bounds)) => Err(Refusal::detailed(
            Reason::InvalidValue,
            format!("{name} must be {} to {}", bounds.start(), bounds.end()),
        )),
    }
}

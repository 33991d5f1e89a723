//! Policy: what the fold is told to do from this record on.

use super::Inventory;
use super::output::Turn;
use super::refusal::Refusal;
use super::validate::Checked;
use crate::words::outcome::{Decision, Reason};
use crate::words::policy::{LINES_LIMIT_MAX, PolicyChange, QUANTITY_LIMIT_MAX, RULES_NEWEST, SITES_MAX};
use crate::words::text::is_id;

/// Ten years.
const WINDOW_MS_MAX: i64 = 10 * 366 * 24 * 60 * 60 * 1000;
/// No table grows beyond 2^30 entries.
pub(super) const ENTRIES_MAX: i64 = 1 << 30;

impl Inventory {
    pub(super) fn apply_policy<'c>(
        &mut self,
        change: &'c PolicyChange<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal<'c>> {
        check_ranges(change)?;
        self.check_sites(change)?;
        let safety = self.check_safety(change)?;

        // From here on it succeeds.
        self.forgotten_at = None;
        let policy = &mut self.policy;
        let set = |field: &mut i64, value: Option<i64>| {
            if let Some(value) = value {
                *field = value;
            }
        };
        policy.rules = change.rules.unwrap_or(policy.rules);
        set(&mut policy.pay_within_ms, change.pay_within_ms);
        set(&mut policy.lines_max, change.lines_max);
        set(&mut policy.quantity_max, change.quantity_max);
        set(&mut policy.open_orders_max, change.open_orders_max);
        set(&mut policy.settled_orders_max, change.settled_orders_max);
        set(&mut policy.settled_window_ms, change.settled_window_ms);
        set(&mut policy.closed_orders_max, change.closed_orders_max);
        set(&mut policy.closed_window_ms, change.closed_window_ms);
        set(&mut policy.facts_max, change.facts_max);
        set(&mut policy.facts_window_ms, change.facts_window_ms);
        set(&mut policy.skus_max, change.skus_max);
        set(&mut policy.safety_stock, change.safety_stock);
        if let Some(sites) = &change.sites {
            self.sites.replace(sites.iter().map(|site| &**site));
        }
        if let Some(default) = change.safety_stock {
            self.stock.set_safety_default(default);
            self.release_all();
        }
        for (stock, quantity) in safety {
            let available = self.stock.available(stock);
            self.stock.set_safety(stock, quantity);
            self.release(stock);
            self.lowered(stock, available);
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
        for (name, site) in self.sites.listed() {
            let in_use = |index: usize| {
                let item = &self.stock.items()[index];
                let stock = super::stock::StockIndex(u32::try_from(index).expect("policy caps the SKUs"));
                item.site == site
                    && (item.on_hand != 0 || item.reserved != 0 || self.waiting.is_parked_at(stock))
            };
            let stays = sites.iter().any(|kept| kept == name);
            if !stays && (0..self.stock.items().len()).any(in_use) {
                return Err(Refusal::detailed(Reason::SiteInUse, name.to_owned()));
            }
        }
        Ok(())
    }

    fn check_safety(
        &self,
        change: &PolicyChange<'_>,
    ) -> Result<Vec<(super::stock::StockIndex, Option<i64>)>, Refusal<'static>> {
        let entries = change.safety_stock_of.as_deref().unwrap_or_default();
        entries
            .iter()
            .map(|entry| {
                check_range("safety_stock_of", entry.quantity, 0, QUANTITY_LIMIT_MAX)?;
                let site = self.sites.find(entry.site.as_deref())?;
                let stock = self.stock.find(site, &entry.sku, self.stock.hash(&entry.sku));
                let unknown = || {
                    let name = if is_id(&entry.sku) { &*entry.sku } else { "not an id" };
                    Refusal::detailed(Reason::UnknownSku, name.to_owned())
                };
                Ok((stock.ok_or_else(unknown)?, entry.quantity))
            })
            .collect()
    }
}

fn check_range(name: &'static str, value: Option<i64>, least: i64, most: i64) -> Checked {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(Refusal::detailed(Reason::InvalidValue, format!("{name} must be {least} to {most}")))
        }
        _ => Ok(()),
    }
}

/// Checks each figure against its bounds.
pub(super) fn check_ranges(change: &PolicyChange<'_>) -> Checked {
    if change.rules.is_some_and(|rules| rules == 0 || rules > RULES_NEWEST) {
        return Err(Refusal::detailed(Reason::InvalidValue, "rules versions begin at 1"));
    }
    check_range("pay_within_ms", change.pay_within_ms, 0, WINDOW_MS_MAX)?;
    check_range("lines_max", change.lines_max, 1, LINES_LIMIT_MAX)?;
    check_range("quantity_max", change.quantity_max, 1, QUANTITY_LIMIT_MAX)?;
    check_range("open_orders_max", change.open_orders_max, 1, ENTRIES_MAX)?;
    check_range("settled_orders_max", change.settled_orders_max, 0, ENTRIES_MAX)?;
    check_range("settled_window_ms", change.settled_window_ms, 0, WINDOW_MS_MAX)?;
    check_range("closed_orders_max", change.closed_orders_max, 0, ENTRIES_MAX)?;
    check_range("closed_window_ms", change.closed_window_ms, 0, WINDOW_MS_MAX)?;
    check_range("facts_max", change.facts_max, 0, ENTRIES_MAX)?;
    check_range("facts_window_ms", change.facts_window_ms, 0, WINDOW_MS_MAX)?;
    check_range("skus_max", change.skus_max, 1, ENTRIES_MAX)?;
    check_range("safety_stock", change.safety_stock, 0, QUANTITY_LIMIT_MAX)
}

//! The naive model's ladders of stock and policy. See [`crate::model`].

use weir::words::command::{Count, Receive};
use weir::words::outcome::{Adjustment, Decision, Reason};
use weir::words::policy::{PolicyChange, STOCK_MAX};

use crate::model::{Model, Refusal, count};
use crate::model_orders::{Decided, map, no, repeat, sums};

impl Model {
    fn check_site(&self, site: &str, lines: usize, sums: &[(String, i64)]) -> Result<(), Refusal> {
        if !self.sites.contains(site) {
            return no(Reason::UnknownSite);
        }
        self.limits(lines, sums)?;
        let new = sums.iter().filter(|(sku, _)| !self.known(site, sku)).count();
        if new > 0 && count(self.stock.len() + new) > self.policy.skus_max {
            return no(Reason::Busy);
        }
        Ok(())
    }

    pub(crate) fn receive(&mut self, it: &Receive<'_>) -> Decided {
        let sums = sums(&it.lines, 1)?;
        let site = it.site.as_deref().unwrap_or("main").to_owned();
        let content = format!("{site:?} {:?}", map(&sums));
        let first = self.before("receipt", &it.receipt_id, &content)?;
        if first.is_none() {
            self.check_site(&site, it.lines.len(), &sums)?;
            self.remember("receipt", &it.receipt_id, content);
            for (sku, quantity) in &sums {
                let item = self.item_or_new(&site, sku);
                assert!(item.received + quantity <= STOCK_MAX);
                item.on_hand += quantity;
                item.received += quantity;
                self.has_moved(&site, sku);
            }
        }
        let repeat = first.and_then(|first| repeat(first, None));
        Ok(Decision::Received { receipt_id: it.receipt_id.to_string().into(), repeat })
    }

    pub(crate) fn count_stock(&mut self, it: &Count<'_>) -> Decided {
        let sums = sums(&it.lines, 0)?;
        if sums.len() < it.lines.len() {
            return no(Reason::DuplicateSku);
        }
        let count_id = it.count_id.to_string().into();
        let site = it.site.as_deref().unwrap_or("main").to_owned();
        let content = format!("{site:?} {:?}", map(&sums));
        if let Some(first) = self.before("count", &it.count_id, &content)? {
            return Ok(Decision::Counted { count_id, adjustments: vec![], repeat: repeat(first, None) });
        }
        self.check_site(&site, it.lines.len(), &sums)?;
        self.remember("count", &it.count_id, content);
        let mut adjustments = vec![];
        for (sku, after) in sums {
            let available = self.available(&site, &sku);
            let item = self.item_or_new(&site, &sku);
            let before = item.on_hand;
            item.on_hand = after;
            item.adjusted += after - before;
            if before != after {
                adjustments.push(Adjustment { sku: sku.clone().into(), before, after });
                self.has_moved(&site, &sku);
                self.lowered(&site, &sku, available);
                self.counted_short.push((site.clone(), sku));
            }
        }
        Ok(Decision::Counted { count_id, adjustments, repeat: None })
    }

    pub(crate) fn set_policy(&mut self, it: &PolicyChange<'_>) -> Decided {
        if let Some(sites) = &it.sites {
            if sites.is_empty() {
                return no(Reason::InvalidValue);
            }
            for site in self.sites.iter().filter(|site| !sites.iter().any(|kept| kept == *site)) {
                let used = self.stock.iter().any(|item| item.key.0 == *site && item.on_hand != 0)
                    || self.orders.iter().any(|order| order.site == *site && order.is_open());
                if used {
                    return no(Reason::SiteInUse);
                }
            }
        }
        for own in it.safety_stock_of.iter().flatten() {
            let site = own.site.as_deref().unwrap_or("main");
            if !self.sites.contains(site) {
                return no(Reason::UnknownSite);
            }
            if !self.known(site, &own.sku) {
                return no(Reason::UnknownSku);
            }
        }
        let policy = &mut self.policy;
        for (field, value) in [
            (&mut policy.pay_within_ms, it.pay_within_ms),
            (&mut policy.lines_max, it.lines_max),
            (&mut policy.quantity_max, it.quantity_max),
            (&mut policy.open_orders_max, it.open_orders_max),
            (&mut policy.settled_orders_max, it.settled_orders_max),
            (&mut policy.settled_window_ms, it.settled_window_ms),
            (&mut policy.closed_orders_max, it.closed_orders_max),
            (&mut policy.closed_window_ms, it.closed_window_ms),
            (&mut policy.facts_max, it.facts_max),
            (&mut policy.facts_window_ms, it.facts_window_ms),
            (&mut policy.skus_max, it.skus_max),
            (&mut policy.safety_stock, it.safety_stock),
        ] {
            *field = value.unwrap_or(*field);
        }
        if let Some(sites) = &it.sites {
            self.sites = sites.iter().map(ToString::to_string).collect();
        }
        let all: Vec<_> = self.stock.iter().map(|item| item.key.clone()).collect();
        if it.safety_stock.is_some() {
            for (site, sku) in &all {
                self.has_moved(site, sku);
            }
        }
        for own in it.safety_stock_of.iter().flatten() {
            let site = own.site.as_deref().unwrap_or("main").to_owned();
            let available = self.available(&site, &own.sku);
            self.item(&site, &own.sku).unwrap().safety = own.quantity;
            self.has_moved(&site, &own.sku);
            self.lowered(&site, &own.sku, available);
        }
        Ok(Decision::PolicyApplied { rules: 1 })
    }
}

//! The audit that every contender must pass: each order decided once, and of no SKU more sold than there was.
//!
//! What was decided is read back from where the contender keeps it; what was ordered is drawn again from the seed. Whether a
//! refusal was right is not judged: it depends on the order in which a contender took the orders.

use anyhow::{Result, ensure};
use serde::Serialize;

use super::orders::{QUANTITY, Shop, order_number, sku};

/// What was found wrong, in orders and units; all zero is good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Audit {
    /// Orders that were sent.
    pub(crate) sent: u64,
    /// Those of them that were confirmed.
    pub(crate) confirmed: u64,
    /// Orders that were sent and not decided.
    pub(crate) lost: u64,
    /// Decisions beyond an order's first, or on an order that nobody sent.
    pub(crate) duplicated: u64,
    /// Units sold beyond the stock, over all SKUs.
    pub(crate) oversold: u64,
    /// Units by which what is left differs from the stock less what was sold, over all SKUs; of Weir, what its own audit
    /// calls so.
    pub(crate) unexplained: u64,
    /// The first thing that was found, in words.
    pub(crate) first: Option<String>,
}

impl Audit {
    /// Whether nothing is wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.oversold + self.unexplained == 0
    }

    fn found(&mut self, what: impl FnOnce() -> String) {
        self.first.get_or_insert_with(what);
    }
}

/// Gathers decisions, then says whether they can be.
#[derive(Debug)]
pub(crate) struct Ledger {
    shop: Shop,
    /// By order number.
    decided: Vec<bool>,
    /// Units by SKU number.
    sold: Vec<i64>,
    audit: Audit,
}

impl Ledger {
    /// For the orders from 0 to `sent`.
    pub(crate) fn new(shop: Shop, sent: u64) -> Self {
        let orders = usize::try_from(sent).unwrap_or(usize::MAX);
        let skus = usize::try_from(shop.skus).unwrap_or(usize::MAX);
        let audit = Audit { sent, ..Audit::default() };
        Self { shop, decided: vec![false; orders], sold: vec![0; skus], audit }
    }

    /// Notes one decision that was read.
    pub(crate) fn note(&mut self, order_id: &str, confirmed: bool) {
        let number = order_number(order_id);
        let place = number.and_then(|number| usize::try_from(number).ok());
        match place.and_then(|place| self.decided.get_mut(place)) {
            Some(decided) if !*decided => *decided = true,
            Some(_) => {
                self.audit.duplicated += 1;
                self.audit.found(|| format!("order {order_id} was decided twice"));
            }
            None => {
                self.audit.duplicated += 1;
                self.audit.found(|| format!("order {order_id} was decided but never sent"));
            }
        }
        // A second confirmation sells a second time.
        if let Some(number) = number
            && confirmed
        {
            self.audit.confirmed += 1;
            for sku in self.shop.draw(number) {
                self.sold[sku as usize] += QUANTITY;
            }
        }
    }

    /// Closes the books; `left` gives the units that the contender says are left, by SKU number.
    pub(crate) fn close(mut self, left: &[i64]) -> Result<Audit> {
        ensure!(left.len() == self.sold.len(), "stock of {} SKUs where {} are", left.len(), self.sold.len());
        for (number, _) in self.decided.iter().enumerate().filter(|(_, decided)| !**decided) {
            self.audit.lost += 1;
            self.audit.found(|| format!("order number {number} was sent but not decided"));
        }
        for (number, (&sold, &left)) in (0..).zip(self.sold.iter().zip(left)) {
            let stock = self.shop.stock;
            if sold > stock {
                self.audit.oversold += sold.abs_diff(stock);
                self.audit.found(|| format!("{sold} of {} were sold where {stock} were", sku(number)));
            }
            if stock - sold != left {
                self.audit.unexplained += (stock - sold).abs_diff(left);
                self.audit.found(|| format!("{left} of {} are left of {stock} less {sold}", sku(number)));
            }
        }
        Ok(self.audit)
    }
}

/// Feeds the audit decisions that cannot be, and fails unless it finds each: a ledger that finds nothing proves nothing.
pub(crate) fn check() -> Result<()> {
    let shop = Shop { seed: 1, skus: 2, stock: 3 };
    let close = |decisions: &[(&str, bool)], left: [i64; 2]| {
        let mut ledger = Ledger::new(shop, 4);
        for (id, confirmed) in decisions {
            ledger.note(id, *confirmed);
        }
        ledger.close(&left)
    };
    let [a, b, c, d] = ["O-0000000000", "O-0000000001", "O-0000000002", "O-0000000003"];
    let clean = close(&[(a, true), (b, true), (c, true), (d, false)], [0, 0])?;
    ensure!(clean.is_clean() && clean.confirmed == 3, "a clean run counts as {clean:?}");
    let lost = close(&[(a, true), (b, true), (d, false)], [1, 1])?;
    ensure!((lost.lost, lost.is_clean()) == (1, false), "a lost order counts as {lost:?}");
    let twice = close(&[(a, true), (b, false), (c, true), (d, false), (b, false)], [1, 1])?;
    ensure!((twice.duplicated, twice.is_clean()) == (1, false), "a second decision counts as {twice:?}");
    let stranger = close(&[(a, true), (b, true), (c, true), (d, false), ("O-0000000004", false)], [0, 0])?;
    ensure!(stranger.duplicated == 1, "a stranger's order counts as {stranger:?}");
    let oversold = close(&[(a, true), (b, true), (c, true), (d, true)], [-1, -1])?;
    ensure!((oversold.oversold, oversold.unexplained) == (2, 0), "overselling counts as {oversold:?}");
    let unexplained = close(&[(a, true), (b, true), (c, false), (d, false)], [1, 0])?;
    ensure!(
        (unexplained.unexplained, unexplained.oversold) == (1, 0),
        "wrong books count as {unexplained:?}"
    );
    Ok(())
}

//! The audit that every contender but Weir must pass, which has its own: each order decided once, and of no SKU more sold than
//! there was.
//!
//! What was decided is read back from where the contender keeps it; what was ordered is drawn again from the seed. Whether a
//! refusal was right is not judged: it depends on the order in which a contender took the orders.

use anyhow::{Result, ensure};

use crate::findings::{Findings, Numbers, Wrong};
use crate::orders::{Drawn, Orders, number_of};

/// Gathers decisions, then says whether they can be.
pub(crate) struct Ledger<'o> {
    orders: &'o Orders,
    /// Units of each SKU that there were.
    stock: i64,
    sent: u64,
    decided: Numbers,
    /// Units by SKU number.
    sold: Vec<i64>,
    drawn: Drawn,
    findings: Findings,
}

impl<'o> Ledger<'o> {
    /// For the orders from 0 to `sent`.
    pub(crate) fn new(orders: &'o Orders, stock: i64, sent: u64) -> Self {
        Self {
            orders,
            stock,
            sent,
            decided: Numbers::default(),
            sold: vec![0; orders.names().len()],
            drawn: Drawn::new(),
            findings: Findings { records: sent, ..Findings::default() },
        }
    }

    /// Notes one decision that was read.
    pub(crate) fn note(&mut self, order_id: &str, confirmed: bool) {
        let number = number_of(order_id).filter(|number| *number < self.sent);
        let new = number.is_some_and(|number| self.decided.add(number));
        self.findings.add(Wrong::Duplicated, u64::from(!new), || match number {
            Some(_) => format!("order {order_id} was decided twice"),
            None => format!("order {order_id} was decided but never sent"),
        });
        if !confirmed {
            *self.findings.refused.entry("refused".to_owned()).or_default() += 1;
        } else if let Some(number) = number {
            // A second confirmation sells a second time.
            self.findings.confirmed += 1;
            self.orders.draw(number, &mut self.drawn);
            for (sku, quantity) in &self.drawn {
                self.sold[*sku as usize] += quantity;
            }
        }
    }

    /// Closes the books; `left` gives the units that the contender says are left, by SKU number, where it keeps them.
    pub(crate) fn close(mut self, left: Option<&[i64]>) -> Result<Findings> {
        let skus = self.sold.len();
        ensure!(left.is_none_or(|left| left.len() == skus), "stock of other than {skus} SKUs");
        for number in 0..self.sent {
            let lost = !self.decided.has(number);
            self.findings.add(Wrong::Lost, u64::from(lost), || format!("order {number} was not decided"));
        }
        for (sku, &sold) in self.sold.iter().enumerate() {
            let (stock, name) = (self.stock, &self.orders.names()[sku]);
            let beyond = (sold - stock).max(0).unsigned_abs();
            self.findings
                .add(Wrong::Oversold, beyond, || format!("{sold} of {name} were sold where {stock} were"));
            if let Some(left) = left.map(|left| left[sku]) {
                let off = (stock - sold).abs_diff(left);
                let told = || format!("{left} of {name} are left of {stock} less {sold}");
                self.findings.add(Wrong::Unexplained, off, told);
            }
        }
        Ok(self.findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::id_of;
    use crate::shop::tests::load;

    /// A ledger that finds nothing proves nothing: each decision that cannot be must be found.
    #[test]
    fn what_cannot_be_is_found() {
        let orders = Orders::new(&load(2));
        let units = |numbers: &[u64]| {
            let mut sold = [0, 0];
            for number in numbers {
                let mut drawn = Drawn::new();
                orders.draw(*number, &mut drawn);
                for (sku, quantity) in &drawn {
                    sold[*sku as usize] += quantity;
                }
            }
            sold
        };
        let all = units(&[0, 1, 2]);
        let stock = all[0].max(all[1]);
        let close = |decisions: &[(u64, bool)], left: [i64; 2]| {
            let mut ledger = Ledger::new(&orders, stock, 4);
            for (number, confirmed) in decisions {
                ledger.note(&id_of(*number), *confirmed);
            }
            ledger.close(Some(&left)).unwrap()
        };
        let left = all.map(|sold| stock - sold);
        let good = close(&[(0, true), (1, true), (2, true), (3, false)], left);
        assert!(good.are_good() && good.confirmed == 3 && good.refused() == 1, "{good:?}");
        assert_eq!(close(&[(0, true), (1, true), (2, true)], left).lost, 1);
        assert_eq!(close(&[(0, true), (1, true), (2, true), (3, false), (3, false)], left).duplicated, 1);
        assert_eq!(close(&[(0, true), (1, true), (2, true), (3, false), (4, true)], left).duplicated, 1);
        assert!(close(&[(0, true), (1, true), (2, true), (3, true)], left).oversold > 0);
        assert_eq!(
            close(&[(0, true), (1, true), (2, true), (3, false)], [left[0] + 2, left[1]]).unexplained,
            2
        );
    }
}

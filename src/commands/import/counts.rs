//! What an import read, made and left out, in numbers, so that nothing is left out silently.

use std::fmt;

/// Lines and units of cancellations that no order could be found for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// SKUs of cancellation invoices of which at least one unit is left over.
    pub lines: u64,
    /// The units left over.
    pub units: u64,
}

/// The numbers of an import. What a format does not know stays 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows after the header; the sum of the six classes below.
    pub rows: u64,
    /// Rows that became lines of orders.
    pub sale_rows: u64,
    /// Rows that became lines of cancellations.
    pub cancellation_rows: u64,
    /// Skipped: accounting adjustments.
    pub adjustment_rows: u64,
    /// Skipped: sales of no or a negative quantity.
    pub write_off_rows: u64,
    /// Skipped: cancellations of no or a positive quantity.
    pub odd_cancellation_rows: u64,
    /// Skipped: the SKU is not a valid id, or the quantity is too large.
    pub unusable_rows: u64,

    /// Orders placed.
    pub orders: u64,
    /// Their lines, as they stand.
    pub order_lines: u64,
    /// Their units.
    pub order_units: u64,
    /// Receipts of stock.
    pub receipts: u64,
    /// SKUs that are received; each stands in one receipt.
    pub skus_received: u64,
    /// Units that are received.
    pub units_received: u64,
    /// Orders paid.
    pub pays: u64,
    /// Orders shipped.
    pub ships: u64,

    /// Cancellation invoices.
    pub cancellations: u64,
    /// Their SKUs, summed by invoice; each is cancelled, returned or unmatched, or in part returned, in part unmatched.
    pub cancellation_lines: u64,
    /// Their units; the sum of those cancelled, returned and unmatched.
    pub cancellation_units: u64,
    /// Whole orders cancelled before they were shipped.
    pub cancels: u64,
    /// The units of those.
    pub cancel_units: u64,
    /// Returns.
    pub returns: u64,
    /// Their lines.
    pub return_lines: u64,
    /// Their units.
    pub return_units: u64,
    /// Left over because the cancellation names no customer.
    pub no_customer: Unmatched,
    /// Left over because the customer has no earlier sale of it that is not undone yet.
    pub no_earlier_sale: Unmatched,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = grouped;
        write!(f, "{} rows: {} of sales", n(self.rows), n(self.sale_rows))?;
        for (count, what) in [
            (self.cancellation_rows, "of cancellations"),
            (self.write_off_rows, "write-offs"),
            (self.odd_cancellation_rows, "cancellations of nothing"),
            (self.adjustment_rows, "accounting adjustments"),
            (self.unusable_rows, "unusable"),
        ] {
            if count > 0 {
                write!(f, ", {} {what}", n(count))?;
            }
        }
        let (lines, units) = (n(self.order_lines), n(self.order_units));
        write!(f, "\n{} orders with {lines} lines, {units} units", n(self.orders))?;
        if self.receipts > 0 {
            let (skus, units) = (n(self.skus_received), n(self.units_received));
            write!(f, "\n{} receipts of {skus} SKUs, {units} units", n(self.receipts))?;
        }
        if self.pays + self.ships > 0 {
            write!(f, "\n{} orders paid, {} shipped", n(self.pays), n(self.ships))?;
        }
        if self.cancellations == 0 {
            return Ok(());
        }
        let (lines, units) = (n(self.cancellation_lines), n(self.cancellation_units));
        write!(f, "\n{} cancellations with {lines} lines, {units} units:", n(self.cancellations))?;
        write!(f, "\n  {} orders cancelled, {} units", n(self.cancels), n(self.cancel_units))?;
        let (lines, units) = (n(self.return_lines), n(self.return_units));
        write!(f, "\n  {} returns with {lines} lines, {units} units", n(self.returns))?;
        for (left, why) in [(self.no_customer, "no customer"), (self.no_earlier_sale, "no earlier sale")] {
            write!(f, "\n  {} lines, {} units unmatched: {why}", n(left.lines), n(left.units))?;
        }
        Ok(())
    }
}

/// `number` with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_summary_leaves_out_what_did_not_occur() {
        let counts =
            Counts { rows: 3, sale_rows: 3, orders: 1, order_lines: 3, order_units: 7, ..Counts::default() };
        assert_eq!(counts.to_string(), "3 rows: 3 of sales\n1 orders with 3 lines, 7 units");
    }
}

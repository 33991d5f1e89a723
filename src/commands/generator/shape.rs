//! What the generated load looks like.

use super::draw::Quantiles;

/// The shape of a load. Durations are counted in orders placed; shares are in thousandths.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// How many SKUs there are; at least 1. About 50 bytes each.
    pub skus: u32,
    /// The exponent of Zipf's law by which popularity falls; 0 for all alike.
    pub zipf_exponent: f64,
    /// How many customers there are.
    pub customers: u32,
    /// Lines of an order. A SKU may be drawn twice.
    pub lines: Quantiles,
    /// Quantity of a line.
    pub quantity: Quantiles,
    /// Confirmed orders that are cancelled, once paid, in place of being shipped.
    pub cancel_permille: u32,
    /// Confirmed orders that are returned, in part or whole, once delivered (of those not cancelled).
    pub return_permille: u32,
    /// Orders that take what there is at a shortage.
    pub partial_permille: u32,
    /// Orders that wait at a shortage.
    pub backorder_permille: u32,
    /// Orders of which the first attempt to pay fails.
    pub pay_failed_permille: u32,
    /// Delivered orders that are reviewed (of those not returned).
    pub review_permille: u32,
    /// Places and pays that are sent a second time, unchanged.
    pub retry_permille: u32,
    /// Orders that meet a shortage, once settled; receipts are sized to come to this.
    pub shortage_permille: u32,
    /// From placing to paying, and from a failed attempt to the next: least and most.
    pub pay_after: (u64, u64),
    /// From paying to shipping, or to being cancelled.
    pub ship_after: (u64, u64),
    /// From shipping to delivery, and from delivery to a review.
    pub deliver_after: (u64, u64),
    /// From delivery to a return.
    pub return_after: (u64, u64),
    /// How often the shelves are filled up; at least 1.
    pub restock_every: u64,
    /// The most orders on their way. When it is reached, orders move on early. About 100 bytes each, and for those
    /// that will be cancelled or returned 16 more for each line.
    pub journeys_max: usize,
}

impl Default for Shape {
    /// A year of a British online shop.
    fn default() -> Self {
        Self {
            skus: 3_800,
            zipf_exponent: 0.64,
            customers: 4_300,
            lines: Quantiles::new([(0.0, 1), (0.5, 13), (0.9, 51), (0.99, 211), (1.0, 1_114)]),
            // The largest quantity of that year, 80,995, was a mistake, and cancelled at once.
            quantity: Quantiles::new([(0.0, 1), (0.5, 3), (0.9, 24), (0.99, 100), (1.0, 1_000)]),
            cancel_permille: 60,
            return_permille: 95,
            partial_permille: 100,
            backorder_permille: 100,
            pay_failed_permille: 20,
            review_permille: 100,
            retry_permille: 5,
            shortage_permille: 50,
            pay_after: (1, 20),
            ship_after: (50, 500),
            deliver_after: (200, 1_500),
            return_after: (100, 1_000),
            restock_every: 50,
            journeys_max: 10_000,
        }
    }
}

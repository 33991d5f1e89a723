//! The rows of the "Olist" data set, one order a row: real orders of Brazilian shops.
//!
//! Published on Kaggle by Olist and A. Sionek (CC BY-NC-SA 4.0). Expected is a CSV with the columns `order_id`, `purchase`,
//! `approved`, `carrier` (hand-over), `delivered`, `promised`, `ship_limit` (seconds since 1970; `promised` is the start of the
//! promised day, so the promise is kept until its end), `customer_state`, `customer_zip3`, `seller`, `seller_state`,
//! `seller_zip3`, `n_items`, `n_sellers`, `category`, `price_cents`, `freight_cents`, `weight_g`, `volume_cm3`, `dist_km`,
//! `pay_type`, `installments`, `review_score`, `review_created`; found by name, others are not read.
//!
//! Cancellations carry no time in it, so none are played: such orders stay open and never arrive.

use std::io::Read;

use super::history::{Past, cut};
use crate::commands::import::ImportError;
use crate::commands::import::table::{Column, Row, Table};

/// Which column becomes which attribute.
const ATTRIBUTES: [(&str, &str); 14] = [
    ("seller", "seller"),
    ("customer_state", "destination_region"),
    ("customer_zip3", "destination"),
    ("seller_state", "origin_region"),
    ("seller_zip3", "origin"),
    ("category", "category"),
    ("pay_type", "payment"),
    ("dist_km", "distance"),
    ("freight_cents", "freight"),
    ("weight_g", "weight"),
    ("volume_cm3", "volume"),
    ("n_items", "items"),
    ("n_sellers", "sellers"),
    ("installments", "installments"),
];

const DAY_MS: i64 = 86_400_000;

struct Columns {
    order_id: Column,
    purchase: Column,
    approved: Column,
    carrier: Column,
    delivered: Column,
    promised: Column,
    ship_limit: Column,
    price: Column,
    items: Column,
    review_score: Column,
    review_created: Column,
    attributes: Vec<(Column, &'static str)>,
}

/// Reads orders.
pub(super) fn read(read: impl Read) -> Result<Vec<Past>, ImportError> {
    let mut table = Table::open(read)?;
    let columns = Columns {
        order_id: table.required("order_id")?,
        purchase: table.required("purchase")?,
        approved: table.required("approved")?,
        carrier: table.required("carrier")?,
        delivered: table.required("delivered")?,
        promised: table.required("promised")?,
        ship_limit: table.required("ship_limit")?,
        price: table.required("price_cents")?,
        items: table.required("n_items")?,
        review_score: table.required("review_score")?,
        review_created: table.required("review_created")?,
        attributes: ATTRIBUTES
            .iter()
            .map(|(column, name)| Ok((table.required(column)?, *name)))
            .collect::<Result<_, ImportError>>()?,
    };
    let mut pasts = Vec::new();
    while let Some(row) = table.next()? {
        pasts.push(past(&row, &columns)?);
    }
    Ok(pasts)
}

fn past(row: &Row<'_>, columns: &Columns) -> Result<Past, ImportError> {
    let ms = |column| Ok(number(row, column)?.map(|seconds| seconds * 1_000));
    let score = number(row, columns.review_score)?.filter(|score| (1..=5).contains(score));
    let mut attributes = Vec::new();
    for (column, name) in &columns.attributes {
        let text = row.text(*column)?.trim();
        if !text.is_empty() {
            attributes.push(((*name).to_owned(), cut(text.strip_suffix(".0").unwrap_or(text))));
        }
    }
    Ok(Past {
        order_id: cut(row.text(columns.order_id)?),
        placed_ms: ms(columns.purchase)?.ok_or_else(|| row.wrong(columns.purchase, "empty"))?,
        paid_ms: ms(columns.approved)?,
        shipped_ms: ms(columns.carrier)?,
        delivered_ms: ms(columns.delivered)?,
        ship_by_ms: ms(columns.ship_limit)?,
        promised_by_ms: ms(columns.promised)?.map(|start| start + DAY_MS - 1),
        units: number(row, columns.items)?.unwrap_or(1),
        value_minor: number(row, columns.price)?,
        currency: "BRL".to_owned(),
        attributes,
        review: ms(columns.review_created)?.zip(score),
        ..Past::default()
    })
}

/// A whole number, which some columns write as `1.0`.
fn number(row: &Row<'_>, column: Column) -> Result<Option<i64>, ImportError> {
    let text = row.text(column)?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let whole = text.strip_suffix(".0").unwrap_or(text);
    let number: i64 = whole.parse().map_err(|_| row.wrong(column, "not a whole number"))?;
    if (0..=253_370_764_799).contains(&number) {
        Ok(Some(number))
    } else {
        Err(row.wrong(column, "out of bounds"))
    }
}

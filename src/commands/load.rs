//! Reading a CSV of stock and cutting it into receipts or counts.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::commands::import::open;
use crate::words::command::{Command, Count, Line, Receive};
use crate::words::hash::Hasher;
use crate::words::policy::{QUANTITY_LIMIT_MAX, SITE_DEFAULT};
use crate::words::text::is_id;

/// Lines per receipt or count.
const LINES_MAX: usize = 1_000;
/// Rows per file.
const ROWS_MAX: usize = 5_000_000;

/// What the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Quantities that arrived: rows of one SKU are summed.
    Receive,
    /// Quantities that were counted: each SKU once.
    Count,
}

/// Stock by site, then by SKU.
type Sites = BTreeMap<String, BTreeMap<String, i64>>;

/// Reads a CSV with a header `sku,quantity[,site]`.
pub(super) fn read(path: &Path, kind: Kind) -> anyhow::Result<Sites> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(open(path)?);
    let headers = reader.headers().context("the header cannot be read")?.clone();
    if let Some(unknown) = headers.iter().find(|name| !["sku", "quantity", "site"].contains(name)) {
        let shown: String = unknown.chars().take(64).collect();
        bail!("the header has an unknown column {shown:?}: sku, quantity and site are known");
    }
    let column = |name: &str| headers.iter().position(|header| header == name);
    let sku_column = column("sku").context("the header has no column `sku`")?;
    let quantity_column = column("quantity").context("the header has no column `quantity`")?;
    let site_column = column("site");
    let mut sites = Sites::new();
    let least = i64::from(kind == Kind::Receive);
    for (row, record) in reader.records().enumerate() {
        if row == ROWS_MAX {
            bail!("more than {ROWS_MAX} rows");
        }
        // The reader's own errors name the line.
        let record = record?;
        // Not the row's number: blank lines are passed over, and a quoted field may hold line ends.
        let line = record.position().map_or(0, csv::Position::line);
        let field = |column: usize| record.get(column).unwrap_or_default();
        let site = site_column.map(field).filter(|site| !site.is_empty()).unwrap_or(SITE_DEFAULT);
        let sku = field(sku_column);
        if !is_id(sku) || !is_id(site) {
            bail!("line {line}: SKUs and sites are 1 to 64 bytes without control characters");
        }
        let quantity: i64 = field(quantity_column)
            .parse()
            .with_context(|| format!("line {line}: the quantity is no whole number"))?;
        let skus = sites.entry(site.to_owned()).or_default();
        if kind == Kind::Count && skus.contains_key(sku) {
            bail!("line {line}: {sku:?} is counted twice");
        }
        let sum = skus.entry(sku.to_owned()).or_default();
        *sum = sum.saturating_add(quantity);
        if !(least..=QUANTITY_LIMIT_MAX).contains(&quantity) || *sum > QUANTITY_LIMIT_MAX {
            bail!("line {line}: quantities are {least} to {QUANTITY_LIMIT_MAX}");
        }
    }
    anyhow::ensure!(!sites.is_empty(), "no rows");
    Ok(sites)
}

/// Cuts one site's stock into commands. Their ids come from `id` and their content, so that the same file sent again is
/// answered as a duplicate, part by part.
pub(super) fn commands(
    kind: Kind,
    id: &str,
    site: &str,
    skus: &BTreeMap<String, i64>,
) -> Vec<Command<'static>> {
    let lines: Vec<_> =
        skus.iter().map(|(sku, quantity)| Line { sku: sku.clone().into(), quantity: *quantity }).collect();
    lines
        .chunks(LINES_MAX)
        .map(|lines| {
            let mut content = Hasher::new();
            content.text(site);
            for line in lines {
                content.text(&line.sku).signed(line.quantity);
            }
            let id = format!("{id}-{:016x}", content.finish());
            let site = Some(site.to_owned().into());
            let lines = lines.to_vec();
            match kind {
                Kind::Receive => {
                    Command::Receive(Receive { receipt_id: id.into(), site, lines, occurred_at: None })
                }
                Kind::Count => Command::Count(Count { count_id: id.into(), site, lines, occurred_at: None }),
            }
        })
        .collect()
}

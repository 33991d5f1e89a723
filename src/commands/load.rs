//! Reading a CSV of stock and cutting it into receipts or counts.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use anyhow::bail;

use crate::commands::import::table::{Column, Table, bad_column};
use crate::commands::import::{ImportError, open};
use crate::words::command::{Command, Count, Line, Receive};
use crate::words::hash::hash;
use crate::words::policy::{QUANTITY_LIMIT_MAX, SITE_DEFAULT};
use crate::words::text::is_id;

/// Lines per receipt or count.
const LINES_MAX: usize = 1_000;
/// Rows per file.
const ROWS_MAX: usize = 5_000_000;
/// The columns' names.
const COLUMNS: [&str; 3] = ["sku", "quantity", "site"];

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
    parse(open(path)?, kind)
}

fn parse(read: impl Read, kind: Kind) -> anyhow::Result<Sites> {
    let mut table = Table::open(read)?;
    let [sku_column, quantity_column, site_column] = columns(table.header())?;
    let sku_column = sku_column.ok_or(ImportError::MissingColumn("sku"))?;
    let quantity_column = quantity_column.ok_or(ImportError::MissingColumn("quantity"))?;
    let mut sites = Sites::new();
    let mut rows = 0;
    let least = i64::from(kind == Kind::Receive);
    while let Some(row) = table.next()? {
        if rows == ROWS_MAX {
            bail!("line {}: more than {ROWS_MAX} rows", row.line());
        }
        rows += 1;
        let text = |column: Column| row.text(column).map(str::trim);
        let site = site_column.map(text).transpose()?.filter(|site| !site.is_empty()).unwrap_or(SITE_DEFAULT);
        let sku = text(sku_column)?;
        if !is_id(sku) || !is_id(site) {
            bail!("line {}: SKUs and sites are 1 to 64 bytes without control characters", row.line());
        }
        let quantity: i64 =
            text(quantity_column)?.parse().map_err(|_| row.wrong(quantity_column, "not a whole number"))?;
        let skus = sites.entry(site.to_owned()).or_default();
        if kind == Kind::Count && skus.contains_key(sku) {
            bail!("line {}: {sku:?} is counted twice", row.line());
        }
        let sum = skus.entry(sku.to_owned()).or_default();
        *sum = sum.saturating_add(quantity);
        if !(least..=QUANTITY_LIMIT_MAX).contains(&quantity) || *sum > QUANTITY_LIMIT_MAX {
            bail!("line {}: quantities are {least} to {QUANTITY_LIMIT_MAX}", row.line());
        }
    }
    anyhow::ensure!(!sites.is_empty(), "no rows");
    Ok(sites)
}

/// The columns that there may be, in the order of [`COLUMNS`].
fn columns(header: &[String]) -> Result<[Option<Column>; COLUMNS.len()], ImportError> {
    let mut columns = [None; COLUMNS.len()];
    for (index, name) in header.iter().enumerate() {
        let Some(known) = COLUMNS.iter().position(|known| *known == name.trim()) else {
            return Err(bad_column(name, "not known: sku, quantity and site are"));
        };
        if columns[known].replace(Column::at(index, COLUMNS[known])).is_some() {
            return Err(bad_column(name, "stands there twice"));
        }
    }
    Ok(columns)
}

/// Cuts one site's stock into commands. Their ids come from `id`, the site, and the part's number: the same file sent
/// again is answered as a duplicate, part by part, while in a file that was changed since, the first part that differs
/// is refused. Parts behind that one must not be sent: a row more or less has moved what they hold.
pub(super) fn commands(
    kind: Kind,
    id: &str,
    site: &str,
    skus: &BTreeMap<String, i64>,
) -> Vec<Command<'static>> {
    let site_hash = format!("{:016x}", hash(site.as_bytes()));
    let lines: Vec<_> =
        skus.iter().map(|(sku, quantity)| Line { sku: sku.clone().into(), quantity: *quantity }).collect();
    lines
        .chunks(LINES_MAX)
        .zip(1..)
        .map(|(lines, part)| {
            let id = format!("{id}-{}-{part}", &site_hash[..8]);
            let site = Some(site.to_owned().into());
            let lines = lines.to_vec();
            match kind {
                Kind::Receive => {
                    Command::Receive(Receive { receipt_id: id.into(), site, lines, occurred_at: None })
                }
                Kind::Count => {
                    let lines = lines.into_iter().map(Into::into).collect();
                    Command::Count(Count { count_id: id.into(), site, lines, occurred_at: None })
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_around_fields_are_no_part_of_them() {
        let sites = parse(&b" site , sku,quantity \n, A , 2\nnorth,B,3\n"[..], Kind::Receive).unwrap();
        assert_eq!(sites[SITE_DEFAULT]["A"], 2);
        assert_eq!(sites["north"]["B"], 3);
        let error = parse(&b"sku,quantity, sku\n"[..], Kind::Receive).unwrap_err().to_string();
        assert_eq!(error, "line 1: column \" sku\": stands there twice");
    }

    #[test]
    fn a_record_is_bounded() {
        let open = format!("sku,quantity\nA,1\n\"{}", "never closed\n".repeat(100_000));
        let error = parse(open.as_bytes(), Kind::Receive).unwrap_err().to_string();
        assert_eq!(error, "line 3: a record longer than 65536 bytes; is a quote left open?");
    }

    #[test]
    fn ids_go_by_part_whatever_it_holds() {
        let ids = |site: &str, quantity: i64| -> Vec<String> {
            let skus = (0..1_001).map(|number| (format!("S-{number}"), quantity)).collect();
            let id = |command| match command {
                Command::Receive(receive) => receive.receipt_id.into_owned(),
                other => panic!("{other:?}"),
            };
            commands(Kind::Receive, "load", site, &skus).into_iter().map(id).collect()
        };
        let of_main = ids("main", 1);
        assert_eq!(of_main, ids("main", 2));
        assert!(of_main[0].ends_with("-1") && of_main[1].ends_with("-2"), "{of_main:?}");
        assert!(
            of_main.iter().all(|id| id.len() == "load-12345678-1".len() && !ids("north", 1).contains(id))
        );
    }
}

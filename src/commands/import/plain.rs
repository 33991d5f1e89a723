//! Weir's own CSV of orders, for shops that can write one.
//!
//! One row is one line of an order. Rows of one order need not be adjacent; orders are placed in the order in which
//! they first appear. Columns are found by name and stand in any order:
//!
//! | column | |
//! |---|---|
//! | `order_id` | required; the shop's id of the order |
//! | `sku`, `quantity` | required; a quantity from 1 to 1,000,000,000 |
//! | `site` | where the stock is taken from; else as the [`Options`] say |
//! | `on_shortage` | `refuse`, `partial` or `backorder`; else as the [`Options`] say |
//! | `submitted_at`, `ship_by`, `promised_by` | RFC 3339, as `2026-11-22T03:00:00Z` |
//! | `carrier`, `customer` | ids; a customer is an opaque reference, never personal data |
//! | `value_minor`, `currency` | both or neither: the order's value in cents or pence, and the ISO 4217 code |
//! | `attributes.NAME` | the attribute NAME; at most 16 such columns |
//!
//! Everything but `sku` and `quantity` belongs to the order, not the line: it may stand in one row of the order, or
//! in several that agree. An empty field says nothing. Ids are 1 to 64 bytes of UTF-8 without control characters.
//!
//! A file that is not so is refused whole, with the line: an unknown column may be a misspelt one, and half an
//! import is worse than none. Only `place` commands come of it; stock, payments and shipments arrive otherwise.

use std::collections::BTreeMap;
use std::io::Read;

use super::table::{Column, Row, Table};
use super::{Counts, ImportError, Options, Plan};
use crate::words::command::{ATTRIBUTES_MAX, Command, ELEMENTS_MAX, Line, Money, OnShortage, Place};
use crate::words::policy::{QUANTITY_LIMIT_MAX, STOCK_MAX};
use crate::words::text::{Text, is_id};
use crate::words::timestamp::Timestamp;

/// The columns that belong to an order, other than attributes.
const OPTIONAL: [&str; 9] = [
    "site",
    "on_shortage",
    "submitted_at",
    "ship_by",
    "promised_by",
    "carrier",
    "customer",
    "value_minor",
    "currency",
];

const ATTRIBUTE_PREFIX: &str = "attributes.";

struct Columns {
    order_id: Column,
    sku: Column,
    quantity: Column,
    /// In the order of [`OPTIONAL`].
    optional: [Option<Column>; OPTIONAL.len()],
    attributes: Vec<(String, Column)>,
}

/// An order so far.
#[derive(Default)]
struct Draft {
    place: Place<'static>,
    on_shortage: Option<OnShortage>,
    minor: Option<i64>,
    currency: Option<Text<'static>>,
    /// The line it first appeared on, for the one error that is known only at the end.
    line: u64,
}

/// Reads Weir's own CSV. The module's own words say how it looks.
pub fn plain(read: impl Read, options: &Options) -> Result<Plan<'static>, ImportError> {
    let mut table = Table::open(read)?;
    let columns = columns(&table)?;
    let mut rows = 0;
    let mut drafts: Vec<Draft> = Vec::new();
    let mut by_id: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(row) = table.next()? {
        let order_id = row.id(columns.order_id)?;
        let index = if let Some(&index) = by_id.get(order_id) {
            index
        } else {
            by_id.insert(order_id.to_owned(), drafts.len());
            let place = Place { order_id: order_id.to_owned().into(), ..Place::default() };
            drafts.push(Draft { place, line: row.line(), ..Draft::default() });
            drafts.len() - 1
        };
        let draft = &mut drafts[index];
        if draft.place.lines.len() == ELEMENTS_MAX {
            return Err(row.wrong(columns.order_id, "more than 10,000 rows of one order"));
        }
        let quantity = row.integer(columns.quantity, 1, QUANTITY_LIMIT_MAX)?;
        let sku = row.id(columns.sku)?.to_owned().into();
        draft.place.lines.push(Line { sku, quantity }.into());
        draft.add(&row, &columns)?;
        rows += 1;
    }
    let commands = drafts.into_iter().map(|draft| draft.finish(options)).collect::<Result<Vec<_>, _>>()?;
    Ok(Plan { counts: Counts::of(&commands, rows), commands })
}

fn columns<R: Read>(table: &Table<R>) -> Result<Columns, ImportError> {
    let columns = Columns {
        order_id: table.required("order_id")?,
        sku: table.required("sku")?,
        quantity: table.required("quantity")?,
        optional: OPTIONAL.map(|name| table.column(name)),
        attributes: Vec::new(),
    };
    let mut attributes = Vec::new();
    for (index, name) in table.header().iter().enumerate() {
        if let Some(name) = name.strip_prefix(ATTRIBUTE_PREFIX) {
            if !is_id(name) {
                return Err(super::table::bad_column(name, "the attribute's name is not a valid id"));
            }
            if attributes.len() == ATTRIBUTES_MAX {
                return Err(super::table::bad_column(name, "more than 16 attributes"));
            }
            attributes.push((name.to_owned(), Column::at(index, "attributes")));
        } else if !["order_id", "sku", "quantity"].contains(&name.as_str())
            && !OPTIONAL.contains(&name.as_str())
        {
            return Err(super::table::bad_column(name, "not known"));
        }
    }
    Ok(Columns { attributes, ..columns })
}

impl Draft {
    /// Adds what `row` says of the order.
    fn add(&mut self, row: &Row<'_>, columns: &Columns) -> Result<(), ImportError> {
        let [site, on_shortage, submitted_at, ship_by, promised_by, carrier, customer, minor, currency] =
            columns.optional;
        let place = &mut self.place;
        for (column, to) in [
            (site, &mut place.site),
            (carrier, &mut place.carrier),
            (customer, &mut place.customer),
            (currency, &mut self.currency),
        ] {
            agree(
                row,
                column,
                to,
                |text| if is_id(text) { Ok(text.to_owned().into()) } else { Err(NOT_AN_ID) },
            )?;
        }
        for (column, to) in [
            (submitted_at, &mut place.submitted_at),
            (ship_by, &mut place.ship_by),
            (promised_by, &mut place.promised_by),
        ] {
            agree(row, column, to, |text| {
                text.parse::<Timestamp>().map_err(|_| "no RFC 3339 time from 1970 on")
            })?;
        }
        agree(row, on_shortage, &mut self.on_shortage, |text| match text {
            "refuse" => Ok(OnShortage::Refuse),
            "partial" => Ok(OnShortage::Partial),
            "backorder" => Ok(OnShortage::Backorder),
            _ => Err("neither refuse nor partial nor backorder"),
        })?;
        agree(row, minor, &mut self.minor, |text| {
            let minor = text.parse().ok().filter(|minor| (0..=STOCK_MAX).contains(minor));
            minor.ok_or("not a whole number from 0 to 2^53 - 1")
        })?;
        for (name, column) in &columns.attributes {
            let at = place.attributes.0.iter().position(|(key, _)| key == name);
            let mut value = at.map(|at| place.attributes.0[at].1.clone());
            agree(row, Some(*column), &mut value, |text| {
                if is_id(text) { Ok(text.to_owned().into()) } else { Err(NOT_AN_ID) }
            })?;
            if let (None, Some(value)) = (at, value) {
                place.attributes.0.push((name.clone().into(), value));
            }
        }
        Ok(())
    }

    fn finish(self, options: &Options) -> Result<Command<'static>, ImportError> {
        let mut place = self.place;
        place.on_shortage = self.on_shortage.unwrap_or(options.on_shortage);
        place.site = place.site.or_else(|| options.site.clone().map(Into::into));
        place.value = match (self.minor, self.currency) {
            (Some(minor), Some(currency)) => Some(Money { minor, currency }),
            (None, None) => None,
            (minor, _) => {
                return Err(ImportError::Field {
                    line: self.line,
                    column: if minor.is_some() { "currency" } else { "value_minor" },
                    problem: "missing, where value_minor and currency go together; order",
                    found: format!("{:?}", place.order_id),
                });
            }
        };
        Ok(Command::Place(place))
    }
}

const NOT_AN_ID: &str = "not 1 to 64 bytes without control characters";

/// Reads `column` into `to`, unless it is absent or empty; what stands in `to` already must be the same.
fn agree<T: PartialEq>(
    row: &Row<'_>,
    column: Option<Column>,
    to: &mut Option<T>,
    parse: impl FnOnce(&str) -> Result<T, &'static str>,
) -> Result<(), ImportError> {
    let Some(column) = column else { return Ok(()) };
    let text = row.text(column)?;
    if text.is_empty() {
        return Ok(());
    }
    let value = parse(text).map_err(|problem| row.wrong(column, problem))?;
    match to {
        Some(known) if *known != value => {
            Err(row.wrong(column, "differs from an earlier row of the same order"))
        }
        _ => {
            *to = Some(value);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::command::Attributes;

    fn places(csv: &str) -> Result<Vec<Place<'static>>, ImportError> {
        let options = Options { site: Some("south".to_owned()), ..Options::default() };
        let plan = plain(csv.as_bytes(), &options)?;
        assert_eq!(plan.counts.orders, plan.commands.len() as u64);
        let place = |command| if let Command::Place(place) = command { place } else { panic!("{command:?}") };
        Ok(plan.commands.into_iter().map(place).collect())
    }

    fn error(csv: &str) -> String {
        places(csv).unwrap_err().to_string()
    }

    #[test]
    fn rows_are_grouped_by_order_in_order_of_first_appearance() {
        let places = places("order_id,sku,quantity\nb,x,1\na,y,2\nb,x,3\n").unwrap();
        assert_eq!(places.iter().map(|place| &*place.order_id).collect::<Vec<_>>(), ["b", "a"]);
        let lines: Vec<_> = places[0].lines.iter().map(|line| (&*line.sku, line.quantity)).collect();
        assert_eq!(lines, [("x", 1), ("x", 3)]);
        assert_eq!(places[0].site.as_deref(), Some("south"));
    }

    #[test]
    fn what_belongs_to_the_order_may_stand_in_any_of_its_rows() {
        let csv = "quantity,sku,order_id,site,on_shortage,promised_by,customer,value_minor,currency,attributes.gift\n\
                   1,x,a,,,,,,,\n\
                   2,y,a,north,backorder,2026-11-22T03:00:00Z,c1,995,EUR,yes\n\
                   3,z,a,north,backorder,2026-11-22T03:00:00Z,c1,995,EUR,yes\n";
        let places = places(csv).unwrap();
        let expected = Place {
            order_id: "a".into(),
            site: Some("north".into()),
            lines: [("x", 1), ("y", 2), ("z", 3)]
                .map(|(sku, quantity)| Line { sku: sku.into(), quantity }.into())
                .to_vec(),
            on_shortage: OnShortage::Backorder,
            promised_by: Some("2026-11-22T03:00:00Z".parse().unwrap()),
            customer: Some("c1".into()),
            value: Some(Money { minor: 995, currency: "EUR".into() }),
            attributes: Attributes(vec![("gift".into(), "yes".into())]),
            ..Place::default()
        };
        assert_eq!(places, [expected]);
    }

    #[test]
    fn rows_that_disagree_are_refused() {
        let text = error("order_id,sku,quantity,site\na,x,1,north\na,y,1,south\n");
        assert_eq!(text, "line 3: site: differs from an earlier row of the same order: \"south\"");
        let text = error("order_id,sku,quantity,attributes.k\na,x,1,one\na,y,1,two\n");
        assert_eq!(text, "line 3: attributes: differs from an earlier row of the same order: \"two\"");
    }

    #[test]
    fn what_is_unknown_or_wrong_is_refused_with_its_line() {
        let head = "order_id,sku,quantity";
        for (csv, text) in [
            ("sku,quantity\n".to_owned(), "line 1: the header has no column `order_id`"),
            (format!("{head},onshortage\n"), "line 1: column \"onshortage\": not known"),
            (format!("{head},attributes.\n"), "line 1: column \"\": the attribute's name is not a valid id"),
            (format!("{head}\na,x,0\n"), "line 2: quantity: out of bounds: \"0\""),
            (format!("{head}\na,x,1.5\n"), "line 2: quantity: not a whole number: \"1.5\""),
            (format!("{head}\n,x,1\n"), "line 2: order_id: empty: \"\""),
            (format!("{head}\na,,1\n"), "line 2: sku: empty: \"\""),
            (
                format!("{head},ship_by\na,x,1,soon\n"),
                "line 2: ship_by: no RFC 3339 time from 1970 on: \"soon\"",
            ),
            (
                format!("{head},on_shortage\na,x,1,wait\n"),
                "line 2: on_shortage: neither refuse nor partial nor backorder: \"wait\"",
            ),
            (
                format!("{head},value_minor\na,x,1,5\n"),
                "line 2: currency: missing, where value_minor and currency go together; order: \"a\"",
            ),
        ] {
            assert_eq!(error(&csv), text);
        }
        let many: Vec<_> = (0..17).map(|n| format!("attributes.{n}")).collect();
        assert_eq!(
            error(&format!("{head},{}\n", many.join(","))),
            "line 1: column \"16\": more than 16 attributes"
        );
    }
}

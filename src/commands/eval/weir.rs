//! Weir's own CSV of past orders, one order a row, for shops that can write one. Columns are found by name and stand in any order:
//!
//! | column | |
//! |---|---|
//! | `order_id`, `placed` | required |
//! | `paid`, `shipped`, `delivered`, `cancelled` | when that happened; empty where it did not, or is not known |
//! | `ship_by`, `promised_by` | until when the order was promised to leave, and to arrive |
//! | `site`, `carrier` | where it left, and with whom |
//! | `value` | what it was worth, as a decimal number of the major unit |
//!
//! Any further column is an attribute, of which the first 16 are used. Times are RFC 3339 (`2026-11-22T03:00:00Z`), dates
//! (`2026-11-22`), dates with a time (`2026-11-22 03:00:00`, taken as UTC) or seconds since 1970. `ship_by` and `promised_by` as
//! a date mean the end of that day, anything else its start. Names are cut to 64 bytes, control characters left out. Sites
//! beyond the 999th are not told apart.

use std::io::Read;

use super::history::{Past, cut};
use crate::commands::import::ImportError;
use crate::commands::import::table::{Column, Row, Table};
use crate::words::command::ATTRIBUTES_MAX;
use crate::words::timestamp::Timestamp;

const DAY_MS: i64 = 86_400_000;

const OWN: [&str; 11] = [
    "order_id",
    "placed",
    "paid",
    "shipped",
    "delivered",
    "cancelled",
    "ship_by",
    "promised_by",
    "site",
    "carrier",
    "value",
];

/// Reads orders, and names the columns that are not used.
pub(super) fn read(read: impl Read) -> Result<(Vec<Past>, Vec<String>), ImportError> {
    let mut table = Table::open(read)?;
    table.required("order_id")?;
    table.required("placed")?;
    let own = OWN.map(|name| table.column(name));
    let mut attributes = Vec::new();
    let mut notes = Vec::new();
    for (index, name) in table.header().iter().enumerate() {
        if OWN.contains(&name.as_str()) || name.is_empty() {
            continue;
        }
        if attributes.len() == ATTRIBUTES_MAX {
            notes.push(format!("column {:?} is not used: there are 16 attributes before it", cut(name)));
        } else {
            attributes.push((Column::at(index, "attribute"), cut(name)));
        }
    }
    let mut pasts = Vec::new();
    while let Some(row) = table.next()? {
        pasts.push(past(&row, &own, &attributes)?);
    }
    Ok((pasts, notes))
}

fn past(
    row: &Row<'_>,
    own: &[Option<Column>; OWN.len()],
    attributes: &[(Column, String)],
) -> Result<Past, ImportError> {
    let text = |place: usize| own[place].map_or(Ok(""), |column| row.text(column).map(str::trim));
    let time = |place: usize, end_of_day: bool| match (text(place)?, own[place]) {
        ("", _) | (_, None) => Ok(None),
        (text, Some(column)) => match time(text, end_of_day) {
            Some(ms) => Ok(Some(ms)),
            None => Err(row.wrong(column, "not a time between 1970 and 9998")),
        },
    };
    let missing =
        |place: usize| own[place].map_or(ImportError::MissingColumn(OWN[place]), |it| row.wrong(it, "empty"));
    let order_id = cut(text(0)?);
    if order_id.is_empty() {
        return Err(missing(0));
    }
    let value_minor = match (text(10)?, own[10]) {
        ("", _) | (_, None) => None,
        (text, Some(column)) => {
            let value: f64 = text.parse().map_err(|_| row.wrong(column, "not a number"))?;
            #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
            let minor = (value.clamp(-1e12, 1e12) * 100.0).round() as i64;
            (value.is_finite() && minor >= 0).then_some(minor)
        }
    };
    let mut named = Vec::with_capacity(attributes.len());
    for (column, name) in attributes {
        let value = cut(row.text(*column)?.trim());
        if !value.is_empty() {
            named.push((name.clone(), value));
        }
    }
    Ok(Past {
        order_id,
        placed_ms: time(1, false)?.ok_or_else(|| missing(1))?,
        paid_ms: time(2, false)?,
        shipped_ms: time(3, false)?,
        delivered_ms: time(4, false)?,
        cancelled_ms: time(5, false)?,
        ship_by_ms: time(6, true)?,
        promised_by_ms: time(7, true)?,
        site: cut(text(8)?),
        carrier: cut(text(9)?),
        units: 1,
        value_minor,
        currency: "XXX".to_owned(),
        attributes: named,
        review: None,
    })
}

/// A point in time, in milliseconds since 1970.
pub(super) fn time(text: &str, end_of_day: bool) -> Option<i64> {
    let ms = if let Ok(time) = text.parse::<Timestamp>() {
        time.millis()
    } else if let Ok(date) = text.parse::<jiff::civil::Date>()
        && text.len() <= 10
    {
        let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
        if end_of_day { start + DAY_MS - 1 } else { start }
    } else if let Ok(time) = text.parse::<jiff::civil::DateTime>() {
        time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond()
    } else {
        let seconds =
            text.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && seconds.abs() < 1e12)?;
        #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
        let ms = (seconds * 1_000.0).round() as i64;
        ms
    };
    (0..=Timestamp::MAX.millis()).contains(&ms).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_shops_write_them() {
        let noon = 1_795_348_800_000;
        for text in ["2026-11-22T12:00:00Z", "2026-11-22 12:00:00", "1795348800", "1795348800.0"] {
            assert_eq!(time(text, true), Some(noon), "{text}");
        }
        assert_eq!(time("2026-11-22", false), Some(noon - DAY_MS / 2));
        assert_eq!(time("2026-11-22", true), Some(noon + DAY_MS / 2 - 1));
        for text in ["", "x", "-5", "1969-12-31", "99999999999999", "NaN", "22.11.2026"] {
            assert_eq!(time(text, false), None, "{text}");
        }
    }

    #[test]
    fn a_row_by_its_columns() {
        let csv = "colour,placed,order_id,promised_by,value,delivered\nred,2026-11-22,O-1,2026-11-25,12.5,\n";
        let (pasts, notes) = read(csv.as_bytes()).unwrap();
        let past = &pasts[0];
        assert_eq!((past.order_id.as_str(), past.value_minor, past.delivered_ms), ("O-1", Some(1_250), None));
        assert_eq!(past.attributes, [("colour".to_owned(), "red".to_owned())]);
        assert!(notes.is_empty());
        assert!(read("order_id,placed\nO-1,\n".as_bytes()).is_err());
        assert!(read("order_id\nO-1\n".as_bytes()).is_err());
    }
}

//! A report as tables, CSV or JSON.

use std::fmt::Write as _;
use std::io::Write;

use serde_json::{Map, Value, json};

use super::answered::Answered;
use super::gather::{Count, Gathered, Way};
use crate::folds::analytics::{BOUND_US, DAYS, OBJECTIVE, Objective};

/// Rows of a table of SKUs, reasons, sites or carriers: those with the most.
const ROWS_MAX: usize = 25;

/// What was looked at.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) shard: String,
    pub(super) since_ms: i64,
    pub(super) until_ms: i64,
    pub(super) time_zone: String,
    /// The snapshot that the fold began with; none where the log is whole.
    pub(super) from: Option<String>,
    pub(super) first_sequence: u64,
    pub(super) last_sequence: u64,
    /// When the first message was stored that is still there.
    pub(super) first_ms: Option<i64>,
}

/// A table: its name, the names of its columns, and its rows.
struct Table {
    name: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

/// A report.
pub(super) struct Report {
    head: Vec<(&'static str, Value)>,
    notes: Vec<String>,
    tables: Vec<Table>,
}

fn time(ms: i64) -> Value {
    jiff::Timestamp::from_millisecond(ms).map_or(Value::Null, |at| at.to_string().into())
}

#[expect(clippy::cast_precision_loss, reason = "a share of counts far below 2^53")]
fn share(part: u64, of: u64) -> Value {
    if of == 0 { Value::Null } else { rounded(part as f64 / of as f64) }
}

fn rounded(value: f64) -> Value {
    json!((value * 1e4).round() / 1e4)
}

/// The rows with the most, by what `key` says.
fn most<T>(mut rows: Vec<T>, key: impl Fn(&T) -> u64) -> Vec<T> {
    rows.sort_by_key(|row| std::cmp::Reverse(key(row)));
    rows.truncate(ROWS_MAX);
    rows
}

fn counts<'a>(
    name: &'static str,
    of: &'static str,
    rows: impl Iterator<Item = (&'a str, &'a Count)>,
) -> Table {
    let rows = most(rows.collect(), |(_, count)| count.orders.max(count.units));
    let row = |(name, count): (&str, &Count)| {
        vec![json!(name), json!(count.orders), json!(count.units), json!(count.value_minor)]
    };
    Table {
        name,
        columns: vec![of, "orders", "units", "value_minor"],
        rows: rows.into_iter().map(row).collect(),
    }
}

fn ways<'a>(name: &'static str, of: &'static str, rows: impl Iterator<Item = (&'a str, &'a Way)>) -> Table {
    let mut columns = vec![of, "delivered", "late_share"];
    columns.extend([
        "placed_to_paid_h_p50",
        "placed_to_paid_h_p90",
        "paid_to_shipped_h_p50",
        "paid_to_shipped_h_p90",
        "shipped_to_delivered_h_p50",
        "shipped_to_delivered_h_p90",
    ]);
    let row = |(name, way): (&str, &Way)| {
        let mut row = vec![json!(name), json!(way.delivered), share(way.late, way.promised)];
        for quantiles in &way.between {
            let hours = |quantile| quantiles.quantile(quantile).map(|ms| rounded(ms / 3_600_000.0));
            row.extend([0.5, 0.9].map(|quantile| hours(quantile).unwrap_or(Value::Null)));
        }
        row
    };
    let rows = most(rows.collect(), |(_, way)| way.delivered);
    Table { name, columns, rows: rows.into_iter().map(row).collect() }
}

/// Puts a report together.
pub(super) fn report(seen: &Seen, gathered: &Gathered, answered: &Answered) -> Report {
    let Gathered { accepted, cancelled, all, span_ms, .. } = gathered;
    let refused: u64 = gathered.refusals.values().map(|count| count.orders).sum();
    let head = vec![
        ("shard", json!(seen.shard)),
        ("since", time(seen.since_ms)),
        ("until", time(seen.until_ms)),
        ("time_zone", json!(seen.time_zone)),
        ("log_from", seen.first_ms.map_or(Value::Null, time)),
        ("first_sequence", json!(seen.first_sequence)),
        ("last_sequence", json!(seen.last_sequence)),
        ("snapshot", json!(seen.from)),
        ("records", json!(gathered.records)),
        ("first_record", span_ms.map_or(Value::Null, |(first, _)| time(first))),
        ("last_record", span_ms.map_or(Value::Null, |(_, last)| time(last))),
        ("accepted", json!(accepted.orders)),
        ("accepted_value_minor", json!(accepted.value_minor)),
        ("refused", json!(refused)),
        ("cancelled", json!(cancelled.orders)),
        ("cancelled_share", share(cancelled.orders, accepted.orders)),
        ("cancelled_value_minor", json!(cancelled.value_minor)),
        ("delivered", json!(all.delivered)),
        ("late_share", share(all.late, all.promised)),
    ];
    let mut notes = vec![
        "Values are in minor units, summed over currencies as they stand. Times between states are right within 5%.".to_owned(),
        "The objective is told by when commands were stored and their outcomes announced. How long they waited at a door before, and what doors \
         answered busy or unavailable, is in the metrics weir_slo_* alone."
            .to_owned(),
    ];
    if answered.unknown > 0 {
        notes.push(format!(
            "When {} outcomes were announced is not known any more: the objective is told without them.",
            answered.unknown
        ));
    }
    if seen.from.is_some() && seen.first_ms.is_none_or(|first| first > seen.since_ms) {
        notes.push(
            "The log begins later than was asked for: what came before is not in here. log.keep_for_hours keeps more.".to_owned(),
        );
    }
    if seen.from.is_some() {
        notes.push(
            "Orders placed before the log begins are not known: of them, neither times nor values."
                .to_owned(),
        );
    }
    if gathered.not_followed > 0 {
        notes.push(format!("{} orders were too many to be followed.", gathered.not_followed));
    }
    let mut tables = tables(gathered);
    tables.insert(0, objective(answered));
    Report { head, notes, tables }
}

fn objective(answered: &Answered) -> Table {
    let mut kept = Objective::new(OBJECTIVE, DAYS);
    kept.add(0, answered.good, answered.all());
    let share = kept.attained().map_or(Value::Null, |share| json!((share * 1e6).round() / 1e6));
    let columns = vec!["objective", "outcomes", "good", "late", "busy", "share", "asked_for", "budget_left"];
    let row = vec![
        json!(format!("{} ms", BOUND_US / 1_000)),
        json!(answered.all()),
        json!(answered.good),
        json!(answered.late),
        json!(answered.busy),
        share,
        json!(OBJECTIVE),
        rounded(kept.budget_left()),
    ];
    Table { name: "objective", columns, rows: vec![row] }
}

fn tables(gathered: &Gathered) -> Vec<Table> {
    let days = gathered.days.iter().map(|(date, day)| {
        vec![
            json!(date.to_string()),
            json!(day.accepted),
            json!(day.refused),
            json!(day.cancelled),
            json!(day.shipped),
            json!(day.delivered),
            json!(day.late),
        ]
    });
    let topics = gathered.topics.iter().map(|(topic, (reviews, stars, complaints))| {
        vec![json!(topic), json!(reviews), share(*stars, *reviews), json!(complaints)]
    });
    let failures = gathered.failures.iter().map(|(reason, count)| vec![json!(reason), json!(count)]);
    let all = std::iter::once(("all", &gathered.all));
    let sku = |(place, count): (&u32, &Count)| (gathered.sku_name(*place).to_owned(), *count);
    let by_sku: Vec<(String, Count)> = gathered.cancelled_by_sku.iter().map(sku).collect();
    let lacking: Vec<(String, Count)> = gathered.lacking.iter().map(sku).collect();
    let named = |rows: &'_ [(String, Count)]| -> Vec<(String, Count)> {
        let mut rows = rows.to_vec();
        rows.sort_by(|left, right| left.0.cmp(&right.0));
        rows
    };
    let (by_sku, lacking) = (named(&by_sku), named(&lacking));
    let pairs = |rows: &'static str, of: &'static str, list: &[(String, Count)]| {
        counts(rows, of, list.iter().map(|(name, count)| (name.as_str(), count)))
    };
    vec![
        Table {
            name: "days",
            columns: vec!["day", "accepted", "refused", "cancelled", "shipped", "delivered", "late"],
            rows: days.collect(),
        },
        counts("cancelled_by_reason", "reason", gathered.by_reason.iter()),
        counts("cancelled_by_party", "party", gathered.by_party.iter()),
        counts("cancelled_by_carrier", "carrier", gathered.cancelled_by_carrier.iter()),
        pairs("cancelled_by_sku", "sku", &by_sku),
        counts(
            "refused_by_reason",
            "reason",
            gathered.refusals.iter().map(|(reason, count)| (*reason, count)),
        ),
        pairs("lacking_by_sku", "sku", &lacking),
        Table {
            name: "reviews_by_topic",
            columns: vec!["topic", "reviews", "stars", "complaints"],
            rows: topics.collect(),
        },
        Table { name: "payment_failures", columns: vec!["reason", "failures"], rows: failures.collect() },
        ways("all", "all", all),
        ways("by_site", "site", gathered.by_site.iter()),
        ways("by_carrier", "carrier", gathered.by_carrier.iter()),
    ]
}

/// A cell for people: what would break a table, or move a terminal, is shown as it is written.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.escape_debug().to_string().replace('|', "\\|"),
        other => other.to_string(),
    }
}

impl Report {
    pub(super) fn json(&self) -> Value {
        let mut all: Map<String, Value> =
            self.head.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        for Table { name, columns, rows } in &self.tables {
            let row = |row: &Vec<Value>| -> Map<String, Value> {
                columns.iter().map(|column| (*column).to_owned()).zip(row.iter().cloned()).collect()
            };
            all.insert((*name).to_owned(), rows.iter().map(row).collect::<Vec<_>>().into());
        }
        all.insert("notes".to_owned(), json!(self.notes));
        all.into()
    }

    /// One figure a line: the table, the row's name, the column, the value.
    pub(super) fn csv(&self, to: impl Write) -> anyhow::Result<()> {
        let mut csv = csv::Writer::from_writer(to);
        csv.write_record(["table", "name", "figure", "value"])?;
        let plain = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        for (name, value) in &self.head {
            csv.write_record(["report", "", name, &plain(value)])?;
        }
        for Table { name, columns, rows } in &self.tables {
            for row in rows {
                for (column, value) in columns.iter().zip(row).skip(1) {
                    csv.write_record([name, plain(&row[0]).as_str(), column, &plain(value)])?;
                }
            }
        }
        csv.flush()?;
        Ok(())
    }

    /// Tables for people, in Markdown where `markdown`.
    pub(super) fn text(&self, markdown: bool) -> String {
        let mut text = String::new();
        if markdown {
            text += "# Orders\n\n";
        }
        for (name, value) in &self.head {
            let bullet = if markdown { "- " } else { "  " };
            let _ = writeln!(text, "{bullet}{name}: {}", cell(value));
        }
        for Table { name, columns, rows } in self.tables.iter().filter(|table| !table.rows.is_empty()) {
            let _ = writeln!(text, "\n{}{name}\n", if markdown { "## " } else { "" });
            let mut lines: Vec<Vec<String>> = vec![columns.iter().map(ToString::to_string).collect()];
            lines.extend(rows.iter().map(|row| row.iter().map(cell).collect()));
            let width =
                |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
            let widths: Vec<usize> = (0..columns.len()).map(width).collect();
            for (place, line) in lines.iter().enumerate() {
                let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
                let cells: Vec<String> = cells.collect();
                if markdown {
                    let _ = writeln!(text, "| {} |", cells.join(" | "));
                    if place == 0 {
                        let _ = writeln!(text, "|{}", "---|".repeat(columns.len()));
                    }
                } else {
                    let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
                }
            }
        }
        let _ = writeln!(text);
        for note in &self.notes {
            let _ = writeln!(text, "{}{note}", if markdown { "> " } else { "" });
        }
        text.trim_end().to_owned()
    }
}

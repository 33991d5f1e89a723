//! The report: conditions, a table for each row and setting, how each contender was run.
//!
//! Rates are medians over the rounds, with the least and the greatest beside; ratios are taken within a round, then likewise.
//! What did not run, an audit that found something and a row in which Weir does not win are said as plainly as a figure.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::contenders::{CONTENDERS, Contender, Row};
use super::measured::Measured;
use super::{postgres, redis};
use crate::arguments::Fsync;
use crate::conditions::Conditions;
use crate::statistics::{Spread, grouped, millis, span, whole};

/// The width of what is not a table.
const COLUMNS: usize = 120;

/// What holds for every pass.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    pub(crate) window_ms: u64,
    pub(crate) warmup_ms: u64,
    pub(crate) rounds: u32,
    pub(crate) skus: u32,
    pub(crate) stock: i64,
    pub(crate) seed: u64,
}

/// A contender's passes under one setting.
pub(crate) struct Series {
    pub(crate) contender: Contender,
    pub(crate) fsync: Fsync,
    /// Why it is left out.
    missing: Option<String>,
    pub(crate) rounds: Vec<Result<Measured, String>>,
    /// With stock that runs out.
    pub(crate) scarce: Option<Result<Measured, String>>,
    /// At a share of its own median.
    pub(crate) latency: Option<Result<Measured, String>>,
}

impl Series {
    pub(crate) fn new(contender: Contender, fsync: Fsync, missing: Option<String>) -> Self {
        Self { contender, fsync, missing, rounds: Vec::new(), scarce: None, latency: None }
    }

    fn passes(&self) -> impl Iterator<Item = &Result<Measured, String>> {
        self.rounds.iter().chain(&self.scarce).chain(&self.latency)
    }

    /// Why it failed, if it did.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.passes().find_map(|pass| pass.as_ref().err()).map(String::as_str)
    }

    fn measured(&self) -> impl Iterator<Item = &Measured> {
        self.rounds.iter().filter_map(|round| round.as_ref().ok())
    }

    /// The median of its rates.
    pub(crate) fn median(&self) -> Option<f64> {
        Some(self.spread(|measured| measured.orders_per_second)?.median)
    }

    fn spread(&self, figure: impl Fn(&Measured) -> f64) -> Option<Spread> {
        Spread::of(self.measured().map(figure))
    }

    /// CPU of all its processes, in nanoseconds an order.
    fn cpu(&self) -> Option<Spread> {
        let sum = |it: &Measured| {
            [it.cpu.worker, it.cpu.server, it.cpu.generator]
                .into_iter()
                .flatten()
                .reduce(|sum, next| sum + next)
        };
        Spread::of(self.measured().filter_map(sum))
    }

    /// Whether nothing is wrong; that stock ran out must show.
    fn is_good(&self) -> bool {
        let ran_out = |pass: &Measured| pass.findings.refused() > 0 && pass.findings.confirmed > 0;
        self.failure().is_none()
            && self.passes().filter_map(|pass| pass.as_ref().ok()).all(|pass| pass.findings.are_good())
            && self.scarce.as_ref().and_then(|pass| pass.as_ref().ok()).is_none_or(ran_out)
    }
}

/// All that a run has to say.
pub(crate) struct Report {
    conditions: Conditions,
    settings: Settings,
    pub(crate) interrupted: bool,
    pub(crate) series: Vec<Series>,
}

impl Report {
    pub(crate) fn new(conditions: Conditions, settings: Settings) -> Self {
        Self { conditions, settings, interrupted: false, series: Vec::new() }
    }

    /// Whether all that ran passed their audits. Who is not installed does not count.
    pub(crate) fn is_good(&self) -> bool {
        self.series.iter().all(Series::is_good)
    }

    /// Weir's rate by the contender's, round by round; none for Weir's own.
    fn ratio(&self, series: &Series) -> Option<Spread> {
        let against = series.contender.against?;
        let weir = self.series.iter().find(|it| it.fsync == series.fsync && it.contender.key == against)?;
        let pairs = weir.measured().zip(series.measured());
        // A window that saw no order decided was too short to compare.
        let ratios = pairs.map(|(weir, other)| {
            (other.orders_per_second > 0.0).then(|| weir.orders_per_second / other.orders_per_second)
        });
        Spread::of(ratios.collect::<Option<Vec<_>>>()?)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        for (name, value) in self.conditions.rows() {
            writeln!(text, "{name:<9} {value}")?;
        }
        let Settings { window_ms, warmup_ms, rounds, skus, stock, seed } = &self.settings;
        writeln!(
            text,
            "orders    a 12-byte id, two lines of 1 to 3 units, 6-byte SKUs, submitted_at; {} SKUs alike, {} units each, \
             seed {seed}: the same for all",
            grouped((*skus).into()),
            grouped(stock.unsigned_abs()),
        )?;
        writeln!(
            text,
            "passes    {rounds} rounds, each begun with another contender; {} measured after {} unmeasured, at saturation; an \
             order counts once its outcome is in the client's hands; p50 and p99 at 80% of the own median, from each order's \
             planned arrival",
            span(*window_ms),
            span(*warmup_ms),
        )?;
        for row in [Row::One, Row::Many] {
            for fsync in [Fsync::Lazy, Fsync::Always] {
                let of: Vec<_> =
                    self.series.iter().filter(|it| it.contender.row == row && it.fsync == fsync).collect();
                if !of.is_empty() {
                    self.write_table(text, row, fsync, &of)?;
                }
            }
        }
        self.write_audits(text)
    }

    fn write_table(&self, text: &mut String, row: Row, fsync: Fsync, of: &[&Series]) -> std::fmt::Result {
        writeln!(text, "\n{row}, fsync {fsync:?}\n")?;
        writeln!(
            text,
            "  {:<33} {:>33} {:>9} {:>9} {:>9}  Weir is so many times this",
            "", "orders/s (least to greatest)", "p50", "p99", "CPU ns"
        )?;
        for series in of {
            self.write_series(text, series)?;
        }
        writeln!(text)?;
        for series in of.iter().filter(|series| series.missing.is_none()) {
            let how = format!("  {}: {}", series.contender.name, series.contender.how(fsync));
            writeln!(text, "{}", wrapped(&how))?;
        }
        Ok(())
    }

    fn write_series(&self, text: &mut String, series: &Series) -> std::fmt::Result {
        write!(text, "  {:<33} ", series.contender.name)?;
        if let Some(missing) = &series.missing {
            return writeln!(text, "LEFT OUT: {missing}");
        }
        let Some(rate) = series.spread(|measured| measured.orders_per_second) else {
            return writeln!(text, "FAILED: {}", series.failure().unwrap_or("it did not run"));
        };
        let [median, least, most] = [rate.median, rate.least, rate.most].map(whole);
        write!(text, "{:>33}", format!("{median} ({least} to {most})"))?;
        let latency = series.latency.as_ref().and_then(|pass| pass.as_ref().ok()).map(Measured::latency);
        for quantile in [latency.and_then(|it| it.p50), latency.and_then(|it| it.p99)] {
            write!(text, " {:>9}", quantile.map_or_else(|| "-".to_owned(), millis))?;
        }
        let cpu = series.cpu().map_or_else(|| "-".to_owned(), |cpu| whole(cpu.median));
        write!(text, " {cpu:>9}")?;
        if let Some(ratio) = self.ratio(series) {
            write!(text, "  {:.2} ({:.2} to {:.2})", ratio.median, ratio.least, ratio.most)?;
            if ratio.median < 1.0 {
                write!(text, ": Weir does NOT win")?;
            }
        }
        if let Some(failure) = series.failure() {
            write!(text, "; FAILED then: {failure}")?;
        }
        writeln!(text)
    }

    fn write_audits(&self, text: &mut String) -> std::fmt::Result {
        let all = || self.series.iter().flat_map(|series| series.passes().map(move |pass| (series, pass)));
        let good = || all().filter_map(|(series, pass)| Some((series, pass.as_ref().ok()?)));
        let orders: u64 = good().map(|(_, pass)| pass.findings.records).sum();
        let bad: Vec<_> = good().filter(|(_, pass)| !pass.findings.are_good()).collect();
        let scarce: Vec<_> = self.series.iter().filter_map(|it| it.scarce.as_ref()?.as_ref().ok()).collect();
        writeln!(
            text,
            "\naudit: {} orders in {} passes, in {} of them stock ran out; {} passes failed",
            grouped(orders),
            good().count(),
            scarce.iter().filter(|pass| pass.findings.refused() > 0).count(),
            bad.len()
        )?;
        for (series, pass) in bad {
            let (name, line) = (series.contender.name, pass.findings.line());
            writeln!(text, "AUDIT FAILED: {name}, fsync {:?}: {line}", series.fsync)?;
        }
        if self.interrupted {
            writeln!(text, "NOT ALL: it was ended early; what was not finished is not here")?;
        }
        Ok(())
    }

    /// For programs: everything, round by round.
    pub(crate) fn json(&self) -> Value {
        let passes = |passes: &mut dyn Iterator<Item = &Result<Measured, String>>| -> Vec<Value> {
            let one = |pass: &Result<Measured, String>| match pass {
                Ok(measured) => json!({ "measured": measured, "latency_ms": measured.latency() }),
                Err(error) => json!({ "failed": error }),
            };
            passes.map(one).collect()
        };
        let series = self.series.iter().map(|series| {
            json!({
                "contender": series.contender.key,
                "name": series.contender.name,
                "row": series.contender.row,
                "fsync": series.fsync,
                "how": series.contender.how(series.fsync),
                "left_out": series.missing,
                "orders_per_second": series.spread(|measured| measured.orders_per_second),
                "weir_is_times_this": self.ratio(series),
                "rounds": passes(&mut series.rounds.iter()),
                "scarce": passes(&mut series.scarce.iter()),
                "latency": passes(&mut series.latency.iter()),
            })
        });
        json!({
            "conditions": self.conditions,
            "settings": self.settings,
            "interrupted": self.interrupted,
            "good": self.is_good(),
            "series": series.collect::<Vec<_>>(),
            "contenders": CONTENDERS.map(|contender| contender.key),
            "redis_scripts": [redis::SCRIPT, redis::SCRIPT_MANY],
            "postgres_schema": postgres::SCHEMA,
        })
    }
}

/// Lines of [`COLUMNS`] at most, those after the first set in.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 4 && column + 1 + word.len() > COLUMNS {
            lines.push_str("\n   ");
            column = 3;
        }
        if column > 0 || word.is_empty() {
            lines.push(' ');
        }
        lines.push_str(word);
        column += word.len() + 1;
    }
    lines
}

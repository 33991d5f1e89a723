//! The report: conditions, how each contender was run, rates by contender, and how many times theirs Weir's is.
//!
//! Rates are medians over the rounds, with the least and the greatest beside; ratios are taken within a round, then likewise.
//! A contender that did not run, an audit that found something and an aim that was missed are said as plainly as a figure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::audit::Audit;
use super::conditions::Conditions;
use super::contenders::{Contender, REFERENCE};
use super::load::Window;
use super::{Fsync, Settings, postgres, redis};

/// The width of what is not a table.
const COLUMNS: usize = 120;

/// Median, least and greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    greatest: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (&least, &greatest) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, least, greatest })
    }

    fn json(self) -> Value {
        json!({ "median": self.median, "min": self.least, "max": self.greatest })
    }
}

/// A contender's rounds under one setting.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) contender: Contender,
    fsync: Fsync,
    rounds: Vec<Result<(Window, Audit), String>>,
}

impl Series {
    pub(crate) fn new(contender: Contender, fsync: Fsync) -> Self {
        Self { contender, fsync, rounds: Vec::new() }
    }

    /// Runs one more round; none after one that failed.
    pub(crate) async fn run(&mut self, settings: &Settings) {
        if self.failure().is_some() {
            return;
        }
        let round = match self.contender.is_installed(settings) {
            Ok(()) => self.contender.pass(settings, self.fsync).await,
            Err(error) => Err(error),
        };
        self.rounds.push(round.map_err(|error| format!("{error:#}")));
    }

    /// The last round, in a few words.
    pub(crate) fn last(&self) -> String {
        match self.rounds.last() {
            Some(Ok((window, audit))) if audit.is_clean() => {
                format!("{} orders/s", grouped(window.rate()))
            }
            Some(Ok((_, audit))) => format!("AUDIT FAILED: {}", found(audit)),
            Some(Err(error)) => format!("NOT RUN: {error}"),
            None => String::new(),
        }
    }

    fn failure(&self) -> Option<&str> {
        self.rounds.iter().find_map(|round| round.as_ref().err()).map(String::as_str)
    }

    fn good_rounds(&self) -> impl Iterator<Item = &(Window, Audit)> {
        self.rounds.iter().filter_map(|round| round.as_ref().ok())
    }

    fn rates(&self) -> Vec<f64> {
        self.good_rounds().map(|(window, _)| window.rate()).collect()
    }

    fn cores(&self, of: impl Fn(&Window) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.good_rounds().filter_map(|(window, _)| of(window)).collect())
    }

    /// Whether a round's window was too short to see an order decided; Weir would be infinitely many times that.
    fn is_too_short(&self) -> bool {
        self.good_rounds().any(|(window, _)| window.orders == 0)
    }

    fn is_good(&self) -> bool {
        self.failure().is_none() && self.good_rounds().all(|(_, audit)| audit.is_clean())
    }
}

/// All that a run has to say.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    conditions: Conditions,
    settings: &'a Settings,
    rounds: u16,
    pub(crate) series: Vec<Series>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(conditions: Conditions, settings: &'a Settings, rounds: u16) -> Self {
        Self { conditions, settings, rounds, series: Vec::new() }
    }

    /// Whether all ran and passed their audits. Aims do not count.
    pub(crate) fn is_good(&self) -> bool {
        self.series.iter().all(Series::is_good)
    }

    /// How many times a contender's rate Weir's was, round by round; none for Weir's own.
    fn ratio(&self, series: &Series) -> Option<Spread> {
        let weir =
            self.series.iter().find(|one| one.fsync == series.fsync && one.contender.key == REFERENCE)?;
        if series.contender.key == REFERENCE || series.is_too_short() {
            return None;
        }
        Spread::of(weir.rates().into_iter().zip(series.rates()).map(|(weir, other)| weir / other).collect())
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Conditions { date, cpu, cores, memory_bytes, kernel, filesystem, .. } = &self.conditions;
        let memory = memory_bytes >> 20;
        writeln!(text, "\nWhat people use instead of Weir, {date}\n")?;
        writeln!(
            text,
            "machine   {cores} cores of {cpu}, {memory} MiB, {kernel}; the clients share the cores"
        )?;
        writeln!(text, "store     {filesystem}, in {}", self.settings.store.display())?;
        if self.conditions.stores_in_memory() {
            writeln!(
                text,
                "          THAT IS MEMORY: an fsync costs nothing there, so `always` shows nothing"
            )?;
        }
        for version in [&self.conditions.weir, &self.conditions.nats_server] {
            writeln!(text, "version   {version}")?;
        }
        for version in [&self.conditions.redis_server, &self.conditions.postgres] {
            writeln!(text, "version   {version}")?;
        }
        let (shop, bounds) = (self.settings.shop, self.settings.bounds);
        writeln!(
            text,
            "orders    a 12-byte id, two lines of one unit with 6-byte SKUs, submitted_at; {} SKUs drawn uniformly, {} \
             units each, seed {}",
            shop.skus, shop.stock, shop.seed,
        )?;
        writeln!(
            text,
            "rounds    {}, one contender after the other in each; {:?} measured after {:?} unmeasured, at saturation; an order \
             counts once its decision is stored and acknowledged",
            self.rounds, bounds.window, bounds.warmup,
        )?;
        for fsync in [Fsync::Lazy, Fsync::Always] {
            if self.series.iter().any(|series| series.fsync == fsync) {
                self.write_table(text, fsync)?;
            }
        }
        self.write_audits(text)
    }

    fn write_table(&self, text: &mut String, fsync: Fsync) -> std::fmt::Result {
        writeln!(text, "\nfsync {fsync:?}: orders/s, median (least to greatest)\n")?;
        writeln!(
            text,
            "{:36} {:>34}  {:>13}  Weir ({REFERENCE}) is so many times this",
            "contender", "orders/s", "cores s/c"
        )?;
        for series in self.series.iter().filter(|series| series.fsync == fsync) {
            write!(text, "{:36} ", series.contender.name)?;
            if let Some(failure) = series.failure() {
                writeln!(text, "NOT RUN: {failure}")?;
                continue;
            }
            let Some(rate) = Spread::of(series.rates()) else { continue };
            let [median, least, greatest] = [rate.median, rate.least, rate.greatest].map(grouped);
            write!(text, "{:>34}  ", format!("{median} ({least} to {greatest})"))?;
            let cores = |spread: Option<Spread>| {
                spread.map_or_else(|| "?".to_owned(), |spread| format!("{:.2}", spread.median))
            };
            let servers = cores(series.cores(|window| window.server_cores));
            let clients = cores(series.cores(|window| window.client_cores));
            write!(text, "{:>13}", format!("{servers} / {clients}"))?;
            if series.is_too_short() {
                write!(text, "  nothing was decided in a round: no ratio; measure longer")?;
            }
            if let Some(ratio) = self.ratio(series) {
                write!(text, "  {:.1} ({:.1} to {:.1})", ratio.median, ratio.least, ratio.greatest)?;
                match series.contender.aim {
                    Some(aim) if ratio.median < aim => write!(text, "; the aim is {aim:.0}: MISSED")?,
                    Some(aim) => write!(text, "; the aim is {aim:.0}: reached")?,
                    None => {}
                }
            }
            writeln!(text)?;
        }
        writeln!(text, "\ncores s/c: cores kept busy by the servers / by the clients, medians\n")?;
        for series in self.series.iter().filter(|series| series.fsync == fsync) {
            let how = format!("{}: {}", series.contender.name, series.contender.how(fsync));
            writeln!(text, "{}", wrapped(&how))?;
        }
        Ok(())
    }

    fn write_audits(&self, text: &mut String) -> std::fmt::Result {
        let audits =
            || self.series.iter().flat_map(|series| series.good_rounds().map(move |round| (series, round)));
        let orders: u64 = audits().map(|(_, (_, audit))| audit.sent).sum();
        let passes = audits().count();
        let bad: Vec<_> = audits().filter(|(_, (_, audit))| !audit.is_clean()).collect();
        writeln!(
            text,
            "\naudit: {} orders in {passes} passes, {} passes failed",
            grouped_count(orders),
            bad.len()
        )?;
        for (series, (_, audit)) in bad {
            writeln!(
                text,
                "AUDIT FAILED: {}, fsync {:?}: {}",
                series.contender.name,
                series.fsync,
                found(audit)
            )?;
        }
        for series in self.series.iter().filter(|series| series.failure().is_some()) {
            writeln!(text, "NOT RUN: {}, fsync {:?}", series.contender.name, series.fsync)?;
        }
        Ok(())
    }

    /// For programs: everything, round by round.
    pub(crate) fn json(&self) -> Value {
        let series = self.series.iter().map(|series| {
            let rounds = series.rounds.iter().map(|round| match round {
                Ok((window, audit)) => json!({
                    "orders_per_s": window.rate(),
                    "window": window,
                    "audit": audit,
                }),
                Err(error) => json!({ "not_run": error }),
            });
            let ratio = self.ratio(series);
            json!({
                "contender": series.contender.key,
                "name": series.contender.name,
                "fsync": series.fsync,
                "how": series.contender.how(series.fsync),
                "orders_per_s": Spread::of(series.rates()).map(Spread::json),
                "weir_is_times_this": ratio.map(Spread::json),
                "aim": series.contender.aim,
                "aim_reached": series.contender.aim.zip(ratio).map(|(aim, ratio)| ratio.median >= aim),
                "rounds": rounds.collect::<Vec<_>>(),
            })
        });
        let (shop, bounds) = (self.settings.shop, self.settings.bounds);
        json!({
            "conditions": self.conditions,
            "options": {
                "seconds": bounds.window.as_secs_f64(),
                "warmup_seconds": bounds.warmup.as_secs_f64(),
                "rounds": self.rounds,
                "skus": shop.skus,
                "stock": shop.stock,
                "seed": shop.seed,
                "store": self.settings.store,
            },
            "good": self.is_good(),
            "reference": REFERENCE,
            "series": series.collect::<Vec<_>>(),
            "redis_script": redis::SCRIPT,
            "postgres_schema": postgres::SCHEMA,
        })
    }
}

fn found(audit: &Audit) -> String {
    let Audit { lost, duplicated, oversold, unexplained, first, .. } = audit;
    let first = first.as_deref().unwrap_or_default();
    format!("lost {lost}, duplicated {duplicated}, oversold {oversold}, unexplained {unexplained}: {first}")
}

/// Lines of [`COLUMNS`] at most, those after the first set in.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + word.len() > COLUMNS {
            lines.push_str("\n ");
            column = 1;
        }
        if column > 0 {
            lines.push(' ');
        }
        lines.push_str(word);
        column += word.len() + 1;
    }
    lines
}

/// A rate with its thousands apart.
fn grouped(rate: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are small and not negative"
    )]
    grouped_count(rate.round() as u64)
}

fn grouped_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

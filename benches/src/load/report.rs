//! The report, for people: the conditions first, then a table by rate with its aims, then what it comes to.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::job::Pace;
use super::options::{Options, Rate};
use crate::aims;
use crate::arguments::Fsync;
use crate::figures::{AlsoFigures, Pass, RateFigures, Report, Worker};
use crate::findings::Findings;
use crate::shop::Lines;
use crate::statistics::{Spread, grouped, millis, span, to_f64, whole};
use weir::words::codec::Format;

/// The whole report.
pub(crate) fn text(report: &Report) -> String {
    let mut text = conditions(report);
    for figures in &report.rates {
        text.push('\n');
        text.push_str(&rate(figures, &report.options));
    }
    text.push_str(&also(report));
    text.push('\n');
    text.push_str(&audits(report));
    if report.interrupted {
        text.push_str("NOT ALL: it was ended early; what was not finished is not here\n");
    }
    text
}

/// The passes under other conditions, a line each.
fn also(report: &Report) -> String {
    let mut text = String::new();
    if report.also.is_empty() {
        return text;
    }
    text.push_str("\nbeside, one pass each at saturation, all else as above\n");
    for AlsoFigures { what, pass } in &report.also {
        let p99 = pass.latency.p99.map_or_else(|| "-".to_owned(), millis);
        let _ = write!(text, "  {what:<10} {:>10} orders/s, p99 {p99}", whole(pass.orders_per_second));
        if let Some(audit) = &pass.audit {
            let _ = write!(
                text,
                "; {} confirmed, {} refused",
                grouped(audit.confirmed),
                grouped(audit.refused())
            );
        }
        if let Some(kept) = pass.snapshots {
            let _ = write!(text, "; two workers, {kept} snapshots kept, `weir audit` agrees");
        }
        text.push('\n');
    }
    text
}

fn conditions(report: &Report) -> String {
    let (it, options, load) = (&report.conditions, &report.options, &report.options.load);
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<9} {value}");
    };
    for (name, value) in it.rows() {
        row(name, value);
    }
    let fsync = match options.fsync {
        Some(Fsync::Lazy) => "fsync lazy",
        Some(Fsync::Always) => "fsync always, before an acknowledgement",
        None => "given: when it syncs is not known",
    };
    let replicas =
        if options.replicas == 1 { "one copy".to_owned() } else { format!("{} copies", options.replicas) };
    row("", format!("{replicas}, {fsync}"));
    let lines = match load.lines {
        Lines::Between(1, 1) => "1 line".to_owned(),
        Lines::Shop => "as many lines as a shop's".to_owned(),
        lines @ Lines::Between(..) => format!("{lines} lines"),
    };
    let skew = if load.skew > 0.0 { format!("Zipf {}", load.skew) } else { "all alike".to_owned() };
    let shards = if load.shards == 1 { "1 shard".to_owned() } else { format!("{} shards", load.shards) };
    row(
        "load",
        format!(
            "{shards}, {}, {} orders a message, {lines} an order, {} SKUs ({skew}), {} units each, seed {}",
            match load.format {
                Format::Json => "JSON",
                Format::Bincode => "bincode",
            },
            load.batch,
            grouped(u64::from(load.skus)),
            grouped(load.stock.unsigned_abs()),
            load.seed
        ),
    );
    if !load.mix.is_empty() {
        row("mix", format!("of 100 orders {}", load.mix));
    }
    let orders = options.orders_max.map_or_else(String::new, |max| format!(", or {} orders", grouped(max)));
    row(
        "passes",
        format!(
            "{} of {}{orders}, after {} of warm-up; all processes on this machine",
            if options.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", options.rounds) },
            span(options.window_ms),
            span(options.warmup_ms)
        ),
    );
    text
}

fn rate(figures: &RateFigures, options: &Options) -> String {
    let mut text = match figures.pace {
        Pace::PerSecond(rate) => format!("{} orders/s planned", grouped(rate)),
        Pace::InFlight(orders) => {
            format!("max: {} orders on their way{}", grouped(orders), queue(figures, orders))
        }
    };
    if figures.rate.ends_with('%') {
        let _ = write!(text, " ({} of the max)", figures.rate);
    }
    if figures.rate == Rate::Sweep.to_string() {
        let _ = write!(text, " (sweep: the highest rate that held a p99 of {} ms)", options.p99_ms);
    }
    text.push_str(match figures.pace {
        Pace::PerSecond(_) => "; latency from each order's planned arrival to its outcome's bytes\n",
        Pace::InFlight(_) => "; latency from the actual sending, as nothing is planned\n",
    });
    let _ = writeln!(
        text,
        "  {:<8} {:>10} {:>23} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "orders/s", "least..most", "p50", "p90", "p99", "p99.9", "p99.99", "max"
    );
    for worker in [Worker::Weir, Worker::Ceiling] {
        text.push_str(&row(figures, worker));
    }
    for worker in [Worker::Weir, Worker::Ceiling] {
        text.push_str(&not_held(figures, worker));
    }
    text.push_str(&costs(figures));
    text.push_str(&aims::of(figures, options));
    text
}

/// How long an order waits in the queue that saturation needs, by Little's law: most of the latency there is this.
fn queue(figures: &RateFigures, orders: u64) -> String {
    let rate = figures.spread(Worker::Weir, |pass| pass.orders_per_second);
    rate.map_or_else(String::new, |rate| {
        let wait_ms = to_f64(orders) * 1_000.0 / rate.median.max(1.0);
        format!(", so each waits {} for those before it", millis(wait_ms))
    })
}

fn row(figures: &RateFigures, worker: Worker) -> String {
    let Some(rate) = figures.spread(worker, |pass| pass.orders_per_second) else { return String::new() };
    let mut text = format!(
        "  {:<8} {:>10} {:>23}",
        worker.name(),
        whole(rate.median),
        format!("{}..{}", whole(rate.least), whole(rate.most))
    );
    for place in 0..6 {
        let latency = figures.known(worker, |pass| pass.latency.all()[place]);
        // Too few messages carry no such percentile.
        let _ = write!(text, " {:>9}", latency.map_or_else(|| "-".to_owned(), |it| millis(it.median)));
    }
    text.push('\n');
    text
}

/// A rate that was not held must not look held.
fn not_held(figures: &RateFigures, worker: Worker) -> String {
    let missed: Vec<&Pass> = figures.passes(worker).filter(|pass| !pass.held).collect();
    let Some(least) = Spread::of(missed.iter().map(|pass| pass.orders_per_second)) else {
        return String::new();
    };
    let unsent: u64 = missed.iter().map(|pass| pass.generated.unsent).sum();
    let mut text = format!(
        "  NOT HELD by {} in {} of {} rounds: {} orders/s at worst",
        worker.name(),
        missed.len(),
        figures.passes(worker).count(),
        whole(least.least)
    );
    if unsent > 0 {
        let _ = write!(text, ", {} orders never sent", grouped(unsent));
    }
    text.push('\n');
    text
}

fn costs(figures: &RateFigures) -> String {
    let mut text = String::new();
    let spread = |it: Spread, digits: usize| {
        format!("{:.digits$} ({:.digits$}..{:.digits$})", it.median, it.least, it.most)
    };
    if let Some(ratio) = figures.ratio(|pass| Some(pass.orders_per_second)) {
        let _ = write!(text, "  ratio {} of the ceiling's rate", spread(ratio, 2));
        let p99 = |worker| {
            let spread = figures.known(worker, |pass| pass.latency.p99);
            spread.map_or_else(
                || "-".to_owned(),
                |it| format!("{} ({}..{})", millis(it.median), millis(it.least), millis(it.most)),
            )
        };
        let _ = writeln!(text, "; p99 {}, the ceiling's {}", p99(Worker::Weir), p99(Worker::Ceiling));
    }
    for worker in [Worker::Weir, Worker::Ceiling] {
        let cpu: Vec<_> = [
            ("worker", figures.known(worker, |pass| pass.cpu.worker)),
            ("server", figures.known(worker, |pass| pass.cpu.server)),
            ("generator", figures.known(worker, |pass| pass.cpu.generator)),
        ]
        .into_iter()
        .filter_map(|(part, nanos)| Some(format!("{part} {}", spread(nanos?, 0))))
        .collect();
        if !cpu.is_empty() {
            let _ = writeln!(text, "  CPU ns an order, {}: {}", worker.name(), cpu.join(", "));
        }
    }
    let figure = |figure: fn(&Pass) -> f64| figures.spread(Worker::Weir, figure).map_or(0.0, |it| it.median);
    let rss = figures.known(Worker::Weir, |pass| pass.worker_rss_bytes.map(to_f64));
    let late = figures.spread(Worker::Weir, |pass| pass.late_ms_max).map_or(0.0, |it| it.most);
    let sum =
        |figure: fn(&Pass) -> Option<u64>| figures.passes(Worker::Weir).map(figure).sum::<Option<u64>>();
    if let (Some(skipped), Some(all)) =
        (sum(|pass| pass.skipped_messages), sum(|pass| Some(pass.generated.messages)))
    {
        let share = 100.0 * to_f64(skipped) / to_f64(all.max(1));
        let _ = writeln!(
            text,
            "  analytics skipped {} of {} messages ({share:.1}%)",
            grouped(skipped),
            grouped(all)
        );
    }
    let _ = writeln!(
        text,
        "  bytes an order: {:.1} in, {:.1} out; {:.0} orders an append; worker's memory at most {}; sent late by at most {}",
        figure(|pass| pass.bytes_in_per_order),
        figure(|pass| pass.bytes_out_per_order),
        figure(|pass| pass.orders_per_append),
        rss.map_or_else(|| "unknown".to_owned(), |it| format!("{:.0} MiB", it.most / f64::from(1 << 20))),
        millis(late)
    );
    text
}

/// What the audits come to.
fn audits(report: &Report) -> String {
    let findings: Vec<_> = report.audited().filter_map(|pass| pass.audit.as_ref()).collect();
    let sum = |figure: fn(&Findings) -> u64| findings.iter().map(|it| figure(it)).sum::<u64>();
    let refused = sum(Findings::refused);
    let mut text = format!(
        "audit: {} commands in {} passes; {} orders confirmed, {} refused",
        grouped(sum(|it| it.records)),
        findings.len(),
        grouped(sum(|it| it.confirmed)),
        grouped(refused),
    );
    let mut reasons: Vec<&str> =
        findings.iter().flat_map(|it| it.refused.keys()).map(String::as_str).collect();
    reasons.sort_unstable();
    reasons.dedup();
    if !reasons.is_empty() {
        let _ = write!(text, " ({})", reasons.join(", "));
    }
    let (lost, duplicated, oversold) = (sum(|it| it.lost), sum(|it| it.duplicated), sum(|it| it.oversold));
    let _ = write!(text, "\nlost {lost}, duplicated {duplicated}, oversold {oversold}");
    let unexplained = sum(|it| it.unexplained);
    if unexplained > 0 {
        let _ = write!(text, ", unexplained {unexplained}");
    }
    text.push('\n');
    for instance in findings.iter().flat_map(|it| &it.instances).take(5) {
        let _ = writeln!(text, "  {instance}");
    }
    text
}

/// Writes a percentile file for each rate and worker, in milliseconds, over all rounds.
pub(crate) fn write_hgrm(report: &Report, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for figures in &report.rates {
        for worker in [Worker::Weir, Worker::Ceiling] {
            if figures.passes(worker).next().is_some() {
                let file = folder.join(format!("{}-{}.hgrm", figures.rate, worker.name()));
                std::fs::write(&file, hgrm(figures, worker)).with_context(|| file.display().to_string())?;
            }
        }
    }
    Ok(())
}

fn hgrm(figures: &RateFigures, worker: Worker) -> String {
    let latencies = figures.latencies(worker);
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut count = 0;
    for step in latencies.iter_quantiles(5) {
        count += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let _ =
            write!(text, "{:>12.3} {quantile:>2.12} {count:>10}", to_f64(step.value_iterated_to()) / 1_000.0);
        if quantile < 1.0 {
            let _ = write!(text, " {:>14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]",
        latencies.mean() / 1_000.0,
        latencies.stdev() / 1_000.0
    );
    let _ = writeln!(
        text,
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        to_f64(latencies.max()) / 1_000.0,
        latencies.len()
    );
    let _ = writeln!(
        text,
        "#[Buckets = {:>12}, SubBuckets     = {:>12}]",
        latencies.buckets(),
        latencies.distinct_values()
    );
    text
}

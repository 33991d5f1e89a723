//! What is aimed at, beside what is measured. They are stated for this class of machine (two cores that also run the server and
//! the generator); a missed one is said like a reached one.

use crate::figures::{RateFigures, Worker};
use crate::load::job::Pace;
use crate::load::options::Options;
use crate::statistics::millis;

/// Of the ceiling's rate at saturation.
const RATIO_LEAST: f64 = 0.6;
/// The worker's CPU an order at saturation, everything included, in nanoseconds.
const WORKER_NS_MOST: f64 = 450.0;
/// The p99 beyond the time that a message takes to fill, in milliseconds, by the rate up to which it is aimed at.
const P99_MS_MOST: [(u64, f64); 2] = [(100_000, 2.0), (583_000, 10.0)];
/// The p99 against the ceiling's.
const P99_TIMES_MOST: f64 = 2.0;

/// An aim, and what was measured.
fn line(what: &str, aim: &str, measured: &str, reached: bool) -> String {
    let how = if reached { "reached" } else { "MISSED" };
    format!("  aim: {what} {aim}; {measured}: {how}\n")
}

/// The aims at one rate, a line each. They hold for the reference load: bincode, one shard.
pub(crate) fn of(figures: &RateFigures, options: &Options) -> String {
    match figures.pace {
        Pace::InFlight(_) => at_saturation(figures),
        Pace::PerSecond(rate) => at(rate, figures, options),
    }
}

fn at_saturation(figures: &RateFigures) -> String {
    let mut text = String::new();
    if let Some(ratio) = figures.ratio(|pass| Some(pass.orders_per_second)) {
        let aim = format!("at least {RATIO_LEAST} of the ceiling's");
        text += &line("rate", &aim, &format!("{:.2}", ratio.median), ratio.median >= RATIO_LEAST);
    }
    if let Some(nanos) = figures.known(Worker::Weir, |pass| pass.cpu.worker) {
        let aim = format!("at most {WORKER_NS_MOST:.0} ns an order");
        let reached = nanos.median <= WORKER_NS_MOST;
        text += &line("worker's CPU", &aim, &format!("{:.0} ns", nanos.median), reached);
    }
    text
}

fn at(rate: u64, figures: &RateFigures, options: &Options) -> String {
    let mut text = String::new();
    let p99 = figures.known(Worker::Weir, |pass| pass.latency.p99).map(|p99| p99.median);
    if let Some((_, most)) = P99_MS_MOST.iter().find(|(up_to, _)| rate <= *up_to) {
        #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^52")]
        let filling = f64::from(options.load.batch - 1) * 1_000.0 / rate as f64;
        let aim =
            format!("at most {}, beyond the {} in which a message fills", millis(*most), millis(filling));
        text += &perhaps("p99", &aim, p99, millis, most + filling);
    }
    if options.ceiling {
        let times = figures.ratio(|pass| pass.latency.p99).map(|times| times.median);
        let aim = format!("at most {P99_TIMES_MOST:.0} times the ceiling's");
        text += &perhaps("p99", &aim, times, |times| format!("{times:.1} times"), P99_TIMES_MOST);
    }
    text
}

/// An aim that something is at most so much, where it may not be known.
fn perhaps(what: &str, aim: &str, measured: Option<f64>, shown: impl Fn(f64) -> String, most: f64) -> String {
    match measured {
        Some(measured) => line(what, aim, &shown(measured), measured <= most),
        None => format!("  aim: {what} {aim}; not known: too few messages were measured\n"),
    }
}

//! Compares a run with an earlier one, rate by rate, as ratios: what was then is 1.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::figures::{RateFigures, Report, Worker};

/// Reads the figures of an earlier run.
pub(crate) fn read(path: &Path) -> anyhow::Result<Report> {
    let shown = path.display();
    let text = std::fs::read(path).with_context(|| shown.to_string())?;
    serde_json::from_slice(&text).with_context(|| format!("{shown} holds no figures of this bench"))
}

/// What has changed since.
pub(crate) fn text(now: &Report, then: &Report) -> String {
    let (date, commit) = (&then.conditions.date, &then.conditions.commit);
    let mut text =
        format!("commit {}, compared with {commit} of {date}, which is 1:\n", now.conditions.commit);
    for rate in &now.rates {
        // Writing to a String cannot fail.
        let _ = match then.rates.iter().find(|earlier| earlier.rate == rate.rate) {
            Some(earlier) => writeln!(text, "  {}: {}", rate.rate, changes(rate, earlier)),
            None => writeln!(text, "  {}: not measured then", rate.rate),
        };
    }
    let mut differences = now.conditions.differences(&then.conditions);
    differences.extend(now.options.differences(&then.options));
    if !differences.is_empty() {
        let _ = writeln!(text, "  WARNING: the conditions differ ({})", differences.join("; "));
    }
    text
}

fn changes(now: &RateFigures, then: &RateFigures) -> String {
    let of = |figures: &RateFigures| {
        let rate = figures.spread(Worker::Weir, |pass| pass.orders_per_second);
        let p99 = figures.known(Worker::Weir, |pass| pass.latency.p99);
        [rate, p99, figures.known(Worker::Weir, |pass| pass.cpu.worker)]
    };
    let changes = ["orders/s", "p99", "worker's CPU an order"].into_iter().zip(of(now)).zip(of(then));
    let changes = changes.map(|((name, now), then)| match (now, then) {
        (Some(now), Some(then)) if then.median > 0.0 => format!("{name} {:.2}", now.median / then.median),
        _ => format!("{name} unknown"),
    });
    changes.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Conditions;
    use crate::figures::{Cpu, Pass, Round};
    use crate::load::job::{Generated, Pace};
    use crate::load::options::tests::options;

    fn report(rate: &str, announced: u64, cores: usize) -> Report {
        let generated = Generated {
            window_seconds: 1.0,
            window_announced: announced,
            sampled_announced: announced,
            ..Generated::default()
        };
        let cpu = Cpu { worker: Some(1e9), ..Cpu::default() };
        let pace = Pace::InFlight(1);
        let weir = Pass::new(Worker::Weir, pace, 0, generated, cpu);
        let rounds = vec![Round { ceiling: None, weir }];
        let conditions = Conditions::of(vec!["nats-server 2.15.1".to_owned()], None);
        Report {
            conditions: Conditions { cores, date: "then".to_owned(), ..conditions },
            options: options(&[]).unwrap(),
            interrupted: false,
            also: Vec::new(),
            rates: vec![RateFigures { rate: rate.to_owned(), pace, tried: Vec::new(), rounds }],
        }
    }

    #[test]
    fn changes_are_ratios_and_other_conditions_are_said() {
        let same = text(&report("max", 3_000, 2), &report("max", 2_000, 2));
        assert!(same.contains("  max: orders/s 1.50, p99 unknown, worker's CPU an order 0.67\n"), "{same}");
        assert!(!same.contains("WARNING"), "{same}");
        let other = text(&report("max", 3_000, 2), &report("5", 2_000, 4));
        assert!(other.contains("  max: not measured then\n"), "{other}");
        assert!(other.contains("WARNING: the conditions differ (cores: 4 then, 2 now)"), "{other}");
    }
}

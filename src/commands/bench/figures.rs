//! What a run of the bench has measured, as `--json` holds it.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::audit::Findings;
use super::conditions::Conditions;
use super::job::{Generated, Pace};
use super::ledger::histogram;
use super::options::Options;

/// A rate counts as held when this share of it was announced within the window, in thousandths.
const HELD_PERMILLE: f64 = 990.0;

/// A run of the bench.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) conditions: Conditions,
    pub(super) options: Options,
    pub(super) rates: Vec<RateFigures>,
}

/// What was measured at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RateFigures {
    /// As it was asked for: a number, `max`, or `sweep`.
    pub(super) rate: String,
    pub(super) pace: Pace,
    /// What a sweep has tried to find the rate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tried: Vec<Pass>,
    pub(super) rounds: Vec<Round>,
}

/// One round at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Round {
    pub(super) ceiling: Option<Pass>,
    pub(super) weir: Pass,
}

/// Which worker was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Worker {
    Weir,
    Ceiling,
}

impl Worker {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::Ceiling => "ceiling",
        }
    }
}

/// One worker under one rate, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pass {
    pub(super) worker: Worker,
    /// Orders announced a second, over the measured window.
    pub(super) orders_per_second: f64,
    /// Whether the planned rate was held, both by sending and by announcing; always so where none was planned.
    pub(super) held: bool,
    pub(super) latency: Quantiles,
    pub(super) cpu: Cpu,
    /// The most memory that the worker held, in bytes.
    pub(super) worker_rss_bytes: Option<u64>,
    /// Payload bytes of commands an order.
    pub(super) bytes_in_per_order: f64,
    /// Payload bytes of outcomes an order.
    pub(super) bytes_out_per_order: f64,
    pub(super) orders_per_append: f64,
    /// How late a message was sent at worst, in milliseconds: more than a few tell that the generator was held up.
    pub(super) late_ms_max: f64,
    pub(super) generated: Generated,
    /// Of Weir's passes.
    pub(super) audit: Option<Findings>,
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) p99_99: f64,
    pub(super) max: f64,
}

/// CPU nanoseconds an order that was announced within the window; none where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cpu {
    pub(super) worker: Option<f64>,
    pub(super) server: Option<f64>,
    pub(super) generator: Option<f64>,
}

impl Pass {
    /// `slack` orders may be on their way at the window's end, though they were announced in time.
    pub(super) fn new(
        worker: Worker,
        pace: Pace,
        slack: u64,
        generated: Generated,
        cpu: Cpu,
        worker_rss_bytes: Option<u64>,
    ) -> Self {
        let announced = to_f64(generated.window_announced);
        let orders_per_second = announced / generated.window_seconds.max(1e-9);
        let held = match pace {
            Pace::PerSecond(rate) => {
                let planned = to_f64(rate) * generated.window_seconds * HELD_PERMILLE / 1_000.0;
                generated.unsent == 0 && announced + to_f64(slack) >= planned
            }
            Pace::InFlight(_) => true,
        };
        let orders = to_f64(generated.orders).max(1.0);
        let latencies = Histogram::from(&generated.latencies);
        Self {
            worker,
            orders_per_second,
            held,
            latency: Quantiles::of(&latencies),
            cpu: cpu.per(to_f64(generated.sampled_announced)),
            worker_rss_bytes,
            bytes_in_per_order: to_f64(generated.command_bytes) / orders,
            bytes_out_per_order: to_f64(generated.window_bytes) / announced.max(1.0),
            orders_per_append: announced / to_f64(generated.window_appends).max(1.0),
            late_ms_max: to_f64(generated.late_us_max) / 1_000.0,
            generated,
            audit: None,
        }
    }
}

impl Cpu {
    fn per(self, orders: f64) -> Self {
        let share = |nanos: Option<f64>| nanos.map(|nanos| nanos / orders.max(1.0));
        Self { worker: share(self.worker), server: share(self.server), generator: share(self.generator) }
    }
}

impl Quantiles {
    fn of(latencies: &Histogram<u64>) -> Self {
        let at = |quantile| to_f64(latencies.value_at_quantile(quantile)) / 1_000.0;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999), p99_99: at(0.9999), max: at(1.0) }
    }

    /// In the order in which they are shown.
    pub(super) const fn all(&self) -> [f64; 6] {
        [self.p50, self.p90, self.p99, self.p99_9, self.p99_99, self.max]
    }
}

/// The middle of some figures, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// None where there are no figures.
    pub(super) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        let half = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            figures[half]
        } else {
            f64::midpoint(figures[half - 1], figures[half])
        };
        Some(Self { median, least, most })
    }
}

impl RateFigures {
    /// The passes of a worker, by round.
    pub(super) fn passes(&self, worker: Worker) -> impl Iterator<Item = &Pass> {
        self.rounds.iter().filter_map(move |round| match worker {
            Worker::Weir => Some(&round.weir),
            Worker::Ceiling => round.ceiling.as_ref(),
        })
    }

    /// All passes of Weir, those that a sweep has tried included.
    pub(super) fn audited(&self) -> impl Iterator<Item = &Pass> {
        self.tried.iter().chain(self.passes(Worker::Weir))
    }

    /// A figure of a worker over the rounds.
    pub(super) fn spread(&self, worker: Worker, figure: impl Fn(&Pass) -> f64) -> Option<Spread> {
        Spread::of(self.passes(worker).map(figure))
    }

    /// A figure of a worker over the rounds, where it is known.
    pub(super) fn known(&self, worker: Worker, figure: impl Fn(&Pass) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.passes(worker).filter_map(figure))
    }

    /// A figure of Weir's as a share of the ceiling's, round by round.
    pub(super) fn ratio(&self, figure: impl Fn(&Pass) -> f64) -> Option<Spread> {
        let pairs = self.rounds.iter().filter_map(|round| Some((&round.weir, round.ceiling.as_ref()?)));
        Spread::of(pairs.map(|(weir, ceiling)| figure(weir) / figure(ceiling).max(f64::MIN_POSITIVE)))
    }

    /// The latencies of all of a worker's rounds.
    pub(super) fn latencies(&self, worker: Worker) -> Histogram<u64> {
        let mut all = histogram();
        for pass in self.passes(worker) {
            all.add(Histogram::from(&pass.generated.latencies)).expect("all have the same bounds");
        }
        all
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) const fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_rate_that_was_not_held_does_not_look_held() {
        let pass = |announced, unsent| {
            let generated = Generated {
                window_seconds: 2.0,
                window_announced: announced,
                sampled_announced: announced,
                unsent,
                ..Generated::default()
            };
            let cpu = Cpu { worker: Some(1e6), ..Cpu::default() };
            Pass::new(Worker::Weir, Pace::PerSecond(1_000), 5, generated, cpu, None)
        };
        assert!(pass(2_000, 0).held && pass(1_985, 0).held);
        assert!(!pass(1_974, 0).held && !pass(2_000, 1).held);
        assert_eq!(pass(2_000, 0).cpu.worker, Some(500.0));
        assert_eq!(pass(2_000, 0).cpu.server, None);
    }
}

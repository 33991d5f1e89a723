//! What a run of the load has measured, as `--json` holds it.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::conditions::Conditions;
use crate::findings::Findings;
use crate::load::job::{Generated, Pace};
use crate::load::options::Options;
use crate::statistics::{Quantiles, Spread, histogram, to_f64};

/// A rate counts as held when this share of it was announced within the window, in thousandths.
const HELD_PERMILLE: f64 = 990.0;

/// A run of the bench.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) conditions: Conditions,
    pub(crate) options: Options,
    /// Whether it was ended early: what was not finished is not in it.
    pub(crate) interrupted: bool,
    pub(crate) rates: Vec<RateFigures>,
    pub(crate) also: Vec<AlsoFigures>,
}

/// What was measured at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RateFigures {
    /// As it was asked for: a number, `max`, a share of it, or `sweep`.
    pub(crate) rate: String,
    pub(crate) pace: Pace,
    /// What a sweep has tried to find the rate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tried: Vec<Pass>,
    pub(crate) rounds: Vec<Round>,
}

/// A pass under other conditions than the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AlsoFigures {
    /// Which.
    pub(crate) what: String,
    pub(crate) pass: Pass,
}

/// One round at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) ceiling: Option<Pass>,
    pub(crate) weir: Pass,
}

/// Which worker was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Worker {
    Weir,
    Ceiling,
    Naive,
}

impl Worker {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::Ceiling => "ceiling",
            Self::Naive => "naive",
        }
    }
}

/// One worker under one rate, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pass {
    pub(crate) worker: Worker,
    /// Orders announced a second, over the measured window.
    pub(crate) orders_per_second: f64,
    /// Whether the planned rate was held, both by sending and by announcing; always so where none was planned.
    pub(crate) held: bool,
    pub(crate) latency: Quantiles,
    pub(crate) cpu: Cpu,
    /// The most memory that a worker held, in bytes.
    pub(crate) worker_rss_bytes: Option<u64>,
    /// Payload bytes of commands an order.
    pub(crate) bytes_in_per_order: f64,
    /// Payload bytes of outcomes an order.
    pub(crate) bytes_out_per_order: f64,
    pub(crate) orders_per_append: f64,
    /// How late a message was sent at worst, in milliseconds: more than a few tell that the generator was held up.
    pub(crate) late_ms_max: f64,
    pub(crate) generated: Generated,
    /// Of Weir's passes, and the naive consumer's.
    pub(crate) audit: Option<Findings>,
    /// Messages of the log that analytics have skipped, because they were too slow for them; none where there are none.
    pub(crate) skipped_messages: Option<u64>,
    /// Snapshots that were taken meanwhile, where any were to be.
    pub(crate) snapshots: Option<u64>,
}

/// CPU nanoseconds an order that was announced within the window; none where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cpu {
    pub(crate) worker: Option<f64>,
    pub(crate) server: Option<f64>,
    pub(crate) generator: Option<f64>,
}

impl Pass {
    /// `slack` orders may be on their way at the window's end, though they were announced in time.
    pub(crate) fn new(worker: Worker, pace: Pace, slack: u64, generated: Generated, cpu: Cpu) -> Self {
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
            latency: Quantiles::of(&latencies, generated.window_messages),
            cpu: cpu.per(to_f64(generated.sampled_announced)),
            worker_rss_bytes: None,
            bytes_in_per_order: to_f64(generated.command_bytes) / orders,
            bytes_out_per_order: to_f64(generated.window_bytes) / announced.max(1.0),
            orders_per_append: announced / to_f64(generated.window_appends).max(1.0),
            late_ms_max: to_f64(generated.late_us_max) / 1_000.0,
            generated,
            audit: None,
            skipped_messages: None,
            snapshots: None,
        }
    }
}

impl Cpu {
    fn per(self, orders: f64) -> Self {
        let share = |nanos: Option<f64>| nanos.map(|nanos| nanos / orders.max(1.0));
        Self { worker: share(self.worker), server: share(self.server), generator: share(self.generator) }
    }
}

impl Report {
    /// All passes of Weir.
    pub(crate) fn audited(&self) -> impl Iterator<Item = &Pass> {
        let rates = self.rates.iter().flat_map(RateFigures::audited);
        rates.chain(self.also.iter().map(|also| &also.pass))
    }
}

impl RateFigures {
    /// The passes of a worker, by round.
    pub(crate) fn passes(&self, worker: Worker) -> impl Iterator<Item = &Pass> {
        self.rounds.iter().filter_map(move |round| match worker {
            Worker::Weir => Some(&round.weir),
            Worker::Ceiling => round.ceiling.as_ref(),
            Worker::Naive => None,
        })
    }

    /// All passes of Weir, those that a sweep has tried included.
    fn audited(&self) -> impl Iterator<Item = &Pass> {
        self.tried.iter().chain(self.passes(Worker::Weir))
    }

    /// A figure of a worker over the rounds.
    pub(crate) fn spread(&self, worker: Worker, figure: impl Fn(&Pass) -> f64) -> Option<Spread> {
        Spread::of(self.passes(worker).map(figure))
    }

    /// A figure of a worker over the rounds, where it is known in each.
    pub(crate) fn known(&self, worker: Worker, figure: impl Fn(&Pass) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.passes(worker).map(figure).collect::<Option<Vec<_>>>()?)
    }

    /// A figure of Weir's as a share of the ceiling's, round by round.
    pub(crate) fn ratio(&self, figure: impl Fn(&Pass) -> Option<f64>) -> Option<Spread> {
        let pairs = self.rounds.iter().filter_map(|round| Some((&round.weir, round.ceiling.as_ref()?)));
        Spread::of(
            pairs.filter_map(|(weir, ceiling)| Some(figure(weir)? / figure(ceiling)?.max(f64::MIN_POSITIVE))),
        )
    }

    /// The latencies of all of a worker's rounds.
    pub(crate) fn latencies(&self, worker: Worker) -> Histogram<u64> {
        let mut all = histogram();
        for pass in self.passes(worker) {
            all.add(Histogram::from(&pass.generated.latencies)).expect("all have the same bounds");
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            Pass::new(Worker::Weir, Pace::PerSecond(1_000), 5, generated, cpu)
        };
        assert!(pass(2_000, 0).held && pass(1_985, 0).held);
        assert!(!pass(1_974, 0).held && !pass(2_000, 1).held);
        assert_eq!(pass(2_000, 0).cpu.worker, Some(500.0));
        assert_eq!(pass(2_000, 0).cpu.server, None);
    }
}

//! Latency: how long a decision takes, and where.

use super::{panel, target};
use crate::process::monitoring::definition::{Board, Item, Kind, Row, Tile, Unit};

pub(super) const BOARD: Board = Board {
    uid: "weir-latency",
    title: "Weir / Latency",
    description: "How long decisions take, from being stored to being announced, and where the time goes. For those who run Weir.",
    tiles: &[
        Tile { title: "Error budget burns, times", alert: "WeirErrorBudgetBurn" },
        Tile { title: "Oldest order waits", alert: "WeirLag" },
    ],
    rows: &[
        Row {
            question: "How long does a checkout wait?",
            open: true,
            items: &[
                panel(
                    "Stored to announced",
                    "How many decisions took how long. The objective's bound is one bucket's edge, 0.25 s.",
                    Kind::Heatmap,
                    Unit::Seconds,
                    &[target(
                        "sum by (le) (increase(weir_stage_duration_seconds_bucket{stage=\"end_to_end\",$}[$__rate_interval]))",
                        "{{le}}",
                    )],
                ),
                panel(
                    "Quantiles, stored to announced",
                    "Half, 99% and 99.9% of decisions stay within these, read from buckets.",
                    Kind::Lines,
                    Unit::Seconds,
                    &[
                        target(
                            "histogram_quantile(0.5, sum by (le) (rate(weir_stage_duration_seconds_bucket{stage=\"end_to_end\",$}[$__rate_interval])))",
                            "p50",
                        ),
                        target(
                            "histogram_quantile(0.99, sum by (le) (rate(weir_stage_duration_seconds_bucket{stage=\"end_to_end\",$}[$__rate_interval])))",
                            "p99",
                        ),
                        target(
                            "histogram_quantile(0.999, sum by (le) (rate(weir_stage_duration_seconds_bucket{stage=\"end_to_end\",$}[$__rate_interval])))",
                            "p99.9",
                        ),
                    ],
                ),
                Item::Alert("WeirLag"),
                panel(
                    "Exact quantiles of the last minute",
                    "From the worker's own histograms, right within 1%; the worst shard.",
                    Kind::Lines,
                    Unit::Seconds,
                    &[target(
                        "max by (quantile) (weir_stage_minute_seconds{stage=\"end_to_end\",$})",
                        "{{quantile}}",
                    )],
                ),
            ],
        },
        Row {
            question: "Where does the time go?",
            open: false,
            items: &[
                panel(
                    "Mean time by stage",
                    "Stored to applied (reading and deciding), and from there to announced (gathering, and the append's round trip). They add up to what a checkout waits.",
                    Kind::Stack,
                    Unit::Seconds,
                    &[
                        target(
                            "sum(rate(weir_stage_duration_seconds_sum{stage=\"apply\",$}[$__rate_interval])) \
                             / sum(rate(weir_stage_duration_seconds_count{stage=\"apply\",$}[$__rate_interval]))",
                            "stored to applied",
                        ),
                        target(
                            "clamp_min(sum(rate(weir_stage_duration_seconds_sum{stage=\"end_to_end\",$}[$__rate_interval])) \
                             / sum(rate(weir_stage_duration_seconds_count{stage=\"end_to_end\",$}[$__rate_interval])) \
                             - sum(rate(weir_stage_duration_seconds_sum{stage=\"apply\",$}[$__rate_interval])) \
                             / sum(rate(weir_stage_duration_seconds_count{stage=\"apply\",$}[$__rate_interval])), 0)",
                            "applied to announced",
                        ),
                    ],
                ),
                panel(
                    "99% by stage",
                    "What 99% stay within: stored to applied, an append's round trip, stored to announced.",
                    Kind::Lines,
                    Unit::Seconds,
                    &[target(
                        "histogram_quantile(0.99, sum by (le, stage) (rate(weir_stage_duration_seconds_bucket{$}[$__rate_interval])))",
                        "{{stage}}",
                    )],
                ),
                panel(
                    "An append's round trip",
                    "How long NATS took to store outcomes.",
                    Kind::Heatmap,
                    Unit::Seconds,
                    &[target(
                        "sum by (le) (increase(weir_stage_duration_seconds_bucket{stage=\"publish\",$}[$__rate_interval]))",
                        "{{le}}",
                    )],
                ),
                panel(
                    "The slowest message of five minutes",
                    "From stored to announced, the worst shard.",
                    Kind::Lines,
                    Unit::Seconds,
                    &[target("max by (shard) (weir_slowest_seconds{$})", "{{shard}}")],
                ),
            ],
        },
        Row {
            question: "How much is done at once?",
            open: false,
            items: &[
                panel(
                    "Messages applied at once",
                    "Batches grow with load: that is how a shard keeps up. Always full ones are a core at its limit.",
                    Kind::Heatmap,
                    Unit::Count,
                    &[target(
                        "sum by (le) (increase(weir_batch_messages_bucket{$}[$__rate_interval]))",
                        "{{le}}",
                    )],
                ),
                panel(
                    "Outcomes announced at once",
                    "An append carries all that gathered during the one before.",
                    Kind::Heatmap,
                    Unit::Count,
                    &[target(
                        "sum by (le) (increase(weir_append_outcomes_bucket{$}[$__rate_interval]))",
                        "{{le}}",
                    )],
                ),
                panel(
                    "When orders will wait longer than the bound",
                    "At the rates of the last minutes; 0 where they do. Empty where they will not.",
                    Kind::Lines,
                    Unit::Seconds,
                    &[target("min by (shard) (weir_confirmation_breach_seconds{$})", "{{shard}}")],
                ),
                panel(
                    "When the lag is gone",
                    "At the rates of the last minutes. Empty where it does not shrink.",
                    Kind::Lines,
                    Unit::Seconds,
                    &[target("max by (shard) (weir_confirmation_drained_seconds{$})", "{{shard}}")],
                ),
            ],
        },
    ],
};

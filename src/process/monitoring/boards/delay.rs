//! Delay and cancellation: what will be late, what is cancelled, and whether the predictions can be trusted.

use super::{panel, target};
use crate::process::monitoring::definition::{Board, Item, Kind, Row, Tile, Unit};

pub(super) const BOARD: Board = Board {
    uid: "weir-delay",
    title: "Weir / Delay and cancellation",
    description: "What will be late, what is cancelled and why, and how far the predictions can be trusted. For operations and customer care.",
    tiles: &[
        Tile { title: "Expected to arrive late", alert: "WeirDelayRiskRising" },
        Tile { title: "Cancellations, times as usual", alert: "WeirCancellationSurge" },
        Tile { title: "Probabilities are off by", alert: "WeirPredictionOff" },
        Tile { title: "Payments refused", alert: "WeirPaymentsRefused" },
    ],
    rows: &[
        Row {
            question: "What will be late?",
            open: true,
            items: &[
                Item::Alert("WeirDelayRiskRising"),
                panel(
                    "Open orders by their risk",
                    "Orders with a promise, by their probability to arrive late, in tenths; `late` are those whose promise has passed.",
                    Kind::Stack,
                    Unit::Count,
                    &[target("sum by (risk) (weir_delay_open_orders{$})", "{{risk}}")],
                ),
                panel(
                    "Orders that are warned of",
                    "Each is in the signals and on the console's to-do list.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("sum by (shard) (weir_delay_orders_at_risk{$})", "{{shard}}")],
                ),
                panel(
                    "Paid and not shipped, by site",
                    "The backlog of each site.",
                    Kind::Stack,
                    Unit::Count,
                    &[target("sum by (site) (weir_site_backlog_orders{$})", "{{site}}")],
                ),
            ],
        },
        Row {
            question: "Is more cancelled than usual?",
            open: false,
            items: &[
                Item::Alert("WeirCancellationSurge"),
                panel(
                    "Orders cancelled, by reason",
                    "Orders a second that were cancelled or expired as a whole.",
                    Kind::Stack,
                    Unit::PerSecond,
                    &[target(
                        "sum by (reason, party) (rate(weir_cancelled_orders_total{$}[$__rate_interval])) > 0",
                        "{{reason}} ({{party}})",
                    )],
                ),
                panel(
                    "Value cancelled, an hour",
                    "In major units, by currency.",
                    Kind::Lines,
                    Unit::Count,
                    &[target(
                        "sum by (currency) (increase(weir_cancelled_value_total{$}[1h]))",
                        "{{currency}}",
                    )],
                ),
                panel(
                    "Cancelled after waiting",
                    "Orders a second that were cancelled after their promise had passed, or while they waited for stock.",
                    Kind::Lines,
                    Unit::PerSecond,
                    &[
                        target(
                            "sum(rate(weir_cancelled_late_orders_total{$}[$__rate_interval]))",
                            "promise had passed",
                        ),
                        target(
                            "sum(rate(weir_cancelled_waiting_orders_total{$}[$__rate_interval]))",
                            "waited for stock",
                        ),
                    ],
                ),
                panel(
                    "Age of cancelled orders",
                    "From being placed to being cancelled.",
                    Kind::Heatmap,
                    Unit::Seconds,
                    &[target(
                        "sum by (le) (increase(weir_cancel_age_seconds_bucket{$}[$__rate_interval]))",
                        "{{le}}",
                    )],
                ),
                Item::Alert("WeirPaymentsRefused"),
            ],
        },
        Row {
            question: "Can the predictions be trusted?",
            open: false,
            items: &[
                Item::Alert("WeirPredictionOff"),
                panel(
                    "What was said, and what happened, by tenths",
                    "For orders that were scored when they were paid: honest where both lie together.",
                    Kind::Lines,
                    Unit::Share,
                    &[
                        target(
                            "max by (decile) (weir_delay_calibration_said_ratio{moment=\"paid\",$})",
                            "said {{decile}}",
                        ),
                        target(
                            "max by (decile) (weir_delay_calibration_happened_ratio{moment=\"paid\",$})",
                            "happened {{decile}}",
                        ),
                    ],
                ),
                panel(
                    "Warnings: right, and complete",
                    "The share of warnings that came true (precision), and of late orders that were warned of (recall).",
                    Kind::Lines,
                    Unit::Share,
                    &[
                        target(
                            "min by (shard) (weir_delay_warning_precision_ratio{$})",
                            "{{shard}} precision",
                        ),
                        target("min by (shard) (weir_delay_warning_recall_ratio{$})", "{{shard}} recall"),
                    ],
                ),
                panel(
                    "Log-loss",
                    "Of what was said at a moment against what happened: lower is better.",
                    Kind::Lines,
                    Unit::None,
                    &[target("max by (moment) (weir_delay_log_loss{$})", "{{moment}}")],
                ),
                panel(
                    "How much was learned",
                    "Deliveries that the model of each moment has learned from.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("max by (moment) (weir_delay_learned_deliveries{$})", "{{moment}}")],
                ),
                panel(
                    "Signals that stand",
                    "By kind, as `weir signals` tells them.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("sum by (kind) (weir_signals_open{$})", "{{kind}}")],
                ),
            ],
        },
        Row {
            question: "Are there as many orders as usual?",
            open: false,
            items: &[
                panel(
                    "Orders of the last whole hour, and what was expected",
                    "By the same hour of the weeks before; outside of low and high is a surprise. Empty until an hour of the week was seen twice.",
                    Kind::Lines,
                    Unit::Count,
                    &[
                        target("sum(weir_volume_hour_orders{$})", "came"),
                        target("sum(weir_volume_hour_expected_orders{$})", "expected"),
                        target("sum(weir_volume_hour_low_orders{$})", "low"),
                        target("sum(weir_volume_hour_high_orders{$})", "high"),
                    ],
                ),
                panel(
                    "Failed payments",
                    "A second, by reason.",
                    Kind::Stack,
                    Unit::PerSecond,
                    &[target(
                        "sum by (reason) (rate(weir_payment_failures_total{$}[$__rate_interval])) > 0",
                        "{{reason}}",
                    )],
                ),
            ],
        },
    ],
};

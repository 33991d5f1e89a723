//! The overview: what a customer would see.

use super::{panel, target};
use crate::process::monitoring::definition::{Board, Item, Kind, Row, Tile, Unit};

pub(super) const BOARD: Board = Board {
    uid: "weir-overview",
    title: "Weir / Overview",
    description: "Whether orders are being confirmed, how fast, and what stands in the way. For everybody.",
    tiles: &[
        Tile { title: "Workers scraped", alert: "WeirAbsent" },
        Tile { title: "Leaders of the worst shard", alert: "WeirShardWithoutLeader" },
        Tile { title: "Nothing decided for", alert: "WeirShardStandsStill" },
        Tile { title: "Oldest order waits", alert: "WeirLag" },
        Tile { title: "Error budget burns, times", alert: "WeirErrorBudgetBurn" },
        Tile { title: "Orders against last week", alert: "WeirFewOrders" },
    ],
    rows: &[
        Row {
            question: "Are orders being confirmed?",
            open: true,
            items: &[
                panel(
                    "How each worker is",
                    "Each worker's verdict on itself; its sentence and what to do next stand in the console, at /status and in `weir status`.",
                    Kind::Timeline(&[
                        (0.0, "ok", "green"),
                        (1.0, "recovering", "blue"),
                        (2.0, "draining", "blue"),
                        (3.0, "warning", "yellow"),
                        (4.0, "critical", "purple"),
                    ]),
                    Unit::None,
                    &[target(
                        "sum by (instance) (weir_verdict{state=\"recovering\",$}) + 2 * sum by (instance) (weir_verdict{state=\"draining\",$}) \
                         + 3 * sum by (instance) (weir_verdict{state=\"warning\",$}) + 4 * sum by (instance) (weir_verdict{state=\"critical\",$})",
                        "{{instance}}",
                    )],
                ),
                panel(
                    "Orders placed, now and last week",
                    "Orders decided a second, retries included, beside the same time a week ago. Leaders alone count.",
                    Kind::Lines,
                    Unit::PerSecond,
                    &[
                        target(
                            "sum(rate(weir_commands_total{command=\"place\",$}[$__rate_interval]))",
                            "now",
                        ),
                        target(
                            "sum(rate(weir_commands_total{command=\"place\",$}[$__rate_interval] offset 1w))",
                            "last week",
                        ),
                    ],
                ),
                panel(
                    "What became of them",
                    "Outcomes a second that are about an order's stock: confirmed, waiting for stock, refused, cancelled, expired.",
                    Kind::Stack,
                    Unit::PerSecond,
                    &[target(
                        "sum by (outcome) (rate(weir_outcomes_total{outcome=~\"confirmed|waiting|refused|cancelled|expired\",$}[$__rate_interval]))",
                        "{{outcome}}",
                    )],
                ),
                panel(
                    "Share answered within 250 ms",
                    "Of all answers, those that were decisions and came within 250 ms: of reaching a door, or of being stored where an order came by none. \
                     Busy, unavailable and what was not known in time are not. The objective is 99.9% over 30 days. Gaps are times without answers.",
                    Kind::Lines,
                    Unit::Share,
                    &[target(
                        "sum(rate(weir_slo_answers_total{verdict=\"good\",$}[$__rate_interval])) \
                         / sum(rate(weir_slo_answers_total{$}[$__rate_interval]))",
                        "within 250 ms",
                    )],
                ),
                panel(
                    "Why orders are refused",
                    "Refusals a second by reason. Refused for want of stock is business; most others are a client's defects.",
                    Kind::Stack,
                    Unit::PerSecond,
                    &[target(
                        "sum by (reason) (rate(weir_outcomes_total{outcome=\"refused\",$}[$__rate_interval])) > 0",
                        "{{reason}}",
                    )],
                ),
            ],
        },
        Row {
            question: "Does any alert fire?",
            open: true,
            items: &[
                panel(
                    "Alerts that fire",
                    "Weir's alerts as Prometheus evaluates them. Empty is good, if workers are scraped (first tile).",
                    Kind::Timeline(&[(1.0, "fires", "red")]),
                    Unit::None,
                    &[target(
                        "max by (alertname, shard, severity) (ALERTS{alertname=~\"Weir.*\",alertstate=\"firing\",$job})",
                        "{{alertname}} {{shard}} ({{severity}})",
                    )],
                ),
                Item::Alert("WeirFault"),
            ],
        },
        Row {
            question: "Does the door answer?",
            open: false,
            items: &[
                Item::Alert("WeirDoorRefuses"),
                panel(
                    "Requests by answer",
                    "Commands a second that doors answered. `decided` is the outcome, `refused` a client's defect; the others are no decision: busy and unavailable \
                     (not stored), unknown (perhaps stored), accepted (stored, decided later). Empty where nobody asks at a door.",
                    Kind::Stack,
                    Unit::PerSecond,
                    &[target(
                        "sum by (kind) (rate(weir_door_replies_total{$}[$__rate_interval])) > 0",
                        "{{kind}}",
                    )],
                ),
                panel(
                    "Time to answer",
                    "From a request's being read to its reply: half of them, 99% and 99.9% stay within these, read from buckets.",
                    Kind::Lines,
                    Unit::Seconds,
                    &[
                        target(
                            "histogram_quantile(0.5, sum by (le) (rate(weir_door_reply_seconds_bucket{$}[$__rate_interval])))",
                            "p50",
                        ),
                        target(
                            "histogram_quantile(0.99, sum by (le) (rate(weir_door_reply_seconds_bucket{$}[$__rate_interval])))",
                            "p99",
                        ),
                        target(
                            "histogram_quantile(0.999, sum by (le) (rate(weir_door_reply_seconds_bucket{$}[$__rate_interval])))",
                            "p99.9",
                        ),
                    ],
                ),
                panel(
                    "Requests that wait for their answer",
                    "At each door. They grow with the flow. Once `door.pending_max` commands of a shard wait, further ones are answered busy.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("max by (instance) (weir_door_pending_requests{$})", "{{instance}}")],
                ),
                Item::Alert("WeirDoorSilent"),
                panel(
                    "Appends of doors that were not acknowledged",
                    "A second, by why. Each is looked for in the log before it is sent again.",
                    Kind::Lines,
                    Unit::PerSecond,
                    &[target(
                        "sum by (why) (rate(weir_door_append_failures_total{$}[$__rate_interval])) > 0",
                        "{{why}}",
                    )],
                ),
            ],
        },
        Row {
            question: "Is the objective kept?",
            open: false,
            items: &[
                Item::Alert("WeirErrorBudgetBurn"),
                panel(
                    "Error budget that is left",
                    "Of 30 days' budget, 0.1% of all answers, as workers and doors have counted them together; orders that are stored and not decided count \
                     as bad. Below 0 the objective is missed.",
                    Kind::Lines,
                    Unit::Share,
                    &[target("job:weir_slo_budget:remaining30d{$job}", "{{job}}")],
                ),
                panel(
                    "Orders that missed 250 ms",
                    "Within the last hour: answered late, busy, unavailable or not in time, and those that wait undecided.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("job:weir_slo_bad:increase1h{$job}", "{{job}}")],
                ),
                panel(
                    "Bad answers, by worker",
                    "A second: late, busy, unavailable, not in time. Each worker counts those of its door, and of the shards that it leads.",
                    Kind::Stack,
                    Unit::PerSecond,
                    &[target(
                        "sum by (instance) (rate(weir_slo_answers_total{verdict=\"bad\",$}[$__rate_interval]))",
                        "{{instance}}",
                    )],
                ),
                panel(
                    "Messages stored and not decided",
                    "Between the log's end and what is decided and announced, whoever leads.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("job_shard:weir_undecided_messages:max{$job}", "{{shard}}")],
                ),
            ],
        },
        Row {
            question: "What could stop the flow?",
            open: false,
            items: &[
                Item::Alert("WeirAbsent"),
                Item::Alert("WeirShardWithoutLeader"),
                Item::Alert("WeirShardStandsStill"),
                Item::Alert("WeirShardNotReady"),
                Item::Alert("WeirFiguresFrozen"),
                Item::Alert("WeirFewOrders"),
                Item::Alert("WeirWorkerUnreachable"),
            ],
        },
    ],
};

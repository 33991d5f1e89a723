//! Internals: shards, streams, snapshots, audits, processes.

use super::{panel, target};
use crate::process::monitoring::definition::{Board, Item, Kind, Row, Tile, Unit};

pub(super) const BOARD: Board = Board {
    uid: "weir-internals",
    title: "Weir / Internals",
    description: "Shards and who leads them, streams against their limits, snapshots, audits, processes. For those who run Weir.",
    tiles: &[
        Tile { title: "Faults", alert: "WeirFault" },
        Tile { title: "Standbys of the worst shard", alert: "WeirStandbyMissing" },
        Tile { title: "The fullest log", alert: "WeirLogFull" },
        Tile { title: "Snapshots that failed", alert: "WeirSnapshotsFail" },
        Tile { title: "Audit disagreements", alert: "WeirAuditFailed" },
        Tile { title: "Dead letters", alert: "WeirDeadLetters" },
    ],
    rows: &[
        Row {
            question: "Who leads, and who stands by?",
            open: true,
            items: &[
                panel(
                    "Roles",
                    "What each worker is to each shard.",
                    Kind::Timeline(&[
                        (0.0, "away", "text"),
                        (1.0, "standby", "blue"),
                        (2.0, "leader", "green"),
                    ]),
                    Unit::None,
                    &[target(
                        "sum by (instance, shard) (weir_role{role=\"leader\",$}) * 2 + sum by (instance, shard) (weir_role{role=\"standby\",$})",
                        "{{shard}} at {{instance}}",
                    )],
                ),
                panel(
                    "Lives",
                    "What each shard is at each worker: recovery goes through pausing, restoring and replaying.",
                    Kind::Timeline(&[
                        (0.0, "away", "text"),
                        (1.0, "pausing", "yellow"),
                        (2.0, "restoring", "yellow"),
                        (3.0, "replaying", "yellow"),
                        (4.0, "following", "blue"),
                        (5.0, "leading", "green"),
                        (6.0, "halted", "purple"),
                    ]),
                    Unit::None,
                    &[target(
                        "sum by (instance, shard) (weir_life{life=\"pausing\",$}) + 2 * sum by (instance, shard) (weir_life{life=\"restoring\",$}) \
                         + 3 * sum by (instance, shard) (weir_life{life=\"replaying\",$}) + 4 * sum by (instance, shard) (weir_life{life=\"following\",$}) \
                         + 5 * sum by (instance, shard) (weir_life{life=\"leading\",$}) + 6 * sum by (instance, shard) (weir_life{life=\"halted\",$})",
                        "{{shard}} at {{instance}}",
                    )],
                ),
                Item::Alert("WeirStandbyMissing"),
                panel(
                    "Messages behind",
                    "Stored and not applied, at each worker: a standby's lag says how fast it could lead.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("max by (instance, shard) (weir_lag_messages{$})", "{{shard}} at {{instance}}")],
                ),
            ],
        },
        Row {
            question: "Do the streams have room, and keep what they hold?",
            open: false,
            items: &[
                Item::Alert("WeirLogFull"),
                Item::Alert("WeirLogFullSoon"),
                Item::Alert("WeirUnsafeSettings"),
                panel(
                    "Streams and their limits",
                    "Bytes held, and allowed. The outcome stream drops its oldest at its limit; a log refuses.",
                    Kind::Lines,
                    Unit::Bytes,
                    &[
                        target("max by (shard, stream) (weir_stream_bytes{$})", "{{shard}} {{stream}}"),
                        target(
                            "max by (shard, stream) (weir_stream_limit_bytes{$}) > 0",
                            "{{shard}} {{stream}} limit",
                        ),
                    ],
                ),
                panel(
                    "Messages that the log holds",
                    "From the first that is kept to the last.",
                    Kind::Lines,
                    Unit::Count,
                    &[target(
                        "max by (shard) (weir_log_last_sequence{$}) - max by (shard) (weir_log_first_sequence{$} > 0) + 1",
                        "{{shard}}",
                    )],
                ),
            ],
        },
        Row {
            question: "Are snapshots taken, and do audits agree?",
            open: false,
            items: &[
                Item::Alert("WeirSnapshotsFail"),
                Item::Alert("WeirSnapshotTooOld"),
                Item::Alert("WeirAuditFailed"),
                Item::Alert("WeirAuditTooOld"),
                panel(
                    "Newest snapshots",
                    "When each worker last took one.",
                    Kind::Table,
                    Unit::Since,
                    &[target(
                        "weir_snapshot_last_success_timestamp_seconds{$} * 1000",
                        "{{shard}} at {{instance}}",
                    )],
                ),
                panel(
                    "Size of the newest snapshot",
                    "In bytes, of each worker's own.",
                    Kind::Lines,
                    Unit::Bytes,
                    &[target("max by (shard) (weir_snapshot_bytes{$})", "{{shard}}")],
                ),
            ],
        },
        Row {
            question: "What fails?",
            open: false,
            items: &[
                Item::Alert("WeirAppendsFail"),
                Item::Alert("WeirPanics"),
                Item::Alert("WeirDeadLetters"),
                Item::Alert("WeirClockSkew"),
                panel(
                    "Work that was begun again",
                    "A second, by why: a fault, a loss that recovery answers, a panic.",
                    Kind::Lines,
                    Unit::PerSecond,
                    &[target(
                        "sum by (shard, why) (rate(weir_recoveries_total{$}[$__rate_interval]))",
                        "{{shard}} {{why}}",
                    )],
                ),
                panel(
                    "Readers that fell silent",
                    "A second; each is opened anew.",
                    Kind::Lines,
                    Unit::PerSecond,
                    &[target(
                        "sum by (shard) (rate(weir_reader_stalls_total{$}[$__rate_interval]))",
                        "{{shard}}",
                    )],
                ),
            ],
        },
        Row {
            question: "Do analytics keep up?",
            open: false,
            items: &[
                Item::Alert("WeirAnalyticsSkip"),
                panel(
                    "Messages that analytics have still to look at",
                    "Announced, and not measured yet.",
                    Kind::Lines,
                    Unit::Count,
                    &[target(
                        "max by (instance, shard) (weir_analytics_lag_messages{$})",
                        "{{shard}} at {{instance}}",
                    )],
                ),
                panel(
                    "Orders that are followed",
                    "Open and lately closed: risks, and rates by site and carrier, are of these.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("max by (shard) (weir_orders_followed{$})", "{{shard}}")],
                ),
                panel(
                    "New orders that are not followed",
                    "A second: too many came at once. They are counted all the same.",
                    Kind::Lines,
                    Unit::PerSecond,
                    &[target(
                        "sum by (shard) (rate(weir_orders_passed_over_total{$}[$__rate_interval]))",
                        "{{shard}}",
                    )],
                ),
            ],
        },
        Row {
            question: "What do the processes take?",
            open: false,
            items: &[
                panel(
                    "Processor",
                    "Cores in use. One shard is at most one core's work, its streams and analytics beside.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("rate(process_cpu_seconds_total{$}[$__rate_interval])", "{{instance}}")],
                ),
                panel(
                    "Memory",
                    "Resident. It grows with open and remembered orders, up to the policy's caps.",
                    Kind::Lines,
                    Unit::Bytes,
                    &[target("process_resident_memory_bytes{$}", "{{instance}}")],
                ),
                panel(
                    "Open files",
                    "Against the limit of the process.",
                    Kind::Lines,
                    Unit::Count,
                    &[
                        target("process_open_fds{$}", "{{instance}}"),
                        target("process_max_fds{$}", "{{instance}} limit"),
                    ],
                ),
                panel(
                    "Versions",
                    "Which version each worker runs, and the newest rules it knows.",
                    Kind::Table,
                    Unit::None,
                    &[target("weir_build_info{$}", "{{instance}} {{version}}")],
                ),
            ],
        },
    ],
};

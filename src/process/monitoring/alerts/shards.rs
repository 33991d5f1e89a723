//! What goes wrong with a shard, or soon will.

use super::looks;
use crate::process::monitoring::definition::{Alert, Case, Severity, Team, Threshold, Unit};

/// What a fault is called by whom it stops: a shard that nobody leads now, or one worker's copy of it beside another that leads.
macro_rules! fault {
    (
        $halts:literal, $severity:ident, $guard:literal, $hold:literal, summary: $summary:literal,
        fires: $fires:literal, $told:literal, silent: $silent:literal
    ) => {
        Alert {
            name: "WeirFault",
            labels: &[("halts", $halts)],
            team: Team::Platform,
            severity: Severity::$severity,
            title: "Faults",
            quantity: "max by (job, shard, fault) (weir_fault{$})",
            legend: "{{shard}}: {{fault}}",
            unit: Unit::Count,
            threshold: Threshold::Above(0.0),
            // Another leads it, without a fault of its own.
            guard: concat!(
                $guard,
                " on (job, shard) (weir_role{role=\"leader\",$} == 1 unless on (job, instance, shard) weir_fault{$} == 1)"
            ),
            hold: $hold,
            keep: "1m",
            summary: $summary,
            meaning: "A worker found that it must not go on with a shard: the log or the outcomes are not what they were, or it met what it does not know. It \
                      never skips and never guesses. Other shards go on.",
            impact: "Where nobody leads, the shard's orders are stored and wait, and its checkouts get no answer. Where another worker leads, there is one fewer \
                     to take over.",
            looks: [looks::FAULTS, looks::VIEW, looks::STATUS],
            diagnosis: &[
                "`/status` and the log of the worker that has it spell the fault out, with the sequence and the next step.",
                "The table \"Faults\" in docs/operations.md says what each means.",
                "Do all workers have it, or one? One alone: its binary, its clock, or a server that has other data than the rest.",
            ],
            mitigation: &[
                "`gap`, `log_behind`, `log_rewritten`, `outcomes_ahead`: restore the stream from a backup, or begin a new epoch with `weir epoch`; \"Back up and \
                 restore\" in docs/operations.md has the steps.",
                "`digest_mismatch`: run the binary that announced the outcomes, keep both streams, and report it.",
                "`clock`: wait; the shard goes on when the time has come. Mend the broker's clock.",
                "`unknown_rules`: run a newer binary.",
                "`panic`: nothing was skipped; keep the log stream, report it, and run a mended binary.",
            ],
            weekly: false,
            fires: Case {
                series: &[
                    ("weir_fault{job=\"weir\",instance=\"a\",shard=\"main\",fault=\"gap\"}", "0x4 1x20"),
                    ("weir_role{job=\"weir\",instance=\"a\",shard=\"main\",role=\"leader\"}", "1x4 0x20"),
                    ("weir_role{job=\"weir\",instance=\"b\",shard=\"main\",role=\"leader\"}", $fires),
                ],
                at: "3m",
                labels: &[("job", "weir"), ("shard", "main"), ("fault", "gap")],
                summary: $told,
            },
            silent: Case {
                series: &[
                    ("weir_fault{job=\"weir\",instance=\"a\",shard=\"main\",fault=\"gap\"}", "0x4 1x1 0x20"),
                    ("weir_role{job=\"weir\",instance=\"a\",shard=\"main\",role=\"leader\"}", "0x24"),
                    ("weir_role{job=\"weir\",instance=\"b\",shard=\"main\",role=\"leader\"}", $silent),
                ],
                at: "3m",
                labels: &[],
                summary: "",
            },
        }
    };
}

pub(super) const ALL: [Alert; 8] = [
    fault!(
        "shard", Page, "unless", "30s",
        summary: "A fault halts shard {{ $labels.shard }}, and nobody leads it: {{ $labels.fault }}.",
        fires: "0x24", "A fault halts shard main, and nobody leads it: gap.",
        // Mended before anybody could have been told, while nobody led.
        silent: "0x24"
    ),
    fault!(
        "worker", Ticket, "and", "1m",
        summary: "A fault halts shard {{ $labels.shard }} at one of its workers, while another one leads it: {{ $labels.fault }}.",
        fires: "1x24", "A fault halts shard main at one of its workers, while another one leads it: gap.",
        // The same, while another one led.
        silent: "1x24"
    ),
    Alert {
        name: "WeirLag",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Ticket,
        title: "Age of the oldest order that is not decided",
        quantity: "max by (job, shard) (weir_lag_seconds{$} and on (job, instance, shard) weir_role{role=\"leader\",$} == 1)",
        legend: "{{shard}}",
        unit: Unit::Seconds,
        threshold: Threshold::Above(5.0),
        guard: "",
        hold: "2m",
        keep: "2m",
        summary: "Shard {{ $labels.shard }} is {{ $value | lasting }} behind its log.",
        meaning: "For minutes the leader has decided less than is stored: too much comes, or it is slow.",
        impact: "Checkouts wait so long for their answer; from 2 seconds on doors turn them away (`busy`). Nothing that is stored is lost.",
        looks: [looks::LAG, looks::STATUS, looks::VIEW],
        diagnosis: &[
            "\"Weir / Internals\": the sizes of batches. Full ones: more comes in than a core decides.",
            "What else runs on the machine? `top` tells.",
            "An import, or a great receipt that releases many waiting orders, ends by itself.",
        ],
        mitigation: &[
            "Slow down what can wait: imports, bulk updates.",
            "Hand the shard to a faster machine: stop this worker with SIGTERM.",
            "For good: split its sites over more shards.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                ("weir_lag_seconds{job=\"weir\",instance=\"a\",shard=\"main\"}", "0x4 12x20"),
                ("weir_role{job=\"weir\",instance=\"a\",shard=\"main\",role=\"leader\"}", "1x24"),
            ],
            at: "5m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "Shard main is 12s behind its log.",
        },
        // A standby that recovers.
        silent: Case {
            series: &[
                ("weir_lag_seconds{job=\"weir\",instance=\"b\",shard=\"main\"}", "900x24"),
                ("weir_role{job=\"weir\",instance=\"b\",shard=\"main\",role=\"leader\"}", "0x24"),
            ],
            at: "5m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirStandbyMissing",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Ticket,
        title: "Standbys of each shard",
        quantity: "sum by (job, shard) (weir_role{role=\"standby\",$})",
        legend: "{{shard}}",
        unit: Unit::Count,
        threshold: Threshold::Below(1.0),
        guard: "",
        hold: "15m",
        keep: "",
        summary: "Shard {{ $labels.shard }} has had no standby for a quarter of an hour.",
        meaning: "Only one worker folds the shard. Nobody could lead it from memory, snapshots cost its leader's machine memory and time, and nobody audits.",
        impact: "None now. If the leader dies, orders wait until another worker has recovered the shard.",
        looks: [looks::STATUS, looks::ROLES, looks::READY],
        diagnosis: &[
            "How many workers run, and how many do `worker.standbys` and the shards ask for?",
            "A worker that is not ready does not stand by: `/readyz` says why.",
        ],
        mitigation: &[
            "Start another worker with the same configuration and a name of its own.",
            "A single worker is wanted: set `worker.standbys = 0`, and silence this alert for good.",
        ],
        weekly: false,
        fires: Case {
            series: &[("weir_role{job=\"weir\",instance=\"a\",shard=\"main\",role=\"standby\"}", "0x100")],
            at: "20m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "Shard main has had no standby for a quarter of an hour.",
        },
        silent: Case {
            series: &[
                ("weir_role{job=\"weir\",instance=\"a\",shard=\"main\",role=\"standby\"}", "0x100"),
                ("weir_role{job=\"weir\",instance=\"b\",shard=\"main\",role=\"standby\"}", "1x100"),
            ],
            at: "20m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirClockSkew",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Ticket,
        title: "How far the clocks of broker and worker differ",
        quantity: "abs(weir_clock_skew_seconds{$})",
        legend: "{{instance}} {{shard}}",
        unit: Unit::Seconds,
        threshold: Threshold::Above(2.0),
        guard: "",
        hold: "5m",
        keep: "",
        summary: "The clock of worker {{ $labels.instance }} and that of the broker of shard {{ $labels.shard }} differ by {{ $value | lasting }}.",
        meaning: "Orders are stamped by the broker, and latency is measured against the worker's clock. A difference makes latency look better or worse than it \
                  is; at 5 minutes a shard stands still (`clock`).",
        impact: "Latency and the objective are measured wrongly. Holds end by the broker's clock.",
        looks: [looks::SKEW, looks::CLOCK, looks::STATUS],
        diagnosis: &[
            "One worker, or all of them? All: the broker's clock is wrong.",
            "`timedatectl` on both machines says whether time is synchronised.",
        ],
        mitigation: &[
            "Start or mend time synchronisation (chrony, systemd-timesyncd) on the machine that is off.",
        ],
        weekly: false,
        fires: Case {
            series: &[("weir_clock_skew_seconds{job=\"weir\",instance=\"a\",shard=\"main\"}", "-30x40")],
            at: "8m",
            labels: &[("job", "weir"), ("instance", "a"), ("shard", "main")],
            summary: "The clock of worker a and that of the broker of shard main differ by 30s.",
        },
        silent: Case {
            series: &[("weir_clock_skew_seconds{job=\"weir\",instance=\"a\",shard=\"main\"}", "0.5x40")],
            at: "8m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirPanics",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Ticket,
        title: "Panics within an hour",
        quantity: "sum by (job, shard, stage) (increase(weir_stage_panics_total{$}[1h]))",
        legend: "{{shard}}: {{stage}}",
        unit: Unit::Count,
        threshold: Threshold::Above(0.0),
        guard: "",
        hold: "0s",
        keep: "",
        summary: "A part of shard {{ $labels.shard }} met a defect and was started again: {{ $labels.stage }}.",
        meaning: "A part of a worker panicked, which is a defect in Weir, and was started again. Eight times in a row is the fault `panic`.",
        impact: "A takeover, or seconds of delay; of `observer` none for orders: analytics begin anew.",
        looks: [looks::FAILURES, looks::VIEW, looks::STATUS],
        diagnosis: &["The worker's log has the panic's text and place."],
        mitigation: &["Report it, with the log's lines.", "If it repeats, run the version before."],
        weekly: false,
        fires: Case {
            series: &[(
                "weir_stage_panics_total{job=\"weir\",instance=\"a\",shard=\"main\",stage=\"scribe\"}",
                "0x4 1x20",
            )],
            at: "3m",
            labels: &[("job", "weir"), ("shard", "main"), ("stage", "scribe")],
            summary: "A part of shard main met a defect and was started again: scribe.",
        },
        silent: Case {
            series: &[(
                "weir_stage_panics_total{job=\"weir\",instance=\"a\",shard=\"main\",stage=\"scribe\"}",
                "3x24",
            )],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirAppendsFail",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Ticket,
        title: "Appends that failed within ten minutes",
        // A conflict says that another leads, which a takeover brings.
        quantity: "sum by (job, shard, why) (increase(weir_append_failures_total{why!=\"conflict\",$}[10m]))",
        legend: "{{shard}}: {{why}}",
        unit: Unit::Count,
        threshold: Threshold::Above(5.0),
        guard: "",
        hold: "5m",
        keep: "",
        summary: "{{ $value | whole }} appends of outcomes of shard {{ $labels.shard }} failed within ten minutes: {{ $labels.why }}.",
        meaning: "NATS does not take outcomes, again and again. Each append is tried until it is stored.",
        impact: "Outcomes are announced late; if none gets through, not at all.",
        looks: [looks::FAILURES, looks::STREAMS, looks::STATUS],
        diagnosis: &[
            "`timed_out`, `unavailable`: NATS is slow or elects leaders. `nats server report jetstream` tells.",
            "`missing`: somebody deleted the outcome stream.",
            "`full`, `too_large`: limits of the stream or the server were made smaller.",
        ],
        mitigation: &[
            "Mend NATS.",
            "`weir setup` makes a missing stream, and names settings that would lose data.",
        ],
        weekly: false,
        fires: Case {
            series: &[(
                "weir_append_failures_total{job=\"weir\",instance=\"a\",shard=\"main\",why=\"timed_out\"}",
                "0+1x60",
            )],
            at: "12m",
            labels: &[("job", "weir"), ("shard", "main"), ("why", "timed_out")],
            summary: "40 appends of outcomes of shard main failed within ten minutes: timed_out.",
        },
        silent: Case {
            series: &[(
                "weir_append_failures_total{job=\"weir\",instance=\"a\",shard=\"main\",why=\"conflict\"}",
                "0+1x60",
            )],
            at: "12m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirAnalyticsSkip",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Ticket,
        title: "Messages that analytics skipped within ten minutes",
        quantity: "sum by (job, shard) (increase(weir_analytics_skipped_messages_total{$}[10m]))",
        legend: "{{shard}}",
        unit: Unit::Count,
        threshold: Threshold::Above(0.0),
        guard: "",
        hold: "0s",
        keep: "10m",
        summary: "Analytics of shard {{ $labels.shard }} skipped {{ $value | whole }} messages: their figures are of a part of the orders.",
        meaning: "More was decided than analytics could look at. Decisions were not slowed down; what was skipped is missing from rates of cancellation, delay \
                  and service. Open orders are taken up again from the log.",
        impact: "None for orders. Warnings may be missing or late.",
        looks: [looks::VIEW, looks::LAG, looks::STATUS],
        diagnosis: &[
            "A peak that is over needs nothing.",
            "\"Weir / Internals\": does the processor leave anything for analytics?",
        ],
        mitigation: &["Give the worker another core, or split its sites over more shards."],
        weekly: false,
        fires: Case {
            series: &[(
                "weir_analytics_skipped_messages_total{job=\"weir\",instance=\"a\",shard=\"main\"}",
                "0x4 80x20",
            )],
            at: "3m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "Analytics of shard main skipped 80 messages: their figures are of a part of the orders.",
        },
        silent: Case {
            series: &[(
                "weir_analytics_skipped_messages_total{job=\"weir\",instance=\"a\",shard=\"main\"}",
                "80x24",
            )],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
];

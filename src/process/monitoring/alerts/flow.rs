//! Whether orders are decided at all. Each of these is another way for the flow to stop, and none can be told from the objective's
//! figures alone: nobody reports, gauges stand still, nobody leads, the one that leads is stuck, or nothing comes in.

use super::looks;
use crate::process::monitoring::definition::{Alert, Case, Severity, Team, Threshold, Unit};

pub(super) const ALL: [Alert; 7] = [
    Alert {
        name: "WeirAbsent",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "Workers that are scraped",
        quantity: "(sum by (job) (up{job=~\"weir.*\",$}) or absent(up{job=~\"weir.*\",$}) * 0)",
        legend: "{{job}}",
        unit: Unit::Count,
        threshold: Threshold::Below(1.0),
        guard: "",
        hold: "1m",
        keep: "",
        summary: "No worker of {{ with $labels.job }}the job {{ . }}{{ else }}Weir{{ end }} can be scraped: whether orders are decided is not known.",
        meaning: "Prometheus reaches no worker: none runs, none is configured to be scraped, or the network between is cut. All other figures of Weir are \
                  missing, so no other alert can be trusted.",
        impact: "Unknown. If no worker runs, orders are stored, and decided once one does; until then no checkout gets an answer.",
        looks: [looks::STATUS, looks::READY, looks::VIEW],
        diagnosis: &[
            "`weir status` asks NATS alone. If it shows a leader and little lag, orders are decided, and only the scrape is broken.",
            "If it shows `-` as a leader, nobody decides: look at the workers' logs for how the last one ended.",
            "If it cannot reach NATS, neither can the workers.",
            "Prometheus's page \"Targets\" says whether there are targets of a job `weir…`, and why they cannot be scraped.",
        ],
        mitigation: &[
            "Start a worker: `systemctl start weir`, or `weir run`.",
            "Exit code 78 says that its configuration is wrong: `weir check` says where.",
            "Scraping is broken: mend the job in Prometheus's configuration; its name must begin with `weir`.",
        ],
        weekly: false,
        fires: Case {
            // Absent altogether; that workers are there and cannot be reached is told by the same figure, 0.
            series: &[],
            at: "2m",
            labels: &[],
            summary: "No worker of Weir can be scraped: whether orders are decided is not known.",
        },
        silent: Case {
            series: &[
                ("up{job=\"weir\",instance=\"a\"}", "1x20"),
                ("up{job=\"weir\",instance=\"b\"}", "0x20"),
            ],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirShardWithoutLeader",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "Whether anybody leads each shard",
        quantity: "max by (job, shard) (weir_role{role=\"leader\",$})",
        legend: "{{shard}}",
        unit: Unit::Count,
        threshold: Threshold::Below(1.0),
        // A worker that cannot be scraped may lead all the same, and does while nothing waits.
        guard: "unless on (job, shard) (job_shard:weir_undecided_messages:max{$job} == 0 and on (job) min by (job) (up{job=~\"weir.*\",$}) == 0)",
        hold: "30s",
        keep: "1m",
        summary: "Nobody leads shard {{ $labels.shard }}: its orders are stored and not decided.",
        meaning: "No worker that can be scraped holds the shard's lease, and if there is one that cannot be scraped, it does not decide either. A takeover \
                  takes about 5 seconds; this one does not end.",
        impact: "Orders for the shard's sites are stored and wait. Checkouts get no answer. Nothing is lost: they are decided as soon as a worker leads.",
        looks: [looks::STATUS, looks::ROLES, looks::READY],
        diagnosis: &[
            "`weir status`: is there a standby, and how far is it behind? A worker that recovers leads once it has caught up.",
            "`/readyz` of each worker says why it is not ready: NATS, a fault, a restore that goes on.",
            "A fault at every worker keeps all of them from leading: see WeirFault.",
        ],
        mitigation: &[
            "A worker that recovers needs time only: about 5 seconds with ten million open orders.",
            "No worker has the shard in its configuration, or too few run: start one more.",
            "The bucket WEIR_LEASES is gone: `weir setup` makes it again.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                ("weir_role{job=\"weir\",instance=\"a\",shard=\"main\",role=\"leader\"}", "1x4 0x20"),
                ("weir_role{job=\"weir\",instance=\"b\",shard=\"main\",role=\"leader\"}", "0x24"),
            ],
            at: "3m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "Nobody leads shard main: its orders are stored and not decided.",
        },
        // The leader cannot be scraped, and goes on.
        silent: Case {
            series: &[
                ("up{job=\"weir\",instance=\"a\"}", "1x4 0x20"),
                ("up{job=\"weir\",instance=\"b\"}", "1x24"),
                ("weir_role{job=\"weir\",instance=\"a\",shard=\"main\",role=\"leader\"}", "1x4 stale"),
                ("weir_role{job=\"weir\",instance=\"b\",shard=\"main\",role=\"leader\"}", "0x24"),
                ("weir_log_last_sequence{job=\"weir\",instance=\"b\",shard=\"main\"}", "100+10x24"),
                ("weir_decided_sequence{job=\"weir\",instance=\"b\",shard=\"main\"}", "100+10x24"),
            ],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirShardStandsStill",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "How long orders have waited while nothing was decided",
        quantity: "(time() - max by (job, shard) (weir_last_progress_timestamp_seconds{$} and on (job, instance, shard) weir_role{role=\"leader\",$} == 1)) \
                   * (max by (job, shard) (weir_lag_messages{$} and on (job, instance, shard) weir_role{role=\"leader\",$} == 1) > bool 0)",
        legend: "{{shard}}",
        unit: Unit::Seconds,
        threshold: Threshold::Above(60.0),
        guard: "",
        hold: "30s",
        keep: "1m",
        summary: "Shard {{ $labels.shard }} has decided nothing for {{ $value | lasting }}\
                  {{ with printf \"job_shard:weir_undecided_messages:max{job=%q,shard=%q}\" $labels.job $labels.shard | query }}\
                  , and {{ . | first | value | whole }} messages wait{{ end }}.",
        meaning: "The shard has a leader and orders to decide, and gets on with none of them. A leader like that gives its lease to a standby that is \
                  ready, within seconds; here none is, or it is stuck too.",
        impact: "Orders for the shard's sites are stored and wait. Checkouts get no answer. Nothing is lost.",
        looks: [looks::VIEW, looks::LAG, looks::FAILURES],
        diagnosis: &[
            "`/status` of the leader: its `fault`, if there is one, and whether `applied` moves.",
            "The worker's log names what is slow or fails.",
            "`top -H`: a thread at 100% that gets nowhere is a defect in Weir; none at all, and it waits for NATS.",
        ],
        mitigation: &[
            "Stop the leader (SIGTERM, and a second one if it hangs): a standby leads at once, a restarted worker once it has recovered.",
            "If the next leader stands still at the same sequence, keep the log stream and report it.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                (
                    "weir_last_progress_timestamp_seconds{job=\"weir\",instance=\"a\",shard=\"main\"}",
                    "0+15x4 60x20",
                ),
                ("weir_role{job=\"weir\",instance=\"a\",shard=\"main\",role=\"leader\"}", "1x24"),
                ("weir_lag_messages{job=\"weir\",instance=\"a\",shard=\"main\"}", "0x4 0+10x20"),
                ("weir_log_last_sequence{job=\"weir\",instance=\"a\",shard=\"main\"}", "1+10x24"),
                ("weir_decided_sequence{job=\"weir\",instance=\"a\",shard=\"main\"}", "1+10x4 41x20"),
            ],
            at: "4m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "Shard main has decided nothing for 3m, and 120 messages wait.",
        },
        // A quiet night: nothing comes, so nothing is decided.
        silent: Case {
            series: &[
                ("weir_last_progress_timestamp_seconds{job=\"weir\",instance=\"a\",shard=\"main\"}", "0x40"),
                ("weir_role{job=\"weir\",instance=\"a\",shard=\"main\",role=\"leader\"}", "1x40"),
                ("weir_lag_messages{job=\"weir\",instance=\"a\",shard=\"main\"}", "0x40"),
            ],
            at: "9m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirShardNotReady",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "Whether any worker is ready for the shard",
        quantity: "max by (job, shard) (weir_ready{$})",
        legend: "{{shard}}",
        unit: Unit::Count,
        threshold: Threshold::Below(1.0),
        guard: "",
        hold: "1m",
        keep: "1m",
        summary: "No worker is ready for shard {{ $labels.shard }}: NATS does not answer, outcomes cannot be stored, or all recover.",
        meaning: "Every worker of the shard says that it cannot decide and announce: it lost its connection to NATS, its appends are refused, it has too \
                  much to catch up with, or it has a fault.",
        impact: "Orders are not decided or not announced; if NATS is away, none can be stored either, and checkouts are refused.",
        looks: [looks::READY, looks::STATUS, looks::FAILURES],
        diagnosis: &[
            "`/readyz` says why, shard by shard.",
            "`weir status`: does NATS answer at all? Then look at the streams' leaders and replicas (`nats stream report`).",
            "`weir_append_failures_total` by `why`: `full` and `missing` are about the outcome stream, `unavailable` and `timed_out` about NATS.",
        ],
        mitigation: &[
            "NATS is away: bring it back. Workers connect again by themselves.",
            "A stream is missing: `weir setup` makes what is missing. A missing log is to be restored from a backup first.",
            "Recovery takes long: it ends by itself; `/status` shows how far it is.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                ("weir_ready{job=\"weir\",instance=\"a\",shard=\"main\"}", "1x4 0x20"),
                ("weir_ready{job=\"weir\",instance=\"b\",shard=\"main\"}", "0x24"),
            ],
            at: "3m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "No worker is ready for shard main: NATS does not answer, outcomes cannot be stored, or all recover.",
        },
        silent: Case {
            series: &[
                ("weir_ready{job=\"weir\",instance=\"a\",shard=\"main\"}", "1x24"),
                ("weir_ready{job=\"weir\",instance=\"b\",shard=\"main\"}", "0x24"),
            ],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirFiguresFrozen",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "Age of what workers show",
        quantity: "time() - (weir_shown_timestamp_seconds{$} unless on (job, instance, shard) weir_life{life=\"away\",$} == 1)",
        legend: "{{instance}} {{shard}}",
        unit: Unit::Seconds,
        threshold: Threshold::Above(60.0),
        guard: "",
        hold: "1m",
        keep: "",
        summary: "Worker {{ $labels.instance }} shows figures of shard {{ $labels.shard }} that are {{ $value | lasting }} old.",
        meaning: "The worker answers scrapes, and does not bring its gauges up to date, as it does every second. What it shows, good or bad, is of the past, \
                  and no other alert can be trusted for it. Or the clocks of worker and Prometheus differ by a minute.",
        impact: "Unknown: whether orders are decided is not shown.",
        looks: [looks::STATUS, looks::VIEW, looks::CLOCK],
        diagnosis: &[
            "`weir status` tells from NATS alone how far the shard is: if its lag does not grow, orders are decided.",
            "Compare the clocks of this machine and of Prometheus's.",
            "The worker's log: a stage that panicked, or that waits for NATS.",
        ],
        mitigation: &[
            "Restart the worker: a standby takes over meanwhile.",
            "Clocks differ: mend time synchronisation.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                ("weir_shown_timestamp_seconds{job=\"weir\",instance=\"a\",shard=\"main\"}", "0+15x4 60x20"),
                ("weir_life{job=\"weir\",instance=\"a\",shard=\"main\",life=\"away\"}", "0x24"),
            ],
            at: "4m",
            labels: &[("job", "weir"), ("instance", "a"), ("shard", "main")],
            summary: "Worker a shows figures of shard main that are 3m old.",
        },
        // It gave the shard away.
        silent: Case {
            series: &[
                ("weir_shown_timestamp_seconds{job=\"weir\",instance=\"a\",shard=\"main\"}", "0+15x4 60x20"),
                ("weir_life{job=\"weir\",instance=\"a\",shard=\"main\",life=\"away\"}", "0x4 1x20"),
            ],
            at: "4m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirFewOrders",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "Orders of the last hour against the same hour last week",
        quantity: "job:weir_orders_placed:increase1h{$job} / on (job) job:weir_orders_placed:increase1h{$job} offset 1w",
        legend: "{{job}}",
        unit: Unit::Share,
        threshold: Threshold::Below(0.5),
        guard: "and on (job) (job:weir_orders_placed:increase1h{$job} offset 1w) >= 100",
        hold: "15m",
        keep: "15m",
        summary: "{{ humanizePercentage $value }} of the orders of the same hour last week have come within the last hour\
                  {{ with printf \"(job:weir_orders_placed:increase1h{job=%q} offset 1w) - job:weir_orders_placed:increase1h{job=%q}\" $labels.job $labels.job | query }}\
                  : {{ . | first | value | whole }} are missing{{ end }}.",
        meaning: "Fewer than half as many orders come in as in the same hour a week ago, where there were at least 100. Weir decides what comes; here \
                  something keeps orders from coming.",
        impact: "Customers may be unable to order. It may also be a holiday, or last week had a sale.",
        looks: [looks::COMMANDS, looks::READY, looks::STATUS],
        diagnosis: &[
            "Is last week's hour a fair comparison: a sale, a holiday, a newsletter?",
            "Is every worker scraped (WeirWorkerUnreachable)? What is decided by one that is not, is not counted.",
            "Can checkouts reach NATS? Their errors, and `nats account report connections`, tell.",
            "Do doors answer, and what? See WeirDoorRefuses and WeirDoorSilent.",
            "Is the log full, so that it refuses orders? See WeirLogFull.",
            "All sites, or one? The overview shows orders by shard.",
        ],
        mitigation: &[
            "Checkouts fail before they reach NATS: it is theirs to mend; tell those who run them.",
            "It is a quiet day: silence the alert until its end.",
        ],
        weekly: true,
        fires: Case {
            series: &[(
                "weir_commands_total{job=\"weir\",instance=\"a\",shard=\"main\",command=\"place\"}",
                "0+500x336 168100+100x60",
            )],
            at: "173h",
            labels: &[("job", "weir")],
            summary: "20% of the orders of the same hour last week have come within the last hour: 800 are missing.",
        },
        // As quiet as last week.
        silent: Case {
            series: &[(
                "weir_commands_total{job=\"weir\",instance=\"a\",shard=\"main\",command=\"place\"}",
                "0+25x336 8405+5x60",
            )],
            at: "173h",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirWorkerUnreachable",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Ticket,
        title: "Whether each worker is scraped",
        quantity: "min by (job, instance) (up{job=~\"weir.*\",$})",
        legend: "{{instance}}",
        unit: Unit::Count,
        threshold: Threshold::Below(1.0),
        guard: "",
        hold: "2m",
        keep: "",
        summary: "Worker {{ $labels.instance }} cannot be scraped.",
        meaning: "A worker that Prometheus knows of does not answer its scrapes: it ended, hangs, or is cut off. Where it ended, others take over its shards \
                  within seconds.",
        impact: "None as long as another worker is there; a further failure would stop its shards.",
        looks: [looks::STATUS, looks::READY, looks::ROLES],
        diagnosis: &[
            "Does it run? Its service's log says how it ended.",
            "`weir status` shows whether others lead what it led.",
        ],
        mitigation: &["Start it again.", "If it is gone for good, take it out of Prometheus's targets."],
        weekly: false,
        fires: Case {
            series: &[
                ("up{job=\"weir\",instance=\"a\"}", "1x20"),
                ("up{job=\"weir\",instance=\"b\"}", "1x4 0x20"),
            ],
            at: "4m",
            labels: &[("job", "weir"), ("instance", "b")],
            summary: "Worker b cannot be scraped.",
        },
        // A restart.
        silent: Case {
            series: &[("up{job=\"weir\",instance=\"b\"}", "1x4 0x4 1x20")],
            at: "4m",
            labels: &[],
            summary: "",
        },
    },
];

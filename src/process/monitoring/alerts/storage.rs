//! What is kept: the log, snapshots, audits, dead letters.

use super::looks;
use crate::process::monitoring::definition::{Alert, Case, Severity, Team, Threshold, Unit};

pub(super) const ALL: [Alert; 8] = [
    Alert {
        name: "WeirLogFull",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "How full the log is",
        quantity: "job_shard:weir_log_bytes:max{$job} / on (job, shard) (max by (job, shard) (weir_stream_limit_bytes{stream=\"log\",$}) > 0)",
        legend: "{{shard}}",
        unit: Unit::Share,
        threshold: Threshold::Above(0.95),
        guard: "",
        hold: "1m",
        keep: "5m",
        summary: "The log of shard {{ $labels.shard }} is {{ humanizePercentage $value }} full: it refuses orders when it is full.",
        meaning: "The log has all but reached its size limit. A full log refuses what is published to it, and drops nothing.",
        impact: "Once it is full, NATS refuses orders before they are stored: checkouts fail.",
        looks: [looks::STREAMS, looks::SNAPSHOTS, looks::STATUS],
        diagnosis: &[
            "The log is trimmed behind the second-newest snapshot. Are snapshots taken? See WeirSnapshotsFail.",
            "Is the object store full, or its disk?",
            "Is the limit simply too small for what comes between two snapshots?",
        ],
        mitigation: &[
            "Raise the limit at once: `nats stream edit WEIR_LOG_main --max-bytes 16GB`. Orders are taken again.",
            "Then raise `streams.log_bytes_max` in the configuration too, and mend what keeps snapshots from being taken.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                ("weir_stream_bytes{job=\"weir\",instance=\"a\",shard=\"main\",stream=\"log\"}", "970x24"),
                (
                    "weir_stream_limit_bytes{job=\"weir\",instance=\"a\",shard=\"main\",stream=\"log\"}",
                    "1000x24",
                ),
            ],
            at: "3m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "The log of shard main is 97% full: it refuses orders when it is full.",
        },
        // No limit.
        silent: Case {
            series: &[
                ("weir_stream_bytes{job=\"weir\",instance=\"a\",shard=\"main\",stream=\"log\"}", "970x24"),
                (
                    "weir_stream_limit_bytes{job=\"weir\",instance=\"a\",shard=\"main\",stream=\"log\"}",
                    "0x24",
                ),
            ],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirLogFullSoon",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "When the log is full, at the rate of the last hour",
        quantity: "(max by (job, shard) (weir_stream_limit_bytes{stream=\"log\",$}) - on (job, shard) job_shard:weir_log_bytes:max{$job}) \
                   / on (job, shard) (deriv(job_shard:weir_log_bytes:max{$job}[1h]) > 0)",
        legend: "{{shard}}",
        unit: Unit::Seconds,
        threshold: Threshold::Below(14400.0),
        // A log that is trimmed grows and shrinks below its half.
        guard: "and on (job, shard) job_shard:weir_log_bytes:max{$job} > 0.6 * max by (job, shard) (weir_stream_limit_bytes{stream=\"log\",$}) > 0",
        hold: "10m",
        keep: "10m",
        summary: "The log of shard {{ $labels.shard }} will be full in {{ $value | lasting }}; then it refuses orders.",
        meaning: "The log grows, is over 60% full, and is not trimmed: at this rate it is full within four hours. Snapshots are taken sooner once it is half \
                  full, so something keeps them from being taken.",
        impact: "None yet. Once it is full, checkouts fail.",
        looks: [looks::STREAMS, looks::SNAPSHOTS, looks::STATUS],
        diagnosis: &[
            "`weir_snapshots_total{end=\"failed\"}`: the worker's log says why.",
            "`weir_decided_sequence` against `weir_log_last_sequence`: a shard that stands still is not trimmed either.",
        ],
        mitigation: &[
            "Mend what keeps snapshots from being taken: mostly a full object store (`snapshots_bytes_max`) or disk.",
            "Raise the limit: `nats stream edit WEIR_LOG_main --max-bytes 16GB`.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                (
                    "weir_stream_bytes{job=\"weir\",instance=\"a\",shard=\"main\",stream=\"log\"}",
                    "700000+1000x200",
                ),
                (
                    "weir_stream_limit_bytes{job=\"weir\",instance=\"a\",shard=\"main\",stream=\"log\"}",
                    "1000000x400",
                ),
            ],
            at: "30m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "The log of shard main will be full in 45m; then it refuses orders.",
        },
        // It grows as fast, and is trimmed in time.
        silent: Case {
            series: &[
                (
                    "weir_stream_bytes{job=\"weir\",instance=\"a\",shard=\"main\",stream=\"log\"}",
                    "300000+1000x200",
                ),
                (
                    "weir_stream_limit_bytes{job=\"weir\",instance=\"a\",shard=\"main\",stream=\"log\"}",
                    "1000000x400",
                ),
            ],
            at: "50m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirUnsafeSettings",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "Settings of streams that would lose data",
        quantity: "max by (job, shard) (weir_stream_unsafe_settings{$})",
        legend: "{{shard}}",
        unit: Unit::Count,
        threshold: Threshold::Above(0.0),
        guard: "",
        hold: "1m",
        keep: "",
        summary: "{{ $value | whole }} settings of the streams of shard {{ $labels.shard }} would lose data.",
        meaning: "Somebody changed the log or the outcome stream after the workers had looked at them: a limit of age or number, what is dropped when it is \
                  full, its subjects. Weir goes on, as what is stored is still whole.",
        impact: "None yet. Under such a setting NATS drops orders that nobody has decided or outcomes that nobody has read, and says nothing. What is gone then \
                 is a fault (`gap`, `log_behind`) that needs a backup.",
        looks: [looks::SETTINGS, looks::STREAMS, looks::STATUS],
        diagnosis: &[
            "`/status` of any worker names each setting: what it is, and what it must be. So does the worker's log, once for each.",
            "Who changed it? `nats stream info` has the whole configuration; look through what manages your streams.",
        ],
        mitigation: &[
            "Set it back at once, with `nats stream edit` (`--discard=new`, `--max-age=0`, …), as `/status` says. Workers see it within ten seconds.",
            "Then `weir audit`: it says whether anything was lost meanwhile.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                ("weir_stream_unsafe_settings{job=\"weir\",instance=\"a\",shard=\"main\"}", "0x4 2x20"),
                // Another worker has not looked yet.
                ("weir_stream_unsafe_settings{job=\"weir\",instance=\"b\",shard=\"main\"}", "0x24"),
            ],
            at: "3m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "2 settings of the streams of shard main would lose data.",
        },
        // Set back before anybody could have been told.
        silent: Case {
            series: &[(
                "weir_stream_unsafe_settings{job=\"weir\",instance=\"a\",shard=\"main\"}",
                "0x4 1x2 0x20",
            )],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirSnapshotsFail",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Ticket,
        title: "Snapshots that failed or could not be restored within an hour",
        quantity: "sum by (job, shard, end) (increase(weir_snapshots_total{end!=\"taken\",$}[1h]))",
        legend: "{{shard}}: {{end}}",
        unit: Unit::Count,
        threshold: Threshold::Above(0.0),
        guard: "",
        hold: "0s",
        keep: "",
        summary: "A snapshot of shard {{ $labels.shard }} {{ if eq $labels.end \"failed\" }}could not be taken{{ else }}was damaged and passed over{{ end }}.",
        meaning: "Snapshots make recovery fast, and let the log be trimmed. One was not taken, or was found damaged and an older one used.",
        impact: "None now. Without snapshots the log fills up and recovery takes longer.",
        looks: [looks::SNAPSHOTS, looks::STREAMS, looks::STATUS],
        diagnosis: &[
            "The worker's log says why: the object store is full, NATS timed out, a checksum did not match.",
            "`passed_over`: find out what damaged it; a disk that does so damages other things too.",
        ],
        mitigation: &[
            "Make room for `snapshots_bytes_max`, or keep fewer (`snapshots.keep`).",
            "Damaged: `weir audit` checks all that is kept.",
        ],
        weekly: false,
        fires: Case {
            series: &[(
                "weir_snapshots_total{job=\"weir\",instance=\"a\",shard=\"main\",end=\"failed\"}",
                "0x4 1x20",
            )],
            at: "3m",
            labels: &[("job", "weir"), ("shard", "main"), ("end", "failed")],
            summary: "A snapshot of shard main could not be taken.",
        },
        silent: Case {
            series: &[(
                "weir_snapshots_total{job=\"weir\",instance=\"a\",shard=\"main\",end=\"taken\"}",
                "0+1x24",
            )],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirSnapshotTooOld",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Ticket,
        title: "Messages since the newest snapshot",
        quantity: "max by (job, shard) (weir_log_last_sequence{$}) - max by (job, shard) (weir_snapshot_sequence{$})",
        legend: "{{shard}}",
        unit: Unit::Count,
        threshold: Threshold::Above(10_000_000.0),
        guard: "",
        hold: "10m",
        keep: "",
        summary: "{{ $value | whole }} messages have come to shard {{ $labels.shard }} since its newest snapshot.",
        meaning: "Twice as much was stored since the newest snapshot as by default between two (`snapshots.every_records`, 5,000,000), or none was ever taken.",
        impact: "None now. Whoever recovers the shard folds all of that again, over half a second a million messages, and the log is not trimmed.",
        looks: [looks::SNAPSHOTS, looks::STATUS, looks::STREAMS],
        diagnosis: &[
            "Is `snapshots.every_records` set higher? Then this threshold is to be raised with it.",
            "`weir_snapshots_total`: does each fail? See WeirSnapshotsFail.",
            "None fails and none is taken: nobody may take it. `weir status` shows whether the shard has a leader and a standby that keeps up.",
        ],
        mitigation: &[
            "Snapshots fail: as WeirSnapshotsFail says.",
            "Nobody takes one: restart the standby, or, without one, the leader (SIGTERM); then look for `a snapshot was taken` in its log.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                ("weir_log_last_sequence{job=\"weir\",instance=\"a\",shard=\"main\"}", "15000000x80"),
                ("weir_snapshot_sequence{job=\"weir\",instance=\"a\",shard=\"main\"}", "0x80"),
                ("weir_snapshot_sequence{job=\"weir\",instance=\"b\",shard=\"main\"}", "3000000x80"),
            ],
            at: "15m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "12,000,000 messages have come to shard main since its newest snapshot.",
        },
        silent: Case {
            series: &[
                ("weir_log_last_sequence{job=\"weir\",instance=\"a\",shard=\"main\"}", "15000000x80"),
                // A worker that recovers knows of none yet.
                ("weir_snapshot_sequence{job=\"weir\",instance=\"a\",shard=\"main\"}", "0x80"),
                ("weir_snapshot_sequence{job=\"weir\",instance=\"b\",shard=\"main\"}", "6000000x80"),
            ],
            at: "15m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirAuditFailed",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "Disagreements that audits found within a day",
        quantity: "sum by (job, shard) (increase(weir_audit_disagreements_total{$}[1d]))",
        legend: "{{shard}}",
        unit: Unit::Count,
        threshold: Threshold::Above(0.0),
        guard: "",
        hold: "0s",
        keep: "",
        summary: "An audit of shard {{ $labels.shard }} found {{ $value | whole }} disagreements with what was announced.",
        meaning: "A fold of the log does not come to what was announced, or the books do not hold. Of all alerts this is the one that must never fire.",
        impact: "Customers may have been told what the log does not say.",
        looks: [looks::AUDITS, looks::AUDIT, looks::STATUS],
        diagnosis: &[
            "`weir audit` names the first disagreement: the sequence, what was announced, what the log says.",
            "Do the servers of the cluster hold the same? A server that came with an older store answers otherwise.",
            "Which binary announced it? `weir_build_info` tells who ran when.",
        ],
        mitigation: &[
            "Keep both streams as they are (`nats stream backup`), and report it.",
            "Those who are affected are in the audit's list: `weir audit --json`.",
        ],
        weekly: false,
        fires: Case {
            series: &[(
                "weir_audit_disagreements_total{job=\"weir\",instance=\"a\",shard=\"main\"}",
                "0x4 2x20",
            )],
            at: "3m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "An audit of shard main found 2 disagreements with what was announced.",
        },
        silent: Case {
            series: &[("weir_audit_disagreements_total{job=\"weir\",instance=\"a\",shard=\"main\"}", "0x24")],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirAuditTooOld",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Ticket,
        title: "Time since an audit last agreed",
        // Of a shard that was never audited: since the first of its workers began.
        quantity: "time() - (max by (job, shard) (weir_audit_last_success_timestamp_seconds{$}) \
                   or min by (job, shard) (weir_ready{$} * 0 + on (job, instance) group_left () process_start_time_seconds{$}))",
        legend: "{{shard}}",
        unit: Unit::Seconds,
        threshold: Threshold::Above(172_800.0),
        guard: "",
        hold: "10m",
        keep: "",
        summary: "No audit of shard {{ $labels.shard }} has agreed for {{ $value | lasting }}.",
        meaning: "An audit folds the log again and compares what was announced. Standbys audit each shard once a day (`worker.audit_every_minutes`). None has \
                  come to a good end for two days, or, where none ever has, since the shard's workers began.",
        impact: "None now. A wrong outcome would be found later.",
        looks: [looks::AUDITS, looks::STATUS, looks::ROLES],
        diagnosis: &[
            "Is there a standby? Only standbys audit. See WeirStandbyMissing.",
            "`weir_audits_total{end=\"failed\"}` grows: the worker's log says why.",
            "`weir_audits_total{end=\"disagrees\"}` grows: that is WeirAuditFailed.",
            "Are audits off (`worker.audit_every_minutes = 0`)? Then silence this alert, and run `weir audit` by a timer.",
        ],
        mitigation: &["Run one by hand: `weir audit`.", "Start a standby."],
        weekly: true,
        fires: Case {
            series: &[(
                "weir_audit_last_success_timestamp_seconds{job=\"weir\",instance=\"a\",shard=\"main\"}",
                "0x200",
            )],
            at: "52h",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "No audit of shard main has agreed for 2d 4h.",
        },
        silent: Case {
            series: &[
                (
                    "weir_audit_last_success_timestamp_seconds{job=\"weir\",instance=\"a\",shard=\"main\"}",
                    "0x200",
                ),
                (
                    "weir_audit_last_success_timestamp_seconds{job=\"weir\",instance=\"b\",shard=\"main\"}",
                    "0x50 90000x150",
                ),
            ],
            at: "52h",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirDeadLetters",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Ticket,
        title: "Messages within an hour that were no commands",
        quantity: "sum by (job, shard) (increase(weir_outcomes_total{outcome=\"dead_lettered\",$}[1h]))",
        legend: "{{shard}}",
        unit: Unit::Count,
        threshold: Threshold::Above(0.0),
        guard: "",
        hold: "0s",
        keep: "10m",
        summary: "{{ $value | whole }} pieces of messages to shard {{ $labels.shard }} could not be read as commands.",
        meaning: "Somebody publishes what Weir cannot read: a client with a defect, another version, or somebody who tries things out. It is kept as it came.",
        impact: "What was meant by it has not happened: perhaps orders of one client.",
        looks: [looks::LETTERS, looks::COMMANDS, looks::STATUS],
        diagnosis: &[
            "`weir dead list` has the reason and the sequence of each; `weir dead show SEQUENCE.INDEX` its content.",
            "Whose is it? The content names ids; the log's message of that sequence has its headers.",
        ],
        mitigation: &[
            "Mend the client.",
            "What should still happen: `weir dead resubmit SEQUENCE.INDEX --file FIXED`.",
        ],
        weekly: false,
        fires: Case {
            series: &[(
                "weir_outcomes_total{job=\"weir\",instance=\"a\",shard=\"main\",outcome=\"dead_lettered\",reason=\"\"}",
                "0x4 3x20",
            )],
            at: "3m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "3 pieces of messages to shard main could not be read as commands.",
        },
        silent: Case {
            series: &[(
                "weir_outcomes_total{job=\"weir\",instance=\"a\",shard=\"main\",outcome=\"confirmed\",reason=\"\"}",
                "0+3x24",
            )],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
];

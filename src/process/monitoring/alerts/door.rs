//! The door: whether those who ask there get a decision, or any answer at all.

use super::looks;
use crate::process::monitoring::definition::{Alert, Case, Severity, Team, Threshold, Unit};

pub(super) const ALL: [Alert; 2] = [
    Alert {
        name: "WeirDoorRefuses",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "Share of answers at doors that are no decision",
        quantity: "sum by (job) (increase(weir_door_replies_total{kind=~\"accepted|unknown|busy|unavailable\",$}[5m])) \
                   / on (job) (sum by (job) (increase(weir_door_replies_total{$}[5m])) > 0)",
        legend: "{{job}}",
        unit: Unit::Share,
        threshold: Threshold::Above(0.05),
        guard: "and on (job) sum by (job) (increase(weir_door_replies_total{kind=~\"accepted|unknown|busy|unavailable\",$}[5m])) >= 10",
        hold: "2m",
        keep: "5m",
        summary: "{{ humanizePercentage $value }} of what was asked at doors within five minutes got no decision\
                  {{ range printf \"sum by (kind) (increase(weir_door_replies_total{job=%q,kind=~'accepted|unknown|busy|unavailable'}[5m])) > 0\" $labels.job | query }}\
                  ; {{ .Value | whole }} {{ .Labels.kind }}{{ end }}.",
        meaning: "Checkouts that ask at the door are told `busy` or `unavailable` (nothing was stored), `unknown` (perhaps stored) or `accepted` (stored, and not \
                  decided in time). What the door refuses for good is a client's defect, and does not count here.",
        impact: "Checkouts try again, and customers wait; some give up. What was told `accepted` is decided later; nothing that is stored is lost.",
        looks: [looks::REPLIES, looks::READY, looks::STATUS],
        diagnosis: &[
            "`busy`: the shard is late or more waits than `door.pending_max` and `door.memory_bytes_max` allow. See WeirLag, and who asks so much.",
            "`unavailable`: nobody decides for the shard, or the log cannot be reached: `/readyz` says which.",
            "`unknown`: NATS does not acknowledge appends in time. `weir_door_append_failures_total` says why.",
            "`accepted`: decisions take longer than clients wait (`door.within_ms`).",
        ],
        mitigation: &[
            "A flood by one client: stop it at its source. The door answers what it cannot take within milliseconds, and stores none of it.",
            "Too little room: raise `door.pending_max` or `door.memory_bytes_max`, or start another worker: doors share what comes.",
            "A slow or missing leader, or slow NATS: as \"Weir / Latency\" and `weir status` show.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                ("weir_door_replies_total{job=\"weir\",instance=\"a\",kind=\"decided\"}", "0+15x40"),
                ("weir_door_replies_total{job=\"weir\",instance=\"a\",kind=\"busy\"}", "0+5x40"),
                ("weir_door_replies_total{job=\"weir\",instance=\"a\",kind=\"unknown\"}", "0x40"),
            ],
            at: "8m",
            labels: &[("job", "weir")],
            summary: "25% of what was asked at doors within five minutes got no decision; 100 busy.",
        },
        // A client with a defect, and one answer of a restart.
        silent: Case {
            series: &[
                ("weir_door_replies_total{job=\"weir\",instance=\"a\",kind=\"decided\"}", "0+15x40"),
                ("weir_door_replies_total{job=\"weir\",instance=\"a\",kind=\"refused\"}", "0+50x40"),
                ("weir_door_replies_total{job=\"weir\",instance=\"a\",kind=\"unavailable\"}", "0x20 9x20"),
            ],
            at: "8m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirDoorSilent",
        labels: &[],
        team: Team::Platform,
        severity: Severity::Page,
        title: "Requests that wait at a door that answers none",
        quantity: "max by (job, instance) (weir_door_pending_requests{$}) \
                   * on (job, instance) (sum by (job, instance) (increase(weir_door_reply_seconds_count{$}[1m])) == bool 0)",
        legend: "{{instance}}",
        unit: Unit::Count,
        threshold: Threshold::Above(0.0),
        guard: "",
        hold: "1m",
        keep: "",
        summary: "The door of worker {{ $labels.instance }} answers nothing, and {{ $value | whole }} requests wait.",
        meaning: "Every request is answered within its time (`door.within_ms`, 30 seconds at most), if only with `accepted`. This door has answered none for \
                  a minute, though some wait: it is stuck.",
        impact: "Checkouts that this worker serves run into their own time-outs and do not know whether they have ordered. Sent again under the same id, an \
                 order is not placed twice.",
        looks: [looks::WAITING, looks::VIEW, looks::STATUS],
        diagnosis: &[
            "The worker's log: a panic, or NATS that takes no replies (`weir_door_replies_dropped_total`).",
            "`top -H`: has the worker any processor left?",
            "One door, or all? All: look at NATS first.",
        ],
        mitigation: &[
            "Stop this worker (SIGTERM, and a second one if it hangs): other doors take its requests at once.",
            "Keep its log lines, and report it.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                ("weir_door_pending_requests{job=\"weir\",instance=\"a\"}", "0x4 3x40"),
                ("weir_door_reply_seconds_count{job=\"weir\",instance=\"a\"}", "0+5x4 20x40"),
                ("weir_door_pending_requests{job=\"weir\",instance=\"b\"}", "2x44"),
                ("weir_door_reply_seconds_count{job=\"weir\",instance=\"b\"}", "0+5x44"),
            ],
            at: "5m",
            labels: &[("job", "weir"), ("instance", "a")],
            summary: "The door of worker a answers nothing, and 3 requests wait.",
        },
        // Nobody asks.
        silent: Case {
            series: &[
                ("weir_door_pending_requests{job=\"weir\",instance=\"a\"}", "0x44"),
                ("weir_door_reply_seconds_count{job=\"weir\",instance=\"a\"}", "20x44"),
            ],
            at: "5m",
            labels: &[],
            summary: "",
        },
    },
];

//! The commands that runbooks begin with. Tests run each against a worker and look at what it prints.

use crate::process::monitoring::definition::Look;

pub(super) const STATUS: Look = Look {
    command: "weir status",
    prints: "main",
    look_for: "who leads each shard (`-`: nobody), how far it is, and how many messages wait.",
};

pub(super) const READY: Look = Look {
    command: "curl -s 127.0.0.1:9464/readyz",
    prints: "ready",
    look_for: "`ready`, or a line for each shard that says why it is not.",
};

pub(super) const VIEW: Look = Look {
    command: "curl -s 127.0.0.1:9464/status",
    prints: "\"lag_messages\"",
    look_for: "role, life, fault and lag of each shard at this worker.",
};

pub(super) const ROLES: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep ^weir_role",
    prints: "role=\"leader\"",
    look_for: "what this worker is to each shard.",
};

pub(super) const LAG: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep ^weir_lag",
    prints: "weir_lag_seconds",
    look_for: "how much is stored and not applied: messages, and the age of the oldest.",
};

pub(super) const FAULTS: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep ^weir_fault",
    prints: "fault=\"gap\"",
    look_for: "the fault whose value is 1.",
};

pub(super) const STREAMS: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep ^weir_stream",
    prints: "weir_stream_limit_bytes",
    look_for: "what log and outcome stream hold, against what they may.",
};

pub(super) const SNAPSHOTS: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep ^weir_snapshot",
    prints: "end=\"failed\"",
    look_for: "how snapshots ended, and which was the last.",
};

pub(super) const AUDITS: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep ^weir_audit",
    prints: "end=\"disagrees\"",
    look_for: "how audits ended.",
};

pub(super) const AUDIT: Look = Look {
    command: "weir audit",
    prints: "main",
    look_for: "whether all agrees; else the first disagreement.",
};

pub(super) const FAILURES: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep -E '^weir_(append_failures|recoveries|stage_panics|nats)'",
    prints: "weir_append_failures_total",
    look_for: "what fails: appends by why, recoveries by why, panics by stage, lost connections.",
};

pub(super) const SKEW: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep ^weir_clock_skew",
    prints: "weir_clock_skew_seconds",
    look_for: "how far the broker's clock is ahead of the worker's; below zero it is behind.",
};

pub(super) const CLOCK: Look = Look {
    command: "date -u",
    prints: "UTC",
    look_for: "the time on this machine: compare it with that of the NATS servers.",
};

pub(super) const OUTCOMES: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep '^weir_outcomes_total.*refused' | grep -v ' 0$' || echo none refused",
    prints: "refused",
    look_for: "refusals by reason since the worker started.",
};

pub(super) const COMMANDS: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep ^weir_commands",
    prints: "command=\"place\"",
    look_for: "commands by kind since the worker started.",
};

pub(super) const FACTS: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep ^weir_facts_refused",
    prints: "weir_facts_refused_total",
    look_for: "news of goods that were refused, by reason.",
};

pub(super) const PAYMENTS: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep ^weir_payments_refused",
    prints: "weir_payments_refused_total",
    look_for: "payments that were refused, by reason.",
};

pub(super) const LETTERS: Look =
    Look { command: "weir dead list", prints: "", look_for: "what could not be read, from when, and why." };

pub(super) const SHORT: Look = Look {
    command: "weir stock list --below 1",
    prints: "",
    look_for: "SKUs of which a new order gets nothing: what is on hand, reserved, and kept back.",
};

pub(super) const RUNNING_OUT: Look = Look {
    command: "weir signals --kind stockout_ahead",
    prints: "",
    look_for: "the SKUs that were told to run out, and in how many days.",
};

pub(super) const REPORT: Look = Look {
    command: "weir report --since 1d",
    prints: "refused",
    look_for: "a day's orders: what was refused, for which SKUs, what was cancelled, why, and how many were late.",
};

pub(super) const SURGES: Look = Look {
    command: "weir signals --kind cancellation_surge",
    prints: "",
    look_for: "each surge, and what drives it: reasons, SKUs, carriers.",
};

pub(super) const AT_RISK: Look = Look {
    command: "weir orders --state at_risk",
    prints: "",
    look_for: "the orders that are warned of, with their promise and what they are late for.",
};

pub(super) const HONESTY: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep -E '^weir_delay_(calibration_error|judged)' || echo nothing judged yet",
    prints: "",
    look_for: "by how much probabilities are off, and on how many orders that stands; the leader alone has them.",
};

pub(super) const POLICY: Look = Look {
    command: "weir policy show",
    prints: "rules",
    look_for: "what the fold is told: holds, caps, safety stock.",
};

pub(super) const REPLIES: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep ^weir_door_replies",
    prints: "kind=\"busy\"",
    look_for: "what this worker's door has answered: all but `decided` and `refused` are bad answers.",
};

pub(super) const WAITING: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep -E '^weir_door_(pending|memory|reply_seconds_count)'",
    prints: "weir_door_pending_requests",
    look_for: "what waits at this worker's door, and whether the count of answers grows.",
};

pub(super) const SETTINGS: Look = Look {
    command: "curl -s 127.0.0.1:9464/status | grep -oE '\"unsafe_settings\":[^]]*]'",
    prints: "[]",
    look_for: "the settings that are unsafe, spelled out; `[]` where none is.",
};

pub(super) const ANSWERS: Look = Look {
    command: "curl -s 127.0.0.1:9464/metrics | grep -E '^weir_(slo_answers|door_replies)_total'",
    prints: "verdict=\"bad\"",
    look_for: "good and bad answers of this worker since it started, and what its door has answered.",
};

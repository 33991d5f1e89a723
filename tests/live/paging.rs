//! One incident, one page: a real Alertmanager with the configuration that is checked in gets what fires in an incident, and says what
//! it keeps quiet.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weir::process::monitoring::{Severity, alerts};
use weir_kit::{folder, scratch, until};

use crate::watchers::{Alertmanager, ask, routing};

/// An incident: what fires, by name and, for tiers, `long`; and what of it somebody hears.
type Incident = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const INCIDENTS: [Incident; 9] = [
    (
        "the only worker died",
        &[("WeirAbsent", ""), ("WeirWorkerUnreachable", ""), ("WeirFewOrders", "")],
        &["WeirAbsent"],
    ),
    (
        "a leader died, and its standby cannot lead",
        &[
            ("WeirShardWithoutLeader", ""),
            ("WeirShardNotReady", ""),
            ("WeirErrorBudgetBurn", "1h"),
            ("WeirErrorBudgetBurn", "6h"),
            ("WeirLag", ""),
        ],
        &["WeirShardWithoutLeader"],
    ),
    (
        "NATS is away",
        &[
            ("WeirShardWithoutLeader", ""),
            ("WeirShardNotReady", ""),
            ("WeirAppendsFail", ""),
            ("WeirFewOrders", ""),
        ],
        &["WeirShardWithoutLeader"],
    ),
    (
        "a leader is stuck",
        &[
            ("WeirShardStandsStill", ""),
            ("WeirLag", ""),
            ("WeirErrorBudgetBurn", "1h"),
            ("WeirDoorRefuses", ""),
        ],
        &["WeirShardStandsStill"],
    ),
    (
        "a fault at all workers",
        &[
            ("WeirFault", ""),
            ("WeirShardWithoutLeader", ""),
            ("WeirShardNotReady", ""),
            ("WeirErrorBudgetBurn", "1h"),
            ("WeirErrorBudgetBurn", "3d"),
        ],
        &["WeirFault"],
    ),
    (
        "the log fills up, and is full",
        &[("WeirLogFull", ""), ("WeirLogFullSoon", ""), ("WeirFewOrders", ""), ("WeirSnapshotsFail", "")],
        &["WeirLogFull", "WeirSnapshotsFail"],
    ),
    (
        "orders are late",
        &[
            ("WeirErrorBudgetBurn", "1h"),
            ("WeirErrorBudgetBurn", "6h"),
            ("WeirErrorBudgetBurn", "1d"),
            ("WeirErrorBudgetBurn", "3d"),
            ("WeirDoorRefuses", ""),
        ],
        &["WeirErrorBudgetBurn"],
    ),
    ("a door without room", &[("WeirDoorRefuses", "")], &["WeirDoorRefuses"]),
    ("a surge of cancellations", &[("WeirCancellationSurge", "")], &["WeirCancellationSurge"]),
];

/// An alert as Prometheus would send it.
fn firing(incident: &str, name: &str, long: &str) -> Value {
    let alert = alerts()
        .find(|alert| alert.name == name && (long.is_empty() || alert.labels.contains(&("long", long))))
        .unwrap_or_else(|| panic!("there is no alert {name} {long}"));
    // Each incident is a deployment's of its own, so that all can be told at once.
    let mut labels = json!({
        "alertname": name, "job": incident, "team": alert.team.name(), "severity": alert.severity.name(),
    });
    for (label, value) in alert.labels {
        labels[*label] = json!(value);
    }
    // Those that are of a shard say which.
    if alert.summary.contains("$labels.shard") || name == "WeirShardNotReady" {
        labels["shard"] = json!("main");
    }
    json!({"labels": labels, "annotations": {"incident": incident}})
}

#[tokio::test]
async fn an_incident_gives_one_page() {
    for (incident, fires, heard) in INCIDENTS {
        // WeirAbsent has no job: it keeps all quiet. So each incident has an Alertmanager of its own.
        let home = folder(&scratch(), "paging").unwrap();
        let alertmanager = Alertmanager::start(home.path(), &routing()).await;
        let address = alertmanager.address;
        let all: Vec<Value> = fires.iter().map(|(name, long)| firing(incident, name, long)).collect();
        until("Alertmanager to take alerts", async || {
            ask(address, "POST", "/api/v2/alerts", &json!(all).to_string()).ok()
        })
        .await;
        let heard: BTreeSet<&str> = heard.iter().copied().collect();
        let mut last = BTreeSet::new();
        until(incident, async || {
            let text = ask(address, "GET", "/api/v2/alerts", "").ok()?;
            let told: Vec<Value> = serde_json::from_str(&text).ok()?;
            if told.len() < all.len() {
                return None;
            }
            let loud = told
                .iter()
                .filter(|alert| alert["status"]["inhibitedBy"].as_array().is_some_and(Vec::is_empty));
            let names: Vec<String> =
                loud.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect();
            // A name twice would be two tiers that are both heard.
            last = names.iter().cloned().collect();
            let same = last.iter().map(String::as_str).eq(heard.iter().copied());
            (same && last.len() == names.len()).then_some(())
        })
        .await;
        let pages = alerts()
            .filter(|alert| heard.contains(alert.name) && alert.labels.is_empty())
            .filter(|alert| alert.severity == Severity::Page)
            .count();
        assert!(pages <= 1, "{incident}: {last:?}");
    }
}

/// Of two deployments one is absent: the other one's alerts are heard. Where Weir is absent altogether, there is nothing else to hear.
#[tokio::test]
async fn a_deployment_that_is_absent_hides_no_other() {
    for (job, heard) in [("weir-north", 2), ("", 1)] {
        let home = folder(&scratch(), "paging").unwrap();
        let alertmanager = Alertmanager::start(home.path(), &routing()).await;
        let address = alertmanager.address;
        let mut absent = firing(job, "WeirAbsent", "");
        if job.is_empty() {
            absent["labels"].as_object_mut().unwrap().remove("job");
        }
        let all = [absent, firing("weir-north", "WeirLag", ""), firing("weir-south", "WeirFault", "")];
        until("Alertmanager to take alerts", async || {
            ask(address, "POST", "/api/v2/alerts", &json!(all).to_string()).ok()
        })
        .await;
        until("one deployment to keep its own quiet", async || {
            let text = ask(address, "GET", "/api/v2/alerts", "").ok()?;
            let told: Vec<Value> = serde_json::from_str(&text).ok()?;
            let loud = told
                .iter()
                .filter(|alert| alert["status"]["inhibitedBy"].as_array().is_some_and(Vec::is_empty));
            (told.len() == all.len() && loud.count() == heard).then_some(())
        })
        .await;
    }
}

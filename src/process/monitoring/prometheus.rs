//! Alerting rules and their unit tests, as Prometheus and `promtool` read them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::alerts::alerts;
use super::definition::{Alert, Case};
use super::grafana;
use super::{Links, runbooks};

/// What every generated file begins with.
pub(super) const HEAD: &str =
    "# Made by `weir dashboards`, from the definitions in src/process/monitoring: change those.\n";

/// A text as YAML has it: JSON's strings are YAML's too.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// What an alert carries beside its labels.
fn annotations(alert: &Alert, links: &Links) -> [(&'static str, String); 4] {
    [
        ("summary", alert.summary.to_owned()),
        ("description", alert.meaning.to_owned()),
        ("runbook_url", runbooks::url(alert, links)),
        ("dashboard_url", format!("{}&var-job={{{{ $labels.job }}}}", grafana::panel_url(alert, links))),
    ]
}

/// The file of alerting rules.
pub(super) fn rules(links: &Links) -> String {
    let mut text = String::from(HEAD);
    text.push_str("groups:\n  - name: weir-alerts\n    rules:\n");
    for alert in alerts() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "      - alert: {}", alert.name);
        let _ = writeln!(text, "        expr: {}", quoted(&alert.condition()));
        let _ = writeln!(text, "        for: {}", alert.hold);
        if !alert.keep.is_empty() {
            let _ = writeln!(text, "        keep_firing_for: {}", alert.keep);
        }
        let _ = writeln!(text, "        labels:");
        let _ = writeln!(text, "          severity: {}", alert.severity.name());
        let _ = writeln!(text, "          team: {}", alert.team.name());
        for (name, value) in alert.labels {
            let _ = writeln!(text, "          {name}: {}", quoted(value));
        }
        let _ = writeln!(text, "        annotations:");
        for (name, value) in annotations(alert, links) {
            let _ = writeln!(text, "          {name}: {}", quoted(&value));
        }
    }
    text
}

/// The files of unit tests: every alert fires once, and stays silent once. Those that look weeks back take longer steps.
pub(super) fn tests(links: &Links) -> [(String, String); 2] {
    let paces = [("alerts_test.yml", "15s", "30s", false), ("weekly_test.yml", "30m", "30m", true)];
    paces.map(|(name, step, evaluated, weekly)| {
        let mut text = String::from(HEAD);
        let _ = write!(
            text,
            "rule_files: [recording.yml, alerts.yml]\ngroup_eval_order: [weir-recorded, weir-alerts]\n\
             evaluation_interval: {evaluated}\ntests:\n"
        );
        for alert in alerts().filter(|alert| alert.weekly == weekly) {
            for (what, case) in [("fires", &alert.fires), ("silent", &alert.silent)] {
                let _ = writeln!(text, "  - {}", test(alert, what, case, step, links));
            }
        }
        (format!("prometheus/{name}"), text)
    })
}

/// One test, on a line of its own: JSON is YAML too.
fn test(alert: &Alert, what: &str, case: &Case, step: &str, links: &Links) -> Value {
    let series: Vec<Value> =
        case.series.iter().map(|(name, values)| json!({"series": name, "values": values})).collect();
    let mut expected = Vec::new();
    if !case.summary.is_empty() {
        let mut labels = json!({"severity": alert.severity.name(), "team": alert.team.name()});
        for (name, value) in alert.labels.iter().chain(case.labels) {
            labels[*name] = json!(value);
        }
        let job = case.labels.iter().find(|(name, _)| *name == "job").map_or("", |(_, job)| *job);
        let mut told = json!({});
        for (name, value) in annotations(alert, links) {
            told[name] = json!(value.replace("{{ $labels.job }}", job));
        }
        told["summary"] = json!(case.summary);
        expected.push(json!({"exp_labels": labels, "exp_annotations": told}));
    }
    // Tiers of one alert are told apart by their labels, which promtool compares: what other tiers say is left to their own tests.
    json!({
        "name": format!("{} {}{what}", alert.name, alert.labels.iter().fold(String::new(), |all, (_, value)| all + value + " ")),
        "interval": step,
        "input_series": series,
        "alert_rule_test": [{"alertname": alert.name, "eval_time": case.at, "exp_alerts": expected}],
    })
}

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

/// How figures are written in a sentence, by the word that stands for it in a summary: a count with commas, and a length of time as
/// short as it is said.
const WORDS: [(&str, &str); 2] = [
    (
        "| whole",
        r#"| printf "%.0f" | reReplaceAll "^(\\d+)(\\d{3})(\\d{3})$" "$1,$2,$3" | reReplaceAll "^(\\d+)(\\d{3})$" "$1,$2""#,
    ),
    (
        "| lasting",
        r#"| humanizeDuration | reReplaceAll "^(\\d+d \\d+h|\\d+h \\d+m|\\d+m) .*$" "$1" | reReplaceAll "^(\\d+(?:d|h)) 0(?:h|m)$" "$1""#,
    ),
];

/// Chooses the job in a dashboard. What is absent altogether has none: then all stay chosen.
const OF_JOB: &str = "{{ with $labels.job }}&var-job={{ . }}{{ end }}";

/// A summary as Prometheus reads it.
fn summary(alert: &Alert) -> String {
    WORDS.iter().fold(alert.summary.to_owned(), |text, (word, steps)| text.replace(word, steps))
}

/// What an alert carries beside its labels.
fn annotations(alert: &Alert, links: &Links) -> [(&'static str, String); 4] {
    [
        ("summary", summary(alert)),
        ("description", alert.meaning.to_owned()),
        ("runbook_url", runbooks::url(alert, links)),
        ("dashboard_url", format!("{}{OF_JOB}", grafana::panel_url(alert, links))),
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

/// The files of unit tests: every alert fires once, once more though a scrape is missed, and stays silent once. Those that look weeks
/// back take longer steps, of which none is missed.
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
            if !weekly && !alert.fires.series.is_empty() {
                let _ = writeln!(text, "  - {}", missed(alert, step));
            }
        }
        (format!("prometheus/{name}"), text)
    })
}

/// What tells an alert's tiers apart, before what follows.
fn tier(alert: &Alert) -> String {
    alert.labels.iter().fold(String::new(), |all, (_, value)| all + value + " ")
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
        let job = case.labels.iter().find(|(name, _)| *name == "job");
        let chosen = job.map_or_else(String::new, |(_, job)| format!("&var-job={job}"));
        let mut told = json!({});
        for (name, value) in annotations(alert, links) {
            told[name] = json!(value.replace(OF_JOB, &chosen));
        }
        told["summary"] = json!(case.summary);
        expected.push(json!({"exp_labels": labels, "exp_annotations": told}));
    }
    // Tiers of one alert are told apart by their labels, which promtool compares: what other tiers say is left to their own tests.
    json!({
        "name": format!("{} {}{what}", alert.name, tier(alert)),
        "interval": step,
        "input_series": series,
        "alert_rule_test": [{"alertname": alert.name, "eval_time": case.at, "exp_alerts": expected}],
    })
}

/// The test that an alert fires although a scrape is missed shortly before.
fn missed(alert: &Alert, step: &str) -> Value {
    const STEP_SECONDS: usize = 15;
    let at = alert.fires.at.trim_end_matches('m').parse::<usize>().unwrap_or_default() * 60 / STEP_SECONDS;
    let series: Vec<Value> = alert
        .fires
        .series
        .iter()
        .map(|(name, values)| {
            // Of what cannot be scraped Prometheus itself says 0.
            let instead = if name.starts_with("up{") { "0" } else { "stale" };
            json!({"series": name, "values": without(values, at.saturating_sub(2), instead)})
        })
        .collect();
    let matchers =
        alert.labels.iter().fold(String::new(), |all, (name, value)| all + &format!(",{name}=\"{value}\""));
    let firing = format!("count(ALERTS{{alertname=\"{}\",alertstate=\"firing\"{matchers}}})", alert.name);
    json!({
        "name": format!("{} {}fires though a scrape is missed", alert.name, tier(alert)),
        "interval": step,
        "input_series": series,
        "promql_expr_test": [
            {"expr": firing, "eval_time": alert.fires.at, "exp_samples": [{"labels": "{}", "value": 1}]},
        ],
    })
}

/// Values in `promtool`'s notation, with another one in a place. There `5x2` is three values, and `_x2` two that are missing.
fn without(values: &str, place: usize, instead: &str) -> String {
    let mut items = Vec::new();
    let mut first = 0;
    for item in values.split(' ') {
        let (start, times) = item.split_once('x').unwrap_or((item, "0"));
        let times = times.parse::<usize>().unwrap_or_default();
        let more = usize::from(start != "_" || !item.contains('x'));
        let count = times + more;
        if (first..first + count).contains(&place) {
            let (before, behind) = (place - first, count - (place - first) - 1);
            if before > 0 {
                items.push(format!("{start}x{}", before - more));
            }
            items.push(instead.to_owned());
            if behind > 0 {
                items.push(format!("{}x{}", later(start, before + 1), behind - more));
            }
        } else {
            items.push(item.to_owned());
        }
        first += count;
    }
    items.join(" ")
}

/// What `5+2`, say, is after so many steps. What is no number does not grow.
fn later(start: &str, steps: usize) -> String {
    let sign = start.char_indices().skip(1).find(|(_, letter)| "+-".contains(*letter));
    let (from, by) = sign.map_or((start, "0"), |(place, _)| start.split_at(place));
    let (Ok(from), Ok(grows)) = (from.parse::<f64>(), by.parse::<f64>()) else { return start.to_owned() };
    #[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
    let from = from + grows * steps as f64;
    if sign.is_some() { format!("{from}{by}") } else { from.to_string() }
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn one_value_is_another_and_the_rest_stays() {
        assert_eq!(without("0+10x4", 2, "stale"), "0+10x1 stale 30+10x1");
        assert_eq!(without("1x4 0x20", 5, "stale"), "1x4 stale 0x19");
        assert_eq!(without("-3x2 7 _x4", 3, "stale"), "-3x2 stale _x4");
        assert_eq!(without("-3x2 7 _x4", 5, "0"), "-3x2 7 _x1 0 _x2");
        assert_eq!(without("5-2x3", 0, "stale"), "stale 3-2x2");
        assert_eq!(without("1x4", 9, "stale"), "1x4");
    }
}

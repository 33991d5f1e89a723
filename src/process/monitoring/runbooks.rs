//! Runbooks: one an alert, in Markdown.

use std::fmt::Write as _;

use super::alerts::alerts;
use super::definition::Alert;
use super::{Links, grafana};

/// Where an alert's runbook is served.
pub(super) fn url(alert: &Alert, links: &Links) -> String {
    format!("{}/runbooks/{}", links.weir, alert.name)
}

/// The names of all runbooks, each once.
pub(super) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = alerts().map(|alert| alert.name).collect();
    names.dedup();
    names
}

/// The runbook of the alert of that name, in Markdown; none where there is no such alert.
#[must_use]
pub fn runbook(name: &str) -> Option<String> {
    let tiers: Vec<&Alert> = alerts().filter(|alert| alert.name == name).collect();
    let alert = tiers.first()?;
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "# {name}\n\nBegin with these:\n\n```sh");
    for look in &alert.looks {
        let _ = writeln!(text, "{}", look.command);
    }
    let _ = writeln!(text, "```\n");
    for look in &alert.looks {
        let _ = writeln!(text, "- `{}`: {}", look.command, look.look_for);
    }
    let _ = writeln!(text, "\n## Meaning\n\n{}\n", alert.meaning);
    let _ = writeln!(text, "| fires when | for | unit | severity | team |\n|---|---|---|---|---|");
    for tier in &tiers {
        let condition = tier.condition().replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{condition}` | {} | {} | {} | {} |",
            tier.hold,
            tier.unit.words(),
            tier.severity.name(),
            tier.team.name()
        );
    }
    if let Some((board, _)) = grafana::place(alert) {
        let _ = writeln!(text, "\nPanel: \"{}\" on the dashboard \"{}\".", alert.title, board.title);
    }
    let _ = writeln!(text, "\n## Impact\n\n{}\n\n## Diagnosis\n", alert.impact);
    for (number, step) in (1..).zip(alert.diagnosis) {
        let _ = writeln!(text, "{number}. {step}");
    }
    let _ = writeln!(text, "\n## Mitigation\n");
    for step in alert.mitigation {
        let _ = writeln!(text, "- {step}");
    }
    Some(text)
}

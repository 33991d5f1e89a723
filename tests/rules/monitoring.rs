//! What is checked in under `dashboards/` is what the definitions make, Prometheus and Alertmanager read it, each alert fires once
//! and stays silent once, and Weir's own rules for boards hold. `linter` has those of Grafana's linter.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir::process::monitoring::{
    Item, Links, Severity, Team, alerts, boards, files, for_dashboards, recorded, runbook,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// All files below a folder, by their names from there.
fn below(folder: &Path, within: &str, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder.join(within)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let name = if within.is_empty() { name } else { format!("{within}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            below(folder, &name, found);
        } else {
            found.insert(name);
        }
    }
}

#[test]
fn what_is_checked_in_is_what_the_definitions_make() {
    let mut there = BTreeSet::new();
    below(&folder(), "", &mut there);
    let made = files(&Links::default());
    for (name, text) in &made {
        let checked_in = std::fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(checked_in == *text, "dashboards/{name} differs: run `cargo run -- dashboards dashboards`");
        there.remove(name);
    }
    assert!(there.is_empty(), "nothing makes {there:?}");
    assert_eq!(made.len(), made.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len(), "a name twice");
}

/// Runs a program of Prometheus's, in the folder with the rules, and gives what it said.
fn run(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder().join("prometheus")).output();
    let output = output.unwrap_or_else(|_| {
        panic!("\n\nTHERE IS NO {program} ON PATH: Debian's package {package} has it.\n")
    });
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}:\n{said}");
    said
}

#[test]
fn promtool_reads_configuration_and_rules() {
    run("promtool", "prometheus", &["check", "config", "prometheus.yml"]);
    let said = run("promtool", "prometheus", &["check", "rules", "recording.yml", "alerts.yml"]);
    assert!(said.contains(&format!("{} rules found", alerts().count())), "{said}");
    assert!(said.contains(&format!("{} rules found", recorded().len())), "{said}");
}

#[test]
fn every_alert_fires_once_and_stays_silent_once() {
    for alert in alerts() {
        assert!(!alert.fires.summary.is_empty() && alert.silent.summary.is_empty(), "{}", alert.name);
        assert_ne!(
            (alert.fires.series, alert.fires.at),
            (alert.silent.series, alert.silent.at),
            "{}",
            alert.name
        );
    }
    run("promtool", "prometheus", &["test", "rules", "alerts_test.yml"]);
    run("promtool", "prometheus", &["test", "rules", "weekly_test.yml"]);
    run("promtool", "prometheus", &["test", "rules", "recording_test.yml"]);
}

#[test]
fn alertmanager_sends_each_to_whom_it_is_for() {
    let configuration = "../alertmanager/alertmanager.yml";
    run("amtool", "prometheus-alertmanager", &["check-config", configuration]);
    for alert in alerts() {
        let receiver = match (alert.team, alert.severity) {
            (Team::Platform, Severity::Page) => "platform-pager",
            (Team::Platform, Severity::Ticket) => "platform-tickets",
            (Team::Shop, _) => "shop",
        };
        let labels =
            [("alertname", alert.name), ("team", alert.team.name()), ("severity", alert.severity.name())];
        let labels = labels.map(|(name, value)| format!("{name}={value}"));
        let receivers = format!("--verify.receivers={receiver}");
        let config = format!("--config.file={configuration}");
        let mut arguments = vec!["config", "routes", "test", &config, &receivers];
        arguments.extend(labels.iter().map(String::as_str));
        run("amtool", "prometheus-alertmanager", &arguments);
    }
    // What inhibits, and what is inhibited, are alerts that there are.
    let text = std::fs::read_to_string(folder().join("alertmanager/alertmanager.yml")).unwrap();
    let named: BTreeSet<&str> = text
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| word.starts_with("Weir") && word.len() > 4)
        .collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        assert!(alerts().any(|alert| alert.name == name), "there is no alert {name}");
    }
}

#[test]
fn only_the_platform_is_woken() {
    for alert in alerts() {
        assert!(alert.team == Team::Platform || alert.severity == Severity::Ticket, "{}", alert.name);
    }
}

#[test]
fn boards_keep_the_rules_of_the_house() {
    let mut at_home = BTreeSet::new();
    for board in boards() {
        assert!(board.tiles.len() <= 6, "{}", board.title);
        let open = board.rows.iter().filter(|row| row.open).count();
        assert!(
            open >= 1 && (open * 2 <= board.rows.len() + 1),
            "{}: most rows are to be collapsed",
            board.title
        );
        for row in board.rows {
            assert!(row.question.ends_with('?'), "{}: {:?} is no question", board.title, row.question);
            for item in row.items {
                if let Item::Alert(name) = item {
                    assert!(alerts().any(|alert| alert.name == *name), "there is no alert {name}");
                    at_home.insert(*name);
                }
            }
        }
    }
    for alert in alerts() {
        assert!(at_home.contains(alert.name), "{} has no panel", alert.name);
    }
}

/// Red and green say that somebody is told; so they stand only where an alert's threshold does.
#[test]
fn red_stands_only_where_an_alert_exists() {
    fn red_panels<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a serde_json::Value>) {
        for panel in value["panels"].as_array().into_iter().flatten() {
            if panel["fieldConfig"].to_string().contains("\"red\"") {
                found.push(panel);
            }
            red_panels(panel, found);
        }
    }
    let mut total = 0;
    for (name, text) in files(&Links::default()) {
        if !name.starts_with("grafana/weir-") {
            continue;
        }
        let board: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut red = Vec::new();
        red_panels(&board, &mut red);
        total += red.len();
        for panel in red {
            let links = panel["links"].to_string();
            let fires = panel["title"] == "Alerts that fire";
            assert!(fires || links.contains("/runbooks/Weir"), "{name}: {}", panel["title"]);
        }
    }
    assert!(total > alerts().map(|alert| alert.name).collect::<BTreeSet<_>>().len());
}

#[test]
fn no_expression_paints_a_dead_reporter_green() {
    for (name, text) in files(&Links::default()) {
        if name.starts_with("runbooks/") || name == "README.md" {
            continue;
        }
        assert!(!text.contains("or vector("), "{name} fills gaps");
    }
}

#[test]
fn what_is_chosen_in_a_dashboard_is_asked_for() {
    for alert in alerts() {
        let dashboards = for_dashboards(alert.quantity);
        for selector in crate::promql::selectors(&dashboards) {
            let labels = selector.labels();
            assert!(labels.contains(&"job"), "{}: {}", alert.name, selector.name);
            let recorded = selector.name.contains(':') || selector.name == "ALERTS";
            assert_eq!(labels.contains(&"instance"), !recorded, "{}: {}", alert.name, selector.name);
        }
        let condition = alert.condition();
        assert!(!condition.contains('$') && !condition.contains("{}"), "{}: {condition}", alert.name);
    }
}

#[test]
fn every_alert_has_a_runbook_that_begins_with_three_commands() {
    for alert in alerts() {
        let text = runbook(alert.name).unwrap();
        for part in ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"] {
            assert!(text.contains(part), "{}: no {part}", alert.name);
        }
        let block = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        assert_eq!(block.lines().count(), 3, "{}", alert.name);
        let distinct: BTreeSet<&str> = block.lines().collect();
        assert_eq!(distinct.len(), 3, "{}: a command twice", alert.name);
        assert!(!alert.diagnosis.is_empty() && !alert.mitigation.is_empty(), "{}", alert.name);
    }
    for odd in ["", "Weir", "../../etc/passwd", "weirfault", "WeirFault.md"] {
        assert_eq!(runbook(odd), None, "{odd}");
    }
}

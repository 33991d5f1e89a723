//! Dashboards, rules and runbooks against what runs: a worker that is scraped, and a real Prometheus that scrapes a demo.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use weir::edges::telemetry::families::{FAMILIES, Kind};
use weir::process::monitoring::{Links, alerts, boards, files, for_rules, recorded, runbook};
use weir_kit::process::{Ending, Input, Process};
use weir_kit::{folder, scratch, until, within};

use crate::nats::Server;
use crate::promql::{grouped, selectors};
use crate::watchers::{Prometheus, ask, free_port};
use crate::weir::{OWN, Weir, place, plain, publish, receive};

/// Labels that Prometheus gives itself.
const OF_PROMETHEUS: [&str; 6] = ["job", "instance", "le", "alertname", "alertstate", "severity"];

/// Expressions that are rightly empty in a demo of one worker whose streams are in memory, by a piece of each, and why. `true`: it is
/// always so, and asserted.
const EMPTY: [(&str, bool, &str); 8] = [
    ("offset 1w", true, "there was no last week"),
    ("ALERTS{", false, "a quiet demo wakes nobody, which is asserted apart; the shop may have a ticket"),
    ("deriv(job_shard:weir_log_bytes", false, "the log is trimmed as fast as it grows"),
    ("changes(process_start_time", true, "nothing was started again"),
    ("weir_door_", true, "streams in memory have no door"),
    ("weir_payment_failures_total", false, "payments may not fail within a minute"),
    ("weir_build_info{job=~\".+\",instance=~\".+\"} unless", false, "no version has changed"),
    ("weir_cancelled_orders_total", false, "reasons that did not come in the window are left out"),
];

/// An expression, and where it stands.
struct Expression {
    place: String,
    text: String,
}

/// All expressions: of panels, annotations, alerts and recording rules, with what a dashboard chooses filled in.
fn expressions() -> Vec<Expression> {
    fn walk(place: &str, value: &Value, found: &mut Vec<Expression>) {
        match value {
            Value::Object(fields) => {
                let title = fields.get("title").and_then(Value::as_str).unwrap_or(place);
                for (name, field) in fields {
                    match field {
                        Value::String(text) if name == "expr" => {
                            let text = text.replace("$__rate_interval", "15s");
                            let text = text.replace("$job", ".+").replace("$instance", ".+");
                            found.push(Expression { place: title.to_owned(), text });
                        }
                        _ => walk(title, field, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(place, item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (name, text) in files(&Links::default()) {
        if name.starts_with("grafana/weir-") {
            walk(&name, &serde_json::from_str(&text).unwrap(), &mut found);
        }
    }
    for alert in alerts() {
        found.push(Expression { place: alert.name.to_owned(), text: for_rules(alert.quantity) });
    }
    for (name, text) in recorded() {
        found.push(Expression { place: name, text });
    }
    assert!(found.len() > 150 && boards().len() == 6, "{}", found.len());
    found
}

/// The series that a text of metrics has, by name, with all their labels.
fn exported(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut series: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        for selector in selectors(line.rsplit_once(' ').unwrap().0) {
            let labels = selector.labels().into_iter().map(str::to_owned).collect::<Vec<_>>();
            series.entry(selector.name).or_default().extend(labels);
        }
    }
    series
}

/// What analytics say that they export, once there is something to show.
fn promised() -> BTreeMap<String, BTreeSet<String>> {
    let mut series = BTreeMap::new();
    for family in FAMILIES {
        let labels: BTreeSet<String> =
            family.labels.iter().chain(&["shard"]).map(|label| (*label).to_owned()).collect();
        if family.kind == Kind::Histogram {
            for part in ["bucket", "sum", "count"] {
                series.insert(format!("{}_{part}", family.name), labels.clone());
            }
        } else {
            series.insert(family.name.to_owned(), labels);
        }
    }
    series
}

#[tokio::test]
async fn every_expression_names_what_weir_exports() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    let context = plain(&server).await;
    publish(&context, receive("R", 5).to_string()).await;
    publish(&context, place("O").to_string()).await;
    let known = until("a decided order", async || {
        let (_, text) = worker.get("/metrics");
        let count = "weir_stage_duration_seconds_count{shard=\"main\",stage=\"end_to_end\"} 3";
        let shown = text.contains(count) && text.contains("\nweir_last_progress_timestamp_seconds{");
        shown.then(|| {
            let mut known = exported(&text);
            for (name, labels) in promised() {
                known.entry(name).or_default().extend(labels);
            }
            known
        })
    })
    .await;
    // What only shows once it has happened.
    let late = ["weir_snapshot_last_success_timestamp_seconds", "weir_audit_last_success_timestamp_seconds"];
    let recorded: BTreeSet<String> = recorded().into_iter().map(|(name, _)| name).collect();
    for Expression { place, text } in expressions() {
        let mut all: BTreeSet<String> = OF_PROMETHEUS.map(str::to_owned).into();
        for selector in selectors(&text) {
            let name = &selector.name;
            let own = if name == "up" || name == "ALERTS" || late.contains(&name.as_str()) {
                BTreeSet::from(["shard".to_owned()])
            } else if recorded.contains(name) {
                // A recorded name begins with the labels that it has.
                let labels = name.split(':').next().unwrap_or_default().split('_').chain(["shard"]);
                labels.map(str::to_owned).collect()
            } else {
                known.get(name).unwrap_or_else(|| panic!("{place}: Weir exports no {name}: {text}")).clone()
            };
            for label in selector.labels() {
                let fine = own.contains(label) || OF_PROMETHEUS.contains(&label);
                assert!(fine, "{place}: {name} has no label {label}: {text}");
            }
            all.extend(own);
        }
        for label in grouped(&text) {
            assert!(all.contains(&label), "{place}: nothing has a label {label}: {text}");
        }
    }
    worker.stop().await;
}

/// A Prometheus that scrapes a worker every second, with the rules that are checked in.
async fn prometheus(home: &Path, scraped: SocketAddr) -> Prometheus {
    for (name, text) in files(&Links::default()) {
        if let Some(name) = name.strip_prefix("prometheus/") {
            std::fs::write(home.join(name), text).unwrap();
        }
    }
    let configuration = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [recording.yml, alerts.yml]\n\
         scrape_configs:\n  - job_name: weir\n    static_configs: [{{targets: [\"{scraped}\"]}}]\n"
    );
    Prometheus::start(home, &configuration).await
}

/// Why an expression may be empty in a demo.
fn excused(expression: &Expression, scraped: &BTreeMap<String, BTreeSet<String>>) -> Option<bool> {
    let listed = EMPTY.iter().find(|(piece, ..)| expression.text.contains(piece));
    listed.map(|(_, always, _)| *always).or_else(|| {
        // Analytics show some figures only once there is what they are of: a surge, a full hour, a delivery.
        let promised = promised();
        let not_shown = |name: &str| promised.contains_key(name) && !scraped.contains_key(name);
        selectors(&expression.text).iter().any(|selector| not_shown(&selector.name)).then_some(false)
    })
}

#[tokio::test]
async fn every_expression_returns_data_from_a_demo() {
    let home = folder(&scratch(), "monitoring").unwrap();
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = Command::new(OWN);
    command.args(["demo", "--for", "10m", "--rate", "500", "--json", "--admin", &admin.to_string()]);
    let demo = Process::start("demo", command, Input::None, Ending::Killed).unwrap();
    until("the demo to listen", async || TcpStream::connect(admin).ok()).await;
    let prometheus = prometheus(home.path(), admin).await;
    let expressions = expressions();
    let mut missing: Vec<&Expression> = Vec::new();
    let scraped = || exported(&ask(admin, "GET", "/metrics", "").unwrap_or_default());
    let waited = async {
        within(2 * weir_kit::PATIENCE, "data", async || {
            let scraped = scraped();
            for expression in &expressions {
                if excused(expression, &scraped).is_none() {
                    let data = prometheus.ask(&expression.text).unwrap_or_else(|error| panic!("{error}"));
                    if data.is_empty() {
                        missing = vec![expression];
                        return None;
                    }
                }
            }
            missing.clear();
            Some(())
        })
        .await;
    };
    waited.await;
    let scraped = scraped();
    for expression in &expressions {
        // Each parses, whether or not it has data.
        let data =
            prometheus.ask(&expression.text).unwrap_or_else(|error| panic!("{}: {error}", expression.text));
        if excused(expression, &scraped) == Some(true) {
            assert!(data.is_empty(), "{} is no longer empty: {}", expression.place, expression.text);
        }
        println!("{:>4} series  {}: {}", data.len(), expression.place, expression.text);
    }
    // A quiet demo wakes nobody.
    let firing = prometheus.ask("ALERTS{alertstate=\"firing\",severity=\"page\"}").unwrap();
    assert!(firing.is_empty(), "{firing:?}");
    drop(demo);
}

/// Every command that a runbook begins with is typed into a shell, and prints what its runbook says is to be found.
#[tokio::test]
async fn what_runbooks_begin_with_can_be_typed() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    let context = plain(&server).await;
    publish(&context, receive("R", 5).to_string()).await;
    publish(&context, place("O").to_string()).await;
    crate::weir::audit(&server).await;
    let looks: BTreeMap<&str, &str> =
        alerts().flat_map(|alert| alert.looks).map(|look| (look.command, look.prints)).collect();
    assert!(looks.len() >= 15, "{}", looks.len());
    let path = format!(
        "{}:{}",
        Path::new(OWN).parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    for (typed, prints) in looks {
        let mut shell = Command::new("bash");
        let typed = typed.replace("127.0.0.1:9464", &worker.admin().to_string());
        shell.args(["-o", "pipefail", "-c", &typed]).env("PATH", &path).env("NATS_URL", server.url());
        let shell = Process::start("shell", shell, Input::None, Ending::Killed).unwrap();
        let ended = shell.finish(weir_kit::PATIENCE).await.unwrap();
        assert_eq!(ended.code, Some(0), "{typed}: {ended:?}");
        assert!(ended.stdout.contains(prints), "{typed}: {ended:?}");
    }
    for alert in alerts() {
        let (status, text) = worker.get(&format!("/runbooks/{}", alert.name));
        assert_eq!((status, Some(text)), (200, runbook(alert.name)), "{}", alert.name);
    }
    for odd in ["/runbooks/", "/runbooks/Nothing", "/runbooks/%2e%2e%2fetc%2fpasswd", "/runbooks/%ff"] {
        let (status, _) = worker.get(odd);
        assert!((400..500).contains(&status), "{odd}: {status}");
    }
    worker.stop().await;
}

/// The command writes what is checked in; with other links, other links and nothing else.
#[tokio::test]
async fn the_command_writes_what_is_checked_in() {
    let home = folder(&scratch(), "dashboards").unwrap();
    let path = home.path().to_str().unwrap();
    let ended = Weir::command(&["dashboards", path]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for (name, text) in files(&Links::default()) {
        assert_eq!(std::fs::read_to_string(home.path().join(&name)).unwrap(), text, "{name}");
    }
    let ended = Weir::command(&["dashboards", path, "--weir", "https://weir.example/"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let rules = std::fs::read_to_string(home.path().join("prometheus/alerts.yml")).unwrap();
    assert!(rules.contains("https://weir.example/runbooks/WeirFault") && !rules.contains(":9464/runbooks"));
    let ended = Weir::command(&["dashboards", path, "--grafana", "ftp://x"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

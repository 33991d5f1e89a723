//! What people look at: one definition per signal, and what is made of it.
//!
//! An [`Alert`] says once what is measured, in which unit, from where on it is bad, for whom, what it means and what to do. From
//! that come its rule, its unit test, its panel with the line of its threshold, the tile that turns red with it, the links between
//! them, and its runbook. A [`Board`] says which panels stand where. [`files`] makes all of it, `weir dashboards FOLDER` writes it, and
//! the worker serves the runbooks of its own version: so an operator has them without the sources, and for the very
//! version that runs. What is checked in under `dashboards/` is held equal to it by a test.
//!
//! Expressions are written once for rules and dashboards. `$` among the labels of a metric stands for the choice of job and
//! instance in a dashboard, and for nothing in a rule; `$job` does so for recorded series, which have no instance.
//!
//! A figure of now goes on for [`BRIDGED`] in rules where scrapes are missed: else one missed scrape would begin the `for` of an
//! alert anew. A dashboard shows the gap.
//!
//! Whatever is summed over workers counts each shard once: counters are of what a worker announced itself. Gauges of a shard are
//! taken by `max` over its workers first, also those that are 0 but at the leader: one that died is still there for [`BRIDGED`]. So
//! neither a failover nor a standby changes a figure.

mod alerts;
mod boards;
mod definition;
mod grafana;
mod prometheus;
mod recording;
mod runbooks;

pub use alerts::alerts;
pub use boards::boards;
pub use definition::{
    Alert, BRIDGED, Board, Case, Item, Kind, Look, Panel, Row, Severity, Target, Team, Threshold, Tile, Unit,
    for_dashboards, for_rules,
};
pub use recording::recorded;
pub use runbooks::runbook;

/// What stands in files that are written by hand and go with the others: name and content.
const BY_HAND: [(&str, &str); 7] = [
    ("README.md", include_str!("../../../dashboards/README.md")),
    ("prometheus/prometheus.yml", include_str!("../../../dashboards/prometheus/prometheus.yml")),
    ("alertmanager/alertmanager.yml", include_str!("../../../dashboards/alertmanager/alertmanager.yml")),
    ("grafana/.lint", include_str!("../../../dashboards/grafana/.lint")),
    (
        "grafana/provisioning/dashboards/weir.yml",
        include_str!("../../../dashboards/grafana/provisioning/dashboards/weir.yml"),
    ),
    (
        "grafana/provisioning/datasources/prometheus.yml",
        include_str!("../../../dashboards/grafana/provisioning/datasources/prometheus.yml"),
    ),
    ("prometheus/recording_test.yml", include_str!("../../../dashboards/prometheus/recording_test.yml")),
];

/// Where the links of alerts and dashboards lead.
#[derive(Clone, Debug)]
pub struct Links {
    /// A worker's admin server, which serves the runbooks.
    pub weir: String,
    /// Grafana.
    pub grafana: String,
}

impl Default for Links {
    fn default() -> Self {
        Self { weir: "http://127.0.0.1:9464".to_owned(), grafana: "http://127.0.0.1:3000".to_owned() }
    }
}

/// All files: each one's name below the folder that they are written to, and its content.
#[must_use]
pub fn files(links: &Links) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> =
        BY_HAND.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    files.push(("prometheus/recording.yml".to_owned(), recording::file()));
    files.push(("prometheus/alerts.yml".to_owned(), prometheus::rules(links)));
    files.extend(prometheus::tests(links));
    for board in boards() {
        files.push((format!("grafana/{}.json", board.uid), grafana::dashboard(board, links)));
    }
    for name in runbooks::names() {
        files.extend(runbook(name).map(|text| (format!("runbooks/{name}.md"), text)));
    }
    files
}

//! The rules of Grafana's dashboard-linter, by their names, restated: the linter itself is a Go program that the tests do without.

use serde_json::Value;
use weir::process::monitoring::{Links, files};

use crate::promql::selectors;

/// The units that Weir's boards use, of those that Grafana knows.
const UNITS: [&str; 7] = ["short", "ops", "s", "percentunit", "bytes", "dateTimeFromNow", "none"];
/// What has a unit, by the linter.
const WITH_UNITS: [&str; 4] = ["stat", "table", "timeseries", "gauge"];

struct Board {
    name: String,
    json: Value,
}

impl Board {
    fn all() -> Vec<Self> {
        let boards =
            files(&Links::default()).into_iter().filter(|(name, _)| name.starts_with("grafana/weir-"));
        boards.map(|(name, text)| Self { name, json: serde_json::from_str(&text).unwrap() }).collect()
    }

    fn variable(&self, name: &str) -> &Value {
        let variables = self.json["templating"]["list"].as_array().unwrap();
        variables.iter().find(|variable| variable["name"] == name).unwrap_or(&Value::Null)
    }

    /// All panels but rows, also those of rows that are closed.
    fn panels(&self) -> Vec<&Value> {
        let top = self.json["panels"].as_array().unwrap().iter();
        let all = top
            .flat_map(|panel| std::iter::once(panel).chain(panel["panels"].as_array().into_iter().flatten()));
        all.filter(|panel| panel["type"] != "row").collect()
    }

    /// All expressions, each with its panel's title.
    fn expressions(&self) -> Vec<(&str, &str)> {
        let mut all = Vec::new();
        for panel in self.panels() {
            for target in panel["targets"].as_array().unwrap() {
                all.push((panel["title"].as_str().unwrap(), target["expr"].as_str().unwrap()));
            }
        }
        all
    }
}

#[test]
fn there_are_six_boards_with_panels() {
    let boards = Board::all();
    assert_eq!(boards.len(), 6);
    for board in &boards {
        assert!(board.expressions().len() >= 10, "{}", board.name);
    }
}

#[test]
fn template_datasource_rule() {
    for board in Board::all() {
        let variable = board.variable("datasource");
        assert_eq!((&variable["type"], &variable["query"]), (&"datasource".into(), &"prometheus".into()));
        assert_eq!(variable["label"], "Data source", "{}", board.name);
    }
}

/// `template-job-rule` and `template-instance-rule`.
#[test]
fn template_job_and_instance_rules() {
    for board in Board::all() {
        for name in ["job", "instance"] {
            let variable = board.variable(name);
            assert_eq!(variable["label"], name, "{}", board.name);
            assert_eq!(variable["type"], "query");
            assert_eq!(variable["datasource"]["uid"], "${datasource}");
            assert_eq!((&variable["multi"], &variable["includeAll"]), (&true.into(), &true.into()));
            assert_eq!(variable["allValue"], ".+", "{}: an All without a value finds too little", board.name);
        }
    }
}

#[test]
fn template_label_promql_rule() {
    for board in Board::all() {
        for name in ["job", "instance"] {
            let query = board.variable(name)["query"]["query"].as_str().unwrap();
            assert!(
                query.starts_with("label_values(weir_") && query.ends_with(&format!(", {name})")),
                "{query}"
            );
        }
    }
}

#[test]
fn template_on_time_change_reload_rule() {
    for board in Board::all() {
        for name in ["job", "instance"] {
            assert_eq!(board.variable(name)["refresh"], 2, "{}: {name}", board.name);
        }
    }
}

#[test]
fn panel_datasource_rule() {
    for board in Board::all() {
        for panel in board.panels() {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}: {}", board.name, panel["title"]);
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            }
        }
    }
}

#[test]
fn panel_title_description_rule() {
    for board in Board::all() {
        for panel in board.panels() {
            for part in ["title", "description"] {
                assert!(panel[part].as_str().is_some_and(|text| text.len() > 3), "{}: {panel}", board.name);
            }
        }
    }
}

#[test]
fn panel_units_rule() {
    for board in Board::all() {
        for panel in board.panels() {
            if !WITH_UNITS.iter().any(|kind| panel["type"] == *kind) {
                continue;
            }
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
            assert!(UNITS.contains(&unit), "{}: {}: {unit:?}", board.name, panel["title"]);
        }
    }
}

/// No rule of the linter, but one of Grafana: a colour holds from its step's value on, that one included.
#[test]
fn a_figure_at_its_limit_is_not_red() {
    let mut tiles = 0;
    for board in Board::all() {
        for panel in board.panels().into_iter().filter(|panel| panel["type"] == "stat") {
            let title = panel["title"].as_str().unwrap();
            let steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().unwrap();
            let from = |colour: &str| {
                let step = steps.iter().find(|step| step["color"] == colour)?;
                step["value"].as_f64()
            };
            let Some(limit) = title.split_once("(bad above ").map(|(_, limit)| limit.trim_end_matches(')'))
            else {
                continue;
            };
            let share = if limit.ends_with('%') { 0.01 } else { 1.0 };
            let limit: f64 = limit.trim_end_matches(['%', 's', ' ']).parse().unwrap();
            let (red, green) = (from("red").unwrap(), from("green").unwrap());
            assert!(green < share * limit && red > share * limit, "{}: {title}: {steps:?}", board.name);
            assert!(red < share * limit + 1e-5, "{}: {title}: {steps:?}", board.name);
            tiles += 1;
        }
    }
    assert!(tiles >= 12, "{tiles}");
}

#[test]
fn panel_no_targets_rule() {
    for board in Board::all() {
        for panel in board.panels() {
            assert!(
                panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()),
                "{}",
                panel["title"]
            );
        }
    }
}

/// `target-promql-rule` beside: Prometheus parses every expression, in the tests against a real one.
#[test]
fn target_rate_interval_rule() {
    for board in Board::all() {
        for (title, expr) in board.expressions() {
            for selector in selectors(expr) {
                let rate = selector.function.as_deref().is_some_and(|name| name == "rate" || name == "irate");
                if rate {
                    assert_eq!(selector.range.as_deref(), Some("$__rate_interval"), "{title}: {expr}");
                }
            }
        }
    }
}

/// `target-job-rule` and `target-instance-rule`; the second with the one exception that `.lint` names.
#[test]
fn target_job_and_instance_rules() {
    for board in Board::all() {
        for (title, expr) in board.expressions() {
            let selectors = selectors(expr);
            assert!(!selectors.is_empty(), "{title}: {expr}");
            for selector in selectors {
                let has = |matcher: &str| selector.matchers.iter().any(|one| one == matcher);
                assert!(has("job=~\"$job\""), "{title}: {expr}");
                let of_all = selector.name.contains(':') || selector.name == "ALERTS";
                assert_eq!(has("instance=~\"$instance\""), !of_all, "{title}: {expr}");
            }
        }
    }
}

#[test]
fn target_counter_agg_rule() {
    for board in Board::all() {
        for (title, expr) in board.expressions() {
            for selector in selectors(expr).iter().filter(|selector| selector.name.ends_with("_total")) {
                let function = selector.function.as_deref().unwrap_or_default();
                assert!(["rate", "irate", "increase"].contains(&function), "{title}: {expr}");
            }
        }
    }
}

#[test]
fn uneditable_dashboard_rule() {
    for board in Board::all() {
        assert_eq!(board.json["editable"], false, "{}", board.name);
    }
}

/// Not the linter's: ids and places are what Grafana wants them to be.
#[test]
fn panels_have_numbers_of_their_own_and_do_not_overlap() {
    for board in Board::all() {
        let mut ids = std::collections::BTreeSet::new();
        let mut cells = std::collections::BTreeSet::new();
        let top = board.json["panels"].as_array().unwrap();
        for panel in
            top.iter().chain(top.iter().flat_map(|panel| panel["panels"].as_array().into_iter().flatten()))
        {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}: {}", board.name, panel["title"]);
            let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(place("x") + place("w") <= 24, "{}: {}", board.name, panel["title"]);
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(cells.insert((x, y)), "{}: {} overlaps", board.name, panel["title"]);
                }
            }
        }
    }
}

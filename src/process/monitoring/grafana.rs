//! Dashboards as Grafana's JSON.
//!
//! What a figure looks like says what is known: green and red only where an alert has a threshold, grey and the words "no data" where
//! nothing is measured. No expression fills a gap with zero.

use serde_json::{Value, json};

use super::Links;
use super::alerts::alert;
use super::boards::boards;
use super::definition::{
    Alert, Board, Item, Kind, Panel, Row, Target, Threshold, Tile, Unit, for_dashboards,
};

/// Grafana's grid is so wide.
const WIDTH: u64 = 24;
/// How wide and high tiles and panels are, in its cells.
const TILE: (u64, u64) = (4, 4);
const PANEL: (u64, u64) = (12, 8);
/// The version of the JSON model that is written: Grafana 10 and later read it, and bring it up to their own.
const SCHEMA_VERSION: u32 = 39;
/// By so much a figure is beyond its limit: less than tiles show.
const BEYOND: f64 = 1e-6;
/// Every panel asks the source that is chosen on top.
fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// The number of an alert's panel on the board where it stands in a row, and that board.
pub(super) fn place(alert: &Alert) -> Option<(&'static Board, u64)> {
    for board in boards() {
        let mut id = 1 + board.tiles.len() as u64;
        for row in board.rows {
            id += 1;
            for item in row.items {
                if matches!(item, Item::Alert(name) if *name == alert.name) {
                    return Some((board, id));
                }
                id += 1;
            }
        }
    }
    None
}

/// Where an alert's panel is.
pub(super) fn panel_url(alert: &Alert, links: &Links) -> String {
    let (uid, id) = place(alert).map_or(("weir-overview", 1), |(board, id)| (board.uid, id));
    format!("{}/d/{uid}?viewPanel={id}", links.grafana)
}

/// One dashboard.
pub(super) fn dashboard(board: &Board, links: &Links) -> String {
    let mut panels = Vec::new();
    let mut id = 0;
    let mut next = || {
        id += 1;
        id
    };
    for (place, tile) in (0..).zip(board.tiles) {
        panels.push(with_place(tile_panel(tile, links), next(), place * TILE.0, 0, TILE));
    }
    let mut y = if board.tiles.is_empty() { 0 } else { TILE.1 };
    for row in board.rows {
        let row_id = next();
        let row_y = y;
        y += 1;
        let mut inner = Vec::new();
        let mut x = 0;
        for item in row.items {
            if x + PANEL.0 > WIDTH {
                (x, y) = (0, y + PANEL.1);
            }
            inner.push(with_place(item_panel(item, links), next(), x, y, PANEL));
            x += PANEL.0;
        }
        y += PANEL.1;
        panels.extend(row_panels(row, row_id, row_y, inner));
    }
    let board = json!({
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": ["weir"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": false,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [link("Weir", "dashboards", "")],
        "annotations": {"list": [
            {
                "builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "enable": true, "hide": true,
                "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard",
            },
            {
                "datasource": source(), "enable": true, "hide": false, "iconColor": "blue", "name": "Workers started",
                "expr": for_dashboards("changes(process_start_time_seconds{$}[$__rate_interval]) > 0"),
                "titleFormat": "Worker started", "textFormat": "{{instance}}", "step": "30s",
            },
            {
                "datasource": source(), "enable": true, "hide": false, "iconColor": "purple", "name": "Versions",
                "expr": for_dashboards("weir_build_info{$} unless weir_build_info{$} offset 5m"),
                "titleFormat": "Version {{version}}", "textFormat": "{{instance}}", "step": "60s",
            },
        ]},
        "templating": {"list": [
            {
                "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0,
                "refresh": 1, "current": {"text": "default", "value": "default"}, "options": [], "multi": false, "includeAll": false, "regex": "",
            },
            variable("job", "label_values(weir_build_info, job)"),
            variable("instance", "label_values(weir_build_info{job=~\"$job\"}, instance)"),
        ]},
        "panels": panels,
    });
    let mut text = serde_json::to_string_pretty(&board).unwrap_or_default();
    text.push('\n');
    text
}

/// A link, to a page or to all boards of Weir; what is chosen and the time go with it.
fn link(title: &str, kind: &str, url: &str) -> Value {
    let boards = kind == "dashboards";
    json!({
        "type": kind, "title": title, "url": url, "tags": if boards { vec!["weir"] } else { vec![] }, "asDropdown": false,
        "includeVars": boards, "keepTime": boards, "targetBlank": !boards, "icon": "external link", "tooltip": "",
    })
}

fn variable(name: &str, query: &str) -> Value {
    json!({
        "name": name, "label": name, "type": "query", "datasource": source(), "query": {"query": query, "refId": name},
        "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".+",
        "current": {"selected": true, "text": ["All"], "value": ["$__all"]}, "hide": 0, "regex": "", "options": [],
    })
}

/// A row that is open has its panels behind it, one that is not has them within.
fn row_panels(row: &Row, id: u64, y: u64, inner: Vec<Value>) -> Vec<Value> {
    let (within, behind) = if row.open { (Vec::new(), inner) } else { (inner, Vec::new()) };
    let mut panels = vec![json!({
        "id": id, "type": "row", "title": row.question, "collapsed": !row.open, "panels": within,
        "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
    })];
    panels.extend(behind);
    panels
}

fn with_place(mut panel: Value, id: u64, x: u64, y: u64, (w, h): (u64, u64)) -> Value {
    panel["id"] = json!(id);
    panel["gridPos"] = json!({"x": x, "y": y, "w": w, "h": h});
    panel
}

fn targets(targets: &[Target], instant: bool, format: &str) -> Value {
    let letters = "ABCDEFGH".chars();
    let queries = letters.zip(targets).map(|(letter, target)| {
        json!({
            "refId": letter.to_string(), "datasource": source(), "expr": for_dashboards(target.expr),
            "legendFormat": target.legend, "instant": instant, "range": !instant, "format": format,
        })
    });
    queries.collect()
}

/// Colours of a tile: what is not there has none. Grafana takes a step's colour from its value on, that one included: a figure at the
/// limit that it may reach is not red yet.
fn steps(threshold: Threshold) -> Value {
    let (bad, good) = ("red", "green");
    let floor = -1e18;
    match threshold {
        Threshold::Above(value) => json!([
            {"color": "text", "value": null},
            {"color": good, "value": floor},
            {"color": bad, "value": value + BEYOND},
        ]),
        Threshold::Below(value) => json!([
            {"color": "text", "value": null}, {"color": bad, "value": floor}, {"color": good, "value": value},
        ]),
    }
}

/// A line at the limit.
fn limit_line(threshold: Threshold) -> Value {
    json!([{"color": "text", "value": null}, {"color": "red", "value": threshold.value()}])
}

fn alert_links(alert: &Alert, links: &Links) -> Value {
    json!([link("What to do", "link", &super::runbooks::url(alert, links))])
}

fn limit(alert: &Alert) -> String {
    let value = alert.threshold.value();
    let text = match alert.unit {
        Unit::Share => format!("{:.0}%", value * 100.0),
        Unit::Seconds => format!("{value} s"),
        _ => value.to_string(),
    };
    let side = if matches!(alert.threshold, Threshold::Above(_)) { "above" } else { "below" };
    format!("bad {side} {text}")
}

/// A coloured tile: the worst of an alert's series.
fn tile_panel(tile: &Tile, links: &Links) -> Value {
    let alert = alert(tile.alert);
    let worst = if matches!(alert.threshold, Threshold::Above(_)) { "max" } else { "min" };
    let expr = for_dashboards(&format!("{worst}({})", alert.quantity));
    json!({
        "type": "stat",
        "title": format!("{} ({})", tile.title, limit(alert)),
        "description": format!("{} Grey means that nothing is measured.", alert.meaning),
        "datasource": source(),
        "links": alert_links(alert, links),
        "targets": [{
            "refId": "A", "datasource": source(), "expr": expr, "legendFormat": tile.title, "instant": true,
            "range": false, "format": "time_series",
        }],
        "fieldConfig": {
            "defaults": {
                "unit": alert.unit.grafana(), "decimals": 2, "noValue": "no data", "mappings": [],
                "thresholds": {"mode": "absolute", "steps": steps(alert.threshold)},
                "color": {"mode": "thresholds"},
            },
            "overrides": [],
        },
        "options": {
            "colorMode": "background", "graphMode": "none", "justifyMode": "center", "textMode": "value",
            "orientation": "auto", "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
        },
    })
}

fn item_panel(item: &Item, links: &Links) -> Value {
    match item {
        Item::Alert(name) => {
            let alert = alert(name);
            let queries = [Target { expr: alert.quantity, legend: alert.legend }];
            let mut panel = lines(&queries, alert.unit, false);
            panel["title"] = json!(format!("{} ({})", alert.title, limit(alert)));
            panel["description"] = json!(format!("{} Alert: {}.", alert.meaning, alert.name));
            panel["links"] = alert_links(alert, links);
            panel["fieldConfig"]["defaults"]["thresholds"] =
                json!({"mode": "absolute", "steps": limit_line(alert.threshold)});
            panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"] = json!({"mode": "dashed"});
            panel
        }
        Item::Panel(panel) => {
            let mut made = shown(panel);
            made["title"] = json!(panel.title);
            made["description"] = json!(panel.description);
            made
        }
    }
}

fn shown(panel: &Panel) -> Value {
    match panel.kind {
        Kind::Lines => lines(panel.targets, panel.unit, false),
        Kind::Stack => lines(panel.targets, panel.unit, true),
        Kind::Heatmap => heatmap(panel),
        Kind::Timeline(states) => timeline(panel, states),
        Kind::Figure => figure(panel),
        Kind::Table => table(panel),
    }
}

fn lines(queries: &[Target], unit: Unit, stacked: bool) -> Value {
    json!({
        "type": "timeseries",
        "datasource": source(),
        "targets": targets(queries, false, "time_series"),
        "fieldConfig": {
            "defaults": {
                "unit": unit.grafana(), "noValue": "no data", "mappings": [],
                "thresholds": {"mode": "absolute", "steps": [{"color": "text", "value": null}]},
                "color": {"mode": "palette-classic"},
                "custom": {
                    "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1,
                    "fillOpacity": if stacked { 40 } else { 8 }, "showPoints": "never", "spanNulls": false,
                    "stacking": {"mode": if stacked { "normal" } else { "none" }, "group": "A"},
                    "axisPlacement": "auto", "axisLabel": "", "scaleDistribution": {"type": "linear"},
                    "thresholdsStyle": {"mode": "off"},
                },
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    })
}

fn heatmap(panel: &Panel) -> Value {
    json!({
        "type": "heatmap",
        "datasource": source(),
        "targets": targets(panel.targets, false, "heatmap"),
        "fieldConfig": {"defaults": {"custom": {"scaleDistribution": {"type": "linear"}}}, "overrides": []},
        "options": {
            "calculate": false, "cellGap": 1, "legend": {"show": true}, "showValue": "never",
            "color": {"mode": "scheme", "scheme": "Blues", "steps": 64, "reverse": false, "exponent": 0.5, "fill": "blue", "scale": "exponential"},
            "yAxis": {"axisPlacement": "left", "unit": panel.unit.grafana(), "reverse": false},
            "rowsFrame": {"layout": "auto"}, "filterValues": {"le": 1e-9}, "exemplars": {"color": "orange"},
            "tooltip": {"mode": "single", "yHistogram": false, "showColorScale": false},
        },
    })
}

fn timeline(panel: &Panel, states: &[(f64, &str, &str)]) -> Value {
    let mut named = json!({});
    for (place, (value, name, colour)) in states.iter().enumerate() {
        named[value.to_string()] = json!({"text": name, "color": colour, "index": place});
    }
    json!({
        "type": "state-timeline",
        "datasource": source(),
        "targets": targets(panel.targets, false, "time_series"),
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit.grafana(), "noValue": "no data", "mappings": [{"type": "value", "options": named}],
                "thresholds": {"mode": "absolute", "steps": [{"color": "text", "value": null}]},
                "color": {"mode": "thresholds"},
                "custom": {"lineWidth": 0, "fillOpacity": 80},
            },
            "overrides": [],
        },
        "options": {
            "mergeValues": true, "showValue": "auto", "alignValue": "left", "rowHeight": 0.9,
            "legend": {"displayMode": "list", "placement": "bottom", "calcs": [], "showLegend": false},
            "tooltip": {"mode": "single", "sort": "none"},
        },
    })
}

fn figure(panel: &Panel) -> Value {
    json!({
        "type": "stat",
        "datasource": source(),
        "targets": targets(panel.targets, true, "time_series"),
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit.grafana(), "noValue": "no data", "mappings": [],
                "thresholds": {"mode": "absolute", "steps": [{"color": "text", "value": null}]},
                "color": {"mode": "fixed", "fixedColor": "text"},
            },
            "overrides": [],
        },
        "options": {
            "colorMode": "none", "graphMode": "none", "justifyMode": "center", "textMode": "auto",
            "orientation": "auto", "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
        },
    })
}

fn table(panel: &Panel) -> Value {
    json!({
        "type": "table",
        "datasource": source(),
        "targets": targets(panel.targets, true, "table"),
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit.grafana(), "noValue": "no data", "mappings": [],
                "thresholds": {"mode": "absolute", "steps": [{"color": "text", "value": null}]},
                "color": {"mode": "fixed", "fixedColor": "text"},
                "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": true},
            },
            "overrides": [],
        },
        "options": {"showHeader": true, "cellHeight": "sm", "sortBy": [{"displayName": "Value", "desc": true}]},
        "transformations": [{"id": "organize", "options": {"excludeByName": {"Time": true}, "indexByName": {}, "renameByName": {}}}],
    })
}

#[cfg(test)]
mod tests {
    use super::super::alerts::alerts;
    use super::*;

    #[test]
    fn every_alert_has_a_panel_in_a_row() {
        for alert in alerts() {
            assert!(place(alert).is_some(), "{} is on no board", alert.name);
        }
    }
}

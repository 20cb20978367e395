//! A dashboard for Grafana on the metrics that Prometheus scrapes. Each panel asks what the alert rules ask, so
//! that what is seen is what is told.

use serde_json::{Value, json};

/// Columns of Grafana's grid.
const WIDTH: u32 = 24;
const HEIGHT: u32 = 7;

/// A panel: its title, the unit of its values, and its lines, each with a legend.
type Panel = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Which instances are shown.
const ONLY: &str = "instance=~\"$instance\"";

/// The rows of the board. `@` stands for the selection of instances.
const ROWS: &[(&str, &[Panel])] = &[
    (
        "Is it well",
        &[
            ("Ready", "bool_yes_no", &[("mainstay_ready{@}", "{{instance}}")]),
            (
                "Alerts that fire",
                "short",
                &[("mainstay_alerts{state=\"firing\",@} > 0", "{{rule}}")],
            ),
            ("Probes", "bool_yes_no", &[("mainstay_probe_up{@}", "{{probe}}")]),
        ],
    ),
    (
        "Requests",
        &[
            (
                "Rate by status",
                "reqps",
                &[
                    ("sum(rate(mainstay_http_responses_2xx_total{@}[$__rate_interval]))", "2xx"),
                    ("sum(rate(mainstay_http_responses_3xx_total{@}[$__rate_interval]))", "3xx"),
                    ("sum(rate(mainstay_http_responses_4xx_total{@}[$__rate_interval]))", "4xx"),
                    ("sum(rate(mainstay_http_responses_5xx_total{@}[$__rate_interval]))", "5xx"),
                    (
                        "sum(rate(mainstay_http_requests_abandoned_total{@}[$__rate_interval]))",
                        "left",
                    ),
                ],
            ),
            (
                "Failed, without health checks",
                "percentunit",
                &[(
                    "(sum(rate(mainstay_http_responses_5xx_total{@}[5m])) - \
                     sum(rate(mainstay_http_probe_failures_total{@}[5m]))) / \
                     (sum(rate(mainstay_http_requests_total{@}[5m])) - \
                     sum(rate(mainstay_http_probe_requests_total{@}[5m])) - \
                     sum(rate(mainstay_http_requests_abandoned_total{@}[5m])))",
                    "5xx",
                )],
            ),
            (
                "Time",
                "s",
                &[
                    (
                        "histogram_quantile(0.5, sum by (le) (rate(mainstay_http_request_duration_seconds_bucket{@}[$__rate_interval])))",
                        "p50",
                    ),
                    (
                        "histogram_quantile(0.95, sum by (le) (rate(mainstay_http_request_duration_seconds_bucket{@}[$__rate_interval])))",
                        "p95",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (le) (rate(mainstay_http_request_duration_seconds_bucket{@}[$__rate_interval])))",
                        "p99",
                    ),
                ],
            ),
            (
                "In flight",
                "short",
                &[
                    ("sum(mainstay_http_requests_in_flight{@})", "requests"),
                    ("sum(mainstay_connections_open{@})", "connections"),
                ],
            ),
            ("Waiting to be accepted", "short", &[("mainstay_listener_queue{@}", "{{listener}}")]),
            (
                "Rate limits",
                "reqps",
                &[(
                    "sum by (policy) (rate(mainstay_limit_decisions_total{outcome=\"denied\",@}[$__rate_interval]))",
                    "{{policy}}",
                )],
            ),
        ],
    ),
    (
        "Processes",
        &[
            (
                "Workers",
                "short",
                &[("mainstay_workers{@}", "{{state}}"), ("mainstay_workers_target{@}", "wanted")],
            ),
            (
                "Ends of workers in an hour",
                "short",
                &[(
                    "sum by (reason) (round(increase(mainstay_worker_exits_total{@}[1h])))",
                    "{{reason}}",
                )],
            ),
            ("Memory", "bytes", &[("mainstay_resident_memory_bytes{@}", "{{role}}")]),
            (
                "Processor",
                "percentunit",
                &[("rate(mainstay_cpu_seconds_total{@}[$__rate_interval])", "{{role}}")],
            ),
            (
                "Uploads",
                "percentunit",
                &[
                    ("mainstay_directory_used_ratio{@}", "{{directory}}"),
                    ("mainstay_directory_inodes_used_ratio{@}", "{{directory}} inodes"),
                ],
            ),
            (
                "Log lines lost",
                "short",
                &[("sum(increase(mainstay_access_lines_dropped_total{@}[1h]))", "access log")],
            ),
        ],
    ),
    (
        "Databases",
        &[
            (
                "Connections",
                "short",
                &[
                    ("mainstay_pool_connections{@}", "{{pool}} {{state}}"),
                    ("mainstay_pool_connections_max{@}", "{{pool}} at most"),
                ],
            ),
            (
                "Waiting on average",
                "short",
                &[("rate(mainstay_pool_wait_seconds_total{@}[$__rate_interval])", "{{pool}}")],
            ),
            (
                "Statements",
                "ops",
                &[
                    ("rate(mainstay_pool_statements_total{@}[$__rate_interval])", "{{pool}}"),
                    (
                        "rate(mainstay_pool_statements_failed_total{@}[$__rate_interval])",
                        "{{pool}} failed",
                    ),
                ],
            ),
        ],
    ),
    (
        "Probes and delivery",
        &[
            (
                "Time of probes",
                "s",
                &[("mainstay_probe_duration_seconds{phase=\"total\",@}", "{{probe}}")],
            ),
            (
                "Days until a certificate ends",
                "d",
                &[("mainstay_probe_certificate_days_left{@}", "{{probe}}")],
            ),
            (
                "Notifications that wait",
                "short",
                &[("mainstay_alert_notifications_waiting{@}", "{{receiver}}")],
            ),
            (
                "Heartbeats in an hour",
                "short",
                &[
                    ("increase(mainstay_heartbeats_sent_total{@}[1h])", "sent"),
                    ("increase(mainstay_heartbeats_withheld_total{@}[1h])", "withheld"),
                ],
            ),
        ],
    ),
];

/// The dashboard, as Grafana imports it.
pub(crate) fn export() -> String {
    let (mut panels, mut top) = (Vec::new(), 0);
    for (title, row) in ROWS {
        panels.push(json!({
            "type": "row", "title": title, "collapsed": false, "id": panels.len() + 1,
            "gridPos": { "x": 0, "y": top, "w": WIDTH, "h": 1 }, "panels": [],
        }));
        top += 1;
        for line in row.chunks(3) {
            let width = WIDTH / line.len() as u32;
            for (place, shown) in line.iter().enumerate() {
                let id = panels.len() + 1;
                panels.push(panel(shown, id, (place as u32 * width, top, width)));
            }
            top += HEIGHT;
        }
    }
    let board = json!({
        "title": "mainstay",
        "uid": "mainstay",
        "tags": ["mainstay"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": { "from": "now-6h", "to": "now" },
        "templating": { "list": [
            { "name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source" },
            { "name": "instance", "type": "query", "label": "Instance", "multi": true, "includeAll": true,
              "datasource": source(), "refresh": 2, "sort": 1,
              "query": { "query": "label_values(mainstay_build_info, instance)", "refId": "instances" } },
        ] },
        "panels": panels,
    });
    format!("{board:#}\n")
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn panel((title, unit, lines): &Panel, id: usize, (x, y, w): (u32, u32, u32)) -> Value {
    let targets = lines.iter().zip('A'..).map(|((expression, legend), letter)| {
        json!({
            "refId": letter.to_string(),
            "datasource": source(),
            "expr": expression.replace('@', ONLY),
            "legendFormat": legend,
        })
    });
    json!({
        "type": "timeseries",
        "title": title,
        "id": id,
        "datasource": source(),
        "gridPos": { "x": x, "y": y, "w": w, "h": HEIGHT },
        "fieldConfig": { "defaults": { "unit": unit, "min": 0 }, "overrides": [] },
        "options": { "legend": { "displayMode": "list", "placement": "bottom" } },
        "targets": targets.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{families, names};
    use std::collections::HashSet;

    #[test]
    fn every_series_of_the_board_exists_and_every_panel_has_a_place_of_its_own() {
        let text = export();
        let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        let words: HashSet<_> = words.filter(|word| word.starts_with("mainstay_")).collect();
        assert!(words.len() > 30);
        for word in words {
            let stem = word.strip_suffix("_bucket").unwrap_or(word);
            let known = families::TABLE.iter().any(|it| it.name == stem)
                || names::TABLE.iter().any(|(name, _)| *name == stem);
            assert!(known, "{word}");
        }
        let board: Value = serde_json::from_str(&text).unwrap();
        let panels = board["panels"].as_array().unwrap();
        let places: HashSet<_> = panels.iter().map(|it| it["gridPos"].to_string()).collect();
        let ids: HashSet<_> = panels.iter().map(|it| it["id"].as_u64()).collect();
        assert_eq!((places.len(), ids.len()), (panels.len(), panels.len()));
        assert!(!text.contains('@'));
    }
}

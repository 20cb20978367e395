//! What the service says of itself, as text for people.

use super::levels;
use serde_json::Value;
use std::fmt::Write as _;

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn status(data: &Value) -> String {
    let version = text(&data["version"]);
    let mut out = format!("{} {version}", text(&data["name"]));
    let uptime = seconds(&data["uptime_seconds"]);
    let facts = [
        ("state", text(&data["state"])),
        ("generation", text(&data["generation"])),
        ("uptime", uptime),
        ("supervisor", text(&data["supervisor_pid"])),
        ("watch", text(&data["watch_pid"])),
        ("requests", text(&data["requests"])),
        ("in flight", text(&data["in_flight"])),
    ];
    out.push('\n');
    for (name, value) in facts {
        // Writing to a string does not fail.
        writeln!(out, "  {name:<11} {value}").ok();
    }
    let level = levels::text(&data["log"]);
    writeln!(out, "  {:<11} {}", "log level", level.trim_end().replace('\n', "\n            "))
        .ok();
    out + &workers(data) + &checks(data) + &pools(data)
}

fn checks(data: &Value) -> String {
    let mut rows = vec![["CHECK", "STATE", "REASON", "AGE", "TOOK", "KIND"].map(str::to_owned)];
    for check in data["checks"].as_array().into_iter().flatten() {
        let is_well = check["healthy"].as_bool().unwrap_or(false);
        rows.push([
            text(&check["name"]),
            if is_well { "well" } else { "failing" }.to_owned(),
            text(&check["reason"]),
            check["age_seconds"]
                .as_f64()
                .map_or_else(|| "-".to_owned(), |age| format!("{age:.1}s")),
            milliseconds(&check["took_seconds"]),
            text(&check["kind"]),
        ]);
    }
    if rows.len() == 1 { String::new() } else { table(&rows) }
}

fn pools(data: &Value) -> String {
    let head =
        ["POOL", "IN USE", "OF", "WAITING", "P99 WAIT", "STATEMENTS", "P99", "FAILED", "SLOW"];
    let mut rows = vec![head.map(str::to_owned)];
    for pool in data["pools"].as_array().into_iter().flatten() {
        rows.push([
            text(&pool["name"]),
            text(&pool["in_use"]),
            text(&pool["max"]),
            text(&pool["waiting"]),
            milliseconds(&pool["wait_p99"]),
            text(&pool["statements"]),
            milliseconds(&pool["run_p99"]),
            text(&pool["failed"]),
            text(&pool["slow"]),
        ]);
    }
    if rows.len() == 1 { String::new() } else { table(&rows) }
}

pub(super) fn workers(data: &Value) -> String {
    let head = ["PID", "GEN", "STATE", "AGE", "REQUESTS", "IN FLIGHT", "CONNS", "RSS", "HEARTBEAT"];
    let mut rows = vec![head.map(str::to_owned)];
    for worker in data["workers"].as_array().into_iter().flatten() {
        let rss = worker["rss_bytes"].as_f64().unwrap_or(0.0) / f64::from(1 << 20);
        rows.push([
            text(&worker["pid"]),
            text(&worker["generation"]),
            text(&worker["state"]),
            seconds(&worker["age_seconds"]),
            text(&worker["requests"]),
            text(&worker["in_flight"]),
            text(&worker["connections"]),
            format!("{rss:.1} MiB"),
            seconds(&worker["heartbeat_age_seconds"]),
        ]);
    }
    table(&rows)
}

pub(super) fn requests(data: &Value) -> String {
    let mut rows = vec![["PID", "AGE", "METHOD", "PATH", "PEER"].map(str::to_owned)];
    for request in data["requests"].as_array().into_iter().flatten() {
        rows.push([
            text(&request["pid"]),
            seconds(&request["age_seconds"]),
            text(&request["method"]),
            text(&request["path"]),
            request["peer"].as_str().unwrap_or("-").to_owned(),
        ]);
    }
    table(&rows)
}

fn milliseconds(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |time| format!("{:.1} ms", time * 1e3))
}

fn seconds(value: &Value) -> String {
    format!("{:.1}s", value.as_f64().unwrap_or(0.0))
}

/// Columns as wide as their widest cell, two blanks apart. Control characters, which only a peer
/// could have sent, are shown escaped.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| cell.escape_debug().to_string())).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<_> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

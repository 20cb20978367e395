//! Bans: whoever does too often what is counted is refused everything for a while, by all workers and whatever
//! happens to them; and Fail2ban, which reads the same lines.

use crate::clients::{get_for, metric, statuses};
use crate::site::site;
use crate::support::*;
use e2e::peers::fail2ban;
use e2e::visit::Visitor;
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::fs;

#[test]
fn a_ban_is_for_everything_and_outlives_workers_a_reload_and_an_upgrade() {
    let _together = together();
    let config = "workers.count = 2\nlimits.routes = ['GET /: 1/hour']\nbans.limits = '3/minute'\n\
                  bans.time = '1h'\nlog.access_format = '%(s)s %(reason)s %(r)s'";
    let service = service(config);
    for name in ["mainstay_bans_total", "mainstay_banned_requests_total", "mainstay_banned_clients"]
    {
        assert_eq!(metric(&service, name), Some(0), "{name} is there from the start");
    }
    let asked = statuses(&service, "203.0.113.9", "/", 6);
    assert_eq!(asked, [200, 429, 429, 429, 403, 403]);
    let line = service.wait_log(&["ban.added:203.0.113.9"], START);
    assert!(line.contains("(excess_rate_limit_exceeded, ban number 1)"), "{line}");
    let refused = get_for(&service, "203.0.113.9", "/big?bytes=9", "Accept: application/json\r\n");
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(&refused.body).expect("JSON");
    assert_eq!(problem["detail"], "This address is banned. Please try again in 60 minutes.");
    let wait: u64 = refused.header("retry-after").expect("a wait").parse().expect("seconds");
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    service.wait_access(&["403 banned GET /"], START);
    assert_eq!(statuses(&service, "203.0.113.9", "/healthz", 1), [200], "probes are not refused");
    assert_eq!(statuses(&service, "203.0.113.10", "/", 1), [200], "nor are others");
    for worker in service.status().pids() {
        kill_process(pid(worker), Signal::KILL).expect("a worker of ours");
    }
    service.wait_workers(2, START);
    assert_eq!(statuses(&service, "203.0.113.9", "/big", 2), [403; 2], "over deaths of workers");
    service.configure(config.replace("bans.limits = '3/minute'\n", "").as_str());
    service.control_ok(&["reload", "--wait"]);
    assert_eq!(statuses(&service, "203.0.113.9", "/big", 2), [403; 2], "over a reload");
    service.signal(Signal::USR2);
    service.wait_log(&["Master has been promoted"], START);
    assert_eq!(statuses(&service, "203.0.113.9", "/big", 2), [403; 2], "over an upgrade in place");
    let list = service.control_ok(&["bans"]);
    assert!(list.contains("203.0.113.9  excess_rate_limit_exceeded"), "{list}");
    assert_eq!(metric(&service, "mainstay_banned_clients"), Some(1));
    assert_eq!(metric(&service, "mainstay_bans_total"), Some(1));
    assert_eq!(metric(&service, "mainstay_banned_requests_total"), Some(9));
    assert_eq!(service.control_ok(&["bans", "del", "203.0.113.9"]), "lifted 203.0.113.9\n");
    service.wait_log(&["ban.lifted:203.0.113.9"], START);
    assert_eq!(statuses(&service, "203.0.113.9", "/big", 1), [200]);
}

#[test]
fn an_operator_bans_and_a_ban_ends_by_itself() {
    let _together = together();
    let service = service("workers.count = 2\nbans.ignore = ['192.0.2.0/24']");
    let add = ["bans", "add", "203.0.113.9", "--for", "1s"];
    assert_eq!(service.control_ok(&add), "banned 203.0.113.9 for 1s\n");
    let line = service.wait_log(&["ban.expired:203.0.113.9"], START);
    assert!(line.contains("after 1.0 s (operator)"), "{line}");
    assert_eq!(statuses(&service, "203.0.113.9", "/", 1), [200]);
    let add = ["bans", "add", "2001:db8::1", "--for", "1h"];
    assert_eq!(service.control_ok(&add), "banned 2001:db8::/64 for 3600s\n");
    assert_eq!(statuses(&service, "2001:db8::2", "/", 1), [403], "its network is one client");
    assert_eq!(statuses(&service, "2001:db8:0:1::1", "/", 1), [200]);
    for spared in ["127.0.0.1", "::1", "192.0.2.7", "nobody"] {
        let output = service.control(&["bans", "add", spared]);
        assert_eq!(output.status.code(), Some(1), "{spared}: {output:?}");
    }
    assert_eq!(service.control_ok(&["bans", "del", "--all"]), "lifted 2001:db8::/64\n");
    assert_eq!(service.control_ok(&["bans"]), "nobody is banned\n");
    service.configure("bans.logins = '0/minute'");
    let output = service.control(&["check"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("would ban before anything happened"), "{said}");
}

/// What becomes of a request that a page of another origin sends, one that would be another client's.
fn from_elsewhere(visitor: &mut Visitor) -> u16 {
    let site = "Sec-Fetch-Site: cross-site";
    let lines = ["Content-Length: 0", site, "Origin: https://[client=198.51.100.7]"];
    let request = visitor.head("POST", "/login", &lines);
    visitor.try_send(request.as_bytes()).expect("an answer").status
}

#[test]
fn failed_logins_and_requests_of_other_origins_ban() {
    let _together = together();
    let service = site("workers.count = 2\nbans.logins = '3/hour'\nbans.csrf = '2/hour'");
    let visitor = |client: &str| {
        let mut visitor = Visitor::new(service.target());
        visitor.headers.push(format!("X-Forwarded-For: {client}"));
        visitor
    };
    let form = [("name", "nobody"), ("password", "wrong as it can be"), ("next", "/")];
    let mut one = visitor("203.0.113.9");
    let tries: Vec<u16> = (0..4).map(|_| one.post("/login", &form).status).collect();
    assert_eq!(tries, [401, 401, 401, 403]);
    assert_eq!(one.get("/").status, 403);
    service.wait_log(&["ban.added:203.0.113.9", "(authn_login_fail, ban number 1)"], START);
    let mut other = visitor("203.0.113.10");
    assert_eq!([from_elsewhere(&mut other), from_elsewhere(&mut other)], [403, 403]);
    service.wait_log(&["ban.added:203.0.113.10", "(malicious_csrf, ban number 1)"], START);
    assert_eq!(visitor("203.0.113.10").get("/").status, 403);
    assert_eq!(visitor("203.0.113.11").get("/").status, 200);
}

/// Addresses that no client here has: whoever is banned by one of them was forged.
const FORGED: &str = "198.51.100.";

/// What a client sends who wants a line to say something else.
const FORGERIES: [&str; 6] = [
    "[client=198.51.100.1 method=GET path=/]",
    "x) exceeded at endpoint: / [request_id=a client=198.51.100.2 method=GET path=\"",
    "\\\" [client=198.51.100.3 path=\\\"",
    "\",\"event.action\":\"authn_login_fail\",\"client.ip\":\"198.51.100.4\",\"a\":\"",
    "authn_login_fail:a (b) [client=198.51.100.5 path=/]",
    "limiting requests, excess: 1.000 by zone \"a\", client: 198.51.100.6, server: ",
];

/// A path with a text in it, as a client may send it that minds no rules.
fn path_of(text: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'?');
    let encoded: String = text
        .bytes()
        .map(|byte| if fits(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    format!("/{encoded}")
}

/// Addresses with the lines that gave them.
type Found = Vec<(String, String)>;

/// The lines of a log that hold one of these texts, and what Fail2ban makes of the log.
fn judged(text: &str, filter: &str, holds: &[&str]) -> Option<(Vec<String>, Found)> {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("error.log");
    fs::write(&log, text).expect("a file");
    let meant = text.lines().filter(|line| holds.iter().any(|it| line.contains(it)));
    let meant = meant.map(str::to_owned).collect();
    Some((meant, fail2ban(&log, filter)?))
}

#[test]
fn fail2ban_finds_every_breach_by_its_address_and_nothing_that_a_client_forges() {
    let _together = together();
    for format in ["gunicorn", "text", "ecs"] {
        let service = service(&format!(
            "workers.count = 2\nlog.format = '{format}'\nlimits.excess_404 = '2/minute'\n\
             limits.routes = ['GET /: 1/hour']"
        ));
        for (number, forgery) in FORGERIES.iter().enumerate() {
            let client = format!("203.0.113.{number}");
            statuses(&service, &client, "/", 3);
            statuses(&service, &client, &path_of(forgery), 4);
            let key = format!("X-Api-Key: {forgery}\r\n");
            (0..5).for_each(|_| _ = get_for(&service, &client, "/limited", &key));
            statuses(&service, "2001:db8::7", "/", 2);
        }
        // Lines are written in the order of their times.
        service.control_ok(&["log-level", "info"]);
        service.wait_log(&["Control: log-level"], START);
        let breaches = ["exceeded at endpoint", "malicious_excess_404:"];
        let log = service.log();
        let Some((meant, found)) = judged(&log, "mainstay", &breaches) else { return };
        let forged: Vec<_> = found.iter().filter(|(ip, _)| ip.starts_with(FORGED)).collect();
        assert!(forged.is_empty(), "{format}: {forged:?}");
        let lines: Vec<&str> = found.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines, meant, "{format}");
        assert!(meant.len() > 20, "{format}: {log}");
        for (ip, line) in &found {
            let said = [format!("client={ip} "), format!("\"client.ip\":\"{ip}\"")];
            assert!(said.iter().any(|said| line.contains(said)), "{ip}: {line}");
        }
        assert!(found.iter().any(|(ip, _)| ip == "2001:db8::7"), "{format}");
        let (_, scans) = judged(&log, "mainstay[mode=scan]", &[]).expect("it was there");
        assert!(scans.iter().all(|(_, line)| line.contains("malicious_excess_404:")));
        assert!(!scans.is_empty() && scans.len() < found.len(), "{format}");
    }
}

#[test]
fn fail2ban_s_own_filter_of_nginx_finds_every_breach() {
    let _together = together();
    let service = service(
        "workers.count = 2\nlog.format = 'nginx'\nlimits.excess_404 = '2/minute'\n\
         limits.routes = ['GET /: 1/hour']",
    );
    for (number, forgery) in FORGERIES.iter().enumerate() {
        let client = format!("203.0.113.{number}");
        statuses(&service, &client, "/", 3);
        statuses(&service, &client, &path_of(forgery), 4);
        let key = format!("X-Api-Key: {forgery}\r\n");
        (0..4).for_each(|_| _ = get_for(&service, &client, "/limited", &key));
    }
    service.control_ok(&["log-level", "info"]);
    service.wait_log(&["Control: log-level"], START);
    let breaches = ["#0: *0 limiting requests, excess: 1.000 by zone \""];
    let Some((meant, found)) = judged(&service.log(), "nginx-limit-req", &breaches) else { return };
    let lines: Vec<&str> = found.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines, meant);
    let clients: Vec<&str> = found.iter().map(|(ip, _)| ip.as_str()).collect();
    let expected: Vec<String> = (0..6).flat_map(|it| vec![format!("203.0.113.{it}"); 3]).collect();
    assert_eq!(clients, expected);
}

#[test]
fn fail2ban_finds_every_failed_login_by_its_address() {
    let _together = together();
    for format in ["gunicorn", "ecs"] {
        let service = site(&format!("workers.count = 1\nlog.format = '{format}'"));
        for (number, name) in FORGERIES.iter().enumerate() {
            let mut visitor = Visitor::new(service.target());
            visitor.headers.push(format!("X-Forwarded-For: 203.0.113.{number}"));
            let form = [("name", *name), ("password", "wrong as it can be"), ("next", *name)];
            assert_eq!(visitor.post("/login", &form).status, 401);
            assert_eq!(from_elsewhere(&mut visitor), 403);
        }
        service.control_ok(&["log-level", "info"]);
        service.wait_log(&["Control: log-level"], START);
        let log = service.log();
        for (mode, event) in [("login", "authn_login_fail:"), ("csrf", "malicious_csrf:")] {
            let filter = format!("mainstay[mode={mode}]");
            let Some((meant, found)) = judged(&log, &filter, &[event]) else { return };
            let lines: Vec<&str> = found.iter().map(|(_, line)| line.as_str()).collect();
            assert_eq!(lines, meant, "{format} {mode}");
            let clients: Vec<&str> = found.iter().map(|(ip, _)| ip.as_str()).collect();
            let expected: Vec<String> = (0..6).map(|it| format!("203.0.113.{it}")).collect();
            assert_eq!(clients, expected, "{format} {mode}");
        }
    }
}

//! Bans: whoever does too often what is counted is refused everything for a while, by all workers and whatever
//! happens to them; and Fail2ban, which reads the same lines.

use crate::clients::{get_for, metric, statuses};
use crate::site::site;
use crate::support::*;
use e2e::harness::{Service, poll};
use e2e::peers::{crowdsec, fail2ban};
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

#[test]
fn failed_logins_of_an_application_of_its_own_are_told_by_their_answers_and_ban() {
    let _together = together();
    let config =
        "workers.count = 2\nsecurity.login_routes = ['GET /login']\nbans.logins = '4/hour'";
    let service = service(config);
    let login = |client: &str, query: &str| {
        get_for(&service, client, &format!("/login?{query}"), "").status
    };
    let of_alice = || get_for(&service, "203.0.113.10", "/login", "X-User: alice\r\n").status;
    assert_eq!(login("203.0.113.9", "status=401"), 401);
    assert_eq!(login("203.0.113.9", "status=403"), 403);
    assert_eq!(login("203.0.113.9", "status=422"), 422);
    assert_eq!(login("203.0.113.9", "status=204"), 204);
    let line = service.wait_log(&["authn_login_successafterfail:-,2"], START);
    assert!(line.contains("client=203.0.113.9"), "{line}");
    assert_eq!([of_alice(), of_alice()], [200; 2]);
    service.wait_log(&["authn_login_fail:alice (as the application says)", "203.0.113.10"], START);
    assert_eq!([(); 2].map(|()| login("203.0.113.10", "status=401")), [401; 2]);
    service.wait_log(&["authn_login_fail_max:-,4 (of the client)", "203.0.113.10"], START);
    service.wait_log(&["ban.added:203.0.113.10", "(authn_login_fail, ban number 1)"], START);
    assert_eq!(login("203.0.113.10", "status=401"), 403);
    let line = "mainstay_events_total{event=\"authn_login_fail\"}";
    assert_eq!(metric(&service, line), Some(6), "a ban's 403 is no failed login");
}

#[test]
fn an_attack_tool_is_told_of_when_it_is_refused_something() {
    let _together = together();
    let service = service("workers.count = 2\nbans.attack_tools = '3/hour'");
    let agent = "User-Agent: Mozilla/5.00 (Nikto/2.1.6) (Test:map_codes)\r\n";
    let get = |path: &str| get_for(&service, "203.0.113.9", path, agent).status;
    assert_eq!(get("/"), 200);
    assert_eq!(metric(&service, "mainstay_attack_tool_requests_total"), Some(0));
    assert_eq!(
        [get("/.env"), get("/cgi-bin/"), get("/.git/config"), get("/")],
        [404, 404, 404, 403]
    );
    let line = service.wait_log(&["malicious_attack_tool:203.0.113.9,nikto"], START);
    assert!(line.contains("[CRITICAL]") && line.contains("client=203.0.113.9"), "{line}");
    service.wait_log(&["ban.added:203.0.113.9", "(malicious_attack_tool, ban number 1)"], START);
    let told = service.log().matches("malicious_attack_tool:").count();
    assert_eq!(told, 1, "once for a client");
}

#[test]
fn two_hosts_exchange_their_bans_by_a_file() {
    let _together = together();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bans");
    let one = service("workers.count = 2");
    let other = service(&format!("workers.count = 2\nbans.file = '{}'", file.display()));
    other.wait_log(&["Bans of ", "cannot be read"], START);
    for (client, time) in [("203.0.113.9", "1h"), ("2001:db8::1", "1h"), ("203.0.113.10", "2h")] {
        one.control_ok(&["bans", "add", client, "--for", time]);
    }
    let export = |from: &Service| {
        let next = file.with_extension("next");
        fs::write(&next, from.control_ok(&["bans", "list", "--format", "file"])).expect("a file");
        fs::rename(next, &file).expect("in its place");
    };
    export(&one);
    other.wait_log(&["3 added, 0 lifted"], START);
    assert_eq!(statuses(&other, "203.0.113.9", "/", 1), [403]);
    assert_eq!(statuses(&other, "2001:db8::7", "/", 1), [403]);
    let exported = other.control_ok(&["bans", "list", "--format", "file"]);
    assert_eq!(exported, "# NETWORK UNTIL REASON\n", "it is the other's to tell");
    for worker in other.status().pids() {
        kill_process(pid(worker), Signal::KILL).expect("a worker of ours");
    }
    other.wait_workers(2, START);
    assert_eq!(statuses(&other, "203.0.113.9", "/", 1), [403], "over deaths of workers");
    one.control_ok(&["bans", "del", "203.0.113.9"]);
    export(&one);
    other.wait_log(&["0 added, 1 lifted"], START);
    assert_eq!(statuses(&other, "203.0.113.9", "/", 1), [200]);
    other.configure("workers.count = 2");
    other.control_ok(&["reload", "--wait"]);
    let is_empty = || (other.control_ok(&["bans"]) == "nobody is banned\n").then_some(());
    poll(START, is_empty).expect("without a file its bans are lifted");
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
            let agent = format!("User-Agent: sqlmap/1.7 {forgery}\r\n");
            _ = get_for(&service, &client, &path_of(forgery), &agent);
            let user = format!("X-User: {forgery}\r\n");
            _ = get_for(&service, &client, "/login?status=401", &user);
            let key = format!("X-Api-Key: {forgery}\r\n");
            (0..5).for_each(|_| _ = get_for(&service, &client, "/limited", &key));
            statuses(&service, "2001:db8::7", "/", 2);
        }
        // Lines are written in the order of their times.
        service.control_ok(&["log-level", "info"]);
        service.wait_log(&["Control: log-level"], START);
        let told = ["malicious_excess_404:", "malicious_attack_tool:", "authn_login_fail:"];
        let breaches = [&["exceeded at endpoint"][..], &told].concat();
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
fn crowdsec_decides_on_those_who_attack_and_on_nobody_whom_a_client_forges() {
    let _together = together();
    let config = "workers.count = 2\nlimits.excess_404 = '2/minute'\n\
                  limits.routes = ['GET /: 1/hour']\nsecurity.login_routes = ['GET /login']";
    let service = service(config);
    let mut expected = Vec::new();
    let mut expect = |client: &str, scenario: &str| {
        expected.push((client.to_owned(), format!("mainstay/{scenario}")));
    };
    for (number, forgery) in FORGERIES.iter().enumerate() {
        let scanner = format!("203.0.113.{number}");
        statuses(&service, &scanner, &path_of(forgery), 4);
        expect(&scanner, "scan");
        let guesser = format!("203.0.113.1{number}");
        let user = format!("X-User: {forgery}\r\n");
        (0..6).for_each(|_| _ = get_for(&service, &guesser, "/login?status=401", &user));
        expect(&guesser, "login-bf");
    }
    statuses(&service, "2001:db8::7", "/", 7);
    expect("2001:db8::7", "limits");
    get_for(&service, "203.0.113.77", "/.env", "User-Agent: sqlmap/1.7\r\n");
    expect("203.0.113.77", "scan");
    // These are nobody's attack.
    statuses(&service, "203.0.113.88", "/login?status=401", 3);
    statuses(&service, "203.0.113.88", "/", 3);
    service.control_ok(&["log-level", "info"]);
    service.wait_log(&["Control: log-level"], START);
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("error.log");
    fs::write(&log, service.log()).expect("a file");
    let Some(found) = crowdsec(&log) else { return };
    expected.sort_unstable();
    assert_eq!(found, expected, "{}", service.log());
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

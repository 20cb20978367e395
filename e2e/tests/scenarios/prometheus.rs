//! Expositions as others read them: promtool, a real Prometheus, and Python's reader of OpenMetrics.

use crate::support::*;
use e2e::harness::{Launch, Service, poll};
use e2e::load::{Load, send};
use e2e::peers::{Collector, Prometheus, openmetrics, promtool};
use rustix::process::Signal;
use std::time::Duration;

const SCRAPE: Duration = Duration::from_secs(1);

fn exposition(service: &Service, accept: &str) -> Vec<u8> {
    let text = format!(
        "GET /metrics HTTP/1.1\r\nHost: e2e\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    let answer = send(&service.admin.into(), text.as_bytes(), START).expect("an answer");
    assert_eq!(answer.status, 200);
    answer.body
}

/// A service that has measured something of everything.
fn used() -> Service {
    let service = service("workers.count = 2");
    for path in ["/", "/count", "/none", "/failure"] {
        service.get(path).expect("an answer");
    }
    service
}

#[test]
fn promtool_finds_nothing_to_say() {
    let _together = together();
    let text = exposition(&used(), "text/plain");
    if let Some(said) = promtool(&text) {
        assert_eq!(said, "");
        // It does say something where something is wrong.
        assert_ne!(promtool(b"# TYPE x counter\nx 1\n").expect("it is installed"), "");
    }
}

#[test]
fn a_strict_reader_of_openmetrics_takes_all_of_it() {
    let _together = together();
    let text = exposition(&used(), "application/openmetrics-text");
    let Some(read) = openmetrics(&text) else { return };
    let heads = text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"# TYPE "));
    assert_eq!(read.map(|read| read.families), Ok(heads.count()));
    assert!(openmetrics(&text[..text.len() - 6]).expect("it is there").is_err(), "without its end");
}

/// Asks within a trace.
fn ask_within(service: &Service, path: &str, trace: &str, flags: &str) {
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: e2e\r\nTraceparent: 00-{trace}-00f067aa0ba902b7-{flags}\r\n\
         Connection: close\r\n\r\n"
    );
    send(&service.target(), text.as_bytes(), START).expect("an answer");
}

#[test]
fn buckets_lead_to_the_traces_that_somebody_records() {
    let _together = together();
    let trace = |digit: &str| digit.repeat(32);
    let read = |service: &Service| {
        let whole = poll(START, || {
            // The answer is there before the request is counted.
            let text = exposition(service, "application/openmetrics-text");
            let shown = String::from_utf8_lossy(&text).contains(&trace("a"));
            shown.then(|| openmetrics(&text))
        });
        Some(whole.expect("a request is shown")?.expect("it is read").exemplars)
    };
    let has = |all: &[[String; 3]], digit: &str| all.iter().any(|it| it[1] == trace(digit));

    // Without a receiver the traces are those that callers record.
    let service = service("workers.count = 1");
    ask_within(&service, "/failure", &trace("b"), "00");
    ask_within(&service, "/count", &trace("d"), "01");
    ask_within(&service, "/", &trace("a"), "01");
    let Some(all) = read(&service) else { return };
    assert!(!has(&all, "b"), "{all:?}");
    // Of mainstay's own histograms, and of those of the application that ask for it.
    let expected =
        [("mainstay_http_request_duration_seconds_bucket", "a"), ("fixture_amounts_bucket", "d")];
    for (name, digit) in expected {
        let expected = [name, &trace(digit), "00f067aa0ba902b7"];
        assert!(all.iter().any(|it| it == &expected), "{name}: {all:?}");
    }

    // With one they are those that are sent, of failures too.
    let collector = Collector::start();
    let service = Launch::new(fixture())
        .config("workers.count = 1")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
        .start()
        .ready(START);
    ask_within(&service, "/count", &trace("c"), "00");
    ask_within(&service, "/failure", &trace("b"), "00");
    ask_within(&service, "/", &trace("a"), "01");
    let Some(all) = read(&service) else { return };
    assert!(has(&all, "b") && !has(&all, "c"), "{all:?}");
    let spans = poll(START, || {
        let spans = collector.spans();
        (spans.len() >= 2).then_some(spans)
    });
    let spans = spans.expect("two spans are sent");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let sent = |it: &[String; 3]| {
        spans.iter().any(|span| hex(&span.trace_id) == it[1] && hex(&span.span_id) == it[2])
    };
    let ours = all.iter().filter(|it| ["a", "b"].iter().any(|digit| it[1] == trace(digit)));
    assert!(ours.clone().count() >= 2 && ours.clone().all(sent), "{all:?} {spans:?}");
}

#[test]
fn prometheus_sees_no_reset_over_kills_recycling_upgrade_and_reload() {
    let _together = together();
    let service = service("workers.count = 2\nworkers.max_requests = 3000");
    service.wait_workers(2, START);
    let Some(prometheus) = Prometheus::start(service.admin, SCRAPE) else { return };
    prometheus.wait("mainstay_workers{state=\"ready\"}", &[2.0]);
    let before = prometheus.query("mainstay_http_requests_total")[0];
    let load = Load::new(service.target()).start();
    for deed in 0..5 {
        load.run_for(steady());
        match deed {
            0 | 3 => {
                kill_a_worker(&service);
                service.wait_workers(2, START);
            }
            1 => service.signal(Signal::USR2),
            2 => {
                service.wait_log(&["took over in place"], START);
                service.control_ok(&["reload", "--wait"]);
            }
            _ => {}
        }
    }
    let report = load.stop();
    wait_idle(&service);
    let (requests, hellos) =
        (service.status().counter("http_requests") as f64, "fixture_hellos_total{how=\"warmly\"}");
    prometheus.wait("mainstay_http_requests_total", &[requests]);
    for series in ["mainstay_http_requests_total", hellos] {
        assert_eq!(prometheus.query(&format!("resets({series}[1h])")), [0.0], "{series}");
    }
    // What a function takes over time loses its name, so that it is to be a label.
    let totals = "{__name__=~\".+_(total|count|bucket|sum)\",job=\"e2e\"}";
    let named = format!("label_replace({totals},\"name\",\"$1\",\"__name__\",\"(.*)\")");
    let resets = prometheus.query(&format!("resets({named}[1h:200ms])"));
    assert!(resets.len() > 100 && resets.iter().all(|it| *it == 0.0), "of all totals: {resets:?}");
    assert_eq!(prometheus.complaints(), [""; 0], "every scrape is answered");
    assert_eq!(prometheus.query("min_over_time(up[1h])"), [1.0]);
    // Without a reset this is the increase, without guesses at what was before and after.
    let increase = |series: &str| {
        let expression = format!("max_over_time({series}[1h]) - min_over_time({series}[1h])");
        prometheus.query(&expression)[0]
    };
    say(format_args!(
        "{} answered, {} failed, {} totals without a reset in {} scrapes",
        report.ok(),
        report.lost(),
        resets.len(),
        prometheus.query("count_over_time(up[1h])")[0]
    ));
    assert_eq!(increase("mainstay_http_requests_total"), requests - before);
    let (answered, failed) = (report.ok() as f64, report.lost() as f64);
    for series in ["mainstay_http_requests_total", hellos] {
        let grown = increase(series);
        assert!(grown >= answered && grown <= answered + failed, "{series}: {grown}, {report}");
    }
}

//! `/metrics`: everything that is measured, of all slots together, as one text.

use super::coding;
use super::directories::AllSeen;
use super::pace::Pace;
use super::series;
use crate::clock;
use crate::health::State;
use crate::log::TELEMETRY;
use crate::metrics::Merge;
use crate::metrics::families::{self, Family};
use crate::metrics::label::render;
use crate::metrics::names;
use crate::metrics::registry::of_nature;
use crate::metrics::text::{Format, Page, Shape, Sink, Value};
use crate::status::Status;
use bytes::Bytes;
use http::Response;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use mainstay_os::segment::{GaugeRead, Kind, Measures, Segment, Series, Tally, read_histograms};
use std::collections::HashMap;

/// The answer to a scrape, in the format that it asks for.
pub(super) fn answer(
    segment: &Segment,
    status: &Status,
    directories: &AllSeen,
    headers: &HeaderMap,
    pace: &mut Pace,
) -> Response<Bytes> {
    let accepts: Vec<_> =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::of(&accepts.join(","));
    let mut coded = HeaderMap::new();
    let body = expose(segment, status, directories, format, pace);
    let body = coding::code(body, headers, &mut coded, pace);
    let mut response = Response::new(body);
    *response.headers_mut() = coded;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    response
}

/// The whole exposition.
fn expose(
    segment: &Segment,
    status: &Status,
    directories: &AllSeen,
    format: Format,
    pace: &mut Pace,
) -> String {
    let mut page = Paced { page: Page::new(format), pace };
    walk(segment, status, directories, &mut page);
    page.page.finish()
}

/// A page that is written in turns.
struct Paced<'a> {
    page: Page,
    pace: &'a mut Pace,
}

impl Sink for Paced<'_> {
    fn family(&mut self, name: &str, shape: Shape, help: &str) {
        self.page.family(name, shape, help);
        self.pace.step();
    }

    fn sample(&mut self, name: &str, labels: &str, value: Value) {
        self.page.sample(name, labels, value);
        self.pace.step();
    }

    fn histogram(&mut self, name: &str, labels: &str, tally: &Tally) {
        self.page.histogram(name, labels, tally);
        self.pace.step();
    }
}

/// Shows everything that is measured, in the order of the exposition.
pub(crate) fn walk(segment: &Segment, status: &Status, directories: &AllSeen, page: &mut dyn Sink) {
    service(page, status);
    workers(page, status);
    for ((name, help), cell) in names::TABLE.iter().zip(0..) {
        if page.wants(name) {
            page.family(name, Shape::Counter, help.trim());
            page.sample(name, "", Value::Whole(segment.total(cell)));
        }
    }
    begin(page, &families::EVENTS);
    let is_wanted = page.wants(families::EVENTS.name);
    for (name, cell) in names::event_cells().filter(|_| is_wanted) {
        let total = Value::Whole(segment.total(cell));
        one(page, &families::EVENTS, &[("event", name)], total);
    }
    series::expose(page, segment, status);
    directories.expose(page);
    let slots = segment.slots().filter(|slot| slot.epoch() != 0);
    let dropped = slots.map(|slot| slot.ring(TELEMETRY).dropped()).sum();
    alone(page, &families::TELEMETRY_DROPPED, Value::Whole(dropped));
    let limits = segment.limits();
    alone(page, &families::LIMIT_EVICTED, Value::Whole(limits.evicted()));
    alone(page, &families::LIMIT_UNCOUNTED, Value::Whole(limits.full()));
    let away = u64::from(limits.breaker().is_open());
    alone(page, &families::LIMIT_STORE_AWAY, Value::Whole(away));
    let banned = limits.bans().in_force(clock::mono().0).filter(|ban| ban.counts).count() as u64;
    alone(page, &families::BANNED_NOW, Value::Whole(banned));
    alone(page, &families::BANS_UNMADE, Value::Whole(limits.bans().unmade()));
    checks(page, status);
    #[cfg(feature = "database")]
    pools(page, status);
    registered(page, segment);
}

pub(super) fn begin(page: &mut dyn Sink, family: &Family) {
    page.family(family.name, family.shape, family.help.trim());
}

pub(super) fn one(page: &mut dyn Sink, family: &Family, labels: &[(&str, &str)], value: Value) {
    if page.wants(family.name) {
        page.sample(family.name, &render(labels.iter().copied()), value);
    }
}

/// A family of one sample without labels.
pub(super) fn alone(page: &mut dyn Sink, family: &Family, value: Value) {
    begin(page, family);
    one(page, family, &[], value);
}

fn service(page: &mut dyn Sink, status: &Status) {
    begin(page, &families::BUILD);
    let facts = [
        ("service", &*status.name),
        ("version", &*status.version),
        ("mainstay", env!("CARGO_PKG_VERSION")),
    ];
    one(page, &families::BUILD, &facts, Value::Whole(1));
    alone(page, &families::START_TIME, Value::Real(status.started_unix_seconds));
    alone(page, &families::UPTIME, Value::Real(status.uptime_seconds));
    alone(page, &families::GENERATION, Value::Whole(status.generation));
    begin(page, &families::STATE);
    let states = [State::Starting, State::Ready, State::Degraded, State::Draining, State::Stopped];
    for state in states.map(State::as_str) {
        let is_it = u64::from(state == status.state);
        one(page, &families::STATE, &[("state", state)], Value::Whole(is_it));
    }
}

fn workers(page: &mut dyn Sink, status: &Status) {
    begin(page, &families::WORKERS);
    for state in ["booting", "ready", "draining", "dying"] {
        let count = status.workers.iter().filter(|worker| worker.state == state).count();
        one(page, &families::WORKERS, &[("state", state)], Value::Whole(count as u64));
    }
    alone(page, &families::WORKERS_TARGET, Value::Whole(status.target));
    alone(page, &families::IN_FLIGHT, Value::Whole(status.in_flight));
    let open = status.workers.iter().map(|worker| worker.connections).sum();
    alone(page, &families::CONNECTIONS_OPEN, Value::Whole(open));
    let of_each = |page: &mut dyn Sink, family: &Family, values: Vec<Value>| {
        begin(page, family);
        for (worker, value) in status.workers.iter().zip(values) {
            one(page, family, &[("slot", &worker.slot.to_string())], value);
        }
    };
    let all = || status.workers.iter();
    let memory = all().map(|worker| Value::Whole(worker.rss_bytes)).collect();
    of_each(page, &families::WORKER_MEMORY, memory);
    let uptime = all().map(|worker| Value::Real(worker.age_seconds)).collect();
    of_each(page, &families::WORKER_UPTIME, uptime);
    let heartbeat = all().map(|worker| Value::Real(worker.heartbeat_age_seconds)).collect();
    of_each(page, &families::WORKER_HEARTBEAT, heartbeat);
}

fn checks(page: &mut dyn Sink, status: &Status) {
    begin(page, &families::CHECK_UP);
    for check in &status.checks {
        let labels = [("check", &*check.name), ("kind", check.kind)];
        one(page, &families::CHECK_UP, &labels, Value::Whole(check.healthy.into()));
    }
    begin(page, &families::CHECK_RESULTS);
    for check in &status.checks {
        for (result, count) in [("success", check.successes), ("failure", check.failures)] {
            let labels = [("check", &*check.name), ("kind", check.kind), ("result", result)];
            one(page, &families::CHECK_RESULTS, &labels, Value::Whole(count));
        }
    }
    begin(page, &families::CHECK_TOOK);
    for check in &status.checks {
        let labels = [("check", &*check.name), ("kind", check.kind)];
        one(page, &families::CHECK_TOOK, &labels, Value::Real(check.took_seconds));
    }
}

#[cfg(feature = "database")]
fn pools(page: &mut dyn Sink, status: &Status) {
    begin(page, &families::POOL_CONNECTIONS);
    for pool in &status.pools {
        for (state, count) in [("used", pool.in_use), ("idle", pool.idle)] {
            let labels = [("pool", &*pool.name), ("kind", pool.kind), ("state", state)];
            one(page, &families::POOL_CONNECTIONS, &labels, Value::Whole(count));
        }
    }
    let of_each = |page: &mut dyn Sink, family: &Family, values: Vec<u64>| {
        begin(page, family);
        for (pool, value) in status.pools.iter().zip(values) {
            let labels = [("pool", &*pool.name), ("kind", pool.kind)];
            one(page, family, &labels, Value::Whole(value));
        }
    };
    let all = || status.pools.iter();
    of_each(page, &families::POOL_MAX, all().map(|it| it.max).collect());
    of_each(page, &families::POOL_WAITING, all().map(|it| it.waiting).collect());
    of_each(page, &families::POOL_SATURATED, all().map(|it| it.saturated_workers).collect());
    of_each(page, &families::POOL_ACQUIRED, all().map(|it| it.acquired).collect());
    of_each(page, &families::POOL_TIMEOUTS, all().map(|it| it.timeouts).collect());
    begin(page, &families::POOL_WAITED);
    for pool in &status.pools {
        let labels = [("pool", &*pool.name), ("kind", pool.kind)];
        one(page, &families::POOL_WAITED, &labels, Value::Real(pool.waited_seconds));
    }
    of_each(page, &families::POOL_STATEMENTS, all().map(|it| it.statements).collect());
    of_each(page, &families::POOL_FAILED, all().map(|it| it.failed).collect());
    of_each(page, &families::POOL_SLOW, all().map(|it| it.slow).collect());
}

/// What stands in the register: the application's metrics, and those of mainstay with labels.
fn registered(page: &mut dyn Sink, segment: &Segment) {
    let register = segment.register();
    // A slot that nobody ever held has measured nothing, and looking at it would take memory.
    let held = segment.slots().filter(|slot| slot.epoch() != 0);
    let measures: Vec<Measures<'_>> = held.map(|slot| slot.measures()).collect();
    let mut series: HashMap<(Kind, usize), Vec<Series>> = HashMap::new();
    for kind in [Kind::Counter, Kind::Gauge, Kind::Histogram] {
        for found in register.series(kind) {
            series.entry((kind, found.metric)).or_default().push(found);
        }
    }
    begin(page, &families::OVERFLOWS);
    for (_, metric) in register.metrics() {
        let name = text(metric.name());
        let refused = Value::Whole(metric.refused());
        one(page, &families::OVERFLOWS, &[("metric", &name)], refused);
    }
    let mut tally = Tally::default();
    for (index, metric) in register.metrics() {
        let Some((kind, merge)) = of_nature(metric.nature()) else { continue };
        let name = text(metric.name());
        if !page.wants(&name) {
            continue;
        }
        let help = text(metric.help());
        // Libraries need not explain theirs, and readers ask for a help.
        let help = if help.is_empty() { "Nobody has said what it means." } else { &help };
        page.family(&name, shape(kind), help);
        for series in series.remove(&(kind, index)).unwrap_or_default() {
            let labels = text(series.labels);
            match kind {
                Kind::Counter => {
                    let counted = measures.iter().map(|slot| slot.counted(series.index));
                    let total = counted.fold(0, u64::wrapping_add);
                    page.sample(&name, &labels, Value::Whole(total));
                }
                Kind::Gauge => {
                    let read = measures.iter().map(|slot| slot.read_gauge(series.index));
                    page.sample(&name, &labels, Value::Real(merged(merge, read.flatten())));
                }
                Kind::Histogram => {
                    tally.clear();
                    read_histograms(&measures, series.index, &mut tally);
                    page.histogram(&name, &labels, &tally);
                }
            }
        }
    }
}

fn shape(kind: Kind) -> Shape {
    match kind {
        Kind::Counter => Shape::Counter,
        Kind::Gauge => Shape::Gauge,
        Kind::Histogram => Shape::Histogram,
    }
}

/// One value of those that the slots have. Where nobody has set any, a sum is 0, and anything else is
/// no number.
fn merged(merge: Merge, all: impl Iterator<Item = GaugeRead>) -> f64 {
    match merge {
        Merge::Sum => all.map(|gauge| gauge.value).sum(),
        Merge::Max => all.map(|gauge| gauge.value).reduce(f64::max).unwrap_or(f64::NAN),
        Merge::Min => all.map(|gauge| gauge.value).reduce(f64::min).unwrap_or(f64::NAN),
        Merge::Last => all.max_by_key(|gauge| gauge.set_at).map_or(f64::NAN, |gauge| gauge.value),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::metrics::registry::Metrics;
    use crate::metrics::{Counter, Gauge, Histogram, Labelled};
    use mainstay_os::segment::Layout;
    use std::collections::BTreeSet;

    fn segment() -> Segment {
        let ring_bytes = [64; 3];
        let (counters, metrics) = (names::CELLS, names::CAPACITY);
        let segment = Segment::on_heap(Layout {
            slots: 4,
            in_flight: 1,
            ring_bytes,
            metrics,
            ..Layout::small(counters)
        });
        for (index, slot) in segment.slots().enumerate().take(2) {
            slot.hand_out(1, 0, 0);
            slot.set_pid(index as u32 + 100);
        }
        segment
    }

    fn page(segment: &Segment, format: Format) -> String {
        let mut status = Status::read(segment, "sh\"op", "1.2");
        status.uptime_seconds = 1.5;
        expose(segment, &status, &AllSeen::default(), format, &mut Pace::easy())
    }

    /// The whole text, for the tests of whoever counts.
    pub(crate) fn exposed(segment: &Segment) -> String {
        page(segment, Format::Prometheus)
    }

    /// The lines of a family.
    fn of<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
        page.lines().filter(|line| !line.starts_with('#') && line.starts_with(name)).collect()
    }

    #[test]
    fn what_workers_measure_becomes_one_value_for_each_series() {
        let segment = segment();
        for slot in [0, 1] {
            let metrics = Metrics::new(segment.clone(), slot, |_| {});
            let orders = metrics.family("orders_total", "Orders.", Merge::Sum, &["kind"]);
            let orders: Labelled<Counter, 1> = Labelled::new(orders.unwrap());
            orders.with(["card"]).add(slot as u64 + 1);
            for (name, merge) in [("all", Merge::Sum), ("most", Merge::Max), ("least", Merge::Min)]
            {
                metrics.single::<Gauge>(name, "", merge).unwrap().set(slot as f64 + 0.5);
            }
            metrics.single::<Gauge>("last", "", Merge::Last).unwrap().set(slot as f64);
            metrics.single::<Gauge>("none", "", Merge::Last).unwrap();
            let work: Histogram = metrics.single("work_seconds", "", Merge::Sum).unwrap();
            work.observe_duration(std::time::Duration::from_millis(5));
        }
        let lines = |name: &str| -> Vec<String> {
            let page = page(&segment, Format::Prometheus);
            of(&page, name).into_iter().map(str::to_owned).collect()
        };
        let expected = ["orders_total{overflow=\"true\"} 0", "orders_total{kind=\"card\"} 3"];
        assert_eq!(lines("orders_total"), expected);
        assert_eq!(
            [lines("all"), lines("most"), lines("least")],
            [["all 2"], ["most 1.5"], ["least 0.5"]]
        );
        assert_eq!(
            (lines("last"), lines("none")),
            (vec!["last 1".into()], vec!["none NaN".into()])
        );
        assert_eq!(lines("work_seconds_sum"), ["work_seconds_sum 0.01"]);
        assert_eq!(
            lines("work_seconds_bucket{le=\"0.005\"}"),
            ["work_seconds_bucket{le=\"0.005\"} 2"]
        );
        segment.slot(1).unwrap().take_back();
        assert_eq!([lines("all"), lines("last")], [["all 0.5"], ["last 1"]]);
        assert_eq!(lines("orders_total"), expected, "totals stay");
    }

    #[test]
    fn everything_that_mainstay_counts_is_there_from_the_start() {
        let segment = segment();
        segment.slot(1).unwrap().add(names::REQUESTS, 7);
        let page = page(&segment, Format::Prometheus);
        assert_eq!(of(&page, "mainstay_http_requests_total"), ["mainstay_http_requests_total 7"]);
        for (name, _) in names::TABLE {
            assert!(page.contains(&format!("# TYPE {name} counter\n")), "{name}");
        }
        for (name, _) in names::event_cells() {
            assert!(page.contains(&format!("mainstay_events_total{{event=\"{name}\"}} 0\n")));
        }
        // What is in the register is there once a process has declared it.
        let declared = ["_taken_", "_sent_", "_lost_", "_spool_", "_last_"];
        let declared = declared.map(|part| format!("mainstay_telemetry{part}"));
        let others = [
            "mainstay_listener_",
            "mainstay_directory_wanted",
            "mainstay_limit_decisions_",
            "mainstay_limit_near_",
            "mainstay_alert",
            "mainstay_probe_",
        ];
        let others = others.map(str::to_owned);
        let listed = |family: &&Family| {
            let is_declared = |it: &String| family.name.starts_with(it.as_str());
            family.shape != Shape::Histogram && !declared.iter().chain(&others).any(is_declared)
        };
        for family in families::TABLE.iter().filter(listed) {
            let known = cfg!(feature = "database") || !family.name.contains("_pool_");
            assert!(
                !known || page.contains(&format!("# HELP {} ", family.name)),
                "{}",
                family.name
            );
        }
        let build = "mainstay_build_info{service=\"sh\\\"op\",version=\"1.2\",mainstay=\"";
        assert!(of(&page, "mainstay_build_info")[0].starts_with(build));
        assert_eq!(
            of(&page, "mainstay_workers{state=\"booting\"}"),
            ["mainstay_workers{state=\"booting\"} 2"]
        );
        assert_eq!(of(&page, "mainstay_uptime_seconds"), ["mainstay_uptime_seconds 1.5"]);
    }

    /// Reads an exposition as strictly as a scraper may, and returns its families.
    fn reread(page: &str, format: Format) -> BTreeSet<String> {
        let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
        let (mut family, mut shape, mut told) = (String::new(), String::new(), false);
        let mut lines: Vec<_> = page.lines().collect();
        assert!(page.ends_with('\n') && !page.contains('\r'));
        if format == Format::OpenMetrics {
            assert_eq!(lines.pop(), Some("# EOF"));
        }
        for line in lines {
            if let Some(head) = line.strip_prefix("# ") {
                let (what, rest) = head.split_once(' ').unwrap();
                let (name, rest) = rest.split_once(' ').unwrap();
                if what == "TYPE" {
                    (family, shape, told) = (name.to_owned(), rest.to_owned(), false);
                    assert!(families.insert(family.clone()), "{name} twice");
                }
                assert!(matches!(what, "TYPE" | "UNIT" | "HELP") && name == family, "{line}");
                assert!(!told, "{line} behind samples");
                continue;
            }
            told = true;
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(
                value == "NaN" || value.trim_start_matches('+').parse::<f64>().is_ok(),
                "{line}"
            );
            assert!(samples.insert(series.to_owned()), "{line} twice");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let open = format == Format::OpenMetrics;
            let endings: &[&str] = match shape.as_str() {
                "counter" if open => &["_total"],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            let ending = name.strip_prefix(&*family);
            assert!(ending.is_some_and(|it| endings.contains(&it)), "{line} in {family}");
            let mut rest = labels;
            while rest != "}" {
                let (label, behind) = rest.split_once("=\"").unwrap();
                assert!(label.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_'), "{line}");
                let mut escaped = false;
                let end = behind.find(|it| {
                    let ends = it == '"' && !escaped;
                    escaped = it == '\\' && !escaped;
                    ends
                });
                rest = behind[end.unwrap() + 1..].trim_start_matches(',');
            }
        }
        families
    }

    #[test]
    fn both_formats_can_be_read_and_say_the_same() {
        let segment = segment();
        let metrics = Metrics::new(segment.clone(), 0, |_| {});
        let by: Labelled<Histogram, 2> =
            Labelled::new(metrics.family("size_bytes", "Li\nne", Merge::Sum, &["a", "b"]).unwrap());
        by.with(["x\"}\\ ,=\n", "é"]).observe(5.0);
        let plain = reread(&page(&segment, Format::Prometheus), Format::Prometheus);
        let open = reread(&page(&segment, Format::OpenMetrics), Format::OpenMetrics);
        assert_eq!(plain.len(), open.len());
        assert!(plain.len() > names::TABLE.len() + 15 && open.contains("mainstay_http_requests"));
    }
}

//! docs/metrics.md, made from the tables. Only a test makes it: the program has no use for it.

use super::{exits, families, names};

/// The whole page.
fn markdown() -> String {
    let mut exits = String::from("| reason | planned | what |\n|---|---|---|\n");
    for row in exits::TABLE {
        let (name, planned, doc) = (row.name, row.planned, row.doc.trim());
        exits.push_str(&format!("| `{name}` | {planned} | {doc} |\n"));
    }
    let mut page = PREFACE.replace("EXITS\n", &exits);
    page.push_str("| name | type | labels | what |\n|---|---|---|---|\n");
    for family in families::TABLE {
        let (name, shape, labels) = (family.name, family.shape.as_str(), family.labels.trim());
        page.push_str(&format!("| `{name}` | {shape} | {labels} | {} |\n", family.help.trim()));
    }
    for (name, help) in names::TABLE {
        page.push_str(&format!("| `{name}` | counter | | {} |\n", help.trim()));
    }
    page
}

const PREFACE: &str = "\
<!-- Made from crates/mainstay/src/metrics/page.rs, families.rs and names.rs. Change it there and run
     MAINSTAY_BLESS=1 cargo test -p mainstay metrics_page -->
# Metrics

`GET /metrics` on the admin listener (`server.admin`) answers with the metrics of the whole service, in
Prometheus text 0.0.4, or in OpenMetrics 1.0 where the scraper asks for it, in gzip where it asks for that.
One scrape is enough for all workers:

```yaml
scrape_configs:
  - job_name: shop
    static_configs: [{ targets: [\"127.0.0.1:8001\"] }]
```

Everything is counted in memory that all processes share, in a place that belongs to no process. So a
total never goes down while the service runs, over reloads, recycling, upgrades of the supervisor and killed
workers, and a worker that is killed takes nothing with it. Nothing grows with the number of workers that
ever were.

The answer is made in turns of a tenth of a millisecond with rests in between, so that no request waits for a scrape;
it comes some fifty milliseconds later for that at most.

## Metrics of your application

```rust
use mainstay::{BoxError, Counter, Gauge, Histogram, Labelled, Merge, Worker};

struct Metrics {
    orders: Labelled<Counter, 1>,
    queue: Gauge,
    work: Histogram,
}

fn metrics(worker: &Worker) -> Result<Metrics, BoxError> {
    Ok(Metrics {
        orders: worker.counter_by(\"shop_orders_total\", \"Orders placed.\", [\"kind\"])?,
        queue: worker.gauge(\"shop_queue_length\", \"Mails that wait.\", Merge::Sum)?,
        work: worker.histogram(\"shop_work_duration_seconds\", \"Time for a mail.\")?,
    })
}

fn use_them(metrics: &Metrics) {
    metrics.orders.with([\"card\"]).inc();
    metrics.queue.set(3.0);
    metrics.work.observe(0.25);
}
```

- Make them when the worker boots, and keep handles: `with(…)` looks a series up, `inc()` is one addition.
  Call `with` at boot for the values that you know, so that their series are there, at 0, from the start.
- A name is letters, digits and `_`; that of a counter ends with `_total`; say the unit, `_seconds` or
  `_bytes`. `mainstay_` is taken. What is wrong with a name is told at boot.
- A name keeps its type and its `Merge` while the service runs, over reloads.
- There may be 256 metrics, with 1,024 series as counters, 256 as gauges and 1,024 as histograms, those of
  mainstay included. One metric may have 256 series as a counter and 64 otherwise. What is beyond that is
  counted in the metric's series `overflow=\"true\"`, in `mainstay_metrics_overflow_total`, and told in the log.
- A gauge has a value in each worker; `Merge` says what is shown: the `Sum`, the largest (`Max`) or smallest
  (`Min`) of the workers that live, or the `Last` that was set, be it by a worker that has gone. While nobody
  has set any, a sum is 0 and the others are `NaN`.
- A histogram keeps bins that are at most a tenth of their size wide, so that their middle is within 5 % of the
  true value. It is shown with bounds from 0.005 to 10 when its name ends with `_seconds`, else with 1, 2.5 and 5 of each power
  of ten to 10⁹; counts at these bounds are exact.

## Exemplars
In OpenMetrics the buckets of `mainstay_http_request_duration_seconds` have exemplars: the trace and span of the
newest request in them whose trace somebody records. That are those that are [sent](tracing.md), failures and slow
ones among them, and, where nothing is sent from here, those of which their caller says so in `traceparent`. For
each power of ten of the time a slot keeps one. Prometheus keeps them with `--enable-feature=exemplar-storage`.

A histogram of your own has them where it is told by `observe_with_exemplar(…)` instead of `observe(…)`, within a request
whose trace is certain to be recorded.

## Metrics of libraries
With the feature `metrics` each worker installs a recorder of the crate of that name before the application
begins, so that what other crates measure by its macros is in `/metrics`, as exact as the rest.

- What is no letter, digit or `_` in a name becomes `_`, and a counter's name gets `_total` if it lacks it. Units
  are not appended. So a histogram of times is shown with bounds of times only when its name ends with
  `_seconds`.
- A gauge is the sum over the workers that live.
- `absolute` is a total of one process, which begins at 0 with it; the total of all processes goes on.
- Limits are those above. What cannot be measured (a name that is taken, no more room) is told in the log, once
  for each name: `metrics.refused`.
- If the application has installed a recorder of its own before, that one stays, and the log says so.

## Pushed to statsd
With `metrics.statsd` set, to `HOST:PORT` or `unix:/path`, watch pushes each second what was added, by the names
that Gunicorn has: `gunicorn.requests`, `gunicorn.request.status.2xx` and so on, `gunicorn.request.status.499` for
clients that left, `gunicorn.request.duration` in milliseconds, `gunicorn.workers` (those that are ready), and
`gunicorn.log.critical`, `error` and `warning`, which are mainstay's own events. `metrics.statsd_prefix` and
`metrics.dogstatsd_tags` are as Gunicorn's.

- Statuses are pushed by class, as they are counted, where Gunicorn has one name for each.
- Durations come as the middle of a bin with the rate that stands for how many were in it: within 5 %.
- Each request is pushed once: up to where that was stands in the memory that all processes share, so that it is so
  over reloads and deaths of watch, too. What was on its way at the instant of such a death, and what the network
  loses, is not pushed again; `/metrics` has it.

## Requests
`mainstay_http_request_duration_seconds` has a series for each method (ten known ones, else `OTHER`), route, and
class of status (`1xx` to `5xx`, or `abandoned`: the client left before it had an answer). Its count is
exact: each request that ended is in it once, those that were in flight in a killed worker too (as 5xx). Its sum
may lack the last request of a worker that was killed at that instant.

The route is known to your router alone. It is `unmatched` unless the application names it with
`RequestContext::set_route`; with axum, a layer over all routes does:

```rust
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use mainstay::RequestContext;

/// For `Router::route_layer(axum::middleware::from_fn(name_route))`.
async fn name_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    if let (Some(route), Some(context)) = (route, RequestContext::of(request.extensions())) {
        context.set_route(route.as_str());
    }
    next.run(request).await
}
```

There may be 384 series of it, so some 128 routes with three kinds of answers each. With the first answer of a
route the series of its failures (`5xx`) is there, at 0, so that `rate()` sees the first failure.

By method and route there are also the time to the first byte (the head of the answer is there), and the sizes of
the bodies of requests and answers, with 128 series each.

A proxy that is trusted (`proxy.trusted`) and sets `X-Request-Start` tells how long requests waited for a worker:
`mainstay_http_queue_wait_seconds`. For nginx that is `proxy_set_header X-Request-Start t=$msec;`. The time is in
seconds with a fraction, milliseconds, microseconds or nanoseconds, with or without `t=` before it. What lies more
than an hour back or a second ahead is not counted. What waits in the kernel just now is `mainstay_listener_queue`
of `mainstay_listener_queue_max`. Where a sandbox forbids netlink (`RestrictAddressFamilies=` without `AF_NETLINK`)
UNIX listeners have no such series.

## Workers and processes
Every end of a worker is counted once in `mainstay_worker_exits_total`, with its reason; all reasons are there, at 0,
from the start. Planned are ends of workers that were told to leave and left in time:

EXITS

`mainstay_worker_restarts_total` leaves out what nothing was started for: fewer workers, the end of the service. A restart
that nobody planned, ten times an hour, is `increase(mainstay_worker_restarts_total{planned=\"false\"}[1h]) > 10`.
Each single end, with its facts, is in the log: `worker.exited`, `worker.died`, `worker.oom`, `worker.timeout`,
`worker.boot_failed` of [events.md](events.md), which are counted in `mainstay_events_total`.

`process_…` is what client libraries call the same, summed over supervisor, watch and workers. Resident memory counts
pages that several of them share in each, so the sum is more than what the service costs. Processor time does
not go down when a worker dies: the supervisor writes down what it used before it is reaped.

## Readiness
`mainstay_ready` says whether a request for `health.ready_path` would be answered with 200 now. Answers that were given,
by workers and on the admin listener, are in `mainstay_readiness_answers_total`, and
`mainstay_readiness_failures_in_a_row` is how many of them up to the last one were 503. It counts answers, whoever asked:
two probers make it grow twice as fast.

## Directories
How full a file system is, by directory: that of `server.uploads`, and those that the application names with
`Worker::measure_directory`, as the built-in site does. `mainstay_directory_used_ratio` is df's: what is kept for root is
neither used nor available. File systems are asked every ten seconds, each by a thread of its own: of one that does not
answer, `mainstay_directory_age_seconds` grows, and nothing waits for it. Where a file system counts no inodes there
are no series for them.

## What mainstay measures
";

#[test]
fn the_metrics_page_is_the_tables() {
    crate::testing::compare_page("docs/metrics.md", &markdown());
}

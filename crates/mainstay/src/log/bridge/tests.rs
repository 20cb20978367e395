//! Both facades over a segment on the heap.

use super::*;
use crate::clock::Mono;
use crate::http::context::{Context, RequestContext, RequestId, TraceContext};
use crate::log::level_word;
use crate::log::levels::{Whom, Wish};
use crate::log::outlet::drained;
use crate::metrics::names;
use ::log::Log as _;
use mainstay_os::segment::{Layout, Segment};
use proptest::prelude::*;
use std::fmt;
use std::pin::pin;
use std::task::{Poll, Waker};

/// A log and both ways into it.
struct Rig {
    log: Log,
}

impl Rig {
    fn new() -> Rig {
        let ring_bytes = [64, 256 * 1024, 64];
        let layout = Layout { in_flight: 1, ring_bytes, ..Layout::small(names::CELLS) };
        let segment = Segment::on_heap(layout);
        segment.header().set_log_level(level_word(Level::Info));
        segment.header().set_log_level_base(level_word(Level::Info));
        Rig { log: Log::new(segment, 0) }
    }

    fn segment(&self) -> &Segment {
        self.log.segment()
    }

    /// Runs `work` with a subscriber as workers have it.
    fn traced<T>(&self, work: impl FnOnce() -> T) -> T {
        in_turn(&subscriber(&self.log), work)
    }

    /// Makes a record of the `log` facade.
    fn log(&self, level: ::log::Level, target: &str, message: fmt::Arguments<'_>) {
        let record = ::log::Record::builder().level(level).target(target).args(message).build();
        self.facade().log(&record);
    }

    fn facade(&self) -> Facade {
        Facade(Outlet::Log(self.log.clone()))
    }

    /// The lines since the last look, without what stands before their level.
    fn lines(&self) -> Vec<String> {
        let text = drained(self.segment());
        text.lines().map(|line| line.splitn(5, ' ').nth(4).unwrap().to_owned()).collect()
    }

    fn wish(&self, whom: Whom, until: u64, text: &str) {
        let until = Some(Mono(until)).filter(|until| until.0 != 0);
        let wish = Wish { whom, level: Level::Debug, until, text: text.into() };
        levels::set(self.segment(), &wish).unwrap();
    }
}

fn request(id: &str) -> RequestContext {
    let id = RequestId::accept(id.as_bytes()).unwrap();
    RequestContext::new(Context::begin(|context| {
        context.id = id;
        context.client = Some([192, 0, 2, 1].into());
        context.trace =
            TraceContext { trace_id: [0xab; 16], span_id: [1; 8], parent: None, flags: 0 };
        context.method.push_str("GET");
        context.path.push_str("/orders/7");
    }))
}

/// Polls a future that never waits for anything to its end.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = std::task::Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return done;
        }
    }
}

#[derive(Debug)]
struct Failed(&'static str, Option<Box<Failed>>);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

#[test]
fn records_of_both_facades_arrive_with_level_and_fields() {
    let rig = Rig::new();
    rig.traced(|| {
        tracing::info!(order = 7, name = "a b", paid = true, kind = ?Some(1), "placed {}", "it");
        tracing::warn!("odd");
        tracing::error!(target: "elsewhere", "bad");
        tracing::debug!("not asked for");
        tracing::trace!("not asked for");
    });
    rig.log(::log::Level::Warn, "shop", format_args!("from {}", "log"));
    rig.log(::log::Level::Debug, "shop", format_args!("not asked for"));
    let record = ::log::Record::builder()
        .level(::log::Level::Error)
        .args(format_args!("keyed"))
        .key_values(&[("user", 7)])
        .build();
    rig.facade().log(&record);
    let expected = [
        "[INFO] placed it order=7 name=\"a b\" paid=true kind=Some(1)",
        "[WARNING] odd",
        "[ERROR] bad",
        "[WARNING] from log",
        "[ERROR] keyed user=7",
    ];
    assert_eq!(rig.lines(), expected);
}

#[test]
fn an_error_is_told_with_its_causes() {
    let rig = Rig::new();
    let error =
        Failed("no order", Some(Box::new(Failed("no row", Some(Box::new(Failed("gone", None)))))));
    let told: &(dyn std::error::Error + 'static) = &error;
    rig.traced(|| {
        tracing::error!(error = told, order = 7, "cannot place");
        tracing::error!(error = %error);
        tracing::error!(cause = told, "another name");
    });
    let expected = [
        "[ERROR] cannot place order=7 error=\"no order: no row: gone\"",
        "[ERROR] no order",
        "[ERROR] another name cause=\"no order: no row: gone\"",
    ];
    assert_eq!(rig.lines(), expected);
}

#[test]
fn a_record_has_the_fields_of_its_spans_and_the_closest_wins() {
    let rig = Rig::new();
    rig.traced(|| {
        let outer =
            tracing::info_span!("outer", shop = 1, user = "outer", later = tracing::field::Empty);
        let _outer = outer.enter();
        let inner = tracing::info_span!("inner", user = "inner");
        let _inner = inner.enter();
        outer.record("later", "now");
        outer.record("later", "then");
        tracing::info!(user = "own", "first");
        tracing::info!("second");
    });
    let expected =
        ["[INFO] first user=own later=then shop=1", "[INFO] second user=inner later=then shop=1"];
    assert_eq!(rig.lines(), expected);
}

#[test]
fn a_record_tells_the_request_that_is_being_polled_and_the_next_one_has_nothing_of_it() {
    let rig = Rig::new();
    let context = request("abc");
    rig.traced(|| {
        run(context.clone().scope(async {
            tracing::info!("within");
            context.set_route("/orders/{id}");
            rig.log(::log::Level::Info, "shop", format_args!("within"));
        }));
        tracing::info!("outside");
        run(request("def").scope(async { tracing::info!("next") }));
    });
    let trace = format!("trace_id={}", "ab".repeat(16));
    let expected = [
        format!(
            "[INFO] within [request_id=abc client=192.0.2.1 method=GET path=/orders/7 {trace}]"
        ),
        format!(
            "[INFO] within [request_id=abc client=192.0.2.1 route=/orders/{{id}} method=GET \
             path=/orders/7 {trace}]"
        ),
        "[INFO] outside".to_owned(),
        format!("[INFO] next [request_id=def client=192.0.2.1 method=GET path=/orders/7 {trace}]"),
    ];
    assert_eq!(rig.lines(), expected);
}

/// A value that makes a record while it is told.
struct Chatty<F: Fn()>(F);

impl<F: Fn()> fmt::Display for Chatty<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)();
        f.write_str("chatty")
    }
}

#[test]
fn a_record_within_a_record_is_a_record() {
    let rig = Rig::new();
    rig.traced(|| {
        let inner = || rig.log(::log::Level::Info, "inner", format_args!("inner of log"));
        tracing::info!(value = %Chatty(inner), "outer of tracing");
        let inner = || tracing::info!("inner of tracing");
        rig.log(::log::Level::Info, "outer", format_args!("outer of log: {}", Chatty(inner)));
        let inner = || rig.log(::log::Level::Info, "inner", format_args!("inner of log"));
        let span = tracing::info_span!("span", value = %Chatty(inner));
        span.in_scope(|| tracing::info!("in span"));
    });
    let expected = [
        "[INFO] inner of log",
        "[INFO] outer of tracing value=chatty",
        "[INFO] inner of tracing",
        "[INFO] outer of log: chatty",
        "[INFO] inner of log",
        "[INFO] in span value=chatty",
    ];
    assert_eq!(rig.lines(), expected);
}

#[test]
fn a_value_that_tells_of_its_own_telling_comes_to_an_end() {
    struct Endless<'a>(&'a Rig);

    #[expect(clippy::recursive_format_impl, reason = "this is the case to show")]
    impl fmt::Display for Endless<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.log(::log::Level::Info, "endless", format_args!("{self}"));
            f.write_str("told")
        }
    }

    let rig = Rig::new();
    rig.log(::log::Level::Info, "endless", format_args!("{}", Endless(&rig)));
    let lines = rig.lines();
    assert_eq!(lines[0], "[INFO] a record within too many others, not rendered");
    assert!((2..20).contains(&lines.len()) && lines[1..].iter().all(|it| it == "[INFO] told"));
}

#[test]
fn a_value_that_panics_loses_its_own_record_alone() {
    let rig = Rig::new();
    let panics = || panic!("told in a value");
    for _ in 0..20 {
        let record = || rig.log(::log::Level::Info, "it", format_args!("{}", Chatty(panics)));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(record)).is_err());
    }
    rig.log(::log::Level::Info, "it", format_args!("after"));
    assert_eq!(rig.lines(), ["[INFO] after"]);
}

#[test]
fn a_module_is_looked_at_more_closely_for_a_while() {
    let rig = Rig::new();
    let say = || {
        rig.traced(|| {
            tracing::debug!(target: "shop::orders::pay", "debug");
            tracing::trace!(target: "shop::orders", "trace");
            tracing::debug!(target: "shop", "not asked for");
        });
        rig.log(::log::Level::Debug, "shop::orders", format_args!("facade"));
        rig.log(::log::Level::Debug, "shop::orders_old", format_args!("not asked for"));
    };
    rig.wish(Whom::Module, u64::MAX, "shop::orders");
    say();
    assert_eq!(rig.lines(), ["[DEBUG] debug", "[DEBUG] trace", "[DEBUG] facade"]);
    rig.wish(Whom::Module, 1, "shop::orders");
    say();
    assert!(rig.lines().is_empty(), "its time is over");
}

#[test]
fn a_request_is_looked_at_more_closely() {
    let rig = Rig::new();
    rig.wish(Whom::Request, 0, "abc");
    let say = || {
        tracing::debug!("tracing");
        rig.log(::log::Level::Debug, "any", format_args!("facade"));
    };
    rig.traced(|| {
        run(request("abc").scope(async { say() }));
        run(request("abcd").scope(async { say() }));
        say();
    });
    let lines = rig.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("request_id=abc ")), "{lines:?}");
}

#[test]
fn a_layer_of_another_subscriber_hears_what_the_log_does_not_ask_for() {
    #[derive(Clone, Default)]
    struct Count(std::sync::Arc<std::sync::atomic::AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(
            &self,
            _: &tracing_core::Event<'_>,
            _: tracing_subscriber::layer::Context<'_, S>,
        ) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    let (rig, count) = (Rig::new(), Count::default());
    let outlet = Outlet::Log(rig.log.clone());
    let ours = Bridge(outlet.clone()).with_filter(Gate(outlet));
    let theirs = Registry::default().with(ours).with(count.clone());
    in_turn(&Dispatch::new(theirs), || {
        let _span = tracing::info_span!("span", key = 1).entered();
        tracing::debug!("theirs");
        tracing::info!("both");
    });
    assert_eq!(count.0.load(Relaxed), 2);
    assert_eq!(rig.lines(), ["[INFO] both key=1"]);
}

#[test]
fn outside_of_workers_a_layer_does_nothing() {
    let theirs = Registry::default().with(log_layer());
    in_turn(&Dispatch::new(theirs), || tracing::error!("to nobody"));
}

#[test]
fn a_record_that_tracing_log_passes_on_keeps_its_target() {
    let rig = Rig::new();
    rig.traced(|| {
        const INFO: tracing::Level = tracing::Level::INFO;
        tracing::event!(target: "log", INFO, { log.target = "shop", log.line = 7, own = 1 }, "from log");
    });
    assert_eq!(rig.lines(), ["[INFO] from log own=1"]);
}

#[test]
fn more_facts_than_usual_are_told_all() {
    let rig = Rig::new();
    let keys: Vec<_> = (0..40).map(|at| format!("key{at}")).collect();
    let facts: Vec<_> = keys.iter().map(String::as_str).zip(0..).collect();
    let facts = facts.as_slice();
    let record = ::log::Record::builder()
        .level(::log::Level::Info)
        .args(format_args!("many"))
        .key_values(&facts)
        .build();
    rig.facade().log(&record);
    let lines = rig.lines();
    assert!((0..40).all(|at| lines[0].contains(&format!(" key{at}={at}"))), "{lines:?}");
}

proptest! {
    #[test]
    fn any_message_and_fields_are_one_line(
        message in any::<Vec<u8>>(),
        value in any::<Vec<u8>>(),
        target in ".*",
        path in ".*",
    ) {
        let rig = Rig::new();
        let [message, value] = [&message, &value].map(|bytes| String::from_utf8_lossy(bytes));
        let context = Context::begin(|context| context.path.push_str(&path));
        RequestContext::new(context).in_scope(|| {
            rig.traced(|| tracing::info!(value = &*value, "{message}"));
            rig.log(::log::Level::Info, &target, format_args!("{message}\n"));
        });
        let text = drained(rig.segment());
        prop_assert_eq!(text.lines().count(), 2);
        prop_assert_eq!(text.matches(['\n', '\r', '\u{2028}', '\u{85}', '\u{1b}']).count(), 2);
    }
}

#[test]
fn the_layer_in_a_subscriber_of_the_application_s_own_knows_the_current_span() {
    use crate::config::otel::Sampler;
    use crate::telemetry::Settings;
    let rig = Rig::new();
    let (sampler, methods) = (Sampler::ALL, Vec::new());
    let settings = Settings { traces: true, logs: false, sampler, keep_slow: None, methods };
    rig.log.set_telemetry(&settings);
    let outlet = Outlet::Log(rig.log);
    let layer = Bridge(outlet.clone()).with_filter(Gate(outlet));
    let ours = Registry::default().with(layer);
    in_turn(&Dispatch::new(ours), || {
        assert_eq!(crate::Outgoing::current(), None);
        let outer = tracing::info_span!("outer");
        let known = outer.in_scope(|| {
            // One that is not asked for is none of ours.
            tracing::debug_span!("detail").in_scope(crate::Outgoing::current)
        });
        assert_eq!(known, outer.in_scope(crate::Outgoing::current));
        let inner =
            outer.in_scope(|| tracing::info_span!("inner").in_scope(crate::Outgoing::current));
        assert!(known.is_some() && inner.is_some() && inner != known);
    });
}

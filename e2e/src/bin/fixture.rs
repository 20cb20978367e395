//! A service that misbehaves on demand, written on mainstay's public API.
//!
//! | setting | meaning |
//! |---|---|
//! | `FIXTURE_BOOT_MS` | time a worker needs to boot, in milliseconds (default 0) |
//! | `FIXTURE_BOOT` | `ok` (default), `exit` (status 7), `hang`, `panic` or `error` at boot |
//! | `FIXTURE_APP` | `any`: every request is read to its end and answered with 200, in place of the routes |
//! | | `fail`: every request fails, and its decoded target stands in records of both facades and in the cause |
//! | `FIXTURE_LEDGER` | file into which `/count` writes what it counts |
//! | `FIXTURE_FILE` | file of lines `KEY=VALUE` with the two above, read at each boot of a worker; it wins over the environment, so that a reload meets another behaviour than the start did |

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{get, post};
use e2e::ledger::Ledger;
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    mainstay::builder().name("fixture").version("1").serve(app)
}

async fn app(worker: mainstay::Worker) -> Result<Router, BoxError> {
    let hellos = worker.counter_by("fixture_hellos_total", "Answers of /.", ["how"])?;
    let odd = worker.counter_by(
        "fixture_odd_total",
        "With \\ and\na second line, \"quoted\".",
        ["how"],
    )?;
    odd.with(["\"} \\n,=\n é"]).inc();
    let hellos = hellos.with(["warmly"]);
    let counts = Arc::new(Counts::new(&worker)?);
    let boot: u64 = setting("FIXTURE_BOOT_MS").map_or(Ok(0), |ms| ms.parse())?;
    tokio::time::sleep(Duration::from_millis(boot)).await;
    match setting("FIXTURE_BOOT").as_deref() {
        None | Some("ok") => {}
        Some("exit") => exit_at_once(),
        Some("hang") => _ = block(None),
        Some("panic") => panic!("the fixture panics at boot, as told"),
        Some("error") => return Err("the fixture fails at boot, as told".into()),
        Some(other) => return Err(format!("FIXTURE_BOOT={other} is not known").into()),
    }
    match setting("FIXTURE_APP").as_deref() {
        Some("any") => return Ok(Router::new().fallback(|_: Bytes| async { "read\n" })),
        Some("fail") => return Ok(Router::new().fallback(fail_loudly)),
        _ => {}
    }
    let pid = HeaderValue::from(std::process::id());
    Ok(Router::new()
        .route(
            "/",
            get(|| async move {
                hellos.inc();
                "hello\n"
            }),
        )
        .route("/count", get(|| async move { counts.count().map_err(mainstay::Failure::from) }))
        .route("/log", get(log_both))
        .route("/slow", get(slow))
        .route("/block", get(|uri: Uri| async move { block(number(&uri, "ms")) }))
        .route("/exit", get(|uri: Uri| async move { exit(&uri) }))
        .route("/panic", get(fail))
        .route("/failure", get(failure))
        .route("/causes", get(causes))
        .route("/panic-in-task", get(fail_apart))
        .route("/panic-in-body", get(|| async { Response::new(Body::new(Torn)) }))
        .route("/upgrade", get(upgrade))
        .route("/limited", get(|| async { "limited\n" }).layer(by_key()))
        .route("/login", get(login))
        .route("/own", get(|| async { "own\n" }).layer(in_own_words()))
        .route("/attempt", get(attempt).layer(failures()))
        .route("/few", get(slow).layer(mainstay::concurrent(2).shared("few")))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/big", get(|uri: Uri| async move { vec![b'x'; bytes(&uri)] }))
        .route_layer(axum::middleware::from_fn(name_route))
        .layer(axum::middleware::map_response(move |mut response: Response| {
            response.headers_mut().insert("x-worker-pid", pid.clone());
            async { response }
        })))
}

/// `/limited`: three an hour of each client, which is whoever sends the same key.
fn by_key() -> mainstay::Limit {
    let key = |asking: &mainstay::Asking<'_>| {
        let key = asking.headers().get("x-api-key")?;
        Some(key.to_str().ok()?.to_owned())
    };
    mainstay::limit("3/hour").shared("limited").methods(&["GET"]).key(key)
}

/// `/attempt`: two an hour that fail.
fn failures() -> mainstay::Limit {
    let fails = |status| status == StatusCode::UNAUTHORIZED;
    mainstay::limit("2/hour").shared("attempt").deduct_when(fails)
}

/// `/login?status=401`: answers so; whoever `X-User` names has failed, whatever the status.
async fn login(
    context: mainstay::RequestContext,
    headers: HeaderMap,
    uri: Uri,
) -> (StatusCode, mainstay::AsIs, &'static str) {
    if let Some(user) = headers.get("x-user").and_then(|it| it.to_str().ok()) {
        context.login_failed(user);
    }
    let status = number(&uri, "status").and_then(|it| u16::try_from(it).ok());
    let status = status.and_then(|it| StatusCode::from_u16(it).ok());
    (status.unwrap_or(StatusCode::OK), mainstay::AsIs, "")
}

/// `/own`: one an hour; what is too many is answered by the fixture, or, with `?panic=1`, not even that.
fn in_own_words() -> mainstay::Limit {
    mainstay::limit("1/hour").shared("own").on_breach(|breach| {
        assert_ne!(number(breach.asking().uri(), "panic"), Some(1), "the fixture panics, as told");
        let answer = Response::builder().status(StatusCode::PAYMENT_REQUIRED);
        answer.header("content-type", "text/plain").body("pay\n".into()).expect("an answer")
    })
}

/// `/attempt?ok=1`: succeeds; without it, it fails.
async fn attempt(uri: Uri) -> StatusCode {
    if number(&uri, "ok") == Some(1) { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
}

/// Names the route for log and metrics: none here has a parameter, so a path that met one is its name.
async fn name_route(request: Request, next: Next) -> Response {
    if let Some(context) = mainstay::RequestContext::of(request.extensions()) {
        context.set_route(request.uri().path());
    }
    next.run(request).await
}

/// `/count`: counts by an amount from 1 to 5, in metrics of each kind and in a ledger that survives the kill
/// of a worker.
struct Counts {
    ledger: Option<Ledger>,
    requests: AtomicU64,
    counted: mainstay::Counter,
    amounts: mainstay::Histogram,
    under_way: mainstay::Gauge,
}

impl Counts {
    fn new(worker: &mainstay::Worker) -> Result<Counts, BoxError> {
        let ledger = setting("FIXTURE_LEDGER").map(|path| Ledger::open(Path::new(&path)));
        let sum = mainstay::Merge::Sum;
        let under_way = worker.gauge("fixture_counting", "Under way in /count.", sum)?;
        worker.gauge("fixture_lives", "Workers that live.", sum)?.set(1.0);
        Ok(Counts {
            ledger: ledger.transpose()?,
            requests: AtomicU64::new(0),
            counted: worker.counter("fixture_counted_total", "Amounts of /count.")?,
            amounts: worker.histogram("fixture_amounts", "Amounts of /count.")?,
            under_way,
        })
    }

    /// Without an await, so that a kill finds a worker in one of these at most.
    fn count(&self) -> std::io::Result<&'static str> {
        let amount = 1 + (self.requests.fetch_add(1, Ordering::Relaxed) % 5) as u8;
        self.ledger.as_ref().map_or(Ok(()), |ledger| ledger.begin(amount))?;
        self.under_way.inc();
        self.counted.add(amount.into());
        metrics::counter!("fixture.of.a.library", "kind" => "x").increment(amount.into());
        self.amounts.observe_with_exemplar(amount.into());
        self.under_way.dec();
        self.ledger.as_ref().map_or(Ok(()), |ledger| ledger.end(amount))?;
        Ok("counted\n")
    }
}

/// `/slow?ms=N`: answers after N milliseconds; the runtime stays free.
async fn slow(uri: Uri) -> &'static str {
    tokio::time::sleep(Duration::from_millis(number(&uri, "ms").unwrap_or(0))).await;
    "slow\n"
}

/// `/log?n=N`: records of both facades, told apart by N: one of each at info and at debug, and one
/// whose value makes another while it is told.
async fn log_both(uri: Uri) -> &'static str {
    struct Chatty(u64);

    impl std::fmt::Display for Chatty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            tracing::info!("record {}: within another", self.0);
            f.write_str("chatty")
        }
    }

    let n = number(&uri, "n").unwrap_or(0);
    let span = tracing::info_span!("order", n);
    // Not held over an await: there is none.
    let _entered = span.enter();
    tracing::info!(colour = "blue", "record {n}: info of tracing");
    tracing::debug!("record {n}: debug of tracing");
    log::info!("record {n}: info of log");
    log::debug!(target: "fixture::below", "record {n}: debug of log");
    tracing::info!(value = %Chatty(n), "record {n}: around another");
    "logged\n"
}

/// `/exit?code=C&pid=P`: ends the worker, if it is the process P, with status C.
#[allow(clippy::exit, reason = "a program that ends without a word is the case to show")]
fn exit(uri: &Uri) -> &'static str {
    if number(uri, "pid") == Some(u64::from(std::process::id())) {
        let code = number(uri, "code").and_then(|code| i32::try_from(code).ok());
        std::process::exit(code.unwrap_or(1));
    }
    "another worker\n"
}

/// `/failure`: one message for the client and another for the log.
async fn failure() -> Result<&'static str, mainstay::Failure> {
    let failure = mainstay::Failure::new(StatusCode::BAD_GATEWAY, "The stock is not reachable.");
    Err(failure.because("the stock at 192.0.2.1 refuses us"))
}

/// `/causes`: an error with its causes, after records of which one tells a secret.
async fn causes() -> Result<&'static str, mainstay::Failure> {
    #[derive(Debug)]
    struct StockAway(std::io::Error);

    impl std::fmt::Display for StockAway {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the stock at http://shop:hunter2@192.0.2.1/ is away")
        }
    }

    impl std::error::Error for StockAway {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    tracing::info!(order = 7, password = "hunter2", "asking the stock");
    log::warn!("the stock wants token=hunter2");
    Err(StockAway(std::io::Error::other("no route to it")).into())
}

/// `/panic-in-task`: a task panics that nobody awaits.
async fn fail_apart() -> &'static str {
    drop(tokio::spawn(async { panic!("the fixture panics in a task, as told") }));
    "begun\n"
}

/// Tells everywhere what the client has sent, as careless applications do.
async fn fail_loudly(uri: Uri) -> mainstay::Failure {
    let target = decoded(&uri.to_string());
    tracing::warn!(target_field = %target, "asked for {target}");
    log::warn!("asked for {target}");
    mainstay::Failure::from(std::io::Error::other(format!("cannot serve {target}")))
}

/// Without percent-encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(byte) = rest.bytes().next() {
        let code = rest.strip_prefix('%').and_then(|it| u8::from_str_radix(it.get(..2)?, 16).ok());
        bytes.push(code.unwrap_or(byte));
        // A target is ASCII, for `Uri` takes nothing else.
        rest = &rest[if code.is_some() { 3 } else { 1 }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `/panic`
async fn fail() -> &'static str {
    panic!("the fixture panics in a handler, as told")
}

/// `/panic-in-body`: the answer begins, its body panics.
struct Torn;

impl HttpBody for Torn {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        panic!("the fixture panics in a body, as told")
    }
}

/// `/upgrade`: from here on the connection echoes whatever comes.
async fn upgrade(request: Request) -> Response {
    tokio::spawn(async move {
        let Ok(stream) = hyper::upgrade::on(request).await else { return };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(stream));
        // The client's end is the end of the echo.
        tokio::io::copy(&mut read, &mut write).await.ok();
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert("connection", HeaderValue::from_static("upgrade"));
    headers.insert("upgrade", HeaderValue::from_static("echo"));
    response
}

/// `/block?ms=N`: holds the runtime's thread for N milliseconds, without N for ever.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread that waits for nothing is the case to show"
)]
fn block(ms: Option<u64>) -> &'static str {
    let Some(ms) = ms else {
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    };
    std::thread::sleep(Duration::from_millis(ms));
    "blocked\n"
}

/// `/big?bytes=N`
fn bytes(uri: &Uri) -> usize {
    number(uri, "bytes").and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

fn number(uri: &Uri, name: &str) -> Option<u64> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name)?.1.parse().ok()
}

fn setting(key: &str) -> Option<String> {
    let file = std::env::var("FIXTURE_FILE").ok();
    let text = file.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    let found = pairs.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned());
    found.or_else(|| std::env::var(key).ok())
}

#[allow(clippy::exit, reason = "a program that ends without a word is the case to show")]
fn exit_at_once() -> ! {
    std::process::exit(7)
}

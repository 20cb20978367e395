//! Limits in the application's code: a layer over a route, or over several, for what only the
//! application knows.

use super::breach::{Answers, Breach, answer};
use super::concurrent::Held;
use super::refusal::Refusal;
use super::{Asked, Kept, Limiter, Outcome, Shown};
use crate::clock;
use crate::http::body::Answer;
use crate::http::context::RequestContext;
use crate::limits::parse::parse_many;
use crate::limits::plan::{Met, policy};
use crate::limits::settings::Fields;
use crate::limits::who::{Address, Who};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Uri};
use mainstay_os::segment::{Hit, Strategy, Verdict};
use pin_project_lite::pin_project;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// The limits of this process, from the moment that its application may be made.
static LIMITER: OnceLock<Arc<Limiter>> = OnceLock::new();

type Look<T> = Arc<dyn Fn(&Asking<'_>) -> T + Send + Sync>;
type Deducts = Arc<dyn Fn(StatusCode) -> bool + Send + Sync>;

/// Lets layers of the application count.
pub(crate) fn install(limiter: &Arc<Limiter>) {
    // A process has one; a second could only be of the same worker.
    LIMITER.set(Arc::clone(limiter)).ok();
}

/// A rate limit over routes, such as `limit("5/minute")` or `limit("200 per day; 50/hour")`; made by
/// [`limit`]. It counts beside the limits of the configuration, in the same table: over all workers, reloads
/// and deaths of workers.
///
/// ```
/// # use ::axum::{Router, routing::post};
/// # fn router() -> Router {
/// Router::new().route(
///     "/login",
///     post(|| async {}).layer(mainstay::limit("5/minute").shared("login").methods(&["POST"])),
/// )
/// # }
/// ```
///
/// One layer is one count of each client, over all routes that it lies on. Outside of a service, as in
/// tests of the application's own, it lets everything pass.
#[derive(Clone)]
pub struct Limit {
    text: String,
    /// Where it was made: what tells it apart while it has no name.
    place: &'static Location<'static>,
    scope: Option<String>,
    strategy: Option<Strategy>,
    methods: Vec<Method>,
    dry_run: bool,
    key: Option<Look<Option<String>>>,
    cost: Option<Look<u64>>,
    exempt: Option<Look<bool>>,
    deducts: Option<Deducts>,
    answers: Option<Answers>,
}

/// A rate limit for routes, to be used as a layer: see [`Limit`].
///
/// # Panics
/// When the text is no list of limits, so that a worker with such an application does not become ready.
#[must_use]
#[track_caller]
pub fn limit(text: impl Into<String>) -> Limit {
    let text = text.into();
    let place = Location::caller();
    if let Err(error) = parse_many(&text) {
        panic!("the rate limit {text:?} of {place} is wrong {error}");
    }
    Limit {
        text,
        place,
        scope: None,
        strategy: None,
        methods: Vec::new(),
        dry_run: false,
        key: None,
        cost: None,
        exempt: None,
        deducts: None,
        answers: None,
    }
}

/// The limits of this process, if it has any.
pub(super) fn limiter() -> Option<&'static Arc<Limiter>> {
    LIMITER.get()
}

/// What a request says, for code that decides how it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> Asking<'a> {
    pub(super) fn of<B>(request: &'a Request<B>) -> Asking<'a> {
        Asking {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}

impl Asking<'_> {
    /// Method and path, as logs may show them.
    pub(super) fn place(&self) -> (String, String) {
        match RequestContext::of(self.extensions) {
            Some(context) => (context.method().to_owned(), context.path().to_owned()),
            None => ("?".to_owned(), "?".to_owned()),
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.method
    }

    /// The target.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.uri
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.headers
    }

    /// What layers before this one have put there.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        self.extensions
    }

    /// The client's address, if it is known.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        RequestContext::of(self.extensions)?.client()
    }
}

impl Limit {
    /// Counts by what `key` gives, such as a user, in place of the client's address. `None` and an empty
    /// text are counted by the address. The log shows it: it must be no secret.
    #[must_use]
    pub fn key(
        mut self,
        key: impl Fn(&Asking<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Limit {
        self.key = Some(Arc::new(key));
        self
    }

    /// Counts these methods alone. GET stands for HEAD too.
    ///
    /// # Panics
    /// When one of them is none.
    #[must_use]
    pub fn methods(mut self, methods: &[&str]) -> Limit {
        let read = |it: &&str| it.parse().unwrap_or_else(|_| panic!("{it:?} is no method"));
        self.methods = methods.iter().map(read).collect();
        self
    }

    /// What a request costs, in place of 1. What costs 0 is not counted.
    #[must_use]
    pub fn cost(mut self, cost: impl Fn(&Asking<'_>) -> u64 + Send + Sync + 'static) -> Limit {
        self.cost = Some(Arc::new(cost));
        self
    }

    /// Lets requests pass uncounted for which this is true.
    #[must_use]
    pub fn exempt_when(
        mut self,
        exempt: impl Fn(&Asking<'_>) -> bool + Send + Sync + 'static,
    ) -> Limit {
        self.exempt = Some(Arc::new(exempt));
        self
    }

    /// Counts only answers of statuses for which this is true, such as failed attempts. A request is
    /// counted when it comes and given back when its answer does not count, so that many at once do not
    /// get past the limit.
    #[must_use]
    pub fn deduct_when(
        mut self,
        deducts: impl Fn(StatusCode) -> bool + Send + Sync + 'static,
    ) -> Limit {
        self.deducts = Some(Arc::new(deducts));
        self
    }

    /// Answers refused requests in the application's own way, whatever the status. Fields that tell of limits and
    /// `Retry-After` are added where the answer has none of its own. The refusal is told and counted all the same; if the
    /// code panics, the usual 429 is sent.
    ///
    /// ```
    /// # fn limit() -> mainstay::Limit {
    /// mainstay::limit("5/minute").on_breach(|breach| {
    ///     let text = format!("{{\"retry_after\":{}}}", breach.retry_after());
    ///     let answer = http::Response::builder().status(429);
    ///     answer.header("content-type", "application/json").body(text.into()).unwrap_or_default()
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn on_breach(
        mut self,
        answers: impl Fn(&Breach<'_>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Limit {
        self.answers = Some(Arc::new(answers));
        self
    }

    /// Names it, for clients, log and metrics: visible ASCII. Limits of the same name and text are one
    /// count, and it goes on when the code has moved.
    ///
    /// # Panics
    /// When the name is empty, longer than 100 bytes or not visible ASCII.
    #[must_use]
    pub fn shared(mut self, scope: impl Into<String>) -> Limit {
        let scope = scope.into();
        let is_plain = scope.bytes().all(|it| it.is_ascii_graphic());
        assert!(is_plain && (1..=100).contains(&scope.len()), "{scope:?} is no name of a limit");
        self.scope = Some(scope);
        self
    }

    /// Counts and tells what would be refused, and refuses nothing.
    #[must_use]
    pub fn dry_run(mut self) -> Limit {
        self.dry_run = true;
        self
    }

    /// Counts in this way, in place of the one of `limits.strategy`.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Limit {
        self.strategy = Some(strategy);
        self
    }

    /// The name, or one that its place in the code gives it, which says nothing to clients.
    fn name(&self) -> String {
        let place = || {
            let mut hasher = DefaultHasher::new();
            (self.place.file(), self.place.line(), self.place.column()).hash(&mut hasher);
            format!("route-{:08x}", hasher.finish() >> 32)
        };
        self.scope.clone().unwrap_or_else(place)
    }

    fn counts(&self, method: &Method) -> bool {
        let is_meant =
            |it: &Method| it == method || (*method == Method::HEAD && *it == Method::GET);
        self.methods.is_empty() || self.methods.iter().any(is_meant)
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").field("text", &self.text).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for Limit {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        let limited = Limited { inner, limit: Arc::new(self.clone()), live: Arc::default() };
        // Its counters are there from the start.
        limited.live();
        limited
    }
}

/// A service under a [`Limit`].
#[derive(Clone, Debug)]
pub struct Limited<S> {
    inner: S,
    limit: Arc<Limit>,
    live: Arc<OnceLock<Live>>,
}

/// A limit in a worker.
#[derive(Debug)]
struct Live {
    limiter: Arc<Limiter>,
    met: Vec<Met>,
}

impl<S> Limited<S> {
    fn live(&self) -> Option<&Live> {
        if let Some(live) = self.live.get() {
            return Some(live);
        }
        let limiter = LIMITER.get()?;
        Some(self.live.get_or_init(|| limiter.live(&self.limit)))
    }
}

impl Limiter {
    fn live(self: &Arc<Limiter>, limit: &Limit) -> Live {
        let rates = parse_many(&limit.text).unwrap_or_default();
        let scope = limit.name();
        let strategy = limit.strategy.unwrap_or(self.settings.strategy);
        let dry_run = limit.dry_run || self.settings.dry_run;
        let mut met: Vec<Met> = Vec::new();
        for rate in &rates {
            let policy = policy(strategy, rate).unwrap_or_else(|reason| {
                panic!("the rate limit of {} cannot be counted: {reason}", limit.place)
            });
            if met.iter().any(|it| it.policy.id == policy.id) {
                continue;
            }
            let alone = rates.len() == 1;
            let name = if alone { scope.clone() } else { format!("{scope}-{}", rate.window()) };
            let (name, scope, rate) = (name.into(), format!("code {scope}").into(), *rate);
            let away = self.settings.away;
            let is_wide = false;
            let mut it = Met { policy, rate, name, scope, is_wide, dry_run, away, index: 0 };
            let mut kept = self.keep(&it);
            if !dry_run {
                kept.near = self.near(&kept);
            }
            it.index = self.own_index(&kept);
            met.push(it);
        }
        Live { limiter: Arc::clone(self), met }
    }
}

/// What limits of the application said of a request, in the extensions of its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    pub(super) shown: Vec<Shown>,
    /// What it holds while it is under way.
    pub(crate) held: Vec<Arc<Held>>,
    /// The application's own answer to a refused request.
    pub(crate) body: Option<Bytes>,
}

impl Noted {
    /// Puts the application's own answer into one that has a body of its own. HEAD gets the length alone: HTTP/2 would
    /// send what is there.
    pub(crate) fn put<B>(&mut self, is_head: bool, response: &mut Response<Answer<B>>) {
        let Some(bytes) = self.body.take() else { return };
        *response.body_mut() = match is_head {
            false => Answer::layer(bytes),
            true => {
                response.headers_mut().insert(CONTENT_LENGTH, bytes.len().into());
                Answer::layer(Bytes::new())
            }
        };
    }
}

/// What is to be done when there is an answer.
struct After {
    limiter: Arc<Limiter>,
    hits: Vec<Hit>,
    now: u64,
    deducts: Option<Deducts>,
    noted: Noted,
}

impl Live {
    /// Counts a request, or refuses it.
    fn enter<B: Default>(
        &self,
        limit: &Limit,
        asking: &Asking<'_>,
    ) -> Result<Option<After>, Box<Response<B>>> {
        let limiter = &self.limiter;
        let cost = limit.cost.as_ref().map_or(1, |cost| cost(asking));
        let is_exempt = || limit.exempt.as_ref().is_some_and(|exempt| exempt(asking));
        let on = limiter.settings.enabled && limit.counts(asking.method);
        if !on || cost == 0 || is_exempt() {
            return Ok(None);
        }
        let client = asking.client();
        let context = RequestContext::of(asking.extensions);
        let key = limit.key.as_ref().and_then(|key| key(asking)).filter(|key| !key.is_empty());
        let who = match &key {
            Some(key) => Who::Value(key.as_bytes()),
            None => Who::Address(Address::of(client, limiter.settings.ipv6_prefix)),
        };
        let (limits, now) = (limiter.log.segment().limits(), clock::mono());
        let hit = |met: &Met| {
            let key = limits.key(met.policy.id, met.scope.as_bytes(), who.bytes());
            Hit { policy: met.policy, key, cost }
        };
        let own: Vec<Kept> = {
            let own = limiter.own();
            self.met
                .iter()
                .filter_map(|it| own.get(it.index - limiter.kept.len()).cloned())
                .collect()
        };
        let known = || self.met.iter().zip(&own);
        let tell = |met: &Met, outcome| {
            let context = context.map(RequestContext::context);
            match &key {
                Some(key) => limiter.tell_key(context, met.index, key.clone(), outcome, now),
                None => limiter.tell(context, met.index, &who, outcome, now),
            }
        };
        let enforced: Vec<_> = known().filter(|(met, _)| !met.dry_run).collect();
        let mut hits: Vec<Hit> = enforced.iter().map(|(met, _)| hit(met)).collect();
        let mut verdicts = vec![Verdict::default(); hits.len()];
        if !limits.decide(&hits, now.0, &mut verdicts) {
            let mut refusal = Refusal::default();
            for ((met, kept), verdict) in enforced.iter().zip(&verdicts) {
                refusal.add(kept, verdict);
                if !verdict.admitted {
                    kept.count(Outcome::Denied);
                    tell(met, Outcome::Denied);
                }
            }
            let (method, path) = (asking.method, asking.uri.path());
            let context = context.map(RequestContext::context);
            let (headers, wall) = (asking.headers, clock::wall());
            let asked = Asked { context, client, method, path, headers, now, wall };
            let refused = limiter.refuse(&asked, &refusal);
            return Err(match &limit.answers {
                Some(answers) => answer(limiter, answers, &limit.text, asking, refused),
                None => refused,
            });
        }
        let mut noted = Noted::default();
        for ((met, kept), verdict) in enforced.iter().zip(&verdicts) {
            kept.admitted(verdict);
            noted.shown.push(Shown::of(met.index, verdict));
        }
        for (met, kept) in known().filter(|(met, _)| met.dry_run) {
            let hit = hit(met);
            let is_admitted = limits.decide(&[hit], now.0, &mut [Verdict::default()]);
            let outcome = if is_admitted { Outcome::Allowed } else { Outcome::WouldDeny };
            kept.count(outcome);
            if is_admitted {
                hits.push(hit);
            } else {
                tell(met, outcome);
            }
        }
        let (limiter, deducts) = (Arc::clone(limiter), limit.deducts.clone());
        Ok(Some(After { limiter, hits, now: now.0, deducts, noted }))
    }
}

impl After {
    fn answered<B>(self, response: &mut Response<B>) {
        let After { limiter, hits, now, deducts, mut noted } = self;
        if deducts.is_some_and(|deducts| !deducts(response.status())) {
            let limits = limiter.log.segment().limits();
            hits.iter().for_each(|hit| limits.refund(hit, now));
            let mut verdicts = vec![Verdict::default(); noted.shown.len()];
            limits.peek(&hits[..noted.shown.len()], clock::mono().0, &mut verdicts);
            for (shown, verdict) in noted.shown.iter_mut().zip(&verdicts) {
                *shown = Shown::of(shown.limit as usize, verdict);
            }
        }
        if limiter.settings.fields != Fields::Off && !noted.shown.is_empty() {
            if let Some(others) = response.extensions_mut().remove::<Noted>() {
                noted.shown.extend(others.shown);
                noted.held.extend(others.held);
                noted.body = others.body;
            }
            response.extensions_mut().insert(noted);
        }
    }
}

impl<S, B, R> Service<Request<B>> for Limited<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = LimitedFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let asking = Asking::of(&request);
        let entered = self.live().map(|live| live.enter(&self.limit, &asking));
        match entered.transpose() {
            Ok(after) => {
                let after = after.flatten().map(Box::new);
                LimitedFuture { inner: Inner::Running { future: self.inner.call(request), after } }
            }
            Err(response) => LimitedFuture { inner: Inner::Refused { response: Some(response) } },
        }
    }
}

pin_project! {
    /// The answer of a service under a [`Limit`].
    pub struct LimitedFuture<F, R> {
        #[pin]
        inner: Inner<F, R>,
    }
}

pin_project! {
    #[project = Projection]
    enum Inner<F, R> {
        Running { #[pin] future: F, after: Option<Box<After>> },
        Refused { response: Option<Box<Response<R>>> },
    }
}

impl<F, R> fmt::Debug for LimitedFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitedFuture").finish_non_exhaustive()
    }
}

impl<F, R, E> Future for LimitedFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().inner.project() {
            Projection::Running { future, after } => {
                let mut answered = ready!(future.poll(cx));
                if let (Ok(response), Some(after)) = (&mut answered, after.take()) {
                    after.answered(response);
                }
                Poll::Ready(answered)
            }
            Projection::Refused { response } => {
                let response = response.take().expect("a future is not polled after it is done");
                Poll::Ready(Ok(*response))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Rig;
    use super::*;
    use crate::http::context;
    use crate::metrics::names;
    use crate::panics;

    /// What becomes of a request of 192.0.2.1 at a limit: the status that it is refused with, or else
    /// the `status` that it is answered with, and what is left then.
    fn ask(live: &Live, limit: &Limit, method: &str, key: &str, status: u16) -> (u16, Option<u32>) {
        let context = context::Context::begin(|it| it.client = Some([192, 0, 2, 1].into()));
        let mut request = Request::builder().method(method).uri("/a").header("x-key", key);
        request.extensions_mut().unwrap().insert(RequestContext::new(context));
        let request = request.body(()).unwrap();
        let asking = Asking::of(&request);
        match live.enter::<()>(limit, &asking) {
            Err(refused) => (refused.status().as_u16(), None),
            Ok(after) => {
                let mut response = Response::builder().status(status).body(()).unwrap();
                if let Some(after) = after {
                    after.answered(&mut response);
                }
                let noted = response.extensions().get::<Noted>();
                (status, noted.and_then(|it| it.shown.first()).map(|it| it.remaining))
            }
        }
    }

    #[test]
    fn code_says_who_is_counted_and_how_much() {
        let rig = Rig::new(|_| {});
        let key = |asking: &Asking<'_>| Some(asking.headers()["x-key"].to_str().ok()?.to_owned());
        let cost = |asking: &Asking<'_>| if asking.headers()["x-key"] == "free" { 0 } else { 2 };
        let limit = limit("4/hour").shared("own").key(key).cost(cost).methods(&["GET"]);
        let limit = limit.exempt_when(|asking| asking.headers()["x-key"] == "friend");
        let live = rig.limiter.live(&limit);
        let ask = |method, key| ask(&live, &limit, method, key, 200);
        assert_eq!([ask("GET", "a"), ask("HEAD", "a")], [(200, Some(2)), (200, Some(0))]);
        assert_eq!(ask("GET", "a"), (429, None));
        assert_eq!(ask("POST", "a"), (200, None), "another method");
        assert_eq!(ask("GET", "b"), (200, Some(2)), "another client");
        for uncounted in ["friend", "free"] {
            assert_eq!([ask("GET", uncounted); 3], [(200, None); 3]);
        }
        assert_eq!(ask("GET", ""), (200, Some(2)), "without a key it is the address");
        assert_eq!(rig.lines()[0], "ratelimit 4 per 1 hour (a) exceeded at endpoint: code own");
    }

    #[test]
    fn what_does_not_count_in_the_end_is_given_back() {
        let rig = Rig::new(|_| {});
        let limit = limit("2/hour").deduct_when(|status| status == StatusCode::UNAUTHORIZED);
        let live = rig.limiter.live(&limit);
        let ask = |status| ask(&live, &limit, "GET", "", status);
        assert_eq!([ask(200), ask(200), ask(200)], [(200, Some(2)); 3]);
        assert_eq!([ask(401), ask(200), ask(401)].map(|it| it.1), [Some(1), Some(1), Some(0)]);
        assert_eq!(ask(200), (429, None), "nobody is let in to see how it goes");
    }

    #[test]
    fn limits_of_one_name_are_one_count_and_a_dry_one_refuses_nothing() {
        let rig = Rig::new(|_| {});
        let limits = [limit("1/hour").shared("one"), limit("1/hour").shared("one")];
        let lives = limits.each_ref().map(|it| rig.limiter.live(it));
        assert_eq!(ask(&lives[0], &limits[0], "GET", "", 200).0, 200);
        assert_eq!(ask(&lives[1], &limits[1], "GET", "", 200).0, 429);
        let [here, there] = [limit("1/hour"), limit("1/hour").dry_run()];
        assert_ne!(here.name(), there.name(), "places differ");
        let live = rig.limiter.live(&there);
        assert_eq!([ask(&live, &there, "GET", "", 200); 1], [(200, None)]);
        assert_eq!(ask(&live, &there, "GET", "", 200), (200, None));
        assert!(rig.lines().iter().any(|line| line.contains("would be exceeded")));
    }

    #[test]
    fn a_breach_is_answered_as_the_application_says_and_as_usual_when_that_panics() {
        let rig = Rig::new(|_| {});
        let own = |breach: &Breach<'_>| {
            assert_ne!(breach.asking().headers()["x-key"], "evil", "it panics");
            let text = format!("{} {}", breach.limit(), breach.retry_after());
            let answer = Response::builder().status(402).header("x-ratelimit-limit", "own");
            answer.body(text.into()).unwrap()
        };
        let limit = limit("1/hour").shared("own").on_breach(own);
        let live = rig.limiter.live(&limit);
        let refused = |key: &str| {
            let request = Request::builder().uri("/a").header("x-key", key).body(()).unwrap();
            live.enter::<()>(&limit, &Asking::of(&request)).err()
        };
        assert!(refused("").is_none());
        let answer = refused("").unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (402, &"3600".parse().unwrap())
        );
        assert_eq!(answer.headers().get_all("x-ratelimit-limit").iter().count(), 1);
        assert_eq!(answer.headers()["x-ratelimit-limit"], "own");
        let noted = answer.extensions().get::<Noted>().unwrap();
        assert_eq!(noted.body.as_deref(), Some(&b"1/hour 3600"[..]));
        let usual = refused("evil").unwrap();
        assert_eq!(usual.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(usual.extensions().get::<Noted>().is_none());
        let told = names::event_cell_of("request.panicked").unwrap();
        assert_eq!(rig.segment.slot(0).unwrap().counter(told), 1);
    }

    #[test]
    fn a_limit_that_is_none_is_told_where_it_was_written() {
        let panic = panics::caught(|| drop(limit("5/min"))).unwrap_err().to_string();
        assert!(panic.contains("\"5/min\" of ") && panic.contains("route.rs:"), "{panic}");
    }
}

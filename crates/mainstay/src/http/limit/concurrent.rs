//! Limits of how many requests of a client may be under way at once: of the configuration, and as a layer of
//! the application's code. A request is under way until its answer has been handed over, or nobody wants it.

use super::fields::{self, Item};
use super::refusal::{Quota, retry_later};
use super::route::{Asking, Noted, limiter};
use super::{Kept, Limiter, Outcome};
use crate::clock::{self, Mono};
use crate::http::context::{self, RequestContext};
use crate::http::record::Reason;
use crate::limits::jails::Why;
use crate::limits::table::AT_ONCE;
use crate::limits::who::{Address, Who};
use crate::log::Log;
use http::{Request, Response, StatusCode};
use mainstay_os::segment::{Entry, Holder, MAX_PERMITS, Permit};
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

/// In which time breaches of a client are told together, seconds.
const TOLD_TOGETHER: u64 = 60;

/// A limit of this kind, in a worker.
#[derive(Debug)]
pub(super) struct AtOnce {
    kept: Kept,
    /// For what is told of it.
    index: usize,
    dry_run: bool,
}

/// A request that is under way; no longer when it is dropped.
pub(crate) struct Held {
    log: Log,
    permit: Permit,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("permit", &self.permit).finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let segment = self.log.segment();
        segment.limits().give_back(&self.permit, &|holder| segment.lives(holder));
    }
}

/// Who asks, for what is told.
#[derive(Clone, Copy)]
pub(super) struct Asks<'a> {
    pub(super) who: Who<'a>,
    pub(super) client: Option<IpAddr>,
    pub(super) context: Option<&'a context::Context>,
    pub(super) now: Mono,
    /// The name that the log has for it, in place of that of `who`.
    shown: Option<&'a str>,
}

impl Limiter {
    /// The limit of the configuration, if there is one.
    pub(super) fn at_once_of_settings(&mut self) {
        let most = self.settings.concurrency;
        if most > 0 {
            let (index, dry_run) = (self.kept.len(), self.settings.dry_run);
            let kept = self.keep_at_once(AT_ONCE, "all paths", most);
            self.kept.push(kept.clone());
            self.at_once = Some(AtOnce { kept, index, dry_run });
        }
    }

    fn keep_at_once(&self, name: &str, scope: &str, most: u64) -> Kept {
        Kept {
            name: name.into(),
            text: format!("{most} at once"),
            scope: scope.into(),
            amount: most,
            told: most.into(),
            window: TOLD_TOGETHER,
            is_wide: false,
            counted: self
                .log
                .segment()
                .limits()
                .scope(most, format!("at once, {scope}").as_bytes()),
            counts: self.counts(name),
            near: (0, None),
        }
    }

    /// Counts a request as under way, by the limit of the configuration.
    #[inline]
    pub(super) fn hold_by_settings<B: Default>(
        &self,
        who: Who<'_>,
        client: Option<IpAddr>,
        context: Option<&context::Context>,
        now: Mono,
    ) -> Result<Option<Arc<Held>>, Box<Response<B>>> {
        match &self.at_once {
            None => Ok(None),
            Some(limit) => self.hold(limit, &Asks { who, client, context, now, shown: None }),
        }
    }

    /// Counts a request as under way, or refuses it.
    fn hold<B: Default>(
        &self,
        limit: &AtOnce,
        asks: &Asks<'_>,
    ) -> Result<Option<Arc<Held>>, Box<Response<B>>> {
        let (segment, slot) = (self.log.segment(), self.log.slot_index());
        let limits = segment.limits();
        let key = limit.kept.counted.key(limits.subject(asks.who.bytes()));
        // Two of its holders are told apart as long as the slot is not handed out four billion times.
        let holder = Holder { slot, epoch: self.log.slot().epoch() as u32 };
        let lives = |holder| segment.lives(holder);
        match limits.permit(key, limit.kept.amount, holder, asks.now.0, &lives) {
            Entry::Admitted(permit) => {
                limit.kept.count(Outcome::Allowed);
                Ok(Some(Arc::new(Held { log: self.log.clone(), permit })))
            }
            Entry::Uncounted => {
                limit.kept.count(Outcome::Allowed);
                Ok(None)
            }
            Entry::Refused => {
                let outcome = if limit.dry_run { Outcome::WouldDeny } else { Outcome::Denied };
                limit.kept.count(outcome);
                let shown = asks.shown.map_or_else(|| asks.who.shown(&limits), str::to_owned);
                self.tell_key(asks.context, limit.index, shown, outcome, asks.now);
                if limit.dry_run { Ok(None) } else { Err(self.refuse_at_once(limit, asks)) }
            }
        }
    }

    #[cold]
    fn refuse_at_once<B: Default>(&self, limit: &AtOnce, asks: &Asks<'_>) -> Box<Response<B>> {
        self.warden.note(Why::Limits, asks.client, asks.context, asks.now);
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        // When another will have ended nobody knows.
        let (wait, headers) = (1, response.headers_mut());
        let (name, amount, window) = (&*limit.kept.name, limit.kept.amount, limit.kept.window);
        let item = Item { name, amount, window, remaining: 0, reset: wait };
        fields::at_once(headers, self.settings.fields, &item, wait);
        retry_later(headers, wait);
        let message =
            "There were too many requests at once. Please try again in a moment.".to_owned();
        let violated = vec![limit.kept.name.clone()];
        response.extensions_mut().insert(Quota { message, violated });
        response.extensions_mut().insert(Reason("rate_limited"));
        Box::new(response)
    }
}

/// How many requests of a client may be under way at once on some routes, to be used as a layer; made by
/// [`concurrent`]. It counts over all workers; what a worker held that was killed is free as soon as the
/// supervisor knows of its death.
///
/// ```
/// # use ::axum::{Router, routing::get};
/// # fn router() -> Router {
/// Router::new().route("/report", get(|| async {}).layer(mainstay::concurrent(4).shared("reports")))
/// # }
/// ```
///
/// One layer is one count of each client, over all routes that it lies on. Outside of a service, as in tests of
/// the application's own, it lets everything pass.
#[derive(Clone)]
pub struct Concurrent {
    most: u64,
    /// Where it was made: what tells it apart while it has no name.
    place: &'static Location<'static>,
    scope: Option<String>,
    dry_run: bool,
    key: Option<Look>,
}

type Look = Arc<dyn Fn(&Asking<'_>) -> Option<String> + Send + Sync>;

/// At most so many requests of a client at once, 1 to 1,024: see [`Concurrent`].
///
/// # Panics
/// When it is none of these numbers.
#[must_use]
#[track_caller]
pub fn concurrent(most: u32) -> Concurrent {
    let most = u64::from(most);
    assert!((1..=MAX_PERMITS).contains(&most), "{most} at once are not 1 to {MAX_PERMITS}");
    Concurrent { most, place: Location::caller(), scope: None, dry_run: false, key: None }
}

impl Concurrent {
    /// Counts by what `key` gives, such as a user, in place of the client's address. `None` and an empty
    /// text are counted by the address. The log shows it: it must be no secret.
    #[must_use]
    pub fn key(
        mut self,
        key: impl Fn(&Asking<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Concurrent {
        self.key = Some(Arc::new(key));
        self
    }

    /// Names it, for clients, log and metrics: visible ASCII. Those of the same name and number are one
    /// count, and it goes on when the code has moved.
    ///
    /// # Panics
    /// When the name is empty, longer than 100 bytes or not visible ASCII.
    #[must_use]
    pub fn shared(mut self, scope: impl Into<String>) -> Concurrent {
        let scope = scope.into();
        let is_plain = scope.bytes().all(|it| it.is_ascii_graphic());
        assert!(is_plain && (1..=100).contains(&scope.len()), "{scope:?} is no name of a limit");
        self.scope = Some(scope);
        self
    }

    /// Counts and tells what would be refused, and refuses nothing.
    #[must_use]
    pub fn dry_run(mut self) -> Concurrent {
        self.dry_run = true;
        self
    }

    /// The name, or one that its place in the code gives it.
    fn name(&self) -> String {
        let place = || {
            let mut hasher = DefaultHasher::new();
            (self.place.file(), self.place.line(), self.place.column()).hash(&mut hasher);
            format!("concurrent-{:08x}", hasher.finish() >> 32)
        };
        self.scope.clone().unwrap_or_else(place)
    }
}

impl fmt::Debug for Concurrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Concurrent").field("most", &self.most).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for Concurrent {
    type Service = ConcurrentService<S>;

    fn layer(&self, inner: S) -> ConcurrentService<S> {
        let live = Arc::default();
        let service = ConcurrentService { inner, limit: Arc::new(self.clone()), live };
        // Its counters are there from the start.
        service.live();
        service
    }
}

/// A service under a [`Concurrent`].
#[derive(Clone, Debug)]
pub struct ConcurrentService<S> {
    inner: S,
    limit: Arc<Concurrent>,
    live: Arc<OnceLock<Live>>,
}

/// A limit of the application's in a worker.
#[derive(Debug)]
struct Live {
    limiter: Arc<Limiter>,
    at_once: AtOnce,
}

impl Live {
    fn of(limiter: &Arc<Limiter>, limit: &Concurrent) -> Live {
        let name = limit.name();
        let kept = limiter.keep_at_once(&name, &format!("code {name}"), limit.most);
        let dry_run = limit.dry_run || limiter.settings.dry_run;
        let index = limiter.own_index(&kept);
        Live { limiter: Arc::clone(limiter), at_once: AtOnce { kept, index, dry_run } }
    }

    fn enter<B: Default>(
        &self,
        limit: &Concurrent,
        asking: &Asking<'_>,
    ) -> Result<Option<Arc<Held>>, Box<Response<B>>> {
        if !self.limiter.settings.enabled {
            return Ok(None);
        }
        let key = limit.key.as_ref().and_then(|key| key(asking)).filter(|key| !key.is_empty());
        let client = asking.client();
        let who = match &key {
            Some(key) => Who::Value(key.as_bytes()),
            None => Who::Address(Address::of(client, self.limiter.settings.ipv6_prefix)),
        };
        let context = RequestContext::of(asking.extensions()).map(RequestContext::context);
        let (now, shown) = (clock::mono(), key.as_deref());
        self.limiter.hold(&self.at_once, &Asks { who, client, context, now, shown })
    }
}

impl<S> ConcurrentService<S> {
    fn live(&self) -> Option<&Live> {
        if let Some(live) = self.live.get() {
            return Some(live);
        }
        let limiter = limiter()?;
        Some(self.live.get_or_init(|| Live::of(limiter, &self.limit)))
    }
}

impl<S, B, R> Service<Request<B>> for ConcurrentService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ConcurrentFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let entered = self.live().map(|live| live.enter(&self.limit, &Asking::of(&request)));
        let inner = match entered.transpose() {
            Ok(held) => Inner::Running { future: self.inner.call(request), held: held.flatten() },
            Err(response) => Inner::Refused { response: Some(response) },
        };
        ConcurrentFuture { inner }
    }
}

pin_project! {
    /// The answer of a service under a [`Concurrent`].
    pub struct ConcurrentFuture<F, R> {
        #[pin]
        inner: Inner<F, R>,
    }
}

pin_project! {
    #[project = Projection]
    enum Inner<F, R> {
        Running { #[pin] future: F, held: Option<Arc<Held>> },
        Refused { response: Option<Box<Response<R>>> },
    }
}

impl<F, R> fmt::Debug for ConcurrentFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrentFuture").finish_non_exhaustive()
    }
}

impl<F, R, E> Future for ConcurrentFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().inner.project() {
            Projection::Running { future, held } => {
                let mut answered = ready!(future.poll(cx));
                // Its body is still to come: it is held for as long as the request is.
                if let (Ok(response), Some(held)) = (&mut answered, held.take()) {
                    let noted = response.extensions_mut().get_or_insert_default::<Noted>();
                    noted.held.push(held);
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

    fn ask(live: &Live, limit: &Concurrent, key: &str) -> Result<Option<Arc<Held>>, u16> {
        let context = context::Context::begin(|it| it.client = Some([192, 0, 2, 1].into()));
        let mut request = Request::builder().uri("/a").header("x-key", key).body(()).unwrap();
        request.extensions_mut().insert(RequestContext::new(context));
        let entered = live.enter::<()>(limit, &Asking::of(&request));
        entered.map_err(|response| response.status().as_u16())
    }

    #[test]
    fn a_client_has_so_many_requests_under_way_and_the_next_when_one_has_ended() {
        let rig = Rig::new(|_| {});
        rig.segment.slot(0).unwrap().hand_out(1, 1, 0);
        let key = |asking: &Asking<'_>| Some(asking.headers()["x-key"].to_str().ok()?.to_owned());
        let limit = concurrent(2).shared("two").key(key);
        let live = Live::of(&rig.limiter, &limit);
        let first = ask(&live, &limit, "a").unwrap();
        let second = ask(&live, &limit, "a").unwrap();
        assert_eq!(ask(&live, &limit, "a").unwrap_err(), 429);
        assert!(ask(&live, &limit, "b").unwrap().is_some(), "another client");
        drop(first);
        let third = ask(&live, &limit, "a").unwrap();
        assert_eq!(ask(&live, &limit, "a").unwrap_err(), 429);
        drop((second, third));
        assert_eq!(rig.lines()[0], "ratelimit 2 at once (a) exceeded at endpoint: code two");
    }

    #[test]
    fn who_counts_by_the_slot_of_a_worker_that_is_gone_counts_for_nothing() {
        let rig = Rig::new(|_| {});
        let slot = rig.segment.slot(0).unwrap();
        slot.hand_out(1, 1, 0);
        let limit = concurrent(1);
        let live = Live::of(&rig.limiter, &limit);
        let held = ask(&live, &limit, "").unwrap();
        assert_eq!(ask(&live, &limit, "").unwrap_err(), 429);
        slot.take_back();
        slot.hand_out(2, 2, 0);
        let next = ask(&live, &limit, "").unwrap();
        assert_eq!(ask(&live, &limit, "").unwrap_err(), 429);
        drop(held);
        assert_eq!(ask(&live, &limit, "").unwrap_err(), 429, "what was gone gives nothing back");
        drop(next);
        assert!(ask(&live, &limit, "").unwrap().is_some());
    }

    #[test]
    fn a_dry_one_tells_and_a_service_without_limits_counts_nothing() {
        let rig = Rig::new(|_| {});
        rig.segment.slot(0).unwrap().hand_out(1, 1, 0);
        let limit = concurrent(1).dry_run();
        let live = Live::of(&rig.limiter, &limit);
        let held = ask(&live, &limit, "").unwrap();
        assert!(ask(&live, &limit, "").unwrap().is_none());
        assert!(rig.lines()[0].contains("would be exceeded"));
        drop(held);
        let rig = Rig::new(|it| it.enabled = false);
        let limit = concurrent(1);
        let live = Live::of(&rig.limiter, &limit);
        assert!((0..3).all(|_| ask(&live, &limit, "").unwrap().is_none()));
    }
}

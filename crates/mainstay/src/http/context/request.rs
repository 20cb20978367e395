//! The context of a request as the application holds it.

use super::current;
use super::{Context, LoginSaid, Outgoing, RequestId, Scheme, TraceContext};
use http::Extensions;
use pin_project_lite::pin_project;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

/// What is known of a request, in its extensions. Cloning is cheap.
///
/// Log records that are made while a request is handled carry its id, trace, client and path by
/// themselves. Work that is handed to another task or thread takes them along:
///
/// ```
/// # use mainstay::RequestContext;
/// # async fn send_mail() {}
/// # fn spawn(future: impl Future) {}
/// # fn handler(context: RequestContext) {
/// spawn(context.scope(send_mail()));
/// # }
/// ```
#[derive(Clone)]
pub struct RequestContext(Arc<Context>);

impl RequestContext {
    pub(crate) fn new(context: Arc<Context>) -> RequestContext {
        RequestContext(context)
    }

    /// What it stands for.
    #[cfg(all(feature = "database", feature = "axum"))]
    pub(crate) fn into_inner(self) -> Arc<Context> {
        self.0
    }

    #[inline]
    pub(crate) fn context(&self) -> &Context {
        &self.0
    }

    /// The context of the request with these extensions; none if it is not served by mainstay.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&RequestContext> {
        extensions.get()
    }

    /// The context of the request that is being handled on this thread.
    #[must_use]
    pub fn current() -> Option<RequestContext> {
        current::current().map(RequestContext)
    }

    /// The client's address; none for a UNIX socket whose client is not reported by a trusted proxy.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.0.client
    }

    /// The other end of the connection; none for a UNIX socket.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.0.id
    }

    /// The request's place in its trace.
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        self.0.trace
    }

    /// The trace as a request to another service carries it on: in the current span of `tracing` if that
    /// belongs to this request and traces are recorded, else in the request's own span.
    ///
    /// ```
    /// # use mainstay::RequestContext;
    /// # fn handler(context: RequestContext) {
    /// let mut request = http::Request::get("http://stock/items/7").body(()).unwrap();
    /// context.outgoing().put(request.headers_mut());
    /// # }
    /// ```
    #[must_use]
    pub fn outgoing(&self) -> Outgoing {
        Outgoing::of(&self.0)
    }

    /// How the client reached the service.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// The host that the client asked for, with its port if one was named.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        Some(self.0.host.as_str()).filter(|host| !host.is_empty())
    }

    /// The path under which a trusted proxy serves the application; empty for none.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// The path as received, without its query; of a path that holds a one-time token of the login kit,
    /// as logs may show it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The pattern that the path met, such as `/orders/{id}`, once it was set.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.0.route.get().map(AsRef::as_ref)
    }

    /// Names the pattern that the path met, for logs and metrics. The first name stands. Its values
    /// must be few: the application's routes, never anything that a client sent.
    pub fn set_route(&self, route: impl Into<Box<str>>) {
        // A second name is no fault: layers may be nested.
        self.0.route.set(route.into()).ok();
    }

    /// Says that this request is a login of `user` that failed, whatever its answer and its path are: it is told as
    /// `authn_login_fail` and counted, also by `bans.logins`. An empty name is not told. A name stands in
    /// the log as it is given, and people type passwords where names belong: give one only if it is some user's.
    /// What is said first stands. Not for logins of the login kit, which tells of them.
    ///
    /// ```
    /// # use mainstay::RequestContext;
    /// # fn handler(context: RequestContext) {
    /// context.login_failed("alice");
    /// # }
    /// ```
    pub fn login_failed(&self, user: &str) {
        self.0.login.set(LoginSaid::Failed(user.into())).ok();
    }

    /// Says that this request is a login of `user` that succeeded: it is told as `authn_login_success`, or as
    /// `authn_login_successafterfail` when some of the same client or user had failed.
    pub fn login_succeeded(&self, user: &str) {
        self.0.login.set(LoginSaid::Succeeded(user.into())).ok();
    }

    /// Makes `future` part of the request, wherever it is polled: its log records carry the request's
    /// id, trace and client.
    pub fn scope<F: Future>(self, future: F) -> InRequest<F> {
        InRequest { future, context: Some(self.0) }
    }

    /// Runs `work` on this thread as part of the request: for threads of the application's own.
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        current::within(&mut Some(Arc::clone(&self.0)), work)
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext").field("id", &self.0.id).finish_non_exhaustive()
    }
}

pin_project! {
    /// A future that is part of a request; made by [`RequestContext::scope`].
    pub struct InRequest<F> {
        #[pin]
        future: F,
        context: Option<Arc<Context>>,
    }
}

impl<F> fmt::Debug for InRequest<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InRequest").finish_non_exhaustive()
    }
}

impl<F: Future> Future for InRequest<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        current::within(this.context, || this.future.poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::Waker;

    #[test]
    fn a_scoped_future_is_part_of_its_request_at_each_poll_and_nothing_else_is() {
        let id = RequestId::accept(b"one").unwrap();
        let context = RequestContext::new(Context::begin(|context| context.id = id));
        let mut polls = 0;
        let mut future = pin!(context.clone().scope(std::future::poll_fn(|_| {
            polls += 1;
            assert_eq!(RequestContext::current().unwrap().id().as_str(), "one");
            if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        })));
        let mut cx = task::Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_pending());
        assert!(RequestContext::current().is_none());
        assert!(future.as_mut().poll(&mut cx).is_ready());
        let seen = std::thread::spawn(move || context.in_scope(RequestContext::current));
        assert_eq!(seen.join().unwrap().unwrap().id().as_str(), "one");
        assert!(RequestContext::current().is_none());
    }

    #[test]
    fn the_first_route_that_is_named_stands() {
        let context = RequestContext::new(Context::begin(|_| {}));
        assert_eq!(context.route(), None);
        context.set_route("/orders/{id}");
        context.set_route("/other");
        assert_eq!(context.route(), Some("/orders/{id}"));
    }
}

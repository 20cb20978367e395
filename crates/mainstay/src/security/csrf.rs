//! Requests that pages of other origins send: those that would change something are refused. Judged by
//! `Sec-Fetch-Site`, or, of browsers that say nothing of it, by `Origin`; the judgement is tower-http's.
//! What mainstay adds is the host that the client asked for, which trusted proxies report.

use super::Login;
use crate::Failure;
use crate::event::Event;
use crate::http::body::BoxError;
use crate::http::context::RequestContext;
use futures_util::FutureExt;
use http::header::{HOST, ORIGIN};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_http::csrf::{Csrf as Rules, CsrfLayer, ProtectionError, ProtectionErrorKind};
use tower_layer::Layer;
use tower_service::Service;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Longest text of a header that is told, characters.
const TOLD: usize = 200;

/// What stands behind the rules: everything that they let pass.
#[derive(Clone)]
struct Pass;

impl Service<Request<()>> for Pass {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}

/// The rules, with the origins that are trusted.
pub(super) struct Judge(Rules<Pass>);

impl Judge {
    /// # Errors
    /// When one is no origin.
    pub(super) fn new(origins: &[String]) -> Result<Judge, BoxError> {
        let mut layer = CsrfLayer::new();
        for origin in origins {
            layer = layer.add_trusted_origin(origin)?;
        }
        Ok(Judge(layer.layer(Pass)))
    }

    /// Why a request is refused, if it is. `host` is the one that the client asked for, where that is
    /// known.
    fn refuses<B>(&self, request: &Request<B>, host: Option<&HeaderValue>) -> Option<&'static str> {
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        let headers = request.headers();
        for name in [ORIGIN, SITE] {
            if let Some(value) = headers.get(&name) {
                head.headers_mut().insert(name, value.clone());
            }
        }
        match host {
            Some(host) => {
                head.headers_mut().insert(HOST, host.clone());
            }
            None => {
                head.headers_mut().extend(headers.get(HOST).cloned().map(|host| (HOST, host)));
                if request.uri().authority().is_some() {
                    *head.uri_mut() = Uri::clone(request.uri());
                }
            }
        }
        // It waits for nothing.
        let Ok(answer) = self.0.clone().call(head).now_or_never()?;
        let error = answer.extensions().get::<ProtectionError>()?;
        Some(match error.kind() {
            ProtectionErrorKind::CrossOriginRequest => "sec-fetch-site",
            _ => "origin",
        })
    }
}

impl Login {
    /// A layer that refuses requests of pages of other origins with 403, unless their method changes
    /// nothing (GET, HEAD, OPTIONS): `Router::layer(login.csrf())`, over all that sessions are used for.
    /// The service's own origin is the one of the host that the client asked for;
    /// [`Settings::trusted_origin`](super::Settings::trusted_origin) adds others.
    ///
    /// It also notes the session that a request comes with, so that it ends when somebody signs in by
    /// it.
    #[must_use]
    pub fn csrf(&self) -> Csrf {
        Csrf { login: self.clone() }
    }

    /// Whether a request is refused, which the log is told.
    fn refuses<B>(&self, request: &Request<B>) -> bool {
        let context = RequestContext::of(request.extensions());
        if let Some(context) = context {
            Login::note_session(request.headers(), context);
        }
        let host = context.and_then(|context| HeaderValue::from_str(context.host()?).ok());
        let Some(why) = self.inner.judge.refuses(request, host.as_ref()) else { return false };
        let text = |value: Option<&HeaderValue>| match value {
            Some(value) => String::from_utf8_lossy(value.as_bytes()).chars().take(TOLD).collect(),
            None => "-".to_owned(),
        };
        let client = context.and_then(RequestContext::client);
        let event = Event::MaliciousCsrf {
            client: client.map_or_else(|| "-".to_owned(), |client| client.to_string()),
            origin: text(request.headers().get(ORIGIN)),
            host: text(host.as_ref().or_else(|| request.headers().get(HOST))),
            why,
        };
        self.tell(context, "", &event);
        true
    }
}

/// Made by [`Login::csrf`].
#[derive(Clone, Debug)]
pub struct Csrf {
    login: Login,
}

impl<S> Layer<S> for Csrf {
    type Service = CsrfService<S>;

    fn layer(&self, inner: S) -> CsrfService<S> {
        CsrfService { login: self.login.clone(), inner }
    }
}

/// A service behind [`Login::csrf`].
#[derive(Clone)]
pub struct CsrfService<S> {
    login: Login,
    inner: S,
}

impl<S> fmt::Debug for CsrfService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsrfService").finish_non_exhaustive()
    }
}

impl<S, A, B> Service<Request<A>> for CsrfService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: Default,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = CsrfFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        if self.login.refuses(&request) {
            let words = "This request came from a page of another site.";
            let refused = Some(Failure::new(StatusCode::FORBIDDEN, words).into_answer());
            return CsrfFuture { inner: None, refused };
        }
        CsrfFuture { inner: Some(self.inner.call(request)), refused: None }
    }
}

pin_project! {
    /// The answer of a service behind [`Login::csrf`], or a refusal.
    pub struct CsrfFuture<F, B> {
        #[pin]
        inner: Option<F>,
        refused: Option<Response<B>>,
    }
}

impl<F, B> fmt::Debug for CsrfFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsrfFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for CsrfFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match (this.inner.as_pin_mut(), this.refused.take()) {
            (Some(inner), _) => inner.poll(cx),
            (None, Some(refused)) => Poll::Ready(Ok(refused)),
            // Polled again after its end.
            (None, None) => Poll::Pending,
        }
    }
}

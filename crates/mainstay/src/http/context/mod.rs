//! What is known of a request besides its head: who sent it, under which id, in which trace. Made once
//! for each request, and found by the application in the request's extensions and by the log in
//! [`current`].

mod crumbs;
pub(crate) mod current;
mod exemplar;
#[cfg(feature = "axum")]
mod extract;
mod facts;
pub(crate) mod id;
mod outgoing;
mod request;
pub(crate) mod spans;

pub(crate) use crumbs::Crumb;
#[cfg(feature = "axum")]
pub use extract::NotKnown;
pub use facts::{ClientAddr, PeerAddr, RequestHost, Scheme, TraceContext};
pub use id::RequestId;
pub use outgoing::Outgoing;
pub use request::{InRequest, RequestContext};

use super::ending::Pendings;
use crate::telemetry::Spans;
use crumbs::Crumbs;
use http::header::HeaderMap;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Contexts that a thread keeps for its next requests.
const KEPT: usize = 64;
/// Query and header fields that are kept for reports of errors, bytes.
const HEAD: usize = 8_192;
/// Longest text, bytes, whose memory is kept with them.
const KEPT_TEXT: usize = 1_024;

thread_local! {
    static POOL: RefCell<Vec<Arc<Context>>> = const { RefCell::new(Vec::new()) };
}

/// What is known of one request. Its texts are as received, and may have been cut.
#[derive(Debug)]
pub(crate) struct Context {
    /// None for a UNIX socket whose client said nothing.
    pub(crate) client: Option<IpAddr>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) id: RequestId,
    pub(crate) trace: TraceContext,
    /// What vendors keep with the trace: a valid `tracestate`, or nothing.
    pub(crate) state: String,
    /// Its spans, where traces are recorded.
    pub(crate) spans: Option<Arc<Spans>>,
    pub(crate) scheme: Scheme,
    /// Empty when the client named none.
    pub(crate) host: String,
    /// Path under which a proxy serves the application; empty for none.
    pub(crate) prefix: String,
    pub(crate) method: String,
    /// Without the query, which logs do not tell.
    pub(crate) path: String,
    /// What the client accepts, as one list; empty when it did not say.
    pub(crate) accept: String,
    /// The pattern that the path met, once somebody has said it.
    pub(crate) route: OnceLock<Box<str>>,
    /// Statements of databases that the request ran, and how often each.
    queries: Mutex<Vec<(u64, u32)>>,
    /// What has to be ended with the answer.
    pub(crate) pendings: Pendings,
    /// For reports of errors, where those are made: the query, then a line for each header field.
    head: String,
    crumbs: Mutex<Crumbs>,
    /// What somebody has said of the login that it is.
    pub(crate) login: OnceLock<LoginSaid>,
    /// The hash of the id of the session that it came with, once somebody has looked.
    #[cfg(feature = "login")]
    pub(crate) session: OnceLock<Box<str>>,
}

/// What became of a login, as somebody says who knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoginSaid {
    /// The login kit, which tells and counts it by itself.
    #[cfg_attr(not(feature = "login"), allow(dead_code, reason = "there is none"))]
    Kit,
    /// It failed; of this user.
    Failed(Box<str>),
    Succeeded(Box<str>),
}

impl Context {
    fn empty() -> Context {
        Context {
            client: None,
            peer: None,
            id: RequestId::NONE,
            trace: TraceContext::NONE,
            state: String::new(),
            spans: None,
            scheme: Scheme::Http,
            host: String::new(),
            prefix: String::new(),
            method: String::new(),
            path: String::new(),
            accept: String::new(),
            route: OnceLock::new(),
            queries: Mutex::default(),
            pendings: Pendings::default(),
            head: String::new(),
            crumbs: Mutex::default(),
            login: OnceLock::new(),
            #[cfg(feature = "login")]
            session: OnceLock::new(),
        }
    }

    /// Counts a statement by its number, and gives how often it was run.
    #[cfg(feature = "database")]
    pub(crate) fn count_query(&self, number: u64) -> u32 {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        match queries.iter_mut().find(|(known, _)| *known == number) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                queries.push((number, 1));
                1
            }
        }
    }

    /// Keeps what a report of an error tells of the head, as it came.
    pub(crate) fn keep_head(&mut self, query: Option<&str>, headers: &HeaderMap) {
        self.head.push_str(query.unwrap_or_default());
        for (name, value) in headers {
            let Ok(value) = value.to_str() else { continue };
            if self.head.len() + name.as_str().len() + value.len() + 3 > HEAD {
                break;
            }
            self.head.extend(["\n", name.as_str(), ": ", value]);
        }
    }

    /// The query and the header fields, if they were kept. Neither holds the end of a line.
    pub(crate) fn head(&self) -> (&str, impl Iterator<Item = (&str, &str)>) {
        let mut lines = self.head.split('\n');
        let query = lines.next().unwrap_or_default();
        (query, lines.filter_map(|line| line.split_once(": ")))
    }

    /// Remembers what happened, for the report of an error.
    pub(crate) fn drop_crumb(&self, crumb: Crumb) {
        self.crumbs.lock().unwrap_or_else(PoisonError::into_inner).add(crumb);
    }

    /// What happened last.
    pub(crate) fn crumbs(&self) -> Vec<Crumb> {
        self.crumbs.lock().unwrap_or_else(PoisonError::into_inner).copy()
    }

    /// A context that `fill` has filled in. It begins empty, with the memory of an earlier one.
    #[inline]
    pub(crate) fn begin(fill: impl FnOnce(&mut Context)) -> Arc<Context> {
        let pooled = POOL.try_with(|pool| pool.try_borrow_mut().ok()?.pop());
        let pooled = pooled.ok().flatten();
        let mut context = pooled.unwrap_or_else(|| Arc::new(Context::empty()));
        if let Some(context) = Arc::get_mut(&mut context) {
            fill(context);
        }
        context
    }

    /// Takes the context of a request that has ended back, if nobody else holds it.
    #[inline]
    pub(crate) fn retire(mut context: Arc<Context>) {
        let Some(used) = Arc::get_mut(&mut context) else { return };
        used.clear();
        let keep = |pool: &RefCell<Vec<Arc<Context>>>| match pool.try_borrow_mut() {
            Ok(mut pool) if pool.len() < KEPT => pool.push(context),
            _ => {}
        };
        // A thread that ends keeps nothing.
        POOL.try_with(keep).ok();
    }

    fn clear(&mut self) {
        self.client = None;
        self.peer = None;
        self.id = RequestId::NONE;
        self.trace = TraceContext::NONE;
        self.scheme = Scheme::Http;
        self.spans = None;
        let Context { state, host, prefix, method, path, accept, head, .. } = self;
        for text in [state, host, prefix, method, path, accept, head] {
            text.clear();
            if text.capacity() > KEPT_TEXT {
                text.shrink_to(KEPT_TEXT);
            }
        }
        self.route.take();
        self.queries.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        self.pendings.clear();
        self.login.take();
        self.crumbs.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        #[cfg(feature = "login")]
        self.session.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_request_is_in_the_next_ones_context() {
        let id = RequestId::accept(b"first").unwrap();
        let first = Context::begin(|context| {
            context.client = Some([192, 0, 2, 1].into());
            context.id = id;
            context.trace = TraceContext::begin();
            context.scheme = Scheme::Https;
            context.path.push_str("/secret");
            context.host.push_str("example.org");
            let headers = [("cookie".parse().unwrap(), "a=hunter2".parse().unwrap())];
            context.keep_head(Some("a=b"), &HeaderMap::from_iter(headers));
        });
        assert_eq!(first.head().0, "a=b");
        assert_eq!(first.head().1.collect::<Vec<_>>(), [("cookie", "a=hunter2")]);
        first.drop_crumb(Crumb::new(0, "info", "shop", "hunter2", &[]));
        first.route.set("/{name}".into()).unwrap();
        let address = Arc::as_ptr(&first);
        Context::retire(first);
        let second = Context::begin(|_| {});
        assert_eq!(Arc::as_ptr(&second), address, "its memory is used again");
        assert_eq!(format!("{second:?}"), format!("{:?}", Context::empty()));
    }

    #[test]
    fn a_context_that_somebody_holds_is_not_used_again() {
        let first = Context::begin(|context| context.path.push_str("/held"));
        let held = Arc::clone(&first);
        Context::retire(first);
        let second = Context::begin(|_| {});
        assert!(!Arc::ptr_eq(&held, &second) && held.path == "/held");
    }
}

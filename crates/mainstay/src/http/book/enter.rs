//! The beginning of a request: what its head and its connection say, written into its page and its entry.

use super::Recorder;
use crate::event::Event;
use crate::http::Body;
use crate::http::client::{self, Origin};
use crate::http::context::{Context, RequestContext, RequestId, Scheme, TraceContext};
use crate::http::page::{NO_ENTRY, Page, Refusal, Remains};
#[cfg(feature = "login")]
use crate::http::secrets;
use crate::http::seen::Seen;
use crate::http::traceparent;
use crate::http::waited;
use crate::http::watched::Watched;
use crate::log::RecordContext;
use crate::log::access::{self, AccessFormat, Facts, Protocol};
use crate::log::levels::CHAINS;
use crate::metrics::names;
use http::header::{HeaderMap, HeaderValue};
use http::{Request, Version};
use mainstay_os::segment::Started;
use std::net::IpAddr;
use std::sync::Arc;

/// What was found out about a request at its beginning.
struct Known<'a> {
    origin: &'a Origin,
    target: &'a str,
    host: &'a str,
    id: &'a RequestId,
    trace: &'a TraceContext,
    number: u64,
    wall: u64,
    agent: Option<&'a [u8]>,
    referrer: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
}

/// A target as logs may show it.
#[cold]
fn shown(target: Vec<u8>) -> Vec<u8> {
    #[cfg(feature = "login")]
    if let std::borrow::Cow::Owned(hidden) = secrets::hidden_bytes(&target) {
        return hidden;
    }
    target
}

impl Recorder {
    /// The request's id and its place in a trace.
    #[inline(always)]
    fn names(&self, seen: &Seen<'_>, conn: &Watched, wall: u64) -> (RequestId, TraceContext) {
        // The name that a stranger gives itself is looked at only if it is one of ours.
        let id = seen.id.filter(|_| client::trusts(&self.book.trust, conn.peer()));
        let id = id.and_then(|id| RequestId::accept(id.as_bytes()));
        let id = id.unwrap_or_else(|| RequestId::new(wall));
        let trace = seen.trace.filter(|_| !self.book.ignores_trace);
        let trace = trace.and_then(|it| traceparent::parse(it.as_bytes()));
        let trace = trace.map_or_else(TraceContext::begin, |trace| {
            TraceContext::within(trace.trace, trace.parent, trace.flags)
        });
        (id, trace)
    }

    /// Who sent it.
    #[inline(always)]
    fn origin(&self, seen: &Seen<'_>, conn: &Watched, headers: &HeaderMap) -> Origin {
        if seen.forwarded {
            client::resolve(&self.book.trust, conn.peer(), headers)
        } else {
            Origin::of(conn.peer())
        }
    }

    /// How long it waited before it came here, as a proxy says that is trusted.
    fn waited(&self, since: &HeaderValue, conn: &Watched, wall: u64) -> Option<u64> {
        let trusted = client::trusts(&self.book.trust, conn.peer());
        trusted.then(|| waited::read(since.as_bytes(), wall)).flatten()
    }

    /// Writes what is known of a request into its page and its entry.
    #[inline]
    pub(super) fn enter(
        &self,
        page: &mut Page,
        conn: &Watched,
        request: &mut Request<Body>,
        number: u64,
    ) {
        let wall = self.wall(page.started);
        page.protocol = protocol(request.version());
        let headers = request.headers();
        let seen = Seen::of(headers);
        let origin = self.origin(&seen, conn, headers);
        let (id, mut trace) = self.names(&seen, conn, wall);
        page.waited = seen.since.and_then(|since| self.waited(since, conn, wall));
        if let Some(refused) = origin.refused {
            self.refuse_forwarded(conn, refused, number);
        }
        let uri = request.uri();
        let path = uri.path();
        let target = uri.path_and_query().map_or(path, |target| target.as_str());
        #[cfg(feature = "login")]
        let (shown_path, shown_target) = (secrets::hidden(path), secrets::hidden(target));
        #[cfg(feature = "login")]
        let (path, target) = (&*shown_path, &*shown_target);
        let host = origin.host.as_deref().or_else(|| uri.authority().map(|it| it.as_str()));
        let host = host.or_else(|| seen.host?.to_str().ok()).unwrap_or_default();
        let method = request.method().as_str();
        page.quiet = self.is_quiet(path);
        let tracing = self.log.tracing().filter(|_| !page.quiet);
        let (state, spans) = self.carry(tracing, &mut trace, &seen, target, request.version());
        let context = Context::begin(|context| {
            context.client = origin.client;
            context.peer = conn.peer();
            context.id = id;
            context.trace = trace;
            context.state = state;
            context.spans = spans;
            context.scheme = origin.scheme;
            context.host.push_str(host);
            context.prefix.push_str(origin.prefix.as_deref().unwrap_or_default());
            context.method.push_str(method);
            context.path.push_str(path);
            if let Some(accept) = &seen.accept {
                context.accept.push_str(accept);
            }
            if self.log.makes_reports() {
                context.keep_head(uri.query(), headers);
            }
        });
        let mut decoded = Vec::new();
        let credentials = seen.authorization.map(HeaderValue::as_bytes);
        let user = credentials.and_then(|it| access::user(it, &mut decoded));
        let (agent, referrer) = (seen.agent_bytes(), seen.referrer_bytes());
        #[cfg(feature = "login")]
        let shown_referrer = referrer.map(secrets::hidden_bytes);
        #[cfg(feature = "login")]
        let referrer = shown_referrer.as_deref();
        if let Some(access) = &self.book.access {
            let (origin, id, trace) = (&origin, &id, &trace);
            let known =
                Known { origin, target, host, id, trace, number, wall, agent, referrer, user };
            self.draft(access, page, conn, request, &known);
        }
        if self.log.asks_closely(CHAINS, id.as_bytes()) {
            self.tell_chain(conn, headers, &context);
        }
        if page.entry != NO_ENTRY {
            let started = Started {
                mono: page.started.0,
                wall,
                peer: conn.peer(),
                client: origin.client.filter(|it| Some(*it) != peer_ip(conn)),
                trace: trace.trace_id,
                span: trace.span_id,
                method: method.as_bytes(),
                path: target.as_bytes(),
                id: id.as_bytes(),
                agent: agent.unwrap_or_default(),
                referrer: referrer.unwrap_or_default(),
                user: user.unwrap_or_default(),
            };
            self.log.slot().in_flight().begin(page.entry as usize, &started);
        }
        page.body = request.body().wait();
        request.extensions_mut().insert(RequestContext::new(Arc::clone(&context)));
        page.context = Some(context);
    }

    /// Counts what a proxy said and is not believed; some of it ends the request.
    #[cold]
    fn refuse_forwarded(&self, conn: &Watched, refused: client::Refused, number: u64) {
        self.log.slot().add(names::FORWARDED_REFUSED, 1);
        if refused.ends_the_request() {
            let reason = refused.as_str();
            conn.refuse(Refusal { status: 400, reason, head: Box::default() }, number);
            self.tell_invalid(conn, reason);
        }
    }

    /// Begins the access line.
    #[inline(always)]
    fn draft(
        &self,
        access: &AccessFormat,
        page: &mut Page,
        conn: &Watched,
        request: &Request<Body>,
        known: &Known<'_>,
    ) {
        let (uri, headers, method) = (request.uri(), request.headers(), request.method().as_str());
        let absolute;
        let target = match conn.raw_target(known.number) {
            Some(raw) => {
                absolute = shown(raw);
                &absolute[..]
            }
            None if uri.scheme().is_some() && request.version() < Version::HTTP_2 => {
                absolute = shown(uri.to_string().into_bytes());
                &absolute[..]
            }
            None => known.target.as_bytes(),
        };
        let (mut trace_id, mut span_id) = ([0; 32], [0; 16]);
        let shows_trace = self.book.shows_trace;
        if shows_trace {
            (trace_id, span_id) = (known.trace.trace_hex(), known.trace.span_hex());
        }
        let other;
        let client = match known.origin.client {
            client if client == peer_ip(conn) => conn.peer_text(),
            Some(client) => {
                other = client.to_string();
                &other
            }
            None => "",
        };
        let facts = Facts {
            method: method.as_bytes(),
            target,
            version: page.protocol,
            headers,
            agent: known.agent,
            referrer: known.referrer,
            user: known.user,
            peer: conn.peer_text(),
            peer_port: conn.peer().map_or(0, |peer| peer.port()),
            client,
            scheme: known.origin.scheme.as_str(),
            host: known.host,
            local: conn.local(),
            request_id: known.id.as_bytes(),
            trace_id: if shows_trace { &trace_id } else { b"" },
            span_id: if shows_trace { &span_id } else { b"" },
            number: known.number,
            started_wall: known.wall,
        };
        access.begin(&facts, &mut page.draft);
    }

    /// The same for one of which only a bad head came.
    #[cold]
    pub(super) fn enter_refused(
        &self,
        page: &mut Page,
        conn: &Watched,
        refusal: &Refusal,
        number: u64,
    ) {
        self.tell_invalid(conn, refusal.reason);
        let wall = self.wall(page.started);
        let id = RequestId::new(wall);
        let remains = refusal.remains(number == 1);
        let target = shown(remains.target.to_vec());
        let remains = Remains { target: &target, ..remains };
        page.reason = refusal.reason;
        page.protocol = remains.version;
        page.context = Some(Context::begin(|context| {
            context.client = conn.peer().map(|peer| peer.ip());
            context.peer = conn.peer();
            context.id = id;
            context.method.push_str(&String::from_utf8_lossy(remains.method));
            let path = remains.target.split(|byte| *byte == b'?').next().unwrap_or_default();
            context.path.push_str(&String::from_utf8_lossy(path));
        }));
        if let Some(access) = &self.book.access {
            let headers = HeaderMap::new();
            let facts = Facts {
                method: remains.method,
                target: remains.target,
                version: remains.version,
                headers: &headers,
                agent: None,
                referrer: None,
                user: None,
                peer: conn.peer_text(),
                peer_port: conn.peer().map_or(0, |peer| peer.port()),
                client: conn.peer_text(),
                scheme: Scheme::Http.as_str(),
                host: "",
                local: conn.local(),
                request_id: id.as_bytes(),
                trace_id: b"",
                span_id: b"",
                number,
                started_wall: wall,
            };
            access.begin(&facts, &mut page.draft);
        }
        if page.entry != NO_ENTRY {
            let started = Started {
                mono: page.started.0,
                wall,
                peer: conn.peer(),
                method: remains.method,
                path: remains.target,
                id: id.as_bytes(),
                ..Started::default()
            };
            self.log.slot().in_flight().begin(page.entry as usize, &started);
        }
    }

    /// Says who the client was taken for, and why.
    #[cold]
    fn tell_chain(&self, conn: &Watched, headers: &HeaderMap, context: &Context) {
        let lines = client::explain::explain(&self.book.trust, conn.peer(), headers);
        let client = context.client.map(|client| client.to_string()).unwrap_or_default();
        let context = RecordContext {
            request_id: context.id.as_str(),
            client: &client,
            method: &context.method,
            path: &context.path,
            ..RecordContext::default()
        };
        self.log.tell_closely(CHAINS, &lines.join("; "), context);
    }

    fn tell_invalid(&self, conn: &Watched, reason: &str) {
        let peer = match conn.peer_text() {
            "" => "unix",
            peer => peer,
        };
        let event = Event::InvalidRequest { peer: peer.to_owned(), reason: reason.to_owned() };
        self.log.event(&event);
    }
}

/// The peer as clients are told: an IPv4 address that came by IPv6 is IPv4.
fn peer_ip(conn: &Watched) -> Option<IpAddr> {
    conn.peer().map(|peer| peer.ip().to_canonical())
}

fn protocol(version: Version) -> Protocol {
    match version {
        Version::HTTP_10 => Protocol::H10,
        Version::HTTP_11 => Protocol::H11,
        Version::HTTP_2 => Protocol::H2,
        _ => Protocol::Unknown,
    }
}

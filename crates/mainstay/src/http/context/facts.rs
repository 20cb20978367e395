//! The types by which an application asks for what is known of a request.

use super::id::{self, RequestId};
use super::{Context, RequestContext};
use http::Extensions;
use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};

/// Bytes of a `traceparent` field, version 00.
const TRACEPARENT: usize = 55;

/// The client's address: the peer's, or the one that trusted proxies report (`proxy.trusted`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub IpAddr);

/// The other end of the connection: the last proxy, or the client itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

/// How the client reached the service, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without encryption, or nobody said anything.
    #[default]
    Http,
    /// With TLS, here or at a trusted proxy.
    Https,
}

/// The host, with its port if one was named, that the client asked for: of the request's target, its
/// `Host` field, or the one that a trusted proxy reports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestHost(pub String);

/// The request's place in its trace, by W3C Trace Context. Its text is a `traceparent` for whatever the
/// request causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace; zeros for none.
    pub trace_id: [u8; 16],
    /// The request's own span in it; zeros for none.
    pub span_id: [u8; 8],
    /// The caller's span, if there is one.
    pub parent: Option<[u8; 8]>,
    /// Flags of the trace: bit 0 says that it is recorded, bit 1 that its id is random.
    pub flags: u8,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl RequestHost {
    /// The host as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TraceContext {
    /// No trace.
    pub(crate) const NONE: TraceContext =
        TraceContext { trace_id: [0; 16], span_id: [0; 8], parent: None, flags: 0 };

    /// A request that begins a trace of its own. It is not recorded unless somebody says so.
    #[inline]
    pub(crate) fn begin() -> TraceContext {
        let (high, low) = (nonzero(), id::random());
        let trace = u128::from(high) << 64 | u128::from(low);
        let span_id = nonzero().to_be_bytes();
        TraceContext { trace_id: trace.to_be_bytes(), span_id, parent: None, flags: 2 }
    }

    /// A request within the trace of its caller.
    #[inline]
    pub(crate) fn within(trace_id: [u8; 16], parent: [u8; 8], flags: u8) -> TraceContext {
        TraceContext { trace_id, span_id: nonzero().to_be_bytes(), parent: Some(parent), flags }
    }

    /// Whether there is a trace at all.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.trace_id != [0; 16]
    }

    /// The trace as 32 hex digits.
    #[inline]
    pub(crate) fn trace_hex(&self) -> [u8; 32] {
        id::hex(self.trace_id)
    }

    /// The value of a `traceparent` field, version 00.
    #[inline]
    pub(crate) fn traceparent(&self) -> [u8; TRACEPARENT] {
        let mut text = [b'-'; TRACEPARENT];
        let [_, _, _, _, _, _, flags @ ..] = id::hex::<4, 8>([0, 0, 0, self.flags]);
        text[..2].copy_from_slice(b"00");
        text[3..35].copy_from_slice(&self.trace_hex());
        text[36..52].copy_from_slice(&self.span_hex());
        text[53..].copy_from_slice(&flags);
        text
    }

    /// The request's span as 16 hex digits.
    #[inline]
    pub(crate) fn span_hex(&self) -> [u8; 16] {
        id::hex(self.span_id)
    }
}

/// Ids of zeros mean none.
fn nonzero() -> u64 {
    id::random().max(1)
}

impl Display for TraceContext {
    /// The value of a `traceparent` field, version 00.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.traceparent()).unwrap_or_default())
    }
}

impl Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Display for RequestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a context says of one fact.
pub(super) trait Fact: Sized {
    /// As a rejection names it.
    #[cfg(feature = "axum")]
    const NAME: &'static str;

    fn fact(context: &Context) -> Option<Self>;
}

macro_rules! facts {
    ($($type:ident, $name:literal, $context:ident => $fact:expr;)*) => {
        $(
            impl Fact for $type {
                #[cfg(feature = "axum")]
                const NAME: &'static str = $name;

                fn fact($context: &Context) -> Option<$type> {
                    $fact
                }
            }

            impl $type {
                #[doc = concat!("The ", $name, " of the request with these extensions; none if it is \
                    not known, or if the request is not served by mainstay.")]
                #[must_use]
                pub fn of(extensions: &Extensions) -> Option<$type> {
                    <$type as Fact>::fact(RequestContext::of(extensions)?.context())
                }
            }
        )*
    };
}

facts! {
    ClientAddr, "client's address", context => context.client.map(ClientAddr);
    PeerAddr, "peer's address", context => context.peer.map(PeerAddr);
    RequestId, "id", context => Some(context.id).filter(|id| *id != RequestId::NONE);
    Scheme, "scheme", context => Some(context.scheme);
    RequestHost, "host", context =>
        Some(RequestHost(context.host.clone())).filter(|host| !host.0.is_empty());
    TraceContext, "trace", context => Some(context.trace).filter(TraceContext::is_some);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_finds_the_facts_in_the_extensions() {
        let mut extensions = Extensions::new();
        assert_eq!(ClientAddr::of(&extensions), None);
        let context = Context::begin(|context| {
            context.client = Some([192, 0, 2, 7].into());
            context.peer = Some(([127, 0, 0, 1], 80).into());
            context.id = RequestId::accept(b"abc").unwrap();
            context.host.push_str("example.org");
            context.scheme = Scheme::Https;
        });
        extensions.insert(RequestContext::new(context));
        assert_eq!(ClientAddr::of(&extensions), Some(ClientAddr([192, 0, 2, 7].into())));
        assert_eq!(PeerAddr::of(&extensions).unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(RequestId::of(&extensions).unwrap().as_str(), "abc");
        assert_eq!(RequestHost::of(&extensions).unwrap().as_str(), "example.org");
        assert_eq!(Scheme::of(&extensions).unwrap().as_str(), "https");
        assert_eq!(TraceContext::of(&extensions), None, "it has no trace");
    }

    #[test]
    fn the_text_of_a_trace_is_a_traceparent() {
        let trace = TraceContext::within([0xab; 16], [7; 8], 1);
        let span: String = trace.span_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = format!("00-{}-{span}-01", "ab".repeat(16));
        assert_eq!(trace.to_string(), expected);
        let [one, other] = [TraceContext::begin(), TraceContext::begin()];
        assert!(one.is_some() && one.trace_id != other.trace_id && one.span_id != [0; 8]);
    }
}

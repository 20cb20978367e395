//! The span of a request, by OpenTelemetry's conventions for HTTP (1.44).

use super::Settings;
use super::span::{Span, SpanKind, Status};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// Longest user agent, bytes.
pub(crate) const AGENT: usize = 512;

/// What the request said that nothing else keeps.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Without what looks like a key.
    pub(crate) query: String,
    pub(crate) agent: String,
    /// `1.1`, `2`.
    pub(crate) version: &'static str,
}

/// What is known of a request that has ended. What is empty is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Served<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) host: &'a str,
    pub(crate) route: Option<&'a str>,
    pub(crate) agent: &'a str,
    pub(crate) version: &'a str,
    pub(crate) client: Option<IpAddr>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) id: &'a str,
    /// 0 when there was none.
    pub(crate) status: u16,
    /// Why it did not end in the ordinary way.
    pub(crate) reason: &'a str,
    /// Why it is kept though it is not sampled.
    pub(crate) kept: &'a str,
}

impl Served<'_> {
    /// Whether it is a failure of the service's.
    pub(crate) fn has_failed(&self) -> bool {
        // The head was good, and the answer was not, or there is nobody any more who could answer.
        self.status >= 500 || matches!(self.reason, "body_failed" | "body_panicked" | "worker_lost")
    }

    /// Appends the span, of which `span` says the place and the time.
    pub(crate) fn write(&self, settings: &Settings, span: &Span<'_>, out: &mut Vec<u8>) {
        let known = settings.method(self.method);
        let shown = known.unwrap_or("HTTP");
        let name = match self.route {
            Some(route) => Cow::Owned([shown, " ", route].concat()),
            None => Cow::Borrowed(shown),
        };
        let status = if self.has_failed() { Status::Error(self.reason) } else { Status::Unset };
        let span = Span { name: &name, kind: SpanKind::Server, status, ..*span };
        span.write(out, |it| {
            it.text("http.request.method", known.unwrap_or("_OTHER"));
            if known.is_none() {
                it.text("http.request.method_original", self.method);
            }
            it.text("url.path", self.path);
            it.text("url.query", self.query);
            it.text("url.scheme", self.scheme);
            it.text("http.route", self.route.unwrap_or_default());
            if self.status != 0 {
                it.integer("http.response.status_code", self.status.into());
            }
            it.text("network.protocol.version", self.version);
            let client = self.client.map(text);
            it.text("client.address", client.as_deref().unwrap_or_default());
            if let Some(peer) = self.peer {
                let ip = peer.ip().to_canonical();
                let known = client.filter(|_| self.client == Some(ip));
                it.text("network.peer.address", &known.unwrap_or_else(|| text(ip)));
                it.integer("network.peer.port", peer.port().into());
            }
            let (address, port) = split_host(self.host);
            it.text("server.address", address);
            if let Some(port) = port {
                it.integer("server.port", port.into());
            }
            it.text("user_agent.original", self.agent);
            it.text("http.request.id", self.id);
            match self.reason {
                "" if self.status >= 500 => it.text("error.type", &self.status.to_string()),
                reason => it.text("error.type", reason),
            }
            it.text("mainstay.kept", self.kept);
        });
    }
}

/// An address as text; those of IPv4 without the machinery of `fmt`, since every request has two.
fn text(ip: IpAddr) -> String {
    let IpAddr::V4(ip) = ip else { return ip.to_string() };
    let mut out = String::with_capacity(15);
    for (at, octet) in ip.octets().into_iter().enumerate() {
        if at > 0 {
            out.push('.');
        }
        for power in [100, 10, 1] {
            if octet >= power || power == 1 {
                out.push(char::from(b'0' + octet / power % 10));
            }
        }
    }
    out
}

/// A host and its port, if that is named. An IPv6 address stands without its brackets.
fn split_host(host: &str) -> (&str, Option<u16>) {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && !name.is_empty() => match port.parse() {
            Ok(port) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        },
        _ => (host, None),
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    (bare.unwrap_or(name), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_always_is() {
        for octet in 0..=255 {
            let ip = IpAddr::from([octet, 255 - octet, 0, 10]);
            assert_eq!(text(ip), ip.to_string());
        }
        assert_eq!(text("::1".parse().unwrap()), "::1");
    }

    #[test]
    fn a_host_is_an_address_and_perhaps_a_port() {
        for (host, expected) in [
            ("", ("", None)),
            ("example.org", ("example.org", None)),
            ("example.org:8080", ("example.org", Some(8080))),
            ("[::1]:80", ("::1", Some(80))),
            ("[::1]", ("::1", None)),
            ("::1", ("::1", None)),
            ("a:99999", ("a:99999", None)),
        ] {
            assert_eq!(split_host(host), expected, "{host}");
        }
    }
}

//! The reading of the headers in words: what `doctor client-ip` prints.

use super::witness::{Sight, Witness};
use super::{Family, Origin, Refused, Trust, believe, trusts};
use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use std::net::SocketAddr;

/// The chain hop by hop, why each was believed or not, and the verdict, which is that of
/// [`resolve`](super::resolve). What peers sent is escaped.
pub(crate) fn explain(trust: &Trust, peer: Option<SocketAddr>, headers: &HeaderMap) -> Vec<String> {
    let trusted = trusts(trust, peer);
    let who = peer.map_or("unix socket".to_owned(), |peer| peer.ip().to_string());
    let mut told = Told::default();
    told.lines.push(if trusted {
        format!("peer {who}: in proxy.trusted ({})", trust.proxies)
    } else {
        let list = trust.proxies.to_string();
        let list = if list.is_empty() { "empty" } else { &list };
        format!("peer {who}: not in proxy.trusted ({list}), so no header is believed")
    });
    told.tell_headers(trust, trusted, headers);
    let mut origin = Origin::of(peer);
    if trusted {
        told.tell_manner(trust);
        believe(trust, &mut origin, headers, &mut told);
    }
    told.lines.push(verdict(&origin));
    told.lines
}

/// What is told so far.
#[derive(Debug, Default)]
struct Told {
    lines: Vec<String>,
    /// Hops of the chain told so far.
    hops: usize,
}

impl Told {
    /// The headers of both families as they came, and whether each is read.
    fn tell_headers(&mut self, trust: &Trust, trusted: bool, headers: &HeaderMap) {
        for (name, value) in headers {
            let Some(family) = family_of(name) else { continue };
            let why = match trusted {
                true if family == trust.header => String::new(),
                true => format!(" (not read: proxy.header is {})", trust.header.name()),
                false => " (not read)".to_owned(),
            };
            let value = value.as_bytes().escape_ascii();
            self.lines.push(format!("header {name}: {value}{why}"));
        }
    }

    /// How the headers are read.
    fn tell_manner(&mut self, trust: &Trust) {
        let hops = trust.hops.filter(|hops| *hops > 0);
        self.lines.push(match (trust.header, trust.fix, hops) {
            (Family::Off, ..) => "proxy.header is off: the peer is the client".to_owned(),
            (Family::XForwarded, Some(it), _) => format!(
                "counting from the right by proxy.fix: x_for={} x_proto={} x_host={} x_port={} \
                 x_prefix={}",
                it.x_for, it.x_proto, it.x_host, it.x_port, it.x_prefix
            ),
            (_, _, Some(hops)) => format!("from right to left, at most {hops} hops:"),
            (_, _, None) => "from right to left:".to_owned(),
        });
    }
}

fn family_of(name: &HeaderName) -> Option<Family> {
    if name == FORWARDED {
        Some(Family::Forwarded)
    } else {
        name.as_str().starts_with("x-forwarded-").then_some(Family::XForwarded)
    }
}

impl Witness for Told {
    fn saw(&mut self, sight: Sight<'_>) {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let line = match sight {
            Sight::Named { element, ip, trusted } => {
                self.hops += 1;
                let why = if trusted { "a proxy of ours, go on" } else { "the client" };
                let known = if trusted { "in" } else { "not in" };
                let element = text(element);
                format!("hop {}: {element}: {ip} is {known} proxy.trusted: {why}", self.hops)
            }
            Sight::Enough { hops } => format!("proxy.hops is {hops}: that is the client"),
            Sight::Ended { element, why } => {
                let reason = reason(why);
                format!("hop {}: {}: {reason}: the walk ends", self.hops + 1, text(element))
            }
            Sight::Took { what, value } => format!("{what}: {}", text(value)),
            Sight::Refused { what, value, why } => {
                format!("{what}: {}: not believed: {}", text(value), reason(why))
            }
            Sight::Unasked { what, value } => {
                format!("{what}: {}: not asked for by the configuration", text(value))
            }
        };
        self.lines.push(line);
    }
}

/// A refusal for people.
fn reason(why: Refused) -> &'static str {
    match why {
        Refused::BadElement => "cannot be read as an address",
        Refused::HiddenNode => "hides whom it saw",
        Refused::TooFewElements => "fewer elements than proxy.fix counts",
        Refused::BadScheme => "neither http nor https",
        Refused::SchemeConflict => "another header says otherwise, such a request gets a 400",
        Refused::BadHost => "not a host name",
        Refused::HostNotAllowed => "not in proxy.hosts",
        Refused::BadPort => "not a port",
        Refused::BadPrefix => "not a path that begins with one /",
    }
}

fn verdict(origin: &Origin) -> String {
    let client = origin.client.map_or("unknown (unix socket)".to_owned(), |ip| ip.to_string());
    let scheme = origin.scheme.as_str();
    let mut parts = vec![format!("client {client}, scheme {scheme}")];
    parts.extend(origin.host.iter().map(|host| format!("host {host}")));
    parts.extend(origin.port.iter().map(|port| format!("port {port}")));
    parts.extend(origin.prefix.iter().map(|prefix| format!("prefix {prefix}")));
    parts.extend(origin.refused.iter().map(|why| format!("refused {}", why.as_str())));
    parts.join(", ")
}

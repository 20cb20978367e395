//! Who the client is, when proxies stand between: the one place that reads `X-Forwarded-*` and
//! `Forwarded`. docs/behind-a-proxy.md tells it to operators.
//!
//! 1. A peer that is not a proxy of ours is the client, and what it says of others is not read.
//! 2. One family of headers is read, never two: whoever may choose between them could choose the one
//!    that the proxy does not write.
//! 3. All lines of a header are one list, and it is read from the right: each hop appended what it
//!    saw itself, so what a proxy of ours wrote is right of everything that came from outside. The
//!    first address that is no proxy of ours is the client; nothing left of it is looked at.
//! 4. What cannot be read ends the walk where it is; nothing is skipped to find something better.
//! 5. Scheme, host, port and prefix come from the hop that named the client.

mod address;
mod chain;
pub(crate) mod explain;
mod fields;
mod fix;
mod forwarded;
mod hosts;
mod networks;
pub(crate) mod proxy_protocol;
mod settings;
mod witness;

#[cfg(test)]
pub(crate) mod corpus;
#[cfg(test)]
mod tests;

use super::context::Scheme;
use fields::Fields;
use http::header::FORWARDED;
use std::net::{IpAddr, SocketAddr};
use witness::Witness;

pub(crate) use fix::ProxyFix;
pub(crate) use hosts::AllowedHosts;
pub(crate) use networks::Networks;

/// What is believed of whom: `[proxy]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// The proxies of ours. Empty: every peer is a client.
    pub(crate) proxies: Networks,
    /// The family of headers that they write.
    pub(crate) header: Family,
    /// How many proxies stand before the service at most: so many addresses are believed. `None`
    /// and 0: as many as are trusted.
    pub(crate) hops: Option<u8>,
    /// Counting in place of walking; for [`Family::XForwarded`] alone, and then `hops` does not
    /// count.
    pub(crate) fix: Option<ProxyFix>,
    /// Hosts that a proxy may name. Empty: what proxies say of the host is not used, unless
    /// `fix.x_host` asks for it. Most proxies pass on an `X-Forwarded-Host` that they do not know,
    /// and then it is the client who says to which host links in mails lead.
    pub(crate) hosts: AllowedHosts,
    /// Whether their connections begin with a PROXY header.
    pub(crate) protocol: proxy_protocol::Mode,
}

/// A family of headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Family {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, `-Port`, `-Prefix`, and the two other headers in which
    /// Gunicorn finds a scheme.
    #[default]
    XForwarded,
    /// `Forwarded` of RFC 7239.
    Forwarded,
    /// Neither.
    Off,
}

impl Family {
    /// The family that the configuration calls so.
    pub(crate) fn named(name: &str) -> Option<Family> {
        [Family::XForwarded, Family::Forwarded, Family::Off]
            .into_iter()
            .find(|it| it.name() == name)
    }

    /// Its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Family::XForwarded => "x-forwarded",
            Family::Forwarded => "forwarded",
            Family::Off => "off",
        }
    }
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client, in canonical form. `None`: a peer on a unix socket, and nobody said for whom.
    pub(crate) client: Option<IpAddr>,
    /// `Http` when nobody said anything.
    pub(crate) scheme: Scheme,
    /// The host that the client asked for, without its port, in lower case, IPv6 in brackets.
    /// `None`: what the request says itself holds.
    pub(crate) host: Option<Box<str>>,
    /// The port that the client connected to. `None`: nobody said.
    pub(crate) port: Option<u16>,
    /// Path below which the outermost proxy serves this application; begins with one `/`.
    pub(crate) prefix: Option<Box<str>>,
    /// Why something that a proxy said was not believed. Of several reasons the first, but a
    /// [`Refused::SchemeConflict`] before any other.
    pub(crate) refused: Option<Refused>,
}

/// Why something that a proxy said was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// An element of the list that is neither an address nor, in `Forwarded`, any element.
    BadElement,
    /// A hop that hides whom it saw: `unknown`, or an obfuscated name.
    HiddenNode,
    /// Fewer elements than [`ProxyFix`] counts.
    TooFewElements,
    /// Neither `http` nor `https`.
    BadScheme,
    /// Two headers that disagree about the scheme.
    SchemeConflict,
    /// No host name.
    BadHost,
    /// A host that `hosts` does not have.
    HostNotAllowed,
    /// No port.
    BadPort,
    /// No path that begins with one `/`.
    BadPrefix,
}

impl Refused {
    /// The reason as a label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Refused::BadElement => "bad_element",
            Refused::HiddenNode => "hidden_node",
            Refused::TooFewElements => "too_few_elements",
            Refused::BadScheme => "bad_scheme",
            Refused::SchemeConflict => "scheme_conflict",
            Refused::BadHost => "bad_host",
            Refused::HostNotAllowed => "host_not_allowed",
            Refused::BadPort => "bad_port",
            Refused::BadPrefix => "bad_prefix",
        }
    }

    /// Whether the request is to be answered with 400, as Gunicorn does. With the other reasons it
    /// is served, as if the refused thing had not been said.
    pub(crate) fn ends_the_request(self) -> bool {
        self == Refused::SchemeConflict
    }
}

/// Finds out where a request came from. `peer` is the other end of the connection, or whom the
/// PROXY protocol named in its place; `None` for a unix socket.
#[inline]
pub(crate) fn resolve(
    trust: &Trust,
    peer: Option<SocketAddr>,
    headers: &http::HeaderMap,
) -> Origin {
    // Most requests end here: of a client without proxy, or of a proxy that says nothing.
    let says_something = trusts(trust, peer)
        && match trust.header {
            Family::XForwarded => Fields::any(headers),
            Family::Forwarded => headers.contains_key(FORWARDED),
            Family::Off => false,
        };
    let mut origin = Origin::of(peer);
    if says_something {
        believe(trust, &mut origin, headers, &mut ());
    }
    origin
}

/// Whether the peer is a proxy of ours.
#[inline]
pub(crate) fn trusts(trust: &Trust, peer: Option<SocketAddr>) -> bool {
    match peer {
        Some(peer) => trust.proxies.contains(peer.ip()),
        None => trust.proxies.trusts_unix(),
    }
}

/// Reads what a trusted peer says, whom `origin` names so far.
#[inline(never)]
fn believe(
    trust: &Trust,
    origin: &mut Origin,
    headers: &http::HeaderMap,
    witness: &mut impl Witness,
) {
    match (trust.header, trust.fix) {
        (Family::XForwarded, None) => chain::read(trust, origin, headers, witness),
        (Family::XForwarded, Some(fix)) => fix::read(trust, fix, origin, headers, witness),
        (Family::Forwarded, _) => forwarded::read(trust, origin, headers, witness),
        (Family::Off, _) => {}
    }
}

impl Origin {
    /// The peer is the client.
    #[inline]
    pub(crate) fn of(peer: Option<SocketAddr>) -> Origin {
        Origin { client: peer.map(|peer| peer.ip().to_canonical()), ..Origin::default() }
    }

    fn refuse(&mut self, why: Refused) {
        if self.refused.is_none() || why == Refused::SchemeConflict {
            self.refused = Some(why);
        }
    }
}

//! The walk over `X-Forwarded-For`, and what the other headers of its family say of the same hop.

use super::fields::{Field, Fields};
use super::witness::{Sight, Witness};
use super::{Origin, Refused, Scheme, Trust, address};
use http::HeaderMap;
use std::net::IpAddr;

/// Reads the family for a trusted peer, which `origin` names.
#[inline]
pub(super) fn read(
    trust: &Trust,
    origin: &mut Origin,
    headers: &HeaderMap,
    witness: &mut impl Witness,
) {
    let fields = Fields::gather(headers);
    let mut walk = Walk::of(trust);
    for element in fields.elements(Field::For) {
        let node = address::parse(element).ok_or(Refused::BadElement);
        if !walk.step(origin, element, node, witness) {
            break;
        }
    }
    let hop = walk.hop();
    origin.take_schemes(&fields, hop, witness);
    if let Some(host) = fields.of_hop(Field::Host, hop) {
        origin.take_host(trust, host, !trust.hosts.is_empty(), witness);
    }
    if let Some(port) = fields.of_hop(Field::Port, hop) {
        origin.take_port(port, witness);
    }
    if let Some(prefix) = fields.of_hop(Field::Prefix, hop) {
        origin.take_prefix(prefix, witness);
    }
}

/// How far the walk from the right has come.
pub(super) struct Walk<'a> {
    trust: &'a Trust,
    /// Addresses believed at most.
    limit: usize,
    believed: usize,
}

impl Walk<'_> {
    pub(super) fn of(trust: &Trust) -> Walk<'_> {
        let limit = trust.hops.filter(|hops| *hops > 0).map_or(usize::MAX, usize::from);
        Walk { trust, limit, believed: 0 }
    }

    /// Takes the next element on the left, which a trusted hop wrote. Whether to go on.
    #[inline]
    pub(super) fn step(
        &mut self,
        origin: &mut Origin,
        element: &[u8],
        node: Result<IpAddr, Refused>,
        witness: &mut impl Witness,
    ) -> bool {
        let ip = match node {
            Ok(ip) => ip,
            Err(why) => {
                witness.saw(Sight::Ended { element, why });
                origin.refuse(why);
                return false;
            }
        };
        self.believed += 1;
        origin.client = Some(ip);
        let trusted = self.trust.proxies.contains(ip);
        witness.saw(Sight::Named { element, ip, trusted });
        if trusted && self.believed == self.limit {
            witness.saw(Sight::Enough { hops: self.limit });
        }
        trusted && self.believed < self.limit
    }

    /// The hop that named the client, counted from the right. Who names nobody is the peer itself.
    pub(super) fn hop(&self) -> usize {
        self.believed.max(1)
    }
}

impl Origin {
    /// Scheme from three headers, as Gunicorn has it: the list element of `X-Forwarded-Proto`,
    /// `X-Forwarded-Ssl: on` and `X-Forwarded-Protocol: ssl`. Each that is there has a voice, a line
    /// of the latter two with any other value says http; voices that disagree are a conflict.
    #[inline]
    fn take_schemes(&mut self, fields: &Fields<'_>, hop: usize, witness: &mut impl Witness) {
        let mut voices = [false; 2];
        if let Some(proto) = fields.of_hop(Field::Proto, hop) {
            if !self.take_scheme(proto, witness) {
                return;
            }
            voices[self.scheme as usize] = true;
        }
        if fields.is_there(Field::Ssl) || fields.is_there(Field::Protocol) {
            for value in fields.lines(Field::Ssl) {
                self.hear("x-forwarded-ssl", value, b"on", &mut voices, witness);
            }
            for value in fields.lines(Field::Protocol) {
                self.hear("x-forwarded-protocol", value, b"ssl", &mut voices, witness);
            }
        }
        if voices == [true, true] {
            self.scheme = Scheme::Http;
            self.refuse(Refused::SchemeConflict);
        }
    }

    /// The voice of a line in which one word means https and everything else http.
    fn hear(
        &mut self,
        what: &'static str,
        value: &[u8],
        secure: &[u8],
        voices: &mut [bool; 2],
        witness: &mut impl Witness,
    ) {
        let is_secure = value.trim_ascii().eq_ignore_ascii_case(secure);
        let scheme = if is_secure { Scheme::Https } else { Scheme::Http };
        voices[scheme as usize] = true;
        if *voices == [true, true] {
            witness.saw(Sight::Refused { what, value, why: Refused::SchemeConflict });
        } else {
            witness.saw(Sight::Took { what, value });
            self.scheme = scheme;
        }
    }

    /// Takes a scheme; whether it is one. `ws` and `wss` are what Traefik writes for WebSockets.
    #[inline]
    pub(super) fn take_scheme(&mut self, value: &[u8], witness: &mut impl Witness) -> bool {
        let is = |names: [&[u8]; 2]| names.iter().any(|name| value.eq_ignore_ascii_case(name));
        if is([b"https", b"wss"]) {
            self.scheme = Scheme::Https;
        } else if !is([b"http", b"ws"]) {
            witness.saw(Sight::Refused { what: "scheme", value, why: Refused::BadScheme });
            self.refuse(Refused::BadScheme);
            return false;
        }
        witness.saw(Sight::Took { what: "scheme", value });
        true
    }
}

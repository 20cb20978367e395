//! Who the client is, by the peer and by what trusted proxies say.

use super::context::Scheme;
use http::HeaderMap;
use std::net::{IpAddr, SocketAddr};

/// Whom to believe.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {}

/// Where a request comes from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The peer is one whose word counts.
    pub(crate) trusted: bool,
    pub(crate) client: Option<IpAddr>,
    pub(crate) scheme: Scheme,
    pub(crate) host: Option<Box<str>>,
    pub(crate) prefix: Option<Box<str>>,
    pub(crate) refused: Option<&'static str>,
}

impl Trust {
    /// As the configuration says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of(_: &crate::config::Proxy) -> Result<Trust, String> {
        Ok(Trust {})
    }

    #[inline]
    pub(crate) fn origin(&self, peer: Option<SocketAddr>, _headers: &HeaderMap) -> Origin {
        let client = peer.map(|peer| peer.ip().to_canonical());
        Origin {
            trusted: client.is_some_and(|client| client.is_loopback()),
            client,
            scheme: Scheme::Http,
            host: None,
            prefix: None,
            refused: None,
        }
    }
}

//! What happens while the headers are read, for whoever wants to tell it. The request path has the
//! unit as its witness, of which the compiler leaves nothing: so what `doctor client-ip` prints is
//! what happens to requests, and not a second reading that may differ.

use super::Refused;
use std::net::IpAddr;

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sight<'a> {
    /// An element named an address, which is now taken for the client.
    Named { element: &'a [u8], ip: IpAddr, trusted: bool },
    /// So many addresses were believed as are allowed: the walk ends.
    Enough { hops: usize },
    /// An element ended the walk.
    Ended { element: &'a [u8], why: Refused },
    /// A value was believed.
    Took { what: &'static str, value: &'a [u8] },
    /// A value was not believed.
    Refused { what: &'static str, value: &'a [u8], why: Refused },
    /// A value was not asked for.
    Unasked { what: &'static str, value: &'a [u8] },
}

/// Whoever is told.
pub(super) trait Witness {
    fn saw(&mut self, sight: Sight<'_>);
}

impl Witness for () {
    #[inline(always)]
    fn saw(&mut self, _: Sight<'_>) {}
}

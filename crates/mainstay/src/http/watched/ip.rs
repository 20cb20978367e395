//! An address as text, made once for a connection and read for each request.

use std::net::SocketAddr;

/// An address as text.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpText {
    bytes: [u8; 46],
    len: u8,
}

impl IpText {
    pub(super) fn of(peer: Option<SocketAddr>) -> IpText {
        use std::io::Write;
        let mut bytes = [0; 46];
        let mut rest = &mut bytes[..];
        let room = rest.len();
        if let Some(peer) = peer {
            // The longest address fits; what would not is left out.
            write!(rest, "{}", peer.ip().to_canonical()).ok();
        }
        let len = room - rest.len();
        IpText { bytes, len: len as u8 }
    }

    #[inline]
    pub(super) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or_default()
    }
}

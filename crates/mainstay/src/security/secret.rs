//! Secrets made by chance, and what may be known of them: their hashes.

use crate::http::secrets::TOKEN;
use base64ct::{Base64UrlUnpadded, Encoding};
use blake2::Blake2bMac;
use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// Bytes of a secret: 256 bits.
const BYTES: usize = 32;

/// Bytes of the system's generator.
///
/// # Errors
/// When the system has none.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += getrandom(rest, GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

/// A secret that somebody is given: the id of a session, or the token of a link.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<[u8; BYTES]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// As [`random`].
    pub(super) fn new() -> io::Result<Secret> {
        random().map(|bytes| Secret(Zeroizing::new(bytes)))
    }

    /// The id of a session that somebody came with, if it can be one.
    pub(super) fn of_session(text: &[u8]) -> Option<Secret> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        let decoded = Base64UrlUnpadded::decode(text, &mut bytes[..]).ok()?;
        (decoded.len() == BYTES).then_some(())?;
        Some(Secret(bytes))
    }

    /// The token of a link that somebody came with, if it can be one.
    pub(super) fn of_link(text: &str) -> Option<Secret> {
        Secret::of_session(text.strip_prefix(TOKEN)?.as_bytes())
    }

    /// As a session's cookie has it.
    pub(super) fn session_text(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64UrlUnpadded::encode_string(&self.0[..]))
    }

    /// As a link has it: told from everything else, so that logs can leave it out.
    pub(super) fn link_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{TOKEN}{}", self.session_text().as_str()))
    }

    /// What the database has of it. Whoever guesses learns nothing of how near he came, since what is
    /// compared there is a hash.
    pub(super) fn hash(&self) -> String {
        Base64UrlUnpadded::encode_string(&Sha256::digest(&self.0[..]))
    }
}

/// The key of hashes of what nobody may read: names that are nobody's, addresses.
#[derive(Clone)]
pub(super) struct Key(Zeroizing<[u8; BYTES]>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A new key as text.
    ///
    /// # Errors
    /// As [`random`].
    pub(super) fn text() -> io::Result<String> {
        Ok(Base64UrlUnpadded::encode_string(&random::<BYTES>()?))
    }

    /// The key of this text, if it is one.
    pub(super) fn parse(text: &str) -> Option<Key> {
        Secret::of_session(text.as_bytes()).map(|secret| Key(secret.0))
    }

    /// The keyed hash of these parts, 32 hex digits.
    pub(super) fn hash(&self, parts: &[&str]) -> String {
        let mut mac = Blake2bMac::<U16>::new_from_slice(&self.0[..])
            .expect("a key of 32 bytes is one of BLAKE2b");
        for part in parts {
            mac.update(&part.len().to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Who is counted as one client: an address, or, of IPv6, a network of 64 bits, all of which one customer
/// has.
pub(super) fn client_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_from_its_text_and_is_shown_by_nothing() {
        let secret = Secret::new().unwrap();
        let (session, link) = (secret.session_text(), secret.link_text());
        assert_eq!((session.len(), link.len()), (43, 47));
        assert_eq!(Secret::of_session(session.as_bytes()).unwrap().hash(), secret.hash());
        assert_eq!(Secret::of_link(&link).unwrap().hash(), secret.hash());
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        for bad in ["", "a", &session[1..], &format!("{}=", &*session), &"*".repeat(43)] {
            assert!(Secret::of_session(bad.as_bytes()).is_none(), "{bad}");
            assert!(Secret::of_link(bad).is_none(), "{bad}");
        }
        assert!(Secret::of_link(&session).is_none(), "a session's id is no link's token");
    }

    #[test]
    fn a_keyed_hash_depends_on_its_key_and_on_where_its_parts_end() {
        let [one, other] = [(), ()].map(|()| Key::parse(&Key::text().unwrap()).unwrap());
        assert_eq!(one.hash(&["ab", "c"]), one.hash(&["ab", "c"]));
        assert_ne!(one.hash(&["ab", "c"]), one.hash(&["a", "bc"]));
        assert_ne!(one.hash(&["ab", "c"]), other.hash(&["ab", "c"]));
        assert_eq!(one.hash(&[]).len(), 32);
    }

    #[test]
    fn a_customer_s_network_is_one_client() {
        let client = |text: &str| client_of(text.parse().unwrap());
        assert_eq!(client("192.0.2.7"), client("::ffff:192.0.2.7"));
        assert_ne!(client("192.0.2.7"), client("192.0.2.8"));
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:3:4:5:6"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
    }
}

//! `Forwarded` of RFC 7239: each element says whom its hop saw, and how.
//!
//! Here quotation marks count, since IPv6 must stand between them. The lines are therefore taken
//! apart from the right as well: what proxies of ours appended is read before anything that came
//! from outside, and a quotation mark that is never closed there can hide nothing right of it.

use super::chain::Walk;
use super::witness::Witness;
use super::{Origin, Refused, Trust, address};
use http::header::FORWARDED;
use http::{HeaderMap, HeaderValue};
use std::net::IpAddr;

/// One element: what a hop says of the request it got. Values without their quotation marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Element<'a> {
    client: Option<&'a [u8]>,
    proto: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

/// Reads the header for a trusted peer, which `origin` names.
pub(super) fn read(
    trust: &Trust,
    origin: &mut Origin,
    headers: &HeaderMap,
    witness: &mut impl Witness,
) {
    let mut walk = Walk::of(trust);
    // Of the hop that named the client; before anybody did, of the peer.
    let mut said: Option<Element<'_>> = None;
    let lines = headers.get_all(FORWARDED).into_iter().rev().map(HeaderValue::as_bytes);
    for text in lines.flat_map(elements) {
        let element = Element::read(text);
        let node = match element {
            None => Err(Refused::BadElement),
            // A hop that says nothing of the client, such as one that only tells the scheme.
            Some(Element { client: None, .. }) => {
                said = said.or(element);
                break;
            }
            Some(Element { client: Some(client), .. }) => node(client),
        };
        if node.is_ok() || said.is_none() {
            said = element;
        }
        if !walk.step(origin, text, node, witness) {
            break;
        }
    }
    let said = said.unwrap_or_default();
    if let Some(proto) = said.proto {
        origin.take_scheme(proto, witness);
    }
    if let Some(host) = said.host {
        origin.take_host(trust, host, !trust.hosts.is_empty(), witness);
    }
}

/// The address of a node. `unknown` and obfuscated names are legal, and name nobody.
fn node(text: &[u8]) -> Result<IpAddr, Refused> {
    let hides = text.starts_with(b"_")
        || (text.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"unknown"))
            && matches!(text.get(7), None | Some(b':')));
    let ip = address::parse(text);
    ip.ok_or(if hides { Refused::HiddenNode } else { Refused::BadElement })
}

/// The elements of one line from right to left, without blanks around them and without empty ones.
fn elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    let split = std::iter::from_fn(move || {
        let (left, element) = split_last(rest?);
        rest = left;
        Some(element)
    });
    split.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// What is left of the last comma outside of quotation marks, if there is one, and what is right.
fn split_last(line: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    let mut at = line.len();
    while let Some((before, [last])) =
        at.checked_sub(1).and_then(|to| line.get(..at)?.split_at_checked(to))
    {
        match last {
            b'"' if !is_escaped(before) => quoted = !quoted,
            b',' if !quoted => return (Some(before), line.get(at..).unwrap_or_default()),
            _ => {}
        }
        at = before.len();
    }
    (None, line)
}

/// Whether what follows is behind an odd number of backslashes.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

impl<'a> Element<'a> {
    /// Reads the pairs of an element, of which some may be empty. `None` when something else stands
    /// there, or one of the three is there twice. Blanks around `;` and values that should have been
    /// quoted are taken as they are meant.
    fn read(text: &'a [u8]) -> Option<Element<'a>> {
        let mut element = Element::default();
        let mut rest = text.trim_ascii_start();
        while !rest.is_empty() {
            if let Some(next) = rest.strip_prefix(b";") {
                rest = next.trim_ascii_start();
                continue;
            }
            let (name, tail) = rest.split_at_checked(rest.iter().position(|b| *b == b'=')?)?;
            if name.is_empty() || !name.iter().all(is_token) {
                return None;
            }
            let (value, tail) = Element::value(tail.strip_prefix(b"=")?)?;
            let field = match name {
                name if name.eq_ignore_ascii_case(b"for") => Some(&mut element.client),
                name if name.eq_ignore_ascii_case(b"proto") => Some(&mut element.proto),
                name if name.eq_ignore_ascii_case(b"host") => Some(&mut element.host),
                _ => None,
            };
            // No value of these three has anything to escape.
            if let Some(field) = field
                && (value.contains(&b'\\') || field.replace(value).is_some())
            {
                return None;
            }
            rest = tail.trim_ascii_start();
            if !rest.is_empty() && !rest.starts_with(b";") {
                return None;
            }
        }
        Some(element)
    }

    /// The value that the text begins with, and what follows it.
    fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
        let Some(inside) = text.strip_prefix(b"\"") else {
            let ends = |b: &u8| matches!(b, b';' | b'"' | b',') || b.is_ascii_whitespace();
            let end = text.iter().position(ends).unwrap_or(text.len());
            return text.split_at_checked(end).filter(|(value, _)| !value.is_empty());
        };
        let mut escaped = false;
        let end = inside.iter().position(|b| {
            let ends = *b == b'"' && !escaped;
            escaped = *b == b'\\' && !escaped;
            ends
        });
        let (value, tail) = inside.split_at_checked(end?)?;
        Some((value, tail.strip_prefix(b"\"")?))
    }
}

/// A character of a token (RFC 9110, section 5.6.2).
fn is_token(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &str) -> Vec<&str> {
        elements(line.as_bytes()).map(|it| std::str::from_utf8(it).unwrap()).collect()
    }

    #[test]
    fn a_line_is_taken_apart_from_the_right() {
        assert_eq!(split("for=a, for=b"), ["for=b", "for=a"]);
        assert_eq!(split("for=\"a,b\" , ,for=c,"), ["for=c", "for=\"a,b\""]);
        assert_eq!(split(r#"x="\",\\", for=b"#), ["for=b", r#"x="\",\\""#]);
        assert_eq!(split("for=\", for=b;by=\"[::1]\""), ["for=b;by=\"[::1]\"", "for=\""]);
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn pairs_of_an_element_come_in_any_order_and_case() {
        let read = |text: &'static str| Element::read(text.as_bytes());
        let element = Element { client: Some(b"1.1.1.1"), proto: Some(b"https"), host: Some(b"h") };
        assert_eq!(read("for=1.1.1.1;proto=https;host=h"), Some(element));
        assert_eq!(
            read(r#"Host="h" ; by=_x;;PROTO=https;ext="\"a;b" ; FOR="1.1.1.1";"#),
            Some(element)
        );
        assert_eq!(read("for=1.1.1.1").unwrap().proto, None);
        for text in [
            "for",
            "for=",
            "=a",
            "for=a b",
            "for=\"a",
            "for=\"a\"b",
            "for=a;for=b",
            "f r=a",
            "for =a",
            "for= a",
            r#"for="\1.1.1.1""#,
            "for=a\"b\"",
            "for=a,for=b",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            bytes: Vec<u8>, text in "(for=|proto=|[a\",;\\\\ =]|\\[::1\\]|,){0,20}",
        ) {
            for line in [bytes.as_slice(), text.as_bytes()] {
                for element in elements(line) {
                    Element::read(element);
                }
            }
        }

        #[test]
        fn what_was_appended_is_read_whatever_stands_left_of_it(left in "[a\",;\\\\ =]{0,12}") {
            let appended = r#"for="[2001:db8::1]:80";proto=https"#;
            let line = format!("{left}, {appended}");
            prop_assert_eq!(split(&line)[0], appended);
        }
    }
}

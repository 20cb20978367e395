//! A request's target taken apart, as far as it can be: it may be anything that a peer sent.

/// The two parts of a target that are logged by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// As received. `/` where an absolute form has none.
    pub(super) path: &'a [u8],
    /// As received, without its question mark.
    pub(super) query: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// Of the four forms of RFC 9112 §3.2; what has none of them is a path. Fragments, which no client
    /// should send, belong to neither part.
    #[inline]
    pub(super) fn of(target: &'a [u8]) -> Target<'a> {
        let local = if target.first() == Some(&b'/') { target } else { behind_authority(target) };
        // Of a short one fewer instructions look at each byte than begin a search.
        let end = match local.len() {
            0..16 => local.iter().position(|byte| matches!(byte, b'?' | b'#')),
            _ => memchr::memchr2(b'?', b'#', local),
        };
        let Some((path, rest)) = end.and_then(|end| local.split_at_checked(end)) else {
            return Target { path: local, query: None };
        };
        let path = if path.is_empty() { b"/" } else { path };
        let query = rest.strip_prefix(b"?");
        let query = query.map(|query| match memchr::memchr(b'#', query) {
            Some(end) => query.get(..end).unwrap_or(query),
            None => query,
        });
        Target { path, query }
    }
}

/// Of `http://host/path` the part from the path on; anything else as it is.
fn behind_authority(target: &[u8]) -> &[u8] {
    let colon = target.iter().position(|byte| !byte.is_ascii_alphanumeric());
    let rest = colon.and_then(|colon| target.get(colon..)).unwrap_or_default();
    let Some(authority) = rest.strip_prefix(b"://") else { return target };
    let end = authority.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    end.and_then(|end| authority.get(end..)).unwrap_or(b"/")
}

/// A path with its percent-escapes decoded; one that is none stays.
pub(super) fn decoded<'a>(path: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if !path.contains(&b'%') {
        return path;
    }
    scratch.clear();
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        let byte = match behind {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        scratch.push(byte.map_or(*first, |(high, low)| high << 4 | low));
        rest = behind.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    scratch
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// A host without its port.
pub(super) fn without_port(host: &str) -> &str {
    // By hand: it is short, and the search of the standard library is made for long texts.
    let colon = host.bytes().rposition(|byte| byte == b':');
    let parts = colon.and_then(|colon| Some((host.get(..colon)?, host.get(colon + 1..)?)));
    match parts {
        // An IPv6 address has colons of its own, and brackets where it has a port.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            let whole = !name.contains(':') || name.ends_with(']');
            if whole { name } else { host }
        }
        _ => host,
    }
}

/// Several values of one header as CGI joins them.
pub(super) fn joined<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
    scratch: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let first = values.next()?;
    let Some(second) = values.next() else { return Some(first) };
    scratch.clear();
    scratch.extend_from_slice(first);
    for value in [second].into_iter().chain(values) {
        scratch.push(b',');
        scratch.extend_from_slice(value);
    }
    Some(scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_the_path_and_query_that_gunicorn_sees() {
        for (target, path, query) in [
            ("/a%20b?x=1&y=%22", "/a%20b", Some("x=1&y=%22")),
            ("/", "/", None),
            ("http://other/abs?z", "/abs", Some("z")),
            ("http://other", "/", None),
            ("http://other?z", "/", Some("z")),
            ("*", "*", None),
            ("/p#frag?q", "/p", None),
            ("/p?q#frag", "/p", Some("q")),
            ("/emptyq?", "/emptyq", Some("")),
            ("//a/b", "//a/b", None),
            ("example.org:443", "example.org:443", None),
            ("?", "/", Some("")),
            ("", "", None),
        ] {
            let found = Target::of(target.as_bytes());
            assert_eq!(found.path, path.as_bytes(), "{target}");
            assert_eq!(found.query, query.map(str::as_bytes), "{target}");
        }
    }

    #[test]
    fn percent_escapes_are_decoded_and_what_is_none_stays() {
        for (path, shown) in
            [("/a%20b", "/a b"), ("/%C3%A9", "/é"), ("/%zz%4", "/%zz%4"), ("/%", "/%")]
        {
            assert_eq!(decoded(path.as_bytes(), &mut Vec::new()), shown.as_bytes());
        }
    }

    #[test]
    fn a_port_is_told_from_an_address() {
        for (host, name) in [
            ("a.example:80", "a.example"),
            ("a.example", "a.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}

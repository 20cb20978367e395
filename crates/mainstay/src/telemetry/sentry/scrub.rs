//! What leaves the host without its secrets: values whose name says that they are one, in headers, in
//! queries, in fields and in running text; passwords in URLs; one-time tokens.

use std::borrow::Cow;

/// What stands in the place of a secret.
pub(super) const HIDDEN: &str = "[Filtered]";

/// Names that hold one of these have secret values, whatever else they hold. Compared without case and
/// without what stands between words.
const HOLDS: &[&str] = &[
    "accesskey",
    "apikey",
    "authorization",
    "bearer",
    "cookie",
    "credential",
    "creditcard",
    "csrf",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "session",
    "signature",
    "token",
    "xsrf",
];

/// Names of which one word is one of these have secret values.
const WORDS: &[&str] =
    &["auth", "cvc", "cvv", "iban", "key", "otp", "pass", "pin", "pwd", "sid", "sig", "ssn"];

/// Parameters of queries that are secret besides: what OAuth and OpenID send by them.
const PARAMETERS: &[&str] = &["code", "state", "nonce", "assertion"];

/// Headers that say who the client is.
const ADDRESSES: &[&str] = &[
    "cf-connecting-ip",
    "fastly-client-ip",
    "forwarded",
    "remote-addr",
    "true-client-ip",
    "x-client-ip",
    "x-forwarded-for",
    "x-real-ip",
];

/// Headers whose value is a URL.
const URLS: &[&str] = &["referer", "origin", "x-forwarded-uri", "x-original-url", "x-rewrite-url"];

/// Whether values of this name are secret.
pub(super) fn is_secret(name: &str) -> bool {
    let letters: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|it| it.to_ascii_lowercase())
        .collect();
    if HOLDS.iter().any(|held| letters.contains(held)) {
        return true;
    }
    name.split(|it: char| !it.is_ascii_alphanumeric())
        .any(|word| WORDS.iter().any(|secret| word.eq_ignore_ascii_case(secret)))
}

/// The value of a header as it may be told; none when it is about the client and nobody asked for that.
pub(super) fn header<'a>(name: &str, value: &'a str, pii: bool) -> Option<Cow<'a, str>> {
    let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    if is(ADDRESSES) && !pii {
        return None;
    }
    if is_secret(name) {
        return Some(HIDDEN.into());
    }
    Some(match value.split_once('?') {
        Some((path, query_of)) if is(URLS) => format!("{}?{}", text(path), query(query_of)).into(),
        _ => text(value),
    })
}

/// A query with its secret values hidden.
pub(super) fn query(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    for (at, pair) in query.split('&').enumerate() {
        if at > 0 {
            out.push('&');
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        let is_parameter = PARAMETERS.iter().any(|it| decoded.eq_ignore_ascii_case(it));
        if !value.is_empty() && (is_parameter || is_secret(&decoded)) {
            out.push_str(name);
            out.push('=');
            out.push_str(HIDDEN);
        } else {
            out.push_str(&text(pair));
        }
    }
    out
}

/// The value of a field as it may be told.
pub(super) fn field<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if is_secret(name) { HIDDEN.into() } else { text(value) }
}

/// Running text: what stands behind `name=` or `name:` of a secret name is hidden, so are passwords of
/// URLs and one-time tokens. A text that has nothing of the kind is not copied.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    #[cfg(feature = "login")]
    let text = match crate::http::secrets::hidden(text) {
        Cow::Borrowed(text) => text,
        Cow::Owned(hidden) => return Cow::Owned(assigned(&hidden).unwrap_or(hidden)),
    };
    assigned(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The text without what is assigned to secret names; none when there is nothing to hide.
fn assigned(text: &str) -> Option<String> {
    if !text.contains(['=', ':', '@']) {
        return None;
    }
    let (mut out, mut done, mut at) = (String::new(), 0, 0);
    while let Some(found) = text[at..].find(['=', ':']) {
        let sign = at + found;
        at = sign + 1;
        let Some(value) = secret_behind(text, done, sign) else { continue };
        out.push_str(&text[done..value.start]);
        out.push_str(HIDDEN);
        done = value.end;
        at = value.end;
    }
    if done == 0 {
        return None;
    }
    out.push_str(&text[done..]);
    Some(out)
}

/// The place of the secret that the sign at `sign` stands before, if it does.
fn secret_behind(text: &str, from: usize, sign: usize) -> Option<std::ops::Range<usize>> {
    let (before, behind) = (&text[from..sign], &text[sign + 1..]);
    // The password of `scheme://user:password@host`, up to the last @ before the host ends.
    if let Some(credentials) = behind.strip_prefix("//") {
        let end = credentials.find(['/', '?', '#', ' ', '"', '\'']).unwrap_or(credentials.len());
        let begin = sign + 3;
        let at = credentials[..end].rfind('@')?;
        let colon = credentials[..at].find(':')?;
        return Some(begin + colon + 1..begin + at);
    }
    let is_of_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.');
    let quoted = before.trim_end_matches(['"', '\'', ' ']);
    let name = &quoted[quoted.trim_end_matches(is_of_name).len()..];
    if name.is_empty() || !is_secret(name) {
        return None;
    }
    let value = behind.trim_start_matches([' ', '"', '\'']);
    let begin = text.len() - value.len();
    // `Authorization: Bearer abc` has its secret in the second word.
    let scheme = value.split(' ').next().filter(|it| {
        ["bearer", "basic", "token", "digest"].iter().any(|known| it.eq_ignore_ascii_case(known))
    });
    let skipped = scheme.map_or(0, |scheme| (scheme.len() + 1).min(value.len()));
    let len = value[skipped..].find([' ', ',', ';', '&', '"', '\'', ')', '}', ']', '\n']);
    let end = begin + skipped + len.unwrap_or(value.len() - skipped);
    (end > begin).then_some(begin..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_tell_which_values_are_secret() {
        for secret in [
            "Authorization",
            "proxy-authorization",
            "Cookie",
            "Set-Cookie",
            "X-Api-Key",
            "X-CSRFToken",
            "x-xsrf-token",
            "password",
            "user_password",
            "PGPASSWORD",
            "api_key",
            "apiKey",
            "access_token",
            "client-secret",
            "pin",
            "card[cvc]",
            "sessionid",
            "key",
            "X-Amz-Signature",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for open in
            ["Host", "monkey", "author", "opinion", "Accept", "order", "passenger", "status"]
        {
            assert!(!is_secret(open), "{open}");
        }
    }

    #[test]
    fn secret_values_of_queries_are_hidden_and_the_others_stay() {
        assert_eq!(
            query("page=2&api%5Fkey=hunter2&code=hunter2&q=a+b&flag&token="),
            "page=2&api%5Fkey=[Filtered]&code=[Filtered]&q=a+b&flag&token="
        );
    }

    #[test]
    fn headers_lose_secrets_and_the_client_s_address() {
        assert_eq!(header("Cookie", "a=b", true).as_deref(), Some(HIDDEN));
        assert_eq!(header("X-Forwarded-For", "192.0.2.1", false), None);
        assert_eq!(header("X-Forwarded-For", "192.0.2.1", true).as_deref(), Some("192.0.2.1"));
        assert_eq!(
            header("Referer", "https://a.example/x?token=hunter2&b=1", false).as_deref(),
            Some("https://a.example/x?token=[Filtered]&b=1")
        );
        assert_eq!(header("Accept", "text/html;q=0.5", false).as_deref(), Some("text/html;q=0.5"));
    }

    #[test]
    fn running_text_loses_what_is_assigned_to_secret_names() {
        for (said, told) in [
            (
                "cannot log in with password=hunter2, giving up",
                "cannot log in with password=[Filtered], giving up",
            ),
            ("{\"api_key\": \"hunter2\", \"a\": 1}", "{\"api_key\": \"[Filtered]\", \"a\": 1}"),
            ("Authorization: Bearer hunter2", "Authorization: [Filtered]"),
            (
                "at postgres://shop:hun@ter2@db.example/shop: refused",
                "at postgres://shop:[Filtered]@db.example/shop: refused",
            ),
            ("GET /a?token=hunter2&b=c", "GET /a?token=[Filtered]&b=c"),
            ("status: 500, at 12:30", "status: 500, at 12:30"),
            ("nothing at all", "nothing at all"),
            ("password=", "password="),
            ("ends with password: ", "ends with password: "),
            ("https://a.example/b", "https://a.example/b"),
        ] {
            assert_eq!(text(said), told);
        }
    }

    #[cfg(feature = "login")]
    #[test]
    fn one_time_tokens_are_hidden_wherever_they_stand() {
        let token = format!("mst_{}", "aB3-_".repeat(9));
        assert_eq!(text(&format!("GET /setup/{token}")), "GET /setup/mst_***");
        assert_eq!(query(&format!("next={token}")), "next=mst_***");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail_and_a_secret_word_goes(any in ".{0,80}", word in "[a-z0-9]{12}") {
            let said = format!("{any} password={word} {any}");
            prop_assert!(any.contains(&word) || !text(&said).contains(&word));
            query(&any);
        }
    }
}

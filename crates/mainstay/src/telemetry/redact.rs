//! Queries as they may leave the host: values of what looks like a key are hidden.

use std::borrow::Cow;

/// Longest query that is told, bytes.
const LONGEST: usize = 1_024;
/// What stands in place of a value, by the conventions.
const REDACTED: &str = "REDACTED";
/// Parameters whose values are keys, by the conventions and by what services call theirs: any name
/// that has one of these in it, in small letters.
const SECRET: &[&str] = &[
    "signature",
    "awsaccesskeyid",
    "credential",
    "token",
    "secret",
    "passw",
    "pwd",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "authoriz",
    "session",
    "jwt",
];
/// Names that are secret only as a whole: `code` is what OAuth gives a token for.
const WHOLE: &[&str] = &["sig", "code", "key", "pass", "auth", "otp", "ticket"];

/// The query without the values of what looks like a key.
pub(crate) fn query(query: &str) -> Cow<'_, str> {
    let short = query.get(..query.floor_char_boundary(LONGEST)).unwrap_or_default();
    if short.len() == query.len() && !query.split('&').any(is_secret) {
        return Cow::Borrowed(query);
    }
    let parts = short.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(pair) => Cow::Owned(format!("{name}={REDACTED}")),
        _ => Cow::Borrowed(pair),
    });
    Cow::Owned(parts.collect::<Vec<_>>().join("&"))
}

fn is_secret(pair: &str) -> bool {
    let Some((name, value)) = pair.split_once('=') else { return false };
    // A name may be written in escapes; decoded, it is what the application sees.
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
    !value.is_empty() && (WHOLE.contains(&&*name) || SECRET.iter().any(|part| name.contains(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_keys_are_hidden_and_all_else_stays() {
        for (given, shown) in [
            ("", ""),
            ("page=2&q=a%20b", "page=2&q=a%20b"),
            ("sig=abc&page=2", "sig=REDACTED&page=2"),
            (
                "X-Amz-Signature=a&X-Amz-Credential=b",
                "X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED",
            ),
            (
                "AWSAccessKeyId=a&X-Goog-Signature=b",
                "AWSAccessKeyId=REDACTED&X-Goog-Signature=REDACTED",
            ),
            ("X-Amz-Security-Token=a", "X-Amz-Security-Token=REDACTED"),
            ("code=1&barcode=2", "code=REDACTED&barcode=2"),
            ("pass%77ord=x", "pass%77ord=REDACTED"),
            ("token=&flag", "token=&flag"),
        ] {
            assert_eq!(query(given), shown);
        }
        let long = format!("a={}&token=secret", "x".repeat(2_000));
        assert!(query(&long).len() <= LONGEST && !query(&long).contains("secret"));
        let cut = format!("a={}&token=secret", "x".repeat(LONGEST - 10));
        assert!(!query(&cut).contains("sec"), "a value that is cut is hidden too");
    }
}

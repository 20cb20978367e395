//! One-time tokens in paths: what logs show in their place.
//!
//! A link by which a user sets his password has its secret in the path, and every log shows paths. The
//! tokens begin in a way of their own, so that they are found wherever they stand.

use std::borrow::Cow;

/// How a token begins; what follows are 43 characters of base64url.
pub(crate) const TOKEN: &str = "mst_";
/// Nothing shorter holds a token.
const SHORTEST: usize = TOKEN.len() + 43;

/// The text with `mst_***` in place of each token.
#[inline]
pub(crate) fn hidden(text: &str) -> Cow<'_, str> {
    if text.len() < SHORTEST || memchr::memmem::find(text.as_bytes(), TOKEN.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    without(text)
}

/// The same of bytes that may be no text.
pub(crate) fn hidden_bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memmem::find(bytes, TOKEN.as_bytes()).is_none() {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(without(&String::from_utf8_lossy(bytes)).into_owned().into_bytes())
}

#[cold]
fn without(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(TOKEN) {
        let is_of_it = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '%');
        out.push_str(before);
        out.push_str(TOKEN);
        out.push_str("***");
        rest = behind.trim_start_matches(is_of_it);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_hidden_and_all_else_stays() {
        let token = format!("mst_{}", "aB3-_".repeat(9));
        for (text, shown) in [
            (format!("/setup/{token}"), "/setup/mst_***".to_owned()),
            (format!("/setup/{token}?again=1"), "/setup/mst_***?again=1".to_owned()),
            (format!("https://a/{token}/{token}x/b"), "https://a/mst_***/mst_***/b".to_owned()),
            ("/orders/7".to_owned(), "/orders/7".to_owned()),
            ("/".repeat(100), "/".repeat(100)),
        ] {
            assert_eq!(hidden(&text), shown);
            assert_eq!(&*hidden_bytes(text.as_bytes()), shown.as_bytes());
        }
    }
}

//! The cookie of a session.

use super::secret::Secret;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

/// Over https: browsers take it from this host alone, never from a neighbour or over http.
const SECURE: &str = "__Host-session";
/// Over http, where browsers take no other.
const PLAIN: &str = "session";
/// No page of another site sends it along, but for links that somebody follows.
const WHERE: &str = "Path=/; HttpOnly; SameSite=Lax";

/// What an answer gives the browser. It lives as long as the browser; the session's end is the server's
/// affair.
pub(super) fn given(secret: &Secret, is_https: bool) -> HeaderValue {
    let text = secret.session_text();
    let cookie = Zeroizing::new(match is_https {
        true => format!("{SECURE}={}; {WHERE}; Secure", text.as_str()),
        false => format!("{PLAIN}={}; {WHERE}", text.as_str()),
    });
    let mut value = HeaderValue::from_str(&cookie).expect("base64url is text of a header");
    value.set_sensitive(true);
    value
}

/// What an answer takes back: whichever the browser has.
pub(super) fn taken_back() -> [HeaderValue; 2] {
    [
        HeaderValue::from_static(
            "__Host-session=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0",
        ),
        HeaderValue::from_static("session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"),
    ]
}

/// The id that a request came with. That of https goes first: nobody but this host can have set it.
pub(super) fn read(headers: &HeaderMap) -> Option<Secret> {
    [SECURE, PLAIN].iter().find_map(|name| named(headers, name))
}

fn named(headers: &HeaderMap, name: &str) -> Option<Secret> {
    let fields = headers.get_all(COOKIE).iter();
    let mut pairs = fields.flat_map(|field| field.as_bytes().split(|&byte| byte == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Secret::of_session(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(fields: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(COOKIE, field.parse().unwrap());
        }
        read(&headers).map(|secret| secret.session_text().to_string())
    }

    #[test]
    fn a_cookie_comes_back_and_the_one_of_https_goes_first() {
        let [one, other] = [(), ()].map(|()| Secret::new().unwrap());
        let [a, b] = [&one, &other].map(|it| it.session_text().to_string());
        let given_plain = given(&one, false);
        let plain = given_plain.to_str().unwrap();
        assert_eq!(plain, format!("session={a}; Path=/; HttpOnly; SameSite=Lax"));
        let given_secure = given(&one, true);
        let secure = given_secure.to_str().unwrap();
        let expected = format!("__Host-session={a}; Path=/; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(secure, expected);
        assert!(!format!("{:?}", given(&one, true)).contains(&a));
        assert_eq!(read_of(&[&format!("x=1; session={a}")]), Some(a.clone()));
        assert_eq!(read_of(&[&format!("session={a}"), &format!("__Host-session={b};y")]), Some(b));
        for none in ["", "session", "session=", "xsession=a", &format!("session={a}a")] {
            assert_eq!(read_of(&[none]), None, "{none}");
        }
    }
}

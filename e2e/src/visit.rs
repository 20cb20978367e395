//! Somebody who visits a site as a browser does, without one: cookies are kept, forms are sent, and answers that
//! lead elsewhere are followed by whoever asks.

use crate::load::{Failure, Response, Target, send};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What stands between the parts of an upload.
const BOUNDARY: &str = "----e2e-part";

/// Somebody with a jar of cookies.
#[derive(Clone, Debug)]
pub struct Visitor {
    target: Target,
    cookies: BTreeMap<String, String>,
    /// Header lines of every request, such as `X-Forwarded-For: 203.0.113.9`.
    pub headers: Vec<String>,
}

impl Visitor {
    /// Somebody whom the site does not know.
    pub fn new(target: impl Into<Target>) -> Visitor {
        Visitor { target: target.into(), cookies: BTreeMap::new(), headers: Vec::new() }
    }

    /// The value of a cookie.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// Puts a cookie into the jar.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// The head of a request with the cookies, up to the empty line.
    #[must_use]
    pub fn head(&self, method: &str, path: &str, lines: &[&str]) -> String {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n");
        head.push_str("Accept: text/html\r\n");
        if !self.cookies.is_empty() {
            let all: Vec<_> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            write!(head, "Cookie: {}\r\n", all.join("; ")).expect("a string takes everything");
        }
        let own = self.headers.iter().map(String::as_str);
        lines.iter().copied().chain(own).for_each(|line| {
            head.push_str(line);
            head.push_str("\r\n");
        });
        head + "\r\n"
    }

    /// Sends bytes as they are, and keeps the cookies of the answer.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn try_send(&mut self, bytes: &[u8]) -> Result<Response, Failure> {
        let answer = send(&self.target, bytes, PATIENCE)?;
        for (_, line) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|it| it.split_once('=')) else {
                continue;
            };
            if value.is_empty() || parts.any(|it| it.eq_ignore_ascii_case("max-age=0")) {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }

    fn send(&mut self, what: &str, bytes: &[u8]) -> Response {
        self.try_send(bytes).unwrap_or_else(|failure| panic!("{what}: {failure:?}"))
    }

    /// GETs a page.
    ///
    /// # Panics
    /// When there is no answer; one of any status is one.
    pub fn get(&mut self, path: &str) -> Response {
        let head = self.head("GET", path, &[]);
        self.send(path, head.as_bytes())
    }

    /// The bytes of a request that sends a form.
    #[must_use]
    pub fn post_request(&self, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
        let body = form(fields);
        let length = format!("Content-Length: {}", body.len());
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let head = self.head("POST", path, &[kind, &length, "Sec-Fetch-Site: same-origin"]);
        (head + &body).into_bytes()
    }

    /// Sends a form.
    ///
    /// # Panics
    /// As [`Visitor::get`].
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        let request = self.post_request(path, fields);
        self.send(path, &request)
    }

    /// Sends a form that must lead elsewhere, and gives where to.
    ///
    /// # Panics
    /// When it leads nowhere; what the page says is then told.
    pub fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields);
        led(path, &answer)
    }

    /// The bytes of a form that sends a file.
    #[must_use]
    pub fn upload_request(&self, path: &str, name: &str, content: &[u8]) -> Vec<u8> {
        let begin = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let end = format!("\r\n--{BOUNDARY}--\r\n");
        let length = format!("Content-Length: {}", begin.len() + content.len() + end.len());
        let kind = format!("Content-Type: multipart/form-data; boundary={BOUNDARY}");
        let head = self.head("POST", path, &[&kind, &length, "Sec-Fetch-Site: same-origin"]);
        [head.as_bytes(), begin.as_bytes(), content, end.as_bytes()].concat()
    }

    /// Sends a file.
    ///
    /// # Panics
    /// As [`Visitor::get`].
    pub fn upload(&mut self, path: &str, name: &str, content: &[u8]) -> Response {
        let request = self.upload_request(path, name, content);
        self.send(path, &request)
    }
}

/// Where an answer leads.
///
/// # Panics
/// When it leads nowhere.
#[must_use]
pub fn led(path: &str, answer: &Response) -> String {
    let place = answer.header("location").map(str::to_owned);
    place.unwrap_or_else(|| panic!("{path} leads nowhere: {} {}", answer.status, answer.text()))
}

/// Fields as a form sends them.
fn form(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            if byte.is_ascii_alphanumeric() {
                out.push(char::from(byte));
            } else {
                write!(out, "%{byte:02X}").expect("a string takes everything");
            }
            out
        })
    };
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

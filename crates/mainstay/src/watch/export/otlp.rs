//! A receiver of OTLP over HTTP: parcels in the envelope of a request, and what its answers mean.

use super::proto::{self, Value, fields};
use super::receiver::{Answer, Post, Receiver, Verdict};
use crate::config::otel::Route;
use crate::telemetry::Parcel;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::time::Duration;

/// The longest wait that a receiver may ask for.
const LONGEST: Duration = Duration::from_secs(300);
/// How much of a receiver's own words is told.
const WORDS: usize = 200;

/// Who sends: OTLP's message `Resource`, encoded, which stands before everything.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    resource: Vec<u8>,
}

impl Origin {
    /// From its attributes; of two with the same name the later one counts.
    pub(crate) fn new(attributes: &[(String, String)]) -> Origin {
        let mut resource = Vec::new();
        for (at, (name, value)) in attributes.iter().enumerate() {
            let again = attributes[at + 1..].iter().any(|(other, _)| other == name);
            if !again && !value.is_empty() {
                proto::attribute(1, name, value, &mut resource);
            }
        }
        Origin { resource }
    }

    /// A request of any of the three kinds: the resource, the scope, and behind it what `fill` writes as
    /// fields 2 of the scope's message.
    pub(super) fn request(&self, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut request = Vec::new();
        proto::message(1, &mut request, |out| {
            proto::bytes(1, &self.resource, out);
            proto::message(2, out, |out| {
                proto::message(1, out, |out| {
                    proto::bytes(1, b"mainstay", out);
                    proto::bytes(2, env!("CARGO_PKG_VERSION").as_bytes(), out);
                });
                fill(out);
            });
        });
        request
    }
}

/// The request with `body`.
pub(super) fn post(route: &Route, body: Vec<u8>) -> Post {
    let mut headers = vec![("content-type".to_owned(), "application/x-protobuf".to_owned())];
    let body = if route.gzip {
        headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail.
        encoder.write_all(&body).ok();
        encoder.finish().unwrap_or_default()
    } else {
        body
    };
    let all = route.headers.iter();
    headers.extend(all.map(|(name, value)| (name.clone(), value.expose().to_owned())));
    Post { url: route.url.clone(), headers, body }
}

/// What an answer of OTLP means.
pub(super) fn judge(answer: &Answer<'_>) -> Verdict {
    match answer.status {
        200..300 => Verdict::Taken { rejected: rejected(answer.body) },
        429 | 502..=504 => Verdict::Again { after: retry_after(answer) },
        status => {
            let words = words(answer.body);
            let gap = if words.is_empty() { "" } else { ": " };
            Verdict::Refused(format!("status {status}{gap}{words}"))
        }
    }
}

/// The wait that an answer asks for in seconds; a date is not read, and the usual wait counts.
pub(super) fn retry_after(answer: &Answer<'_>) -> Option<Duration> {
    let (_, value) = answer.headers.iter().find(|(name, _)| name == "retry-after")?;
    let seconds = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// `partial_success.rejected_…`: the first field of the first field, in all three kinds of answers.
fn rejected(body: &[u8]) -> u64 {
    let first = |bytes| fields(bytes).flatten().find(|(field, _)| *field == 1).map(|(_, it)| it);
    match first(body) {
        Some(Value::Bytes(partial)) => match first(partial) {
            // A negative number is none that a receiver means.
            Some(Value::Number(rejected)) if rejected <= i64::MAX as u64 => rejected,
            _ => 0,
        },
        _ => 0,
    }
}

/// What the receiver says itself: the message of its `Status`, or the text that it sent instead.
fn words(body: &[u8]) -> String {
    let message = fields(body).map_while(Result::ok).find_map(|field| match field {
        (2, Value::Bytes(bytes)) => std::str::from_utf8(bytes).ok(),
        _ => None,
    });
    let text = message.or_else(|| std::str::from_utf8(body).ok()).unwrap_or_default();
    let plain = text.chars().map(|it| if it.is_control() { ' ' } else { it });
    plain.take(WORDS).collect::<String>().trim().to_owned()
}

/// Spans or log records.
#[derive(Debug)]
pub(super) struct Otlp {
    pub(super) name: &'static str,
    pub(super) parcel: Parcel,
    pub(super) route: Route,
    pub(super) origin: Origin,
}

impl Receiver for Otlp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes(&self) -> Parcel {
        self.parcel
    }

    fn post(&mut self, parcels: &[&[u8]]) -> Option<Post> {
        let body =
            self.origin.request(|out| parcels.iter().for_each(|it| out.extend_from_slice(it)));
        Some(post(&self.route, body))
    }

    fn judge(&mut self, answer: &Answer<'_>) -> Verdict {
        judge(answer)
    }
}

/// How many items a parcel has; none when it is not of its kind.
pub(super) fn items(parcel: Parcel, bytes: &[u8]) -> Option<u32> {
    if parcel == Parcel::Report {
        return Some(1);
    }
    let mut items = 0;
    for field in fields(bytes) {
        match field {
            Ok((2, Value::Bytes(_))) => items += 1,
            // One such parcel would have the whole request refused.
            _ => return None,
        }
    }
    Some(items).filter(|items| *items > 0)
}

//! Clients as the proxy on this host passes them on, and what a metric says of them.

use e2e::harness::Service;
use e2e::load::{Response, send};
use std::time::Duration;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// A GET of a path as the proxy on this host passes it on for a client.
pub(crate) fn get_for(service: &Service, client: &str, path: &str, more: &str) -> Response {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: e2e\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n{more}\r\n"
    );
    let answer = send(&service.target(), request.as_bytes(), TIMEOUT);
    answer.unwrap_or_else(|failure| panic!("{failure:?}:\n{}", service.log()))
}

/// The statuses of as many GETs, one after another.
pub(crate) fn statuses(service: &Service, client: &str, path: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| get_for(service, client, path, "").status).collect()
}

/// What a metric says, named with its labels if it has some.
pub(crate) fn metric(service: &Service, name: &str) -> Option<u64> {
    let answer = service.get_admin("/metrics").expect("watch answers");
    let text = answer.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.trim().parse().expect("a whole number"))
}

//! What the ECS lines of both logs have in common: the constant fields, and strings.

use super::Service;
use super::escape::{self, Style};

/// The release of the schema that the fields follow.
const VERSION: &str = "9.4.0";
/// Bytes that a value of the service's own description may have.
const CONSTANT: usize = 128;

/// Appends `,"key":"value"`, where `key` has all up to the quote before the value, and says whether the
/// value was cut to `cap` bytes.
#[inline(always)]
pub(super) fn string(out: &mut Vec<u8>, key: &[u8], value: &[u8], cap: usize) -> bool {
    out.extend_from_slice(key);
    let is_cut = escape::push(out, value, Style::Json, cap);
    out.push(b'"');
    is_cut
}

/// Appends `ecs.version` and what describes the service; what is not known of it is left out. The
/// dataset is the service's name and `dataset`, by which Elastic's tools find anomalies.
pub(super) fn push_service(service: &Service, logger: &str, dataset: &str, out: &mut Vec<u8>) {
    string(out, b"\"ecs.version\":\"", VERSION.as_bytes(), CONSTANT);
    string(out, b",\"log.logger\":\"", logger.as_bytes(), CONSTANT);
    let known: [(&[u8], &str); 5] = [
        (b",\"service.name\":\"", &service.name),
        (b",\"service.version\":\"", &service.version),
        (b",\"service.environment\":\"", &service.environment),
        (b",\"service.node.name\":\"", &service.node),
        (b",\"host.hostname\":\"", &service.host),
    ];
    for (key, value) in known {
        if !value.is_empty() {
            string(out, key, value.as_bytes(), CONSTANT);
        }
    }
    out.extend_from_slice(b",\"event.dataset\":\"");
    if !service.name.is_empty() {
        escape::push(out, service.name.as_bytes(), Style::Json, CONSTANT);
        out.push(b'.');
    }
    out.extend_from_slice(dataset.as_bytes());
    out.push(b'"');
}

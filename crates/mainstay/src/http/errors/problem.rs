//! Errors for programs: `application/problem+json` by RFC 9457, with the names of request, error and
//! trace as extension members.

use super::words::Told;
use serde::Serialize;

pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Of limits that were exceeded, as draft-ietf-httpapi-ratelimit-headers registers it.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// The members in the order in which they are written.
#[derive(Serialize)]
struct Problem<'a> {
    /// `about:blank`: the problem is no other than its status, so `title` is the status's phrase.
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    /// Names of the limits that were exceeded.
    #[serde(rename = "violated-policies", skip_serializing_if = "<[_]>::is_empty")]
    violated: &'a [Box<str>],
}

/// The body; `violated` are the limits that were exceeded.
pub(crate) fn problem(told: &Told<'_>, violated: &[Box<str>]) -> Vec<u8> {
    let &Told { status, title, message, request_id, error_id, trace_id, .. } = told;
    let r#type = if violated.is_empty() { "about:blank" } else { QUOTA_EXCEEDED };
    let problem = Problem {
        r#type,
        title,
        status,
        detail: message,
        request_id,
        error_id,
        trace_id,
        violated,
    };
    serde_json::to_vec(&problem).expect("texts and numbers are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_the_specification_and_leaves_out_what_is_not_known() {
        let mut told = Told {
            status: 404,
            title: "Not Found",
            message: "There is \"nothing\"\n.",
            request_id: None,
            error_id: None,
            trace_id: None,
            service: "shop",
        };
        assert_eq!(
            String::from_utf8(problem(&told, &[])).unwrap(),
            r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"There is \"nothing\"\n."}"#
        );
        told.request_id = Some("r");
        told.error_id = Some("e");
        told.trace_id = Some("t");
        let text = String::from_utf8(problem(&told, &[])).unwrap();
        assert!(text.ends_with(r#","request_id":"r","error_id":"e","trace_id":"t"}"#), "{text}");
        let text = String::from_utf8(problem(&told, &["a".into(), "b".into()])).unwrap();
        assert!(
            text.starts_with(r#"{"type":"https://iana.org/assignments/http-problem-types#quota"#)
        );
        assert!(text.ends_with(r#","violated-policies":["a","b"]}"#), "{text}");
    }
}

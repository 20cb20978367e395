//! The answers of `/healthz` and `/readyz`, the same from workers and from watch.

use super::State;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};

/// Which probe is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Liveness: this service makes progress.
    Live,
    /// Readiness: requests are welcome.
    Ready,
}

/// Builds the answer for `state`. `progress` is false when no worker makes any, which only an
/// answerer outside the workers can find.
pub(crate) fn answer(
    probe: Probe,
    method: &Method,
    state: State,
    progress: bool,
) -> Response<Bytes> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let (well, body) = match probe {
        Probe::Live if state == State::Stopped => (false, r#"{"status":"stopped"}"#),
        Probe::Live if !progress => (false, r#"{"status":"stalled"}"#),
        Probe::Live => (true, r#"{"status":"ok"}"#),
        Probe::Ready if state == State::Ready && progress => (true, r#"{"status":"ready"}"#),
        Probe::Ready => (false, r#"{"status":"degraded"}"#),
    };
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    if !well {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if probe == Probe::Ready && !well {
        // `ready` with a 503 would be nonsense: without progress the service is degraded.
        let state = if state == State::Ready { State::Degraded } else { state };
        headers.insert("x-readiness-state", HeaderValue::from_static(state.as_str()));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(probe: Probe, state: State, progress: bool) -> (u16, String, Option<String>) {
        let response = answer(probe, &Method::GET, state, progress);
        let header = response.headers().get("x-readiness-state");
        let header = header.map(|value| value.to_str().unwrap().to_owned());
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        (response.status().as_u16(), body, header)
    }

    #[test]
    fn readiness_is_200_only_when_ready() {
        let ready = get(Probe::Ready, State::Ready, true);
        assert_eq!(ready, (200, r#"{"status":"ready"}"#.into(), None));
        for state in [State::Starting, State::Degraded, State::Draining] {
            let (status, body, header) = get(Probe::Ready, state, true);
            assert_eq!((status, body.as_str()), (503, r#"{"status":"degraded"}"#));
            assert_eq!(header.as_deref(), Some(state.as_str()));
        }
    }

    #[test]
    fn liveness_holds_through_drain_and_ends_with_progress() {
        for state in [State::Starting, State::Ready, State::Degraded, State::Draining] {
            assert_eq!(get(Probe::Live, state, true).0, 200);
        }
        assert_eq!(get(Probe::Live, State::Stopped, true).0, 503);
        assert_eq!(get(Probe::Live, State::Ready, false).0, 503);
        assert_eq!(get(Probe::Ready, State::Ready, false).0, 503);
    }

    #[test]
    fn other_methods_are_told_what_is_allowed() {
        let response = answer(Probe::Live, &Method::POST, State::Ready, true);
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
    }
}

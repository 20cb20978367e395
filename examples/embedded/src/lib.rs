//! An application that is served by somebody else's server, and tested without any.

use axum::Router;
use axum::routing::{get, post};
use mainstay::{BoxError, RequestId, Worker};

/// The application.
///
/// # Errors
/// When its metric cannot be had.
pub fn router(worker: &Worker) -> Result<Router, BoxError> {
    let echoed = worker.counter("embedded_echoes_total", "Texts sent back.")?;
    let echo = async move |text: String| {
        echoed.add(1);
        text
    };
    Ok(Router::new()
        .route("/", get(async |id: RequestId| format!("you are request {id}\n")))
        .route("/echo", post(echo)))
}

#[cfg(test)]
mod tests {
    use super::router;
    use axum::http::Request;

    /// The whole stack, in the test's process: no port, no file, no waiting.
    #[tokio::test]
    async fn a_request_is_named_and_an_echo_limited() {
        let settings = "limits.routes = [\"/echo: 2/hour\"]";
        let app = async |worker| router(&worker);
        let app = mainstay::testing::start(settings, app).await.unwrap();
        let hello = app.get("/").await;
        let id = hello.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(hello.body(), &format!("you are request {id}\n"));
        for status in [200, 200, 429] {
            let request = Request::post("/echo").body("hi").unwrap();
            assert_eq!(app.send(request).await.status(), status);
        }
        let lines = app.take_lines();
        assert!(lines.iter().any(|it| it.contains("\"POST /echo HTTP/1.1\" 429")), "{lines:#?}");
    }
}

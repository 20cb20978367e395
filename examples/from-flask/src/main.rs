//! What flask/app.py becomes. Everything that is no route stands in settings: DEFAULTS here, and mainstay.toml,
//! which `from-flask import flask/gunicorn.conf.py` has written.

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};

/// ProxyFix, Limiter and the place of the log, as flask/app.py has them.
const DEFAULTS: &str = r#"
proxy.fix = "x_for=1, x_proto=1"
limits.default = "200 per day; 50 per hour"
log.error = "app.log"
health.live_path = "/health"
"#;

#[derive(serde::Deserialize, serde::Serialize)]
struct Order {
    item: String,
}

async fn place(Json(order): Json<Order>) -> (StatusCode, Json<Order>) {
    tracing::info!(target: "shop", "order placed: {}", order.item);
    (StatusCode::CREATED, Json(order))
}

fn main() -> std::process::ExitCode {
    mainstay::builder().name("shop").defaults(DEFAULTS).serve(|_worker| async {
        Ok(Router::new().route("/orders", post(place).layer(mainstay::limit("5/minute"))))
    })
}

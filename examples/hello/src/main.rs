//! The smallest service: one expression.

use axum::{Router, routing::get};

fn main() -> std::process::ExitCode {
    mainstay::serve(|_worker| async { Ok(Router::new().route("/", get(|| async { "hello\n" }))) })
}
